"""All that a store tells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hpsearch.store.store import Store


def everything(path: Path, *, read_only: bool = True) -> Any:
    """All that a reader of the store gets."""
    with Store(path, read_only=read_only) as store:
        results = store.results()
        weights = [store.weights(number) for number in results]
        snapshots = [store.snapshot(number) for number in results]
        return (
            store.facts().meta,
            store.executions(),
            results,
            [w and [(a.dtype.str, a.shape, a.tobytes()) for a in w] for w in weights],
            [
                s and (s.epoch, [a.tobytes() for a in (*s.state, *(s.best or ()))])
                for s in snapshots
            ],
            store.snapshots(),
        )
