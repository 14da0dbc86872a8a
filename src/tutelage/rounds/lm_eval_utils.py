"""What a task file for lm-evaluation-harness calls. It is copied beside that file, as its utils.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from datasets import Dataset

try:
    from tutelage.records import Question, from_json
    from tutelage.student.answering.stopping import answer_end, answer_end_in_line
    from tutelage.tasks.answers import is_right, read_answer
except ImportError as error:
    raise ImportError(
        "This task reads and judges answers as Tutelage does, which is not installed where lm_eval runs, or is another "
        f"version ({error}). Install it there: pip install -e TUTELAGE, the folder of its source."
    ) from None


def questions(**_: Any) -> dict[str, Dataset]:
    """The test's questions, from the file beside this one."""
    lines = Path(__file__).with_name("questions.jsonl").read_text(encoding="utf-8").split("\n")
    return {"test": Dataset.from_list([json.loads(line) for line in lines if line])}


def process_results(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """Whether the answer in what was generated is right, 1 or 0; one that cannot be read is wrong."""
    question = from_json(Question, doc["question"])
    # What is generated behind the end of an answer is no part of it.
    end = answer_end if doc["writes_lines"] else answer_end_in_line
    text = results[0][: end(results[0])]
    return {"exact_match": float(is_right(read_answer(text, question), question))}
