"""Run a sweep: open its directory, prepare what is tried, then take the steps."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hpsearch.errors import InputError
from hpsearch.programs.sweep import ProgramSweep
from hpsearch.spec.sweep import Sweep
from hpsearch.tuner.opening import opened
from hpsearch.tuner.settings import Listener, RunOutcome, Settings, ignore
from hpsearch.workers.servers import Servers

if TYPE_CHECKING:
    from hpsearch.data.loading import Loader


def run_sweep(
    sweep: Sweep | ProgramSweep,
    settings: Settings | None = None,
    listener: Listener = ignore,
    load: Loader | None = None,
    servers: Servers | None = None,
) -> RunOutcome:
    """Run a sweep to its end: train what lacks a row, write the tables and the best model.

    Args:
        load: Loads the rows; None reads the sweep's `data:`.
        servers: Borrowed servers that fork workers; None starts them for this run.

    Raises:
        HpsearchError: Bad input (InputError), a refusal (RefusedError), or Interrupted.
    """
    settings = settings or Settings()
    if isinstance(sweep, ProgramSweep):
        if settings.trains_elsewhere:
            raise InputError("executor: programs run on this machine; models run on an executor")
        sweep.run_of("").require_variables()
    # Before the directory is made: an error would leave it behind.
    elif missing := [f"data.{name}: {said}" for (name,), said in sweep.data.missing_files()]:
        raise InputError("\n".join(missing))
    models = isinstance(sweep, Sweep)
    path = Path("experiments") / sweep.name
    with opened(path, sweep.execution, settings, servers, tensorflow=models) as start:
        # Import NumPy and the like while the servers import TensorFlow.
        from hpsearch.tuner.models import prepare_models
        from hpsearch.tuner.programs import prepare_program
        from hpsearch.tuner.steps import take_steps

        prepare = (
            partial(prepare_program, sweep)
            if isinstance(sweep, ProgramSweep)
            else partial(prepare_models, sweep, load)
        )
        return take_steps(prepare, start, sweep.execution, settings, listener)
