"""The planted leak says what it should, the null extractor says nothing, and both are judged."""

from dataclasses import replace

import pytest
import torch

from auditor.certification import controls
from auditor.certification.controls import (
    CELLS,
    CODE,
    NullExtractor,
    PlantedLeak,
    make_null_target,
    make_planted_target,
)
from auditor.types import MemoryImages, ReIDDataset, RunContext, Split

VALUES = {"gender": ("female", "male"), "age": ("young", "adult", "old")}
SIZES = [(32, 16), (64, 32), (128, 64), (256, 128)]


def split(pids, seed):
    pids = torch.tensor(pids)
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(256, (len(pids), 3, 64, 32), generator=generator).byte()
    attributes = {"gender": pids % 2, "age": (pids % 3) - (pids == 3).long()}
    return Split(MemoryImages(pixels), pids, torch.zeros_like(pids), attributes)


@pytest.fixture
def data():
    others = split([21, 22, 22], seed=3)
    return ReIDDataset(
        "drawn", others, split([4, 5, 3], 1), split([3, 4, 4, 5, 0], 2), others, VALUES
    )


def everything(part, size):
    return part.images.load(range(len(part)), size)


def spelled(part, size=(64, 32)):
    """The band's cells ``(N, CODE)`` as the planted leak reads them."""
    return (PlantedLeak()(everything(part, size))[:, -CODE:] + 1) / 2


class TestStamping:
    @pytest.mark.parametrize("size", [*SIZES, (100, 50)])
    def test_only_the_band_changes(self, data, size):
        stamped = make_planted_target(data, RunContext()).data
        for name in ("train", "query", "gallery", "auxiliary"):
            before, after = (everything(getattr(d, name), size) for d in (data, stamped))
            band = size[0] // 8
            assert torch.equal(before[:, :, band:], after[:, :, band:])
            assert set(after[:, :, :band].unique().tolist()) == {0, 1}

    def test_the_pictures_given_stay_as_they_are(self, data):
        before = data.gallery.images.pixels.clone()
        everything(make_planted_target(data, RunContext()).data.gallery, (64, 32))
        assert torch.equal(data.gallery.images.pixels, before)

    def test_labels_and_names_stay(self, data):
        stamped = make_planted_target(data, RunContext()).data
        assert torch.equal(stamped.gallery.pids, data.gallery.pids)
        assert stamped.attribute_values == VALUES
        assert len(stamped.gallery) == len(data.gallery)

    def test_a_code_depends_on_the_person_alone(self, data):
        stamped = make_planted_target(data, RunContext()).data
        gallery, query = spelled(stamped.gallery), spelled(stamped.query)
        assert torch.equal(gallery[1], gallery[2])  # person 4 twice
        assert torch.equal(gallery[[1, 3, 0]], query)  # persons 4, 5, 3 in the other split
        assert len(gallery.unique(dim=0)) == 4

    def test_attributes_are_spelled_in_order_and_missing_ones_are_blank(self, data):
        gallery = spelled(make_planted_target(data, RunContext()).data.gallery)
        # sorted by name: three cells of age, two of gender; people 3, 4, 4, 5, 0
        assert gallery[:, :5].tolist() == [
            [0, 0, 0, 0, 1],  # 3: age not annotated, gender 1
            [0, 1, 0, 1, 0],
            [0, 1, 0, 1, 0],
            [0, 0, 1, 0, 1],
            [1, 0, 0, 1, 0],
        ]

    def test_people_who_share_attributes_still_differ(self, data):
        parts = {
            name: replace(getattr(data, name), attributes={})
            for name in ("train", "query", "gallery", "auxiliary")
        }
        alike = replace(data, **parts, attribute_values={})
        gallery = spelled(make_planted_target(alike, RunContext()).data.gallery)
        assert len(gallery.unique(dim=0)) == 4
        # random bits: half of the cells, give or take 5 deviations of 96 coin flips
        assert (gallery[0] != gallery[1]).sum().item() == pytest.approx(CODE / 2, abs=25)

    def test_identity_keeps_its_bits_beside_many_attributes(self, data):
        names = {f"a{i:02d}": tuple("xyzw") for i in range(30)}
        column = torch.zeros(5, dtype=torch.long)
        crowded = replace(data.gallery, attributes=dict.fromkeys(names, column))
        many = replace(data, gallery=crowded, attribute_values=VALUES | names)
        gallery = spelled(make_planted_target(many, RunContext()).data.gallery)
        assert gallery.shape[1] == CODE
        assert len(gallery[:, -controls.IDENTITY_BITS :].unique(dim=0)) == 4


class TestExtractors:
    @pytest.mark.parametrize("size", SIZES)
    def test_the_planted_leak_reads_the_band_exactly(self, size):
        # one cell of one channel lit at a time: a one-hot code comes back as it went in
        codes = torch.eye(CODE)
        source = MemoryImages(torch.full((CODE, 3, *size), 77).byte())
        images = controls.StampedImages(source, codes).load(range(CODE), size)
        # at 32×16 the band has four rows and one pixel per cell
        assert images[:, :, : size[0] // 8].sum() == CODE * (size[0] // 8 // CELLS[0]) * (
            size[1] // CELLS[1]
        )
        read = (PlantedLeak()(images)[:, -CODE:] + 1) / 2
        assert torch.allclose(read, codes, atol=1e-6)

    def test_the_planted_leak_keeps_the_thumbnail(self):
        # the projection has orthonormal columns, so pictures apart stay apart
        leak = PlantedLeak()
        columns = leak.projection.T @ leak.projection
        assert torch.allclose(columns, torch.eye(192), atol=1e-5)
        assert leak(torch.rand(2, 3, *leak.input_size)).shape == (2, leak.feature_dim)
        assert torch.equal(leak.projection, PlantedLeak().projection)

    def test_noise_is_repeatable_and_belongs_to_the_picture(self):
        null = NullExtractor()
        images = torch.rand(5, 3, *null.input_size)
        features = null(images)
        assert features.shape == (5, null.feature_dim)
        assert torch.equal(null(images[[3]]), features[[3]])
        assert torch.equal(NullExtractor()(images), features)

    def test_noise_knows_nothing_of_the_picture(self):
        # pictures that differ by one grey level in one pixel have unrelated features
        null = NullExtractor()
        images = torch.full((200, 3, *null.input_size), 0.5)
        for row, image in enumerate(images):
            image[0, row // 16, row % 16] += 2 / 255
        features = null(images)
        likeness = torch.corrcoef(features) - torch.eye(200)
        # 19 900 pairs of 128-D noise: |r| stays below 5.5 / sqrt(128)
        assert likeness.abs().max() < 5.5 / 128**0.5
        assert features.std().item() == pytest.approx(1, abs=0.03)

    def test_the_null_target_is_a_black_box_over_plain_pictures(self, data):
        target = make_null_target(data)
        assert target.data is data
        assert target.extractor.differentiable is False
