"""The questions of a report in a real browser."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect

from tests.report.lessons import DROPPED, EASY, EVIL, FILLERS, HELD, HOSTILE, LONG, STUCK, TEST, TURNING, write_run
from tutelage.report.gathering.stories import VERDICTS
from tutelage.report.write import write_report

SUMMARY, ROWS = "#q-summary", ".q-table tbody tr"
SHOWN = HOSTILE.replace("\u202e", "\\u202e").replace("\u202c", "\\u202c").replace("\x1b", "\\x1b")
"""As a page shows it: nothing steers it, and nothing is lost."""
ALL = FILLERS + 6


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of the hand-written run's page."""
    return write_report(write_run(tmp_path_factory.mktemp("questions") / "run")).as_uri()


@pytest.fixture
def table(browser_page: Page, report: str) -> Iterator[Page]:
    browser_page.goto(f"{report}#/questions")
    yield browser_page
    assert browser_page.evaluate("window.harmed") is None


def ids(page: Page) -> list[str]:
    return page.eval_on_selector_all(ROWS, "rows => rows.map(row => row.dataset.key)")  # type: ignore[no-any-return]


def row(page: Page, name: str) -> Locator:
    return page.locator(ROWS).nth(ids(page).index(name))


def entry(page: Page, heading: str) -> Locator:
    return page.locator(".q-entry", has=page.get_by_role("heading", name=heading))


def open_story(page: Page, report: str, name: str) -> None:
    page.goto("about:blank")
    page.goto(report)
    page.evaluate("name => { location.hash = tutelage.link(['question', name]); }", name)
    page.wait_for_selector(".q-timeline")


def test_a_filter_shows_those_questions_and_counts_the_other_choices(table: Page) -> None:
    expect(table.locator(SUMMARY)).to_have_text(f"{ALL} of {ALL} questions, page 1 of 2")
    table.select_option("#q-status", "teacher-failed-1")
    assert ids(table) == [STUCK, EASY]
    expect(table.locator(SUMMARY)).to_have_text(f"2 of {ALL} questions")
    expect(table.locator("#q-rule")).to_contain_text("no rationale of it was kept")
    assert table.locator("#q-split option").all_inner_texts() == ["all (2)", "training (2)", "held out (0)", "test (0)"]
    table.select_option("#q-status", "turned-wrong-1")
    assert ids(table) == [TEST]
    table.select_option("#q-split", "train")
    assert ids(table) == []
    assert "status=turned-wrong-1&split=train" in table.url
    table.go_back()
    expect(table.locator("#q-split")).to_have_value("")
    assert ids(table) == [TEST]
    table.get_by_role("button", name="Reset").click()
    assert len(ids(table)) == 50


def test_a_share_is_told_by_sign_and_word(table: Page) -> None:
    cells = row(table, TURNING).locator("td.q-share").all_text_contents()
    assert cells == ["✗ wrong, 0 of 2", "✓ right, 2 of 2", "–not asked"]


def test_all_words_of_a_search_must_be_there_in_the_stories_if_asked_for(table: Page) -> None:
    table.fill("#q-search", "MANY  number turning")
    assert ids(table) == []
    table.fill("#q-search", "Number TURNING")
    assert ids(table) == [TURNING]
    table.fill("#q-search", "hint says")
    assert ids(table) == []
    table.check("#q-deep")
    expect(table.locator("#q-progress")).to_have_text("All attempts and replies are searched.")
    assert ids(table) == [STUCK]
    table.fill("#q-search", "hint says 4 legs")
    assert ids(table) == [STUCK]
    assert table.evaluate("history.length") < 6  # typing leaves no trail


def test_sorting_and_paging_keep_each_other_and_the_way_back(table: Page) -> None:
    table.click("[data-sort='student-1']")
    assert ids(table)[:3] == [STUCK, EVIL, "own/held"]
    expect(table.locator("th[aria-sort]")).to_have_attribute("aria-sort", "ascending")
    table.click("[data-sort='student-1']")
    assert ids(table)[0] == TURNING
    table.get_by_role("button", name="Next").click()
    expect(table.locator(SUMMARY)).to_contain_text("page 2 of 2")
    assert ids(table)[-1] == TEST
    table.locator(f"{ROWS} a").last.click()
    expect(table.locator("#view h2")).to_have_text(f"Question {TEST}")
    table.go_back()
    expect(table.locator(SUMMARY)).to_contain_text("page 2 of 2")
    expect(table.locator(f"{ROWS} a").last).to_be_focused()
    table.go_back()
    expect(table.locator(SUMMARY)).to_contain_text("page 1 of 2")
    table.go_forward()
    expect(table.locator(SUMMARY)).to_contain_text("page 2 of 2")


def test_a_shared_link_opens_the_same_table_afresh(browser_page: Page, report: str) -> None:
    browser_page.goto(f"{report}#/questions?status=always-right&q=filler&sort=question&dir=down&page=2")
    expect(browser_page.locator(SUMMARY)).to_have_text(f"{FILLERS} of {ALL} questions, page 2 of 2")
    assert ids(browser_page)[-1] == "own/filler-0"
    expect(browser_page.locator("#q-search")).to_have_value("filler")
    browser_page.goto(f"{report}#/questions?status=no-such&page=-3")
    expect(browser_page.locator("#q-rule")).to_contain_text("no-such")
    browser_page.goto(f"{report}#/question/own%2Fno-such")
    expect(browser_page.locator("#view")).to_contain_text("no question of this name")


def test_a_link_leads_to_the_table_though_charts_above_it_are_drawn_later(browser_page: Page, report: str) -> None:
    browser_page.goto(f"{report}#/questions")
    expect(browser_page.locator(".chart-box svg").first).to_be_attached()
    expect(browser_page.locator("#q-search")).to_be_in_viewport()
    open_story(browser_page, report, EASY)
    browser_page.get_by_role("link", name="Back to the table").click()
    expect(browser_page.locator(".chart-box svg").first).to_be_attached()
    expect(row(browser_page, EASY).get_by_role("link")).to_be_in_viewport()


def test_a_story_tells_the_course_in_order(browser_page: Page, report: str) -> None:
    open_story(browser_page, report, TURNING)
    headings = [text.replace("\n", "") for text in browser_page.locator(".q-entry h3").all_inner_texts()]
    assert headings == [
        "Exam of round 1: the untrained student ✗ wrong, 0 of 2 attempts right",
        "Teacher in round 1 ✓ 2 of 4 replies kept",
        "Lesson of round 1",
        "Exam of round 2: the student of round 1 ✓ right, 2 of 2 attempts right",
    ]
    exam = entry(browser_page, "Exam of round 1")
    expect(exam.locator("mark")).to_have_text("(first wrong step: 3 + 4 = 8)")
    expect(exam.locator(".q-step")).to_have_text("First wrong step: 3 + 4 = 8; right is 7.")
    expect(exam).to_contain_text("Its arithmetic holds; it goes wrong elsewhere.")
    expect(entry(browser_page, "Exam of round 2")).to_contain_text("2 times in the same words")
    lesson = entry(browser_page, "Lesson of round 1")
    expect(lesson).to_contain_text("to learn: anchor once, positive once")
    expect(lesson).to_contain_text("to keep away from: negative twice")
    expect(entry(browser_page, "Teacher in round 1")).to_contain_text("none of the student's attempts")


def test_a_story_tells_every_verdict_the_mistake_shown_and_the_prompt(browser_page: Page, report: str) -> None:
    open_story(browser_page, report, STUCK)
    first, second = entry(browser_page, "Teacher in round 1"), entry(browser_page, "Teacher in round 2")
    for verdict, text in DROPPED:
        item = first.locator(".q-item", has_text=f"✗ {verdict}.")
        expect(item).to_contain_text(VERDICTS[verdict])
        expect(item).to_contain_text(text)
    tagged = entry(browser_page, "Exam of round 2").locator(".q-item", has_text="shown to the teacher")
    expect(tagged).to_contain_text("A duck has 4 legs.")
    expect(tagged).to_have_count(1)
    second.get_by_text("The whole prompt").click()
    expect(second).to_contain_text("Wrong Solution: A duck has 4 legs.")
    expect(second).to_contain_text("Wrong Solution: 2 * 4 = 6.")
    expect(browser_page.locator(".q-choices li")).to_have_text(["a duck", "a cat"])
    expect(browser_page.locator(".q-timeline")).to_contain_text("The student of round 2 sat no exam on it")
    expect(entry(browser_page, "Lesson of round 1")).to_contain_text("Nothing about this question was studied.")
    open_story(browser_page, report, EASY)
    expect(entry(browser_page, "Teacher in round 1")).to_contain_text("HTTP 500: out of order")


def test_what_was_written_shows_as_text_wherever_it_stands(browser_page: Page, report: str) -> None:
    open_story(browser_page, report, EVIL)
    expect(browser_page.locator("#view h2")).to_contain_text(SHOWN)
    for place in ("Exam of round 1", "Teacher in round 1", "Lesson of round 1", "Teacher in round 2"):
        expect(entry(browser_page, place)).to_contain_text(SHOWN)
    entry(browser_page, "Teacher in round 1").get_by_text("The whole prompt").click()
    expect(browser_page.locator(".q-message")).to_contain_text(SHOWN)
    assert browser_page.locator("#view img, #view script, #view b").count() == 0
    assert browser_page.evaluate("window.harmed") is None
    browser_page.get_by_role("link", name="Back to the table").click()
    expect(row(browser_page, EVIL)).to_contain_text(SHOWN)
    browser_page.goto(f"{report}#/questions?q=%3Cscript%3E")
    expect(browser_page.locator(SUMMARY)).to_have_text(f"1 of {ALL} questions")
    assert ids(browser_page) == [EVIL]


def test_a_long_question_is_cut_in_the_table_and_whole_in_its_story(table: Page, report: str) -> None:
    table.select_option("#q-split", "held-out")
    expect(row(table, HELD)).to_contain_text("length. It i…")
    assert "How many are there?" not in row(table, HELD).inner_text()
    open_story(table, report, HELD)
    expect(table.locator(".q-text")).to_have_text(LONG)


def test_no_question_is_cut_without_a_sign_and_a_phone_shows_the_results(table: Page) -> None:
    cut = "nodes => nodes.filter(one => one.scrollWidth > one.clientWidth + 1).length"
    assert table.eval_on_selector_all(f"{ROWS} .q-open", cut) == 0
    table.set_viewport_size({"width": 360, "height": 740})
    assert table.eval_on_selector_all(f"{ROWS} .q-open", cut) == 0
    first = row(table, TURNING).locator("td.q-share").first.bounding_box()
    assert first is not None
    assert first["x"] + first["width"] < 360


def test_next_and_previous_stay_within_the_filter(table: Page) -> None:
    table.select_option("#q-status", "teacher-failed-1")
    table.locator(f"{ROWS} a").first.click()
    controls = table.get_by_role("navigation", name="Questions")
    expect(controls).to_contain_text("1 of 2")
    assert controls.get_by_role("link", name="Previous").count() == 0
    controls.get_by_role("link", name="Next").click()
    expect(table.locator("#view h2")).to_have_text(f"Question {EASY}")
    expect(controls).to_contain_text("2 of 2")
    controls.get_by_role("link", name="Back to the table").click()
    expect(table.locator("#q-status")).to_have_value("teacher-failed-1")
    expect(row(table, EASY).get_by_role("link")).to_be_focused()


def test_a_copied_link_opens_the_question_elsewhere(browser_page: Page, report: str) -> None:
    browser_page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    open_story(browser_page, report, EVIL)
    browser_page.get_by_role("button", name="Copy link").click()
    expect(browser_page.get_by_text("Copied.")).to_be_visible()
    address = browser_page.evaluate("navigator.clipboard.readText()")
    browser_page.goto("about:blank")
    browser_page.goto(address)
    expect(browser_page.locator("#view h2")).to_contain_text(SHOWN)
    browser_page.wait_for_selector(".q-timeline")


def test_the_filtered_table_is_downloaded_with_the_numbers_of_the_run(table: Page, tmp_path: Path) -> None:
    table.select_option("#q-split", "test")
    with table.expect_download() as download:
        table.get_by_role("button", name="CSV of these questions").click()
    download.value.save_as(tmp_path / "questions.csv")
    with (tmp_path / "questions.csv").open(newline="", encoding="utf-8") as file:
        [line] = csv.DictReader(file)
    assert line["id"] == TEST
    assert [line[f"{student}: right"] for student in ("untrained", "after round 1", "after round 2")] == ["1", "0", "1"]
    assert line["statuses"] == "turned wrong in round 1; turned right in round 2; back and forth"


def test_no_answer_becomes_a_formula_of_a_spreadsheet(table: Page) -> None:
    answers = ["=1+1", "@SUM(A1)", "-2+3", "-5", "+7.5", "a = 1"]
    written = table.evaluate("answers => tutelage.csv(answers.map(answer => ({answer, number: -3})))", answers)
    lines = list(csv.DictReader(io.StringIO(written)))
    assert [line["answer"] for line in lines] == ["'=1+1", "'@SUM(A1)", "'-2+3", "-5", "+7.5", "a = 1"]
    assert {line["number"] for line in lines} == {"-3"}


def test_all_of_it_works_by_the_keyboard_alone(table: Page) -> None:
    expect(table.get_by_role("heading", name="Questions", exact=True)).to_be_focused()
    keys = table.keyboard
    keys.press("Tab")
    keys.type("filler-59")
    assert ids(table) == ["own/filler-59"]
    for _ in range(50):
        keys.press("Tab")
        if table.evaluate("document.activeElement.className") == "q-open":
            break
    keys.press("Enter")
    expect(table.locator("#view h2")).to_be_focused()
    keys.press("Tab")
    expect(table.get_by_role("link", name="Back to the table")).to_be_focused()
    keys.press("Enter")
    expect(row(table, "own/filler-59").get_by_role("link")).to_be_focused()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_keeps_people_out_nor_scrolls_sideways_on_a_phone(browser: Browser, report: str, scheme: str) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 740}, color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(f"{report}#/questions?sort=last")
    for name in (None, STUCK, TURNING):
        if name is not None:
            open_story(page, report, name)
            page.eval_on_selector_all("#view details", "all => all.forEach(one => { one.open = true; })")
        found = Axe().run(page, context="#view" if name else "#section-questions")
        assert found.violations_count == 0, found.generate_report()
        assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    context.close()


def test_new_data_of_a_run_that_goes_on_leave_the_reader_alone(table: Page) -> None:
    table.fill("#q-search", "turning")
    table.evaluate("""() => {
        const found = structuredClone(tutelage.data("questions"));
        found.rows = found.rows.filter((row) => !row[0].startsWith("own/filler"));
        found.rows[0][5][1] = [1, 2];
        tutelage.refresh({questions: found});
    }""")
    expect(table.locator(SUMMARY)).to_have_text("1 of 6 questions")
    expect(table.locator("#q-search")).to_be_focused()
    assert row(table, TURNING).locator("td.q-share").all_text_contents()[1] == "✗ wrong, 1 of 2"
    table.locator(f"{ROWS} a").click()
    table.locator("[data-key=prompt-1] summary").click()
    table.evaluate("""async () => {
        const [, ...others] = await tutelage.chunk("questions-0");
        const story = (await tutelage.chunk("questions-0"))[0];
        story.rounds[1].replies[0].text = "Quite another reply.";
        const data = new Blob([JSON.stringify([story, ...others])]).stream().pipeThrough(new CompressionStream("gzip"));
        const bytes = new Uint8Array(await new Response(data).arrayBuffer());
        const packed = btoa(String.fromCharCode(...bytes));
        document.getElementById("chunk-questions-0").textContent = packed;
        tutelage.refresh({questions: {...tutelage.data("questions"), left_out: 1}});
    }""")
    expect(entry(table, "Teacher in round 1")).to_contain_text("Quite another reply.")
    assert table.locator("[data-key=prompt-1]").get_attribute("open") is not None


def test_stories_that_were_left_out_are_said_to_be(
    browser_page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tutelage.report.gathering.questions.LIMIT", 0)
    address = write_report(write_run(tmp_path / "run")).as_uri()
    browser_page.goto(f"{address}#/questions")
    expect(browser_page.locator("#body-questions .note")).to_contain_text(f"stories of {ALL} questions")
    browser_page.goto(f"{address}#/question/own%2Fturning")
    expect(browser_page.locator("#view")).to_contain_text("was left out to keep this file small")
