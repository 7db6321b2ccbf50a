"""NumPy archives: what is read, and what is refused before it is read."""

import io
import zipfile

import numpy as np
import pytest
from datasets import load

from hpsearch.data import files
from hpsearch.errors import DataError

X = np.random.default_rng(0).normal(size=(30, 4))
Y = np.arange(30) % 3


@pytest.fixture
def npz(tmp_path):
    def write(name="data.npz", **arrays):
        np.savez(tmp_path / name, **arrays)
        return str(tmp_path / name)

    return write


def test_own_parts(npz):
    parts = {"x_val": X[:6] + 9, "y_val": Y[:6], "x_test": X[:3] + 5, "y_test": Y[:3]}
    dataset = load(npz=npz(x_train=X, y_train=Y, **parts))
    assert [len(dataset.train), len(dataset.validation), len(dataset.test)] == [30, 6, 3]
    validation = npz("v.npz", x=X[:6] + 9, y=Y[:6])
    dataset = load(npz=npz(x=X, y=Y), validation=validation)
    assert [len(dataset.train), len(dataset.validation)] == [30, 6]


def test_several_regression_targets(npz):
    dataset = load(npz=npz(x=X, y=X[:, :2] * [1, 50]))
    assert dataset.target.outputs == 2
    assert len(dataset.target.std) == 2
    np.testing.assert_allclose(dataset.train.y.std(axis=0), 1, atol=1e-5)


def test_images_stay_bytes(npz):
    images = np.random.default_rng(0).integers(0, 256, (30, 5, 6)).astype(np.uint8)
    dataset = load(npz=npz(x=images, y=np.array(["p", "q", "r"])[Y]))
    assert dataset.train.x.dtype == np.uint8
    assert dataset.input.scale == (1 / 255,)
    assert dataset.target.classes == ("p", "q", "r")
    assert dataset.warnings == ()
    dataset = load(npz=npz(x=images[:, 0], y=Y))
    assert dataset.train.x.dtype == np.float32, "in two dimensions, bytes are numbers"
    assert dataset.input.mean


INFINITE = X.copy()
INFINITE[7, 2] = np.inf


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": X}, "no array 'y'"),
        ({"x": X, "X": X + 1, "y": Y}, "two arrays of one name"),
        ({"a": X, "b": Y}, "no array 'x', but 'a', 'b'; it needs x and y, or x_train"),
        ({"x": X, "y": Y[:-1]}, "x has 30 rows and y has 29"),
        ({"x": INFINITE, "y": Y}, r"row 7 \(from 0\): column 2: inf is not a finite"),
        ({"x": X.astype(complex), "y": Y}, "has the type complex128"),
        ({"x": X, "y": np.zeros((30, 2, 2))}, r"y has shape \(30, 2, 2\)"),
        ({"x": np.zeros((0, 4)), "y": np.zeros(0)}, "x is empty"),
        ({"x": X, "y": np.where(np.arange(30) == 4, np.inf, 0.5)}, "row 4 .* target 'inf'"),
        (
            {"x_train": X, "y_train": Y, "x_val": X[:, :2], "y_val": Y},
            r"float32 of \(2,\).* of \(4,\)",
        ),
    ],
)
def test_broken_arrays(npz, arrays, message):
    with pytest.raises(DataError, match=message):
        load(npz=npz(**arrays))


def test_part_given_twice(npz):
    path = npz(x_train=X, y_train=Y, x_val=X, y_val=Y)
    with pytest.raises(DataError, match="drop one"):
        load(npz=path, validation=npz("v.npz", x=X, y=Y))


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2, zipfile.ZIP_DEFLATED])
def test_a_corrupt_member_is_refused(tmp_path, npz, method):
    path = tmp_path / "corrupt.npz"
    with zipfile.ZipFile(npz(x=X, y=Y)) as whole, zipfile.ZipFile(path, "w", method) as packed:
        for name in whole.namelist():
            packed.writestr(name, whole.read(name))
    content = bytearray(path.read_bytes())
    content[60:120] = bytes(60)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"not a sound \.npz archive") as caught:
        load(npz=str(path))
    assert "\n" not in str(caught.value)


def test_members_that_nobody_asks_for_are_not_read(npz):
    path = npz(x=X, y=Y, extra=np.array([{}], object))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("more.npy", "not an array")
    dataset = load(npz=path)
    assert len(dataset.train) == 24
    assert "'extra', 'more' are not used" in dataset.warnings[0]


def test_members_are_bounded_together(tmp_path, monkeypatch):
    """Each alone is below the size from which the ratio counts."""
    monkeypatch.setattr(files, "_MAX_PACKED_BYTES", 1_000_000)
    zeros = np.zeros(120_000, "f4")
    np.savez_compressed(tmp_path / "data.npz", x=np.stack([zeros, zeros], axis=1), y=zeros)
    with pytest.raises(DataError, match=r"its arrays unpack .*looks like a zip bomb"):
        load(npz=str(tmp_path / "data.npz"))


def test_a_header_that_lies_is_refused(tmp_path):
    path = tmp_path / "lie.npz"
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        head, {"descr": "<f4", "fortran_order": False, "shape": (10**13,)}
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", head.getvalue() + bytes(400))
    with pytest.raises(DataError, match="not a sound"):
        load(npz=str(path))
