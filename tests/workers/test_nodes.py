"""The nodes of a cluster."""

from __future__ import annotations

from types import ModuleType

# The module imports Ray only where it asks the cluster.
from hpsearch.ray.executor import Nodes


def test_none_is_left_once_each_that_has_room_is_avoided():
    def node(name, cpus):
        return {"Alive": True, "NodeID": name, "Resources": {"CPU": cpus}}

    ray = ModuleType("ray")
    ray.nodes = lambda: [node("head", 0), node("a", 2), node("b", 1)]
    nodes = Nodes(ray, {"CPU": 1})
    assert not nodes.none_left
    nodes.update()
    nodes.avoided["a"] = "it has keras 2"
    assert not nodes.none_left
    nodes.avoided["b"] = "it has keras 2"
    assert nodes.none_left
    # A cluster without room may get some.
    ray.nodes = lambda: [node("head", 0)]
    nodes.update()
    assert not nodes.none_left
