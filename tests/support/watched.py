"""Runs a command; writes what it took to a file, as JSON: exit code, seconds, peak bytes.

    python -IS watched.py FILE COMMAND...

A small process of its own: the peak that the system tells of a child includes what its parent had
when it forked, and the process of the tests has TensorFlow.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

report, *command = sys.argv[1:]
began = time.monotonic()
process = subprocess.Popen(command)
_, status, usage = os.wait4(process.pid, 0)
seconds = time.monotonic() - began
process.returncode = os.waitstatus_to_exitcode(status)
Path(report).write_text(
    json.dumps([process.returncode, seconds, usage.ru_maxrss * 1024]), encoding="utf-8"
)
