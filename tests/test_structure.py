"""The package stays one house: bounds on its size, its chains of imports and its names."""

import runpy
from collections import Counter
from pathlib import Path

from structure import measure

ROOT = Path(__file__).parent.parent
STRUCTURE = measure(ROOT)


def test_no_folder_has_more_than_fourteen_files():
    assert {path: n for path, n in STRUCTURE.folders.items() if n > 14} == {}


def test_no_modules_import_each_other():
    assert STRUCTURE.circles == []


def test_the_longest_chain_of_imports_is_at_most_sixteen():
    assert len(STRUCTURE.chain) <= 16, STRUCTURE.chain


def test_no_public_class_name_has_two_meanings():
    assert STRUCTURE.repeated == ()


def test_no_file_is_longer_than_its_idea():
    assert {path: n for path, n in STRUCTURE.lines.items() if n > 700} == {}


# Who raises a bound says in the commit what a user gets for it.


#: Room -> the most lines of its Python modules together; "" has the modules beside the rooms.
ROOMS = {
    "": 2440, "cli": 1505, "comparison": 2335, "custom": 2640, "data": 3770, "engine": 3195,
    "functions": 755, "kerastuner": 1895, "models": 1025, "native": 690, "programs": 1730,
    "progress": 370, "ray": 725, "reporting": 2810, "runs": 1965, "search": 2445, "sklearn": 455,
    "space": 1575, "spec": 4365, "store": 3025, "trackers": 420, "training": 2060,
    "workers": 2205,
}  # fmt: skip


def test_rooms_do_not_grow():
    rooms = Counter()
    for path, lines in STRUCTURE.lines.items():
        room, *module = path.relative_to(ROOT / "hpsearch").parts
        rooms[room if module else ""] += lines
    assert {room: lines for room, lines in rooms.items() if lines > ROOMS[room]} == {}


def test_rooms_share_few_names():
    assert len(STRUCTURE.shared) <= 520


def test_classes_are_short_and_functions_take_few_parameters():
    long = {name for name, lines in STRUCTURE.classes.items() if lines > 250}
    assert long <= {"EngineSearch", "TunerTrials"}
    assert sum(count > 8 for count in STRUCTURE.parameters) <= 12


#: A word in names of modules, classes and functions -> the rooms that may use it. Each means one
#: thing: what hands out trainings, a user's program, where trainings run, a kind of trial.
WORDS = {
    "engine": {"engine", "kerastuner", "custom"},
    "program": {"programs", "spec", "cli"},
    "executor": {"workers", "ray"},
    "subject": {"training", "custom", "functions", "programs"},
    "driver": set(),
}


def test_words_have_one_meaning():
    used = {(word, room) for room, words in STRUCTURE.words.items() for word in words & {*WORDS}}
    assert {(word, room) for word, room in used if room not in WORDS[word]} == set()


def test_docstrings_and_comments_are_sentences():
    assert len(STRUCTURE.odd) <= 2, STRUCTURE.odd


def test_circles_and_chains_are_found(tmp_path):
    package = tmp_path / "hpsearch"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "a.py").write_text("from hpsearch import b\n\n\nclass Same: ...\n")
    (package / "b.py").write_text("def f():\n    from hpsearch.a import Same\n")
    (package / "c.py").write_text("from hpsearch.b import f\n\n\nclass Same: ...\n")
    found = measure(tmp_path)
    assert found.circles == [frozenset({"hpsearch.a", "hpsearch.b"})]
    assert found.chain == ["hpsearch.c", "hpsearch.a", "hpsearch.b"]
    assert found.repeated == ("Same",)


def test_each_mutant_fits_the_file_that_it_changes():
    mutants = runpy.run_path(str(ROOT / "tests" / "mutants.py"))["MUTANTS"]
    texts = [(ROOT / mutant.path).read_text(encoding="utf-8") for mutant in mutants]
    unfit = [m.what for m, text in zip(mutants, texts, strict=True) if text.count(m.old) != 1]
    assert unfit == []
