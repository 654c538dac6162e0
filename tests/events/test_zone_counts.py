"""Events added up by those who see results only: the report of a run, the states at a broker."""

from __future__ import annotations

from support.event_results import event, result

from pipeline.core.zone_counts import CountKey, ZoneCounts


def counted(tally: ZoneCounts) -> dict[str, int]:
    return {key.kind: count for key, count in tally.counts.items()}


def test_dwelling_is_counted_and_changes_no_occupancy() -> None:
    """Report and broker once differed in what a dwell means for who is inside."""
    tally = ZoneCounts()
    tally.note(result(0, event(0), event(0, track_id=2)))
    tally.note(result(1, event(1, kind="dwell")))
    tally.note(result(2, event(2, kind="leave"), event(2, kind="dwell")))
    assert tally.inside == {"lawn": 1}
    assert counted(tally) == {"enter": 2, "dwell": 2, "leave": 1}
    assert tally.counts[CountKey("lawn", "enter", "", "person")] == 2


def test_zones_are_empty_where_frames_do_not_go_on() -> None:
    """The watcher forgets then without an event, and a count that never falls again would stay."""
    for change in ({"epoch": 1}, {"size": (160, 160)}):
        tally = ZoneCounts()
        tally.note(result(0, event(0)))
        tally.note(result(1, **change))  # type: ignore[arg-type]
        assert tally.inside == {"lawn": 0}, change
        assert counted(tally) == {"enter": 1}


def test_a_track_not_seen_for_long_is_not_inside() -> None:
    """After a gap in a stream nobody says that those before it have left: ids begin anew."""
    tally, patient = ZoneCounts(unseen_s=5.0), ZoneCounts()
    for each in (tally, patient):
        each.note(result(0, event(0, track_id=1), event(0, track_id=2)))  # 1 is in every picture
        each.note(result(49))
        assert each.inside == {"lawn": 2}
        each.note(result(51))
    assert tally.inside == {"lawn": 1}
    assert patient.inside == {"lawn": 2}
    tally.note(result(60, event(60, kind="leave", track_id=2)))
    assert tally.inside == {"lawn": 1}
