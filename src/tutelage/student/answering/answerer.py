"""Answers from the student: sampled for an exam, greedy for an evaluation.

By the engine where the model lets it, by the library's `generate` else. What a prompt gets depends on the prompt and
its seed; what else is answered, in which order and how many at a time, changes rounding only.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence

from tutelage.errors import StudentError
from tutelage.progress import say
from tutelage.student.answering.answers import Finished, Further
from tutelage.student.answering.generating import generate
from tutelage.student.answering.prompts import check_lengths, encode_prompts, plan_sittings
from tutelage.student.answering.stopping import Complete, Completion, EndRule, answer_end
from tutelage.student.engine.drawing import Drawing, Greedy, Sampling
from tutelage.student.engine.engine import Engine, Options
from tutelage.student.engine.scheduler import More, Request
from tutelage.student.model.memory import LIBRARY_SLOTS, automatic_slots, is_out_of_memory, release
from tutelage.student.model.student import Student

_LITTLE_WORK = 4096
"""New tokens up to which a GPU is done before it would have compiled and captured a step."""

_SLOTS_STEP = {"cuda": 64}
"""Slots come in multiples of this, so that what is compiled for a number of them is met again."""


class Answerer:
    """Answers in this process. What it needs for that is made at the first answer, and kept as long as it is.

    samples: completions of each prompt. seeds: one a prompt, not negative, where tokens are drawn; sample i of a
    prompt depends on the prompt, its seed and i only. complete: ends an answer before its end token; None leaves that
    to end tokens and the limit. batch_size: sequences at a time; None takes what suits the device and its memory.

    The sittings follow from prompts, samples, batch size and kind of device alone, so a resumed run finds the same.
    Raises: StudentError if a prompt is empty.
    """

    def __init__(
        self,
        student: Student,
        prompts: Sequence[str],
        drawing: Drawing,
        *,
        samples: int = 1,
        seeds: Sequence[int] | None = None,
        complete: Complete | None = answer_end,
        batch_size: int | None = None,
        options: Options = Options(),  # noqa: B008 - frozen
    ) -> None:
        if isinstance(drawing, Sampling) and len(seeds or ()) != len(prompts):
            raise ValueError(f"{len(prompts)} prompts need as many seeds, not {len(seeds or ())}")
        self._student = student
        self._prompts = encode_prompts(student, prompts)
        self._drawing = drawing
        self._samples = samples
        self._seeds = seeds or ()
        self._rule = EndRule(student.tokenizer, student.stop_ids, complete)
        self._options = options
        if options.graph is None and len(prompts) * samples * drawing.max_new_tokens <= _LITTLE_WORK:
            self._options = dataclasses.replace(options, graph=False)
        self._slots = batch_size or automatic_slots(student.device)
        self._tried = self._slots
        self._sittings = plan_sittings(self._prompts, samples, self._slots)
        self._engine: Engine | None = None
        self._by_library = False

    @property
    def sittings(self) -> list[list[int]]:
        """As Answers."""
        return self._sittings

    @property
    def engine(self) -> Engine | None:
        """What answers, once it has been made; None too if the library does."""
        return self._engine

    def answer(
        self, sitting: Sequence[int], finished: Finished | None = None, further: Further | None = None
    ) -> list[list[Completion]]:
        """As Answers. Goes on with fewer sequences at a time where memory runs out, and says so.

        Raises: StudentError if a prompt is too long for the model's context, or memory for a single sequence.
        """
        made: dict[Request, Completion] = {}

        def done(request: Request, new: list[int]) -> None:
            made[request] = self._rule.completion(new)
            of_prompt = [Request(request.prompt, sample) for sample in range(self._samples)]
            if finished is not None and all(other in made for other in of_prompt):
                finished(request.prompt, [made[other] for other in of_prompt])

        requests = [Request(prompt, sample) for prompt in sitting for sample in range(self._samples)]

        def more() -> list[Request]:
            prompts = () if further is None else further()
            new = [Request(prompt, sample) for prompt in prompts for sample in range(self._samples)]
            requests.extend(new)
            return new

        check_lengths(self._student, self._prompts, self._drawing)
        with _evaluating(self._student):
            while left := [request for request in requests if request not in made] or more():
                if not self._run(left, done, more):
                    self._halve()
        return [[made[Request(prompt, sample)] for sample in range(self._samples)] for prompt in sitting]

    def release(self) -> None:
        """As Answers."""
        self._engine = None
        release(self._student.device)

    def _run(self, requests: Sequence[Request], done: Callable[[Request, list[int]], None], more: More) -> bool:
        """Answers; False if memory ran out on the way. Nothing may refer to the error then, nor to its frames."""
        try:
            self._make_engine()
            if self._engine is not None:
                self._engine.run(requests, lambda: self._rule.watch().ends, done, more)
            else:
                requests = self._filled(requests, more)
                self._tried = min(self._slots, len(requests))
                parts = (self._student, self._prompts, self._seeds, self._drawing, self._rule, self._slots)
                generate(*parts, requests, done)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            return False
        return True

    def _filled(self, requests: Sequence[Request], more: More) -> list[Request]:
        """As many requests as a batch takes, if there are so many: `generate` lets none in while others go on."""
        filled = list(requests)
        while len(filled) < self._slots and (new := more()):
            filled += new
        return filled

    def _make_engine(self) -> None:
        if self._engine is not None or self._by_library:
            return
        if self._student.is_encoder_decoder:
            self._leave_to_library("it has an encoder, and the engine runs decoders alone")
            return
        reason, without_flex = self._build()
        if reason is not None and without_flex:
            release(self._student.device)
            say(f"Trying without FlexAttention: {reason}.")
            self._options = dataclasses.replace(self._options, flex=False)
            reason, _ = self._build()
        if reason is not None:
            release(self._student.device)
            self._leave_to_library(reason)

    def _leave_to_library(self, reason: str) -> None:
        say(f"This model is answered for by the library's generate, which is slower: {reason}.")
        self._by_library = True
        self._slots = min(self._slots, LIBRARY_SLOTS)

    def _build(self) -> tuple[str | None, bool]:
        """Makes the engine, or else says why not, and whether another try without FlexAttention may help.

        No more than words may be left of the error then: its frames refer to what the failed try allocated.
        """
        options = self._options
        self._tried = min(self._slots, len(self._prompts) * self._samples)
        step = _SLOTS_STEP.get(self._student.device.type, 1)
        slots = min(self._slots, -(-self._tried // step) * step)
        parts = (self._student.model, self._prompts, self._seeds, self._drawing, slots, options)
        try:
            self._engine = Engine(*parts, chosen=self._note)
        # A model may raise anything where it meets a cache and an attention that it does not know.
        except Exception as error:
            if is_out_of_memory(error):
                raise
            compiles = self._student.device.type == "cuda" and options.graph is not False and options.flex is not False
            return _reason(error), compiles and not isinstance(error, NotImplementedError)
        return None, False

    def _note(self, slots: int) -> None:
        """What the engine takes, before it takes it."""
        self._tried = slots

    def _halve(self) -> None:
        self.release()
        if self._tried == 1:
            raise StudentError(
                f"{self._student.device} has not enough memory for a single sequence. Free some, take fewer "
                "demonstrations (prompt.count), a smaller max_new_tokens or a smaller student."
            )
        self._slots = self._tried // 2
        say(f"Out of memory with {self._tried} sequences at a time; going on with {self._slots}.")


def sample_batch(
    student: Student,
    prompts: Sequence[str],
    samples: int,
    sampling: Sampling,
    seeds: Sequence[int],
    complete: Complete | None = answer_end,
) -> list[list[Completion]]:
    """`samples` sampled completions of each prompt, all in one sitting. seeds, complete, Raises: as for `Answerer`."""
    answerer = Answerer(student, prompts, sampling, samples=samples, seeds=seeds, complete=complete)
    return answerer.answer(range(len(prompts)))


def greedy_batch(
    student: Student, prompts: Sequence[str], max_new_tokens: int, complete: Complete | None = answer_end
) -> list[Completion]:
    """The greedy completion of each prompt, all in one sitting. complete, Raises: as for `Answerer`."""
    answers = Answerer(student, prompts, Greedy(max_new_tokens), complete=complete).answer(range(len(prompts)))
    return [completion for [completion] in answers]


def _reason(error: Exception) -> str:
    """Why a model cannot be run by the engine, in a line."""
    line = str(error).strip().partition("\n")[0].rstrip(".")
    if isinstance(error, NotImplementedError):
        return line
    return f"it does not run behind the engine's cache and attention ({type(error).__name__}: {line})"


@contextlib.contextmanager
def _evaluating(student: Student) -> Iterator[None]:
    """Without dropout, and back to training afterwards if that was the mode."""
    was_training = student.model.training
    student.model.eval()
    try:
        yield
    finally:
        student.model.train(was_training)
