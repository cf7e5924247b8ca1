"""Audits of people with tracklets: one stored entry for each, from the table to the record."""

import numpy as np
import pytest

import auditor
from attacks.identity import IdentityRetrieval
from auditor.data.synthetic import make_world
from auditor.data.synthetic.world import save_world
from auditor.models.reference import WEIGHTS
from auditor.report import load
from tests.integration.conftest import CARD
from tests.rows import stored_people


@pytest.fixture(scope="module")
def world():
    return make_world(identities=6, auxiliary=8, cameras=3, images_per_camera=4, seed=7, walks=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, world):
    folder = tmp_path_factory.mktemp("walking")
    save_world(world, folder)
    return folder


def notice(record):
    return record.data["notices"][-1]


def test_utility_attacks_and_defenses_meet_one_entry_per_tracklet(
    audit, write_config, folder, tmp_path
):
    config = write_config(
        data={"path": str(folder)},
        attacks={"identity_retrieval": {}, "linkage": {}},
        defenses={"dp_gallery": {"epsilon": 300.0, "trials": 2000}, "blur": {}},
        controls=False,
        study=0,
    )
    found = {}
    for pooling in ("auto", "quality"):
        out = tmp_path / pooling
        chosen = ("--set", f"pooling={pooling}")
        code, _, stderr = audit("run", "--config", config, "--out", out, *chosen)
        assert code in (0, 4), stderr
        found[pooling] = load(out / "report.json")
    record = found["auto"]
    assert record.data["entries"] == {"query": 18, "gallery": 18, "auxiliary": 24}
    assert record.data["images"]["gallery"] == 54
    assert "168 pictures are stored as 60 entries" in notice(record)
    assert "pooling: quality" in notice(found["quality"])
    for scenario in record.scenarios:
        assert scenario.status == "done"
        assert [finding.status for finding in scenario.findings] == ["done", "done"]
    (noisy,) = (s for s in record.scenarios if s.defense == "dp_gallery")
    assert noisy.claims[0].images_per_identity == 3
    one, other = (r.scenarios[0].matches[0].similarity for r in found.values())
    assert one != other


def test_pooling_without_tracklets_is_refused_in_one_line(audit, write_config, tmp_path):
    config = write_config(pooling="mean")
    code, _, stderr = audit("run", "--config", config, "--out", tmp_path / "out")
    assert code == 2
    assert "add a column 'tracklet'" in stderr
    assert len(stderr.strip().splitlines()) == 1


def test_the_plan_knows_how_many_pictures_there_are(audit, write_config, folder, tmp_path):
    config = write_config(data={"path": str(folder)}, controls=False)
    code, stdout, stderr = audit("plan", "--config", config, "--out", tmp_path / "out")
    assert code == 0, stderr
    assert "features: query 18, gallery 54, auxiliary 96" in stdout


def test_stored_features_are_pooled_by_their_own_column(audit, tmp_path):
    columns = stored_people(people=40, dim=32, pictures=6)
    columns["tracklet"] = np.tile([1, 2, 1, 2, 3, 2], 40)
    np.savez(tmp_path / "gallery.npz", **columns)
    config = tmp_path / "audit.yaml"
    config.write_text("attacks: {identity_retrieval: {}}\ndefenses: {}\ncontrols: false\n")
    out = tmp_path / "out"
    code, _, stderr = audit(
        "run", "--features", tmp_path / "gallery.npz", "--config", config, "--out", out
    )
    assert code in (0, 4), stderr
    record = load(out / "report.json")
    # of each attacked person: a query by either camera, and what is left of three tracklets
    assert record.data["entries"] == {"query": 40, "gallery": 60, "auxiliary": 60}


def test_python_gives_the_same_record(audit, write_config, folder, tmp_path, world):
    config = write_config(
        data={"path": str(folder)},
        attacks={"identity_retrieval": {}},
        defenses={},
        controls=False,
        pooling="mean",
    )
    out = tmp_path / "out"
    code, _, stderr = audit("run", "--config", config, "--out", out)
    assert code in (0, 4), stderr
    report = auditor.audit(
        WEIGHTS,
        world,
        arch="reference",
        card=CARD,
        attacks=[IdentityRetrieval()],
        controls=False,
        settings={"pooling": "mean"},
        progress=False,
    )
    address = "none/identity_retrieval/retrieved_rank1"
    assert report[address] == dict(load(out / "report.json").measurements())[address]
