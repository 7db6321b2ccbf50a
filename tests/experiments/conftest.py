"""The scripts of experiments/ can be imported."""

from __future__ import annotations

import sys

from scripts import EXPERIMENTS

sys.path.append(str(EXPERIMENTS))
