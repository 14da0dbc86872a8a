"""How many tokens prompts and replies come to, before anything is sent.

By the teacher's tokenizer, by what a ledger measured, or by a count of words, numbers and signs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from tutelage.errors import TeacherError
from tutelage.records import Message
from tutelage.student.model.sources import explain
from tutelage.teacher.books.ledger import Ledger

Prompt = Sequence[Message] | str
Count = Callable[[str], int]

A_MESSAGE = 4
"""Tokens that a chat's form adds to each message of it, and about what it adds at the end, in OpenAI's models."""

_PIECE = re.compile(r"(?:[^\w\r\n]|_)?[^\W\d_]+|\d{1,3}| ?(?:[^\s\w]|_)+[\r\n]*|\s+")
_LONG = 10


def count_roughly(text: str) -> int:
    """The tokens of a text without a tokenizer: one for each word, three digits, run of signs and gap between them.

    OpenAI's vocabularies (cl100k, o200k) cut texts into such pieces first, and English has few words of two tokens.
    On the prompts and replies of the paper's five tasks this is within 7 % of either. Other scripts take a token for
    each four bytes, which errs upwards.
    """
    return sum(_word(piece) if piece[-1].isalpha() else 1 for piece in _PIECE.findall(text))


def _word(word: str) -> int:
    if word.isascii():
        return 1 if len(word) <= _LONG else 2
    return -(-len(word.encode("utf-8", "surrogatepass")) // 4)


def prompt_tokens(prompt: Prompt, count: Count) -> int:
    """The tokens of a prompt, with those that a chat's form adds."""
    if isinstance(prompt, str):
        return count(prompt)
    return sum(count(message.content) + A_MESSAGE for message in prompt) + A_MESSAGE


def counting(tokenizer: str | None) -> Count:
    """Counts a text's tokens by a tokenizer, a hub id or a folder; roughly where there is none.

    What stands in every prompt is counted once. Raises: TeacherError if the tokenizer cannot be loaded.
    """
    return lru_cache(maxsize=1024)(count_roughly if tokenizer is None else _tokenizer(tokenizer))


def _tokenizer(name: str) -> Count:
    from transformers import AutoTokenizer

    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(name)
    # The loaders raise whatever they like on a file that is damaged or of another kind.
    except Exception as error:
        raise TeacherError(f"teacher.tokenizer: {explain(name, error)}") from None
    return lambda text: len(tokenizer(text, add_special_tokens=False)["input_ids"])


@dataclass(frozen=True, slots=True)
class Measured:
    """What a ledger's answered calls came to; those alone that say how many tokens they took.

    requests: different ones among them. places: samples asked for. prompt_bytes: as `stored_bytes` counts them.
    """

    calls: int
    requests: int
    places: int
    samples: int
    prompt_bytes: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int

    @property
    def tokens_a_byte(self) -> float:
        return self.prompt_tokens / self.prompt_bytes

    @property
    def completion(self) -> float:
        """Tokens of one sample."""
        return self.completion_tokens / self.samples

    @property
    def cached(self) -> float:
        """Share of the prompts' tokens that the endpoint had cached."""
        return min(1.0, self.cached_tokens / self.prompt_tokens)

    @property
    def one_by_one(self) -> bool:
        """Whether each sample of a request was asked for alone, by an endpoint that takes no more."""
        return self.places == self.calls and self.calls > 1.05 * self.requests


_TOLD = """
FROM calls WHERE ended IS NOT NULL AND failure IS NULL AND road IN ('direct', 'batch') AND kind = 'feedback'
    AND prompt_tokens > 0 AND completion_tokens IS NOT NULL
"""
_CALLS = f"""
SELECT count(*), count(DISTINCT round || '|' || question || '|' || prompt), sum(json_array_length(places)),
    sum((SELECT length(CAST(prompts.prompt AS BLOB)) FROM prompts WHERE prompts.id = calls.prompt)),
    sum(prompt_tokens), coalesce(sum(cached_tokens), 0), sum(completion_tokens)
{_TOLD}
"""  # noqa: S608
_SAMPLES = f"SELECT count(*) FROM samples WHERE call IN (SELECT id {_TOLD})"  # noqa: S608


def measured(ledger: Ledger) -> Measured | None:
    """What the replies in a ledger came to, None if none says so."""
    ((calls, requests, places, size, prompt, cached, completion),) = ledger.rows(_CALLS)
    ((samples,),) = ledger.rows(_SAMPLES)
    if not calls or not samples or not size:
        return None
    return Measured(calls, requests, places, samples, size, prompt, cached, completion)


def stored_bytes(prompt: Prompt) -> int:
    """The bytes of a prompt in a ledger, its JSON."""
    value = prompt if isinstance(prompt, str) else [{"role": one.role, "content": one.content} for one in prompt]
    return len(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))
