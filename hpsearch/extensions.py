"""What other installed packages add by entry points: layer types, datasets, methods, executors."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from hpsearch.errors import HpsearchError, InputError

LAYER_TYPES: Final = "hpsearch.layer_types"
DATASETS: Final = "hpsearch.datasets"
METHODS: Final = "hpsearch.methods"
EXECUTORS: Final = "hpsearch.executors"

#: Group -> what messages call one of it.
_NOUNS: Final = {
    LAYER_TYPES: "layer type",
    DATASETS: "dataset",
    METHODS: "method",
    EXECUTORS: "engine",
}


@dataclass(frozen=True)
class Extension:
    """One entry point of an installed package.

    Attributes:
        group: One of the four.
        name: By which sweep files know it.
        reference: Where the object is, as `package.module:attribute`.
        package, version: Of the distribution that declares it.
    """

    group: str
    name: str
    reference: str
    package: str
    version: str

    @property
    def origin(self) -> str:
        """The package, its version and the entry point."""
        return f"{self.package} {self.version} (entry point {self.name} = {self.reference})"

    def __str__(self) -> str:
        return f"{_NOUNS[self.group]} {self.name!r} of {self.origin}"

    def load(self) -> Callable[..., Any]:
        """Import the package, and give what the entry point names.

        Raises:
            InputError: It cannot be imported, is not there, or cannot be called.
        """
        # The package may have been installed after this process looked for modules.
        importlib.invalidate_caches()
        try:
            found = metadata.EntryPoint(self.name, self.reference, self.group).load()
        except Exception as error:
            raise InputError(
                f"{self}: cannot be loaded: {type(error).__name__}: {error}"
            ) from error
        if not callable(found):
            raise InputError(f"{self}: must be a function or a class, not {type(found).__name__}")
        return found  # type: ignore[no-any-return]

    def told(
        self,
        what: str,
        call: Callable[[], Any],
        error_type: type[HpsearchError] = InputError,
        *,
        passes: tuple[type[Exception], ...] = (),
    ) -> Any:
        """What the package's code gives; where it fails, the package is named, and the line.

        Args:
            what: Such as `failed in ask`.
            passes: Exceptions that say enough by themselves.

        Raises:
            HpsearchError: Of the given type.
        """
        try:
            return call()
        except passes:
            raise
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            raise error_type(
                f"{self} {what}: {type(error).__name__}: {error} ({last.filename}:{last.lineno})"
            ) from error

    def require(self, found: Any, members: Iterable[str], protocol: str) -> None:
        """Check that what the package made has all that it must.

        Raises:
            InputError: Naming what it lacks.
        """
        missing = [name for name in members if not hasattr(found, name)]
        if missing:
            raise InputError(
                f"{self}: {type(found).__name__} has no {', '.join(missing)}; see {protocol}"
            )


def installed(group: str) -> tuple[Extension, ...]:
    """All of a group, by name; a name that two packages declare comes twice."""
    return _all(_where())[group]


def names(group: str) -> tuple[str, ...]:
    """The names of a group, each once."""
    return tuple(dict.fromkeys(extension.name for extension in installed(group)))


def find(group: str, name: str) -> Extension | None:
    """What declares a name; None where nothing does.

    Raises:
        InputError: Two packages do.
    """
    found = [extension for extension in installed(group) if extension.name == name]
    if len(found) > 1:
        raise InputError(
            f"{_NOUNS[group]} {name!r} is declared by {' and by '.join(e.origin for e in found)}; "
            "uninstall one of them"
        )
    return found[0] if found else None


def _where() -> tuple[tuple[str, int], ...]:
    """Where packages are looked for (an empty path is here), and when each place last changed."""
    return tuple((path, _changed(path)) for path in sys.path)


def _changed(path: str) -> int:
    try:
        return Path(path).stat().st_mtime_ns
    except OSError:
        return 0


@lru_cache(maxsize=2)
def _all(where: tuple[tuple[str, int], ...]) -> dict[str, tuple[Extension, ...]]:
    """The extensions of each group, read once for each state of the places."""
    del where
    points = metadata.entry_points()
    return {
        group: tuple(
            sorted(
                map(_extension, points.select(group=group)),
                key=lambda extension: (extension.name, extension.package),
            )
        )
        for group in _NOUNS
    }


def _extension(point: metadata.EntryPoint) -> Extension:
    package = getattr(point, "dist", None)
    return Extension(
        group=point.group,
        name=point.name,
        reference=point.value,
        package=_told(package, "name"),
        version=_told(package, "version"),
    )


def _told(package: metadata.Distribution | None, what: str) -> str:
    """A field of a package's metadata, which may lack it, or be damaged."""
    try:
        return str(getattr(package, what) or "unknown")
    except (AttributeError, KeyError, TypeError):
        return "unknown"
