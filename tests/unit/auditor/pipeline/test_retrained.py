"""All results of a defended scenario are of one network, however often the run is interrupted."""

from dataclasses import replace

import pytest
import torch

from auditor import plugins
from auditor.evaluation.claims import apply_defense
from auditor.models.extractor import CardedExtractor
from auditor.pipeline import steps
from auditor.pipeline.plan import run_audit
from auditor.pipeline.retrained import Shelf, key_of
from auditor.types import MemoryImages
from defenses.image_deid import Blur, RemoveHead
from defenses.retrain import Retrain
from tests import worlds
from tests.unit import coloured
from tests.unit.auditor.pipeline.test_plan import Silent, world

ATTACKS = {name: worlds.QUICK[name] for name in ("identity", "attribute")}
BRIEF = {"epochs": 1, "steps": 2, "people": 4, "views": 2}
CHAINED = {
    "retrain": BRIEF,
    "noisy": {"chain": [{"use": "retrain", **BRIEF}, {"use": "dp_gallery", "epsilon": 200.0}]},
}


class Killed(Silent):
    """Ends the run as soon as a step of that name begins; knows which steps ran."""

    def __init__(self, name=""):
        self.name, self.ran, self.kept = name, [], []

    def step(self, name):
        if name == self.name:
            raise KeyboardInterrupt
        self.ran.append(name)
        return super().step(name)

    def keep(self, name):
        self.kept.append(name)


def scene(folder, defenses):
    small = replace(worlds.trainable(), data=worlds.few())
    made = world(folder, attacks=ATTACKS, defenses=defenses, controls=False)
    return replace(made, target=small, targets={})


def run(folder, defenses, display=None, *, resume=False):
    return run_audit(scene(folder, defenses), display or Silent(), resume=resume)


@pytest.fixture
def elsewhere(monkeypatch):
    """Training again ends elsewhere, as it may on a GPU; counts how often."""
    trained = []

    def apply(defense, target, ctx):
        name = plugins.name_of("defenses", defense)
        trained.append(name)
        with ctx.randomness(f"defenses.{name} {len(trained)}"):
            return defense.apply(target, replace(ctx, seed=ctx.seed + len(trained)))

    monkeypatch.setattr(steps, "apply_defense", apply)
    return trained


def test_a_killed_run_goes_on_with_the_network_it_had(tmp_path, monkeypatch):
    whole = run(tmp_path / "whole", CHAINED)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", CHAINED, Killed("retrain/attribute"))

    def apply(defense, target, ctx, apply=steps.apply_defense):
        assert not isinstance(defense, Retrain), "it was trained again"
        return apply(defense, target, ctx)

    monkeypatch.setattr(steps, "apply_defense", apply)
    resumed = run(tmp_path / "cut", CHAINED, display := Killed(), resume=True)
    assert display.kept == ["probe", *(f"none/{n}" for n in ("utility", *ATTACKS)),
                            "retrain/utility", "retrain/identity"]  # fmt: skip
    assert resumed.scenarios == whole.scenarios


def test_without_its_network_every_result_of_a_scenario_is_measured_again(tmp_path, elsewhere):
    first = run(tmp_path, CHAINED)
    assert elsewhere == ["retrain", "dp_gallery"]
    for file in (tmp_path / "personal/retrained").iterdir():
        assert file.stat().st_mode & 0o777 == 0o600
        file.unlink()
    again = run(tmp_path, CHAINED, display := Killed(), resume=True)
    assert elsewhere[2:] == ["retrain", "dp_gallery"]
    assert display.kept == ["probe", *(f"none/{n}" for n in ("utility", *ATTACKS))]
    assert again.scenarios[0] == first.scenarios[0]
    assert again.scenarios[1].utility != first.scenarios[1].utility


def test_a_changed_network_is_no_longer_the_one_that_results_are_of(tmp_path, elsewhere):
    run(tmp_path, {"retrain": BRIEF})
    (file,) = (tmp_path / "personal/retrained").iterdir()
    file.write_bytes(file.read_bytes()[:-4] + bytes(4))
    run(tmp_path, {"retrain": BRIEF}, display := Killed(), resume=True)
    assert display.ran == [f"retrain/{name}" for name in ("utility", *ATTACKS)]


def test_a_run_that_does_not_go_on_with_another_trains_anew(tmp_path, elsewhere):
    for _ in range(2):
        run(tmp_path, {"retrain": BRIEF})
    assert elsewhere == ["retrain"] * 2


def test_results_of_pictures_that_came_out_otherwise_are_not_kept(tmp_path, monkeypatch):
    """A mechanism that was learned cannot be read back, so it is made again, and recognised."""
    drawn = []

    def apply(defense, target, ctx):
        drawn.append(type(defense).__name__)
        pixels = torch.randint(0, 256, (len(target.data.gallery), 3, 32, 16)).byte()
        gallery = replace(target.data.gallery, images=MemoryImages(pixels))
        return replace(target, data=replace(target.data, gallery=gallery))

    monkeypatch.setattr(steps, "apply_defense", apply)
    run(tmp_path, {"blur": {}})
    next((tmp_path / "steps").glob("*blur-attribute*")).unlink()
    run(tmp_path, {"blur": {}}, display := Killed(), resume=True)
    assert drawn == ["Blur"] * 2
    assert display.ran == ["blur/attribute", "blur/utility", "blur/identity"]


def test_a_network_is_not_recalled_where_a_file_says_otherwise(tmp_path):
    points = tmp_path / "points.csv"
    points.write_text("one")
    chain = [RemoveHead(keypoints=str(points)), Retrain()]
    before = key_of(chain)
    assert key_of(chain) == before
    points.write_text("the other")
    assert key_of(chain) != before


@pytest.mark.parametrize("name", ["retrain", "dp_sgd", "federated"])
def test_a_network_is_read_back_with_everything_that_was_said_about_it(name, tmp_path):
    target, ctx, shelf = coloured.target(), worlds.context(tmp_path), Shelf(tmp_path / "shelf")
    quick = {"retrain": BRIEF, "federated": {"rounds": 1, "people": 4, "views": 2},
             "dp_sgd": {"epochs": 1, "batch": 4, "epsilon": 50.0}}  # fmt: skip
    links = [plugins.build("defenses", name, quick[name])]
    made = apply_defense(*links, target, ctx)
    shelf.keep(links, target, made, ctx.device)
    back = shelf.recall(links, target, ctx.device)
    images = torch.rand(4, 3, *coloured.SIZE)
    assert isinstance(back.extractor, CardedExtractor)
    assert torch.equal(back.extractor(images), made.extractor(images))
    assert (back.claims, back.notes, back.release) == (made.claims, made.notes, made.release)
    assert back.trained == made.trained == (name,)
    # what it was applied to is part of what it is
    assert shelf.recall([Blur(), *links], target, ctx.device) is None
