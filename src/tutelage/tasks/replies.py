"""Reads a teacher's reply, in whatever style it comes: its answer, and its reasoning without the answer line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from tutelage.records import Question
from tutelage.tasks.claims import SENTENCE_END, main_clause, undenied, without_disclaimed
from tutelage.tasks.quantities import number_text, numbers_in, plain, whole_number
from tutelage.tasks.reading import YES_NO, read_choice, read_first

_MARKERS = re.compile(
    r"""
    (?P<line>\b(?:final\s+|correct\s+)?answer\s*[*_]*\s*:[*_]*)     # Answer: 8, **Final answer:** 8
    | (?P<heading>^[ \t]*[\#*_]+[ \t]*(?:final\s+)?answer[ \t*_]*$)  # ### Answer
    | (?P<hashes>^[ \t]*\#{4,}(?=[ \t]*\S))                         # #### 8
    | (?P<boxed>\\boxed\s*\{)
    | (?P<sentence>\b(?:answer|(?:correct|right|best|most\s+\w+)\s+(?:option|choice))\s*
        (?:\([^()\n]*\)\s*)?(?:is|must\s+be|would\s+be|should\s+be|=)\b\s*:?)
    """,
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)
_SENTENCE_END = re.compile(rf"{SENTENCE_END}|\n\s*\n")
_ENUMERATION = re.compile(r"^[ \t]*(?:(?:step[ \t]*)?\d{1,2}[.):]|[-*•])[ \t]+(?=\S)", re.IGNORECASE | re.MULTILINE)
_STATED = re.compile(
    rf"(?:^|[.!?:;,(\"*]|\bthen|\bso|\bis)\s*({YES_NO})\b(?=\s*(?:[.,!;:)*\"]|$))",
    re.IGNORECASE | re.MULTILINE,
)
_ASIDE = re.compile(r"\([^()]*=[^()]*\)")  # "8 (3 + 5 = 8)" explains the 8
_THOUGHT_START, _THOUGHT_END = (re.compile(rf"<{mark}think(?:ing)?>", re.IGNORECASE) for mark in ("", "/"))
_FENCE = re.compile(r"^[ \t]*(?:`{3,}|~{3,})[ \t]*\w*[ \t]*(?:\n|\Z)", re.MULTILINE)
_HEDGE = re.compile(r"\([A-Za-z]\)[^.\n]*\b(?:or|and)\s+\(?[A-Za-z]\)")
_LETTER = re.compile(r"\(\s*([A-Za-z])\s*\)")
_STATEMENTS = 8  # the last ones that are tried, so that a degenerate reply takes no quadratic time
_LINE = 60  # characters of a line that holds an answer and no reasoning
_CALCULATOR = re.compile(r"<<[^<>\n]*>>")
_QUESTION = re.compile(r"^[ \t*#]*Question[*]*:", re.MULTILINE)
_REASONING = re.compile(r"^[ \t*#]*(?:better )?reasoning[*]*:", re.IGNORECASE | re.MULTILINE)
_LABEL = re.compile(
    r"""(?:
    (?:(?:sure|certainly|of\ course|okay)\b[,!.]?\s*)?
      (?:here(?:['’]s|\ is|\ are)|below\ is)\b[^\n:]{0,100}:(?=\s*\n|\s*$)
    | [*_\#\s]*(?:(?:a|the|my)\s+)?(?:(?:better|correct|corrected|improved|revised|new|right)\s+)?
      (?:reasoning|rationale|solution|explanation)\s*[*_]*:[*_]*
    )\s*""",
    re.VERBOSE | re.IGNORECASE,
)
_ANSWER_LABEL = re.compile(r"(?:\*\*|__)?(?:\b(?:Final|final|Correct|correct) )?Answer\s*:(?:\*\*|__)?[ \t]*")
_ANSWER_HEADING = re.compile(  # over one last short line that calculates nothing
    r"^[ \t#*_]*(?:final\s+)?answer[ \t*_]*:?[ \t*_]*\n\s*[^\n=]{1,60}\Z", re.IGNORECASE | re.MULTILINE
)
_ANSWER_LINE = re.compile(
    r"^[ \t>*_#-]*(?:(?:the\s+)?(?:final\s+|correct\s+)?answer\s*[*_]*\s*:|\#{4,}|\$*\s*\\boxed\s*\{)[^\n]*$",
    re.IGNORECASE | re.MULTILINE,
)
_INLINE_ANSWER = re.compile(  # after a sentence, since in "so the answer is Answer: 8" it belongs to the sentence
    r"""(?<=[.!?;)\]}*$%"\d])[ \t]++[*_(]*+
    (?:(?:The[ \t]+)?(?:[Ff]inal[ \t]+|[Cc]orrect[ \t]+)?Answer|(?:Final|Correct|The|The[ \t]final)[ \t]answer)
    [ \t*_]*+:[^\n]{1,60}\Z""",
    re.VERBOSE,
)


def read_reply(text: str, question: Question) -> str | None:
    """The answer that a teacher's free text comes to, in canonical form; None if it states none.

    The last explicit statement that can be read counts: an "Answer:" line, `#### 8`, `\\boxed{8}`, or
    "the answer is 8". Without one it is the last number, the last yes or no that stands by itself, or
    the last letter in parentheses; for the kind "text" only an explicit statement counts.
    A reply that settles for two choices at once, "(b) refrigerator or (d) fridge", states none. What is said about
    another answer, "the answer is not 7" or "the student's answer is 7", is no statement.
    """
    text = without_disclaimed(_cleaned(text), question)
    for mark, segment in reversed(list(_statements(text))):
        if question.kind == "choice" and _HEDGE.search(main_clause(segment)):
            return None
        answer = _read_statement(mark, segment, question)
        if answer is not None:
            return answer
    return _read_last(text, question)


def _cleaned(text: str) -> str:
    """A reply without what is no part of it: a reasoning model's thoughts, calculator marks, code fences, questions.

    Thoughts that are cut off take all the rest; where the prompt opened them, only their end is in the reply.
    """
    text = _THOUGHT_START.split(_THOUGHT_END.split(text.replace("\r\n", "\n"))[-1], maxsplit=1)[0]
    return _own_part(_FENCE.sub("", _CALCULATOR.sub("", text)))


def _statements(text: str) -> Iterator[tuple[str, str]]:
    """The last explicit statements of an answer in a reply, in order, each with the kind of its mark."""
    matches = list(_MARKERS.finditer(text))[-_STATEMENTS:]
    ends = [match.start() for match in matches] + [len(text)]
    for match, (_, end) in zip(matches, pairwise(ends), strict=True):
        mark = match.lastgroup or ""
        if mark == "boxed":
            yield mark, _in_braces(text, match.end())
        elif mark == "sentence":
            yield mark, _SENTENCE_END.split(text[match.end() : end].lstrip(" \t\n:*_"), maxsplit=1)[0]
        else:
            segment = text[match.end() : end].lstrip(" \t*_")
            lines = [line for line in segment[: _LINE + 2].split("\n") if line.strip()]
            if segment.startswith("\n") and (len(lines) != 1 or len(segment.strip()) > _LINE):
                yield "free text", text[:end]  # "Answer:" heads a part of the reasoning
            else:
                yield mark, segment.lstrip()


def _in_braces(text: str, start: int) -> str:
    depth = 1
    for place in range(start, min(len(text), start + 500)):
        depth += (text[place] == "{") - (text[place] == "}")
        if depth == 0:
            return text[start:place]
    return ""


def _read_statement(mark: str, segment: str, question: Question) -> str | None:
    if mark == "free text":
        return _read_last(segment, question)
    first = segment.partition("\n")[0]
    if question.kind in ("number", "percentage"):
        return _number_of(segment if mark in ("boxed", "sentence") else first, question)
    if question.kind == "choice":
        return read_choice(plain(first), question.choices)
    return read_first(plain(first).strip("$ "), question)


def _number_of(segment: str, question: Question) -> str | None:
    """The number that a statement comes to: after its last "=", an expression's value, else the first number.

    Its reasons are left aside: "8 (since 5 - 3 = 2)" comes to 8.
    """
    share = question.kind == "percentage"
    segment = undenied(segment)
    clause = main_clause(_ASIDE.sub("", segment))
    parts = (clause.rpartition("=")[2], clause, segment)
    part = next((part for part in parts if next(numbers_in(part, share), None) is not None), segment)
    value = whole_number(part, share)
    if value is None:
        value = next(numbers_in(part, share), None)
    return None if value is None else number_text(value)


def _read_last(text: str, question: Question) -> str | None:
    if question.kind in ("number", "percentage"):
        return _last_number(_ENUMERATION.sub("", text), question.kind == "percentage")
    if question.kind == "choice":
        letters = [match[0] for match in _LETTER.finditer(text)]
        return next((found for mark in reversed(letters) if (found := read_choice(mark, question.choices))), None)
    if question.kind == "yes/no":
        stated = _STATED.findall(text)
        return read_first(stated[-1], question) if stated else None
    return None


def _last_number(text: str, share: bool) -> str | None:
    """The last number; but the last equation's result where the last sentence repeats it.

    So "5 * 8 = 40. Therefore she needs 40 minutes for 8 pieces." comes to 40.
    """
    text = plain(text)
    numbers = list(numbers_in(text, share))
    if not numbers:
        return None
    *_, tail = (part for part in _SENTENCE_END.split(text) if any(mark.isdecimal() for mark in part))
    result = next(numbers_in(text.rpartition("=")[2], share), None) if "=" in text else None
    stated = list(numbers_in(tail, share))
    return number_text(result if result is not None and result in stated else numbers[-1])


def reply_rationale(text: str, question: Question) -> str:
    """A reply's reasoning as the student is to write it; "" if nothing is left.

    Left out: a leading label ("Better reasoning:", "Here is a solution:"), calculator marks (`<<3*4=12>>`),
    `<think>` thoughts, code fences, everything from a further "Question:" on, and the answer line at the end with
    whatever comes after it, or an "Answer: 8" that ends the last line.
    Where the reply answers first and explains then, the explanation is kept. An "Answer:" that remains in
    the middle (a heading, or the answer to a step) loses that word, since the student's answer is read at the
    first "Answer:". Everything else stays, line breaks and a closing "So the answer is 8." included.
    """
    text = _without_labels(_ANSWER_HEADING.sub("", _cleaned(text)))
    lines = [line for line in _ANSWER_LINE.finditer(text) if _states_answer(line[0], question)]
    if lines:
        before, after = text[: lines[-1].start()], text[lines[-1].end() :]
        text = before if _without_labels(_ANSWER_LABEL.sub("", before)).strip() else after
    text = text.rstrip()
    if (last := _INLINE_ANSWER.search(text)) and _states_answer(last[0], question):
        text = text[: last.start()]
    while _ANSWER_LABEL.search(text):  # again, since what is left of "AnsAnswer:wer:" is one more
        text = _ANSWER_LABEL.sub("", text)
    text = _without_labels(text)
    match = _QUESTION.search(text, 1) if text else None
    return text[: match.start()].strip() if match else text


def _own_part(text: str) -> str:
    """A reply without the question where it repeats it first, and without further questions that it makes up."""
    text = text.strip()
    if match := _QUESTION.match(text):
        label = _REASONING.search(text)
        text = text[label.start() :] if label else text[match.end() :].partition("\n")[2]
    match = _QUESTION.search(text)
    return text[: match.start()] if match else text


def _without_labels(text: str) -> str:
    text = text.lstrip()  # before the match: two runs of white space in a row would take quadratic time
    while (match := _LABEL.match(text)) and match.end():
        text = text[match.end() :].lstrip()
    return text.strip()


def _states_answer(line: str, question: Question) -> bool:
    """Whether a line is an answer line: it states an answer, and is too short to be a step of the reasoning."""
    if question.kind == "text":
        return True
    return len(line) <= 120 and any(
        _read_statement(mark, segment, question) is not None for mark, segment in _statements(line)
    )
