"""Many requests that are made as they are taken, and a teacher behind tests/teacher_server.py to ask."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, overload

import pytest

from tests.teacher.asking import numbered, request
from tests.teacher_server import TeacherServer
from tutelage.config import OpenAITeacherSettings
from tutelage.teacher.openai.client import OpenAITeacher
from tutelage.teacher.protocol import Request

KEY = "key-of-the-tests"


class Many(Sequence[Request]):
    """So many requests of different questions, none of them kept."""

    def __init__(self, count: int, replies: int, completion: bool = False) -> None:
        self._count, self._replies, self._completion = count, replies, completion

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, place: int) -> Request: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Request]: ...
    def __getitem__(self, place: int | slice) -> Request | Sequence[Request]:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(self._count))]
        if not 0 <= place < self._count:
            raise IndexError(place)
        return request(numbered(place), self._replies, completion=self._completion)


class Settlements:
    """What `ask` told of each request; `reasons` counts why samples are missing."""

    def __init__(self) -> None:
        self.times: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()

    def __call__(self, request: Request, reason: str | None) -> None:
        self.times[request.question.id] += 1
        if reason is not None:
            assert reason.strip()
            self.reasons[reason] += 1


def make_teacher(server: TeacherServer, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> OpenAITeacher:
    """Short of patience, since the server is next door."""
    monkeypatch.setenv("KEY_OF_THE_TESTS", KEY)
    return OpenAITeacher(make_settings(server, **settings))


def make_settings(server: TeacherServer, **settings: Any) -> OpenAITeacherSettings:
    named = {"model": "m", "concurrency": 200, "timeout_seconds": 2.5, "max_new_tokens": 64, "replies": 2, **settings}
    return OpenAITeacherSettings(kind="openai", base_url=server.url, api_key_env="KEY_OF_THE_TESTS", **named)
