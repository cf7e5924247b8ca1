"""How far an audit is: a line per step, a bar where one can be shown, or nothing."""

import io
import sys
from types import SimpleNamespace

import pytest

from auditor import console


class ZMQInteractiveShell:
    """What IPython calls the shell of a notebook."""


@pytest.mark.parametrize(
    ("shell", "widgets", "expected"),
    [(ZMQInteractiveShell, True, True), (ZMQInteractiveShell, False, False), (dict, True, False)],
)
def test_a_notebook_is_one_that_can_show_a_bar(monkeypatch, shell, widgets, expected):
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=shell))
    found = object() if widgets else None
    monkeypatch.setattr(console.importlib.util, "find_spec", lambda name: found)
    assert console.in_notebook() is expected


def test_without_ipython_there_is_no_notebook(monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert not console.in_notebook()


def test_a_log_gets_a_line_per_step_and_quiet_gets_none(capsys):
    stream = io.StringIO()
    for display in (console.Display(1, stream), console.Quiet(1)):
        with display.step("none/utility") as progress:
            progress(0.5, "half")
        display.keep("probe")
    lines = stream.getvalue().splitlines()
    assert lines[0] == "[1/1] none/utility …"
    assert lines[1].startswith("[1/1] none/utility done in")
    assert lines[2].endswith("probe kept")
    assert capsys.readouterr() == ("", "")


def test_a_part_that_is_finished_is_not_shown_as_the_whole_step(monkeypatch):
    monkeypatch.setattr(console, "HEARTBEAT", 0.0)
    stream = io.StringIO()
    with console.Display(1, stream).step("none/inversion") as progress:
        progress(0.5, "inverter")
        progress(1.0, "inverter")
    _, half, whole, _ = stream.getvalue().splitlines()
    assert "inverter 50% after" in half
    assert "inverter finished, the step goes on after" in whole
