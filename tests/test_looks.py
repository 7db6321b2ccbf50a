"""Looks at a split: what the record holds, and what a damaged one says."""

from __future__ import annotations

import pytest

from hpsearch.errors import RefusedError
from hpsearch.store.records import Evaluation, Measurement, evaluations_in, with_evaluation

LOSS = Measurement(0.4, 0.3, 0.6, "bootstrap")
LOOK = Evaluation(
    time="2026-01-02T03:04:05+00:00",
    trial=7,
    config="c0123456789a",
    seed=1,
    split="test",
    rows=360,
    metric="accuracy",
    metrics={"loss": LOSS, "accuracy": Measurement(0.9, 0.8, 0.95, "wilson")},
)


def test_they_are_kept_in_order():
    meta = {"identity": "..."}
    assert evaluations_in(meta) == ()
    second = Evaluation(**{**vars(LOOK), "trial": 8, "metrics": {"accuracy": Measurement(0.5)}})
    for look in (LOOK, second):
        meta |= with_evaluation(meta, look)
    assert evaluations_in(meta) == (LOOK, second)
    assert meta["identity"] == "..."
    assert LOOK.score == LOOK.metrics["accuracy"]
    assert second.score.low is None


@pytest.mark.parametrize("text", ["", "{", "5", "[1]", '[{"time": 1}]', '[{"metrics": {"a": 1}}]'])
def test_what_is_no_record_is_refused(text):
    with pytest.raises(RefusedError, match="looks cannot be read"):
        evaluations_in({"looks": text})
