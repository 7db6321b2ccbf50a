"""Runs a command; writes to a file what it took: exit code, seconds, peak bytes, as JSON.

    python -IS watched.py FILE COMMAND...

Both are the command's own: how far the process that it starts to import TensorFlow comes meanwhile
is chance. The seconds are the processor's, which other programs do not lengthen. A small process
of its own: the peak of a child includes that of its parent when it forked, and the process of the
tests has TensorFlow.
"""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

report, *command = sys.argv[1:]
process = subprocess.Popen(command)
peak, proc = 0, Path(f"/proc/{process.pid}")
while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
    # An ended process has no memory, and so no such line.
    found = re.search(r"VmHWM:\s*(\d+) kB", (proc / "status").read_text(encoding="utf-8"))
    peak = int(found[1]) * 1024 if found else peak
    time.sleep(0.005)
# After the name in parentheses: utime and stime, the fields 14 and 15 of proc(5), in ticks.
fields = (proc / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
Path(report).write_text(json.dumps([process.wait(), seconds, peak]), encoding="utf-8")
