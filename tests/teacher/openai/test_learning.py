"""What an endpoint's refusals teach, whichever road they came by."""

from __future__ import annotations

import pytest

from tutelage.teacher.openai.faults import Dislike, Fault
from tutelage.teacher.openai.learning import curable, learn, learn_from_reply
from tutelage.teacher.openai.wire import Abilities, Response
from tutelage.teacher.protocol import Usage


@pytest.mark.parametrize(
    ("dislikes", "asked", "then"),
    [
        ("n", 2, Abilities(honours_n=False)),
        ("max_tokens", 1, Abilities(max_tokens_name="max_completion_tokens")),
        ("sampling", 1, Abilities(takes_sampling=False)),
    ],
)
def test_what_is_disliked_is_remembered_and_said_once(
    dislikes: Dislike, asked: int, then: Abilities, capsys: pytest.CaptureFixture[str]
) -> None:
    abilities = Abilities()
    fault = Fault("stopped", "unsupported", dislikes, stop="choose another model")
    for _ in range(2):  # the second was on its way when the first came back
        learned = learn(fault, Abilities(), asked, abilities, "m")
        assert (learned.kind, learned.refused, learned.stop) == ("bad request", True, None)
    assert abilities == then
    assert capsys.readouterr().err.count("Note") == (dislikes == "sampling")


@pytest.mark.parametrize(
    ("dislikes", "sent"),
    [
        ("n", Abilities()),
        ("max_tokens", Abilities(max_tokens_name="max_completion_tokens")),
        ("sampling", Abilities(takes_sampling=False)),
        (None, Abilities()),
    ],
)
def test_what_was_not_in_the_call_cannot_be_left_out_of_it(dislikes: Dislike | None, sent: Abilities) -> None:
    fault, abilities = Fault("stopped", "unsupported", dislikes, stop="choose another model"), Abilities()
    assert not curable(fault, sent, 1)
    assert learn(fault, sent, 1, abilities, "m") is fault
    assert abilities == Abilities()


@pytest.mark.parametrize(("choices", "honours_n"), [(1, False), (2, True), (3, True)])
def test_choices_are_counted_whatever_is_in_them(choices: int, honours_n: bool) -> None:
    abilities = Abilities()
    learn_from_reply(Response((), Usage(), choices), 2, abilities)
    assert abilities.honours_n == honours_n
