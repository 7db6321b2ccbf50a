"""The first screen: the sentence, the values, and what it suggests."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from hpsearch.reporting.drawing import value_text
from hpsearch.reporting.importance import Importance
from hpsearch.reporting.source import ReportSource
from hpsearch.reporting.words import answer_of, columns_of, executions_of
from hpsearch.store.facts import Evaluation, Measurement


def knowing(source, **known):
    """The same sweep with another importance, or with changes of its own."""
    other = replace(source)
    vars(other)["importance"] = replace(known.pop("importance", source.importance), **known)
    return other


def made(source, **columns):
    """The same sweep with other columns."""
    return ReportSource(source.table.assign(**columns), source.curves)


def test_the_sentence_names_the_best_config_by_importance(source_of):
    source = source_of(100)
    order = source.importance.singles
    expected = [f"{n} {value_text(source.best[n])}" for n in order if source.best.notna()[n]]
    assert answer_of(source)["headline"].startswith(", ".join(expected[:5]) + ": val_accuracy ")
    alone = made(source_of(1))
    assert answer_of(alone)["headline"].startswith("The only config: ")


def test_whole_numbers_keep_all_digits(source_of):
    source = source_of(20)
    seeds = np.arange(20) % 2 + 20240101
    source = made(source, seed=seeds, weights=1_234_567, trial=np.arange(20) // 2 + 1)
    columns = {column["name"]: column for column in columns_of(source, 20)}
    assert columns["weights"]["values"] == [1_234_567] * 10
    executions = executions_of(source, 20)
    place = executions["names"].index("seed") + 1
    assert {row[place] for row in executions["rows"]} == {*seeds.tolist()}


def test_the_sentence_has_score_spread_and_gains(source_of, monkeypatch):
    source = source_of(100)
    best, median = source.best["score"], source.ranked["score"].median()
    said = answer_of(source)
    assert f"val_accuracy {best:.4f}; the median trial has {median:.4f}." in said["headline"]
    once = "scored once, so part of its lead may be luck"
    assert said["remark"] == f"Trial {source.best['trial']} of 100; {once}."
    monkeypatch.setitem(source.__dict__, "guess", 0.1)
    assert f"{best - 0.1:.4f} better than always guessing;" in answer_of(source)["headline"]
    monkeypatch.setitem(source.__dict__, "guess", 0.99)
    assert f"{0.99 - best:.4f} worse than always guessing;" in answer_of(source)["headline"]


def test_a_paragraph_says_what_each_hyperparameter_did(source_of):
    source = source_of(100)
    said, anova = answer_of(source), source.importance
    text = said["paragraph"]
    (name, share, low, high, best), *_ = said["shares"]
    beyond = f"best on average: {best}" if best else "no value is clearly better"
    assert f"{name} explains {share:.0%} ({low:.0%} to {high:.0%}; {beyond})" in text
    assert all(name in text for name in anova.singles)
    pair = next(part for part in anova.shares if len(part.names) == 2)
    assert pair.share < 0.01 or f"{' and '.join(pair.names)} together a further" in text
    assert f"ANOVA of {anova.trials} trials; in brackets 90% intervals. Its model explains " in text
    assert f" {anova.explained:.0%} of the variance of scores that it has not seen" in text
    assert text.endswith(f", with {source.best['score']:.4f}.")


def test_a_paragraph_names_what_matters_only_with_another(source_of):
    source = source_of(100)
    rng = np.random.default_rng(0)
    units, layers = rng.integers(1, 30, 100), rng.integers(1, 4, 100)
    score = 0.5 + 0.3 * ((units > 15) ^ (layers > 2)) + 0.01 * rng.random(100)
    text = answer_of(made(source, units=units, hidden_layers=layers, score=score))["paragraph"]
    assert "together a further" in text
    assert "units" not in text.partition("no share of")[2].partition("reaches")[0]


@pytest.mark.slow
def test_several_executions_have_a_spread(repeated):
    said = answer_of(repeated)
    assert " ± 0.0100" in said["headline"]
    assert "the standard deviation of 3 executions" in said["remark"]
    assert not any("seeds: 3" in line for line in said["advice"])


@pytest.mark.slow
def test_smaller_is_better_where_the_goal_says_so(source_of, monkeypatch):
    source = made(source_of(100), metric="val_loss:minimize:last")
    best, median = source.ranked["score"].min(), source.ranked["score"].median()
    monkeypatch.setitem(source.__dict__, "guess", 1.0)
    found = f"{1 - best:.4f} better than always guessing; the median trial has {median:.4f}."
    assert found in answer_of(source)["headline"]


def test_few_trials_or_scores_are_no_error(source_of):
    for trials in (0, 1):
        said = answer_of(source_of(trials))
        assert said["shares"] == []
        assert ("no trial has ended" in said["remark"].lower()) == (not trials)
    source = made(source_of(20), status="failed", score=np.nan)
    said = answer_of(source)
    assert said["headline"] == "No trial has a score yet."
    assert said["remark"] == "20 failed."


def test_a_best_value_at_the_edge_is_told_and_no_other(source_of):
    source = source_of(100)
    said = answer_of(source)["advice"]
    assert (
        "epochs: the best value, 20, is near the upper end, 20; larger ones may be better." in said
    )
    # Its best value, 0.0016, lies far from both ends.
    assert not any(line.startswith("learning_rate") for line in said)


def test_the_edge_of_a_logarithmic_range_is_logarithmic(source_of):
    table = source_of(100).table
    rate = table["learning_rate"]
    # The best trial's is in the middle of the exponents, and the smallest hundredth of the range.
    score = -np.abs(np.log10(rate) - np.log10(rate).min() - 0.12)
    said = answer_of(made(source_of(100), score=score))["advice"]
    assert not any(line.startswith("learning_rate: the best") for line in said)


def idle(source, **known):
    """The hyperparameters that the advice calls idle, with another importance."""
    lines = [
        line
        for line in answer_of(knowing(source, **known))["advice"]
        if "little difference" in line
    ]
    return {*" ".join(lines).split(" made")[0].replace(" and ", ", ").split(", ")} - {""}


def test_hyperparameters_without_a_difference_are_named(source_of):
    source = source_of(100)
    found = source.importance
    assert {"dropout", "units"} <= idle(source)
    assert "learning_rate" not in idle(source)
    # What may make a difference is not called idle, nor is anything by little evidence.
    wide = tuple(replace(s, high=0.3) if s.names == ("units",) else s for s in found.shares)
    assert "dropout" in idle(source, shares=wide)
    assert "units" not in idle(source, shares=wide)
    assert idle(source, explained=0.79) == idle(source, trials=29) == set()
    # A value that was hardly tried may make a difference.
    table = source.table
    rare = table["optimizer"].eq("adam") & (table["optimizer"].eq("adam").cumsum() > 4)
    rare = made(source, optimizer=table["optimizer"].mask(rare, "rmsprop"))
    assert "optimizer" in idle(source)
    assert "units" in idle(rare, importance=found)
    assert "optimizer" not in idle(rare, importance=found)


def test_values_that_may_be_best_are_told_together(source_of):
    source = source_of(100)
    effects = source.importance.effects

    def said(low, mean, high):
        low, mean, high = map(np.array, (low, mean, high))
        epochs = replace(effects["epochs"], low=low, mean=mean, high=high)
        return answer_of(knowing(source, effects={**effects, "epochs": epochs}))

    clear = said([0.1, 0.5, 0.6], [0.2, 0.6, 0.7], [0.3, 0.65, 0.8])
    assert clear["shares"][0][0] == "epochs"
    assert clear["shares"][0][-1] == "20"
    assert any(line.startswith("epochs: ") for line in clear["advice"])
    assert said([0.1, 0.5, 0.6], [0.2, 0.6, 0.7], [0.3, 0.75, 0.8])["shares"][0][-1] == "10 to 20"
    unclear = said([0.1, 0.5, 0.6], [0.2, 0.6, 0.7], [0.7, 0.75, 0.8])
    assert unclear["shares"][0][-1] == ""
    assert not any(line.startswith("epochs: ") for line in unclear["advice"])


def test_a_model_that_knows_nothing_says_and_advises_nothing(source_of):
    source = source_of(100)
    said = answer_of(knowing(source, explained=0.2))
    assert (said["paragraph"], said["advice"]) == ("", [])
    said = answer_of(knowing(source, importance=Importance(reason="too few")))
    assert (said["paragraph"], said["shares"]) == ("", [])


@pytest.mark.parametrize(
    ("seed", "fold", "known"), [(0, None, True), (1, None, False), (0, 2, False)]
)
def test_predictions_are_those_of_an_execution(source_of, monkeypatch, seed, fold, known):
    source = replace(source_of(20))
    best = source.best
    found = Evaluation(
        *("", int(best["trial"]), best["config"], seed, "validation", 2, "val_accuracy"),
        metrics={"val_accuracy": Measurement(0.5)},
        fold=fold,
        confusion=((1, 0), (0, 1)),
    )
    facts = SimpleNamespace(predictions=found)
    monkeypatch.setattr("hpsearch.reporting.source.facts_of", lambda *_: facts)
    assert (source.predicted == found) == known
