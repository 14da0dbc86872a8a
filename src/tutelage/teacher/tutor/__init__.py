"""The offline tutor: a rule-based stand-in for a teacher."""
