"""KerasTuner's published guides, with the import changed and on small data.

Guides: getting started, tailoring the search space, custom tuners. The steps and names are the
guides'; where a guide's line fails on this Keras with KerasTuner, too, the test says so. The search
over any function is in test_fallback.py.
"""

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from keras import layers

import hpsearch.tuners as keras_tuner

pytestmark = [pytest.mark.usefixtures("place"), pytest.mark.slow]

WHERE = {"overwrite": True, "directory": "my_dir"}


def dense(hp):
    model = keras.Sequential([layers.Flatten()])
    for i in range(hp.Int("num_layers", 1, 3)):
        units = hp.Int(f"units_{i}", min_value=8, max_value=32, step=8)
        model.add(layers.Dense(units, activation=hp.Choice("activation", ["relu", "tanh"])))
    if hp.Boolean("dropout"):
        model.add(layers.Dropout(rate=0.25))
    model.add(layers.Dense(10, activation="softmax"))
    rate = hp.Float("lr", min_value=1e-4, max_value=1e-2, sampling="log")
    model.compile(
        keras.optimizers.Adam(learning_rate=rate),
        loss="categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def build_regressor(hp, metrics=()):
    units = hp.Int("units", 32, 128, 32)
    model = keras.Sequential([layers.Dense(units, activation="relu"), layers.Dense(1)])
    model.compile("adam", "mean_squared_error", metrics=list(metrics))
    return model


def search(hypermodel, objective, trials, project, rows, **settings):
    """Search as most guides do, and return the tuner."""
    tuner = keras_tuner.RandomSearch(
        hypermodel, objective, trials, project_name=project, **settings, **WHERE
    )
    tuner.search(**rows, verbose=0)
    return tuner


def rows_of(project):
    return pd.read_csv(f"my_dir/{project}/results.csv")


class TestGettingStarted:
    def test_the_first_search(self, images, capsys):
        x_train, y_train, x_val, y_val = images
        tuner = keras_tuner.RandomSearch(
            hypermodel=dense,
            objective="val_accuracy",
            max_trials=2,
            executions_per_trial=2,
            project_name="helloworld",
            **WHERE,
        )
        tuner.search_space_summary()
        assert "units_0 (Int)" in capsys.readouterr().out
        tuner.search(x_train, y_train, epochs=2, validation_data=(x_val, y_val))
        said = capsys.readouterr().out
        assert "Trial 2 Complete" in said
        assert "Best val_accuracy So Far" in said

        trials = tuner.oracle.get_best_trials(2)
        scores = [trial.score for trial in trials]
        assert scores == sorted(scores, reverse=True)
        table = rows_of("helloworld")
        assert len(table) == 4
        assert set(table["trainer"]) == {"native"}
        assert table.groupby("config")["score"].mean().max() == pytest.approx(scores[0])

        # The guide then builds the best model for images without the channel that it was trained
        # with, which Keras 3 refuses with KerasTuner, too.
        best = tuner.get_best_models(num_models=2)[0]
        best.build(input_shape=(None, 8, 8, 1))
        best.evaluate(x_val, y_val, verbose=0)

        tuner.results_summary()
        assert "Score: " in capsys.readouterr().out
        best_hps = tuner.get_best_hyperparameters(5)
        assert len(best_hps) == 2
        assert best_hps[0].get("units_0") in range(8, 33, 8)
        dense(best_hps[0]).fit(x_train, y_train, epochs=1, verbose=0)

    def test_tuning_the_training_and_the_data(self, data):
        class MyHyperModel(keras_tuner.HyperModel):
            def build(self, hp):
                image_size = hp.Int("image_size", 5, 8)
                inputs = keras.Input(shape=(image_size, image_size))
                outputs = layers.Flatten()(inputs)
                units = hp.Int("units", min_value=8, max_value=32, step=8)
                outputs = layers.Dense(units, activation="relu")(outputs)
                outputs = layers.Dense(10, activation="softmax")(outputs)
                model = keras.Model(inputs, outputs)
                model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
                return model

            def fit(self, hp, model, x, y, validation_data=None, **kwargs):
                if hp.Boolean("normalize"):
                    x = layers.Normalization()(x)
                image_size = hp.get("image_size")
                cropped_x = x[:, :image_size, :image_size, :]
                if validation_data:
                    x_val, y_val = validation_data
                    validation_data = (x_val[:, :image_size, :image_size, :], y_val)
                return model.fit(
                    cropped_x,
                    y,
                    shuffle=hp.Boolean("shuffle"),
                    validation_data=validation_data,
                    **kwargs,
                )

        rows = data | {"epochs": 2}
        tuner = search(MyHyperModel(), "val_accuracy", 2, "tune_hypermodel", rows)
        best_hp = tuner.get_best_hyperparameters()[0]
        assert {"image_size", "units", "normalize", "shuffle"} == set(best_hp.values)
        table = rows_of("tune_hypermodel")
        assert set(table["trainer"]) <= {"fit", "native"}
        assert (table["epochs_trained"] == 2).all()
        hypermodel = MyHyperModel()
        model = hypermodel.build(best_hp)
        hypermodel.fit(best_hp, model, data["x"], data["y"], epochs=1, verbose=0)
        # At 8 the model takes as many numbers as a row has, and `fit` gets the row's own shape.
        whole = keras_tuner.HyperParameters()
        whole.Fixed("image_size", 8)
        search(MyHyperModel(), "val_accuracy", 1, "whole", rows, hyperparameters=whole)
        assert set(rows_of("whole")["trainer"]) <= {"fit", "native"}

    def test_a_custom_metric_as_the_objective(self, numbers):
        class CustomMetric(keras.metrics.Metric):
            def __init__(self, **kwargs):
                super().__init__(name="custom_metric", **kwargs)
                self.sum = self.add_weight(name="sum", initializer="zeros")
                self.count = self.add_weight(name="count", dtype="int32", initializer="zeros")

            def update_state(self, y_true, y_pred, sample_weight=None):
                values = tf.math.squared_difference(y_pred, y_true)
                self.sum.assign_add(tf.reduce_sum(values))
                self.count.assign_add(tf.shape(y_true)[0])

            def result(self):
                return self.sum / tf.cast(self.count, tf.float32)

        def build(hp):
            return build_regressor(hp, [CustomMetric()])

        objective = keras_tuner.Objective("val_custom_metric", direction="min")
        search(build, objective, 2, "custom_metrics", numbers)
        table = rows_of("custom_metrics")
        assert set(table["trainer"]) == {"graph"}
        # The guide's metric is the mean squared error.
        np.testing.assert_allclose(table["val_custom_metric"], table["val_loss"], rtol=1e-5)

    @pytest.mark.parametrize("gives", ["score", "metrics"])
    def test_an_objective_of_ones_own(self, numbers, gives):
        class HyperRegressor(keras_tuner.HyperModel):
            def build(self, hp):
                return build_regressor(hp)

            def fit(self, hp, model, x, y, validation_data, **kwargs):
                model.fit(x, y, **kwargs)
                x_val, y_val = validation_data
                y_pred = model.predict(x_val)
                error = np.mean(np.abs(y_pred - y_val))
                if gives == "score":
                    return error
                return {"metric_a": -error, "metric_b": np.mean(np.square(y_pred - y_val))}

        objective = None if gives == "score" else keras_tuner.Objective("metric_a", "max")
        tuner = search(HyperRegressor(), objective, 2, "custom_eval", numbers)
        best = tuner.oracle.get_best_trials()[0]
        assert 0 < abs(best.score) < 1
        assert best.metrics.exists("default_objective" if gives == "score" else "metric_b")
        x_val, y_val = numbers["validation_data"]
        error = np.mean(np.abs(tuner.get_best_models()[0].predict(x_val, verbose=0) - y_val))
        assert error == pytest.approx(abs(best.score), rel=1e-4)


class TestTailoringTheSearchSpace:
    @staticmethod
    def build_model(hp):
        model = keras.Sequential([layers.Flatten()])
        model.add(layers.Dense(hp.Int("units", min_value=32, max_value=128, step=32, default=64)))
        if hp.Boolean("dropout"):
            model.add(layers.Dropout(rate=0.25))
        model.add(layers.Dense(10, activation="softmax"))
        model.compile(
            keras.optimizers.Adam(hp.Choice("learning_rate", values=[1e-2, 1e-3, 1e-4])),
            loss="sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )
        return model

    @pytest.fixture
    def data(self):
        random = np.random.default_rng(0)
        x, y = random.random((100, 28, 28, 1)), random.integers(0, 10, (100, 1))
        return {"x": x[:80], "y": y[:80], "epochs": 1, "validation_data": (x[80:], y[80:])}

    def test_search_a_few_and_fix_the_rest(self, data):
        hp = keras_tuner.HyperParameters()
        hp.Float("learning_rate", min_value=1e-4, max_value=1e-2, sampling="log")
        settings = {"hyperparameters": hp, "tune_new_entries": False}
        tuner = search(self.build_model, "val_accuracy", 2, "search_a_few", data, **settings)
        assert [each.name for each in tuner.oracle.get_space().space] == ["learning_rate"]
        table = rows_of("search_a_few")
        assert table["learning_rate"].between(1e-4, 1e-2).all()
        assert table["learning_rate"].nunique() == 2
        assert set(table["units"]) == {64}
        assert set(table["dropout"]) == {False}

    def test_other_compilation_arguments(self, data):
        compiled = {
            "optimizer": keras.optimizers.Adam(1e-3),
            "loss": "mse",
            "metrics": ["sparse_categorical_crossentropy"],
        }
        tuner = search(self.build_model, "val_loss", 1, "override_compile", data, **compiled)
        assert tuner.get_best_models()[0].loss == "mse"
        assert "val_sparse_categorical_crossentropy" in rows_of("override_compile").columns

    def test_prebuilt_hypermodels(self):
        hypermodel = keras_tuner.applications.HyperXception(input_shape=(32, 32, 1), classes=10)
        hp = keras_tuner.HyperParameters()
        hp.Choice("learning_rate", values=[1e-2, 1e-3, 1e-4])
        # Smaller than its defaults, which take minutes.
        hp.Fixed("num_residual_blocks", 2)
        hp.Fixed("conv2d_num_filters", 32)
        hp.Fixed("sep_num_filters", 128)
        settings = {"hyperparameters": hp, "tune_new_entries": False}
        compiled = {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]}
        random = np.random.default_rng(0)
        x, y = random.random((8, 32, 32, 1)), random.integers(0, 10, (8, 1))
        rows = {"x": x, "y": y, "epochs": 1, "validation_data": (x, y)}
        tuner = search(hypermodel, "val_accuracy", 1, "helloworld", rows, **settings, **compiled)
        assert tuner.oracle.get_best_trials()[0].score is not None


class TestATunerOfOnesOwn:
    def test_a_custom_training_loop(self, images, capsys):
        def build_model(hp):
            inputs = x = keras.Input(shape=(8, 8, 1))
            for i in range(hp.Int("conv_layers", 1, 2, default=2)):
                x = layers.Conv2D(
                    filters=hp.Int("filters_" + str(i), 4, 8, step=4, default=8),
                    kernel_size=hp.Int("kernel_size_" + str(i), 3, 5),
                    activation="relu",
                    padding="same",
                )(x)
            x = layers.GlobalMaxPooling2D()(x)
            outputs = layers.Dense(10, activation="softmax")(x)
            model = keras.Model(inputs, outputs)
            model.compile("adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
            return model

        class MyTuner(keras_tuner.Tuner):
            def run_trial(self, trial, train_ds):
                hp = trial.hyperparameters
                train_ds = train_ds.batch(hp.Int("batch_size", 32, 128, step=32, default=64))
                model = self.hypermodel.build(trial.hyperparameters)
                rate = hp.Float("learning_rate", 1e-4, 1e-2, sampling="log", default=1e-3)
                optimizer = keras.optimizers.Adam(rate)
                loss_fn = keras.losses.SparseCategoricalCrossentropy()
                epoch_loss = keras.metrics.Mean()
                for epoch in range(2):
                    self.on_epoch_begin(trial, model, epoch, logs={})
                    for batch, (x, y) in enumerate(train_ds):
                        self.on_batch_begin(trial, model, batch, logs={})
                        with tf.GradientTape() as tape:
                            loss = loss_fn(y, model(x))
                        gradients = tape.gradient(loss, model.trainable_variables)
                        optimizer.apply(gradients, model.trainable_variables)
                        epoch_loss.update_state(loss)
                        self.on_batch_end(trial, model, batch, logs={"loss": float(loss)})
                    self.on_epoch_end(trial, model, epoch, logs={"loss": epoch_loss.result()})
                return float(epoch_loss.result())

        tuner = MyTuner(
            oracle=keras_tuner.oracles.BayesianOptimizationOracle(
                objective=keras_tuner.Objective("loss", "min"), max_trials=2
            ),
            hypermodel=build_model,
            directory="results",
            project_name="mnist_custom_training",
        )
        x, y = images[0], images[1].argmax(axis=1)
        tuner.search(train_ds=tf.data.Dataset.from_tensor_slices((x, y)))
        values = tuner.get_best_hyperparameters()[0].values  # noqa: PD011 - no frame
        assert {"batch_size", "learning_rate", "conv_layers"} <= set(values)
        assert capsys.readouterr().out
