"""A model in this process: seeds by request, texts counted, requests in any order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.teacher.asking import LEGS, numbered, request
from tutelage.config import LocalTeacherSettings
from tutelage.records import Message
from tutelage.teacher.local import GeneratedText, LocalTeacher
from tutelage.teacher.protocol import Usage

SETTINGS = LocalTeacherSettings(kind="local", model="some/model")


class Echo:
    """Writes its seeds; yields the last prompt first, as a batch sorted by length may."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, list[int]]] = []

    def __call__(
        self, prompts: Sequence[tuple[Message, ...] | str], replies: int, seeds: Sequence[int]
    ) -> Iterator[tuple[int, tuple[GeneratedText, ...]]]:
        self.calls.append((replies, list(seeds)))
        for place in reversed(range(len(prompts))):
            texts = [GeneratedText(f"{seeds[place]} {one}", 5, "stop") for one in range(replies)]
            yield place, () if prompts[place] == "" else tuple(texts)


def test_each_request_has_a_seed_of_its_own_wherever_it_stands() -> None:
    requests = [request(numbered(1), 2), request(LEGS, 2), request(numbered(2), 3)]
    echo = Echo()
    teacher = LocalTeacher(SETTINGS, echo, seed=42)
    replies = {one.question.id: reply for one, reply in teacher.answer(requests)}
    alone = {one.question.id: reply for single in requests for one, reply in teacher.answer([single])}
    assert replies == alone
    assert replies[LEGS.id].usage == Usage(None, 10)
    assert replies[LEGS.id].finish_reasons == ("stop", "stop")
    seeds = [seed for _, seeds in echo.calls for seed in seeds]
    assert len(set(seeds)) == 3
    assert all(0 <= seed < 2**60 for seed in seeds)
    other = {one.question.id: reply for one, reply in LocalTeacher(SETTINGS, echo, seed=43).answer(requests)}
    assert other[LEGS.id] != replies[LEGS.id]


def test_the_batch_size_and_the_device_do_not_change_who_the_teacher_is() -> None:
    changed = SETTINGS.model_copy(update={"batch_size": 3, "device": "cpu"})
    assert LocalTeacher(changed, Echo(), 0).identity == LocalTeacher(SETTINGS, Echo(), 0).identity
    assert LocalTeacher(SETTINGS, Echo(), 0).name == "some/model"
