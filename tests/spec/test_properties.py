"""Any text is a sweep or a reported problem; any sweep can be written and read back."""

from __future__ import annotations

import contextlib
import io
import tempfile
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hpsearch.cli.app import main
from hpsearch.engine.planning import Trials, group
from hpsearch.errors import SweepFileError
from hpsearch.search.draws import draws
from hpsearch.space.keras_names import ACTIVATIONS, OPTIMIZERS
from hpsearch.space.space import Config
from hpsearch.spec.dump import dump_sweep
from hpsearch.spec.sweep import Sweep, sweep_from_mapping, sweep_from_text

names = st.from_regex(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,20}", fullmatch=True)
texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1).filter(
    str.strip
)
numbers = st.floats(1e-6, 0.9, allow_nan=False)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=12,
)
quick = settings(max_examples=100, suppress_health_check=list(HealthCheck))


def listed(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return values | st.lists(values, min_size=1, max_size=4, unique=True)


optimizers = st.sampled_from(sorted(OPTIMIZERS)) | st.fixed_dictionaries(
    {"name": st.sampled_from(["sgd", "adam"]), "learning_rate": numbers},
    optional={"weight_decay": numbers | st.none(), "use_ema": st.booleans()},
)
parameters = st.fixed_dictionaries(
    {},
    optional={
        "hidden_layers": listed(st.integers(0, 5)),
        "units": st.integers(1, 99)
        | st.lists(
            st.integers(1, 99) | st.lists(st.integers(1, 9), min_size=1, max_size=3),
            min_size=1,
            max_size=3,
            unique_by=str,
        ),
        "activation": listed(st.sampled_from([*ACTIVATIONS])),
        "epochs": st.integers(1, 50).map(lambda n: {"min": n, "max": 3 * n, "step": n}),
        "optimizer": optimizers | st.lists(optimizers, min_size=1, max_size=3, unique_by=str),
        "learning_rate": listed(numbers),
        "l2": numbers.map(lambda x: {"min": x / 10, "max": x, "scale": "log"}),
        "layer_type": st.just(["dense", "dropout"]),
        "dropout": listed(numbers),
    },
)
sweeps = st.fixed_dictionaries(
    {
        "name": names,
        "data": st.fixed_dictionaries(
            {"csv": texts, "target": texts}, optional={"validation": numbers, "test": numbers}
        ),
        "parameters": parameters,
        "method": st.just("random"),
        "budget": st.fixed_dictionaries({"trials": st.integers(1, 99)}),
    },
    optional={
        "description": texts,
        "seed": st.integers(0, 2**32 - 1),
        "seeds": st.integers(1, 5) | st.lists(st.integers(0, 99), min_size=1, unique=True),
        "execution": st.fixed_dictionaries({}, optional={"timeout": st.floats(0.5, 1e5)}),
        "metric": st.fixed_dictionaries({"name": texts, "goal": st.just("minimize")}),
        "early_stopping": st.fixed_dictionaries({"patience": st.integers(1, 9)}),
    },
)


def read(text: str) -> Sweep | None:
    try:
        return sweep_from_text(text)
    except SweepFileError as error:
        problems = error.problems
    assert problems
    assert all(problem.line >= 1 and problem.message for problem in problems)
    return None


def plan(content: bytes) -> int:
    """The exit code of `hpsearch plan` of a file with such bytes; what else it raises is a bug."""
    with tempfile.TemporaryDirectory() as scratch, contextlib.redirect_stdout(io.StringIO()):
        path = Path(scratch) / "s.yaml"
        path.write_bytes(content)
        said = io.StringIO()
        with contextlib.redirect_stderr(said), pytest.raises(SystemExit) as end:
            main(["plan", str(path)])
        code = end.value.code or 0
    assert code == 0 or (code == 2 and said.getvalue())
    return int(code)


_GOOD = b"data: {dataset: digits}\nparameters: {units: [8, 16], epochs: [1, 2]}\nseeds: 2\n"


@quick
@given(st.integers(0, len(_GOOD)), st.integers(0, 12), st.binary(max_size=6))
@example(len(_GOOD), 0, b"")
def test_any_bytes_in_a_good_file(start: int, length: int, piece: bytes) -> None:
    code = plan(_GOOD[:start] + piece + _GOOD[start + length :])
    assert code == 0 or (length, piece) != (0, b"")


any_parameters = st.fixed_dictionaries(
    {
        "data": st.just({"dataset": "digits"}),
        "parameters": st.dictionaries(
            st.sampled_from(["units", "optimizer", "dropout", "l2", "lr"]), anything
        ),
        "method": st.sampled_from(["grid", "random"]),
        "budget": st.just({"trials": 3}),
    }
)


@quick
@given(st.dictionaries(st.sampled_from(list(Sweep.keys())), anything) | any_parameters)
def test_any_mapping(raw: dict[str, Any]) -> None:
    read(yaml.safe_dump(raw, allow_unicode=True))


@quick
@given(sweeps)
def test_what_validates_can_be_written_read_and_planned(raw: dict[str, Any]) -> None:
    sweep = sweep_from_mapping(raw)
    again = sweep_from_text(dump_sweep(sweep))
    assert again == sweep
    assert again.raw() == sweep.raw()
    assert again.space == sweep.space
    for method in ("random", "sobol"):
        drawn = list(islice(draws(method, sweep.space, (), sweep.seed), 6))
        assert drawn
        assert all(sweep.space.contains(config) for config in drawn)
        longer = [Config({**each.values, "epochs": each.values["epochs"] + 1}) for each in drawn]
        planned = Trials(sweep.space, (), sweep.repetitions, limit=99)
        trials = planned.new([*drawn, *longer], sweep.repetitions)
        # Each is answered once, at its own epoch, by a training of its config and seed.
        stops = [(training, *stop) for training in group(trials) for stop in training.stops]
        assert sorted(number for *_, number in stops) == [trial.number for trial in trials]
        for training, epochs, number in stops:
            trial = trials[number - 1]
            assert (epochs, training.seed) == (trial.config.values["epochs"], trial.seed)
            assert Config({**training.values, "epochs": epochs}).id == trial.config.id
        assert len(group(trials)) <= len(trials) / 2
