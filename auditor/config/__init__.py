"""What an audit is told: a YAML file over a preset, a few flags over both. Needs no torch."""

from auditor.config.audit import (
    PRESETS,
    REQUIRED_EFFICIENCY,
    AuditConfig,
    DataConfig,
    FeaturesConfig,
    Layout,
    ModelConfig,
    RankingConfig,
    ServiceConfig,
)
from auditor.config.blocks import BARE, LONGEST_LABEL, is_label
from auditor.config.reading import (
    gates_in,
    load,
    parse_settings,
    preset_defaults,
    put,
    resolve,
    shift_parameters,
)

__all__ = [
    "BARE",
    "LONGEST_LABEL",
    "PRESETS",
    "REQUIRED_EFFICIENCY",
    "AuditConfig",
    "DataConfig",
    "FeaturesConfig",
    "Layout",
    "ModelConfig",
    "RankingConfig",
    "ServiceConfig",
    "gates_in",
    "is_label",
    "load",
    "parse_settings",
    "preset_defaults",
    "put",
    "resolve",
    "shift_parameters",
]
