"""FAULTS 25: parts of a Ray cluster are lost, the head too; the union of the results is whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from commands import hpsearch, stored_results, wait_for
from outcomes import assert_same
from ray_cluster import ENVIRONMENT, RayCluster, ray_cluster

pytestmark = pytest.mark.slow
_TRIALS = 24
_SWEEP: dict[str, Any] = {
    "data": {"dataset": "digits"},
    "parameters": {
        "hidden_layers": [1, 2],
        "units": [64, 128, 192],
        "activation": ["relu", "tanh"],
        "optimizer": ["adam", "momentum"],
        "epochs": [500],
    },
    "execution": {"workers": 2},
}
#: Far beyond what a driver waits for a head.
_DRIVER_ENDS_SECONDS = 120


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(_SWEEP, sort_keys=False))
    return tmp_path


class _Run:
    """The real command on a cluster, in the directory `torn`."""

    def __init__(self, home: Path, cluster: RayCluster) -> None:
        self.out = home / "torn"
        with (home / "said").open("a") as said:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "hpsearch", "run", "sweep.yaml", "--out", "torn"),
                    *("--engine", "ray", "--set", f"execution.address={cluster.address}"),
                ],
                cwd=home,
                stdout=said,
                stderr=said,
                env=os.environ | ENVIRONMENT,
            )
        self.said = home / "said"

    def wait_for_more(self) -> None:
        """Until it has stored two results more than there are."""
        wanted = stored_results(self.out) + 2
        wait_for(
            lambda: stored_results(self.out) >= wanted or self.process.poll() is not None,
            seconds=90,
            what="two more results",
        )
        assert self.process.poll() is None, self.said.read_text()

    def ended(self) -> int:
        return self.process.wait(_DRIVER_ENDS_SECONDS)


def test_workers_a_node_the_driver_and_the_head_are_lost_and_no_result_is(home: Path) -> None:
    hpsearch("run", "sweep.yaml", "--out", "whole", cwd=home)
    with ray_cluster(nodes=2) as cluster:
        run = _Run(home, cluster)
        run.wait_for_more()
        _any_worker(cluster).send_signal(signal.SIGKILL)
        run.wait_for_more()
        cluster.kill(cluster.nodes[-1])
        run.wait_for_more()
        cluster.add()
        run.wait_for_more()
        run.process.kill()
        assert run.ended() == -signal.SIGKILL
        run = _Run(home, cluster)
        run.wait_for_more()
        before = stored_results(run.out)
        # The head first: its nodes would end by themselves a minute later.
        for node in tuple(cluster.nodes):
            cluster.kill(node)
        assert run.ended() == 2
        assert before <= stored_results(run.out) < _TRIALS
    with ray_cluster(nodes=2) as anew:
        run = _Run(home, anew)
        assert run.ended() == 0, run.said.read_text()
    assert_same(home / "torn", home / "whole", _TRIALS)
    said = run.said.read_text()
    assert "trying once more" in said
    assert "went away" in said
    assert "does not answer; what was finished is stored" in said
    assert "Traceback" not in said


def _any_worker(cluster: RayCluster) -> Any:
    workers = [worker for node in cluster.nodes for worker in node.workers]
    return workers[0]


_PEER = """\
import pathlib
import ray
ray.init(address=ADDRESS, log_to_driver=False)
ray.get(ray.remote(lambda: pathlib.Path(LEFT).touch()).remote())
"""
#: A peer's environment -> whether it may submit work.
_PEERS: dict[str, tuple[dict[str, str], bool]] = {
    "the token": (ENVIRONMENT, True),
    "none": ({"RAY_AUTH_MODE": "disabled"}, False),
    "another": ({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "f" * 64}, False),
}


def test_a_peer_without_the_token_cannot_submit_work(home: Path) -> None:
    outside = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    wrong = _PEERS["another"][0]
    with ray_cluster(nodes=1) as cluster, ThreadPoolExecutor() as threads:
        ours = threads.submit(_our_own, home, cluster.address, wrong)
        peers = {}
        for name, (environment, _) in _PEERS.items():
            source = _PEER.replace("ADDRESS", repr(cluster.address))
            source = source.replace("LEFT", repr(str(home / name)))
            peers[name] = threads.submit(_end_of, source, outside | environment)
        for name, peer in peers.items():
            code, said = peer.result()
            allowed = _PEERS[name][1]
            assert (code == 0, (home / name).exists()) == (allowed, allowed), said
            if not allowed:
                assert "nauthenticated" in said
        refused = ours.result()
    assert f"execution.address: {cluster.address}" in refused
    assert "token" in refused
    assert "Traceback" not in refused


def _end_of(source: str, environment: dict[str, str]) -> tuple[int | None, str]:
    """How a program ends, or what it has said after a while of trying."""
    command = [sys.executable, "-c", source]
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
    except subprocess.TimeoutExpired as tried:
        return None, (tried.stdout or b"").decode()
    return done.returncode, done.stdout


def _our_own(home: Path, address: str, environment: dict[str, str]) -> str:
    """Return the message of a driver that has the wrong token."""
    where = f"execution.address={address}"
    command = ("run", "sweep.yaml", "--engine", "ray", "--set", where)
    return hpsearch(*command, cwd=home, code=2, env=environment).stderr
