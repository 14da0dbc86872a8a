"""The five public data sets, every row of them, and the recorded teachers' replies. Skips without the data."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tutelage.config import TaskSettings
from tutelage.records import Demonstration, Question
from tutelage.tasks import TASKS, Task, describe, load_task, split_task
from tutelage.tasks.answers import canonical, is_right, read_answer, read_reply, reply_rationale
from tutelage.tasks.raw import fingerprint, permutation
from tutelage.tasks.split import IN_TEST, IS_DEMONSTRATION

SETS = [name for name, info in TASKS.items() if info.paper_sizes]


def load(data: Path, name: str) -> Task:
    return load_task(TaskSettings(name=name, data=data), seed=0)


def wrong_answer(question: Question) -> str:
    if question.kind == "yes/no":
        return "No" if question.answer == "Yes" else "Yes"
    if question.kind == "choice":
        return chr(ord("A") + (ord(question.answer) - ord("A") + 1) % len(question.choices))
    return str(int(question.answer) + 1)


@pytest.mark.parametrize("name", SETS)
def test_every_gold_answer_is_right_and_a_perturbed_one_wrong(data: Path, name: str) -> None:
    task = load(data, name)
    for question in (*task.train, *task.test):
        gold = read_answer(f" r\nAnswer: {question.answer}", question)
        assert gold == question.answer
        assert is_right(gold, question), question
        assert not is_right(read_answer(f" r\nAnswer: {wrong_answer(question)}", question), question), question
        assert is_right(read_reply(f"So the answer is {question.answer}.", question), question), question


def test_the_sizes_are_those_of_table_8(data: Path) -> None:
    sizes = {name: (len(task.train), len(task.test)) for name, task in ((name, load(data, name)) for name in SETS)}
    assert sizes == {
        "gsm8k": (7473, 1319),
        "multiarith": (420, 180),
        "svamp": (700, 300),
        "commonsense_qa": (9741, 1221),
        "strategy_qa": (1603, 687),
    }
    assert sum(train + test for train, test in sizes.values()) == 23_644
    assert sizes == {name: TASKS[name].paper_sizes for name in SETS}


@pytest.mark.parametrize(("name", "rows"), [("svamp", 1000), ("multiarith", 600), ("strategy_qa", 2290)])
def test_the_index_files_are_the_permutation(data: Path, name: str, rows: int) -> None:
    index = json.loads((data / "splits" / f"{name}.json").read_text())
    train, test = permutation(rows)
    assert sorted(index["train"]) == train
    assert sorted(index["test"]) == test


@pytest.mark.parametrize("name", SETS)
def test_the_questions_are_whole(data: Path, name: str) -> None:
    task = load(data, name)
    questions = (*task.train, *task.test)
    assert len({question.id for question in questions}) == len(questions)
    assert all(question.text == question.text.strip() and question.id.startswith(f"{name}/") for question in questions)
    assert {len(question.choices) for question in questions} == ({5} if task.kind == "choice" else {0})
    if name in ("gsm8k", "strategy_qa"):
        assert all(question.rationale for question in questions)
        assert not any("<<" in str(question.rationale) or "####" in str(question.rationale) for question in questions)


def test_a_question_reads_as_in_the_recorded_teachers_files(data: Path) -> None:
    by_id = {question.id: question for name in SETS for question in load(data, name).train}
    for path in sorted((data / "teacher_pool").glob("*.jsonl.gz")):
        name = path.name.partition("__")[0]
        part = f"{name}/train" if name in ("gsm8k", "commonsense_qa") else name
        for row in rows_of(path):
            assert by_id[f"{part}/{row['index']}"].text == row["question"].strip()


@pytest.mark.parametrize("name", ["multiarith", "strategy_qa"])
def test_row_order_json_holds_the_original_rows(data: Path, name: str) -> None:
    from tutelage.tasks import raw

    task = load(data, name)
    questions = sorted((*task.train, *task.test), key=lambda question: int(question.id.partition("/")[2]))
    orders = json.loads((Path(raw.__file__).parent / "row_order.json").read_text())
    assert orders[name].split() == [fingerprint(question.text, question.answer) for question in questions]


def paper_demonstrations(data: Path, *names: str) -> Iterator[Demonstration]:
    for name in names:
        for row in json.loads((data / "paper_demos" / f"{name}.json").read_text()):
            answer = str(row.get("answer", row.get("hint_answer")))
            yield Demonstration(row["question"], row["rationale"], answer, tuple(row.get("choices", ())))


def split_of(data: Path, name: str, demonstrations: Iterable[Demonstration] = ()) -> dict[str, Any]:
    settings = TaskSettings(name=name, data=data)
    return describe(split_task(load_task(settings, 0), settings, list(demonstrations), seed=42))


def test_five_training_rows_of_multiarith_stand_in_its_test(data: Path) -> None:
    seen = split_of(data, "multiarith", paper_demonstrations(data, "multiarith"))
    assert seen["left_out"][f"train: {IN_TEST}"] == 5
    assert seen["as_loaded"] == {"train": 420, "held-out": 0, "test": 180}
    assert seen["used"]["test"] == 180
    assert seen["test_questions_trained_on"] == seen["test_questions_held_out"] == 0


def test_two_demonstrations_lie_in_the_test_of_strategy_qa(data: Path) -> None:
    seen = split_of(data, "strategy_qa", paper_demonstrations(data, "strategy_qa", "feedback_strategy_qa"))
    assert [row[0] for row in seen["left_out_ids"] if row[2] == IS_DEMONSTRATION] == [
        "strategy_qa/369",
        "strategy_qa/550",
    ]
    assert [row[0] for row in seen["left_out_ids"] if row[2] == IN_TEST] == ["strategy_qa/42"]
    assert seen["used"] == {"train": 1441, "held-out": 161, "test": 685}


@pytest.mark.parametrize("name", ["gsm8k", "svamp", "commonsense_qa"])
def test_the_other_sets_share_nothing(data: Path, name: str) -> None:
    assert split_of(data, name, paper_demonstrations(data, name))["left_out"] == {}


def rows_of(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)


# Measured; what is missing are truncated texts, hedges ("(b) or (d)"), and answers that the source read otherwise.
AGREEMENT = {
    "commonsense_qa__llama3-chatqa-1.5-8b": 0.991,
    "commonsense_qa__palm-540b": 0.970,
    "gsm8k__phi-3.5-mini-instruct": 0.966,
    "multiarith__gpt-3.5-llm-adapters": 1.0,
    "multiarith__gpt-3.5-mwp-cot-design": 1.0,
    "multiarith__llm-grace": 0.993,
    "multiarith__text-davinci-003-plan-and-solve": 0.982,
    "strategy_qa__gpt-4-thoughtsource": 0.957,
    "svamp__gpt-3.5-llm-adapters": 0.987,
    "svamp__llm-grace": 0.973,
}


@pytest.mark.parametrize("file", AGREEMENT)
def test_replies_are_read_as_their_sources_read_them(data: Path, file: str) -> None:
    name = file.partition("__")[0]
    questions = {question.text: question for question in load(data, name).train}
    if name == "commonsense_qa":
        ids = [json.loads(line)["id"] for line in (data / name / "train_rand_split.jsonl").open(encoding="utf-8")]
        questions |= dict(zip(ids, load(data, name).train, strict=True))
    total = agreed = 0
    for row in rows_of(data / "teacher_pool" / f"{file}.jsonl.gz"):
        question = questions[row.get("id", row["question"].strip())]
        total += 1
        agreed += read_reply(row["rationale"], question) == canonical(row["answer"], question.kind)
        rationale = reply_rationale(row["rationale"], question)
        assert is_right(read_answer(f" {rationale}\nAnswer: {question.answer}", question), question)
    assert agreed / total >= AGREEMENT[file]
