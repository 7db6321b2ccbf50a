"""The statistics of the speed benchmark, and how its runs are kept."""

import numpy as np
import pytest
import speed
from scipy import stats
from speed_runs import RunsFile
from speed_scores import MARGIN, equivalence


def test_equivalence_is_two_paired_one_sided_tests():
    random = np.random.default_rng(0)
    theirs = random.normal(0.9, 0.01, 12)
    ours = theirs + random.normal(0.002, 0.004, 12)
    found = equivalence([ours], [theirs], [str(n) for n in range(12)], margin=0.005)
    tests = [
        stats.ttest_rel(ours, theirs - 0.005, alternative="greater"),
        stats.ttest_rel(ours, theirs + 0.005, alternative="less"),
    ]
    assert found.p == pytest.approx(max(test.pvalue for test in tests))
    low, high = stats.ttest_rel(ours, theirs).confidence_interval(0.9)
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))


def test_groups_and_seeds_make_the_error_of_a_difference():
    # Groups x (two configs), y and z differ by 0.25, 0 and 0 on average; two seeds by 0.5.
    ours = [[0.75, 1.0, 0.75, 0.75], [0.25, 0.5, 0.25, 0.25]]
    theirs = [[0.25, 0.5, 0.5, 0.5], [0.25, 0.5, 0.5, 0.5]]
    found = equivalence(ours, theirs, ["x", "x", "y", "z"])
    groups, seeds = 0.25**2 / 3 / 3, 0.5**2 / 2 / 2
    freedom = (groups + seeds) ** 2 / (groups**2 / 2 + seeds**2 / 1)
    assert found.difference == pytest.approx(0.25 / 3)
    half = stats.t.ppf(0.95, freedom) * (groups + seeds) ** 0.5
    assert found.high - found.difference == pytest.approx(half)
    assert found.p > 0.05


def test_scores_without_noise_are_judged_by_the_margin():
    ours = [[0.5, 0.75], [0.5, 0.75]]
    assert equivalence(ours, ours, ["a", "b"]).p == 0
    assert equivalence(ours, [[0.25, 0.5]], ["a", "b"]).p == 1
    assert equivalence(ours, [[0.5 + MARGIN / 2, 0.75]], ["a", "b"]).p > 0.05


ABOUT = {"machine": "m", "code": "c"}


def test_interrupted_runs_continue(tmp_path):
    path = tmp_path / "runs.jsonl"
    file = RunsFile(path, ABOUT)
    file.add(contender="a", seconds=1.5)
    file.add(contender="b", seconds=2.5)
    whole = path.read_text(encoding="utf-8")
    path.write_text(whole[:-9], encoding="utf-8")
    again = RunsFile(path, ABOUT)
    assert [run["contender"] for run in again.runs] == ["a"]
    again.add(contender="b", seconds=2.5)
    assert path.read_text(encoding="utf-8") == whole
    assert [run["seconds"] for run in RunsFile(path, ABOUT).of(contender="b")] == [2.5]


@pytest.mark.parametrize("key", ["machine", "code"])
def test_runs_of_something_else_are_refused(tmp_path, key):
    path = tmp_path / "runs.jsonl"
    RunsFile(path, ABOUT).add(contender="a")
    before = path.read_bytes()
    with pytest.raises(SystemExit, match=f"{key}: ., now other"):
        RunsFile(path, ABOUT | {key: "other"})
    assert path.read_bytes() == before
    assert RunsFile(path, ABOUT | {key: "other"}, anew=True).runs == []


def pair(contender, seconds, scores):
    return {
        "contender": contender,
        "seconds": seconds,
        "memory_mb": 100,
        "ours_seconds": 2.0,
        "ours_memory_mb": 200,
        "versions": "v",
        "scores": scores,
    }


def test_the_faster_variant_of_a_library_is_quoted(tmp_path):
    file = RunsFile(tmp_path / "runs.jsonl", ABOUT | {"configs": ["p", "q"], "versions": "v"})
    file.add(contender="hpsearch", scores=[[0.5, 0.75], [0.5, 0.75]])
    for contender, seconds in [
        ("keras_tuner", 40.0), ("keras_tuner", 44.0), ("keras_tuner_best", 50.0),
        ("optuna", 30.0), ("optuna_best", 20.0), ("sklearn_glorot", 1.0), ("sklearn", 6.0),
    ]:  # fmt: skip
        file.add(**pair(contender, seconds, [0.5, 0.75] if "optuna" not in contender else [0, 0]))
    table = speed.rows(file, {"p": "p", "q": "q"})
    assert [row["contender"] for row in table if row.get("faster")] == [
        "keras_tuner", "optuna_best", "sklearn",
    ]  # fmt: skip
    found = {row["contender"]: row for row in table}
    assert found["keras_tuner"]["ratio (median)"] == 21
    assert found["keras_tuner"]["ratios"] == "20.00, 22.00"
    assert found["hpsearch"]["runs"] == 7
    # The scores of scikit-learn's own initial weights need not be equivalent; Optuna's must be.
    short = speed.check("digits", table)
    assert [message.split(" ")[1] for message in short] == ["keras_tuner", "scores", "scores"]
    assert "promised 40.0" in short[0]
