"""An engine: what runs trainings."""

from hpsearch.workers.protocol import Setup
from hpsearch.workers.work import run


class Serial:
    """One training at a time, in the driver's own process, where a debugger can step into it.

    It starts no process that it could end, so limits of time and memory do not hold.
    """

    def __init__(self, setup: Setup) -> None:
        del setup
        self._dataset = None
        self._work = None

    @property
    def free(self):
        return 1 - self.busy

    @property
    def busy(self):
        return int(self._work is not None)

    def provide(self, dataset):
        self._dataset = dataset

    def submit(self, work):
        if self._work is not None:
            raise RuntimeError("submit needs a free worker")
        self._work = work

    def events(self, timeout_seconds):
        del timeout_seconds
        work, self._work, events = self._work, None, []
        if work is not None:
            run(work, self._dataset, 1, events.append)
        return events

    def close(self):
        self._work = None
