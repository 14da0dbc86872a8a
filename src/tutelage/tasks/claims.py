"""What a short statement claims, apart from what it denies and from the reasons it gives."""

from __future__ import annotations

import re

CONTRAST = r"\b(?:but|rather|instead|it\s+is|it['’]s)\b"
"""What leads from a denied answer over to the right one: "not 7 but 8"."""

_DENIAL = re.compile(r"\W*(?:\w+ly\s+)?(?:not|neither)\b", re.IGNORECASE)
_CONTRAST = re.compile(CONTRAST, re.IGNORECASE)
_REASON = re.compile(r"\b(?:because|since|as|not|rather\s+than|instead\s+of|whereas|while)\b", re.IGNORECASE)


def is_denial(segment: str) -> bool:
    """Whether a statement begins by saying what the answer is not."""
    return _DENIAL.match(segment) is not None


def undenied(segment: str) -> str:
    """The statement without what it denies first: "8" of "not 7 but 8", nothing of "not 7"."""
    denial = _DENIAL.match(segment)
    if denial is None:
        return segment
    contrast = _CONTRAST.search(segment, denial.end())
    return segment[contrast.end() :] if contrast else ""


def main_clause(segment: str) -> str:
    """The statement up to its reasons and to what it rejects: "B" of "B, since it is not A"; whole if none is left."""
    reason = _REASON.search(segment)
    head = segment[: reason.start()].rstrip(" \t\n,;([-–—") if reason else segment
    return head or segment
