"""Log executions as event files for TensorBoard."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hpsearch.store.tables import Record
from hpsearch.trackers.tracker import TrackerError, hyperparameters, run_name, tags

#: One file for each run, replaced as a whole; TensorBoard reads any name with `tfevents`.
_FILE = "events.out.tfevents.hpsearch"


class TensorBoard:
    """Writes DIR/SWEEP/RUN, as in `run_name`; a trial's executions form one group of sessions.

    Args:
        directory: The `--logdir` of `tensorboard`.
    """

    def __init__(self, directory: str) -> None:
        self._directory = Path(directory)

    def log(self, record: Record) -> None:
        """Write the event file of an execution's run, replacing an earlier one."""
        # TensorBoard is an optional package.
        from tensorboard.summary.writer.record_writer import RecordWriter

        run = self._directory / record.provenance.sweep / run_name(record)
        unfinished = run / ".unfinished"
        try:
            run.mkdir(parents=True, exist_ok=True)
            with unfinished.open("wb") as file:
                writer = RecordWriter(file)
                for event in _events(record):
                    writer.write(event.SerializeToString())
            unfinished.replace(run / _FILE)
        except OSError as error:
            raise TrackerError(f"{run}: cannot be written: {error.strerror}") from error


def _events(record: Record) -> Iterator[Any]:
    # TensorBoard is an optional package.
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb
    from tensorboard.plugins.scalar.summary_v2 import scalar_pb
    from tensorboard.plugins.text.summary_v2 import text_pb

    result, end = record.result, time.time()
    began = end - result.seconds
    yield Event(wall_time=began, file_version="brain.Event:2")
    session = hparams_pb(hyperparameters(record), trial_id=record.config, start_time_secs=began)
    yield Event(wall_time=began, summary=session)
    yield Event(wall_time=began, summary=text_pb("tags", _markdown(tags(record))))
    for epoch, metrics in enumerate(result.curve, start=1):
        at = began + result.seconds * epoch / len(result.curve)
        for name, value in metrics.items():
            yield Event(wall_time=at, step=epoch, summary=scalar_pb(name, value))
    if result.score is not None:
        score = scalar_pb("score", result.score)
        yield Event(wall_time=end, step=result.scored_epoch, summary=score)
    yield Event(wall_time=end, summary=_session_end(end, scored=result.status.scored))


def _markdown(rows: dict[str, str]) -> str:
    cells = ((name, value.replace("|", "\\|")) for name, value in rows.items())
    return "\n".join(["|tag|value|", "|---|---|", *(f"|{name}|{value}|" for name, value in cells)])


def _session_end(end: float, *, scored: bool) -> Any:
    """Do the same as `hparams.summary.session_end_pb`, whose module needs TensorFlow."""
    # TensorBoard is an optional package.
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

    status = api_pb2.STATUS_SUCCESS if scored else api_pb2.STATUS_FAILURE
    info = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=end)
    data = plugin_data_pb2.HParamsPluginData(session_end_info=info)
    summary = Summary()
    summary.value.add(
        tag=metadata.SESSION_END_INFO_TAG,
        metadata=metadata.create_summary_metadata(data),
        tensor=metadata.NULL_TENSOR,
    )
    return summary
