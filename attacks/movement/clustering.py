"""Where did each person go? Entries of one person are linked across cameras, without names."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from scipy.cluster.hierarchy import fcluster, linkage
from torch import Tensor

from attacks import threat_models
from attacks.learners.people import PersonMeans
from attacks.learners.plda import Own, Plda, study
from attacks.learners.standardising import Standardise
from attacks.movement.scoring import pairwise_f1, score_clusters, score_pairs
from attacks.movement.sightings import Sightings, some_people
from attacks.movement.timing import UNTIMED, Clock, set_clock
from attacks.protocol.publication import own_pictures, publish_own
from auditor.certification.controls import make_null_target
from auditor.certification.planting import Planted
from auditor.embedding import stored_gallery
from auditor.errors import UnsupportedTargetError
from auditor.plugins.declaring import checked_dataclass
from auditor.report import Adversary
from auditor.types import AttackResult, RunContext, Split, Target

CUTS = 60
"""Heights of the tree of auxiliary people at which it is cut for a try."""


@checked_dataclass
class Movement:
    """Recovers people's paths across cameras by clustering a gallery without names.

    Threat model: has the stored gallery and the camera of each entry, and its time where the data
    set has times, without names, and own pictures of other people by the same cameras; may query
    the extractor on those and knows how pictures are protected and how the gallery is released;
    puts entries of one person together.

    Source: agglomerative clustering by average linkage of cosines, each camera's mean removed. The
    tree is cut where pairs of auxiliary people's entries are linked best (largest F1). Only pairs
    of entries by two cameras count, because consecutive frames of one camera link themselves.
    Times add what the gap between two entries tells, see `attacks.movement.timing`; a path is then
    recovered only if the cameras come in the right order.

    Attributes:
        entries: at most so many are clustered, of people taken at random; memory and time grow with
            their square.
        camera_keys: every camera's pictures are protected under a key of their own, instead of one
            key for the gallery; only where pictures are protected.
    """

    entries: Annotated[int, Field(ge=4)] = 6000  # two people by two cameras
    camera_keys: bool = False

    family: ClassVar[str] = "movement"
    adversary: ClassVar[Adversary] = threat_models.TRACKER
    headline: ClassVar[str] = "pairwise_f1"

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """See `auditor.types.Attack`."""
        stored, own = self._sightings(target, ctx)
        rows, known = self.learn(stored, own, target, ctx)
        clusters, clock = cluster(rows, stored, known, ctx)
        result = score_clusters(clusters, stored)
        if clock.weight:
            blind, _ = cluster(rows, stored, [(r, untimed(of)) for r, of in known], ctx)
            result += (replace(score_pairs(blind, stored), metric="pairwise_f1_untimed"),)
        return AttackResult(result, notes=self._notes(stored, clusters, clock, target))

    def learn(
        self, stored: Sightings, own: Sightings, target: Target, ctx: RunContext
    ) -> tuple[Tensor, Sequence[tuple[Tensor, Sightings]]]:
        """Return rows ``(N, E)`` that are clustered, and own ones to choose the cut by."""
        return centre_cameras(stored), [(centre_cameras(own), own)]

    def reference(self, planted: Planted, ctx: RunContext) -> AttackResult:
        """Return the same clustering along the axes that tell people apart, with known moments."""
        stored, own = self._sightings(planted.target, ctx)
        truth = planted.truth(ctx)
        known = [(truth.linking(own.features), own)]
        clusters, _ = cluster(truth.linking(stored.features), stored, known, ctx)
        return AttackResult(score_clusters(clusters, stored))

    def make_null(self, target: Target, ctx: RunContext) -> Target:
        """Return the null extractor over entries whose times are somebody else's."""
        data = target.data
        gallery, auxiliary = (
            shuffle_times(split, ctx.generator(f"attacks.movement.null.{name}"))
            for name, split in (("gallery", data.gallery), ("auxiliary", data.auxiliary))
        )
        return make_null_target(replace(data, gallery=gallery, auxiliary=auxiliary))

    def _sightings(self, target: Target, ctx: RunContext) -> tuple[Sightings, Sightings]:
        """Return the gallery's entries and the adversary's own, as many as can be clustered.

        Raises:
            UnsupportedTargetError: if there are not two people by two cameras on either side.
        """
        gallery, auxiliary = target.data.gallery, target.data.auxiliary
        check_cameras(gallery, "the gallery")
        check_cameras(auxiliary, "the adversary's pictures")
        if self.camera_keys:
            stored = release_by_camera(target, target.originals_of_gallery, ctx, "gallery")
            released = release_by_camera(target, auxiliary, ctx, "own")
        else:
            stored = stored_gallery(target, ctx)
            own = own_pictures(target, ctx).features
            released = target.release(own, ctx.generator("attacks.movement.release"))
        found = some_people(Sightings.of(stored, gallery), self.entries, ctx)
        known = Sightings.of(released, auxiliary)
        return found, some_people(known, max(4, len(found.pids)), ctx)

    def _notes(
        self, stored: Sightings, clusters: Tensor, clock: Clock, target: Target
    ) -> tuple[str, ...]:
        people = len(stored.pids[stored.pids > 0].unique())
        cameras = len(stored.camids.unique())
        note = (
            f"{len(stored.pids)} entries of {people} people by {cameras} cameras were put into "
            f"{len(clusters.unique())} clusters; the cut was chosen on auxiliary people"
        )
        notes = [note]
        if stored.times is not None:
            what = f"weighs {clock.weight:.3f} cosines" if clock.weight else "tells nothing"
            notes.append(f"a unit of log-likelihood ratio of the gap between two times {what}")
        if left_out := len(target.data.gallery) - len(stored.pids):
            notes.append(f"{left_out} entries were left out (other people, or no known camera)")
        return tuple(notes)


@checked_dataclass
class MovementPlda(Movement):
    """Recovers people's paths across cameras in the directions in which people differ.

    Threat model: as for `movement`: the stored gallery with cameras and without names, own pictures
    of other people by the same cameras, the extractor as a black box, and how pictures are
    protected and the gallery is released.

    Source: clustering by the two-covariance model, as in speaker diarisation (Sell and
    Garcia-Romero, SLT 2014): average linkage of the cosines of `linkage_plda`. The cut is chosen on
    half of the auxiliary people by a model of the other half.

    Attributes:
        entries: at most so many are clustered; see `movement`.
        camera_keys: every camera's pictures are protected under a key of their own; see `movement`.
    """

    def learn(
        self, stored: Sightings, own: Sightings, target: Target, ctx: RunContext
    ) -> tuple[Tensor, Sequence[tuple[Tensor, Sightings]]]:
        """Entries along the model's axes, and each half of the own people along the other's."""
        prepare = Standardise(stored.features)
        keys = 2 if self.camera_keys else 1
        people = Own.of(target, ctx, "attacks.movement_plda", keys=keys)
        order = people.pids.unique()
        generator = ctx.generator("attacks.movement_plda")
        first = order[torch.randperm(len(order), generator=generator)[: len(order) // 2]]
        known = []
        for half in (first, order[~torch.isin(order, first)]):
            model = _model(people.take(torch.isin(people.pids, half)), prepare, ctx)
            asked = own.take(~torch.isin(own.pids, half))
            known.append((model.weigh(prepare(asked.features)), asked))
        return _model(people, prepare, ctx).weigh(prepare(stored.features)), known


def _model(people: Own, prepare: Standardise, ctx: RunContext) -> Plda:
    crowd = study(people, prepare, ctx.generator("attacks.movement_plda.release"))
    if crowd is None:
        raise UnsupportedTargetError("how people differ is learned from four or more others")
    return Plda.of([crowd])


def check_cameras(split: Split, whose: str) -> None:
    """Refuse a split in which nobody can be followed.

    Raises:
        UnsupportedTargetError: if fewer than two people were seen by two known cameras.
    """
    known = (split.pids > 0) & (split.camids >= 0)
    cells = torch.stack([split.pids[known], split.camids[known]]).unique(dim=1)
    moving = int((cells[0].unique(return_counts=True)[1] > 1).sum())
    if moving < 2:
        raise UnsupportedTargetError(
            f"in {whose}, {moving} people were seen by two known cameras "
            f"({len(split.camids[known].unique())} in all); following people needs two such people"
        )


def release_by_camera(target: Target, split: Split, ctx: RunContext, name: str) -> Tensor:
    """Release ``(N, D)`` features of pictures that each camera protects under a key of its own.

    Raises:
        UnsupportedTargetError: if nothing protects pictures.
    """
    if target.publish is None:
        raise UnsupportedTargetError(
            "nothing protects pictures under a key here, so keys per camera change nothing"
        )
    features = None
    for camera in split.camids.unique().tolist():
        rows = (split.camids == camera).nonzero().flatten()
        key = f"attacks.movement.{name}.key{camera}"
        _, seen = publish_own(target, split.take(rows), ctx, key)
        features = seen.new_empty(len(split), seen.shape[1]) if features is None else features
        features[rows] = seen
    assert features is not None  # a split with people has cameras
    return target.release(features, ctx.generator(f"attacks.movement.{name}.release"))


def centre_cameras(sightings: Sightings) -> Tensor:
    """Subtract from unit rows ``(N, D)`` their camera's mean, which tells where and not who."""
    rows = F.normalize(sightings.features, dim=1)
    return rows - PersonMeans.of(rows, sightings.camids).of_each


def cluster(
    rows: Tensor, stored: Sightings, known: Sequence[tuple[Tensor, Sightings]], ctx: RunContext
) -> tuple[Tensor, Clock]:
    """Return the cluster ``(N,)`` of each row, and what times tell.

    Args:
        rows: ``(N, E)`` of the stored entries.
        stored: when and where they were seen.
        known: rows of own people, from whom everything is learned.
        ctx: for the choice of pairs.
    """
    clock = UNTIMED
    if stored.times is not None:
        clock = set_clock(known, ctx.seed_for("attacks.movement.clock"))
    height = float(np.mean([choose_height(own, of, clock) for own, of in known]))
    return cut_tree(grow_tree(rows, stored, clock), height), clock


def untimed(sightings: Sightings) -> Sightings:
    """Forget when entries were seen."""
    return replace(sightings, times=None)


def shuffle_times(split: Split, generator: torch.Generator) -> Split:
    """Give each row the time of a random other one."""
    if split.times is None:
        return split
    return replace(split, times=split.times[torch.randperm(len(split), generator=generator)])


def grow_tree(rows: Tensor, sightings: Sightings, clock: Clock) -> np.ndarray:
    """Return the merges ``(N − 1, 4)`` of average linkage of ``rows (N, E)``."""
    tree: np.ndarray = linkage(clock.distances(rows, sightings), "average")
    return tree


def cut_tree(tree: np.ndarray, height: float) -> Tensor:
    """Return the cluster ``(N,)`` of each row, where merges above ``height`` are undone."""
    return torch.from_numpy(fcluster(tree, height, "distance")).long()


def choose_height(rows: Tensor, own: Sightings, clock: Clock) -> float:
    """Return the height at which a tree of own ``rows (N, E)`` links pairs of two cameras best."""
    tree = grow_tree(rows, own, clock)
    heights = np.unique(np.quantile(tree[:, 2], np.linspace(0.0, 1.0, CUTS)))
    reached = [pairwise_f1(cut_tree(tree, h), own) for h in heights]
    return float(heights[int(np.argmax(reached))])
