"""What benchmarks compare with, loaded only where it is asked for; README.md says how to get it."""

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace

import torch
from torch import Tensor, nn


def torchreid(folder: Path) -> SimpleNamespace:
    """Its ``distance``, ``evaluate`` and ``rerank``, from a checkout of its repository.

    Only the modules that are measured are loaded: the package itself would import its trainers.

    Args:
        folder: of the checkout, where ``torchreid/metrics/rank_cylib`` has been built.
    """
    for name in ("torchreid", "torchreid.metrics", "torchreid.utils"):
        package = ModuleType(name)
        package.__path__ = [str(folder / name.replace(".", "/"))]
        sys.modules[name] = package
    rank = import_module("torchreid.metrics.rank")
    if not rank.IS_CYTHON_AVAI:
        raise SystemExit(f"{folder}: build torchreid/metrics/rank_cylib first")
    return SimpleNamespace(
        distance=import_module("torchreid.metrics.distance").compute_distance_matrix,
        evaluate=rank.evaluate_rank,
        rerank=import_module("torchreid.utils.rerank").re_ranking,
    )


def breaching(network: nn.Module, size: tuple[int, int], classes: int) -> Callable[..., Tensor]:
    """Its deep leakage with the label read as in iDLG, 200 iterations of L-BFGS.

    Returns:
        A function of the gradients of one picture, one tensor per parameter, to that picture.
    """
    library, config = import_module("breaching"), import_module("omegaconf").OmegaConf
    presets = Path(library.__file__).parent / "config" / "attack"
    names = ("_default_optimization_attack.yaml", "deepleakage.yaml")
    preset = config.merge(*(config.load(presets / name) for name in names))
    preset.attack_type, preset.label_strategy = "optimization", "iDLG"
    preset.optim.max_iterations = 200
    setup = {"dtype": torch.float, "device": torch.device("cpu")}
    attacker = library.attacks.prepare_attack(network, nn.CrossEntropyLoss(), preset, setup)
    about = SimpleNamespace(shape=(3, *size), modality="vision", task="classification")
    about.classes = classes
    knows = {"parameters": list(network.parameters()), "buffers": None, "metadata": about}
    batch = {"num_data_points": 1, "labels": None, "local_hyperparams": None}

    def recover(gradients: list[Tensor]) -> Tensor:
        shared = {"gradients": gradients, "buffers": None, "metadata": batch}
        found, _ = attacker.reconstruct([knows], [shared], {})
        return found["data"]

    return recover
