"""Whether tables can be compared: the same data, split and metric."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpsearch.comparison.table import Table
from hpsearch.errors import HpsearchError, RefusedError
from hpsearch.spec.sweep import load_sweep

#: Parts of a sweep file that may differ: what was searched, and how.
_RECIPE = ("seed", "early_stopping", "model")
_SOFTWARE = ("version", "tensorflow", "keras")
_MEANING = {"data": "other values, labels or another split"}


@dataclass(frozen=True)
class Difference:
    """What is not the same in all tables: label -> what that table says."""

    what: str
    values: Mapping[str, str]

    def __str__(self) -> str:
        told = ", ".join(f"{label} {value}" for label, value in self.values.items())
        meaning = _MEANING.get(self.what)
        return f"{self.what}: {told}" + (f" ({meaning})" if meaning else "")


def differences(tables: Sequence[Table]) -> list[Difference]:
    """What makes scores of these tables speak of different things; empty where nothing does."""
    found = list(_provenance(tables, ("data",)))
    if found:
        found += _sweep_parts(tables, ("data",))
    metrics = [table.metric for table in tables]
    epochs = {metric.epoch for metric in metrics if metric.epoch}
    if len({(metric.name, metric.goal) for metric in metrics}) > 1 or len(epochs) > 1:
        told = zip(tables, metrics, strict=True)
        found.append(Difference("metric", {table.label: str(m) for table, m in told}))
    return found


def require_comparable(
    tables: Sequence[Table], found: Sequence[Difference], *, anyway: bool
) -> None:
    """Check that a comparison of these tables says something.

    Args:
        tables: All of them.
        found: Their `differences`.
        anyway: Whether the user wants it all the same.

    Raises:
        RefusedError: With each difference.
    """
    if len({table.metric.goal for table in tables}) > 1:
        raise RefusedError(
            _refusal(found) + "\nWhere one is to be large and the other small, even --anyway has "
            "nothing to subtract; --score COLUMN picks a metric that all of them have"
        )
    if found and not anyway:
        raise RefusedError(
            _refusal(found) + "\nData, split and metric must be the same, or the difference is "
            "theirs. Run one of the sweeps again with the other's, or look at the numbers all "
            "the same with --anyway"
        )


def _refusal(found: Sequence[Difference]) -> str:
    return "the tables are not comparable:\n" + "\n".join(f"  {each}" for each in found)


def assumptions(tables: Sequence[Table]) -> list[str]:
    """What the tables do not say and the user must know."""
    silent = [table.label for table in tables if not table.provenance.get("data")]
    if not silent:
        return []
    return [f"data and split: not told by {', '.join(silent)}; taken to be the same"]


def side_notes(tables: Sequence[Table]) -> list[str]:
    """What else differs and may be the reason: recipe and software."""
    found = list(_provenance(tables, ("recipe",)))
    if found:
        found = _sweep_parts(tables, _RECIPE) or found
    return [str(each) for each in (*found, *_provenance(tables, _SOFTWARE))]


def _provenance(tables: Sequence[Table], names: Sequence[str]) -> Iterator[Difference]:
    for name in names:
        told = {table.label: table.provenance.get(name, ()) for table in tables}
        if len({value for values in told.values() for value in values}) > 1:
            shown = {label: " and ".join(values) or "-" for label, values in told.items()}
            yield Difference(name, shown)


def _sweep_parts(tables: Sequence[Table], parts: Sequence[str]) -> list[Difference]:
    """Where the sweep files beside the tables differ; what has none says nothing."""
    raws = {table.label: raw for table in tables if (raw := _raw(table)) is not None}
    if len(raws) < len(tables):
        return []
    flat = {label: dict(_flat(raw, "")) for label, raw in raws.items()}
    keys = dict.fromkeys(key for each in flat.values() for key in each)
    wanted = [
        key for key in keys if key.split(".")[0] in parts or ("seed" in parts and "scale" in key)
    ]
    found = []
    for key in wanted:
        told = {label: each.get(key, "-") for label, each in flat.items()}
        if len(set(told.values())) > 1:
            found.append(Difference(key, told))
    return found


def _raw(table: Table) -> Any:
    if table.directory is None:
        return None
    try:
        return load_sweep(table.directory / "sweep.yaml").raw()
    except HpsearchError:
        # It explains; a table stands without it.
        return None


def _flat(raw: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(raw, Mapping):
        for key, value in raw.items():
            yield from _flat(value, f"{path}.{key}" if path else str(key))
    else:
        yield path, json.dumps(raw)
