"""What an attack threatens: the three risks of Opinion 05/2014, and which were not tried.

Article 29 Data Protection Working Party, Opinion 05/2014 on Anonymisation Techniques, §2.2.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from auditor.gates.evidence import family_of
from auditor.report import AuditReport
from reports.content.tables import Family, by_family


@dataclass(frozen=True, kw_only=True)
class Risk:
    """One of the three risks, and the attacks of a record that try it.

    Attributes:
        name: as the Opinion says it.
        meaning: for stored features, in one sentence.
        families: of attacks; empty if none was run.
    """

    name: str
    meaning: str
    families: tuple[Family, ...] = ()


SINGLING_OUT, LINKABILITY, INFERENCE = "Singling out", "Linkability", "Inference"
OTHER = "Other attacks"
MEANINGS = MappingProxyType(
    {
        SINGLING_OUT: "Whether a stored entry can be attributed to one particular person.",
        LINKABILITY: "Whether two records of the same person can be linked.",
        INFERENCE: "Whether something about a person can be inferred from what is stored: an "
        "attribute, their appearance, or that they were in the training data.",
    }
)
FAMILIES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "identity": (SINGLING_OUT, "naming the person behind a stored entry"),
        "search": (SINGLING_OUT, "telling whether a person is in the gallery, and where"),
        "description": (SINGLING_OUT, "finding a person by a description in words"),
        "linkage": (LINKABILITY, "linking two releases of the gallery"),
        "movement": (LINKABILITY, "following people across cameras without their names"),
        "averaging": (LINKABILITY, "denoising by averaging several releases"),
        "translation": (LINKABILITY, "translating defended features back to clean ones"),
        "unshift": (LINKABILITY, "undoing a protection of pictures"),
        "score_api": (LINKABILITY, "recovering stored features from a service's scores"),
        "alignment": (LINKABILITY, "finding people in stolen vectors without the model"),
        "extraction": (LINKABILITY, "copying the model, which then links people without limit"),
        "attribute": (INFERENCE, "inferring attributes from stored features"),
        "distribution": (INFERENCE, "estimating what share of the people has a property"),
        "inversion": (INFERENCE, "reconstructing a person's picture from a stored feature"),
        "membership": (INFERENCE, "inferring who was in the training data"),
        "gradient": (INFERENCE, "recovering training pictures from shared gradients"),
    }
)
"""Family of attacks -> which risk it tries, and how, in words."""


def risks(report: AuditReport) -> list[Risk]:
    """Return the three risks in the Opinion's order, then whatever fits none of them."""
    found = by_family(report)
    table: dict[str, list[Family]] = {name: [] for name in MEANINGS}
    for family in found:
        table.setdefault(FAMILIES.get(family.name, (OTHER, ""))[0], []).append(family)
    return [
        Risk(name=name, meaning=MEANINGS.get(name, ""), families=tuple(families))
        for name, families in table.items()
    ]


def untested(report: AuditReport) -> list[str]:
    """Return a sentence for each family of known attacks without a result in this audit."""
    tried = {
        family_of(finding)
        for scenario in report.scenarios
        for finding in scenario.findings
        if finding.status == "done"
    }
    return [
        f"Not tested: {words} ({risk.lower()}; attack family {family})."
        for family, (risk, words) in FAMILIES.items()
        if family not in tried
    ]
