"""Study the notes' hyperparameters on all of Fashion-MNIST with the Python interface.

    python experiments/fashion_mnist_study.py [--out DIR] [--smoke]

Runs three sweeps, which continue where they were interrupted if the command runs again:

1. `notes`: 300 random configs of the notes' seven hyperparameters, to see which of them matter.
2. `search`: asha over wider networks, dropout and learning rates, with up to 30 epochs.
3. `final`: the five best configs of both, with the epochs that they were found with, trained with
   five seeds that neither sweep has. The best mean validation score chooses the config.

Then the test split is evaluated once, for the chosen config's best trial. The script writes
fashion_mnist_study.md, fashion_mnist_NAME.csv.gz for each sweep, and figures of `notes`, which need
`pip install '.[images]'` and Chrome or Chromium.
"""

from __future__ import annotations

import argparse
import gzip
import json
import statistics
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from report import HERE, machine, measured, versions
from scipy import stats

import hpsearch
from hpsearch.store.tables import hyperparameter_columns, hyperparameter_of

_DATA = {"dataset": "fashion_mnist", "validation": 0.2, "seed": 42, "scale": "unit"}
NOTES: dict[str, Any] = {
    "name": "notes",
    "data": _DATA,
    "method": "random",
    "budget": {"trials": 300},
    "parameters": {
        "hidden_layers": [0, 1, 2, 3],
        "units": [50, 100, 200],
        "activation": ["sigmoid", "relu", "softmax"],
        "layer_type": ["dense", "dropout", "batch_norm"],
        "batch_size": [32, 128],
        "epochs": [5, 10, 20],
        "optimizer": ["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam"],
    },
}
SEARCH: dict[str, Any] = {
    "name": "search",
    "data": _DATA,
    "method": {"name": "asha", "factor": 3, "min_epochs": 3, "proposals": "random", "brackets": 1},
    "budget": {"trials": 90},
    "parameters": {
        "hidden_layers": [1, 2, 3],
        "units": [128, 256, 512],
        "activation": "relu",
        "layer_type": ["dense", "dropout", "batch_norm"],
        "dropout": {"values": [0.1, 0.2, 0.3, 0.4], "when": {"layer_type": "dropout"}},
        "batch_size": [64, 128, 256],
        "epochs": 30,
        "optimizer": ["adam", "nesterov", "rmsprop"],
        "learning_rate": {"min": 1e-4, "max": 1e-1, "scale": "log"},
    },
}
#: Published test accuracies of networks of dense layers.
PUBLISHED = [
    ("scikit-learn MLPClassifier, 100 relu", 0.871,
     "https://github.com/zalandoresearch/fashion-mnist"),
    ("256-128-100 relu", 0.883, "https://github.com/zalandoresearch/fashion-mnist"),
    ("KerasTuner's tutorial, best of its search", 0.889,
     "https://www.tensorflow.org/tutorials/keras/keras_tuner"),
]  # fmt: skip
_FINALISTS, _SEEDS = 5, [101, 102, 103, 104, 105]


def main() -> None:
    """Run the three sweeps, evaluate the test split, and write the files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--smoke", action="store_true", help="a few small trainings on digits")
    arguments = parser.parse_args()
    runs = arguments.out / "fashion_mnist_study"
    if arguments.smoke:
        runs = Path(tempfile.mkdtemp()) / "runs"
    notes = hpsearch.run(_small(NOTES) if arguments.smoke else NOTES, out=runs / "notes")
    search = hpsearch.run(_small(SEARCH) if arguments.smoke else SEARCH, out=runs / "search")
    final = hpsearch.run(_final([notes, search], notes.sweep.data.dataset), out=runs / "final")
    _open_test(final)
    text = _text(notes, search, final)
    print(text)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "fashion_mnist_study.md").write_text(text, encoding="utf-8")
    for each in (notes, search, final):
        _compress(each.directory / "results.csv", arguments.out, each.directory.name)
    _draw(notes, arguments.out)


def _small(sweep: dict[str, Any]) -> dict[str, Any]:
    """A sweep of the same kind that takes seconds."""
    parameters = sweep["parameters"] | {"units": [8, 16], "batch_size": [64]}
    parameters["epochs"] = [2, 3] if sweep is NOTES else 9
    return sweep | {
        "data": {"dataset": "digits", "validation": 0.2, "test": 0.2, "scale": "unit"},
        "budget": {"trials": 12},
        "parameters": parameters,
    }


def _final(found: list[hpsearch.Results], dataset: str) -> dict[str, Any]:
    """A sweep of the best configs with other seeds."""
    whole = [each.table.query("status == 'completed'") for each in found]
    scored = [(row["score"], row["config"], _config(row)) for t in whole for _, row in t.iterrows()]
    scored.sort(key=lambda each: -each[0])
    best: dict[str, dict[str, Any]] = {}
    for _, config, values in scored:
        best.setdefault(config, values)
    sweep = found[0].sweep
    return {
        "name": "final",
        "data": _DATA if dataset == "fashion_mnist" else _small(NOTES)["data"],
        "seed": sweep.seed,
        "seeds": _SEEDS,
        "configs": [*best.values()][:_FINALISTS],
    }


def _config(row: pd.Series) -> dict[str, Any]:
    names = hyperparameter_columns(row.to_frame().T)
    values = {hyperparameter_of(name): row[name] for name in names}
    return {name: _plain(value) for name, value in values.items() if not pd.isna(value)}


def _plain(value: Any) -> Any:
    if isinstance(value, str) and value[:1] in "[{":
        return json.loads(value)
    if isinstance(value, np.generic):
        value = value.item()
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _open_test(final: hpsearch.Results) -> None:
    """Evaluate the test split, unless that was done before."""
    if not any(each.split == "test" for each in final.evaluations):
        final.evaluate("test")


def _text(notes: hpsearch.Results, search: hpsearch.Results, final: hpsearch.Results) -> str:
    lines = [
        "# The notes' hyperparameters on Fashion-MNIST", "",
        f"- {machine()}",
        f"- {measured()}",
        f"- {versions('hpsearch', 'tensorflow', 'keras', 'scikit-learn')}",
        "- minutes of training, summed over workers: "
        + ", ".join(f"{x.directory.name} {x.table['seconds'].sum() / 60:.0f}"
                    for x in (notes, search, final)),
        "", "Written by `fashion_mnist_study.py`.", "",
        "## Which of the seven mattered", "",
        *_importance(notes), "", *_effects(notes), "",
        "## The best network", "", *_chosen(final), "",
    ]  # fmt: skip
    return "\n".join(lines)


def _importance(notes: hpsearch.Results) -> list[str]:
    found = notes.importance()
    rows = [
        f"| {' and '.join(share.names)} | {share.share:.1%} | {share.low:.1%} to {share.high:.1%} |"
        for share in found.shares[:10]
    ]
    table = notes.table
    best = table[table["trial"] == notes.best["trial"]].iloc[0]
    return [
        f"{len(table)} random configs ({(table['status'] == 'completed').sum()} completed), one "
        "seed. Shares of the validation accuracy's variance, functional analysis of variance, with "
        f"90% intervals over forests; the forest explains {found.explained:.0%} of trials that it "
        f"has not seen. The best of them scored {best['score']:.4f}: "
        f"{_described(best)}.",
        "", "| hyperparameter | share | interval |", "|---|---|---|", *rows,
    ]  # fmt: skip


def _effects(notes: hpsearch.Results) -> list[str]:
    """A table of the mean accuracy at each value, averaged over all others."""
    lines = [
        "Mean validation accuracy at each value, averaged over all others (90% bands):", "",
        "| hyperparameter | value | accuracy | band |", "|---|---|---|---|",
    ]  # fmt: skip
    for name, effect in notes.importance().effects.items():
        for level, mean, low, high in zip(
            effect.levels, effect.mean, effect.low, effect.high, strict=True
        ):
            shown = f"{level:g}" if isinstance(level, float) else level
            lines.append(f"| {name} | {shown} | {mean:.3f} | {low:.3f} to {high:.3f} |")
    return lines


def _chosen(final: hpsearch.Results) -> list[str]:
    table = final.table
    lines = [
        f"The five best configs, trained again with {len(_SEEDS)} seeds that had no part in "
        "finding them; 95% intervals over seeds (Student's t):", "",
        "| config | network | validation accuracy | interval |", "|---|---|---|---|",
    ]  # fmt: skip
    order = table.groupby("config")["score"].mean().sort_values(ascending=False)
    for config, mean in order.items():
        scores = table.loc[table["config"] == config, "score"].tolist()
        half = stats.t.ppf(0.975, len(scores) - 1) * statistics.stdev(scores) / len(scores) ** 0.5
        row = table[table["config"] == config].iloc[0]
        lines.append(
            f"| {config} | {_described(row)} | {mean:.4f} | {mean - half:.4f} to "
            f"{mean + half:.4f} |"
        )
    test = next(each for each in final.evaluations if each.split == "test")
    low, high = test.score.low, test.score.high
    lines += [
        "",
        f"Chosen by validation alone: {test.config}, trial {test.trial} (seed {test.seed}). The "
        f"test split was opened once: accuracy **{test.score.value:.4f}** on {test.rows:,} rows, "
        f"95% interval {low:.4f} to {high:.4f} (Wilson's).",
        "", "| published, dense layers only | test accuracy |", "|---|---|",
        *(f"| [{name}]({url}) | {accuracy} |" for name, accuracy, url in PUBLISHED),
    ]  # fmt: skip
    return lines


def _described(row: pd.Series) -> str:
    values = _config(row).items()
    return ", ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in values)


def _compress(table: Path, out: Path, name: str) -> None:
    packed = out / f"fashion_mnist_{name}.csv.gz"
    with gzip.GzipFile(packed, "wb", mtime=0) as file:
        file.write(table.read_bytes())


def _draw(notes: hpsearch.Results, out: Path) -> None:
    pictures = {
        "importance": notes.figure("importance"),
        "effect_activation": notes.figure("effect", "activation"),
        "effect_optimizer": notes.figure("effect", "optimizer"),
        "progress": notes.figure("progress"),
    }
    for name, figure in pictures.items():
        _write(figure, out / f"fashion_mnist_{name}.svg")


def _write(figure: go.Figure, path: Path) -> None:
    # Kaleido sometimes draws before its page is loaded, and raises.
    for _ in range(2):
        with suppress(RuntimeError):
            figure.write_image(path, width=900, height=420)
            return
    figure.write_image(path, width=900, height=420)


if __name__ == "__main__":
    main()
