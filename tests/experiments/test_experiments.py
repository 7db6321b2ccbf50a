"""Each script of experiments/ runs, as small as it goes, and writes its table where it is told."""

import json
import shutil

import inner_loop
import pandas as pd
import pytest
from ray_cluster import only_cluster
from scripts import EXPERIMENTS, rows, run
from table_spaces import CHOSEN, SPACES

from hpsearch.search.prior import Study
from hpsearch.spec.table import with_default_search

pytestmark = pytest.mark.slow

SWEEP = """
data: {dataset: iris}
method: grid
parameters: {units: [4, 8, 16], epochs: [1]}
"""


def test_the_benchmark_runs_contenders(tmp_path):
    """The quick one: the peers that train with Keras take half a minute each."""
    run("speed.py", "--smoke", "--contenders", "sklearn", out=tmp_path, fresh=True)
    table = rows("speed_digits", tmp_path, about="2 seeds")
    names = [row["contender"] for row in table]
    assert names == ["hpsearch", "sklearn"]
    for row in table:
        assert row["trials"] == 4
        assert row["seconds (median)"] > 0
        assert row["peak, MB"] > 50
        assert 0.05 < row["best"] <= 1
        assert row["contender"] == "hpsearch" or row["low"] < row["difference"] < row["high"]
    assert "sklearn" in {row["contender"] for row in table if row.get("faster")}


def test_kerastuners_programs(tmp_path):
    run("drop_in.py", "MLP on images", "--smoke", out=tmp_path, fresh=True)
    (found,) = rows("drop_in", tmp_path, about="tiny searches for a test")
    assert found["search"] == "MLP on images"
    assert (found["same configs"], found["trainer"]) == ("yes", "native")
    assert found["times"] > 0
    assert 0 <= found["a config's scores apart by"] < 0.5


def test_the_settings_of_peers(tmp_path):
    sizes = ["--steps", "200", "epoch", "--backends", "tensorflow", "--trials", "1", "--runs", "1"]
    run("speed_settings.py", "--sweeps", "digits_single", *sizes, out=tmp_path, fresh=True)
    table = rows("speed_settings", tmp_path, about="1 trials")
    # An epoch has fewer than 200 steps.
    assert {row["steps_per_execution"] for row in table} == {"epoch"}
    assert {row["chosen"] for row in table} == {"for 1", "for 2"}
    for row in table:
        assert row["runs"] == 1
        assert 0 < row["least"] <= row["s a trial"] <= row["most"]


def test_what_a_trial_costs(tmp_path):
    """Of three methods by the driver alone, and of real workers."""
    methods = ["grid", "shared", "random", "pool"]
    run("trials.py", *methods, "--trials", 10, out=tmp_path)
    table = rows("trials", tmp_path, about="10 trials")
    assert [row["method"] for row in table] == [name for name in methods for _ in range(13)]
    assert table[9]["stage"] == "trials 10 to 10"
    assert all(row["ms a trial"] > 0 for row in table)


def test_the_memory_of_a_sweep(tmp_path):
    arguments = ["--optimizer", "[lion]", "--trials", 10, "--data", "digits"]
    run("memory.py", *arguments, out=tmp_path, fresh=True)
    # A training may be shorter than the time between two looks at the memory.
    *fifths, end = rows("memory", tmp_path, about="10 trainings")
    assert end["trials"] == "after the last"
    assert max(row["processes"] for row in fifths) >= 4
    data = rows("memory_data", tmp_path, about="two workers")
    # Half a megabyte of data; a share of less than 0.05 MB a process is 0.0 in the table.
    assert 0 < data[-1]["of the mapping resident, MB"] < 5
    assert data[-1]["its share of that (PSS), MB"] < 1


def test_how_many_workers_a_driver_keeps_busy(tmp_path):
    with only_cluster():
        sizes = ["--local", "2x0.5", "--runs", "2x0.5", "--trials", 8]
        run("scale.py", *sizes, out=tmp_path, fresh=True)
    table = [row for row in rows("scale", tmp_path, about="one run each") if "turnaround" in row]
    assert [(row["engine"], row["workers"]) for row in table] == [("local", 2), ("ray", 2)]
    assert 1 < float(table[0]["memory of a worker"].removesuffix(" MB")) < 500
    for row in table:
        # With 8 trials the time for the whole sweep counts most, and machines differ.
        assert 0 < float(row["driver for a trial"].split()[0]) < 500
        lost, wait = (float(row[k].rstrip("% ms")) for k in ("lost in a real run", "turnaround"))
        assert lost == pytest.approx(100 * wait / (wait + 500), abs=0.2)


def test_how_workers_scale(tmp_path):
    sweep = tmp_path / "sweep.yaml"
    sweep.write_text(SWEEP, encoding="utf-8")
    few = ["--runs", 1, "--longer", 2, "--rows", 256]
    run("scaling.py", "--sweep", sweep, *few, out=tmp_path)
    trainings, whole, loop, *threads = rows("scaling", tmp_path, about="sweep.yaml")
    assert trainings["runs"] == loop["runs"] == 1
    assert 0 < trainings["one, s"] < whole["one, s"]
    assert len(threads) == 3


def test_the_rate_of_the_inner_loop(tmp_path):
    arguments = ["--kind", "graph", "--rows", 256, "--epochs", 2, "--sizes", 64]
    run("inner_loop.py", *arguments, out=tmp_path, fresh=True)
    table = rows("inner_loop", tmp_path, about="256 rows")
    assert [(row["batch"], row["units"]) for row in table] == [
        (32, 100), (32, 200), (128, 100), (128, 200),
    ]  # fmt: skip
    assert all(0 < row["share of the best rate (median)"] < 2 for row in table)


def test_the_study_of_the_notes(tmp_path):
    run("fashion_mnist_study.py", "--smoke", out=tmp_path)
    text = (tmp_path / "fashion_mnist_study.md").read_text(encoding="utf-8")
    assert text.count("| c") == 6  # the head's, too
    assert "opened once: accuracy **0." in text
    for name in ("notes", "search", "final"):
        table = pd.read_csv(tmp_path / f"fashion_mnist_{name}.csv.gz")
        assert len(table) == (25 if name == "final" else 12)
    assert len([*tmp_path.glob("*.svg")]) == 4


def test_importance_errs_little(tmp_path):
    sizes = ("--trials", 60, "--repeats", 1, "--peer-repeats", 0)
    run("importance.py", *sizes, "--check", out=tmp_path)
    table = rows("importance", tmp_path, about="1 repeats")
    assert len(table) == 20
    assert sum(row["held out"] == "yes" for row in table) == 12


def test_comparisons_of_real_trainings(tmp_path):
    counts = ["--seed-counts", 1, 2]
    small = ["--seeds", 10, "--random", 12, "--searches", 2, "--folds", 2, "--data", "wine"]
    run("compare_pools.py", *small, *counts, out=tmp_path)
    pools = pd.read_csv(tmp_path / "compare_pools.csv.gz")
    assert pools.groupby("design")["config"].nunique().to_dict() == {"grid": 34, "random": 12}
    few = ["--pairs", 4, "--drawn", 6, "--fresh", 3]
    run("compare_trainings.py", *few, *counts, "--pools", tmp_path, out=tmp_path)
    parts = json.loads((tmp_path / "compare_trainings.json").read_text())["parts"]
    null = parts["Nothing but the seed differs"]
    assert [row["with interval"] for row in null] == [0, 1] * 2
    assert all(row["winner"] == 0 for row in null if row["seeds"] == 1)
    assert len(parts["Searches that learn"]) == 4


def test_spaces_for_a_table_are_compared(tmp_path):
    small = ["--trials", 2, "--epochs", 2, "--done", tmp_path / "done"]
    of_one = ["--spaces", CHOSEN, "--tables", "diabetes"]
    # It predicts with TensorFlow between searches, whose servers cannot be forked after that.
    run("table_spaces.py", *of_one, *small, out=tmp_path, fresh=True)
    row = rows("table_spaces", tmp_path, about="after 2 trials of 2 epochs at most")[0]
    assert (row[""], row[CHOSEN] <= 1) == ("diabetes", True)
    assert len((tmp_path / "done").read_text().splitlines()) == 4


def test_the_default_search_is_the_chosen_space():
    assert with_default_search({}, rows=1_000)["parameters"] == SPACES[CHOSEN]


def test_operations_are_those_of_the_matrix_products():
    forward = 2 * 32 * (784 * 100 + 100 * 10)
    assert inner_loop.operations((784, 100, 10), 32) == 2 * forward + 2 * 32 * 100 * 10


def test_the_prior_is_made_and_measured(tmp_path):
    """On generated tables, which need no package."""
    tables = ["made_quantiles", "made_noisy", "diabetes"]
    where = ["--runs", tmp_path / "runs"]
    run("prior_study.py", "train", "--tables", *tables, "--trials", "4", *where, out=tmp_path)
    run("prior_study.py", "gather", *where, out=tmp_path)
    study = pd.read_csv(tmp_path / "prior_study.csv.gz")
    assert len(study) == 12
    made = ["made_quantiles:val_accuracy", "made_quantiles:val_loss", "diabetes:val_loss"]
    assert {*made} < {*study}
    made_from = ["--study", tmp_path / "prior_study.csv.gz"]
    run("prior_fit.py", *made_from, out=tmp_path)
    fitted = Study.from_plain(json.loads((tmp_path / "prior.json").read_text(encoding="utf-8")))
    assert fitted.kinds == ("error", "accuracy", "loss", "accuracy", "loss")
    families = ["--families", "upside down", "--methods", "prior", "none"]
    few = ["--seeds", "0-0", "--trials", "50"]
    run("prior_quality.py", *families, *few, *made_from, out=tmp_path)
    parts = json.loads((tmp_path / "prior_quality.json").read_text(encoding="utf-8"))["parts"]
    assert [row["family"] for row in parts["Promises, those that fail first"]] == ["upside down"]
    assert [row["method"] for row in parts["Mean regrets"]] == ["prior", "none"]
    assert all(float(row["50"]) <= float(row["10"]) for row in parts["Mean regrets"])


def test_searches_on_fresh_tables(tmp_path):
    """On generated tables, which need no package, and without Optuna's GP, which needs torch."""
    tables = ["--smoke", "--tables", "made_quantiles", "made_noisy"]
    run("prior_fresh.py", "train", *tables, "--runs", tmp_path / "runs", out=tmp_path)
    methods = ["--methods", "auto", "random", "optuna_tpe", "--trials", "10"]
    run("prior_fresh.py", "search", *tables, *methods, out=tmp_path)
    beside, means, every = json.loads((tmp_path / "prior_fresh.json").read_text())["parts"].values()
    assert [(row["than"], row["trials"]) for row in beside] == [("optuna_tpe", 10), ("random", 10)]
    assert [row["method"] for row in means] == ["auto", "optuna_tpe", "random"]
    assert len(every) == 6


def test_searches_with_known_results(tmp_path):
    run("known_results.py", "--tables", "crx", "plastic", "--seeds", 1, out=tmp_path)
    parts = json.loads((tmp_path / "known_results.json").read_text())["parts"]
    beside, saved, every = parts.values()
    assert len(beside) == 10
    assert [row["promise"] != "" for row in beside].count(True) == 2
    assert [row["trials with 25 known"] for row in saved] == [1, 5, 10, 25, 50]
    assert len(every) == 6


def test_sweep_files_of_w_and_b_are_read_or_counted_by_their_faults(tmp_path):
    file = "method: random\nmetric: {name: loss}\nparameters: {x: {values: [1, 2]}}\n"
    for name, text in {
        "001": f"program: train.py\n{file}",
        "002": file,
        "003": f"program: train.py\n{file}run-cap: 9\n",
    }.items():
        (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
    run("wandb_files.py", tmp_path, out=tmp_path)
    counts, faults = json.loads((tmp_path / "wandb_files.json").read_text())["parts"].values()
    assert [(row["files"], row["read"]) for row in counts] == [(2, 1), (1, 1)]
    assert faults == [{"first fault": "unknown key", "files": 1}]


def test_searches_with_rungs_at_equal_epochs(tmp_path):
    """Without Ray's scheduler, which takes seconds to import, and the prior, which needs data."""
    methods = ["asha", "asha random", "hyperband", "optuna hyperband", "optuna median"]
    sizes = ["--most", "4", "--trainings", "5", "--processes", "1", "--seeds", "0-0"]
    run("search_fidelity.py", "--methods", *methods, *sizes, out=tmp_path)
    runs = pd.read_csv(tmp_path / "search_fidelity_runs.csv.gz")
    assert {*runs["kind"]} == {"study", "adam", "crossing"}
    assert len(runs) == 4 * 5
    assert runs["5"].notna().all()
    report = (tmp_path / "search_fidelity.md").read_text(encoding="utf-8")
    assert "| asha | asha random | all | better |" in report


def test_long_searches_are_compared(tmp_path):
    run("search_long.py", "--trials", "100", "--tables", "1", "--processes", "1", out=tmp_path)
    report = (tmp_path / "search_long.md").read_text(encoding="utf-8")
    assert all(f"| {method} | 0." in report for method in ("bayesian", "tpe", "optuna_tpe"))


def test_the_overhead_of_a_program_and_a_kill_are_measured(tmp_path):
    run("programs.py", "hpsearch", "--trials", 10, out=tmp_path)
    (row,) = json.loads((tmp_path / "programs.json").read_text())["rows"]
    assert row["trials"] == row["trials of the killed search"] == 10
    assert row["its program after the kill"] == "is ended"
    assert row["ended before, ran again"] == row["without a result"] == 0
    assert row["overhead a trial, ms"] < 1_000


def test_a_short_campaign_of_interruptions_loses_nothing(tmp_path):
    few = ("--minutes", 5, "--interruptions", 1, "--seed", 1)
    run("interruptions.py", *few, out=tmp_path, fresh=True)
    total = rows("interruptions", tmp_path, about="seed 1")[-1]
    # Which sweeps end before they can be interrupted is chance.
    assert int(total["interruptions"]) >= 1
    for column in ("results lost", "results changed", "trials twice", "wrong ends"):
        assert int(total[column]) == 0


def said(cell):
    """The values and printed lines of a cell; progress and warnings depend on the machine."""
    texts = [output.get("text") or output.get("data", {}).get("text/plain")
             for output in cell.get("outputs", ()) if output.get("name") != "stderr"
             and output["output_type"] != "display_data"]  # fmt: skip
    return "".join(filter(None, texts))


def test_the_tutorial_says_what_its_cells_say(tmp_path):
    import nbformat
    from nbclient import NotebookClient

    shutil.copy(EXPERIMENTS / "penguins.csv", tmp_path)
    stored = nbformat.read(EXPERIMENTS / "tutorial.ipynb", as_version=4)
    notebook = nbformat.read(EXPERIMENTS / "tutorial.ipynb", as_version=4)
    place = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=place).execute()
    assert [said(cell) for cell in notebook.cells] == [said(cell) for cell in stored.cells]
    assert sum(bool(said(cell)) for cell in stored.cells) >= 10
