"""FAULTS 32: commands run no file of the working directory, nor of the one that they read."""

import itertools
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import PROGRAM, hpsearch
from marks import slow_but

import hpsearch as package

#: Modules that some package imports if they are there, and two that all import.
_NAMES = ["pyarrow", "numexpr", "bottleneck", "lxml", "IPython", "simplejson", "numpy", "yaml"]
_SCRIPT = Path(sys.executable).with_name("hpsearch")
_FUNCTIONS = """\
import keras
import keras_tuner
import numpy as np

def read():
    x = np.random.default_rng(0).normal(size=(60, 3))
    return x, (x[:, 0] > 0).astype(int)

def layer(x, units, activation):
    return keras.layers.Dense(units, activation)(x)

def build(hp):
    model = keras.Sequential([keras.Input((13,)), keras.layers.Dense(3, "softmax")])
    model.compile(keras.optimizers.SGD(hp.Choice("rate", [0.1, 0.2])),
                  "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model

class Oracle(keras_tuner.oracles.RandomSearchOracle):
    pass
"""
#: Results directory -> its sweep; each names a function in another place.
_NAMING = {
    "data": 'data: {python: "functions:read"}\nparameters: {units: 4, epochs: 1}\n',
    "layer": 'data: {dataset: wine}\nparameters: {layer_type: "functions:layer", epochs: 1}\n',
    "model": 'data: {dataset: wine}\nmodel: "functions:build"\nparameters: {epochs: 1}\n',
    "method": (
        'data: {dataset: wine}\nmethod: "functions:Oracle"\nbudget: {trials: 1}\n'
        "parameters: {units: [4, 8], epochs: 1}\n"
    ),
}
_NAMED = {"data": "functions:read", "layer": "functions:layer", "model": "functions:build"}
_REVISITS = {
    "export": "export OUT --out m.keras",
    "evaluate": "evaluate OUT --split validation",
    "reproduce": "reproduce OUT --trial 1",
    "settle": "compare OUT other --anyway --settle",
    "script": "reproduce OUT --trial 1 --script standalone",
}
#: Custom models are not settled at all.
_PAIRS = [pair for pair in itertools.product(_REVISITS, _NAMED) if pair != ("settle", "model")]
#: Each command and each function.
_FEW = [("export", "data"), ("export", "layer"), ("export", "model"), ("evaluate", "model")]
_FEW += [("reproduce", "layer"), ("script", "data"), ("settle", "data")]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Results whose sweeps name functions, with these and the sweep files."""
    home = tmp_path_factory.mktemp("made")
    (home / "functions.py").write_text(_FUNCTIONS)
    plain = "data: {dataset: wine}\nparameters: {units: 4, epochs: 1}\n"
    for name, text in {**_NAMING, "other": plain}.items():
        (home / f"{name}.yaml").write_text(text)
        hpsearch("run", f"{name}.yaml", "--out", name, cwd=home)
    return home


def copied(made, home, *names):
    """The same results, and modules there, which must not run."""
    shutil.copytree(made, home, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    for place, name in itertools.product((home, home / "data"), names):
        (place / f"{name}.py").write_text(f"open({str(home / 'RAN')!r}, 'a').close()\n")
    return home


@pytest.fixture(scope="module")
def hostile(made, tmp_path_factory):
    return copied(made, tmp_path_factory.mktemp("hostile") / "home", "functions")


@pytest.fixture(scope="module")
def shadowed(made, tmp_path_factory):
    return copied(made, tmp_path_factory.mktemp("shadowed") / "home", *_NAMES, "functions")


@pytest.mark.parametrize(
    "command",
    [
        "show data",
        "compare data other --anyway",
        "report data other --out page.html",
        "doctor data",
        "list methods",
    ],
)
def test_reading_runs_nothing(shadowed, command):
    hpsearch(*command.split(), cwd=shadowed, program=(str(_SCRIPT),))
    assert not (shadowed / "RAN").exists()


def test_in_the_directory_itself(shadowed):
    """By `python -m hpsearch`, whose path begins with that directory."""
    hpsearch("show", ".", cwd=shadowed / "data", program=PROGRAM)
    assert not (shadowed / "RAN").exists()


def revisit(name, out):
    return _REVISITS[name].replace("OUT", out).split()


@pytest.mark.parametrize(("name", "out"), slow_but(_FEW, _PAIRS))
def test_a_function_that_results_name_is_not_run(hostile, name, out):
    said = hpsearch(*revisit(name, out), cwd=hostile, code=3).stderr
    assert f'"{_NAMED[out]}", and going on would run that code; if it is yours, add' in said
    assert f"--trust {_NAMED[out]} (or --sweep FILE" in said
    assert len(said.splitlines()) == 1
    assert not (hostile / "RAN").exists()


def test_it_is_not_run_where_another_one_is_trusted(hostile):
    trust = ("--trust", "functions:other", "--sweep", "other.yaml")
    hpsearch(*revisit("export", "model"), *trust, cwd=hostile, code=3)
    assert not (hostile / "RAN").exists()


@pytest.mark.parametrize("out", _NAMING)
def test_no_command_runs_it_unasked(hostile, out):
    for arguments in (["doctor", out], ["show", out], ["report", out], ["compare", out, "other"]):
        hpsearch(*arguments, cwd=hostile, code=None)
    if out == "method":
        # Nor does any command run what proposed the trials.
        hpsearch(*revisit("export", out), cwd=hostile)
        hpsearch(*revisit("evaluate", out), cwd=hostile)
    assert not (hostile / "RAN").exists()


def test_python_asks_as_commands_do(hostile, monkeypatch):
    monkeypatch.chdir(hostile)
    results = package.load("model")
    for read in (
        lambda: results.export("m.keras"),
        lambda: results.evaluate("validation"),
        lambda: results.reproduce(1),
        lambda: package.compare("data", "other", anyway=True, settle=5),
    ):
        with pytest.raises(package.HpsearchError, match="going on would run that code"):
            read()
    with pytest.raises(package.HpsearchError, match="trust: must be a function"):
        package.load("model", trust=["os.abort"])
    assert not (hostile / "RAN").exists()


@pytest.mark.parametrize("out", _NAMED)
def test_it_is_run_where_it_is_trusted(made, out):
    hpsearch(*revisit("reproduce", out), "--trust", _NAMED[out], cwd=made)
    hpsearch(*revisit("export", out), "--sweep", f"{out}.yaml", cwd=made)


@pytest.mark.slow
def test_a_program_trusts_what_its_own_sweep_names(made, tmp_path, monkeypatch):
    monkeypatch.chdir(made)
    results = package.run("data.yaml", out=tmp_path / "out")
    with pytest.raises(package.HpsearchError, match="going on would run that code"):
        package.load(tmp_path / "out").reproduce(1)
    assert results.reproduce(1).equal
    assert package.load(tmp_path / "out", trust=["functions:read"]).reproduce(1).equal


@pytest.mark.slow
def test_no_pickle_is_on_the_disk(tmp_path):
    """A model that only a pickle can carry to the workers is known to its program alone."""
    units = 4

    def build(hp):
        import keras

        model = keras.Sequential(
            [keras.Input((2,)), keras.layers.Dense(units), keras.layers.Dense(2)]
        )
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("sgd", loss, metrics=["accuracy"])
        return model

    x = np.random.default_rng(0).normal(size=(40, 2))
    y = (x[:, 0] > 0).astype(int)
    results = package.tune(
        x, y, model=build, trials=1, parameters={"epochs": 1}, out=tmp_path / "o"
    )
    assert results.reproduce(1).equal
    for path in (tmp_path / "o").iterdir():
        assert b"cloudpickle" not in path.read_bytes()
    with pytest.raises(package.HpsearchError, match=r"the rows were arrays|going on would run"):
        package.load(tmp_path / "o").reproduce(1)
