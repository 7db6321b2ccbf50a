"""Connect to a Ray cluster: find its address and token, and check that its head answers."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import secrets
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType
from typing import IO, Any
from unittest import mock

from hpsearch.errors import HpsearchError, InputError
from hpsearch.files import cut_beginning
from hpsearch.machine import version_of

_LOG = logging.getLogger("hpsearch")
#: The first version whose token authentication covers every service of the cluster.
_OLDEST = (2, 54)
_MODE, _TOKEN, _TOKEN_PATH = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"
#: A head that restarts from a persistent store is back within this time.
_PATIENCE_SECONDS = 20.0
_ANSWER_SECONDS = 2.0


def require_ray() -> None:
    """Check that a suitable version of Ray is installed."""
    version = version_of("ray")
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers < _OLDEST:
        state = "is not installed" if version == "unknown" else f"is {version}"
        raise InputError(
            f"execution.engine: ray needs Ray {_OLDEST[0]}.{_OLDEST[1]} or later, which "
            f"{state}: pip install 'hpsearch[ray]'"
        )


@contextlib.contextmanager
def connected(address: str | None, log: IO[str]) -> Iterator[ModuleType]:
    """Connect to a cluster and yield the `ray` module.

    Args:
        address: `auto` or `HOST:PORT` of a running cluster. None means the cluster that
            `RAY_ADDRESS` names, or else one on this machine only, which ends with the context.
        log: Receives the cluster's messages and the output of its workers.
    """
    require_ray()
    existing = address or os.environ.get("RAY_ADDRESS")
    _authenticate(own_cluster=existing is None)
    # Ray is optional, and reads the environment when it is imported.
    ray = importlib.import_module("ray")
    if ray.is_initialized():
        # Leave the caller's connection open.
        yield ray
        return
    with _output_to(log):
        try:
            with _handlers_kept():
                _init(ray, existing)
            yield ray
        finally:
            ray.shutdown()


def _authenticate(*, own_cluster: bool) -> None:
    """Set up token authentication in the environment, which Ray's processes inherit."""
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
    # Never unset them: Ray reads them only once.
    os.environ[_MODE] = "token"
    named = os.environ.get(_TOKEN) or os.environ.get(_TOKEN_PATH)
    if not named and not (Path.home() / ".ray" / "auth_token").exists():
        if not own_cluster:
            # Only the process that starts a cluster makes its token.
            raise InputError(
                f"the cluster's token is not here: set {_TOKEN} or {_TOKEN_PATH}, or copy "
                "~/.ray/auth_token from its head (`ray get-auth-token` prints it there)"
            )
        os.environ[_TOKEN] = secrets.token_hex(32)


def _init(ray: ModuleType, address: str | None) -> None:
    options: dict[str, Any] = {"address": "local", "include_dashboard": False}
    if address:
        options = {"address": _resolved(address)}
    try:
        with warnings.catch_warnings():
            # Ray announces changes for workers without a GPU.
            warnings.filterwarnings("ignore", category=FutureWarning, module=r"ray\.")
            ray.init(logging_level=logging.ERROR, log_to_driver=True, **options)
    except (ConnectionError, OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        where = f"execution.address: {address}" if address else "a Ray of this machine alone"
        said = next((line for line in str(error).splitlines() if line.strip()), repr(error))
        raise InputError(f"{where}: {said}") from error
    _LOG.info("connected to Ray %s", ray.__version__)


@contextlib.contextmanager
def _handlers_kept() -> Iterator[None]:
    """Keep the signal handlers, and delay signals until Ray has started.

    An exception during its start may leave Ray waiting for itself. Ray replaces the handler of
    SIGTERM by one that ends the process: in Python while it starts, and again in C++ once it is
    connected.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {n: signal.signal(n, lambda arrived, _: came.append(arrived)) for n in numbers}
    try:
        with mock.patch("ray._private.utils.set_sigterm_handler", create=True):
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        for late in came[:1]:
            signal.raise_signal(late)


def _resolved(address: str) -> str:
    """Return a cluster's `HOST:PORT`, if it answers: else Ray would wait for many minutes."""
    cluster = address
    if address == "auto":
        file = Path(os.environ.get("RAY_TMPDIR") or "/tmp") / "ray" / "ray_current_cluster"  # noqa: S108 - Ray's
        named = file.read_text(encoding="utf-8").strip() if file.exists() else ""
        cluster = os.environ.get("RAY_ADDRESS") or named
    if not _takes_connections(cluster):
        raise InputError(
            f"execution.address: {address}: no Ray cluster answers at {cluster or 'this machine'}; "
            "start one with `ray start --head`, or name its head, as HOST:PORT"
        )
    return cluster


def _takes_connections(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _ANSWER_SECONDS):
            return True
    except (OSError, ValueError):
        return False


def _output_to(log: IO[str]) -> AbstractContextManager[Any]:
    """Redirect Ray's output to the log, so that it does not mix with hpsearch's output.

    Ray has no setting for that. If its internals have changed, it prints as usual.
    """

    def write(data: dict[str, Any], *_: Any, **__: Any) -> None:
        # Skip the autoscaler, which repeats itself every few seconds.
        if data.get("pid") == "autoscaler":
            return
        with contextlib.suppress(OSError, ValueError):
            for line in data.get("lines", ()):
                log.write(f"({data.get('ip', 'ray')} {data.get('pid', '')}) {line}\n")
            cut_beginning(log)

    return mock.patch("ray._private.worker.print_to_stdstream", write, create=True)


class Head:
    """The head of a cluster, which may stop answering.

    Ray's calls would then block, and end this process after a minute.
    """

    lost = False

    def __init__(self, ray: ModuleType) -> None:
        self.address = str(ray.get_runtime_context().gcs_address)
        self._silent_since: float | None = None

    def answers(self) -> bool:
        """Check if the head accepts a connection; raise HpsearchError if it is given up."""
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
