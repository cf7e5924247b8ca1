"""`audit defend` and `audit run --defend`: what is written, what it promises, what stays secret."""

import copy
import hashlib
import json
import stat
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint

import numpy as np
import pytest
import torch
from torch import nn

from auditor.data import open_dataset
from auditor.embedding import embed
from auditor.models import open_model
from auditor.models.described import read_description
from auditor.models.extractor import CardedExtractor
from auditor.plugins import registry
from auditor.report import load


@dataclass(frozen=True, kw_only=True)
class Softened:
    """Shrinks the first convolution of the network."""

    factor: float = 0.5

    def apply(self, target, ctx):
        network = copy.deepcopy(target.extractor.network)
        with torch.no_grad():
            next(network.parameters()).mul_(self.factor)
        return replace(target, extractor=CardedExtractor(network, target.extractor.card))


@dataclass(frozen=True, kw_only=True)
class Rebuilt:
    """Puts a network of another architecture in the place of the audited one."""

    def apply(self, target, ctx):
        network = nn.Sequential(
            nn.AdaptiveAvgPool2d((4, 2)), nn.Flatten(), nn.Linear(24, 8, bias=False)
        )
        return replace(target, extractor=CardedExtractor(network.eval(), target.extractor.card))


@dataclass(frozen=True, kw_only=True)
class Relabelled:
    """Writes down a list of its own."""

    def apply(self, target, ctx):
        return replace(target, data=replace(target.data, name="relabelled"))

    def export(self, defended, ctx, folder):
        assert not list(folder.iterdir())
        (folder / "list.txt").write_text(defended.data.name)
        (ctx.workdir / "identities.csv").write_text("secret")
        return {"images": len(defended.data.gallery)}


@dataclass(frozen=True, kw_only=True)
class Silent:
    """Changes nothing that could be written down."""

    def apply(self, target, ctx):
        return replace(target)


STRANGERS = [
    EntryPoint(strange.__name__.lower(), f"{__name__}:{strange.__name__}", "auditor.defenses")
    for strange in (Softened, Rebuilt, Relabelled, Silent)
]


@pytest.fixture(autouse=True)
def strangers(monkeypatch):
    known = registry.entry_points

    def entry_points(group):
        return [*known(group=group), *(STRANGERS if group == "auditor.defenses" else ())]

    monkeypatch.setattr(registry, "entry_points", entry_points)


@pytest.fixture
def defend(audit, write_config, tmp_path):
    """Run `audit defend` on synthetic people; gives code, output and error text, and the folder."""
    out = tmp_path / "out"

    def run(*arguments):
        config = write_config(defenses={})
        code, stdout, stderr = audit("defend", "--config", config, "--out", out, *arguments)
        return code, stdout, stderr, out

    return run


def secret_of(out):
    return out.with_name(out.name + ".key")


def kept_back(out):
    return json.loads((secret_of(out) / "claims.json").read_text())


def test_a_protected_gallery_comes_with_its_claims_and_without_its_key(defend):
    code, stdout, stderr, out = defend("--with", "dp_gallery:epsilon=60,sticky=true,trials=400")
    assert code == 0, stderr
    assert sorted(p.name for p in out.iterdir()) == ["claims.json", "gallery.npz"]
    stored = np.load(out / "gallery.npz")
    text = (out / "claims.json").read_text()
    claims = json.loads(text)
    assert stored["features"].dtype == np.float32
    assert len(stored["features"]) == claims["exported"]["gallery"]["rows"] == len(stored["pids"])
    (claim,) = claims["claims"]
    assert claim["epsilon_certified"] == pytest.approx(60, rel=1e-6)
    assert claim["verdict"] == "CONSISTENT"
    (whole,) = kept_back(out)["claims"]
    assert 0 < whole["audited"]["epsilon"] <= 60
    before, after = (
        {m["metric"]: m["value"] for m in found["utility"][when]}
        for found, when in ((kept_back(out), "before"), (claims, "after"))
    )
    assert after["map"] < before["map"]
    assert claims["utility"]["bias"] == ""
    assert "too well" not in stdout
    assert "persons" not in text
    digest = hashlib.sha256((out / "gallery.npz").read_bytes()).hexdigest()
    assert claims["files"] == {"gallery.npz": digest}
    assert "CONSISTENT" in stdout
    key = secret_of(out)
    assert stat.S_IMODE(key.stat().st_mode) == 0o700
    for name in ("key.json", "rows.csv", "claims.json"):
        assert stat.S_IMODE((key / name).stat().st_mode) == 0o600
    seed = json.loads((key / "key.json").read_text())["seed"]
    assert int(seed) > 2**128
    assert seed not in text


OF_THE_GALLERY = ("audited", "distances", "images_per_identity", "epsilon_identity")


@pytest.mark.parametrize(
    ("settings", "hidden"),
    [
        ("epsilon=60", (*OF_THE_GALLERY, "reconstruction")),
        ("epsilon=60,images_per_identity=50", ("audited", "distances")),
        (
            "epsilon=60,unit=identity",
            (*OF_THE_GALLERY, "reconstruction", "sigma", "sensitivity"),
        ),
        (
            "epsilon=0.1,calibration=pepr,images_per_identity=50",
            (
                *("audited", "distances", "epsilon_identity", "reconstruction", "sigma"),
                *("epsilon_certified", "remarks", "reason"),
            ),
        ),
    ],
)
def test_what_was_read_off_the_clean_gallery_stays_with_the_key(defend, settings, hidden):
    code, _, stderr, out = defend("--with", f"dp_gallery:trials=200,{settings}")
    assert code == 0, stderr
    (public,), (whole,) = (
        found["claims"] for found in (json.loads((out / "claims.json").read_text()), kept_back(out))
    )
    assert set(whole) - set(public) == set(hidden) == set(whole["private"])
    assert all(public[name] == whole[name] for name in public)
    text = (out / "claims.json").read_text()
    private = [number for number in numbers(whole["distances"]) if number > 0.01]
    assert len(private) > 3
    assert not [number for number in private if repr(number) in text]
    before = kept_back(out)["utility"]["before"]
    assert "before" not in json.loads(text)["utility"]
    assert {measured["metric"] for measured in before} >= {"rank1", "map"}


def numbers(found):
    """All numbers in plain data."""
    if isinstance(found, dict | list):
        return [
            n
            for item in (found.values() if isinstance(found, dict) else found)
            for n in numbers(item)
        ]
    return [found] if isinstance(found, float) else []


def test_the_key_leads_back_from_the_gallery_to_the_people(defend, drawn_folder):
    code, _, stderr, out = defend("--with", "dp_gallery:epsilon=1e+6,trials=200")
    assert code == 0, stderr
    stored = np.load(out / "gallery.npz")
    rows = np.genfromtxt(secret_of(out) / "rows.csv", delimiter=",", names=True, dtype=int)
    assert (rows["pid"] == stored["pids"]).all()
    assert sorted(rows["source_row"]) == list(range(len(rows)))
    assert (rows["source_row"] != np.arange(len(rows))).any()
    # one pseudonym per person, and it says nothing
    pairs = {(int(a), int(b)) for a, b in zip(rows["pid"], rows["source_pid"], strict=True)}
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})
    ordered = [a for a, _ in sorted(pairs, key=lambda pair: pair[1])]
    assert ordered != sorted(ordered)
    # with next to no noise rows of one person lie together
    features = stored["features"] / np.linalg.norm(stored["features"], axis=1, keepdims=True)
    nearest = (features @ features.T - 2 * np.eye(len(features))).argmax(1)
    assert (stored["pids"][nearest] == stored["pids"]).mean() > 0.5


def test_two_results_share_neither_noise_nor_pseudonyms_unless_the_seed_is_given(defend, tmp_path):
    found = {}
    for label, arguments in {"a": (), "b": (), "c": ("--seed", 3), "d": ("--seed", 3)}.items():
        code, _, stderr, out = defend("--with", "dp_gallery:trials=200", "--overwrite", *arguments)
        assert code == 0, stderr
        found[label] = np.load(out / "gallery.npz")["features"]
    assert not np.array_equal(found["a"], found["b"])
    assert np.array_equal(found["c"], found["d"])


def test_a_defended_network_is_written_in_three_forms_that_agree(defend):
    code, _, stderr, out = defend("--with", "softened:factor=0.8")
    assert code == 0, stderr
    names = ["card.json", "claims.json", "model.onnx", "model.safetensors", "model.torchscript.pt"]
    assert sorted(p.name for p in out.iterdir()) == names
    card = json.loads((out / "card.json").read_text())
    assert set(card["largest_difference"]) == {n for n in names if n.startswith("model.")}
    said = read_description(out / "model.safetensors")
    assert (said.arch, said.card.height) == ("reference", card["card"]["height"])
    assert said.facts["defenses"][0]["factor"] == 0.8
    images = torch.rand(5, 3, 128, 64, generator=torch.Generator().manual_seed(0))
    features = [
        embed(open_model(out / name, arch=arch, card=said.card).extractor, images)
        for name, arch in (
            ("model.safetensors", "reference"),
            ("model.torchscript.pt", None),
            ("model.onnx", None),
        )
    ]
    assert torch.allclose(features[0], features[1], atol=1e-4)
    assert torch.allclose(features[0], features[2], atol=1e-4)


def test_a_rebuilt_network_is_written_without_weights_that_nobody_could_load(defend):
    code, _, stderr, out = defend("--with", "rebuilt")
    assert code == 0, stderr
    assert not (out / "model.safetensors").exists()
    assert json.loads((out / "card.json").read_text())["arch"] is None
    assert (out / "model.onnx").is_file()


def test_defenses_compose_and_each_writes_its_part(defend):
    code, stdout, stderr, out = defend(
        "--with", "softened+relabelled", "--with", "dp_gallery:trials=200"
    )
    assert code == 0, stderr
    assert "2-relabelled/ (1 file), " in stdout
    assert "list.txt" not in stdout
    names = {p.name for p in out.iterdir()}
    assert names >= {"model.onnx", "gallery.npz", "2-relabelled", "claims.json"}
    assert (out / "2-relabelled" / "list.txt").read_text() == "relabelled"
    claims = json.loads((out / "claims.json").read_text())
    assert [d["use"] for d in claims["defenses"]] == ["softened", "relabelled", "dp_gallery"]
    assert claims["exported"]["2-relabelled"]["images"] > 0
    assert "2-relabelled/list.txt" in claims["files"]
    assert (secret_of(out) / "2-relabelled" / "identities.csv").read_text() == "secret"


def test_of_several_protections_of_pictures_the_last_one_writes_them(defend):
    size = "image_size=[32,16]"
    code, stdout, stderr, out = defend(
        "--with", f"blur:{size}+pixelation:block=4,{size}+retrain:epochs=1,steps=2"
    )
    assert code == 0, stderr
    assert "2-pixelation/ (" in stdout
    assert not (out / "1-blur").exists()
    assert (out / "model.onnx").is_file()
    written = open_dataset(out / "2-pixelation")
    picture = written.gallery.images.load([0], (32, 16))
    assert torch.allclose(picture[..., :4, :4], picture[..., :1, :1], atol=0.003)
    assert (secret_of(out) / "2-pixelation" / "identities.csv").is_file()
    assert not (secret_of(out) / "1-blur").exists()


def test_a_claim_that_a_later_training_undid_is_not_handed_on(defend):
    private = "dp_sgd:epochs=1,batch=100,unit=identity,views=1,noise_multiplier=1.0"
    code, stdout, stderr, out = defend("--with", f"{private}+retrain:epochs=1,steps=2")
    assert code == 0, stderr
    assert "VOID: retrain put another network" in stdout
    claims = json.loads((out / "claims.json").read_text())
    assert claims["claims"] == []
    assert "no ε is claimed for DP-SGD" in claims["notes"][-1]


def test_a_key_that_goes_by_person_is_told_beside_the_utility(defend):
    code, stdout, stderr, out = defend("--with", "random_image+dp_gallery:epsilon=1e+6,trials=200")
    assert code == 0, stderr
    assert "this utility is overestimated: there is a key per person" in stdout
    claims = json.loads((out / "claims.json").read_text())
    assert claims["utility"]["bias"].startswith("there is a key per person")
    assert any("gallery's own key" in note for note in claims["notes"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--with", "dp_galery"], "did you mean 'dp_gallery'"),
        (["--with", "dp_gallery:epsilom=1"], "did you mean 'epsilon'"),
        (["--with", "dp_gallery:epsilon"], "--with dp_gallery:epsilon: write it as"),
        (["--with", "dp_gallery:delta=0.4"], "whole row"),
        (["--with", "silent"], "nothing to deploy"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_leaves_nothing(defend, arguments, message, tmp_path):
    code, _, stderr, out = defend(*arguments)
    assert code == 2
    lines = [line for line in stderr.splitlines() if line.startswith("audit:")]
    assert len(lines) == 1
    assert message in lines[0]
    assert not out.exists()
    assert not secret_of(out).exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["audit.yaml"]


def test_nothing_is_replaced_unasked(defend):
    _, _, _, out = defend("--with", "dp_gallery:trials=200")
    before = (out / "gallery.npz").read_bytes()
    code, _, stderr, _ = defend("--with", "dp_gallery:trials=200")
    assert (code, (out / "gallery.npz").read_bytes()) == (2, before)
    assert "--overwrite" in stderr
    assert defend("--with", "dp_gallery:trials=200", "--overwrite")[0] == 0
    assert (out / "gallery.npz").read_bytes() != before
    (out / "claims.json").unlink()
    code, _, stderr, _ = defend("--with", "dp_gallery:trials=200", "--overwrite")
    assert code == 2
    assert "not an earlier result" in stderr


def test_model_and_data_are_asked_for(audit, tmp_path):
    code, _, stderr = audit("defend", "--with", "dp_gallery", "--out", tmp_path / "out")
    assert code == 2
    assert "no model given" in stderr


def test_a_sweep_of_labels_on_the_command_line(audit, write_config, tmp_path):
    out = tmp_path / "out"
    config = write_config(defenses={}, controls=False)
    arguments = ["--defend", "strong=dp_gallery:epsilon=1,trials=400"]
    arguments += ["--defend", "papers=dp_gallery:calibration=pepr,epsilon=0.1"]
    arguments += ["--defend", "softened+dp_gallery:trials=200"]
    code, stdout, stderr = audit("run", "--config", config, "--out", out, *arguments)
    assert code in (0, 4), stderr
    assert "papers: OVER-CLAIMED: ε = 0.1 is claimed" in stdout
    record = load(out / "report.json")
    labels = ["none", "strong", "papers", "softened+dp_gallery"]
    assert [s.defense for s in record.scenarios] == labels
    assert all(s.status == "done" for s in record.scenarios)
    _, strong, papers, both = record.scenarios
    assert strong.claims[0].verdict == "CONSISTENT"
    assert strong.claims[0].epsilon_certified == pytest.approx(1, abs=1e-6)
    assert papers.claims[0].verdict == "OVER-CLAIMED"
    assert papers.claims[0].epsilon_certified > 50
    assert [link["use"] for link in both.params["chain"]] == ["softened", "dp_gallery"]
    assert "OVER-CLAIMED" in (out / "report.html").read_text()
