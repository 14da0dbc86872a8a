"""What a recipe's teacher will be asked and what it will cost, against what a run then uses."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from decimal import Decimal
from importlib import import_module
from pathlib import Path

import pytest

from tests.rounds.small import finished_exam, tutor_run
from tutelage.config import OpenAITeacherSettings, Recipe
from tutelage.errors import TeacherError, WorkspaceError
from tutelage.prompts import solution_text, teacher_prompt
from tutelage.recipes import read_recipe
from tutelage.records import Message, Mistake, Question
from tutelage.rounds import Run, exam, feedback, mistakes, study
from tutelage.rounds.cast import build_spending
from tutelage.rounds.estimate.basis import Basis, basis_of_recipe, basis_of_run, measured_like
from tutelage.rounds.estimate.calculation import ERROR_RATE, Estimate, estimate
from tutelage.rounds.estimate.tokens import Measured, count_roughly, prompt_tokens
from tutelage.rounds.feedback import Requests
from tutelage.teacher.asking import Spending, ask
from tutelage.teacher.books.accounts import totals
from tutelage.teacher.books.ledger import Ledger
from tutelage.teacher.books.prices import Prices, cost, prices_for, to_pico
from tutelage.teacher.protocol import Call, Outcome, Recorder, Request, Sample, Usage, Wanted

PRICES = Prices(Decimal(2), Decimal(8), Decimal(1), Decimal(1), Decimal(4), "a test")
PAID = ("teacher.kind=openai", "teacher.model=m", "teacher.price.input=2", "teacher.price.output=8")


class WordyTeacher:
    """Answers by the hint, in replies of all lengths, and counts tokens as a tokenizer of another kind would."""

    name = "m"

    def __init__(self, one_by_one: bool = False) -> None:
        self.identity: dict[str, object] = {"model": "m"}
        self.one_by_one = one_by_one

    async def converse(
        self, wanted: Iterable[Wanted], recorder: Recorder, settled: Callable[[Request, str | None], None]
    ) -> None:
        for request, places in wanted:
            for asked in [(place,) for place in places] if self.one_by_one else [places]:
                number = await recorder.begin(Call(request, asked, 10_000, 1_000))
                texts = {place: self._text(request.question, place) for place in asked}
                usage = Usage(sum(map(_count, request.prompt)) + 7, sum(len(text) // 3 for text in texts.values()))
                await recorder.end(number, Outcome({p: Sample("text", text) for p, text in texts.items()}, usage))
            settled(request, None)

    def _text(self, question: Question, place: int) -> str:
        words = " and on" * (zlib.crc32(question.id.encode()) % 5 + place)
        return f"Count{words}. So the answer is {question.answer}.\nAnswer: {question.answer}"


def _count(message: Message | str) -> int:
    text = message if isinstance(message, str) else message.content
    return len(text) // 3 + 5


def estimated(recipe: Recipe, basis: Basis, error_rate: float | None = None) -> Estimate:
    settings = recipe.teacher
    assert isinstance(settings, OpenAITeacherSettings)
    return estimate(recipe, basis, prices_for(settings, "http://localhost/v1"), error_rate)


def of_recipe(path: Path, *overrides: str, error_rate: float | None = None) -> Estimate:
    recipe = read_recipe(path, [*PAID, *overrides])
    return estimated(recipe, basis_of_recipe(recipe), error_rate)


def test_a_first_teacher_that_is_free_leaves_the_paid_one_the_later_rounds(recipe: Path) -> None:
    alone = of_recipe(recipe, "teacher.budget.requests=1000")
    found = of_recipe(recipe, "teacher.budget.requests=1000", "first_teacher.kind=recorded")
    assert (found.rounds[0].requests, found.rounds[0].calls, found.rounds[0].cost) == (alone.rounds[0].requests, 0, 0)
    assert found.rounds[1:] == alone.rounds[1:]
    assert found.caps[0].estimated == sum(one.calls for one in found.rounds[1:])
    told = "Round 1 is the first teacher's"
    assert [any(told in line for line in one.assumptions) for one in (alone, found)] == [False, True]


def test_round_1_is_counted_from_the_prompts_that_a_run_sends(recipe: Path, tmp_path: Path) -> None:
    run = tutor_run(recipe, tmp_path, *PAID)
    sent = [request.prompt for request in Requests(run, 1)]
    first = of_recipe(recipe).rounds[0]
    assert (first.requests, first.calls, first.by) == (len(sent), len(sent), "its prompts")
    assert first.prompt_tokens == sum(prompt_tokens(prompt, count_roughly) for prompt in sent)
    replies = [count_roughly(solution_text(one.rationale, one.answer).strip()) for one in run.feedback_demonstrations]
    assert first.completion_tokens == round(len(sent) * 4 * sum(replies) / len(replies))
    assert first.cost == cost(PRICES, Usage(first.prompt_tokens, first.completion_tokens), batch=False)
    assert first.worst_tokens == first.prompt_tokens + len(sent) * 4 * 128


def test_questions_that_may_be_hard_are_counted_as_if_all_were(recipe: Path) -> None:
    usual, more = of_recipe(recipe).rounds[0], of_recipe(recipe, "teacher.hard_replies=8")
    assert more.rounds[0].completion_tokens == pytest.approx(2 * usual.completion_tokens, abs=1)
    assert more.rounds[0].worst_tokens == usual.prompt_tokens + usual.requests * 8 * 128
    assert any("a request has 8, as if every question were hard" in line for line in more.assumptions)
    assert of_recipe(recipe, "teacher.hard_replies=2").rounds[0] == usual  # others are asked for more then


def test_a_recipe_and_its_run_are_estimated_alike(recipe: Path, tmp_path: Path) -> None:
    run = tutor_run(recipe, tmp_path, *PAID)
    assert estimated(run.recipe, basis_of_run(run.workspace, run.recipe)) == of_recipe(recipe)
    assert not run.workspace.ledger.exists()


def test_a_question_that_repeats_another_is_asked_once(recipe: Path, questions: Path) -> None:
    rows = questions.read_text().splitlines()
    before = of_recipe(recipe, "task.held_out=0", "task.held_out_minimum=0").rounds[0].requests
    questions.write_text("\n".join([*rows, *(json.dumps(json.loads(row)) for row in rows[:5])]))
    assert of_recipe(recipe, "task.held_out=0", "task.held_out_minimum=0").rounds[0].requests == before


def test_later_rounds_ask_a_share_with_mistakes_shown(recipe: Path) -> None:
    chosen = basis_of_recipe(read_recipe(recipe, PAID))
    found = of_recipe(recipe, "rounds.limit=3")
    assert [one.by for one in found.rounds] == ["its prompts", "assumed", "assumed"]
    assert found.rounds[1].requests == round(ERROR_RATE * len(chosen.questions))
    assert found.rounds[1].prompt_tokens / found.rounds[1].requests > (
        found.rounds[0].prompt_tokens / found.rounds[0].requests
    )
    assert "90.0% of the training questions" in found.assumptions[0]
    assert "assumed" in found.assumptions[0]


def test_the_error_rate_can_be_given(recipe: Path) -> None:
    found = of_recipe(recipe, error_rate=0.5)
    assert found.rounds[1].requests == round(0.5 * found.rounds[0].requests)
    assert "--error-rate" in found.assumptions[0]
    none = of_recipe(recipe, error_rate=0.0).rounds[1]
    assert (none.requests, none.tokens, none.cost) == (0, 0, 0)
    assert none.worst_tokens == found.rounds[1].worst_tokens


def test_without_feedback_no_mistake_is_shown(recipe: Path) -> None:
    found = of_recipe(recipe, "teacher.feedback=false", error_rate=1.0)
    assert found.rounds[1].tokens == found.rounds[0].tokens


def test_one_round_makes_no_assumption_about_mistakes(recipe: Path) -> None:
    assert not any("mistake" in line for line in of_recipe(recipe, "rounds.limit=1").assumptions)


def test_an_unknown_price_is_unknown_and_never_nothing(recipe: Path) -> None:
    settings = read_recipe(recipe, ["teacher.kind=openai", "teacher.model=m", "teacher.budget.money=5"])
    found = estimated(settings, basis_of_recipe(settings))
    assert {(one.cost, one.worst_cost) for one in found.rounds} == {(None, None)}
    assert any("teacher.price.input=" in line for line in found.assumptions)
    assert [(one.key, one.estimated) for one in found.caps] == [("teacher.budget.money", None)]


def test_the_batch_road_has_its_price(recipe: Path) -> None:
    direct, batch = of_recipe(recipe).rounds[0], of_recipe(recipe, "teacher.road=batch").rounds[0]
    assert direct.cost is not None
    assert batch.cost == direct.cost // 2
    assert batch.tokens == direct.tokens


def test_replies_are_never_longer_than_they_may_be(recipe: Path) -> None:
    found = of_recipe(recipe, "teacher.max_new_tokens=5", "teacher.thinking_tokens=100").rounds[0]
    assert found.completion_tokens == found.requests * 4 * 105
    assert found.tokens == found.worst_tokens


def test_a_tokenizer_counts_if_one_is_named(recipe: Path, tiny_folder: Path) -> None:
    found = of_recipe(recipe, f"teacher.tokenizer={tiny_folder}")
    assert found.rounds[0].prompt_tokens > of_recipe(recipe).rounds[0].prompt_tokens  # it knows few words
    assert any(str(tiny_folder) in line for line in found.assumptions)
    with pytest.raises(TeacherError, match=r"teacher\.tokenizer"):
        of_recipe(recipe, "teacher.tokenizer=/nowhere/at/all")


def test_a_completion_endpoint_has_one_text(recipe: Path) -> None:
    chat, text = of_recipe(recipe).rounds[0], of_recipe(recipe, "teacher.endpoint=completion").rounds[0]
    assert text.requests == chat.requests
    assert text.prompt_tokens < chat.prompt_tokens


def test_caps_are_compared_round_by_round(recipe: Path) -> None:
    free = of_recipe(recipe)
    first, both = free.rounds[0].tokens, sum(one.tokens for one in free.rounds)

    def reached(*caps: str) -> list[int | None]:
        return [one.reached_in for one in of_recipe(recipe, *caps).caps]

    assert free.caps == ()
    assert reached(f"teacher.budget.tokens={first}") == [1]  # the last call needs room for its worst case
    assert reached(f"teacher.budget.tokens={first + 3000}") == [2]
    assert reached(f"teacher.budget.tokens={both + 3000}") == [None]
    assert reached("teacher.budget.money=0.01", "teacher.budget.requests=1000000") == [None, 1]
    requests = sum(one.calls for one in free.rounds)
    assert reached(f"teacher.budget.requests={requests}") == [None]
    assert reached(f"teacher.budget.requests={requests - 1}") == [2]


@pytest.mark.parametrize("kind", ["tutor", "recorded"])
def test_a_teacher_that_costs_nothing_is_told_apart(recipe: Path, kind: str) -> None:
    settings = read_recipe(recipe, [f"teacher.kind={kind}"])
    basis = basis_of_recipe(settings)
    found = estimate(settings, basis, None)
    assert found.free
    assert [one.requests for one in found.rounds] == [len(basis.questions), round(ERROR_RATE * len(basis.questions))]


def test_what_was_measured_goes_before_all_else(recipe: Path) -> None:
    settings = read_recipe(recipe, [*PAID, "teacher.tokenizer=/nowhere"])
    measured = Measured(8, 2, 8, 8, 1000, 500, 250, 800)
    basis = basis_of_recipe(settings)
    found = estimated(settings, Basis(basis.questions, basis.demonstrations, measured=measured, measured_in="R"))
    first = found.rounds[0]
    assert first.calls == 4 * first.requests  # four calls a request, one sample each
    assert first.completion_tokens == 4 * 100 * first.requests
    assert first.cost is not None
    assert first.cost == to_pico(Decimal(first.prompt_tokens * 2 + first.completion_tokens * 8) / 10**6)
    assert any("in R" in line for line in found.assumptions)


def begun(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, teacher: WordyTeacher) -> Run:
    """A run with the exam of round 1, and a teacher of ours."""
    monkeypatch.setattr(import_module("tutelage.rounds.feedback"), "build_teacher", lambda _: teacher)
    quick = ("exam.attempts=1", "exam.max_new_tokens=100", "evaluation.max_new_tokens=100", "teacher.rationales=1")
    return finished_exam(recipe, tmp_path, 1, *PAID, *quick)


def sums(run: Run, number: int) -> tuple[int, int, int, int]:
    """Requests, tokens of prompts and of replies, and money that a round came to."""
    with Ledger(run.workspace.ledger) as ledger:
        used = totals(ledger)[number]
    assert used.prompt_tokens is not None
    assert used.completion_tokens is not None
    assert used.cost is not None
    return used.requests, used.prompt_tokens, used.completion_tokens, to_pico(used.cost)


@pytest.mark.parametrize("one_by_one", [False, True])
def test_a_run_then_uses_what_was_estimated(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_by_one: bool
) -> None:
    teacher = WordyTeacher(one_by_one)
    run = begun(recipe, tmp_path, monkeypatch, teacher)
    with Ledger(run.workspace.ledger) as ledger:  # it was stopped after a third of the requests
        ask(teacher, Requests(run, 1)[:10], ledger, build_spending(run.recipe))
    told = estimated(run.recipe, basis_of_run(run.workspace, run.recipe))
    feedback(run, 1)
    first = told.rounds[0]
    found = (first.requests, first.prompt_tokens, first.completion_tokens, first.cost)
    assert found == pytest.approx(sums(run, 1), rel=0.15)
    assert first.calls == (4 if one_by_one else 1) * first.requests
    if one_by_one:
        return
    study(run, 1)
    exam(run, 2)
    mistakes(run, 2)
    known = estimated(run.recipe, basis_of_run(run.workspace, run.recipe))
    feedback(run, 2)
    for second in (told.rounds[1], known.rounds[1]):
        found = (second.requests, second.prompt_tokens, second.completion_tokens, second.cost)
        assert found == pytest.approx(sums(run, 2), rel=0.15)
    assert [one.by for one in told.rounds] == ["its prompts", "assumed"]
    assert [one.by for one in known.rounds] == ["used", "its prompts"]
    assert known.rounds[1].requests == sums(run, 2)[0]
    spent = estimated(run.recipe, basis_of_run(run.workspace, run.recipe))
    assert [(one.requests, one.prompt_tokens, one.completion_tokens, one.cost) for one in spent.rounds] == [
        sums(run, 1),
        sums(run, 2),
    ]


@pytest.mark.parametrize("shared", [20, None])
def test_what_a_shared_cache_had_costs_nothing_and_counts_in_no_cap(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: int | None
) -> None:
    teacher = WordyTeacher()
    run = begun(recipe, tmp_path, monkeypatch, teacher)
    spending = Spending(cache=tmp_path / "cache.sqlite")
    with Ledger(tmp_path / "other.sqlite") as ledger:
        ask(teacher, Requests(run, 1)[:shared], ledger, spending)
    with Ledger(run.workspace.ledger) as ledger:
        ask(teacher, Requests(run, 1), ledger, spending)
        spent = ledger.spent()
    feedback(run, 1)
    first = estimated(run.recipe, basis_of_run(run.workspace, run.recipe)).rounds[0]
    assert (first.by, first.requests) == ("used", len(Requests(run, 1)))
    assert (first.calls, first.tokens) == (spent.requests, spent.tokens)
    assert (first.cost == 0) == (shared is None)


def test_the_exams_error_rate_is_taken_over(recipe: Path, tmp_path: Path) -> None:
    run = finished_exam(recipe, tmp_path, 1, *PAID)
    basis = basis_of_run(run.workspace, run.recipe)
    wrong = {mistake.question_id for mistake in mistakes(run, 1)}
    assert set(basis.mistakes) == wrong
    assert estimated(run.recipe, basis).rounds[1].requests == len(wrong)
    shown = [teacher_prompt(question, basis.mistakes[question.id], basis.demonstrations, "chat")
             for question in basis.questions if question.id in wrong]  # fmt: skip
    expected = sum(prompt_tokens(prompt, count_roughly) for prompt in shown)
    assert estimated(run.recipe, basis).rounds[1].prompt_tokens == expected
    assert "as in the exam of round 1" in estimated(run.recipe, basis).assumptions[0]


def test_another_runs_ledger_measures_for_a_recipe(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begun(recipe, tmp_path, monkeypatch, WordyTeacher())
    settings = read_recipe(recipe, PAID)
    basis = basis_of_recipe(settings)
    with pytest.raises(WorkspaceError, match="--like"):
        measured_like(basis, run.workspace.folder)
    feedback(run, 1)
    like = measured_like(basis, run.workspace.folder)
    first = estimated(settings, like).rounds[0]
    assert (first.requests, first.prompt_tokens, first.completion_tokens, first.cost) == pytest.approx(
        sums(run, 1), rel=0.02
    )


def test_demonstrations_stand_in_for_mistakes_before_an_exam(recipe: Path) -> None:
    basis = basis_of_recipe(read_recipe(recipe, PAID))
    shown = [mistake for _, mistake in basis.likely()]
    wrong = [demonstration.wrong_rationale for demonstration in basis.demonstrations]
    assert all(isinstance(mistake, Mistake) and mistake.rationale in wrong for mistake in shown)
    assert len({mistake.rationale for mistake in shown if mistake}) == len(wrong)


def test_cached_tokens_are_as_cheap_as_they_were(recipe: Path) -> None:
    settings = read_recipe(recipe, [*PAID, "teacher.price.cached_input=1"])
    basis = basis_of_recipe(settings)
    half = replace(basis, measured=Measured(8, 8, 32, 32, 1000, 500, 250, 800))
    none = replace(basis, measured=Measured(8, 8, 32, 32, 1000, 500, 0, 800))
    cheap, dear = estimated(settings, half).rounds[0], estimated(settings, none).rounds[0]
    assert cheap.cost is not None
    assert dear.cost == cheap.cost + cheap.prompt_tokens // 2 * 10**6
    assert cheap.worst_cost == dear.worst_cost
