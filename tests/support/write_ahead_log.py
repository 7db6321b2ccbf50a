"""The contents of an SQLite database's write-ahead log.

Source: the SQLite documentation, "WAL-mode File Format".
"""

from __future__ import annotations

import struct
from pathlib import Path

_HEADER, _FRAME_HEADER = 32, 24


def uncommitted_frames(database: Path) -> int:
    """Frames after the last commit: what a transaction had written when its process ended."""
    log = database.with_name(database.name + "-wal")
    content = log.read_bytes() if log.exists() else b""
    if len(content) < _HEADER:
        return 0
    page_size = struct.unpack(">I", content[8:12])[0]
    salts = content[16:24]
    count = 0
    for at in range(_HEADER, len(content), _FRAME_HEADER + page_size):
        frame = content[at : at + _FRAME_HEADER]
        if len(frame) < _FRAME_HEADER or frame[8:16] != salts:
            # What follows is of an earlier generation of the log.
            break
        committed = struct.unpack(">I", frame[4:8])[0]
        count = 0 if committed else count + 1
    return count
