"""benchmarks/round.py, run on a tiny student and a few questions."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

round_ = importlib.import_module("round")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder with twelve training and three test questions in GSM8K's form."""
    (tmp_path / "gsm8k").mkdir()
    for split, count in (("train", 12), ("test", 3)):
        with (tmp_path / "gsm8k" / f"{split}.jsonl").open("w") as file:
            for number in range(count):
                text = f"A {split} shelf holds {number + 2} pens and gets 3 more. How many pens are there?"
                total = number + 5
                answer = f"There are {number + 2}+3 = <<{number + 2}+3={total}>>{total} pens.\n#### {total}"
                file.write(json.dumps({"question": text, "answer": answer}) + "\n")
    return tmp_path


SHORT = [f"--set={key}" for key in ("prompt.count=0", "exam.max_new_tokens=60", "evaluation.max_new_tokens=60")]


@pytest.mark.slow
def test_a_round_stage_by_stage(capsys: pytest.CaptureFixture[str], folder: Path, tiny_folder: Path) -> None:
    argv = ["--device", "cpu", "--model", str(tiny_folder), "--data", str(folder), "--questions", "10", "--json"]
    round_.main([*argv, *SHORT])
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert tuple(result["seconds"]) == round_.STAGES
    assert result["total_seconds"] == pytest.approx(sum(result["seconds"].values()), abs=0.01)
    assert (result["questions"], result["test_questions"], result["steps"]) == (10, 3, 1)
    assert result["exam_answers_per_second"] > 0


def test_random_weights_need_a_tokenizer(folder: Path) -> None:
    with pytest.raises(ValueError, match="--tokenizer"):
        round_.main(["--device", "cpu", "--model", "tiny", "--data", str(folder)])


def test_the_lesson_is_fixed_unless_set(folder: Path, tiny_folder: Path) -> None:
    argv = ["--device", "cpu", "--model", str(tiny_folder), "--data", str(folder), *SHORT]
    for batch, more in ((16, []), (4, ["--set=study.batch_size=4"])):
        out = folder / f"run-{batch}"
        recipe = round_.begin(round_.parse([*argv, *more]), str(tiny_folder), out).recipe
        assert (recipe.study.batch_size, recipe.rounds.number_variants, recipe.exam.own_rationales) == (batch, 0, 0)
