"""GPUs: each training has its own, over kills and repetitions; no GPU is needed to show it."""

from collections import defaultdict
from functools import partial

import objectives
import psutil
import pytest
from commands import hpsearch, start, wait_for

import hpsearch as library
from hpsearch import machine
from hpsearch.engine.session import Settings
from hpsearch.errors import InputError
from hpsearch.spec.execution import ExecutionSettings

SWEEP = """\
program: train.py
metric: {name: loss, goal: minimize}
parameters: {x: [1, 2, 3, 4, 5, 6, 7, 8]}
execution: {workers: 4, devices: [0, 3], retries: 2}
"""
#: Notes the GPU, and when it had it.
TRAIN = """\
import os, sys, time
began = time.monotonic()
with open(f"pids/{os.getpid()}", "w") as file:
    file.write(os.environ["CUDA_VISIBLE_DEVICES"])
time.sleep(0.3)
assert os.environ["CUDA_VISIBLE_DEVICES"] == os.environ["HIP_VISIBLE_DEVICES"]
with open("runs", "a") as file:
    file.write(f"{os.environ['CUDA_VISIBLE_DEVICES']} {began} {time.monotonic()}\\n")
print("loss:", 1.0)
"""


@pytest.fixture
def home(tmp_path):
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "pids").mkdir()
    return tmp_path


def runs(home):
    """GPU -> the beginnings and ends of its programs, in order."""
    times = defaultdict(list)
    for line in (home / "runs").read_text().splitlines():
        device, began, ended = line.split()
        times[device].append((float(began), float(ended)))
    return {device: sorted(pairs) for device, pairs in times.items()}


def most_at_once(pairs):
    moments = sorted([(began, 1) for began, _ in pairs] + [(ended, -1) for _, ended in pairs])
    most = now = 0
    for _, change in moments:
        now += change
        most = max(most, now)
    return most


def test_two_programs_never_share_a_gpu(home):
    said = hpsearch("run", "sweep.yaml", "--out", "out", cwd=home)
    assert "the GPUs have room for 2 trainings at a time" in said.stderr
    found = runs(home)
    assert sum(map(len, found.values())) == 8
    assert {device: most_at_once(pairs) for device, pairs in found.items()} == {"0": 1, "3": 1}


def test_so_many_may_share_one(home):
    hpsearch(
        *("run", "sweep.yaml", "--out", "out", "--set", "execution.workers_per_device=2"), cwd=home
    )
    assert {device: most_at_once(pairs) for device, pairs in runs(home).items()} == {"0": 2, "3": 2}


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["program", "worker"])
def test_the_gpu_of_a_process_that_died_is_used_again(home, victim):
    (home / "train.py").write_text(TRAIN.replace("sleep(0.3)", "sleep(1)"))
    run = start("sweep.yaml", cwd=home, out="out")
    wait_for(lambda: list((home / "pids").iterdir()))
    killed = next((home / "pids").iterdir())
    process = psutil.Process(int(killed.name))
    (process if victim == "program" else process.parent()).kill()
    assert run.process.wait(120) == 0
    found = runs(home)
    assert sum(map(len, found.values())) >= 7
    assert set(found) == {"0", "3"}
    assert max(map(most_at_once, found.values())) == 1


@pytest.fixture
def pretend(monkeypatch, tmp_path):
    """Pretends that there are these variables, and files of so many NVIDIA GPUs."""

    def set_up(variables, files):
        for name in machine.DEVICE_VARIABLES:
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(machine, "_DEVICE_FILES", tmp_path)
        for number in range(files):
            (tmp_path / f"nvidia{number}").touch()

    return set_up


@pytest.mark.parametrize(
    ("variables", "files", "asked", "names"),
    [
        ({}, 2, "auto", ("0", "1")),
        ({}, 0, "auto", None),
        ({}, 2, "none", ()),
        ({}, 2, (1,), ("1",)),
        ({}, 2, (2,), "there is no GPU 2: this machine has 2"),
        # Without NVIDIA's files it cannot be checked.
        ({}, 0, (7,), ("7",)),
        ({"CUDA_VISIBLE_DEVICES": "5, GPU-abc"}, 8, "auto", ("5", "GPU-abc")),
        ({"CUDA_VISIBLE_DEVICES": "5, GPU-abc"}, 8, (1, 0), ("GPU-abc", "5")),
        ({"CUDA_VISIBLE_DEVICES": "5, GPU-abc"}, 8, (2,), "there is no GPU 2: the environment"),
        ({"CUDA_VISIBLE_DEVICES": "0,-1,1"}, 2, "auto", ("0",)),
        ({"CUDA_VISIBLE_DEVICES": "0,0"}, 2, "auto", ("0",)),
        ({"CUDA_VISIBLE_DEVICES": "1,0,2"}, 2, "auto", ("1", "0")),
        ({"CUDA_VISIBLE_DEVICES": "NoDevFiles"}, 2, "auto", None),
        ({"HIP_VISIBLE_DEVICES": "2,3"}, 0, (1,), ("3",)),
    ],
)
def test_the_machine_and_its_environment_limit_the_gpus(pretend, variables, files, asked, names):
    pretend(variables, files)
    devices_for = partial(Settings().devices_for, auto=True)
    if isinstance(names, str):
        with pytest.raises(InputError, match=names):
            devices_for(ExecutionSettings(devices=asked))
        return
    assert devices_for(ExecutionSettings(devices=asked)) == names
    shared = devices_for(ExecutionSettings(devices=asked, workers_per_device=2))
    assert shared == (names and tuple(name for name in names for _ in range(2)))


def test_auto_assigns_no_gpu_to_functions_and_in_pools(monkeypatch):
    monkeypatch.setattr("hpsearch.engine.session.gpus", lambda: ["0"])
    assert Settings().devices_for(ExecutionSettings(), auto=False) is None
    assert Settings(in_process=True).devices_for(ExecutionSettings(devices=(0,)), auto=True) is None


def test_a_function_sees_the_gpus_that_it_is_given(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "67")

    def seen(devices):
        results = library.optimize(
            objectives.environment_number,
            {"variable": ["CUDA_VISIBLE_DEVICES"], "number": [1, 2]},
            "grid",
            workers=2,
            execution={"devices": devices},
        )
        return {*results.table["score"]}

    assert [seen("auto"), seen([0]), seen("none")] == [{67.0}, {67.0}, {-1.0}]


def test_a_command_names_the_gpu_of_its_trial(home):
    command = 'command: ["${interpreter}", "${program}", "${envvar:CUDA_VISIBLE_DEVICES}"]\n'
    (home / "sweep.yaml").write_text(command + SWEEP.replace("[0, 3]", "[0, 1]"))
    check = "\nassert sys.argv[1] == os.environ['CUDA_VISIBLE_DEVICES'], sys.argv\n"
    (home / "train.py").write_text(TRAIN + check)
    environment = {"CUDA_VISIBLE_DEVICES": "5,6"}
    said = hpsearch("run", "sweep.yaml", "--out", "out", cwd=home, env=environment)
    assert "8 completed" in said.stdout
    assert set(runs(home)) == {"5", "6"}
