"""Which tables may be compared, and the messages for those that may not."""

import pytest
from made_tables import LOSS, Made, units, write

from hpsearch.comparison import comparing
from hpsearch.comparison.table import Columns, read_tables
from hpsearch.errors import RefusedError

SWEEP = "name: s\ndata: {{dataset: digits, validation: {validation}, seed: 42}}\nseed: {seed}\n"


def tables(tmp_path, *made, columns=None, sweeps=()):
    paths = [write(tmp_path / f"t{i}", each) for i, each in enumerate(made)]
    for path, text in zip(paths, sweeps, strict=False):
        (path / "sweep.yaml").write_text(text + "parameters: {units: [1, 2]}\n")
    return read_tables(paths, columns)


def refused(found, *, anyway=False):
    with pytest.raises(RefusedError) as caught:
        comparing.require_comparable(found, comparing.differences(found), anyway=anyway)
    return str(caught.value)


def test_the_same_data_split_and_metric_are_comparable(tmp_path):
    found = tables(tmp_path, Made(units([0.1, 0.2])), Made(units([0.3])))
    assert comparing.differences(found) == []
    comparing.require_comparable(found, [], anyway=False)
    assert comparing.assumptions(found) == []
    assert comparing.side_notes(found) == []


def test_other_data_are_refused_with_both_fingerprints_and_what_the_files_say(tmp_path):
    sweeps = [SWEEP.format(validation=v, seed=0) for v in (0.2, 0.3)]
    found = tables(
        tmp_path, Made(units([0.1])), Made(units([0.3]), data="dfffffffffff"), sweeps=sweeps
    )
    told = refused(found)
    assert "data: t0 d0123456789a, t1 dfffffffffff" in told
    assert "data.validation: t0 0.2, t1 0.3" in told
    assert "--anyway" in told
    comparing.require_comparable(found, comparing.differences(found), anyway=True)
    # A broken sweep file does not hide the difference.
    for path in ("t0", "t1"):
        (tmp_path / path / "sweep.yaml").write_text("nonsense: 1\n")
    assert "dfffffffffff" in refused(read_tables([tmp_path / "t0", tmp_path / "t1"]))


@pytest.mark.parametrize("metric", ["val_accuracy:maximize:best", "accuracy:maximize:last"])
def test_other_metrics_are_refused(tmp_path, metric):
    found = tables(tmp_path, Made(units([0.1])), Made(units([0.3]), metric))
    assert f"metric: t0 val_accuracy:maximize:last, t1 {metric}" in refused(found)


def test_opposite_goals_have_no_difference_at_all(tmp_path):
    found = tables(tmp_path, Made(units([0.1])), Made(units([0.3]), LOSS))
    assert "--score COLUMN picks one" in refused(found, anyway=True)
    by_loss = tables(
        tmp_path, Made(units([0.1])), Made(units([0.3]), LOSS), columns=Columns("val_loss")
    )
    assert comparing.differences(by_loss) == []


def test_a_table_of_two_data_sets_is_no_table_to_compare(tmp_path):
    tables(tmp_path, Made(units([0.1, 0.2])), Made(units([0.3])))
    path = tmp_path / "t0" / "results.csv"
    head, first, second = path.read_text().splitlines()
    path.write_text("\n".join([head, first, second.replace("d0123456789a", "d1")]) + "\n")
    mixed = read_tables([tmp_path / "t0", tmp_path / "t0"])
    assert "d0123456789a and d1" in refused(mixed)


def test_recipes_and_versions_may_differ_and_are_told(tmp_path):
    sweeps = [SWEEP.format(validation=0.2, seed=seed) for seed in (0, 7)]
    other = Made(units([0.3]), recipe="r1", software=("0.2.0", "2.21.0", "3.15.1"))
    found = tables(tmp_path, Made(units([0.1])), other, sweeps=sweeps)
    assert comparing.differences(found) == []
    assert comparing.side_notes(found) == ["seed: t0 0, t1 7", "version: t0 0.1.0, t1 0.2.0"]


def test_versions_of_a_program_are_compared_and_told_apart(tmp_path):
    paths = [tmp_path / "t0", tmp_path / "t1"]
    for path, data in zip(paths, ("d1", "d2"), strict=True):
        write(path, Made(units([0.1, 0.2]), data=data))
        head, *rows = (path / "results.csv").read_text().splitlines()
        lines = [head + ",program_commit", *(row + "," for row in rows)]
        (path / "results.csv").write_text("\n".join(lines) + "\n")
    found = read_tables(paths)
    assert comparing.differences(found) == []
    assert comparing.side_notes(found) == ["program: t0 d1, t1 d2"]
    assert comparing.assumptions(found) == [
        "data and split: not told by t0, t1; taken to be the same"
    ]
