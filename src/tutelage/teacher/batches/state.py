"""What the batch API's endpoint says of a batch, as JSON-able values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tutelage.teacher.openai.wire import DamagedReplyError

MARK = "tutelage"
"""The name of the mark in a batch's metadata."""
_ENDS = frozenset(("completed", "failed", "expired", "cancelled"))
_TOO_MUCH_AT_ONCE = re.compile(r"token_limit_exceeded|enqueued token", re.IGNORECASE)
_TOO_LARGE = re.compile(
    r"request_too_large|file_too_large|too large"
    r"|too many (?:requests|lines|tasks) in|maximum (?:file size|number of (?:requests|lines|tasks))",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a batch was refused as a whole. line: the first is 1; None if it is about no single one."""

    code: str
    message: str
    param: str
    line: int | None

    @property
    def too_much(self) -> bool:
        return self.line is None and says_too_much(f"{self.code} {self.message}")


@dataclass(frozen=True, slots=True)
class State:
    """A batch as the endpoint describes it.

    done, failed: of its lines. files: of replies and of failures; lacks_replies: the former is not named, as may be for
    a moment after the end.
    """

    id: str
    status: str
    done: int
    failed: int
    files: tuple[str, ...]
    problems: tuple[Problem, ...]
    lacks_replies: bool

    @property
    def ended(self) -> bool:
        return self.status in _ENDS


def says_too_much(text: str, status: int = 400) -> bool:
    """Whether an endpoint's words refuse a batch for its size, or for what the account has under way with it.

    status: of HTTP. Too many requests in a minute (429) are something else.
    """
    if status == 413 or _TOO_MUCH_AT_ONCE.search(text):
        return True
    return status != 429 and _TOO_LARGE.search(text) is not None


def read_id(value: object) -> str:
    """The id of a batch or a file. Raises: DamagedReplyError."""
    found = value.get("id") if isinstance(value, dict) else None
    if not isinstance(found, str) or not re.fullmatch(r"[\w.:-]+", found):
        raise DamagedReplyError(f"no id in {str(value)[:100]!r}")
    return found


def read_mark(value: Mapping[str, Any]) -> object:
    """The mark that a batch bears, None if it is not ours."""
    metadata = value.get("metadata")
    return metadata.get(MARK) if isinstance(metadata, dict) else None


def read_state(value: Mapping[str, Any]) -> State:
    """Raises: DamagedReplyError."""
    status = value.get("status")
    if not isinstance(status, str):
        raise DamagedReplyError(f"no status in {str(value)[:100]!r}")
    counts, errors = value.get("request_counts"), value.get("errors")
    done, failed = (_count(counts, name) for name in ("completed", "failed"))
    named = (value.get("output_file_id"), value.get("error_file_id"))
    listed = errors.get("data") if isinstance(errors, dict) else None
    return State(
        read_id(value),
        status,
        done,
        failed,
        tuple(file for file in named if isinstance(file, str) and file),
        tuple(_problem(one) for one in listed or () if isinstance(one, dict)),
        lacks_replies=done > 0 and not named[0],
    )


def _count(counts: object, name: str) -> int:
    count = counts.get(name) if isinstance(counts, dict) else None
    return count if isinstance(count, int) else 0


def _problem(value: Mapping[str, Any]) -> Problem:
    line = value.get("line")
    code, message, param = (str(value.get(name) or "") for name in ("code", "message", "param"))
    return Problem(code, message or "no reason", param, line if isinstance(line, int) else None)
