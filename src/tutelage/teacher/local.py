"""A teacher in this process: any model that something else generates with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from tutelage.config import LocalTeacherSettings
from tutelage.records import Message
from tutelage.teacher.protocol import Reply, Request, Usage, sample_keys


@dataclass(frozen=True, slots=True)
class GeneratedText:
    """One sampled text. tokens: new tokens, the one that ended it included. finish_reason: "stop" or "length"."""

    text: str
    tokens: int
    finish_reason: str


class Generator(Protocol):
    """What samples the replies: a model with its settings, loaded by whoever makes the teacher."""

    def __call__(
        self, prompts: Sequence[tuple[Message, ...] | str], replies: int, seeds: Sequence[int]
    ) -> Iterator[tuple[int, tuple[GeneratedText, ...]]]:
        """Yields (place in `prompts`, its `replies` texts) as they are done, in any order.

        Fewer texts where no more can differ, as at the temperature 0.
        prompts: chat messages, or one text to continue. seeds: one a prompt, 0 <= seed < 2**60, so that what
        a prompt gets does not hang on its neighbours.
        """
        ...


class LocalTeacher:
    """A model in this process as a teacher. `generate` holds the model and its sampling.

    seed: the recipe's. A request's own seed comes from its key, so that a resumed run draws the same.
    """

    def __init__(self, settings: LocalTeacherSettings, generate: Generator, seed: int) -> None:
        self._settings = settings
        self._generate = generate
        self._seed = seed

    @property
    def name(self) -> str:
        return self._settings.model

    @property
    def identity(self) -> dict[str, object]:
        names = ("kind", "model", "revision", "endpoint", "temperature", "top_p", "max_new_tokens")
        return {name: getattr(self._settings, name) for name in names} | {"seed": self._seed}

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[Request, Reply]]:
        """Yields each request with its reply, as the generator finishes them."""
        for replies in sorted({request.replies for request in requests}):
            alike = [request for request in requests if request.replies == replies]
            seeds = [int(sample_keys(self, request)[0][:15], 16) for request in alike]
            for place, texts in self._generate([request.prompt for request in alike], replies, seeds):
                yield alike[place], _reply(texts)


def _reply(texts: tuple[GeneratedText, ...]) -> Reply:
    if not texts:
        return Reply((), error="the model generated nothing")
    return Reply(
        tuple(one.text for one in texts),
        tuple(one.finish_reason for one in texts),
        Usage(completion_tokens=sum(one.tokens for one in texts)),
    )
