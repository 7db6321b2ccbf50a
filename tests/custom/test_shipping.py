"""Functions of the user's cross to processes that cannot import their module."""

import importlib.util
import pickle
import subprocess
import sys
from threading import Lock

import keras
import numpy as np
import pandas as pd
import pytest
import user_models

from hpsearch.custom.shipping import model_reference, shipped
from hpsearch.errors import InputError
from hpsearch.spec.rules import REFERENCE


@pytest.fixture(autouse=True)
def registry(monkeypatch):
    """An empty registry: other tests register layers whose modules the other process lacks."""
    registration = "keras.src.saving.object_registration"
    monkeypatch.setattr(f"{registration}.GLOBAL_CUSTOM_OBJECTS", {})
    monkeypatch.setattr(f"{registration}.GLOBAL_CUSTOM_NAMES", {})


def called_elsewhere(function):
    """Call a function in a process that has none of this one's modules."""
    code, held = shipped(function, "it")
    assert len(code) < 4_000
    load = "import pickle, sys; _, code = pickle.load(sys.stdin.buffer)"
    done = subprocess.run(
        [sys.executable, "-c", f"{load}; print(pickle.loads(code)(20))"],
        input=pickle.dumps((held, code)), capture_output=True, check=False, cwd="/",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


def test_a_function_of_a_file_that_is_no_module_there(tmp_path, monkeypatch):
    path = tmp_path / "homemade.py"
    path.write_text("ONE = 1\n\ndef added(number):\n    return number + ONE\n")
    spec = importlib.util.spec_from_file_location("homemade", path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "homemade", module)
    spec.loader.exec_module(module)
    assert called_elsewhere(module.added) == "21"


def test_a_lambda_and_what_it_closes_over():
    two = 2
    assert called_elsewhere(lambda number: number + two) == "22"


def test_large_arrays_are_no_part_of_the_pickle():
    array = np.arange(1 << 20)
    frame = pd.DataFrame({"x": array[::2], "y": array[::2]})
    assert called_elsewhere(lambda number: int(array[number] + frame["y"][number])) == "60"


def test_what_is_registered_with_keras_is_registered_there():
    @keras.saving.register_keras_serializable("homemade")
    class Twice(keras.layers.Layer):
        pass

    config = keras.layers.serialize(Twice())
    code, _ = shipped(lambda: keras.layers.deserialize(config), "it")
    keras.saving.get_custom_objects().clear()
    again = pickle.loads(code)()
    assert type(again).__name__ == "Twice"
    assert keras.layers.serialize(again)["registered_name"] == "homemade>Twice"
    keras.saving.get_custom_objects().clear()


def test_what_can_be_imported_goes_by_its_name():
    code, _ = shipped(user_models.dense, "dense")
    assert len(code) < 100
    assert pickle.loads(code) is user_models.dense


@pytest.mark.parametrize(
    ("value", "reason"), [(Lock(), "pickle '_thread.lock'"), (keras.Input((2,)), "made outside")]
)
def test_what_cannot_be_pickled_is_said(value, reason):
    with pytest.raises(InputError, match=f"it: cannot be.*{reason}"):
        shipped(lambda: value, "it")


@pytest.mark.parametrize(
    ("model", "reference"),
    [
        (user_models.dense, "user_models:dense"),
        (user_models.Fitted, "user_models:Fitted"),
        (user_models.fitted, "user_models:Fitted"),
        ("text", "builtins:str"),
    ],
)
def test_names_are_as_in_a_sweep_file(model, reference):
    assert model_reference(model) == reference
    assert REFERENCE.match(model_reference(lambda hp: hp))
