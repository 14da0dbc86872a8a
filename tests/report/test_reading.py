"""Reports of runs that are damaged, incomplete or from another version: always written, and they name the file."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.report.written import write_run
from tutelage.errors import WorkspaceError
from tutelage.report.gathering.run import gather_run
from tutelage.report.page.page import to_page_json
from tutelage.report.reading import Reading
from tutelage.report.standing import cost_text
from tutelage.report.write import check_run, write_report

FILES = (
    *("recipe.toml", "environment.json", "questions.jsonl", "split.json", "demonstrations.json", "leakage.json"),
    *("teacher.sqlite", "journal.jsonl", "outcome.json"),
    *(f"round-{number}/evaluation.json{ending}" for number in (0, 1, 2) for ending in ("", "l")),
    *(
        f"round-{number}/{name}"
        for number in (1, 2)
        for name in ("exam.jsonl", "mistakes.jsonl", "feedback.jsonl", "lesson.jsonl", "training.jsonl", "round.json")
    ),
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with nothing wrong; not to be changed."""
    return write_run(tmp_path_factory.mktemp("whole") / "run")


def test_of_a_whole_run_nothing_is_missing(whole: Path) -> None:
    about = gather_run(whole)["about"].data
    assert (about["missing"], about["failed"]) == ([], [])


@example({"teacher.sqlite": "deleted", "round-1/feedback.jsonl": "deleted"})
@example({"outcome.json": "deleted", "round-2/round.json": "deleted"})
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.sampled_from(FILES),
        st.sampled_from(["deleted", "half", "emptied", "text", "number"]),
        min_size=1,
        max_size=6,
    )
)
def test_whatever_is_lost_the_report_is_made_and_names_the_file(
    whole: Path, tmp_path: Path, harms: dict[str, str]
) -> None:
    shutil.rmtree(tmp_path / "run", ignore_errors=True)
    folder = shutil.copytree(whole, tmp_path / "run")
    for name, harm in harms.items():
        damage(folder / name, harm)
    sections = gather_run(folder)
    about = sections["about"].data
    assert about["failed"] == []
    # A run whose outcome nobody can read counts as going on: it may be amid a line of its journal, and in its last
    # round, if that has no summary. An outcome that is not there is no fault then.
    excused: tuple[str, ...] = ()
    if "outcome.json" in harms:
        excused = ("journal.jsonl",)
        if harms["outcome.json"] == "deleted":
            excused += ("outcome.json",)
        if harms.get("round-2/round.json") == "deleted":
            excused += ("round-2/",)
    hurt = {name for name in harms if not name.startswith(excused)}
    assert hurt <= {note["file"] for note in about["missing"]}
    for section in sections.values():
        json.loads(to_page_json(section.data))


def damage(path: Path, harm: str) -> None:
    """deleted; half: cut amid a line; emptied; or what is not JSON at all, or JSON of another kind."""
    raw = path.read_bytes()
    if harm == "deleted":
        path.unlink()
    elif harm == "half":
        path.write_bytes(raw[: len(raw) // 2].rstrip(b"\n}") or b"{")
    else:
        path.write_bytes({"emptied": b"", "text": b'\xff<script>"', "number": b"3\n"}[harm])


def test_another_version_s_files_are_read_as_far_as_they_go(whole: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(whole, tmp_path / "run")
    (folder / "leakage.json").unlink()
    (folder / "recipe.toml").write_text('[task]\nname = "own"\n[future]\nkey = 2026-11-23\n')
    evaluation = folder / "round-1" / "evaluation.json"
    evaluation.write_text(json.dumps({**json.loads(evaluation.read_text()), "new": {"key": [1]}}))
    sections = gather_run(folder)
    about, overview = sections["about"].data, sections["overview"].data
    assert [(note["file"], note["state"]) for note in about["missing"]] == [("leakage.json", "missing")]
    assert [one["round"] for one in overview["accuracy"]] == [0, 1, 2]
    assert overview["facts"]["task"] == "own"
    assert sections["rounds"].data["lambda"] is None


def test_a_damaged_line_costs_that_line_alone(whole: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(whole, tmp_path / "run")
    path = folder / "round-1" / "training.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[1][:9], *lines[2:]]) + "\n")
    sections = gather_run(folder)
    (note,) = sections["about"].data["missing"]
    assert note["file"] == "round-1/training.jsonl"
    assert "Line 2" in note["why"]
    assert sections["rounds"].data["rounds"][1]["training"]["columns"]["step"] == [1, 3, 4]


def test_lines_that_are_gone_are_missed(whole: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(whole, tmp_path / "run")
    path = folder / "round-2" / "exam.jsonl"
    path.write_text("".join(line + "\n" for line in path.read_text().splitlines()[:-3]))
    (note,) = gather_run(folder)["about"].data["missing"]
    assert (note["file"], note["why"]) == ("round-2/exam.jsonl", "It has 9 lines, where there were 12.")


def test_half_a_line_of_what_is_being_written_is_no_damage(whole: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(whole, tmp_path / "run")
    for name in ("outcome.json", "round-2/round.json", "round-2/evaluation.json"):
        (folder / name).unlink()
    training = (folder / "round-2" / "training.jsonl").rename(folder / "round-2" / "training.jsonl.unfinished")
    for path in (training, folder / "journal.jsonl"):
        path.write_text(path.read_text() + '{"step": 5, "ev')
    sections = gather_run(folder)
    assert sections["about"].data["missing"] == []
    assert sections["rounds"].data["rounds"][2]["training"]["steps"] == 4


def test_a_run_that_has_just_begun_lacks_nothing(whole: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(whole, tmp_path / "run")
    for name in ("round-0", "round-1", "round-2"):
        shutil.rmtree(folder / name)
    for name in ("outcome.json", "teacher.sqlite"):
        (folder / name).unlink()
    journal = folder / "journal.jsonl"
    journal.write_text(journal.read_text().splitlines()[0] + "\n")
    sections = gather_run(folder)
    assert sections["about"].data["missing"] == []
    assert sections["overview"].data["stands"] == {"state": "unfinished", "round": 0, "stage": "evaluation"}
    assert sections["overview"].data["verdict"]["outcome"] == "unknown"


def test_reading_makes_no_ledger_and_takes_no_other_folder_for_a_run(tmp_path: Path) -> None:
    (tmp_path / "round-1").mkdir()
    assert Reading(tmp_path).totals() == {}
    assert not (tmp_path / "teacher.sqlite").exists()
    with pytest.raises(WorkspaceError, match="is not a run folder"):
        check_run(tmp_path)
    with pytest.raises(WorkspaceError, match="is not there"):
        check_run(tmp_path / "nowhere")


def test_a_run_that_was_taken_up_for_more_rounds_goes_on_and_lacks_nothing(whole: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(whole, tmp_path / "run")
    (folder / "round-3").mkdir()
    with (folder / "journal.jsonl").open("a") as journal:
        journal.write('{"event": "begin", "round": 3, "stage": "exam"}\n{"event": "e')
    sections = gather_run(folder)
    overview = sections["overview"].data
    assert sections["about"].data["missing"] == []
    assert overview["stands"] == {"state": "unfinished", "round": 3, "stage": "exam"}
    assert overview["verdict"]["sentence"].startswith("It worked so far")
    assert not overview["cost"]["ended"]


def test_a_ledger_is_read_as_it_is_and_stays_so(whole: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(whole, tmp_path / "run")
    path = folder / "teacher.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as earlier:
        earlier.executescript("ALTER TABLE calls DROP COLUMN kind; PRAGMA user_version = 2;")
    before = path.read_bytes()
    assert set(Reading(folder).totals()) == {1, 2}
    assert gather_run(folder)["about"].data["missing"] == []
    assert path.read_bytes() == before
    assert not [one for one in folder.iterdir() if one.name.startswith("teacher.sqlite-")]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")
def test_a_folder_of_somebody_else_is_read_as_far_as_it_may_be(whole: Path) -> None:
    with tempfile.TemporaryDirectory() as place:  # not in pytest's, which nobody else may look into
        Path(place).chmod(0o755)
        folder = shutil.copytree(whole, Path(place) / "run")
        (folder / "round-1").chmod(0)
        os.seteuid(65534)
        try:
            reading = Reading(folder)
            reading.check()
            assert set(reading.totals()) == {1, 2}
        finally:
            os.seteuid(0)
    notes = {note.file: note.why for note in reading.notes}
    assert notes["round-1/evaluation.json"] == "It cannot be read: Permission denied."
    assert "teacher.sqlite" not in notes


def test_what_is_no_number_of_a_round_is_no_round(whole: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(whole, tmp_path / "run")
    for name in ("round-2000000000", f"round-{'9' * 40}", "round-03", "round-x", "round-\u0663"):
        (folder / name).mkdir()
    assert Reading(folder).rounds() == [0, 1, 2]


def test_what_is_no_finite_number_is_damage_but_in_a_study(whole: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(whole, tmp_path / "run")
    for name, old, new in (
        ("round-1/evaluation.json", '"accuracy": 0.4', '"accuracy": NaN'),
        ("round-1/training.jsonl", '"loss": 2.0', '"loss": NaN'),
        ("round-2/round.json", '"lm_loss": 0.6980736', '"lm_loss": Infinity'),
        ("journal.jsonl", '"seconds": 2.25', '"seconds": NaN'),
    ):
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new, 1))
    (folder / "status.json").write_text('{"state": "running", "round": 1, "stage": "study", "seconds_left": Infinity}')
    sections = gather_run(folder)
    about = sections["about"].data
    assert about["failed"] == []
    assert {note["file"] for note in about["missing"]} == {"round-1/evaluation.json", "journal.jsonl", "status.json"}
    assert "nan" not in cost_text(Reading(folder))


def test_a_folder_whose_name_is_no_utf_8_has_a_page(whole: Path, tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/run\xff"))
    shutil.copytree(whole, folder)
    assert "<title>plain: run?" in write_report(folder).read_text(encoding="utf-8")


def test_a_folder_is_no_place_for_a_report(whole: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis").write_text("years")
    with pytest.raises(WorkspaceError, match="is a folder"):
        write_report(whole, tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis").read_text() == "years"
