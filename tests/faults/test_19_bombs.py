"""FAULTS 19: a file that would blow up is refused under a second, in little memory."""

from __future__ import annotations

import contextlib
import pickle
import resource
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import hpsearch as hpsearch_command
from commands import most_seconds, watched

import hpsearch
from hpsearch.data.loading import load_dataset
from hpsearch.errors import DataError, InputError
from hpsearch.runs.predicting import load_model
from hpsearch.runs.trial import Source
from hpsearch.spec.data import DataSpec
from hpsearch.workers.calls import evaluate_file

_MOST_BYTES = 200 * 2**20


class Bomb:
    """Unpickling it leaves a file."""

    def __reduce__(self):
        return (open, ("unpickled", "w"))


def alias_bomb() -> bytes:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    return "\n".join(lines).encode()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (alias_bomb(), "more than 60,000 values"),
        (b"data: " + b"[" * 3_000, "more than 50 deep"),
        (b"a: " * 300_000, "bad.yaml:1: "),
        (b"#" * 1_000_001, "1,000,001 bytes"),
    ],
    ids=["aliases", "depth", "colons", "size"],
)
def test_a_bomb_of_a_sweep_file(tmp_path, content, words):
    (tmp_path / "bad.yaml").write_bytes(content)
    bounded(tmp_path, words, "bad.yaml")


def archive_of_zeros(path) -> None:
    """Two hundred megabytes in two hundred kilobytes."""
    np.savez_compressed(path, x=np.zeros(50_000_000, np.float32))


def pickled_arrays(path) -> None:
    np.savez(path, x=np.array([Bomb()], object), y=np.zeros(1))


def bare_pickle(path) -> None:
    path.write_bytes(pickle.dumps(Bomb()))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (archive_of_zeros, "looks like a zip bomb"),
        (pickled_arrays, "Object arrays cannot be loaded"),
        (bare_pickle, "not a sound .npz archive"),
    ],
)
def test_a_bomb_of_an_archive(tmp_path, make, words):
    make(tmp_path / "data.npz")
    (tmp_path / "sweep.yaml").write_text("data: {npz: data.npz}\nparameters: {units: [4]}\n")
    bounded(tmp_path, words, "sweep.yaml")
    assert not (tmp_path / "unpickled").exists()


def bounded(place, words, file) -> None:
    for _ in range(3):
        said = watched("run", file, "--out", "out", cwd=place, code=2)
        # A loaded machine may be slow, but not each time.
        if said.seconds < most_seconds() and said.peak_bytes < _MOST_BYTES:
            break
    assert words in said.stderr
    assert said.seconds < most_seconds()
    assert said.peak_bytes < _MOST_BYTES
    assert not list(place.glob("out/*.csv"))


_PRINTING = """\
import keras

def layer(x, units, activation):
    for _ in range(200):
        print("x" * 2**20)
    return keras.layers.Dense(units, activation)(x)
"""


@pytest.mark.slow
def test_a_bomb_of_printing(tmp_path):
    """What a user's code prints fills no disk, and the log says that its beginning is gone."""
    (tmp_path / "printing.py").write_text(_PRINTING)
    sweep = 'data: {dataset: iris}\nparameters: {layer_type: ["printing:layer"], epochs: 1}\n'
    (tmp_path / "sweep.yaml").write_text(sweep)
    hpsearch_command("run", "sweep.yaml", "--out", "out", cwd=tmp_path)
    log = (tmp_path / "out" / "run.log").read_bytes()
    assert len(log) < 70 * 2**20
    # The worker may write between the cut and the notice.
    assert b"[the beginning was cut]\n" in log


@contextlib.contextmanager
def little_memory(more_bytes: int):
    """Let this process take so many bytes more."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    limit = pages * resource.getpagesize() + more_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def wide_frame() -> pd.DataFrame:
    """Numbers and texts that become 8,000 columns when they are one-hot encoded."""
    texts = {f"t{i}": [f"v{(row * 7 + i) % 800}" for row in range(8_000)] for i in range(10)}
    return pd.DataFrame({"a": np.arange(8_000) / 8, "few": ["u", "v"] * 4_000, **texts})


def test_a_bomb_of_one_hot_columns(tmp_path):
    """Encoded, 1 MB of text takes half a gigabyte; nothing of it is built."""
    frame, y = wide_frame(), ["no", "yes"] * 4_000
    frame.assign(y=y).to_csv(tmp_path / "wide.csv", index=False)
    words = (
        r"the one-hot encoding of its text columns, 8,000 rows of 8,014 numbers, takes about "
        r"0\.51 GB of memory, and .* is available; use fewer rows"
    )
    spec = DataSpec(csv=str(tmp_path / "wide.csv"), target="y")
    with little_memory(2**28), pytest.raises(DataError, match=words) as of_a_file:
        load_dataset(spec)
    assert str(of_a_file.value).startswith(f"{tmp_path / 'wide.csv'}: ")
    with little_memory(2**28), pytest.raises(DataError, match=words) as of_a_frame:
        hpsearch.tune(frame, y, parameters={"units": 2})
    for caught in (of_a_file, of_a_frame):
        assert "\n" not in str(caught.value)
    assert load_dataset(spec).input.columns is not None


def test_a_model_that_unpacks_to_far_more_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "best.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.weights.h5", bytes(2**26))
    with pytest.raises(InputError, match="unpacks to 67,108,864 bytes"):
        load_model(path, Source(tmp_path))
    with pytest.raises(InputError, match="unpacks to"):
        evaluate_file(path, None, None, np.zeros(1), np.zeros(1))
