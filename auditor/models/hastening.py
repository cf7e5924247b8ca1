"""Features in reduced precision, for whoever asks for speed."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from auditor.models.extractor import input_dtype
from auditor.models.loaders import LoadedModel
from auditor.models.tiers import BRINGS_NETWORK

log = logging.getLogger(__name__)


def hasten(model: LoadedModel) -> LoadedModel:
    """Return ``model`` with features in bfloat16, or as it is where that is no use, and say so.

    Gradients, and trainings that go on from the model, keep its own precision.
    """
    if reason := _why_not(model):
        log.warning("fast: %s computes as before: %s", model.facts.get("file", "a model"), reason)
        return model
    extractor = model.with_card(model.extractor.card)
    extractor.fast = True
    return replace(model, extractor=extractor, facts={**model.facts, "features_in": "bfloat16"})


def _why_not(model: LoadedModel) -> str:
    network = model.extractor.network
    if model.facts["format"] in BRINGS_NETWORK or next(network.parameters(), None) is None:
        return "it brings its own network, which computes as it was exported"
    if input_dtype(network) != torch.float32:
        return "it is not in single precision"
    if not multiplies_bf16(model.device):
        return f"this {model.device.type} has no arithmetic in bfloat16"
    return ""


def multiplies_bf16(device: torch.device) -> bool:
    """Return whether the device computes in bfloat16 itself, instead of in float32 with detours."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    capabilities: Mapping[str, Any] = getattr(
        torch.cpu, "get_capabilities", dict
    )()  # torch 2.10 cannot say
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))
