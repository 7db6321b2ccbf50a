"""One search of a program by another tool, in a process of its own; programs.py starts it.

    python program_peers.py loop|ray|wandb|logging DIR TRIALS

DIR has program.sh, which each trial runs by `sh program.sh --x=N`, N from 1. `loop` is a bare loop.
`ray` is Ray Tune, whose trainable runs the program and reports its score; it goes on where DIR has
an earlier search of its own. `wandb` is W&B's own agent; its service, which needs an account, is
stood in for by functions that answer at once. `logging` is a Python program that logs one number by
`wandb`, offline, and TRIALS is ignored.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def program(directory: Path, x: int) -> list[str]:
    """The command line of a trial."""
    return ["/bin/sh", str(directory / "program.sh"), f"--x={x}"]


def loop(directory: Path, trials: int) -> None:
    """Run all trials in a bare loop."""
    for x in range(1, trials + 1):
        subprocess.run(program(directory, x), stdout=subprocess.DEVNULL, check=True)


def ray(directory: Path, trials: int) -> None:
    """Search with Ray Tune, one trial at a time, with an actor that is used again."""
    from ray import init, tune

    def train(config: dict[str, Any]) -> None:
        command = program(directory, config["x"])
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        tune.report({"loss": float(done.stdout.rpartition(":")[2])})

    # Not a cluster that somebody else has started here.
    quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": "error"}
    init(address="local", num_cpus=1, **quiet)
    place = directory / "ray"
    if tune.Tuner.can_restore(str(place)):
        tuner = tune.Tuner.restore(str(place), train, restart_errored=True)
    else:
        tuner = tune.Tuner(
            train,
            param_space={"x": tune.grid_search(list(range(1, trials + 1)))},
            tune_config=tune.TuneConfig(reuse_actors=True),
            run_config=tune.RunConfig(name="ray", storage_path=str(directory), verbose=0),
        )
    scored = [each.config["x"] for each in tuner.fit() if each.metrics and "loss" in each.metrics]
    (directory / "scored.json").write_text(json.dumps(scored), encoding="utf-8")


def wandb(directory: Path, trials: int) -> None:
    """Have W&B's agent run the trials that a stand-in for its service hands out."""
    import queue

    import wandb as package
    from wandb import wandb_agent
    from wandb.apis.public import sweeps

    left = list(range(1, trials + 1))
    command = [*program(directory, 0)[:2], "${args}"]

    def heartbeat(_: Any, agent: str, metrics: Any, running: dict[str, bool]) -> list[Any]:
        del agent, metrics
        if running:
            return []
        if not left:
            return [{"type": "exit"}]
        x = left.pop(0)
        return [{"type": "run", "run_id": f"r{x}", "program": "", "args": {"x": {"value": x}}}]

    os.chdir(directory)
    service = {
        "_sweep_with_runs": lambda *_: {"config": json.dumps({"command": command})},
        "_register_agent": lambda *_, **__: {"id": "agent"},
        "_agent_heartbeat": heartbeat,
    }
    for name, function in service.items():
        setattr(sweeps, name, function)
    package.Api = lambda *_: None
    wandb_agent.Agent(None, queue.Queue(), sweep_id="sweep").run()


def logging(directory: Path, trials: int) -> None:
    """Log one number by `wandb`, offline."""
    import wandb as package

    del trials
    run = package.init(project="p", mode="offline", dir=str(directory), config={"x": 1})
    package.log({"loss": 1.0})
    run.finish()


def nothing(directory: Path, trials: int) -> None:
    """What a Python program takes that does not log."""
    del directory, trials


_MODES: dict[str, Callable[[Path, int], None]] = {
    each.__name__: each for each in (loop, ray, wandb, logging, nothing)
}

if __name__ == "__main__":
    _MODES[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]))
