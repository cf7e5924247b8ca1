"""The bag: what each fake hides, and where a careless audit would not look.

Every fake is a `Target` that gives people away; its docstring says how. ``FAKES`` maps its name to
the addresses of which at least one must not pass, ``HONEST`` lists systems that give nothing away.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from auditor.releasing import Release
from auditor.report import PrivacyClaim
from auditor.types import MemoryImages, Protection, ReIDDataset, RunContext, Split, Target
from defenses.dp_gallery import GalleryNoise
from tests import worlds
from tests.fakes.crowd import CODE, RARE, SIZE, code, crowd, gaussian, salt, shows_one_of

Read = Callable[[Tensor], Tensor]

NAMING = ("none/ladder/identity.top1",)
EXPOSED = ("none/*/top1.fully_exposed",)
CLAIMING = ("none/claims/verdict",)
LINKING = ("none/ladder/linkage.linkage_rank1",)
INFERRING = ("none/ladder/attribute.tall.balanced_accuracy",)


class Extractor(nn.Module):
    """A function of pictures ``(B, 3, 16, 8)`` as an extractor."""

    input_size = SIZE

    def __init__(self, read: Read) -> None:
        super().__init__()
        self.read = read
        self.feature_dim = read(torch.zeros(1, 3, *SIZE)).shape[1]

    def forward(self, images: Tensor) -> Tensor:
        return self.read(images)


@dataclass(frozen=True)
class Fake:
    """A system, the addresses of which at least one must not pass, and what is done to it first."""

    make: Callable[[], Target]
    addresses: tuple[str, ...]
    hides: str = ""
    defenses: dict[str, Any] = field(default_factory=dict)


FAKES: dict[str, Fake] = {}
HONEST: dict[str, Callable[[], Target]] = {}


def fake(
    *addresses: str, defenses: dict[str, Any] | None = None
) -> Callable[[Callable[[], Target]], Callable[[], Target]]:
    """Put a system into the bag."""

    def register(make: Callable[[], Target]) -> Callable[[], Target]:
        hides = (make.__doc__ or "").partition("\n")[0]
        FAKES[make.__name__] = Fake(make, addresses, hides, defenses or {})
        return make

    return register


def honest(make: Callable[[], Target]) -> Callable[[], Target]:
    """Put a system among those that give nothing away."""
    HONEST[make.__name__] = make
    return make


def reads(read: Read, data: ReIDDataset | None = None) -> Target:
    """A system that stores what ``read`` makes of a picture."""
    return Target(Extractor(read), data or crowd())


# --- nothing hidden: the yardstick ---


@fake(*NAMING)
def open_book() -> Target:
    """Stores the code itself."""
    return reads(code)


# --- hidden from distances ---


@fake(*NAMING)
def faint_code() -> Target:
    """The code at a ten-thousandth of the amplitude of the noise around it."""
    return reads(lambda x: torch.cat([gaussian(x, 64), 1e-4 * code(x)], 1))


@fake(*NAMING)
def code_in_norms() -> Target:
    """Twelve random directions per picture; how long they are says who it is."""

    def read(x: Tensor) -> Tensor:
        turn = 2 * torch.pi * salt(x, 12)
        return torch.cat([turn.cos(), turn.sin()], 1) * (0.5 * code(x)[:, :12]).exp().repeat(1, 2)

    return reads(read)


@fake(*NAMING)
def code_in_magnitudes() -> Target:
    """The sign of every coordinate is random in every picture; magnitudes are the code."""
    return reads(lambda x: code(x) * (salt(x, CODE) - 0.5).sign())


@fake(*NAMING)
def code_in_products() -> Target:
    """Pairs of coordinates share a random sign and scale; only their product is the code."""

    def read(x: Tensor) -> Tensor:
        sign = (salt(x, CODE) - 0.5).sign()
        return torch.cat([sign, sign * code(x)], 1)

    return reads(read)


@fake(*NAMING)
def permuted_with_a_key() -> Target:
    """Coordinates rotate by a number that is stored beside them."""

    def read(x: Tensor) -> Tensor:
        key = (salt(x, 1) * 8).long()
        places = (torch.arange(CODE)[None] + 3 * key) % CODE
        return torch.cat([code(x).gather(1, places), F.one_hot(key[:, 0], 8).float()], 1)

    return reads(read)


@fake(*NAMING)
def huge_and_small_scales() -> Target:
    """Every picture is scaled by its own factor between a thousandth and a thousand."""
    return reads(lambda x: code(x) * (10 ** (6 * salt(x, 1) - 3)))


@fake(*NAMING)
def outliers() -> Target:
    """One entry in fifty is a million times larger, which breaks means and deviations."""

    def read(x: Tensor) -> Tensor:
        return torch.where(salt(x, 1) < 0.02, 1e6 * gaussian(x, CODE), code(x))

    return reads(read)


@fake(*NAMING)
def rarely_active_coordinates() -> Target:
    """Each coordinate is zero in 95% of entries, and a clear trace of the person in the others."""

    def read(x: Tensor) -> Tensor:
        words = torch.randn(CODE, 480, generator=torch.Generator().manual_seed(1))
        trace = code(x) @ words / CODE**0.5
        noise = gaussian(x, 40)
        return torch.cat([30 * noise, 0.02 * (trace - 1.64).clamp_min(0)], 1)

    return reads(read)


@fake(*NAMING)
def hashed_codes() -> Target:
    """Only a hash of the quantised code is stored, the same bits whenever somebody comes by."""

    def read(x: Tensor) -> Tensor:
        words = torch.randn(CODE, 512, generator=torch.Generator().manual_seed(2))
        return ((code(x) @ words) > 0).float()

    return reads(read)


@fake(*NAMING)
def quantised_to_one_bit() -> Target:
    """One bit a coordinate, drowned among constant ones."""
    return reads(lambda x: torch.cat([torch.ones(len(x), 200), 1e-3 * code(x).sign()], 1))


@fake(*NAMING)
def twins() -> Target:
    """Everybody is stored with the feature of a twin: half right whenever the pair is found."""

    def read(x: Tensor) -> Tensor:
        return torch.cat([code(x)[:, :12].abs(), 0.3 * gaussian(x, 4)], 1)

    return reads(read)


@fake(*NAMING)
def faint_direction() -> Target:
    """The code at a ten-thousandth of the noise, along directions in which all coordinates vary."""

    def read(x: Tensor) -> Tensor:
        turn = torch.randn(64, 64, generator=torch.Generator().manual_seed(7))
        return torch.cat([gaussian(x, 40), 1e-4 * code(x)], 1) @ torch.linalg.qr(turn).Q

    return reads(read)


@fake(*NAMING)
def fainter_code() -> Target:
    """The code at a hundred-millionth of the amplitude of the noise beside it."""
    return reads(lambda x: torch.cat([gaussian(x, 64), 1e-8 * code(x)], 1))


@fake(*NAMING)
def code_in_the_order() -> Target:
    """Every picture has a scale, an offset and a bend of its own; only the order says who it is."""

    def read(x: Tensor) -> Tensor:
        own = salt(x, 3)
        return (10 ** (4 * own[:, :1] - 2)) * (code(x) * (1 + 3 * own[:, 1:2])).sinh() + own[:, 2:]

    return reads(read)


# --- hidden among people, cameras and attributes ---


def _of_some(pids: Tensor) -> Target:
    """The code of some people, and noise for all others."""
    return reads(lambda x: torch.where(shows_one_of(x, pids), code(x), gaussian(x, CODE)))


@fake(*EXPOSED)
def leaks_one_person_in_twenty() -> Target:
    """Nineteen people in twenty are safe; the others are named every time."""
    return _of_some(torch.arange(20, 241, 20))


@fake(*EXPOSED)
def leaks_one_person_in_a_hundred() -> Target:
    """One person in a hundred is named every time, and nobody else."""
    return _of_some(torch.tensor([17, 150]))


@fake(*NAMING)
def leaks_by_one_camera() -> Target:
    """Pictures of one camera are stored in the clear; those of the others are noise."""
    data = crowd()

    def marked(split: Split) -> Split:
        pixels = split.images.load(range(len(split)), SIZE)
        pixels[:, :, 0, 0] = (split.camids == 0).float()[:, None]
        return replace(split, images=MemoryImages((pixels * 255).round().byte()))

    def read(x: Tensor) -> Tensor:
        return torch.where(x[:, :1, 0, 0] > 0.9, code(x), gaussian(x, CODE))

    parts = {name: marked(getattr(data, name)) for name in ("query", "gallery", "auxiliary")}
    return reads(read, replace(data, **parts, train=parts["auxiliary"]))


@fake("none/ladder/attribute.rare.balanced_accuracy")
def leaks_one_rare_attribute() -> Target:
    """Nothing but one attribute that one person in eight has."""

    def read(x: Tensor) -> Tensor:
        rare = (code(x)[:, :1] > RARE).float()
        return torch.cat([gaussian(x, 32), 0.02 * rare], 1)

    return reads(read)


@fake(*INFERRING)
def leaks_an_attribute_by_parity() -> Target:
    """Two random signs whose product is an attribute."""

    def read(x: Tensor) -> Tensor:
        sign = (salt(x, 1) - 0.5).sign()
        return torch.cat([gaussian(x, 8), sign, sign * code(x)[:, 1:2].sign()], 1)

    return reads(read)


# --- hidden in the release ---


@fake(*NAMING)
def not_a_number() -> Target:
    """A fifth of the stored rows are NaN, which compares with nothing."""

    def release(features: Tensor, generator: torch.Generator) -> Tensor:
        stored = features.clone()
        stored[::5] = torch.nan
        return stored

    return replace(reads(code), release=release)


@fake(*NAMING)
def constant_rows() -> Target:
    """Most rows are one and the same; the others say it all."""

    def release(features: Tensor, generator: torch.Generator) -> Tensor:
        stored = features.clone()
        stored[torch.arange(len(stored)) % 3 > 0] = 1.0
        return stored

    return replace(reads(code), release=release)


@fake(*NAMING)
def protects_only_what_is_searched_with() -> Target:
    """Queries meet noise, so retrieval looks poor; the gallery is stored as it is."""
    data = crowd()
    noise = torch.randint(
        256, (len(data.query), 3, *SIZE), generator=torch.Generator().manual_seed(3)
    )
    query = replace(data.query, images=MemoryImages(noise.byte()))
    return reads(code, replace(data, query=query))


@fake(*NAMING)
def rotated_by_a_secret() -> Target:
    """Every release turns all features by a secret rotation, which hides nobody within it."""

    def release(features: Tensor, generator: torch.Generator) -> Tensor:
        return features @ torch.linalg.qr(torch.randn(CODE, CODE, generator=generator)).Q

    return replace(reads(code), release=release)


@fake("none/ladder/averaging.matched_rank1", *LINKING)
def noise_that_averages_out() -> Target:
    """Noise hides everybody in one release; another is drawn whenever somebody asks."""

    def release(features: Tensor, generator: torch.Generator) -> Tensor:
        return features + 4 * torch.randn(features.shape, generator=generator)

    return replace(reads(code), release=release)


@fake("none/utility/rank1")
def shuffled_labels() -> Target:
    """Labels of the gallery are shuffled, so that whoever is found is counted as somebody else."""
    data = crowd()
    order = torch.randperm(len(data.gallery), generator=torch.Generator().manual_seed(4))
    gallery = replace(data.gallery, pids=data.gallery.pids[order])
    return reads(code, replace(data, gallery=gallery))


@fake("none/utility/rank1")
def everybody_is_a_distractor() -> Target:
    """People are stored twice: as noise under their names, and in the clear under none."""
    data = crowd()
    pixels = data.gallery.images.load(range(len(data.gallery)), SIZE)
    noise = torch.rand(pixels.shape, generator=torch.Generator().manual_seed(6))
    both = Split(
        MemoryImages((torch.cat([noise, pixels]) * 255).round().byte()),
        torch.cat([data.gallery.pids, torch.zeros_like(data.gallery.pids)]),
        data.gallery.camids.repeat(2),
        {name: column.repeat(2) for name, column in data.gallery.attributes.items()},
    )
    return reads(code, replace(data, gallery=both))


@fake(*NAMING)
def recognises_the_controls() -> Target:
    """Noise for whatever does not look like its own people, such as a control's stamped picture."""

    def read(x: Tensor) -> Tensor:
        return torch.where(code(x).abs().amax(1, keepdim=True) < 3.9, code(x), gaussian(x, CODE))

    return reads(read)


@fake(*INFERRING)
def permuted_pictures() -> Target:
    """Published pictures have their channels exchanged; an adversary with clean ones reads none."""
    data = crowd()

    def publish(split: Split, generator: torch.Generator) -> Split:
        pixels = split.images.load(range(len(split)), SIZE).roll(1, dims=1).flip(2)
        return replace(split, images=MemoryImages((pixels * 255).round().byte()))

    gallery = publish(data.gallery, torch.Generator())
    return replace(
        reads(code, replace(data, gallery=gallery)),
        protection=Protection(originals=data.gallery, publish=publish),
    )


@fake(*INFERRING)
def protected_in_secret() -> Target:
    """The gallery's pictures lost their contrast and colours by a mechanism nobody is told of."""
    data = crowd()
    pixels = data.gallery.images.load(range(len(data.gallery)), SIZE).roll(1, dims=1).flip(2)
    pixels = 0.5 + (pixels - 0.5) / 2
    gallery = replace(data.gallery, images=MemoryImages((pixels * 255).round().byte()))
    return reads(code, replace(data, gallery=gallery))


@fake(*INFERRING)
def pictures_of_another_world() -> Target:
    """The pictures to learn from are noise, so whoever learns from them reads nothing."""
    data = crowd()
    noise = torch.randint(
        256, (len(data.auxiliary), 3, *SIZE), generator=torch.Generator().manual_seed(10)
    )
    auxiliary = replace(data.auxiliary, images=MemoryImages(noise.byte()))
    return reads(code, replace(data, auxiliary=auxiliary, train=auxiliary))


@fake(*NAMING)
def one_noise_for_everybody() -> Target:
    """Noise is drawn once a release and added to all rows alike."""

    def release(features: Tensor, generator: torch.Generator) -> Tensor:
        return features + 1e3 * torch.randn(1, CODE, generator=generator)

    return replace(reads(code), release=release)


# --- hidden behind a claim ---


def _promise(claimed: GalleryNoise, release: Callable[[PrivacyClaim], Release]) -> Target:
    """The code, with the claim of one mechanism and the release of another."""
    honest = claimed.apply(reads(code), RunContext())
    return replace(honest, release=release(honest.claims[0]))


def _fresh(sigma: float) -> Release:
    """Another draw of noise whenever somebody asks."""

    def release(features: Tensor, generator: torch.Generator) -> Tensor:
        return features + sigma * torch.randn(features.shape, generator=generator)

    return release


STRONG = GalleryNoise(epsilon=2.0, trials=200)
STICKY = GalleryNoise(epsilon=2.0, trials=200, sticky=True)


@fake(*CLAIMING)
def noise_seeded_by_the_picture() -> Target:
    """Noise as strong as claimed, which follows from the row: who can ask can take it off."""

    def release(claim: PrivacyClaim) -> Release:
        def stored(features: Tensor, generator: torch.Generator) -> Tensor:
            mixed = (1e3 * features.double()).sin() @ torch.ones(CODE, CODE, dtype=torch.double)
            turns = (mixed * torch.arange(1, CODE + 1) * 43758.5453).remainder(1)
            return features + claim.sigma * torch.special.ndtri(turns.clamp(1e-6, 1 - 1e-6)).float()

        return stored

    return _promise(STRONG, release)


@fake(*CLAIMING, "none/ladder/averaging.matched_rank1")
def sticky_noise_that_does_not_stick() -> Target:
    """However often a record is released, its ε is counted once, and its noise is another one."""
    return _promise(STICKY, lambda claim: _fresh(claim.sigma))


@fake(*CLAIMING)
def less_noise_than_claimed() -> Target:
    """A hundredth of the noise from which the ε was computed."""
    return _promise(STRONG, lambda claim: _fresh(claim.sigma / 100))


@fake(*CLAIMING)
def noise_on_most_rows() -> Target:
    """One row in fifty is stored as it is."""

    def release(claim: PrivacyClaim) -> Release:
        def stored(features: Tensor, generator: torch.Generator) -> Tensor:
            noisy = _fresh(claim.sigma)(features, generator)
            noisy[::50] = features[::50]
            return noisy

        return stored

    return _promise(STRONG, release)


PRIVATE = {"use": "dp_sgd", "epochs": 1, "views": 1, "canaries": 0, "batch": 32}
AGAIN = {"use": "retrain", "epochs": 1}


@fake("private/claims/verdict", defenses={"private": {"chain": [PRIVATE, AGAIN]}})
def claim_from_before_retraining() -> Target:
    """Trained with noise and an ε, and then once more on the same people without."""
    return replace(worlds.trainable(), data=crowd())


# --- private ---


@honest
def noise_of_the_picture() -> Target:
    """Features have nothing to do with the person."""
    return reads(lambda x: gaussian(x, 32))


@honest
def short_noise() -> Target:
    """The same in two dimensions."""
    return reads(lambda x: gaussian(x, 2))


@honest
def uniform_noise() -> Target:
    """Noise without a centre or a bell."""
    return reads(lambda x: salt(x, 48))


@honest
def one_feature_for_all() -> Target:
    """Everybody is stored as the same vector, but for a breath of noise."""
    return reads(lambda x: 1 + 1e-6 * gaussian(x, 16))


@honest
def heavy_noise() -> Target:
    """The code under noise a hundred times as large."""

    def release(features: Tensor, generator: torch.Generator) -> Tensor:
        return features + 100 * torch.randn(features.shape, generator=generator)

    return replace(reads(code), release=release)


@honest
def noise_as_claimed() -> Target:
    """The code under the noise of the mechanism that its claim names."""
    return STRONG.apply(reads(code), RunContext())


@honest
def sticky_noise_as_claimed() -> Target:
    """The same, the noise of a record being the same whenever it is released."""
    return STICKY.apply(reads(code), RunContext())


@honest
def random_bits() -> Target:
    """Bits drawn by the picture."""
    return reads(lambda x: (salt(x, 64) > 0.5).float())


@honest
def heavy_tails() -> Target:
    """Noise whose largest entries dwarf the rest."""
    return reads(lambda x: gaussian(x, 24) / gaussian(x, 48)[:, 24:].abs().clamp_min(1e-3))


@honest
def the_camera_alone() -> Target:
    """Nothing about people; brightness of the picture's grain alone."""
    return reads(lambda x: torch.cat([gaussian(x, 8), gaussian(x, 9)[:, 8:].abs()], 1))


@honest
def somebody_elses_pictures() -> Target:
    """The gallery shows people whom nobody asks for, under labels dealt at random."""
    data = crowd()
    order = torch.randperm(len(data.gallery), generator=torch.Generator().manual_seed(9))
    noise = torch.randint(
        256, (len(data.gallery), 3, *SIZE), generator=torch.Generator().manual_seed(8)
    )
    gallery = replace(
        data.gallery, images=MemoryImages(noise.byte()), pids=data.gallery.pids[order]
    )
    return reads(code, replace(data, gallery=gallery))


@honest
def sparse_noise() -> Target:
    """Mostly zeros, the others drawn by the picture."""
    return reads(lambda x: gaussian(x, 64) * (salt(x, 64) > 0.95))
