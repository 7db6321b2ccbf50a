"""From proposed configs to the trainings that answer them. Pure: no Keras, no files, no clock.

Trials that differ only in `epochs` are one training with several stops; a config that was
proposed twice is one trial; what the store already answers is not trained again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hpsearch.draws import draw_of, seed_and_fold
from hpsearch.hyperparameters import DEFAULTS, LAYER_TYPES, widths
from hpsearch.space import Config, Kind
from hpsearch.trial import Training

__all__ = [
    "ENDLESS",
    "Summary",
    "Trial",
    "group",
    "number_trials",
    "summarize",
    "tally",
    "weight_count",
]

#: Epochs of what ends by itself.
ENDLESS = 2**31


@dataclass(frozen=True)
class Trial:
    """A config with a seed: one row of the results table.

    Attributes:
        number: From 1, fixed when the trial is first planned.
        fold: Of cross-validation, from 1; None without.
    """

    number: int
    config: Config
    seed: int
    fold: int | None = None

    @property
    def draw(self) -> int:
        """Seed and fold, which repeat a config, as one number."""
        return draw_of(self.seed, self.fold)

    @property
    def key(self) -> tuple[str, int]:
        """What makes two trials one."""
        return self.config.id, self.draw

    @property
    def epochs(self) -> int:
        """How many epochs it asks for; what is told of none goes on to its own end."""
        match self.config.kind:
            case Kind.FUNCTION:
                return 1
            case Kind.STEPWISE | Kind.WHOLE_MODEL:
                return int(self.config.values.get("epochs", ENDLESS))
        return int(self.config.values.get("epochs", DEFAULTS["epochs"]))


def number_trials(
    configs: Iterable[Config],
    draws: Sequence[int],
    known: Mapping[tuple[str, int], Trial],
    *,
    first_number: int,
    limit: int | None = None,
) -> list[Trial]:
    """The trials of `configs`, each with every draw, that are not yet `known`.

    Args:
        draws: Seeds, or seeds and folds as `draw_of` has them.
        known: Trials that have a number, by their key.
        first_number: The number of the first new trial.
        limit: How many new trials at most.
    """
    trials: dict[tuple[str, int], Trial] = {}
    for config in configs:
        for draw in draws:
            key = (config.id, draw)
            if key in known or key in trials:
                continue
            if limit is not None and len(trials) >= limit:
                return list(trials.values())
            trials[key] = Trial(first_number + len(trials), config, *seed_and_fold(draw))
    return list(trials.values())


def _prefix(trial: Trial) -> tuple[str, int]:
    """Equal for trials that differ only in epochs."""
    return trial.config.prefix, trial.draw


def group(trials: Iterable[Trial], answered: Collection[int] = ()) -> list[Training]:
    """The trainings that answer `trials`, in the order of their first trial.

    Args:
        trials: At most one a key.
        answered: Numbers of trials that need no training.
    """
    groups: dict[tuple[str, int], list[Trial]] = {}
    for trial in trials:
        if trial.number not in answered:
            groups.setdefault(_prefix(trial), []).append(trial)
    return [_training(members) for members in groups.values()]


def _training(trials: list[Trial]) -> Training:
    ordered = sorted(trials, key=lambda trial: trial.epochs)
    stops = tuple((trial.epochs, trial.number) for trial in ordered)
    last = ordered[-1]
    return Training(last.config.trained, last.seed, stops, fold=last.fold)


def weight_count(values: Mapping[str, Any], features: int, outputs: int) -> int | None:
    """How many numbers the MLP has; None for a layer type of one's own.

    Source: Keras' `Model.count_params` of the layers that DESIGN's layer types name.
    """
    layer_type = str(values.get("layer_type", DEFAULTS["layer_type"]))
    layers = widths(values)
    if layers and layer_type not in LAYER_TYPES:
        return None
    # Keras' glu gives half of its input's width.
    halves = values.get("activation", DEFAULTS["activation"]) == "glu"
    total, incoming = 0, features
    for width in layers:
        total += (incoming + 1) * width
        # A batch_norm block's Dense has no bias, its BatchNormalization four numbers a unit.
        total += {"batch_norm": 3, "layer_norm": 2}.get(layer_type, 0) * width
        outgoing = width // 2 if halves else width
        if layer_type == "residual" and incoming != outgoing:
            total += incoming * outgoing
        incoming = outgoing
    return total + (incoming + 1) * outputs


@dataclass(frozen=True)
class Summary:
    """What a plan comes to."""

    trials: int
    configs: int
    trainings: int
    epochs_asked: int
    epochs_trained: int
    weights: tuple[int, int] | None

    @property
    def epochs_saved(self) -> int:
        """Epochs that shared prefixes make unnecessary."""
        return self.epochs_asked - self.epochs_trained


def summarize(
    trials: Sequence[Trial], trainings: Sequence[Training], features: int, outputs: int
) -> Summary:
    """Counts trials, trainings, epochs and weights."""
    counts = [weight_count(training.values, features, outputs) for training in trainings]
    known = [count for count in counts if count is not None]
    return replace(tally(trials, trainings), weights=(min(known), max(known)) if known else None)


def tally(trials: Sequence[Trial], trainings: Sequence[Training]) -> Summary:
    """Counts trials, trainings and epochs; those of what ends by itself are not known."""
    told = [training for training in trainings if training.epochs < ENDLESS]
    answered = {number for training in trainings for number in training.trials}
    return Summary(
        trials=len(answered),
        configs=len({t.config.id for t in trials if t.number in answered}),
        trainings=len(trainings),
        epochs_asked=sum(epochs for training in told for epochs, _ in training.stops),
        epochs_trained=sum(training.epochs for training in told),
        weights=None,
    )
