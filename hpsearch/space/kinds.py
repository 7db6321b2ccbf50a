"""The kinds of things that a config describes."""

from __future__ import annotations

from enum import StrEnum

#: Number of epochs of a training that ends by itself.
ENDLESS = 2**31


class Kind(StrEnum):
    """The kind of thing that a config describes, and what follows from it for a config."""

    MLP = "mlp"
    #: A function of the user that returns one score.
    FUNCTION = "function"
    #: A function of the user that yields a score per epoch.
    STEPWISE = "stepwise"
    #: A Keras model that the user builds.
    MODEL = "model"
    #: A Keras model built for a number of epochs: a shorter training is not its beginning.
    WHOLE_MODEL = "whole_model"
    #: A program of the user, which alone defines its parameters, even `epochs`.
    PROGRAM = "program"

    @property
    def is_model(self) -> bool:
        """True if the user builds the model."""
        return self in (Kind.MODEL, Kind.WHOLE_MODEL)

    @property
    def is_predefined(self) -> bool:
        """True if names such as `units` have a meaning, a default, and a bearing on others."""
        return self is Kind.MLP

    @property
    def has_budget(self) -> bool:
        """True if the hyperparameter `epochs` sets where a training ends."""
        return self is not Kind.PROGRAM

    @property
    def gets_epochs(self) -> bool:
        """True if `epochs` is among the values that a training gets."""
        return self not in (Kind.MLP, Kind.MODEL)

    @property
    def continues(self) -> bool:
        """True if a longer training begins as a shorter one: it can go on from there, or be both.

        A program keeps its checkpoints itself.
        """
        return self in (Kind.MLP, Kind.MODEL, Kind.STEPWISE)

    @property
    def scores_once(self) -> bool:
        """True if a training is a single epoch."""
        return self is Kind.FUNCTION

    @property
    def names_metrics(self) -> bool:
        """True if the user's code names the metrics that it reports."""
        return self.is_model or self is Kind.PROGRAM

    @property
    def names_code(self) -> bool:
        """True if rows name the commit and the fingerprint of the user's code."""
        return self is Kind.PROGRAM
