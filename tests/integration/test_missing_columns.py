"""Audits of tables that lack a column or people: each attack is measured, or says why it is not."""

import shutil

import pandas as pd
import pytest
import safetensors.torch
import torch

from auditor.data.synthetic import ATTRIBUTES, make_world
from auditor.data.synthetic.world import save_world
from auditor.models.reference import WEIGHTS
from auditor.report import load
from tests.integration.conftest import CARD

ATTACKS = {
    "watch_list": {"fpir": 0.1},
    "description": {"min_people": 3},
    "distribution": {"min_people": 3},
    "movement": {},
    "alignment": {"curve": [], "min_people": 3},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("walking")
    people = {"identities": 8, "auxiliary": 16, "cameras": 3, "images_per_camera": 2}
    save_world(make_world(**people, seed=7, walks=True), folder)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model that is not the shipped one, which whoever aligns spaces has."""
    weights = safetensors.torch.load_file(WEIGHTS)
    generator = torch.Generator().manual_seed(0)
    for name, tensor in weights.items():
        if tensor.is_floating_point() and tensor.ndim > 1:
            noise = torch.randn(tensor.shape, generator=generator)
            weights[name] = tensor + 0.03 * tensor.std() * noise
    path = tmp_path_factory.mktemp("model") / "other.safetensors"
    safetensors.torch.save_file(weights, path)
    return {"path": str(path), "arch": "reference", "card": CARD}


def without(*columns):
    return lambda table: table.drop(columns=list(columns))


CHANGES = {
    "nothing": (without(), {}),
    "times": (without("time"), {}),
    "tracklets": (without("tracklet"), {}),
    "times and tracklets": (without("time", "tracklet"), {}),
    "attributes": (
        without(*ATTRIBUTES),
        dict.fromkeys(("description", "distribution"), "add columns to the manifest"),
    ),
    "cameras": (
        lambda table: table[table["camid"] == table["camid"].min()],
        {
            "movement": "0 people were seen by two known cameras",
            "watch_list": "8 searches are for people who are absent",
        },
    ),
    "people": (
        lambda table: table[(table["split"] != "train") | (table["pid"] % 8 == 0)],
        {
            **dict.fromkeys(("description", "distribution"), "set min_people lower"),
            "alignment": "the adversary's own show 2 people",
        },
    ),
}
"""What is missing -> how a table comes to lack it, and attack -> why it does not apply."""


@pytest.mark.parametrize("missing", CHANGES)
def test_what_a_table_lacks_is_said_or_is_not_needed(
    audit, write_config, folder, model, tmp_path, missing
):
    change, reasons = CHANGES[missing]
    lacking = tmp_path / "people"
    shutil.copytree(folder, lacking)
    change(pd.read_csv(folder / "manifest.csv")).to_csv(lacking / "manifest.csv", index=False)
    config = write_config(
        model=model,
        data={"path": str(lacking), "cross_camera": missing != "cameras"},
        attacks=ATTACKS,
        defenses={},
        controls=False,
        study=0,
    )
    code, _, stderr = audit("run", "--config", config, "--out", tmp_path / "out")
    assert code == 4, stderr  # without controls, nothing is certified
    (scenario,) = load(tmp_path / "out" / "report.json").scenarios
    for finding in scenario.findings:
        if reason := reasons.get(finding.attack):
            assert (finding.status, reason in finding.reason) == ("not-applicable", True)
        else:
            assert (finding.status, finding.reason) == ("done", "")
            assert finding.headline.n > 0
