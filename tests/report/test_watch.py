"""`tutelage watch`: a run watched in a browser from its first stage to its end, and what the server refuses."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.report.conftest import watch_for_faults
from tests.rounds.finished import begun_run, write_evaluation
from tutelage.errors import WorkspaceError
from tutelage.report.watch import Server
from tutelage.workspace import write_json

SCORE = {"accuracy": 0.25, "correct": 2, "total": 8, "interval": [0.1, 0.6]}


@pytest.fixture
def server(recipe: Path, tmp_path: Path) -> Iterator[Server]:
    """Of a run whose untrained student has been evaluated."""
    run = begun_run(recipe, tmp_path, 0)
    write_evaluation(run, 0, lambda place: place < 2)
    write_json(run.round(0).evaluation, SCORE)
    server = Server(run.workspace.folder)
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    run.workspace.release()


def ask(server: Server, path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=20)
    connection.putrequest(method, path, skip_host=True)
    for name, value in {"Host": "127.0.0.1", **headers}.items():
        connection.putheader(name, value)
    connection.endheaders()
    reply = connection.getresponse()
    return reply.status, reply.read().decode()


def state(server: Server, since: int, session: str = "") -> dict[str, Any]:
    code, text = ask(server, f"/state?session={session or server.watched.session}&since={since}")
    assert code == 200
    return dict(json.loads(text))


def test_only_who_asks_this_machine_by_its_name_is_answered(server: Server) -> None:
    port = server.server_address[1]
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", "LOCALHOST"):
        assert ask(server, "/state", Host=host)[0] == 200
    for host in (f"evil.example:{port}", "127.0.0.1.evil.example", "localhost.evil.example", "", "127.0.0.2"):
        code, text = ask(server, "/state", Host=host)
        assert code == 403
        assert "number" not in text
    assert server.server_address[0] == "127.0.0.1"


def test_nothing_but_get_and_the_page_and_its_parts(server: Server) -> None:
    for path in (
        "/recipe.toml",
        "/part/recipe.toml",
        "/../recipe.toml",
        "/part/../recipe.toml",
        "/part/",
        "/data-about",
    ):
        assert ask(server, path)[0] == 404
    for method in ("HEAD", "POST", "PUT", "DELETE", "OPTIONS"):
        assert ask(server, "/", method)[0] == 405
    assert json.loads(ask(server, "/part/data-about")[1])["title"]


def test_what_has_changed_since_and_nothing_else(server: Server, tmp_path: Path) -> None:
    page = state(server, -1)
    assert {"data-about", "data-overview"} <= set(page["parts"])
    assert state(server, page["number"])["parts"] == []
    assert set(state(server, page["number"], "of-an-earlier-process")["parts"]) == set(page["parts"])
    write_json(tmp_path / "run" / "round-0" / "evaluation.json", {**SCORE, "accuracy": 0.5, "correct": 4})
    deadline = time.monotonic() + 30
    while not (later := state(server, page["number"]))["parts"] and time.monotonic() < deadline:
        time.sleep(0.05)
    assert "data-overview" in later["parts"]
    assert not {"data-charts", "data-about", "data-inside"} & set(later["parts"])
    assert json.loads(ask(server, "/part/data-overview")[1])["accuracy"][0]["test"]["accuracy"] == 0.5
    assert state(server, later["number"])["parts"] == []


def test_the_strip_is_read_by_all_and_shows_what_others_wrote_as_text(server: Server, browser: Browser) -> None:
    told = {"round": 1, "stage": "study", "pid": os.getpid(), "host": socket.gethostname()}
    path = server.watched.folder / "status.json"
    write_json(path, {**told, "state": "running", "done": 3, "total": 9, "unit": "steps"})
    page = browser.new_page(viewport={"width": 360, "height": 800})
    page.goto(server.address)
    sentence, bar = page.locator("#now-sentence"), page.locator("#now progress")
    expect(sentence).to_have_text("Round 1's study is under way: 3 of 9 steps.")
    assert bar.evaluate("(bar) => bar.value / bar.max") == pytest.approx(1 / 3)
    assert violations(page) == []
    hostile = "<img src=x onerror=window.ran=1></script><script>window.ran=1</script> \u202e `x`"
    write_json(path, {**told, "state": "failed", "error": hostile})
    expect(sentence).to_contain_text("Failed in round 1's study: <img src=x onerror=window.ran=1></script><script>")
    expect(sentence).to_contain_text("\\u202e x")
    expect(bar).to_be_hidden()
    assert page.evaluate("window.ran") is None
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    page.emulate_media(color_scheme="dark")
    page.route("**/state?*", lambda route: route.abort())
    expect(page.locator("#connection")).to_contain_text("Connection lost")
    assert violations(page) == []
    page.unroute("**/state?*")
    expect(page.locator("#connection")).to_have_text("Live")
    page.close()


def violations(page: Page) -> list[tuple[str, list[str]]]:
    """What axe-core finds wrong with the strip, and where."""
    found = Axe().run(page, context="#now").response["violations"]
    return [(one["id"], [node["html"] for node in one["nodes"]]) for one in found]


def test_a_port_that_is_taken_is_one_clear_error(server: Server) -> None:
    port = server.server_address[1]
    with pytest.raises(WorkspaceError, match=f"Port {port} cannot be listened on: .*--port"):
        Server(server.watched.folder, port)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="is not a run folder"):
        Server(tmp_path)


def start(*command: str) -> subprocess.Popen[str]:
    # Of its own session, as a terminal's would be: a signal for one is none for the test.
    return subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not path.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert path.exists()


def test_a_run_is_watched_from_its_first_stage_to_its_end(recipe: Path, tmp_path: Path, browser: Browser) -> None:
    run, seen = tmp_path / "run", tmp_path / "seen"
    seen.mkdir()
    held = str(Path(__file__).with_name("held.py"))
    learning = start(held, str(seen), "learn", str(recipe), "--out", str(run), "rounds.limit=1")
    wait_for(run / "status.json", learning)
    watching = start("-m", "tutelage", "watch", str(run), "--no-open", "--port", "0")
    assert watching.stdout is not None
    address = watching.stdout.readline().split(" at ")[1].split()[0]
    page, story = browser.new_page(), browser.new_page()
    faults = watch_for_faults(page), watch_for_faults(story)
    search, found, sentence = (
        page.locator("#q-search"),
        page.locator(".q-table tbody tr"),
        page.locator("#now-sentence"),
    )
    page.goto(address)
    page.evaluate("window.mark = 1")
    verdict = page.locator(".verdict")
    stages = ["exam", "mistakes", "feedback", "lesson", "study", "evaluation"]
    for number, stage in [(0, "evaluation"), *((1, one) for one in stages)]:
        expect(sentence).to_contain_text(f"Round {number}'s {stage} is under way", timeout=30_000)
        if (number, stage) == (1, "exam"):  # now there is something to open
            numbers = page.locator("#section-overview details.numbers")
            numbers.evaluate("details => { details.open = true }")  # a click may fall between two redrawings
            search.fill("Ann")
            expect(found).to_have_count(8)
            assert "right" not in found.first.inner_text()  # nobody has been asked yet
            story.goto(address)
            story.goto(f"{address}{found.first.locator('a').get_attribute('href')}")
            story.evaluate("window.mark = 1")
        (seen / f"{number}-{stage}").touch()
    expect(sentence).to_contain_text("Finished after round 1: limit: 1 rounds", timeout=30_000)
    rows = page.locator("#section-overview details.numbers[open] tbody tr")
    expect(rows).to_have_count(4)  # rounds 0 and 1, test and held out
    expect(verdict).not_to_contain_text("Too early")
    expect(found).to_have_count(8)
    expect(found.first).to_contain_text("of 2")  # attempts of the exam
    expect(search).to_have_value("Ann")
    expect(search).to_be_focused()
    expect(story.locator("#now-sentence")).to_contain_text("Finished after round 1")
    expect(story.locator("#view h2")).to_be_visible()
    assert page.evaluate("window.mark") == story.evaluate("window.mark") == 1
    assert learning.wait(timeout=60) == 0, learning.communicate()[1]
    assert faults == ([], [])

    os.kill(watching.pid, signal.SIGINT)
    _, said = watching.communicate(timeout=30)
    assert watching.returncode == 0
    assert said.splitlines() == ["Finished after round 1: limit: 1 rounds, as the recipe says."]
    expect(page.locator("#connection")).to_contain_text("Connection lost")
    page.close()
    story.close()


def test_a_watch_beside_a_run_does_without_its_libraries() -> None:
    code = "import sys, tutelage.report.watch; print({'torch', 'transformers'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
