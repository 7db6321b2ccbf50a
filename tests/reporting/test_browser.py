"""The page in a real browser: what it draws, what it does, and what it does not."""

import re
from dataclasses import replace
from importlib.resources import files

import pytest
import yaml

import hpsearch
from hpsearch.cli.tables import report
from hpsearch.reporting.drawing import THEMES, inert
from hpsearch.reporting.page import render, write_page
from hpsearch.store.facts import Evaluation, Measurement
from hpsearch.store.tables import hyperparameter_columns, values_of
from hpsearch.wording import number, plain

pytestmark = pytest.mark.slow

WINDOWS = [(1400, "light"), (400, "dark")]
#: The sections of a page by its number of trials: none is empty.
SECTIONS = {
    0: ["provenance"],
    1: ["best", "curves", "provenance"],
    100: [
        *("importance", "effects", "best", "parallel", "progress", "scores"),
        *("curves", "failures", "provenance"),
    ],
}


@pytest.mark.parametrize(
    ("trials", "width", "scheme"),
    [(0, *WINDOWS[1]), (1, *WINDOWS[1]), *((100, *window) for window in WINDOWS)],
)
def test_it_renders_without_a_word_and_breaks_no_rule(visit, page_of, trials, width, scheme):
    seen = visit(page_of(trials), width, scheme=scheme, touch=width < 500).draw_all()
    shown = seen.page.locator("section.card").evaluate_all("(s) => s.map((n) => n.id)")
    assert shown == SECTIONS[trials]
    assert seen.page.locator(".headline").inner_text().endswith(".")
    assert seen.page.evaluate("document.documentElement.dataset.theme") == scheme
    # Nothing is wider than the window: only tables and axes scroll, each in its own frame.
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
    scored = trials - 2 * (trials // 20)
    assert not trials or seen.matching() == scored
    assert seen.page.locator("#effects .plot").count() == (8 if trials == 100 else 0)
    # Figures are told to those who cannot see them.
    labels = seen.page.locator(".plot").evaluate_all(
        "(nodes) => nodes.map((node) => [node.getAttribute('role'), node.ariaLabel])"
    )
    assert all(role in ("figure", "group") and len(label) > 20 for role, label in labels)
    seen.assert_quiet()
    if trials == 100:
        seen.page.locator("#trials .pick").nth(1).click()
        for part in ("#best .menu", "#parallel"):
            seen.page.locator(f"{part} summary").click()
        assert seen.draw_all().violations() == []


@pytest.mark.parametrize(("width", "scheme"), WINDOWS)
def test_a_comparison_fits_the_window_in_the_systems_colours_and_breaks_no_rule(
    visit, sweep_of, tmp_path, width, scheme
):
    path = tmp_path / "comparison.html"
    tables = [sweep_of(100), sweep_of(100, seed=1), sweep_of(20)]
    hpsearch.compare(*tables, anyway=True, out=path)
    seen = visit(path, width, scheme=scheme).draw_all()
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
    background = seen.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == {"light": "rgb(245, 247, 250)", "dark": "rgb(18, 22, 29)"}[scheme]
    assert seen.page.locator(".card h2").count() >= 5
    # Figures side by side are of one height.
    figures = "[...document.querySelectorAll('.panel')].map((f) => f.getBoundingClientRect())"
    places = seen.page.evaluate(f"{figures}.map((r) => [r.top, r.height])")
    heights = {top: {height for other, height in places if other == top} for top, _ in places}
    assert len(heights) < len(places) or width == 400
    assert all(len(each) == 1 for each in heights.values())
    seen.assert_quiet()
    assert seen.violations() == []


def test_where_no_trial_has_a_score_the_table_says_how_each_ended(visit, source_of, tmp_path):
    table = source_of(20).table.assign(status="diverged", score=float("nan"))
    path = tmp_path / "page.html"
    write_page([replace(source_of(20), table=table)], path)
    seen = visit(path)
    assert seen.page.inner_text("#answer, .answer .note") == "20 diverged."
    assert set(column(seen, "status")) == {"diverged"}
    assert "val_accuracy" not in seen.page.locator("#trials thead th").all_inner_texts()
    seen.assert_quiet()


def test_sweeps_of_one_name_are_told_apart(visit, sweep_of, tmp_path):
    report([sweep_of(100), sweep_of(100, seed=1)], out=tmp_path / "page.html")
    seen = visit(tmp_path / "page.html")
    names = seen.page.locator("#overview tbody .pick").all_inner_texts()
    assert len({*names}) == 2
    assert all(name.startswith("made-up (") for name in names)
    # The verdict is the headline.
    assert re.search("is better than|no winner", seen.page.inner_text("#comparison h1"))
    assert seen.page.locator("#comparison .plot").count() >= 2
    # It stays as it is beside another sweep.
    first = seen.page.inner_text(".headline")
    seen.draw_all()
    assert seen.page.locator("#overview .plot .scatterlayer .trace").count() == 2
    seen.page.locator("#overview tbody .pick").nth(1).click()
    assert seen.page.inner_text(".headline") != first
    assert seen.page.locator("#comparison .plot .main-svg").count() >= 2
    assert seen.page.locator("h1").count() == 1
    seen.page.locator("#sweep").select_option("0")
    assert seen.page.inner_text(".headline") == first
    seen.draw_all().assert_quiet()


def test_many_trials_render_and_many_sweeps_fit(visit, page_of, source_of):
    path = page_of(4_000)
    assert path.stat().st_size < 6_000_000
    seen = visit(path)
    seen.draw_all()
    assert seen.matching() == 3_600
    assert seen.page.locator("#trials tbody tr").count() == 20
    assert "trials, evenly spread" in seen.page.inner_text("#progress .note")
    assert "the best" in seen.page.inner_text("#curves .note")
    seen.assert_quiet()
    assert len(render([source_of(4_000)] * 3).encode()) < 6_000_000


def drag_brush(seen, axis, start, end):
    """Drag along an axis of the parallel coordinates, in shares of its height from the top."""
    seen.page.locator("#parallel").scroll_into_view_if_needed()
    handle = seen.page.locator("#parallel .axis-zone").nth(axis)
    handle.scroll_into_view_if_needed()
    box = handle.bounding_box()
    x = box["x"] + box["width"] / 2
    seen.page.mouse.move(x, box["y"] + start * box["height"])
    seen.page.mouse.down()
    seen.page.mouse.move(x, box["y"] + end * box["height"], steps=10)
    seen.page.mouse.up()
    seen.page.wait_for_timeout(400)


def column(seen, name):
    """The cells of one column of the table that are shown."""
    head = [text.rstrip(" ▲▼") for text in seen.page.locator("#trials thead th").all_inner_texts()]
    at = head.index(name) + 1
    return seen.page.locator(f"#trials tbody td:nth-child({at})").all_inner_texts()


def test_a_brush_to_the_end_of_a_cut_axis_keeps_the_trials_beyond(visit, source_of, tmp_path):
    table = source_of(100).table
    scores = table["score"].where(~table["trial"].isin([1, 2]), -1e6)
    path = tmp_path / "page.html"
    write_page([replace(source_of(100), table=table.assign(score=scores))], path)
    seen = visit(path).draw_all()
    axis = seen.page.locator("#parallel .axis-zone").count() - 1
    drag_brush(seen, axis, 0.999, 0.75)
    seen.page.locator("#trials thead button", has_text="val_accuracy").click()
    assert column(seen, "val_accuracy")[:2] == ["-1,000,000"] * 2
    # One that ends before it does not.
    drag_brush(seen, axis, 0.85, 0.5)
    assert "-1,000,000" not in column(seen, "val_accuracy")
    seen.assert_quiet()


def test_axes_have_ticks_and_a_brush_filters_the_table(visit, page_of):
    seen = visit(page_of(100)).draw_all()
    # Lines of inactive values end below all others.
    ticks = seen.page.locator("#parallel .axis-tick").evaluate_all(
        "(nodes) => nodes.map((node) => [node.textContent, Number(node.getAttribute('y'))])"
    )
    lowest = max(y for text, y in ticks if text != "inactive")
    assert [y > lowest for text, y in ticks if text == "inactive"] == [True]
    assert {"0.0003", "0.003", "0.03"} <= {text for text, _ in ticks}
    everything = seen.matching()
    # hidden_layers, 1 to 3: the upper part is 3 alone.
    drag_brush(seen, 0, 0.02, 0.3)
    assert 0 < seen.matching() < everything
    assert set(column(seen, "hidden_layers")) == {"3"}
    assert "pass the filters" in seen.page.inner_text("#best [role=status]")
    # The form says the same.
    seen.page.click("#parallel summary")
    boxes = seen.page.locator("#parallel fieldset").nth(0).locator("input")
    assert [box.is_checked() for box in boxes.all()] == [False, False, True]
    seen.page.click("text=Clear all filters")
    assert seen.matching() == everything
    assert seen.page.locator("text=Clear all filters").is_hidden()
    seen.assert_quiet()


def test_the_form_filters_the_table_and_the_figure_by_keyboard(visit, page_of):
    seen = visit(page_of(100)).draw_all()
    seen.page.focus("#parallel summary")
    seen.page.keyboard.press("Enter")
    field = seen.page.locator("#parallel fieldset:has(legend:text-is('layer_type'))")
    field.locator("label", has_text="dense").locator("input").focus()
    seen.page.keyboard.press("Space")
    assert "dense" not in column(seen, "layer_type")
    seen.page.locator("#parallel fieldset:has(legend:text-is('learning_rate')) input").first.focus()
    seen.page.keyboard.type("0.01")
    seen.page.keyboard.press("Tab")
    assert min(float(cell) for cell in column(seen, "learning_rate")) >= 0.01
    # The figure follows in its next frame.
    seen.wait("document.querySelectorAll('#parallel .axis-range').length === 3")
    # Choosing no value of a hyperparameter leaves nothing.
    while field.locator("input:checked").count():
        field.locator("input:checked").first.uncheck()
    assert seen.matching() == 0
    seen.assert_quiet()


def test_sorting_paging_and_choosing_a_trial_by_keyboard(visit, page_of):
    seen = visit(page_of(100)).draw_all()
    scores = [float(cell) for cell in column(seen, "val_accuracy")]
    assert scores == sorted(scores, reverse=True)
    seen.page.locator("#trials thead button", has_text="learning_rate").focus()
    seen.page.keyboard.press("Enter")
    rates = [float(cell) for cell in column(seen, "learning_rate")]
    assert rates == sorted(rates)
    assert seen.page.locator("#trials th[aria-sort=ascending]").count() == 1
    seen.page.locator("#best button", has_text="Next").focus()
    seen.page.keyboard.press("Enter")
    assert seen.page.inner_text("#best [role=status]").startswith("21 to 40 of 90")
    pick = seen.page.locator("#trials .pick").first
    trial = pick.inner_text()
    pick.focus()
    seen.page.keyboard.press("Enter")
    detail = seen.page.locator("#trials .detail")
    assert detail.locator("h3").inner_text() == f"Trial {trial}"
    assert "batch_size" in detail.inner_text()
    opened = seen.page.locator("#trials .pick[aria-expanded=true]")
    assert opened.evaluate("(node) => node === document.activeElement")
    seen.page.keyboard.press("Tab")
    focused = "(node) => [node.textContent, !!node.closest('.detail')]"
    assert seen.page.locator(":focus").evaluate(focused) == ["Copy as YAML", True]
    opened.focus()
    seen.page.keyboard.press("Enter")
    assert seen.page.locator("#trials .detail").count() == 0
    seen.assert_quiet()


def test_the_first_screen_answers_and_words_filter_the_table(visit, source_of, page_of):
    seen = visit(page_of(100))
    first = seen.page.locator("#answer")
    box = first.bounding_box()
    # It fits into the first view, with what follows in sight.
    assert box["y"] + box["height"] < 900
    shares = first.locator(".mattered strong").all_inner_texts()
    assert shares == source_of(100).importance.singles[:3]
    assert first.locator(".advice li").count() >= 1
    # Words filter the table, and columns can be chosen.
    seen.page.locator("#best input[type=search]").fill("relu adam")
    assert set(column(seen, "activation")) == {"relu"}
    assert set(column(seen, "optimizer")) == {"adam"}
    seen.page.locator("#best input[type=search]").fill("")
    seen.page.locator("#best .menu summary").click()
    seen.page.locator("#best .menu label", has_text="optimizer").click()
    seen.page.locator("#best .menu label", has_text="trainer").click()
    head = seen.page.locator("#trials thead th").all_inner_texts()
    assert "optimizer" not in head
    assert "trainer" in head
    seen.assert_quiet()


@pytest.mark.parametrize("hostile", [False, True])
def test_a_config_is_copied_as_yaml(visit, page_of, source_of, hostile, tmp_path):
    trials = 60 if hostile else 100
    options = {"hostile": True} if hostile else {}
    seen = visit(page_of(trials, **options))
    source = source_of(trials, **options)
    seen.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    expected = values_of(source.best, hyperparameter_columns(source.table))

    def copied(place, name):
        place.locator("button", has_text=name).click()
        return seen.page.evaluate("navigator.clipboard.readText()")

    def fixed(text):
        """The values of a sweep file; a list or a mapping is the only one of a list."""
        parameters = yaml.safe_load(text)["parameters"]
        return {n: v[0] if isinstance(v, list) else v for n, v in parameters.items()}

    answer = seen.page.locator("#answer")
    assert fixed(copied(answer, "Copy as YAML")) == expected
    # Of any other trial, numbers have six digits.
    seen.page.locator("#trials .pick").nth(3).click()
    detail = seen.page.locator("#trials .detail")
    other = fixed(copied(detail, "Copy as YAML"))
    wanted = values_of(source.ranked.iloc[3], hyperparameter_columns(source.table))
    rate = wanted.pop("learning_rate")
    assert other.pop("learning_rate") == pytest.approx(rate, rel=1e-5)
    assert other == wanted


def test_executions_are_lines_of_their_trial(visit, tmp_path, repeated):
    path = tmp_path / "page.html"
    write_page([repeated], path)
    seen = visit(path).draw_all()
    assert " ± " in seen.page.inner_text(".headline")
    assert all(" ± " in cell for cell in column(seen, "val_accuracy"))
    # One line a config.
    assert seen.matching() == len(repeated.ranked) == 18
    seen.page.locator("#trials .pick").first.click()
    lines = seen.page.locator("#trials .detail tbody tr").all_inner_texts()
    assert [line.split("\t")[0] for line in lines] == ["0", "1", "2"]
    seen.draw_all().assert_quiet()


def test_numbers_are_written_as_in_python(visit, page_of):
    """Two figures of the page, one from Python and one from its script, say the same."""
    script = (files("hpsearch.reporting") / "assets" / "basics.js").read_text(encoding="utf-8")
    values = [0, 1, 32, 0.97222, 0.003, 12.3456, 99.996, 345.678, 999.96, 20050.3, 12345678]
    values += [7.8e-6, 1.234e-4, -0.5, 1e22, 2 / 3, 0.0168, 10_000, 9_999, 1e-4, 4.5e7]
    seen = visit(page_of(1))
    written = seen.page.evaluate(
        f"(all) => {{ {script}; return all.map((v) => [score(v), score(v, 12), brief(v)]); }}",
        values,
    )
    assert written == [[number(v), number(v, beside=12), plain(v)] for v in values]
    names = ["short", "a_rather_long_name_of_a_hyperparameter_10"]
    cut = seen.page.evaluate(
        f"(t) => {{ {script}; return t.map((n) => shortened(n, 13)); }}", names
    )
    assert cut == [inert(name, 13) for name in names]


def test_everything_is_printed_and_the_theme_can_be_turned(visit, page_of, tmp_path):
    seen = visit(page_of(100), scheme="dark")
    seen.page.pdf(path=tmp_path / "page.pdf", format="A4")
    assert (tmp_path / "page.pdf").stat().st_size > 50_000
    # What is printed: each figure, light, and no wider than the paper.
    seen.page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    seen.page.emulate_media(media="print")
    assert seen.page.locator(".plot:not([data-drawn])").count() == 0
    assert seen.page.evaluate("document.documentElement.dataset.theme") == "light"
    widest = seen.page.evaluate(
        """() => {
          const left = document.querySelector('main').getBoundingClientRect().left;
          const nodes = [...document.querySelectorAll('.plot svg, .plot canvas, table')];
          return Math.max(...nodes.map((node) => node.getBoundingClientRect().right - left));
        }"""
    )
    assert widest <= 690
    # No figure covers the next card, and no word of the table is broken.
    assert seen.page.evaluate(
        """[...document.querySelectorAll('.plot svg.main-svg')].every((node) => {
          const [drawn, card] = [node, node.closest('.card')].map((n) => n.getBoundingClientRect());
          return drawn.bottom <= card.bottom;
        })"""
    )
    assert seen.page.evaluate("document.documentElement.dataset.print") == "tight"
    assert "Drag" not in seen.page.inner_text("#parallel .note")
    assert not re.search("Choose|Point at", seen.page.inner_text("main"))
    hidden = ".controls:not(.pages):visible, .pages button:visible"
    assert seen.page.locator(hidden).count() == 0
    assert seen.page.inner_text(".pages").strip() == "1 to 20 of 90 trials"
    seen.page.emulate_media(media="screen")
    seen.page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert seen.page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert "the best on top. Drag along an axis" in seen.page.inner_text("#parallel .note")
    # The reader's choice of the theme.
    line = "document.querySelector('#progress .plot').data[1].line.color"
    dark = seen.page.evaluate(line)
    seen.page.click("#theme")
    seen.wait(f"{line} !== '{dark}'")
    assert seen.page.evaluate("document.documentElement.dataset.theme") == "light"
    seen.assert_quiet()


def test_hovering_a_curve_shows_its_config(visit, page_of):
    seen = visit(page_of(100)).draw_all()
    seen.page.locator("#curves .plot").scroll_into_view_if_needed()
    seen.page.wait_for_timeout(200)
    # Where the best trial's curve ends, which is drawn on top.
    at = seen.page.evaluate(
        """() => {
          const node = document.querySelector('#curves .plot');
          const { xaxis, yaxis } = node._fullLayout;
          const trace = node.data.at(-1);
          const box = node.getBoundingClientRect();
          return [box.x + xaxis._offset + xaxis.d2p(trace.x.at(-1)),
                  box.y + yaxis._offset + yaxis.d2p(trace.y.at(-1)), trace.meta.trial];
        }"""
    )
    seen.page.mouse.move(at[0] - 30, at[1])
    seen.page.mouse.move(at[0], at[1], steps=4)
    seen.page.wait_for_selector("#curves .hoverlayer .hovertext")
    said = seen.page.locator("#curves .hoverlayer").text_content()
    assert f"trial {at[2]}" in said
    assert "learning_rate" in said
    seen.page.mouse.click(at[0], at[1])
    assert seen.page.inner_text("#trials .detail h3") == f"Trial {at[2]}"
    seen.assert_quiet()


def test_hostile_names_are_text(visit, page_of):
    seen = visit(page_of(60, hostile=True)).draw_all()
    assert seen.page.evaluate("window.hacked") is None
    assert seen.page.locator("main script, main img, main iframe").count() == 0
    # Plotly would make a link of it.
    assert seen.page.locator("svg a[href*='example.com'], main a[href*='example.com']").count() == 0
    text = seen.page.locator("#trials").inner_text()
    assert "<script>window.hacked=1</script>" in text
    assert "=cmd|" in text
    seen.page.locator("#trials .pick").first.click()
    assert "</script><script>window.hacked=2</script>" in seen.page.inner_text("#trials .detail")
    labels = seen.page.locator("#effects svg").all_text_contents()
    assert any("</script>" in label for label in labels)
    # Brushing an axis whose name is hostile.
    axes = seen.page.locator("#parallel .axis-zone").count()
    for axis in range(axes):
        drag_brush(seen, axis, 0.1, 0.6)
    assert seen.page.evaluate("window.hacked") is None
    seen.assert_quiet()


def test_the_browser_itself_forbids_requests_and_other_scripts(visit, page_of):
    seen = visit(page_of(1))
    refused = seen.page.evaluate(
        """async () => {
          const node = document.createElement('script');
          node.textContent = 'window.hacked = 1';
          document.body.append(node);
          try { await fetch('http://127.0.0.1:9/x'); return 'sent'; } catch { return 'refused'; }
        }"""
    )
    assert refused == "refused"
    assert seen.page.evaluate("window.hacked") is None
    assert any("Content Security Policy" in complaint for complaint in seen.complaints)
    assert not any("127.0.0.1" in url for url in seen.requests)


def contrast(first, second):
    """Of two colours, as WCAG 2 has it."""

    def light(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((light(first), light(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_colours_have_contrast(theme):
    colours = THEMES[theme]
    for behind in ("background", "page"):
        for text in ("text", "muted", "accent", "second", "good", "bad"):
            assert contrast(colours[text], colours[behind]) > 4.3, (text, behind)
    for line in [*colours["series"], *colours["lines"]]:
        assert contrast(line, colours["background"]) > 3


def test_evaluations_and_predictions_are_shown_where_there_are_any(visit, page_of, source_of):
    path = page_of(20)
    assert visit(path).page.locator("#evaluations, #predictions").count() == 0
    metrics = {"loss": Measurement(0.41234, 0.3, 0.6, "t"), "accuracy": Measurement(0.9)}
    look = Evaluation("2026-01-02T03:04:05+00:00", 7, "c<b>", 0, "test", 1_360, "accuracy", metrics)
    six = replace(look, rows=6, metrics={"accuracy": Measurement(0.9)})
    looks = (
        replace(look, confusion=((9, 9), (9, 9))),
        replace(six, confusion=((3, 1), (0, 2))),
        replace(six, split="train", pairs=((1.0, 2.0), (3.0, 2.5))),
    )
    source = replace(source_of(20), evaluations=looks)
    # It is not computed again.
    vars(source)["importance"] = source_of(20).importance
    shown = path.with_name("evaluated.html")
    write_page([source], shown)
    seen = visit(shown).draw_all()
    rows = seen.page.locator("#evaluations tbody tr").all_inner_texts()
    assert [row.split("\t") for row in rows[:2]] == [
        [look.time, "7", "test", "1,360", "loss", "0.4123", "0.3000 to 0.6000"],
        [look.time, "7", "test", "1,360", "accuracy", "0.9000", "-"],
    ]
    assert len(rows) == 4
    assert seen.page.locator("#nav a[href='#evaluations']").count() == 1
    # Of predictions, the last ones of each split.
    rows = seen.page.locator("#predictions tbody tr").all_inner_texts()
    assert [row.split("\t") for row in rows] == [
        ["0", "3", "1", "4 (67%)"],
        ["1", "", "2", "2 (33%)"],
    ]
    # Blue is worse, here as elsewhere.
    cells = seen.page.locator("#predictions tbody td")
    assert "--second" in cells.nth(0).get_attribute("style")
    assert "--accent" in cells.nth(1).get_attribute("style")
    data = seen.page.evaluate("document.querySelector('#predictions .plot').data[1]")
    assert (data["x"], data["y"]) == ([1, 3], [2, 2.5])
    seen.assert_quiet()


def test_each_control_is_reached_by_keyboard_in_the_order_of_the_page(visit, page_of):
    seen = visit(page_of(100)).draw_all()
    seen.page.evaluate("document.activeElement.blur(); window.scrollTo(0, 0)")
    reached = []
    for _ in range(120):
        seen.page.keyboard.press("Tab")
        reached.append(
            seen.page.evaluate(
                "((n) => [n.closest('section')?.id, n.tagName, n.textContent.slice(0, 20)]"
                ".join(' '))(document.activeElement)"
            )
        )
    controls = [
        " A Skip to the content",
        "answer BUTTON Copy as YAML",
        "best SUMMARY Columns",
        "best BUTTON Next",
        "parallel SUMMARY Filter by value",
    ]
    # Beyond the last control, the first one follows.
    assert [each for each in dict.fromkeys(reached) if each in controls] == controls
