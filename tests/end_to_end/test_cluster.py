"""The real command, and Python, on a Ray cluster of two nodes: the tables of one machine.

One file, since two clusters of tests would wait for each other.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import objectives
import pandas as pd
import psutil
import pytest
import yaml
from commands import end_all, hpsearch, start, wait_for
from outcomes import table
from ray_cluster import ENVIRONMENT, ray_cluster

import hpsearch as package

pytestmark = pytest.mark.slow


#: Every trainer but `fit`, a layer function, halted trainings that go on, several seeds.
MIXED = {
    "data": {"dataset": "digits"},
    "method": {"name": "asha", "factor": 2, "min_epochs": 1},
    "budget": {"trials": 16},
    "seeds": 2,
    "parameters": {
        "hidden_layers": [1, 2],
        "units": [8, 16],
        "layer_type": ["dense", "dropout", "odd_layers:wide"],
        "optimizer": ["adam", {"name": "sgd", "clipnorm": 1.0}],
        "learning_rate": {"min": 1e-3, "max": 1e-1, "scale": "log"},
        "epochs": 4,
    },
}


@pytest.fixture(scope="module")
def cluster():
    with ray_cluster(nodes=2) as made:
        yield made


@pytest.fixture
def on_cluster(cluster):
    return (
        *("--engine", "ray", "--workers", 2),
        *("--set", f"execution.address={cluster.address}"),
    )


def assert_equal(home: Path, *, least: int) -> None:
    for name in ("results.csv", "curves.csv"):
        here, there = (table(home / out, name) for out in ("here", "there"))
        assert len(here) >= least
        pd.testing.assert_frame_equal(here, there)


def test_all_kinds_of_trainings_give_the_same_tables(tmp_path, on_cluster):
    (tmp_path / "mixed.yaml").write_text(yaml.safe_dump(MIXED, sort_keys=False))
    one = ("--workers", 1)
    hpsearch("run", "mixed.yaml", "--out", "here", *one, cwd=tmp_path)
    # asha learns in the order of the results, which more workers change on any engine.
    there = (*on_cluster, *one)
    hpsearch("run", "mixed.yaml", "--out", "there", *there, cwd=tmp_path, env=ENVIRONMENT)
    assert_equal(tmp_path, least=16)
    assert set(table(tmp_path / "there")["trainer"]) >= {"native", "graph"}


def test_a_function_is_searched_on_a_cluster(tmp_path, cluster):
    execution = {"engine": "ray", "address": cluster.address}
    parameters = {"x": {"min": 0.0, "max": 4.0}, "y": [0.0, 1.0], "epochs": 8}
    tables = []
    for name, where in (("there", execution), ("here", None)):
        results = package.optimize(
            objectives.stepwise,
            parameters,
            "hyperband",
            trials=12,
            workers=2 if where else 1,
            execution=where,
            out=tmp_path / name,
        )
        tables.append(results.table)
    for rows in tables:
        assert set(rows["status"]) == {"completed", "stopped"}
        scores = (rows["x"] - 2) ** 2 + (rows["y"] - 1) ** 2 + 1 / rows["epochs_trained"]
        assert rows["score"].to_numpy() == pytest.approx(scores.to_numpy(), rel=1e-12)
    # Both propose the same configs first, before either has learnt.
    assert tables[0].loc[0, ["x", "y"]].equals(tables[1].loc[0, ["x", "y"]])
    assert (tmp_path / "there" / "run.log").exists()


@pytest.mark.parametrize(
    ("execution", "said"),
    [
        ({"engine": "ry"}, "execution.engine: unknown engine 'ry'"),
        ({"engine": "ray", "workers": 3}, "execution.workers: is an argument of its own"),
        ({"engine": "ray", "resources": {"CPU": "two"}}, "execution.resources.CPU: must be"),
        ({"address": "auto"}, "execution.address: has a meaning only with engine: ray"),
    ],
)
def test_a_bad_execution_is_told(execution, said):
    with pytest.raises(package.HpsearchError, match=said):
        package.optimize(
            objectives.bowl, {"x": [1.0], "y": [1.0]}, "grid", execution=execution, workers=2
        )


def test_a_cluster_needs_a_function_that_can_be_imported(cluster):
    with pytest.raises(package.HpsearchError, match="which a cluster needs: move it to the top"):
        package.optimize(
            lambda config: config["x"],
            {"x": [1.0, 2.0]},
            "grid",
            execution={"engine": "ray", "address": cluster.address},
        )


# Programs

#: Tells an epoch at a time, and goes on from a checkpoint; leaves a process of another session.
TRAIN = """\
import json, os, signal, subprocess, sys, time
import hpsearch

left = subprocess.Popen(["sleep", "1000"], start_new_session=True)
with open("pids", "a") as file:
    file.write(f"{os.getpid()} {left.pid}\\n")

def halted(*_):
    with open("halted", "a") as file:
        file.write(os.environ["HPSEARCH_TRIAL"] + "\\n")
    sys.exit(1)

signal.signal(signal.SIGTERM, halted)
x = json.load(open(os.environ["HPSEARCH_VALUES"]))["x"]
state = os.path.join(os.environ["HPSEARCH_CHECKPOINT"], "epoch")
first = int(open(state).read()) if "HPSEARCH_RESUME_FROM" in os.environ else 0
for epoch in range(first + 1, 5):
    with open(state + ".new", "w") as file:
        file.write(str(epoch))
    os.replace(state + ".new", state)
    hpsearch.report(epoch=epoch, loss=x / epoch)
    print("node", os.environ["TOKEN"], file=sys.stderr, flush=True)
    while x > 100 and epoch < 3 and not os.path.exists("go on"):
        time.sleep(0.01)
while HANGS:
    time.sleep(1)
"""
SWEEP = """\
command: ["${interpreter}", train.py, "--token=${envvar:TOKEN}", "${args}"]
metric: {name: loss, goal: minimize}
parameters: {x: [1, 2, 3, 4]}
"""


@pytest.fixture
def home(tmp_path):
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    (tmp_path / "train.py").write_text(f"HANGS = False\n{TRAIN}")
    yield tmp_path
    end_all()


def run(home, out, *arguments, code=0):
    # Nodes have an environment of their own: TOKEN comes from the driver.
    env = ENVIRONMENT | {"TOKEN": "mine"}
    return hpsearch("run", "sweep.yaml", "--out", out, *arguments, cwd=home, env=env, code=code)


def left(home):
    """Processes of the programs that are alive."""
    pids = map(int, (home / "pids").read_text().split())
    return [pid for pid in pids if psutil.pid_exists(pid) and not _dead(pid)]


def _dead(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_the_table_and_the_logs_are_those_of_one_machine(home, on_cluster):
    run(home, "here")
    run(home, "there", *on_cluster)
    for name in ("results.csv", "curves.csv"):
        here, there = (table(home / out, name) for out in ("here", "there"))
        pd.testing.assert_frame_equal(here, there)
    assert table(home / "there")["score"].tolist() == [0.25, 0.5, 0.75, 1.0]
    for trial in range(1, 5):
        assert "node mine" in (home / f"there/trials/{trial}/run-1/stderr.log").read_text()
    wait_for(lambda: not left(home), seconds=10, what="what the programs started to end")
    assert "4 trained now" not in run(home, "there", *on_cluster).stdout


def test_programs_are_halted_at_a_rung_and_go_on_elsewhere(home, on_cluster):
    asha = (
        *("--set", "method={name: asha, min_epochs: 1, factor: 2, brackets: 1}"),
        *("--set", "budget.trials=6", "--set", "parameters.epochs=4"),
        *("--set", "parameters.x={min: 200, max: 300}"),
    )
    # Each waits after an epoch until it is halted.
    run(home, "there", *asha, *on_cluster)
    rows = table(home / "there")
    assert set(rows["status"]) <= {"stopped", "completed"}
    assert rows["score"].to_numpy() == pytest.approx(rows["x"] / rows["epochs_trained"])
    assert rows.loc[rows["score"].idxmin(), "epochs_trained"] == 4
    gone_on = rows[rows["trainer"] == "program+checkpoint"]
    assert len(gone_on) >= 2
    halted = (home / "halted").read_text().split()
    assert set(halted) == set(map(str, rows["trial"]))
    for trial in gone_on["trial"]:
        assert len(list((home / f"there/trials/{trial}").glob("run-*"))) >= 2


def test_a_timeout_ends_what_the_program_started(home, on_cluster):
    (home / "train.py").write_text(f"HANGS = True\n{TRAIN}")
    limits = ("--set", "execution.timeout=3s", "--set", "parameters.x=[1, 2]")
    run(home, "out", *limits, *on_cluster, code=1)
    assert table(home / "out")["status"].tolist() == ["timeout"] * 2
    wait_for(lambda: not left(home), seconds=10, what="the programs to end")


@pytest.mark.parametrize("how", ["kill", "terminate"])
def test_a_driver_that_ends_leaves_no_program_and_the_run_goes_on(how, home, on_cluster):
    env = ENVIRONMENT | {"TOKEN": "mine"}
    many = ("--set", "parameters.x=[1, 200, 300]")
    driver = start("sweep.yaml", *many, *on_cluster, cwd=home, out="out", env=env)
    driver.wait_for_results(1)
    wait_for(lambda: len((home / "pids").read_text().splitlines()) >= 3)
    assert left(home)
    getattr(driver.process, how)()
    driver.process.communicate()
    wait_for(lambda: not left(home), seconds=60, what="the programs to end")
    (home / "go on").touch()
    run(home, "out", *many, *on_cluster)
    rows = table(home / "out")
    assert rows["score"].tolist() == [0.25, 50, 75]
    # They had told an epoch, and went on from their checkpoints.
    assert rows["trainer"].tolist() == ["program", *["program+checkpoint"] * 2]


def test_a_killed_worker_costs_a_run_of_its_program_alone(home, cluster, on_cluster):
    env = ENVIRONMENT | {"TOKEN": "mine"}
    one = ("--set", "parameters.x=[200]")
    driver = start("sweep.yaml", *one, *on_cluster, cwd=home, out="out", env=env)
    wait_for((home / "pids").exists)
    first = wait_for(lambda: left(home))
    (worker,) = {
        each for node in cluster.nodes for each in node.workers if _is_of(each.pid, first[0])
    }
    worker.kill()
    wait_for(lambda: not set(first) & set(left(home)), seconds=10, what="the program to end")
    (home / "go on").touch()
    said, _ = driver.process.communicate(timeout=120)
    assert driver.process.returncode == 0, said
    assert table(home / "out")["score"].tolist() == [50]


def _is_of(worker, pid):
    """Whether a process comes from a worker."""
    try:
        return worker in {parent.pid for parent in psutil.Process(pid).parents()}
    except psutil.NoSuchProcess:
        return False


def test_any_executor_runs_programs(home, monkeypatch):
    monkeypatch.chdir(home)
    monkeypatch.setenv("TOKEN", "mine")
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
        results = package.run("sweep.yaml", out="out", workers=2, executor=pool)
        assert results.table["score"].tolist() == [0.25, 0.5, 0.75, 1.0]
        assert Path("out/trials/4/run-1/stderr.log").read_text().count("node mine") == 4
        # What its programs have started ends with them, not with the pool.
        assert not left(home)


#: Fails beside another process of it.
EXCLUSIVE = """\
import os, time
import hpsearch

os.close(os.open("running", os.O_CREAT | os.O_EXCL))
while not os.path.exists("go on"):
    time.sleep(0.01)
os.unlink("running")
hpsearch.report(loss=1)
"""
DRIVER = """\
import concurrent.futures, multiprocessing, hpsearch

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        print(hpsearch.run("sweep.yaml", out="out", workers=1, executor=pool).table["score"][0])
"""


def test_a_program_that_outlives_its_driver_is_waited_for(home):
    (home / "train.py").write_text(EXCLUSIVE)
    (home / "sweep.yaml").write_text(SWEEP.replace("[1, 2, 3, 4]", "[1]"))
    (home / "driver.py").write_text(DRIVER)
    lock = str(home / "out" / "trials" / "1" / ".lock")
    drivers = []

    def drive():
        drivers.append(
            subprocess.Popen(
                [sys.executable, "driver.py"],
                cwd=home,
                env=ENVIRONMENT | {"TOKEN": "mine"},
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        )
        return drivers[-1]

    try:
        first = drive()
        wait_for((home / "running").exists)
        first.kill()
        second = drive()
        wait_for(lambda: lock in _open_files(second.pid), what="the second run to come to the lock")
        (home / "go on").touch()
        said, _ = second.communicate(timeout=60)
        assert said.splitlines()[-1] == "1.0"
    finally:
        for driver in drivers:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(driver.pid, signal.SIGKILL)
            driver.communicate()


def _open_files(pid):
    """Files that a process and those that come from it have open."""
    found = set()
    with contextlib.suppress(psutil.NoSuchProcess):
        driver = psutil.Process(pid)
        for process in (driver, *driver.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                found |= {file.path for file in process.open_files()}
    return found
