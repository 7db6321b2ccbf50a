"""Run the README's sweep, print its best trials, and photograph its report.

    python experiments/readme.py

Writes `readme_report.png`; needs `pip install -e '.[dev]'` and the system's Chromium.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parent.parent
#: Width of the picture in CSS pixels, and the sections that it leaves out.
WIDTH = 1300
LEFT_OUT = (
    ".top, #importance, #best, #parallel, #progress, #scores, #predictions, #provenance, footer"
)


def readme_sweep() -> str:
    """Return the text of the sweep file that the README shows."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (found,) = re.findall(r"^```yaml\n(.*?)^```", readme, re.DOTALL | re.MULTILINE)
    return found


def hpsearch(*arguments: str, cwd: Path) -> str:
    """Run the command line in a directory and return what it prints."""
    command = [sys.executable, "-m", "hpsearch", *arguments]
    done = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


def photograph(page_path: Path, picture: Path) -> None:
    """Write the answer, effects and curves of a page as a PNG."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": WIDTH, "height": 700})
        page.goto(page_path.as_uri())
        page.add_style_tag(content=f"{LEFT_OUT} {{ display: none !important; }}")
        page.locator("#curves .plot").scroll_into_view_if_needed()
        page.wait_for_timeout(2000)
        page.screenshot(path=picture, full_page=True)
        browser.close()


def main() -> None:
    """Run the sweep, print the table and write the picture."""
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        (home / "sweep.yaml").write_text(readme_sweep(), encoding="utf-8")
        hpsearch("run", "sweep.yaml", cwd=home)
        print(hpsearch("show", "experiments/sweep", "--top", "6", cwd=home))
        photograph(
            home / "experiments" / "sweep" / "report.html",
            ROOT / "experiments" / "readme_report.png",
        )


if __name__ == "__main__":
    main()
