"""Functions to be optimised, which worker processes find by this module and their name."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any


def bowl(config: dict[str, Any]) -> float:
    return (config["x"] - 2) ** 2 + (config["y"] - 1) ** 2


def stepwise(config: dict[str, Any]) -> Iterator[float]:
    for epoch in range(1, config["epochs"] + 1):
        yield bowl(config) + 1 / epoch


def process(config: dict[str, Any]) -> float:
    time.sleep(0.05)
    return float(os.getpid())


def failing(config: dict[str, Any]) -> float:
    if config["x"] < 0:
        raise ArithmeticError(f"x is {config['x']}")
    return float(config["x"])


def environment_number(config: dict[str, Any]) -> float:
    return float(os.environ[config["variable"]])


def sleeping(config: dict[str, Any]) -> float:
    time.sleep(config["seconds"])
    return config["seconds"]
