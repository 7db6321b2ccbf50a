"""FAULTS 13: trials that fail, hang, diverge and die are rows, of bounded length."""

import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest
from commands import ODD_LAYERS, sweep

import hpsearch
from hpsearch.errors import DataError
from hpsearch.store.store import Store
from hpsearch.store.trials import best_trial
from hpsearch.workers.protocol import Call
from hpsearch.workers.work import run

_MIXED = """\
data: {dataset: digits, validation: 0.2, seed: 42}
parameters:
  hidden_layers: 1
  units: 16
  layer_type: ["odd_layers:raising", dense, "odd_layers:hanging", "odd_layers:dying"]
  optimizer: [adam, {name: sgd, learning_rate: 1000000}]
  l2: 0.1                         # times that rate: weights grow without bound
  activation: relu
  epochs: [1, 2]
execution: {timeout: 6s, workers: 2}
"""
_ALL_FAIL = """\
data: {dataset: digits, validation: 0.2, seed: 42}
parameters:
  layer_type: "odd_layers:raising"
  units: 16
  batch_size: [8, 16, 32, 64, 128, 256, 512]
  epochs: 1
"""
_CHARACTERS = 5_000_000
#: Of an error, with the exception's name and the note about its length.
_MOST = 11_000


def test_every_end_is_a_row_and_retry_trains_the_unlucky(tmp_path):
    shutil.copy(ODD_LAYERS, tmp_path)
    said = sweep(tmp_path, _MIXED)
    rows = pd.read_csv(tmp_path / "out" / "results.csv")
    statuses = rows.groupby("layer_type")["status"].agg(list).to_dict()
    assert statuses == {
        "odd_layers:raising": ["failed"] * 4,
        "odd_layers:hanging": ["timeout"] * 4,
        "odd_layers:dying": ["killed"] * 4,
        "dense": ["completed", "completed", "diverged", "diverged"],
    }
    bad = rows[rows["status"] != "completed"].set_index("trial")
    assert bad["score"].isna().all()
    reasons = bad.groupby("status")["error"].unique().map(list).to_dict()
    assert reasons["failed"] == ["RuntimeError: no layer of 16 today"]
    assert reasons["timeout"] == ["took longer than execution.timeout, 6 s"]
    assert reasons["killed"] == ["the worker ended (SIGSEGV)"]
    assert all("is nan" in error or "is inf" in error for error in reasons["diverged"])
    assert best_trial(rows)["status"] == "completed"
    assert "trying once more" in said.stderr
    with Store(tmp_path / "out" / "sweep.db", read_only=True) as store:
        stored = store.results()
    failed = rows[rows["status"] == "failed"]["trial"]
    assert all('raise RuntimeError(f"no layer' in stored[n].traceback for n in failed)

    # Without --retry, all of them stay; with it, all but the diverged are trained.
    mended = (tmp_path / "odd_layers.py").read_text()
    for name in ("raising", "hanging", "dying"):
        mended = mended.replace(f"def {name}(", f"def _{name}(") + f"\n\n{name} = plain\n"
    (tmp_path / "odd_layers.py").write_text(mended)
    assert "2 completed, 0 trained now" in sweep(tmp_path).stdout
    # These take their time, on a busy machine the more.
    said = sweep(tmp_path, "", "--retry", "--set", "execution.timeout=2m")
    assert "8 completed, 12 trained now" in said.stdout
    again = pd.read_csv(tmp_path / "out" / "results.csv")
    assert (again["config"] == rows["config"]).all()
    assert set(again["status"]) == {"completed", "diverged"}
    assert again["error"].notna().sum() == 8


@pytest.mark.slow
def test_a_sweep_of_which_all_trials_fail_alike_stops_early_and_goes_on(tmp_path):
    shutil.copy(ODD_LAYERS, tmp_path)
    said = sweep(tmp_path, _ALL_FAIL, "--workers", 1, code=1)
    assert "stopped early: the first 5 trainings all failed alike: RuntimeError: no" in said.stdout
    assert "5 executions: RuntimeError: no layer of 16 today" in said.stdout
    rows = pd.read_csv(tmp_path / "out" / "results.csv")
    assert list(rows["status"]) == ["failed"] * 5
    assert not (tmp_path / "out" / "best.keras").exists()
    # What is left goes on; the failed ones come again when they are asked for.
    said = sweep(tmp_path, "", "--workers", 1, code=1)
    assert "7 trials, 0 completed, 2 trained now" in said.stdout
    with (tmp_path / "odd_layers.py").open("a") as layers:
        layers.write("\n\nraising = noisy\n")
    # The console script finds functions of the working directory, too.
    script = [Path(sys.executable).with_name("hpsearch")]
    said = sweep(tmp_path, "", "--retry", program=script)
    assert "7 completed, 7 trained now" in said.stdout
    # What a worker says is in run.log, not on the screen.
    assert "said by process" in (tmp_path / "out" / "run.log").read_text()
    assert "said" not in said.stdout + said.stderr


def endless(config):
    if config["a"]:
        raise ValueError("x" * _CHARACTERS)
    return 1.0


def test_a_long_error_is_cut_in_row_traceback_report_and_log(tmp_path):
    results = hpsearch.optimize(endless, {"a": [0, 1]}, method="grid", out=tmp_path)
    (error,) = pd.read_csv(tmp_path / "results.csv")["error"].dropna()
    assert error.startswith("ValueError: xxx")
    assert error.endswith("x... (5,000,000 characters in all)")
    assert len(error) < _MOST
    with Store(tmp_path / "sweep.db", read_only=True) as store:
        (trace,) = (each.traceback for each in store.results().values() if each.traceback)
    assert "in endless" in trace
    assert "characters in all" in trace
    assert len(trace) < _MOST
    results.report(str(tmp_path / "report.html"))
    for path in tmp_path.iterdir():
        assert "x" * _MOST not in path.read_text("utf-8", "replace"), path


def test_a_long_error_of_a_call_is_cut(capfd):
    events = []
    run(Call(endless, ({"a": 1},)), None, 1, events.append)
    assert len(events[0].error) < _MOST
    said = capfd.readouterr().err
    assert "in endless" in said
    assert len(said) < _MOST


def test_a_long_error_of_the_function_for_data_is_cut(tmp_path, monkeypatch):
    (tmp_path / "long_errors.py").write_text(f"def rows(): raise ValueError('z' * {_CHARACTERS})\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    text = "data: {python: 'long_errors:rows'}\nparameters: {units: [4]}\n"
    (tmp_path / "sweep.yaml").write_text(text)
    with pytest.raises(DataError, match=r"z\.\.\. \(5,000,000 characters in all\)") as caught:
        hpsearch.run(tmp_path / "sweep.yaml", out=tmp_path / "out")
    assert len(str(caught.value)) < _MOST
