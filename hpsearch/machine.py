"""Facts about this machine: cores, memory, processes, package versions, and a clock."""

from __future__ import annotations

import contextlib
import errno
import itertools
import math
import os
import stat
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def cores() -> int:
    """Number of cores that this process may use, by affinity and control groups."""
    count = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    groups = _control_groups("cpu", ["cpu.max"], ["cpu.cfs_quota_us", "cpu.cfs_period_us"])
    quotas = [math.ceil(quota / period) for quota, period in groups if quota > 0]
    return max(1, min([count, *quotas]))


_DEVICE_FILES = Path("/dev")
#: Variables by which libraries learn the only GPUs that they may use.
DEVICE_VARIABLES = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")


def allowed_gpus() -> list[str] | None:
    """Return the names of the GPUs to which the environment limits this process, if it does.

    As CUDA reads them: the list ends before the first name of no GPU.
    """
    lists = [os.environ[name] for name in DEVICE_VARIABLES if name in os.environ]
    if not lists:
        return None
    names = itertools.takewhile(_names_gpu, map(str.strip, lists[0].split(",")))
    return list(dict.fromkeys(names))


def _names_gpu(name: str) -> bool:
    return name.isdecimal() or name.startswith(("GPU-", "MIG-"))


def gpus() -> list[str]:
    """Return the names by which CUDA knows the GPUs that this process may use (Linux)."""
    numbers = list(map(str, range(len([*_DEVICE_FILES.glob("nvidia[0-9]*")]))))
    allowed = allowed_gpus()
    if allowed is None or not numbers:
        return numbers
    return list(itertools.takewhile(lambda n: n in numbers or not n.isdecimal(), allowed))


#: Primary result codes of SQLite.
_NO_MEMORY, _IO_ERROR, _FULL, _CANNOT_OPEN = 7, 10, 13, 14


def shortage(error: BaseException | None) -> str:
    """Return the resource whose lack made a call fail, and what to do; else an empty text."""
    number = getattr(error, "errno", None)
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    full = code in (_IO_ERROR, _FULL) or number in (errno.ENOSPC, errno.EDQUOT, errno.EIO)
    if full or "No usable temporary directory" in str(error):
        scratch = os.environ.get("TMPDIR") or "/tmp"  # noqa: S108 - as for Python and SQLite
        return (
            f"make room on its disk and on that of temporary files, {scratch} (TMPDIR sets "
            "another place), or check the disks"
        )
    if number in (errno.EMFILE, errno.ENFILE) or (code == _CANNOT_OPEN and not _opens_files()):
        # Not with `resource`, which could not be imported in this state.
        most = os.sysconf("SC_OPEN_MAX") if hasattr(os, "sysconf") else "so many"
        return f"no more than {most} files may be open: raise the limit, as in: ulimit -n 1024"
    if isinstance(error, BlockingIOError) or "start new thread" in str(error):
        return "no more processes may be started: end some, or raise the limit (ulimit -u)"
    if number == errno.ENOMEM or code == _NO_MEMORY:
        return "the memory is used up: end other programs, or use fewer workers"
    return ""


def _opens_files() -> bool:
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error.errno not in (errno.EMFILE, errno.ENFILE)
    return True


def odd_kind(path: Path, *, links: bool = True, names: bool = True) -> str:
    """Return the kind of a path that may block or do harm when opened, as `a device`; else empty.

    Args:
        links: Whether a link to a file counts as a file.
        names: Whether a file with a second name counts as a file.
    """
    try:
        status = path.stat() if links else path.lstat()
    except (OSError, ValueError):
        return ""
    if not names and stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
        return "a file that has another name elsewhere (a hard link)"
    return _ODD_KINDS.get(stat.S_IFMT(status.st_mode), "")


_ODD_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def version_of(package: str) -> str:
    """Return the version of an installed package; `unknown` if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def available_bytes() -> int:
    """Return the memory that this process may still use, by machine, control groups and rlimit."""
    # psutil takes 10 ms to import; most commands do not need it.
    import psutil

    left = [int(psutil.virtual_memory().available)]
    left += [limit - used for limit, used in _memory_groups()]
    with contextlib.suppress(ImportError, OSError, ValueError):
        # The module is missing on Windows.
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_AS)
        if soft != resource.RLIM_INFINITY:
            pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
            left.append(soft - pages * os.sysconf("SC_PAGE_SIZE"))
    return max(0, min(left))


#: The rest is left to the driver, the fork servers and all other programs.
_SHARE = 0.8
#: TensorFlow alone takes some 400 MB in a worker.
_LEAST_BYTES = 2**30


def share_bytes(workers: int) -> int:
    """Return a worker's default memory limit: its part of four fifths of the machine's memory.

    The limit is at least 1 GiB, or four fifths of a smaller machine.
    """
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    usable = int(_SHARE * min([machine, *(limit for limit, _ in _memory_groups())]))
    return max(usable // workers, min(_LEAST_BYTES, usable))


def _memory_groups() -> Iterator[tuple[int, int]]:
    """Yield limit and usage, in bytes, of the control groups around this process."""
    first = ["memory.limit_in_bytes", "memory.usage_in_bytes"]
    return _control_groups("memory", ["memory.max", "memory.current"], first)


def _control_groups(
    controller: str, files: Sequence[str], first_files: Sequence[str]
) -> Iterator[tuple[int, int]]:
    """Yield two numbers of each control group around this process (Linux).

    Args:
        files: The files of version 2 that have the numbers.
        first_files: The files of version 1 that have them.
    """
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers:
                yield from _limits(_GROUPS, path, files)
            elif controller in controllers.split(","):
                yield from _limits(_GROUPS / controller, path, first_files)


_GROUPS = Path("/sys/fs/cgroup")


def _limits(root: Path, group: str, files: Sequence[str]) -> Iterator[tuple[int, int]]:
    inner = root / group.lstrip("/")
    for directory in (inner, *inner.parents):
        if directory.is_relative_to(root):
            # Without a limit, a file reads "max", -1, or a number beyond any machine's memory.
            with contextlib.suppress(OSError, ValueError):
                texts = [text for file in files for text in (directory / file).read_text().split()]
                limit, other = map(int, texts)
                yield limit, other


def own_bytes(pid: int) -> int:
    """Return a process' resident memory without shared pages, such as the data; 0 if it ended."""
    # psutil takes 10 ms to import; most commands do not need it.
    import psutil

    try:
        memory = psutil.Process(pid).memory_info()
    except psutil.Error:
        return 0
    # Only Linux distinguishes shared pages.
    return int(memory.rss - getattr(memory, "shared", 0))


def descendants(pids: Iterable[int]) -> dict[int, list[int]]:
    """Return the live descendants of some processes, the children first (Linux; else none)."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError):
            # A process name, in brackets here, may have any characters.
            state, parent = path.read_bytes().rpartition(b")")[2].split()[:2]
            if state not in (b"Z", b"X"):
                children.setdefault(int(parent), []).append(int(path.parent.name))
    tree: dict[int, list[int]] = {}
    for pid in pids:
        tree[pid] = list(children.get(pid, ()))
        for child in tree[pid]:
            tree[pid] += children.get(child, ())
    return tree


#: Environment variables that this process has set for itself.
_SET_HERE: set[str] = set()


def set_default(name: str, value: str) -> None:
    """Set an environment variable for this process, unless the user has set it."""
    if name not in os.environ:
        os.environ[name] = value
        _SET_HERE.add(name)


def users_value(name: str) -> str | None:
    """Return the user's value of an environment variable; None without one."""
    return None if name in _SET_HERE else os.environ.get(name)


#: How often the clock looks at the time, and the overrun from which on it takes a suspension.
_BEAT_SECONDS = 0.25
_LATE_SECONDS = 1.0


class _Clock:
    """Monotonic seconds of this process, without those for which it was suspended.

    The system's monotonic clock stops while a machine sleeps, but not while its processes are
    stopped, as by SLURM or a container's pause. A thread that looks at the time in short
    intervals notices. What the process computed meanwhile counts, so a busy driver extends no
    limit.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def now(self) -> float:
        with self._lock:
            # A fork ends the thread in the child.
            if self._thread is None or not self._thread.is_alive():
                self._suspended_seconds = 0.0
                self._last, self._computed = time.monotonic(), time.process_time()
                self._thread = threading.Thread(target=self._beat, daemon=True)
                self._thread.start()
            return self._look()

    def _beat(self) -> None:
        while True:
            time.sleep(_BEAT_SECONDS)
            with self._lock:
                self._look()

    def _look(self) -> float:
        last, computed = self._last, self._computed
        self._last, self._computed = time.monotonic(), time.process_time()
        late = self._last - last - (self._computed - computed) - _BEAT_SECONDS
        if late > _LATE_SECONDS:
            self._suspended_seconds += late
        return self._last - self._suspended_seconds


#: Monotonic seconds in which this process could run; limits of time are measured by it.
now = _Clock().now
