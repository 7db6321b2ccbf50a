"""The history of a cluster's nodes."""

from __future__ import annotations

from types import ModuleType

import pytest

# The module imports Ray only where it asks the cluster.
from hpsearch.workers.ray.fleet import Nodes


@pytest.fixture
def nodes():
    nodes = Nodes(ModuleType("ray"), {"CPU": 1})
    for node in "ab":
        nodes.met(node, f"host-{node}")
    nodes.judge("b", "")
    return nodes


def test_a_node_that_fails_again_and_again_is_avoided(nodes):
    said = [line for _ in range(20) for line in nodes.judge("a", "no memory")]
    assert len(said) == 1
    assert "host-a" in said[0]
    assert said[0].endswith("no memory; --retry trains them again")
    assert nodes.avoided == {"a"}


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


def test_failures_count_in_a_row(nodes):
    for _ in range(20):
        assert nodes.judge("a", "odd") == []
        assert nodes.failures("a") == 1
        nodes.judge("a", "")
        assert nodes.failures("a") == 0
    assert not nodes.avoided


def test_where_all_nodes_fail_none_is_avoided():
    nodes = Nodes(ModuleType("ray"), {"CPU": 1})
    for node in "ab":
        nodes.met(node, f"host-{node}")
    for _ in range(20):
        assert not nodes.judge("a", "odd")
        assert not nodes.judge("b", "odd")
