"""What the specifications come to, once they are drawn."""

from __future__ import annotations

import json
import re

import vl_convert

from tutelage.report.page.charts import SPECS
from tutelage.report.page.comparison_charts import ROWS

COLOURS = {"$accent": "#0000ff", "$second": "#00ff00"}


def drawn(spec: object, rows: list[dict[str, object]]) -> str:
    """A specification of `rows` as SVG."""
    text = json.dumps({**json.loads(json.dumps(spec)), "data": {"values": rows}})
    for name, colour in COLOURS.items():
        text = text.replace(name, colour)
    return str(vl_convert.vegalite_to_svg(json.loads(text)))


def test_a_row_without_an_interval_keeps_its_place_and_gives_no_colour_away() -> None:
    rows: list[dict[str, object]] = [
        {"row": "teacher", "whose": "theirs", "accuracy": 78.0, "low": None, "high": None},
        {"row": "student", "whose": "ours", "accuracy": 40.0, "low": 30.0, "high": 51.0},
    ]
    svg = drawn(ROWS, rows)
    assert svg.index(">teacher<") < svg.index(">student<")
    interval = re.search(r"<line[^>]*stroke=\"(#0000ff|#00ff00)\"", svg)
    assert interval is not None
    assert interval[1] == "#00ff00"  # the second series', as its point


def test_an_axis_writes_numbers_out() -> None:
    labels = [
        drawn(SPECS["small"], [{"of": "round 1", "step": step, "value": step * by} for step in (1, 2)])
        for by in (20, 1e-4)
    ]
    assert ">40<" in labels[0]
    assert ">0.0002<" in labels[1]
    assert not [label for svg in labels for label in re.findall(r">([^<>]*\de[+-]?\d[^<>]*)<", svg)]
