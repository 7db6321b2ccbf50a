"""The tutorial runs in a kernel, and its cells still say what the stored notebook says."""

from __future__ import annotations

import shutil

import pytest
from scripts import EXPERIMENTS

pytestmark = pytest.mark.slow


def said(cell):
    """The values and printed lines of a cell; progress and warnings depend on the machine."""
    texts = [output.get("text") or output.get("data", {}).get("text/plain")
             for output in cell.get("outputs", ()) if output.get("name") != "stderr"
             and output["output_type"] != "display_data"]  # fmt: skip
    return "".join(filter(None, texts))


def test_the_tutorial_says_what_its_cells_say(tmp_path):
    import nbformat
    from nbclient import NotebookClient

    shutil.copy(EXPERIMENTS / "penguins.csv", tmp_path)
    stored = nbformat.read(EXPERIMENTS / "tutorial.ipynb", as_version=4)
    notebook = nbformat.read(EXPERIMENTS / "tutorial.ipynb", as_version=4)
    place = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=place).execute()
    assert [said(cell) for cell in notebook.cells] == [said(cell) for cell in stored.cells]
    assert sum(bool(said(cell)) for cell in stored.cells) >= 10
