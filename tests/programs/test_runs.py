"""Runs of programs by the command: rows, resume, edits, seeds, halving, reproduction."""

import concurrent.futures

import pandas as pd
import pytest
from commands import git, hpsearch, in_sessions, wait_for

import hpsearch as package
from hpsearch.spec.sweep import load_sweep
from hpsearch.workers.executors import opened_executor
from hpsearch.workers.servers import Servers

SWEEP = """\
program: train.py
metric: {name: loss, goal: minimize}
parameters: {x: [1, 2, 3]}
"""
TRAIN = """\
import sys
x = float(sys.argv[1].split("=")[1])
with open("runs", "a") as file:
    file.write(f"{x}\\n")
for epoch in (1, 2):
    print("loss:", x / epoch)
"""


@pytest.fixture
def home(tmp_path):
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    (tmp_path / "train.py").write_text(TRAIN)
    return tmp_path


def rows(home, out="out"):
    return pd.read_csv(home / out / "results.csv")


def run(home, *arguments, code=0):
    return hpsearch("run", "sweep.yaml", "--out", "out", *arguments, cwd=home, code=code)


def started(home):
    return (home / "runs").read_text().split()


@pytest.mark.slow
def test_a_run_its_rows_and_what_becomes_of_an_edited_program(home):
    (home / ".gitignore").write_text("out*\nruns\n")
    git(home, "init", "-q")
    git(home, "add", ".")
    git(home, "commit", "-qm", "first")
    said = run(home)
    assert "3 trials, 3 completed, 3 trained now" in said.stdout
    table = rows(home)
    assert table["score"].tolist() == table["loss"].tolist() == [0.5, 1.0, 1.5]
    assert table["epochs_trained"].tolist() == [2, 2, 2]
    commit = git(home, "rev-parse", "HEAD")[:12]
    assert set(table["program_commit"]) == {commit}
    assert len(pd.read_csv(home / "out" / "curves.csv")) == 6
    assert len(started(home)) == 3

    with (home / "train.py").open("a") as file:
        file.write("# edited\n")
    refused = run(home, "--set", "parameters.x=[1,4]", code=3)
    assert "the program has been edited" in refused.stderr
    assert "--anyway-code" in refused.stderr
    assert len(started(home)) == 3
    run(home, "--set", "parameters.x=[1,4]", "--anyway-code")
    table = rows(home)
    assert table["x"].tolist() == [1, 2, 3, 4]
    assert table["data"].nunique() == 2
    assert table["program_commit"].tolist() == [commit] * 3 + [f"{commit}+dirty"]
    assert "all is sound" in hpsearch("doctor", "out", cwd=home).stdout
    # From the beginning, beside the old directory.
    run(home, "--fresh")
    assert rows(home)["data"].nunique() == 1
    (aside,) = home.glob("out.*")
    assert (aside / "trials/1/run-1/stdout.log").exists()
    assert sorted(path.name for path in (home / "out/trials").glob("[0-9]*")) == ["1", "2", "3"]


@pytest.mark.slow
def test_every_command_on_the_results_of_a_program(home):
    run(home)
    planned = hpsearch("plan", "sweep.yaml", "--out", "out", cwd=home).stdout
    assert "trials     3" in planned
    assert "train.py --x=1" in planned
    assert "best trials by loss" in hpsearch("show", "out", cwd=home).stdout
    hpsearch("run", "sweep.yaml", "--set", "parameters.x=[1]", "--out", "best", cwd=home)
    hpsearch("report", "out", cwd=home)
    hpsearch("compare", "out", "best", cwd=home)
    ran = len(started(home))
    line = hpsearch("reproduce", "out", "--trial", 2, cwd=home).stdout
    assert line.split()[-2:] == [str(home / "train.py"), "--x=2"]
    assert len(started(home)) == ran
    (home / "train.py").write_text("print('loss: 7')")
    edited = hpsearch("reproduce", "out", "--trial", 2, "--sweep", "sweep.yaml", cwd=home, code=3)
    assert "has been edited" in edited.stderr
    for command in (("export", "out", "--out", "m.keras"), ("evaluate", "out", "--split", "test")):
        assert "of a function or a program" in hpsearch(*command, cwd=home, code=2).stderr


@pytest.mark.slow
def test_a_program_that_ended_before_a_rung_never_runs_again(home):
    # Each tells two epochs, and ends before the second rung.
    (home / "sweep.yaml").write_text(
        SWEEP.replace("[1, 2, 3]", "{min: 1, max: 1000}")
        + "method: {name: asha, min_epochs: 1, factor: 2}\nbudget: {trials: 6}\n"
    )
    run(home, "--workers", "1")
    first = rows(home)
    ended = first[first["epochs_trained"] == 2]
    assert set(first["status"]) <= {"stopped", "completed"}
    assert len(ended) >= 1
    ran = len(started(home))
    run(home, "--workers", "1")
    assert len(started(home)) == ran
    pd.testing.assert_frame_equal(first, rows(home))


KERAS = """\
import argparse
import keras
import numpy as np

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int)
parser.add_argument("--verbose", type=int)
args = parser.parse_args()
x = np.random.default_rng(0).normal(size=(320, 4)).astype("float32")
y = (x.sum(axis=1, keepdims=True) > 0).astype("float32")
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, activation="sigmoid")])
model.compile(keras.optimizers.SGD(0.5), "binary_crossentropy", metrics=["accuracy"])
model.fit(x, y, epochs=args.epochs, validation_split=0.25, verbose=args.verbose)
"""
KERAS_SWEEP = """\
program: train.py
method: grid
metric: {name: val_loss, goal: minimize}
early_terminate: {type: hyperband, min_iter: 3}
command: ["${env}", "${interpreter}", "${program}", "--epochs", "3", "${args}"]
parameters: {verbose: {values: [1, 2]}}
"""


@pytest.mark.slow
def test_a_script_of_keras_tells_by_its_progress_lines(home):
    """As users of W&B have it: lines that Keras writes over, and lines of their own."""
    (home / "train.py").write_text(KERAS)
    (home / "sweep.yaml").write_text(KERAS_SWEEP)
    run(home)
    table, curves = rows(home), pd.read_csv(home / "out" / "curves.csv")
    assert table["error"].isna().all()
    assert table["verbose"].tolist() == [1, 2]
    assert table["epochs_trained"].tolist() == [3, 3]
    assert len(curves) == 6
    assert (curves[["loss", "val_loss", "accuracy", "val_accuracy"]] > 0).all(axis=None)
    assert (curves.groupby("trial")["val_loss"].diff().dropna() < 0).all()


def test_thread_settings_of_workers_do_not_reach_the_program(home, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    for name in ("MKL_NUM_THREADS", "KERAS_BACKEND"):
        monkeypatch.delenv(name, raising=False)
    (home / "train.py").write_text(
        "import os\n"
        "assert os.environ['OMP_NUM_THREADS'] == '3'\n"
        "assert not {'MKL_NUM_THREADS', 'KERAS_BACKEND'} & os.environ.keys()\n"
        "print('loss: 1')\n"
    )
    run(home)
    assert set(rows(home)["status"]) == {"completed"}


HANGING = """\
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"],
                         start_new_session=True)
if sys.argv[1] == "--x=1":
    print("loss: 1")
    sys.exit()
print("loss: 3", flush=True)
with open("pids.new", "w") as file:
    file.write(f"{os.getpid()} {child.pid}")
os.replace("pids.new", "pids")
time.sleep(1000)
"""


@pytest.mark.slow
def test_a_program_that_takes_too_long_is_a_timeout_and_leaves_nothing(home):
    (home / "train.py").write_text(HANGING)
    settings = ("--set", "execution.timeout=5s", "--set", "parameters.x=[1,2]", "--workers", "1")
    run(home, *settings)
    table = rows(home)
    assert table["status"].tolist() == ["completed", "timeout"]
    # It keeps what it had told.
    assert table["loss"].tolist() == [1, 3]
    assert table["epochs_trained"].tolist() == [1, 1]
    assert "all is sound" in hpsearch("doctor", "out", cwd=home).stdout
    pids = [int(pid) for pid in (home / "pids").read_text().split()]
    wait_for(lambda: not in_sessions(pids), seconds=10, what="the program to end")


def test_a_program_has_no_memory_limit_unless_one_is_set(home):
    limits = {"execution.memory=2GB": 2 * 10**9, "execution.workers=1": None}
    for setting, limit in limits.items():
        sweep = load_sweep(home / "sweep.yaml", [setting])
        with (
            (home / "log").open("a") as log,
            Servers(log, tensorflow=False) as servers,
            opened_executor(sweep.execution, 1, log, servers=servers) as executor,
        ):
            assert executor._memory_bytes == limit


def test_a_run_in_which_all_failed_says_why(home):
    (home / "train.py").write_text("raise ValueError('odd')")
    said = run(home, code=1).stdout
    shown = hpsearch("show", "out", cwd=home).stdout
    for text in (said, shown):
        assert "3 executions: the program ended (exit status 1): ValueError: odd" in text


def test_seeds_that_no_argument_tells_are_warned_of(home):
    said = run(home, "--set", "seeds=2", "--set", "parameters.x=[1]")
    assert "no argument tells the program its seed" in said.stderr
    assert (home / "out/trials/1-seed1/run-1").is_dir()


def test_metrics_of_any_name_have_columns_of_their_own(home):
    (home / "train.py").write_text(
        "print('seed: 7 fold: 1 epoch: 2 trial: 3 score: 4 metric_score: 5 x: 6 =: 1')\n"
        "print(*(f'name{n}: {n}' for n in range(1000)))\n"
        "print('loss: 0.5')\n"
    )
    run(home, "--set", "parameters.x=[1]")
    table, curves = rows(home), pd.read_csv(home / "out" / "curves.csv")
    shown = ["metric_seed", "metric_score", "metric_metric_score", "metric_x", "score", "seed", "x"]
    assert table.loc[0, shown].tolist() == [7, 4, 5, 6, 0.5, 0, 1]
    assert curves.loc[0, ["metric_seed", "metric_epoch", "epoch"]].tolist() == [7, 2, 1]
    assert len(table.columns) < 250
    assert "all is sound" in hpsearch("doctor", "out", cwd=home).stdout


def test_trials_of_somebody_elses_are_not_touched(home):
    (home / "out/trials").mkdir(parents=True)
    (home / "out/trials/mine").write_text("x")
    assert "is not a run's" in run(home, code=3).stderr
    assert (home / "out/trials/mine").read_text() == "x"


def test_an_executor_is_refused(home):
    with (
        concurrent.futures.ThreadPoolExecutor(1) as pool,
        pytest.raises(package.HpsearchError, match="executor: programs run on this machine"),
    ):
        package.run(home / "sweep.yaml", out=home / "out", executor=pool)
    assert not (home / "out").exists()
