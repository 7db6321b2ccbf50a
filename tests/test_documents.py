"""What the documents show works: their sweep files plan, their code runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from hpsearch import sweepfile

ROOT = Path(__file__).resolve().parent.parent
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
    (code,) = blocks(ROOT / "README.md", "python")
    (tmp_path / "sweeps").symlink_to(ROOT / "sweeps")
    check = "\nassert len(results.table) == 102 and results.best['score'] > 0.95\n"
    check += "assert results.model().input_shape == (None, 8, 8)\n"
    check += "assert len(hpsearch.load('experiments/digits').curves) == 1190\n"
    ran = subprocess.run(
        [sys.executable, "-c", code + check],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr


def test_the_readme_s_models_and_tuners_run(tmp_path):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    pattern = r"<!-- (?:models|tuners) -->\n```py\n(.*?)^```"
    models, tuners = re.findall(pattern, readme, re.DOTALL | re.MULTILINE)
    check = "assert len(results.table) == 4 and results.best['score'] > 0.3\n"
    check += "assert best.predict(x[:2, ..., None], verbose=0).shape == (2, 10)\n"
    ran = subprocess.run(
        [sys.executable, "-c", models + tuners + check],
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
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    pattern = rf"<!-- {marker} -->\n```sh\n(.*?)^```"
    (commands,) = re.findall(pattern, readme, re.DOTALL | re.MULTILINE)
    (home / "sweeps").symlink_to(ROOT / "sweeps")
    for command in commands.splitlines():
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


def test_the_starter_is_a_sweep_file(tmp_path):
    sweepfile.loads(sweepfile.STARTER, "starter.yaml", tmp_path)


def test_the_readme_names_every_command():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    listed = hpsearch("--help").stdout
    for command in re.findall(r"^  (\w+)  ", listed, re.MULTILINE):
        assert f"hpsearch {command}" in readme or f"`{command}`" in readme, command
