"""The code that each table measures, and a digest of it, which comments do not change."""

from __future__ import annotations

import ast
import hashlib
import io
import re
import tokenize
from pathlib import Path

__all__ = ["CODE", "code", "digest"]

_ROOT = Path(__file__).resolve().parents[1]
_TRAINER = ("hpsearch.native", "hpsearch.training", "hpsearch.workers")
_SPEED = (*_TRAINER, "hpsearch.engine", "experiments.speed_peers")
_MODELS = ("hpsearch.custom", "hpsearch.training", "hpsearch.workers")
_SEARCH = ("hpsearch.search", "hpsearch.space.seeds")
#: Of searches without `asha` and `hyperband`; a minus leaves a module out.
_WHOLE = (*_SEARCH, "-hpsearch.search.halving")
#: What reads a sweep file without `data`.
_READERS = ("checks", "command", "keys", "method", "parameters", "rules", "sweep", "words", "yaml")
#: Table -> the modules and packages by which it would be another one.
CODE: dict[str, tuple[str, ...]] = {
    "ask_cost": ("hpsearch.search", "hpsearch.space"),
    "compare_trainings": ("hpsearch.comparison",),
    "drop_in": (*_MODELS, "hpsearch.native", "hpsearch.engine", "hpsearch.kerastuner"),
    "importance": ("hpsearch.reporting.forest", "hpsearch.reporting.importance"),
    "inner_loop": ("hpsearch.native", "hpsearch.training"),
    "interruptions": ("hpsearch.engine", "hpsearch.store", "hpsearch.workers"),
    "known_results": _WHOLE,
    "memory": (*_TRAINER, "hpsearch.engine", "hpsearch.reporting", "hpsearch.store"),
    "memory_data": _TRAINER,
    "prior_fresh": _WHOLE,
    "prior_quality": (*_WHOLE, "experiments.prior_fit"),
    "programs": ("hpsearch.engine", "hpsearch.programs", "experiments.program_peers"),
    "scale": ("hpsearch.engine", "hpsearch.ray", "hpsearch.workers"),
    "scaling": (*_TRAINER, "hpsearch.engine"),
    "search_claims": _SEARCH,
    "search_fidelity": _SEARCH,
    "search_long": _WHOLE,
    "search_quality": _SEARCH,
    "speed_digits": _SPEED,
    "speed_digits_single": _SPEED,
    "speed_fashion": _SPEED,
    "speed_fashion_single": _SPEED,
    "speed_settings": ("experiments.speed_peers", "experiments.speed_settings"),
    "table_spaces": ("hpsearch.native", "hpsearch.training", "hpsearch.runs.averaging", *_SEARCH),
    "trials": ("hpsearch.engine", "hpsearch.search", "hpsearch.store", "hpsearch.workers"),
    "wandb_files": tuple(f"hpsearch.spec.{name}" for name in _READERS),
}
_SUFFIXES = (".py", ".c", ".h", ".json")
_C_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)


def code(table: str) -> str:
    """Name the code that a table measures, with its digest, in one line."""
    names = CODE[table]
    return f"code: {', '.join(names)} ({digest(*names)})"


def digest(*names: str) -> str:
    """Return eight hexadecimal digits of modules and packages, such as `hpsearch.search`."""
    files: list[Path] = []
    for name in names:
        path = _ROOT.joinpath(*name.removeprefix("-").split("."))
        if name.startswith("-"):
            files.remove(path.with_suffix(".py"))
            continue
        inside = [file for file in path.rglob("*") if file.suffix in _SUFFIXES]
        files += sorted(inside) if path.is_dir() else [path.with_suffix(".py")]
    text = "\n".join(f"{file.relative_to(_ROOT)}\n{_bare(file)}" for file in files)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _bare(file: Path) -> str:
    """The text of a file without comments, docstrings and empty lines."""
    text = file.read_text(encoding="utf-8")
    bare = _bare_python(text) if file.suffix == ".py" else _C_COMMENT.sub("", text)
    return "\n".join(line.rstrip() for line in bare.splitlines() if line.strip())


def _bare_python(text: str) -> str:
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and _is_text(body[0]):
            first, last = body[0].lineno - 1, body[0].end_lineno
            lines[first:last] = [""] * (last - first)
    for token in tokenize.generate_tokens(io.StringIO("\n".join(lines) + "\n").readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    return "\n".join(lines)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(getattr(node.value, "value", None), str)
