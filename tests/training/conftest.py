"""Small data sets, and one TensorFlow thread as in a worker."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits

from hpsearch.custom.trainers import custom_trainer
from hpsearch.data.specs import Arrays, InputSpec, Target, Task
from hpsearch.models.problem import Problem, Recipe
from hpsearch.space.space import Kind
from hpsearch.training.mlps import mlp_trainer
from hpsearch.training.subjects import subject_of
from hpsearch.training.trainer import TrainerRequest


@dataclasses.dataclass(frozen=True)
class Given:
    """A problem and its rows."""

    recipe: Recipe
    input_spec: InputSpec
    target: Target
    arrays: Arrays

    @property
    def problem(self):
        return Problem(self.recipe, self.input_spec, self.target)

    def trainer(self, values, seed, epochs=None, **options):
        request = TrainerRequest(self.problem, values, seed, self.arrays, epochs)
        return (custom_trainer if self.recipe.model else mlp_trainer)(request, **options)

    def model(self, values, seed):
        return self.subject.build(self.problem, values, seed)

    @property
    def subject(self):
        return subject_of(Kind.MODEL if self.recipe.model else Kind.MLP)

    def request(self, values=None, seed=0):
        return TrainerRequest(self.problem, values or {}, seed, self.arrays)

    def replace(self, **changes):
        """The same problem under another recipe."""
        return dataclasses.replace(self, recipe=dataclasses.replace(self.recipe, **changes))

    def on(self, **changes):
        """The same problem on other arrays."""
        return dataclasses.replace(self, arrays=dataclasses.replace(self.arrays, **changes))

    def of_model(self, model, **changes):
        """The problem of a user's model, which takes the targets as they are."""
        outputs = max((self.target.outputs, *self.arrays.y_train.shape[1:]))
        target = Target(Task.OWN, outputs, mean=(0.0,) * outputs, std=(1.0,) * outputs)
        return dataclasses.replace(self.replace(model=model, **changes), target=target)

    def one_hot(self):
        """The same classes as rows of zeros and a one."""
        rows = np.eye(self.target.outputs, dtype=np.float32)
        return self.on(y_train=rows[self.arrays.y_train], y_val=rows[self.arrays.y_val])

    def weighted(self):
        """The same problem with weights from 0 to 2 in both parts."""
        random, arrays = np.random.default_rng(0), self.arrays
        w_train, w_val = (
            random.uniform(0, 2, len(y)).astype(np.float32) for y in (arrays.y_train, arrays.y_val)
        )
        return self.replace(weighted=True).on(w_train=w_train, w_val=w_val)


# At import, before any test: TensorFlow refuses once it has run something.
tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)


@pytest.fixture(scope="session")
def digits():
    """333 training rows: ten batches of 32 and a partial one."""
    x, y = load_digits(return_X_y=True)
    x, y = (x / 16).astype(np.float32), y.astype(np.int32)
    return Given(
        Recipe(3, "sparse_categorical_crossentropy", "softmax", "val_accuracy", "maximize"),
        InputSpec((64,), "float32"),
        Target(Task.MULTICLASS, 10, tuple("0123456789")),
        Arrays(x[:333], y[:333], x[333:500], y[333:500]),
    )


@pytest.fixture(scope="session")
def images(digits):
    """The same digits as uint8 images, scaled inside the model."""
    x = (load_digits().images[:500]).astype(np.uint8)
    spec = InputSpec((8, 8), "uint8", scale=(1 / 16,), offset=(0.0,))
    return dataclasses.replace(digits.on(x_train=x[:333], x_val=x[333:500]), input_spec=spec)


@pytest.fixture(scope="session")
def cancer():
    x, y = load_breast_cancer(return_X_y=True)
    x = ((x - x[:400].mean(0)) / x[:400].std(0)).astype(np.float32)
    y = y.astype(np.float32)
    return Given(
        Recipe(3, "binary_crossentropy", "sigmoid", "val_accuracy", "maximize"),
        InputSpec((30,), "float32"),
        Target(Task.BINARY, 1, ("malignant", "benign")),
        Arrays(x[:401], y[:401], x[401:], y[401:]),
    )


@pytest.fixture(scope="session")
def diabetes():
    x, y = load_diabetes(return_X_y=True)
    x = (x * 20).astype(np.float32)
    mean, std = float(y[:350].mean()), float(y[:350].std())
    y = ((y - mean) / std).astype(np.float32)[:, None]
    return Given(
        Recipe(3, "mean_squared_error", "linear", "val_loss", "minimize"),
        InputSpec((10,), "float32", scale=(20.0,), offset=(0.0,)),
        Target(Task.REGRESSION, 1, mean=(mean,), std=(std,)),
        Arrays(x[:350], y[:350], x[350:], y[350:]),
    )
