"""One trial: how a program is started, halted, continued and judged."""

import errno
import fcntl
import hashlib
import json
import math
import os
import re
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from commands import python, session_of, wait_for

import hpsearch
from hpsearch.programs.metrics import TrialMetrics
from hpsearch.programs.process import ProgramProcess
from hpsearch.space.execution import Status

ROOT = Path(__file__).parents[2]


def test_what_a_program_tells_is_its_curve(trial, tmp_path):
    result = trial(
        """
        import sys, hpsearch
        assert sys.argv[1:] == ["--x=2", "--text=a 'b\\n-c"], sys.argv
        for epoch in (1, 2, 3):
            hpsearch.report({"val/acc": 0.5}, loss=4 / epoch)
        print("loss: 99")
        print("said", file=sys.stderr)
        """,
        {"x": 2, "text": "a 'b\n-c"},
    )
    assert result.status is Status.COMPLETED, result.error
    assert [epoch["loss"] for epoch in result.curve] == [4, 2, pytest.approx(4 / 3)]
    assert result.curve[0]["val/acc"] == 0.5
    assert result.score == pytest.approx(4 / 3)
    assert result.trainer == "program"
    run = tmp_path / "trials" / "1" / "run-1"
    assert (run / "stdout.log").read_text() == "loss: 99\n"
    assert (run / "stderr.log").read_text() == "said\n"


def test_a_program_that_never_told_the_metric_is_failed_with_what_it_told(trial):
    result = trial("print('acc: 0.5')")
    assert result.status is Status.FAILED
    assert "without telling 'loss'; it told acc" in result.error
    assert list(result.curve) == [{"acc": 0.5}]
    assert "without telling 'loss'" in trial("").error
    removing = trial("import os, shutil; shutil.rmtree(os.environ['HPSEARCH_TRIAL_DIR'])")
    assert "ended without telling 'loss'" in removing.error


def test_rows_of_a_program_that_is_edited_meanwhile_have_its_fingerprint(trial, tmp_path):
    before = trial("print('loss: 1')", fingerprint="d0")
    (said,) = trial.said
    assert "program.py has been edited since the run began" in said
    program = (tmp_path / "program.py").read_bytes()
    fingerprint = "d" + hashlib.sha256(program).hexdigest()[:11]
    assert before.versions["data"] == fingerprint
    # Told once.
    assert trial("print('loss: 1')", fingerprint="d0").versions == before.versions
    assert len(trial.said) == 1
    assert not trial("print('loss: 1')", fingerprint=fingerprint).versions


def test_an_exit_status_is_a_failure_with_the_tail_of_stderr(trial):
    result = trial("print('loss: 1', flush=True); raise ValueError('odd')")
    assert result.status is Status.FAILED
    assert result.error == "the program ended (exit status 1): ValueError: odd"
    assert "Traceback" in result.traceback
    assert [epoch["loss"] for epoch in result.curve] == [1]
    killed = trial("import os; print('loss: 1', flush=True); os.kill(os.getpid(), 9)")
    assert killed.error == "the program ended (SIGKILL)"


def test_a_trial_that_another_process_runs_is_waited_for(trial, tmp_path):
    place = tmp_path / "trials" / "1"
    place.mkdir(parents=True)
    script = "import os; assert not os.path.exists('held'); print('loss: 1')"
    (tmp_path / "held").touch()
    with ThreadPoolExecutor(1) as thread, (place / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # The timeout is over at once.
        late = trial(script, timeout_seconds=1.0)
        assert f"another process still runs this trial, in {place}" in late.error
        waiting = thread.submit(trial, script)
        wait_for(lambda: trial.said, what="the trial to wait")
        assert "waiting, since another process still runs it" in trial.said[-1]
        (tmp_path / "held").unlink()
        fcntl.flock(lock, fcntl.LOCK_UN)
        assert waiting.result().score == 1
    assert [path.name for path in place.glob("run-*")] == ["run-1"]


def test_without_locks_of_the_file_system_a_trial_runs(trial, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert trial("print('loss: 1')").score == 1


def test_a_program_that_cannot_be_started_is_a_failed_row(trial):
    result = trial("", command=("/no/such/program",))
    assert result.status is Status.FAILED
    assert "cannot be started" in result.error
    assert "/no/such/program" in result.error


def test_a_metric_that_is_not_finite_ends_a_program_and_another_does_not(trial):
    result = trial(
        """
        import hpsearch, signal
        hpsearch.report(loss=1, acc=float("nan"))
        hpsearch.report(loss=float("nan"))
        hpsearch.report(loss=2)
        hpsearch.report(loss=float("nan"))
        hpsearch.report(loss=float("inf"))
        signal.pause()
        """
    )
    assert result.status is Status.DIVERGED
    assert len(result.curve) == 5
    assert math.isnan(result.curve[1]["loss"])


GOING_ON = """
    import json, os, signal, sys, hpsearch

    place = os.path.join(os.environ["HPSEARCH_CHECKPOINT"], "epoch")
    last = int(open(place).read()) if "HPSEARCH_RESUME_FROM" in os.environ else 0

    def save(*_):
        # What it tells last, after the signal, is told in pieces.
        global last
        last += 1
        hpsearch.report(epoch=last, loss=10 - last)
        open(place, "w").write(str(last))
        sys.exit(0)

    signal.signal(signal.SIGTERM, save)
    stop = int(open("stop").read())
    while last < stop:
        last += 1
        hpsearch.report(epoch=last, loss=10 - last)
    while True:
        signal.pause()
"""


def test_a_halted_program_goes_on_from_its_checkpoint_with_every_epoch_that_it_told(trial, write):
    write("stop", "3")
    first = trial(GOING_ON, {"x": 3}, epochs=3)
    assert first.status is Status.STOPPED
    assert first.trainer == "program"
    assert [epoch["loss"] for epoch in first.curve] == [9, 8, 7]
    # It told epoch 4 on SIGTERM, and saved its checkpoint then.
    write("stop", "5")
    second = trial(GOING_ON, {"x": 3}, epochs=5)
    assert second.status is Status.STOPPED, second.error
    assert second.trainer == "program+checkpoint"
    assert [epoch["loss"] for epoch in second.curve] == [9, 8, 7, 6, 5]
    assert second.seconds > 0


def forget_end(tmp_path):
    """As if the worker of the first process had been killed before it saw the end."""
    (tmp_path / "trials/1/run-1/seconds").unlink()


@pytest.mark.parametrize(
    ("ending", "ran"),
    [("", 1), ("raise SystemExit(3)", 2), ("print('loss: nan')", 2)],
    ids=["completed", "failed", "diverged"],
)
def test_a_program_that_had_ended_is_not_run_again_and_a_failed_one_leaves_no_checkpoint(
    trial, tmp_path, ending, ran
):
    script = f"""
        import os
        open(os.path.join(os.environ["HPSEARCH_CHECKPOINT"], "c"), "w").close()
        print("loss: 2")
        print("loss: 1", flush=True)
        {ending}
    """
    first, again = trial(script), trial(script)
    assert (again == first) is (ran == 1)
    assert again.status is first.status
    place = tmp_path / "trials/1"
    assert len(list(place.glob("run-*"))) == ran
    assert (place / "checkpoint.failed-1/c").exists() == (first.status is Status.FAILED)


def test_a_checkpoint_of_unnumbered_epochs_is_set_aside(trial, tmp_path):
    script = """
        import os
        print("had", os.listdir(os.environ["HPSEARCH_CHECKPOINT"]))
        assert "HPSEARCH_RESUME_FROM" not in os.environ
        open(os.path.join(os.environ["HPSEARCH_CHECKPOINT"], "c"), "w").write("x")
        print("loss: 1")
    """
    trial(script)
    forget_end(tmp_path)
    assert trial(script).status is Status.COMPLETED
    assert "had []" in (tmp_path / "trials/1/run-2/stdout.log").read_text()
    assert (tmp_path / "trials/1/checkpoint.unused-1/c").exists()


@pytest.mark.parametrize(("best", "x"), [(10, 3), (100, 2)], ids=["values", "program"])
def test_another_trial_does_not_go_on_from_that_checkpoint(trial, tmp_path, write, best, x):
    write("stop", "3")
    trial(GOING_ON, {"x": 2}, epochs=2)
    result = trial(GOING_ON.replace("10 - last", f"{best} - last"), {"x": x}, epochs=3)
    assert result.trainer == "program"
    assert [epoch["loss"] for epoch in result.curve] == [best - 1, best - 2, best - 3]
    assert (tmp_path / "trials/1/checkpoint.unused-1/epoch").exists()


@pytest.mark.parametrize("going_on", ["report(epoch=9, loss=1)", "raise SystemExit(3)"])
def test_a_program_that_can_do_nothing_with_its_checkpoint_begins_anew(trial, tmp_path, going_on):
    script = f"""
        import os
        from hpsearch import report
        if "HPSEARCH_RESUME_FROM" in os.environ:
            {going_on}
        open(os.path.join(os.environ["HPSEARCH_CHECKPOINT"], "c"), "x").write("x")
        report(epoch=1, loss=5)
        report(epoch=2, loss=4)
    """
    trial(script)
    forget_end(tmp_path)
    result = trial(script)
    assert result.status is Status.COMPLETED, result.error
    assert result.trainer == "program"
    assert [epoch["loss"] for epoch in result.curve] == [5, 4]
    assert (tmp_path / "trials/1/checkpoint.failed-2/c").exists()
    assert (tmp_path / "trials/1/run-3").exists()


PAUSING = """\
import os, signal, hpsearch
_report = hpsearch.report
def report(epoch, loss):
    _report(epoch=epoch, loss=loss)
    if os.path.exists("pausing") and epoch == 3 and "HPSEARCH_RESUME_FROM" not in os.environ:
        signal.pause()
hpsearch.report = report
"""


def test_the_checkpoints_of_the_documents(trial, tmp_path, write):
    text = (ROOT / "hpsearch/programs/README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"<!-- checkpoint -->\n```py\n(.*?)```", text, re.DOTALL)
    script = PAUSING + example
    paused = write("pausing", "")
    first = trial(script, epochs=3)
    assert (first.status, first.trainer) == (Status.STOPPED, "program")
    # As if it had been halted after it saved the epoch and before it told it.
    told = tmp_path / "trials/1/run-1/reports.jsonl"
    told.write_text("".join(told.read_text().splitlines(keepends=True)[:2]))
    second = trial(script)
    assert (second.status, second.trainer) == (Status.COMPLETED, "program+checkpoint")
    paused.unlink()
    whole = trial(script, seed=1)
    assert whole.trainer == "program"
    assert whole.curve == second.curve
    assert whole.curve[:3] == first.curve
    assert len(whole.curve) == 9


@pytest.mark.parametrize("begin", ["import hpsearch as told", "import wandb as told; told.init()"])
def test_output_is_not_judged_once_a_program_can_report(trial, begin, monkeypatch, write):
    monkeypatch.setenv("PYTHONNOUSERSITE", "1")
    read = TrialMetrics.read

    def reading(self, *, ended=False):
        read(self, ended=ended)
        if len(self.epochs.found) == 9:
            write("seen", "")

    monkeypatch.setattr(TrialMetrics, "read", reading)
    script = f"""
        {begin}
        import os, time
        for batch in range(9):
            print("loss: 9")
        while not os.path.exists("seen"):
            time.sleep(0.01)
        tell = told.log if hasattr(told, "init") else told.report
        for value in (3, 2, 1):
            tell({{"loss": value}})
        time.sleep(1000)
    """
    result = trial(script, epochs=3)
    assert result.status is Status.STOPPED, result.error
    assert [epoch["loss"] for epoch in result.curve] == [3, 2, 1]


def test_the_grace_ends_before_the_timeout(trial, monkeypatch):
    given = []
    monkeypatch.setattr(ProgramProcess, "halt", lambda _, seconds: given.append(seconds))
    script = "import signal; print('loss: 2', flush=True); signal.pause()"
    for limit in (1.0, None):
        assert trial(script, epochs=1, timeout_seconds=limit).status is Status.STOPPED
    assert given[0] <= 0
    assert given[1] == math.inf


@pytest.mark.parametrize(
    "make", ["os.mkfifo(path)", "os.symlink('/dev/zero', path)", "os.mkdir(path)"]
)
def test_a_program_may_put_anything_in_the_place_of_its_files(trial, make):
    script = f"""
        import os, hpsearch
        names = "reports.jsonl stdout.log stderr.log values.json program.json seconds"
        for name in names.split():
            path = os.path.join(os.environ["HPSEARCH_TRIAL_DIR"], name)
            if os.path.exists(path):
                os.remove(path)
            {make}
        hpsearch.report(loss=1)
        open(os.path.join(os.environ["HPSEARCH_CHECKPOINT"], "c"), "w").close()
        {{ending}}
    """
    # Ends the tests if it hangs.
    signal.alarm(20)
    for ending in ("", "raise SystemExit(3)"):
        assert trial(script.format(ending=ending)).status is Status.FAILED
    signal.alarm(0)


@pytest.mark.parametrize("ending", ["halt", "end", "ignore"])
def test_no_process_of_a_trial_is_left(trial, tmp_path, ending, monkeypatch):
    monkeypatch.setattr("hpsearch.programs.process.GRACE_SECONDS", 0.2)
    handler = "signal.SIG_IGN" if ending == "ignore" else "lambda *_: os._exit(0)"
    result = trial(
        f"""
        import os, signal, subprocess, sys, hpsearch
        ignoring = "import signal,time;signal.signal(signal.SIGTERM,signal.SIG_IGN)"
        child = subprocess.Popen(
            [sys.executable, "-c", ignoring + ";print('ready',flush=True);time.sleep(1000)"],
            stdout=subprocess.PIPE,
        )
        child.stdout.readline()
        # One that loses its parent at once, and stays in the group.
        shell = "sleep 1000 >/dev/null & echo $!"
        other = subprocess.run(["sh", "-c", shell], stdout=subprocess.PIPE, text=True).stdout
        open("pids", "w").write(f"{{os.getpid()}} {{child.pid}} {{other}}")
        signal.signal(signal.SIGTERM, {handler})
        hpsearch.report(loss=1)
        {"os._exit(0)" if ending == "end" else "signal.pause()"}
        """,
        epochs=2**31 if ending == "end" else 1,
    )
    assert result.status in (Status.STOPPED, Status.COMPLETED), result.error
    assert not any(session_of(int(pid)) for pid in (tmp_path / "pids").read_text().split())


def test_a_dead_process_does_not_hold_up_a_halt(tmp_path):
    with ProgramProcess(["sleep", "1000"], str(tmp_path), dict(os.environ), tmp_path) as process:
        assert process._group_lives()
        process.halt()
        assert process.code == -15
        assert not process._group_lives()


def test_an_interrupted_run_leaves_no_process(tmp_path):
    command = ["sleep", "1000"]
    with (
        pytest.raises(KeyboardInterrupt),
        ProgramProcess(command, str(tmp_path), dict(os.environ), tmp_path) as process,
    ):
        raise KeyboardInterrupt
    assert not psutil.pid_exists(process.pid)


def test_long_values_arrive_whole_in_a_file(trial):
    long = "x\"'\n-" * 100_000
    result = trial(
        """
        import json, os, sys
        values = json.load(open(sys.argv[1]))
        assert values == json.load(open(os.environ["HPSEARCH_VALUES"]))
        print("loss:", len(values["text"]))
        """,
        {"text": long},
        command=("${interpreter}", "${program}", "${args_json_file}"),
    )
    assert result.score == len(long), result.error


def test_an_argument_of_100_kb_arrives_whole(trial):
    result = trial("import sys; print('loss:', len(sys.argv[1]))", {"t": "é\n-" * 25_000})
    assert result.score == len("--t=") + 75_000, result.error


def test_the_environment_is_the_drivers_and_what_is_documented(trial, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("MINE", "yes")
    monkeypatch.setenv("HPSEARCH_RESUME_FROM", "stale")
    for name in ("PYTHONPATH", "PYTHONUNBUFFERED", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    trial(
        "import json, os, sys; json.dump([sys.argv[1:], dict(os.environ)], open('seen', 'w'))",
        seed=3,
        command=("${interpreter}", "${program}", "--seed=${seed}"),
        environment={"OMP_NUM_THREADS": None, "KERAS_BACKEND": "jax"},
    )
    arguments, found = json.loads((tmp_path / "seen").read_text())
    assert arguments == ["--seed=3"]
    run = str(tmp_path / "trials/1-seed3/run-1")
    added = {name: value for name, value in found.items() if os.environ.get(name) != value}
    assert added.pop("PYTHONPATH").endswith("hpsearch/programs/hook")
    # Python's own, if the locale is C.
    added.pop("LC_CTYPE", None)
    assert added == {
        "HPSEARCH_TRIAL": "1",
        "HPSEARCH_SEED": "3",
        "HPSEARCH_TRIAL_DIR": run,
        "HPSEARCH_VALUES": f"{run}/values.json",
        "HPSEARCH_REPORT": f"{run}/reports.jsonl",
        "HPSEARCH_CHECKPOINT": str(tmp_path / "trials/1-seed3/checkpoint"),
        "KERAS_BACKEND": "jax",
        "PYTHONUNBUFFERED": "1",
        "WANDB_DIR": run,
        "WANDB_MODE": "offline",
        "WANDB_SWEEP_PARAM_PATH": f"{run}/wandb.yaml",
    }
    assert found["MINE"] == "yes"
    assert not {"OMP_NUM_THREADS", "HPSEARCH_RESUME_FROM"} & found.keys()


def test_report_outside_a_trial_does_nothing(capfd, monkeypatch, tmp_path):
    monkeypatch.delenv("HPSEARCH_REPORT", raising=False)
    assert hpsearch.report(epoch=1, loss=0.5) is None
    assert capfd.readouterr() == ("", "")
    monkeypatch.setenv("HPSEARCH_REPORT", str(tmp_path / "gone" / "reports"))
    hpsearch.report(loss=1)
    for wrong in ({"loss": "0.5"}, {"loss": None}, {"loss": 1, "epoch": 1.5}):
        with pytest.raises(TypeError, match="report: "):
            hpsearch.report(**wrong)


def test_report_imports_nothing_heavy():
    script = (
        "import sys, hpsearch; hpsearch.report(loss=1); "
        "print({'numpy', 'pandas', 'tensorflow', 'keras', 'pydantic'} & set(sys.modules))"
    )
    assert python(script) == "set()\n"
