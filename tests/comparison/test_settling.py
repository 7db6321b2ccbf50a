"""The best config of a table, as a sweep file writes it, and seeds that are fresh."""

import pytest
from made_tables import Made, Row, write

from hpsearch.comparison import comparing
from hpsearch.comparison.comparing import Settler, _values
from hpsearch.comparison.table import Columns, read_tables
from hpsearch.errors import InputError


@pytest.mark.parametrize(
    "values",
    [
        {"units": 32, "activation": "relu", "optimizer": "adam"},
        {"units": [200, 100], "optimizer": {"name": "sgd", "learning_rate": 0.1}},
        {"hidden_layers": 0, "learning_rate": 0.001},
        {"hidden_layers": 2, "units": 8, "units_2": 4, "layer_type": "dropout", "dropout": 0.25},
        {"learning_rate": {"name": "cosine_decay", "initial_learning_rate": 0.1, "decay_steps": 9}},
        {"l2": 1e-05, "batch_size": 128, "kernel_initializer": "he_normal", "epochs": 7},
        {"layer_type": "mine:layer"},
    ],
)
def test_cells_give_the_config_back(tmp_path, values):
    rows = [Row({"units": 1}, 0.1), Row(values, 0.9), Row({"units": [3, 4], "epochs": 2}, 0.2)]
    table, _ = read_tables([write(tmp_path / "t", Made(rows))] * 2)
    assert _values(table) == values


def test_cells_that_were_changed_are_noticed(tmp_path):
    path = write(tmp_path / "t", Made([Row({"units": 32}, 0.9)]))
    file = path / "results.csv"
    file.write_text(file.read_text().replace(",32,", ",33,"))
    table, _ = read_tables([path, path])
    with pytest.raises(InputError, match=r"results\.csv was changed"):
        _values(table)


def test_what_cannot_be_trained_again_is_told_before_anything_trains(tmp_path):
    path = write(tmp_path / "a", Made([Row({"units": 1}, 0.5)]))
    with pytest.raises(InputError, match=r"sweep\.yaml"):
        Settler(5)(read_tables([path, path]))
    empty = write(tmp_path / "b", Made([Row({"units": 1}, None)]))
    (empty / "sweep.yaml").write_text("data: {dataset: digits}\nparameters: {units: [1]}\n")
    with pytest.raises(InputError, match="no trial has a score"):
        Settler(5)(read_tables([empty, path]))
    (path / "sweep.yaml").write_text("data: {dataset: digits}\nparameters: {units: [1]}\n")
    with pytest.raises(InputError, match=r"by the sweep's own metric, val_accuracy:.*--score out"):
        Settler(5)(read_tables([path, path], Columns(score="units", goal="maximize")))
    with pytest.raises(InputError, match="leave --params out"):
        Settler(5)(read_tables([path, path], Columns(params=("units",))))


def test_the_advice_is_a_command_that_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(comparing, "differences", lambda _: ["data"])
    paths = [
        write(tmp_path / name, Made([Row({"units": units}, 0.5) for units in tried]))
        for name, tried in (("a", (1, 2, 4)), ("b", (3, 5, 7)))
    ]
    for path in paths:
        (path / "sweep.yaml").write_text("data: {dataset: digits}\nparameters: {units: [1]}\n")
    (line,) = comparing.compare_tables(paths, anyway=True).advice
    assert line.endswith("b --settle --anyway")
    columns = Columns(score="units", goal="maximize")
    assert comparing.compare_tables(paths, columns, anyway=True).advice == ()


def test_fresh_seeds_are_those_that_no_table_has(tmp_path, monkeypatch):
    paths = [
        write(tmp_path / name, Made([Row({"units": 1}, 0.5, seed) for seed in seeds]))
        for name, seeds in (("a", (0, 1, 4)), ("b", (2, 1)))
    ]
    for path in paths:
        (path / "sweep.yaml").write_text("data: {dataset: digits}\nparameters: {units: [1]}\n")
    monkeypatch.setattr(Settler, "_scores", lambda *given: given[-1])
    assert Settler(5)(read_tables(paths)) == {label: [3, 5, 6, 7, 8] for label in "ab"}
