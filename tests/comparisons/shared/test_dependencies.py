"""What each stage depends on: a change reaches exactly the stages that it changes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from tutelage.baselines import METHODS
from tutelage.comparisons.shared.dependencies import Key, stage_keys, untrained_key
from tutelage.config import Recipe
from tutelage.recipes import read_recipe
from tutelage.rounds import Run, start_run

ROUND_1 = {"exam 1", "mistakes 1", "feedback 1", "lesson 1", "study 1", "evaluation 1"}
ROUND_2 = {name.replace("1", "2") for name in ROUND_1}
LATER = {"study 2", "evaluation 2"}
LEARNED = {"study 1", "evaluation 1", *ROUND_2}
ALL = {"evaluation 0", *ROUND_1, *ROUND_2}


@pytest.fixture
def run(recipe: Path, tmp_path: Path) -> Iterator[Run]:
    """A run that has been started."""
    started = start_run(read_recipe(recipe), tmp_path / "run")
    yield started
    started.workspace.release()


def named(keys: dict[Key, str]) -> dict[str, str]:
    return {f"{stage} {number}": key for (number, stage), key in keys.items()}


def changed(run: Run, recipe: Path, *overrides: str, base: Sequence[str] = (), name: str = "distillation") -> set[str]:
    """The stages whose hash another recipe changes. base: what both say."""
    method = METHODS[name]
    before = named(stage_keys(Run(run.workspace, read_recipe(recipe, base)), method))
    after = named(stage_keys(Run(run.workspace, read_recipe(recipe, [*base, *overrides])), method))
    return {name for name in before if before[name] != after.get(name)}


CHANGES = [
    ("exam.batch_size=3", set()),
    ("evaluation.batch_size=3", set()),
    ("study.micro_batch_size=1", set()),
    ("study.checkpoint_steps=7", set()),
    ("rounds.patience=3", set()),
    ("rounds.limit=1", ROUND_2),
    ("rounds.data=all rounds", {"lesson 2", "study 2", "evaluation 2"}),
    ("rounds.start=untrained", {"study 2", "evaluation 2"}),
    ("study.later_learning_rate=1e-4", {"study 2", "evaluation 2"}),
    ("study.lambda=0.25", LEARNED),
    ("study.steps=5", LEARNED),
    ("lora.r=4", LEARNED),
    ("lora.quantize=true", ALL - {"feedback 1"}),
    ("prompt.chat=true", ALL - {"feedback 1"}),
    ("study.learning_rate=1e-4", LEARNED),
    ("teacher.feedback=false", ROUND_2 - {"exam 2", "mistakes 2"}),
    ("teacher.replies=3", {"feedback 1", "lesson 1", *LEARNED}),
    ("teacher.prefer=shortest", {"feedback 1", "lesson 1", *LEARNED}),
    ("teacher.hard_replies=8", {"feedback 1", "lesson 1", *LEARNED}),
    ("teacher.drop_unfounded=true", {"feedback 1", "lesson 1", *LEARNED}),
    ("exam.own_rationales=1", {"lesson 1", *LEARNED}),
    ("rounds.number_variants=2", {"lesson 1", *LEARNED}),
    ("teacher.kind=recorded", {"feedback 1", "lesson 1", *LEARNED}),
    ("first_teacher.kind=recorded", {"feedback 1", "lesson 1", *LEARNED}),
    ("exam.mistakes=2", {"mistakes 1", "lesson 1", *LEARNED}),
    ("exam.attempts=3", {"exam 1", "mistakes 1", "lesson 1", *LEARNED}),
    # The teacher's replies are held to the shorter of the two limits.
    ("exam.max_new_tokens=30", ALL - {"evaluation 0"}),
    ("evaluation.max_new_tokens=50", {"evaluation 0", "evaluation 1", "evaluation 2"}),
    ("student.device=auto", ALL),
    ("seed=7", ALL),
]


def test_the_teacher_of_round_1_may_be_another(run: Run, recipe: Path) -> None:
    base = ["first_teacher.kind=recorded"]
    assert changed(run, recipe, "teacher.replies=3", base=base) == {"feedback 2", "lesson 2", *LATER}
    assert changed(run, recipe, "first_teacher.replies=3", base=base) == {"feedback 1", "lesson 1", *LEARNED}
    # A run that has it as its only teacher shares its first round.
    assert changed(run, recipe, "teacher.kind=recorded", base=base) == {"feedback 2", "lesson 2", *LATER}


def test_rules_for_the_students_own_rationales_hold_in_round_1_whoever_teaches_there(run: Run, recipe: Path) -> None:
    base = ["first_teacher.kind=recorded", "exam.own_rationales=1"]
    for rule in ("teacher.drop_leaks=false", "teacher.drop_wrong_steps=true", "teacher.drop_unfounded=true"):
        assert changed(run, recipe, rule, base=base) == {"lesson 1", *LEARNED}, rule
        assert "feedback 1" in changed(run, recipe, rule, base=base[:1], name="star"), rule
    assert changed(run, recipe, "first_teacher.replies=3", base=base[:1], name="star") == set()


def test_a_change_reaches_what_it_changes(run: Run, recipe: Path) -> None:
    for override, stages in CHANGES:
        assert changed(run, recipe, override) == stages, override


def test_the_exam_decides_what_a_first_round_asks_where_it_says_what_is_hard(run: Run, recipe: Path) -> None:
    base = ["teacher.hard_replies=8"]
    assert changed(run, recipe, "exam.attempts=3", base=base) == ALL - {"evaluation 0"}
    assert changed(run, recipe, "exam.mistakes=2", base=base) == {"mistakes 1", "lesson 1", *LEARNED}


def test_a_fresh_start_takes_one_rate_and_no_earlier_student(run: Run, recipe: Path) -> None:
    base = ["rounds.start=untrained"]
    assert changed(run, recipe, "study.later_learning_rate=1e-4", base=base) == set()
    assert changed(run, recipe, "study.later_learning_rate=1e-4", base=base, name="star") == set()


def test_keys_that_a_method_has_no_use_for_keep_none_of_its_runs_apart(run: Run, recipe: Path) -> None:
    for key in ("teacher.hard_replies=8", "exam.own_rationales=1"):
        assert changed(run, recipe, key, name="cot") == set(), key
    assert changed(run, recipe, "exam.own_rationales=1", name="star") == set()


def test_a_section_that_nobody_thought_of_keeps_runs_apart(run: Run) -> None:
    class Later(Recipe):
        memory: int = 0

    later = [Later(**{**dict(run.recipe), "memory": size}) for size in (1, 2)]
    assert untrained_key(later[0]) != untrained_key(later[1])  # and so all stages of round 0 and after it


def test_data_count_by_their_contents(run: Run, recipe: Path) -> None:
    method = METHODS["distillation"]
    before = named(stage_keys(run, method))
    path = run.workspace.questions
    path.write_text(path.read_text().replace('"split": "test", "question": {', '"split": "test", "question":  {', 1))
    after = named(stage_keys(run, method))
    assert {name for name in before if before[name] != after[name]} == {"evaluation 0", "evaluation 1", "evaluation 2"}


def test_what_a_method_does_its_own_way_is_no_other_ones(run: Run) -> None:
    keys = {name: named(stage_keys(run, METHODS[name])) for name in ("distillation", "cot", "star", "answers")}
    assert set(keys["cot"]) & set(ROUND_1) == {"feedback 1", "lesson 1", "study 1", "evaluation 1"}
    ours = keys.pop("distillation")
    assert {name for name in ours if ours[name] == keys["cot"].get(name)} == {"evaluation 0", "feedback 1"}
    assert {name for name in ours if ours[name] == keys["star"].get(name)} == {"evaluation 0"}
    assert not {name for name in ours if ours[name] == keys["answers"].get(name)}
    assert named(stage_keys(run, replace(METHODS["cot"], name="other")))["lesson 1"] != keys["cot"]["lesson 1"]


def test_files_of_the_same_name_are_not_the_same(run: Run, recipe: Path, tmp_path: Path) -> None:
    said = tmp_path / "said.jsonl"
    said.write_text('{"question": "q", "rationale": "r"}\n')
    model = tmp_path / "model"
    shutil.copytree(run.recipe.student.model, model)
    names = ["teacher.kind=recorded", f"teacher.files=['{said}']", f"student.model={model}"]
    now = Run(run.workspace, read_recipe(recipe, names))
    keys = [named(stage_keys(now, METHODS["distillation"]))]
    said.write_text('{"question": "q", "rationale": "s"}\n')
    keys.append(named(stage_keys(now, METHODS["distillation"])))
    (model / "config.json").write_text((model / "config.json").read_text() + "\n")  # trained anew, say
    keys.append(named(stage_keys(now, METHODS["distillation"])))
    apart = [{name for name in ALL if one[name] != other[name]} for one, other in pairwise(keys)]
    assert apart == [{"feedback 1", "lesson 1", *LEARNED}, ALL]
