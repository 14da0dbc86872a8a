"""When an answer is complete, told from the text while it is generated, and what it reads then.

Shapes: R sequences, L tokens so far (prompt included).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase, StoppingCriteria

from tutelage.prompts import ANSWER

Complete = Callable[[str], int | None]
"""From the text after the prompt: how many of its characters are the complete answer, None while it goes on.

It is asked whenever a token with a line end or a colon has come, which is where an answer can turn complete.
"""

_ANSWER_LINE = re.compile(rf"{re.escape(ANSWER)}\s*\S[^\n]*(?=\n)")
_NEXT_QUESTION = re.compile(r"(?:^|\n)[^\S\n]*Question:")


@dataclass(frozen=True, slots=True)
class Completion:
    """What was generated after a prompt.

    text: up to the end of the complete answer. tokens: new tokens, up to and with the one that ended it.
    finished: False when the limit on new tokens cut it off.
    """

    text: str
    tokens: int
    finished: bool


def answer_end(text: str) -> int | None:
    """Where a student's answer is complete: at the end of the line "Answer: ...", or where it invents a new question.

    What a greedy student writes after that is the demonstrations' pattern going on, and no part of the answer.
    """
    ends = [found.end() for found in [_ANSWER_LINE.search(text)] if found]
    ends += [found.start() for found in [_NEXT_QUESTION.search(text)] if found]
    return min(ends, default=None)


class EndRule:
    """Where a sequence of new tokens ends: at one of `stop_ids`, or where `complete` finds the answer complete."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, stop_ids: Sequence[int], complete: Complete | None = answer_end
    ) -> None:
        self._tokenizer = tokenizer
        self._stop_ids = frozenset(stop_ids)
        self._complete = complete
        self._telling = frozenset() if complete is None else telling_tokens(tokenizer)

    def ends(self, new: Sequence[int]) -> bool:
        """Whether the newest of these tokens is the last. Decodes only if it could complete an answer."""
        return new[-1] in self._stop_ids or self.completes(new)

    def completes(self, new: Sequence[int]) -> bool:
        """Whether the answer is complete with the newest of these tokens, end tokens apart."""
        if self._complete is None or new[-1] not in self._telling:
            return False
        return self._complete(decode(self._tokenizer, new)) is not None

    def cut(self, new: Sequence[int]) -> Sequence[int]:
        """The tokens up to and with the first that ends them; all of them if none does."""
        return next((new[:end] for end in range(1, len(new) + 1) if self.ends(new[:end])), new)

    def completion(self, new: Sequence[int]) -> Completion:
        """What tokens that are cut off already, but for what may stand behind an end token, come to."""
        end = next((place for place, token in enumerate(new, start=1) if token in self._stop_ids), None)
        text = decode(self._tokenizer, new if end is None else new[: end - 1])
        kept = None if self._complete is None else self._complete(text)
        return Completion(text[:kept], end or len(new), finished=end is not None or kept is not None)


class AnswerStop(StoppingCriteria):
    """Ends, in the library's `generate`, each sequence whose answer is complete.

    `lengths_R`: its new tokens then, 0 while it goes on.
    """

    def __init__(self, rule: EndRule, prompt_length: int, rows: int) -> None:
        self._rule = rule
        self._prompt_length = prompt_length
        self.lengths_R = [0] * rows

    def __call__(self, input_ids: Tensor, scores: object, **kwargs: object) -> Tensor:
        """Which sequences are done, bool [R]. input_ids: int64 [R, L]."""
        for row, new in enumerate(input_ids[:, self._prompt_length :].tolist()):
            if self.lengths_R[row] == 0 and self._rule.completes(new):
                self.lengths_R[row] = len(new)
        return torch.tensor(self.lengths_R, device=input_ids.device) > 0


def decode(tokenizer: PreTrainedTokenizerBase, token_ids: Sequence[int]) -> str:
    """The text of generated tokens as the model wrote it, without special tokens."""
    return str(tokenizer.decode(list(token_ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))


@lru_cache(maxsize=4)
def telling_tokens(tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """The tokens that hold a line end or a colon; half a second for 150 thousand tokens, so kept."""
    texts = tokenizer.batch_decode([[token] for token in range(len(tokenizer))], clean_up_tokenization_spaces=False)
    return frozenset(token for token, text in enumerate(texts) if "\n" in text or ":" in text)
