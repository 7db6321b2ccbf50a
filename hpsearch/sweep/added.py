"""What a sweep uses of other installed packages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpsearch import extensions
from hpsearch.hyperparameters import LAYER_TYPES
from hpsearch.sweep.data import DATASETS
from hpsearch.sweep.method import METHODS
from hpsearch.sweep.settings import ENGINES

if TYPE_CHECKING:
    from hpsearch.sweep.model import Sweep

__all__ = ["added", "layer_types"]


def layer_types(sweep: Sweep) -> tuple[str, ...]:
    """The layer types that its file names, each once; none where it is the default's."""
    spec = sweep.parameters.get("layer_type")
    listed = spec.domain if spec is not None and isinstance(spec.domain, tuple) else ()
    from_configs = [config["layer_type"] for config in sweep.configs if "layer_type" in config]
    return tuple(dict.fromkeys([*listed, *from_configs]))


def added(sweep: Sweep) -> tuple[extensions.Extension, ...]:
    """The entry points that it uses.

    Raises:
        InputError: Two packages declare one of the names.
    """
    own = [name for name in layer_types(sweep) if name not in LAYER_TYPES and ":" not in name]
    used = [(extensions.LAYER_TYPES, name) for name in own]
    if sweep.data.dataset not in (None, *DATASETS):
        used.append((extensions.DATASETS, str(sweep.data.dataset)))
    if sweep.method.name not in METHODS:
        used.append((extensions.METHODS, sweep.method.name))
    if sweep.execution.engine not in ENGINES:
        used.append((extensions.EXECUTORS, sweep.execution.engine))
    found = [extensions.find(group, name) for group, name in used]
    return tuple(extension for extension in found if extension is not None)
