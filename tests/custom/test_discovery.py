"""A model's hyperparameters are found before the search, conditional ones included."""

import cloudpickle
import keras
import keras_tuner
import numpy as np
import pytest
from sklearn.datasets import load_digits

from hpsearch.custom.building import build_alone
from hpsearch.custom.discovery import discover
from hpsearch.custom.shipping import space_of
from hpsearch.data.specs import Arrays, InputSpec, Target, Task, TrainingData
from hpsearch.errors import InputError
from hpsearch.models.problem import Recipe
from hpsearch.space.space import Choices, Kind, Parameter, Range


def found(name, data=None):
    recipe = Recipe(0, "", "softmax", "val_accuracy", "maximize", model=f"user_models:{name}")
    return discover(recipe, (), data)


def recipe_of(build):
    code = cloudpickle.dumps(build)
    return Recipe(0, "", "", "val_loss", "minimize", model="build", code=code)


def of_function(build):
    return discover(recipe_of(build), (), None)


def by_name(found):
    return {parameter.name: parameter for parameter in found.parameters}


def test_a_precision_is_that_of_its_own_config():
    def build(hp):
        if hp.Boolean("mixed"):
            keras.config.set_dtype_policy("mixed_bfloat16")
        return keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])

    asked = [True, False, True]
    built = [build_alone(recipe_of(build), {"mixed": mixed}, 0) for mixed in asked]
    assert [model.layers[0].compute_dtype == "bfloat16" for model in built] == asked
    assert keras.config.dtype_policy().name == "float32"


def test_another_builder_has_another_digest():
    def plain(hp):
        return keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])

    def wide(hp):
        return keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])

    class Wide(keras_tuner.HyperModel):
        def build(self, hp):
            return wide(hp)

    digests = [of_function(build).code for build in (plain, wide, Wide(), plain)]
    assert digests[0] == digests[3]
    assert len(set(digests)) == 3


def test_every_kind_of_hyperparameter():
    parameters = by_name(found("dense"))
    assert list(parameters) == ["num_layers", "units_0", "dropout", "lr", "units_1", "units_2"]
    assert parameters["num_layers"].domain == Range(1, 3, 1, integer=True)
    assert parameters["units_2"].choices == (8, 16, 24)
    assert parameters["dropout"].domain == Choices((False, True))
    assert parameters["lr"].domain == Range(1e-3, 1e-2, log=True)


def test_conditions_of_scopes_and_of_parents():
    parameters = by_name(found("conditional"))
    assert parameters["units"].when == {"kind": ("mlp",)}
    assert parameters["filters"].when == {"kind": ("cnn",)}
    assert parameters["rate"].when == {"kind": ("mlp",)}
    assert parameters["momentum"].when == {"kind": ("cnn",), "norm": (True,)}
    assert parameters["momentum"].choices == (0.5, 0.7, 0.9)
    space = space_of(found("conditional"), ())
    config = space.config({"kind": "mlp", "units": 8, "filters": 2, "norm": True, "rate": 0.1})
    assert dict(config.values) == {"kind": "mlp", "units": 8, "rate": 0.1}


def test_defaults_are_kerastuners():
    def build(hp):
        hp.Int("i", 2, 8, step=2, default=6)
        hp.Float("f", 0.5, 1.0)
        hp.Choice("c", ["a", "b"], default="b")
        hp.Boolean("b")
        hp.Fixed("x", 7)
        return keras.Sequential()

    defaults = of_function(build).defaults
    hp = keras_tuner.HyperParameters()
    build(hp)
    assert defaults == hp.values == {"i": 6, "f": 0.5, "c": "b", "b": False, "x": 7}


@pytest.mark.parametrize(
    ("declare", "domain"),
    [
        (lambda hp: hp.Int("x", 1, 8, step=3), Range(1, 7, 3, integer=True)),
        (lambda hp: hp.Int("x", 2, 32, step=2, sampling="log"), Choices((2, 4, 8, 16, 32))),
        (lambda hp: hp.Int("x", 1, 9, sampling="log"), Range(1, 9, log=True, integer=True)),
        (lambda hp: hp.Float("x", 0, 1, step=0.25), Range(0, 1, 0.25)),
        (lambda hp: hp.Float("x", 0.1, 100, step=10, sampling="log"), Choices((0.1, 1, 10, 100))),
        (lambda hp: hp.Float("x", 0.1, 1), Range(0.1, 1)),
        (lambda hp: hp.Int("x", 3, 3), Choices((3,))),
        (lambda hp: hp.Choice("x", [1.5, 0.5]), Choices((1.5, 0.5))),
    ],
)
def test_domains(declare, domain):
    def build(hp):
        declare(hp)
        return keras.Sequential()

    (parameter,) = of_function(build).parameters
    assert parameter.domain == domain
    declared = keras_tuner.HyperParameters()
    declare(declared)
    if parameter.choices is not None:
        values = [float(v) for v in declared.space[0].values]
        assert [float(v) for v in parameter.choices] == pytest.approx(values)


def test_one_name_under_two_conditions():
    def build(hp):
        hp.Choice("kind", ["a", "b", "c"])
        hp.Boolean("big")
        for kind in ("a", "b"):
            with hp.conditional_scope("kind", [kind]):
                hp.Int("units", 1, 2)
        with hp.conditional_scope("kind", ["c"]):
            hp.Int("depth", 1, 2)
        with hp.conditional_scope("big", [True]):
            hp.Int("depth", 1, 2)
        return keras.Sequential()

    parameters = by_name(of_function(build))
    assert parameters["units"].when == {"kind": ("a", "b")}
    # Either of two parents is no condition of ours: it may live where it is not used.
    assert parameters["depth"].when == {}


def test_one_name_with_two_meanings():
    def build(hp):
        hp.Choice("kind", ["a", "b"])
        for kind, most in (("a", 2), ("b", 9)):
            with hp.conditional_scope("kind", [kind]):
                hp.Int("units", 1, most)
        return keras.Sequential()

    with pytest.raises(InputError, match=r"'units' is declared more than once.*a name of its own"):
        of_function(build)


def test_what_the_sweep_says_stands_in_place_of_what_the_model_says():
    units = Parameter("units", Choices((4, 40)))
    epochs = Parameter("epochs", Choices((1, 2)))
    space = space_of(found("conditional", (units, epochs)), (units, epochs))
    parameters = {parameter.name: parameter for parameter in space.parameters}
    assert parameters["units"].choices == (4, 40)
    assert parameters["units"].when == {"kind": ("mlp",)}
    assert parameters["epochs"].choices == (1, 2)
    assert parameters["batch_size"].choices == (32,)
    assert space.kind is Kind.MODEL


def test_a_fit_of_ones_own_is_asked_too():
    digits = load_digits()
    x, y = digits.images.astype(np.float32), digits.target.astype(np.int32)
    arrays = Arrays(x[:320], y[:320], x[320:420], y[320:420])
    data = TrainingData(InputSpec((8, 8), "float32"), Target(Task.MULTICLASS, 10), arrays)
    for name in ("Fitted", "fitted"):
        fit = found(name, data)
        assert fit.custom_fit
        assert set(fit.defaults) == {"units", "normalize", "batch_size", "epochs"}
        assert space_of(fit, ()).kind is Kind.WHOLE_MODEL
    assert "epochs" not in space_of(found("Scored", data), ()).names


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fails", r"user_models:fails: fails with the defaults.*why: 'weather'.*no such luck"),
        ("no_model", "user_models:no_model: must return a keras.Model, not int"),
        ("absent", "user_models:absent: cannot be loaded"),
        ("OwnStep", "keras_tuner.HyperModel"),
    ],
)
def test_what_cannot_be_built_is_said(name, message):
    with pytest.raises(InputError, match=message):
        found(name)


def test_builds_are_bounded():
    count = 0

    def build(hp):
        nonlocal count
        count += 1
        hp.Int(f"new_{count}", 1, 100)
        return keras.Sequential()

    assert len(of_function(build).parameters) <= 64
