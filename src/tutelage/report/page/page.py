"""The page: one HTML file with its style, its scripts and its data inside, which asks nothing of any network.

A Content-Security-Policy allows these very scripts, by their hashes, and no others; so what a model wrote could not run
even if it came to stand in the page as markup, which it does not: data is JSON, escaped, and is shown as text.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from tutelage.errors import RecipeError
from tutelage.report.gathering import Section
from tutelage.report.page.charts import SPECS
from tutelage.report.page.comparison_charts import SPECS as COMPARISON_SPECS

_ASSETS = files("tutelage.report.page") / "assets"
_FIRST = ("core", "page")
"""How the names of assets begin that the others of their kind stand on."""


def assemble(title: str, sections: Mapping[str, Section]) -> str:
    """The page's HTML. sections: by name; the page has a renderer for each (`tutelage.section` in assets)."""
    style, script, vega = assets(".css"), assets(".js"), charting_library()
    parts = {
        "title": _escaped(title),
        "policy": policy(style, vega, script),
        "style": style,
        "data": "\n".join(_data(sections)),
        "vega": vega,
        "script": script,
    }
    template = (_ASSETS / "page.html").read_text(encoding="utf-8")
    # In one pass, so that what is put in is never taken for a place to put in more.
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], template)


def _data(sections: Mapping[str, Section]) -> Iterator[str]:
    yield _script_tag("application/json", "data-charts", to_page_json({**SPECS, **COMPARISON_SPECS}))
    for name, section in sections.items():
        yield _script_tag("application/json", f"data-{name}", to_page_json(section.data))
        for key, value in section.chunks.items():
            yield _script_tag("application/gzip", f"chunk-{key}", value)


def _script_tag(kind: str, name: str, content: str) -> str:
    return f'<script type="{kind}" id="{_escaped(name)}">{content}</script>'


def to_page_json(value: Any) -> str:
    """JSON that can stand in a script element, whatever its texts hold; what is no finite number is null there."""
    text = json.dumps(_finite(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=str)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    # Half a surrogate pair, which JSON can hold and UTF-8 cannot.
    return text.encode("utf-8", "replace").decode("utf-8")


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return value


@cache
def assets(ending: str) -> str:
    """All style sheets, or all scripts, as one text: what all stand on first, then each section's."""
    found = [file for file in _ASSETS.iterdir() if file.name.endswith(ending)]
    ordered = sorted(found, key=lambda file: (not file.name.startswith(_FIRST), file.name.removesuffix(ending)))
    return "\n".join(file.read_text(encoding="utf-8") for file in ordered)


_BUNDLE = "import sys, vl_convert; sys.stdout.buffer.write(vl_convert.javascript_bundle().encode())"
_PATIENCE = 300
"""Seconds that it may take; on a core of its own it is two."""


@cache
def charting_library() -> str:
    """Vega, Vega-Lite and Vega-Embed, from the package vl-convert-python. Raises: RecipeError without it.

    In a process of its own: the package brings a JavaScript engine with threads and 120 MB, which a run that trains
    shall not have to carry.
    """
    try:
        made = subprocess.run([sys.executable, "-c", _BUNDLE], capture_output=True, check=True, timeout=_PATIENCE)
    except (subprocess.SubprocessError, OSError) as error:
        said = getattr(error, "stderr", None) or str(error).encode()
        why = (said.decode(errors="replace").strip().splitlines() or ["it says nothing"])[-1]
        raise RecipeError(
            f"The charts of a report come from the package vl-convert-python, which did not give them ({why}). "
            "Run: pip install vl-convert-python"
        ) from None
    return made.stdout.decode().replace("</script", "<\\/script").replace("<!--", "<\\!--")


def policy(style: str, *scripts: str) -> str:
    """The Content-Security-Policy of a page with this style and these scripts. connect-src: for `tutelage watch`."""
    allowed = " ".join(_hash(script) for script in scripts)
    return (
        f"default-src 'none'; script-src {allowed}; style-src {_hash(style)}; img-src data: blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _escaped(text: str) -> str:
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        text = text.replace(character, entity)
    return text.encode("utf-8", "replace").decode("utf-8")  # a folder's name may be no UTF-8
