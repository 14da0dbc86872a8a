"""One round: exam → mistakes → feedback → lesson → study → evaluation (Algorithm 1).

Every verb of the command line is a function here, with the same name.
"""

from tutelage.rounds.ask import ask
from tutelage.rounds.evaluate import evaluate
from tutelage.rounds.exam import exam, mistakes
from tutelage.rounds.feedback import feedback
from tutelage.rounds.learn import learn, resume
from tutelage.rounds.lesson import lesson
from tutelage.rounds.run import Run, open_run, start_run
from tutelage.rounds.study import study

__all__ = [
    "Run",
    "ask",
    "evaluate",
    "exam",
    "feedback",
    "learn",
    "lesson",
    "mistakes",
    "open_run",
    "resume",
    "start_run",
    "study",
]
