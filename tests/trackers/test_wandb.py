"""Runs as W&B's own client writes them without a server."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from commands import wait_for

from hpsearch.errors import InputError
from hpsearch.trackers.tracking import _digest, hyperparameters, make_tracker, tags

pytestmark = pytest.mark.slow
# Tests of programs need an environment without it.
pytest.importorskip("wandb", reason="pip install -e '.[wandb]', as .ci/run does after other tests")
#: In bytes: the header of a file, a block, and the header of a record.
_FILE, _BLOCK, _RECORD = 7, 32_768, 7


@pytest.fixture
def runs(monkeypatch, tmp_path):
    """Return a function that reads the files of runs."""
    import wandb

    # It reads its variables once.
    wandb.teardown()
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))

    def read():
        files = sorted(tmp_path.glob("wandb/offline-run-*/*.wandb"))
        # W&B's process may still be writing when `finish` returns.
        wait_for(lambda: all(finished(path) for path in files))
        return [list(records(path)) for path in files]

    return read


def finished(path):
    return any(record.HasField("exit") for record in records(path))


def records(path):
    """Yield the records of a file, which has the layout of LevelDB's logs."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, place, parts = path.read_bytes(), _FILE, b""
    while place + _RECORD <= len(content):
        left = _BLOCK - place % _BLOCK
        if left < _RECORD:
            place += left
            continue
        size, kind = int.from_bytes(content[place + 4 : place + 6], "little"), content[place + 6]
        place += _RECORD + size
        parts += content[place - size : place]
        if kind in (1, 4):  # whole, or the last part
            yield Record.FromString(parts)
            parts = b""


def values_of(items):
    return {item.key or item.nested_key[0]: json.loads(item.value_json) for item in items}


def history(run):
    return {
        record.history.step.num: {
            name: value
            for name, value in values_of(record.history.item).items()
            if not name.startswith("_")
        }
        for record in run
        if record.HasField("history")
    }


def summary(run):
    values = {}
    for record in run:
        values |= values_of(record.summary.update)
    return values


def test_a_run_a_trial(runs, record):
    make_tracker("wandb:team/digits").log(record)
    (run,) = runs()
    (begun,) = (entry.run for entry in run if entry.HasField("run"))
    assert (begun.entity, begun.project) == ("team", "digits")
    assert (begun.display_name, begun.run_group) == ("trial-7-seed-1", "small")
    config = values_of(begun.config.update)
    assert config.items() >= hyperparameters(record).items()
    assert config["hpsearch"] == tags(record)
    assert history(run) == {n: dict(m) for n, m in enumerate(record.result.curve, start=1)}
    assert summary(run)["score"] == 0.4
    assert [entry.exit.exit_code for entry in run if entry.HasField("exit")] == [0]


def test_a_diverged_trial_is_a_failed_run(runs, diverged):
    make_tracker("wandb:digits").log(diverged)
    (run,) = runs()
    assert list(history(run)) == [1, 2]
    assert "score" not in summary(run)
    assert [entry.exit.exit_code for entry in run if entry.HasField("exit")] == [1]


def test_a_run_is_identified_by_its_execution(runs, record):
    tracker = make_tracker("wandb:digits")
    for seed in (0, 1, 0):
        tracker.log(replace(record, seed=seed))
    ids = {entry.run.run_id for run in runs() for entry in run if entry.HasField("run")}
    assert len(ids) == 2


@pytest.mark.parametrize(("logged", "begun"), [("same", 1), ("other", 2), (None, 2)])
def test_a_run_of_the_server_stays_if_its_result_is_the_same(monkeypatch, record, logged, begun):
    """W&B's server, which would resume the run, cannot be had here."""
    import wandb

    result = _digest(record) if logged == "same" else logged
    summaries = [{"hpsearch.result": result}, {}]
    asked = []

    def init(*, resume, **_):
        asked.append(resume)
        run = {"resumed": resume == "allow", "summary": summaries[len(asked) - 1]}
        return SimpleNamespace(**run, log=lambda *_, **__: None, finish=lambda **_: None)

    monkeypatch.setattr(wandb, "init", init)
    monkeypatch.setenv("WANDB_MODE", "offline")
    make_tracker("wandb:digits").log(record)
    assert asked == ["allow", None][:begun]
    assert summaries[begun - 1]["hpsearch.result"] == _digest(record)


def test_without_a_login_nothing_is_asked(monkeypatch, tmp_path, record):
    import wandb

    wandb.teardown()
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path))
    with pytest.raises(InputError, match=r"^wandb:team/digits: not logged in; run `wandb login`"):
        make_tracker("wandb:team/digits").log(record)
