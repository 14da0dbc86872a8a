"""A question and its rationale with other numbers."""

from tutelage.rounds.renumbering.template import Renumbered, Template, read_template

__all__ = ["Renumbered", "Template", "read_template"]
