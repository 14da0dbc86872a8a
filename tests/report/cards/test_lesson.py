"""A run's lessons as `datasets` and TRL read them, and in the words that the student studied."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets import get_dataset_config_names, load_dataset
from huggingface_hub import DatasetCard
from transformers import AutoTokenizer

from tests.rounds.small import finished_exam, tutor_run
from tests.tiny import make_model, make_tokenizer, save_model
from tutelage.errors import WorkspaceError
from tutelage.records import Triplet
from tutelage.report.cards.lesson import write_lesson_card
from tutelage.rounds import Run, study
from tutelage.rounds.export import export
from tutelage.rounds.lesson import lesson
from tutelage.rounds.lesson_data import export_lesson
from tutelage.rounds.study import encode_lesson
from tutelage.workspace import KEYS, write_records

SHORT = ["task.train_questions=6", "task.test_questions=3", "exam.attempts=1", "study.steps=1", "prompt.count=1"]
CHATML = (
    "{{ '<s>' }}{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def taught_run(recipe: Path, folder: Path, *overrides: str) -> Run:
    """A run with two lessons; the first sample of the second has no mistake to stand against."""
    run = tutor_run(recipe, folder, *SHORT, *overrides)
    study(run, 1)
    first, *others = lesson(run, 1)
    write_records(run.round(2).lesson, [Triplet(first.question_id, first.anchor, None, None, own=True), *others[:2]])
    return run


def read(folder: Path, name: str, split: str, cache: Path) -> list[dict[str, Any]]:
    return list(load_dataset(str(folder), name, split=split, cache_dir=str(cache)))


def test_lessons_load_with_the_words_that_were_studied(recipe: Path, tmp_path: Path) -> None:
    run, to, cache = taught_run(recipe, tmp_path), tmp_path / "to", tmp_path / "cache"
    written = export_lesson(run.workspace.folder, to, also=write_lesson_card)
    assert get_dataset_config_names(str(to)) == ["chat", "prompt-completion", "preference"]
    card = DatasetCard.load(to / "README.md")
    assert [config["config_name"] for config in card.data.configs] == ["chat", "prompt-completion", "preference"]
    student, triplets = run.student(0), lesson(run, 1)
    studied = encode_lesson(run, student, triplets)
    pairs = read(to, "prompt-completion", "round_1", cache)
    preferences = read(to, "preference", "round_1", cache)
    assert len(pairs) == len(preferences) == len(studied) == written.rows["chat"][1]

    def tokens(text: str) -> tuple[int, ...]:
        return (*student.bos, *student.tokenizer(text, add_special_tokens=False)["input_ids"], student.eos_id)

    for sample, pair, preference in zip(studied, pairs, preferences, strict=True):
        assert sample.negative is not None
        assert tokens(pair["prompt"] + pair["completion"]) == sample.anchor.token_ids
        assert tokens(preference["prompt"] + preference["chosen"]) == sample.anchor.token_ids
        assert tokens(preference["prompt"] + preference["rejected"]) == sample.negative.token_ids
        assert pair["question_id"] == preference["question_id"] == sample.question_id
    # The exported student's chat template makes the same text of the messages.
    export(run.workspace.folder, tmp_path / "student", 1)
    tokenizer: Any = AutoTokenizer.from_pretrained(tmp_path / "student")
    for row, pair in zip(read(to, "chat", "round_1", cache), pairs, strict=True):
        text = tokenizer.apply_chat_template(row["messages"], tokenize=False)
        assert text.strip() == (pair["prompt"] + pair["completion"]).strip()
    assert [row["own"] for row in read(to, "chat", "round_2", cache)] == [True, False, False]
    assert len(read(to, "preference", "round_2", cache)) == 2
    assert len(read(to, "chat", "all", cache)) == len(pairs) + 3


def test_what_was_studied_with_other_numbers_is_exported_as_it_was_asked(recipe: Path, tmp_path: Path) -> None:
    run = finished_exam(recipe, tmp_path, 1, "rounds.number_variants=2")
    asked = [triplet.variant for triplet in lesson(run, 1) if triplet.variant is not None]
    assert asked
    study(run, 1)
    run.workspace.release()
    export_lesson(run.workspace.folder, tmp_path / "to", also=write_lesson_card)
    rows = read(tmp_path / "to", "prompt-completion", "round_1", tmp_path / "cache")
    variants = [row for row in rows if row["variant"]]
    assert len(variants) == len(asked) < len(rows)
    for row, variant in zip(variants, asked, strict=True):
        assert variant.text in row["prompt"]
        assert row["completion"].endswith(f"Answer: {variant.answer}")
    card = (tmp_path / "to" / "README.md").read_text()
    assert "with other numbers, too, and their arithmetic worked out anew" in card


def test_a_chat_students_template_makes_the_studied_text_of_its_lesson(recipe: Path, tmp_path: Path) -> None:
    tokenizer: Any = make_tokenizer(
        ("<s>", "<|im_end|>", "<|im_start|>", "<|pad|>"), bos_token="<s>", eos_token="<|im_end|>", pad_token="<|pad|>"
    )
    tokenizer.chat_template = CHATML
    model = save_model(tmp_path / "chatty", make_model(len(tokenizer), eos_token_id=1, bos_token_id=0), tokenizer)
    run = taught_run(recipe, tmp_path, f"student.model={model}", "prompt.chat=true", "prompt.system=Think.")
    export_lesson(run.workspace.folder, tmp_path / "to", also=write_lesson_card)
    export(run.workspace.folder, tmp_path / "student", 1)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "student")
    rows = read(tmp_path / "to", "preference", "round_1", tmp_path / "cache")
    student = run.student(0)
    for row, sample in zip(rows, encode_lesson(run, student, lesson(run, 1)), strict=True):
        for side, studied in (("chosen", sample.anchor), ("rejected", sample.negative)):
            assert studied is not None
            text = tokenizer.apply_chat_template(row["prompt"] + row[side], tokenize=False)
            assert text == str(student.tokenizer.decode(list(studied.token_ids))) + "\n"


def test_one_rounds_lesson_and_none(recipe: Path, tmp_path: Path) -> None:
    run = taught_run(recipe, tmp_path)
    folder = run.workspace.folder
    written = export_lesson(folder, tmp_path / "second", 2)
    assert written.rounds == (2,)
    assert not (tmp_path / "second" / "chat" / "round_1.jsonl").exists()
    with pytest.raises(WorkspaceError, match="no lesson of round 3"):
        export_lesson(folder, tmp_path / "third", 3)
    with pytest.raises(WorkspaceError, match="in use already"):
        export_lesson(folder, tmp_path / "second")
    # A file without a line is none that datasets would load.
    write_records(run.round(2).lesson, [Triplet(lesson(run, 1)[0].question_id, "3 + 1 = 4.", None, None)])
    export_lesson(folder, tmp_path / "bare", 2, write_lesson_card)
    assert get_dataset_config_names(str(tmp_path / "bare")) == ["chat", "prompt-completion"]


def test_trl_knows_the_formats(recipe: Path, tmp_path: Path) -> None:
    data_utils = pytest.importorskip(
        "trl.data_utils", reason="TRL is not installed: pip install 'tutelage[benchmarks]'"
    )
    run, to, cache = taught_run(recipe, tmp_path), tmp_path / "to", tmp_path / "cache"
    export_lesson(run.workspace.folder, to, 1, write_lesson_card)
    export(run.workspace.folder, tmp_path / "student", 1)
    tokenizer: Any = AutoTokenizer.from_pretrained(tmp_path / "student")
    rows = {name: read(to, name, "round_1", cache)[0] for name in ("chat", "prompt-completion", "preference")}
    assert [data_utils.is_conversational(row) for row in rows.values()] == [True, False, False]
    pair = rows["prompt-completion"]
    applied = data_utils.apply_chat_template({"messages": rows["chat"]["messages"]}, tokenizer)
    assert applied["text"].startswith(pair["prompt"] + pair["completion"])
    assert data_utils.maybe_extract_prompt(rows["preference"])["prompt"] == pair["prompt"]


def test_a_baselines_lesson_is_called_what_it_is(recipe: Path, tmp_path: Path) -> None:
    run = taught_run(recipe, tmp_path, "rounds.data=all rounds")
    (run.workspace.folder / KEYS).write_text('{"method": "specializing"}')
    export_lesson(run.workspace.folder, tmp_path / "to", also=write_lesson_card)
    card = (tmp_path / "to" / "README.md").read_text()
    assert "Rationales of one pass of a teacher (Fu et al." in card
    assert "tailored learning" not in card
    assert "every other sample without the demonstrations" in card
    assert "`base_model`" not in card
    write_records(run.round(1).lesson, [Triplet("q", "", None, None)])
    run.round(2).lesson.unlink()
    with pytest.raises(WorkspaceError, match="no rationales"):
        export_lesson(run.workspace.folder, tmp_path / "other")
