"""Plug-ins and models that mean harm, and the command that meets them."""

import pytest

from tests.integration.conftest import (
    audit,
    audit_process,
    drawn_folder,
    write_config,
)
from tests.security.tables import TABLES, tally

__all__ = ["audit", "audit_process", "drawn_folder", "write_config"]


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a package of one module, as pip would have done; gives the folder it lies in."""

    def put(source, **entry_points):
        site = tmp_path / "site"
        info = site / "mischief-0.1.dist-info"
        info.mkdir(parents=True)
        (site / "mischief.py").write_text(source)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mischief\nVersion: 0.1\n")
        lines = []
        for group, names in entry_points.items():
            lines += [f"[auditor.{group}]", *(f"{name} = mischief:{name}" for name in names)]
        (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
        monkeypatch.syspath_prepend(site)
        return site

    return put


def pytest_collection_modifyitems(items):
    """Let each test's reports name the rows of the tables that it shows."""
    for item in items:
        shown = [key for mark in item.iter_markers("shows") for key in mark.args]
        item.user_properties += [("shows", key) for key in shown]


def pytest_terminal_summary(terminalreporter):
    """Print the tables: how often each row was tried, and contained."""
    ended = (terminalreporter.stats.get(name, ()) for name in ("passed", "failed", "error"))
    reports = (report for reports in ended for report in reports)
    tried, contained = tally(one for one in reports if isinstance(one, pytest.TestReport))
    if not tried:
        return
    for (heading, *_), table in TABLES.items():
        terminalreporter.section(f"{heading}s")
        terminalreporter.write_line(f"{'tried':>5} {'contained':>9} {'exit code':<23} {heading}")
        for key, row in table.items():
            counts = f"{tried[key]:>5} {contained[key]:>9}"
            terminalreporter.write_line(f"{counts} {row.codes:<23} {row.tried}")
