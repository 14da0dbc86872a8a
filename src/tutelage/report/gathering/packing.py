"""Stories packed for the page: gzip in base64, some hundred a chunk, within a limit on their size in all."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

CHUNK = 200
"""Stories that are unpacked together."""


@dataclass(frozen=True, slots=True)
class Packed:
    """chunks: as they stand in the page. places: of each story, the chunk that has it; None if it was left out."""

    chunks: Sequence[str]
    places: Sequence[int | None]


def packable(story: dict[str, Any]) -> str:
    """A story as `pack` takes it; a fifth of the memory that its parts take."""
    return json.dumps(story, ensure_ascii=False, separators=(",", ":"))


def pack(lines: Sequence[str], ranks: Sequence[int], limit: int) -> Packed:
    """Leaves out as many stories as the limit takes, those of the highest rank first, the last ones first.

    lines: the stories, by `packable`. limit: characters of all chunks.
    """
    order = sorted(range(len(lines)), key=lambda place: ranks[place])  # stable: of one rank the first ones stay
    while True:
        kept = sorted(order)
        chunks = [
            _chunk([lines[place] for place in kept[start : start + CHUNK]]) for start in range(0, len(kept), CHUNK)
        ]
        size = sum(map(len, chunks))
        if size <= limit or not kept:
            break
        # Stories are not equally long: go by their lengths, and a little further, so that a few turns are enough.
        room = 0.98 * limit / size * sum(len(lines[place]) for place in kept)
        order = _within(order, [len(line) for line in lines], room)
    chunk_of = {place: number // CHUNK for number, place in enumerate(kept)}
    return Packed(chunks, [chunk_of.get(place) for place in range(len(lines))])


def _within(order: Sequence[int], lengths: Sequence[int], room: float) -> list[int]:
    """The first ones, as many as there is room for; always fewer than there were."""
    kept, used = [], 0
    for place in order[:-1]:
        used += lengths[place]
        if used > room:
            break
        kept.append(place)
    return kept


def _chunk(lines: Sequence[str]) -> str:
    # Half of a character, which JSON may hold and UTF-8 may not, becomes a question mark. mtime: the same each time.
    data = f"[{','.join(lines)}]".encode("utf-8", "replace")
    return base64.b64encode(gzip.compress(data, mtime=0)).decode()
