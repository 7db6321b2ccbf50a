"""Arrays in files (`numpy.memmap`) train from there: no process holds them in memory."""

import os
import re
import tracemalloc
from pathlib import Path

import keras
import numpy as np
import pytest

import hpsearch.tuners as kt
from hpsearch.custom.fit_arguments import request_of
from hpsearch.custom.trainers import EngineFit
from hpsearch.data.dataset import several_target
from hpsearch.data.specs import ArrayPart, Arrays, InputSpec
from hpsearch.kerastuner.search import dataset_of
from hpsearch.models.problem import Problem
from hpsearch.training.keras_trainers import FitTrainer
from hpsearch.training.trainer import TrainerRequest


class OwnStep(keras.Sequential):
    def train_step(self, *args):
        return super().train_step(*args)


class Memory(keras.callbacks.Callback):
    """Writes how many bytes this process holds, apart from what it maps from files."""

    def __init__(self, folder):
        super().__init__()
        self.folder = str(folder)

    def on_epoch_end(self, epoch, logs=None):
        status = Path("/proc/self/status").read_text(encoding="ascii")
        held = sum(map(int, re.findall(r"Rss(?:Anon|Shmem):\s+(\d+) kB", status)))
        Path(self.folder, f"{os.getpid()}-{epoch}").write_text(str(1024 * held), encoding="ascii")


def build_with(kind):
    def build(hp):
        dense = keras.layers.Dense(hp.Choice("units", [1, 2]))
        model = kind([keras.Input((64,)), dense, keras.layers.Dense(1)])
        model.compile(keras.optimizers.SGD(1e-3), "mse")
        return model

    return build


def search(place, kind, x, y, **given):
    tuner = kt.RandomSearch(
        build_with(kind), "loss", 2, seed=1, directory=place, project_name="p", overwrite=True
    )
    tuner.search(x, y, batch_size=given.pop("batch_size", 32), verbose=0, **given)
    return [trial.score for trial in tuner.oracle.get_best_trials(2)]


def mapped_copy(array, path):
    np.save(path, array)
    return np.load(path, mmap_mode="r")


def test_keras_gets_maps_as_tensors_over_the_same_memory(tmp_path):
    given = []
    model = keras.Sequential([keras.Input((16,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    x = np.load(mapped_copy(np.ones((8, 16), "float32"), tmp_path / "x.npy").filename, "c")
    fit = EngineFit(model, None)
    # Later calls go to Keras.
    fit._called = True
    fit._fit = lambda **kwargs: given.append(kwargs)
    y = np.zeros(8)
    fit(x, y, 4, validation_data=(x[4:], y[4:]), epochs=2)
    (found,) = given
    for each, array in ((found["x"], x), (found["validation_data"][0], x[4:])):
        assert np.asarray(memoryview(each)).ctypes.data == array.ctypes.data
    assert found["y"] is y
    assert (found["batch_size"], found["epochs"]) == (4, 2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "given"),
    [(keras.Sequential, {}), (OwnStep, {"steps_per_epoch": 5})],
    ids=["engine", "steps"],
)
def test_maps_give_the_scores_of_arrays(place, kind, given):
    random = np.random.default_rng(0)
    x, y = random.random((200, 64), "float32"), random.random(200, "float32")
    given = {**given, "epochs": 2, "validation_data": (x[:50], y[:50])}
    expected = search(place, kind, x, y, **given)
    maps = (mapped_copy(x, place / "x.npy"), mapped_copy(y, place / "y.npy"))
    given["validation_data"] = maps[0][:50], maps[1][:50]
    assert search(place, kind, *maps, **given) == expected


class TellsRows(keras.Model):
    """Its validation loss is the number of rows of the last batch."""

    def test_step(self, data):
        return {"loss": keras.ops.shape(data[0])[0]}


def test_fit_trains_several_targets_in_batches_of_a_map(tmp_path):
    random = np.random.default_rng(0)
    x, y = random.random((70, 16), "float32"), random.random((70, 3), "float32")
    parts = [ArrayPart("", (1,), whole=False), ArrayPart("", (2,), whole=False)]
    curves = []
    for each in (x, mapped_copy(x, tmp_path / "x.npy")):
        inputs = keras.Input((16,))
        dense = [keras.layers.Dense(n, kernel_initializer="ones", name=f"of_{n}") for n in (1, 2)]
        outputs = [each(inputs) for each in dense]
        model = TellsRows(inputs, outputs)
        model.compile("sgd", ["mse", "mae"])
        arrays = Arrays(each, y, each[:50], y[:50])
        problem = Problem(None, InputSpec((16,), "float32"), several_target(parts))
        trainer = FitTrainer(
            model, TrainerRequest(problem, {"batch_size": 20}, 0, arrays, shuffled=False)
        )
        curves.append([trainer.run_epoch() for _ in range(2)])
    assert curves[0] == curves[1]
    assert curves[0][0]["val_loss"] == 10


@pytest.mark.parametrize("kind", ["int32", "uint16"])
def test_the_program_holds_no_copy_of_whole_numbers(kind, tmp_path):
    x = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", kind, (100_000, 64))
    y = np.zeros(len(x), "float32")
    tracemalloc.start()
    dataset_of(request_of((x, y), {"validation_data": (x[:64], y[:64])}))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < x.nbytes / 4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "given"),
    [(keras.Sequential, {}), (OwnStep, {"steps_per_epoch": 3})],
    ids=["engine", "steps"],
)
def test_no_process_holds_a_large_map(place, kind, given):
    rows = 4_000_000
    # Zeros that take no room on the disk.
    x = np.lib.format.open_memmap(place / "x.npy", "w+", "float32", (rows, 64))
    folder = place / "memory"
    folder.mkdir()
    y = np.zeros(rows, "float32")
    search(place, kind, x, y, batch_size=8192, callbacks=[Memory(folder)], epochs=1, **given)
    held = [int(each.read_text("ascii")) for each in folder.iterdir()]
    assert held
    # TensorFlow alone takes some 600 MB.
    assert max(held) < x.nbytes - 50 * 2**20
