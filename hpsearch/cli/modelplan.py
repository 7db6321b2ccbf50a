"""`hpsearch plan` of models of the user's own: what they ask for, found by building them."""

from __future__ import annotations

from rich.console import Console

from hpsearch.driver.planners import Search
from hpsearch.space import Choices, Parameter

__all__ = ["print_space"]

_MOST_VALUES = 6


def print_space(search: Search, console: Console) -> None:
    """A line for each hyperparameter."""
    for parameter in search.space.parameters:
        console.print(
            f"  {parameter.name}: {_domain(parameter)}{_when(parameter)}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )


def _domain(parameter: Parameter) -> str:
    domain, choices = parameter.domain, parameter.choices
    if isinstance(domain, Choices) or (choices and len(choices) <= _MOST_VALUES):
        choices = choices or ()
        more = len(choices) - _MOST_VALUES
        return ", ".join(map(str, choices[:_MOST_VALUES])) + (f" and {more} more" * (more > 0))
    step = f", step {domain.step:g}" if domain.step is not None else ""
    return f"{domain.min:g} to {domain.max:g}{step}{', log' if domain.log else ''}"


def _when(parameter: Parameter) -> str:
    conditions = [
        f"{parent} is {' or '.join(map(str, accepted))}"
        for parent, accepted in parameter.when.items()
    ]
    return f" (where {' and '.join(conditions)})" if conditions else ""
