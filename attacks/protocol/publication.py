"""Pictures as a protection publishes them, under a key of one's own choice.

The adversary knows the mechanism and not the key. So whatever an attack learns from own pictures,
it learns from what the mechanism makes of them (`own_pictures`). A picture held of somebody is
searched with as it is and protected (`held_pictures`), and whichever is worse for privacy counts.
"""

from dataclasses import dataclass, replace

from torch import Tensor

from auditor.data.tracklets import look_behind, pictures_of, split_tracklets
from auditor.embedding import features_of
from auditor.errors import DataError, UnsupportedTargetError
from auditor.feature_cache import FeatureCache
from auditor.types import RunContext, Split, Target


def publish_own(target: Target, split: Split, ctx: RunContext, name: str) -> tuple[Split, Tensor]:
    """``split`` as it is published under the key ``name``, and its features before their release.

    Without a protection of pictures that is the split itself.

    Raises:
        DataError: if the protection does not give one picture for each.
    """
    if target.publish is None:
        return split, features_of(target.extractor, split, ctx)
    shown = publish_pictures(target, split, ctx, name)
    # nobody asks for this publication again, so it need not be remembered
    return shown, features_of(target.extractor, shown, replace(ctx, cache=FeatureCache()))


def publish_pictures(target: Target, split: Split, ctx: RunContext, name: str) -> Split:
    """See `publish_own`."""
    if target.publish is None:
        return split
    protected = target.publish(split, ctx.generator(name))
    if len(protected) != len(split):
        raise DataError(
            f"the protection made {len(protected)} pictures of {len(split)}; it must keep the rows"
        )
    return protected


@dataclass(frozen=True, eq=False)
class OwnPictures:
    """What an adversary learns from.

    Attributes:
        clean: the pictures as they are: what is to be read off a feature, labels included.
        shown: the same as the mechanism publishes them.
        features: ``(N, D)`` of ``shown``, as the gallery's were before their release.
    """

    clean: Split
    shown: Split
    features: Tensor


def own_pictures(target: Target, ctx: RunContext) -> OwnPictures:
    """Return the auxiliary pictures under one key of the adversary's own.

    They are published and embedded once per target, for all attacks: as in the gallery, all
    pictures of a person are under one key.
    """
    shown = own_pictures_shown(target, ctx)
    return OwnPictures(target.data.auxiliary, shown, features_of(target.extractor, shown, ctx))


def own_pictures_shown(target: Target, ctx: RunContext) -> Split:
    """Return the same, for whoever embeds them otherwise."""
    return _publish_once(target, target.data.auxiliary, ctx, "attacks.publication.own")


def some_own_pictures(target: Target, ctx: RunContext) -> OwnPictures:
    """`own_pictures`, for an attack that cannot do without.

    Raises:
        UnsupportedTargetError: if there are none.
    """
    if not len(target.data.auxiliary):
        raise UnsupportedTargetError("the adversary has no auxiliary pictures to learn from")
    return own_pictures(target, ctx)


def held_pictures(target: Target, ctx: RunContext) -> dict[str, Tensor]:
    """Features ``(Q, D)`` of the pictures held of whom is looked for, by what was done to them.

    They are ``clean``, and ``protected`` under a key of the adversary's own where pictures are.
    """
    shown = held_pictures_shown(target, ctx)
    return {kind: features_of(target.extractor, split, ctx) for kind, split in shown.items()}


def held_pictures_shown(target: Target, ctx: RunContext) -> dict[str, Split]:
    """Return the same pictures, for whoever embeds them otherwise."""
    shown = {"clean": target.data.query}
    if target.publish is not None:
        name = "attacks.publication.held"
        shown["protected"] = _publish_once(target, target.data.query, ctx, name)
    return shown


def _publish_once(target: Target, split: Split, ctx: RunContext, name: str) -> Split:
    """`publish_pictures`, made once per target and run."""
    if target.publish is None:
        return split
    return ctx.cache.publication(
        target, split, name, lambda: publish_pictures(target, split, ctx, name)
    )


def by_single_pictures(target: Target, ctx: RunContext) -> Target:
    """Return ``target`` with an entry per picture where its entries are tracklets.

    For attacks on the network itself, which is trained on single pictures and asked about them. The
    splits are the same throughout a run, so that they are embedded once.
    """
    data = target.data
    if look_behind(data.gallery.images) is None:
        return target
    single = ctx.cache.publication(data, data, "pictures", lambda: split_tracklets(data))
    originals = single.gallery
    if target.protection is not None:
        clean = target.protection.originals
        originals = ctx.cache.publication(data, clean, "pictures", lambda: pictures_of(clean))
    protection = target.protection and replace(target.protection, originals=originals)
    return replace(target, data=single, protection=protection)
