"""The commands: what they print and refuse, and which files they do not touch."""

import json
import re
import shutil

import jsonschema
import pandas as pd
import pytest
import yaml
from commands import USER_MODELS, hpsearch, python
from marks import slow
from readme import blocks

_IMPORTS = """\
import json, sys
from hpsearch.cli.app import main
slow = {"tensorflow", "keras", "keras_tuner", "sklearn", "pandas", "plotly"}
for arguments in json.loads(sys.argv[1]):
    try:
        main(arguments)
    except SystemExit as end:
        assert not end.code, (arguments, end.code)
    print("IMPORTED", json.dumps([arguments, sorted(slow & set(sys.modules))]))
"""


def imports_of(cwd, *commands):
    """Run commands in one fresh interpreter; the slow packages that there are after each."""
    said = python(_IMPORTS, json.dumps(commands), cwd=cwd)
    return [json.loads(line) for line in re.findall(r"IMPORTED (.*)", said)]


_QUICK = [
    ["plan", "sweep.yaml", "--out", "two"],
    ["show", "two"],
    ["compare", "one/results.csv", "two", "--out", "two.html"],
    ["report", "two", "--out", "page.html"],
    ["list", "optimizers"],
    ["export", "two", "--out", "exported.keras"],
]
_SLOW = [
    ["plan", "sweep.yaml", "--out", "none"],
    ["show", "two/results.csv"],
    ["compare", "one", "two"],
    ["schema"],
    *(["list", what] for what in ("datasets", "methods", "activations", "layer-types")),
    ["reproduce", "two", "--trial", "1"],
    ["reproduce", "two", "--trial", "1", "--script", "standalone"],
    ["log", "two", "--to", "tensorboard:logs"],
    ["log", "two", "--to", "mlflow:sqlite:///mlflow.db"],
    ["evaluate", "two", "--split", "validation"],
]


@pytest.mark.parametrize("commands", [_QUICK, slow(_SLOW)], ids=["quick", "slow"])
def test_commands_import_no_tensorflow(finished, commands):
    unwanted = {"tensorflow", "keras", "keras_tuner", "plotly"}
    imported = imports_of(finished, *commands)
    assert len(imported) == len(commands)
    assert [each for each in imported if unwanted & set(each[1])] == []


def test_a_run_s_driver_imports_no_tensorflow(tmp_path):
    """Its workers do: they write the model; the method's own process has KerasTuner."""
    text = "data: {dataset: digits, validation: 0.2, seed: 42}\nmethod: tpe\nbudget: {trials: 4}\n"
    text += "parameters: {units: [8, 16], epochs: [1, 2], layer_type: dense}\n"
    (tmp_path / "sweep.yaml").write_text(text)
    ((_, imported),) = imports_of(tmp_path, ["run", "sweep.yaml", "--out", "out"])
    assert imported == ["pandas"]
    assert (tmp_path / "out" / "best.keras").exists()
    assert (pd.read_csv(tmp_path / "out" / "results.csv")["status"] == "completed").all()


def test_workers_are_on_their_way_before_numpy_is_imported(tmp_path):
    (tmp_path / "sweep.yaml").write_text(blocks("sweeps/README.md", "yaml")[0])
    code = (
        "import sys\n"
        "import hpsearch.cli.sweeps\n"
        "import hpsearch.spec.dump, hpsearch.engine.session, hpsearch.trackers\n"
        "hpsearch.spec.sweep.load_sweep('sweep.yaml')\n"
        "slow = {'numpy', 'sqlite3', 'pandas', 'sklearn', 'keras', 'keras_tuner', 'tensorflow'}\n"
        "print(sorted(slow & set(sys.modules)))"
    )
    assert python(code, cwd=tmp_path).strip() == "[]"


@pytest.mark.parametrize(
    ("options", "workers"),
    [(["--workers", 2], "2 workers"), (["--workers", 1, "--measure"], "1 worker")],
)
def test_plan_counts_and_trains_nothing(finished, options, workers):
    said = hpsearch("plan", "sweep.yaml", "--out", "none", *options, cwd=finished).stdout
    assert "small: digits, 1,437 training and 360 validation rows, 64 features" in said
    assert re.search(r"^trials +20$", said, re.MULTILINE)
    assert re.search(r"^trainings +10 ", said, re.MULTILINE)
    assert re.search(r"^epochs +30 of 40; 10 saved$", said, re.MULTILINE)
    assert re.search(rf"^time +(about \d+ s|\d+ s to \d+ s) with {workers}$", said, re.MULTILINE)
    assert not (finished / "none").exists()


@pytest.mark.slow
def test_plan_builds_a_model(tmp_path):
    shutil.copy(USER_MODELS, tmp_path)
    text = 'model: "user_models:conditional"\ndata: {dataset: digits}\n'
    (tmp_path / "sweep.yaml").write_text(text + "method: random\nbudget: {trials: 5}\n")
    said = hpsearch("plan", "sweep.yaml", cwd=tmp_path).stdout
    assert "filters: 2, 3 (where kind is cnn)" in said
    assert "trials     5" in said
    assert not (tmp_path / "experiments").exists()


def test_plan_counts_trials_and_their_executions(tmp_path):
    text = "data: {dataset: wine, cv: 5, seed: 1}\nmethod: random\nbudget: {trials: 4}\nseeds: 2\n"
    text += "parameters: {units: {min: 2, max: 40}, epochs: 1}\n"
    (tmp_path / "sweep.yaml").write_text(text)

    def plan(*changes):
        options = [each for change in changes for each in ("--set", change)]
        said = hpsearch("plan", "sweep.yaml", "--out", "out", *options, cwd=tmp_path).stdout
        lines = (line.split(maxsplit=1) for line in said.splitlines())
        return {name: re.sub(r" \(.*\)", "", text) for name, text in lines}

    planned = plan()
    assert (planned["trials"], planned["executions"]) == ("4", "40")
    assert planned["trainings"] == "40"
    assert planned["epochs"] == "40 of 40; 0 saved"
    one = ("--set", "budget.trials=1")
    said = hpsearch("run", "sweep.yaml", "--out", "out", *one, cwd=tmp_path)
    assert "1 trial, 10 executions, to train in 10 trainings of 10 epochs" in said.stderr
    assert re.search(r"^\[1/1\] trial 1(, seed \d)?, fold \d completed", said.stderr, re.MULTILINE)
    assert "1 trial, 1 completed, 1 trained now" in said.stdout
    assert "1 trial, 10 executions: 1 completed" in said.stdout
    planned = plan()
    assert planned["trials"] == "4, 1 done already"
    assert planned["executions"] == "40, 10 done already"
    assert planned["trainings"] == "30"
    # The budget is spent, and the new seed still trains.
    planned = plan("budget.trials=1", "seeds=3")
    assert (planned["trials"], planned["trainings"]) == ("1", "5")
    assert planned["executions"] == "15, 10 done already"


def test_a_column_that_is_left_out_is_named_wherever_one_looks(tmp_path):
    rows = "".join(f"{row},{row % 7},{row % 2}\n" for row in range(120))
    (tmp_path / "rows.csv").write_text("id,a,y\n" + rows)
    text = "data: {csv: rows.csv, target: y}\nparameters: {units: 2, epochs: 1}\n"
    (tmp_path / "sweep.yaml").write_text(text)
    plan = hpsearch("plan", "sweep.yaml", cwd=tmp_path).stdout
    hpsearch("run", "sweep.yaml", "--out", "out", cwd=tmp_path)
    texts = [(tmp_path / "out" / n).read_text() for n in ("run.log", "report.html", "sweep.yaml")]
    for said in (plan, *texts):
        assert "column 'id' is left out: another whole number in nearly every row" in said
    again = hpsearch("run", "out/sweep.yaml", "--out", "out", cwd=tmp_path)
    assert "0 trained now" in again.stdout
    assert (tmp_path / "out" / "sweep.yaml").read_text() == texts[-1]


@pytest.mark.slow
def test_a_run_logs_as_it_goes(finished, tmp_path):
    change = ["--set", "parameters.hidden_layers=[0]"]
    half = [*change, "--set", "parameters.epochs=[1]"]
    hpsearch("run", finished / "sweep.yaml", *half, "--out", "out", cwd=tmp_path)
    logs = ["--log", "tensorboard:first", "--log", "tensorboard:second"]
    hpsearch("run", finished / "sweep.yaml", *change, "--out", "out", *logs, cwd=tmp_path)
    for place in ("first", "second"):
        events = (tmp_path / place).glob("*/trial-*/events*")
        # Those of the run before, too.
        assert sorted(path.parent.name for path in events) == [f"trial-{n}" for n in range(1, 5)]


def test_show_prints_the_best_and_the_means(finished):
    by_directory = hpsearch("show", "two", "--top", 3, cwd=finished).stdout
    assert by_directory == hpsearch("show", "two/results.csv", "--top", 3, cwd=finished).stdout
    assert "20 trials: 20 completed" in by_directory
    for name in ("hidden_layers", "activation", "layer_type", "epochs", "optimizer"):
        assert name in by_directory
    hpsearch("show", "nowhere", cwd=finished, code=2)
    (finished / "other.csv").write_text("a,b\n1,2\n")
    assert "not a results table" in hpsearch("show", "other.csv", cwd=finished, code=2).stderr


def test_init_writes_a_sweep_that_can_be_planned(tmp_path):
    said = hpsearch("init", cwd=tmp_path).stdout
    assert "hpsearch run sweep.yaml" in said
    assert "trials " in hpsearch("plan", "sweep.yaml", cwd=tmp_path).stdout
    schema = json.loads((tmp_path / "hpsearch.schema.json").read_text())
    jsonschema.validate(yaml.safe_load((tmp_path / "sweep.yaml").read_text()), schema)
    before = (tmp_path / "sweep.yaml").read_text()
    assert "exists already" in hpsearch("init", cwd=tmp_path, code=2).stderr
    assert (tmp_path / "sweep.yaml").read_text() == before


def test_list_gives_names(tmp_path):
    for what, names in {
        "datasets": "digits fashion_mnist california_housing",
        "methods": "grid random tpe",
        "activations": "relu sigmoid softmax",
        "optimizers": "sgd momentum nesterov adamw",
        "layer-types": "dense dropout batch_norm package.module:function",
        "metrics": "val_loss val_auc val_rmse val_top_5_accuracy",
    }.items():
        lines = hpsearch("list", what, cwd=tmp_path).stdout.splitlines()
        assert set(names.split()) <= {line.split()[0] for line in lines if line.strip()}
    said = hpsearch("list", "optimisers", cwd=tmp_path, code=2)
    assert "optimizers" in said.stderr


@pytest.mark.parametrize(
    ("typed", "choices"),
    [
        ("hpsearch re", {"report", "refit", "reproduce"}),
        ("hpsearch run --thr", {"--threads"}),
        ("hpsearch rnu x", set()),
    ],
)
def test_a_shell_completes_commands_and_options(tmp_path, typed, choices):
    words = {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1)}
    said = hpsearch(cwd=tmp_path, env={"_HPSEARCH_COMPLETE": "complete_bash", **words})
    assert {*said.stdout.split()} == choices
