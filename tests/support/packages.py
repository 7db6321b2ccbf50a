"""Packages that add to hpsearch: a real one, and made-up ones that are only declared."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

EXAMPLE = Path(__file__).with_name("example_package")


def install_example(target: Path) -> None:
    """Install the example package as its users would, into a folder of its own."""
    source = target.parent / "source"
    # Building leaves files beside the sources.
    shutil.copytree(EXAMPLE, source)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    command += ["--no-build-isolation", "--target", str(target), str(source)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)


def declare(
    where: Path,
    name: str,
    points: Mapping[str, Mapping[str, str]],
    *,
    version: str = "1.0",
    modules: Mapping[str, str] | None = None,
) -> Path:
    """What an installation leaves of a package: its metadata, and the text of its modules.

    Args:
        points: Group -> name -> `module:attribute`.
    """
    about = where / f"{name.replace('-', '_')}-{version}.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = []
    for group, entries in points.items():
        lines += [f"[{group}]", *(f"{key} = {value}" for key, value in entries.items())]
    (about / "entry_points.txt").write_text("\n".join(lines) + "\n")
    for module, text in (modules or {}).items():
        (where / f"{module}.py").write_text(text)
    return where


def declare_example(where: Path) -> Path:
    """The example package's metadata, without its installation; its modules are importable."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    return declare(where, project["name"], project["entry-points"], version=project["version"])
