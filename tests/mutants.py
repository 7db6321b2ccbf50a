"""Mutants: small mistakes in the product, which tests must see.

    python -m tests.mutants [NUMBER ...]

Writes one mistake at a time into this checkout, runs the default tests of its room, then all
default tests, prints the first test that fails, and restores the file. That takes about an hour on
two cores. A mistake that no test sees is printed as NOT SEEN, and the exit code is 1.

The mistakes were chosen by somebody who had not seen the tests.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

_ROOT = Path(__file__).parent.parent
_PYTEST = ("-m", "pytest", "-x", "-q", "-n", "auto", "--dist", "loadfile", "-p", "no:cacheprovider")


class Mutant(NamedTuple):
    """A mistake: `old`, which stands once in the file `path`, becomes `new`."""

    path: str
    old: str
    new: str
    what: str

    @property
    def room(self) -> Path:
        """The directory of tests that mirrors the file's."""
        places = [_ROOT / "tests" / part for part in Path(self.path).parts[1:-1]]
        return next((place for place in places if place.is_dir()), _ROOT / "tests" / "training")


MUTANTS = (
    Mutant(
        "hpsearch/data/assembly.py",
        "_fitted_input(source, train.x, spec",
        "_fitted_input(source, source.train.x, spec",
        "scaling and vocabulary fitted on all rows instead of the training split",
    ),
    Mutant(
        "hpsearch/data/splitting.py",
        "model_selection.GroupShuffleSplit(1, test_size=validation, random_state=seed)",
        "model_selection.GroupShuffleSplit(1, test_size=validation, random_state=0)",
        "the single split by groups ignores the seed",
    ),
    Mutant(
        "hpsearch/models/problem.py",
        "self.exhausted = self._waited >= rule.patience",
        "self.exhausted = self._waited > rule.patience",
        "early stopping waits for one epoch more than patience",
    ),
    Mutant(
        "hpsearch/models/arrays.py",
        "return np.asarray(weights if row_weights is None else weights * row_weights, np.float32)",
        "return np.asarray(weights, np.float32)",
        "class weights replace sample weights instead of multiplying them",
    ),
    Mutant(
        "hpsearch/native/src/norms.h",
        "#define NORM_EPSILON 1e-3f",
        "#define NORM_EPSILON 1e-5f",
        "epsilon of the native layer normalisation",
    ),
    Mutant(
        "hpsearch/native/src/product.h",
        "m = DIV(MUL(rate, g), SQRT(ADD(v, SET(u->epsilon))));",
        "m = DIV(MUL(rate, g), ADD(SQRT(v), SET(u->epsilon)));",
        "native rmsprop adds epsilon outside of the root",
    ),
    Mutant(
        "hpsearch/native/src/losses.h",
        "const vf share = MUL(LOAD(batch->weight + r), part);",
        "const vf share = part;",
        "native gradients of a sigmoid lack the weights of the rows",
    ),
    Mutant(
        "hpsearch/training/native.py",
        "            targets = targets[order]\n",
        "            pass\n",
        "native metrics of training compare predictions with other rows' targets",
    ),
    Mutant(
        "hpsearch/native/src/kernels.h",
        "    sums.loss += regularisation(net) * (double)data->rows;\n",
        "",
        "native val_loss lacks the L2 penalty",
    ),
    Mutant(
        "hpsearch/reporting/page.py",
        'return text.replace("<", "\\\\u003c").replace(">", "\\\\u003e").replace("&", "\\\\u0026")',
        'return text.replace("&", "\\\\u0026")',
        "names in the page's data can end its script element",
    ),
    Mutant(
        "hpsearch/runs/trial.py",
        "getattr(run.dataset.of_fold(execution.fold), split)",
        "getattr(run.dataset, split)",
        "evaluate uses the first fold's rows for the model of any fold",
    ),
    Mutant(
        "hpsearch/comparison/comparing.py",
        "(seed for table in tables for seed in table",
        "(seed for table in tables[:1] for seed in table",
        "fresh seeds may be those that another table was chosen by",
    ),
    Mutant(
        "hpsearch/search/halving.py",
        "rung.best(int(len(rung) / self._factor))",
        "rung.best(math.ceil(len(rung) / self._factor))",
        "asha promotes one config too many at each rung",
    ),
    Mutant(
        "hpsearch/search/tpe.py",
        "ratio = good.log_density(rows) - bad.log_density(rows)",
        "ratio = bad.log_density(rows) - good.log_density(rows)",
        "tpe proposes the least promising candidate",
    ),
    Mutant(
        "hpsearch/space/mlp.py",
        "else list(widths)",
        "else sorted(widths)",
        "networks with the same widths in another order have one config id",
    ),
    Mutant(
        "hpsearch/space/seeds.py",
        "_entropy((sweep_seed, trial_seed, epoch))",
        "_entropy((sweep_seed, epoch))",
        "the order of rows ignores the execution's seed",
    ),
    Mutant(
        "hpsearch/spec/rules.py",
        '"exclusiveMaximum": (operator.lt, "below"),',
        '"exclusiveMaximum": (operator.le, "below"),',
        "an excluded upper bound is accepted, such as dropout: 1",
    ),
    Mutant(
        "hpsearch/files.py",
        "            os.fsync(file.fileno())\n",
        "",
        "files are renamed before they are flushed to the disk",
    ),
    Mutant(
        "hpsearch/store/database.py",
        'self._db.execute("ROLLBACK")',
        'self._db.execute("COMMIT")',
        "a batch that fails half-way is committed instead of rolled back",
    ),
    Mutant(
        "hpsearch/files.py",
        "fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)",
        "fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)",
        "the directory's lock is shared, so a second driver gets in",
    ),
    Mutant(
        "hpsearch/trackers/tracking.py",
        '    draw = str(record.seed) if record.fold is None else f"{record.seed}-{record.fold}"\n'
        '    return f"{where.data}/{where.recipe}/{record.config}/{draw}"',
        '    return f"{where.data}/{where.recipe}/{record.config}/{record.seed}"',
        "the MLflow runs of a config's folds replace each other",
    ),
    Mutant(
        "hpsearch/space/keras_names.py",
        'return {"average": "macro",',
        'return {"average": "weighted",',
        "F-scores are weighted by class size instead of the mean over classes",
    ),
    Mutant(
        "hpsearch/training/follow.py",
        "        best_state = job.past.snapshot.best\n",
        "",
        "a resumed training forgets the weights of its best epoch",
    ),
    Mutant(
        "hpsearch/engine/planning.py",
        "mean = sum(numbers) / len(numbers) if numbers and len(numbers) == len(values) else None",
        "mean = sum(numbers) / len(numbers) if numbers else None",
        "a config with a failed seed is scored by its other seeds",
    ),
    Mutant(
        "hpsearch/engine/trainings.py",
        "if not limited and deaths <= retries:",
        "if not limited and deaths < retries:",
        "a training whose worker died is repeated once too few",
    ),
    Mutant(
        "hpsearch/workers/shared.py",
        "flags=mmap.MAP_PRIVATE",
        "flags=mmap.MAP_SHARED",
        "changes of a worker to its rows reach all other workers",
    ),
    Mutant(
        "hpsearch/comparison/estimates.py",
        "np.minimum(1.0, np.maximum.accumulate(factors * p[order]))",
        "np.minimum(1.0, factors * p[order])",
        "Holm's adjusted p-values do not rise with the p-values",
    ),
    Mutant(
        "hpsearch/comparison/questions.py",
        "    pairs = pairs[stops[0] == stops[1]]\n",
        "",
        "configs that were halted at different epochs are paired",
    ),
    Mutant(
        "hpsearch/cli/show.py",
        'best = "min" if goal_of(table) == "minimize" else "max"',
        'best = "max" if goal_of(table) == "minimize" else "min"',
        "show names the worst score of each value as its best",
    ),
    Mutant(
        "hpsearch/cli/models.py",
        "recorded = [entry for entry in evaluations_of(directory) if entry.split == split]",
        "recorded = list(evaluations_of(directory))",
        "evaluate counts the evaluations on other splits, too",
    ),
    Mutant(
        "hpsearch/sklearn/estimators.py",
        '"task": self._kind, "seed": seed,',
        '"task": self._kind, "seed": 0,',
        "the estimators' folds ignore random_state",
    ),
)


def _failing(*tests: Path) -> str | None:
    """The first test that fails, of some directories."""
    done = subprocess.run(
        [sys.executable, *_PYTEST, *map(str, tests)],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return None
    found = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    if not found:
        sys.exit(done.stdout[-3000:] + done.stderr[-3000:])
    return found[1]


def _build() -> None:
    build = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    subprocess.run(build, cwd=_ROOT, check=True, capture_output=True)


def _seen(mutant: Mutant) -> str | None:
    """The test that sees a mutant, or None."""
    path = _ROOT / mutant.path
    text = path.read_text(encoding="utf-8")
    if text.count(mutant.old) != 1:
        sys.exit(f"{mutant.path} has {text.count(mutant.old)} times, not once: {mutant.old}")
    native = path.suffix in (".c", ".h")
    try:
        path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
        if native:
            _build()
        return _failing(mutant.room) or _failing(_ROOT / "tests")
    finally:
        path.write_text(text, encoding="utf-8")
        if native:
            _build()


def main() -> None:
    """Try the mutants of the given numbers, or all of them."""
    numbers = [int(word) for word in sys.argv[1:]] or range(1, len(MUTANTS) + 1)
    unseen = 0
    for number in numbers:
        mutant = MUTANTS[number - 1]
        test = _seen(mutant)
        unseen += test is None
        print(f"{number:2} {mutant.path}: {mutant.what}: {test or 'NOT SEEN'}", flush=True)
    print(f"{len(numbers) - unseen} of {len(numbers)} seen")
    sys.exit(unseen > 0)


if __name__ == "__main__":
    main()
