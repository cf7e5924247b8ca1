"""How public code bases name their weights, and what the same weights are called here.

A code base is a table of renamings and nothing else: whichever makes the most weights of a file fit
the network is the one that wrote it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from auditor.models.architectures.backbones import LAYUMI, Stem
from auditor.models.wrappers import candidates


@dataclass(frozen=True, kw_only=True)
class CodeBase:
    """Where a file of weights comes from.

    Attributes:
        name: as users call it.
        renamings: pattern and replacement; the first that matches is applied, and None leaves the
            weight out, since it does not reach the features.
        stems: the `Stem` that its networks may have, which the names do not show; empty: any.
        ibn_stems: the same for those with IBN; empty: as the others.
        own: whether its networks differ from others of the same names and shapes in more than the
            stem, so that only those ``made_for`` it will do.
    """

    name: str
    renamings: tuple[tuple[str, str | None], ...] = ()
    stems: tuple[Stem, ...] = ()
    ibn_stems: tuple[Stem, ...] = ()
    own: bool = False


HERE = CodeBase(name="")
"""Names as they are here, which for OSNet are torchreid's, and for plain networks the library's."""

FASTREID = (
    (r"^heads\.pool_layer\.p$", "pool.p"),
    (r"^heads\.(weight|classifier\.weight)$", "classifier.weight"),
    (r"^pixel_(mean|std)$", None),
)
MGN_HEADS = ("1", "2", "3", "21", "22", "31", "32", "33")
"""fast-reid's heads in the order of the vectors here: the wholes, the halves, the thirds."""

TRANSREID = (
    (r"^base\.(cls_token|pos_embed|patch_embed\.|cls_pos|part_token|part\d_pos)", r"\1"),
    (r"^base\.sie_embed$", "side_embed"),
    (r"^base\.fc\.", None),
    (r"^bottleneck\.", "necks.0."),
    (r"^bottleneck_(\d)\.", r"necks.\1."),
)

CLIP_BLOCK = r"^image_encoder\.transformer\.resblocks\.(\d+)\."
CLIP_STAGE = r"^image_encoder\.(layer\d\.\d+)\."

CODE_BASES = (
    HERE,
    CodeBase(
        name="torchreid",
        renamings=(
            (r"^(conv1|bn1|layer\d|features)\.", r"backbone.\1."),
            (r"^fc\.0\.", "embed."),
            (r"^fc\.1\.", "neck."),
            (r"^conv5\.layers\.0\.", "reduce.conv."),
            (r"^conv5\.layers\.1\.", "reduce.bn."),
        ),
        stems=("torchvision",),
    ),
    CodeBase(
        name="fast-reid before 1.0",
        renamings=((r"^heads\.bnneck\.", "neck."), *FASTREID),
        stems=("torchvision", "undilated"),
    ),
    CodeBase(
        name="fast-reid",
        renamings=((r"^heads\.bottleneck\.0\.", "neck."), *FASTREID),
        stems=("ceil pool", "dilated"),
    ),
    CodeBase(
        name="fast-reid with an embedding",
        renamings=(
            (r"^heads\.bottleneck\.0\.", "embed."),
            (r"^heads\.bottleneck\.1\.", "neck."),
            *FASTREID,
        ),
        stems=("ceil pool", "dilated"),
    ),
    CodeBase(
        name="fast-reid's MGN",
        renamings=(
            (r"^backbone\.", "backone."),
            (r"^b(\d)\.", r"p\1."),
            *(
                (rf"^b{head}_head\.{theirs}", f"{ours.format(i)}")
                for i, head in enumerate(MGN_HEADS)
                for theirs, ours in (
                    (r"pool_layer\.", "pool_{}."),
                    (r"bottleneck\.", "reduction_{}."),
                    (r"weight$", "classifier.{}.weight"),
                )
            ),
            *FASTREID,
        ),
    ),
    CodeBase(
        name="fast-reid's ViT",
        renamings=(
            (r"^backbone\.(cls_token|pos_embed|patch_embed\.)", r"\1"),
            (r"^backbone\.sie_embed$", "side_embed"),
            (r"^backbone\.blocks\.11\.", "whole.0."),
            (r"^backbone\.norm\.", "whole.1."),
            (r"^backbone\.blocks\.", "blocks."),
            (r"^heads\.bottleneck\.0\.", "necks.0."),
            *FASTREID,
        ),
    ),
    CodeBase(
        name="the strong baseline or AGW",
        renamings=(
            (r"^bottleneck\.", "neck."),
            (r"^global_pool\.", "pool."),
            (r"^fcneck\.", "embed."),
            # of Swin transformers, which say themselves which pixel is where
            (r"\.relative_position_index$", None),
            (r"^base\.", "backbone."),
        ),
        stems=("no relu", "with relu", "undilated", "dilated"),
        ibn_stems=("torchvision",),
    ),
    CodeBase(
        name=LAYUMI,
        renamings=(
            (r"^model\.(fc|classifier)\.", None),
            (r"^model\.", "backbone."),
            (r"^classifier\.add_block\.0\.", "embed."),
            (r"^classifier\.add_block\.1\.", "neck."),
            (r"^classifier(\d)\.add_block\.", r"reduce.\1."),
            (r"^classifier(\d)\.classifier\.0\.", r"classifier.\1."),
        ),
        own=True,
    ),
    CodeBase(
        name="TransReID",
        renamings=(
            *TRANSREID,
            (r"^base\.blocks\.11\.", "whole.0."),
            (r"^base\.norm\.", "whole.1."),
            (r"^base\.blocks\.", "blocks."),
        ),
    ),
    CodeBase(
        name="CLIP-ReID",
        renamings=(
            (r"^(prompt_learner|text_encoder)\.", None),
            (r"^image_encoder\.class_embedding$", "cls_token"),
            (r"^image_encoder\.positional_embedding$", "pos_embed"),
            (r"^image_encoder\.conv1\.", "patch_embed.proj."),
            (r"^image_encoder\.ln_pre\.", "norm_pre."),
            (r"^image_encoder\.ln_post\.", "norm."),
            (r"^image_encoder\.proj$", "proj"),
            (CLIP_BLOCK + r"attn\.in_proj_", r"blocks.\1.attn.qkv."),
            (CLIP_BLOCK + r"attn\.out_proj\.", r"blocks.\1.attn.proj."),
            (CLIP_BLOCK + r"ln_(\d)\.", r"blocks.\1.norm\2."),
            (CLIP_BLOCK + r"mlp\.c_fc\.", r"blocks.\1.mlp.fc1."),
            (CLIP_BLOCK + r"mlp\.c_proj\.", r"blocks.\1.mlp.fc2."),
            (r"^cv_embed$", "side_embed"),
            (r"^bottleneck\.", "neck."),
            (r"^bottleneck_proj\.", "neck_proj."),
        ),
    ),
    CodeBase(
        name="CLIP-ReID's ResNet",
        renamings=(
            # the embedding of cameras is saved, but only the transformer adds it
            (r"^(prompt_learner\.|text_encoder\.|cv_embed$)", None),
            (r"^image_encoder\.conv(\d)\.", r"stem.conv\1.conv."),
            (r"^image_encoder\.bn(\d)\.", r"stem.conv\1.bn."),
            (CLIP_STAGE + r"(conv|bn)([13])\.", r"\1.conv\3_1x1.\2."),
            (CLIP_STAGE + r"(conv|bn)2\.", r"\1.conv2_kxk.\2."),
            (CLIP_STAGE + r"downsample\.0\.", r"\1.shortcut.conv.conv."),
            (CLIP_STAGE + r"downsample\.1\.", r"\1.shortcut.conv.bn."),
            (r"^image_encoder\.attnpool\.positional_embedding$", "pool.pos_embed"),
            (r"^image_encoder\.attnpool\.([qkv])_proj\.", r"pool.\1."),
            (r"^image_encoder\.attnpool\.c_proj\.", "pool.proj."),
            (r"^bottleneck\.", "neck."),
            (r"^bottleneck_proj\.", "neck_proj."),
        ),
    ),
    CodeBase(
        name="TransReID with the jigsaw",
        renamings=(
            *TRANSREID,
            # both branches have a copy of the last block, and the original is not used
            (r"^base\.(blocks\.11|norm)\.", None),
            (r"^base\.blocks\.", "blocks."),
            (r"^b1\.", "whole."),
            (r"^b2\.", "parts."),
        ),
    ),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Naming:
    """One network of a file, its weights under the names one code base stands for.

    Attributes:
        key: what the network's names begin with in the file.
        code_base: whose names they are taken for.
        weights: name here -> weight, without counters of training steps.
        taken: the names in the file that belong to the network.
    """

    key: str
    code_base: CodeBase
    weights: dict[str, Tensor]
    taken: frozenset[str]


@dataclass(frozen=True, kw_only=True, eq=False)
class Reading:
    """How a naming meets a network.

    Attributes:
        naming: what is read.
        prefix: what was taken off the names beside the naming's key and renamings.
        given: name -> weight, of the naming.
        fitting: those of ``given`` that the network has by name and shape.
    """

    naming: Naming
    prefix: str
    given: dict[str, Tensor]
    fitting: dict[str, Tensor]


Renamed = Sequence[Naming]
"""Everything a file's weights may be called."""


def counts(name: str) -> bool:
    """Return whether a weight matters: old checkpoints lack the counters of training steps."""
    return not name.endswith("num_batches_tracked")


def renamings(state: Mapping[str, Tensor]) -> Renamed:
    """Return networks in ``state`` under the names of each code base, those left out missing."""
    weights = {name: tensor for name, tensor in state.items() if counts(name)}
    return [
        Naming(
            key=candidate.key,
            code_base=base,
            weights=_rename_all(candidate.weights, base),
            taken=frozenset(_full(candidate.key, name) for name in candidate.weights),
        )
        for candidate in candidates(weights)
        for base in CODE_BASES
    ]


def _full(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def read(renamed: Renamed, wanted: Mapping[str, Tensor]) -> Reading:
    """Return the reading of a file under which most of its weights fit, and fewest are left.

    Args:
        renamed: the file's `renamings`.
        wanted: name -> parameter of the network.
    """
    return best(readings(renamed, wanted))


def readings(renamed: Renamed, wanted: Mapping[str, Tensor]) -> list[Reading]:
    """Return every reading of a file for a network with the parameters ``wanted``."""
    return [_reading(naming, wanted) for naming in renamed]


def best(found: Sequence[Reading]) -> Reading:
    """Return the reading with most weights that fit; of equal ones, that with fewest others."""
    return max(found, key=lambda reading: (len(reading.fitting), -len(reading.given)))


def _reading(naming: Naming, wanted: Mapping[str, Tensor]) -> Reading:
    prefix = _prefix(naming.weights, wanted)
    given = {name.removeprefix(prefix): tensor for name, tensor in naming.weights.items()}
    shaped = {n: _shape(t, wanted[n]) for n, t in given.items() if n in wanted}
    fitting = {name: tensor for name, tensor in shaped.items() if tensor is not None}
    return Reading(naming=naming, prefix=prefix, given=given, fitting=fitting)


def _rename_all(state: Mapping[str, Tensor], base: CodeBase) -> dict[str, Tensor]:
    if base is HERE:
        return dict(state)
    pairs = ((_rename(name, base), tensor) for name, tensor in state.items())
    return {name: tensor for name, tensor in pairs if name is not None}


def _rename(name: str, base: CodeBase) -> str | None:
    for pattern, replacement in base.renamings:
        if re.search(pattern, name):
            return None if replacement is None else re.sub(pattern, replacement, name)
    return name


def _shape(tensor: Tensor, parameter: Tensor) -> Tensor | None:
    """Return the weight as the parameter's shape asks for it, or None where it cannot be had."""
    if tensor.shape == parameter.shape:
        return tensor
    # a 1×1 convolution is a linear layer, and CLIP's tokens have no axis for the batch
    if _long_axes(tensor) == _long_axes(parameter):
        return tensor.reshape(parameter.shape)
    return None


def _long_axes(tensor: Tensor) -> list[int]:
    return [length for length in tensor.shape if length > 1]


def _prefix(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    """Return the prefix, such as ``module.``, without which most names and shapes agree."""
    ends = list(wanted)[:3]
    found = {name.removesuffix(end) for name in state for end in ends if name.endswith(end)}
    prefixes = {"", *(prefix for prefix in found if prefix.endswith("."))}

    def agreeing(prefix: str) -> int:
        pairs = ((state.get(prefix + name), tensor) for name, tensor in wanted.items())
        return sum(mine is not None and mine.shape == tensor.shape for mine, tensor in pairs)

    return max(sorted(prefixes), key=agreeing)
