"""The examples in public docstrings run, and give what they show."""

import doctest
import importlib
import warnings
from pathlib import Path

import pytest

import hpsearch

ROOT = Path(__file__).resolve().parents[2]
MODULES = (
    *("hpsearch", "hpsearch.api", "hpsearch.functions.asking", "hpsearch.results"),
    "hpsearch.sklearn.estimators",
)
EXAMPLES = [
    pytest.param(test, id=test.name)
    for name in MODULES
    for test in doctest.DocTestFinder(exclude_empty=True).find(importlib.import_module(name))
    if test.examples
]


@pytest.mark.slow
@pytest.mark.parametrize("test", EXAMPLES)
def test_an_example_runs(test, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sweeps").symlink_to(ROOT / "sweeps")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Of the libraries, not of the examples.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        told: list[str] = []
        result = doctest.DocTestRunner().run(test, out=told.append, clear_globs=False)
    assert not result.failed, "".join(told)


def test_every_public_function_has_an_example():
    names = {param.id.rpartition(".")[2] for param in EXAMPLES}
    public = {"compare", "load", "optimize", "run", "tune", "Results", "Search"}
    assert public <= names
    assert public <= set(hpsearch.__all__)
