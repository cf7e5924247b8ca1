"""The one record of an audit: plain data, JSON in and out, no torch.

Every page, sheet and verdict is made from `AuditReport` alone.
"""

from auditor.report.audit_report import SCHEMA, AuditReport, ProbeCheck
from auditor.report.claim import (
    OF_THE_DATA,
    AuditedEpsilon,
    DistanceEpsilon,
    NoisyTraining,
    PrivacyClaim,
    PrivacyVerdict,
    ReconstructionBound,
)
from auditor.report.finding import (
    AFRESH,
    OTHERS,
    SMALLEST_GROUP,
    Adversary,
    Finding,
    Gap,
    Ladder,
    Power,
    PowerOutcome,
    Subgroup,
)
from auditor.report.measurement import BOUNDS, Curve, Measurement
from auditor.report.people import LISTED, Exposed, Exposure, Match, Place, Ranked, RankList
from auditor.report.plural import pluralize
from auditor.report.scenario import Scenario, Score
from auditor.report.serialization import dumps, load, loads

__all__ = [
    "AFRESH",
    "BOUNDS",
    "LISTED",
    "OF_THE_DATA",
    "OTHERS",
    "SCHEMA",
    "SMALLEST_GROUP",
    "Adversary",
    "AuditReport",
    "AuditedEpsilon",
    "Curve",
    "DistanceEpsilon",
    "Exposed",
    "Exposure",
    "Finding",
    "Gap",
    "Ladder",
    "Match",
    "Measurement",
    "NoisyTraining",
    "Place",
    "Power",
    "PowerOutcome",
    "PrivacyClaim",
    "PrivacyVerdict",
    "ProbeCheck",
    "RankList",
    "Ranked",
    "ReconstructionBound",
    "Scenario",
    "Score",
    "Subgroup",
    "dumps",
    "load",
    "loads",
    "pluralize",
]
