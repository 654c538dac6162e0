"""Search for a tracker's options: optuna proposes, HOTA on the tuning clips decides."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from pydantic import BaseModel

from pipeline.core.errors import ConfigError, MissingExtraError, UsageError
from pipeline.core.install_hints import install_command
from pipeline.core.options import validated
from pipeline.tools.tune.clips import Clips, hota_of
from pipeline.tools.tune.space import Choice, Space, space_of

_PLACES = 4


@dataclass(frozen=True, slots=True)
class Tuned:
    """The search's result: the options that differ from the defaults, HOTA with them and without.

    Percent, on the clips tuned on and on those held out; `best` is {} where nothing beat the
    defaults.
    """

    best: dict[str, Any]
    tuning: tuple[float, float]
    held_out: tuple[float, float]
    trials: int

    @property
    def gain(self) -> float:
        """Return the HOTA points won on the held-out clips, negative if lost."""
        return self.held_out[1] - self.held_out[0]


def tune(
    tracker: ModuleType,
    tuning: Clips,
    held_out: Clips,
    trials: int,
    seed: int = 0,
    on_trial: Callable[[int, float], None] | None = None,
) -> Tuned:
    """Return the best of `trials` sets of options, the defaults being the first of them.

    Optuna's tree-structured Parzen estimator (Bergstra et al. 2011) proposes; the same seed gives
    the same outcome. The held-out clips are scored twice, after the search. `on_trial` is called
    with the trial's number and the best HOTA so far. Raises MissingExtraError.
    """
    optuna = _optuna()
    space = space_of(tracker.Options)
    if not space:
        raise UsageError(f"tune: {tracker.__name__} has no option to search")

    def hota(values: dict[str, Any], clips: Clips) -> float:
        options = validated(tracker.Options, values, "tracker")
        return hota_of(lambda: tracker.build(options), clips)

    def objective(trial: Any) -> float:
        try:
            return hota(_proposed(trial, space), tuning)
        except ConfigError:  # options that do not go together
            raise optuna.TrialPruned from None

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    defaults = tracker.Options().model_dump(include=set(space))
    study.enqueue_trial(defaults)

    def finished(study: Any, trial: Any) -> None:
        if on_trial is not None:
            on_trial(trial.number, study.best_value)

    study.optimize(objective, trials, callbacks=[finished])
    default = study.trials[0].value
    improved = default is None or study.best_value > default
    best = _changed(tracker.Options, study.best_params) if improved else {}
    return Tuned(
        best=best,
        tuning=(math.nan if default is None else default, hota(best, tuning)),
        held_out=(hota({}, held_out), hota(best, held_out)),
        trials=len(study.trials),
    )


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise MissingExtraError(
            f"tune: needs the package {error.name}: {install_command('tune')}"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _proposed(trial: Any, space: Space) -> dict[str, Any]:
    proposed: dict[str, Any] = {}
    for name, where in space.items():
        if isinstance(where, Choice):
            proposed[name] = trial.suggest_categorical(name, where.values)
        elif where.whole:
            proposed[name] = trial.suggest_int(name, round(where.low), round(where.high))
        else:
            proposed[name] = trial.suggest_float(name, where.low, where.high)
    return _rounded(proposed)


def _changed(options: type[BaseModel], found: dict[str, Any]) -> dict[str, Any]:
    defaults = options().model_dump()
    return {name: value for name, value in _rounded(found).items() if value != defaults[name]}


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: round(value, _PLACES) if isinstance(value, float) else value
        for name, value in values.items()
    }
