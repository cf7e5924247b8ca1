"""A pytest plug-in that prints each failure when it happens, so that a run cut short tells them."""

import pytest


@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Print the test's name and where it failed."""
    if report.failed:
        print(f"\nFAILED {report.nodeid}\n{report.longreprtext[-3000:]}\n", flush=True)
