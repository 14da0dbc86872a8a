"""Where a student comes from: its base model, and what that says of its licence. The network is not asked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tutelage.config import StudentSettings
from tutelage.errors import StudentError
from tutelage.student.model.sources import PACKAGE, Source, find_source

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


@dataclass(frozen=True, slots=True)
class Base:
    """The model that the student was before it learned.

    name: as people call it, never a path of this machine. hub_id: where the hub has it, None for a file or a folder.
    licence: what its own card or file says, None where it says nothing.
    """

    name: str
    hub_id: str | None
    licence: str | None


def base_of(settings: StudentSettings) -> Base:
    """The base that a recipe names, even where its files are gone by now."""
    try:
        source = find_source(settings.model, settings.revision)
    except StudentError:  # a file or a package that was there when the run began
        return Base(Path(settings.model.removeprefix(PACKAGE)).name, None, None)
    if source.is_gguf:
        said = _gguf_says(source)
        return Base(said.get("general.name") or Path(source.model.removeprefix(PACKAGE)).name, None, _licence(said))
    folder = Path(source.name)
    if folder.is_dir():
        return Base(folder.name, None, _card_says(folder / "README.md"))
    hub_id = source.name if _HUB_ID.fullmatch(source.name) else None
    return Base(source.name, hub_id, _cached_card_says(source))


def _gguf_says(source: Source) -> dict[str, str]:
    from gguf import GGUFReader

    names = ("general.name", "general.license", "general.license.name", "general.license.link")
    try:
        fields = GGUFReader(Path(source.name) / source.arguments["gguf_file"]).fields
    except (OSError, ValueError):  # it may have changed since the run read it
        return {}
    return {name: str(fields[name].contents()) for name in names if name in fields}


def _licence(said: dict[str, str]) -> str | None:
    told = [said[name] for name in ("general.license", "general.license.name", "general.license.link") if name in said]
    return ", ".join(told) or None


def _cached_card_says(source: Source) -> str | None:
    """The card of a model of the hub, where something has downloaded it."""
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(source.name, "README.md", revision=source.arguments.get("revision"))
    return _card_says(Path(path)) if isinstance(path, str) else None


def _card_says(path: Path) -> str | None:
    """The licence in a model card's head; None where there is none, or nothing that can be read."""
    from huggingface_hub import ModelCard
    from yaml import YAMLError

    try:
        data: Any = ModelCard.load(path).data
    except (OSError, ValueError, YAMLError):
        return None
    told = [str(value) for value in (data.get("license"), data.get("license_name"), data.get("license_link")) if value]
    return ", ".join(told) or None
