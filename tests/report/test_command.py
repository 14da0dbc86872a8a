"""`tutelage report`, and the report that a run writes as it goes on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.report.written import write_run
from tutelage.cli import main
from tutelage.evaluation.representation import Contrast
from tutelage.recipes import read_recipe
from tutelage.report import write
from tutelage.report.inside import read_inside, within
from tutelage.rounds import learn as learn_run
from tutelage.student.text.encoding import Sample
from tutelage.workspace import read_json

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def tutelage(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """Runs the command line in an empty folder, with no desktop; its exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tutelage", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        output = capsys.readouterr()
        return int(stop.value.code or 0), output.out, output.err

    return run


def test_it_writes_where_it_says(tutelage: Command, tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    assert tutelage("report", "run")[:2] == (0, "The report is in run/report.html.\n")
    assert tutelage("report", "run", "--out", "elsewhere.html", "--no-open")[:2] == (
        0,
        "The report is in elsewhere.html.\n",
    )
    assert (tmp_path / "elsewhere.html").read_text().startswith("<!doctype html>")


def test_it_opens_where_there_is_a_desktop(tutelage: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(tmp_path / "run")
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    tutelage("report", "run")
    monkeypatch.setenv("DISPLAY", ":0")
    tutelage("report", "run", "--no-open")
    assert opened == []
    tutelage("report", "run")
    assert opened == [(tmp_path / "run" / "report.html").as_uri()]


def test_no_run_is_one_clear_error(tutelage: Command) -> None:
    code, out, err = tutelage("report", "nowhere")
    assert (code, out) == (2, "")
    assert err.startswith("Error: nowhere is not there.")


def test_a_run_writes_its_report_after_each_round_and_says_where(
    tutelage: Command, recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[list[int]] = []
    real = write.write_report

    def counted(folder: Path) -> Path:
        path = real(folder)
        written.append(sorted(int(place.parent.name[6:]) for place in folder.glob("round-*/evaluation.json")))
        return path

    monkeypatch.setattr(write, "write_report", counted)
    code, out, _ = tutelage("learn", str(recipe), "--out", "run", "rounds.limit=1")
    assert code == 0
    assert written == [[0], [0, 1], [0, 1]]
    assert out.endswith("The report is in run/report.html.\n")


def test_a_report_that_fails_ends_no_run(
    tutelage: Command, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_folder: Path) -> Path:
        raise KeyError("a bug")

    monkeypatch.setattr(write, "write_report", fail)
    code, out, err = tutelage("learn", str(recipe), "--out", "run", "rounds.limit=1")
    assert code == 0
    assert "The report could not be written" in err
    assert "The report is in" not in out
    assert (tmp_path / "run" / "outcome.json").is_file()


def test_inside_reads_the_untrained_and_the_later_student(recipe: Path, tmp_path: Path) -> None:
    run = learn_run(read_recipe(recipe, ["rounds.limit=1"]), tmp_path / "run")
    run.workspace.release()
    paths = read_inside(tmp_path / "run")
    assert [path.parent.name for path in paths] == ["round-0", "round-1"]
    before, after = (read_json(path) for path in paths)
    assert before["gained"] is None
    difference = after["separation"]["distance"]["value"] - before["separation"]["distance"]["value"]
    assert after["gained"]["distance"]["value"] == pytest.approx(difference)
    assert {point["label"] for point in after["points"]} == {"right", "wrong"}
    assert len(after["points"]) == 2 * after["separation"]["pairs"]


@pytest.mark.parametrize(("length", "count"), [(10, 30), (100, 25), (900, 20)])
def test_inside_reads_no_more_than_a_minute_s_worth_and_some_pairs_at_any_rate(length: int, count: int) -> None:
    text = Sample((1,) * length, (1.0,) * length, length - 1)
    pairs = [Contrast(f"q/{number}", text, text, 0) for number in range(30)]
    assert within(pairs, 5000) == pairs[:count]
