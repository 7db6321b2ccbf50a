"""The sweep file of a program: what it takes, what it refuses, and what it is never taken for."""

import io
from pathlib import Path

import pytest
import yaml
from rich.console import Console
from wandb_files import wandb_file

import hpsearch
from hpsearch.cli.plan import print_plan
from hpsearch.errors import ChangedSweepError, InputError, SweepFileError
from hpsearch.programs.search import program_identity, require_same_program
from hpsearch.programs.trial import fingerprint_of
from hpsearch.spec.sweep import ProgramSweep, Sweep, load_sweep, model_sweep, sweep_from_mapping

LEAST = {"command": ["true", "${args}"], "metric": "loss", "parameters": {"x": [1, 2]}}


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({"data": {"dataset": "digits"}}, "data: unknown key"),
        ({"model": {"loss": "mse"}}, "model: unknown key"),
        ({"command": "python train.py"}, "must be a list"),
        ({"command": ["a", {"b": 1}]}, "must be text"),
        ({"metric": {"goal": "minimize"}}, "name: is missing"),
        ({"method": "grid", "parameters": {"x": {"min": 0.0, "max": 1.0}}}, "a grid needs"),
        ({"method": "asha"}, "epochs has to say how many there are"),
        ({"method": "my:Oracle"}, "Keras models alone"),
        ({"parameters": {"x": {"values": [1], "when": {"z": 1}}}}, "there is no parameter 'z'"),
        ({"constraints": ["z < 1"]}, "there is no parameter 'z'"),
        ({"parameters": {"seed": [1]}, "seeds": 2}, "list the seeds there"),
        ({"goal": "maximize"}, "unknown key"),
        ({"run-cap": 9}, "did you mean 'run_cap'"),
        ({"budgets": {"trials": 9}}, "did you mean 'budget'"),
        ({"trials": 9}, "put it under budget:"),
        ({"execution": {"engine": "ray"}}, "programs run on this machine"),
        ({"metric": ["loss", "x"]}, "metric: must be a mapping"),
        ({"constraints": ["x > 2"]}, "none of the 2 points of the grid does"),
        ({"parameters": {"x": {"values": [1], "when": {"y": 3}}, "y": [1, 2]}}, "y never is 3"),
    ],
)
def test_what_is_refused(raw, said):
    with pytest.raises(SweepFileError) as caught:
        sweep_from_mapping({**LEAST, **raw})
    assert said in str(caught.value)


def test_what_w_and_b_accepts_is_accepted_with_a_warning():
    parameters = {"x": [1, 2, 1], "y": {"values": ["a", "a"]}, "z": {"parameters": {"w": [3, 3]}}}
    raw = {**LEAST, "parameters": parameters, "count": 9, "max_runs": 5}
    raw |= {"launch": {"queue": "q"}, "scheduler": {}}
    sweep = sweep_from_mapping({**raw, "command": ["true", True, 2, "${args}"]})
    assert sweep.command == ("true", "True", "2", "${args}")
    assert [parameter.choices for parameter in sweep.space.parameters] == [(1, 2), ("a",), (3,)]
    ignored = [w.partition(" ")[0] for w in sweep.warnings if "hpsearch ignores it" in w]
    assert ignored == ["launch", "scheduler"]
    assert [warning for warning in sweep.warnings if "is ignored" in warning] == [
        "count is ignored, as W&B ignores it; run_cap ends a sweep",
        "max_runs is ignored, as W&B ignores it; run_cap ends a sweep",
    ]
    twice = [warning for warning in sweep.warnings if "listed twice" in warning]
    assert [warning.partition(":")[0] for warning in twice] == [
        *("parameters.x", "parameters.y", "parameters.w")
    ]


def test_the_plan_says_what_halts_and_who_proposes():
    for method, line in (
        ("asha", "halting    after 9 epochs only the best go on; bayesian proposes"),
        ({"name": "hyperband", "factor": 2, "proposals": "grid"}, "after 7 and 14 epochs"),
        ({"name": "asha", "min_epochs": 27}, "halting    nowhere"),
    ):
        raw = {**LEAST, "method": method, "parameters": {"x": [1, 2], "epochs": 27}}
        console = Console(file=io.StringIO(), width=200)
        sweep = sweep_from_mapping({**raw, "budget": {"trials": 12}})
        print_plan(sweep, None, None, console, measure=False)
        assert line in console.file.getvalue()
        assert "trials     12 at most; " in console.file.getvalue()


def test_without_a_metric_a_program_that_ends_scores_one(tmp_path):
    raw = {key: item for key, item in LEAST.items() if key != "metric"}
    sweep = sweep_from_mapping({**raw, "command": ["sh", "-c", "echo loss: 0.5; exit $1", "-"]})
    assert (sweep.metric.name, sweep.metric.goal) == ("hpsearch_finished", "maximize")
    assert any(warning.startswith("metric is missing: each program") for warning in sweep.warnings)
    with pytest.raises(SweepFileError, match="metric: is missing"):
        sweep_from_mapping({**raw, "method": "tpe"})
    (tmp_path / "run.sh").write_text("test ${1#--x=} = 1 && echo loss: 0.5")
    command = ["sh", str(tmp_path / "run.sh"), "${args}"]
    with pytest.warns(UserWarning, match="metric is missing"):
        table = hpsearch.run({**raw, "command": command}, out=tmp_path / "out", verbose=0).table
    assert table["status"].tolist() == ["completed", "failed"]
    assert table["score"].tolist()[0] == 1
    assert table["loss"].tolist()[0] == 0.5


def test_a_module_and_a_program_of_path_are_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "package").mkdir()
    (tmp_path / "package/train.py").touch()
    command = ["${interpreter}", "-m", "${program}", "${args}"]
    raw = {**LEAST, "command": command, "program": "package.train"}
    sweep = sweep_from_mapping(raw, tmp_path)
    assert sweep.command == ("${interpreter}", "-m", "package.train", "${args}")
    assert sweep.program == str(tmp_path / "package/train.py")
    assert not any("edits of the program are not noticed" in w for w in sweep.warnings)
    elsewhere = sweep_from_mapping({**raw, "program": "json.tool"}, tmp_path)
    assert elsewhere.program is None
    assert elsewhere.command == ("${interpreter}", "-m", "json.tool", "${args}")
    assert any("edits of the program are not noticed" in w for w in elsewhere.warnings)
    (tmp_path / "bin").mkdir()
    tool = tmp_path / "bin/tool"
    tool.touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    raw = {**LEAST, "program": "tool"}
    for command in (["${program}"], ["${env}", "${program}", "${args}"]):
        assert sweep_from_mapping({**raw, "command": command}, tmp_path).program == str(tool)
    # Python would not look for it there.
    assert sweep_from_mapping(raw, tmp_path).program == str(tmp_path / "tool")


def test_any_name_and_value_is_the_programs_own():
    parameters = {
        "units": ["wide", None],
        "optimizer": [{"name": "mine", "beta": 2}, "x"],
        "epochs": ["some"],
        "a-b.c": True,
        "hidden_layers": -3,
    }
    sweep = sweep_from_mapping({**LEAST, "parameters": parameters})
    assert sweep.space.cardinality() == 4
    assert dict(sweep.listed) == {}
    assert sweep.space.names == tuple(parameters)


@pytest.fixture
def file(tmp_path, monkeypatch):
    """Writes a sweep file, beside a program."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text("")

    def written(text, name="a sweep!.yaml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return written


def test_files_of_wandb_by_its_grammar_are_planned(file):
    for seed in range(30):
        path = file(yaml.safe_dump(wandb_file(seed), sort_keys=False), f"{seed}.yaml")
        sweep, text = load_sweep(path, with_data=True), io.StringIO()
        print_plan(sweep, None, None, Console(file=text, width=200), measure=False)
        assert "trials " in text.getvalue(), seed
        assert "trial 1 " in text.getvalue(), seed


def test_a_file_of_one_kind_is_never_taken_for_the_other(file):
    of_program = file("program: train.py\nmetric: loss\nparameters: {units: [1]}\n")
    of_mlp = file("data: {dataset: digits}\nparameters: {units: [8]}\n", "mlp.yaml")
    assert isinstance(load_sweep(of_program), ProgramSweep)
    assert isinstance(load_sweep(of_mlp), Sweep)
    with pytest.raises(InputError, match=r"a-sweep: this is the sweep of a program"):
        model_sweep(load_sweep(of_program))
    both = file("data: {dataset: digits}\nmetric: loss\nprogram: train.py\n")
    with pytest.raises(SweepFileError, match=r":1: data: unknown key"):
        load_sweep(both, with_data=True)


def test_a_file_of_wandb_without_a_program_says_what_it_lacks(file):
    path = file(
        "method: random\nmetric: {name: acc, goal: maximize}\nparameters: {lr: [1]}\n", "w.yaml"
    )
    with pytest.raises(SweepFileError, match=r"program: train.py"):
        load_sweep(path)


def test_faults_have_lines_and_settings_override(file):
    path = file("program: train.py\nmetric: loss\nparameters:\n  lr: {min: 1}\n  b-c: 1\n")
    with pytest.raises(SweepFileError, match=r":4: parameters.lr.max: is missing"):
        load_sweep(path)
    sweep = load_sweep(path, ["parameters.lr=[1,2]", "parameters.b-c=[3]", "metric=acc"])
    assert sweep.space.cardinality() == 2
    assert sweep.metric.name == "acc"
    assert sweep.name == "a-sweep"
    with pytest.raises(SweepFileError, match=r":3: parameters\.lr: .*from --set parameters.lr="):
        load_sweep(path, ["parameters.lr={}"])


def test_a_program_is_found_beside_the_file_or_from_the_working_directory(file, tmp_path):
    text = "program: train.py\nmetric: loss\n"
    (tmp_path / "sub").mkdir()
    path = file(text, "sub/s.yaml")
    assert load_sweep(path, with_data=True).file == str(tmp_path / "train.py")
    (tmp_path / "sub" / "train.py").write_text("")
    assert load_sweep(path, with_data=True).file == str(tmp_path / "sub" / "train.py")
    missing = file("program: gone.py\nmetric: loss\n", "g.yaml")
    with pytest.raises(SweepFileError, match="no such file"):
        load_sweep(missing, with_data=True)


def identity_of(path):
    sweep = load_sweep(path, with_data=True)
    program = sweep.run_of("")
    return program_identity(sweep, program, fingerprint_of(program))


def test_rows_are_of_the_script_that_the_command_names(file, tmp_path, monkeypatch):
    command = '["${interpreter}", train.py, --out, model.pt, "${args}"]'
    path = file(f"command: {command}\nmetric: loss\n", "s.yaml")
    before = identity_of(path)
    # The program may write what the command names beside it.
    (tmp_path / "model.pt").write_text("weights")
    assert identity_of(path) == before
    # It is the same program from another directory, and is found there.
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    assert identity_of("../s.yaml") == before
    arguments = load_sweep("../s.yaml").run_of("").arguments({}, 0, tmp_path)
    assert arguments[1:] == [str(tmp_path / "train.py"), "--out", "model.pt"]
    stored = sweep_from_mapping(load_sweep("../s.yaml").raw())
    assert stored.file == str(tmp_path / "train.py")
    # An edit is another one, of a script by its absolute path, too.
    absolute = file(f"command: [python, {tmp_path / 'train.py'}]\nmetric: loss\n", "absolute.yaml")
    data = identity_of(absolute).data
    (tmp_path / "train.py").write_text("edited")
    assert identity_of(path).data != before.data
    assert identity_of(absolute).data != data


def test_programs_without_a_file_are_told_apart_by_their_commands(file):
    one = identity_of(file("command: [echo, 'loss: 1']\nmetric: loss\n", "a.yaml"))
    two = identity_of(file("command: [echo, 'loss: 2']\nmetric: loss\n", "b.yaml"))
    assert one.data != two.data
    # No file was edited.
    with pytest.raises(ChangedSweepError, match=r"recipe\.command: was .*1.*, is .*2"):
        require_same_program(one, two, Path("out"), anyway=False)


def test_wandbs_words(file):
    path = file(
        "name: My sweep, 2\nprogram: train.py\nproject: p\nentity: e\napiVersion: 1\n"
        "method: random\nmetric: {name: accuracy, target: 0.9}\nparameters: {x: {min: 1, max: 5}}\n"
    )
    sweep = load_sweep(path)
    assert sweep.name == "My-sweep-2"
    assert sweep.metric.goal == "maximize"
    said = "\n".join(sweep.warnings)
    ignored = ("project is W&B's", "entity", "apiVersion", "metric.target")
    assert all(part in said for part in ("name:", *ignored, "has no goal"))
    assert "goes on until Ctrl-C" in said
    assert sweep_from_mapping({**LEAST, "metric": {"name": "my"}}).metric.goal == "minimize"


@pytest.mark.parametrize("low", [1e-4, -4])
def test_exponents_that_look_like_values_are_warned_of(low):
    drawn = {"distribution": "log_uniform", "min": low, "max": 0.1}
    said = "\n".join(
        sweep_from_mapping({**LEAST, "method": "random", "parameters": {"lr": drawn}}).warnings
    )
    assert ("from 1.0001 to 1.1052; to draw from 0.0001 to 0.1" in said) == (low > 0)


def test_wandbs_grid_enumerates_whole_numbers_and_steps():
    parameters = {
        "n": {"min": 2, "max": 4},
        "q": {"distribution": "q_uniform", "min": 0, "max": 1, "q": 0.25},
    }
    sweep = sweep_from_mapping({**LEAST, "parameters": parameters})
    n, q = sweep.space.parameters
    assert n.choices == (2, 3, 4)
    # As `numpy.arange`, which W&B takes: without the end.
    assert q.choices == (0, 0.25, 0.5, 0.75)
