"""Scripts that make their own sweep: `import hpsearch.wandb as wandb`."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pandas as pd
import pytest

import hpsearch.wandb
from hpsearch.errors import InputError

SCRIPT = """
    import os
    import sys
    import hpsearch.wandb as wandb

    if "AWAY" in os.environ:
        os.chdir("..")

    def train():
        if "FAIL" in os.environ and wandb.config.lr > 0.2:
            raise RuntimeError("too fast")
        with wandb.init(config={"lr": 9, "other": 1}) as run:
            assert run.config.other == 1
            for epoch in range(3):
                loss = (wandb.config.lr - 0.2) ** 2 / (epoch + 1)
                wandb.log({"loss": loss, "arguments": len(sys.argv)})

    wandb.login()
    count = int(os.environ.get("COUNT", 9))
    sweep = {
        "method": "grid",
        "metric": {"name": "loss", "goal": "minimize"},
        "parameters": {"lr": {"values": [0.1, 0.2, 0.3, 0.4]}},
    }
    results = wandb.agent(wandb.sweep(sweep, project="p"), function=train, count=count)
    print(len(results.table), "trials")
    if "AGAIN" in os.environ:
        wandb.agent(wandb.sweep(sweep), function=train)
"""


def run_script(directory, *command, script=SCRIPT, **variables):
    (directory / "tuned.py").write_text(textwrap.dedent(script))
    # The package's own tests may run in a trial.
    environment = {n: v for n, v in os.environ.items() if not n.startswith(("HPSEARCH", "WANDB"))}
    environment |= variables
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    return subprocess.run(
        [sys.executable, *(command or ("tuned.py",))],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )


def rows(directory):
    return pd.read_csv(directory / "experiments/tuned/results.csv")


@pytest.mark.parametrize("command", [("tuned.py", "--fast"), ("-m", "tuned", "--fast")])
def test_each_trial_runs_the_script_anew(tmp_path, command):
    assert run_script(tmp_path, *command).stdout.endswith("4 trials\n")
    table = rows(tmp_path)
    assert table["status"].tolist() == ["completed"] * 4
    assert table["lr"].tolist() == [0.1, 0.2, 0.3, 0.4]
    assert table["score"].tolist() == pytest.approx([0.01 / 3, 0, 0.01 / 3, 0.04 / 3])
    assert table["epochs_trained"].tolist() == [3] * 4
    assert table["arguments"].tolist() == [2] * 4
    # A trial ends with the function.
    assert (tmp_path / "experiments/tuned/trials/1/run-1/stdout.log").read_text() == ""


def test_the_same_script_continues(tmp_path):
    run_script(tmp_path, COUNT="3")
    assert len(rows(tmp_path)) == 3
    run_script(tmp_path)
    assert len(rows(tmp_path)) == 4
    trials = tmp_path / "experiments/tuned/trials"
    assert sorted(run.parent.name for run in trials.glob("*/run-*")) == ["1", "2", "3", "4"]
    assert rows(tmp_path)["lr"].tolist() == [0.1, 0.2, 0.3, 0.4]


def test_a_function_that_raises_fails_its_trial(tmp_path):
    script = SCRIPT.replace(
        "    results = wandb.agent(", "    try:\n        results = wandb.agent("
    )
    script = script.replace("count=count)\n", "count=count)\n    except Exception:\n        pass\n")
    run_script(tmp_path, script=script, FAIL="1")
    assert rows(tmp_path)["status"].tolist() == ["completed", "completed", "failed", "failed"]
    assert rows(tmp_path)["error"].str.contains("RuntimeError: too fast").tolist()[2:] == [True] * 2


def test_results_are_where_the_script_began(tmp_path):
    assert run_script(tmp_path, AWAY="1").stdout.endswith("4 trials\n")
    assert len(rows(tmp_path)) == 4


def test_a_second_sweep_of_a_script_is_refused(tmp_path):
    with pytest.raises(subprocess.CalledProcessError) as caught:
        run_script(tmp_path, AGAIN="1")
    assert "another sweep needs a script of its own" in caught.value.stderr
    assert rows(tmp_path)["status"].tolist() == ["completed"] * 4


def test_values_of_numpy_and_tuples_are_plain():
    given = {"parameters": {"x": {"values": (np.float64(0.5), np.int64(2))}, "y": np.arange(2)}}
    plain = hpsearch.wandb._plain(given)
    assert plain == {"parameters": {"x": {"values": [0.5, 2]}, "y": [0, 1]}}
    with pytest.raises(InputError, match="sweep: must be a mapping of a sweep file's keys"):
        hpsearch.wandb._plain({"x": object()})


def test_mistakes_are_told(monkeypatch):
    with pytest.raises(InputError, match="there is no sweep 'entity/project/x'"):
        hpsearch.wandb.agent("entity/project/x", function=print)
    identity = hpsearch.wandb.sweep({"method": "grid"})
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)
    with pytest.raises(InputError, match="each trial runs the script anew, and there is no script"):
        hpsearch.wandb.agent(identity, function=print)
