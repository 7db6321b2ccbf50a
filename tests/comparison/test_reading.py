"""Tables of hpsearch and of other programs, and what they are called."""

import re
from pathlib import Path

import pandas as pd
import pytest
from made_tables import ACCURACY, LOSS, Made, Row, units, write

from hpsearch.comparison.findings import best_of_table
from hpsearch.comparison.table import Columns, labels, read_tables
from hpsearch.errors import InputError
from hpsearch.space.execution import Status
from hpsearch.store.tables import read_table
from hpsearch.store.trials import best_trial

WANDB = """\
Name,State,lr,units,val_acc,Runtime
swift-1,finished,0.1,32,0.91,12
swift-2,finished,0.01,32,0.93,11
swift-3,crashed,0.1,64,,3
swift-4,finished,0.10,32.0,0.95,12
"""


@pytest.fixture
def made(tmp_path):
    return write(tmp_path / "made", Made(units([0.9, 0.8, 0.7])))


def test_a_directory_and_its_csv_are_the_same(made):
    directory, file = read_tables([made, made / "results.csv"])
    pd.testing.assert_frame_equal(directory.executions, file.executions)
    assert directory.directory == made
    assert file.directory is None
    assert str(directory.metric) == "val_accuracy:maximize:last"
    assert directory.sign == 1
    assert directory.provenance
    assert directory.best == directory.executions["config"][0]


def test_only_trials_whose_score_counts_have_one(tmp_path):
    rows = [
        Row({"units": 1}, 0.9),
        Row({"units": 2}, 0.8, status=Status.STOPPED),
        Row({"units": 3}, 0.99, status=Status.DIVERGED),
        Row({"units": 4}, None),
    ]
    table, _ = read_tables([write(tmp_path / "a", Made(rows))] * 2)
    assert list(table.scored["score"]) == [0.9, 0.8]
    assert len(table.executions) == 4


def test_of_equal_means_the_first_trial_is_the_best(tmp_path):
    """Whatever rounding makes of the order in which scores are added, as everywhere."""
    scores = {1: [0.1, 0.2, 0.3], 2: [0.3, 0.2, 0.1], 3: [0.2, 0.2, 0.2], 4: [0.1, 0.1, 0.1]}
    # Means of fewer seeds do not count.
    scores |= {5: [0.9], 6: [0.05, 0.05]}
    rows = [
        Row({"units": units}, score, seed)
        for units, found in scores.items()
        for seed, score in enumerate(found)
    ]
    for metric in (ACCURACY, LOSS):
        directory = write(tmp_path / metric[:7], Made(rows, metric))
        table, _ = read_tables([directory] * 2)
        best = best_trial(read_table(directory))
        assert table.best == best["config"]


def test_trials_and_executions_are_counted(tmp_path):
    rows = [Row({"units": 1}, 0.9, seed) for seed in range(3)]
    rows += [Row({"units": 2}, 0.8), Row({"units": 2}, None, 1), Row({"units": 3}, None)]
    table, _ = read_tables([write(tmp_path / "a", Made(rows))] * 2)
    best = best_of_table(table, None)
    assert (best.trials, best.scored, best.executions, best.seeds) == (3, 2, 6, 3)


def test_another_program_s_table(tmp_path):
    (tmp_path / "wandb.csv").write_text(WANDB)
    columns = Columns("val_acc", ("lr", "units"), "maximize")
    table, _ = read_tables([tmp_path / "wandb.csv"] * 2, columns)
    assert not table.provenance
    assert str(table.metric) == "val_acc:maximize"
    # 0.1 and 0.10, 32 and 32.0 are one config, tried twice; a crash has no score.
    assert list(table.means["seeds"]) == [2, 1]
    assert list(table.means["mean"]) == pytest.approx([0.93, 0.93])
    assert len(table.executions) == 4
    assert table.executions["seed"].isna().all()


def test_a_score_that_hpsearch_knows_needs_no_goal(tmp_path):
    file = tmp_path / "keras.csv"
    file.write_text("units,val_loss\n1,0.5\n2,0.4\n")
    table, _ = read_tables([file, file], Columns("val_loss", ("units",)))
    assert str(table.metric) == "val_loss:minimize"
    turned, _ = read_tables([file, file], Columns("val_loss", ("units",), "maximize"))
    assert turned.sign == 1


def test_a_score_of_one_s_own_choice(made):
    by_loss, _ = read_tables([made, made], Columns("val_loss"))
    assert str(by_loss.metric) == "val_loss:minimize:last"
    assert set(by_loss.scored["score"]) == {0.5}
    same, _ = read_tables([made, made], Columns("score"))
    assert str(same.metric) == "val_accuracy:maximize:last"
    with pytest.raises(InputError, match="its metric says maximize, not minimize"):
        read_tables([made, made], Columns(goal="minimize"))


def test_trainings_and_order_come_from_the_table(tmp_path):
    rows = [
        Row({"units": 1, "epochs": e}, 0.5, epochs=e, shared_with=s) for e, s in ((2, 2), (4, None))
    ]
    directory = write(tmp_path / "a", Made(rows))
    text = (directory / "results.csv").read_text().splitlines()
    (directory / "results.csv").write_text("\n".join([text[0], text[2], text[1]]) + "\n")
    table, _ = read_tables([directory, directory])
    assert list(table.executions["epochs"]) == [2, 4]
    assert table.executions["training"].nunique() == 1
    assert table.firsts["epochs"].tolist() == [2, 4]


@pytest.mark.parametrize(
    ("text", "columns", "words"),
    [
        ("a,b\n1,2\n", Columns(), "no column trial, config, seed, status, score, metric, data"),
        ("a,b\n1,2\n", Columns("b"), "--params a,b,c"),
        ("a,b\n1,2\n", Columns("c", ("a",)), "no column 'c'; there are a, b"),
        ("a,b\n1,2\n", Columns("b", ("x", "a")), "no column 'x'"),
        ("a,b\n1,2\n", Columns("b", ("a",)), "--goal maximize or --goal minimize"),
        ("a,b\n1,high\n", Columns("b", ("a",), "maximize"), "t.csv:2: b: must be a number"),
        ("a,b\n1,True\n2,0.5\n", Columns("b", ("a",), "maximize"), "t.csv:2: b: must be a number"),
        pytest.param(
            f"a,b\n1,{'9' * 400}\n", Columns("b", ("a",), "maximize"), "t.csv:2: b: must", id="long"
        ),
        ("a,b\n1,2\n", Columns("b", ("a",), "max"), "goal: must be maximize or minimize"),
        ("a,b\n1,2\n1,2,3\n", Columns("b", ("a",), "maximize"), "not a results table"),
        ("a,b\n1,2,3\n", Columns("b", ("a",), "maximize"), "Expected 2 fields in line 2, saw 3"),
        ("a,a\n1,2\n", Columns("a", ("a",), "maximize"), "a name of its own for each column"),
        ("", Columns(), "not a results table"),
        pytest.param(
            2 * (",".join(map(str, range(10_001))) + "\n"), Columns("1"), "10,000 at", id="wide"
        ),
    ],
)
def test_what_is_no_table_is_explained(tmp_path, text, columns, words):
    file = tmp_path / "t.csv"
    file.write_text(text)
    with pytest.raises(InputError, match=words.replace("(", r"\(")):
        read_tables([file, file], columns)


def test_bytes_that_are_no_text_and_files_that_are_not_there(tmp_path, made):
    (tmp_path / "t.csv").write_bytes(b"\xff\xfe\x00trial")
    with pytest.raises(InputError, match="not a results table"):
        read_tables([made, tmp_path / "t.csv"])
    with pytest.raises(InputError, match=r"nowhere: there is no such results table"):
        read_tables([made, tmp_path / "nowhere"])
    with pytest.raises(InputError, match=r"two tables or more, not 1"):
        read_tables([made])
    with pytest.raises(InputError, match="empty: has no rows yet"):
        read_tables([write(tmp_path / "empty", Made([])), made])


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (",0.9,", ",much,", "results table of hpsearch"),
        (",val_accuracy:maximize:last,", ",val_accuracy:up:last,", "metric: must be NAME"),
        ("1,c", "1,,c", "not a results table"),
        ("1,c", "one,c", "not a results table of hpsearch"),
        # A row without a config.
        (r"\n2,\w+", r"\n2,", "results.csv:3|made:3"),
    ],
)
def test_a_table_of_hpsearch_that_was_spoilt(made, old, new, words):
    path = made / "results.csv"
    path.write_text(re.sub(old, new, path.read_text()))
    with pytest.raises(InputError, match=words):
        read_tables([made, made])


def test_labels_are_directories_names_and_printable(tmp_path, monkeypatch):
    for name in ("x/digits", "y/digits", "wine"):
        (tmp_path / name).mkdir(parents=True)
    x, y, wine = (tmp_path / name for name in ("x/digits", "y/digits", "wine"))
    assert labels([x, wine]) == ["digits", "wine"]
    assert labels([x, y, wine]) == ["x/digits", "y/digits", "wine"]
    assert labels([x, x, x]) == ["digits", "digits (2)", "digits (3)"]
    assert labels([x / "results.csv", wine / "mine.csv"]) == ["digits", "mine"]
    assert labels([x / "digits.csv", y]) == ["x/digits/digits", "y/digits"]
    monkeypatch.chdir(x)
    assert labels([Path(), wine]) == ["digits", "wine"]
    assert len(set(labels([Path("/"), Path("/")]))) == 2
    (label, _) = labels([tmp_path / "a\x1b[31mb\nc", wine])
    assert label.isprintable()
    assert label.startswith("a")
