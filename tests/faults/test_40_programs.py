"""FAULTS 40: a program ends with its run, and no trial runs twice at a time."""

import os
import signal

import pandas as pd
import psutil
import pytest
from commands import hpsearch, session_of, start, wait_for

_SWEEP = """\
command: {command}
metric: {{name: loss, goal: minimize}}
parameters: {{x: [1, 2]}}
execution: {{workers: 2}}
"""
_DIRECT = ("${interpreter}", "train.py", "${args}")
#: Two that do not become the program: its parent closes descriptors, or has another input.
_LAUNCHED = (
    "${interpreter}", "-c", "import subprocess, sys; subprocess.run(sys.argv[1:], check=True)",
    *_DIRECT,
)  # fmt: skip
_BEHIND = ("sh", "-c", '"$@" & wait $!', "sh", *_DIRECT)
_TRAIN = """\
import os, sys, time
name = sys.argv[1].strip("-")
with open(name, "a+") as file:
    file.seek(0)
    for pid in file.read().split():
        stat = f"/proc/{pid}/stat"
        if os.path.exists(stat) and open(stat).read().split()[2] != "Z":
            open("two at a time", "w").close()
    file.write(f"{os.getpid()} ")
for _ in range(6_000):
    time.sleep(0.01 * (not os.path.exists("go on")))
print("loss: 1")
"""


def programs(home):
    return [int(pid) for name in ("x=1", "x=2") for pid in (home / name).read_text().split()]


@pytest.mark.parametrize(
    ("victims", "command"),
    [
        ("driver", _DIRECT), ("servers", _DIRECT), ("servers", _LAUNCHED), ("workers", _LAUNCHED),
        ("all", _DIRECT), ("all", _LAUNCHED), ("all", _BEHIND),
    ],
)  # fmt: skip
@pytest.mark.slow
def test_a_program_ends_with_its_run_and_never_runs_twice_at_a_time(tmp_path, victims, command):
    (tmp_path / "sweep.yaml").write_text(_SWEEP.format(command=[*command]))
    (tmp_path / "train.py").write_text(_TRAIN)
    driver = start("sweep.yaml", cwd=tmp_path, out="out")
    wait_for(lambda: all((tmp_path / f"x={x}").exists() for x in (1, 2)), what="two programs")
    wait_for(lambda: len(programs(tmp_path)) == 2, what="their numbers")
    first = programs(tmp_path)
    light = driver.servers()
    servers = [*light, *(c.pid for c in psutil.Process(light[0]).children() if "tf" in c.name())]
    named = {"driver": [driver.pid], "servers": servers, "workers": driver.workers()}
    for pid in named.get(victims) or [pid for pids in named.values() for pid in pids]:
        os.kill(pid, signal.SIGKILL)
    if victims != "workers":
        driver.process.communicate()
        if command is _DIRECT:
            wait_for(lambda: not any(map(session_of, first)), 5, what="the programs to end")
        driver = start("sweep.yaml", cwd=tmp_path, out="out")
    wait_for(lambda: not any(map(session_of, first)), 5, what="the programs to end")
    wait_for(lambda: len(programs(tmp_path)) == 4, what="two further programs")
    (tmp_path / "go on").touch()
    driver.process.communicate()
    assert driver.process.returncode == 0
    assert not (tmp_path / "two at a time").exists()
    assert pd.read_csv(tmp_path / "out/results.csv")["status"].tolist() == ["completed"] * 2
    assert "all is sound" in hpsearch("doctor", "out", cwd=tmp_path).stdout
