"""Feeds the loader of sweep files with bytes that a fuzzer makes up; needs `pip install atheris`.

    python tests/faults/fuzz_sweep_file.py -max_total_time=600

Whatever the bytes, the file is refused in words or it plans. What was found otherwise stands among
the cases of `tests/support/bad_sweeps.py`.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
from pathlib import Path

import atheris

_ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(_ROOT / "tests" / "support"))

with atheris.instrument_imports(include=["hpsearch", "yaml"]):
    from hpsearch.errors import InputError
    from hpsearch.search.draws import FIXED_METHODS, draws
    from hpsearch.space.execution import Repetition
    from hpsearch.spec.dump import STARTER, dump_sweep
    from hpsearch.spec.sweep import load_sweep, sweep_from_text
    from hpsearch.tuner.planning import Trials, group

from bad_sweeps import BAD  # noqa: E402

_SCRATCH = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").exists() else None))
_FILE = _SCRATCH / "sweep.yaml"
_MOST_TRIALS, _MOST_POINTS = 50, 10_000


def one(content: bytes) -> None:
    """Load bytes as a sweep file, and plan it where it is one."""
    _FILE.write_bytes(content)
    try:
        sweep = load_sweep(_FILE)
    except InputError:
        return
    assert sweep_from_text(dump_sweep(sweep), base_dir=_SCRATCH) == sweep
    if (sweep.space.cardinality() or 0) > _MOST_POINTS:
        # To walk through half a million points takes seconds, as it should.
        return
    method = sweep.method.name if sweep.method.name in FIXED_METHODS else "random"
    drawn = draws(method, sweep.space, sweep.listed, sweep.seed)
    configs = itertools.islice(drawn, _MOST_TRIALS)
    repetitions = [Repetition(0), Repetition(1)]
    planned = Trials(sweep.space, (), repetitions, limit=_MOST_TRIALS)
    trials = planned.new(configs, repetitions)
    stops = [stop for training in group(trials) for stop in training.stops]
    assert sorted(number for _, number in stops) == [trial.number for trial in trials]


def main() -> None:
    """Fuzz from all the files that the tests have."""
    corpus = _SCRATCH / "corpus"
    corpus.mkdir()
    texts = [case.text for case in BAD.values()] + [STARTER]
    texts += [path.read_text(encoding="utf-8") for path in _ROOT.glob("sweeps/*.yaml")]
    for number, text in enumerate(texts):
        if len(text) < 10_000:
            (corpus / str(number)).write_text(text, encoding="utf-8")
    atheris.Setup([*sys.argv, str(corpus)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
