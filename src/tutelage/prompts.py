"""How a question, a lesson and a request to the teacher read (A.2, Fig. 3, Tables 12 and 15)."""

from __future__ import annotations

from collections.abc import Sequence

from tutelage.records import Demonstration, Question

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
