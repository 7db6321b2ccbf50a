"""The page's words and tables: tiles, notes, failures, provenance, the trials column by column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hpsearch.report.drawing import duration, number, rounded
from hpsearch.report.source import PlotAxis, savings_of
from hpsearch.report.trial_figures import MOST_EPOCHS
from hpsearch.spec.dump import dump_sweep
from hpsearch.store.cells import text_of
from hpsearch.store.tables import hyperparameter_columns

if TYPE_CHECKING:
    import pandas as pd

    from hpsearch.report.source import ReportSource
    from hpsearch.store.facts import Measurement

_MOST_REASONS = 50
_MOST_NAMED = 12
_LONGEST_REASON = 400


def tiles(source: ReportSource) -> list[list[str]]:
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


def _best(source: ReportSource) -> tuple[str, str]:
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


def overview_note(first: ReportSource, others: Sequence[str]) -> str:
    """What the picture of several sweeps compares, and what it does not."""
    note = "The best score so far of each sweep, by its own trials."
    if others:
        note += f" Not drawn, for another metric than {first.metric}: {', '.join(others)}."
    return (
        note + " Whether one is really better than another, hpsearch compare tells: it knows "
        "seeds and splits."
    )


def notes(source: ReportSource, points: int, lines: int, curves: int) -> dict[str, str]:
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


def _is_long(source: ReportSource) -> bool:
    return bool((source.curves["epoch"] > MOST_EPOCHS).any()) if len(source.curves) else False


def failures(source: ReportSource) -> list[list[Any]]:
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


def evaluations(source: ReportSource) -> list[list[str]]:
    """Each look at a split: when, which trial and split, rows, and every metric's interval."""
    return [
        [look.time, str(look.trial), look.split, f"{look.rows:,}", name, *_measured(measured)]
        for look in source.looks
        for name, measured in look.metrics.items()
    ]


def _measured(measured: Measurement) -> list[str]:
    if measured.low is None or measured.high is None:
        return [number(measured.value), "-"]
    return [number(measured.value), f"{number(measured.low)} to {number(measured.high)}"]


def work(source: ReportSource) -> list[list[str]]:
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


def facts(source: ReportSource) -> list[list[str]]:
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


def file_of(source: ReportSource) -> str:
    """The resolved sweep as YAML, or empty."""
    return "" if source.sweep is None else dump_sweep(source.sweep)


#: Beside the hyperparameters that vary: column -> what the page calls it.
_AFTER = {
    "status": "status",
    "seed": "seed",
    "fold": "fold",
    "epochs_trained": "epochs trained",
    "weights": "weights",
    "seconds": "seconds",
    "best_epoch": "best epoch",
    "shared_with": "shared with",
    "trainer": "trainer",
}
#: Only shown with the rest of a chosen trial.
_DETAILS = frozenset({"best_epoch", "shared_with", "trainer"})


def columns_of(source: ReportSource, most: int) -> list[dict[str, Any]]:
    """Each column's values, for at most `most` rows: best first, those without a score last.

    A number is itself, a category the index of its text in `levels`, an empty cell null.
    """
    import pandas as pd

    rest = source.table[~source.table["trial"].isin(source.ranked["trial"])]
    rows = pd.concat([source.ranked, rest]) if len(rest) else source.ranked
    if len(rows) > most:
        # Some failures stay, or the page would know only what went well.
        failed = min(len(rest), most // 10)
        rows = pd.concat([source.ranked.iloc[: most - failed], rest.iloc[:failed]])
    found = [_numbers("trial", rows["trial"], "trial"), _score(source, rows)]
    found += [_hyperparameter(d, rows) for d in source.dimensions.values()]
    for name, label in _AFTER.items():
        if name == "seed" and source.table[name].nunique() < 2:
            continue
        if source.table[name].isna().all():
            continue
        make = _texts if isinstance(rows[name].dtype, pd.StringDtype) else _numbers
        found.append(make(name, rows[name], label) | {"detail": name in _DETAILS})
    return found


def _numbers(name: str, column: pd.Series[Any], label: str) -> dict[str, Any]:
    import pandas as pd

    digits = 3 if name == "seconds" else 6
    values = [
        None if pd.isna(v) else rounded(float(f"{float(v):.{digits}g}") if digits < 6 else v)
        for v in column
    ]
    return {"name": name, "label": label, "values": values}


def _texts(name: str, column: pd.Series[Any], label: str) -> dict[str, Any]:
    import pandas as pd

    levels = list(dict.fromkeys(column.dropna()))
    index = {level: code for code, level in enumerate(levels)}
    values = [None if pd.isna(v) else index[v] for v in column]
    return {"name": name, "label": label, "levels": levels, "values": values}


def _score(source: ReportSource, rows: pd.DataFrame) -> dict[str, Any]:
    scored = set(source.ranked["trial"])
    values = [
        rounded(score) if trial in scored else None
        for trial, score in zip(rows["trial"], rows["score"], strict=True)
    ]
    column = {"name": "score", "label": source.metric, "values": values, "axis": True}
    finite = [value for value in values if value is not None]
    return column | {"low": min(finite, default=0), "high": max(finite, default=1)}


def _hyperparameter(dimension: PlotAxis, rows: pd.DataFrame) -> dict[str, Any]:
    column: dict[str, Any] = {
        "name": dimension.name,
        "label": dimension.name,
        "hyperparameter": True,
        "axis": True,
        "dead": dimension.dead,
        "dead_at": rounded(dimension.dead_at),
        "values": [
            None if code is None else rounded(code)
            for code in dimension.codes(rows[dimension.name])
        ],
    }
    if dimension.numeric:
        return column | {
            "log": dimension.log,
            "low": rounded(dimension.low),
            "high": rounded(dimension.high),
            "marked": [rounded(value) for value in dimension.marked],
        }
    return column | {"levels": list(dimension.levels)}


def constants_of(source: ReportSource) -> list[list[str]]:
    """Hyperparameters that have the same value everywhere, and that value."""
    fixed = [n for n in hyperparameter_columns(source.table) if n not in source.varying]
    rows = source.table.head(1)
    return [[name, text_of(rows[name].iloc[0])] for name in fixed if len(rows)]
