"""Rows for trackers to log."""

from dataclasses import replace

import pytest
import tables

from hpsearch.space.execution import Curve, ExecutionResult, Status
from hpsearch.store.columns import Record

PROVENANCE = replace(tables.PROVENANCE, metric="val_loss:minimize:best", sweep="small")


def record_of(trial, *, seed=0, config="c0123456789a", **changes):
    losses = [0.9, 0.4, 0.6]
    values = {
        "units": [16, 8],
        "epochs": 3,
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
        "activation": "relu",
        "l2": 1e-4,
        "score": True,
    }
    result = ExecutionResult(
        trial,
        Status.COMPLETED,
        score=0.4,
        curve=Curve({"loss": loss * 2, "val_loss": loss} for loss in losses),
        scored_epoch=2,
        best_epoch=2,
        best_score=0.4,
        seconds=1.5,
        trainer="native",
        weights=99,
    )
    return Record(trial, config, seed, values, replace(result, **changes), PROVENANCE)


@pytest.fixture
def record():
    return record_of(7, seed=1)


@pytest.fixture
def diverged():
    curve = Curve(
        [{"loss": 1.0, "val_loss": 2.0}, {"loss": float("nan"), "val_loss": float("inf")}]
    )
    return record_of(
        8, config="c9999999999a", status=Status.DIVERGED, score=None, curve=curve,
        scored_epoch=None, best_epoch=None, best_score=None, error="epoch 2: a | b\nis nan",
    )  # fmt: skip
