"""Weighted rows, and metrics beside loss and accuracy, against Keras' own `fit`."""

from functools import partial

import numpy as np
import pytest
from marks import slow
from sklearn import metrics as sklearn_metrics
from trainings import assert_agree, trained

from hpsearch.data.specs import Target, Task
from hpsearch.errors import InputError
from hpsearch.native import metrics as numpy_metrics
from hpsearch.space import keras_names
from hpsearch.training.measures import KerasMetric
from hpsearch.training.mlps import MLPs

#: With the graph in the full run only.
KINDS = ["native", slow("graph")]
VALUES = {"hidden_layers": 1, "units": 16, "optimizer": "adam", "l2": 1e-3}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["digits", "cancer"])
def test_weighted_rows_train_as_in_fit(name, kind, request):
    problem = request.getfixturevalue(name).weighted()
    ours = problem.trainer(VALUES, 1, kind=None if kind == "native" else kind)
    theirs = problem.trainer(VALUES, 1, kind="fit")
    assert ours.kind == kind
    assert_agree(trained(ours, 3), trained(theirs, 3))
    plain = request.getfixturevalue(name).trainer(VALUES, 1).run_epoch()
    assert abs(plain["loss"] - problem.trainer(VALUES, 1).run_epoch()["loss"]) > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_a_weighted_regression_is_told_in_its_own_units(diabetes, kind):
    ones = np.ones(len(diabetes.arrays.y_train), np.float32)
    problem = diabetes.replace(weighted=True).on(w_train=ones)
    plain = diabetes.trainer(VALUES, 1, kind="graph")
    ours = problem.trainer(VALUES, 1, kind=kind).run_epoch()
    assert ours == pytest.approx(plain.run_epoch(), rel=1e-5)


def native_and_graph(problem):
    return [trained(problem.trainer(VALUES, 1, kind=kind), 2) for kind in ("native", "graph")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "metric"),
    [
        *(("digits", each) for each in ("auc", "f1", "top_3_accuracy", "top_k_accuracy", "r2")),
        *((data, each) for data in ("digits", "cancer") for each in ("mcc", "brier", "pr_auc")),
        *(("digits", f"sparse_{each}categorical_accuracy") for each in ("", "top_k_")),
        *(("cancer", each) for each in ("auc", "f1", "f_beta_score", "precision", "recall")),
        *(("cancer", each) for each in ("rmse", "mae")),
        *(("diabetes", each) for each in ("mse", "rmse", "mean_absolute_error", "r2")),
    ],
)
def test_a_metric_is_the_same_without_tensorflow(name, metric, request):
    problem = request.getfixturevalue(name).replace(metric=f"val_{metric}")
    assert not MLPs().needs(problem.problem, VALUES).tensorflow
    ours, graph = native_and_graph(problem)
    assert list(ours[0]) == list(graph[0])
    assert_agree(ours, graph, rel=1e-4)


@pytest.mark.parametrize(
    ("name", "metric"), [("digits", "poisson"), ("diabetes", "mape"), ("cancer", "hinge")]
)
def test_other_metrics_need_tensorflow(name, metric, request):
    problem = request.getfixturevalue(name).replace(metric=f"val_{metric}")
    assert MLPs().needs(problem.problem, VALUES).tensorflow


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["mae", "huber"])
@pytest.mark.parametrize("output", ["linear", "softplus"])
def test_losses_of_a_regression_are_the_same_without_tensorflow(loss, output, diabetes):
    problem = diabetes.replace(loss=loss, output_activation=output).weighted()
    assert_agree(*native_and_graph(problem))


def test_metrics_of_several_classes():
    random = np.random.default_rng(0)
    y = random.integers(0, 3, 200).astype(np.int32)
    predicted = random.dirichlet([1, 1, 1], 200).astype(np.float32)
    target = Target(Task.MULTICLASS, 3, ("a", "b", "c"))

    def measured(name):
        metric = KerasMetric(name, target)
        metric.add(y[:150], predicted[:150])
        metric.add(np.eye(3, dtype=np.float32)[y[150:]], predicted[150:])
        return float(metric.result())

    assert measured("f1") == pytest.approx(
        sklearn_metrics.f1_score(y, predicted.argmax(1), average="macro"), rel=1e-5
    )
    assert measured("top_2_accuracy") == pytest.approx(
        sklearn_metrics.top_k_accuracy_score(y, predicted, k=2)
    )
    assert measured("sparse_categorical_crossentropy") == pytest.approx(
        sklearn_metrics.log_loss(y, predicted), rel=1e-4
    )
    flat = sklearn_metrics.roc_auc_score(np.eye(3)[y], predicted, average="micro")
    assert measured("auc") == pytest.approx(flat, abs=5e-3)


@pytest.mark.parametrize("outputs", [1, 4])
@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("balanced_accuracy", sklearn_metrics.balanced_accuracy_score),
        ("cohen_kappa", sklearn_metrics.cohen_kappa_score),
        ("mcc", sklearn_metrics.matthews_corrcoef),
        ("brier", partial(sklearn_metrics.brier_score_loss, labels=range(4))),
    ],
)
def test_metrics_that_keras_lacks_are_those_of_scikit_learn(name, theirs, outputs):
    random, classes = np.random.default_rng(0), max(outputs, 2)
    y = random.integers(0, classes, 200)
    p = random.dirichlet(np.ones(classes), 200).astype(np.float32)
    said = {"brier": p}.get(name, p.argmax(axis=1))
    if outputs == 1:
        said, p = (p[:, 1], p[:, 1:]) if name == "brier" else (said, p[:, 1:])
        theirs = sklearn_metrics.brier_score_loss if name == "brier" else theirs
    rows = np.eye(4, dtype=np.float32)[y] if outputs > 1 else y[:, None].astype(np.float32)
    metric = keras_names.KERAS_METRICS[name]
    ours = partial(getattr(numpy_metrics, metric.native), **metric.settings(outputs))
    weights = random.uniform(0, 2, 200).astype(np.float32)
    for given in (None, weights):
        assert ours(rows, p, given) == pytest.approx(theirs(y, said, sample_weight=given), rel=1e-5)
    task = Task.MULTICLASS if outputs > 1 else Task.BINARY
    measured = KerasMetric(name, Target(task, outputs, tuple("abcd"[:classes])))
    for part in (slice(0, 150), slice(150, None)):
        measured.add(rows[part], p[part])
    assert float(measured.result()) == pytest.approx(theirs(y, said), rel=1e-5)
    if name != "brier":
        # Without another class, scikit-learn warns.
        alone = {"balanced_accuracy": np.mean(said == 0)}.get(name, 0.0)
        assert ours(np.zeros_like(rows) + rows[y == 0][0], p, None) == pytest.approx(alone)


def test_every_metric_of_the_table_can_be_made():
    for task, outputs in ((Task.BINARY, 1), (Task.MULTICLASS, 3), (Task.REGRESSION, 1)):
        for name in keras_names.KERAS_METRICS:
            KerasMetric(name, Target(task, outputs, ("a", "b", "c")[: max(2, outputs)]))


def test_layers_with_a_state_of_their_own_are_refused(digits):
    hiding = {**VALUES, "layer_type": "odd_layers:counting"}
    with pytest.raises(InputError, match=r"^layer_type: .* keep it in weights of the layer"):
        digits.trainer(hiding, 1)
