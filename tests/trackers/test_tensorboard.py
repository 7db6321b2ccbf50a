"""Event files as TensorBoard's own reader finds them."""

import math
from dataclasses import replace

import pytest

from hpsearch.errors import InputError
from hpsearch.trackers.tracking import hyperparameters, make_tracker, tags

pytestmark = pytest.mark.slow


def read(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accumulator = EventAccumulator(str(run), size_guidance={"tensors": 0})
    accumulator.Reload()
    return accumulator


def curve_of(accumulator, name):
    points = accumulator.Tensors(name)
    return {point.step: float(point.tensor_proto.float_val[0]) for point in points}


def test_every_metric_of_every_epoch_hyperparameters_and_tags(tmp_path, record):
    from tensorboard.plugins.hparams import metadata

    make_tracker(f"tensorboard:{tmp_path}").log(record)
    logged = read(tmp_path / "small" / "trial-7-seed-1")
    for name in ("loss", "val_loss"):
        expected = {epoch: m[name] for epoch, m in enumerate(record.result.curve, start=1)}
        assert curve_of(logged, name) == pytest.approx(expected, rel=1e-6)
        assert logged.SummaryMetadata(name).plugin_data.plugin_name == "scalars"
    assert curve_of(logged, "score") == pytest.approx({2: 0.4})
    content = logged.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    session = metadata.parse_session_start_info_plugin_data(content)
    assert session.group_name == record.config
    plain = {name: getattr(v, v.WhichOneof("kind")) for name, v in session.hparams.items()}
    assert plain == hyperparameters(record)
    assert logged.SummaryMetadata("tags").plugin_data.plugin_name == "text"
    (table,) = (point.tensor_proto.string_val[0].decode() for point in logged.Tensors("tags"))
    for name, value in tags(record).items():
        assert f"|{name}|{value}|" in table


def test_a_diverged_trial_has_its_error(tmp_path, diverged):
    make_tracker(f"tensorboard:{tmp_path}").log(diverged)
    found = read(tmp_path / "small" / "trial-8")
    assert math.isnan(curve_of(found, "loss")[2])
    assert math.isinf(curve_of(found, "val_loss")[2])
    assert "score" not in found.Tags()["tensors"]
    (table,) = (point.tensor_proto.string_val[0].decode() for point in found.Tensors("tags"))
    assert r"|error|epoch 2: a \| b is nan|" in table


def test_a_trial_told_again_is_replaced(tmp_path, record, diverged):
    tracker = make_tracker(f"tensorboard:{tmp_path}")
    tracker.log(record)
    (tmp_path / "small" / "trial-7-seed-1" / "notes.txt").write_text("mine")
    tracker.log(type(record)(**{**vars(record), "result": diverged.result}))
    run = tmp_path / "small" / "trial-7-seed-1"
    assert sorted(path.name for path in run.iterdir()) == [
        "events.out.tfevents.hpsearch",
        "notes.txt",
    ]
    assert "score" not in read(run).Tags()["tensors"]


def test_a_place_that_cannot_be_written(tmp_path, record):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        make_tracker(f"tensorboard:{tmp_path / 'file'}").log(record)


@pytest.mark.parametrize("name", ["../../x", "/tmp/x", "..", "a/b", "n\0ul", "x" * 300])
def test_a_sweep_s_name_is_no_path(tmp_path, record, name):
    named = replace(record, provenance=replace(record.provenance, sweep=name))
    logs = tmp_path / "deep" / "deeper" / "logs"
    make_tracker(f"tensorboard:{logs}").log(named)
    (file,) = (path for path in tmp_path.rglob("*") if path.is_file())
    assert len(file.relative_to(logs).parts) == 3
