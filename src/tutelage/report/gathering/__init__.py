"""From a run folder to what the page shows: plain values that JSON can hold, one module a section."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Section:
    """What a section of the page is drawn from.

    data: read by the page when it opens. chunks: by a name that is the page's own, what it unpacks only when
    needed, as gzipped JSON in base64 (`packing`).
    """

    data: Any
    chunks: Mapping[str, str] = field(default_factory=dict)
