"""Tutelage teaches a small language model to reason, tailored by a large one."""

__version__ = "0.1.0.dev0"
