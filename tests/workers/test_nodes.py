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
