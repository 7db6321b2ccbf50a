"""The page's words and figures in words: tiles, notes, failures, provenance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hpsearch import sweepfile
from hpsearch.report.figures.curves import MOST_EPOCHS
from hpsearch.report.savings import savings_of
from hpsearch.report.text import duration, number
from hpsearch.values import text_of

if TYPE_CHECKING:
    from hpsearch.looks import Measured
    from hpsearch.report.source import Source

__all__ = ["evaluations", "facts", "failures", "file_of", "notes", "overview_note", "tiles", "work"]

_MOST_REASONS = 50
_MOST_NAMED = 12
_LONGEST_REASON = 400


def tiles(source: Source) -> list[list[str]]:
    """What one wants to know first: label, value, and what is beside it."""
    import pandas as pd

    table, best, saved = source.table, source.best, savings_of(source)
    failed = len(table) - len(source.ranked)
    asked = saved.epochs_trained + saved.epochs_shared + saved.epochs_stopped
    spared = 1 - saved.epochs_trained / asked if asked else 0.0
    configs = table["config"].nunique()
    weights = None if best is None or pd.isna(best["weights"]) else int(best["weights"])
    return [
        [f"best {source.metric}", *_best(source)],
        [
            "trials",
            f"{len(table):,}",
            f"{configs:,} configs" if configs != len(table) else "",
        ],
        [
            "without a score",
            f"{failed:,}",
            ", ".join(
                f"{count} {status}"
                for status, count in table["status"].value_counts().items()
                if status not in ("completed", "stopped")
            ),
        ],
        ["training time", duration(saved.seconds), "summed over trials"],
        [
            "epochs saved",
            f"{spared:.0%}",
            f"{saved.epochs_trained:,} trained of {asked:,} asked for",
        ],
        # A function has none.
        *([] if weights is None else [["model size", f"{weights:,}", "weights"]]),
    ]


def _best(source: Source) -> tuple[str, str]:
    best = source.best
    if best is None:
        return "-", "no trial has a score"
    own = source.ranked[source.ranked["config"] == best["config"]]
    scores = own["score"]
    text = f"trial {best['trial']}"
    if len(scores) > 1:
        what = "seeds" if own["fold"].isna().all() else "folds and seeds"
        text += f"; its config's mean over {len(scores)} {what} {number(float(scores.mean()))}"
    return number(float(best["score"])), text


def overview_note(first: Source, others: Sequence[str]) -> str:
    """What the picture of several sweeps compares, and what it does not."""
    note = "The best score so far of each sweep, by its own trials."
    if others:
        note += f" Not drawn, for another metric than {first.metric}: {', '.join(others)}."
    return (
        note + " Whether one is really better than another, hpsearch compare tells: it knows "
        "seeds and splits."
    )


def notes(source: Source, points: int, lines: int, curves: int) -> dict[str, str]:
    """What stands under each title; also by which rule a large sweep was thinned."""
    scored = len(source.ranked)
    spread = f"{points:,} of {scored:,} trials, evenly spread; the line is whole. "
    several = f"{lines:,} of {scored:,} trials: the best tenth, the others spread over the ranking."
    drawn = f"{curves} of {scored:,} trials: the best {int(curves * 0.3)}, the others spread. "
    found = source.importance
    return {
        "progress": (spread if scored > points else "") + "Choose a point to see its trial.",
        "curves": (drawn if scored > curves else "")
        + "Coloured by rank, the best trial in orange; point at a line to see its config. "
        + (f"Of trainings with more, {MOST_EPOCHS} epochs are drawn." if _is_long(source) else ""),
        "parallel": "Drag along an axis to keep a range: the table of best trials follows. "
        "Click beside a range to let it go. Where a hyperparameter is dead, a line passes below "
        "its numbers. " + (several if scored > lines else ""),
        "importance": f"How much of the variance of {source.metric} over the whole space each "
        "hyperparameter explains, and each pair beyond its two: functional ANOVA on random "
        f"forests. Lines: 90% intervals over forests of half of the configs. From "
        f"{found.trials:,} trials, of which the forest predicts {max(0.0, found.explained):.0%} "
        "of the variance on trials it has not seen. A dead hyperparameter makes no difference.",
        "effects": "The forest's mean score at each value, over all values of the others. Bands: "
        "90% intervals over forests.",
        "contour": "The forest's mean score over two hyperparameters, all others averaged out. "
        "Circles: trials.",
        "failures": "Trials without a score, by what ended them.",
        "evaluations": "Trials that were evaluated on a split on purpose, in their order. The more "
        "often a test split chooses between trials, the better its best score looks.",
        "work": "Trials that differ only in epochs share one training.",
        "provenance": "What decides the scores. Tables whose data and recipe differ cannot be "
        "compared.",
    }


def _is_long(source: Source) -> bool:
    return bool((source.curves["epoch"] > MOST_EPOCHS).any()) if len(source.curves) else False


def failures(source: Source) -> list[list[Any]]:
    """Status, reason, count and the first trials of each kind of failure, most frequent first."""
    table = source.table
    lost = table[~table["trial"].isin(source.ranked["trial"])]
    reasons = lost["error"].astype(object).where(lost["error"].notna(), "")
    found: list[list[Any]] = []
    for (status, reason), group in lost.groupby([lost["status"].astype(object), reasons]):
        trials = [str(trial) for trial in group["trial"].head(_MOST_NAMED)]
        more = len(group) - len(trials)
        named = ", ".join(trials) + (f" and {more:,} more" if more > 0 else "")
        found.append([str(status), str(reason)[:_LONGEST_REASON], len(group), named])
    return sorted(found, key=lambda row: -row[2])[:_MOST_REASONS]


def evaluations(source: Source) -> list[list[str]]:
    """Each look at a split: when, which trial and split, rows, and every metric's interval."""
    return [
        [look.time, str(look.trial), look.split, f"{look.rows:,}", name, *_measured(measured)]
        for look in source.looks
        for name, measured in look.metrics.items()
    ]


def _measured(measured: Measured) -> list[str]:
    if measured.low is None or measured.high is None:
        return [number(measured.value), "-"]
    return [number(measured.value), f"{number(measured.low)} to {number(measured.high)}"]


def work(source: Source) -> list[list[str]]:
    """What was shared and saved, in numbers."""
    saved = savings_of(source)
    rows = [
        ["trials", f"{saved.trials:,}"],
        ["trainings", f"{saved.trainings:,}"],
        ["trials answered by another's training", f"{saved.shared_trials:,}"],
        ["epochs trained", f"{saved.epochs_trained:,}"],
        ["epochs shared", f"{saved.epochs_shared:,}"],
        ["epochs spared by stopping early", f"{saved.epochs_stopped:,}"],
    ]
    if saved.trials and saved.epochs_trained:
        second = saved.seconds / saved.epochs_trained
        rows.append(["seconds an epoch", f"{second:.3g}"])
    rows += [
        [f"trials by the {name} trainer", f"{many:,}"] for name, many in saved.trainers.items()
    ]
    best = source.best
    if best is not None and source.directory and (source.directory / "best.keras").exists():
        rows.append(["saved model", "best.keras"])
    return rows


def facts(source: Source) -> list[list[str]]:
    """What a score came from."""
    table, sweep = source.table, source.sweep
    rows = [
        ["metric", f"{source.metric}, {source.goal}, at the {source.epoch} epoch"],
        *([label, _said(table, name)] for label, name in _FACTS),
    ]
    if sweep is not None:
        spec = sweep.data
        rows += [
            ["method", sweep.method.name],
            ["sweep seed", str(sweep.seed)],
            ["data source", text_of(spec.dataset or spec.csv or spec.npz or spec.python or "-")],
            ["validation", str(spec.validation)],
            ["split seed", str(spec.seed)],
        ]
    return rows


_FACTS = (
    ("data", "data"),
    ("recipe", "recipe"),
    ("hpsearch", "version"),
    ("TensorFlow", "tensorflow"),
    ("Keras", "keras"),
)


def _said(table: Any, name: str) -> str:
    values = [str(value) for value in table[name].dropna().unique()]
    return ", ".join(values[:4]) + (", ..." if len(values) > 4 else "") or "-"


def file_of(source: Source) -> str:
    """The resolved sweep as YAML, or empty."""
    return "" if source.sweep is None else sweepfile.dump(source.sweep)
