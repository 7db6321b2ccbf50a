"""The connection to a Ray cluster: which one, with which token, and whether its head answers."""

from __future__ import annotations

import contextlib
import functools
import importlib
import logging
import os
import secrets
import socket
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import IO, Any

from hpsearch.errors import HpsearchError, InputError
from hpsearch.machine import version_of

_LOG = logging.getLogger("hpsearch")
#: The first whose token authentication covers every service of the cluster.
_OLDEST = (2, 54)
_MODE, _TOKEN, _TOKEN_PATH = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"
#: A head that is started anew over a store of its own is back by then.
_PATIENCE_SECONDS = 20.0
_ANSWER_SECONDS = 2.0


def require_ray() -> None:
    """Check that a Ray which hpsearch can use is installed.

    Raises:
        InputError: Saying what to install.
    """
    version = version_of("ray")
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers < _OLDEST:
        found = "is not installed" if version == "unknown" else f"is {version}"
        raise InputError(
            f"execution.engine: ray needs Ray {_OLDEST[0]}.{_OLDEST[1]} or later, which "
            f"{found}: pip install 'hpsearch[ray]'"
        )


@contextlib.contextmanager
def connected(address: str | None, log: IO[str]) -> Iterator[ModuleType]:
    """The `ray` module, connected.

    Args:
        address: `auto`, or `HOST:PORT`, of a cluster that runs; None for the one that
            `RAY_ADDRESS` names, or else one of this machine alone, which ends with the context.
        log: Where the cluster's own messages and the output of its workers go.

    Raises:
        InputError: No such cluster, no token, or one that the cluster does not take.
    """
    require_ray()
    if address is not None and address.startswith("ray://"):
        raise InputError(
            f"execution.address: {address} is Ray Client's, which hpsearch does not use; start it "
            "on a machine of the cluster with address: auto, or through `ray job submit`"
        )
    existing = address or os.environ.get("RAY_ADDRESS")
    with _permitted(alone=existing is None):
        ray = importlib.import_module("ray")
        if ray.is_initialized():
            # The caller's own connection, which stays.
            yield ray
            return
        with _told_to(log):
            _init(ray, existing)
            try:
                yield ray
            finally:
                ray.shutdown()


@contextlib.contextmanager
def _permitted(*, alone: bool) -> Iterator[None]:
    """Token authentication in this process's environment, which Ray's processes inherit.

    Args:
        alone: Whether the cluster is one that starts here: it gets a token of its own.
    """
    mode = os.environ.get(_MODE)
    if mode not in (None, "token"):
        raise InputError(
            f"{_MODE}={mode}: whoever reaches such a cluster runs what they like on it; start it "
            f"with {_MODE}=token (`ray get-auth-token --generate` makes a token), here too"
        )
    if mode is None and "ray._raylet" in sys.modules:
        raise InputError(
            f"{_MODE} is not set, and Ray, which reads it once, is imported already: set "
            f"{_MODE}=token where Python is started"
        )
    # It stays: Ray, once it is imported, has read it.
    os.environ[_MODE] = "token"
    before = os.environ.get(_TOKEN)
    if not _has_token():
        if not alone:
            raise InputError(
                f"the cluster's token is not here: set {_TOKEN} or {_TOKEN_PATH}, or copy "
                "~/.ray/auth_token from its head (`ray get-auth-token` prints it there)"
            )
        os.environ[_TOKEN] = _own_token()
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(_TOKEN, None)


@functools.cache
def _own_token() -> str:
    """Of the clusters that this process starts: Ray reads it once a process."""
    return secrets.token_hex(32)


def _has_token() -> bool:
    named = os.environ.get(_TOKEN) or os.environ.get(_TOKEN_PATH)
    return bool(named) or (Path.home() / ".ray" / "auth_token").exists()


def _init(ray: ModuleType, address: str | None) -> None:
    options: dict[str, Any] = {"address": "local", "include_dashboard": False}
    if address:
        options = {"address": _that_answers(address)}
    try:
        with warnings.catch_warnings():
            # About what later versions will do with workers that ask for no GPU.
            warnings.filterwarnings("ignore", category=FutureWarning, module=r"ray\.")
            ray.init(logging_level=logging.ERROR, log_to_driver=True, **options)
    except (ConnectionError, OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        where = f"execution.address: {address}" if address else "a Ray of this machine alone"
        said = next((line for line in str(error).splitlines() if line.strip()), repr(error))
        raise InputError(f"{where}: {said}") from error
    _LOG.info("connected to Ray %s at %s", ray.__version__, _address_of(ray))


def _that_answers(address: str) -> str:
    """A cluster's `HOST:PORT`; Ray itself would look for one that is gone for many minutes.

    Raises:
        InputError: None answers there.
    """
    found = address
    if address == "auto":
        where = Path(os.environ.get("RAY_TMPDIR") or "/tmp") / "ray" / "ray_current_cluster"  # noqa: S108 - Ray's
        named = where.read_text(encoding="utf-8").strip() if where.exists() else ""
        found = os.environ.get("RAY_ADDRESS") or named
        if not found:
            raise InputError(
                "execution.address: auto finds no Ray cluster on this machine; start one with "
                "`ray start --head`, or name its head, as HOST:PORT"
            )
    if not _takes_connections(found):
        raise InputError(
            f"execution.address: {address}: no Ray cluster answers at {found}; start one with "
            "`ray start --head`, or name the HOST:PORT of its head"
        )
    return found


def _takes_connections(address: str) -> bool:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise InputError(f"execution.address: must be auto, or HOST:PORT, not {address}")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _ANSWER_SECONDS):
            return True
    except OSError:
        return False


def _address_of(ray: ModuleType) -> str:
    return str(ray.get_runtime_context().gcs_address)


@contextlib.contextmanager
def _told_to(log: IO[str]) -> Iterator[None]:
    """Has Ray write to the log what it would print between the lines of our own output.

    It has no setting for that; where its insides are others, it prints.
    """
    worker = importlib.import_module("ray._private.worker")
    before = getattr(worker, "print_to_stdstream", None)
    if before is None:
        yield
        return

    def tell(data: dict[str, Any], *_: Any, **__: Any) -> None:
        if data.get("pid") == "autoscaler":
            # Every few seconds, whatever happens.
            return
        with contextlib.suppress(OSError, ValueError):
            for line in data.get("lines", ()):
                log.write(f"({data.get('ip', 'ray')} {data.get('pid', '')}) {line}\n")

    worker.print_to_stdstream = tell  # type: ignore[attr-defined]
    try:
        yield
    finally:
        worker.print_to_stdstream = before  # type: ignore[attr-defined]


class Head:
    """Whether the head of the cluster answers.

    Ray's own calls block where it does not, and after a minute end the process.

    Attributes:
        lost: Whether it was given up.
    """

    lost = False

    def __init__(self, ray: ModuleType) -> None:
        self.address = _address_of(ray)
        self._silent_since: float | None = None

    def answers(self) -> bool:
        """Whether it takes a connection.

        Raises:
            HpsearchError: It has taken none for so long that it will not come back by itself.
        """
        if _takes_connections(self.address):
            self._silent_since = None
            return True
        now = time.monotonic()
        self._silent_since = self._silent_since or now
        if now - self._silent_since < _PATIENCE_SECONDS:
            return False
        self.lost = True
        raise HpsearchError(
            f"the head of the Ray cluster, {self.address}, does not answer; what was finished is "
            "stored, so start the cluster, and run the same command again"
        )
