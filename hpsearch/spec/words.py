"""What other tools call the keys, hyperparameters and values of a sweep file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_BATCH_NORM: Final = "write layer_type: batch_norm"
_SCHEDULE: Final = (
    "a schedule belongs to an optimizer: optimizer: [{name: adam, learning_rate: {name: "
    "cosine_decay, initial_learning_rate: 0.01, decay_steps: 1000}}]"
)
_OF_OPTIMIZER: Final = "it is an argument of an optimizer: optimizer: [{{name: {}, {}: {}}}]"
_EARLY: Final = "write early_stopping: {patience: 3} at the top of the file"
_BUDGET: Final = "write budget: {trials: 60}"
_SEEDS: Final = "write seeds: 3"
_WORKERS: Final = "write execution: {workers: 2}"
_FRACTION: Final = "write data: {validation: 0.2}, a fraction or a file"
_STRATIFIED: Final = "splits are stratified if the target has classes; leave it out"
_GOAL: Final = "write metric: {name: val_accuracy, goal: maximize}"
_BEST_EPOCH: Final = (
    "the best epoch counts, and gives the model, with metric: {name: val_accuracy, epoch: best}"
)
#: Settings of the data, which a layer type of the user's cannot have as hyperparameters either.
OF_DATA: Final[Mapping[str, str]] = {
    name: f"it is a setting of the data: data: {{{name}: {value}}}; to try several, run two sweeps "
    "and compare them: hpsearch compare"
    for name, value in (("scale", "standard"), ("impute", "mean"))
}


def _each(names: str, meaning: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), meaning)


HYPERPARAMETERS: Final[Mapping[str, str]] = {
    **_each("lr eta learning_rate_init initial_learning_rate", "learning_rate"),
    **_each("neurons n_neurons num_neurons n_units num_units nodes n_nodes width size", "units"),
    **_each("hidden_units hidden_size hidden_dim hidden_sizes hidden_layer_sizes", "units"),
    **_each("fc_layer_size fc_units layer_size layer_sizes dense_units n_hidden", "units"),
    **_each("layers n_layers num_layers depth num_hidden_layers n_hidden_layers", "hidden_layers"),
    **_each("act activations activation_fn activation_function nonlinearity", "activation"),
    **_each("opt optim optimiser optimizers solver", "optimizer"),
    **_each("batch batchsize train_batch_size bs minibatch_size", "batch_size"),
    **_each("epoch n_epochs num_epochs max_epochs n_iter max_iter num_train_epochs", "epochs"),
    **_each("dropout_rate drop_rate drop p_dropout dropout_prob", "dropout"),
    **_each("alpha reg regularization l2_reg reg_lambda kernel_regularizer lambda", "l2"),
    **_each("wd decay weight_decay_rate", "weight_decay"),
    **_each("init initializer initialization weight_init kernel_init", "kernel_initializer"),
    **_each("layer block layer_types", "layer_type"),
    **_each("batch_norm batch_normalization batchnorm bn use_bn normalization", _BATCH_NORM),
    **_each("layer_norm layernorm", "write layer_type: layer_norm"),
    **_each("use_dropout", "write layer_type: dropout"),
    **_each("residual skip resnet", "write layer_type: residual"),
    **_each("lr_decay lr_schedule lr_scheduler scheduler schedule", _SCHEDULE),
    **_each("learning_rate_schedule learning_rate_decay", _SCHEDULE),
    **_each("warmup warmup_steps decay_steps", _SCHEDULE),
    **_each("beta_1 beta1", _OF_OPTIMIZER.format("adam", "beta_1", 0.9)),
    **_each("beta_2 beta2", _OF_OPTIMIZER.format("adam", "beta_2", 0.999)),
    **_each("epsilon eps", _OF_OPTIMIZER.format("adam", "epsilon", 1e-7)),
    **_each("rho", _OF_OPTIMIZER.format("rmsprop", "rho", 0.9)),
    **_each(
        "clipnorm clip_norm grad_clip max_grad_norm", _OF_OPTIMIZER.format("adam", "clipnorm", 1.0)
    ),
    **_each("nesterov", "write optimizer: nesterov"),
    **_each("patience early_stopping", _EARLY),
    **_each("seed seeds random_state", _SEEDS + " at the top of the file"),
    **_each("class_weight class_weights", "write model: {class_weight: balanced}"),
    **_each("loss loss_function criterion", "write model: {loss: mean_absolute_error}"),
    **_each("metric metrics objective", "write metric: val_accuracy at the top of the file"),
    **_each("scaler normalize standardize", "write data: {scale: standard}"),
    **OF_DATA,
}
"""Word -> a hyperparameter, or what to write."""

SWEEP: Final[Mapping[str, str]] = {
    **_each("max_trials n_trials num_trials num_samples n_iter", _BUDGET),
    **_each("max_time timeout_seconds time_budget", "write budget: {time: 30m}"),
    **_each("objective metrics monitor scoring", "metric"),
    **_each("goal direction mode", _GOAL),
    **_each("stratify", _STRATIFIED),
    **_each("validation_split validation_data test_size val_split", _FRACTION),
    **_each("restore_best_weights", _BEST_EPOCH),
    **_each("callbacks", "of callbacks a sweep has early_stopping: {patience: 3}"),
    **_each("n_jobs num_workers max_workers n_workers parallelism", _WORKERS),
    **_each("executions_per_trial n_repeats repeats repetitions num_seeds", _SEEDS),
    **_each("random_state random_seed", "seed"),
    **_each("project_name directory out output_dir", "it is an option: run SWEEP --out DIR"),
    **_each("overwrite", "it is an option: run SWEEP --fresh"),
    **_each("tuner search algorithm sampler strategy search_alg", "method"),
    **_each("pruner scheduler", "write method: asha, which halts trials early"),
    **_each("space search_space hyperparameters hparams params param_grid config", "parameters"),
    **_each("param_distributions parameter", "parameters"),
    **_each("x y train dataframe", "write data: {csv: table.csv, target: COLUMN}"),
    **_each("epoch n_epochs num_epochs max_epochs", "write parameters: {epochs: 20}"),
    **_each("lr", "write parameters: {learning_rate: 0.01}"),
}
"""Key at the top of a file -> a key, or what to write."""

DATA: Final[Mapping[str, str]] = {
    **_each("stratify", _STRATIFIED),
    **_each("validation_split val_split validation_data val", "validation"),
    **_each("test_size", "write validation: 0.2 to score on, test: 0.2 to keep rows for the end"),
    **_each("test_split", "test"),
    **_each("random_state random_seed split_seed", "seed"),
    **_each("path file filename file_path", "csv"),
    **_each("label labels y target_column label_column", "target"),
    **_each("normalize standardize scaler scaling normalization", "scale"),
    **_each("folds n_splits k_fold kfold", "cv"),
    **_each("groups group", "write split: {by: group, column: COLUMN}"),
    **_each("exclude ignore drop_columns ignore_columns", "drop"),
    **_each("imputer fillna missing", "impute"),
    **_each("name", "dataset"),
}

EARLY_STOPPING: Final[Mapping[str, str]] = {
    "restore_best_weights": _BEST_EPOCH,
    "monitor": "it watches the sweep's metric; leave it out",
    "mode": "the metric's goal decides; leave it out",
    "baseline": "there is none; leave it out",
    "min_improvement": "min_delta",
}

EXECUTION: Final[Mapping[str, str]] = {
    **_each("n_jobs num_workers max_workers cpus parallel", "workers"),
    **_each("time_limit", "timeout"),
    **_each("max_retries retry", "retries"),
    **_each("backend executor", "engine"),
    **_each("memory_limit", "memory"),
}

BUDGET: Final[Mapping[str, str]] = {
    **_each("max_trials n_trials num_trials num_samples", "trials"),
    **_each("timeout max_time seconds minutes", "time"),
    **_each("epochs max_epochs", "write parameters: {epochs: 20}"),
}

MODEL: Final[Mapping[str, str]] = {
    **_each("class_weights", "class_weight"),
    **_each("loss_function", "loss"),
    **_each("optimizer units hidden_layers activation", "hyperparameters stand under parameters:"),
}

METRIC_KEYS: Final[Mapping[str, str]] = {
    **_each("direction mode", "goal"),
    **_each("objective metric", "name"),
}

RANGE: Final[Mapping[str, str]] = {
    **_each("low lower from start min_value minimum lo", "min"),
    **_each("high upper to stop end max_value maximum hi", "max"),
    **_each("log log_scale sampling log_uniform", "write scale: log"),
    **_each("choices options grid list choice categories", "values"),
    **_each("dtype", "type"),
    **_each("base prior default", "there is none; leave it out"),
    **_each("uniform range", "write {min: 1, max: 3}"),
    **_each("interval increment", "step"),
    **_each("conditions condition parent", "when"),
}
"""Key of a hyperparameter's range -> a key, or what to write."""

METRICS: Final[Mapping[str, str]] = {
    **_each("acc", "accuracy"),
    **_each("val_acc valid_accuracy validation_accuracy", "val_accuracy"),
    **_each("macro_f1 f1_macro val_macro_f1 val_f1_macro f1_score_macro", "val_f1_score"),
    **_each("roc_auc val_roc_auc auroc auc_roc", "val_auc"),
    **_each("r2 val_r2 r_squared val_r_squared", "val_r2_score"),
    **_each("valid_loss validation_loss", "val_loss"),
    **_each("test_accuracy test_acc", "the test split decides nothing; write val_accuracy"),
    **_each("test_loss", "the test split decides nothing; write val_loss"),
    **_each("error val_error", "write val_accuracy, whose complement it is"),
    **_each("balanced_accuracy val_balanced_accuracy", "write val_recall or val_f1_score"),
}

VALUES: Final[Mapping[str, Mapping[str, str]]] = {
    "activation": {
        **_each("logistic", "sigmoid"),
        **_each("identity none None", "linear"),
        **_each("lrelu LeakyReLU", "leaky_relu"),
        **_each("swish_1", "swish"),
    },
    "optimizer": {
        **_each("sgd_momentum sgd_with_momentum SGDMomentum", "momentum"),
        **_each("adam_w", "adamw"),
        **_each("lbfgs l-bfgs", "of Keras' optimizers there is none like it"),
    },
    "method": {
        **_each("bayesian_optimization BayesianOptimization bayes_opt gp", "bayesian"),
        **_each("random_search RandomSearch randomized RandomizedSearchCV", "random"),
        **_each("grid_search GridSearch GridSearchCV GridSampler", "grid"),
        **_each("successive_halving ASHAScheduler HalvingRandomSearchCV", "asha"),
        **_each("bohb BOHB", "write method: hyperband, with configs from tpe"),
        **_each("TPESampler hyperopt optuna", "tpe"),
        **_each("qmc QMCSampler halton", "sobol"),
    },
    "distribution": {
        **_each("loguniform reverse_log", "log_uniform_values"),
        **_each("choice choices", "categorical"),
        **_each("randint int quniform", "int_uniform"),
    },
    "scale": {
        **_each("log_uniform loguniform log10 ln logarithmic", "log"),
        **_each("uniform", "linear"),
    },
}
"""What is named -> name elsewhere -> the name, or what to write."""
