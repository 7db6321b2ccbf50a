"""The names of KerasTuner, its modules' and its arguments, under `hpsearch.tuners`."""

import importlib
import inspect
import pkgutil

import keras_tuner
import pytest
from commands import environment, zygote

import hpsearch.tuners as kt

_CLASSES = ("BayesianOptimization", "GridSearch", "Hyperband", "RandomSearch", "Tuner")
_MODULES = [
    each.name.removeprefix("keras_tuner.")
    for each in pkgutil.walk_packages(keras_tuner.__path__, "keras_tuner.")
    if not each.name.startswith("keras_tuner.src")
]


def test_the_classes_are_kerastuners():
    for name in _CLASSES:
        assert issubclass(getattr(kt, name), getattr(keras_tuner, name))
        assert issubclass(getattr(kt, name), kt.Tuner)
    assert kt.HyperModel is keras_tuner.HyperModel
    assert kt.__version__ == keras_tuner.__version__
    with pytest.raises(AttributeError):
        kt.NoSuchThing  # noqa: B018


def test_all_names_are_kerastuners():
    public = {name for name in vars(keras_tuner) if not name.startswith("_")} - {"src"}
    assert set(kt.__all__) == public


@pytest.mark.parametrize("name", _MODULES)
def test_a_module_has_kerastuners_names_and_our_classes(name):
    theirs = importlib.import_module(f"keras_tuner.{name}")
    ours = importlib.import_module(f"hpsearch.tuners.{name}")
    names = [each for each in vars(theirs) if not each.startswith("_")]
    assert names
    for each in names:
        found, original = getattr(ours, each), getattr(theirs, each)
        if each in _CLASSES:
            assert found is getattr(kt, each)
        elif not inspect.ismodule(original):
            assert found is original


def test_import_statements_find_them(tmp_path):
    """In a new process, where nothing has imported a module of ours before."""
    program = tmp_path / "program.py"
    program.write_text(
        "from hpsearch.tuners.engine.hypermodel import HyperModel\n"
        "import hpsearch.tuners.engine.tuner as t\n"
        "from hpsearch.tuners import *\n"
        "from hpsearch.tuners.oracles import HyperbandOracle\n"
        "from hpsearch.tuners.tuners import RandomSearch as R\n"
        "assert R is RandomSearch and t.Tuner is Tuner and issubclass(HyperModel, object)\n"
        "assert R.__module__.startswith('hpsearch')\n"
    )
    done = zygote().run([str(program)], cwd=tmp_path, env=environment(), seconds=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", _CLASSES)
def test_the_arguments_are_kerastuners_and_workers(name):
    ours = inspect.signature(getattr(kt, name)).parameters
    theirs = inspect.signature(getattr(keras_tuner, name)).parameters
    assert [each for each in ours if each != "workers"] == list(theirs)
    assert all(ours[each].default == theirs[each].default for each in theirs)
    assert ours["workers"].kind is inspect.Parameter.KEYWORD_ONLY


def test_a_subclass_may_use_any_name():
    """Of the public names, none is ours."""
    for name in _CLASSES:
        assert {each for each in dir(getattr(kt, name)) if not each.startswith("_")} == {
            each for each in dir(getattr(keras_tuner, name)) if not each.startswith("_")
        }
