"""What a result says of its origin, and what it never says."""

from __future__ import annotations

import json
import subprocess
import tomllib
from dataclasses import asdict
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import pytest

import tutelage
from tests.rounds.small import tutor_run
from tutelage.config import TaskSettings, TutorTeacherSettings
from tutelage.evaluation.provenance import Revision, data_files, environment, git_revision, source_revision
from tutelage.recipes import read_recipe
from tutelage.rounds.provenance import run_provenance
from tutelage.workspace import read_json


def git(folder: Path, *arguments: str) -> str:
    named = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", "-C", str(folder), *named, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_run_says_what_it_was_made_of(
    recipe: Path, questions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-never-to-be-seen")
    demonstrations = tmp_path / "demonstrations.json"
    demonstrations.write_text(json.dumps([{"question": "1 + 1?", "rationale": "1 + 1 = 2.", "answer": "2"}]))
    run = tutor_run(recipe, tmp_path, f"prompt.demonstrations={demonstrations}", "seed=7")
    told = run_provenance(run)
    folder = run.workspace.folder
    files = [folder / "questions.jsonl", folder / "demonstrations.json", questions, demonstrations]
    names = ["questions.jsonl", "demonstrations.json", str(questions), str(demonstrations)]
    assert told.sha256 == {name: sha256(file.read_bytes()).hexdigest() for name, file in zip(names, files, strict=True)}
    assert told.seed == tomllib.loads(told.recipe)["seed"] == 7
    assert told.environment == read_json(folder / "environment.json")
    assert told.environment["packages"]["torch"] == version("torch")
    assert told.environment["cores"] > 0
    assert told.environment["cpu"]
    assert "sk-never" not in json.dumps(asdict(told))
    questions.unlink()
    assert run_provenance(run).sha256[str(questions)] is None


def test_the_revision_is_the_working_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert environment().git is None  # no repository
    git(tmp_path, "init", "--quiet")
    assert environment().git is None  # no commit
    (tmp_path / "file").write_text("one")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    commit = git(tmp_path, "rev-parse", "HEAD")
    (tmp_path / "untracked").write_text("")
    assert environment().git == Revision(commit, changed=False)
    assert source_revision(tmp_path / "file") == Revision(commit, changed=False)
    assert source_revision(tmp_path / "untracked") is None  # such as a package in a repository's .venv
    assert environment().source == source_revision(Path(tutelage.__file__))  # whatever folder it is run in
    (tmp_path / "file").write_text("two")
    assert environment().git == Revision(commit, changed=True)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_revision(tmp_path) is None  # no git


def test_the_files_of_a_data_set_are_its_own(tmp_path: Path, recipe: Path) -> None:
    for name in ("svamp/SVAMP.json", "multiarith/MultiArith.json", "splits/svamp.json", "splits/multiarith.json"):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_text("[]")
    whole = read_recipe(recipe).model_copy(update={"task": TaskSettings(name="svamp", data=tmp_path / "data")})
    assert data_files(whole) == [tmp_path / "data/svamp/SVAMP.json", tmp_path / "data/splits/svamp.json"]
    one = whole.model_copy(update={"task": TaskSettings(name="svamp", data=tmp_path / "data" / "svamp")})
    assert data_files(one) == [tmp_path / "data/svamp/SVAMP.json"]
    gone = whole.model_copy(update={"task": TaskSettings(name="svamp", data=tmp_path / "gone")})
    assert data_files(gone) == []


def test_recorded_replies_are_hashed_too(recipe: Path, tmp_path: Path) -> None:
    run = tutor_run(recipe, tmp_path)
    assert isinstance(run.recipe.teacher, TutorTeacherSettings)
    replies = tmp_path / "replies"
    replies.mkdir()
    (replies / "a.jsonl").write_text('{"question": "What?", "rationale": "That."}\n')
    pattern = replies / "*.jsonl"
    run.recipe = read_recipe(recipe, ["teacher.kind=recorded", f'teacher.files=["{pattern}"]'])
    assert run_provenance(run).sha256[str(replies / "a.jsonl")] is not None
    (replies / "a.jsonl").unlink()
    assert run_provenance(run).sha256[str(pattern)] is None


def test_a_processor_has_a_name_without_proc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    named = environment().cpu

    def absent(_path: Path, **_named: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", absent)
    assert environment().cpu != ""
    assert named != ""
