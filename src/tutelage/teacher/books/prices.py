"""What a teacher's tokens cost. An unknown price is None, never zero.

Inside, money is an int of 10⁻¹² of the prices' unit: a price has at most six digits behind the point for a million
tokens, so that the cost of every token is a whole number of them and no sum is ever rounded.

The package's table, prices.json, says when its prices held and where they stand. The service changes them when
it likes: a price in the recipe goes before the table, and whoever sets a cap on money had better write it there.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from functools import cache
from importlib.resources import files
from urllib.parse import urlsplit

from tutelage.config import OpenAITeacherSettings, PriceSettings
from tutelage.teacher.protocol import Usage

PICO = 10**12
"""So many make one unit of the prices' money."""

OPENAI_URL = "https://api.openai.com/v1"
"""The one address whose prices the package knows."""

_STEP = Decimal("0.000001")
_SNAPSHOT = re.compile(r"-\d{4}-\d{2}-\d{2}$")


@dataclass(frozen=True, slots=True)
class Prices:
    """Decimals per million tokens, each a whole number of millionths.

    cached_input: of tokens that the endpoint says it had cached. batch_input, batch_output: by the batch API.
    source: "the recipe", or the package's table with its date.
    """

    input: Decimal
    output: Decimal
    cached_input: Decimal
    batch_input: Decimal
    batch_output: Decimal
    source: str


def prices_for(settings: OpenAITeacherSettings, url: str) -> Prices | None:
    """The prices of a teacher at the address `url`, or None where they are unknown.

    Those of the recipe, else the table's: for the OpenAI service itself and a model that stands there, with the date
    of a snapshot behind it or without. Another address with a model of the same name may ask any price.
    """
    if settings.price is not None:
        return _prices(settings.price, "the recipe")
    if not _is_openai(url):
        return None
    date, _, table = _table()
    found = table.get(settings.model) or table.get(_SNAPSHOT.sub("", settings.model))
    return None if found is None else _prices(found, f"the table of {date}")


def cost(prices: Prices, usage: Usage, batch: bool) -> int | None:
    """What a reply cost, in 10⁻¹²; None if the teacher does not say how many tokens it was.

    A batch has one price for all of a prompt's tokens.
    """
    if usage.prompt_tokens is None or usage.completion_tokens is None:
        return None
    if batch:
        prompt = usage.prompt_tokens * _a_token(prices.batch_input)
        return prompt + usage.completion_tokens * _a_token(prices.batch_output)
    cached = min(usage.cached_tokens or 0, usage.prompt_tokens)
    prompt = (usage.prompt_tokens - cached) * _a_token(prices.input) + cached * _a_token(prices.cached_input)
    return prompt + usage.completion_tokens * _a_token(prices.output)


def worst_cost(prices: Prices, prompt_tokens: int, completion_tokens: int, batch: bool) -> int:
    """The most that so many tokens can cost, in 10⁻¹²."""
    dearest = prices.batch_input if batch else max(prices.input, prices.cached_input)
    completion = prices.batch_output if batch else prices.output
    return prompt_tokens * _a_token(dearest) + completion_tokens * _a_token(completion)


def to_pico(money: Decimal) -> int:
    """An amount of money in 10⁻¹², rounded down; exact, however long it is."""
    return int(Fraction(money) * PICO)


def to_money(pico: int) -> Decimal:
    """An amount in 10⁻¹² as money, exactly."""
    return Decimal(pico).scaleb(-12)


def exact_money(pico: int) -> str:
    """An amount in 10⁻¹² for a reader who has to tell it from a cap: every digit, and no more."""
    whole, digits = divmod(abs(pico), PICO)
    return f"{'-' if pico < 0 else ''}{whole:,}.{f'{digits:012}'.rstrip('0'):0<2}"


def money_text(pico: int) -> str:
    """An amount in 10⁻¹² for a reader: two digits behind the point; below 1 as many as two telling ones need."""
    amount = to_money(pico)
    digits = 2 if not amount else max(2, 1 - amount.adjusted())
    return f"{amount.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_EVEN):,f}"


def known_models() -> tuple[str, ...]:
    """The models that stand in the package's table."""
    return tuple(_table()[2])


def _prices(settings: PriceSettings, source: str) -> Prices:
    return Prices(
        input=settings.input,
        output=settings.output,
        cached_input=settings.input if settings.cached_input is None else settings.cached_input,
        batch_input=_half(settings.input) if settings.batch_input is None else settings.batch_input,
        batch_output=_half(settings.output) if settings.batch_output is None else settings.batch_output,
        source=source,
    )


def _half(price: Decimal) -> Decimal:
    return (price / 2).quantize(_STEP, ROUND_CEILING)  # up: what is too much by a millionth breaks no cap


def _a_token(price: Decimal) -> int:
    return int(price.scaleb(6))  # a million tokens, and 10⁻¹²


def _is_openai(url: str) -> bool:
    parts = urlsplit(url.strip())
    known = urlsplit(OPENAI_URL)
    return (
        parts.scheme.lower() == known.scheme
        and parts.hostname == known.hostname
        and parts.netloc.rpartition("@")[2].lower() in (known.netloc, f"{known.netloc}:443")
        and parts.path.rstrip("/") == known.path
    )


@cache
def _table() -> tuple[str, str, dict[str, PriceSettings]]:
    """When the package's prices held, where they stand, and the prices of each model."""
    content = json.loads(files("tutelage.teacher.books").joinpath("prices.json").read_text(encoding="utf-8"))
    return (
        content["date"],
        content["source"],
        {name: PriceSettings.model_validate(prices) for name, prices in content["models"].items()},
    )
