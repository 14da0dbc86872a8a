"""The value of a short arithmetic expression in LaTeX, by math-verify: `\\frac{3}{4} + 1`, `\\sqrt{16}`, `10^2`.

math-verify guards itself by SIGALRM, which works in the main thread only. Here its time-out is off, and the
expression is bounded before it is parsed instead: no names, no factorials, one power with a short exponent.
"""

from __future__ import annotations

import logging
import re
from fractions import Fraction

_LENGTH = 80
_WRAPPING = re.compile(r"\\boxed\s*\{(.*)\}|\\[(\[](.*)\\[)\]]|\$+([^$]*)\$+", re.DOTALL)
_COMMANDS = re.compile(r"\\(?:[dtc]?frac|sqrt|times|cdot|div|left|right)(?![a-zA-Z])|\\[,;:! ]")
_PLAIN = re.compile(r"[0-9+\-*/().,{}^×÷−\s]+")
_RANGE = re.compile(r"\s*[0-9.,]+\s*[-−]\s*[0-9.,]+\s*")
_POWER = re.compile(r"\^\s*(?:\{\s*-?[0-9]{1,2}\s*\}|[0-9](?![0-9]))")
_JUXTAPOSED = re.compile(r"[0-9)}]\s*\(|\)\s*[0-9]|[0-9]\s+[0-9]")  # "2(3)" and "1 000", which math-verify misreads
_DEPTH = 4  # its parser takes time exponential in the depth of brackets
_DECIMAL = re.compile(r"([0-9]*)\.([0-9]+)")


def evaluate(text: str) -> Fraction | None:
    """The exact value of an arithmetic expression; None if it is something else, or is not rational.

    "5-8" is None, since it is a range as often as a difference. Safe in any thread, and on any text.
    """
    source = text.strip().rstrip(".")
    if len(source) > _LENGTH:
        return None
    if match := _WRAPPING.fullmatch(source):
        source = next(part for part in match.groups() if part is not None).strip()
    bare = _COMMANDS.sub("", source)
    if not _PLAIN.fullmatch(bare) or not re.search(r"[0-9]", bare) or _RANGE.fullmatch(source):
        return None
    if source.count("^") > len(_POWER.findall(source)) or source.count("^") > 1:
        return None
    if _JUXTAPOSED.search(source) or not _is_shallow(source):
        return None
    return _parse(source)


def _is_shallow(source: str) -> bool:
    """Whether the brackets close, and do not nest too deep."""
    depth = 0
    for mark in source:
        depth += (mark in "({") - (mark in ")}")
        if not 0 <= depth <= _DEPTH:
            return False
    return depth == 0


def _parse(source: str) -> Fraction | None:
    # Imported here: it takes a third of a second, and most answers never need it.
    from math_verify import LatexExtractionConfig, parse

    logging.getLogger("math_verify.parser").setLevel(logging.ERROR)  # it warns of the missing time-out each time
    source = re.sub(r"(?<=[0-9]),(?=[0-9]{3})", "", source).replace("−", "-").replace("×", r"\times ")
    source = re.sub(r"(?<=[0-9)}])\s*\*\s*(?=[0-9({\\])", r" \\times ", source).replace("÷", r"\div ")
    source = _DECIMAL.sub(lambda match: rf"\frac{{{match[1]}{match[2]}}}{{1{'0' * len(match[2])}}}", source)
    found = parse(f"${source}$", [LatexExtractionConfig()], fallback_mode="no_fallback", parsing_timeout=None)
    value = found[0] if found else None
    if value is None or not hasattr(value, "doit"):
        return None
    value = value.doit()
    if getattr(value, "is_Rational", False) is not True:
        return None
    return Fraction(int(value.p), int(value.q))
