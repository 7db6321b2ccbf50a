"""Find a hypermodel's hyperparameters by building it until it declares no new ones."""

from __future__ import annotations

import math
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras

from hpsearch.custom import kerastuner_names as kt
from hpsearch.custom.building import (
    TrackedHyperParameters,
    apart,
    callbacks_of,
    give_weights,
    labels_for,
    load_hypermodel,
    require_model,
    trains_itself,
    untailored,
)
from hpsearch.custom.shipping import ModelHyperparameters
from hpsearch.data.dataset import unpacked
from hpsearch.data.specs import TrainingData
from hpsearch.errors import InputError
from hpsearch.importing import code_digest
from hpsearch.models.mlp import seeded
from hpsearch.models.problem import Recipe
from hpsearch.space.space import Choices, Parameter, Range
from hpsearch.wording import in_words, write_trace

#: Tolerance in steps, as in KerasTuner: a step that ends this little beyond a range still counts.
_ROUNDING = 1e-8
#: Most builds of one model. A number, not a time: the result must not depend on the machine.
_MOST_BUILDS = 64
#: Most values tried of one list.
_MOST_VALUES = 8
#: Number of rows for the run of a hypermodel's own `fit`.
_ROWS = 64

_PACKAGE = str(Path(__file__).parents[1])

When = Mapping[str, tuple[Any, ...]]


def described(name: str, declared: Sequence[Any]) -> Parameter:
    """Merge all declarations of a name into one parameter.

    A parameter declared under several conditions is active under any of them. If the conditions
    differ in more than one parent, it is active where their common part holds, even if the model
    does not use it there.
    """
    domains = [domain_of(hyperparameter) for hyperparameter in declared]
    if any(domain != domains[0] for domain in domains):
        raise InputError(
            f"hp: {name!r} is declared more than once, with other values under other conditions; "
            "give each a name of its own"
        )
    when = _conditions(declared[0])
    for other in declared[1:]:
        when = _either(when, _conditions(other))
    return Parameter(name, domains[0], when)


def _conditions(hyperparameter: Any) -> When:
    return {condition.name: tuple(condition.values) for condition in hyperparameter.conditions}


def _either(one: When, other: When) -> When:
    """Return a condition that holds if either of two holds, and perhaps in other cases."""
    shared = [name for name in one if name in other]
    differing = [name for name in shared if one[name] != other[name]]
    if len(shared) < max(len(one), len(other)) or len(differing) > 1:
        return {name: one[name] for name in shared if name not in differing}
    return {name: tuple(dict.fromkeys((*one[name], *other[name]))) for name in shared}


def domain_of(hyperparameter: Any) -> Choices | Range:
    """Return the values of a KerasTuner hyperparameter.

    A range that its step does not divide ends at the last step, as in KerasTuner. A range with a
    step on a logarithmic scale becomes a list. `reverse_log` without a step becomes linear.
    """
    if isinstance(hyperparameter, kt.Boolean):
        return Choices((False, True))
    if isinstance(hyperparameter, kt.Choice | kt.Fixed):
        return Choices(tuple(hyperparameter.values))
    return _numbers(hyperparameter, whole=isinstance(hyperparameter, kt.Int))


def _numbers(hyperparameter: Any, *, whole: bool) -> Choices | Range:
    low, high, step = hyperparameter.min_value, hyperparameter.max_value, hyperparameter.step
    if low == high:
        return Choices((low,))
    if step is None:
        return Range(low, high, log=hyperparameter.sampling == "log", integer=whole)
    if hyperparameter.sampling != "linear":
        numbers = hyperparameter.values
        return Choices(tuple(int(n) if whole else float(f"{n:.12g}") for n in numbers))
    steps = math.floor((high - low) / step + _ROUNDING)
    if steps < 1:
        return Choices((low,))
    last = low + steps * step
    return Range(low, last if whole else float(f"{last:.12g}"), step, integer=whole)


def discover(
    recipe: Recipe, given: Sequence[Parameter], data: TrainingData
) -> ModelHyperparameters:
    """Return the hyperparameters of a recipe's model.

    Args:
        given: Parameters of the sweep; they replace the model's parameters of the same name.
        data: The hypermodel's own `fit` runs once with the defaults, on some of the rows, to find
            its hyperparameters.
    """
    loaded = load_hypermodel(recipe.model, recipe.code)
    whole = bool(callbacks_of(loaded))
    # Without the callbacks, which could write files.
    hypermodel = untailored(loaded)
    custom_fit = trains_itself(hypermodel)
    probe = _Probe(hypermodel, recipe.model, {parameter.name: parameter for parameter in given})
    probe.run()
    if custom_fit:
        probe.fit(data)
    parameters = tuple(described(name, declared) for name, declared in probe.declared.items())
    defaults = {name: declared[0].default for name, declared in probe.declared.items()}
    return ModelHyperparameters(
        parameters, defaults, frozenset(probe.read), custom_fit, whole, code_digest(hypermodel)
    )


def declared_in(
    hypermodel: Any,
    name: str,
    given: Sequence[Parameter] = (),
    data: TrainingData | None = None,
    *,
    row: tuple[int, ...] | None = None,
) -> list[Any]:
    """Return the KerasTuner hyperparameters that a hypermodel requests.

    Args:
        given: As for `discover`.
        data: If given, the hypermodel's `fit` runs on some of the rows, instead of the builds.
        row: Shape of a row. Unbuilt models get weights for it, since their layers may request
            hyperparameters, too.
    """
    probe = _Probe(hypermodel, name, {parameter.name: parameter for parameter in given}, row)
    if data is None:
        probe.run()
    else:
        probe.fit(data)
    return [hyperparameter for declared in probe.declared.values() for hyperparameter in declared]


@dataclass
class _Probe:
    """Builds a model, and collects its KerasTuner hyperparameters by name; see `declared_in`."""

    hypermodel: Any
    name: str
    given: Mapping[str, Parameter]
    row: tuple[int, ...] | None = None
    declared: dict[str, list[Any]] = field(default_factory=dict)
    read: set[str] = field(default_factory=set)
    builds: int = 0

    def run(self) -> None:
        """Build with the defaults, then under each condition, then with combinations of values."""
        self._build({}, must_succeed=True)
        tried: list[dict[str, Any]] = []
        while self.builds < _MOST_BUILDS:
            wanted = next((values for values in self._combinations() if values not in tried), None)
            if wanted is None:
                return
            tried.append(wanted)
            self._build(self._values(wanted), must_succeed=False)

    def fit(self, data: TrainingData) -> None:
        """Run the hypermodel's own `fit` on a few rows; the trials will report any failure."""
        given, inputs = data.arrays, data.input.parts
        x, x_val = (unpacked(rows[:_ROWS], inputs) for rows in (given.x_train, given.x_val))
        targets = given.y_train[:_ROWS], given.y_val[:_ROWS]
        # `fit` may set the epochs itself, or need them as an argument.
        for epochs in ({}, {"epochs": 1}):
            values = TrackedHyperParameters(self._values({}), self._default)
            try:
                with seeded(0), apart():
                    model = self.hypermodel.build(values)
                    y, y_val = (labels_for(model, labels, data.target) for labels in targets)
                    arguments = {"callbacks": [], **epochs}
                    if len(targets[1]):
                        arguments["validation_data"] = x_val, y_val
                    self.hypermodel.fit(values, model, x, y, **arguments)
            # User code may raise anything; a trial will report the error.
            except (Exception, SystemExit) as error:  # noqa: BLE001
                write_trace(error)
            else:
                return
            finally:
                self._note(values)

    def _build(self, fixed: Mapping[str, Any], *, must_succeed: bool) -> None:
        """Build once; a combination of values may fail, unless the build must succeed."""
        self.builds += 1
        values = TrackedHyperParameters(fixed, self._default)
        try:
            with seeded(0), apart():
                model = self.hypermodel.build(values)
                if self.row is not None and isinstance(model, keras.Model) and not model.built:
                    give_weights(model, self.row)
        except (Exception, SystemExit) as error:
            shown = ", ".join(f"{name}: {value!r}" for name, value in values.values.items())
            reason = (f" ({shown})" if shown else "") + f": {_words(error)}"
            if must_succeed:
                raise InputError(
                    f"{self.name}: fails with the defaults of its hyperparameters{reason}"
                ) from error
            print(f"{self.name}: a build failed{reason}")
        else:
            if must_succeed:
                require_model(model, self.name)
        self._note(values)

    def _note(self, values: TrackedHyperParameters) -> None:
        for hyperparameter in values.space:
            declared = self.declared.setdefault(hyperparameter.name, [])
            if all(other.conditions != hyperparameter.conditions for other in declared):
                declared.append(hyperparameter)
        self.read |= values.read

    def _default(self, hyperparameter: Any) -> Any:
        ours = self.given.get(hyperparameter.name)
        return hyperparameter.default if ours is None else ours.at(0.0)

    def _values(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of all active parameters: the wanted ones, else their defaults."""
        values = {
            name: parameter.at(0.0)
            for name, parameter in self.given.items()
            if name not in self.declared
        }
        for name, declared in self.declared.items():
            for hyperparameter in declared:
                if all(condition.is_active(values) for condition in hyperparameter.conditions):
                    values[name] = wanted.get(name, self._default(hyperparameter))
                    break
        return values

    def _combinations(self) -> Iterator[dict[str, Any]]:
        """Yield the values to try, given the declarations so far.

        First meet each condition once. Then give all parameters their second values together, then
        their third, and so on, so that every value occurs; then their last values one at a time.
        """
        for declared in self.declared.values():
            for hyperparameter in declared:
                if hyperparameter.conditions:
                    yield {c.name: c.values[0] for c in hyperparameter.conditions}
        values = {name: self._tried(name) for name in self.declared}
        for index in range(1, max(map(len, values.values()), default=0)):
            yield {name: options[index % len(options)] for name, options in values.items()}
        for name, choices in values.items():
            if len(choices) > 1:
                yield {name: choices[-1]}

    def _tried(self, name: str) -> Sequence[Any]:
        """Return the default, then other values: a list's first and last, or a range's ends."""
        ours, declared = self.given.get(name), self.declared[name][0]
        domain = domain_of(declared) if ours is None else ours.domain
        first = self._default(declared)
        if isinstance(domain, Choices):
            others = list(domain.values)
            others = others[: _MOST_VALUES - 1] + others[_MOST_VALUES - 1 :][-1:]
        else:
            assert isinstance(domain, Range)
            others = [domain.min, domain.max]
        return [first, *(value for value in others if value != first)]


def _words(error: BaseException) -> str:
    """Return the exception's text with the last line of user code in its traceback."""
    user_frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(_PACKAGE) and "site-packages" not in frame.filename
    ]
    at = f" ({user_frames[-1].filename}:{user_frames[-1].lineno})" if user_frames else ""
    return f"{' '.join(in_words(error).split())}{at}"
