"""Functions of the user's cross to processes that cannot import their module."""

from __future__ import annotations

import importlib.util
import pickle
import subprocess
import sys

import pytest
import user_models

from hpsearch.custom.shipping import model_reference, shipped
from hpsearch.errors import InputError

_LOAD = "import sys, pickle; print(pickle.loads(sys.stdin.buffer.read())(20))"


def called_elsewhere(code):
    """Call the function in a process that has none of this one's modules."""
    done = subprocess.run(
        [sys.executable, "-c", _LOAD], input=code, capture_output=True, check=False, cwd="/"
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


def test_a_function_of_a_file_that_is_no_module_there(tmp_path, monkeypatch):
    path = tmp_path / "homemade.py"
    path.write_text("ONE = 1\n\ndef added(number):\n    return number + ONE\n")
    spec = importlib.util.spec_from_file_location("homemade", path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "homemade", module)
    spec.loader.exec_module(module)
    assert called_elsewhere(shipped(module.added, "added")[0]) == "21"


def test_a_lambda_and_what_it_closes_over():
    two = 2
    assert called_elsewhere(shipped(lambda number: number + two, "it")[0]) == "22"


def test_what_can_be_imported_goes_by_its_name():
    code, _ = shipped(user_models.dense, "dense")
    assert len(code) < 100
    assert pickle.loads(code) is user_models.dense


def test_what_cannot_be_pickled_is_said(tmp_path):
    with (tmp_path / "open").open("w") as file, pytest.raises(InputError, match="it: cannot be"):
        shipped(lambda: file.write("x"), "it")


@pytest.mark.parametrize(
    ("model", "reference"),
    [
        (user_models.dense, "user_models:dense"),
        (user_models.Fitted, "user_models:Fitted"),
        (user_models.fitted, "user_models:Fitted"),
        ("text", "builtins:str"),
    ],
)
def test_names(model, reference):
    assert model_reference(model) == reference


def test_a_lambda_has_a_name_that_a_sweep_file_can_have():
    from hpsearch.spec.rules import REFERENCE

    assert REFERENCE.match(model_reference(lambda hp: hp))
