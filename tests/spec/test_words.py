"""What is said to common words of Keras, KerasTuner, Optuna, W&B and scikit-learn."""

import re

import pytest

from hpsearch.errors import InputError
from hpsearch.spec import words
from hpsearch.spec.sweep import sweep_from_text

_BASE = "data: {dataset: digits}\nparameters: {units: [8]}\n"

#: Hyperparameters: what is meant, and what it is called elsewhere.
_PARAMETERS = {
    "learning_rate": "lr learning_rate_init",
    "units": "neurons n_units nodes hidden_units hidden_dim hidden_layer_sizes",
    "hidden_layers": "layers n_layers num_layers depth",
    "activation": "activation_fn",
    "optimizer": "optim",
    "batch_size": "batch train_batch_size bs",
    "epochs": "epoch n_epochs",
    "dropout": "dropout_rate",
    "l2": "alpha regularization kernel_regularizer",
    "write layer_type: batch_norm": "batch_norm batch_normalization",
    "cosine_decay": "lr_schedule learning_rate_schedule",
    "write early_stopping:": "patience early_stopping",
    "write seeds: 3": "seed random_state",
    "write model: {class_weight: balanced}": "class_weight",
    "write model: {loss:": "loss",
    "write metric: val_accuracy": "metric",
    "a setting of the data: data: {": "scale impute",
}
#: Keys at the top of a file.
_KEYS = {
    "put it under budget:": "trials time",
    "write budget: {trials:": "max_trials n_trials",
    "'metric'": "objective metrics",
    "put it under data:": "cv target drop scale task validation",
    "write data: {validation: 0.2}": "validation_split",
    "put it under budget: or early_stopping:": "patience min_delta",
    "put it under parameters:": "optimizer learning_rate batch_size epochs",
    "put it under model:": "class_weight loss",
    "put it under execution:": "workers timeout",
    "write execution: {workers:": "n_jobs",
    "write seeds: 3": "executions_per_trial",
    "'seed'": "random_state",
    "run SWEEP --out DIR": "project_name directory",
    "run SWEEP --fresh": "overwrite",
    "'parameters'": "search_space hyperparameters param_grid",
}
_METRICS = {
    "'accuracy'": "acc",
    "'val_accuracy'": "val_acc",
    "'val_auc'": "roc_auc",
    "use val_accuracy or val_loss": "mae val_mae val_r2",
}
_RANGES = {
    "'min'": "low min_value",
    "'max'": "high max_value",
    "write scale: log": "log sampling",
    "'values'": "choices",
}
_VALUES = {
    "Adam": ("optimizer", "adam"),
    "RMSprop": ("optimizer", "rmsprop"),
    "ReLU": ("activation", "relu"),
    "LeakyReLU": ("activation", "leaky_relu"),
}
_OTHERS = {
    "'random'": ("method: RandomSearch\nbudget: {trials: 3}",),
    "'bayesian'": ("method: bayesian_optimization\nbudget: {trials: 3}",),
    "'trials'": ("method: random\nbudget: {max_trials: 3}",),
    "epoch: best}": ("early_stopping: {patience: 3, restore_best_weights: true}",),
    "it watches the sweep's metric": ("early_stopping: {patience: 3, monitor: val_loss}",),
}


def cases():
    """The text of a file with another tool's word, and what must be said of it."""
    for meaning, names in _PARAMETERS.items():
        meant = (
            f"did you mean {meaning!r}?"
            if " " not in meaning and meaning != "cosine_decay"
            else meaning
        )
        for word in names.split():
            place = f"s.yaml:2: parameters.{word}: unknown hyperparameter; "
            yield _BASE.replace("units: [8]", f"units: [8], {word}: [1]"), place, meant
    for form, table in (("{}: 1", _KEYS), ("metric: {}", _METRICS), ("{}", _OTHERS)):
        for meaning, names in table.items():
            for word in names if isinstance(names, tuple) else names.split():
                yield f"{_BASE}{form.format(word)}\n", "", meaning
    for meaning, names in _RANGES.items():
        for word in names.split():
            place = f"s.yaml:2: parameters.units.{word}: unknown key; "
            yield _BASE.replace("[8]", f"{{min: 1, max: 9, {word}: 1}}"), place, meaning
    for word, (name, meaning) in _VALUES.items():
        text = _BASE.replace("units: [8]", f"units: [8], {name}: [{word}]")
        yield text, "s.yaml:2: ", f"did you mean {meaning!r}?"


def said(text):
    with pytest.raises(InputError) as caught:
        sweep_from_text(text, "s.yaml")
    return str(caught.value)


@pytest.mark.parametrize(("text", "place", "meaning"), list(cases()))
def test_a_word_of_another_tool_is_understood(text, place, meaning):
    line = said(text)
    assert line.startswith(place)
    assert meaning in line


@pytest.mark.parametrize("word", ["noise", "l1", "use_bias", "rate", "num_heads", "temperature"])
def test_no_suggestion_is_better_than_a_wrong_one(word):
    line = said(_BASE.replace("units: [8]", f"units: [8], {word}: [1]"))
    assert "did you mean" not in line
    assert "; known are hidden_layers, units" in line


def test_what_is_suggested_exists():
    """Each name is one, and each line that is to be written is valid."""
    for place, meanings in (("parameters", words.HYPERPARAMETERS), ("", words.SWEEP)):
        for word, meaning in meanings.items():
            text = re.search(r"write ((?:[a-z_]+): (?:\{.*\}|[\w:]+))", meaning)
            if text and "table.csv" not in text[1]:
                top = text[1].partition(":")[0] in ("layer_type", "optimizer")
                line = f"parameters: {{units: [8], {text[1]}}}\n" if top else f"{text[1]}\n"
                rest = "parameters: {units: [8]}\n" if "parameters:" not in line else ""
                data = "" if line.startswith("data:") else "data: {dataset: digits}\n"
                line = line.replace("{scale:", "{dataset: digits, scale:")
                line = line.replace("{validation:", "{dataset: digits, validation:")
                more = "method: random\n" if line.startswith("budget:") else ""
                more += "budget: {trials: 3}\n" if line.startswith("method:") else ""
                sweep_from_text(data + rest + more + line, f"{place}.{word}.yaml")


def test_a_score_on_training_rows_is_warned_of():
    (warning,) = sweep_from_text(f"{_BASE}metric: accuracy\n", "s.yaml").warnings
    assert "accuracy is the score on the training rows" in warning
    assert "val_accuracy is the one on the validation rows" in warning
    assert sweep_from_text(f"{_BASE}metric: val_accuracy\n", "s.yaml").warnings == ()


def test_an_error_as_metric_settles_that_it_is_a_regression(tmp_path):
    (tmp_path / "t.csv").write_text("a,y\n" + "".join(f"{i % 7},{i}\n" * 2 for i in range(30)))
    text = f"data: {{csv: {tmp_path}/t.csv, target: y}}\nparameters: {{units: [8]}}\n"
    assert sweep_from_text(f"{text}metric: val_mae\n", "s.yaml").data.task == "regression"
    assert sweep_from_text(text, "s.yaml").data.task is None
