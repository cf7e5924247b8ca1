"""What was found under one defense."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from auditor.report.claim import PrivacyClaim
from auditor.report.finding import Finding, Ladder
from auditor.report.measurement import Measurement
from auditor.report.people import Exposure, Match, Place, RankList


@dataclass(frozen=True, kw_only=True)
class Score:
    """Utility and leakage in one number, never gated on alone.

    Attributes:
        definition: identifier of the formula, such as ``urr-1``; it changes when the formula does.
        formula: the formula in words and symbols.
        measurement: the number; None where it is undefined.
        inputs: every quantity that went in.
        undefined: why there is no number.
        weighted: (weight of privacy from 0 to 2, the number with it), where the formula weighs;
            that of utility is 2 minus it.
    """

    name: str
    definition: str
    formula: str
    measurement: Measurement | None
    inputs: Mapping[str, float] = field(default_factory=dict)
    undefined: str = ""
    weighted: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """The target under one defense; ``none`` is the bare target.

    Attributes:
        defense: label in the configuration, unique within the audit.
        plugin: name of the installed defense, empty for ``none``.
        summary: first line of its docstring.
        params: its hyper-parameters.
        claims: what the release promises.
        co_trained: how the adversaries fared that the defense was trained against. They have no
            address, so no gate or ladder counts them.
        utility: rank1, rank5, rank10, map, minp of the re-identification itself; where the
            deployment mends its ranking, the same once more as ``rank1_reranked`` and so on.
        findings: one per attack, in the order of the configuration.
        ladders: the strongest rung per family and metric; headlines first.
        exposure: who is worst off; None where no attack counts images of people.
        scores: PU-score and URR of this scenario.
        matches: query -> best match, cross-camera.
        rank_lists: the best matches of a few queries, those it gets wrong first.
        embedding: the stored features of a few people in two dimensions (t-SNE).
        status: ``failed`` if the defense or the utility measurement crashed; then see ``reason``.
        reason: why it is not ``done``.
        notes: what a reader must know about how the defense was applied.
        utility_bias: why ``utility``, and every score made of it, reads better than it should;
            empty if it does not. Nothing passes by such figures.
    """

    defense: str
    plugin: str = ""
    summary: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    claims: tuple[PrivacyClaim, ...] = ()
    co_trained: tuple[Finding, ...] = ()
    utility: tuple[Measurement, ...] = ()
    findings: tuple[Finding, ...] = ()
    ladders: tuple[Ladder, ...] = ()
    exposure: Exposure | None = None
    scores: tuple[Score, ...] = ()
    matches: tuple[Match, ...] = ()
    rank_lists: tuple[RankList, ...] = ()
    embedding: tuple[Place, ...] = ()
    status: Literal["done", "failed"] = "done"
    reason: str = ""
    notes: tuple[str, ...] = ()
    utility_bias: str = ""

    def ladder(self, name: str) -> Ladder | None:
        """Return the ladder of that name, such as ``inversion.reid_rank1``, if there is one."""
        return next((ladder for ladder in self.ladders if ladder.name == name), None)
