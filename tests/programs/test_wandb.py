"""Unchanged scripts that call `wandb`, with the package's shape and without the package."""

import pytest
import yaml

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
        from wandb.errors import Error
        from wandb.sdk.wandb_run import Run
        from wandb.sdk.wandb_sweep import sweep
        from wandb.wandb_agent import agent
        class Image:
            def __init__(self, *_, **__):
                pass
        def init(config=None, **_):
            global run, log
            settings = yaml.safe_load(open(os.environ["WANDB_SWEEP_PARAM_PATH"]))
            run = Run({**config, **{n: v["value"] for n, v in settings.items()}})
            log = run.log
            return run
        def __getattr__(name):
            return getattr(run, name)
    """,
    "wandb/errors.py": """
        class Error(Exception):
            pass
        class CommError(Error):
            pass
    """,
    "wandb/wandb_agent.py": """
        def agent(*_, **__):
            raise RuntimeError("No API key configured")
    """,
    "wandb/sdk/wandb_sweep.py": """
        from wandb.wandb_agent import agent as sweep
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
            def define_metric(self, name, step_metric=None, summary=None, goal=None):
                pass
            def __enter__(self):
                return self
            def __exit__(self, *_):
                pass
    """,
}


@pytest.fixture(params=["installed", "without", "runs"])
def installed(request, tmp_path, write, monkeypatch):
    """Whether the program finds a package `wandb`, or only the directory of W&B's runs."""
    # One that is installed where these tests run is none here.
    monkeypatch.setenv("PYTHONNOUSERSITE", "1")
    if request.param == "installed":
        for name in ("wandb", "wandb/sdk"):
            (tmp_path / name).mkdir()
        for name, text in REAL.items():
            write(name, text)
    elif request.param == "runs":
        (tmp_path / "wandb" / "offline-run-1").mkdir(parents=True)
    return request.param == "installed"


def test_what_is_logged_is_told_and_the_settings_are_the_trials(trial, tmp_path, installed):
    result = trial(SCRIPT, VALUES, paths=PATHS)
    assert result.error == ""
    assert [epoch["loss"] for epoch in result.curve] == [0.5, 0.25]
    assert [epoch["late"] for epoch in result.curve] == [0, 1]
    assert result.curve[0]["val.acc"] == 0.5
    logged = (tmp_path / "trials/1/run-1/stdout.log").read_text()
    assert ("logged" in logged) == installed


def test_every_value_comes_back_from_the_settings_of_wandb(trial, tmp_path):
    numbers = [1e-05, 3e-05, 1e20, -1e-7, 10**20, 1.0, True, None]
    texts = ["1e-05", "on", "null", "1:30", "1_000", "=", "", "\u00e9\U0001f600\x7f\u2028 x\t\n"]
    values = {f"{place}": value for place, value in enumerate([*numbers, *texts, [1e-05, {}]])}
    assert trial("print('loss: 1')", values).error == ""
    found = yaml.safe_load((tmp_path / "trials/1/run-1/wandb.yaml").read_text())
    assert {name: item["value"] for name, item in found.items()} == values
    assert [type(found[name]["value"]) for name in values] == [type(v) for v in values.values()]


@pytest.mark.parametrize("metric", ["best", "last"])
def test_what_is_set_in_the_summary_is_told_unless_it_is_logged(trial, installed, metric):
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


def test_the_summary_that_a_program_defines_is_told(trial, installed):
    result = trial(
        """
        import math, wandb
        run = wandb.init(config={})
        wandb.define_metric("loss", step_metric="epoch", summary="min")
        run.define_metric("acc", summary="max,last")
        run.define_metric("val/*", summary="best", goal="maximize")
        for value in (5, 3, 4, math.nan):
            wandb.log({"loss": value, "acc": -value, "val/f1": -value})
        """,
        metric="loss.min",
    )
    assert [epoch["loss.min"] for epoch in result.curve] == [5, 3, 3], result.error
    for name in ("acc.max", "val/f1.best"):
        assert [epoch[name] for epoch in result.curve] == [-5, -3, -3]


def test_a_program_s_own_sweep_and_agent_call_its_function_once(trial, installed):
    result = trial(
        """
        import wandb
        from wandb.errors import CommError
        def train(config=None):
            with wandb.init(config=config or {}):
                wandb.log({"loss": wandb.config.lr, "image": wandb.Image([[0]], caption="x")})
        try:
            identity = wandb.sweep({"parameters": {"lr": {"values": [1, 2]}}}, project="p")
            wandb.agent(identity, function=train, count=20)
        except (CommError, wandb.errors.CommError, wandb.Error) as error:
            raise SystemExit(repr(error))
        """,
        {"lr": 0.5},
    )
    assert result.error == ""
    assert [epoch["loss"] for epoch in result.curve] == [0.5]


def test_a_library_gets_the_stand_in_in_place_of_a_directory_of_runs(trial, tmp_path, write):
    """Otherwise the program would get the directory, too."""
    for name in ("wandb", "site-packages"):
        (tmp_path / name).mkdir()
    write("site-packages/library.py", "import wandb")
    result = trial(
        """
        import sys
        sys.path.append("site-packages")
        import library, wandb
        wandb.init(sync_tensorboard=True, settings=wandb.Settings())
        for picture in wandb.Api().runs("p"):
            picture["x"] = 1
        wandb.log({"loss": 1})
        """
    )
    assert (result.error, result.score) == ("", 1)
    said = (tmp_path / "trials/1/run-1/stderr.log").read_text()
    assert said == "sync_tensorboard: hpsearch does not read what TensorBoard gets\n"


@pytest.mark.parametrize("tells", ["hpsearch.report", "wandb.log"])
@pytest.mark.parametrize("fault", ["open", "write"])
def test_a_report_that_cannot_be_written_does_not_end_the_program(trial, tells, fault):
    result = trial(
        f"""
        import os, hpsearch, wandb
        wandb.init()
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
        import argparse, wandb
        class Several:
            def __float__(self):
                raise RuntimeError("a tensor of two elements is no scalar")
        run = wandb.init(config=argparse.Namespace(lr=2))
        assert run.config.lr == 2, run.config
        wandb.log({"loss": 1, "several": Several(), "picture": None, "huge": 10**400})
        wandb.finish()
        """
    )
    assert result.error == ""
    assert result.score == 1
    assert not {"several", "picture", "huge"} & result.curve[0].keys()


def test_a_library_that_looks_for_wandb_finds_none_where_there_is_none(trial, tmp_path, write):
    library = tmp_path / "site-packages"
    library.mkdir()
    write(
        "site-packages/library.py",
        """
        try:
            import wandb
        except ImportError:
            wandb = None
        """,
    )
    result = trial(
        """
        import importlib, importlib.util, sys
        assert importlib.util.find_spec("wandb") is None
        sys.path.append("site-packages")
        import library
        assert library.wandb is None
        wandb = importlib.import_module("wandb")
        assert wandb.__version__ > "0.3" and wandb.config.as_dict() == {"x": 1}
        try:
            from wandb.integration.keras import WandbMetricsLogger
        except ModuleNotFoundError as error:
            assert error.name == "wandb.integration", error
        wandb.init()
        wandb.log({"loss": 1})
        """,
        {"x": 1},
    )
    assert result.error == ""


def test_another_sitecustomize_runs_too(trial, tmp_path, write, monkeypatch):
    write("sitecustomize.py", "import os; os.environ['MINE'] = 'ran'")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    result = trial("import os; print('loss:', 1 if os.environ.get('MINE') == 'ran' else 2)")
    assert result.score == 1, result.error
