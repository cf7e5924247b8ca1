"""Networks whose normalisation looks at one picture at a time, as private training needs them."""

import warnings

from torch import nn

ENDING = "+groupnorm"
"""Behind an architecture's name: the same with group in the place of batch normalisation."""


def with_group_norm(network: nn.Module) -> nn.Module:
    """Return a copy in training mode with group instead of batch normalisation, made by Opacus.

    Args:
        network: every weight of it is set to learn; the copy's as well.
    """
    from opacus.validators import ModuleValidator  # seconds of import, for these networks alone

    # the validator looks at layers that learn only; a frozen one would keep its batch statistics
    network.train().requires_grad_(True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        fixed: nn.Module = ModuleValidator.fix(network)
    return fixed
