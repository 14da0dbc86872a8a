"""The errors a user can meet: each says what happened, the value seen, and what to do next.

The command line prints one without a traceback and exits with code 2; everything else is a bug.
"""


class TutelageError(Exception):
    """Something the user can put right. Its message is complete as it stands."""


class RecipeError(TutelageError):
    """A recipe, an override or a command-line argument that cannot be used."""


class DataError(TutelageError):
    """A data file or data set that is missing, damaged or empty."""


class StudentError(TutelageError):
    """A student (or a teacher run in this process) that cannot be loaded, used or saved."""


class TeacherError(TutelageError):
    """A teacher that cannot be reached or refuses to answer at all."""


class BudgetError(TeacherError):
    """A cap on what the teacher may cost that is reached, or that cannot be kept."""


class WorkspaceError(TutelageError):
    """A run folder that is in use, damaged, or cannot be written."""
