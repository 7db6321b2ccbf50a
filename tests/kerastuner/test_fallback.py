"""Searches that run in KerasTuner's own loop: each says why, and gives KerasTuner's results."""

import shutil

import keras
import keras_tuner
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import hpsearch.tuners as kt

pytestmark = [
    pytest.mark.usefixtures("place"),
    pytest.mark.filterwarnings("ignore:Skipping variable loading"),
    pytest.mark.filterwarnings("ignore:The use case of calling"),
]
X = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")
Y = X.sum(axis=1)
FIT = {"epochs": 1, "shuffle": False, "validation_data": (X, Y)}


def build(hp):
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1, kernel_initializer="zeros")])
    model.compile(keras.optimizers.SGD(hp.Float("rate", 0.01, 0.1)), "mse")
    return model


def on_a_graph(rows):
    """Return a function that builds on one graph of Keras."""
    doubled = 2 * rows

    def build_on(hp):
        model = keras.Model(rows, layers.Dense(1, kernel_initializer="zeros")(doubled))
        model.compile(keras.optimizers.SGD(hp.Float("rate", 0.01, 0.1)), "mse")
        return model

    return build_on


def batches():
    while True:
        yield X, Y


def with_methods(**methods):
    """Return a function that makes a tuner's class with methods of its own."""
    return lambda base: type("Own", (base,), methods)


def does_nothing(*_, **__):
    pass


def run_trial(self, trial, *args, **kwargs):
    history = self.hypermodel.build(trial.hyperparameters).fit(*args, **kwargs)
    self.oracle.update_trial(trial.trial_id, {"val_loss": history.history["val_loss"][-1]})


def is_a_function(_, trial, scale=1.0, **__):
    return scale * trial.hyperparameters.Float("x", 0, 1)


def wraps(self, *args, **kwargs):
    return super(type(self), self)._build_and_fit_model(*args, **kwargs)


ROWS = ((X, Y), FIT)
STEPS = FIT | {"steps_per_epoch": 2}
#: Name -> the line, the tuner's class, the arguments of `search`, and options of the tuner.
CASES = {
    "hook": ("Own.on_epoch_end is overridden", with_methods(on_epoch_end=does_nothing), *ROWS),
    "private": ("_build_and_fit_model is", with_methods(_build_and_fit_model=wraps), *ROWS),
    "oracle": ("Own.run_trial uses self.oracle", with_methods(run_trial=run_trial), *ROWS),
    "function": ("x is no array", with_methods(run_trial=is_a_function), (), {"scale": 2.0}),
    "generator": ("x is no array but generator", None, lambda: (batches(),), STEPS),
    "graph": ("made outside", None, *ROWS, {"hypermodel": on_a_graph(keras.Input((3,)))}),
    "replicas": (
        "there is a distribution_strategy",
        None,
        *ROWS,
        {"distribution_strategy": tf.distribute.MirroredStrategy(["CPU:0"])},
    ),
}


def trials_of(tuner):
    return {
        name: (vars(trial.hyperparameters)["values"], trial.score, trial.status)
        for name, trial in tuner.oracle.trials.items()
    }


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_it_says_why_and_gives_kerastuners_results(case, capsys, place):
    line, derived, args, arguments, *options = CASES[case]
    trials = []
    for module in (keras_tuner, kt):
        base = module.RandomSearch
        objective = None if case == "function" else "val_loss"
        given = {"hypermodel": build, **(options[0] if options else {})}
        tuner = (derived(base) if derived else base)(
            objective=objective,
            max_trials=1,
            seed=3,
            directory="d",
            project_name=module.__name__,
            **given,
        )
        tuner.search(*(args() if callable(args) else args), **arguments)
        trials.append(trials_of(tuner))
    said = capsys.readouterr().out
    assert said.count("hpsearch: the trials run in this process, one by one: ") == 1
    assert line in said
    assert trials[0] == trials[1]
    assert len(trials[0]) == 1
    assert not (place / "d" / kt.__name__ / "results.csv").exists()


@pytest.mark.slow
def test_a_project_that_kerastuner_began_goes_on_in_its_loop(capsys, place):
    def search(module, project, trials):
        where = {"directory": "d", "project_name": project, "seed": 3, "max_trials": trials}
        tuner = module.RandomSearch(build, "val_loss", **where)
        tuner.search(X, Y, **FIT)
        return tuner

    first = search(keras_tuner, "p", 1)
    shutil.copytree("d/p", "d/whole")
    whole = search(keras_tuner, "whole", 2)
    capsys.readouterr()
    ours = search(kt, "p", 2)
    assert "KerasTuner's own loop began this project" in capsys.readouterr().out
    assert trials_of(first).items() <= trials_of(ours).items()
    assert trials_of(ours) == trials_of(whole)
    for trial in ours.oracle.get_best_trials(2):
        loss = ours.load_model(trial).evaluate(X, Y, verbose=0)
        assert loss == pytest.approx(trial.score, rel=1e-5)
    complete = search(kt, "p", 2)
    assert "in this process" not in capsys.readouterr().out
    assert trials_of(complete) == trials_of(whole)
    assert not (place / "d" / "p" / "results.csv").exists()
