"""`audit demo` as a newcomer starts it: it ends, and its figures make sense."""

import os
import resource
import subprocess
import sys
import time

import pytest

from auditor.report import load


@pytest.mark.slow
def test_the_demo_shows_a_leak_and_a_blind_control(tmp_path):
    out = tmp_path / "demo"
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "auditor", "demo", "--out", str(out)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "2"},
    )
    seconds = time.monotonic() - began
    gigabytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    sys.stdout.write(f"\ndemo: {seconds:.0f} s, {gigabytes:.2f} GB\n{done.stdout}")
    assert done.returncode == 0, done.stderr
    assert gigabytes < 3
    assert {"report.json", "report.html", "report.xlsx"} <= {p.name for p in out.iterdir()}
    record = load(out / "report.json")
    figures = dict(record.measurements())
    assert figures["none/utility/rank1"].low > 0.9
    for address in (
        "none/identity/top1",
        "none/attribute/mean_balanced_accuracy",
        "none/inversion/reid_rank1",
    ):
        leak = figures[address]
        # eighty people leave an interval of six points on either side for attributes
        assert leak.value > leak.chance + 0.15, (address, leak.value, leak.chance)
        assert leak.low > leak.chance + 0.1, (address, leak.low, leak.chance)
    for finding in record.scenarios[0].findings:
        power = finding.power()
        # parts of other people's pictures are no match for whoever paints what the code says
        assert power.shown or finding.attack == "composite", power.reason
        null, planted = power.null, power.planted
        assert null.low <= null.chance + 0.02, finding.attack
        assert planted.low > null.high, finding.attack
    bare, noisy = record.scenarios
    for before, after in zip(bare.findings, noisy.findings, strict=True):
        assert after.measurements[0].value < before.measurements[0].value
    assert noisy.claims[0].epsilon_identity > noisy.claims[0].epsilon_certified
