"""Person identity shift, and its configurations, as defenses."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import NonNegativeInt, PositiveInt, TypeAdapter

from auditor import plugins
from auditor.data import open_dataset
from auditor.data.joining import join_splits
from auditor.errors import UnsupportedTargetError, UsageError
from auditor.plugins.declaring import OwnFile, Positive, Share, Weight, checked_dataclass
from auditor.types import ReIDDataset, RunContext, Split, Target
from defenses.pis.export import export_more, export_shifted
from defenses.pis.keeping import KeptShift
from defenses.pis.learning import Recipe, learn
from defenses.pis.mixing import check_weights
from defenses.pis.network import ConditionalVae, resolutions
from defenses.pis.pose import Pose, Source, pose_from
from defenses.pis.shift import Shift
from defenses.publish.publish import KEYED, protect

KEY = "defenses.pis"
"""Name of the randomness that the key of gallery and query is drawn with."""


@checked_dataclass
class IdentityShift:
    """Replaces everybody's pictures by those of a mixed person, the same one in all of them.

    A conditional VAE, trained on the train people, tells what somebody looks like from how they
    stand; what they look like is mixed with one picture of another person, the same one for all
    pictures of a person, and drawn in the original pose. So people stay apart from each other,
    while a clean picture of somebody should no longer find them. Gallery and query are shifted
    under one key; the adversary may run the mechanism under keys of their own.

    Source: PIS (SCIS 69(1), 2026; arXiv 2207.07311), after VUNet (Esser et al., CVPR 2018).
    Differences: `defenses.pis.network` and `defenses.pis.losses` name theirs. Where neither a file
    of keypoints nor an estimator's weights are given, a silhouette stands for the pose. The paper
    publishes training pictures, this the gallery. The number of possible partners is no measure of
    safety: `unshift`, `linkage` and `identity_retrieval` are the attacks to judge it by.

    Attributes:
        weights: λ, the share of the person's own picture and of each partner's; sums to 1.
        bound: d; every share is below it.
        partners: ``inside`` the published pictures, from ``train``, or from another data set, whose
            folder is named (cross-dataset PIS).
        noise: ``partners``, or Laplace noise of the same mean size in their place (Table 8).
        pose: where poses come from; ``auto`` takes keypoints, the estimator or the silhouette;
            ``grey`` is the picture without colours.
        keypoints: CSV or JSON file of keypoints; see `defenses.publish.keypoints`.
        image_size: (height, width) of the published pictures.
        width: channels of the network at its finest resolution.
        blocks: residual blocks per resolution.
        patch: pixels that are folded into one at the finest resolution, per side; 1 in the paper.
        latent: channels of each latent map.
        scales: number of latent maps.
        pooled: whether a latent is one vector for the whole picture instead of a map.
        epochs: of the first stage, the VAE alone.
        joint_epochs: of the second, with all branches.
        batch_size: pictures per step.
        lr: Adam's rate, falling to a hundredth.
        reconstruction: α_rec, weight of the perceptual loss.
        kl: weight of the KL term once it is whole.
        ramp: shares of the first stage at which the KL term starts to grow, and is whole.
        cycle: whether the cycle branch is trained (CT).
        similarity: whether the similarity-preservation branch is trained (SP).
        adversarial: whether ACAI's regulariser is added in the second stage (AR).
    """

    weights: tuple[float, ...] = (0.5, 0.5)
    bound: float = 0.6
    partners: Literal["inside", "train"] | OwnFile = "inside"
    noise: Literal["partners", "laplace"] = "partners"
    pose: Source = "auto"
    keypoints: OwnFile | None = None
    image_size: tuple[int, int] = (64, 32)
    width: PositiveInt = 24
    blocks: PositiveInt = 2
    patch: PositiveInt = 2
    latent: PositiveInt = 16
    scales: PositiveInt = 2
    pooled: bool = False
    epochs: NonNegativeInt = 20
    joint_epochs: NonNegativeInt = 10
    batch_size: PositiveInt = 16
    lr: Positive = 1e-3
    reconstruction: Positive = 5.0
    kl: Weight = 1.0
    ramp: tuple[Share, Share] = (0.5, 0.75)
    cycle: bool = True
    similarity: bool = True
    adversarial: bool = False

    def __post_init__(self) -> None:
        check_weights(self.weights, self.bound)
        if self.scales > resolutions(self.image_size, self.patch):
            raise ValueError("scales must not exceed the number of resolutions of image_size")
        if self.ramp[0] > self.ramp[1]:
            raise ValueError("ramp must be two ascending shares")
        if self.pose == "keypoints" and self.keypoints is None:
            raise ValueError("pose: keypoints needs the file, keypoints")

    def apply(self, target: Target, ctx: RunContext) -> Target:
        """See `auditor.types.Defense`.

        Raises:
            UnsupportedTargetError: if there is nobody to learn from.
            DataError: for a file of keypoints or a data set that cannot be read, or too few people.
            EnvironmentUnmetError: if the estimator is asked for and its weights are not there.
        """
        mechanism = self.mechanism(target.data, ctx)
        notes = (f"poses come from: {mechanism.pose.origin}",)
        bias = KEYED if self.noise == "partners" else ""
        return protect(target, mechanism, ctx, KEY, notes=notes, bias=bias)

    def export(self, defended: Target, ctx: RunContext, folder: Path) -> Mapping[str, Any]:
        """See `auditor.types.Exporter`; raises EnvironmentUnmetError if the disk refuses."""
        return export_shifted(defended, KEY, plugins.parameters(self), ctx, folder)

    @classmethod
    def export_more(
        cls, key: Path, data: ReIDDataset, ctx: RunContext, folder: Path
    ) -> Mapping[str, Any]:
        """See `auditor.types.Continuing`; raises UsageError if poses come from elsewhere now."""
        kept = KeptShift.load(key)
        defense = TypeAdapter(cls).validate_python(dict(kept.params))
        pose = pose_from(defense.pose, defense.keypoints, ctx)
        if pose.origin != kept.origin:
            raise UsageError(
                f"poses of this shift came from: {kept.origin}; now they would come from: "
                f"{pose.origin}; give the same weights or keypoints"
            )
        network = defense._network(pose)
        network.load_state_dict(dict(kept.network))
        everybody = torch.cat([data.train.pids, data.gallery.pids, data.query.pids])
        kept = kept.knowing(everybody, ctx.generator("defenses.pis.new_people"))
        shift = Shift(
            network.eval().requires_grad_(False),
            *(pose, defense.image_size, defense.weights, None, False, False, ctx.device),
        )
        facts = export_more(shift, kept, data, ctx, folder)
        kept.save(key)
        return facts

    def mechanism(self, data: ReIDDataset, ctx: RunContext) -> Shift:
        """Return the trained mechanism; see `apply` for errors."""
        if not len(data.train):
            raise UnsupportedTargetError("PIS needs train people to learn from; there are none")
        pose = pose_from(self.pose, self.keypoints, ctx)
        with ctx.randomness("defenses.pis.training"):
            network = self._network(pose)
            learn(network, data.train, pose, self.image_size, self._recipe(), ctx)
        return Shift(
            network.eval().requires_grad_(False),
            pose,
            self.image_size,
            self.weights,
            self._pool(data),
            self.partners in ("inside", "train"),
            self.noise == "laplace",
            ctx.device,
        )

    def _network(self, pose: Pose) -> ConditionalVae:
        return ConditionalVae(
            pose=pose.channels,
            image_size=self.image_size,
            width=self.width,
            blocks=self.blocks,
            patch=self.patch,
            latent=self.latent,
            scales=self.scales,
            pooled=self.pooled,
        )

    def _recipe(self) -> Recipe:
        return Recipe(
            epochs=self.epochs,
            joint_epochs=self.joint_epochs,
            batch_size=self.batch_size,
            lr=self.lr,
            reconstruction=self.reconstruction,
            kl=self.kl,
            ramp=self.ramp,
            cycle=self.cycle,
            similarity=self.similarity,
            adversarial=self.adversarial,
            weights=self.weights,
        )

    def _pool(self, data: ReIDDataset) -> Split | None:
        """Return where partners are taken from, if not from what is published."""
        if self.partners == "inside":
            return None
        if self.partners == "train":
            return data.train
        other = open_dataset(Path(self.partners))
        everybody = join_splits(other.gallery, other.query)
        return join_splits(everybody, other.train) if len(other.train) else everybody


@checked_dataclass
class AppearanceInterpolation(IdentityShift):
    """Identity shift by a conditional VAE alone, without the cycle and the similarity branch.

    Source: the baseline VUNet of PIS (SCIS 69(1), 2026, Tables 2 and 5). Everything else is as in
    `IdentityShift`; the second stage goes on with the loss of the first.
    """

    cycle: bool = False
    similarity: bool = False


@checked_dataclass
class AppearanceExchange(IdentityShift):
    """Mixes one vector of appearance per picture, and decodes it with the greyscale picture.

    Source: the baseline DG-Net of PIS (SCIS 69(1), 2026, Table 2; Zheng et al., CVPR 2019) in its
    form only: an appearance vector, a structure code from the greyscale picture, reconstruction,
    recovery of the code from mixed pictures, and identity softmax. DG-Net's discriminators, its
    teacher and adaptive normalisation are left out; networks and losses are those of
    `IdentityShift`. Outlines, hair and faces stay in the structure.
    """

    pose: Source = "grey"
    pooled: bool = True
