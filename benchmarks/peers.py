"""torchreid's evaluation and re-ranking, from a checkout of its repository; see README.md.

Only the modules that are measured are loaded: the package itself would import its trainers.
"""

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace


def torchreid(folder: Path) -> SimpleNamespace:
    """Its ``distance``, ``evaluate`` and ``rerank``.

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
