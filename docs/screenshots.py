"""The screenshots in docs/images, of a finished run: `python docs/screenshots.py RUN`.

It needs a chromium and `pip install playwright pillow`, and reads RUN without writing there.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Literal

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from tutelage.report.write import write_report

IMAGES = Path(__file__).parent / "images"
COLOURS = 128
"""Of a palette: a page of text and lines looks the same in them, at a third of the size."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="the folder of a finished run")
    parser.add_argument("--out", type=Path, default=IMAGES, help="where the images go (docs/images)")
    arguments = parser.parse_args()
    chromium = next((found for name in ("chromium", "google-chrome") if (found := shutil.which(name))), None)
    if chromium is None:
        sys.exit("There is no chromium here. On Debian: apt-get install chromium")
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        address = write_report(arguments.run, Path(folder) / "report.html").as_uri()
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for name, page in _pages(browser, address):
            _save(page, arguments.out / f"{name}.png")
        browser.close()


def _pages(browser: Browser, address: str) -> list[tuple[str, Page]]:
    """By the name of its image, each page as it is to be seen."""
    return [
        ("report-overview", _opened(browser, address, height=985)),
        ("report-questions", _questions(browser, address)),
        ("report-story", _story(browser, address)),
        ("report-phone", _opened(browser, address, 360, 800, "light")),
    ]


def _opened(
    browser: Browser, address: str, width: int = 1100, height: int = 900, scheme: Literal["light", "dark"] = "light"
) -> Page:
    sharp = 2 if width < 500 else 1
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, device_scale_factor=sharp
    )
    page = context.new_page()
    page.goto(address)
    page.locator("#section-overview svg").wait_for()
    return page


def _questions(browser: Browser, address: str) -> Page:
    """The table of those that turned right, if the run has any."""
    page = _opened(browser, address, height=760)
    page.click("nav a[href='#/questions']")
    choices = page.locator("#q-status option").evaluate_all("all => all.map(one => [one.value, one.textContent])")
    turned = [value for value, text in choices if text.startswith("turned right") and not text.endswith("(0)")]
    if turned:
        page.select_option("#q-status", turned[-1])
    page.evaluate("document.activeElement.blur()")
    page.locator("#section-questions").evaluate("node => node.scrollIntoView({behavior: 'instant'})")
    return page


def _story(browser: Browser, address: str) -> Page:
    """The first training question whose wrong step is marked: the course from its second exam on, in dark colours."""
    page = _opened(browser, address, height=1000, scheme="dark")
    page.select_option("#q-split", "train")
    questions = page.locator(".q-table tbody tr a")
    for address_ in questions.evaluate_all("all => all.map(one => one.getAttribute('href'))"):
        page.evaluate("to => { location.hash = to; }", address_)
        page.locator("#view .q-timeline").wait_for()
        shown = page.locator(".q-entry", has=page.locator("mark"))
        if shown.count():
            shown.last.evaluate("node => node.scrollIntoView({behavior: 'instant'})")
            break
    return page


def _save(page: Page, path: Path) -> None:
    page.wait_for_timeout(500)  # charts are drawn, and the page has come to rest
    page.screenshot(path=path)
    with Image.open(path) as image:
        image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    page.context.close()


if __name__ == "__main__":
    main()
