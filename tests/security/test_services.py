"""A service that means harm: it is waited for as long as was said, and its answers are numbers."""

import json
import time

import numpy as np
import pytest

from auditor.report import load
from tests.service import Service, dripping, serve, thumbnail

CARD = {"height": 32, "width": 16, "mean": [0, 0, 0], "std": [1, 1, 1]}


@pytest.fixture
def refuses(audit, write_config, tmp_path):
    """Audit what answers at an address; gives the line that says why it is refused."""

    def check(url):
        service = {"url": url, "seconds": 0.5, "retries": 0}
        config = write_config(model={"service": service, "card": CARD}, defenses={})
        code, _, err = audit("run", "--config", config, "--out", tmp_path / "out")
        assert code == 2, err
        assert not (tmp_path / "out" / "report.json").exists()
        (line,) = (line for line in err.splitlines() if line.startswith("audit: "))
        assert err.endswith(f"{line}\n")
        return line

    return check


@pytest.mark.shows("services")
@pytest.mark.parametrize(
    ("first", "drop"),
    [
        (b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b" "),
    ],
    ids=["headers", "content"],
)
def test_a_byte_now_and_then_is_no_answer(refuses, first, drop):
    with dripping(first, drop) as url:
        began = time.monotonic()
        assert "takes longer than" in refuses(f"{url}/v2/models/reid")
        assert time.monotonic() - began < 10


@pytest.mark.shows("services")
@pytest.mark.parametrize(
    "number", ["0.5", None, [1], 10**400], ids=["text", "null", "list", "large"]
)
def test_an_answer_without_numbers_is_none(refuses, number):
    output = {
        "name": "features",
        "datatype": "FP32",
        "shape": [2, 24],
        "data": [number] + [0.5] * 47,
    }
    answer = (200, json.dumps({"outputs": [output]}).encode(), {})
    with serve(Service(script=[answer] * 100)) as service:
        assert "Open Inference Protocol" in refuses(service.url)


@pytest.mark.shows("services")
def test_one_that_goes_bad_within_an_audit_costs_what_it_was_asked_for(
    audit, write_config, tmp_path
):
    out = tmp_path / "out"

    def turn(images):
        first_scenario_done = any(out.glob("steps/*none-identity_retrieval.json"))
        return thumbnail(images) * (np.nan if first_scenario_done else 1)

    with serve(Service(model=turn)) as service:
        config = write_config(
            model={"service": {"url": service.url}, "card": CARD},
            attacks={"identity_retrieval": {}}, defenses={"blur": {}}, controls=False,
        )  # fmt: skip
        code, _, _ = audit("run", "--config", config, "--out", out)
    assert code == 4
    bare, blurred = load(out / "report.json").scenarios
    assert bare.findings[0].status == "done"
    assert "NaN or infinity" in blurred.reason
