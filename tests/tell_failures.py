"""A pytest plug-in that prints each failure when it happens, so that a run cut short tells them."""

import sys

import pytest


@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Print the test's name and where it failed."""
    if report.failed:
        sys.stdout.write(f"\nFAILED {report.nodeid}\n{report.longreprtext[-3000:]}\n\n")
