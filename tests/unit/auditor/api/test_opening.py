"""Models, people and single attacks from Python, and what `import auditor` costs."""

import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
import torch

import auditor
from attacks.identity import IdentityLda
from auditor import ReIDDataset
from auditor.data.images import FileImages
from auditor.data.synthetic.world import save_world
from auditor.errors import (
    DataError,
    ModelError,
    ModelRefusedError,
    UnsupportedTargetError,
    UsageError,
)
from auditor.models.card import Card
from auditor.models.reference import WEIGHTS
from auditor.types import RunContext, Target
from defenses.dp_gallery import GalleryNoise
from tests import worlds
from tests.unit.auditor.api.own import CARD, NearestPicture, Net, Uncontrolled


class TestImport:
    @pytest.mark.parametrize(
        "use",
        [
            "import auditor; dir(auditor)",
            "from auditor import Report, Verdicts, Gate, Finding, VerdictError",
        ],
    )
    def test_needs_no_torch(self, use):
        script = f"import sys\n{use}\nassert 'torch' not in sys.modules"
        subprocess.run([sys.executable, "-c", script], check=True)

    def test_every_public_name_is_there(self):
        for name in auditor.__all__:
            assert getattr(auditor, name).__doc__, name
        assert set(auditor.__all__) <= set(dir(auditor))
        with pytest.raises(AttributeError, match="audti"):
            auditor.audti  # noqa: B018


class TestOpenModel:
    def test_a_network_is_fed_by_its_card(self):
        model = auditor.open_model(Net(), card=CARD)
        assert model.extractor.input_size == (64, 32)
        assert model.facts["feature_dim"] == 32
        assert model.facts["weights_sha256"] == auditor.open_model(Net()).facts["weights_sha256"]
        assert model.facts["weights_sha256"] != auditor.open_model(Net(8)).facts["weights_sha256"]
        other = Net()
        other.exponent = 2
        fields = [auditor.open_model(net).facts["fields_sha256"] for net in (Net(), Net(), other)]
        assert fields[0] == fields[1] != fields[2]
        card = Card(height=64, width=32, l2_norm=True)
        assert auditor.open_model(Net(), card=card).extractor.card == card
        assert auditor.open_model(Net(), card="transreid").extractor.card.mean == (0.5, 0.5, 0.5)

    def test_an_extractor_is_fed_as_it_says(self):
        planted = worlds.leaky().extractor
        images = torch.rand(2, 3, *planted.input_size)
        model = auditor.open_model(planted)
        torch.testing.assert_close(model.extractor(images), planted(images))
        again = auditor.open_model(model.extractor)
        assert again.extractor.card == model.extractor.card
        assert auditor.open_model(model) is model

    def test_a_file_is_opened_as_the_command_line_does(self):
        model = auditor.open_model(WEIGHTS, arch="reference", card={"height": 64, "width": 32})
        assert model.facts["format"] == "safetensors"
        assert model.extractor.input_size == (64, 32)

    @pytest.mark.parametrize(
        ("given", "error"),
        [
            ({"model": Net(), "arch": "osnet"}, UsageError),
            ({"model": auditor.open_model(Net()), "card": "torchreid"}, UsageError),
            ({"model": Net(), "card": "none"}, UsageError),
            ({"model": Net(), "card": {"hight": 3}}, UsageError),
            ({"model": WEIGHTS, "arch": "no_such_arch"}, ModelError),
            ({"model": "nowhere.pt"}, ModelError),
            ({"model": None}, UsageError),
            ({"model": "net.pt", "card": 3}, UsageError),
            ({"model": worlds.OneNumber()}, ModelError),
        ],
    )
    def test_what_cannot_be_opened(self, given, error):
        with pytest.raises(error):
            auditor.open_model(**given)

    def test_a_pickle_is_refused(self, tmp_path):
        import pickle

        file = tmp_path / "net.pkl"
        file.write_bytes(pickle.dumps({"weight": [1.0]}))
        with pytest.raises(ModelRefusedError):
            auditor.open_model(file)


class TestPeople:
    def test_synthetic_people_repeat_under_a_seed(self):
        made = [auditor.synthetic_dataset(4, images_per_camera=2, seed=seed) for seed in (1, 1, 2)]
        first, again, other = (data.gallery.images.pixels for data in made)
        assert torch.equal(first, again)
        assert not torch.equal(first, other)
        assert len(made[0].auxiliary.pids.unique()) == 8
        assert not made[0].real_people
        with pytest.raises(DataError, match="images_per_camera"):
            auditor.synthetic_dataset(images_per_camera=1)

    def test_a_folder(self, tmp_path):
        save_world(worlds.few(), tmp_path / "people")
        assert len(auditor.open_dataset(str(tmp_path / "people")).query) == len(worlds.few().query)
        for given in ({"path": tmp_path / "none"}, {"path": tmp_path, "near_duplicates": "ask"}):
            with pytest.raises(DataError):
                auditor.open_dataset(**given)


def columns():
    """Two attacked and two auxiliary people, one picture in each split and camera."""
    data = worlds.few()
    parts = {"query": data.query, "gallery": data.gallery, "auxiliary": data.auxiliary}
    return {
        "images": torch.cat([part.images.pixels for part in parts.values()]),
        "pids": torch.cat([part.pids for part in parts.values()]).tolist(),
        "camids": torch.cat([part.camids for part in parts.values()]).numpy(),
        "split": [name for name, part in parts.items() for _ in range(len(part))],
    }


class TestFromArrays:
    def test_gives_the_same_pictures_whatever_their_form(self, tmp_path):
        given, data = columns(), worlds.few()
        uint8 = given["images"]
        forms = [uint8, uint8.numpy(), uint8.permute(0, 2, 3, 1).numpy(), uint8.float() / 255,
                 list(uint8.permute(0, 2, 3, 1).numpy())]  # fmt: skip
        size = uint8.shape[-2:]
        for images in forms:
            made = ReIDDataset.from_arrays(**{**given, "images": images})
            for name in ("query", "gallery", "auxiliary"):
                part, wanted = getattr(made, name), getattr(data, name)
                assert torch.equal(part.pids, wanted.pids)
                assert torch.equal(part.camids, wanted.camids)
                assert torch.equal(part.images.load([0, 3], size), wanted.images.load([0, 3], size))
            assert made.train is made.auxiliary
            assert made.real_people

    def test_files_may_stand_for_arrays(self, tmp_path):
        save_world(worlds.few(), tmp_path)
        files = sorted((tmp_path / "query").glob("*.jpg")) or sorted(tmp_path.glob("query/*"))
        rows = len(files)
        split = ["query", "gallery", "auxiliary"] + ["auxiliary"] * (rows - 3)
        pids = [1, 1, *range(2, rows)]
        made = ReIDDataset.from_arrays(FileImages(files), pids, [0] * rows, split)
        assert made.query.images.load([0], (8, 4)).shape == (1, 3, 8, 4)

    def test_attributes_are_coded_in_order_and_may_be_missing(self):
        given = columns()
        rows = len(given["pids"])
        values = (["red", None, "blue", float("nan")] * rows)[:rows]
        made = ReIDDataset.from_arrays(**given, attributes={"coat": values})
        assert made.attribute_values == {"coat": ("blue", "red")}
        assert made.query.attributes["coat"][:4].tolist() == [1, -1, 0, -1]

    def test_can_be_audited(self):
        made = ReIDDataset.from_arrays(**columns(), name="mine", real_people=False)
        report = auditor.audit(
            Net(), made, card=CARD, attacks=[NearestPicture()], controls=False, progress=False
        )
        straight = auditor.audit(
            Net(), worlds.few(), card=CARD, attacks=[NearestPicture()], controls=False,
            progress=False,
        )  # fmt: skip
        address = "none/nearest_picture/top1"
        assert report[address].value == straight[address].value
        assert report.record.title == "Net on mine"
        assert report.record.data["identities"]["query"] == 8
        report.render(report.folder, formats=["html"])

    @pytest.mark.parametrize(
        ("changed", "message"),
        [
            ({"images": lambda x: x[:, 0]}, "shape"),
            ({"images": lambda x: x.float()}, r"\[0, 1\]"),
            ({"images": lambda x: x.int()}, "int32"),
            ({"images": lambda x: [x[0].numpy(), x[1, :, :9].numpy()]}, "stack pictures"),
            ({"pids": lambda x: x[1:]}, "pids has"),
            ({"pids": lambda x: [-1, *x[1:]]}, "junk"),
            ({"pids": lambda x: ["ada", *x[1:]]}, "pids are"),
            ({"pids": lambda x: np.array(x, dtype=float)}, "whole number"),
            ({"camids": lambda x: x - 5}, "begin at"),
            ({"camids": lambda x: x[:, None]}, "shape"),
            ({"split": lambda x: ["test", *x[1:]]}, "'test'"),
            ({"split": lambda x: ["gallery" if s == "query" else s for s in x]}, "'query'"),
            ({"split": lambda x: ["gallery" if s == "auxiliary" else s for s in x]}, "adversary"),
            ({"split": lambda x: ["auxiliary", *x[1:]]}, "both auxiliary and attacked"),
        ],
    )
    def test_says_what_does_not_fit(self, changed, message):
        given = columns()
        given |= {name: change(given[name]) for name, change in changed.items()}
        with pytest.raises(DataError, match=message):
            ReIDDataset.from_arrays(**given)

    def test_attributes_have_a_value_for_each_picture(self):
        with pytest.raises(DataError, match="coat has 1 value "):
            ReIDDataset.from_arrays(**columns(), attributes={"coat": ["red"]})


@dataclass(frozen=True, kw_only=True)
class Crashing:
    """Never finds anything."""

    def run(self, target, ctx):
        """See `auditor.types.Attack`."""
        raise RuntimeError("out of luck")


class TestEvaluate:
    def test_certifies_what_a_run_alone_only_claims(self, tmp_path):
        target = Target(auditor.open_model(Net(), card=CARD).extractor, worlds.people())
        found = auditor.evaluate(IdentityLda(), target, progress=False)
        alone = IdentityLda().run(target, RunContext(workdir=tmp_path))
        assert [m.value for m in found.measurements] == [m.value for m in alone.measurements]
        assert found.power("top1").outcome == "shown"
        assert found.power("top1").adversary == "The Bayes classifier of the two-covariance model"
        assert {name[0] for name in found.measurements[0].persons} == {"P"}
        assert (found.attack, found.plugin, found.status) == ("identity_lda",) * 2 + ("done",)

    def test_goes_behind_the_targets_own_release(self):
        bare = Target(auditor.open_model(Net(), card=CARD).extractor, worlds.people())
        noisy = GalleryNoise(epsilon=300, trials=200).apply(bare, RunContext())
        powers = [auditor.evaluate(IdentityLda(), t, progress=False).power() for t in (bare, noisy)]
        assert powers[1].reference < powers[0].reference

    def test_keeps_pictures_only_where_it_is_told_to(self, tmp_path):
        target = Target(auditor.open_model(Net(), card=CARD).extractor, worlds.few())
        attack = NearestPicture()
        found = auditor.evaluate(attack, target, out=tmp_path / "kept", progress=False)
        assert found.power().shown
        assert (tmp_path / "kept" / "personal").stat().st_mode & 0o077 == 0

    def test_what_goes_wrong_is_a_finding(self):
        target = Target(worlds.leaky().extractor, worlds.few())
        found = auditor.evaluate(Crashing(), target, progress=False)
        assert (found.status, found.reason) == ("failed", "RuntimeError: out of luck")
        assert found.power().outcome == "not-run"
        found = auditor.evaluate(Uncontrolled(), target, progress=False)
        assert (found.status, found.power().outcome) == ("not-applicable", "not-run")

    def test_what_is_no_attack_is_refused(self):
        for wrong in (NearestPicture, GalleryNoise(epsilon=1), "identity"):
            with pytest.raises(UsageError):
                auditor.evaluate(wrong, worlds.leaky(), progress=False)
        with pytest.raises(UsageError, match="required_efficiency"):
            auditor.evaluate(NearestPicture(), worlds.leaky(), required_efficiency=2)


def test_an_attack_alone_raises_what_the_finding_would_say():
    with pytest.raises(UnsupportedTargetError):
        Uncontrolled().run(worlds.leaky(), RunContext())
