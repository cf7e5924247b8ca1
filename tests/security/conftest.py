"""Plug-ins and models that mean harm, and the command that meets them."""

from collections import Counter

import pytest

from tests.integration.conftest import (
    audit,
    audit_process,
    drawn_folder,
    write_config,
)
from tests.security.fault_table import FAULTS

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


@pytest.fixture
def fault(record_property):
    """Say which row of the fault table a test is of."""

    def name(key):
        record_property("fault", key)
        return FAULTS[key]

    return name


def pytest_terminal_summary(terminalreporter):
    """Print the fault table: how often each was tried, and contained."""
    found = {"passed": Counter(), "failed": Counter()}
    for outcome, counts in found.items():
        for report in terminalreporter.stats.get(outcome, ()):
            counts.update(value for key, value in report.user_properties if key == "fault")
    if not (found["passed"] or found["failed"]):
        return
    terminalreporter.section("faults")
    terminalreporter.write_line(f"{'tried':>5} {'contained':>9} {'exit code':<20} fault")
    for key, fault in FAULTS.items():
        good, bad = found["passed"][key], found["failed"][key]
        line = f"{good + bad:>5} {good:>9} {fault.codes:<20} {fault.tried}"
        terminalreporter.write_line(line)
