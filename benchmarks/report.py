"""The report of a large run: seconds to write it, its size, and how long its questions take in a browser.

    python benchmarks/report.py --questions 10000 --json

The run is made up (`measuring.runs`): word problems of GSM8K's length, three rounds, four attempts a question, four
replies a request, and the prompts in the teacher's ledger. The browser is a headless Chromium; the page is opened
--opens times, each time afresh, and the medians count:

- open: from the navigation until the table of questions is there.
- status, typing, sort: from a choice of status, a letter in the search box, or a click on a column's name, until the
  table shows it and is laid out; typing_in_all: where all attempts and replies are searched as well.
- story: from the address of a question until its timeline is there.
- search: until the words of all attempts and replies are unpacked and searched.

The JSON object is the last line.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from measuring.runs import make_run
from tutelage.report.write import write_report

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync")

_TIMED = """(change) => {{ const begun = performance.now(); {change};
document.body.offsetHeight; return performance.now() - begun; }}"""
_STATUS = _TIMED.format(
    change="const box = document.getElementById('q-status'); box.value = change; box.dispatchEvent(new Event('change'))"
)
_TYPED = _TIMED.format(
    change="const box = document.getElementById('q-search'); box.value = change; box.dispatchEvent(new Event('input'))"
)
_SORTED = _TIMED.format(change="document.querySelector(`[data-sort='${change}']`).click()")
_STORY = """(id) => new Promise((done) => { const begun = performance.now();
new MutationObserver((_, watcher) => { if (!document.querySelector("#view .q-timeline")) return;
  watcher.disconnect(); document.body.offsetHeight; done(performance.now() - begun); })
  .observe(document.getElementById("view"), {childList: true, subtree: true});
location.hash = `#/question/${encodeURIComponent(id)}`; })"""
_SEARCH = """() => new Promise((done) => {
const begun = performance.now(), told = document.getElementById("q-progress");
new MutationObserver(() => { if (told.textContent.startsWith("All")) done(performance.now() - begun); })
  .observe(told, {childList: true}); document.getElementById("q-deep").click(); })"""


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--attempts", type=int, default=4)
    parser.add_argument("--opens", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the run is made and kept; a temporary one, if left out")
    parser.add_argument("--json", action="store_true", help="print the JSON object as the last line")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    settings = parse(argv)
    with tempfile.TemporaryDirectory() as temporary:
        folder = settings.folder or Path(temporary) / "run"
        if not folder.exists():
            make_run(folder, settings.questions, settings.rounds, settings.attempts)
        begun = time.perf_counter()
        page = write_report(folder)
        found = {"questions": settings.questions, "write_seconds": round(time.perf_counter() - begun, 2)}
        found["megabytes"] = round(page.stat().st_size / 1e6, 2)
        found |= measure(page, settings.opens)
    for name, value in found.items():
        print(f"{name:24} {value}")
    if settings.json:
        print(json.dumps(found))


def measure(page: Path, opens: int) -> dict[str, Any]:
    """What a browser takes for a report, in seconds to open it and in milliseconds for the rest; medians."""
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        return {"browser": f"none found of {', '.join(BROWSERS)}"}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        runs = [_measure_once(browser, page) for _ in range(opens)]
        browser.close()
    return {name: round(statistics.median(run[name] for run in runs), 3) for name in runs[0]}


def _measure_once(browser: Browser, page: Path) -> dict[str, float]:
    tab = browser.new_page()
    begun = time.perf_counter()
    tab.goto(f"{page.resolve().as_uri()}#/questions", wait_until="commit")
    tab.wait_for_selector(".q-table tbody tr")
    found = {"open_seconds": time.perf_counter() - begun}
    found |= _milliseconds(tab)
    tab.close()
    return found


def _milliseconds(tab: Page) -> dict[str, float]:
    statuses = tab.eval_on_selector_all("#q-status option", "all => all.map(one => one.value)")
    words = "apples"
    ids = tab.eval_on_selector_all(".q-table tbody tr", "all => all.map(one => one.dataset.key)")
    found = {
        "status_ms": statistics.median(tab.evaluate(_STATUS, one) for one in statuses),
        "typing_ms": statistics.median(tab.evaluate(_TYPED, words[: end + 1]) for end in range(len(words))),
        "sort_ms": statistics.median(tab.evaluate(_SORTED, name) for name in ("question", "gold", "last", "student-1")),
        "story_ms": statistics.median(tab.evaluate(_STORY, name) for name in ids[:5]),
    }
    tab.evaluate("location.hash = '#/questions'")
    tab.wait_for_selector(".q-table tbody tr", state="visible")
    found["search_ms"] = tab.evaluate(_SEARCH)
    found["typing_in_all_ms"] = statistics.median(tab.evaluate(_TYPED, words[: end + 1]) for end in range(len(words)))
    return found


if __name__ == "__main__":
    main()
