"""The tables of search_fidelity.py: spaces whose configs have a loss after each of 27 epochs.

- `study`: early scores tell. The MLPs of prior_study.py on its 34 tables; their losses after some
  epochs are in `fidelity_curves.csv.gz`, which this script gathers. The loss of any other config is
  what scikit-learn's ExtraTreesRegressor, fitted to them, predicts for its epochs, times the error
  that the forest made for the nearest config, at each epoch, when it was not fitted to it.
- `adam`: many configs diverge, and early scores tell less of the good ones. Small networks, trained
  here in NumPy, with the eight hyperparameters of Adam over the wide ranges of TaskSet (L. Metz et
  al., Using a Thousand Optimization Tasks to Learn Hyperparameter Search Strategies, 2020), and 64
  rows for validation.
- `crossing`: early scores mislead. Made-up curves that fall the more slowly, the lower they end.

    python experiments/fidelity_tables.py --runs DIRECTORY

Half of the tables of each kind are for development, the other half confirm: those whose name's
SHA-256 is odd. This was fixed before the first search.
"""

from __future__ import annotations

import argparse
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from prior_study import SPACE, space
from prior_tables import TABLES
from report import HERE
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.model_selection import KFold, cross_val_predict
from tabulate import write

from hpsearch.search.encoding import Encoding
from hpsearch.search.prior import features
from hpsearch.space.space import Choices, Config, Kind, Parameter, Range, Space

__all__ = ["KINDS", "TOP", "Curves", "confirms", "curves_of"]

Array = npt.NDArray[np.float64]

#: Epochs of a whole training.
TOP = 27
#: Epochs whose losses are kept; between them, curves are straight in the logarithm of the epoch.
_KEPT = (1, 2, 3, 5, 9, 14, 27)
_CONFIGS = 512
_CURVES = HERE / "fidelity_curves.csv.gz"
#: Added to regrets before their logarithm.
_OFFSET = 0.05
_MOST_REGRET = 3.0
_TREES = 40

#: Kind -> names of its tables.
KINDS: dict[str, tuple[str, ...]] = {
    "study": tuple(TABLES),
    "adam": tuple(f"adam_{number}" for number in range(24)),
    "crossing": tuple(f"crossing_{number}" for number in range(24)),
}


def confirms(name: str) -> bool:
    """Whether a table had no part in the development."""
    return hashlib.sha256(name.encode()).digest()[-1] % 2 == 1


@dataclass
class Curves:
    """A space and the losses of its configs.

    Attributes:
        least: The loss whose regret is 0; no config of a large sample has a lower one.
        median: That whose regret is 1: of random configs after their last epoch.
    """

    name: str
    space: Space
    least: float = 0.0
    median: float = 1.0
    _known: dict[str, Array] = field(default_factory=dict)

    def loss(self, config: Config, epochs: int) -> float | None:
        """The loss after so many epochs; None if the training has diverged."""
        curve = self._known.get(config.id)
        if curve is None or len(curve) < epochs:
            curve = self._known[config.id] = self._curve(config, epochs)
        loss = float(curve[epochs - 1])
        return loss if math.isfinite(loss) else None

    def _curve(self, config: Config, epochs: int) -> Array:
        """The losses after at least the first `epochs` epochs."""
        raise NotImplementedError

    def regret(self, loss: float) -> float:
        """The normalized regret of a loss."""
        return (loss - self.least) / (self.median - self.least)


# The study.


def gather(runs: Path) -> pd.DataFrame:
    """One row a config, one column a table and epoch: 1 - accuracy, or the mean squared error."""
    import hpsearch

    columns: dict[str, Any] = {}
    for name in KINDS["study"]:
        results = hpsearch.load(runs / name)
        curves = results.curves
        lost = 1 - curves["val_accuracy"] if "val_accuracy" in curves else curves["val_loss"]
        found = curves.assign(lost=lost).pivot_table(index="trial", columns="epoch", values="lost")
        found = found.reindex(index=range(1, _CONFIGS + 1), columns=_KEPT)
        # A training that has diverged has no further epochs.
        table = results.table.set_index("trial").loc[1:_CONFIGS]
        diverged = (table["status"] == "diverged").to_numpy()[:, None]
        within = table["epochs"].to_numpy()[:, None] >= np.array(_KEPT)
        found = found.mask(found.isna() & diverged & within, math.inf)
        columns |= {f"{name}:{epoch}": found[epoch].map("{:.3g}".format) for epoch in _KEPT}
    configs = hpsearch.load(runs / KINDS["study"][0]).table.set_index("trial")[list(SPACE)]
    return pd.concat([configs.loc[1:_CONFIGS], pd.DataFrame(columns).replace("nan", "")], axis=1)


@cache
def _read() -> pd.DataFrame:
    return pd.read_csv(_CURVES)


def _fixed_epochs() -> Space:
    parameters = [p for p in space().parameters if p.name != "epochs"]
    return Space((*parameters, Parameter("epochs", Choices((TOP,)))), kind=Kind.FUNCTION)


class _Trees:
    """A forest's predictions, sooner for few rows than `predict`."""

    def __init__(self, forest: ExtraTreesRegressor) -> None:
        trees = [each.tree_ for each in forest.estimators_]
        starts = np.cumsum([0, *(tree.node_count for tree in trees)])
        self._roots = starts[:-1]
        self._feature = np.concatenate([tree.feature for tree in trees])
        self._threshold = np.concatenate([tree.threshold for tree in trees])
        self._value = np.concatenate([tree.value[:, 0, 0] for tree in trees])
        ends = self._feature < 0
        places = np.arange(starts[-1])
        shifts = np.repeat(self._roots, np.diff(starts))
        # A leaf leads to itself.
        self._left = np.where(
            ends, places, np.concatenate([t.children_left for t in trees]) + shifts
        )
        self._right = np.where(
            ends, places, np.concatenate([t.children_right for t in trees]) + shifts
        )
        self._feature = np.maximum(self._feature, 0)
        self._depth = max(tree.max_depth for tree in trees)

    def __call__(self, inputs: Array) -> Array:
        inputs = inputs.astype(np.float32)
        rows = np.arange(len(inputs))[:, None]
        nodes = np.repeat(self._roots[None], len(inputs), axis=0)
        for _ in range(self._depth):
            left = inputs[rows, self._feature[nodes]] <= self._threshold[nodes]
            nodes = np.where(left, self._left[nodes], self._right[nodes])
        found: Array = self._value[nodes].mean(axis=1)
        return found


class _Study(Curves):
    """A table of the study."""

    def __init__(self, name: str) -> None:
        super().__init__(name, _fixed_epochs())
        self._encoding = Encoding(space(least_epochs=1))
        table = _read()
        losses = table[[f"{name}:{epoch}" for epoch in _KEPT]].to_numpy(dtype=float)
        rows = np.array([
            self._encoding.row(Config({k: v for k, v in values.items() if not pd.isna(v)}))
            for values in table[list(SPACE)].to_dict("records")
        ])  # fmt: skip
        last = losses[~np.isnan(losses[:, -1]), -1]
        best, median = float(last.min()), float(np.median(last))
        with np.errstate(invalid="ignore"):
            regrets = np.clip((losses - best) / (median - best), 0.0, _MOST_REGRET)
        known = ~np.isnan(regrets)
        inputs = np.concatenate([self._inputs(rows, epoch) for epoch in _KEPT])
        logs, chosen = np.log(regrets + _OFFSET).T.ravel(), known.T.ravel()
        groups = np.tile(np.arange(len(rows)), len(_KEPT))[chosen]
        self._forest = ExtraTreesRegressor(_TREES, min_samples_leaf=2, random_state=1)
        self._errors_of_whole(rows, inputs, logs, chosen, groups)
        self._forest.fit(inputs[chosen], logs[chosen])
        self._trees = _Trees(self._forest)
        self._normalise()

    def _inputs(self, rows: Array, epoch: int) -> Array:
        changed = rows.copy()
        names = [dimension.parameter.name for dimension in self._encoding.dimensions]
        at = names.index("epochs")
        encoded = self._encoding.dimensions[at].encode(epoch)
        assert encoded is not None
        changed[:, at] = encoded
        return np.stack(list(features(self._encoding, changed).values()), axis=1)

    def _errors_of_whole(
        self, rows: Array, inputs: Array, logs: Array, chosen: Any, groups: Any
    ) -> None:
        """Note the curves of errors of the configs that were trained for all epochs."""
        folds = KFold(5, shuffle=True, random_state=0)
        fold_of = np.empty(len(rows), int)
        for fold, (_, test) in enumerate(folds.split(rows)):
            fold_of[test] = fold
        parts = [(np.flatnonzero(fold_of[groups] != f), np.flatnonzero(fold_of[groups] == f))
                 for f in range(5)]  # fmt: skip
        found = cross_val_predict(self._forest, inputs[chosen], logs[chosen], cv=parts)
        errors = np.full(len(logs), np.nan)
        errors[chosen] = logs[chosen] - found
        curves = errors.reshape(len(_KEPT), len(rows)).T
        whole = ~np.isnan(curves).any(axis=1)
        self._errors, self._places = curves[whole], inputs[: len(rows)][whole]

    def _normalise(self) -> None:
        dimensions = Encoding(self.space)
        points = dimensions.uniform(
            np.random.default_rng(5).random((2_000, len(dimensions.dimensions)))
        )
        last = self._logs([dimensions.config(point) for point in points])[:, -1]
        losses = np.exp(last) - _OFFSET
        self.least, self.median = float(losses.min()), float(np.median(losses))

    def _logs(self, configs: Any) -> Array:
        """The logarithms of regrets after _KEPT, shape `(n, epochs)`."""
        rows = np.array([self._encoding.row(config) for config in configs])
        inputs = [self._inputs(rows, epoch) for epoch in _KEPT]
        found = self._trees(np.concatenate(inputs)).reshape(len(_KEPT), len(rows)).T
        nearest = [int(np.argmin(((self._places - each) ** 2).sum(axis=1))) for each in inputs[0]]
        logs: Array = found + self._errors[nearest]
        return logs

    def _curve(self, config: Config, epochs: int) -> Array:
        del epochs
        (logs,) = self._logs([config])
        whole = np.interp(np.log(np.arange(1, TOP + 1)), np.log(_KEPT), logs)
        losses: Array = np.exp(whole) - _OFFSET
        return losses


# Adam's.

#: Updates of an epoch; rows for validation.
_STEPS, _VALIDATION = 4, 64
#: As TaskSet's ranges for its 10,000 steps; decays are those of a whole training.
_ADAM = Space(
    (
        Parameter("learning_rate", Range(1e-6, 10.0, log=True)),
        Parameter("one_minus_beta1", Range(1e-4, 1.0, log=True)),
        Parameter("one_minus_beta2", Range(1e-6, 1.0, log=True)),
        Parameter("epsilon", Range(1e-10, 1e3, log=True)),
        Parameter("l1", Range(1e-8, 10.0, log=True)),
        Parameter("l2", Range(1e-8, 10.0, log=True)),
        Parameter("linear_decay", Range(1e-3, 1.0, log=True)),
        Parameter("exponential_decay", Range(1e-2, 10.0, log=True)),
        Parameter("epochs", Choices((TOP,))),
    ),
    kind=Kind.FUNCTION,
)


@dataclass
class _Task:
    """Data, the order of their rows, and a network with one hidden layer."""

    sizes: tuple[int, int]
    tanh: bool
    classes: bool
    x: Array
    y: Array
    x_val: Array
    y_val: Array
    start: Array
    orders: Array


def _task(seed: int) -> _Task:
    random = np.random.default_rng([seed, 7])
    inputs, width = int(random.choice((4, 8, 12))), int(random.choice((8, 16, 24)))
    tanh, classes = bool(random.integers(2)), bool(random.integers(2))
    rows, noise = int(random.choice((64, 128))), float(random.choice((0.5, 1.0)))
    scales = np.exp(random.uniform(-1.5, 1.0, inputs))
    x = random.standard_normal((rows + _VALIDATION, inputs))
    teacher = random.standard_normal((inputs, 12)), random.standard_normal(12)
    y = np.sin(x @ teacher[0] / math.sqrt(inputs)) @ teacher[1]
    y = (y - y.mean()) / y.std() + noise * random.standard_normal(len(x))
    y = np.sign(y) if classes else y / y.std()
    start = random.standard_normal((inputs + 2) * width)
    start[: inputs * width] /= math.sqrt(inputs)
    start[inputs * width : -width] = 0.0
    start[-width:] /= math.sqrt(width)
    orders = np.stack([random.permutation(rows) for _ in range(TOP)])
    x = x * scales
    return _Task(
        (inputs, width), tanh, classes, x[:rows], y[:rows], x[rows:], y[rows:], start, orders
    )


class _Trainings:
    """Trainings of `K` configs, all at the same epoch.

    Args:
        values: Shape `(K,)` each.
    """

    def __init__(self, task: _Task, values: Mapping[str, Array]) -> None:
        self._task = task
        self._v = {name: each[:, None] for name, each in values.items()}
        count = len(values["l1"])
        self._flat = np.repeat(task.start[None], count, axis=0)
        self._weights = _layers(self._flat, task.sizes)
        self._first = np.zeros_like(self._flat)
        self._second = np.zeros_like(self._flat)
        self._gradient = np.zeros_like(self._flat)
        self._gradients = _layers(self._gradient, task.sizes)
        self._step = 0

    def epoch(self) -> Array:
        """Train one epoch, and return the validation losses, shape `(K,)`."""
        order = self._task.orders[self._step // _STEPS]
        with np.errstate(all="ignore"):
            for batch in order.reshape(_STEPS, -1):
                self._differentiate(self._task.x[batch], self._task.y[batch])
                self._update()
            out = self._forward(self._task.x_val)[1]
            losses: Array = self._loss(out, self._task.y_val).mean(axis=1)
        return losses

    def _loss(self, out: Array, y: Array) -> Array:
        found: Array = np.logaddexp(0, -out * y) if self._task.classes else (out - y) ** 2
        return found

    def _forward(self, x: Array) -> tuple[Array, Array]:
        """Return the hidden units, shape `(K, n, hidden)`, and the outputs, shape `(K, n)`."""
        kernel, bias, last = self._weights
        hidden = x @ kernel + bias
        hidden = np.tanh(hidden) if self._task.tanh else np.maximum(hidden, 0.0)
        return hidden, (hidden @ last)[..., 0]

    def _differentiate(self, x: Array, y: Array) -> None:
        """Note the gradient of the mean loss of a batch."""
        hidden, out = self._forward(x)
        slope = -y / (1 + np.exp(out * y)) if self._task.classes else 2 * (out - y)
        back = slope[..., None] / len(y)
        kernel, bias, last = self._gradients
        last[:] = hidden.swapaxes(1, 2) @ back
        back = back @ self._weights[2].swapaxes(1, 2)
        back *= (1 - hidden**2) if self._task.tanh else (hidden > 0)
        kernel[:] = x.T @ back
        bias[:] = back.sum(axis=1, keepdims=True)

    def _update(self) -> None:
        v = self._v
        done = self._step / (_STEPS * TOP)
        self._step += 1
        rate = v["learning_rate"] * np.exp(-v["exponential_decay"] * done)
        rate = rate * np.maximum(0.0, 1 - v["linear_decay"] * done)
        short, long = v["one_minus_beta1"], v["one_minus_beta2"]
        first, second = 1 - (1 - short) ** self._step, 1 - (1 - long) ** self._step
        gradient = self._gradient + v["l2"] * self._flat + v["l1"] * np.sign(self._flat)
        self._first += short * (gradient - self._first)
        self._second += long * (gradient**2 - self._second)
        self._flat -= rate / first * self._first / (np.sqrt(self._second / second) + v["epsilon"])


def _layers(flat: Array, sizes: tuple[int, int]) -> tuple[Array, Array, Array]:
    """Views of kernel, bias and the output's kernel."""
    inputs, width = sizes
    count, kernel = len(flat), inputs * width
    return (
        flat[:, :kernel].reshape(count, inputs, width),
        flat[:, kernel : kernel + width].reshape(count, 1, width),
        flat[:, kernel + width :].reshape(count, width, 1),
    )


class _Adam(Curves):
    """A network that Adam trains."""

    def __init__(self, name: str) -> None:
        super().__init__(name, _ADAM)
        self._task = _task(int(name.rpartition("_")[2]))
        self._trainings: dict[str, _Trainings] = {}
        self._normalise()

    def _curve(self, config: Config, epochs: int) -> Array:
        training = self._trainings.get(config.id)
        if training is None:
            values = {n: np.array([float(v)]) for n, v in config.values.items()}  # noqa: PD011
            training = self._trainings[config.id] = _Trainings(self._task, values)
        known = self._known.get(config.id, np.empty(0))
        more = [training.epoch()[0] for _ in range(epochs - len(known))]
        return np.concatenate([known, more])

    def _normalise(self) -> None:
        """Note the median of random configs, and the least loss of a search around the best."""
        random, encoding = np.random.default_rng(11), Encoding(_ADAM)
        columns = len(encoding.dimensions)
        points = random.random((1_000, columns))
        losses = self._last(encoding, points)
        self.median = float(np.median(losses))
        for step in (0.15, 0.1, 0.05, 0.03):
            best = points[np.argsort(losses)[:20]]
            more = np.clip(
                best.repeat(10, axis=0) + step * random.standard_normal((200, columns)), 0, 1
            )
            points, losses = (
                np.concatenate([points, more]),
                np.concatenate([losses, self._last(encoding, more)]),
            )
        self.least = float(losses.min())

    def _last(self, encoding: Encoding, points: Array) -> Array:
        values = {
            d.parameter.name: d.numbers(points[:, at]) for at, d in enumerate(encoding.dimensions)
        }
        training = _Trainings(self._task, values)
        losses = np.stack([training.epoch() for _ in range(TOP)])[-1]
        return np.where(np.isfinite(losses), losses, np.inf)


# Made-up curves.

_WAVES = 4


class _Waves:
    """A smooth random function of `D` numbers in [0, 1], of mean 0 and deviation about 1."""

    def __init__(self, random: np.random.Generator, columns: int) -> None:
        self._slopes = random.normal(0.0, 2.5, (columns, _WAVES)) * random.uniform(
            0, 1, (columns, 1)
        )
        self._phases = random.uniform(0, 2 * math.pi, _WAVES)

    def __call__(self, points: Array) -> Array:
        waves: Array = np.sin(points @ self._slopes + self._phases)
        return waves.sum(axis=-1) / math.sqrt(_WAVES / 2)


class _Crossing(Curves):
    """Curves that fall the more slowly, the lower they end; a tenth diverges sooner or later."""

    def __init__(self, name: str) -> None:
        random = np.random.default_rng([int(name.rpartition("_")[2]), 13])
        self._columns = int(random.integers(4, 9))
        names = [f"x{number}" for number in range(1, self._columns + 1)]
        parameters = [Parameter(each, Range(0.0, 1.0)) for each in names]
        top = Parameter("epochs", Choices((TOP,)))
        super().__init__(name, Space((*parameters, top), kind=Kind.FUNCTION))
        self._last, self._pace, self._risk = (_Waves(random, self._columns) for _ in range(3))
        self._optimum = random.uniform(0.1, 0.9, self._columns)
        self._tie, self._noise = (
            float(random.uniform(0.3, 0.9)),
            float(random.choice((0.003, 0.01))),
        )
        points = np.random.default_rng(5).random((20_000, self._columns))
        self._worst = float(np.median(self._ends(points)))
        last = self._clean(points)[:, -1]
        self.least, self.median = float(last.min()), float(np.median(last))

    def _ends(self, points: Array) -> Array:
        bowl = ((points - self._optimum) ** 2).mean(axis=-1)
        found: Array = 0.2 + 2 * bowl + 0.05 * self._last(points)
        return found

    def _clean(self, points: Array) -> Array:
        """The curves without noise, shape `(n, TOP)`."""
        ends = self._ends(points)
        standing = (self._worst - ends) / self._worst
        log_pace = 0.2 + 3.0 * self._tie * standing + 0.5 * self._pace(points)
        after = np.arange(1, TOP + 1)
        left = np.exp(-((after / np.exp(log_pace)[:, None]) ** 0.8))
        curves: Array = ends[:, None] + (1.0 - ends[:, None]) * left
        return curves

    def _curve(self, config: Config, epochs: int) -> Array:
        del epochs
        values = config.values  # noqa: PD011 - a mapping
        point = np.array([[float(values[p.name]) for p in self.space.parameters[:-1]]])
        (losses,) = self._clean(point)
        noise = np.random.default_rng(int(config.id[1:], 16)).standard_normal(TOP)
        losses = losses + self._noise * noise
        if self._risk(point)[0] > 1.3:
            losses[int(TOP * float(point[0, 0])) :] = math.inf
        return losses


@cache
def curves_of(name: str) -> Curves:
    """The table with a name of KINDS."""
    made = {"study": _Study, "adam": _Adam, "crossing": _Crossing}
    return next(made[kind](name) for kind, names in KINDS.items() if name in names)


def main() -> None:
    """Gather the study's curves."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=Path, default=HERE / "prior_runs", help="of prior_study.py")
    parser.add_argument("--out", type=Path, default=HERE, help="where the table goes")
    arguments = parser.parse_args()
    write(gather(arguments.runs), arguments.out / _CURVES.name)


if __name__ == "__main__":
    main()
