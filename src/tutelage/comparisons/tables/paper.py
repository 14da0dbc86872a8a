"""The paper's own numbers (arXiv 2310.13332), from a JSON file of the reader's, to be put beside ours."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tutelage.errors import DataError


@dataclass(frozen=True, slots=True)
class Paper:
    """tables: by names such as "table_1", each with its "rows"; accuracies in percent."""

    tables: Mapping[str, Any]

    def row(self, table: str, **fields: Any) -> Mapping[str, Any] | None:
        """The first row of a table whose fields have these values."""
        rows = self.tables.get(table, {}).get("rows", [])
        return next((row for row in rows if all(row.get(name) == value for name, value in fields.items())), None)

    def accuracy(self, table: str, column: str | None, **fields: Any) -> float | None:
        """What stands in a column ("svamp", "1.3B") of such a row."""
        found = (self.row(table, **fields) or {}).get("accuracy", {})
        return found.get(column) if isinstance(found, dict) else None


def read_paper(path: Path) -> Paper:
    """The paper's tables. Raises: DataError if the file is missing or damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"The paper's tables in {path} cannot be read: {error}.") from None
    if not isinstance(found, dict):
        raise DataError(f"{path} holds no tables: it must be a JSON object with table_1, table_3 and so on.")
    return Paper(found)
