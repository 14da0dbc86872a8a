"""What tokens cost: exactly, and never zero because a price is unknown."""

from __future__ import annotations

import json
import tomllib
from decimal import Decimal
from fractions import Fraction
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.config import OpenAITeacherSettings, PriceSettings, Recipe
from tutelage.errors import RecipeError
from tutelage.recipes import recipe_from_table, recipe_to_toml
from tutelage.teacher.books.prices import (
    OPENAI_URL,
    PICO,
    Prices,
    cost,
    exact_money,
    known_models,
    money_text,
    prices_for,
    to_money,
    to_pico,
    worst_cost,
)
from tutelage.teacher.protocol import Usage

prices_of_a_million = st.decimals(min_value=0, max_value=100_000, places=6)
counts = st.integers(min_value=0, max_value=10**9)


def settings(model: str = "gpt-4o", **price: str) -> OpenAITeacherSettings:
    given_price = PriceSettings.model_validate(price) if price else None
    return OpenAITeacherSettings(kind="openai", model=model, price=given_price)


def priced(**price: str) -> Prices:
    prices = prices_for(settings("any", **price), "http://localhost:8000/v1")
    assert prices is not None
    return prices


def test_the_recipes_price_goes_before_the_table() -> None:
    prices = prices_for(settings(input="7", output="9"), OPENAI_URL)
    assert prices is not None
    assert (prices.input, prices.output, prices.source) == (Decimal(7), Decimal(9), "the recipe")


def test_the_table_has_a_date_and_knows_models_and_their_snapshots() -> None:
    prices = prices_for(settings("gpt-4o-mini"), OPENAI_URL)
    assert prices is not None
    assert (prices.input, prices.cached_input, prices.output) == (Decimal("0.15"), Decimal("0.075"), Decimal("0.6"))
    assert (prices.batch_input, prices.batch_output) == (Decimal("0.075"), Decimal("0.3"))
    assert prices.source.startswith("the table of 20")
    assert prices_for(settings("gpt-4o-mini-2024-07-18"), OPENAI_URL) == prices


def test_a_snapshot_with_a_price_of_its_own_keeps_it() -> None:
    early, later = (prices_for(settings(f"gpt-4o-{day}"), OPENAI_URL) for day in ("2024-05-13", "2024-08-06"))
    assert early is not None
    assert later is not None
    assert (early.input, later.input) == (Decimal("5"), Decimal("2.5"))
    assert early.cached_input == early.input


@pytest.mark.parametrize("model", ["gpt-4o-audio", "gpt-4", "GPT-4o", "gpt-4o-mini-2024", "ft:gpt-4o-mini:me", ""])
def test_a_model_that_only_looks_like_one_is_unknown(model: str) -> None:
    assert prices_for(settings(model), OPENAI_URL) is None


@pytest.mark.parametrize(
    "url",
    ["https://api.openai.com/v1/", "https://API.OpenAI.com/v1", "https://api.openai.com:443/v1"],
)
def test_the_service_is_known_however_its_address_is_written(url: str) -> None:
    assert prices_for(settings(), url) is not None


@pytest.mark.parametrize(
    "url",
    [
        "http://api.openai.com/v1",
        "https://api.openai.com.example.org/v1",
        "https://eu.api.openai.com/v1",
        "https://api.openai.com:8443/v1",
        "https://api.openai.com/proxy/v1",
        "https://openrouter.ai/api/v1",
        "http://localhost:8000/v1",
        "",
        "no address",
    ],
)
def test_a_model_of_that_name_elsewhere_may_cost_anything(url: str) -> None:
    assert prices_for(settings(), url) is None


def test_every_entry_of_the_table_can_be_used() -> None:
    entries = json.loads(files("tutelage.teacher.books").joinpath("prices.json").read_text())["models"]
    assert known_models() == tuple(entries)
    for model, entry in entries.items():
        assert all(isinstance(price, str) for price in entry.values()), f"{model}: a float is no decimal"
        prices = prices_for(settings(model), OPENAI_URL)
        assert prices is not None
        assert 0 < prices.cached_input <= prices.input < prices.output
        assert 0 < prices.batch_input < prices.input
        assert 0 < prices.batch_output < prices.output


def test_money_of_a_small_reply_is_not_rounded_to_nothing() -> None:
    prices = priced(input="0.000001", output="0.15")
    assert cost(prices, Usage(1, 0), batch=False) == 1
    assert cost(prices, Usage(1000, 100), batch=False) == 1000 + 100 * 150_000
    assert to_money(1) == Decimal("1E-12")


def test_cached_tokens_have_their_price_and_a_batch_has_one_for_all() -> None:
    prices = priced(input="2", cached_input="0.5", output="8", batch_input="1", batch_output="4")
    assert cost(prices, Usage(100, 10, 60), batch=False) == (40 * 2 + 60 // 2 + 10 * 8) * 10**6
    assert cost(prices, Usage(100, 10, 60), batch=True) == (100 * 1 + 10 * 4) * 10**6


def test_without_a_count_the_cost_is_unknown() -> None:
    prices = priced(input="2", output="8")
    assert cost(prices, Usage(), batch=False) is None
    assert cost(prices, Usage(prompt_tokens=5), batch=False) is None
    assert cost(prices, Usage(completion_tokens=5), batch=True) is None


def test_free_is_a_price_too() -> None:
    assert cost(priced(input="0", output="0"), Usage(5, 5), batch=False) == 0


@given(prices_of_a_million, prices_of_a_million, prices_of_a_million, counts, counts, counts, st.booleans())
def test_cost_is_exact_and_within_the_worst(
    price_in: Decimal, price_out: Decimal, price_cached: Decimal, prompt: int, completion: int, cached: int, batch: bool
) -> None:
    prices = priced(input=str(price_in), output=str(price_out), cached_input=str(price_cached))
    found = cost(prices, Usage(prompt, completion, cached), batch)
    assert found is not None
    if not batch:
        cached = min(cached, prompt)
        exact = (prompt - cached) * Fraction(price_in) + cached * Fraction(price_cached)
        assert Fraction(found, PICO) == (exact + completion * Fraction(price_out)) / 10**6
    assert 0 <= found <= worst_cost(prices, prompt, completion, batch)


@given(prices_of_a_million, prices_of_a_million)
def test_a_batch_costs_half_and_never_a_millionth_too_little(price_in: Decimal, price_out: Decimal) -> None:
    prices = priced(input=str(price_in), output=str(price_out))
    for half, whole in ((prices.batch_input, price_in), (prices.batch_output, price_out)):
        assert Fraction(0) <= Fraction(half) - Fraction(whole) / 2 < Fraction(1, 10**6)
        assert half.as_tuple().exponent == -6


@given(st.integers(min_value=0, max_value=10**40))
def test_money_goes_back_and_forth_exactly(pico: int) -> None:
    assert to_pico(Decimal(f"{pico}E-12")) == pico
    assert Decimal(exact_money(pico).replace(",", "")) == Decimal(f"{pico}E-12")


@pytest.mark.parametrize(
    ("money", "short", "exact"),
    [
        ("0", "0.00", "0.00"),
        ("0.000000000001", "0.0000000000010", "0.000000000001"),
        ("0.00123456", "0.0012", "0.00123456"),
        ("0.5", "0.50", "0.50"),
        ("4.9987", "5.00", "4.9987"),
        ("1234567.891", "1,234,567.89", "1,234,567.891"),
    ],
)
def test_money_for_readers(money: str, short: str, exact: str) -> None:
    assert (money_text(to_pico(Decimal(money))), exact_money(to_pico(Decimal(money)))) == (short, exact)


def recipe(price: dict[str, object]) -> Recipe:
    teacher = {"kind": "openai", "model": "m", "price": price}
    return recipe_from_table({"task": {"name": "svamp"}, "student": {"model": "m"}, "teacher": teacher}, "here")


@pytest.mark.parametrize("written", [0.15, "0.15"])
def test_a_price_stands_in_a_recipe_as_a_number_or_as_text_and_goes_round(written: object) -> None:
    read = recipe({"input": written, "output": 1})
    assert isinstance(read.teacher, OpenAITeacherSettings)
    assert read.teacher.price is not None
    assert read.teacher.price.input == Decimal("0.15")
    assert recipe_from_table(tomllib.loads(recipe_to_toml(read)), "there") == read


@pytest.mark.parametrize("wrong", [-1, "0.0000001", "much", "NaN", "Infinity"])
def test_a_price_that_is_none_is_refused(wrong: object) -> None:
    with pytest.raises(RecipeError, match=r"teacher\.price\.input"):
        recipe({"input": wrong, "output": 1})
