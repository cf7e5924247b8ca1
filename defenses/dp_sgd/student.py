"""The network that is trained: nothing in it may let one picture's gradient depend on another's."""

from copy import deepcopy

import torch
from opacus.validators import ModuleValidator
from torch import Tensor, nn

from auditor.errors import UnsupportedTargetError
from auditor.models.architectures.branches import Branches, branches
from auditor.models.architectures.group_norm import with_group_norm
from auditor.models.extractor import CardedExtractor
from auditor.training.learner import identity_dims
from defenses.retrain.reset import draw_anew

BatchNorm = nn.modules.batchnorm._BatchNorm


class Student(nn.Module):
    """An extractor and the identity classifiers it is taught with, which nobody gets to see.

    Args:
        extractor: as made by `private_copy`; trained in place.
        classes: persons to tell apart.
    """

    def __init__(self, extractor: CardedExtractor, classes: int) -> None:
        super().__init__()
        self.network = extractor.network
        heads = [nn.Linear(dim, classes, bias=False) for dim in identity_dims(extractor)]
        for head in heads:
            nn.init.normal_(head.weight, std=0.001)
        self.heads = nn.ModuleList(heads).to(extractor.gain.device)
        self.train()
        self._freeze_idle(extractor)

    def forward(self, prepared: Tensor) -> Tensor:
        """Map prepared images ``(B, 3, H, W)`` to logits ``(views, B, classes)``."""
        views = branches(self.network, prepared).identity
        pairs = zip(self.heads, views, strict=True)
        return torch.stack([head(view.float()) for head, view in pairs])

    def _freeze_idle(self, extractor: CardedExtractor) -> None:
        """Leave out weights that no identity view depends on: they have no gradient to cut."""
        height, width = extractor.input_size
        grey = torch.full((2, 3, height, width), 0.5, device=extractor.gain.device)
        prepared = extractor.prepare(grey)
        _refuse_own_loss(branches(self.network, prepared))
        self(prepared).sum().backward()
        for parameter in self.parameters():
            parameter.requires_grad_(parameter.grad is not None)
            parameter.grad = None


class Unaliased(nn.Module):
    """A layer whose output may be changed in place, which a layer with a backward hook forbids."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """Return what the layer gives, as a tensor of its own."""
        copied: Tensor = self.layer(x).clone()
        return copied


def private_copy(extractor: CardedExtractor, *, scratch: bool) -> CardedExtractor:
    """Return a copy with group instead of batch normalisation, by Opacus' validator.

    Args:
        extractor: stays as it is.
        scratch: whether every weight is drawn anew, by torch's global randomness.

    Raises:
        UnsupportedTargetError: if pictures would still depend on one another, or a weight cannot be
            drawn anew.
    """
    copied = deepcopy(extractor)
    fixed = with_group_norm(copied.network)
    if scratch:
        draw_anew(fixed)
    else:
        _keep_scales(copied.network, fixed)
    for module in fixed.modules():
        if hasattr(module, "inplace"):
            module.inplace = False  # type: ignore[assignment]
    _check(fixed)
    # gradients of single pictures come in the plain layout, whatever that of the opened network
    copied.network = fixed.to(memory_format=torch.contiguous_format)
    wrap_norms(fixed)
    return copied


def wrap_norms(network: nn.Module) -> None:
    """Put every group normalisation behind `Unaliased`, for shortcuts that are added in place."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.GroupNorm):
                setattr(parent, name, Unaliased(child))


def unwrap_norms(network: nn.Module) -> None:
    """Undo `wrap_norms`, so that weights have their usual names again."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, Unaliased):
                setattr(parent, name, child.layer)


def _keep_scales(before: nn.Module, after: nn.Module) -> None:
    """Let a group normalisation start from the scale and shift that the batch's had learned."""
    fresh = dict(after.named_modules())
    for name, norm in before.named_modules():
        if isinstance(norm, BatchNorm) and isinstance(new := fresh[name], nn.GroupNorm):
            new.load_state_dict({"weight": norm.weight, "bias": norm.bias})


def _check(network: nn.Module) -> None:
    if hasattr(network, "learn_parts"):
        raise UnsupportedTargetError(
            f"{type(network).__name__} labels body parts by looking at all training pictures, "
            "which no noise covers; take another architecture for dp_sgd"
        )
    mixing = [name for name, module in network.named_modules() if isinstance(module, BatchNorm)]
    wrong = [f"layer {name!r} normalises over the batch" for name in mixing]
    wrong += [str(error).splitlines()[0] for error in ModuleValidator.validate(network)]
    if wrong:
        raise UnsupportedTargetError(
            f"{type(network).__name__} cannot be trained with per-example gradients: {wrong[0]}"
        )


def _refuse_own_loss(views: Branches) -> None:
    if views.own is not None:
        raise UnsupportedTargetError(
            "the architecture brings a loss over the whole batch, which is not a sum over "
            "examples; take another one for dp_sgd"
        )
