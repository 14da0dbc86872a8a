"""Randomness is an argument: a seed for each use, derived from the recipe's by name."""

from __future__ import annotations

import hashlib


def derive_seed(seed: int, *names: str | int) -> int:
    """A seed for the use that `names` describe, such as (42, "exam", 2, "svamp/17"); from 0 to 2**63 - 1.

    It depends on nothing else: not on the order of calls, the batch, or the process.
    """
    text = "\x1f".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
