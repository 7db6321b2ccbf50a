"""KerasTuner's classes beyond its guides: methods, resuming, hooks, runs in process."""

import contextlib
import math
import shutil
from pathlib import Path

import keras
import keras_tuner
import numpy as np
import pandas as pd
import pytest
from keras import layers
from marks import slow

import hpsearch.tuners as kt
from hpsearch.custom.fit_arguments import NotOnEngine, request_of
from hpsearch.errors import RefusedError
from hpsearch.kerastuner import search as engine_search
from hpsearch.store.directory import ResultsDirectory

pytestmark = pytest.mark.usefixtures("place")
WHERE = {"directory": "d", "project_name": "p"}


def build(hp):
    model = keras.Sequential(
        [
            layers.Flatten(),
            layers.Dense(
                hp.Int("units", 4, 8, step=4), activation=hp.Choice("f", ["relu", "tanh"])
            ),
            layers.Dense(10, activation="softmax"),
        ]
    )
    rate = hp.Float("rate", 1e-3, 1e-1, sampling="log")
    model.compile(keras.optimizers.Adam(rate), "categorical_crossentropy", metrics=["accuracy"])
    return model


def table(project="d/p"):
    return pd.read_csv(Path(project, "results.csv"))


def state(tuner):
    """The best trials, with all that KerasTuner keeps of them."""
    return [trial.get_state() for trial in tuner.oracle.get_best_trials(4)]


@pytest.fixture(scope="module")
def search(data):
    """Return a function that makes a tuner and searches with it."""

    def searching(tuner_class, *, epochs=2, fit=None, **arguments):
        tuner = tuner_class(build, **{"objective": "val_accuracy", **WHERE, **arguments})
        tuner.search(**data, epochs=epochs, verbose=0, **(fit or {}))
        return tuner

    return searching


@pytest.fixture(scope="module")
def halved(search, tmp_path_factory):
    """A search of Hyperband that has ended."""
    return search(kt.Hyperband, **HALVED, directory=tmp_path_factory.mktemp("halved"))


DRAWN = {"max_trials": 3, "seed": 4, "executions_per_trial": 2, "workers": 2}
HALVED = {"max_epochs": 4, "factor": 2, "seed": 3}


@pytest.fixture(scope="module")
def drawn(search, tmp_path_factory):
    """A search at random that has ended."""
    return search(kt.RandomSearch, **DRAWN, directory=tmp_path_factory.mktemp("drawn"))


@pytest.fixture
def copied(drawn, place):
    """The project of `drawn` where a test may change it."""
    return shutil.copytree(drawn.project_dir, place / "d" / "p")


def test_a_grid_tries_each_combination_once(search):
    hp = keras_tuner.HyperParameters()
    # What they vary is no part of the graph, which is made once.
    hp.Fixed("units", 4)
    hp.Fixed("f", "relu")
    hp.Boolean("flag")
    tuner = search(kt.GridSearch, epochs=1, hyperparameters=hp)
    # Ten rates, as in KerasTuner, since the range has no step.
    assert len(table()) == len(tuner.oracle.trials) == 2 * 10
    assert table()["rate"].nunique() == 10
    assert tuner.oracle.get_best_trials()[0].score == table()["score"].max()


@pytest.mark.slow
def test_bayesian(search):
    settings = {"max_trials": 5, "num_initial_points": 2, "seed": 3, "workers": 1}
    tuner = search(kt.BayesianOptimization, **settings)
    rows = table()
    assert len(rows) == 5
    assert tuner.remaining_trials == 0
    # The first are drawn; the scores decide what follows, so the opposite goal leads elsewhere.
    opposite = kt.Objective("val_accuracy", "min")
    search(kt.BayesianOptimization, objective=opposite, project_name="q", **settings)
    other = pd.read_csv("d/q/results.csv")
    assert rows["config"].tolist()[:2] == other["config"].tolist()[:2]
    assert rows["config"].tolist()[3:] != other["config"].tolist()[3:]


def test_hyperband_is_kerastuners_on_the_engine(halved):
    """As many configs, in the same brackets and rounds, for the same epochs."""
    trials, rows = halved.oracle.trials.values(), table(halved.project_dir)
    told = [
        tuple(map(each.hyperparameters.get, ("tuner/round", "tuner/epochs"))) for each in trials
    ]
    # Its sizes: three brackets, of 4 -> 2 -> 1, of 3 -> 2 and of 3 configs.
    expected = [(0, 1)] * 4 + [(1, 2)] * 2 + [(2, 4)] + [(0, 2)] * 3 + [(1, 4)] * 2 + [(0, 4)] * 3
    assert sorted(told) == sorted(expected)
    assert set(rows["epochs_trained"]) == {1, 2, 4}
    assert len(rows) == 4 + 3 + 3
    assert all(each.metrics.exists("val_loss") for each in trials)
    best = halved.get_best_hyperparameters()[0]
    assert best.get("units") in (4, 8)
    assert "epochs" not in best


def test_without_a_seed_the_same_code_goes_on_for_other_epochs(search):
    """KerasTuner draws a seed for each tuner; the project keeps its first one."""
    first = search(kt.RandomSearch, max_trials=1, epochs=1)
    before = table()
    again = search(kt.RandomSearch, max_trials=3, epochs=2)
    assert again.oracle.seed == first.oracle.seed
    pd.testing.assert_frame_equal(table()[:1], before)
    assert table()["epochs_trained"].tolist() == [1, 2, 2]
    trials = again.oracle.trials.values()
    assert [each.status for each in trials] == ["COMPLETED"] * 3
    assert sorted(each.score for each in trials) == sorted(table()["score"])
    with pytest.raises(RefusedError, match=r"recipe\.seed"):
        search(kt.RandomSearch, max_trials=4, seed=first.oracle.seed + 1)


def test_other_data_is_refused(copied, images):
    x, y, _, _ = images
    tuner = kt.RandomSearch(build, "val_accuracy", **DRAWN | {"max_trials": 4}, **WHERE)
    with pytest.raises(RefusedError, match="overwrite=True"):
        tuner.search(x, y, epochs=2, validation_split=0.2, verbose=0)


def test_a_search_that_has_its_trials_does_nothing(drawn, copied, search, images):
    """As in KerasTuner, whatever the arguments are; the trials keep their scores."""
    before, (x, y, _, _) = state(drawn), images
    drawn.search(x, y, epochs=1, validation_split=0.2, verbose=0)
    again = search(kt.RandomSearch, **DRAWN, epochs=1)
    assert state(drawn) == state(again) == before
    assert len(table()) == 3 * 2


@pytest.mark.parametrize(
    ("name", "again"),
    [
        ("RandomSearch", "the same tuner"),
        slow("GridSearch", "a new one"),
        slow("Hyperband", "a new one"),
        slow("Hyperband", "the same tuner"),
    ],
)
def test_an_interrupted_search_goes_on(data, name, again, interrupt_after):
    """In a notebook, by the cell run once more, or after the kernel was started anew."""

    def tuner(project):
        where = {"directory": "d", "project_name": project, "workers": 1, "seed": 3}
        many = HALVED if name == "Hyperband" else {"max_trials": 3}
        return getattr(kt, name)(build, objective="val_accuracy", **where | many)

    def run(tuner):
        tuner.search(**data, verbose=0)
        rows = pd.read_csv(f"d/{tuner.project_name}/results.csv")
        return rows.drop(columns=["seconds", "sweep"]), tuner.oracle.trials

    whole, trials = run(tuner("whole"))
    first = tuner("p")
    interrupt_after(2)
    with pytest.raises(KeyboardInterrupt):
        run(first)
    second = first if again == "the same tuner" else tuner("p")
    rows, found = run(second)
    pd.testing.assert_frame_equal(rows, whole)
    assert {n: each.score for n, each in found.items()} == {
        n: each.score for n, each in trials.items()
    }
    assert {each.status for each in found.values()} == {"COMPLETED"}
    for trial in second.oracle.get_best_trials(2):
        model = second.load_model(trial)
        hp = trial.hyperparameters
        assert model.layers[1].units == hp.get("units")


def test_a_lost_oracle_json_loses_nothing(halved):
    kept = shutil.ignore_patterns("oracle.json", "trial.json")
    shutil.copytree(halved.project_dir, "d/p", ignore=kept)
    again = kt.Hyperband(build, "val_accuracy", max_epochs=4, factor=2, **WHERE)
    assert {n: (each.score, each.status) for n, each in again.oracle.trials.items()} == {
        n: (each.score, each.status) for n, each in halved.oracle.trials.items()
    }
    assert again.get_best_hyperparameters()[0].get("units") in (4, 8)


def test_the_model_of_a_trial_that_was_continued_has_the_later_weights(halved):
    trials = halved.oracle.trials.values()
    continued = next(
        each for each in trials if "tuner/trial_id" in vars(each.hyperparameters)["values"]
    )
    before = continued.hyperparameters.get("tuner/trial_id")
    with pytest.warns(UserWarning, match=f"trial {before} ended after .* a later one continued it"):
        halved.load_model(halved.oracle.trials[before])


def test_a_local_function_crosses_and_steps_are_added_without_rounding(data):
    """KerasTuner's 0.1 + 0.2 is no 0.3."""
    large = np.ones(1 << 18)

    def stepped(hp):
        hp.Float("dropout", 0.0, 0.5, step=0.1)
        hp.Float("rate", 0.1, 0.5, step=0.1)
        hp.Float("momentum", 1e-3, 1e-1, step=10, sampling="log")
        return build(hp) if large.all() else None

    tuner = kt.RandomSearch(stepped, "val_loss", max_trials=6, seed=1, **WHERE)
    tuner.search(**data, verbose=0)
    assert 0.3 in table()[["dropout", "rate"]].round(9).to_numpy()
    assert {each.status for each in tuner.oracle.trials.values()} == {"COMPLETED"}
    assert set(table()["dropout"].round(9)) <= {0.0, 0.1, 0.2, 0.3, 0.4, 0.5}
    assert (table()["score"] == table()["val_loss"]).all()


def test_of_equal_epochs_the_first_is_the_best_step(data):
    """As in `keras_tuner.src.engine.metrics_tracking.MetricHistory.get_best_step`."""

    def still(hp):
        model = build(hp)
        model.compile(keras.optimizers.SGD(0.0), "categorical_crossentropy", metrics=["accuracy"])
        return model

    tuner = kt.RandomSearch(still, objective="val_accuracy", max_trials=1, **WHERE)
    tuner.search(**data, epochs=3, verbose=0)
    assert [trial.best_step for trial in tuner.oracle.trials.values()] == [0]


def test_callbacks_that_act_on_batches_train_by_fit(search):
    """Others do not: test_overrides.py has them."""
    stop = keras.callbacks.EarlyStopping("val_loss", patience=1, min_delta=100)
    batches = keras.callbacks.LambdaCallback(on_train_batch_end=lambda *_, **__: None)
    search(kt.RandomSearch, max_trials=1, epochs=40, fit={"callbacks": [stop, batches]})
    assert set(table()["trainer"]) == {"fit"}
    assert (table()["epochs_trained"] == 2).all()


@pytest.mark.parametrize("tuner_class", [kt.RandomSearch, slow(kt.Hyperband)])
def test_several_objectives_are_added_up(search, images, tuner_class):
    many = {"max_epochs": 4} if tuner_class is kt.Hyperband else {"max_trials": 3}
    several = [kt.Objective("val_accuracy", "max"), "val_loss"]
    tuner = search(tuner_class, objective=several, epochs=2, seed=1, **many)
    rows, curves = table(), pd.read_csv("d/p/curves.csv")
    assert set(rows["trainer"]) == {"native"}
    added = curves["val_loss"] - curves["val_accuracy"]
    np.testing.assert_allclose(curves["multi_objective"], added, rtol=1e-12)
    assert rows["score"].tolist() == curves.groupby("trial")["multi_objective"].min().tolist()
    best = tuner.oracle.get_best_trials()[0]
    assert best.score == min(each.score for each in tuner.oracle.trials.values())
    assert best.metrics.get_best_value("multi_objective") == best.score
    loss, accuracy = tuner.get_best_models()[0].evaluate(*images[2:], verbose=0)
    assert loss - accuracy == pytest.approx(best.score, abs=1e-5)
    with pytest.raises(RefusedError, match="sum_of"):
        search(tuner_class, objective=["val_loss", "loss"], seed=1, **dict.fromkeys(many, 9))


def test_weights_of_classes_are_weights_of_rows(images):
    """Both train on the engine: no argument is left for `fit`."""
    x, y, _, _ = images
    weights = pd.Series(np.where(y.argmax(1) == 3, 5.0, 1.0))
    given = {"class_weight": {3: 5.0}}, {"sample_weight": weights}
    by_class, by_row = (request_of((x, y), each) for each in given)
    assert not by_class.arguments
    assert not by_row.arguments
    np.testing.assert_array_equal(by_class.arrays.w_train, weights)
    np.testing.assert_array_equal(by_row.arrays.w_train, weights)


@pytest.mark.parametrize(
    ("most", "said"), [(2, "consecutive failures.* limit of 2"), slow(None, "no trial completed")]
)
def test_models_that_all_fail(data, most, said):
    def broken(hp):
        model = build(hp)
        if hp.Boolean("on", default=False) or hp.Fixed("always", True):
            model.compile("adam", "no_such_loss")
        return model

    settings = {"max_trials": 3, "max_consecutive_failed_trials": most, "workers": 1}
    tuner = kt.RandomSearch(broken, "val_loss", **settings, **WHERE)
    with pytest.raises(RuntimeError, match=said):
        tuner.search(**data, verbose=0)
    failed = [each for each in tuner.oracle.trials.values() if each.status == "FAILED"]
    assert len(failed) == (most or 3)
    assert "no_such_loss" in failed[0].message


class Failing(kt.HyperModel):
    """Raises in the first trainings of a trial, of which it keeps count in files."""

    def __init__(self, kind, times):
        super().__init__()
        self._kind, self._times = kind, times

    def build(self, hp):
        return build(hp)

    def fit(self, hp, model, x, *args, **kwargs):
        if len(x) < 100:
            # Some rows, to find hyperparameters.
            return model.fit(x, *args, **kwargs)
        path = Path(f"runs-{hp.get('units')}-{hp.get('f')}")
        runs = int(path.read_text()) + 1 if path.exists() else 1
        path.write_text(str(runs))
        if runs <= self._times and self._kind is None:
            return {"val_loss": math.nan}
        if runs <= self._times:
            raise self._kind("the disk is busy")
        return model.fit(x, *args, **kwargs)


@pytest.mark.parametrize(
    ("failing", "status", "runs"),
    [
        (Failing(OSError, 2), "COMPLETED", 3),
        slow(Failing(OSError, 9), "FAILED", 3),
        # No error, but no number either.
        slow(Failing(None, 2), "COMPLETED", 3),
        slow(Failing(None, 9), "FAILED", 3),
        slow(Failing(kt.errors.FailedTrialError, 9), "FAILED", 1),
        slow(Failing(kt.errors.FatalValueError, 9), "RUNNING", 1),
    ],
)
def test_a_training_without_a_score_runs_again(data, failing, status, runs):
    """As in KerasTuner's own class, but for the mean with a number that is none: NaN there."""
    hp = keras_tuner.HyperParameters()
    hp.Fixed("rate", 0.01)
    arguments = {"max_trials": 1, "max_retries_per_trial": 2, "max_consecutive_failed_trials": None}
    tuner = kt.GridSearch(failing, "val_loss", hyperparameters=hp, **arguments, **WHERE)
    raised = {"FAILED": RuntimeError, "RUNNING": kt.errors.FatalError}
    with pytest.raises(raised[status]) if status in raised else contextlib.nullcontext():
        tuner.search(**data, verbose=0)
    if status != "RUNNING":
        assert {each.status for each in tuner.oracle.trials.values()} == {status}
    assert [path.read_text() for path in Path().glob("runs-*")] == [str(runs)]


X, Y = np.ones((3, 2)), np.ones(3)


@pytest.mark.parametrize(
    ("x", "y", "given", "reason"),
    [
        ("data", None, {}, "x is no array but str"),
        (X, Y[:2], {}, "x has 3 rows, and y 2"),
        (X, [1, 2, 3], {}, "y is no array but list"),
        ({"a": np.full(3, "b")}, Y, {}, "must be an array of numbers"),
        (X, Y, {"validation_data": Y}, "no pair"),
        (X, Y, {"sample_weight": X}, r"sample_weight has shape \(3, 2\)"),
        (X, Y, {"sample_weight": Y, "class_weight": {1: 2.0}}, "both a class_weight and a sample"),
        (X, {"a": Y}, {"validation_data": (X, Y)}, "has not the targets of y"),
        (X, {"a": Y}, {"validation_data": (X, {"b": Y})}, "its targets are"),
    ],
)
def test_why_not(x, y, given, reason):
    with pytest.raises(NotOnEngine, match=reason):
        request_of((x, y), given)


def test_the_rows_are_kerass():
    x, y = np.arange(10.0)[:, None], np.arange(10)
    request = request_of((x, y), {"validation_split": 0.3, "shuffle": True, "initial_epoch": 0})
    np.testing.assert_array_equal(request.arrays.x_val[:, 0], [7, 8, 9])
    assert request.arrays.x_train.dtype == np.float32
    assert request.arrays.y_train.dtype == y.dtype
    assert not request.arguments
    assert request_of((x, y), {"validation_split": 0.3, "shuffle": False}).arguments == {
        "shuffle": False
    }


@pytest.mark.parametrize("link", [False, True])
def test_what_workers_say_is_in_the_project_s_log_and_behind_no_link(place, link):
    (place / "other").write_bytes(b"")
    if link:
        (place / "run.log").symlink_to("other")
    with (place / "said").open("w+b") as log:
        log.write(b"from a worker\n")
        log.flush()
        engine_search.copy_log(log.fileno(), ResultsDirectory(place))
    assert (place / "run.log").read_bytes() == (b"" if link else b"from a worker\n")


@pytest.mark.parametrize("tuner_class", ["RandomSearch", slow("Hyperband")])
def test_the_same_seed_proposes_what_kerastuner_does(data, tuner_class):
    """The first configs of KerasTuner's own tuner, with every way of sampling a range."""

    def sampled(hp):
        hp.Choice("activation", ["relu", "tanh"])
        hp.Boolean("on")
        hp.Fixed("always", True)
        hp.Float("rate", 1e-4, 1e-1, sampling="log")
        hp.Float("late", 1.0, 9.0, sampling="reverse_log")
        hp.Int("step", 2, 64, step=2, sampling="log")
        return build(hp)

    many = {"max_epochs": 2, "factor": 2} if tuner_class == "Hyperband" else {"max_trials": 3}
    settings = {"objective": "val_loss", "seed": 11, "directory": "d", **many}
    theirs = getattr(keras_tuner, tuner_class)(sampled, project_name="theirs", **settings)
    # Hyperband's third trial depends on whether the first two have ended.
    count = 2 if tuner_class == "Hyperband" else 3
    made = [theirs.oracle.create_trial(f"t{n}").hyperparameters for n in range(count)]
    expected = [vars(each)["values"] for each in made]
    ours = getattr(kt, tuner_class)(sampled, project_name="p", **settings)
    ours.search(**data, verbose=0)
    found = [vars(trial.hyperparameters)["values"] for trial in ours.oracle.trials.values()]
    assert found[:count] == expected
    assert {trial.status for trial in ours.oracle.trials.values()} == {"COMPLETED"}


@pytest.mark.usefixtures("copied")
def test_kerastuner_reads_what_is_written(drawn):
    theirs = keras_tuner.RandomSearch(build, "val_accuracy", max_trials=3, seed=4, **WHERE)
    assert sorted(theirs.oracle.trials) == list(drawn.oracle.trials) == ["0", "1", "2"]
    assert state(theirs) == state(drawn)
    assert theirs.oracle.get_state()["tried_so_far"]


@pytest.mark.parametrize(("searched", "settings"), [("drawn", DRAWN), ("halved", HALVED)])
def test_a_project_is_reopened(request, searched, settings):
    first = request.getfixturevalue(searched)
    shutil.copytree(first.project_dir, "d/p")
    again = type(first)(build, "val_accuracy", **settings, **WHERE)
    assert list(again.oracle.trials) == sorted(again.oracle.trials)
    assert state(again) == state(first)
    again.results_summary()
    assert again.get_best_models()[0].count_params() > 0


def test_a_project_of_another_search_is_refused(copied):
    with pytest.raises(RuntimeError, match="overwrite=True"):
        kt.GridSearch(build, objective="val_accuracy", **WHERE)


def test_progress_is_kerastuners(data, capsys):
    kt.RandomSearch(build, "val_loss", max_trials=2, **WHERE).search(**data)
    said = capsys.readouterr().out
    assert said.count("Search: Running Trial #") == 2
    assert "Value             |Best Value So Far |Hyperparameter" in said
    assert said.count("Best val_loss So Far") == 2
    assert "budget" not in said


def test_processes_that_share_trials_run_kerastuners_loop(monkeypatch, capsys):
    """KerasTuner's distributed mode, which one variable announces."""

    class Client:
        """Of an oracle's attributes it has what KerasTuner's OracleClient passes on."""

        max_trials = 1

    tuner = kt.RandomSearch(build, objective="val_loss", max_trials=1, **WHERE)
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    monkeypatch.setattr(tuner, "oracle", Client())
    assert not tuner._hpsearch.run((X, Y), {})
    assert "KERASTUNER_ORACLE_IP" in capsys.readouterr().out


def test_a_global_precision_that_workers_lack_is_said(search, capsys):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        tuner = search(kt.RandomSearch, max_trials=1)
    finally:
        keras.config.set_dtype_policy("float32")
    assert tuner.get_best_models()[0].layers[-1].compute_dtype == "float32"
    assert "policy is mixed_bfloat16, but models are float32 unless" in capsys.readouterr().out
