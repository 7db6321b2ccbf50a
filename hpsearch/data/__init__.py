"""Datasets: built-in sets, CSV, NPZ, the user's functions and arrays.

    from hpsearch.data import datasets, from_arrays, load, probe

Imports neither TensorFlow nor Keras, except where Keras has to download a set.
"""

from __future__ import annotations

from hpsearch.data.builtin import Description, datasets
from hpsearch.data.dataset import Dataset, Inputs, Shape, Split
from hpsearch.data.loading import Loader, from_arrays, load, probe
from hpsearch.data.spec import DataSpec, Folds

__all__ = [
    "DataSpec",
    "Dataset",
    "Description",
    "Folds",
    "Inputs",
    "Loader",
    "Shape",
    "Split",
    "datasets",
    "from_arrays",
    "load",
    "probe",
]
