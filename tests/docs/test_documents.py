"""The documents' sweep files plan, and their code runs."""

from __future__ import annotations

import contextlib
import csv
import functools
import io
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pandas as pd
import pytest
from commands import hpsearch
from readme import DOCUMENTS, ROOT, block, blocks
from rich.console import Console

from hpsearch.cli import plan
from hpsearch.models import arrays
from hpsearch.spec.sweep import load_sweep, sweep_from_text


@pytest.fixture(scope="module", autouse=True)
def once_read():
    """Several files plan on the same rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrays, "load_dataset", functools.cache(arrays.load_dataset))
        yield


def planned(path: Path, directory: Path) -> str:
    """What a file's plan says, in this process."""
    with contextlib.chdir(directory):
        text = io.StringIO()
        sweep = load_sweep(path, with_data=True)
        plan.print_plan(sweep, None, None, Console(file=text, width=200), measure=False)
    return text.getvalue()


SWEEPS = sorted([*ROOT.glob("sweeps/*.yaml"), *ROOT.glob("experiments/*.yaml")])


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.name)
def test_every_sweep_file_of_the_repository_plans(path):
    assert "trials" in planned(path, ROOT)


YAML = [
    pytest.param(text, id=f"{document.relative_to(ROOT)}-{index}")
    for document in DOCUMENTS
    for index, text in enumerate(blocks(str(document.relative_to(ROOT)), "yaml"))
]


@pytest.mark.parametrize("text", YAML)
def test_every_sweep_file_of_a_document_plans(text, tmp_path):
    (tmp_path / "shown.yaml").write_text(text, encoding="utf-8")
    assert "trials" in planned(Path("shown.yaml"), tmp_path)


@pytest.fixture
def run_python(tmp_path, monkeypatch, capsys):
    """Run code in this process, which spares it the imports; what it printed."""
    monkeypatch.chdir(tmp_path)

    def run(code: str) -> str:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exec(code, {"__name__": "__main__"})
        return capsys.readouterr().out

    return run


def test_the_readme_s_sweep_gives_its_table_and_its_python_runs(tmp_path, run_python):
    (sweep,) = blocks("README.md", "yaml")
    (shown,) = blocks("README.md", "console")
    code, asked = blocks("README.md", "python")
    (tmp_path / "sweep.yaml").write_text(sweep, encoding="utf-8")
    # All but the seconds.
    printed = [line.split()[:-1] for line in run_commands("sweep", tmp_path).stdout.splitlines()]
    assert len(shown.splitlines()) == 9
    for line in shown.splitlines():
        assert line.split()[:-1] in printed, line
    check = "\nassert len(table) == 60 and table['score'].max() > 0.98\n"
    check += "assert model.input_shape == (None, 8, 8)\n"
    asked += "\nassert len(search.table) == 20 and abs(search.best['lr'] - 0.01) < 0.01\n"
    run_python(code + check + asked)


@pytest.mark.slow
def test_the_python_of_the_tuner_s_page_runs(tmp_path, run_python):
    code, tuned = blocks("hpsearch/engine/README.md", "python")
    (tmp_path / "sweeps").symlink_to(ROOT / "sweeps")
    check = "\nassert len(results.table) == 102 and results.best['score'] > 0.95\n"
    check += "assert results.model().input_shape == (None, 8, 8)\n"
    check += "assert len(hpsearch.load('experiments/digits').curves) == 1190\n"
    check += tuned + "\nassert tuned.table['fold'].tolist() == [1, 2, 3] * 12\n"
    check += "assert tuned.best['score'] == tuned.best['val_auc']\n"
    run_python(code + check)


@pytest.mark.slow
def test_custom_models_and_tuners_run(tmp_path, run_python):
    built = block("models", "py").split("results =")[0]
    run_python(built + block("keras-tuner", "py") + "assert model.built\n")
    check = "assert len(results.table) == 4 and results.best['score'] > 0.3\n"
    check += "assert best.predict(x[:2, ..., None], verbose=0).shape == (2, 10)\n"
    check += block("oracle", "py")
    check += "assert len(found.trials) == len(oracle.trials) == 6\n"
    run_python(block("models", "py") + block("tuners", "py") + check)
    # Which values three random trials have is chance, and so is whether they vary.
    told = hpsearch("show", "my_dir/digits", cwd=tmp_path).stdout
    assert "3 trials, 6 executions: 3 completed" in told


@pytest.mark.slow
def test_several_inputs_and_callbacks_as_shown(tmp_path, run_python):
    check = "assert len(results.table) == 4 and set(results.table['trainer']) == {'graph'}\n"
    check += "assert set(results.table['metric']) == {'val_loss:minimize:best'}\n"
    check += "assert (labels == y).mean() > 0.9\n"
    given = block("models", "py").split("def build")[0]
    run_python(given + block("callbacks", "py") + check)


def test_the_error_that_is_shown_is_the_one_that_is_given(tmp_path):
    (shown,) = blocks("sweeps/README.md", "text")
    lines = ["name: x", "data:", "  dataset: digits", "  validation: 0.2", "method: grid"]
    lines += ["parameters:", "  units: [10]", "  epochs: [1]", "  activaton: [relu]"]
    (tmp_path / "sweep.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    told = hpsearch("plan", "sweep.yaml", cwd=tmp_path, code=2)
    assert told.stderr.strip() == shown.strip()


@pytest.mark.slow
def test_the_model_s_file_predicts_as_shown(tmp_path, run_python):
    rows = "".join(
        f"{i % 13 or ''},{('Ulm', '', 'Bonn')[i % 3]},{['no', 'yes'][i % 2]}\n" for i in range(40)
    )
    (tmp_path / "homes.csv").write_text("size,town,sold\n" + rows)
    sweep = "data: {csv: homes.csv, target: sold}\nparameters: {units: [4], epochs: 2}\n"
    (tmp_path / "sweep.yaml").write_text(sweep)
    hpsearch("run", "sweep.yaml", "--out", "out", cwd=tmp_path)
    (tmp_path / "new.csv").write_text("size,town\n81.5,Ulm\n,\n")
    told = hpsearch("predict", "out", "new.csv", cwd=tmp_path).stdout.split()[1:]
    run_python(block("predict", "py") + f"assert labels == {told}\n")
    for name in ("sweep.yaml", "homes.csv"):
        text = (tmp_path / name).read_text(encoding="utf-8")
        (tmp_path / name).write_text(text.replace("size,", "floor size (m2),"), encoding="utf-8")
    hpsearch("run", "sweep.yaml", "--out", "out", "--fresh", cwd=tmp_path)
    check = "rows = {'floor size (m2)': tf.ones((2, 1)), 'town': tf.constant([['Ulm'], ['']])}\n"
    check += "served = tf.saved_model.load('served')\n"
    check += "assert abs(served.serve(rows) - model(rows)).numpy().max() < 1e-6\n"
    run_python(block("serve", "py") + check)


def run_commands(marker: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run the commands after a marker, as a newcomer would; the last one."""
    (home / "sweeps").symlink_to(ROOT / "sweeps")
    for command in block(marker, "sh").splitlines():
        program, *arguments = command.split()
        assert program == "hpsearch"
        done = hpsearch(*arguments, cwd=home)
    return done


@pytest.mark.slow
def test_the_commands_about_rows_that_the_readme_shows_work(tmp_path):
    run_commands("rows", tmp_path)
    held = tmp_path / "experiments" / "held"
    assert (held / "third.keras").exists()
    assert "train_on_batch" in (held / "third" / "train.py").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_commands_about_trackers_work(tmp_path):
    last = run_commands("trackers", tmp_path)
    assert "34 executions logged" in last.stdout
    assert len(list(tmp_path.glob("logs/digits/trial-*/events*"))) == 34


@pytest.mark.slow
def test_the_comparison_that_the_readme_shows_is_the_one_that_is_made(tmp_path):
    (shown,) = blocks("hpsearch/comparison/README.md", "console")
    done = run_commands("compare", tmp_path)
    printed = [line.split() for line in done.stdout.splitlines()]
    for line in shown.splitlines():
        assert line.split() in printed, line


def test_the_file_of_wandb_that_the_readme_shows_runs_unchanged(tmp_path):
    (shown,) = blocks("hpsearch/spec/README.md", "yml")
    (tmp_path / "wandb.yaml").write_text(shown, encoding="utf-8")
    done = run_commands("wandb", tmp_path)
    text = (tmp_path / "experiments/wandb/results.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 12
    assert {row["metric"] for row in rows} == {"val_loss:minimize:last"}
    assert all(16 <= int(row["units"]) <= 128 for row in rows)
    assert {row["status"] for row in rows} <= {"completed", "stopped"}
    said = [line for line in done.stderr.splitlines() if line.startswith("warning: ")]
    assert said == ["warning: project is W&B's key; hpsearch ignores it"]


@pytest.mark.slow
def test_a_program_is_searched_by_its_command_line(tmp_path, run_python):
    (tmp_path / "sweeps").symlink_to(ROOT / "sweeps")
    check = "\nassert results.table['status'].tolist() == ['completed'] * 12\n"
    run_python(block("program", "py") + check)


def test_a_script_that_makes_its_own_sweep_works(tmp_path):
    (tmp_path / "tuned.py").write_text(block("wandb-agent", "py"), encoding="utf-8")
    environment = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "tuned.py"]
    subprocess.run(command, cwd=tmp_path, env=os.environ | environment, check=True)
    table = pd.read_csv(tmp_path / "experiments/tuned/results.csv")
    assert table["status"].tolist() == ["completed"] * 8
    assert table["score"].min() < 0.1


@pytest.mark.slow
def test_the_estimator_works(tmp_path, run_python):
    check = "assert accuracy > 0.8 and len(search.cv_results_) == 2, accuracy\n"
    check += "assert search.predict_proba(x).shape == (178, 3)\n"
    run_python(block("scikit-learn", "py") + check)


def test_the_search_over_a_function_works(tmp_path, run_python):
    check = "assert len(found.table) == 30 and found.best['score'] < 0.5, found.best\n"
    run_python(block("optimize", "py") + check)
    assert run_python(block("ask-and-tell", "py")).endswith(" 30\n")


# The tests of README's command run without Optuna.
@pytest.mark.slow
def test_results_of_other_libraries_are_known(tmp_path, run_python):
    space = "{'alpha': {'min': 0.01, 'max': 100.0, 'scale': 'log'}, 'solver': ['svd', 'lsqr']}"
    made = """
import keras_tuner, numpy as np, optuna, pandas as pd
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV

def score(alpha, solver):
    return (np.log10(alpha) - 1) ** 2 + (solver == 'svd')

study = optuna.create_study()
study.optimize(lambda trial: score(trial.suggest_float('alpha', 0.01, 100.0, log=True),
                                   trial.suggest_categorical('solver', ['svd', 'lsqr'])), 5)

class Tuner(keras_tuner.RandomSearch):
    def run_trial(self, trial):
        hp = trial.hyperparameters
        return score(hp.Float('alpha', 0.01, 100.0, sampling='log'),
                     hp.Choice('solver', ['svd', 'lsqr']))

tuner = Tuner(objective=keras_tuner.Objective('score', 'min'), max_trials=5, directory='kt')
tuner.search()
search = GridSearchCV(Ridge(), {'alpha': [0.1, 1.0], 'solver': ['svd', 'lsqr']})
search.fit(np.arange(20.0).reshape(10, 2), np.arange(10.0))
pd.DataFrame({'Name': ['brisk-sun-1'], 'State': ['finished'], 'alpha': [0.5],
              'solver': ['svd'], 'val_accuracy': [0.9]}).to_csv('wandb_export.csv', index=False)
"""
    check = f"""
import hpsearch
from hpsearch.reporting.source import load_source
for frame, rows in (of_optuna, 5), (of_keras_tuner, 5), (of_wandb, 1), (of_sklearn, 4):
    out = f"learned from {{id(frame)}}"
    hpsearch.optimize(lambda config: score(**config), {space}, trials=3, known=frame, out=out)
    known = load_source(out).facts.known
    assert known.startswith(f"{{rows}} config"), known
"""
    run_python(made + block("known", "py") + check)


#: Language -> the markers of the documents' blocks. Most run above; "dask" and "slurm" in
#: test_cluster_documents.py, "main job" and "tests" in .ci/run.
MARKED = {
    "py": {
        *("ask-and-tell", "callbacks", "checkpoint", "dask", "keras-tuner", "known", "models"),
        *("optimize", "oracle", "predict", "program", "scikit-learn", "serve", "tuners"),
        "wandb-agent",
    },
    "sh": {"compare", "main job", "rows", "sweep", "table", "tests", "trackers", "wandb"},
    "bash": {"slurm"},
}
#: Language -> how many blocks without a marker run above.
UNMARKED = {"console": 2, "python": 4, "text": 1, "yaml": 4, "yml": 1}


def test_every_block_of_the_documents_runs_somewhere():
    shown = [
        found
        for document in DOCUMENTS
        for found in re.findall(
            r"(?:<!-- ([^>]*) -->\n)?^```(\w*)\n.*?^```",
            document.read_text(encoding="utf-8"),
            re.DOTALL | re.MULTILINE,
        )
    ]
    marked = [(marker, name) for name, markers in MARKED.items() for marker in markers]
    unmarked = [("", name) for name, count in UNMARKED.items() for _ in range(count)]
    assert sorted(shown) == sorted(marked + unmarked)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files(document):
    text = document.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if not target.startswith("https://"):
            assert (document.parent / target.split("#")[0]).exists(), target


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 220


def test_the_words_for_those_of_keras_tuner_are_a_sweep(tmp_path):
    readme = (ROOT / "hpsearch/kerastuner/README.md").read_text(encoding="utf-8")
    words = re.findall(r"^\| `hp\..*\| `(\w+: \{.*\})` \|$", readme, re.MULTILINE)
    assert len(words) == 3
    metric = re.search(r"`(metric: \{.*?\})` \|$", readme, re.MULTILINE)
    lines = ["data: {dataset: digits}", "method: bayesian", "budget: {trials: 9}", metric[1]]
    lines += ["parameters:", "  layer_type: [dense, dropout]", *(f"  {line}" for line in words)]
    sweep = sweep_from_text("\n".join(lines), "s.yaml", tmp_path)
    assert set(sweep.parameters) == {"layer_type", "units", "learning_rate", "dropout"}


def test_every_command_is_documented():
    readme = (ROOT / "sweeps/README.md").read_text(encoding="utf-8")
    listed = hpsearch("--help", cwd=ROOT).stdout
    for command in re.findall(r"^  (\w+)  ", listed, re.MULTILINE):
        assert f"hpsearch {command}" in readme or f"`{command}`" in readme, command
