"""The offline tutor: a rule-based stand-in for a teacher, for tasks whose rows carry a worked solution.

It finds the first step of the student's rationale that departs from the worked solution (`diagnosis`) and
writes the solution anew: the student's right steps in the student's words, the rest in those of the worked solution.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from tutelage.prompts import solution_text
from tutelage.records import Mistake, Question
from tutelage.teacher.protocol import Reply, Request
from tutelage.teacher.tutor.arithmetic import clean, read_numbers
from tutelage.teacher.tutor.diagnosis import Comparison, Worked, compare

NAME = "offline tutor (rule-based stand-in)"
VERSION = 1
"""Of the rules; another version writes other corrections, so the ledger keeps them apart."""

_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
_OPENS_ALREADY = re.compile(
    r"(first|then|next|so|finally|therefore|thus|now|after|in total|altogether)\b", re.IGNORECASE
)
_LOWER = (
    "The",
    "There",
    "This",
    "That",
    "These",
    "He",
    "She",
    "It",
    "They",
    "We",
    "A",
    "An",
    "In",
    "If",
    "Each",
    "Every",
)
_QUANTITY = re.compile(r"(?<![\w$€£.,])(\d+(?:,\d{3})*(?:\.\d+)?)\s+([^\W\d_]{3,})")
_NO_NOUN = frozenset(
    ("and", "are", "for", "from", "has", "have", "less", "many", "more", "much", "the", "than", "then", "times", "was")
)


class OfflineTutor:
    """A rule-based stand-in for a teacher. It uses no model, and costs nothing."""

    @property
    def name(self) -> str:
        return NAME

    @property
    def identity(self) -> dict[str, object]:
        return {"kind": "tutor", "version": VERSION}

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[Request, Reply]]:
        """Yields each request with its corrections, fewer than asked for where no more differ sensibly.

        A question without a worked solution comes back with an error.
        """
        for request in requests:
            if not clean(request.question.rationale or ""):
                yield request, Reply((), error="this question has no worked solution, and the offline tutor needs one")
                continue
            texts = tuple(
                solution_text(rationale, request.question.answer).strip()
                for rationale in corrections(request.question, request.mistake)[: request.replies]
            )
            yield request, Reply(texts, ("stop",) * len(texts))


def corrections(question: Question, mistake: Mistake | None) -> list[str]:
    """Right rationales for a question, all different, without answer lines, the best first.

    With a mistake the one tailored to it comes first. Then the worked solution and other ways to put it, and last, with
    a mistake, the tailored one after the step to check. None holds the student's wrong step.
    Raises: ValueError if the question has no worked solution.
    """
    worked = Worked(question)
    text = worked.text
    written, named = [text], list[str]()
    if mistake is not None:
        comparison = compare(mistake.rationale, question)
        tailored = _joined([*comparison.kept, *comparison.rest], text) if comparison.kept else text
        written = [tailored, text]
        named = _named(comparison, worked, tailored)
    written += [*_in_sequence(worked, text), *_with_quantities(question, text), *_concluded(question, text)]
    # Last: a student that reads many of them learns to say "Check the first step" where nothing is to be checked.
    written += [*_bare(question, worked), *named]
    return list(dict.fromkeys(one for one in written if one))


def _joined(sentences: Sequence[str], like: str) -> str:
    if "\n" in like:
        return "\n".join(sentences)
    return " ".join(one if one[-1] in ".!?:;," else one + "." for one in sentences)


def _named(comparison: Comparison, worked: Worked, tailored: str) -> list[str]:
    departure = comparison.departure
    if departure is None or departure.right_step is None or departure.kind == "surplus step":
        return []
    place = departure.right_step
    which = f"the {_ORDINALS[place]} step" if place < len(_ORDINALS) else f"step {place + 1}"
    return [_joined([f"Check {which}: {worked.blocks[place].equations[0].text}.", tailored], tailored)]


def _in_sequence(worked: Worked, text: str) -> list[str]:
    """ "First, ... Then ... So ...", where the solution is a few plain sentences with an equation each."""
    if "\n" in text or len(worked.blocks) < 2 or worked.tail or any(block.talk for block in worked.blocks):
        return []
    last = len(worked.blocks) - 1
    sentences = []
    for place, block in enumerate(worked.blocks):
        opening = "First, " if place == 0 else "So " if place == last else "Then "
        sentence = block.step.text
        if _OPENS_ALREADY.match(sentence):
            opening = ""
        elif sentence.split()[0] in _LOWER:
            sentence = sentence[0].lower() + sentence[1:]
        sentences.append(opening + sentence)
    return [" ".join(sentences)]


def _with_quantities(question: Question, text: str) -> list[str]:
    """The worked solution after a sentence that lists what is given, where each number has a noun."""
    given = [(number, noun) for number, noun in _QUANTITY.findall(question.text) if noun.casefold() not in _NO_NOUN]
    if not 2 <= len(given) <= 8 or len(given) < len(re.findall(r"\d+(?:[.,]\d+)*", question.text)):
        return []
    listed = [f"{number} {noun}" for number, noun in given]
    return [_joined([f"There are {', '.join(listed[:-1])} and {listed[-1]}.", text], text)]


def _concluded(question: Question, text: str) -> list[str]:
    if re.search(r"\banswer\b", text, re.IGNORECASE):
        return []
    return [_joined([text if text[-1] in ".!?" else text + ".", f"So the answer is {question.answer}."], text)]


def _bare(question: Question, worked: Worked) -> list[str]:
    """The equations alone, where they lead to the answer by themselves."""
    equations = [equation for block in worked.blocks for equation in block.equations]
    if len(equations) < 2 or read_numbers(question.answer) != {abs(equations[-1].claimed)}:
        return []
    return [" ".join(f"{equation.text}." for equation in equations)]
