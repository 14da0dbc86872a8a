"""What an endpoint's replies teach of what it takes; the same for both roads."""

from __future__ import annotations

from dataclasses import replace

from tutelage.progress import say
from tutelage.teacher.openai.faults import Fault
from tutelage.teacher.openai.wire import Abilities, Response


def learn_from_reply(reply: Response, asked: int, abilities: Abilities) -> None:
    """Remembers in `abilities` whether a call for several samples brought as many choices, good ones or not."""
    if reply.choices < asked:
        abilities.honours_n = False


def learn(fault: Fault, sent: Abilities, asked: int, abilities: Abilities, model: str) -> Fault:
    """The fault of a call for `asked` samples, written for `sent`, once what it teaches stands in `abilities`.

    One that may be cured by writing the call otherwise stops nothing.
    """
    if not curable(fault, sent, asked):
        return fault
    if fault.dislikes == "max_tokens":
        abilities.max_tokens_name = "max_completion_tokens"
    elif fault.dislikes == "n":
        abilities.honours_n = False
    elif abilities.takes_sampling:
        say(f"Note: {model} takes no temperature or top_p; it is asked without ({fault.detail}).")
        abilities.takes_sampling = False
    return replace(fault, kind="bad request", refused=True, stop=None)


def curable(fault: Fault, sent: Abilities, asked: int) -> bool:
    """Whether the endpoint may take the same call when it is written otherwise."""
    if fault.dislikes == "max_tokens":
        return sent.max_tokens_name == "max_tokens"
    return (fault.dislikes == "sampling" and sent.takes_sampling) or (fault.dislikes == "n" and asked > 1)
