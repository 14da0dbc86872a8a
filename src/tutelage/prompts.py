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
_PARTS = ("Question", "Answer Choices", *(marker.rstrip(":") for marker in (REASONING, WRONG, HINT, BETTER)))
_MARKERS = "|".join(part.replace(" ", r"\s+") for part in _PARTS)
_COLON = r"[\s*_]*[:：]"
_PART_LINE = re.compile(rf"(?:^|\n)[\s*_#>]*+(?:{_MARKERS}){_COLON}", re.IGNORECASE)
_ANSWER_LINE = re.compile(rf"(?:^|(?<=\n))[^\S\n]*{ANSWER}[^\S\n]*", re.IGNORECASE)
_ANY_MARKER = re.compile(rf"({_MARKERS}|Answer)(?:{_COLON})+", re.IGNORECASE)
_BREAK_BEFORE_PART = re.compile(rf"[^\S\n]*+\n\s*+(?=(?:{_MARKERS}|Answer)\s*:)", re.IGNORECASE)
_MENTION = re.compile(
    r"""\bthe\s+(?P<hint>hint)s?\b
    | \b(?P<hinted>hint)(?:s|ed)?\b(?!\s+(?:at|of)\b)        # "a hint of lemon", "clouds hint at rain"
    | \b(?:the|this)\s+(?P<student>student)\b                # "a student", "the students" may be the subject
    | \b(?P<student_s>student)['’]s\s+(?:\w+\s+){0,2}(?:mistake|error|solution|reasoning|answer|attempt)
    | \b(?:wrong|incorrect|mistaken|faulty|flawed|erroneous|previous|given|provided|original)\s+
      (?P<solution>solution|reasoning|rationale|attempt)
    | \bthe\s+(?P<mistake>mistake|error)\s+(?:is|was|in|here|made)\b
    """,
    re.IGNORECASE | re.VERBOSE,
)


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
    asked = _request(question.text, wrong, question.answer, question.choices)
    if endpoint == "completion":
        solved = "".join(text + solution_text(demo.rationale, demo.answer) + SEPARATOR for text, demo in shots)
        return _instruction(question.kind, mistake is not None) + SEPARATOR + solved + asked
    messages = [Message("system", _instruction(question.kind, mistake is not None))]
    for text, demo in shots:
        messages.append(Message("user", text))
        messages.append(Message("assistant", solution_text(demo.rationale, demo.answer).strip()))
    return (*messages, Message("user", asked))


def solving_prompt(
    question: Question, demonstrations: Sequence[Demonstration], endpoint: Literal["chat", "completion"]
) -> tuple[Message, ...] | str:
    """The question as the teacher itself is to solve it, without a hint, behind the student's demonstrations.

    Returns as `teacher_prompt`.
    """
    if endpoint == "completion":
        return student_prompt(question, demonstrations)
    instruction = (
        "Solve the problem by reasoning: a few short sentences, step by step. "
        f'End with a last line "{ANSWER} ..." that holds {_FORM[question.kind]}.'
    )
    messages = [Message("system", instruction.replace(", worded as in the hint", ""))]
    for demo in demonstrations:
        messages.append(Message("user", question_text(demo.question, demo.choices)))
        messages.append(Message("assistant", solution_text(demo.rationale, demo.answer).strip()))
    return (*messages, Message("user", question_text(question.text, question.choices)))


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
    return _request(demo.question, wrong, demo.answer, demo.choices)


def _request(question: str, wrong: str | None, answer: str, choices: Sequence[str]) -> str:
    asked = question_text(_in_line(question), [_in_line(choice) for choice in choices])
    lines = [asked] if wrong is None else [asked, f"{WRONG} {wrong}"]
    return "\n".join([*lines, hint_text(answer, choices), REASONING if wrong is None else BETTER])


def hint_text(answer: str, choices: Sequence[str] = ()) -> str:
    """The line that gives the right answer away: "Hint: The right answer is 12." (a choice: "B (blotter).")."""
    place = ord(answer) - ord("A") if choices and len(answer) == 1 else -1
    right = f"{answer} ({choices[place]})" if 0 <= place < len(choices) else answer
    return f"{HINT} The right answer is {right}."


def _in_line(text: str) -> str:
    """A question's or a choice's text, where no line of its own can pass for the next part of the request."""
    return _BREAK_BEFORE_PART.sub(" ", text)


def _wrong_solution(mistake: Mistake) -> str:
    """The student's text as data: nothing in it can pass for a part of the prompt.

    It ends where a line begins a part ("Hint: ..."); a part's name that stands elsewhere loses its colon.
    """
    text = _PART_LINE.split(mistake.rationale.strip(), maxsplit=1)[0]
    text = _without_markers(_ANSWER_LINE.sub("So the answer is ", text))
    text = re.sub(r"\s*\n\s*", "\n", text).strip() or "(nothing)"
    if mistake.answer is None:
        return f"{text} (It gives no answer.)"
    answer = " ".join(_without_markers(mistake.answer).split())
    if _states(text, answer):
        return text
    return f"{text if text[-1] in '.!?)' else text + '.'} So the answer is {answer}."


def _without_markers(text: str) -> str:
    return _ANY_MARKER.sub(r"\1", text)


def _states(text: str, answer: str) -> bool:
    """Whether the text's last line ends with "the answer is" and this answer, as a word or a number of its own."""
    *_, told = re.split(r"\banswer is\b", text, flags=re.IGNORECASE)
    if told == text or "\n" in told.strip():
        return False
    alone = rf"(?<![\w.,/−-])(?<![−-]\s){re.escape(answer)}(?![\w/%]|[.,]\d|\s%)"
    if len(answer) == 1 and answer.isalpha():  # "a" is mostly an article
        return re.search(alone, told) is not None or f"({answer})".casefold() in told.casefold()
    return re.search(alone, told, re.IGNORECASE) is not None


def mentions_prompt(rationale: str, question: Question) -> bool:
    """Whether a reply's reasoning speaks of the request: its hint, its student or the wrong solution in it.

    The student sees none of them, and would learn to invent them. A word that the question or its choices use
    as well is no such sign.
    """
    asked = "\n".join([question.text, *question.choices])
    words = {match[match.lastgroup or 0].casefold() for match in _MENTION.finditer(rationale)}
    return any(re.search(rf"\b{word}", asked, re.IGNORECASE) is None for word in words)
