"""Stops, early stopping, divergence and scores, with a trainer that reads from a list."""

import itertools
import math

import keras
import numpy as np
import pytest

from hpsearch.errors import InputError
from hpsearch.models.problem import EarlyStopping, Recipe
from hpsearch.space.execution import ResumePoint, Status, Training
from hpsearch.training.follow import follow, followed
from hpsearch.training.subjects import Job


class FakeTrainer:
    kind = "graph"
    weights_count = 7
    model = None

    def __init__(self, scores, **more):
        self.scores = scores
        self.more = more
        self.epoch = 0

    def run_epoch(self):
        self.epoch += 1
        score = self.scores[self.epoch - 1]
        return {"loss": 1.0 / self.epoch, "val_accuracy": score} | {
            name: values[self.epoch - 1] for name, values in self.more.items()
        }

    def weights(self):
        return (np.array([self.epoch]),)


def recipe(**changes):
    values = {
        "sweep_seed": 0,
        "loss": "mse",
        "output_activation": "linear",
        "metric": "val_accuracy",
        "goal": "maximize",
    }
    return Recipe(**(values | changes))


def following(
    trainer,
    training,
    *,
    on_epoch=lambda *_: None,
    keep=False,
    least=None,
    past=None,
    snapshot=False,
    **changes,
):
    """The results one by one; a second passes whenever the clock is read."""
    scored = recipe(**changes)
    if not keep:
        least = math.inf if scored.goal == "maximize" else -math.inf
    job = Job(training, scored, None, least, past=past, snapshot=snapshot)
    return follow(job, trainer, -10.0, on_epoch, itertools.count().__next__)


def run(trainer, stops, **more):
    epochs = []
    results = following(
        trainer,
        Training({}, 0, tuple(stops)),
        on_epoch=lambda epoch, metrics: epochs.append((epoch, metrics["val_accuracy"])),
        **more,
    )
    return list(results), epochs


SCORES = [0.5, 0.7, 0.7, 0.6, 0.9]


def test_each_stop_equals_a_training_of_its_own():
    stops = [(2, 11), (4, 12), (5, 13)]
    shared, epochs = run(FakeTrainer(SCORES), stops)
    assert epochs == list(enumerate(SCORES, start=1))
    for result, (length, number) in zip(shared, stops, strict=True):
        [alone], _ = run(FakeTrainer(SCORES), [(length, number)])
        for name in ("number", "status", "score", "curve", "scored_epoch", "best_epoch"):
            assert getattr(result, name) == getattr(alone, name)
    assert [result.score for result in shared] == [0.7, 0.6, 0.9]
    assert [result.best_epoch for result in shared] == [2, 2, 5], "ties: the earliest"
    assert [result.shared_with for result in shared] == [13, 13, None]
    assert {result.trainer for result in shared} == {"graph"}
    assert {result.weights for result in shared} == {7}


def test_results_come_as_soon_as_they_are_reached():
    trainer = FakeTrainer(SCORES)
    next(following(trainer, Training({}, 0, ((1, 1), (5, 2)))))
    assert trainer.epoch == 1


def test_best_epoch_is_scored_and_its_weights_kept():
    results, _ = run(FakeTrainer(SCORES), [(1, 1), (4, 2)], epoch="best", keep=True)
    assert [(r.score, r.scored_epoch, int(r.state[0][0])) for r in results] == [
        (0.5, 1, 1),
        (0.7, 2, 2),
    ]
    results, _ = run(FakeTrainer(SCORES), [(5, 1)], goal="minimize", epoch="best")
    assert (results[0].score, results[0].scored_epoch) == (0.5, 1)


def test_last_epoch_is_scored_and_kept_where_wanted():
    results, _ = run(FakeTrainer(SCORES), [(4, 1), (5, 2)], keep=True, least=0.8)
    assert results[0].state is None
    assert int(results[1].state[0][0]) == 5
    assert results[1].scored_epoch == 5


@pytest.mark.parametrize(
    ("scores", "patience", "min_delta", "epochs"),
    [
        ([0.5, 0.6, 0.6, 0.6, 0.9], 2, 0.0, 4),
        ([0.5, 0.6, 0.6, 0.7, 0.6], 2, 0.0, 5),
        ([0.5, 0.55, 0.61, 0.65, 0.7], 2, 0.1, 5),
        ([0.5, 0.55, 0.58, 0.59, 0.7], 3, 0.1, 4),
        ([0.5, 0.5, 0.9], 0, 0.0, 2),
    ],
)
@pytest.mark.parametrize("goal", ["maximize", "minimize"])
def test_early_stopping_is_keras(scores, patience, min_delta, epochs, goal):
    stopping = EarlyStopping(patience, min_delta)
    if goal == "minimize":
        scores = [1 - score for score in scores]
    stops = [(len(scores), 1)]
    [result], _ = run(FakeTrainer(scores), stops, early_stopping=stopping, goal=goal)
    assert (len(result.curve), result.status) == (epochs, Status.COMPLETED)
    callback = keras.callbacks.EarlyStopping(
        "val_accuracy", min_delta=min_delta, patience=patience, mode=goal[:3]
    )
    model = keras.Sequential()
    callback.set_model(model)
    model.stop_training = False
    callback.on_train_begin()
    for epoch, score in enumerate(scores):
        callback.on_epoch_end(epoch, {"val_accuracy": score})
        if model.stop_training:
            break
    assert epochs == epoch + 1


def test_stops_after_an_early_stop_share_its_curve():
    stopping = EarlyStopping(1)
    trainer = FakeTrainer([0.5, 0.4, 0.9, 0.9])
    results, epochs = run(trainer, [(1, 1), (3, 2), (4, 3)], early_stopping=stopping)
    assert len(epochs) == 2
    assert [len(result.curve) for result in results] == [1, 2, 2]
    assert [result.score for result in results] == [0.5, 0.4, 0.4]


@pytest.mark.parametrize("name", ["loss", "val_accuracy", "val_loss"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_divergence_ends_this_and_later_stops(name, value):
    diverging = {"val_loss": [1.0] * 4, name: [0.5, 0.6, value, 0.8]}
    trainer = FakeTrainer([0.5, 0.6, 0.7, 0.8], **diverging)
    stops = [(1, 1), (2, 2), (3, 3), (4, 4)]
    results, epochs = run(trainer, stops, keep=True)
    assert [result.status for result in results] == ["completed", "completed"] + ["diverged"] * 2
    assert len(epochs) == 3
    for result in results[2:]:
        assert len(result.curve) == 3
        assert (result.score, result.scored_epoch, result.best_epoch) == (None, None, None)
        assert (result.best_score, result.state) == (None, None)
        assert name in result.error
    assert results[1].score == 0.6


def test_a_tolerant_recipe_scores_the_best_finite_epoch():
    """As in KerasTuner: a metric that nobody scores may be NaN, and a score before a loss of NaN
    counts."""
    trainer = FakeTrainer([0.5, 0.7, 0.6, math.nan, 0.4], auc=[math.nan] * 5)
    [result], epochs = run(trainer, [(5, 1)], epoch="best", tolerant=True)
    assert (result.status, result.score, result.scored_epoch) == (Status.COMPLETED, 0.7, 2)
    assert len(epochs) == 5
    trainer = FakeTrainer([0.5, 0.7, 0.6, 0.9], loss=[1.0, 1.0, math.nan, 1.0])
    [result], epochs = run(trainer, [(4, 1)], epoch="best", tolerant=True)
    assert (result.status, result.score, len(epochs)) == (Status.COMPLETED, 0.7, 3)
    [result], _ = run(FakeTrainer([math.nan] * 2), [(2, 1)], epoch="best", tolerant=True)
    assert (result.status, result.score) == (Status.DIVERGED, None)
    assert "val_accuracy is nan" in result.error


def test_seconds_are_each_stops_own():
    results, _ = run(FakeTrainer(SCORES), [(1, 1), (2, 2)])
    assert [result.seconds for result in results] == [10.0, 1.0]


def test_unknown_metric_is_the_users():
    with pytest.raises(InputError, match=r"val_auc.*it reports loss, val_accuracy"):
        run(FakeTrainer(SCORES), [(1, 1)], metric="val_auc")


class Resumable(FakeTrainer):
    def state(self):
        return (np.array([self.epoch, 5]),)

    def resume(self, epoch, state):
        assert state[0].tolist() == [epoch, 5]
        self.epoch = epoch


def leg(trainer, epochs, *, whole=None, snapshot=True, **more):
    training = Training({}, 0, ((epochs, 1),), whole=whole)
    (result,) = following(trainer, training, keep=True, snapshot=snapshot, **more)
    return result


WAVE = [0.1, 0.5, 0.3, 0.2, 0.4, 0.45]


@pytest.mark.parametrize("epoch", ["last", "best"])
@pytest.mark.parametrize("stopping", [None, EarlyStopping(3), EarlyStopping(9)])
def test_a_training_goes_on_as_if_it_had_not_halted(epoch, stopping):
    changes = {"epoch": epoch, "early_stopping": stopping}
    whole = leg(Resumable(WAVE), 6, **changes)
    halted = leg(Resumable(WAVE), 3, whole=6, **changes)
    assert halted.status is Status.STOPPED
    assert halted.snapshot.epoch == 3
    past = ResumePoint(halted.curve, halted.snapshot, halted.seconds)
    again = leg(Resumable(WAVE), 6, past=past, **changes)
    assert again.curve == whole.curve
    assert (again.status, again.score, again.best_epoch) == (
        whole.status, whole.score, whole.best_epoch,
    )  # fmt: skip
    assert again.state == whole.state
    # The seconds are those of both.
    assert again.seconds == halted.seconds + 10


def test_what_ended_by_itself_is_completed_and_does_not_go_on():
    result = leg(Resumable(WAVE), 5, whole=20, early_stopping=EarlyStopping(2))
    assert (result.status, len(result.curve), result.snapshot) == (Status.COMPLETED, 4, None)
    result = leg(Resumable([0.1, math.nan, 0.2]), 3, whole=20)
    assert (result.status, result.snapshot) == (Status.DIVERGED, None)


@pytest.mark.parametrize("epoch", ["last", "best"])
@pytest.mark.parametrize("stopping", [None, EarlyStopping(2)])
@pytest.mark.parametrize("epochs", [1, 2, 4, 6])
def test_a_known_curve_answers_as_training_would(epoch, stopping, epochs):
    changes = {"epoch": epoch, "early_stopping": stopping}
    trained = leg(Resumable(WAVE), epochs, snapshot=False, **changes)
    known = leg(Resumable(WAVE), 6, **changes)
    answer = followed(known.curve, epochs, recipe(**changes))
    for name in ("status", "score", "curve", "scored_epoch", "best_epoch", "best_score"):
        assert getattr(answer, name) == getattr(trained, name)
