"""How a question, a lesson and a request to the teacher read (A.2, Fig. 3, Tables 12 and 15)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from tutelage.records import AnswerKind, Demonstration, Message, Mistake, Question

REASONING = "Reasoning:"
ANSWER = "Answer:"
SEPARATOR = "\n\n"
"""Stands between two demonstrations; a student that goes on after its answer writes it, too."""


def question_text(text: str, choices: Sequence[str] = ()) -> str:
    """The question's part of a prompt: "Question: x", with one line a choice, "(a) ...", where there are any."""
    lines = [f"Question: {text}"]
    if choices:
        lines.append("Answer Choices:")
        lines += [f"({chr(ord('a') + place)}) {choice}" for place, choice in enumerate(choices)]
    return "\n".join(lines)


def solution_text(rationale: str, answer: str) -> str:
    """What the student is to write after "Reasoning:", the leading space included: " r\\nAnswer: y"."""
    return f" {rationale.strip()}\n{ANSWER} {answer}"


def demonstrations_text(demonstrations: Sequence[Demonstration]) -> str:
    """The demonstrations as they stand before a question, the separator after the last one included."""
    return "".join(
        question_text(demo.question, demo.choices)
        + f"\n{REASONING}"
        + solution_text(demo.rationale, demo.answer)
        + SEPARATOR
        for demo in demonstrations
    )


def student_prompt(question: Question, demonstrations: Sequence[Demonstration] = ()) -> str:
    """What the student continues: the demonstrations, the question, and "Reasoning:" without a space after it."""
    return demonstrations_text(demonstrations) + question_text(question.text, question.choices) + f"\n{REASONING}"


# The teacher's half: Fig. 3 and Table 12.

WRONG = "Wrong Solution:"
HINT = "Hint:"
BETTER = "Better Reasoning:"
STOP = ("\nQuestion:",)
"""Where a completion endpoint stops: a model that goes on after its answer invents the next question."""

_FORM: dict[AnswerKind, str] = {
    "number": "the number alone, without a unit",
    "percentage": "the number alone, with its percent sign if it is a percentage",
    "choice": "the letter of the choice alone, such as B",
    "yes/no": "Yes or No",
    "text": "the answer alone, worded as in the hint",
}
_MARKERS = "|".join(re.escape(marker) for marker in ("Question:", "Answer Choices:", REASONING, WRONG, HINT, BETTER))


def teacher_prompt(
    question: Question,
    mistake: Mistake | None,
    demonstrations: Sequence[Demonstration],
    endpoint: Literal["chat", "completion"],
) -> tuple[Message, ...] | str:
    """The request for corrections: T(x, r̂, y) with the student's mistake, T(x, null, y) without one (3.2).

    The gold answer stands in it as a hint, in a line "Hint: The right answer is 12." (a choice: "B (blotter).").
    demonstrations: shown with their wrong solution where there is a mistake to show, and without it otherwise.
    Returns messages for a chat endpoint; for a completion endpoint the text to continue, to be ended at `STOP`.
    """
    shots = [(_demonstration_request(demo, mistake is not None), demo) for demo in demonstrations]
    wrong = None if mistake is None else _wrong_solution(mistake)
    asked = _request(question_text(question.text, question.choices), wrong, question.answer, question.choices)
    if endpoint == "completion":
        solved = "".join(text + solution_text(demo.rationale, demo.answer) + SEPARATOR for text, demo in shots)
        return _instruction(question.kind, mistake is not None) + SEPARATOR + solved + asked
    messages = [Message("system", _instruction(question.kind, mistake is not None))]
    for text, demo in shots:
        messages.append(Message("user", text))
        messages.append(Message("assistant", solution_text(demo.rationale, demo.answer).strip()))
    return (*messages, Message("user", asked))


def _instruction(kind: AnswerKind, with_mistake: bool) -> str:
    given = "a question, a student's wrong solution, and a hint" if with_mistake else "a question and a hint"
    equations = ", with equations such as 3 * 4 = 12 in them" if kind in ("number", "percentage") else ""
    silence = "Never mention the hint or the wrong solution" if with_mistake else "Never mention the hint"
    return (
        "You teach a student to solve problems by reasoning. "
        f"You get {given} that gives the right answer. "
        "Write the reasoning that the student should have written: a few short sentences, step by step, "
        "from the question to the right answer. "
        f"Write plain sentences{equations}; no LaTeX, no Markdown, no lists. "
        f"{silence}: the reasoning must stand on its own. "
        f'End with a last line "{ANSWER} ..." that holds {_FORM[kind]}.'
    )


def _demonstration_request(demo: Demonstration, with_mistake: bool) -> str:
    wrong = demo.wrong_rationale if with_mistake else None
    return _request(question_text(demo.question, demo.choices), wrong, demo.answer, demo.choices)


def _request(question: str, wrong: str | None, answer: str, choices: Sequence[str]) -> str:
    place = ord(answer) - ord("A") if choices and len(answer) == 1 else -1
    right = f"{answer} ({choices[place]})" if 0 <= place < len(choices) else answer
    lines = [question] if wrong is None else [question, f"{WRONG} {wrong}"]
    return "\n".join([*lines, f"{HINT} The right answer is {right}.", REASONING if wrong is None else BETTER])


def _wrong_solution(mistake: Mistake) -> str:
    """The student's text as data: nothing in it can pass for a part of the prompt."""
    text = re.split(rf"(?:^|\n)[^\S\n]*(?:{_MARKERS})", mistake.rationale.strip(), maxsplit=1, flags=re.IGNORECASE)[0]
    text = re.sub(rf"(?:^|(?<=\n))[^\S\n]*{ANSWER}[^\S\n]*", "So the answer is ", text, flags=re.IGNORECASE)
    text = re.sub(r"\s*\n\s*", "\n", text).strip() or "(nothing)"
    if mistake.answer is None:
        return f"{text} (It gives no answer.)"
    told = re.search(r"answer is\b([^\n]*)$", text)
    if told and mistake.answer.casefold() in told[1].casefold():
        return text
    return f"{text if text[-1] in '.!?)' else text + '.'} So the answer is {mistake.answer}."
