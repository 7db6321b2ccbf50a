"""The page for those who use no mouse; test_browser.py has axe-core's rules."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.slow


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
