"""What a driver knows of one worker: its work, what of that was answered, which limit it broke."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from hpsearch.executors.base import (
    Answered,
    Call,
    Called,
    Event,
    Finished,
    Job,
    Lost,
    Started,
    Work,
)
from hpsearch.executors.worker import Retired

__all__ = ["Underway"]


@dataclass(eq=False, kw_only=True)
class Underway:
    """One worker's work.

    Attributes:
        work: What it was given; None while it has nothing.
        began: The clock when its training did, by its own word.
        answered: Trials of its training that were answered.
        doom: Why it is to end, in words.
        timed_out, too_large: Which limit that was, if any.
        retired: Whether it has said that it takes no more.
    """

    number: int
    work: Work | None = None
    began: float | None = None
    answered: set[int] = field(default_factory=set)
    doom: str = ""
    timed_out: bool = False
    too_large: bool = False
    retired: bool = False

    def take(self, work: Work) -> None:
        """It is given something."""
        self.work, self.began, self.doom = work, None, ""
        self.timed_out = self.too_large = False
        self.answered = set()

    def hear(self, message: Event | Retired) -> None:
        """Note what it says."""
        match message:
            case Retired():
                self.retired = True
            case Started():
                self.began = time.monotonic()
            case Answered():
                self.answered.add(message.result.trial)
            case Finished() | Called():
                self.work = None

    @property
    def may_be_judged(self) -> bool:
        """Whether it is in a training that is not to end already."""
        return self.work is not None and self.began is not None and not self.doom

    def judge_time(self, most_seconds: float | None) -> None:
        """Doom it where its training takes longer than it may."""
        if most_seconds is None or self.began is None:
            return
        if time.monotonic() - self.began > most_seconds:
            self.timed_out = True
            self.doom = f"took longer than execution.timeout, {most_seconds:g} s"

    def judge_memory(self, used_bytes: int, most_bytes: int) -> None:
        """Doom it where it takes more memory than it may."""
        if used_bytes > most_bytes:
            self.too_large = True
            self.doom = (
                f"memory: the worker used {used_bytes / 2**20:.0f} MB, more than "
                f"execution.memory, {most_bytes / 2**20:.0f} MB"
            )

    def lost(self, reason: str, *, machine: bool = False) -> Lost | Called | None:
        """The event of its end, for what it was at; None where that was nothing."""
        if isinstance(self.work, Call):
            return Called(self.number, reason)
        if not isinstance(self.work, Job):
            return None
        return Lost(
            self.number,
            self.work.training,
            frozenset(self.answered),
            reason,
            self.timed_out,
            0.0 if self.began is None else time.monotonic() - self.began,
            self.too_large,
            machine,
        )
