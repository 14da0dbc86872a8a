"""Loading tasks: folders, the hub (with its library replaced), own files, generated problems, and every error."""

from __future__ import annotations

import gzip
import json
import random
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tutelage.config import TaskSettings
from tutelage.errors import DataError, RecipeError
from tutelage.records import AnswerKind
from tutelage.tasks import TASKS, Task, gsm8k, load_task, multiarith, strategy_qa, svamp
from tutelage.tasks.chain_sum import read as read_chain_sum
from tutelage.tasks.leg_counting import plural
from tutelage.tasks.leg_counting import read as read_leg_counting
from tutelage.tasks.raw import permutation

datasets = pytest.importorskip("datasets")
GSM8K = {"question": " How many? ", "answer": "4*6 = <<4*6=24>>24 pens.\n#### 1,024"}


def write_lines(path: Path, rows: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), encoding="utf-8"
    )
    return path


def svamp_rows(count: int) -> list[dict[str, Any]]:
    return [
        {"ID": f"chal-{row + 1}", "Body": f" Ana has {row} figs", "Question": "How many? ", "Answer": float(row)}
        for row in range(count)
    ]


def load_own(path: Path, kind: AnswerKind = "number", seed: int = 1) -> Task:
    return load_task(TaskSettings(name="own", file=path, kind=kind), seed)


# Folders


def test_a_folder_may_hold_every_set_or_just_the_one(tmp_path: Path) -> None:
    for folder in (tmp_path / "all" / "gsm8k", tmp_path / "one"):
        write_lines(folder / "train.jsonl", [GSM8K])
        write_lines(folder / "test.jsonl", [GSM8K])
    for folder in (tmp_path / "all", tmp_path / "one"):
        (question,), _ = gsm8k.from_folder(folder)
        assert (question.id, question.text, question.answer) == ("gsm8k/train/0", "How many?", "1024")
        assert question.rationale == "4*6 = 24 pens."


def test_a_set_without_a_split_is_split_by_index_file_or_permutation(tmp_path: Path) -> None:
    (tmp_path / "SVAMP.json").write_text(json.dumps(svamp_rows(10)))
    train, test = svamp.from_folder(tmp_path)
    assert [question.id for question in train] == [f"svamp/{row}" for row in permutation(10)[0]]
    assert (len(train), len(test)) == (7, 3)
    assert train[0].text == f"Ana has {train[0].answer} figs How many?"
    write_lines(tmp_path / "splits" / "svamp.json", [{"train": [1, 0], "test": list(range(2, 10))}])
    train, test = svamp.from_folder(tmp_path)
    assert [question.id for question in train] == ["svamp/1", "svamp/0"]
    write_lines(tmp_path / "splits" / "svamp.json", [{"train": [0, 1, 1], "test": list(range(2, 10))}])
    with pytest.raises(DataError, match=r"svamp\.json does not divide the 10 rows"):
        svamp.from_folder(tmp_path)


def test_a_missing_file_names_both_places(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"SVAMP\.json") as caught:
        svamp.from_folder(tmp_path)
    assert str(tmp_path / "svamp" / "SVAMP.json") in str(caught.value)
    assert str(tmp_path / "SVAMP.json") in str(caught.value)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([GSM8K, "{oops"], r"train\.jsonl, line 2, is not valid JSON"),
        ([GSM8K, {"question": "q"}], r"train\.jsonl, line 2, has no answer"),
        ([GSM8K, {"question": "q", "answer": "24 pens\n####"}], r"line 2, has no answer"),
        ([GSM8K, {"question": "q", "answer": "#### many"}], r"line 2, has an answer that is no number: ' many'"),
        ([{"question": " ", "answer": "#### 1"}], r"line 1, has no question"),
        ([[1]], r"line 1, is not a JSON object"),
        ([], r"train\.jsonl is empty"),
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, rows: list[Any], message: str) -> None:
    write_lines(tmp_path / "train.jsonl", rows)
    write_lines(tmp_path / "test.jsonl", [GSM8K])
    with pytest.raises(DataError, match=message):
        gsm8k.from_folder(tmp_path)


def test_a_damaged_json_file_is_named_with_line_and_row(tmp_path: Path) -> None:
    path = tmp_path / "SVAMP.json"
    for content, message in [
        ('[\n{"ID": \n]', "line 3, is not valid JSON"),
        ("[]", "has no questions"),
        ("{}", "not a JSON list"),
        (json.dumps([*svamp_rows(2), {"Body": "b", "Question": "q"}]), "row 2, has no answer"),
    ]:
        path.write_text(content)
        with pytest.raises(DataError, match=message):
            svamp.from_folder(tmp_path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="cannot be read"):
        svamp.from_folder(tmp_path)


# The hub


Hub = Callable[[Mapping[str, list[dict[str, Any]]]], None]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    """Replaces datasets.load_dataset by one that knows the given splits."""

    def install(splits: Mapping[str, list[dict[str, Any]]]) -> None:
        def load_dataset(name: str, config: str | None, split: str) -> Any:
            return datasets.Dataset.from_list(splits[split])

        monkeypatch.setattr(datasets, "load_dataset", load_dataset)

    return install


def test_hub_rows_of_svamp_are_put_back_into_order(hub: Hub) -> None:
    rows = svamp_rows(1000)
    random.Random(3).shuffle(rows)
    hub({"train": rows[:700], "test": rows[700:]})
    train, test = svamp.from_hub()
    assert [question.id for question in train] == [f"svamp/{row}" for row in permutation(1000)[0]]
    assert all(question.answer == question.id.removeprefix("svamp/") for question in (*train, *test))
    hub({"train": rows[:700], "test": rows[700:-1]})
    with pytest.raises(DataError, match=r"chal-1 to chal-1000 once each.*--data FOLDER"):
        svamp.from_hub()


@pytest.mark.parametrize("name", ["multiarith", "strategy_qa"])
def test_hub_rows_without_numbers_are_put_back_by_their_fingerprints(data: Path, hub: Hub, name: str) -> None:
    module = {"multiarith": multiarith, "strategy_qa": strategy_qa}[name]
    original = module.from_folder(data)
    rows: list[dict[str, Any]] = [
        {"question": f" {question.text}", "answer": question.answer == "Yes", "facts": question.rationale}
        if name == "strategy_qa"
        else {"question": question.text, "final_ans": question.answer}
        for part in original
        for question in part
    ]
    random.Random(5).shuffle(rows)
    hub({"train": rows[:100], "test": rows[100:]})
    assert [sorted(q.id for q in part) for part in module.from_hub()] == [
        sorted(q.id for q in part) for part in original
    ]
    assert {q.id: q.text for part in module.from_hub() for q in part} == {
        q.id: q.text for part in original for q in part
    }
    hub({"train": rows[:100], "test": rows[101:]})
    with pytest.raises(DataError, match=r"lacks 1 rows.*--data FOLDER"):
        module.from_hub()
    hub({"train": rows, "test": rows[:1]})
    with pytest.raises(DataError, match=r"a row that the original has not.*--data FOLDER"):
        module.from_hub()


def test_hub_rows_of_commonsense_qa_and_gsm8k_are_read(data: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    def as_hub(path: Path) -> list[dict[str, Any]]:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return [
            {
                "question": row["question"]["stem"],
                "choices": {key: [choice[key] for choice in row["question"]["choices"]] for key in ("label", "text")},
                "answerKey": row["answerKey"],
            }
            for row in rows
        ]

    folder = data / "commonsense_qa"
    hub({"train": as_hub(folder / "train_rand_split.jsonl"), "validation": as_hub(folder / "dev_rand_split.jsonl")})
    settings = TaskSettings(name="commonsense_qa")
    assert load_task(settings, 0) == load_task(settings.model_copy(update={"data": data}), 0)
    hub({"train": [GSM8K], "test": [GSM8K]})
    with pytest.raises(DataError, match=r"has \(1, 1\) training and test rows instead of \(7473, 1319\)"):
        load_task(TaskSettings(name="gsm8k"), 0)
    hub({"train": [{"prompt": "q"}], "test": [GSM8K]})
    with pytest.raises(DataError, match=r"has no column 'question', only \['prompt'\].*--data FOLDER"):
        gsm8k.from_hub()


@pytest.mark.parametrize("name", [name for name, info in TASKS.items() if info.paper_sizes])
def test_a_hub_that_cannot_be_reached_names_the_way_out(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def load_dataset(*arguments: Any, **options: Any) -> Any:
        raise ConnectionError("no route to the hub\nwith a second line")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(DataError, match=r"no route to the hub\).*--data FOLDER"):
        load_task(TaskSettings(name=name), 0)


# The user's own


def test_an_own_task_with_every_column(tmp_path: Path) -> None:
    rows = [
        {"question": "What melts?", "choices": ["ice", "stone"], "answer": "ice", "split": "train", "id": "m-1"},
        {"question": "What burns?", "choices": ["water", "wood"], "answer": "(b)", "split": "test", "extra": 1},
        {"question": "What flies?", "choices": ["a", "b"], "answer": "b", "split": "held-out", "rationale": " r "},
    ]
    task = load_own(write_lines(tmp_path / "own.jsonl", rows), "choice")
    assert [question.id for question in (*task.train, *task.test, *task.held_out)] == ["own/m-1", "own/2", "own/3"]
    assert [question.answer for question in (*task.train, *task.test, *task.held_out)] == ["A", "B", "B"]
    assert task.held_out[0].rationale == "r"
    assert task.notes == ()


def test_an_own_task_without_splits_is_split_by_the_seed(tmp_path: Path) -> None:
    rows = [{"question": f"{number}?", "answer": number} for number in range(10)]
    path = tmp_path / "own.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    task = load_own(path)
    assert (len(task.train), len(task.test)) == (7, 3)
    assert task == load_own(path)
    assert task.train != load_own(path, seed=2).train
    assert "7 of 10 were drawn for training with seed 1" in task.notes[0]


GOOD = {"question": "1 + 1?", "answer": "2", "split": "train"}


@pytest.mark.parametrize(
    ("kind", "bad", "message"),
    [
        ("number", {"question": "q"}, "line 2, has no answer"),
        ("number", {"question": "q", "answer": None}, "line 2, has no answer"),
        ("number", {"answer": "2"}, "line 2, has no question"),
        ("number", {"question": "q", "answer": "two", "split": "test"}, "line 2, has an answer that is no number"),
        ("number", '{"question": ', "line 2, is not valid JSON"),
        ("number", {"question": "q", "answer": 2, "split": "dev"}, "line 2, has the unknown split 'dev'"),
        ("number", {"question": "q", "answer": 2}, 'line 2, has no "split"'),
        ("number", {"question": "q", "answer": 2, "split": "train"}, "1 training and 0 test|2 training and 0 test"),
        ("number", {"question": "1 + 1?", "answer": 3, "split": "test"}, "lines 1 and 2, hold the same question"),
        ("number", {"question": "q", "answer": 2, "choices": ["a", "b"]}, "line 2, has choices, though"),
        ("number", {"question": "q", "answer": 2, "rationale": 5}, "line 2, has a rationale that is not a text"),
        ("number", {"question": "q", "answer": 2, "split": "test", "id": 1}, "lines 1 and 2, have the same id '1'"),
        ("number", {"question": "q", "answer": 2, "split": "test", "id": [1]}, "line 2, has an id that is neither"),
    ],
)
def test_an_own_tasks_errors_name_the_line(tmp_path: Path, kind: AnswerKind, bad: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_own(write_lines(tmp_path / "own.jsonl", [GOOD, bad]), kind)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"answer": "A"}, "line 1, has no choices, though"),
        ({"answer": "C", "choices": ["x", "y"]}, "line 1, has an answer that is no letter or text of its 2 choices"),
        ({"answer": "z", "choices": ["x", "y"]}, "line 1, has an answer that is no letter or text"),
        ({"answer": "x", "choices": ["x", "x"]}, "line 1, has an answer that is the text of 2 choices"),
        ({"answer": 3, "choices": ["1", "2"]}, "line 1, has an answer that is no letter or text of its 2 choices: '3'"),
        ({"answer": "z", "choices": [f"c{n}" for n in range(27)]}, "line 1, has 27 choices; .* at most 26 choices"),
        ({"answer": "x", "choices": "xy"}, "line 1, has choices that are not a list of texts"),
    ],
)
def test_a_choice_that_does_not_fit_names_the_line(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_own(write_lines(tmp_path / "own.jsonl", [{"question": "q", **row}]), "choice")


def test_a_number_names_the_choice_with_that_text(tmp_path: Path) -> None:
    rows = [
        {"question": "1 + 1?", "choices": ["1", "2"], "answer": 2, "split": "train"},
        {"question": "1 + 0.5?", "choices": ["1.5", "2"], "answer": 1.5, "split": "test"},
    ]
    task = load_own(write_lines(tmp_path / "own.jsonl", rows), "choice")
    assert [question.answer for question in (*task.train, *task.test)] == ["B", "A"]


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        ("text", {"question": "q \ud83d"}),
        ("text", {"answer": "\ud83d"}),
        ("text", {"rationale": "r \ud83d"}),
        ("text", {"id": "i \ud83d"}),
        ("choice", {"choices": ["x", "\ud83d"], "answer": "A"}),
    ],
)
def test_half_a_character_names_the_line(tmp_path: Path, kind: AnswerKind, part: dict[str, Any]) -> None:
    path = write_lines(tmp_path / "own.jsonl", [{"question": "q", "answer": "y"} | part])
    with pytest.raises(
        DataError, match=r"own\.jsonl, line 1, holds '.ud83d', which is only half of a character"
    ) as caught:
        load_own(path, kind)
    str(caught.value).encode("utf-8")


def test_own_files_that_are_missing_or_empty(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="There is no file"):
        load_own(tmp_path / "none.jsonl")
    with pytest.raises(DataError, match="is empty"):
        load_own(write_lines(tmp_path / "own.jsonl", []))
    (tmp_path / "bad.jsonl.gz").write_bytes(b"no gzip")
    with pytest.raises(DataError, match="cannot be read"):
        load_own(tmp_path / "bad.jsonl.gz")


# Generated problems


@pytest.mark.parametrize("name", [name for name, info in TASKS.items() if info.generated])
def test_generated_problems_are_as_many_as_asked_and_different(name: str) -> None:
    pytest.importorskip("reasoning_gym")
    task = load_task(TaskSettings(name=name, train_rows=120, test_rows=30), 7)
    questions = (*task.train, *task.test)
    assert (len(task.train), len(task.test)) == (120, 30)
    assert len({question.text for question in questions}) == len({question.id for question in questions}) == 150
    assert all(question.rationale and "####" not in question.rationale for question in questions)
    assert task == load_task(TaskSettings(name=name, train_rows=120, test_rows=30), 7)
    assert task.test == load_task(TaskSettings(name=name, train_rows=9, test_rows=30), 7).test
    other = load_task(TaskSettings(name=name, train_rows=120, test_rows=30), 8)
    assert len({question.text for question in (*other.train, *other.test)} & {q.text for q in questions}) < 75


@pytest.mark.parametrize("name", ["leg_counting", "chain_sum"])
def test_a_written_solution_ends_in_the_answer_and_its_steps_are_true(name: str) -> None:
    pytest.importorskip("reasoning_gym")
    settings = TaskSettings(name=name, train_rows=200, test_rows=50)
    for question in load_task(settings, 1).train:
        steps = [step for step in str(question.rationale).rstrip(".").split(". ") if "=" in step]
        for step in steps:
            left, _, right = step.rpartition(" have " if " have " in step else " has ")[2].partition(" = ")
            assert eval(left) == int(right.removesuffix(" legs"))  # noqa: S307 (made by this test's own task)
        assert steps[-1].removesuffix(" legs").endswith(f"= {question.answer}")


def test_leg_counting_reads_as_english() -> None:
    pytest.importorskip("reasoning_gym")
    item = {"metadata": {"animals": {"cow": 3, "duck": 2}}, "answer": "16"}
    solution = "3 cows have 3 * 4 = 12 legs. 2 ducks have 2 * 2 = 4 legs. 12 + 4 = 16."
    assert read_leg_counting(item) == ("How many legs do 3 cows and 2 ducks have?", "16", solution)
    item = {"metadata": {"animals": {"sea slug": 1}}, "answer": "0"}
    assert read_leg_counting(item)[::2] == ("How many legs does 1 sea slug have?", "1 sea slug has 1 * 0 = 0 legs.")
    item = {"metadata": {"animals": {"ant": 1, "sheep": 2, "firefly": 2}}, "answer": "26"}
    assert read_leg_counting(item)[0] == "How many legs do 1 ant, 2 sheep and 2 fireflies have?"
    assert read_leg_counting(item)[2].endswith("6 + 8 = 14. 14 + 12 = 26.")
    wanted = ["butterflies", "praying mantises", "cockroaches", "woodlice", "jellyfish", "bees"]
    assert [
        plural(name, 2) for name in ("butterfly", "praying mantis", "cockroach", "woodlouse", "jellyfish", "bee")
    ] == wanted


def test_chain_sums_are_worked_sign_by_sign() -> None:
    item = {"metadata": {"expression": "5 - -3 + 2"}, "answer": "10"}
    assert read_chain_sum(item) == ("What is 5 - -3 + 2?", "10", "5 - -3 = 8. 8 + 2 = 10.")
    assert read_chain_sum({"metadata": {"expression": "5"}, "answer": "5"})[2] == "It is just 5."


def test_options_that_allow_too_few_problems_say_so() -> None:
    pytest.importorskip("reasoning_gym")
    options: dict[str, int | float | bool | str] = {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1}
    with pytest.raises(DataError, match="chain_sum made only 200 different questions"):
        load_task(TaskSettings(name="chain_sum", train_rows=900, test_rows=100, options=options), 1)


def test_wrong_options_and_a_missing_library_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("reasoning_gym")
    with pytest.raises(RecipeError, match=r"task\.options\.legs is no option of leg_counting; known are min_animals"):
        load_task(TaskSettings(name="leg_counting", options={"legs": 3}), 1)
    with pytest.raises(RecipeError, match="max_animals must be >= min_animals"):
        load_task(TaskSettings(name="leg_counting", options={"min_animals": 5}), 1)
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    with pytest.raises(DataError, match=r"pip install 'tutelage\[word-problems\]'"):
        load_task(TaskSettings(name="leg_counting"), 1)


# The registry


def test_an_unknown_task_names_the_nearest() -> None:
    with pytest.raises(RecipeError, match="There is no task 'gsm-8k'; did you mean 'gsm8k'"):
        load_task(TaskSettings(name="gsm-8k"), 1)
    with pytest.raises(RecipeError, match="Known are gsm8k, multiarith, svamp"):
        load_task(TaskSettings(name="zzz"), 1)


def test_settings_without_effect_are_errors(tmp_path: Path) -> None:
    for settings, message in [
        (TaskSettings(name="svamp", train_rows=5), "task.train_rows is for generated tasks"),
        (TaskSettings(name="svamp", options={"a": 1}), "task.options is for generated tasks"),
        (TaskSettings(name="leg_counting", data=tmp_path), "task.data is for public data sets"),
        (TaskSettings(name="svamp", kind="text"), "task.kind is 'text', but"),
    ]:
        with pytest.raises(RecipeError, match=message):
            load_task(settings, 1)
    with pytest.raises(DataError, match="There is no folder"):
        load_task(TaskSettings(name="svamp", data=tmp_path / "none"), 1)


def test_every_task_says_what_it_is() -> None:
    assert [*TASKS][:5] == ["gsm8k", "multiarith", "svamp", "commonsense_qa", "strategy_qa"]
    assert all(info.title and info.source and info.licence and info.description for info in TASKS.values())
