"""The questions of a run, from its files."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tests.report.lessons import EASY, EVIL, FILLERS, HELD, HOSTILE, SHOT, SLIP, STUCK, TEST, TURNING, write_run
from tutelage.prompts import SEPARATOR, teacher_prompt
from tutelage.records import Question
from tutelage.report.gathering import Section
from tutelage.report.gathering.packing import pack, packable
from tutelage.report.gathering.questions import gather
from tutelage.report.reading import Reading

ID, SPLIT, LAST, SHARES, STATUSES, CHUNK = 0, 1, 4, 5, 6, 7


def read(folder: Path, **limit: int) -> Section:
    section = gather(Reading(folder), **limit)
    assert section is not None
    return section


def unpacked(section: Section) -> dict[str, Any]:
    chunks = [json.loads(gzip.decompress(base64.b64decode(chunk))) for chunk in section.chunks.values()]
    return {story["id"]: story for chunk in chunks for story in chunk}


def statuses(section: Section) -> dict[str, set[str]]:
    names = [status["id"] for status in section.data["statuses"]]
    return {row[ID]: {names[place] for place in row[STATUSES]} for row in section.data["rows"]}


def size(section: Section) -> int:
    return sum(map(len, [json.dumps(section.data, ensure_ascii=False), *section.chunks.values()]))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run")


def test_each_question_has_the_statuses_whose_rules_it_meets(run: Path) -> None:
    section = read(run)
    held = statuses(section)
    assert held[TURNING] == {"turned-right-1"}
    assert held[STUCK] == {"still-wrong", "never-right", "no-answer", "teacher-failed-1"}
    assert held[EASY] == {"always-right", "teacher-failed-1"}
    assert held["own/filler-0"] == {"always-right", "never-asked"}
    assert held[HELD] == {"still-wrong", "never-right", "wrong-step"}
    assert held[TEST] == {"turned-wrong-1", "turned-right-2", "changing"}
    assert held[EVIL] == {"still-wrong", "never-right", "wrong-step"}
    rows = {row[ID]: row for row in section.data["rows"]}
    assert rows[TURNING][SHARES] == [[0, 2], [2, 2], None]
    assert rows[TEST][SHARES] == [[1, 1], [0, 1], [1, 1]]
    assert (rows[TURNING][LAST], rows[HELD][LAST], rows[HELD][SPLIT]) == ("7", "8", "held-out")


def test_half_of_the_attempts_is_not_enough(run: Path) -> None:
    path = run / "round-2" / "exam.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[0] |= {"correct": False, "answer": "8"}
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert "turned-right-1" not in statuses(read(run))[TURNING]


def test_a_story_tells_attempts_replies_and_the_lesson(run: Path) -> None:
    stories = unpacked(read(run))
    first, second = stories[TURNING]["answers"]["0"]
    assert first["text"] == SLIP
    assert first["wrong"] == ["First, 1 + 1 = 2. Then ", "3 + 4 = 8", "."]
    assert first["value"] == "7"
    assert second["holds"]
    assert [(one["times"], one["right"]) for one in stories[TURNING]["answers"]["1"]] == [(2, True)]
    taught = stories[TURNING]["rounds"]["1"]
    assert [one["verdict"] for one in taught["replies"]] == ["kept", "kept", "repeated", "surplus"]
    assert [(one["anchor"], one["positive"], one["negative"]) for one in taught["lesson"]] == [(1, 1, 0)] * 2 + [
        (0, 0, 2)
    ]
    assert stories[STUCK]["rounds"]["1"]["shown"] is None
    assert stories[STUCK]["rounds"]["2"]["shown"] == {"text": "A duck has 4 legs.", "answer": "A"}
    # One without an answer is told in full; nothing can be said of a rationale without an equation.
    assert stories[STUCK]["answers"]["0"][1] == {
        "text": "A duck and", "answer": None, "right": False, "finished": False, "times": 1,
    }  # fmt: skip


def test_the_attempt_that_the_teacher_saw_is_marked_once_though_it_gives_no_answer(run: Path) -> None:
    path = run / "round-2" / "feedback.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [one.get("shown") for one in unpacked(read(run))[STUCK]["answers"]["1"]] == [True, None]
    lines[0]["mistake"] |= {"rationale": "A duck and", "answer": None}
    exam = run / "round-2" / "exam.jsonl"
    exam.write_text(exam.read_text().replace('" A duck and"', '" A duck and\\nAnswer:"'))
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    told = unpacked(read(run))[STUCK]["answers"]
    assert [(one["text"], one.get("shown")) for one in told["1"]][1] == ("A duck and\nAnswer:", True)
    assert not any("shown" in one for one in told["0"])


def test_prompts_are_whole_and_their_shared_parts_are_kept_once(run: Path) -> None:
    section = read(run)
    shared, stories = section.data["shared"], unpacked(section)

    def told(name: str, number: int) -> list[tuple[str, str]]:
        prompt = stories[name]["rounds"][str(number)]["prompt"]
        return [
            (role, SEPARATOR.join(shared[one] if isinstance(one, int) else one for one in parts))
            for role, parts in prompt
        ]

    asked = Question(TURNING, f"What is the number of {TURNING}?", "7", "number")
    wanted = teacher_prompt(asked, None, [SHOT], "chat")
    assert not isinstance(wanted, str)
    assert told(TURNING, 1) == [(message.role, message.content) for message in wanted]
    assert [type(part) for _role, [part] in stories[TURNING]["rounds"]["1"]["prompt"]] == [int, int, int, str]
    [(role, text)] = told(EVIL, 1)
    assert role == "prompt"
    assert HOSTILE in text
    assert stories[EVIL]["rounds"]["2"]["prompt"] is None


@pytest.mark.parametrize("harm", ["gone", "cut", "of another program"])
def test_a_run_without_its_ledger_shows_all_but_the_prompts(run: Path, harm: str) -> None:
    path = run / "teacher.sqlite"
    if harm == "cut":
        path.write_bytes(path.read_bytes()[:3000])
    elif harm == "gone":
        path.unlink()
    else:
        path.write_text("SELECT 1;")
    reading = Reading(run)
    section = gather(reading)
    assert section is not None
    assert unpacked(section)[TURNING]["rounds"]["1"]["prompt"] is None
    assert [note.file for note in reading.notes] == ([] if harm == "gone" else ["teacher.sqlite"])
    assert path.exists() == (harm != "gone")


def test_a_damaged_line_costs_that_line_alone(run: Path) -> None:
    path = run / "round-1" / "feedback.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0][:40], *lines[1:]]) + "\n")
    (run / "round-2" / "lesson.jsonl").unlink()
    reading = Reading(run)
    section = gather(reading)
    assert section is not None
    stories = unpacked(section)
    assert [one["verdict"] for one in stories[TURNING]["rounds"]["1"]["replies"]] == ["kept", "repeated", "surplus"]
    assert stories[STUCK]["rounds"]["2"]["lesson"] == []
    assert [note.file for note in reading.notes] == ["round-1/feedback.jsonl"]


def test_over_the_limit_the_dullest_stories_are_left_out_first(run: Path) -> None:
    whole = read(run)
    limit = size(whole) - 500
    section = read(run, limit=limit)
    assert size(section) <= limit + 8 * len(whole.data["rows"])  # the numbers of the chunks are not reckoned in
    left_out = [row for row in section.data["rows"] if row[CHUNK] is None]
    assert 0 < len(left_out) < FILLERS
    assert section.data["left_out"] == len(left_out)
    assert all("always-right" in statuses(section)[row[ID]] for row in left_out)
    assert set(unpacked(section)) == {row[ID] for row in section.data["rows"] if row[CHUNK] is not None}
    assert read(run, limit=0).data["left_out"] == len(whole.data["rows"])


def test_packing_keeps_the_order_and_halves_of_characters_do_no_harm() -> None:
    packed = pack([packable({"id": number, "text": "\ud83d<>"}) for number in range(450)], [0] * 450, 10**6)
    assert len(packed.chunks) == 3
    assert [packed.places[number] for number in (0, 199, 200, 449)] == [0, 0, 1, 2]
    assert json.loads(gzip.decompress(base64.b64decode(packed.chunks[2])))[-1] == {"id": 449, "text": "?<>"}


def test_a_run_that_has_just_begun_has_a_table_and_one_without_questions_none(run: Path) -> None:
    for number in (0, 1, 2):
        for file in (run / f"round-{number}").iterdir():
            file.unlink()
    begun = read(run)
    assert begun.data["students"] == []
    assert all(row[SHARES] == [] for row in begun.data["rows"])
    (run / "questions.jsonl").unlink()
    assert gather(Reading(run)) is None
