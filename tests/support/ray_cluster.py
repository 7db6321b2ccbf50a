"""A real Ray cluster of several nodes on one machine, with a token, and ways to lose parts of it.

It is held by a process of its own, run by this file: Ray keeps much of it in global variables.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from unittest import mock

import psutil

#: Ray reads the token once a process: all clusters of this one have the same.
ENVIRONMENT = {
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
    "RAY_USAGE_STATS_ENABLED": "0",
}
_OBJECTS_BYTES = 2**28
#: The lock of `only_cluster` while this process has it.
_HELD: list[IO[str]] = []


@dataclass(frozen=True)
class Node:
    """One node: Ray's id of it, and its raylet."""

    node_id: str
    raylet: int

    @property
    def workers(self) -> list[psutil.Process]:
        """Its processes of actors that train."""
        children = psutil.Process(self.raylet).children()
        return [p for p in children if "RayWorker" in " ".join(p.cmdline())]


class RayCluster:
    """A head without CPUs, and nodes."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | ENVIRONMENT,
        )
        self.nodes: list[Node] = []
        self.head = self.add(0, include_dashboard=False)
        self.address: str = self._ask("address")

    def _ask(self, what, **options):
        self._process.stdin.write(json.dumps([what, options]) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def add(self, cpus: float = 1, *, env: Mapping[str, str] = {}, **options) -> Node:
        """One more node, once the others know of it."""
        node = Node(*self._ask("add", num_cpus=cpus, env=dict(env), **options))
        self.nodes.append(node)
        return node

    def kill(self, node: Node) -> None:
        """All processes of a node at once, without a word; the head's too."""
        self.nodes.remove(node)
        workers = psutil.Process(node.raylet).children(recursive=True)
        self._ask("kill", node_id=node.node_id)
        for worker in workers:
            with contextlib.suppress(psutil.NoSuchProcess):
                worker.kill()

    def close(self) -> None:
        """End all."""
        self._process.communicate(timeout=60)


@contextlib.contextmanager
def only_cluster() -> Iterator[None]:
    """Wait until no other test process has one: clusters that start may take each other's ports."""
    if _HELD:
        yield
        return
    with (Path(tempfile.gettempdir()) / "hpsearch-tests-ray.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        _HELD.append(file)
        try:
            yield
        finally:
            _HELD.clear()
            # Closing it would not do: forked processes have it, too.
            fcntl.flock(file, fcntl.LOCK_UN)


@contextlib.contextmanager
def ray_cluster(nodes: int = 2) -> Iterator[RayCluster]:
    """So many nodes of one CPU, and an environment in which they are found."""
    with only_cluster(), mock.patch.dict(os.environ, ENVIRONMENT):
        cluster = RayCluster()
        try:
            for _ in range(nodes):
                cluster.add()
            yield cluster
        finally:
            cluster.close()


def _serve() -> None:
    from ray.cluster_utils import Cluster

    answers, sys.stdout = sys.stdout, sys.stderr
    cluster = Cluster()
    nodes = {}

    def add(*, env, **options):
        with mock.patch.dict(os.environ, env):
            node = cluster.add_node(object_store_memory=_OBJECTS_BYTES, **options)
        nodes[node.node_id] = node
        return node.node_id, node.all_processes["raylet"][0].process.pid

    def kill(*, node_id):
        cluster.remove_node(nodes.pop(node_id), allow_graceful=False)

    actions = {"add": add, "kill": kill, "address": lambda: cluster.address}
    for line in sys.stdin:
        what, options = json.loads(line)
        print(json.dumps(actions[what](**options)), file=answers, flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    _serve()
