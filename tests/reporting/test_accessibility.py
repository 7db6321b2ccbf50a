"""The page for those who see little, or use no mouse: axe-core's rules, and the keyboard."""

from __future__ import annotations

import pytest

import hpsearch

pytestmark = pytest.mark.slow


def violations(seen):
    """What axe-core finds wrong: rule, advice and elements."""
    # Here: pages can be written without it, and are in .ci/oldest.
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(seen.page).response["violations"]
    return [(each["id"], each["help"], [node["html"] for node in each["nodes"]]) for each in found]


@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (400, "dark")])
def test_the_report_breaks_no_rule(visit, page_of, scheme, width):
    seen = visit(page_of(100), width, scheme=scheme).draw_all()
    seen.page.locator("#trials .pick").nth(1).click()
    seen.page.locator("#best .menu summary").click()
    seen.page.locator("#parallel summary").click()
    seen.draw_all()
    assert violations(seen) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_comparison_breaks_no_rule(visit, sweep_of, tmp_path, scheme):
    path = tmp_path / "comparison.html"
    tables = [sweep_of(100), sweep_of(100, seed=1), sweep_of(20)]
    hpsearch.compare(*tables, anyway=True, out=path)
    assert violations(visit(path, scheme=scheme).draw_all()) == []


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
