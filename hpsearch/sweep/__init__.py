"""What is asked: a sweep as frozen data, its grammar and its JSON Schema in one typed model."""

from hpsearch.sweep.added import added
from hpsearch.sweep.data import DATASETS, DataSpec, MemorySpec, SplitSpec
from hpsearch.sweep.method import CONFIGS, METHODS, MethodSpec
from hpsearch.sweep.model import NAME, Sweep
from hpsearch.sweep.names import HYPERPARAMETERS, LAYER_TYPES
from hpsearch.sweep.parameters import ParameterSpec
from hpsearch.sweep.ranges import RangeSpec
from hpsearch.sweep.settings import (
    Budget,
    EarlyStoppingSpec,
    Execution,
    MetricSpec,
    ModelSpec,
    SeedRace,
)

__all__ = [
    "CONFIGS",
    "DATASETS",
    "HYPERPARAMETERS",
    "LAYER_TYPES",
    "METHODS",
    "NAME",
    "Budget",
    "DataSpec",
    "EarlyStoppingSpec",
    "Execution",
    "MemorySpec",
    "MethodSpec",
    "MetricSpec",
    "ModelSpec",
    "ParameterSpec",
    "RangeSpec",
    "SeedRace",
    "SplitSpec",
    "Sweep",
    "added",
]
