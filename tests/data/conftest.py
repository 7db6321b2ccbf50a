"""A request for data, as the sweep's model would make it, and files to point it at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hpsearch.data.dataset import Scale, TaskName


@dataclass(frozen=True)
class Request:
    dataset: str | None = None
    csv: str | None = None
    npz: str | None = None
    python: str | None = None
    memory: object | None = None
    folder: str | None = None
    validation: float | str = 0.2
    test: float | str | None = None
    cv: int | None = None
    split: Any = None
    seed: int = 42
    scale: Scale = "auto"
    target: str | None = None
    drop: tuple[str, ...] = ()
    impute: str = "median"
    train_on: str = "train"
    dates: str = "features"
    identifiers: str = "drop"
    task: TaskName | None = None


@pytest.fixture
def request_data() -> Callable[..., Request]:
    return Request


@pytest.fixture
def csv_file(tmp_path: Path) -> Callable[..., str]:
    """Write a CSV file of text or bytes and give its path."""

    def write(content: Any, name: str = "table.csv") -> str:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return write


@pytest.fixture(autouse=True)
def _no_data_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Tests see neither this machine's data folder nor its Keras cache."""
    monkeypatch.delenv("HPSEARCH_DATA", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
