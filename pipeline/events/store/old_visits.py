"""Migration: groups events stored before visits existed into visits, once, by SQL.

Older versions did not store an event's run. Track ids and frame numbers restart in each run, so a
later event of the same camera and track belongs to another visit if its frame number is lower, or
if it came more than an hour later. A camera's "lost" begins a visit and its "live" ends it.
"""

from __future__ import annotations

GROUPING = (
    """
    INSERT INTO labels (camera, area, kind, direction, class_name)
    SELECT DISTINCT camera, area, kind, direction, class_name FROM events
    """,
    """
    UPDATE events SET label_id = (
        SELECT labels.id FROM labels WHERE labels.camera = events.camera
        AND labels.area = events.area AND labels.kind = events.kind
        AND labels.direction = events.direction AND labels.class_name = events.class_name
    )
    """,
    """
    CREATE TEMPORARY TABLE begun AS
    SELECT id, camera, track_id, time, dwell_s, CASE
        WHEN was IS NULL THEN 1
        WHEN track_id = 0 THEN CASE WHEN kind = 'lost' THEN 1 ELSE 0 END
        WHEN time - was > 3600 OR (frame < frame_before AND time > was) THEN 1
        ELSE 0 END AS begins
    FROM (
        SELECT id, camera, track_id, time, kind, frame, dwell_s,
            LAG(time) OVER (PARTITION BY camera, track_id ORDER BY id) AS was,
            LAG(frame) OVER (PARTITION BY camera, track_id ORDER BY id) AS frame_before
        FROM events
    ) AS steps
    """,
    """
    CREATE TEMPORARY TABLE grouped AS
    SELECT id, time, dwell_s, MIN(id) OVER (PARTITION BY camera, track_id, number) AS first_event
    FROM (
        SELECT id, camera, track_id, time, dwell_s,
            SUM(begins) OVER (PARTITION BY camera, track_id ORDER BY id) AS number
        FROM begun
    ) AS numbered
    """,
    """
    INSERT INTO visits (
        uid, camera, track_id, class_name, started, pts_s, seconds, ended, dwell_s, events,
        first_event, revision
    )
    SELECT events.uid, events.camera, events.track_id, events.class_name, found.started,
        events.pts_s, found.ended - found.started, found.ended, found.dwell_s, found.events,
        events.id, events.id
    FROM (
        SELECT first_event, MIN(time) AS started, MAX(time) AS ended, MAX(dwell_s) AS dwell_s,
            COUNT(*) AS events
        FROM grouped GROUP BY first_event
    ) AS found JOIN events ON events.id = found.first_event
    ORDER BY found.started, events.id
    """,
    "CREATE INDEX visits_by_first_event ON visits (first_event)",
    "CREATE INDEX grouped_by_id ON grouped (id)",
    """
    UPDATE events SET visit_id = (
        SELECT visits.id FROM grouped JOIN visits ON visits.first_event = grouped.first_event
        WHERE grouped.id = events.id
    )
    """,
    """
    INSERT INTO visit_labels (label_id, started, visit_id, seconds, first_at)
    SELECT events.label_id, visits.started, visits.id, visits.seconds, MIN(events.time)
    FROM events JOIN visits ON visits.id = events.visit_id
    GROUP BY events.label_id, visits.started, visits.id, visits.seconds
    """,
    "DROP INDEX visits_by_first_event",
    "DROP TABLE begun",
    "DROP TABLE grouped",
)
