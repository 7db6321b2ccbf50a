"""The declared, the pinned and the oldest tested versions agree."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

_ROOT = Path(__file__).parent.parent
_PINNED = re.compile(r"([a-z0-9_.-]+)==(\S+) --hash=sha256:[0-9a-f]{64}")


def declared() -> list[Requirement]:
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [Requirement(text) for text in project["dependencies"]]


def test_each_dependency_has_a_lower_bound_that_ci_can_install() -> None:
    for requirement in declared():
        bounds = {each.operator for each in requirement.specifier}
        assert ">=" in bounds, requirement
        assert bounds <= {">=", "<"}, requirement
    assert "\n.ci/oldest" in (_ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_the_exact_versions_have_hashes_name_no_registry_and_are_allowed() -> None:
    text = (_ROOT / ".ci" / "requirements.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    pinned = dict(_PINNED.fullmatch(line).groups() for line in lines)  # type: ignore[union-attr]
    assert len(pinned) == len(lines)
    for requirement in declared():
        assert requirement.specifier.contains(pinned[requirement.name.lower()]), requirement
