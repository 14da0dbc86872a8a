"""WHAT IT IS MEASURED AGAINST: other ways to a student that reasons, each a method of a comparison's row."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from tutelage.baselines import (
    adapter,
    answers,
    cot,
    distillation,
    specializing,
    star,
    teacher,
    untrained,
)
from tutelage.baselines.method import Method, Stage

__all__ = ["METHODS", "Method", "Stage"]

METHODS: Mapping[str, Method] = MappingProxyType(
    {
        module.METHOD.name: module.METHOD
        for module in (teacher, untrained, answers, star, cot, specializing, adapter, distillation)
    }
)
"""Every method by its name."""
