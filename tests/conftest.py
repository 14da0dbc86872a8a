"""Fixtures that several parts of the suite share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test may depend on a hub


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of the public data sets in their original formats; skips where it is absent.

    It is `TUTELAGE_DATA`, or `../shared/data` beside the checkout.
    """
    folder = Path(os.environ.get("TUTELAGE_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not (folder / "svamp" / "SVAMP.json").is_file():
        pytest.skip(f"the public data sets are not at {folder}; set TUTELAGE_DATA to their folder")
    return folder
