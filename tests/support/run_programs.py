"""Runs programs, one after the other, where hpsearch cannot be imported: a JSON line for each."""

import contextlib
import io
import json
import runpy
import sys

sys.modules["hpsearch"] = None
for path in sys.argv[1:]:
    said, code = io.StringIO(), 0
    try:
        with contextlib.redirect_stdout(said):
            runpy.run_path(path, run_name="__main__")
    except SystemExit as end:
        code = end.code
    except Exception as error:  # noqa: BLE001 - told as it is
        code = f"{type(error).__name__}: {error}"
    print(json.dumps({"path": path, "code": code, "said": said.getvalue()}))
