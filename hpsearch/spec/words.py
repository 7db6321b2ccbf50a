"""Common words of Keras, KerasTuner, Optuna and scikit-learn for a sweep's keys and values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_SCHEDULE: Final = (
    "a schedule belongs to an optimizer: optimizer: [{name: adam, learning_rate: {name: "
    "cosine_decay, initial_learning_rate: 0.01, decay_steps: 1000}}]"
)
_SEEDS: Final = "write seeds: 3"
#: Settings of the data, which a layer type of the user's cannot have as hyperparameters either.
OF_DATA: Final[Mapping[str, str]] = {
    name: f"it is a setting of the data: data: {{{name}: {value}}}; to try several, run two sweeps "
    "and compare them: hpsearch compare"
    for name, value in (("scale", "standard"), ("impute", "mean"))
}


def _each(names: str, meaning: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), meaning)


HYPERPARAMETERS: Final[Mapping[str, str]] = {
    **_each("lr", "learning_rate"),
    **_each("neurons nodes hidden_units hidden_size hidden_dim hidden_layer_sizes", "units"),
    **_each("layers num_layers depth", "hidden_layers"),
    **_each("bs", "batch_size"),
    **_each("alpha regularization kernel_regularizer", "l2"),
    **_each("batch_norm batch_normalization", "write layer_type: batch_norm"),
    **_each("lr_decay lr_schedule lr_scheduler learning_rate_schedule", _SCHEDULE),
    **_each(
        "patience early_stopping", "write early_stopping: {patience: 3} at the top of the file"
    ),
    **_each("seed seeds random_state", _SEEDS + " at the top of the file"),
    **_each("class_weight", "write model: {class_weight: balanced}"),
    **_each("loss", "write model: {loss: mean_absolute_error}"),
    **_each("metric", "write metric: val_accuracy at the top of the file"),
    **OF_DATA,
}
"""Word -> a hyperparameter, or what to write."""

SWEEP: Final[Mapping[str, str]] = {
    **_each("max_trials n_trials", "write budget: {trials: 60}"),
    **_each("objective", "metric"),
    **_each("validation_split", "write data: {validation: 0.2}, a fraction or a file"),
    **_each("n_jobs", "write execution: {workers: 2}"),
    **_each("executions_per_trial", _SEEDS),
    **_each("random_state", "seed"),
    **_each("project_name directory", "it is an option: run SWEEP --out DIR"),
    **_each("overwrite", "it is an option: run SWEEP --fresh"),
    **_each("search_space param_grid param_distributions", "parameters"),
}
"""Key at the top of a file -> a key, or what to write."""

DATA: Final[Mapping[str, str]] = {
    **_each("stratify", "splits are stratified if the target has classes; leave it out"),
    **_each("test_size", "write validation: 0.2 to score on, test: 0.2 to keep rows for the end"),
    **_each("random_state split_seed", "seed"),
    **_each("val_split", "validation"),
    **_each("test_split", "test"),
    **_each("path file", "csv"),
    **_each("normalize", "scale"),
    **_each("n_splits folds kfold", "cv"),
    **_each("repeats n_repeats", "write cv: {folds: 5, repeats: 3}"),
    **_each("name", "dataset"),
}

EARLY_STOPPING: Final[Mapping[str, str]] = {
    "restore_best_weights": "the best epoch counts, and gives the model, with metric: {name: "
    "val_accuracy, epoch: best}",
    "monitor": "it watches the sweep's metric; leave it out",
    "mode": "the metric's goal decides; leave it out",
}

BUDGET: Final[Mapping[str, str]] = {**_each("max_trials n_trials", "trials"), "timeout": "time"}

RANGE: Final[Mapping[str, str]] = {
    **_each("low min_value", "min"),
    **_each("high max_value stop", "max"),
    **_each("log sampling", "write scale: log"),
    **_each("choices", "values"),
}
"""Key of a hyperparameter's range -> a key, or what to write."""

OPTIMIZE: Final[Mapping[str, str]] = {
    **_each("direction directions", "write goal='minimize' or goal='maximize'"),
    **_each("n_trials max_trials max_evals num_samples n_iter n_calls", "trials"),
    **_each("n_jobs", "workers"),
    "timeout": "write time_seconds=600 for the search, timeout_seconds=60 for one trial",
    **_each(
        "storage study_name load_if_exists directory project_name",
        "write out='DIR', in which a later call continues",
    ),
    **_each("sampler algo tuner", "write method='auto', or another of `hpsearch list methods`"),
    **_each(
        "pruner scheduler", "write method='asha', for a generator that yields a score an epoch"
    ),
    **_each("space search_space param_distributions", "parameters"),
    **_each("show_progress_bar", "write verbose=1"),
    **_each("random_state", "seed"),
}
"""Argument of other libraries' search over a function -> one of `optimize`, or what to write."""

METRICS: Final[Mapping[str, str]] = {
    **_each("acc", "accuracy"),
    **_each("val_acc validation_accuracy", "val_accuracy"),
    **_each("roc_auc", "val_auc"),
}

VALUES: Final[Mapping[str, Mapping[str, str]]] = {
    "method": {
        **_each("bayesian_optimization BayesianOptimization", "bayesian"),
        **_each("random_search RandomSearch RandomizedSearchCV", "random"),
        **_each("grid_search GridSearch GridSearchCV", "grid"),
    },
    "distribution": {"loguniform": "log_uniform_values", "randint": "int_uniform"},
}
"""A kind of name -> the name elsewhere -> the name here, or what to write."""
