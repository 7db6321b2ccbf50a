"""`hpsearch.Search`: ask and tell."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import hpsearch as hpsearch_command
from objectives import bowl

import hpsearch
from hpsearch.errors import InputError, RefusedError

PLANE = {"x": {"min": -10.0, "max": 10.0}, "y": {"min": -10.0, "max": 10.0}}


def run_python(code: str, home: Path) -> subprocess.CompletedProcess[bytes]:
    # Python 3.12 warns of a fork beside the libraries' threads.
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code]
    return subprocess.run(command, cwd=home, capture_output=True, check=False)


def run(search: hpsearch.Search, count: int) -> list[dict[str, Any]]:
    configs = []
    for _ in range(count):
        trial = search.ask()
        assert trial is not None
        configs.append(dict(trial.config))
        search.tell(trial, bowl(trial))
    return configs


@pytest.mark.parametrize("method", ["random", "sobol", "tpe", "bayesian", "auto"])
def test_it_proposes_what_optimize_would_try(method: str) -> None:
    with hpsearch.Search(PLANE, method, trials=30) as search:
        asked = run(search, 30)
        assert search.ask() is None
        table, best = search.table, search.best
    tried = hpsearch.optimize(bowl, PLANE, method, trials=30)
    assert asked == tried.table[["x", "y"]].to_dict("records")
    columns = [name for name in table if name not in ("seconds", "sweep", "data")]
    assert table[columns].equals(tried.table[columns])
    assert best["score"] == tried.best["score"] < 12
    assert (tried.table["status"] == "completed").all()
    assert tried.best["score"] == bowl(dict(tried.best[["x", "y"]]))
    assert {"x", "y", "objective", "config", "seconds"} <= set(tried.table.columns)
    assert "units" not in tried.table


def test_a_grid_ends_by_itself() -> None:
    search = hpsearch.Search({"units": [32, 64], "kind": ["a", "b"]}, "grid")
    trials = []
    while (trial := search.ask()) is not None:
        trials.append(trial)
    assert [trial.number for trial in trials] == [1, 2, 3, 4]
    # Several are open, and told in any order.
    for trial in reversed(trials):
        search.tell(trial.number, trial["units"])
    assert search.best["units"] == 32
    assert search.table["trial"].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("method", ["auto", "random"])
def test_a_later_search_continues_with_the_open_trials_first(method: str, tmp_path: Path) -> None:
    def search() -> hpsearch.Search:
        return hpsearch.Search(PLANE, method, out=tmp_path / "out", seed=np.int64(3))

    whole = run(hpsearch.Search(PLANE, method, seed=3), 25)
    with search() as first:
        before = run(first, 12)
        lost = first.ask()
        assert lost is not None
    with search() as second:
        assert run(second, 13) == whole[12:]
        assert second.table["trial"].tolist() == [*range(1, 26)]
    assert before == whole[:12]
    assert lost.config == whole[12]
    assert hpsearch.load(tmp_path / "out").best["score"] == min(map(bowl, whole))
    renamed = (tmp_path / "out").rename(tmp_path / "renamed")
    assert hpsearch_command("doctor", renamed, cwd=tmp_path).returncode == 0


def test_nothing_is_lost_if_the_program_is_killed(tmp_path: Path) -> None:
    code = (
        "import hpsearch, os, signal\n"
        "search = hpsearch.Search({'x': [1, 2, 3, 4]}, 'grid', out='out')\n"
        "for _ in range(3):\n    trial = search.ask()\n    search.tell(trial, trial['x'])\n"
        "search.ask()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert run_python(code, tmp_path).returncode == -signal.SIGKILL
    with hpsearch.Search({"x": [1, 2, 3, 4]}, "grid", out=tmp_path / "out") as search:
        assert search.table["score"].tolist() == [1, 2, 3]
        trial = search.ask()
        assert trial is not None
        assert trial["x"] == 4
        search.tell(trial, 4)
        assert search.ask() is None


def test_it_need_not_be_closed_and_a_forked_child_leaves_it_alone(tmp_path: Path) -> None:
    code = (
        "import hpsearch, os\n"
        "search = hpsearch.Search({'x': [1, 2]}, 'grid', out='out')\n"
        "trial = search.ask()\n"
        "if os.fork() == 0:\n    raise SystemExit\n"
        "os.wait()\n"
        "search.tell(trial, trial['x'])\n"
    )
    ended = run_python(code, tmp_path)
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert hpsearch.load(tmp_path / "out").table["score"].tolist() == [1]


def test_it_is_read_after_its_end() -> None:
    with hpsearch.Search(PLANE) as search:
        run(search, 3)
    assert not search.directory.exists()
    assert len(search.table) == 3
    assert search.best["score"] == search.table["score"].min()
    for call in (search.ask, lambda: search.tell(1, 1.0)):
        with pytest.raises(InputError, match="the search is closed"):
            call()


def test_a_trial_without_a_score_is_a_row_of_its_own() -> None:
    search = hpsearch.Search(PLANE, trials=4)
    for told in (
        {"score": math.nan},
        {"failed": "out of\nmemory"},
        {"score": 2},
        {"failed": ArithmeticError()},
    ):
        trial = search.ask()
        assert trial is not None
        search.tell(trial, **told)
    table = search.table
    assert table["status"].tolist() == ["diverged", "failed", "completed", "failed"]
    assert table["error"].tolist()[1::2] == ["out of memory", "ArithmeticError"]
    assert search.best["trial"] == 3


def test_mistakes_are_told(tmp_path: Path) -> None:
    search = hpsearch.Search(PLANE, out=tmp_path / "out")
    with pytest.raises(InputError, match="no trial has a score yet"):
        _ = search.best
    trial = search.ask()
    assert trial is not None
    assert {trial: 1}[trial] == 1
    for arguments, message in (
        ((7, 1.0), r"trial: 7 is no open trial: ask\(\) has not returned it"),
        ((trial.config, 1.0), "trial: must be what ask"),
        ((trial,), "give a score, or the reason"),
        ((trial, "0.5"), "score: must be a number, not '0.5'"),
        ((replace(trial, config={}), 1.0), "trial 1 of this search has another config"),
    ):
        with pytest.raises(InputError, match=message):
            search.tell(*arguments)
    search.tell(trial, 1.0)
    with pytest.raises(InputError, match="1 is no open trial: its result is there"):
        search.tell(trial, 1.0)
    with pytest.raises(RefusedError, match="a search of this program holds it: close that"):
        hpsearch.Search(PLANE, out=tmp_path / "out")
    search.close()
    with pytest.raises(RefusedError, match=r'split.parameters: was \["x", "y"\], is \["z"\]'):
        hpsearch.Search({"z": [1, 2]}, out=tmp_path / "out")
    for arguments, message in (
        ({"method": "asha"}, "method: asha halts trainings, and here a trial runs to its end"),
        ({"method": "keras_tuner.oracles:RandomSearchOracle"}, "proposes for Keras models"),
    ):
        with pytest.raises(InputError, match=message):
            hpsearch.Search(PLANE, **arguments)


def test_a_pair_of_numbers_is_said_to_be_two_values() -> None:
    with pytest.warns(UserWarning, match=r"\(-10, 10\) means these two values; a range is") as seen:
        hpsearch.Search({"x": (-10, 10)}, "grid")
    assert seen[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        hpsearch.Search({"x": [-10, 10], "y": ("a", "b"), "z": (1, 2, 3)}, "grid")


def test_asking_and_telling_takes_less_than_a_millisecond() -> None:
    search = hpsearch.Search(PLANE, "random")
    run(search, 100)
    assert len(search.table) == 100
    seconds = []
    for _ in range(5):
        began = time.process_time()
        run(search, 100)
        seconds.append((time.process_time() - began) / 100)
    assert min(seconds) < 1e-3
