"""What keeps a right rationale out of a lesson."""

from __future__ import annotations

from pathlib import Path

from tutelage.recipes import read_recipe
from tutelage.records import Correction, Question, Verdict
from tutelage.rounds.flaws import count_flaws, flaw

PENS = Question("pens", "Ann has 2 pens and gets 3 more. How many has she?", "5", "number")
BOTH = "2 + 2 = 5. So it is 6 - 1 = 5."
TEXTS = ("2 + 3 = 5.", "2 + 2 = 5.", "So it is 5.", BOTH, "The hint says 2 + 3 = 5.", "")


def corrected(text: str, verdict: Verdict = "kept") -> Correction:
    return Correction("pens", 1, "teacher", None, text, text, "5", verdict)


def test_a_recipe_says_which_flaws_pass(recipe: Path) -> None:
    def flaws(*overrides: str) -> list[Verdict | None]:
        settings = read_recipe(recipe, list(overrides)).teacher
        return [flaw(text, PENS, settings) for text in TEXTS]

    assert flaws() == [None, None, None, None, "tells of the prompt", "no reasoning"]
    assert flaws("teacher.drop_leaks=false") == [None] * 5 + ["no reasoning"]
    founded = [None, None, "unfounded", "unfounded", "tells of the prompt", "no reasoning"]
    assert flaws("teacher.drop_unfounded=true") == founded
    strict = [None, "wrong step", "unfounded", "wrong step", "tells of the prompt", "no reasoning"]
    assert flaws("teacher.drop_unfounded=true", "teacher.drop_wrong_steps=true") == strict


def test_flaws_of_what_was_kept_are_counted() -> None:
    replies = [corrected(text) for text in TEXTS[:4]] + [corrected("So it is 5!", "repeated")]
    assert count_flaws(replies, {"pens": PENS}) == {"wrong_step": 2, "unfounded": 2, "either": 3}
