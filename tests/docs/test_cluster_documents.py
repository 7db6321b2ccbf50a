"""The lines of the clusters' README work: those for SLURM, and Dask's executor."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from ray_cluster import only_cluster
from readme import ROOT, block

pytestmark = pytest.mark.slow

#: Runs on this machine what is to run on nodes, without the options that say where and how.
_SRUN = """\
#!/bin/sh
while true; do
    case "$1" in
        -N | -w | -x) shift 2 ;;
        --overlap) shift ;;
        *) break ;;
    esac
done
exec "$@"
"""
_SCONTROL = f"""\
#!/bin/sh
test "$1 $2 $3" = "show hostnames nodes[1-4]" && echo {socket.gethostname()} && echo others
"""


def program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("", 0))
        return listening.getsockname()[1]


@pytest.fixture
def alone():
    with only_cluster():
        yield


def test_the_readme_s_lines_for_slurm_work(tmp_path, alone):
    home, bin_ = tmp_path / "home", tmp_path / "bin"
    home.mkdir()
    bin_.mkdir()
    program(bin_ / "srun", _SRUN)
    program(bin_ / "scontrol", _SCONTROL)
    program(bin_ / "hpsearch", f'#!/bin/sh\nexec {sys.executable} -m hpsearch "$@"\n')
    program(bin_ / "ray", f'#!/bin/sh\nexec {sys.executable} -m ray.scripts.scripts "$@"\n')
    (tmp_path / "sweep.yaml").write_text(
        "name: slurm\ndata: {dataset: digits}\n"
        "parameters: {units: [8, 16], optimizer: [adam, sgd], epochs: [2]}\n"
        "execution: {workers: 2}\n"
    )
    # One machine stands for four, and its CPUs for theirs.
    script = (
        block("slurm", "bash")
        .replace("6379", str(free_port()))
        .replace("--num-cpus=16", "--num-cpus=1")
        .replace("sleep 20", "sleep 8")
    )
    outside = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    (tmp_path / "job.sh").write_text(script)
    with subprocess.Popen(
        ["/bin/bash", "job.sh"],
        cwd=tmp_path,
        env=outside
        | {
            "HOME": str(home),
            "PATH": f"{bin_}:{os.environ['PATH']}",
            "SLURM_JOB_NODELIST": "nodes[1-4]",
            "RAY_USAGE_STATS_ENABLED": "0",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as job:
        try:
            job.wait(180)
        finally:
            # As SLURM does when the job's script has ended.
            os.killpg(job.pid, signal.SIGTERM)
        said = job.stdout.read()
    assert job.returncode == 0, said
    assert (home / ".ray" / "auth_token").read_text()
    table = pd.read_csv(tmp_path / "experiments" / "slurm" / "results.csv")
    assert table["status"].tolist() == ["completed"] * 4
    assert "2 workers" in said


def test_the_readme_s_lines_for_dask_work(tmp_path):
    (tmp_path / "sweeps").symlink_to(ROOT / "sweeps")
    (tmp_path / "program.py").write_text(block("dask", "py"))
    subprocess.run([sys.executable, "program.py"], cwd=tmp_path, check=True)
    assert len(pd.read_csv(tmp_path / "experiments" / "digits" / "results.csv")) == 102
