"""The key `execution`: where and how trainings run."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Final, Literal

from hpsearch.spec.rules import (
    AUTO,
    Fault,
    Spec,
    byte_size,
    choice,
    duration,
    either,
    integer,
    key,
    mapping,
    number,
    one_of,
    sequence,
    text,
)

#: As the native trainer's MAX_THREADS.
MOST_THREADS: Final = 64


class ExecutionSettings(Spec):
    """Where and how trainings run.

    No key changes a score, except that TensorFlow's last bits may depend on `threads: N`, and on
    whether a GPU trains.
    """

    workers: int | Literal["auto"] = key(
        either("must be auto or a whole number from 1 to 1024", AUTO, integer(1, 1024)),
        "Trainings at a time, each in a process; auto: as many as cores have room for.",
        4,
        default="auto",
    )
    threads: int | Literal["auto"] = key(
        either("must be auto or a whole number from 1 to 64", AUTO, integer(1, MOST_THREADS)),
        "Threads of a training; auto: one, and the native trainer also uses idle cores.",
        2,
        default="auto",
    )
    devices: Sequence[int] | Literal["auto", "none"] = key(
        either(
            "must be auto, none or a list of GPUs such as [0, 1]",
            one_of(("auto", "none"), "devices"),
            sequence(integer(0, 1023), "devices", unique=True),
        ),
        "GPUs, of which a training that wants one gets its own; auto: all of them.",
        [0, 1],
        default="auto",
    )
    workers_per_device: int = key(integer(1, 1024), "Trainings that share a GPU.", 2, default=1)
    timeout_seconds: float | None = key(duration(), "Longest time of one training.", "10m")
    memory: int | Literal["auto"] | None = key(
        byte_size(),
        "Memory limit of a worker; auto: its share of 80% of the machine's memory.",
        "2GB",
        default="auto",
    )
    retries: int = key(
        integer(0, 100), "How often to restart a training whose worker died.", 2, default=1
    )
    engine: str = choice(
        ("local", "ray"), "engine", "Run trainings on this machine or on a Ray cluster.", "local"
    )
    address: str | None = key(
        text(), "Address of the cluster: auto, or HOST:PORT of its head.", "10.0.0.5:6379"
    )
    resources: dict[str, float] | None = key(
        mapping(number(minimum=0), "must be a mapping such as {CPU: 1, GPU: 0.5}"),
        "Resources of the cluster that a worker takes.",
        {"CPU": 1},
    )

    @property
    def fixed_threads(self) -> int:
        """Return the threads of each training, without idle cores."""
        return 1 if self.threads == "auto" else self.threads

    def check(self, _: Collection[str]) -> Iterator[Fault]:
        for name in ("address", "resources"):
            if getattr(self, name) is not None and self.engine == "local":
                yield (name,), "has a meaning only with engine: ray"
        if self.devices != "auto" and self.engine == "ray":
            yield ("devices",), "has a meaning only with engine: local; Ray has resources: {GPU: 1}"


class ProgramExecutionSettings(ExecutionSettings):
    """Where and how programs run; by default without a memory limit."""

    memory: int | Literal["auto"] | None = key(byte_size(), "Memory limit of a worker.", "2GB")

    def check(self, broken: Collection[str]) -> Iterator[Fault]:
        yield from super().check(broken)
        if self.threads != "auto":
            yield ("threads",), "has a meaning only for models: a program has threads of its own"
