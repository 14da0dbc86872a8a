"""A run's test as a task of lm-evaluation-harness, so that others' code can count what ours counted.

The harness (https://github.com/EleutherAI/lm-evaluation-harness, 0.4.13) tokenises, runs the model and averages. The
prompts are the run's own, to the letter, and answers are read and judged by the code that judges ours.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from tutelage.errors import StudentError, WorkspaceError
from tutelage.records import to_json
from tutelage.rounds.answering import prompts_for
from tutelage.rounds.run import Run
from tutelage.student.answering.prompts import encode_prompts
from tutelage.student.answering.stopping import NEXT_QUESTION, writes_lines
from tutelage.student.model.student import Student, load_student
from tutelage.workspace import disk_errors, read_json, write_atomically

_TASK = """\
# Written by Tutelage; `README.md` has the command.
task: {name}
custom_dataset: !function utils.questions
test_split: test
output_type: generate_until
num_fewshot: 0
# The prompt as it stands, demonstrations included.
doc_to_text: prompt
doc_to_target: answer
target_delimiter: ""
generation_kwargs:
  # What is generated behind the answer is cut off by process_results; this only saves time.
  until: [{stop}]
  max_gen_toks: {tokens}{decoder}
  do_sample: false
process_results: !function utils.process_results
metric_list:
  - metric: exact_match
    aggregation: mean
    higher_is_better: true
metadata:
  version: 1.0
"""

_DECODER = """
  # The harness would let a decoder write as many tokens more as the encoder reads.
  max_length: {length}"""

_README = """\
# {name}: the test of a run of Tutelage, for lm-evaluation-harness

    {command}

The environment needs lm-eval (0.4.13 was tried) with its `hf` extra, and Tutelage, which reads the answers. The run's
own evaluation of this student: {accuracy:.4f}, {correct} of {total} right. On the same kind of device expect the same
`exact_match` to within a question; batch size and precision change rounding, and where two tokens are about as likely,
a word. A student that was evaluated on a GPU was so in bfloat16: add `mixed_precision_dtype=bfloat16` to --model_args.
"""


def write_lm_eval(run: Run, folder: Path, model: Path | None = None) -> str:
    """Writes a task folder for lm-evaluation-harness with the run's test questions. The command that runs it.

    folder: a new one, or an earlier one of these. model: where the best round's student lies for the harness, as a
    whole model; None: RUN/student.
    Raises: WorkspaceError if the run has not ended yet, or the folder holds anything else; StudentError if the harness
    could not tokenise as the run did.
    """
    place = model or run.workspace.student
    name = f"tutelage_{run.recipe.task.name}"
    _check_free(folder, name)
    if not run.workspace.outcome.is_file() or not place.is_dir():
        raise WorkspaceError(
            f"{run.workspace.folder} has not ended, so there is no best student to check. "
            f"Go on with it by `tutelage resume {run.workspace.folder}`."
        )
    student = load_student(str(place), revision=None, device="cpu")
    prompts = prompts_for(run, student, run.questions["test"])
    special = model_arguments(student, prompts)
    arguments = ",".join([f"pretrained={place.resolve()}", *special])
    command = (
        f"lm_eval --model hf --model_args {shlex.quote(arguments)} --tasks {name} "
        f"--include_path {shlex.quote(str(folder.resolve()))} --batch_size 8"
    )
    files = {
        f"{name}.yaml": _task(name, student, run.recipe.evaluation.max_new_tokens),
        "questions.jsonl": _questions(run, student, prompts),
        "utils.py": resources.files(__package__).joinpath("lm_eval_utils.py").read_text(encoding="utf-8"),
        "README.md": _README.format(name=name, command=command, **_evaluation(run)),
    }
    write_atomically(folder, lambda partial: _write_all(partial, files))
    return command


def _task(name: str, student: Student, tokens: int) -> str:
    length = len(student.decoder_start) + tokens
    decoder = _DECODER.format(length=length) if student.is_encoder_decoder else ""
    return _TASK.format(name=name, stop=json.dumps(NEXT_QUESTION), tokens=tokens, decoder=decoder)


def model_arguments(student: Student, prompts: Sequence[str]) -> list[str]:
    """What the harness's `hf` model has to be told to give each prompt the tokens that the run gave it.

    By itself it lets the tokenizer add what it likes, unless the first prompt begins with the beginning-of-text token.
    """
    expected = encode_prompts(student, prompts)
    begun = student.tokenizer.bos_token is not None and prompts[0].startswith(str(student.tokenizer.bos_token))
    for adds, arguments in ((not begun, []), (False, ["add_bos_token=False"])):
        if student.tokenizer(list(prompts), add_special_tokens=adds)["input_ids"] == expected:
            return arguments
    raise StudentError(
        "lm-evaluation-harness cannot give this student the tokens that it studied with: its tokenizer puts a token "
        "behind each text, or begins one otherwise than it says. Evaluate it by `tutelage evaluate`."
    )


def _check_free(folder: Path, name: str) -> None:
    with disk_errors(folder):
        held = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
    other = held - {f"{name}.yaml", "questions.jsonl", "utils.py", "README.md", "__pycache__"}
    if other or (folder.exists() and not folder.is_dir()):
        what = f"It holds {min(other)}" if other else "It is a file"
        raise WorkspaceError(f"{folder} cannot become a task folder for lm-evaluation-harness. {what}: name a new one.")


def _evaluation(run: Run) -> dict[str, Any]:
    test = read_json(run.workspace.outcome)["test"]
    return {key: test[key] for key in ("accuracy", "correct", "total")}


def _questions(run: Run, student: Student, prompts: Sequence[str]) -> str:
    """One line each. writes_lines: whether the student does, which decides where an answer of its ends."""
    lines = writes_lines(student.tokenizer)
    rows = (
        {
            "id": question.id,
            "prompt": prompt,
            "answer": question.answer,
            "writes_lines": lines,
            "question": to_json(question),
        }
        for question, prompt in zip(run.questions["test"], prompts, strict=True)
    )
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _write_all(folder: Path, files: dict[str, str]) -> None:
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
