"""Layer types, datasets, methods and engines of other packages."""

from __future__ import annotations

import io
import sys
from collections import defaultdict
from dataclasses import dataclass, field

import jsonschema
import numpy as np
import pytest
import yaml
from packages import declare, declare_example
from rich.console import Console

import hpsearch
from hpsearch import extensions
from hpsearch.cli.show import print_list
from hpsearch.data.loading import load_dataset, probe_dataset
from hpsearch.errors import DataError, HpsearchError, InputError, SweepFileError
from hpsearch.search.methods import make_strategy
from hpsearch.search.strategy import Outcome, Proposal
from hpsearch.space.space import Choices, Config, Parameter, Range, Space
from hpsearch.spec.dump import dump_sweep, sweep_schema
from hpsearch.spec.fields import added
from hpsearch.spec.method import MethodSpec
from hpsearch.spec.sweep import sweep_from_text
from hpsearch.tuner.script.data import imported
from hpsearch.workers.engines import ExtensionExecutor, engine

ORIGIN = "hpsearch-example 1.2 (entry point"
SWEEP = """\
name: x
data: {dataset: spirals}
method: {name: evolution, population: 4}
parameters: {units: [4, 8], layer_type: [dense, gated], expansion: [1, 2], epochs: [1]}
budget: {trials: 6}
execution: {engine: serial}
"""
SPACE = Space((Parameter("units", Choices((4, 8, 16))), Parameter("l2", Range(1e-6, 1e-2))))


@pytest.fixture
def example(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(declare_example(tmp_path / "site"))


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Declares a package of one module, whose name is new in each test."""
    numbers = iter(range(100))

    def make(group, text, name="thing", attribute="thing"):
        number = next(numbers)
        module = f"made_up_{tmp_path.name.replace('-', '_')}_{number}"
        where = tmp_path / f"site-{number}"
        points = {group: {name: f"{module}:{attribute}"}}
        monkeypatch.syspath_prepend(
            declare(where, f"made-up-{number}", points, modules={module: text})
        )
        return f"made-up-{number} 1.0 (entry point {name} = {module}:{attribute})"

    return make


def loads(text, path):
    return sweep_from_text(text, "s.yaml", path)


def listed(what):
    told = io.StringIO()
    print_list(what, Console(file=told, width=200))
    return told.getvalue()


def test_a_sweep_may_name_what_a_package_adds_and_imports_none_of_it(example, tmp_path):
    before = {name for name in sys.modules if name.startswith("hpsearch_example")}
    sweep = loads(SWEEP, tmp_path)
    assert sweep.method.options == {"population": 4}
    assert [str(each) for each in added(sweep)] == [
        f"layer type 'gated' of {ORIGIN} gated = hpsearch_example.layers:gated)",
        f"dataset 'spirals' of {ORIGIN} spirals = hpsearch_example.data:spirals)",
        f"method 'evolution' of {ORIGIN} evolution = hpsearch_example.method:Evolution)",
        f"engine 'serial' of {ORIGIN} serial = hpsearch_example.engine:Serial)",
    ]
    assert sweep_from_text(dump_sweep(sweep), "s.yaml", tmp_path) == sweep
    assert {name for name in sys.modules if name.startswith("hpsearch_example")} == before


def test_without_the_package_each_name_is_unknown(tmp_path):
    with pytest.raises(SweepFileError) as raised:
        loads(SWEEP, tmp_path)
    told = str(raised.value)
    for what in ("dataset 'spirals'", "method 'evolution'", "layer type 'gated'"):
        assert f"unknown {what}" in told
    assert "unknown engine 'serial': it must be local or ray" in told


def test_a_misspelt_name_is_told_with_the_added_ones(example, tmp_path):
    with pytest.raises(SweepFileError, match="residual or gated; did you mean 'gated'"):
        loads(SWEEP.replace("[dense, gated]", "gatd"), tmp_path)


def test_the_schema_knows_what_is_installed(example, tmp_path):
    document = yaml.safe_load(SWEEP)
    validator = jsonschema.Draft202012Validator(sweep_schema())
    validator.validate(document)
    without = jsonschema.Draft202012Validator(sweep_schema(added=lambda _: ()))
    places = {error.absolute_path[0] for error in without.iter_errors(document)}
    assert places == {"data", "method", "parameters", "execution"}
    assert not validator.is_valid(document | {"method": {"name": "evolutionary"}})


@pytest.mark.parametrize(
    ("what", "name"),
    [
        ("layer-types", "gated"),
        ("datasets", "spirals"),
        ("methods", "evolution"),
        ("engines", "serial"),
    ],
)
def test_the_lists_tell_the_package(example, what, name):
    line = next(line for line in listed(what).splitlines() if line.startswith(name))
    assert "of hpsearch-example 1.2: hpsearch_example." in line


def test_a_built_in_name_stays_built_in(package, tmp_path):
    package(extensions.LAYER_TYPES, "def thing(x, units, activation): 1 / 0", name="residual")
    sweep = loads("data: {dataset: digits}\nparameters: {layer_type: residual}\n", tmp_path)
    assert added(sweep) == ()
    assert listed("layer-types").count("not used: the built-in one has that name") == 1


def test_a_name_of_two_packages_is_refused_with_both(package, tmp_path):
    first = package(extensions.DATASETS, "def thing(): pass")
    second = package(extensions.DATASETS, "def thing(): pass")
    with pytest.raises(SweepFileError) as raised:
        loads("data: {dataset: thing}\n", tmp_path)
    assert f"dataset 'thing' is declared by {first} and by {second}" in str(raised.value)
    assert "uninstall one" in str(raised.value)
    assert listed("datasets").count("not used: two packages declare that name") == 2


def test_what_is_installed_later_is_found(package, tmp_path):
    assert extensions.find(extensions.DATASETS, "thing") is None
    package(extensions.DATASETS, "def thing(): pass")
    assert extensions.find(extensions.DATASETS, "thing") is not None


@pytest.mark.parametrize(
    ("text", "attribute", "message"),
    [
        ("import no_such_module", "thing", "cannot be loaded: ModuleNotFoundError: .*no_such"),
        ("1 / 0", "thing", "cannot be loaded: ZeroDivisionError"),
        ("", "thing", "cannot be loaded: AttributeError"),
        ("thing = 3", "thing", "must be a function or a class, not int"),
        ("def thing(): pass", "not a name", "cannot be loaded"),
    ],
)
def test_what_cannot_be_loaded_is_told_by_package_and_entry_point(
    package, text, attribute, message
):
    origin = package(extensions.METHODS, text, attribute=attribute)
    with pytest.raises(InputError, match=message) as raised:
        make_strategy(MethodSpec("thing"), SPACE)
    assert str(raised.value).startswith(f"method 'thing' of {origin}: ")


# Datasets


def test_a_dataset_is_read_and_split(example, tmp_path):
    spec = loads("data: {dataset: spirals, validation: 0.25}\n", tmp_path).data
    loaded = load_dataset(spec)
    assert (loaded.name, len(loaded.train), len(loaded.validation)) == ("spirals", 180, 60)
    shape = probe_dataset(spec)
    assert (shape.name, shape.train_rows, shape.outputs) == ("spirals", 180, 1)


def test_a_dataset_may_be_told_its_task(package, tmp_path):
    text = "import numpy as np\ndef thing(): return np.eye(40), np.arange(40) % 4"
    package(extensions.DATASETS, text)
    spec = loads("data: {dataset: thing, task: regression}\n", tmp_path).data
    assert load_dataset(spec).target.task == "regression"
    with pytest.raises(SweepFileError, match=r"data\.task: has no meaning with a built-in set"):
        loads("data: {dataset: digits, task: regression}\n", tmp_path)
    with pytest.raises(SweepFileError, match=r"data\.folder: has a meaning only with a built-in"):
        loads("data: {dataset: thing, folder: x}\n", tmp_path)


def test_an_entry_point_may_name_a_method_of_a_class(package, tmp_path):
    text = "class Thing:\n  def make(): return [[i, 1.0] for i in range(30)], [0, 1, 2] * 10"
    package(extensions.DATASETS, text, attribute="Thing.make")
    spec = loads("data: {dataset: thing}\n", tmp_path).data
    assert load_dataset(spec).target.outputs == 3
    found = extensions.find(extensions.DATASETS, "thing")
    names = {}
    exec(imported(found.reference, "own"), names)
    assert len(names["own"]()[1]) == 30


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise OSError('no disk')", r"the function failed: OSError: no disk \(.*made_up"),
        ("return 3", "returned a int; return"),
    ],
)
def test_a_dataset_that_fails_is_told_by_package_and_entry_point(package, tmp_path, body, message):
    origin = package(extensions.DATASETS, f"def thing(): {body}")
    spec = loads("data: {dataset: thing}\n", tmp_path).data
    with pytest.raises(DataError, match=message) as raised:
        load_dataset(spec)
    assert str(raised.value).startswith(f"dataset 'thing' of {origin}: ")


# Methods


def search(strategy, steps):
    made = []
    for _ in range(steps):
        for proposal in strategy.ask(1):
            made.append(proposal.config)
            score = -abs(proposal.config.values["l2"] - 5e-3)
            strategy.tell([Outcome(proposal.config, score)])
    return made


def evolution(**options):
    return make_strategy(MethodSpec("evolution", options), SPACE, seed=3, trials=40)


def test_a_method_proposes_learns_and_goes_on_after_a_restart(example):
    whole = search(evolution(), 40)
    assert len({config.id for config in whole}) == 40
    assert all(map(SPACE.contains, whole))
    first = evolution()
    outcomes = [Outcome(config, -abs(config.values["l2"] - 5e-3)) for config in search(first, 15)]
    again = evolution()
    again.restore(whole[:15], outcomes)
    assert search(again, 25) == whole[15:]


def parabola(config):
    return (config["x"] - 2) ** 2


def test_a_search_by_it_may_be_interrupted(example, tmp_path):
    def searched(out, trials):
        space = {"x": {"min": -10.0, "max": 10.0}, "kind": ["a", "b"]}
        found = hpsearch.optimize(parabola, space, "evolution", trials=trials, out=tmp_path / out)
        return found.table.drop(columns=["seconds", "sweep"])

    whole = searched("once", 20)
    assert len(whole) == 20
    assert searched("twice", 8).equals(whole[:8])
    assert searched("twice", 20).equals(whole)


def test_it_is_better_than_chance(example):
    def best(method):
        strategy = make_strategy(MethodSpec(method), SPACE, seed=1, trials=60)
        return np.sort([abs(c.values["l2"] - 5e-3) for c in search(strategy, 60)])[:10].mean()

    assert best("evolution") < best("random") / 2


def test_an_option_that_the_package_refuses_is_told(example):
    with pytest.raises(InputError) as raised:
        evolution(population=1)
    assert str(raised.value).startswith(f"method 'evolution' of {ORIGIN}")
    assert "cannot be made: ValueError: population must be at least 2, not 1 (" in str(raised.value)


METHOD = """\
from hpsearch.search.strategy import Proposal
from hpsearch.space.space import Config
class thing:
    exhausted = adaptive = False
    rungs = ()
    def __init__(self, task): self.space = task.space
    def tell(self, outcomes): raise KeyError("score")
    def restore(self, configs, outcomes): pass
    def ask(self, count):
        good = self.space.config({"units": 4, "l2": 1e-3})
        outside = self.space.config({"units": 5, "l2": 1e-3})
        return
"""


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("[good]", "proposed dict, not hpsearch.search.strategy.Proposal"),
        ("[Proposal(outside)]", "units.: 5.*outside the space"),
        ("[Proposal(good), Proposal(good)]", "proposed 2 configs when asked for 1"),
        ("[Proposal(good, 3)]", "epochs must be None"),
        ("[][0]", "failed in ask: IndexError"),
        ("None", "failed in ask: TypeError"),
    ],
)
def test_proposals_that_no_method_may_make_are_told(package, returned, message):
    text = METHOD.replace("return\n", f"return {returned}\n").replace("[good]", "[dict(a=1)]")
    origin = package(extensions.METHODS, text)
    strategy = make_strategy(MethodSpec("thing"), SPACE)
    with pytest.raises(InputError, match=message) as raised:
        strategy.ask(1)
    assert str(raised.value).startswith(f"method 'thing' of {origin}")


def test_a_config_that_comes_twice_and_a_failing_tell_are_told(package):
    package(extensions.METHODS, METHOD.replace("return\n", "return [Proposal(good)]\n"))
    strategy = make_strategy(MethodSpec("thing"), SPACE)
    (proposal,) = strategy.ask(1)
    with pytest.raises(InputError, match=r"proposed .*'l2': 0\.001.* twice"):
        strategy.ask(1)
    with pytest.raises(InputError, match="failed in tell: KeyError: 'score'"):
        strategy.tell([Outcome(proposal.config, 0.5)])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (METHOD.replace("rungs = ()", "rungs = (1, 3)"), "rungs must be empty"),
        ("def thing(task): return object()", "object has no exhausted, adaptive, rungs, ask"),
    ],
)
def test_what_is_no_strategy_is_told(package, text, message):
    package(extensions.METHODS, text)
    with pytest.raises(InputError, match=message):
        make_strategy(MethodSpec("thing"), SPACE)


def test_early_terminate_does_not_go_with_a_package_s_method(example, tmp_path):
    text = SWEEP + "early_terminate: {type: hyperband}\n"
    with pytest.raises(SweepFileError, match="early_terminate: goes with method: grid, random"):
        loads(text, tmp_path)


# Engines


@dataclass
class Broken:
    """An executor that fails in one of its methods."""

    where: str
    free: int = 1
    busy: int = 0
    calls: dict = field(default_factory=lambda: defaultdict(int))

    def __getattr__(self, name):
        if name not in ("provide", "submit", "events", "close"):
            raise AttributeError(name)

        def call(*_):
            self.calls[name] += 1
            if name == self.where:
                raise ConnectionError("the cluster is gone")
            return []

        return call


@pytest.mark.parametrize("method", ["provide", "submit", "events", "close"])
def test_an_engine_that_fails_is_told_by_package_and_entry_point(method):
    extension = extensions.Extension(extensions.EXECUTORS, "queue", "q:Queue", "queues", "2.0")
    executor = ExtensionExecutor(extension, lambda: Broken(method))
    argument = () if method == "close" else (None,)
    with pytest.raises(HpsearchError) as raised:
        getattr(executor, method)(*argument)
    assert str(raised.value).startswith(
        "engine 'queue' of queues 2.0 (entry point queue = q:Queue) "
        f"failed in {method}: ConnectionError: the cluster is gone ("
    )


def test_what_is_no_executor_is_told(package, tmp_path):
    origin = package(extensions.EXECUTORS, "def thing(setup): return setup.workers + 'a'")
    execution = loads(
        "data: {dataset: digits}\nexecution: {engine: thing, resources: {CPU: 2}}\n", tmp_path
    ).execution
    with engine(execution, io.StringIO()) as make, pytest.raises(HpsearchError) as raised:
        make(3)
    assert str(raised.value).startswith(f"engine 'thing' of {origin} cannot be made: TypeError")
    extension = extensions.Extension(extensions.EXECUTORS, "queue", "q:Queue", "queues", "2.0")
    with pytest.raises(
        InputError, match="object has no free, busy, provide, submit, events, close"
    ):
        ExtensionExecutor(extension, object)


def test_an_engine_is_told_what_the_sweep_asks_for(package, tmp_path):
    package(extensions.EXECUTORS, "def thing(setup): raise RuntimeError(repr(setup))")
    keys = "engine: thing, timeout: 90s, memory: 1GB, address: here, resources: {CPU: 2}"
    execution = loads(f"data: {{dataset: digits}}\nexecution: {{{keys}}}\n", tmp_path).execution
    with engine(execution, io.StringIO()) as make, pytest.raises(HpsearchError) as raised:
        make(3)
    for part in ("workers=3", "timeout_seconds=90.0", "memory_bytes=1000000000", "'CPU': 2.0"):
        assert part in str(raised.value)


def test_a_proposal_may_be_a_listed_config_outside_the_space(package):
    outside = Space((Parameter("units", Choices((99,))),)).config({"units": 99})
    text = METHOD.replace("return\n", "return [Proposal(self.listed[0])]\n")
    text = text.replace(
        "self.space = task.space", "self.space, self.listed = task.space, task.listed"
    )
    package(extensions.METHODS, text)
    assert isinstance(outside, Config)
    assert make_strategy(MethodSpec("thing"), SPACE, [outside]).ask(1) == [Proposal(outside)]
