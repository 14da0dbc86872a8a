"""Where a result comes from: what a reader needs to get it again, or to see why they do not.

Nothing here reads a key or the value of an environment variable.
"""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import tutelage
from tutelage.config import Recipe
from tutelage.distributed import world_size
from tutelage.recipes import recipe_to_toml
from tutelage.workspace import Workspace, read_json

_PACKAGES = (
    *("torch", "transformers", "tokenizers", "safetensors", "accelerate", "numpy", "scipy", "gguf", "datasets"),
    *("aiohttp", "math-verify", "reasoning-gym", "peft", "bitsandbytes", "vllm", "scikit-learn"),
)
_GIT_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Revision:
    """What git says of a folder. changed: whether a tracked file differs from the commit."""

    commit: str
    changed: bool


@dataclass(frozen=True, slots=True)
class Environment:
    """Software and hardware. packages: versions, None where one is not installed. gpus: names, one each.

    cores: that this process may use; threads: that it takes for arithmetic. world_size: processes that share the run.
    git: of the working folder, None where that is no repository. source: of this package's own code, None where it is
    not run from a repository, but from an installed copy, which `tutelage` tells the version of.
    """

    tutelage: str
    python: str
    platform: str
    packages: dict[str, str | None]
    cpu: str
    cores: int
    threads: int
    world_size: int
    gpus: tuple[str, ...]
    cuda: str | None
    git: Revision | None
    source: Revision | None


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a run's numbers come from.

    recipe: as TOML. sha256: of files by their path; None of one that is not there any more. environment: what the run
    began in, an `Environment` as environment.json holds it.
    """

    recipe: str
    seed: int
    sha256: dict[str, str | None]
    environment: dict[str, Any]


def provenance(workspace: Workspace, recipe: Recipe, replies: Iterable[Path] = ()) -> Provenance:
    """Of a run that has begun. replies: files with recorded ones. Raises: WorkspaceError if its folder is damaged."""
    environment = read_json(workspace.environment)
    files = [workspace.questions, workspace.demonstrations]
    named = {path.name: _sha256(path) for path in files}
    data = {str(path): _sha256(path) for path in (*data_files(recipe), *replies)}
    return Provenance(recipe_to_toml(recipe), recipe.seed, named | data, environment)


def environment() -> Environment:
    """What this process runs on."""
    gpus = range(torch.cuda.device_count()) if torch.cuda.is_available() else range(0)
    return Environment(
        tutelage.__version__,
        sys.version.split()[0],
        platform.platform(),
        {package: _version(package) for package in _PACKAGES},
        _cpu(),
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        torch.get_num_threads(),
        world_size(),
        tuple(torch.cuda.get_device_name(number) for number in gpus),
        torch.version.cuda,
        git_revision(Path.cwd()),
        source_revision(Path(tutelage.__file__)),
    )


def data_files(recipe: Recipe) -> list[Path]:
    """The files that a recipe takes questions and demonstrations from, but for the package's own.

    Of a folder that holds several data sets those in the task's own folder, and its split if there is a file of it.
    """
    files: list[Path | None] = [recipe.task.file, recipe.prompt.demonstrations, recipe.prompt.feedback_demonstrations]
    if recipe.task.data is not None:
        own = recipe.task.data / recipe.task.name
        files += _files_in(own if own.is_dir() else recipe.task.data)
        files += [path for path in [recipe.task.data / "splits" / f"{recipe.task.name}.json"] if path.is_file()]
    return list(dict.fromkeys(path for path in files if path is not None))


def _files_in(folder: Path) -> Iterable[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []


def _sha256(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def git_revision(folder: Path) -> Revision | None:
    """The commit that a folder is at; None if it is no repository, has no commit, or there is no git."""
    commit = _git(folder, "rev-parse", "HEAD")
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return None if commit is None or changes is None else Revision(commit, bool(changes))


def source_revision(file: Path) -> Revision | None:
    """The commit of the repository that holds a file as its own; a copy that merely lies in one says nothing."""
    tracked = _git(file.parent, "ls-files", "--error-unmatch", "--", file.name) is not None
    return git_revision(file.parent) if tracked else None


def _git(folder: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(folder), "--no-optional-locks", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_GIT_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu() -> str:
    """The processor's name; what the platform calls the machine where the system does not tell it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
