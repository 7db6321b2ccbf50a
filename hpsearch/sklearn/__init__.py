"""Searches as scikit-learn estimators, for pipelines, cross-validation and its other tools."""

from hpsearch.sklearn.estimators import SweepClassifier, SweepRegressor

__all__ = ["SweepClassifier", "SweepRegressor"]
