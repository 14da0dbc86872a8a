"""The package's demonstrations are right, ours, and load; a user's own are checked."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tutelage.demonstrations import load_demonstrations, load_feedback_demonstrations
from tutelage.errors import DataError
from tutelage.records import AnswerKind, Demonstration, Question
from tutelage.tasks.answers import is_right, read_answer, read_reply
from tutelage.teacher.tutor.arithmetic import read_steps

TASKS: dict[str, AnswerKind] = {
    "gsm8k": "number",
    "multiarith": "number",
    "svamp": "number",
    "commonsense_qa": "choice",
    "strategy_qa": "yes/no",
    "gsm_symbolic": "number",
    "leg_counting": "number",
    "chain_sum": "number",
}
KINDS: tuple[AnswerKind, ...] = ("number", "percentage", "choice", "yes/no", "text")
COUNTS = {"commonsense_qa": 5, "strategy_qa": 4, "leg_counting": 2, "chain_sum": 2}
NAMED = [*TASKS.items(), *(("own", kind) for kind in KINDS)]


def all_of(name: str, kind: AnswerKind) -> tuple[Demonstration, ...]:
    return load_demonstrations(name, kind) + load_feedback_demonstrations(name, kind)


@pytest.mark.parametrize(("name", "kind"), NAMED)
def test_each_answer_is_what_its_rationale_concludes(name: str, kind: AnswerKind) -> None:
    for demo in all_of(name, kind):
        question = Question("demo/1", demo.question, demo.answer, kind, demo.choices)
        assert is_right(read_reply(demo.rationale, question), question), demo
        assert read_answer(f"{demo.rationale}\nAnswer: {demo.answer}", question) is not None
        if demo.wrong_rationale is not None:
            wrong = read_reply(demo.wrong_rationale, question)
            assert wrong is not None
            assert not is_right(wrong, question), demo


@pytest.mark.parametrize(("name", "kind"), NAMED)
def test_each_equation_in_a_rationale_holds(name: str, kind: AnswerKind) -> None:
    demos = all_of(name, kind)
    equations = [equation for demo in demos for step in read_steps(demo.rationale) for equation in step.equations]
    assert [equation.text for equation in equations if not equation.right] == []
    assert len(equations) == sum(len(re.findall("=", demo.rationale)) for demo in demos)
    if kind == "number":
        assert all(any(step.equations for step in read_steps(demo.rationale)) for demo in demos)


@pytest.mark.parametrize(("name", "kind"), NAMED)
def test_there_are_enough_and_they_are_short(name: str, kind: AnswerKind) -> None:
    demos, feedback = load_demonstrations(name, kind), load_feedback_demonstrations(name, kind)
    assert len(demos) == (2 if name == "own" else COUNTS.get(name, 3))
    assert len(feedback) in (2, 3)
    assert all(demo.wrong_rationale for demo in feedback)
    assert not any(demo.wrong_rationale for demo in demos)
    assert all(len(demo.rationale.split()) <= 50 for demo in demos + feedback)
    assert len({demo.question for demo in demos + feedback}) == len(demos + feedback)


def test_choices_differ_and_answers_are_spread() -> None:
    demos = load_demonstrations("commonsense_qa", "choice")
    assert sorted(demo.answer for demo in demos) == ["A", "B", "C", "D", "E"]
    for demo in demos:
        assert len(set(demo.choices)) == 5
        letter = demo.answer.lower()
        assert demo.rationale.endswith(f"Therefore, the answer is {demo.choices[ord(letter) - ord('a')]} ({letter}).")


def test_a_task_without_a_file_takes_those_of_its_kind() -> None:
    assert load_demonstrations("something", "yes/no") == load_demonstrations("own", "yes/no")


def test_none_is_a_question_of_a_public_data_set(data: Path) -> None:
    def letters(text: str) -> str:
        return "".join(one for one in text.casefold() if one.isalnum())

    known = set()
    for path in sorted(data.rglob("*.json*")):
        if path.suffix in (".json", ".jsonl") and path.parent.name not in ("splits", "paper_results"):
            known |= {letters(text) for text in re.findall(r'"((?:[^"\\]|\\.){15,})"', path.read_text())}
    assert len(known) > 20000
    for name, kind in NAMED:
        assert not [demo.question for demo in all_of(name, kind) if letters(demo.question) in known]


@pytest.mark.parametrize("name", ["gsm8k", "multiarith", "svamp", "commonsense_qa", "strategy_qa"])
def test_the_papers_own_can_be_used(data: Path, name: str) -> None:
    demos = load_demonstrations(name, TASKS[name], data / "paper_demos" / f"{name}.json")
    for demo in demos:
        question = Question("demo/1", demo.question, demo.answer, TASKS[name], demo.choices)
        assert is_right(read_reply(demo.rationale, question), question), demo


def test_the_papers_feedback_can_be_used(data: Path) -> None:
    file = data / "paper_demos" / "feedback_strategy_qa.json"
    demos = load_feedback_demonstrations("strategy_qa", "yes/no", file)
    assert [demo.answer for demo in demos] == ["Yes", "Yes", "No"]
    assert all(demo.wrong_rationale for demo in demos)


GOOD = {
    "question": "Why?",
    "rationale": "So.",
    "answer": "b",
    "choices": ["x", "y"],
    "wrong_rationale": "No.",
    "note": 1,
}


def load(path: Path, entry: object, kind: AnswerKind = "choice") -> tuple[Demonstration, ...]:
    path.write_text(json.dumps([GOOD if kind == "choice" else entry, entry]))
    return load_feedback_demonstrations("own", kind, path)


def test_a_users_file_is_read_and_its_letters_made_alike(tmp_path: Path) -> None:
    demo = Demonstration("Why?", "So.", "B", ("x", "y"), "No.")
    assert load(tmp_path / "mine.json", GOOD) == (demo, demo)
    plain = {"question": "Q", "rationale": "R", "wrong_rationale": "W"}
    assert load(tmp_path / "mine.json", {**plain, "hint_answer": "yes"}, "yes/no")[0].answer == "Yes"
    assert load(tmp_path / "mine.json", {**plain, "answer": 2.5}, "number")[0].answer == "2.5"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"question": ""}, "`question`"),
        ({"rationale": None}, "`rationale`"),
        ({"wrong_rationale": None}, "`wrong_rationale`"),
        ({"answer": "c"}, "A to B"),
        ({"answer": True}, "`answer`"),
        ({"choices": []}, "exactly where"),
        ({"choices": [1]}, "list of texts"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path: Path, change: dict[str, object], reason: str) -> None:
    with pytest.raises(DataError, match=rf"mine\.json, entry 2: .*{reason}"):
        load(tmp_path / "mine.json", {**GOOD, **change})


def test_a_file_that_cannot_be_used_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    with pytest.raises(DataError, match="There is no file"):
        load_demonstrations("own", "text", path)
    for text, reason in [("{", "cannot be read"), ("[]", "no demonstrations"), ("[3]", "entry 1 is no object")]:
        path.write_text(text)
        with pytest.raises(DataError, match=reason):
            load_demonstrations("own", "text", path)
