"""One grader for every task: reads the student's answers, reads the teacher's, and says which are right.

An answer that cannot be read is None, which is never right. Nothing here raises on any text, and all of it
works in any thread.
"""

from __future__ import annotations

import re

from tutelage.records import Question
from tutelage.tasks.reading import canonical, read_choice, read_first
from tutelage.tasks.replies import read_reply, reply_rationale

__all__ = ["canonical", "is_right", "read_answer", "read_reply", "reply_rationale", "student_rationale"]

_MARK = "Answer:"
_MARK_LABEL = re.compile(  # at the start of its line or of a sentence: "**Final" of "**Final Answer:** 8"
    r"(?:^|(?<=[.!?:;][ \t]))[ \t>#*_(-]*+(?:(?:so|thus|hence|therefore),?[ \t]++)?(?:(?:the|my)\b[ \t]*+)?"
    r"(?:(?:final|correct)\b)?[ \t*_]*+\Z",
    re.IGNORECASE | re.MULTILINE,
)
_CONCLUSION = re.compile(r"\banswer is:?\s*([^\n]*)", re.IGNORECASE)


def read_answer(text: str, question: Question) -> str | None:
    """The student's answer: the first valid token after the first "Answer:" (A.2), in canonical form.

    It must stand on that line, or on the next one if nothing else is on it. The token is a number, a choice's letter
    or words, yes or no; for the kind "text" it is the rest of the line. So "Answer: 25 - 5 = 20" reads as 25.
    A choice question's rationale without an answer line may end in "Therefore, the answer is blotter (e)."
    instead, as the paper's do.
    """
    before, mark, after = text.partition(_MARK)
    if mark:
        line = after.lstrip(" \t*").lstrip("\n").split("\n", 1)[0]
        return None if line.startswith(("Question:", "Reasoning:")) else read_first(line, question)
    if question.kind != "choice":
        return None
    conclusions = _CONCLUSION.findall(before)
    return read_choice(conclusions[-1], question.choices) if conclusions else None


def student_rationale(text: str) -> str:
    """The student's reasoning: what stands before the answer that `read_answer` finds, without the mark's own label.

    So nothing of "\\n**Final Answer:** 8" is left; without a mark it is the whole text.
    """
    before, mark, _ = text.partition(_MARK)
    return (_MARK_LABEL.sub("", before) if mark else before).strip()


def is_right(answer: str | None, question: Question) -> bool:
    """Whether an answer equals the gold one: numbers exactly, text but for case, the others by canonical form."""
    if answer is None:
        return False
    seen, gold = canonical(answer, question.kind), canonical(question.answer, question.kind)
    if seen is None or gold is None:
        return False
    return seen.casefold() == gold.casefold()
