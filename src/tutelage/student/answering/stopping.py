"""When an answer is complete, told from the text while it is generated, and what it reads then.

Shapes: R sequences, L tokens so far (prompt included).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from tokenizers import decoders
from torch import Tensor
from transformers import PreTrainedTokenizerBase, StoppingCriteria

from tutelage.prompts import ANSWER

Complete = Callable[[str], int | None]
"""From the text after the prompt: how many of its characters are the complete answer, None while it goes on.

It is asked whenever a token with a line end or a colon has come, which is where an answer can turn complete.
"""

_ANSWER_LINE = re.compile(rf"{re.escape(ANSWER)}\s*\S[^\n]*(?=\n)")
NEXT_QUESTION = "\nQuestion:"
"""How a question that is invented begins, as a rule: always an answer's end, though not the only one."""

_NEXT_QUESTION = re.compile(r"(?:^|\n)[^\S\n]*Question:")
_NEXT_QUESTION_IN_LINE = re.compile(r"(?<!\S)Question:")


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
    # If the first "Answer:" has no line that ends, no later one has; a search would try all, each to the text's end.
    start = text.find(ANSWER)
    ends = [found.end() for found in [start >= 0 and _ANSWER_LINE.match(text, start)] if found]
    ends += [found.start() for found in [_NEXT_QUESTION.search(text)] if found]
    return min(ends, default=None)


def answer_end_in_line(text: str) -> int | None:
    """`answer_end` for a student that writes no line ends: where it invents a new question.

    Its "Answer: ..." has no line that could end; it goes on to the end token or to that question.
    """
    found = _NEXT_QUESTION_IN_LINE.search(text)
    return len(text[: found.start()].rstrip()) if found else None


class EndRule:
    """Where a sequence of new tokens ends: at one of `stop_ids`, or where `complete` finds the answer complete.

    `answer_end` gives way to `answer_end_in_line` where the tokenizer knows no line ends.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, stop_ids: Sequence[int], complete: Complete | None = answer_end
    ) -> None:
        self.tokenizer = tokenizer
        self.stop_ids = frozenset(stop_ids)
        self.complete = answer_end_in_line if complete is answer_end and not writes_lines(tokenizer) else complete
        self.telling = frozenset() if complete is None else telling_tokens(tokenizer)
        self.joins = joins_bytes(tokenizer)

    def watch(self) -> Watch:
        """What follows one sequence."""
        return Watch(self)

    def cut(self, new: Sequence[int]) -> Sequence[int]:
        """The tokens up to and with the first that ends them; all of them if none does."""
        watch = self.watch()
        return next((new[:end] for end in range(1, len(new) + 1) if watch.ends(new[:end])), new)

    def completion(self, new: Sequence[int]) -> Completion:
        """What tokens that are cut off already, but for what may stand behind an end token, come to."""
        end = next((place for place, token in enumerate(new, start=1) if token in self.stop_ids), None)
        text = decode(self.tokenizer, new if end is None else new[: end - 1])
        kept = None if self.complete is None else self.complete(text)
        return Completion(text[:kept], end or len(new), finished=end is not None or kept is not None)


class Watch:
    """Whether one sequence that grows has come to its end."""

    def __init__(self, rule: EndRule) -> None:
        self._rule = rule
        self._read, self._text = 0, ""

    def ends(self, new: Sequence[int]) -> bool:
        """Whether the newest of these tokens is the last. Decodes only if it could complete an answer."""
        return new[-1] in self._rule.stop_ids or self.completes(new)

    def completes(self, new: Sequence[int]) -> bool:
        """Whether the answer is complete with the newest of these tokens, end tokens apart."""
        rule = self._rule
        if rule.complete is None or new[-1] not in rule.telling:
            return False
        return rule.complete(self._decoded(new)) is not None

    def _decoded(self, new: Sequence[int]) -> str:
        """The text of all tokens; decodes those behind the last whole character, since a text may be all line ends."""
        tokenizer = self._rule.tokenizer
        if not self._rule.joins:
            return decode(tokenizer, new)
        text = self._text + decode(tokenizer, new[self._read :])
        if not text.endswith("\ufffd"):  # else the next token may go on with the same character
            self._read, self._text = len(new), text
        return text


class AnswerStop(StoppingCriteria):
    """Ends, in the library's `generate`, each sequence whose answer is complete.

    `lengths_R`: its new tokens then, 0 while it goes on.
    """

    def __init__(self, rule: EndRule, prompt_length: int, rows: int) -> None:
        self._watches = [rule.watch() for _ in range(rows)]
        self._prompt_length = prompt_length
        self.lengths_R = [0] * rows

    def __call__(self, input_ids: Tensor, scores: object, **kwargs: object) -> Tensor:
        """Which sequences are done, bool [R]. input_ids: int64 [R, L]."""
        for row, new in enumerate(input_ids[:, self._prompt_length :].tolist()):
            if self.lengths_R[row] == 0 and self._watches[row].completes(new):
                self.lengths_R[row] = len(new)
        return torch.tensor(self.lengths_R, device=input_ids.device) > 0


def decode(tokenizer: PreTrainedTokenizerBase, token_ids: Sequence[int]) -> str:
    """The text of generated tokens as the model wrote it, without special tokens."""
    return str(tokenizer.decode(list(token_ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))


def joins_bytes(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the text of tokens is what their bytes come to, one token's behind the other's, and nothing else."""
    return isinstance(getattr(getattr(tokenizer, "backend_tokenizer", None), "decoder", None), decoders.ByteLevel)


def writes_lines(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether a line end is a token, or a part of one. A T5's SentencePiece makes it a space."""
    return "\n" in str(tokenizer.decode(tokenizer("one\ntwo", add_special_tokens=False)["input_ids"]))


@lru_cache(maxsize=4)
def telling_tokens(tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """The tokens that hold a line end or a colon; half a second for 150 thousand tokens, so kept."""
    texts = tokenizer.batch_decode([[token] for token in range(len(tokenizer))], clean_up_tokenization_spaces=False)
    return frozenset(token for token, text in enumerate(texts) if "\n" in text or ":" in text)
