"""A project's trials from before its first search on the engine."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from keras_tuner.src.engine import trial as kt_trial

from hpsearch.errors import HpsearchError
from hpsearch.files import write_atomically
from hpsearch.search.oracle import config_from
from hpsearch.search.strategy import Outcome
from hpsearch.space.space import Space

_STATUS = kt_trial.TrialStatus


@dataclass(frozen=True)
class EarlierTrials:
    """The trials that KerasTuner's own loop ran, and the oracle's state after them.

    Attributes:
        state: The oracle's state.
        trials: Each trial's state, by id.
    """

    state: Mapping[str, Any]
    trials: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, oracle: Any) -> Self:
        """Copy an oracle's trials; an interrupted trial will run again."""
        # KerasTuner does the same when it reloads an oracle.
        oracle._retry_queue += [each.trial_id for each in oracle.ongoing_trials.values()]  # noqa: SLF001
        oracle.ongoing_trials.clear()
        trials = {name: each.get_state() for name, each in oracle.trials.items()}
        return copy.deepcopy(cls(oracle.get_state(), trials))

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Read the file of `write`; None if there is no file.

        Raises:
            HpsearchError: The file is damaged.
        """
        if not path.exists():
            return None
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            return cls(found["state"], found["trials"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise HpsearchError(
                f"{path}: the project's first trials cannot be read ({error}); restore the file, "
                "or pass overwrite=True to begin anew"
            ) from None

    def write(self, path: Path) -> None:
        """Write the file that `read` reads.

        Raises:
            HpsearchError: It cannot be written.
        """
        try:
            write_atomically(path, json.dumps({"state": self.state, "trials": self.trials}))
        except OSError as error:
            raise HpsearchError(f"{path}: cannot be written: {error.strerror}") from None

    @property
    def ended(self) -> Sequence[str]:
        """The ids of the trials that ended, in order."""
        return tuple(self.state["end_order"])

    @property
    def next_number(self) -> int:
        """A number greater than those of all ids."""
        return max((int(each) for each in self.ended if each.isdecimal()), default=-1) + 1

    def restore(self, oracle: Any) -> None:
        """Restore an oracle to its state after the trials."""
        oracle.trials.clear()
        for name in self.trials:
            self._add(oracle, name)
        oracle.set_state(copy.deepcopy(dict(self.state)))

    def add_ended(self, oracle: Any) -> None:
        """Add the ended trials that an oracle lacks."""
        for name in self.ended:
            if name not in oracle.trials:
                self._add(oracle, name)
            for order in (oracle.start_order, oracle.end_order):
                if name not in order:
                    order.append(name)

    def _add(self, oracle: Any, name: str) -> None:
        oracle.trials[name] = kt_trial.Trial.from_state(copy.deepcopy(dict(self.trials[name])))

    def outcomes(self, space: Space) -> Iterator[Outcome]:
        """Yield the outcomes of the ended trials whose values lie in the space."""
        for name in self.ended:
            trial = self.trials[name]
            try:
                config = config_from(space, trial["hyperparameters"]["values"])
            except ValueError:
                continue
            if config is not None:
                completed = trial["status"] == _STATUS.COMPLETED
                yield Outcome(config, trial["score"] if completed else None)
