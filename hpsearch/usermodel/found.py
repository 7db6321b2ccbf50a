"""What a model of the user's own asks for, as plain data, and the space that it spans."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hpsearch.constraints import Constraint
from hpsearch.hyperparameters import DEFAULTS
from hpsearch.space import Choices, Kind, Parameter, Space

__all__ = ["Found", "OwnModel", "space_of"]


@dataclass(frozen=True)
class Found:
    """The hyperparameters of a model.

    Attributes:
        parameters: In the order in which the model asks for them.
        defaults: Of each, as KerasTuner has it.
        read: Names that the model reads without saying what they can be.
        own_fit: Whether its hypermodel trains it by a `fit` of its own.
    """

    parameters: tuple[Parameter, ...]
    defaults: Mapping[str, Any]
    read: frozenset[str] = frozenset()
    own_fit: bool = False

    @property
    def asked(self) -> tuple[str, ...]:
        """Of `epochs` and `batch_size`, those that the model asks for by itself."""
        return tuple(name for name in ("batch_size", "epochs") if name in self.defaults)

    @property
    def kind(self) -> Kind:
        """Whether epochs are more than the end of a training."""
        whole = self.own_fit or "epochs" in self.defaults or "epochs" in self.read
        return Kind.WHOLE_MODEL if whole else Kind.MODEL


@dataclass(frozen=True)
class OwnModel:
    """A model that a Python program has, as it crosses to workers.

    Attributes:
        code: Of the function or hypermodel, by cloudpickle; empty where its name is enough.
        found: What it asks for, where that is known.
        late: See `Recipe.late`; None for what the method implies.
    """

    code: bytes = b""
    found: Found | None = None
    late: str | None = None


def space_of(
    found: Found, given: Sequence[Parameter], constraints: Iterable[Constraint] = ()
) -> Space:
    """What can vary: what the model asks for, where `given` does not say otherwise.

    Args:
        given: Of the sweep: in place of what was found of that name, under the same conditions
            unless it has its own; or what the model reads without saying what it can be.
    """
    ours = {parameter.name: parameter for parameter in given}
    parameters = []
    for parameter in found.parameters:
        instead = ours.pop(parameter.name, None)
        if instead is not None and not instead.when:
            instead = replace(instead, when=parameter.when)
        parameters.append(instead or parameter)
    parameters += ours.values()
    names = {parameter.name for parameter in parameters}
    # A `fit` of one's own is told what the sweep names, and nothing else.
    missing = () if found.own_fit else ("batch_size", "epochs")
    parameters += [Parameter(n, Choices((DEFAULTS[n],))) for n in missing if n not in names]
    return Space(tuple(parameters), tuple(constraints), found.kind)
