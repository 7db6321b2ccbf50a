"""The core works without the annexes, which it loads by name if a run asks for one."""

import tomllib
from pathlib import Path

from commands import python

_PYPROJECT = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text("utf-8"))
(_CONTRACT,) = _PYPROJECT["tool"]["importlinter"]["contracts"]
_LAYERS = [layer.split(" | ") for layer in _CONTRACT["layers"]]
#: Everything above the core.
ABOVE = [room for rooms in _LAYERS[: _LAYERS.index(["runs"])] for room in rooms]
_RUN = """
import sys

HIDDEN = sys.argv[1:]

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if any(name == each or name.startswith(f"{each}.") for each in HIDDEN):
            raise ImportError(f"{name} is hidden")

sys.meta_path.insert(0, Hidden())

from pathlib import Path

from hpsearch.engine.session import Settings
from hpsearch.engine.sweep import run_sweep
from hpsearch.spec.sweep import sweep_from_mapping

sweep = sweep_from_mapping({
    "name": "core",
    "data": {"dataset": "digits"},
    "parameters": {"units": [4, 8], "epochs": [1]},
})
settings = Settings(out=Path("out"), in_process=True, report=False)
print(run_sweep(sweep, settings).completed)
"""


def test_a_sweep_runs_while_all_annexes_are_hidden(tmp_path):
    packages = ["ray", "plotly", "mlflow", "tensorboard", "wandb", "typer"]
    hidden = [*(f"hpsearch.{room}" for room in ABOVE), *packages]
    assert "hpsearch.kerastuner" in hidden
    assert python(_RUN, *hidden, cwd=tmp_path) == "2\n"
    assert (tmp_path / "out" / "best.keras").exists()
