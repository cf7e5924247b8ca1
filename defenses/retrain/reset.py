"""Forgetting what a network has learned, for a defense that must not build on it."""

from torch import nn

from auditor.errors import UnsupportedTargetError


def draw_anew(network: nn.Module) -> None:
    """Forget every weight.

    Raises:
        UnsupportedTargetError: naming the layer that does not say how.
    """
    for name, module in network.named_modules():
        reset = getattr(module, "reset_parameters", None) or getattr(
            module, "_reset_parameters", None
        )
        own = list(module.parameters(recurse=False))
        if reset is not None:
            reset()
        elif any(weight.ndim < 2 for weight in own):
            raise UnsupportedTargetError(
                f"layer {name!r} ({type(module).__name__}) does not say how its weights start, so "
                "that it cannot be trained from nothing; use scratch: false with public weights"
            )
        for weight in own if reset is None else []:
            nn.init.trunc_normal_(weight, std=0.02)  # tokens and positions of transformers
