"""LLM-Adapter: chain-of-thought fine-tuning of low-rank adapters instead of all weights.

Source: Hu et al. 2023, "LLM-Adapters". The recipe's section [lora] says which adapters.
"""

from __future__ import annotations

from dataclasses import replace

from tutelage.baselines import cot
from tutelage.config import Recipe
from tutelage.errors import RecipeError
from tutelage.rounds.run import Run


def _check(recipe: Recipe) -> None:
    if recipe.lora is None:
        raise RecipeError('The method "adapter" trains low-rank adapters: say which by an override, such as lora.r=16.')


def _play(run: Run) -> None:
    _check(run.recipe)
    cot.METHOD.play(run)


METHOD = replace(cot.METHOD, name="adapter", source="Hu et al. 2023, arXiv 2304.01933", play=_play, check=_check)
