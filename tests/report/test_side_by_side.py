"""Several runs, and comparisons, in one page: as a browser shows it."""

from __future__ import annotations

import csv
import io
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.report.gathering.test_comparisons import METHODS, curves
from tests.report.made_runs import write_comparison, write_run
from tests.report.waiting import wait_until
from tutelage.comparisons.tables.table import Cell, Table, cell_text
from tutelage.errors import WorkspaceError
from tutelage.evaluation.cases import Case, CaseStudy
from tutelage.records import Attempt, Correction, Mistake, Question
from tutelage.report.side_by_side import write_side_by_side

BAD = "<img src=x onerror=window.ran=1><script>window.ran=1<"
"""What no file system minds in a folder's name; a tag's end would be another folder."""
TAGS = f"{BAD}/script></table></script><b>bold</b>"


def opened(page: Page, path: Path | None) -> Page:
    assert path is not None
    page.goto(path.resolve().as_uri())
    page.wait_for_selector("html[data-ready]")
    wait_until(
        page,
        "document.querySelectorAll('.chart-box').length === document.querySelectorAll('.chart-box svg').length",
    )
    return page


def check_looks(page: Page) -> None:
    """No violation that axe-core knows, nothing to scroll to sideways, and nothing that ran."""
    for width, scheme in ((1280, "light"), (1280, "dark"), (360, "light")):
        page.set_viewport_size({"width": width, "height": 800})
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.wait_for_timeout(150)
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        assert page.evaluate("document.scrollingElement.scrollWidth <= window.innerWidth")
    assert page.evaluate("window.ran") is None


def cells(page: Page, row: str) -> list[str]:
    """The texts of a table's row by what its first cell holds, a line's end as a space."""
    found = page.locator("tbody tr").filter(has=page.locator("th", has_text=row)).first
    return [" ".join(text.split()) for text in found.locator("th, td").all_inner_texts()]


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    """Two that can be compared, and one that was asked other questions."""
    return [
        write_run(tmp_path / "runs" / "plain", [2, 6], "[study]", "lambda = 0.0"),
        write_run(tmp_path / "runs" / BAD, [2, 15], "[study]", "lambda = 0.5", f"note = {json.dumps(TAGS)}", cents=25),
        write_run(tmp_path / "runs" / "other", [2, 18], task=TAGS),
    ]


def test_runs_side_by_side(runs: list[Path], browser_page: Page) -> None:
    path = write_side_by_side(runs)
    assert path == runs[0].parent / "comparison.html"
    page = opened(browser_page, path)
    data: Any = page.evaluate("tutelage.data('comparison')")
    second = data["runs"][1]
    low, high = (100 * end for end in second["difference"]["interval"])
    assert second["difference"]["difference"] == 0.45
    assert cells(page, BAD)[2:] == [
        *("1", "round 1", "75.0 % (53.1 % to 88.8 %)", f"+45.0 (+{low:.1f} to +{high:.1f}) p = 0.004"),
        *("120", "0.25", "1 min 1 s cpu"),
    ]
    assert cells(page, BAD)[1].startswith(f"study.lambda 0.5 study.note {TAGS} task.name own")
    assert cells(page, "other")[5] == "not compared"
    verdict = page.locator(".verdict").inner_text()
    assert f"Significantly better than plain: {BAD}." in verdict
    assert "other is not compared with plain: other test questions" in verdict
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the numbers as CSV of: Test accuracy by round").click()
    lines = list(csv.DictReader(io.StringIO(download.value.path().read_text())))
    assert [(line["run"], float(line["accuracy"])) for line in lines] == [
        (run["name"], one["accuracy"]) for run in data["runs"] for one in run["rounds"]
    ]
    assert page.locator(".chart-box svg").count() == 3
    check_looks(page)
    page.get_by_role("link", name="plain", exact=True).click()
    page.wait_for_selector("html[data-ready]")
    assert page.url == (runs[0] / "report.html").resolve().as_uri()


def case(name: str, right: bool) -> Case:
    before = Attempt(name, 0, "", f"wrong way {TAGS}", "3", False, 5, True)
    after = Attempt(name, 0, "", "right way", "2", right, 5, True)
    mistake = Mistake(name, before.rationale, "3")
    correction = Correction(name, 1, f"teacher {TAGS}", mistake, "", "because", "2", "kept")
    return Case(Question(name, f"1 + 1? {TAGS}", "2", "number"), (before,), correction, after)


@pytest.fixture
def comparisons(tmp_path: Path) -> Path:
    """A folder of three: methods with costs, λ with its curves, and a picture with cases."""
    folder = tmp_path / "comparisons"
    named = (Cell(TAGS), *METHODS.rows[1][1:])
    table = Table(METHODS.name, f"Table 1 {TAGS}", METHODS.columns, (*METHODS.rows, named), (f"A note {TAGS}",))
    costs = Table("cost", "What a point cost", ("row", "seconds"), ((Cell("Student"), Cell(61.25)),))
    rows = ["Student", "+ Distillation"]
    write_comparison(folder / "a", "methods", [table], [*rows, TAGS], costs, title=f"Table 1 {TAGS}")
    heading = ("λ", "accuracy", "final loss of the language model", "final triplet loss", "the paper's svamp")
    lines = tuple(
        (Cell(weight, digits=2), Cell(40.0 + weight, (30.0, 50.0)), Cell(0.5), Cell(weight or None), Cell(82.0))
        for weight in (0.0, 1.0)
    )
    write_comparison(folder / "b", "lambda", [Table("lambda", "Fig. 5", heading, lines), curves(4)], ["λ = 0", "λ = 1"])
    points = tuple(
        (Cell("Student"), Cell(""), Cell("1"), Cell(f"q/{place}"), Cell(label), Cell(0.5 * place), Cell(1.0))
        for place in range(4)
        for label in ("right", "wrong")
    )
    picture = Table("points", "Hidden states", ("row", "column", "seed", "question", "solution", "x", "y"), points)
    study = CaseStudy("Turned right", f"a rule {TAGS}", 9, 3, (case(f"q/1 {TAGS}", True),))
    write_comparison(folder / "c", "reflection", [picture], ["Student"], cases={"Student": [asdict(study)]})
    return folder


def test_a_folder_of_comparisons(comparisons: Path, browser_page: Page) -> None:
    path = write_side_by_side([comparisons])
    assert path == comparisons / "report.html"
    page = opened(browser_page, path)
    titles = [f"Table 1 {TAGS}", "Small (b)", "Small (c)"]  # two of the same name are told apart by their folders
    assert page.locator("nav a").all_inner_texts() == page.locator("h2").all_inner_texts() == titles
    shown = page.locator("#section-comparison-1 .table-box").first.locator("tbody tr")
    for line, row in zip(shown.all(), METHODS.rows, strict=False):
        texts = [" ".join(text.split()) for text in line.locator("th, td").all_inner_texts()]
        assert texts == [cell_text(cell) for cell in row]
    assert shown.nth(2).locator("th").inner_text() == TAGS
    assert [page.locator(f"#section-comparison-{one} .chart-box svg").count() for one in (1, 2, 3)] == [1, 4, 1]
    page.get_by_text("q/1", exact=False).first.click()
    text = page.locator("details.case").inner_text()
    for words in (f"1 + 1? {TAGS}", "Before: 0 of 1 attempts right", f"wrong way {TAGS}", "The teacher (teacher <img"):
        assert words in text
    page.get_by_text("What each run cost").click()
    assert cells(page, "Student")[1:2] == ["4.8 (1.5 to 12.2)"]
    assert page.locator("details[open] td", has_text="61.2").count() == 1
    for summary in page.get_by_text("The runs", exact=True).all():
        summary.click()
    check_looks(page)
    page.get_by_role("navigation").get_by_role("link", name="Small (b)").click()
    expect(page.locator("#heading-comparison-2")).to_be_focused()
    page.locator("#section-comparison-2").get_by_role("link", name="1.00").click()
    page.wait_for_selector("html[data-ready]")
    assert page.url == (comparisons / "b/runs/λ-=-1/seed-1/report.html").resolve().as_uri()


def test_a_runs_own_page_is_written_again_once_something_happened_in_the_run(runs: list[Path]) -> None:
    write_side_by_side(runs)
    own = runs[0] / "report.html"
    text = own.read_text()
    own.write_text("kept")
    write_side_by_side(runs)
    assert own.read_text() == "kept"
    os.utime(runs[0] / "outcome.json", (own.stat().st_mtime + 1,) * 2)
    write_side_by_side(runs)
    assert len(own.read_text()) == len(text)


def test_one_run_has_a_page_of_its_own_and_other_folders_are_refused(runs: list[Path], tmp_path: Path) -> None:
    assert write_side_by_side(runs[:1]) is None
    assert write_side_by_side([runs[0], runs[0].parent / "." / "plain"]) is None
    (tmp_path / "empty").mkdir()
    with pytest.raises(WorkspaceError, match="empty is not a run folder"):
        write_side_by_side([runs[0], tmp_path / "empty"])
