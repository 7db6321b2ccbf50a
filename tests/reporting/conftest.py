"""Reports of made-up sweeps, and the Chromium of the system to open them."""

from contextlib import suppress
from functools import cache

import pandas as pd
import pytest
from tables import write_sweep

from hpsearch.reporting.page import write_page
from hpsearch.reporting.source import ReportSource, load_source

CHROMIUM = "/usr/bin/chromium"


@pytest.fixture(scope="session")
def sweep_of(tmp_path_factory):
    """The directory of a made-up sweep by its number of trials, made once."""

    @cache
    def directory(trials, **options):
        return write_sweep(tmp_path_factory.mktemp("sweep"), trials, **options)

    return directory


@pytest.fixture(scope="session")
def source_of(sweep_of):
    """A sweep as a report sees it, loaded once: importance is computed once."""
    return cache(lambda trials, **options: load_source(sweep_of(trials, **options)))


@pytest.fixture(scope="session")
def repeated(source_of):
    """A sweep with three seeds of each trial, the next one better by 0.01."""

    def of_seeds(rows, column):
        better = [rows.assign(**{"seed": s, column: rows[column] + 0.01 * s}) for s in range(3)]
        return pd.concat(better, ignore_index=True)

    source = source_of(20)
    return ReportSource(of_seeds(source.table, "score"), of_seeds(source.curves, "val_accuracy"))


@pytest.fixture(scope="session")
def page_of(sweep_of, source_of):
    """The path of a sweep's report by its number of trials, written once."""

    def path(trials, **options):
        page = sweep_of(trials, **options) / "report.html"
        if not page.exists():
            write_page([source_of(trials, **options)], page)
        return page

    return path


@pytest.fixture(scope="session")
def browser():
    # Here: pages can be written without a browser, and are in .ci/oldest.
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield chromium
        chromium.close()


class Visit:
    """A page that was opened, and all that it complained about or asked for."""

    def __init__(self, page, path):
        self.page, self.path = page, path
        self.complaints, self.requests, self.downloads = [], [], []
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))

    def _heard(self, message):
        # What the software renderer says of its own speed.
        if "GPU stall due to ReadPixels" not in message.text:
            self.complaints.append(f"{message.type}: {message.text}")

    def open(self):
        self.page.goto(self.path.as_uri())
        self.wait("document.documentElement.dataset.ready === 'yes'")
        return self

    def wait(self, condition, seconds=30):
        """Wait until it holds; the page's policy forbids what Playwright's own waiting does."""
        for _ in range(seconds * 20):
            with suppress(Exception):  # The page is just being read again.
                if self.page.evaluate(condition):
                    return
            self.page.wait_for_timeout(50)
        raise AssertionError(f"after {seconds} seconds, this does not hold: {condition}")

    def draw_all(self):
        """Scroll through the page until every figure is drawn."""
        height = self.page.evaluate("document.documentElement.scrollHeight")
        for top in range(0, height, 500):
            self.page.evaluate(f"window.scrollTo(0, {top})")
            self.page.wait_for_timeout(40)
        self.wait("[...document.querySelectorAll('.plot')].every((node) => node.dataset.drawn)")
        return self

    def matching(self):
        return int(self.page.get_attribute("#best [role=status]", "data-matching"))

    def violations(self):
        """What axe-core finds wrong: rule, advice and elements."""
        # Here: pages can be written without it, and are in .ci/oldest.
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(self.page).response["violations"]
        return [(v["id"], v["help"], [node["html"] for node in v["nodes"]]) for v in found]

    def assert_quiet(self):
        assert self.complaints == []
        assert self.requests == [self.path.as_uri()] * len(self.requests)


@pytest.fixture
def visit(browser):
    """Open a file in a window of its own."""
    contexts = []

    def opened(path, width=1400, *, scheme="light", touch=False):
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, has_touch=touch,
            # Else each step of `draw_all` waits half a second for a smooth scroll to end.
            reduced_motion="reduce",
        )  # fmt: skip
        contexts.append(context)
        return Visit(context.new_page(), path).open()

    yield opened
    for context in contexts:
        context.close()
