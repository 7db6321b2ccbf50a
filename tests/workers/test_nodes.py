"""The nodes of a cluster."""

from __future__ import annotations

from types import ModuleType

import pytest

# The module imports Ray only where it asks the cluster.
from hpsearch.ray.fleet import Nodes


@pytest.fixture
def nodes():
    nodes = Nodes(ModuleType("ray"), {"CPU": 1})
    for node in "ab":
        nodes.met(node, f"host-{node}")
    return nodes


def test_none_is_left_once_each_that_has_room_is_avoided(nodes):
    def node(name, cpus):
        return {"Alive": True, "NodeID": name, "Resources": {"CPU": cpus}}

    nodes._ray.nodes = lambda: [node("head", 0), node("a", 2), node("b", 1)]
    assert not nodes.none_left
    nodes.update()
    nodes.avoid("a", "it has keras 2")
    assert not nodes.none_left
    nodes.avoid("b", "it has no such directory")
    assert nodes.none_left
    assert nodes.last_avoided.endswith("it has no such directory")
    # A cluster without room may get some.
    nodes._ray.nodes = lambda: [node("head", 0)]
    nodes.update()
    assert not nodes.none_left
