"""Runs a command; writes to a file what it took: exit code, seconds, peak bytes, as JSON.

    python -IS watched.py FILE COMMAND...

The seconds are the processor's, which other programs do not lengthen. A small process of its own:
the peak that the system tells of a child includes what its parent had when it forked, and the
process of the tests has TensorFlow.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

report, *command = sys.argv[1:]
process = subprocess.Popen(command)
_, status, usage = os.wait4(process.pid, 0)
seconds = usage.ru_utime + usage.ru_stime
process.returncode = os.waitstatus_to_exitcode(status)
Path(report).write_text(
    json.dumps([process.returncode, seconds, usage.ru_maxrss * 1024]), encoding="utf-8"
)
