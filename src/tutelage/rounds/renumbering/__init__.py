"""A question and its rationale with other numbers."""

from tutelage.rounds.renumbering.template import Renumbered, Template, read_template
from tutelage.rounds.renumbering.words import brought_by_words

__all__ = ["Renumbered", "Template", "brought_by_words", "read_template"]
