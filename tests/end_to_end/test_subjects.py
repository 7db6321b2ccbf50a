"""Every kind of trial runs, goes on, is tried again, halted and reproduced alike.

One suite for all four; what only one kind does is tested in its own room.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
import yaml
from commands import environment, hpsearch, start, wait_for
from outcomes import table

pytestmark = pytest.mark.slow

#: What a trial of each kind does: its score is known, or a model's; it can fail or wait.
CODE = """\
import os, sys, time

def act(units):
    if os.path.exists("broken") and units == 4:
        raise ValueError("is broken")
    open(f"began-{units}", "w").close()
    while os.path.exists("wait") and units == 4:
        time.sleep(0.01)

def layer(x, units, activation):
    import keras
    act(units)
    return keras.layers.Dense(units, activation=activation)(x)

def build(hp):
    import keras
    units = hp.Choice("units", [2, 4, 8])
    act(units)
    model = keras.Sequential([
        keras.layers.Dense(units, activation="relu"), keras.layers.Dense(3, activation="softmax")
    ])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model

def scores(config):
    act(config["units"])
    for epoch in range(1, int(config["epochs"]) + 1):
        # A program goes on while hpsearch decides whether to end it.
        time.sleep(0.5 if os.path.exists("slow") else 0)
        yield -config["units"] / epoch

if __name__ == "__main__":
    config = dict(argument.removeprefix("--").split("=") for argument in sys.argv[1:])
    for score in scores({name: int(value) for name, value in config.items()}):
        print("score:", score + int(os.environ["HPSEARCH_SEED"]))
"""
SEARCH = """\
import json, sys
import hpsearch, subject

arguments = json.loads(sys.argv[1])
results = hpsearch.optimize(subject.scores, goal="maximize", out="out", workers=2, **arguments)
"""


@dataclass(frozen=True)
class Subject:
    """A kind of trial, as users write it.

    Attributes:
        sweep: The keys of its sweep file but for method, parameters and budget; empty for a
            function, which is searched from Python.
        trust: Options that let `hpsearch reproduce` run the code.
    """

    sweep: str
    parameters: str
    trust: tuple[str, ...] = ()


SUBJECTS = {
    "mlp": Subject(
        "data: {dataset: wine}\n", "{units: [2, 4, 8], layer_type: LAYER, epochs: EPOCHS}"
    ),
    "model": Subject(
        "data: {dataset: wine}\nmodel: subject:build\n",
        "{epochs: EPOCHS}",
        ("--trust", "subject:build"),
    ),
    "program": Subject(
        "program: subject.py\nmetric: {name: score, goal: maximize}\n",
        "{units: [2, 4, 8], epochs: EPOCHS}",
        ("--sweep", "sweep.yaml"),
    ),
    "function": Subject("", "{units: [2, 4, 8], epochs: EPOCHS}"),
}
of_files = pytest.mark.parametrize("kind", [kind for kind in SUBJECTS if SUBJECTS[kind].sweep])


@dataclass(frozen=True)
class Home:
    """A directory with one kind of trial."""

    path: Path
    subject: Subject

    def command(
        self, method: object = "grid", epochs: int = 3, *, acts: bool = False, **keys: object
    ) -> list[str]:
        """The command of a search; further keys are those of a sweep file.

        Args:
            acts: Whether an MLP calls code of the user's, too.
        """
        layer = "subject:layer" if acts else "dense"
        parameters = self.subject.parameters.replace("LAYER", layer).replace("EPOCHS", str(epochs))
        if not self.subject.sweep:
            keys = {"method": method, "parameters": yaml.safe_load(parameters)} | keys
            return [sys.executable, "-c", SEARCH, json.dumps(keys)]
        if "trials" in keys:
            keys["budget"] = {"trials": keys.pop("trials")}
        keys = {"method": method} | keys
        lines = [f"parameters: {parameters}\n"]
        lines += [f"{key}: {json.dumps(value)}\n" for key, value in keys.items()]
        (self.path / "sweep.yaml").write_text(self.subject.sweep + "".join(lines))
        return ["run", "sweep.yaml", "--out", "out"]

    def run(self, *options: str, **keys: object) -> pd.DataFrame:
        command = self.command(**keys)
        if self.subject.sweep:
            hpsearch(*command, *options, cwd=self.path)
        else:
            subprocess.run(command, cwd=self.path, env=environment(), check=True)
        return self.rows()

    def start(self, **keys: object) -> subprocess.Popen[str]:
        command = self.command(**keys)
        if self.subject.sweep:
            return start("sweep.yaml", cwd=self.path, out="out").process
        return subprocess.Popen(command, cwd=self.path, env=environment(), text=True)

    def rows(self) -> pd.DataFrame:
        return table(self.path / "out")


@pytest.fixture(params=SUBJECTS)
def kind(request):
    return request.param


@pytest.fixture
def home(tmp_path, kind):
    (tmp_path / "subject.py").write_text(CODE)
    return Home(tmp_path, SUBJECTS[kind])


def test_what_has_a_row_is_not_trained_again(home):
    first = home.run(epochs=2)
    assert first["units"].tolist() == [2, 4, 8]
    assert (first["status"] == "completed").all()
    csv = home.path / "out" / "results.csv"
    text = csv.read_text()
    home.run(epochs=2)
    # With the seconds that each took.
    assert csv.read_text() == text


def test_a_killed_driver_loses_nothing(home):
    (home.path / "wait").touch()
    process = home.start(acts=True)
    wait_for((home.path / "began-4").exists, seconds=120)
    wait_for((home.path / "out" / "sweep.db").exists)
    process.kill()
    process.communicate()
    (home.path / "wait").unlink()
    after = home.run(acts=True)
    (home.path / "out").rename(home.path / "killed")
    pd.testing.assert_frame_equal(home.run(acts=True), after)


def test_a_failure_is_a_row_and_tried_again_only_on_request(home, kind):
    (home.path / "broken").touch()
    rows = home.run(acts=True)
    assert dict(zip(rows["units"], rows["status"], strict=True)) == {
        2: "completed", 4: "failed", 8: "completed",
    }  # fmt: skip
    (home.path / "broken").unlink()
    assert "failed" in set(home.run(acts=True)["status"])
    if kind != "function":
        assert set(home.run("--retry", acts=True)["status"]) == {"completed"}


def test_a_halted_trial_keeps_its_epochs(home):
    (home.path / "slow").touch()
    method = {"name": "asha", "min_epochs": 1, "factor": 2, "brackets": 1, "proposals": "random"}
    rows = home.run(method=method, epochs=4, trials=3)
    curves = table(home.path / "out", "curves.csv")
    lengths = curves.groupby("trial")["epoch"].max()
    for row in rows.itertuples():
        assert (row.status == "stopped") == (lengths[row.trial] < 4)
    assert rows["status"].isin(["completed", "stopped"]).all()
    assert "stopped" in set(rows["status"])


@of_files
def test_seeds_are_rows_and_change_scores(home):
    rows = home.run(seeds=2)
    assert sorted(zip(rows["units"], rows["seed"], strict=True)) == [
        (units, seed) for units in (2, 4, 8) for seed in (0, 1)
    ]
    scores = [seed["score"].tolist() for _, seed in rows.groupby("seed")]
    assert scores[0] != scores[1]


@of_files
def test_a_trial_is_reproduced(home):
    home.run()
    said = hpsearch("reproduce", "out", "--trial", 2, *home.subject.trust, cwd=home.path)
    assert "equal to its row" in said.stdout + said.stderr
