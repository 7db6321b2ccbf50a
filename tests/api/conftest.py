"""Rows that the tests of this folder search on."""

import pytest
from sklearn.datasets import load_digits, load_wine


@pytest.fixture(scope="session")
def wine():
    return load_wine(return_X_y=True)


@pytest.fixture(scope="session")
def digits():
    """Images, since hpsearch warns of columns of a table that are constant, and their classes."""
    loaded = load_digits()
    return loaded.images[:500].astype("uint8"), loaded.target[:500]
