"""Tests show each row of the page on security, each mark names a row, and the page has them all."""

import ast
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.security.conftest import pytest_collection_modifyitems
from tests.security.tables import CORPUS, FAULTS, TABLES, markdown, tally

HERE = Path(__file__).parent


def shown_rows(source):
    """The rows that the marks in a module name."""
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    marks = (call for call in calls if ast.unparse(call.func) == "pytest.mark.shows")
    return {ast.literal_eval(key) for mark in marks for key in mark.args}


def test_a_row_is_shown_by_some_test_and_a_mark_names_a_row():
    shown = set().union(*(shown_rows(path.read_text()) for path in HERE.glob("test_*.py")))
    assert shown == CORPUS.keys() | FAULTS.keys()
    assert not CORPUS.keys() & FAULTS.keys()


@pytest.mark.parametrize("heading", TABLES, ids=" ".join)
def test_the_page_on_security_has_this_table(heading):
    page = (HERE.parents[1] / "docs" / "security.md").read_text(encoding="utf-8")
    assert f"\n\n{markdown(heading, TABLES[heading])}\n\n" in page


def ended(name, phase, outcome, *rows):
    shown = [("shows", row) for row in rows]
    return pytest.TestReport(name, ("", 0, name), {}, outcome, None, phase, user_properties=shown)


def test_a_row_is_contained_where_its_tests_hold_to_the_very_end():
    tried, contained = tally(
        [
            ended("a", "call", "passed", "yaml", "zip"),
            ended("b", "call", "failed", "yaml"),
            ended("c", "call", "passed", "zip"),
            ended("c", "teardown", "failed", "zip"),  # where a canary is looked at
            ended("d", "call", "passed"),
        ]
    )
    assert tried == {"yaml": 2, "zip": 2}
    assert contained == {"yaml": 1, "zip": 1}


def test_a_test_carries_the_rows_of_its_marks():
    marked = SimpleNamespace(
        iter_markers=lambda name: [pytest.mark.shows.with_args("a", "b").mark], user_properties=[]
    )
    pytest_collection_modifyitems([marked])
    assert marked.user_properties == [("shows", "a"), ("shows", "b")]
