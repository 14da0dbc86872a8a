"""Recipes: what is read, what is refused, and in which words."""

from __future__ import annotations

from pathlib import Path

import pytest

from tutelage.config import LoraSettings, Recipe, RecordedTeacherSettings
from tutelage.errors import RecipeError
from tutelage.recipes import read_recipe, recipe_to_toml, with_absolute_paths

SMALL = """
[task]
name = "svamp"
[student]
model = "some/model"
[teacher]
kind = "recorded"
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path


def test_defaults_are_the_papers(recipe: Path) -> None:
    read = read_recipe(recipe)
    # Table 9
    assert (read.exam.attempts, read.exam.temperature, read.exam.top_k, read.exam.max_new_tokens) == (4, 1.0, 50, 128)
    # Table 10 and A.2
    study = read.study
    assert (study.epochs, study.batch_size, study.learning_rate, study.warmup_steps) == (10, 16, 1e-6, 100)
    assert (study.lambda_, study.margin, study.demonstration_weight) == (0.5, 1.0, 0.1)
    assert (study.betas, study.epsilon, study.weight_decay, read.seed) == ((0.9, 0.999), 1e-8, 0.01, 42)


def test_overrides_are_toml_values_or_bare_text(recipe: Path) -> None:
    read = read_recipe(recipe, ["study.lambda=0.25", "student.model=other/model", "rounds.data=all rounds", "seed=7"])
    assert (read.study.lambda_, read.student.model, read.rounds.data, read.seed) == (
        0.25,
        "other/model",
        "all rounds",
        7,
    )


def test_an_override_makes_the_section_that_the_recipe_lacks(recipe: Path, tmp_path: Path) -> None:
    assert read_recipe(recipe).lora is None
    read = read_recipe(recipe, ["lora.r=8", 'lora.target_modules=["q_proj"]', "lora.next_round=merged"])
    assert read.lora == LoraSettings(r=8, target_modules=("q_proj",), next_round="merged")
    (tmp_path / "again.toml").write_text(recipe_to_toml(read))
    assert read_recipe(tmp_path / "again.toml") == read


def test_a_teacher_is_read_by_its_kind(recipe: Path) -> None:
    read = read_recipe(recipe, ['teacher.files=["a.jsonl", "b.jsonl.gz"]'])
    assert isinstance(read.teacher, RecordedTeacherSettings)
    assert read.teacher.files == (Path("a.jsonl"), Path("b.jsonl.gz"))


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("study.learning_rat=1e-4", ["study.learning_rat", "did you mean 'learning_rate'"]),
        ("teacher.modle=gpt", ["teacher.modle", "known here", "files"]),
        ("studdy.epochs=1", ["studdy", "did you mean 'study'"]),
        ("study.epochs=many", ["study.epochs", "'many'"]),
        ("study.epochs='3'", ["study.epochs", "'3'"]),
        ("study.epochs=0", ["study.epochs", "greater than 0", "0"]),
        ("exam.temperature=-1", ["exam.temperature", "-1"]),
        ("rounds.data=some", ["rounds.data", "this round", "'some'"]),
        ("teacher.kind=oracle", ["teacher", "openai", "oracle"]),
        (
            "first_teacher.kind=openai",
            ["first_teacher.kind: it takes 'local', 'recorded', 'tutor'; the value is 'openai'"],
        ),
        ("first_teacher.name=a", ["first_teacher.kind: is missing; it takes 'local', 'recorded', 'tutor'"]),
        ("task.name=own", ["task.file"]),
        ("task.file=a.jsonl", ["task.file", "own"]),
        ("study.epochs", ["key=value"]),
        ("study.learning_rate=inf", ["study.learning_rate", "finite"]),
        ("study.betas=[0.9, 1.0]", ["study.betas", "less than 1"]),
        ("lora.rank=8", ["lora.rank", "known here: r, lora_alpha"]),
        ("lora.target_modules=[]", ["lora.target_modules", "[]"]),
        ("lora.next_round=fresh", ["lora.next_round", "same adapter", "'fresh'"]),
        ("seed.deep=1", ["seed"]),
        ("task=1", ["task"]),
    ],
)
def test_what_is_wrong_is_named(recipe: Path, override: str, words: list[str]) -> None:
    text = SMALL if override != "seed.deep=1" else "seed = 1\n" + SMALL
    recipe.write_text(text)
    with pytest.raises(RecipeError) as error:
        read_recipe(recipe, [override])
    for word in words:
        assert word in str(error.value)


def test_a_missing_key_is_named(recipe: Path) -> None:
    recipe.write_text(SMALL.replace('model = "some/model"', ""))
    with pytest.raises(RecipeError, match=r"student\.model: is missing"):
        read_recipe(recipe)


def test_files_that_are_no_recipes(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no recipe at"):
        read_recipe(tmp_path / "absent.toml")
    (tmp_path / "broken.toml").write_text("[task\nname=")
    with pytest.raises(RecipeError, match="not valid TOML"):
        read_recipe(tmp_path / "broken.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match="cannot be read"):
        read_recipe(tmp_path / "binary.toml")


def test_a_written_recipe_reads_as_the_same(recipe: Path, tmp_path: Path) -> None:
    read = read_recipe(
        recipe, ['task.options={min_animals = 1, mode = "a\\"b"}', "study.later_learning_rate=7e-7", "task.data=a b"]
    )
    again = tmp_path / "again.toml"
    again.write_text(recipe_to_toml(read))
    assert read_recipe(again) == read


SHIPPED = sorted((Path(__file__).parents[1] / "configs").glob("*.toml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_recipes_are_read(path: Path) -> None:
    assert isinstance(read_recipe(path), Recipe)


def test_there_is_a_recipe_for_each_task() -> None:
    names = {path.stem for path in SHIPPED}
    assert {"demo", "paper", "gsm8k", "multiarith", "svamp", "commonsense_qa", "strategy_qa"} <= names


def test_a_key_in_the_wrong_place_is_refused_and_not_shown(recipe: Path) -> None:
    overrides = ["teacher.kind=openai", "teacher.model=m", "teacher.api_key_env=sk-secret-123"]
    with pytest.raises(RecipeError, match="name of an environment variable") as error:
        read_recipe(recipe, overrides)
    assert "secret" not in str(error.value)


def test_another_kind_of_teacher_leaves_the_old_ones_keys(recipe: Path) -> None:
    recipe.write_text(SMALL + 'files = ["a.jsonl"]\nreplies = 3\n')
    read = read_recipe(recipe, ["teacher.kind=openai", "teacher.model=m"])
    assert (read.teacher.kind, read.teacher.replies) == ("openai", 3)


def test_another_kind_of_first_teacher_leaves_the_old_ones_keys(recipe: Path) -> None:
    recipe.write_text(SMALL + '[first_teacher]\nkind = "recorded"\nfiles = ["a.jsonl"]\nreplies = 3\n')
    read = read_recipe(recipe, ["first_teacher.kind=tutor"])
    assert read.first_teacher is not None
    assert (read.first_teacher.kind, read.first_teacher.replies) == ("tutor", 3)
    quoted = read_recipe(recipe, ['first_teacher.kind="tutor"'])  # as TOML has it
    assert quoted == read


def test_paths_are_written_out_in_full(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jsonl").write_text("")
    read = with_absolute_paths(
        read_recipe(recipe, ["task.data=d", 'teacher.files=["a*", "pool/*"]', "student.model=."])
    )
    assert read.task.data == tmp_path / "d"
    assert isinstance(read.teacher, RecordedTeacherSettings)
    assert read.teacher.files == (tmp_path / "a*", Path("pool/*"))  # the other one is looked up in the data
    assert read.student.model == str(tmp_path)
    assert with_absolute_paths(read_recipe(recipe)).student.model == "some/model"


def test_a_system_message_goes_with_a_chat(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RecipeError, match=r"prompt: system is .* goes with chat = true"):
        read_recipe(recipe, ["prompt.system=Think."])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Think.").touch()  # a system message is no path
    chat = with_absolute_paths(read_recipe(recipe, ["prompt.chat=true", "prompt.system=Think."]))
    assert (chat.prompt.chat, chat.prompt.system) == (True, "Think.")
    (tmp_path / "again.toml").write_text(recipe_to_toml(chat))
    assert read_recipe(tmp_path / "again.toml") == chat
