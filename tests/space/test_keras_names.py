"""The generated table of Keras' names is that of the installed Keras."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_table_equals_the_installed_keras() -> None:
    script = Path(__file__).parents[1] / "generate_keras_names.py"
    done = subprocess.run(
        [sys.executable, script, "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"run python {script}\n{done.stdout}{done.stderr[-2000:]}"
