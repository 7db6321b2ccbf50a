"""FAULTS 25: parts of a Ray cluster are lost, the head too; the union of the results is whole."""

import contextlib
import os
import signal
import subprocess
import sys

import pytest
from commands import PROGRAM, hpsearch, stored_results, sweep, wait_for
from outcomes import assert_same
from ray_cluster import ENVIRONMENT, ray_cluster

pytestmark = pytest.mark.slow
_TRIALS = 16
_SWEEP = """\
data: {dataset: digits}
parameters:
  hidden_layers: [1, 2]
  units: [64, 96, 128, 192]
  optimizer: [adam, momentum]
  epochs: [300]
execution: {workers: 2}
"""
#: Far beyond what a driver waits for a head.
_DRIVER_ENDS_SECONDS = 120


@pytest.fixture
def home(tmp_path):
    (tmp_path / "sweep.yaml").write_text(_SWEEP)
    return tmp_path


class _Run:
    """The real command on a cluster, in the directory `torn`."""

    def __init__(self, home, cluster):
        self.out = home / "torn"
        with (home / "said").open("a") as said:
            self.process = subprocess.Popen(
                [*PROGRAM, "run", "sweep.yaml", "--out", "torn", "--engine", "ray",
                 "--set", f"execution.address={cluster.address}"],
                cwd=home, stdout=said, stderr=said, env=os.environ | ENVIRONMENT,
            )  # fmt: skip
        self.said = home / "said"

    def wait_for_more(self):
        """Until it has stored a result more than there are."""
        wanted = stored_results(self.out) + 1
        wait_for(
            lambda: stored_results(self.out) >= wanted or self.process.poll() is not None,
            seconds=90,
            what="a result more",
        )
        assert self.process.poll() is None, self.said.read_text()


def test_workers_a_node_the_driver_and_the_head_are_lost_and_no_result_is(home):
    hpsearch("run", "sweep.yaml", "--out", "whole", cwd=home)
    with ray_cluster(nodes=2) as cluster:
        run = _Run(home, cluster)
        run.wait_for_more()
        next(worker for node in cluster.nodes for worker in node.workers).kill()
        run.wait_for_more()
        cluster.kill(cluster.nodes[-1])
        run.wait_for_more()
        cluster.add()
        run.wait_for_more()
        run.process.kill()
        assert run.process.wait() == -signal.SIGKILL
        run = _Run(home, cluster)
        run.wait_for_more()
        before = stored_results(run.out)
        # The head first: its nodes would end by themselves a minute later.
        for node in tuple(cluster.nodes):
            cluster.kill(node)
        assert run.process.wait(_DRIVER_ENDS_SECONDS) == 2
        assert before <= stored_results(run.out) < _TRIALS
    said = run.said.read_text()
    assert "trying once more" in said
    assert "went away" in said
    assert "does not answer; what was finished is stored" in said
    assert "Traceback" not in said
    # What is left runs on this machine.
    hpsearch("run", "sweep.yaml", "--out", "torn", cwd=home)
    assert_same(home / "torn", home / "whole", _TRIALS)


_PEER = """\
import pathlib
import ray
ray.init(address=ADDRESS, log_to_driver=False)
ray.get(ray.remote(lambda: pathlib.Path(LEFT).touch()).remote())
"""
#: What a peer has -> its environment.
_PEERS = {
    "the token": ENVIRONMENT,
    "none": {"RAY_AUTH_MODE": "disabled"},
    "another": {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "f" * 64},
}


def test_a_peer_without_the_token_cannot_submit_work(home):
    outside = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    with ray_cluster(nodes=1) as cluster:
        peers = {}
        for name, environment in _PEERS.items():
            source = _PEER.replace("ADDRESS", repr(cluster.address))
            source = source.replace("LEFT", repr(str(home / name)))
            with (home / f"said by {name}").open("w") as said:
                peers[name] = subprocess.Popen(
                    [sys.executable, "-c", source], env=outside | environment,
                    stdout=said, stderr=said,
                )  # fmt: skip
        options = ("--engine", "ray", "--set", f"execution.address={cluster.address}")
        refused = sweep(home, "", *options, code=2, env=_PEERS["another"]).stderr
        for name, peer in peers.items():
            # Without the token it may try for as long as it is let.
            with contextlib.suppress(subprocess.TimeoutExpired):
                peer.wait(60)
            peer.kill()
            told = (home / f"said by {name}").read_text()
            allowed = name == "the token"
            assert (peer.wait() == 0, (home / name).exists()) == (allowed, allowed), told
            assert allowed or "nauthenticated" in told
    assert f"execution.address: {cluster.address}" in refused
    assert "token" in refused
