"""The page of a run, in a real browser."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.report.waiting import wait_until
from tests.report.written import TEST, write_run
from tutelage.report.write import write_report
from tutelage.workspace import read_json, write_json

HOSTILE = (
    "</script><script>window.ran=1;alert(1)</script><img src=x onerror=window.ran=1><b>&lt; \"' "
    "\u2028 \u202e {{script}} </p"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with everything that the page can show; not to be changed."""
    folder = write_run(tmp_path_factory.mktemp("shown") / "run", steps=700)
    write_json(
        folder / "teacher.json", {"teacher": "t", "accuracy": 0.8, "correct": 24, "total": 30, "interval": [0.6, 0.9]}
    )
    write_inside(folder)
    write_report(folder)
    return folder


def write_inside(folder: Path, said: str = "q") -> None:
    """What --inside leaves, in numbers that stand for nothing."""
    measures = ("distance", "cosine", "preference", "preference_per_token", "log_ratio", "log_ratio_per_token")
    for number in (0, 2):
        separation = {name: {"value": 0.0625 + number, "interval": [0.03125, 3.5]} for name in measures}
        points = [
            {"question_id": said, "label": label, "x": float(place), "y": float(place % 3)}
            for place, label in enumerate(["right", "wrong"] * 6)
        ]
        found = {
            "round": number,
            "split": "test",
            "separation": {**separation, "pairs": 6, "questions": 6},
            "points": points,
        }
        write_json(folder / f"round-{number}" / "inside.json", {**found, "note": said})


def opened(page: Page, path: Path, address: str = "") -> Page:
    """The page, when its charts are drawn."""
    page.goto(path.resolve().as_uri() + address)
    page.wait_for_selector("html[data-ready]", state="attached")
    wait_until(
        page,
        "[...document.querySelectorAll('.chart-box')].every((box) => box.querySelector('svg, .fault'))",
    )
    assert page.locator(".fault").all_text_contents() == []
    return page


def percent(share: float) -> str:
    return f"{share:.1%}".replace("%", "\u00a0%")


def cells(page: Page, caption: str) -> list[list[str]]:
    """The rows of a table, heading first."""
    table = page.locator("table", has=page.locator("caption", has_text=caption))
    rows: list[list[str]] = table.evaluate(
        "(node) => [...node.rows].map((row) => [...row.cells].map((one) => one.textContent))"
    )
    return rows


def test_the_numbers_are_those_of_the_files(folder: Path, browser_page: Page) -> None:
    page = opened(browser_page, folder / "report.html")
    scores = [read_json(folder / f"round-{number}" / "evaluation.json") for number in (0, 1, 2)]
    verdict = page.locator(".verdict").text_content() or ""
    assert verdict.startswith(f"It worked: test accuracy rose from {percent(scores[0]['accuracy'])}")
    assert "McNemar test p < 0.001" in verdict
    heading, *rows = cells(page, "Each round's student")
    for number, (row, score) in enumerate(zip(rows, scores, strict=True)):
        shown = dict(zip(heading, row, strict=True))
        low, high = score["interval"]
        assert shown["test accuracy"] == percent(score["accuracy"])
        assert shown["95 % interval"] == f"{percent(low)} to {percent(high)}"
        assert shown["held out"] == percent(score["held_out"]["accuracy"])
        if number:
            summary = read_json(folder / f"round-{number}" / "round.json")
            assert shown["exam wrong"] == percent(summary["exam"]["error_rate"])
            for name in ("requests", "successes", "rationales"):
                assert shown[name] == str(summary["feedback"][name])
            spent = summary["feedback"]["prompt_tokens"] + summary["feedback"]["completion_tokens"]
            assert (shown["tokens"], shown["money"]) == (f"{spent:,}", summary["feedback"]["cost"])
    assert rows[2][0] == "2 (kept)"
    facts = page.locator("dl.facts").text_content() or ""
    for words in ("14,600", "0.50", "2 requests", "finished", f"21 of {TEST} right"):
        assert words in facts
    # (0.7 - 2/30) / (0.8 - 2/30)
    assert percent((scores[2]["accuracy"] - scores[0]["accuracy"]) / (0.8 - scores[0]["accuracy"])) in facts


def test_the_studies_and_their_times(folder: Path, browser_page: Page) -> None:
    page = opened(browser_page, folder / "report.html")
    heading, first, second = cells(page, "The studies")
    assert dict(zip(heading, first, strict=True))["learning rate"] == "0.002"
    shown = dict(zip(heading, second, strict=True))
    assert (shown["λ"], shown["learning rate"], shown["LM loss"], shown["steps"]) == ("0.5", "0.0005", "0.698", "700")
    heading, zeroth, *_ = cells(page, "How long each stage took")
    assert dict(zip(heading, zeroth, strict=True))["evaluation"] == "1.2\u00a0s"
    assert "500 of 700 steps of round 1" in (page.locator("#section-rounds").text_content() or "")
    columns = page.evaluate("tutelage.data('rounds').rounds[1].training.columns")
    assert (columns["step"][0], columns["step"][-1], len(columns["step"])) == (1, 700, 500)
    assert columns["lm_loss"][1] == 1.5 / columns["step"][1]


def test_inside_the_student(folder: Path, browser_page: Page) -> None:
    page = opened(browser_page, folder / "report.html")
    heading, before, after = cells(page, "Right against wrong")
    assert (
        dict(zip(heading, before, strict=True))["prefers the right one"]
        == f"{percent(0.0625)}{percent(0.03125)} to 350.0\u00a0%"
    )
    assert dict(zip(heading, after, strict=True))["distance"] == "2.0620.031 to 3.500"
    assert page.locator("#section-inside .chart-box svg").count() == 2


def test_every_look_passes_axe_and_fits_a_phone(tmp_path: Path, browser_page: Page) -> None:
    folder = write_run(tmp_path / "run", "a_word_that_is_much_too_long_for_any_phone_" * 3)
    write_inside(folder)
    (folder / "leakage.json").rename(folder / "round-1" / "leakage.json")
    page = opened(browser_page, write_report(folder))
    for scheme, width in (("light", 1280), ("dark", 360)):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.set_viewport_size({"width": width, "height": 800})
        page.locator("summary").evaluate_all("(all) => all.forEach((one) => { one.parentElement.open = true; })")
        page.wait_for_timeout(300)
        found = Axe().run(page).response["violations"]
        assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []
        assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")


def test_dark_colours_by_the_system_and_by_the_button(folder: Path, browser_page: Page) -> None:
    page = opened(browser_page, folder / "report.html")
    background = "getComputedStyle(document.documentElement).backgroundColor"
    in_chart = "document.querySelector('.chart-box svg').outerHTML"
    light, drawn = page.evaluate(background), page.evaluate(in_chart)
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(background)
    assert dark != light
    wait_until(page, f"{in_chart} !== {json.dumps(drawn)}")
    page.get_by_role("button", name="Switch to light colours").click()
    assert page.evaluate(background) == light
    page.reload()
    page.wait_for_selector("html[data-ready]", state="attached")
    assert page.evaluate(background) == light


def test_what_models_and_people_wrote_is_text(tmp_path: Path, browser_page: Page) -> None:
    folder = write_run(tmp_path / "run", HOSTILE)
    write_json(folder / "teacher.json", {"accuracy": None, "reason": HOSTILE})
    write_inside(folder, HOSTILE)
    (folder / "round-1" / "training.jsonl").write_text(f'{{"step": {json.dumps(HOSTILE)}}}\n')
    (folder / "split.json").write_text(HOSTILE)
    report = write_report(folder, tmp_path / "report.html")
    page = opened(browser_page, report)
    page.locator("summary").evaluate_all("(all) => all.forEach((one) => one.click())")
    assert page.evaluate("window.ran") is None
    assert page.locator("img, #content script, #head script").count() == 0
    page.locator("#section-inside .chart-box .mark-symbol path").first.hover(force=True)
    assert HOSTILE in (page.locator(".tip").text_content() or "")
    shown = page.evaluate("document.body.innerText.replaceAll('\\n', ' ')")
    # Title, task, student, teacher, why it stopped, no accuracy of the teacher, environment, leakage, verdicts, states.
    assert page.evaluate(f"document.body.textContent.split({json.dumps(HOSTILE)}).length - 1") >= 10
    assert "window.ran=1" in shown
    assert "split.json is damaged" in page.locator(".note").inner_text()


def test_scripts_that_are_not_the_page_s_own_do_not_run(folder: Path, browser: Browser) -> None:
    page = browser.new_page()  # whose console may tell of what was refused
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text))
    opened(page, folder / "report.html")
    page.evaluate(
        """() => {
            const script = document.createElement("script");
            script.textContent = "window.ran = 1";
            document.body.append(script);
            document.body.insertAdjacentHTML("beforeend", "<img src=x onerror='window.ran = 1'>");
            window.asked = fetch("https://example.org/").then(() => "answered", () => "refused");
        }"""
    )
    assert page.evaluate("window.asked") == "refused"
    assert page.evaluate("window.ran") is None
    assert sum("Content Security Policy" in one for one in refused) >= 3
    page.close()


def test_figures_and_data_can_be_taken_away(folder: Path, browser_page: Page, tmp_path: Path) -> None:
    page = opened(browser_page, folder / "report.html")
    first = page.locator("figure.chart").first
    got = {}
    for kind in ("PNG", "SVG", "CSV"):
        with page.expect_download() as download:
            first.get_by_text(kind, exact=True).click()
        assert download.value.suggested_filename == f"accuracy.{kind.lower()}"
        download.value.save_as(tmp_path / kind)
        got[kind] = (tmp_path / kind).read_bytes()
    assert got["PNG"].startswith(b"\x89PNG")
    assert got["SVG"].startswith(b"<svg")
    rows = list(csv.DictReader(io.StringIO(got["CSV"].decode())))
    test = {row["round"]: row for row in rows if row["split"] == "test"}
    for number in (0, 1, 2):
        score = read_json(folder / f"round-{number}" / "evaluation.json")
        assert float(test[str(number)]["accuracy"]) == score["accuracy"]
        assert [float(test[str(number)][name]) for name in ("low", "high")] == score["interval"]
    assert [row["accuracy"] for row in rows if row["split"] == "teacher"] == ["0.8"]


def test_the_page_asks_nothing_of_any_network(folder: Path, browser_page: Page) -> None:
    asked: list[str] = []
    browser_page.on("request", lambda request: asked.append(request.url))
    opened(browser_page, folder / "report.html")
    assert asked == [(folder / "report.html").resolve().as_uri()]


def test_new_data_leaves_the_reader_where_he_is(folder: Path, browser_page: Page) -> None:
    browser_page.emulate_media(reduced_motion="reduce")  # no scrolling that is still under way
    page = opened(browser_page, folder / "report.html")
    page.get_by_text("Provenance").click()
    button = page.locator("#section-rounds").get_by_text("CSV", exact=True).first
    button.focus()
    page.evaluate("window.scrollTo({top: 900, behavior: 'instant'})")
    top = "document.activeElement.getBoundingClientRect().top"
    before = page.evaluate(top)
    changed = page.evaluate(
        """() => {
            const overview = structuredClone(tutelage.data("overview"));
            overview.verdict = {outcome: "gain", sentence: "It goes on.", tested: ""};
            const rounds = structuredClone(tutelage.data("rounds"));
            rounds.lambda = 0.25;
            return tutelage.refresh({overview, rounds, inside: tutelage.data("inside")});
        }"""
    )
    assert changed == ["overview", "rounds"]
    assert page.locator(".verdict").text_content() == "It goes on."
    page.wait_for_timeout(400)  # for the charts, which are drawn anew
    wait_until(page, f"Math.abs({top} - {before}) < 3")
    assert page.locator("details[data-key=provenance]").get_attribute("open") is not None
    assert page.evaluate("document.activeElement.textContent") == "CSV"
    assert page.evaluate("document.getElementById('section-rounds').contains(document.activeElement)")


def test_addresses_lead_to_sections_and_to_views_and_back(folder: Path, browser_page: Page) -> None:
    page = opened(browser_page, folder / "report.html", "#/rounds")
    expect(page.locator("#heading-rounds")).to_be_focused()
    page.evaluate(
        """() => {
            const draw = ({id}, query, view) => view.append(tutelage.el("h2", {}, `${id} ${query.of}`));
            tutelage.route("thing/:id", draw, {view: true});
            location.hash = tutelage.link(["thing", "a/b <i>"], {of: "50%"});
        }"""
    )
    page.wait_for_selector("#view h2")
    assert page.locator("#view").text_content() == "a/b <i> 50%"
    assert page.locator("#sections").is_hidden()
    page.go_back()
    page.wait_for_selector("#sections", state="visible")
    assert page.locator("#view").is_hidden()
    page.keyboard.press("Tab")
    page.get_by_role("link", name="Inside the student").press("Enter")
    expect(page.locator("#heading-inside")).to_be_focused()  # once the browser has told of the address


def test_paper_is_white_though_dark_was_chosen_and_what_cannot_be_pressed_is_left_out(
    folder: Path, browser_page: Page
) -> None:
    page = opened(browser_page, folder / "report.html")
    page.click("#theme")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(255, 255, 255)"
    assert page.locator("button:visible").count() == 0


def test_the_words_of_the_rounds_are_explained(folder: Path, browser_page: Page) -> None:
    page = opened(browser_page, folder / "report.html")
    heading = [one.strip() for one in cells(page, "Each round's student")[0]]
    page.get_by_text("What these words mean").click()
    explained = page.locator("dl.words dt").all_text_contents()
    words = {word for one in explained for word in one.split(", ")}
    assert set(heading) - {"round", "test accuracy", "95 % interval"} <= words
