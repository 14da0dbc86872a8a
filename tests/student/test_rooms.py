"""The rooms of the student's folder: each imports from those before it alone."""

from __future__ import annotations

import re
from pathlib import Path

import tutelage.student

FOLDER = Path(tutelage.student.__file__).parent
ROOMS = re.findall(r"^    (\w+)/ ", tutelage.student.__doc__ or "", re.MULTILINE)
IMPORT = re.compile(r"^\s*(?:from|import) tutelage\.student\.(\w+)", re.MULTILINE)


def test_imports_go_one_way() -> None:
    assert sorted(ROOMS) == sorted(place.parent.name for place in FOLDER.glob("*/__init__.py"))
    for room in ROOMS:
        for file in (FOLDER / room).glob("*.py"):
            found = IMPORT.findall(file.read_text())
            later = [other for other in found if ROOMS.index(other) > ROOMS.index(room)]
            assert not later, f"{file.relative_to(FOLDER)} imports from {later}"
