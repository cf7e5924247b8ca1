"""Privacy claims in words: one row of figures, and what stands beside them."""

from auditor.gates.evidence import family_of
from auditor.report import NoisyTraining, PrivacyClaim, ReconstructionBound, Scenario
from reports.content.wording import label, number, quantity

NAMING = ("identity", "inversion")
"""Families of attacks that say from one release whose data a row is, as the bound supposes."""
OUTCOME = {
    "CONSISTENT": "pass",
    "OVER-CLAIMED": "fail",
    "VIOLATED": "fail",
    "NOT-DP": "fail",
    "VOID": "fail",
}
"""Verdict on a claim -> the colour it takes."""


def epsilons(claim: PrivacyClaim) -> list[tuple[str, str]]:
    """ε as claimed, certified, proven by experiment, and for a whole person."""
    shown = [
        ("ε claimed", quantity(claim.epsilon_claimed)),
        ("ε certified", quantity(claim.epsilon_certified)),
    ]
    if claim.audited:
        shown.append(("ε audited, at least", _short(claim.audited.epsilon)))
    return [*shown, ("ε per person", quantity(claim.epsilon_identity))]


def figures(claim: PrivacyClaim) -> list[tuple[str, str]]:
    """Return the mechanism's own numbers, and those of the experiment."""
    if claim.training:
        return _of_training(claim, claim.training)
    shown = [
        ("unit", claim.unit),
        ("δ", quantity(claim.delta)),
        ("σ per coordinate", quantity(claim.sigma)),
        (f"{claim.norm} sensitivity", quantity(claim.sensitivity)),
        ("releases", "any number" if claim.sticky else str(claim.releases)),
        ("images per person, at most", str(claim.images_per_identity)),
    ]
    if not claim.audited:
        return shown
    shown += [
        ("trials", f"{claim.audited.trials:,} each"),
        ("largest ε they could prove", _short(claim.audited.ceiling)),
    ]
    if claim.audited.epsilon_gaussian is not None:
        sharper = f"{_short(claim.audited.epsilon_gaussian)} (assumes Gaussian)"
        shown.append(("ε audited, sharper", sharper))
    return shown


def _of_training(claim: PrivacyClaim, training: NoisyTraining) -> list[tuple[str, str]]:
    return [
        ("unit", claim.unit),
        ("δ", quantity(claim.delta)),
        ("noise multiplier", _short(training.noise_multiplier)),
        ("gradients clipped at", quantity(claim.sensitivity)),
        ("sampling rate", _short(training.sampling_rate)),
        ("steps", f"{training.steps:,}"),
        ("runs counted", str(training.runs)),
        ("images per person, at most", str(claim.images_per_identity)),
        *_canaries(claim),
        *((f"ε by {name}", quantity(epsilon)) for name, epsilon in training.accountants.items()),
    ]


def _canaries(claim: PrivacyClaim) -> list[tuple[str, str]]:
    """Return how the experiment of a training was made; empty without one."""
    if not claim.audited:
        return []
    return [
        ("canaries", f"{claim.audited.trials:,}"),
        ("largest ε they could prove", _short(claim.audited.ceiling)),
    ]


def neighbours(claim: PrivacyClaim) -> str:
    """Return how two data sets differ that the claim does not let anybody tell apart."""
    kind = "training sets" if claim.training else "galleries"
    return f"Two {kind} are neighbours with {claim.neighbours}"


def training(claim: PrivacyClaim) -> str:
    """Return the figures of a private training in one cell; empty for other claims."""
    if not claim.training:
        return ""
    return "\n".join(f"{name}: {value}" for name, value in figures(claim))


def experiment(claim: PrivacyClaim) -> str:
    """Return how the audited ε came about; empty without one."""
    if not claim.audited:
        return ""
    if claim.training:
        return (
            f"the audited ε is a lower bound at {claim.audited.confidence:.0%} confidence, by "
            f"telling from the finished network which canaries it was trained on: "
            f"{claim.audited.pair}"
        )
    return (
        f"the audited ε is a lower bound at {claim.audited.confidence:.0%} confidence, from what "
        f"the mechanism gives for two neighbours: {claim.audited.pair}; other pairs may prove more"
    )


def distances(claim: PrivacyClaim) -> list[tuple[str, str, str]]:
    """(between whom, how far, ε there)."""
    return [
        (d.between, f"{d.distance:.3f}", quantity(_rounded(d.epsilon))) for d in claim.distances
    ]


def reconstruction(bound: ReconstructionBound) -> str:
    """Return what the bound says, in one sentence."""
    return (
        f"an adversary who names a person correctly {number(bound.prior, 'fraction')} of the time "
        f"without the release is right at most {number(bound.image, 'fraction')} of the time with "
        f"one stored row, and {number(bound.identity, 'fraction')} with all rows of a person; with "
        "more prior knowledge, the bound is higher"
    )


def naming_figures(scenario: Scenario) -> str:
    """Return what the attacks that name people reached, for comparison with the bound."""
    return "; ".join(
        f"{finding.attack}: {label(head.metric)} {number(head.value, 'fraction')}"
        for finding in scenario.findings
        if family_of(finding) in NAMING
        and finding.status == "done"
        and (head := finding.headline) is not None
        and head.unit == "fraction"
    )


def _short(value: float) -> str:
    return quantity(float(f"{value:.3g}"))


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")
