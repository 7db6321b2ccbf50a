"""What the documents show works: their sweep files plan, their code runs."""

from __future__ import annotations

import csv
import io
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from readme import ROOT, block

from hpsearch.spec.dump import STARTER
from hpsearch.spec.sweep import sweep_from_text

DOCUMENTS = [ROOT / "README.md", *sorted(ROOT.parent.glob("shared/DESIGN.md"))]
SWEEPS = sorted([*ROOT.glob("sweeps/*.yaml"), *ROOT.glob("experiments/*.yaml")])


def blocks(document: Path, language: str) -> list[str]:
    pattern = rf"^```{language}\n(.*?)^```"
    return re.findall(pattern, document.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def hpsearch(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hpsearch", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.name)
def test_every_sweep_file_of_the_repository_plans(path):
    planned = hpsearch("plan", str(path))
    assert planned.returncode == 0, planned.stderr
    assert "trials" in planned.stdout


YAML = [
    pytest.param(text, id=f"{document.name}-{index}")
    for document in DOCUMENTS
    for index, text in enumerate(blocks(document, "yaml"))
]


@pytest.mark.parametrize("text", YAML)
def test_every_sweep_file_of_a_document_plans(text, tmp_path):
    (tmp_path / "shown.yaml").write_text(text, encoding="utf-8")
    planned = hpsearch("plan", "shown.yaml", cwd=tmp_path)
    assert planned.returncode == 0, planned.stderr
    assert "trials" in planned.stdout


def test_the_readme_shows_a_sweep_file():
    assert len(blocks(ROOT / "README.md", "yaml")) >= 1


def test_the_readme_s_python_runs(tmp_path):
    code, tuned = blocks(ROOT / "README.md", "python")
    (tmp_path / "sweeps").symlink_to(ROOT / "sweeps")
    check = "\nassert len(results.table) == 102 and results.best['score'] > 0.95\n"
    check += "assert results.model().input_shape == (None, 8, 8)\n"
    check += "assert len(hpsearch.load('experiments/digits').curves) == 1190\n"
    check += tuned + "\nassert tuned.table['fold'].tolist() == [1, 2, 3] * 4\n"
    check += "assert tuned.best['score'] == tuned.best['val_auc']\n"
    ran = subprocess.run(
        [sys.executable, "-c", code + check],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr


def test_the_readme_s_models_and_tuners_run(tmp_path):
    check = "assert len(results.table) == 4 and results.best['score'] > 0.3\n"
    check += "assert best.predict(x[:2, ..., None], verbose=0).shape == (2, 10)\n"
    ran = subprocess.run(
        [sys.executable, "-c", block("models", "py") + block("tuners", "py") + check],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "Best val_accuracy So Far" in ran.stdout
    shown = hpsearch("show", "my_dir/digits", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "filters_0" in shown.stdout


def test_the_error_that_the_readme_shows_is_the_one_that_is_given(tmp_path):
    (shown,) = blocks(ROOT / "README.md", "text")
    lines = ["name: x", "data:", "  dataset: digits", "  validation: 0.2", "method: grid"]
    lines += ["parameters:", "  units: [10]", "  epochs: [1]", "  activaton: [relu]"]
    (tmp_path / "sweep.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    told = hpsearch("plan", "sweep.yaml", cwd=tmp_path)
    assert told.returncode == 2
    assert told.stderr.strip() == shown.strip()


def run_commands(marker: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run the commands after a marker in the README, as a newcomer would; the last one."""
    (home / "sweeps").symlink_to(ROOT / "sweeps")
    for command in block(marker, "sh").splitlines():
        program, *arguments = command.split()
        assert program == "hpsearch"
        done = hpsearch(*arguments, cwd=home)
        assert done.returncode == 0, done.stderr
    return done


def test_the_commands_about_rows_that_the_readme_shows_work(tmp_path):
    last = run_commands("rows", tmp_path)
    assert "34 trials are logged" in last.stdout
    held = tmp_path / "experiments" / "held"
    assert (held / "third.keras").exists()
    assert "train_on_batch" in (held / "third.py").read_text(encoding="utf-8")
    assert len(list(held.glob("logs/digits/trial-*/events*"))) == 34


def test_the_comparison_that_the_readme_shows_is_the_one_that_is_made(tmp_path):
    (shown,) = blocks(ROOT / "README.md", "console")
    done = run_commands("compare", tmp_path)
    printed = [line.split() for line in done.stdout.splitlines()]
    for line in shown.splitlines():
        assert line.split() in printed, line


def test_the_file_of_wandb_that_the_readme_shows_runs_unchanged(tmp_path):
    (shown,) = blocks(ROOT / "README.md", "yml")
    (tmp_path / "wandb.yaml").write_text(shown, encoding="utf-8")
    done = run_commands("wandb", tmp_path)
    text = (tmp_path / "experiments/wandb/results.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 12
    assert {row["metric"] for row in rows} == {"val_loss:minimize:last"}
    assert all(16 <= int(row["units"]) <= 128 for row in rows)
    assert {row["status"] for row in rows} <= {"completed", "stopped"}
    for ignored in ("program", "project"):
        assert f"{ignored} is W&B's key; hpsearch ignores it" in done.stderr


def test_the_estimator_that_the_readme_shows_works(tmp_path):
    code = block("scikit-learn", "py")
    check = "assert accuracy > 0.8 and len(search.cv_results_) == 2, accuracy\n"
    check += "assert search.predict_proba(x).shape == (178, 3)\n"
    command = [sys.executable, "-c", code + check]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert ran.returncode == 0, ran.stderr


def test_the_search_over_a_function_that_the_readme_shows_works(tmp_path):
    code = block("optimize", "py")
    check = "assert len(found.table) == 30 and found.best['score'] < 0.5, found.best\n"
    command = [sys.executable, "-c", code + check]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert ran.returncode == 0, ran.stderr


#: Blocks of the README by marker and language, and how many there are. Most run above; "main job"
#: in tests/faults/test_05_clean_install.py, "dask" and "slurm" in tests/test_cluster_documents.py,
#: "tests" in .ci/run.
RUN = {
    ("compare", "sh"): 1,
    ("dask", "py"): 1,
    ("main job", "sh"): 1,
    ("models", "py"): 1,
    ("optimize", "py"): 1,
    ("rows", "sh"): 1,
    ("scikit-learn", "py"): 1,
    ("slurm", "bash"): 1,
    ("tests", "sh"): 1,
    ("tuners", "py"): 1,
    ("wandb", "sh"): 1,
    ("", "console"): 1,
    ("", "python"): 2,
    ("", "text"): 1,
    ("", "yaml"): 2,
    ("", "yml"): 1,
}


def test_every_block_of_the_readme_runs_somewhere():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.findall(
        r"(?:<!-- ([^>]*) -->\n)?^```(\w*)\n.*?^```", readme, re.DOTALL | re.MULTILINE
    )
    assert Counter(shown) == RUN


def test_the_words_for_those_of_keras_tuner_are_a_sweep(tmp_path):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    words = re.findall(r"^\| `hp\..*\| `(\w+: \{.*\})` \|$", readme, re.MULTILINE)
    assert len(words) == 3
    metric = re.search(r"`(metric: \{.*?\})` \|$", readme, re.MULTILINE)
    lines = ["data: {dataset: digits}", "method: bayesian", "budget: {trials: 9}", metric[1]]
    lines += ["parameters:", "  layer_type: [dense, dropout]", *(f"  {line}" for line in words)]
    sweep = sweep_from_text("\n".join(lines), "s.yaml", tmp_path)
    assert set(sweep.parameters) == {"layer_type", "units", "learning_rate", "dropout"}


def test_the_starter_is_a_sweep_file(tmp_path):
    sweep_from_text(STARTER, "starter.yaml", tmp_path)


def test_the_readme_names_every_command():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    listed = hpsearch("--help").stdout
    for command in re.findall(r"^  (\w+)  ", listed, re.MULTILINE):
        assert f"hpsearch {command}" in readme or f"`{command}`" in readme, command
