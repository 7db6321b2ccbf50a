"""Results directories joined: which row is kept, under which numbers, and what comes along."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hpsearch.data.specs import Task
from hpsearch.errors import InputError, RefusedError
from hpsearch.runs.merging import merge_directories
from hpsearch.space.execution import Execution, ExecutionResult, Snapshot, Status
from hpsearch.space.space import Config, Kind
from hpsearch.store.directory import ResultsDirectory
from hpsearch.store.doctor import Severity, examine
from hpsearch.store.facts import Evaluation, Identity, Measurement
from hpsearch.store.store import Store
from hpsearch.store.tables import read_table

IDENTITY: dict[str, Any] = {
    "data": "d0123456789a",
    "split": {},
    "metric": "objective:maximize:last",
    "recipe": {"seed": 0},
}


def row(
    a: int, score: float | None = 0.5, status: str = "completed", seed: int = 0, **given: Any
) -> tuple[Config, int, dict[str, Any]]:
    curve = () if score is None else ({"objective": score},)
    result = {"status": Status(status), "score": score, "curve": curve, **given}
    result["scored_epoch"] = len(curve) or None
    return Config({"a": a}, Kind.FUNCTION), seed, result


def make(path: Path, *rows: Any, kind: Kind = Kind.FUNCTION, looks: Any = (), **other: Any) -> Path:
    """Write a results directory; a row without a status is only planned."""
    path.mkdir()
    trials: dict[str, int] = {}
    executions, results = [], []
    for number, (config, seed, result) in enumerate(rows, 1):
        trial = trials.setdefault(config.id, len(trials) + 1)
        executions.append(Execution(number, trial, config, seed, method="random"))
        if result["status"]:
            results.append(ExecutionResult(number, **result))
    with Store(path / "sweep.db") as store:
        identity = Identity(**IDENTITY | other)
        store.set_facts(identity=identity, task=Task.OBJECTIVE, kind=kind, evaluations=looks)
        store.add_executions(executions)
        store.add_results(results)
    return path


def merged(tmp_path: Path, *sources: Path) -> pd.DataFrame:
    merge_directories(sources, tmp_path / "out")
    assert {each.level for each in examine(tmp_path / "out")} <= {Severity.SOUND, Severity.NOTE}
    return read_table(tmp_path / "out")


def test_trials_of_the_first_come_first_and_then_the_new_ones(tmp_path):
    first = make(tmp_path / "first", row(5, 0.5), row(3, 0.3), row(5, 0.6, seed=1))
    second = make(tmp_path / "second", row(9, 0.9), row(3, 0.4, seed=1), row(5, 0.5))
    table = merged(tmp_path, first, second)
    assert list(zip(table["trial"], table["a"], table["seed"], table["score"], strict=True)) == [
        (1, 5, 0, 0.5),
        (1, 5, 1, 0.6),
        (2, 3, 0, 0.3),
        (2, 3, 1, 0.4),
        (3, 9, 0, 0.9),
    ]


@pytest.mark.parametrize(
    ("ours", "theirs", "kept"),
    [
        (("failed", None), ("completed", 0.7), 0.7),
        (("completed", 0.5), ("failed", None), 0.5),
        (("stopped", 0.5), ("completed", 0.7), 0.7),
        (("completed", 0.5), ("stopped", 0.7), 0.5),
        (("completed", 0.5), ("completed", 0.7), 0.5),
        (("killed", None), ("stopped", 0.7), 0.7),
    ],
)
def test_the_row_that_says_more_is_kept(tmp_path, ours, theirs, kept):
    first = make(tmp_path / "first", row(1, ours[1], ours[0]))
    second = make(tmp_path / "second", row(1, theirs[1], theirs[0]))
    assert merged(tmp_path, first, second)["score"].tolist() == [kept]


def test_a_planned_execution_takes_the_row_of_another_directory(tmp_path):
    planned = (Config({"a": 1}, Kind.FUNCTION), 0, {"status": None})
    first = make(tmp_path / "first", planned, row(2))
    second = make(tmp_path / "second", row(1, 0.7))
    lines = merge_directories([first, second], tmp_path / "out")
    assert lines == [f"2 trials in {tmp_path}/out: 1 of {first}, 1 of {second}"]
    assert read_table(tmp_path / "out")["score"].tolist() == [0.7, 0.5]


def test_other_scores_of_one_execution_are_told(tmp_path):
    first = make(tmp_path / "first", row(1, 0.5), row(2, 0.5))
    second = make(tmp_path / "second", row(1, 0.6), row(2, 0.5))
    line = merge_directories([first, second], tmp_path / "out")[1]
    assert line.startswith("warning: 1 execution scored otherwise in another directory")


def test_code_that_was_edited_between_runs_is_said(tmp_path):
    first, second = make(tmp_path / "first", row(1)), make(tmp_path / "second", row(2))
    for path, code in ((first, "3.11:a"), (second, "3.11:b")):
        with Store(path / "sweep.db") as store:
            store.set_facts(code=code)
    said = merge_directories([first, second], tmp_path / "out")[1]
    assert "was edited between these runs" in said
    with Store(tmp_path / "out" / "sweep.db", read_only=True) as store:
        assert store.facts().code == "3.11:a"


def test_what_belongs_to_a_row_comes_along(tmp_path):
    array, other = np.arange(3.0), np.ones(2)
    halted = Snapshot(1, (array,), (other,))
    first = make(tmp_path / "first", row(8, versions={"keras": "3.1"}))
    second = make(
        tmp_path / "second",
        row(9, state=(array, other)),
        row(7, shared_with=1, versions={"keras": "3.2"}, snapshot=halted),
    )
    assert merged(tmp_path, first, second)["keras"].tolist()[::2] == ["3.1", "3.2"]
    with Store(tmp_path / "out" / "sweep.db", read_only=True) as store:
        assert store.results()[3].shared_with == 2
        assert [a.tolist() for a in store.weights(2) or ()] == [[0, 1, 2], [1, 1]]
        found = store.snapshot(3)
        assert found is not None
        assert (found.epoch, [a.tolist() for a in found.best or ()]) == (1, [[1, 1]])


def test_recorded_evaluations_come_along_once(tmp_path):
    def look(config: Config, time: str) -> Evaluation:
        return Evaluation(time, 1, config.id, 0, "test", 9, "a", {"a": Measurement(0.5)})

    one, two = row(1), row(2)
    ensemble = replace(look(one[0], "2024-03-01"), trial=0, config="ensemble 0123abcd")
    first = make(tmp_path / "first", one, looks=(look(one[0], "2024-02-01"), ensemble))
    second = make(tmp_path / "second", two, looks=(look(two[0], "2024-01-01"),))
    merge_directories([first, second, first], tmp_path / "out")
    with Store(tmp_path / "out" / "sweep.db", read_only=True) as store:
        found = store.facts().evaluations
    assert [(each.time, each.trial) for each in found[:2]] == [("2024-01-01", 2), ("2024-02-01", 1)]
    assert found[2:] == (ensemble,)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"data": "d9"}, 'data: "d0123456789a" in {first}, "d9" in {second}'),
        ({"metric": "a:b:c"}, 'metric: "objective:maximize:last" in {first}, "a:b:c" in {second}'),
        ({"recipe": {"seed": 3}}, "recipe.seed: 0 in {first}, 3 in {second}"),
        ({"kind": Kind.STEPWISE}, 'kind: "function" in {first}, "stepwise" in {second}'),
    ],
)
def test_rows_that_cannot_be_compared_are_refused(tmp_path, other, said):
    first, second = make(tmp_path / "first", row(1)), make(tmp_path / "second", row(1), **other)
    with pytest.raises(RefusedError) as raised:
        merge_directories([first, second], tmp_path / "out")
    assert said.format(first=first, second=second) in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_nothing_is_overwritten(tmp_path):
    sources = [make(tmp_path / "first", row(1)), make(tmp_path / "second", row(2))]
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for place in (out, out / "mine.txt", tmp_path / "link", sources[0]):
        with pytest.raises(RefusedError, match="must be a new or empty directory"):
            merge_directories(sources, place)
    assert [each.name for each in out.iterdir()] == ["mine.txt"]
    (out / "mine.txt").unlink()
    merge_directories(sources, out)
    assert ResultsDirectory(out).results.exists()
    assert not list(tmp_path.glob(".hpsearch-*"))


def test_a_directory_without_results_is_bad_input(tmp_path):
    first = make(tmp_path / "first", row(1))
    (tmp_path / "empty").mkdir()
    planned = make(tmp_path / "planned", (Config({"a": 1}, Kind.FUNCTION), 0, {"status": None}))
    with pytest.raises(InputError, match="takes two results directories or more, not 1"):
        merge_directories([first], tmp_path / "out")
    with pytest.raises(InputError, match="empty: no results directory"):
        merge_directories([first, tmp_path / "empty"], tmp_path / "out")
    with pytest.raises(InputError, match="planned: has no results yet"):
        merge_directories([first, planned], tmp_path / "out")
