"""Attacks, defenses and renderers: found by entry point, contained, and held to what they return.

What is imported here needs no torch; `results` and `shared_state` do.
"""

from auditor.plugins.description import AttackInfo, describe
from auditor.plugins.named_files import named_files, recorded
from auditor.plugins.registry import (
    Kind,
    build,
    class_path,
    fresh,
    installed,
    is_plain,
    load,
    name_of,
    parameters,
    render,
    summary,
    threat_model,
)

__all__ = [
    "AttackInfo",
    "Kind",
    "build",
    "class_path",
    "describe",
    "fresh",
    "installed",
    "is_plain",
    "load",
    "name_of",
    "named_files",
    "parameters",
    "recorded",
    "render",
    "summary",
    "threat_model",
]
