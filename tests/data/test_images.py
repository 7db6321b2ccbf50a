"""Image sets: where their files are found, and damaged files."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from datasets import load

from hpsearch.data import builtin
from hpsearch.errors import DataError

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
NAMES = [
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
]


def idx(values: np.ndarray) -> bytes:
    sizes = b"".join(int(n).to_bytes(4, "big") for n in values.shape)
    return bytes([0, 0, 8, values.ndim]) + sizes + values.astype(np.uint8).tobytes()


def small_set(folder: Path, value: int) -> Path:
    """Four files of 40 and 20 images, all pixels `value`."""
    folder.mkdir(parents=True)
    for name, n in zip(NAMES, (40, 40, 20, 20), strict=True):
        labels = np.arange(n) % 10
        array = labels if "labels" in name else np.full((n, 28, 28), value)
        (folder / name).write_bytes(gzip.compress(idx(array)))
    return folder


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """No system folder and no network."""
    monkeypatch.setattr(builtin, "_SYSTEM_FOLDER", tmp_path / "system")

    def unreachable(name):
        raise OSError(f"no network for {name}")

    monkeypatch.setattr(builtin, "_keras_loader", unreachable)
    return tmp_path


def pixel(name="fashion_mnist", **options) -> int:
    """Which copy of the set was found."""
    return int(load(dataset=name, validation=0.25, **options).train.x[0, 0, 0])


@pytest.mark.slow
def test_debians_fashion_mnist():
    assert DEBIAN.is_dir(), "apt-get install dataset-fashion-mnist"
    dataset = load(dataset="fashion_mnist")
    assert dataset.train.x.shape == (48_000, 28, 28)
    assert dataset.train.x.dtype == np.uint8
    assert np.bincount(dataset.validation.y).tolist() == [1200] * 10
    assert dataset.test is not None
    assert len(dataset.test) == 10_000
    assert dataset.target.classes[9] == "Ankle boot"
    assert dataset.input.scale == (1 / 255,)
    assert dataset.warnings == ()


def test_order_of_places(nowhere, monkeypatch):
    small_set(nowhere / "keras/datasets/fashion-mnist", 1)
    assert pixel() == 1
    small_set(nowhere / "system/fashion-mnist", 2)
    assert pixel() == 2
    monkeypatch.setenv("HPSEARCH_DATA", "~nobody_here/environment")
    assert pixel() == 2
    monkeypatch.setenv("HPSEARCH_DATA", str(nowhere / "environment"))
    assert pixel() == 2
    small_set(nowhere / "environment/fashion-mnist", 3)
    assert pixel() == 3
    small_set(nowhere / "given", 4)
    assert pixel(folder=str(nowhere / "given")) == 4
    folder = str(nowhere / "elsewhere")
    found = load(dataset="fashion_mnist", validation=0.25, folder=folder)
    assert f"fashion_mnist is not in {folder}; read from" in found.warnings[0]


def test_folder_of_the_other_set_is_passed_over(nowhere):
    folder = small_set(nowhere / "data/fashion-mnist", 5)
    assert pixel(folder=str(folder)) == 5
    with pytest.raises(DataError, match="mnist: its files are neither"):
        pixel("mnist", folder=str(folder))


def test_keras_cache_and_loader_are_the_last_resort(nowhere, monkeypatch):
    cache = nowhere / "keras/datasets"
    cache.mkdir(parents=True)
    x, y = np.full((40, 28, 28), 7, np.uint8), (np.arange(40) % 10).astype(np.uint8)
    np.savez(cache / "mnist.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    assert pixel("mnist") == 7
    monkeypatch.setattr(builtin, "_keras_loader", lambda _: ((x + 1, y), (x, y)))
    assert pixel() == 8


def test_nowhere_is_one_line_that_says_what_to_do(nowhere):
    with pytest.raises(DataError) as caught:
        load(dataset="fashion_mnist")
    message = str(caught.value)
    assert "apt-get install dataset-fashion-mnist" in message
    assert "HPSEARCH_DATA" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>", "not an IDX file"),
        (idx(np.zeros((40, 28, 28)))[:-1], "31359 bytes where its header"),
        (idx(np.zeros((40, 28, 28))) + b"x", "31361 bytes where its header"),
        (bytes([0, 0, 8, 1, 255, 255, 255, 255]), "its header claims 4.3 GB"),
        (idx(np.zeros((39, 28, 28))), "labels do not fit uint8 images"),
        (None, "cannot be read"),
    ],
)
def test_damaged_files(nowhere, content, message):
    path = small_set(nowhere / "data", 1) / NAMES[0]
    path.write_bytes(path.read_bytes()[:-20] if content is None else gzip.compress(content))
    with pytest.raises(DataError, match=message):
        load(dataset="fashion_mnist", folder=str(path.parent))
