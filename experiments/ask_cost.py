"""Measure the cost of a proposal and how it grows with the number of trials.

    python experiments/ask_cost.py [tpe bayesian ...] [--trials 1000]

Each method proposes MLPs from a space with conditions, lists and a constraint, one at a time, and
receives a score that takes microseconds to compute; a tenth of the trials fail. For each fifth of
the trials, a row gives the processor time of an ask on one thread (mean and largest) and that of a
tell. A last row covers all trials and the time to restore the search and ask once more. `auto` is
`bayesian` for so many trials. `optuna_tpe` is Optuna's sampler on the same space without the
constraint.

`--check` fails if an ask takes 10 ms or more on average with tpe, or 100 ms with bayesian or asha,
which is bayesian over rungs, or if the asks of the last fifth, which are three times as far into
the search as those of the second, take more than three times as long.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

# Before NumPy is imported.
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))

from report import HERE, machine, report, versions
from search_peers import make_peer

from hpsearch.search.methods import make_strategy
from hpsearch.search.strategy import Outcome, Proposal, Strategy
from hpsearch.space.constraints import parse
from hpsearch.space.space import Choices, Config, Parameter, Range, Space
from hpsearch.spec.method import MethodSpec

_HIDDEN = (1, 2, 3)
_PARAMETERS = (
    Parameter("hidden_layers", Choices((0, *_HIDDEN))),
    Parameter("units", Range(8, 512, log=True, integer=True), {"hidden_layers": _HIDDEN}),
    Parameter("activation", Choices(("relu", "tanh", "selu")), {"hidden_layers": _HIDDEN}),
    Parameter("layer_type", Choices(("dense", "dropout")), {"hidden_layers": _HIDDEN}),
    Parameter("dropout", Range(0.0, 0.8), {"layer_type": ("dropout",)}),
    Parameter("batch_size", Choices((16, 32, 64, 128, 256))),
    Parameter("optimizer", Choices(("sgd", "momentum", "adam"))),
    Parameter("learning_rate", Range(1e-5, 1.0, log=True)),
    Parameter("l2", Range(1e-7, 1e-2, log=True)),
    Parameter("epochs", Choices((27,))),
)
SPACE = Space(_PARAMETERS, (parse("hidden_layers * units <= 1000"),))
OPTUNA = "optuna_tpe"
METHODS = ("random", "sobol", "tpe", "bayesian", "asha", "hyperband", OPTUNA)
_FIFTHS = 5
_SEED = 0


def loss(config: Config, epochs: int | None) -> float | None:
    """A bowl in the logarithms of learning rate and units; None for one config in ten."""
    if int(config.id[1:], 16) % 10 == 0:
        return None
    values = config.values
    rate = math.log10(values["learning_rate"]) + (1 if values["optimizer"] == "sgd" else 3)
    width = math.log2(values.get("units", 1)) - 6
    return rate**2 + 0.1 * width**2 + 10 * values["l2"] + 1 / (epochs or 27)


#: Largest mean time of an ask.
_MOST_MS = {"tpe": 10.0, "bayesian": 100.0, "asha": 100.0}
#: Resolution of the clock.
_GRAIN_MS = 0.05


def shortcomings(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a message for each method that is too slow or grows faster than the trials."""
    for method in {row["method"]: None for row in rows}:
        *fifths, whole = (row for row in rows if row["method"] == method)
        taken = [row["ms an ask"] for row in fifths]
        if whole["ms an ask"] >= _MOST_MS.get(method, math.inf):
            yield f"{method}: {whole['ms an ask']} ms an ask, not under {_MOST_MS[method]}"
        # Nothing is promised of peers.
        if method != OPTUNA and taken[-1] > 3 * taken[1] + _GRAIN_MS:
            yield f"{method}: {taken[1]} ms an ask of the second fifth, {taken[-1]} of the last"


def _milliseconds(call: Callable[[], Any]) -> tuple[float, Any]:
    began = time.process_time_ns()
    result = call()
    return (time.process_time_ns() - began) / 1e6, result


def _make(method: str, trials: int) -> Strategy:
    if method == OPTUNA:
        peer: Strategy = make_peer(OPTUNA, Space(_PARAMETERS), _SEED, trials)
        return peer
    return make_strategy(MethodSpec(method), SPACE, goal="minimize", seed=_SEED, trials=trials)


def measure(method: str, trials: int) -> list[dict[str, Any]]:
    """Run a search and return a row for each fifth of its trials and one for all."""
    search = _make(method, trials)
    proposals: list[Proposal] = []
    outcomes: list[Outcome] = []
    asks: list[float] = []
    tells: list[float] = []
    while len(proposals) < trials:
        taken, asked = _milliseconds(lambda: search.ask(1))
        (proposal,) = asked
        outcome = Outcome(proposal.config, loss(proposal.config, proposal.epochs), proposal.epochs)
        told, _ = _milliseconds(lambda known=outcome: search.tell([known]))
        proposals.append(proposal)
        outcomes.append(outcome)
        asks.append(taken)
        tells.append(told)
    rows = []
    for fifth in range(_FIFTHS):
        part = slice(trials * fifth // _FIFTHS, trials * (fifth + 1) // _FIFTHS)
        rows.append(
            {
                "method": method,
                "trials": f"{part.start + 1} to {part.stop}",
                "ms an ask": round(statistics.fmean(asks[part]), 3),
                "worst, ms": round(max(asks[part]), 3),
                "ms a tell": round(statistics.fmean(tells[part]), 4),
            }
        )
    whole = {
        "method": method,
        "trials": f"all {trials}",
        "ms an ask": round(statistics.fmean(asks), 3),
        "worst, ms": round(max(asks), 3),
        "ms a tell": round(statistics.fmean(tells), 4),
    }
    if method != OPTUNA:
        whole["ms to restore and ask"] = round(_restored(method, trials, proposals, outcomes), 1)
    return [*rows, whole]


def _restored(
    method: str, trials: int, proposals: Sequence[Proposal], outcomes: Sequence[Outcome]
) -> float:
    search = _make(method, trials)
    configs = list({proposal.config.id: proposal.config for proposal in proposals}.values())
    restoring, _ = _milliseconds(lambda: search.restore(configs, outcomes))
    asking, _ = _milliseconds(lambda: search.ask(1))
    return restoring + asking


def main() -> None:
    """Measure the methods named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("methods", nargs="*", help=f"any of {', '.join(METHODS)}; default: all")
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    unknown = set(arguments.methods) - set(METHODS)
    if unknown:
        parser.error(f"unknown methods: {', '.join(sorted(unknown))}")
    rows = [
        row for method in arguments.methods or METHODS for row in measure(method, arguments.trials)
    ]
    about = [
        machine(),
        versions("hpsearch", "numpy", "scipy", "optuna"),
        f"{arguments.trials} trials, one at a time",
        "processor time on one thread",
    ]
    report("ask_cost", about, rows, arguments.out)
    short = list(shortcomings(rows))
    if arguments.check and short:
        raise SystemExit("\n".join(short))


if __name__ == "__main__":
    main()
