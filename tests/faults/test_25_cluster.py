"""FAULTS 25: parts of a Ray cluster are lost, the head too; the union of the results is whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
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
        "epochs": [150],
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


@pytest.mark.parametrize(
    "environment",
    [
        {"RAY_AUTH_MODE": "disabled"},
        {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "f" * 64},
    ],
    ids=["no token", "another token"],
)
def test_a_peer_without_the_token_cannot_submit_work(
    environment: dict[str, str], tmp_path: Path
) -> None:
    left = tmp_path / "left"
    program = f"""\
        import ray
        ray.init(address=ADDRESS, log_to_driver=False)
        ray.get(ray.remote(lambda: open({str(left)!r}, "w").close()).remote())
    """
    with ray_cluster(nodes=1) as cluster:
        source = textwrap.dedent(program).replace("ADDRESS", repr(cluster.address))
        for given, works in ((ENVIRONMENT, True), (environment, False)):
            left.unlink(missing_ok=True)
            peer = [sys.executable, "-c", source]
            kept = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
            with subprocess.Popen(
                peer, env=kept | given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            ) as process:
                try:
                    said, _ = process.communicate(timeout=45)
                except subprocess.TimeoutExpired:
                    process.kill()
                    said, _ = process.communicate()
            assert left.exists() == works, said
            assert (process.returncode == 0) == works
            if not works:
                assert "nauthenticated" in said or "AuthenticationError" in said


def test_our_own_driver_is_refused_without_the_right_token(home: Path) -> None:
    with ray_cluster(nodes=0) as cluster:
        address = f"execution.address={cluster.address}"
        said = hpsearch(
            *("run", "sweep.yaml", "--engine", "ray", "--set", address),
            cwd=home,
            code=2,
            env={"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "f" * 64},
        ).stderr
    assert f"execution.address: {cluster.address}" in said
    assert "token" in said
    assert "Traceback" not in said
