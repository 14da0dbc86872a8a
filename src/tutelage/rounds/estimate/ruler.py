"""Measures the prompts and replies of an estimate in tokens, and tokens in money."""

from __future__ import annotations

from collections.abc import Sequence

from tutelage.config import OpenAITeacherSettings
from tutelage.prompts import solution_text
from tutelage.records import Demonstration
from tutelage.rounds.estimate.tokens import Measured, Prompt, counting, prompt_tokens, stored_bytes
from tutelage.teacher.books.prices import Prices, cost, worst_cost
from tutelage.teacher.openai.wire import most_prompt_tokens
from tutelage.teacher.protocol import Usage


class Ruler:
    """By what a ledger measured; else by the tokenizer that the recipe names, or by words, numbers and signs.

    calls: HTTP requests for one request's samples. completion, most_completion: tokens of all of a request's samples.
    largest_prompt: the most tokens that any prompt measured so far may come to, which a call reserves.
    Raises: TeacherError if the tokenizer cannot be loaded.
    """

    def __init__(
        self,
        settings: OpenAITeacherSettings,
        prices: Prices | None,
        demonstrations: Sequence[Demonstration],
        measured: Measured | None = None,
        measured_in: str = "",
    ) -> None:
        self._settings, self._prices, self._measured, self._measured_in = settings, prices, measured, measured_in
        self._batch = settings.road == "batch"
        self._count = counting(None if measured else settings.tokenizer)
        self._most_reply = settings.max_new_tokens + settings.thinking_tokens
        self._reply = self._likely_reply(demonstrations)
        # Which questions are hard an exam will tell: the most that it may come to is as if all were.
        self._replies = max(settings.replies, settings.hard_replies or 0)
        self.calls = self._replies if measured is not None and measured.one_by_one else 1
        self.completion = self._replies * self._reply
        self.most_completion = self._replies * self._most_reply
        self.largest_prompt = 0

    def _likely_reply(self, demonstrations: Sequence[Demonstration]) -> float:
        if self._measured is not None:
            return min(self._measured.completion, self._most_reply)
        replies = [self._count(solution_text(one.rationale, one.answer).strip()) for one in demonstrations]
        return min(sum(replies) / len(replies), self._settings.max_new_tokens) + self._settings.thinking_tokens

    def prompt(self, prompt: Prompt) -> float:
        """Tokens of a request's prompts, which is sent with each of its calls."""
        self.largest_prompt = max(self.largest_prompt, most_prompt_tokens(prompt))
        if self._measured is None:
            return self.calls * prompt_tokens(prompt, self._count)
        return self.calls * self._measured.tokens_a_byte * stored_bytes(prompt)

    def cost(self, prompt: int, completion: int) -> int | None:
        """In 10⁻¹² of the prices' money, None where they are unknown; as much cached as was measured."""
        cached = 0 if self._measured is None else int(prompt * self._measured.cached)
        return None if self._prices is None else cost(self._prices, Usage(prompt, completion, cached), self._batch)

    def worst_cost(self, prompt: int, completion: int) -> int | None:
        """As `cost`, and nothing cached."""
        return None if self._prices is None else worst_cost(self._prices, prompt, completion, self._batch)

    def assumptions(self) -> list[str]:
        """How prompts and replies were measured, in sentences."""
        return self._by_ledger(self._measured) if self._measured is not None else self._by_counting()

    def _by_ledger(self, measured: Measured) -> list[str]:
        where = f"as over {measured.calls:,} calls in {self._measured_in}"
        apart = ", each asked for alone with the whole prompt" if measured.one_by_one else ""
        return [
            f"A prompt has a token for every {1 / measured.tokens_a_byte:.2f} bytes, and {measured.cached:.0%} of them "
            f"are cached, {where}.",
            f"A reply has {self._reply:.0f} tokens, {where}; {self._asked()}{apart}.",
        ]

    def _asked(self) -> str:
        every = ", as if every question were hard" if self._replies > self._settings.replies else ""
        return f"a request has {self._replies}{every}"

    def _by_counting(self) -> list[str]:
        settings = self._settings
        by, more = f"the tokenizer {settings.tokenizer}", ""
        if settings.tokenizer is None:
            by, more = "their words, numbers and signs", " teacher.tokenizer names the teacher's own."
        thinking = f", and {settings.thinking_tokens} of thinking, all that it may" if settings.thinking_tokens else ""
        return [
            f"Prompts are counted by {by}; nothing of them is cached.{more}",
            f"A reply has {self._reply - settings.thinking_tokens:.0f} tokens, as the demonstrations' have{thinking}; "
            f"{self._asked()}, which come at once (else the prompt is paid for each). "
            "Once a run has replies, `tutelage estimate RUN` goes by theirs; for another run, --like RUN does.",
        ]
