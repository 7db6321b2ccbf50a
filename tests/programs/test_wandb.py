"""Unchanged scripts that call `wandb`, over a package of its shape."""

from __future__ import annotations

import pytest
import yaml

from hpsearch.programs.metrics import TrialMetrics
from hpsearch.space.execution import Status

SCRIPT = """
    import wandb
    with wandb.init(project="p", config={"lr": 99, "other": 1}) as run:
        assert wandb.config.lr == run.config["lr"] == 0.5, wandb.config
        assert wandb.config.opt["name"] == "sgd"
        for epoch in range(2):
            values = {"loss": wandb.config.lr / (epoch + 1), "val": {"acc": 0.5}, "text": "x"}
            wandb.log(values, step=epoch)
            # What is logged with a step that was logged before belongs to it.
            run.log({"late": 9}, epoch)
            wandb.log({"late": epoch}, step=epoch)
"""
VALUES = {"lr": 0.5, "opt.name": "sgd"}
PATHS = {"opt.name": ("opt", "name")}
#: As much of the real package as the hook knows of.
REAL = {
    "wandb/__init__.py": """
        import os, yaml
        from wandb.sdk.wandb_run import Run
        def init(config=None, **_):
            global run, log
            settings = yaml.safe_load(open(os.environ["WANDB_SWEEP_PARAM_PATH"]))
            run = Run({**config, **{n: v["value"] for n, v in settings.items()}})
            log = run.log
            return run
        def __getattr__(name):
            return getattr(run, name)
    """,
    "wandb/sdk/__init__.py": "",
    "wandb/sdk/wandb_summary.py": """
        class SummaryDict(dict):
            def __setitem__(self, key, val):
                self.update({key: val})
            __setattr__ = __setitem__
            def update(self, d):
                super().update(d)
        class Summary(SummaryDict):
            pass
    """,
    "wandb/sdk/wandb_run.py": """
        class Config(dict):
            __getattr__ = dict.__getitem__
        from wandb.sdk.wandb_summary import Summary
        class Run:
            def __init__(self, config):
                self.config, self.summary = Config(config), Summary()
            def log(self, data, step=None, commit=None):
                print("logged", data)
            def __enter__(self):
                return self
            def __exit__(self, *_):
                pass
    """,
}


@pytest.fixture(autouse=True)
def installed(tmp_path, write):
    """Put the package beside the program."""
    for name in ("wandb", "wandb/sdk"):
        (tmp_path / name).mkdir()
    for name, text in REAL.items():
        write(name, text)


def test_what_is_logged_is_told_and_the_settings_are_the_trials(trial, tmp_path):
    result = trial(SCRIPT, VALUES, paths=PATHS)
    assert result.error == ""
    assert [epoch["loss"] for epoch in result.curve] == [0.5, 0.25]
    assert [epoch["late"] for epoch in result.curve] == [0, 1]
    assert result.curve[0]["val.acc"] == 0.5
    logged = (tmp_path / "trials/1/run-1/stdout.log").read_text()
    assert "logged" in logged


def test_every_value_comes_back_from_the_settings_of_wandb(trial, tmp_path):
    numbers = [1e-05, 3e-05, 1e20, -1e-7, 10**20, 1.0, True, None]
    texts = ["1e-05", "on", "null", "1:30", "1_000", "=", "", "\u00e9\U0001f600\x7f\u2028 x\t\n"]
    values = {f"{place}": value for place, value in enumerate([*numbers, *texts, [1e-05, {}]])}
    assert trial("print('loss: 1')", values).error == ""
    found = yaml.safe_load((tmp_path / "trials/1/run-1/wandb.yaml").read_text())
    assert {name: item["value"] for name, item in found.items()} == values
    assert [type(found[name]["value"]) for name in values] == [type(v) for v in values.values()]


@pytest.mark.parametrize("metric", ["best", "last"])
def test_what_is_set_in_the_summary_is_told_unless_it_is_logged(trial, metric):
    result = trial(
        """
        import wandb
        with wandb.init(config={}) as run:
            wandb.log({"last": 3})
            run.summary["best"] = 0.5
            run.summary.update({"best": 0.25})
            wandb.summary.last = 9
        """,
        metric=metric,
    )
    assert result.error == ""
    told = [epoch[metric] for epoch in result.curve]
    assert told == ([0.5, 0.25] if metric == "best" else [3])


@pytest.mark.parametrize("tells", ["hpsearch.report", "wandb.log"])
@pytest.mark.parametrize("fault", ["open", "write"])
def test_a_report_that_cannot_be_written_does_not_end_the_program(trial, tells, fault):
    result = trial(
        f"""
        import os, hpsearch, wandb
        wandb.init({{}})
        real = os.{fault}
        def failing(*arguments, **named):
            if {fault!r} == "write" or "reports" in str(arguments[0]):
                raise OSError(28, "No space left on device")
            return real(*arguments, **named)
        os.{fault} = failing
        {tells}({{"loss": 1}})
        os.{fault} = real
        {tells}({{"loss": 2}})
        """
    )
    assert result.error == ""
    assert [epoch["loss"] for epoch in result.curve] == [2]


def test_what_is_no_number_is_passed_over(trial):
    result = trial(
        """
        import wandb
        class Several:
            def __float__(self):
                raise RuntimeError("a tensor of two elements is no scalar")
        wandb.init(config={})
        wandb.log({"loss": 1, "several": Several(), "picture": None, "huge": 10**400})
        """
    )
    assert result.error == ""
    assert result.score == 1
    assert not {"several", "picture", "huge"} & result.curve[0].keys()


def test_another_sitecustomize_runs_too(trial, tmp_path, write, monkeypatch):
    write("sitecustomize.py", "import os; os.environ['MINE'] = 'ran'")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    result = trial("import os; print('loss:', 1 if os.environ.get('MINE') == 'ran' else 2)")
    assert result.score == 1, result.error


def test_report_comes_before_wandb(trial):
    result = trial(
        """
        import hpsearch, wandb
        wandb.init(config={"a": 1})
        wandb.log({"loss": 5.0})
        hpsearch.report(loss=3)
        """
    )
    assert result.score == 3, result.error
    assert len(result.curve) == 1


@pytest.mark.parametrize("begin", ["hpsearch as told", "wandb as told; told.init({})"])
def test_output_is_not_judged_once_a_program_can_report(trial, begin, monkeypatch, write):
    read = TrialMetrics.read

    def reading(self, *, ended=False):
        read(self, ended=ended)
        if len(self.epochs.found) == 9:
            write("seen", "")

    monkeypatch.setattr(TrialMetrics, "read", reading)
    script = f"""
        import {begin}
        import os, time
        for batch in range(9):
            print("loss: 9")
        while not os.path.exists("seen"):
            time.sleep(0.01)
        tell = told.log if hasattr(told, "init") else told.report
        for value in (3, 2, 1):
            tell({{"loss": value}})
        time.sleep(1000)
    """
    result = trial(script, epochs=3)
    assert result.status is Status.STOPPED, result.error
    assert [epoch["loss"] for epoch in result.curve] == [3, 2, 1]
