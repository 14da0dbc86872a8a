"""When an answer is complete, told from the text while it is generated.

Shapes: R sequences, L tokens so far (prompt included), V tokens of the vocabulary.
"""

from __future__ import annotations

import re
from collections.abc import Callable
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


def answer_end(text: str) -> int | None:
    """Where a student's answer is complete: at the end of the line "Answer: ...", or where it invents a new question.

    What a greedy student writes after that is the demonstrations' pattern going on, and no part of the answer.
    """
    ends = [found.end() for found in [_ANSWER_LINE.search(text)] if found]
    ends += [found.start() for found in [_NEXT_QUESTION.search(text)] if found]
    return min(ends, default=None)


class AnswerStop(StoppingCriteria):
    """Ends each sequence whose answer is complete. `lengths_R`: its new tokens then, 0 while it goes on.

    Only the sequences whose newest token could complete an answer are decoded, a few times in an answer.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, complete: Complete, prompt_length: int, rows: int) -> None:
        self._tokenizer = tokenizer
        self._complete = complete
        self._prompt_length = prompt_length
        self._telling_V: Tensor | None = None
        self.lengths_R = [0] * rows

    def __call__(self, input_ids: Tensor, scores: object, **kwargs: object) -> Tensor:
        """Which sequences are done, bool [R]. input_ids: int64 [R, L]."""
        if self._telling_V is None:
            self._telling_V = telling_tokens(self._tokenizer).to(input_ids.device)
        newest_R = input_ids[:, -1].clamp(max=len(self._telling_V) - 1)  # there can be more rows than tokens
        for row in self._telling_V[newest_R].nonzero().flatten().tolist():
            new = input_ids[row, self._prompt_length :]
            if self.lengths_R[row] == 0 and self._complete(decode(self._tokenizer, new.tolist())) is not None:
                self.lengths_R[row] = len(new)
        return torch.tensor(self.lengths_R, device=input_ids.device) > 0


def decode(tokenizer: PreTrainedTokenizerBase, token_ids: list[int]) -> str:
    """The text of generated tokens as the model wrote it, without special tokens."""
    return str(tokenizer.decode(token_ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))


@lru_cache(maxsize=4)
def telling_tokens(tokenizer: PreTrainedTokenizerBase) -> Tensor:
    """Which tokens hold a line end or a colon, bool [V]; half a second for 150 thousand tokens, so kept."""
    texts = tokenizer.batch_decode([[token] for token in range(len(tokenizer))], clean_up_tokenization_spaces=False)
    return torch.tensor(["\n" in text or ":" in text for text in texts])
