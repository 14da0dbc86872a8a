"""From mistakes to the teacher and back: who is asked about what, and which replies are kept."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter, deque
from importlib import import_module
from pathlib import Path

import pytest

from tests.openai_server import OpenAIServer
from tests.rounds.finished import write_exam
from tests.rounds.small import finished_exam, tutor_run
from tests.tiny import make_model, make_tokenizer, save_model
from tutelage.errors import DataError, RecipeError, TeacherError, TutelageError
from tutelage.recipes import read_recipe
from tutelage.records import Correction, Question
from tutelage.rounds import exam, feedback, learn, mistakes, start_run
from tutelage.rounds.cast import find_files
from tutelage.rounds.feedback import Requests, check_no_test_question, questions_to_ask, sort_replies
from tutelage.rounds.provenance import run_provenance
from tutelage.rounds.run import Run
from tutelage.student.model.student import Student
from tutelage.teacher.books.accounts import totals
from tutelage.teacher.books.ledger import Ledger
from tutelage.teacher.protocol import Reply, Request
from tutelage.workspace import read_json

LONGER = (
    "exam.max_new_tokens=120",
    "evaluation.max_new_tokens=120",
)  # the server's replies are longer than the tutor's
QUESTION = Question("a", "Ann has 2 pens and gets 3 more. How many pens are there?", "5", "number")


def sort(run: Run, student: Student, *texts: str) -> list[Correction]:
    request = Request(QUESTION, None, "", 4, 1)
    return sort_replies(run, student, request, Reply(texts), "teacher")


def test_each_reply_gets_its_verdict(recipe: Path, tmp_path: Path, tiny_student: Student) -> None:
    run = tutor_run(recipe, tmp_path, "teacher.rationales=2")
    sorted_replies = sort(
        run,
        tiny_student,
        "2 + 3 = 5.\nAnswer: 5",
        "2 + 3 = 6.\nAnswer: 6",
        "2 +  3 = 5.\n\nAnswer: 5",
        "I do not know.",
        "Answer: 5",
        "So and so, " * 60 + "it is 5.\nAnswer: 5",
        "The hint says 5, so 2 + 3 = 5.\nAnswer: 5",
        "3 + 2 = 5.\nAnswer: 5",
        "It is five: 5.\nAnswer: 5",
    )
    assert [correction.verdict for correction in sorted_replies] == [
        "kept",
        "wrong answer",
        "repeated",
        "no answer",
        "no reasoning",
        "too long",
        "tells of the prompt",
        "kept",
        "surplus",
    ]
    assert sorted_replies[0].rationale == "2 + 3 = 5."
    assert sorted_replies[1].text == "2 + 3 = 6.\nAnswer: 6"


def test_the_shortest_may_be_kept_in_place_of_the_first(recipe: Path, tmp_path: Path, tiny_student: Student) -> None:
    texts = [
        "Ann has 2 pens and 3 pens, so 2 + 3 = 5.\nAnswer: 5",
        "2 + 3 = 5.\nAnswer: 5",
        "2 + 3 = 6.\nAnswer: 6",
        "2 + 3 =  5.\nAnswer: 5",
        "3 + 2 = 5.\nAnswer: 5",
        "So it is 3 + 2 = 5.\nAnswer: 5",
    ]
    first, shortest = (
        [one.verdict for one in sort(tutor_run(recipe, tmp_path / prefer, *overrides), tiny_student, *texts)]
        for prefer in ("first", "shortest")
        for overrides in [("teacher.rationales=2", f"teacher.prefer={prefer}")]
    )
    assert first == ["kept", "kept", "wrong answer", "repeated", "surplus", "surplus"]
    assert shortest == ["surplus", "kept", "wrong answer", "repeated", "kept", "surplus"]


def test_a_question_without_a_right_attempt_is_asked_for_more(recipe: Path, questions: Path, tmp_path: Path) -> None:
    rows = questions.read_text().splitlines()
    questions.write_text("\n".join([*rows, rows[0]]))  # the first training question once more
    easy, hard = "teacher.replies=1", "teacher.hard_replies=3"
    run = tutor_run(
        recipe, tmp_path, *LONGER, easy, hard, "teacher.rationales=1", "task.held_out=0", "task.held_out_minimum=0"
    )
    training = run.questions["train"]
    twin = next(one for one in training[:-1] if one.text == training[-1].text)
    # Of every second question an attempt is right; of the first one's twin, too.
    write_exam(run, 1, lambda place, sample: (place % 2 == 1 or training[place] is training[-1]) and sample == 1)
    run.round(1).feedback.unlink()
    corrections = feedback(run, 1)
    with sqlite3.connect(run.workspace.ledger) as ledger:
        asked = {
            question: len(json.loads(places))
            for question, places in ledger.execute("SELECT question, places FROM calls")
        }
    expected = {one.id: 1 if place % 2 or one.text == twin.text else 3 for place, one in enumerate(training)}
    assert asked == expected
    kept = Counter(one.question_id for one in corrections if one.verdict == "kept")
    assert {name for name, count in kept.items() if count > 1} == {
        name for name, count in expected.items() if count > 1
    }


def test_a_recipe_may_keep_replies_that_tell_of_the_prompt(recipe: Path, tmp_path: Path, tiny_student: Student) -> None:
    run = tutor_run(recipe, tmp_path, "teacher.drop_leaks=false")
    [kept] = sort(run, tiny_student, "The hint says 5, so 2 + 3 = 5.\nAnswer: 5")
    assert kept.verdict == "kept"


def test_a_recipe_may_drop_replies_whose_arithmetic_does_not_hold(
    recipe: Path, tmp_path: Path, tiny_student: Student
) -> None:
    texts = ("2 + 2 = 5.\nAnswer: 5", "2 + 3 = 5.\nAnswer: 5", "Two and three are five.\nAnswer: 5")
    kept = sort(tutor_run(recipe, tmp_path / "kept"), tiny_student, *texts)
    assert [one.verdict for one in kept] == ["kept"] * 3
    dropped = sort(tutor_run(recipe, tmp_path / "dropped", "teacher.drop_wrong_steps=true"), tiny_student, *texts)
    assert [one.verdict for one in dropped] == ["wrong step", "kept", "kept"]
    dropped = sort(tutor_run(recipe, tmp_path / "founded", "teacher.drop_unfounded=true"), tiny_student, *texts)
    assert [one.verdict for one in dropped] == ["kept", "kept", "unfounded"]


def test_trivial_differences_make_no_other_rationale(recipe: Path, tmp_path: Path, tiny_student: Student) -> None:
    run = tutor_run(recipe, tmp_path)
    same = ["Ann's 2 pens + 3 = 5", "Ann’s 2 pens + 3 = 5.", "ann's  2 pens + 3 = 5 !", "Ann's 2 pens\n+ 3 = 5"]
    verdicts = [one.verdict for one in sort(run, tiny_student, *(f"{text}\nAnswer: 5" for text in same))]
    assert verdicts == ["kept", "repeated", "repeated", "repeated"]
    others = ["2 + 3 = 5.", "2 - -3 = 5.", "2.3 + 2.7 = 5."]
    verdicts = [one.verdict for one in sort(run, tiny_student, *(f"{text}\nAnswer: 5" for text in others))]
    assert verdicts == ["kept"] * 3


def test_a_reply_cut_off_before_its_answer_says_so(recipe: Path, tmp_path: Path, tiny_student: Student) -> None:
    run = tutor_run(recipe, tmp_path)
    request = Request(QUESTION, None, "", 4, 1)
    reply = Reply(("First we take the pens that", "I do not know."), ("length", "stop"))
    sorted_replies = sort_replies(run, tiny_student, request, reply, "teacher")
    assert [one.verdict for one in sorted_replies] == ["cut off", "no answer"]


def test_a_failed_request_is_told_and_teaches_nothing(recipe: Path, tmp_path: Path, tiny_student: Student) -> None:
    run = tutor_run(recipe, tmp_path)
    request = Request(QUESTION, None, "", 4, 1)
    [correction] = sort_replies(run, tiny_student, request, Reply((), error="refused"), "teacher")
    assert (correction.verdict, correction.text, correction.rationale) == ("failed", "refused", "")


def test_without_feedback_the_same_questions_are_asked_but_no_mistake_is_shown(recipe: Path, tmp_path: Path) -> None:
    shown = finished_exam(recipe, tmp_path / "with", 2)
    hidden = finished_exam(recipe, tmp_path / "without", 2, "teacher.feedback=false")
    with_feedback, without = questions_to_ask(shown, 2), questions_to_ask(hidden, 2)
    assert [question.id for question, _ in with_feedback] == [question.id for question, _ in without]
    assert all(mistake in mistakes(shown, 2) for _, mistake in with_feedback)
    assert all(mistake is None for _, mistake in without)


def test_an_error_in_a_prompt_leaves_no_question_out_unseen(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise IndexError("in a prompt")

    run = tutor_run(recipe, tmp_path, "teacher.kind=openai", "teacher.model=m")
    monkeypatch.setattr(import_module("tutelage.rounds.feedback"), "teacher_prompt", broken)
    with pytest.raises(IndexError, match="in a prompt"):
        list(Requests(run, 1))


def test_a_question_outside_the_training_split_is_never_used(recipe: Path, tmp_path: Path) -> None:
    run = tutor_run(recipe, tmp_path)
    check_no_test_question(run, [question.id for question in run.questions["train"]])
    for split in ("test", "held-out"):
        with pytest.raises(TutelageError, match="outside the training split"):
            check_no_test_question(run, [run.questions[split][0].id])


def test_an_api_teacher_sees_the_mistake_and_the_gold_answer(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with OpenAIServer() as server:
        overrides = ["teacher.kind=openai", "teacher.model=m", f"teacher.base_url={server.url}", *LONGER]
        run = learn(read_recipe(recipe, overrides), tmp_path / "run")
        first, second = feedback(run, 1), feedback(run, 2)
    sums = [read_json(run.round(number).summary)["feedback"] for number in (1, 2)]
    assert sums[0]["without_feedback"] == {"requests": 30, "successes": len({c.question_id for c in first})}
    assert sums[0]["with_feedback"] == {"requests": 0, "successes": 0}
    assert sums[1]["with_feedback"]["requests"] == len({c.question_id for c in second}) > 0
    assert sums[1]["without_feedback"]["requests"] == 0
    assert [one["leaks"] for one in sums] == [0, 0]
    assert [set(one["flawed"]) for one in sums] == [{"wrong_step", "unfounded", "either"}] * 2
    assert [one["set_aside"] for one in sums] == [0, 0]
    assert sums[0]["prompt_tokens"] == 20 * 30
    assert sums[0]["cost"] is None
    assert {correction.verdict for correction in first} <= {"kept", "repeated", "too long"}
    asked = [str(request["messages"]) for request in server.requests]
    assert len(asked) == len({c.question_id for c in first}) + len({c.question_id for c in second})
    shown = [correction.mistake for correction in second]
    assert shown
    assert all(mistake is not None for mistake in shown)
    gold = {question.id: question for question in run.questions["train"]}
    for correction in second:
        question = gold[correction.question_id]
        assert any(question.text in text and f"The right answer is {question.answer}" in text for text in asked)
    test = [question.text for question in run.questions["test"]]
    assert not any(text in request for text in test for request in asked)


def test_a_model_in_this_process_can_teach(recipe: Path, tmp_path: Path) -> None:
    tokenizer = make_tokenizer(eos_token="<|endoftext|>", pad_token="<|pad|>")
    model = make_model(len(tokenizer), max_position_embeddings=4096)  # a teacher's prompts are long
    teacher = save_model(tmp_path / "teacher", model, tokenizer)
    overrides = ["teacher.kind=local", f"teacher.model={teacher}", "teacher.endpoint=completion"]
    overrides += ["teacher.max_new_tokens=8", "teacher.device=cpu"]
    run = finished_exam(recipe, tmp_path / "run", 1, *overrides)
    corrections = feedback(run, 1)
    assert len(corrections) == 30 * 4
    assert {correction.teacher for correction in corrections} == {str(teacher)}


def test_a_missing_key_shows_before_anything_is_made(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(TeacherError, match="OPENAI_API_KEY"):
        learn(read_recipe(recipe, ["teacher.kind=openai", "teacher.model=m"]), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_recorded_files_are_found_by_pattern_here_and_in_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data" / "pool").mkdir(parents=True)
    for name in ("b.jsonl", "a.jsonl.gz", "c.txt"):
        (tmp_path / "data" / "pool" / name).write_text("")
    monkeypatch.chdir(tmp_path)
    found = find_files([Path("pool/*.jsonl*")], Path("data"))
    assert [path.name for path in found] == ["a.jsonl.gz", "b.jsonl"]
    assert find_files([tmp_path / "data" / "pool" / "c.txt"], None) == (tmp_path / "data" / "pool" / "c.txt",)
    with pytest.raises(DataError, match=r"absent\*"):
        find_files([Path("absent*")], Path("data"))


def test_the_exam_does_not_depend_on_the_batch(recipe: Path, tmp_path: Path) -> None:
    runs = [start_run(read_recipe(recipe, [f"exam.batch_size={size}"]), tmp_path / str(size)) for size in (2, 8, 64)]
    first, *others = [[(a.question_id, a.sample, a.text) for a in exam(run, 1)] for run in runs]
    assert all(other == first for other in others)


def test_an_outage_is_waited_out_and_nothing_is_asked_twice(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with OpenAIServer(always="server error", faults=deque(["ok"] * 5)) as server:
        overrides = [
            "teacher.kind=openai",
            "teacher.model=m",
            f"teacher.base_url={server.url}",
            "teacher.retries=0",
            *LONGER,
        ]
        run = finished_exam(recipe, tmp_path, 1, *overrides)
        with pytest.raises(TeacherError, match="25 of 30 requests to the teacher failed"):
            feedback(run, 1)
        assert not run.round(1).feedback.exists()
        server.always = "ok"
        before = len(server.requests)
        assert {correction.verdict for correction in feedback(run, 1)} <= {"kept", "repeated", "too long"}
        assert len(server.requests) == before + 25


def test_round_1_may_have_a_teacher_of_its_own(recipe: Path, tmp_path: Path, questions: Path) -> None:
    first = ["first_teacher.kind=recorded", f"first_teacher.files=['{questions}']", "first_teacher.name=a large one"]
    run = learn(read_recipe(recipe, [*first, "first_teacher.replies=1"]), tmp_path / "run")
    assert "[first_teacher]" in run.workspace.recipe.read_text()
    assert {one.teacher for one in feedback(run, 1)} == {"a large one"}
    assert not {one.teacher for one in feedback(run, 2)} & {"a large one"}
    assert all(one.mistake is None for one in feedback(run, 1))
    assert all(one.mistake is not None for one in feedback(run, 2))
    assert str(questions) in run_provenance(run).sha256
    with Ledger(run.workspace.ledger) as ledger:
        asked = totals(ledger)
    assert asked[1].samples == asked[1].requests  # its own number of replies, and not the other's
    assert asked[2].samples == read_recipe(recipe).teacher.replies * asked[2].requests


def test_what_the_first_teacher_lacks_shows_before_anything_is_made(recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"No file fits first_teacher\.files = 'none\.jsonl'.* leave out \[first_"):
        learn(
            read_recipe(recipe, ["first_teacher.kind=recorded", "first_teacher.files=['none.jsonl']"]), tmp_path / "run"
        )
    assert not (tmp_path / "run").exists()
    with pytest.raises(RecipeError, match="first_teacher"):  # caps count one paid teacher's calls
        read_recipe(recipe, ["first_teacher.kind=openai", "first_teacher.model=m"])
