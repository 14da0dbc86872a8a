"""Feedback: the mistakes go to the teacher, its right replies become corrections (3.2, Fig. 3)."""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import overload

from tutelage.config import RecordedTeacherSettings, SampledTeacherSettings
from tutelage.errors import TeacherError, TutelageError
from tutelage.progress import progress, say
from tutelage.prompts import solution_text, teacher_prompt
from tutelage.records import Correction, Mistake, Question, Verdict
from tutelage.rounds.cast import build_spending, build_teacher
from tutelage.rounds.exam import exam, mistakes
from tutelage.rounds.flaws import flaw
from tutelage.rounds.run import Run
from tutelage.seeds import derive_seed
from tutelage.student.model.student import Student
from tutelage.tasks.answers import is_right
from tutelage.tasks.replies import read_reply, reply_rationale
from tutelage.tasks.split import question_key
from tutelage.teacher.asking import ask
from tutelage.teacher.books.ledger import Ledger
from tutelage.teacher.protocol import FreeTeacher, PaidTeacher, Reply, Request
from tutelage.workspace import read_records, write_records


def feedback(run: Run, number: int) -> list[Correction]:
    """A round's corrections. Writes every reply to teacher.sqlite as it comes, then feedback.jsonl.

    Done already: reads it. Raises: TeacherError if the teacher cannot be used, BudgetError at a cap; what came before
    is kept.
    """
    path = run.round(number).feedback
    if path.is_file():
        return read_records(path, Correction)
    run = replace(run, recipe=run.recipe.for_round(number))
    requests = Requests(run, number)
    teacher = build_teacher(run.recipe)
    with Ledger(run.workspace.ledger) as ledger:
        _ask_all(run, number, teacher, requests, ledger)
        student = run.student(number - 1)
        corrections = [
            correction
            for request in requests
            for correction in sort_replies(
                run, student, request, ledger.reply(teacher, request), teacher.name, requests.most_kept(request)
            )
        ]
    write_records(path, corrections)
    return corrections


class Requests(Sequence[Request]):
    """A round's requests; each is made when it is taken, since ten thousand prompts take much memory."""

    def __init__(self, run: Run, number: int) -> None:
        self._run, self._number = run, number
        self._asked = questions_to_ask(run, number)
        self._settings = run.recipe.teacher
        self._more: dict[str, int] = {}  # replies, by question
        if self._settings.hard_replies is not None:
            self._more = dict.fromkeys(hard_questions(run, number), self._settings.hard_replies)

    def most_kept(self, request: Request) -> int:
        """How many of a request's right replies may be kept."""
        return max(self._settings.rationales, self._more.get(request.question.id, 0))

    def _request(self, question: Question, mistake: Mistake | None) -> Request:
        settings = self._settings
        replies = self._more.get(question.id, settings.replies)
        if not isinstance(settings, SampledTeacherSettings):
            return Request(question, mistake, "", replies, self._number)  # these read the records themselves
        prompt = teacher_prompt(question, mistake, self._run.feedback_demonstrations, settings.endpoint)
        return Request(question, mistake, prompt, replies, self._number)

    def __len__(self) -> int:
        return len(self._asked)

    def __iter__(self) -> Iterator[Request]:
        # A Sequence's own ends at an IndexError, and one from within a prompt would leave questions out unseen.
        return (self._request(*one) for one in self._asked)

    @overload
    def __getitem__(self, place: int) -> Request: ...

    @overload
    def __getitem__(self, place: slice) -> list[Request]: ...

    def __getitem__(self, place: int | slice) -> Request | list[Request]:
        if isinstance(place, slice):
            return [self._request(*one) for one in self._asked[place]]
        return self._request(*self._asked[place])


def _ask_all(run: Run, number: int, teacher: FreeTeacher | PaidTeacher, requests: Requests, ledger: Ledger) -> None:
    without: list[str] = []
    spending = build_spending(run.recipe)
    with progress(f"Round {number}  teacher", len(requests), "requests") as bar:

        def settled(_request: Request, reason: str | None) -> None:
            if reason is not None:
                without.append(reason)
            bar(1)

        ask(teacher, requests, ledger, spending, settled)
    if not isinstance(run.recipe.teacher, SampledTeacherSettings) or not without:
        return
    check_outage(without, len(requests))
    say(f"Note: {len(without)} of {len(requests)} questions lack replies of the teacher, such as: {without[0]}.")


OUTAGE = 0.2
"""Share of failed requests from which a round waits for a better hour instead of going on without them."""


def check_outage(without: Sequence[str], requests: int) -> None:
    """Raises: TeacherError if so many requests failed that the round would be another one than was meant."""
    if len(without) > OUTAGE * requests:
        raise TeacherError(
            f"{len(without)} of {requests} requests to the teacher failed, such as: {without[0]}. "
            "The replies that came are kept; `tutelage resume` asks for the missing ones alone."
        )


def questions_to_ask(run: Run, number: int) -> list[tuple[Question, Mistake | None]]:
    """Round 1: every training question, T(x, null, y). Later: those with mistakes, one request each (Table 3).

    Which of a question's mistakes is shown is drawn with the recipe's seed. A recorded teacher is shown none.
    """
    training = run.questions["train"]
    if number == 1:
        asked: list[tuple[Question, Mistake | None]] = [(question, None) for question in training]
    else:
        made: dict[str, list[Mistake]] = defaultdict(list)
        for mistake in mistakes(run, number):
            made[mistake.question_id].append(mistake)
        asked = [(question, _pick(run, number, made[question.id])) for question in training if question.id in made]
        if not run.recipe.teacher.feedback or isinstance(run.recipe.teacher, RecordedTeacherSettings):
            asked = [(question, None) for question, _ in asked]
    check_no_test_question(run, [question.id for question, _ in asked])
    return asked


def check_no_test_question(run: Run, question_ids: Sequence[str]) -> None:
    """Raises: TutelageError if any of the questions stands outside the training split; a bug, never expected."""
    outside = set(question_ids) - {question.id for question in run.questions["train"]}
    if outside:
        raise TutelageError(
            f"{len(outside)} questions outside the training split were about to be used, such as {min(outside)!r}. "
            "Nothing was sent or trained on. The run's questions.jsonl has changed since it began: start a new run."
        )


def _pick(run: Run, number: int, made: Sequence[Mistake]) -> Mistake:
    draw = random.Random(derive_seed(run.recipe.seed, "mistake", number, made[0].question_id))  # noqa: S311
    return draw.choice(made)


def hard_questions(run: Run, number: int) -> frozenset[str]:
    """Those of which the student got no attempt of a round's exam right.

    Questions that read the same have the same prompt, which is sent once: one of them is as hard as all are.
    """
    key = {question.id: question_key(question.text, question.choices) for question in run.questions["train"]}
    easy = {key[attempt.question_id] for attempt in exam(run, number) if attempt.correct}
    return frozenset(name for name in key if key[name] not in easy)


def sort_replies(
    run: Run, student: Student, request: Request, reply: Reply, teacher: str, most: int | None = None
) -> list[Correction]:
    """Every text of a reply with its verdict: only right ones are kept, unique ones, a few a question (3.2).

    most: how many of them; None: teacher.rationales. Which, teacher.prefer says.
    """
    if reply.error is not None:
        failed = Correction(
            request.question.id, request.round, teacher, request.mistake, reply.error, "", None, "failed"
        )
        return [failed]
    judged: list[tuple[Correction, int]] = []
    for text, reason in zip_longest(reply.texts, reply.finish_reasons):
        answer = read_reply(text, request.question)
        rationale = reply_rationale(text, request.question)
        tokens = len(
            student.tokenizer(solution_text(rationale, request.question.answer), add_special_tokens=False)["input_ids"]
        )
        verdict = _verdict(run, request.question, rationale, answer, tokens)
        if verdict == "no answer" and reason == "length":
            verdict = "cut off"
        one = Correction(request.question.id, request.round, teacher, request.mistake, text, rationale, answer, verdict)
        judged.append((one, tokens))
    settings = run.recipe.teacher
    return _choose(judged, settings.rationales if most is None else most, settings.prefer == "shortest")


def _choose(judged: Sequence[tuple[Correction, int]], most: int, shortest: bool) -> list[Correction]:
    """The corrections with their last verdicts: of those that may be kept, up to `most` different ones are.

    judged: each with its tokens. shortest: whether the shortest are kept, and not the first.
    """
    first: dict[str, int] = {}
    for place, (one, _) in enumerate(judged):
        if one.verdict == "kept":
            first.setdefault(folded(one.rationale), place)
    chosen = sorted(first.values(), key=lambda place: judged[place][1] if shortest else place)[:most]
    corrections: list[Correction] = []
    kept: set[str] = set()
    for place, (one, _) in enumerate(judged):
        verdict, words = one.verdict, folded(one.rationale)
        if verdict in ("kept", "too long") and words in kept:
            verdict = "repeated"
        elif place in chosen:
            kept.add(words)
        elif verdict == "kept":
            verdict = "surplus"
        corrections.append(replace(one, verdict=verdict))
    return corrections


def _verdict(run: Run, question: Question, rationale: str, answer: str | None, tokens: int) -> Verdict:
    """What a reply is good for by itself. tokens: of its solution, the student's."""
    if answer is None:
        return "no answer"
    if not is_right(answer, question):
        return "wrong answer"
    if (found := flaw(rationale, question, run.recipe.teacher)) is not None:
        return found
    # A student that learns to reason for longer than an exam lets it never gets to its answer.
    if tokens + 1 > min(run.recipe.exam.max_new_tokens, run.recipe.evaluation.max_new_tokens):
        return "too long"
    return "kept"


def folded(rationale: str) -> str:
    """A rationale without what makes no other one of it: white space, case, quotes, and marks at its end."""
    text = _QUOTES.sub("'", " ".join(rationale.split())).casefold()
    return re.sub(r"\s+(?=[,.;:!?)])|[\s.!;:]+$", "", text)


_QUOTES = re.compile('["\u2018\u2019\u201c\u201d`]')


def count_verdicts(corrections: Sequence[Correction]) -> dict[Verdict, int]:
    """How many replies met each fate, the most frequent first."""
    return dict(Counter(correction.verdict for correction in corrections).most_common())
