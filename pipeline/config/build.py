"""Build a Pipeline from a configuration: each section becomes its plug-in, not opened yet."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from types import ModuleType
from typing import Any

from pydantic import BaseModel

from pipeline.config.alerts import alert_sink
from pipeline.config.plugins import CLASSIFIERS, EMBEDDERS, PLUGIN_TYPES, plugin, plugin_names
from pipeline.config.resolve import (
    DETECT,
    ResolvedConfig,
    SourceEntry,
    assign_names,
    detect_options,
    with_secrets,
)
from pipeline.config.schema import Config
from pipeline.core.errors import ConfigError
from pipeline.core.interfaces import Classifier, Detector, Sink, Source, Tracker, Watcher
from pipeline.core.options import (
    HasClasses,
    HasConf,
    HasEmbedder,
    HasGround,
    HasModel,
    HasWantedConf,
    PluginChoice,
    validated,
)
from pipeline.core.secret_masking import masked_all
from pipeline.embedders._shared import EmbedderHolders, SharedEmbedder
from pipeline.engine import DetectOptions, Pipeline
from pipeline.engine.pipeline import PATIENCE_S
from pipeline.events.zones.schema import ZonesFile, plain
from pipeline.events.zones.watcher import ZoneWatcher
from pipeline.events.zones.zones_file import load_zones
from pipeline.trackers._ground import check_ground

log = logging.getLogger("trackline")

_EMBEDDER = "embedder"
"""Option of a tracker that names an embedder."""

NewWatcher = Callable[[str], Watcher | None]


def build(
    resolved: ResolvedConfig,
    sinks: Mapping[str, Sink] | None = None,
    new_watcher: NewWatcher | None = None,
    *,
    sources: Sequence[Source] | None = None,
    detector: Detector | None = None,
    patience_s: float = PATIENCE_S,
) -> Pipeline:
    """Return the pipeline of a configuration; raises ConfigError before anything is opened.

    `sinks`, `new_watcher`, `sources` and `detector` replace those of the configuration;
    `patience_s` is the longest wait for sources that hang at the end.
    """
    config = resolved.config
    if sources is None and not (config.sources or config.run.wait_for_sources):
        raise ConfigError("sources: needed but not given")
    detector = make_detector(config) if detector is None else detector
    optional: frozenset[str] = frozenset()
    detect: dict[str, DetectOptions] = {}
    if sources is None:
        _check_pictures(resolved)
        sources = [source for source, _ in make_sources(resolved)]
        detect = detect_by_source(resolved, sources)
        optional = frozenset(
            source.name
            for source, entry in zip(sources, resolved.sources, strict=True)
            if entry.is_member
        )
    check_tracker_ground(config, [source.name for source in sources])
    metadata = effective(resolved)
    if new_watcher is None:
        zones = _load_zones(config, [source.name for source in sources])
        live = {source.name for source in sources if source.live}
        new_watcher = watcher_factory(zones, live)
        metadata |= {"areas": plain(zones)["cameras"]} if zones else {}
        _warn_uncounted(resolved, sources, zones)
    if sinks is None:
        sinks = make_sinks(config)
        alert_sink(config, sinks)
    return Pipeline(
        sources,
        detector,
        tracker_factory(config),
        sinks,
        options=config.run,
        metadata=metadata,
        new_watcher=new_watcher,
        optional=optional,
        detect=detect,
        unrelated_score=_score_of_pictures(config),
        patience_s=patience_s,
    )


def make_sinks(config: Config) -> dict[str, Sink]:
    """Return the sinks by name, not opened yet."""
    sinks: dict[str, Sink] = {}
    for index, choice in enumerate(config.sinks):
        if choice.kind in sinks:
            raise ConfigError(f"sinks.{index}: '{choice.kind}' is there twice")
        where = f"sinks.{index}"
        # First as written: an error shows the placeholder and not the secret.
        _options(plugin("sinks", choice.kind, where), choice, where)
        complete = with_secrets(SourceEntry(where, choice), config.secrets)
        sinks[choice.kind] = _make("sinks", complete, where)
    return sinks


def make_detector(config: Config) -> Detector:
    """Return the detector, not opened yet."""
    detector: Detector = _make("detectors", detector_choice(config), "detector")
    return detector


def make_classifier(kind: str, options: Mapping[str, Any]) -> Classifier:
    """Return a classifier, not opened yet."""
    choice = PluginChoice.model_validate({"kind": kind, **options})
    classifier: Classifier = _make(CLASSIFIERS, choice, "classifier")
    return classifier


def detector_choice(config: Config) -> PluginChoice:
    """Return the detector's kind and options, `conf` and `classes` as wide as any source needs.

    Each source then keeps what it wants of that: see `detect_by_source`.
    """
    choice = _shared_choice(config)
    own = [detect_options(each, f"sources.{i}") for i, each in enumerate(config.sources)]
    widest = dict(choice.options)
    base = _detector_options(choice)
    scores = [each.conf for each in own if each.conf is not None]
    if isinstance(base, HasConf) and min(scores, default=base.conf) < base.conf:
        widest["conf"] = min(scores)
    classes = base.classes if isinstance(base, HasClasses) else None
    if classes is not None:
        more = [name for each in own for name in each.classes or ()]
        widest["classes"] = [*dict.fromkeys([*classes, *more])]
    if widest == choice.options:
        return choice
    return PluginChoice.model_validate({"kind": choice.kind, **widest})


def detect_by_source(
    resolved: ResolvedConfig, sources: Sequence[Source]
) -> dict[str, DetectOptions]:
    """Return what is detected on each source, by name, where that is less than on all together.

    A source without options of its own keeps what the section `detector` says, where the detector
    reports more for another one. Raises ConfigError for what this detector does not have.
    """
    entries = resolved.sources
    if all(each.detect == DetectOptions() for each in entries):
        return {}
    base = _detector_options(_shared_choice(resolved.config))
    reported = _detector_options(detector_choice(resolved.config))
    shared: dict[str, Any] = {
        key: getattr(base, key)
        for key in ("conf", "classes")
        if key in type(base).model_fields and getattr(base, key) != getattr(reported, key)
    }
    found = {}
    for source, entry in zip(sources, entries, strict=True):
        own = entry.detect.model_dump(exclude_none=True)
        if "imgsz" in own and "imgsz" not in type(base).model_fields:
            kind = resolved.config.detector.kind
            raise ConfigError(f"{entry.where}.detect.imgsz: no option of the detector '{kind}'")
        if options := {**shared, **own}:
            found[source.name] = DetectOptions(**options)
    return found


def shared_detection(config: Config) -> DetectOptions:
    """Return what is detected on sources that do not say, as far as the detector has options."""
    base = _detector_options(_shared_choice(config))
    known = DetectOptions.model_fields.keys() & type(base).model_fields.keys()
    return DetectOptions(**{key: getattr(base, key) for key in known})


def _shared_choice(config: Config) -> PluginChoice:
    """Return the detector's kind and options, `conf` lowered to what the tracker can use.

    Trackers that match in two stages continue tracks on detections of low score, and begin none on
    them. A `conf` that the user set stays.
    """
    choice, tracker = config.detector, config.tracker
    options = _options(plugin("trackers", tracker.kind, "tracker"), tracker, "tracker")
    wanted = options.wanted_conf if isinstance(options, HasWantedConf) else None
    field = plugin("detectors", choice.kind, "detector").Options.model_fields.get("conf")
    if wanted is None or field is None or "conf" in choice.options:
        return choice
    conf = min(field.default, wanted)
    return PluginChoice.model_validate({"kind": choice.kind, **choice.options, "conf": conf})


def _detector_options(choice: PluginChoice) -> BaseModel:
    return _options(plugin("detectors", choice.kind, "detector"), choice, "detector")


def lowest_score(config: Config) -> float | None:
    """Return the lowest score the detector reports in this run, None if it has no such option."""
    options = _detector_options(detector_choice(config))
    return float(options.conf) if isinstance(options, HasConf) else None


def _score_of_pictures(config: Config) -> float:
    """Return the lowest score on unrelated pictures: the detector's own, not the tracker's."""
    options = _detector_options(config.detector)
    return float(options.conf) if isinstance(options, HasConf) else 0.0


def _warn_uncounted(
    resolved: ResolvedConfig, sources: Sequence[Source], zones: ZonesFile | None
) -> None:
    """Log which sources have zones that count nothing, as their pictures are not tracked."""
    for source, entry in zip(sources, resolved.sources, strict=False):
        if zones and source.name in zones.cameras and entry.choice.options.get("sequence") is False:
            log.warning(
                "%s: its zones and lines count nothing, as pictures are not tracked; if they are "
                "the frames of a video, give fps or a tracker",
                source.name,
            )


def watcher_factory(
    zones: ZonesFile | None, live: Collection[str]
) -> Callable[[str], Watcher | None]:
    """Return a function from a source's name to its watcher; None where nothing is watched.

    A zone wholly outside the picture ends the run, but not where the source is `live`.
    """
    cameras = zones.cameras if zones else {}

    def new_watcher(name: str) -> Watcher | None:
        if name not in cameras:
            return None
        return ZoneWatcher(cameras[name], beyond="warn" if name in live else "error")

    return new_watcher


def effective(resolved: ResolvedConfig) -> dict[str, Any]:
    """Return the whole configuration with every default, as plain values, fit to be shown.

    Passwords are masked, and a secret that came from elsewhere is still its `${NAME}`.
    """
    config = resolved.config

    def full(plugin_type: str, choice: PluginChoice, where: str) -> dict[str, Any]:
        options = _options(plugin(plugin_type, choice.kind, where), choice, where)
        return {"kind": choice.kind, **options.model_dump(mode="json")}

    tracker = full("trackers", config.tracker, "tracker")
    if (embedder := _embedder_choice(config)) is not None:
        tracker[_EMBEDDER] = full(EMBEDDERS, embedder, f"tracker.{_EMBEDDER}")
    shown: dict[str, Any] = masked_all(
        {
            "sources": [
                {**full("sources", each.choice, each.where), **_own_detection(each)}
                for each in resolved.sources
            ],
            "detector": full("detectors", detector_choice(config), "detector"),
            "tracker": tracker,
            "sinks": [full("sinks", each, f"sinks.{i}") for i, each in enumerate(config.sinks)],
            "zones": str(config.zones) if config.zones else None,
            **config.model_dump(mode="json", include={"alerts", "run", "web"}),
        }
    )
    return shown


def _own_detection(entry: SourceEntry) -> dict[str, Any]:
    """Return the section `detect` of a source with what it sets, nothing where that is nothing."""
    own = entry.detect.model_dump(mode="json", exclude_none=True)
    return {DETECT: own} if own else {}


def model_of(config: Config) -> str | None:
    """Return the weights as the detector's options name them, not fit to be shown."""
    options = _detector_options(config.detector)
    if not isinstance(options, HasModel) or options.model is None:
        return None
    return str(options.model)


def schema() -> dict[str, Any]:
    """Return the JSON schema of the configuration file, plug-in options included, for editors."""
    tree = Config.model_json_schema()
    definitions = tree.setdefault("$defs", {})
    definitions["DetectOptions"] = DetectOptions.model_json_schema()
    for plugin_type in (*PLUGIN_TYPES, EMBEDDERS):
        choices: list[dict[str, Any]] = [{"enum": plugin_names(plugin_type)}]
        for kind in plugin_names(plugin_type):
            model: type[BaseModel] = plugin(plugin_type, kind, plugin_type).Options
            one = model.model_json_schema(ref_template="#/$defs/{model}")
            definitions.update(one.pop("$defs", {}))
            one["properties"] = {"kind": {"const": kind}, **one.get("properties", {})}
            if (embedder := one["properties"].get(_EMBEDDER)) is not None:
                embedder["anyOf"] = [{"$ref": f"#/$defs/{EMBEDDERS}"}, {"type": "null"}]
            one["required"] = ["kind", *one.get("required", [])]
            if plugin_type == "sources":
                one["properties"][DETECT] = {"$ref": "#/$defs/DetectOptions"}
            definitions[f"{plugin_type}.{kind}"] = one
            choices.append({"$ref": f"#/$defs/{plugin_type}.{kind}"})
        definitions[plugin_type] = {"anyOf": choices}
    fields = tree["properties"]
    written = {"source": {"type": "string"}, DETECT: {"$ref": "#/$defs/DetectOptions"}}
    as_text = {"type": "object", "properties": written}
    guessed = {**as_text, "required": ["source"], "not": {"required": ["kind"]}}
    sources = [{"type": "string"}, guessed, {"$ref": "#/$defs/sources"}]
    fields["sources"]["items"] = {"anyOf": sources}
    fields["sinks"]["items"] = {"$ref": "#/$defs/sinks"}
    fields["detector"] = {"$ref": "#/$defs/detectors"}
    fields["tracker"] = {"$ref": "#/$defs/trackers"}
    return tree


def _options(module: ModuleType, choice: PluginChoice, where: str) -> BaseModel:
    options: BaseModel = validated(module.Options, choice.options, where)
    return options


def _make(plugin_type: str, choice: PluginChoice, where: str) -> Any:
    module = plugin(plugin_type, choice.kind, where)
    return module.build(_options(module, choice, where))


def tracker_factory(config: Config) -> Callable[[], Tracker]:
    """Return a function that makes the tracker of a source."""
    module = plugin("trackers", config.tracker.kind, "tracker")
    options = _options(module, config.tracker, "tracker")
    choice = _embedder_choice(config)
    if choice is None:
        return lambda: module.build(options)
    holders = EmbedderHolders(_make(EMBEDDERS, choice, f"tracker.{_EMBEDDER}"))
    return lambda: module.build(options, SharedEmbedder(holders))


def _embedder_choice(config: Config) -> PluginChoice | None:
    """Return the embedder that the tracker asks for, None for trackers without."""
    choice = config.tracker
    options = _options(plugin("trackers", choice.kind, "tracker"), choice, "tracker")
    return options.embedder if isinstance(options, HasEmbedder) else None


def check_tracker_ground(config: Config, sources: Collection[str]) -> None:
    """Raise ConfigError where the tracker's homographies are of others, or cannot be read."""
    choice = config.tracker
    options = _options(plugin("trackers", choice.kind, "tracker"), choice, "tracker")
    if isinstance(options, HasGround) and options.ground is not None:
        check_ground(options.ground, sources, "tracker.ground")


def _check_pictures(resolved: ResolvedConfig) -> None:
    """Raise ConfigError where looks are to be compared in a source without pictures."""
    if _embedder_choice(resolved.config) is None:
        return
    for entry in resolved.sources:
        if entry.choice.kind == "blank":
            name = entry.choice.options.get("name", "blank")
            raise ConfigError(
                f"tracker.{_EMBEDDER}: wants pictures, and source '{name}' has none; "
                "name the video before the recorded detections"
            )


def make_sources(resolved: ResolvedConfig) -> list[tuple[Source, PluginChoice]]:
    """Return the sources with unique names, not opened yet, and the options each was made of."""
    entries, secrets = resolved.sources, resolved.config.secrets
    for entry in entries:
        # First as written: an error shows the placeholder and not the secret.
        _options(plugin("sources", entry.choice.kind, entry.where), entry.choice, entry.where)
    complete = [with_secrets(entry, secrets) for entry in entries]
    sources: list[Source] = [
        _make("sources", choice, entry.where)
        for choice, entry in zip(complete, entries, strict=True)
    ]
    assign_names(sources, entries)
    return list(zip(sources, complete, strict=True))


def _load_zones(config: Config, names: list[str]) -> ZonesFile | None:
    """Return the zones file; raises ConfigError where it is about none of these sources."""
    if config.zones is None:
        return None
    zones = load_zones(config.zones)
    if zones.cameras and not set(names) & set(zones.cameras):
        there, here = ", ".join(sorted(zones.cameras)), ", ".join(sorted(names))
        raise ConfigError(
            f"{config.zones}: cameras: want a source of this run ({here}), got {there}"
        )
    return zones
