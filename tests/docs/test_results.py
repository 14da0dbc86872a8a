"""The results page says what its JSON says."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from types import ModuleType

import pytest

from tutelage.comparisons.tables.table import Cell, Table, write_tables
from tutelage.errors import DataError

DOCS = Path(__file__).parents[2] / "docs"
TABLE = Table(
    "methods",
    "Small",
    ("method", "accuracy", "steps"),
    ((Cell("a"), Cell(43.04, (33.7, 52.8), "n.s."), Cell(1200)), (Cell("b"), Cell(), Cell(0))),
    ("A note.",),
)
PAGE = "# Results\n\n<!-- table svamp: method; accuracy -->\nold\n<!-- end -->\n\nBy hand.\n"


@pytest.fixture(scope="module")
def results() -> ModuleType:
    """docs/results.py, which belongs to no package."""
    spec = importlib.util.spec_from_file_location("results_of_docs", DOCS / "results.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def comparison(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / "svamp"
    folder.mkdir(parents=True)
    write_tables(folder, [TABLE, Table("second", "More", ("x",), ((Cell("y"),),))])
    for name in ("results.json", "comparison.toml"):
        (folder / name).write_text("{}")
    return folder


def test_every_table_of_the_page_is_that_of_its_json(results: ModuleType) -> None:
    text = (DOCS / "results.md").read_text(encoding="utf-8")
    assert results.filled(text, DOCS / "results") == text, "run python docs/results.py"
    shown = {match[1] for match in results.PLACE.findall(text)}
    kept = {path.parent.name for path in (DOCS / "results").glob("*/table.json")}
    assert shown == kept  # nothing is kept and not shown


def test_tables_are_brought_in_and_the_rest_of_the_page_stays(
    results: ModuleType, comparison: Path, tmp_path: Path
) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "results.md").write_text(PAGE + "<!-- table svamp/second -->\n<!-- end -->\n")
    results.bring([comparison], docs)
    text = (docs / "results.md").read_text()
    assert text.startswith("# Results\n\n<!-- table svamp: method; accuracy -->\n| method | accuracy |\n")
    assert "| a | 43.0 (33.7 to 52.8) n.s. |\n| b | - |\n<!-- end -->\n\nBy hand.\n" in text
    assert text.endswith("| x |\n| --- |\n| y |\n<!-- end -->\n")
    assert sorted(path.name for path in (docs / "results" / "svamp").iterdir()) == [
        *("comparison.toml", "results.json", "table.json")
    ]
    results.bring([], docs)
    assert (docs / "results.md").read_text() == text


@pytest.mark.parametrize(
    ("page", "words"),
    [
        (PAGE.replace("; accuracy", "; precision"), "no column 'precision'; it has method; accuracy; steps"),
        (PAGE.replace("svamp:", "svamp/third:"), "no table 'third'; it has methods, second"),
        (PAGE.replace("svamp:", "other:"), "cannot be read"),
        (PAGE.replace("<!-- end -->", ""), "'<!-- table svamp: method; accuracy -->' is no place for a table, or has"),
        (PAGE.replace("<!-- end -->", "") + PAGE, "has no <!-- end --> before the next one"),
        (PAGE.replace("svamp:", "svamp :"), "'<!-- table svamp : method; accuracy -->' is no place"),
    ],
)
def test_what_is_not_there_is_named_and_the_page_stays(
    results: ModuleType, comparison: Path, tmp_path: Path, page: str, words: str
) -> None:
    (tmp_path / "results.md").write_text(page)
    with pytest.raises(DataError, match=words):
        results.bring([comparison], tmp_path)
    assert (tmp_path / "results.md").read_text() == page
    assert not (tmp_path / "results").exists()  # nor is anything kept that the page does not show


def test_what_is_kept_is_that_of_the_last_time(results: ModuleType, comparison: Path, tmp_path: Path) -> None:
    (tmp_path / "results.md").write_text(PAGE)
    (comparison / "cost.json").write_text("[]")
    results.bring([comparison], tmp_path)
    kept = tmp_path / "results" / "svamp"
    assert (kept / "cost.json").read_text() == "[]"
    results.bring([kept], tmp_path)
    assert (kept / "cost.json").is_file()
    (comparison / "cost.json").unlink()
    results.bring([comparison], tmp_path)
    assert not (kept / "cost.json").exists()


def test_two_of_one_name_are_refused(results: ModuleType, comparison: Path, tmp_path: Path) -> None:
    (tmp_path / "results.md").write_text(PAGE)
    other = shutil.copytree(comparison, tmp_path / "elsewhere" / "svamp")
    with pytest.raises(DataError, match="have the same name"):
        results.bring([comparison, other], tmp_path)
    assert not (tmp_path / "results").exists()


def test_a_comparison_that_is_not_finished_is_refused(results: ModuleType, comparison: Path, tmp_path: Path) -> None:
    (comparison / "table.json").unlink()
    with pytest.raises(DataError, match=r"has no table\.json: it is no finished comparison"):
        results.bring([comparison], tmp_path)
    assert not (tmp_path / "results").exists()


def test_no_place_of_the_machine_that_ran_it_is_kept(results: ModuleType, comparison: Path, tmp_path: Path) -> None:
    recipe = 'data = "/home/ann/sets"\nmodel = "/opt/m/small one.gguf"\nshare = "1/2"\nname = "a/b"\n'
    found = [{"sha256": {"/home/ann/sets/svamp/SVAMP.json": "00", "questions.jsonl": "/x"}, "recipe": recipe}]
    (comparison / "results.json").write_text(json.dumps(found))
    (tmp_path / "results.md").write_text(PAGE)
    results.bring([comparison], tmp_path)
    kept = json.loads((tmp_path / "results" / "svamp" / "results.json").read_text())
    assert kept[0]["sha256"] == {"svamp/SVAMP.json": "00", "questions.jsonl": "x"}
    assert kept[0]["recipe"] == 'data = "ann/sets"\nmodel = "m/small one.gguf"\nshare = "1/2"\nname = "a/b"\n'
