"""Libraries in C that stand before the system's in a real process."""

from __future__ import annotations

import subprocess
import sysconfig
from pathlib import Path

_SOURCES = Path(__file__).parent


def preload(name: str, scratch: Path) -> dict[str, str]:
    """Compile `library_NAME.c`; the environment in which a process gets it."""
    target = scratch / f"{name}.so"
    compiler = sysconfig.get_config_var("CC").split()[0]
    source = _SOURCES / f"library_{name}.c"
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", target, source, "-ldl"]
    subprocess.run(command, check=True, capture_output=True)
    return {"LD_PRELOAD": str(target)}
