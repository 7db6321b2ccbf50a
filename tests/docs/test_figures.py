"""The figures of the documents are those of the committed measurements, to the digit."""

import json
import re
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from statistics import median

import measured_code
import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
#: Column of the README's table -> contenders, the fastest of which is quoted.
VARIANTS = {
    "KerasTuner": ("keras_tuner", "keras_tuner_settings", "keras_tuner_best"),
    "Optuna": ("optuna", "optuna_best"),
    "Ray Tune": ("ray", "ray_best"),
    "scikit-learn": ("sklearn", "sklearn_best"),
}
KERAS = [name for column in ("KerasTuner", "Optuna", "Ray Tune") for name in VARIANTS[column]]


def cells(line):
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def speed_table():
    header, _, *rows = re.findall(
        r"^\|.*\|$", README.partition("## Speed")[2].partition("\n## ")[0], re.MULTILINE
    )
    for row in rows:
        yield dict(zip(cells(header), cells(row), strict=True))


def rows_of(table):
    return json.loads((ROOT / "experiments" / f"{table}.json").read_text(encoding="utf-8"))["rows"]


def measured(sweep):
    (table,) = re.findall(r"experiments/(\w+)\.md", sweep)
    return {row["contender"]: row for row in rows_of(table)}


def assert_rounds_to(value, text):
    (shown,) = re.findall(r"[\d.]+", text)
    assert Decimal(str(value)).quantize(Decimal(shown), ROUND_HALF_UP) == Decimal(shown)


@pytest.mark.parametrize("row", list(speed_table()), ids=lambda row: row["sweep"][:20])
def test_the_table_of_speed_is_the_measured_one(row):
    found = measured(row["sweep"])
    assert_rounds_to(found["hpsearch"]["seconds (median)"], row["hpsearch"])
    assert f" {found['hpsearch']['trials']} trials" in row["sweep"]
    for column in row.keys() - {"sweep", "hpsearch"}:
        ratios = [found[name]["ratio (median)"] for name in VARIANTS[column] if name in found]
        if ratios:
            assert_rounds_to(min(ratios), row[column])
        else:
            assert row[column] == ""


def test_the_table_leads_with_sweeps_that_share_no_trainings():
    files = [re.findall(r"experiments/(\w+)\.md", row["sweep"])[0] for row in speed_table()]
    assert files[:2] == ["speed_fashion_single", "speed_digits_single"]


def spread(ratios):
    return f"{min(ratios):.1f} to {max(ratios):.1f} times"


def step_ratios():
    """How many times as long a step of TensorFlow's graph takes, for each size of `inner_loop`."""
    rows = rows_of("inner_loop")
    steps = {(row["trainer"], row["batch"], row["units"]): row["step, us (median)"] for row in rows}
    sizes = [key[1:] for key in steps if key[0] == "native"]
    return [steps["graph", *size] / steps["native", *size] for size in sizes]


def defaults_ratios():
    """How many times as long Keras' defaults take as the fastest settings of two processes."""
    rows = rows_of("speed_settings")
    default = {"steps_per_execution": 1, "backend": "tensorflow", "processes": 1}
    usual = {r["sweep"]: r["s a trial"] for r in rows if default.items() <= r.items()}
    return [usual[r["sweep"]] / r["s a trial"] for r in rows if r.get("chosen") == "for 2"]


RATIOS = {*re.findall(r"\d\.\d", spread(step_ratios()) + spread(defaults_ratios()))}


def test_ratios_between_rows_are_those_of_the_tables():
    page = " ".join((ROOT / "experiments" / "README.md").read_text(encoding="utf-8").split())
    assert f"a step by itself is [{spread(step_ratios())}]" in README
    assert f"a trial takes {spread(defaults_ratios())} as long" in page
    sweeps = [measured(row["sweep"]) for row in speed_table()]
    for shown, name in {
        "KerasTuner took": "keras_tuner_settings",
        "Optuna": "optuna_best",
        "Ray Tune": "ray_best",
        "scikit-learn": "sklearn_best",
    }.items():
        ratios = [list(map(float, sweep[name]["ratios"].split(", "))) for sweep in sweeps]
        ends = [end for each in ratios for end in (min(each), max(each))]
        text = page.partition("Pair by pair")[2].partition(f"{shown} ")[2]
        figures = re.findall(r"\d+(?:\.\d+)?", text)[:4]
        for value, figure in zip(ends, figures, strict=True):
            assert_rounds_to(value, figure)


def test_the_scores_agree_as_closely_as_it_says():
    (margin,) = re.findall(
        r"Mean scores (?:agree with|are equivalent to) Keras' within (\d\.\d+)", README
    )
    rows = [each for row in speed_table() for each in measured(row["sweep"]).values()]
    theirs = [row for row in rows if row["contender"] in KERAS]
    assert len(theirs) >= 4
    assert max(abs(row["difference"]) for row in theirs) <= float(margin)
    if "scores are equivalent" in README:
        assert all(row["p"] < 0.05 for row in theirs)


def test_how_much_faster_kerastuner_s_programs_are_is_the_measured_range():
    rows = rows_of("drop_in")
    dense = {"MLP on images", "MLP on a table, class weights, AUC", "MLP, regression"}
    dense |= {"autoencoder", "tf.data", "run_trial", "Hyperband"}
    groups = [], []
    for row in rows:
        groups[row["search"] not in dense].append(row["times"])
    span = r"([\d.]+) to ([\d.]+) times .*?\(median ([\d.]+)\)"
    shown = re.search(f"were {span}.*? {span}", README, re.DOTALL).groups()
    assert [float(text) for text in shown] == [
        figure for group in groups for figure in (min(group), max(group), median(group))
    ]
    text = " ".join(README.split())
    (middle,) = re.findall(r"the median of all twelve programs is ([\d.]+)\.", text)
    assert_rounds_to(median(row["times"] for row in rows), middle)
    assert len(rows) == 12
    assert {row["runs"] for row in rows} == {3}
    pairs = [float(end) for row in rows for end in row["times (least, most)"].split(", ")]
    assert f"the least was {min(pairs)} times, the most {max(pairs)}." in text
    seconds = [row["KerasTuner, s"] for row in rows]
    assert f"which took KerasTuner {min(seconds):.0f} to {max(seconds):.0f} s" in text


def test_how_many_of_w_and_b_s_files_are_read_is_the_measured_number():
    content = json.loads((ROOT / "experiments" / "wandb_files.json").read_text(encoding="utf-8"))
    named, _ = content["parts"]["Files"]
    assert f"[{named['read']} of {named['files']}](experiments/wandb_files.md) of public" in README


def test_the_tools_beside_which_programs_run_are_those_of_the_table():
    content = json.loads((ROOT / "experiments" / "programs.json").read_text(encoding="utf-8"))
    page = (ROOT / "hpsearch" / "programs" / "README.md").read_text(encoding="utf-8")
    _, _, *rows = re.findall(r"^\|.*\|$", page.partition("## Beside other tools")[2], re.MULTILINE)
    for measured_row, row in zip(content["rows"], rows, strict=True):
        name, overhead, script, goes_on, again, lost = cells(row)
        assert name == measured_row[""]
        assert overhead == f"{measured_row['overhead a trial, ms']} ms"
        assert script == measured_row["its program after the kill"]
        assert goes_on == f"by {measured_row['goes on by']}"
        if again or lost:
            killed = measured_row["trials of the killed search"]
            assert again == f"{measured_row['ended before, ran again']} of {killed}"
            assert int(lost) == measured_row["without a result"]
        else:
            assert "without a result" not in measured_row
    (logging,) = re.findall(r"a further ([\d.]+ s)", " ".join(content["about"]))
    assert f"offline, take {logging} more" in " ".join(page.split())
    (script,) = re.findall(r"takes ([\d.]+ ms) in a bare loop", " ".join(content["about"]))
    assert f"The same shell script, which takes {script}, was searched" in page


TABLES = sorted((ROOT / "experiments").glob("*.json"))


@pytest.mark.parametrize("file", TABLES, ids=lambda file: file.stem)
def test_each_table_says_when_and_of_what_code_it_was_measured(file):
    about = json.loads(file.read_text(encoding="utf-8"))["about"]
    assert re.fullmatch(r"measured (at|before) commit .+, \d{4}-\d\d-\d\d", about[1])
    if file.stem not in EARLIER:
        assert about[2] == measured_code.code(file.stem), (
            f"the code has changed: measure {file.stem} again, or list it in experiments/README.md "
            "as a table of earlier code"
        )
    page = file.with_suffix(".md").read_text(encoding="utf-8")
    assert all(f"- {line}\n" in page for line in about[:3])


def earlier_tables():
    """The tables that the documents say to be of earlier code."""
    text = (ROOT / "experiments" / "README.md").read_text(encoding="utf-8")
    (sentence,) = re.findall(r"Of earlier code are (.*?)\.\n", text, re.DOTALL)
    return {*re.findall(r"\((\w+)\.md\)", sentence)}


EARLIER = earlier_tables()


def test_only_tables_of_earlier_code_are_called_so():
    assert {file.stem for file in TABLES} >= EARLIER
    for name in EARLIER:
        assert measured_code.code(name) not in (ROOT / "experiments" / f"{name}.md").read_text()


#: Heading of a section -> its decimals that no table has: limits that were promised, versions,
#: differences and medians of a table's figures, and a table of earlier code.
ELSEWHERE = {
    "## Beside other tools": {"2.33"},  # a version
    "## How far to trust it": {"1.4", "1.5", "2.5"},  # ratios
    "## Speed": {"0.004", "1.8", *RATIOS},
    "## The driver": {"3.8"},  # seconds, in the table milliseconds
    "## The quality of searches": {"0.000003", "0.0000006", "0.000007"},
    "## Many epochs, few trainings": {"0.147"},
}


def numbers(value):
    """All numbers in a measurement's rows, also those in texts."""
    if isinstance(value, str):
        for text in re.findall(r"\d+(?:\.\d+)?(?:e-?\d+)?", value.replace(",", "")):
            yield Decimal(text)
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from numbers(part)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield abs(Decimal(str(value)))


def linked_tables(text):
    names = re.findall(r"[(/](\w+)\.(?:md|json)\)", text)
    return {file for file in TABLES if file.stem in names}


def sections():
    """Each section of a document that links to tables: heading, tables, text."""
    for document in (*ROOT.glob("*.md"), *ROOT.glob("*/**/README.md")):
        plain = re.compile(r"```.*?```|`[^`]*`|\(https?:[^)]*\)", re.DOTALL)
        text = plain.sub("", document.read_text(encoding="utf-8"))
        for section in re.split(r"\n(?=## )", text):
            if tables := linked_tables(section):
                yield section.split("\n")[0], tables, section


@pytest.mark.parametrize("section", list(sections()), ids=lambda section: section[0])
def test_the_decimals_of_a_section_stand_in_the_tables_that_it_links(section):
    heading, tables, text = section
    decimals = re.findall(r"(?<![\w.])\d+\.\d+(?![\w.]*\d)", text)
    contents = [json.loads(file.read_text(encoding="utf-8")) for file in tables]
    measured = [n for content in contents for n in numbers(content)]
    shown = {Decimal(text) for text in {*decimals} - ELSEWHERE.get(heading, set())}
    rounded = {n.quantize(d, ROUND_HALF_UP) for d in shown for n in measured if n < 10**9}
    assert shown <= rounded, shown - rounded


@pytest.mark.parametrize("section", list(sections()), ids=lambda section: section[0])
def test_a_section_says_which_figures_are_of_earlier_code(section):
    _, tables, text = section
    earlier = EARLIER & {file.stem for file in tables}
    if re.search(r"\d%|\d\.\d", text):
        assert ("earlier code" in text) == bool(earlier)
        for paragraph in re.split(r"\n\n|\n(?=- )", text):
            linked = earlier & {file.stem for file in linked_tables(paragraph)}
            assert not linked or "earlier code" in paragraph or "\n|--" in paragraph


def test_the_tables_that_are_linked_have_the_figures():
    assert len(list(sections())) >= 10
    linked = {heading for heading, *_ in sections()}
    assert linked >= ELSEWHERE.keys()
