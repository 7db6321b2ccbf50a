"""What a program tells: lines whole, in pieces, from several sources, numbered or not."""

import json
import math

import pytest

from hpsearch.programs.metrics import Tail, TrialMetrics, aligned, history, pairs_in

LINES = [
    ("val_loss: 0.25", {"val_loss": 0.25}),
    ("val_loss=1e-3, acc = .5", {"val_loss": 0.001, "acc": 0.5}),
    ("epoch 3/9 Test val_loss : -2.5e+1", {"val_loss": -25.0}),
    ('{"val_loss": 3, "n": 4}', {"val_loss": 3.0, "n": 4.0}),
    ("\x1b[1m10/10\x1b[0m - loss: 0.5 - val_loss: nan", {"loss": 0.5, "val_loss": math.nan}),
    # Keras goes back and writes over what it has shown.
    ("1/2 loss: 0.9\b\b\b\b\b2/2 loss: 0.4 - val_loss: 0.3", {"loss": 0.4, "val_loss": 0.3}),
    ("val_loss: 12abc and val_loss2: 4 at http://x:80/", {"val_loss2": 4.0}),
    ("val_loss: v1.2.3", {}),
    ("12:30:05 nothing", {}),
    ("The val_loss: 0.5. Then acc: 0.25!", {"val_loss": 0.5, "acc": 0.25}),
    ("{'val_loss': np.float64(0.5), 'acc': np.float32(1.0)}", {"val_loss": 0.5, "acc": 1.0}),
    ('{"val_loss":"0.5","acc":95%}', {"val_loss": 0.5, "acc": 95.0}),
    (
        "val_loss: Inf, acc: -Infinity | n: NAN",
        {"val_loss": math.inf, "acc": -math.inf, "n": math.nan},
    ),
]
#: Of which a part would be a plausible number.
NO_NUMBERS = [
    *("1,234.5", "0,5", "1'234", "12:30", "2024-01-02", "3-4", "0.5/1.0", "0.5+0.1", "1..2", "5e"),
    *("1_000", "0x10", "info", "0.5,12", "+", "np.nothing"),
]


@pytest.mark.parametrize(("line", "expected"), LINES)
def test_lines(line, expected):
    assert pairs_in(line, "val_loss") == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("text", NO_NUMBERS)
def test_no_number_is_cut_out_of_something_longer(text):
    assert pairs_in(f"val_loss: {text}", "val_loss") == {}
    assert pairs_in(f"val loss: {text} acc: 1", "val loss") == {"acc": 1}


def test_a_long_line_is_read_in_linear_time():
    # In quadratic time, this would take hours.
    for text in ("1" * 500_000 + "x", "1." * 250_000, "1" + "." * 500_000 + "x", " " * 500_000):
        assert pairs_in(f"loss: {text}", "val loss") == {}


def test_a_metric_with_blanks_is_found():
    assert pairs_in("Validation Loss: 0.5", "Validation Loss")["Validation Loss"] == 0.5


def test_a_line_in_pieces_is_read_once_it_is_whole(tmp_path):
    path = tmp_path / "out"
    tail = Tail(path)
    assert list(tail.lines()) == []
    read = []
    for piece in (b"val_loss: 0.", b"12", b"5\nval_loss: 1", b"7.25"):
        with path.open("ab") as file:
            file.write(piece)
        read.append(list(tail.lines()))
    assert read == [[], [], ["val_loss: 0.125"], []]
    # The last line needs no end, once there is nothing more to come.
    assert list(tail.lines(ended=True)) == ["val_loss: 17.25"]
    assert list(tail.lines(ended=True)) == []


def test_a_line_without_an_end_takes_bounded_memory_and_cuts_no_number(tmp_path):
    path = tmp_path / "out"
    path.write_bytes(b"loss: 123456.5 " * 300_000)
    tail = Tail(path)
    (line,) = tail.lines(ended=True)
    assert len(line) <= 2**21
    assert pairs_in(line, "loss") == {"loss": 123456.5}
    assert line.startswith(("loss:", "123456.5"))


def test_a_program_that_prints_fast_is_judged_between_blocks(tmp_path):
    count = 280_000
    (tmp_path / "stdout.log").write_bytes(b"loss: 1\n" * count)
    metrics = TrialMetrics(tmp_path, "loss")
    metrics.read()
    first = len(metrics.epochs.found)
    assert 0 < first < count / 2
    metrics.read()
    assert first < len(metrics.epochs.found) < count
    metrics.read(ended=True)
    assert len(metrics.epochs.found) == count


def told(tmp_path, *, output="", reports=()):
    (tmp_path / "stdout.log").write_text(output)
    (tmp_path / "reports.jsonl").write_text("".join(json.dumps(each) + "\n" for each in reports))
    metrics = TrialMetrics(tmp_path, "loss")
    metrics.read(ended=True)
    return metrics


def report(epoch=None, by="report", step=None, **values):
    return {"by": by, "epoch": epoch, "step": step, "values": values}


def test_what_comes_between_belongs_to_the_next_epoch_and_the_rest_to_the_last(tmp_path):
    metrics = told(tmp_path, output="acc: 1\nloss: 2\nacc: 3\nloss: 4\nacc: 5\n")
    assert metrics.epochs.found == [{"acc": 1, "loss": 2}, {"acc": 3, "loss": 4}]


@pytest.mark.parametrize("number", ["epoch", "step", "none"])
def test_other_metrics_that_are_told_after_the_metric_belong_to_its_epoch(tmp_path, number):
    reports = []
    for n in (1, 2, 3):
        named = {} if number == "none" else {number: 10 * n}
        reports += [report(**named, loss=n), report(**named, acc=-n)]
    epochs = told(tmp_path, reports=reports).epochs
    assert epochs.found == [{"loss": n, "acc": -n} for n in (1, 2, 3)]
    # And so from the first one on, before the next one is told.
    epochs = told(tmp_path, reports=reports[:2]).epochs
    assert epochs.found == [{"loss": 1, "acc": -1}]


def test_a_number_that_was_told_is_that_epoch_and_a_new_one_is_another(tmp_path):
    reports = [report(1, loss=1), report(2, new=5), report(2, loss=2), report(1, acc=3)]
    epochs = told(tmp_path, reports=[*reports, report(2, loss=0)]).epochs
    assert epochs.found == [{"loss": 1, "acc": 3}, {"new": 5, "loss": 0}]
    assert epochs.numbers == [1, 2]


def test_an_epoch_among_the_values_tells_them_apart(tmp_path):
    output = "epoch: 0 loss: 1\nepoch: 1 acc: 2\nepoch: 1 loss: 3\n"
    assert told(tmp_path, output=output).epochs.found == [
        {"epoch": 0, "loss": 1},
        {"epoch": 1, "acc": 2, "loss": 3},
    ]


def test_the_first_source_that_tells_the_metric_counts_alone(tmp_path):
    output = "loss: 9\nloss: 8\n"
    metrics = told(tmp_path, output=output, reports=[report(acc=1), report(loss=3)])
    assert metrics.epochs.found == [{"acc": 1, "loss": 3}]
    metrics = told(tmp_path, output=output, reports=[report(by="wandb", loss=4), report(acc=1)])
    assert metrics.epochs.found == [{"loss": 4}]
    metrics = told(tmp_path, reports=[report(by="wandb", loss=5), report(loss=3)])
    assert metrics.epochs.found == [{"loss": 3}]
    metrics = told(tmp_path, output=output, reports=[report(acc=1)])
    assert [epoch["loss"] for epoch in metrics.epochs.found] == [9, 8]


def test_foreign_lines_among_the_reports_are_passed_over(tmp_path):
    (tmp_path / "reports.jsonl").write_text('x\n[]\n{"by": "me"}\n' + json.dumps(report(loss=1)))
    metrics = TrialMetrics(tmp_path, "loss")
    metrics.read(ended=True)
    assert metrics.epochs.found == [{"loss": 1}]


def test_epochs_have_equal_metrics_where_one_was_not_told():
    first, second = aligned([{"loss": 1.0}, {"loss": 2.0, "acc": 3.0}], "loss")
    assert list(first) == list(second) == ["objective", "loss", "acc"]
    assert math.isnan(first["acc"])
    assert second == {"objective": 2.0, "loss": 2.0, "acc": 3.0}


def test_history_joins_processes_that_went_on(tmp_path):
    def run(name, *epochs):
        path = tmp_path / name
        path.mkdir()
        (path / "reports.jsonl").write_text(
            "".join(json.dumps(report(e, loss=v)) + "\n" for e, v in epochs)
        )
        return path

    first = run("1", (0, 1.0), (1, 2.0), (2, 3.0))
    # It went on from a checkpoint of epoch 1, and the next process from nowhere that is known.
    second, gap = run("2", (2, 30.0), (3, 40.0)), run("3", (9, 0.0))
    known = history([first, second, gap], "loss")
    assert known.first == 0
    assert [epoch["loss"] for epoch in known.epochs] == [1, 2, 30, 40]
    assert not history([tmp_path / "none"], "loss").epochs
