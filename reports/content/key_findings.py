"""The key findings: one sentence with figures for each risk, and what to do next.

A figure is stated as a fact only as far as the record supports it. A high one is its own proof. A
low one counts only where the attack passed its controls, and one from an attack that reports
success where there is nothing to find does not count at all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from auditor.gates import Verdict
from auditor.gates.evidence import doubts, doubts_on, family_of, shows_less
from auditor.report import AuditReport, Measurement, Scenario
from reports.content.risks import MEANINGS, Risk, risks
from reports.content.tables import BARE
from reports.content.wording import label, listing, number, quantity, sentence

Evidence = Literal["certified", "uncertified", "void"]
Standing = Literal["pass", "fail", "inconclusive", "partly judged", "no limit", "not tested"]

USEFULNESS = "Usefulness"
STATEMENTS: Mapping[str, str] = MappingProxyType(
    {
        "top1": "Whoever steals this gallery names {value} of its entries",
        "pairwise_f1": "Whoever clusters this gallery follows people across cameras with an F1 of "
        "{value}",
        "described_rank1": "A description in words finds {value} of the people in this gallery",
        "shares_explained": "What crowds of these people are made of is estimated with {value} "
        "less error than by guessing",
        "aligned_rank1": "Whoever steals the vectors alone, without the model, finds {value} of "
        "the people in this gallery by pictures of them",
        "agreement": "A copy of the model made of its answers agrees with it by {value}",
        "tpir": "Whoever searches this gallery for a person finds {value} of those who are there, "
        "with few false alarms",
        "linkage_rank1": "Whoever has two releases of this gallery links {value} of the entries",
        "matched_rank1": "Whoever averages several releases finds {value} of the people",
        "denoised_rank1": "Whoever denoises one release finds {value} of the people",
        "translated_rank1": "Whoever translates stored features back names {value} of the people",
        "unshifted_rank1": "Whoever undoes the protection of pictures names {value} of the people",
        "mean_balanced_accuracy": "Attributes are read from stored features with a mean balanced "
        "accuracy of {value}",
        "reid_rank1": "{judge} recognises {value} of the pictures reconstructed from stored "
        "features",
        "recovered": "Shared gradients give away {value} of the training pictures",
        "rank1": "The right person comes first for {value} of queries",
    }
)
"""Headline metric -> what it means for the people in the gallery."""
PHRASES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "dp_gallery": ("noise at ε = {}", "epsilon"),
        "dp_sgd": ("private training at ε = {}", "epsilon"),
    }
)
"""Defense -> how a sentence names it, and the parameter that it quotes."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One figure of one attack in one scenario, and how far it counts."""

    scenario: Scenario
    attack: str
    measurement: Measurement
    evidence: Evidence


@dataclass(frozen=True, kw_only=True)
class Statement:
    """What one family of attacks found, before and after the defense that leaves least.

    Attributes:
        family: of the attacks.
        text: the finding in plain sentences.
        before: without a defense; None where it was not measured.
        after: under the defense that leaves least; None without a defense or a figure.
    """

    family: str
    text: str
    before: Reading | None
    after: Reading | None


@dataclass(frozen=True, kw_only=True)
class KeyFinding:
    """One line of the first screen.

    Attributes:
        name: of the risk, or `USEFULNESS`.
        statements: the strongest finding first; empty where no attack tries the risk.
        standing: what the gates on this risk come to.
        judged: the addresses that decided it.
    """

    name: str
    statements: tuple[Statement, ...]
    standing: Standing
    judged: tuple[str, ...] = ()


def key_findings(report: AuditReport, verdicts: Sequence[Verdict]) -> list[KeyFinding]:
    """Return each risk in the Opinion's order, then what the model is worth to its owner."""
    found = [_risk(report, risk, verdicts) for risk in risks(report)]
    spoken_of = (s.after.scenario for f in found for s in f.statements if s.after)
    return [*found, *_usefulness(report, next(spoken_of, None), verdicts)]


def _risk(report: AuditReport, risk: Risk, verdicts: Sequence[Verdict]) -> KeyFinding:
    families = [family.name for family in risk.families]
    statements = [s for name in families if (s := _statement(report, name))]
    statements.sort(key=_severity, reverse=True)
    mine = [v for v in verdicts if v.decides and _family(report, v.address) in families]
    judged = {_family(report, verdict.address) for verdict in mine}
    standing = _standing(mine) if mine or statements else "not tested"
    if standing == "pass" and not {s.family for s in statements} <= judged:
        standing = "partly judged"
    return KeyFinding(
        name=risk.name, statements=tuple(statements), standing=standing, judged=_deciding(mine)
    )


def _usefulness(
    report: AuditReport, defended: Scenario | None, verdicts: Sequence[Verdict]
) -> list[KeyFinding]:
    """Say how useful the model is without a defense, and under the one that the risks describe."""
    before = _utility(next((s for s in report.scenarios if s.defense == BARE), None))
    after = _utility(defended)
    if not before and not after:
        return []
    mine = [v for v in verdicts if v.decides and v.address.split("/")[1:2] == ["utility"]]
    text = _tell(report, before, after)
    statement = Statement(family="utility", text=text, before=before, after=after)
    standing, judged = _standing(mine), _deciding(mine)
    return [KeyFinding(name=USEFULNESS, statements=(statement,), standing=standing, judged=judged)]


def _utility(scenario: Scenario | None) -> Reading | None:
    found = [m for m in scenario.utility if m.metric == "rank1"] if scenario else []
    if not scenario or not found:
        return None
    evidence: Evidence = "uncertified" if scenario.utility_bias else "certified"
    return Reading(scenario=scenario, attack="utility", measurement=found[0], evidence=evidence)


def _statement(report: AuditReport, family: str) -> Statement | None:
    """Return what a family of attacks found; None where it came to no figure anywhere."""
    bare = next((s for s in report.scenarios if s.defense == BARE), None)
    before = _strongest(bare, family) if bare else None
    after = _least_after(report, family, before)
    if not before and not after:
        return None
    return Statement(
        family=family, text=_tell(report, before, after, family), before=before, after=after
    )


def _least_after(report: AuditReport, family: str, before: Reading | None = None) -> Reading | None:
    """Return the reading under the defense that leaves least; certified ones are preferred."""
    metric = before.measurement.metric if before else ""
    found = [
        reading
        for scenario in report.scenarios
        if scenario.defense != BARE and (reading := _strongest(scenario, family, metric))
    ]
    if not found:
        return None
    return min(found, key=lambda r: (r.evidence != "certified", _badness(r.measurement)))


def _strongest(scenario: Scenario, family: str, metric: str = "") -> Reading | None:
    """Return the strongest rung by the family's headline metric, a certified one if there is."""
    found = _readings(scenario, family, metric)
    order = ("void", "uncertified", "certified")
    return max(
        found, key=lambda r: (order.index(r.evidence), _badness(r.measurement)), default=None
    )


def _readings(scenario: Scenario, family: str, metric: str) -> list[Reading]:
    rungs = [f for f in scenario.findings if family_of(f) == family and f.status == "done"]
    headlines = [f.headline.metric for f in rungs if f.headline]
    ladder = next((rung for rung in scenario.ladders if rung.family == family), None)
    if ladder:
        headlines = [ladder.measurement.metric, *headlines]
    wanted = metric or next(iter(headlines), "")
    found = []
    for rung in rungs:
        for m in rung.measurements:
            if m.metric == wanted:
                doubt = doubts(rung, m.metric)
                evidence: Evidence = "uncertified" if doubt.passing else "certified"
                evidence = "void" if doubt.failing else evidence
                reading = Reading(
                    scenario=scenario, attack=rung.attack, measurement=m, evidence=evidence
                )
                found.append(reading)
    return found


def _badness(m: Measurement) -> float:
    return m.value if m.worse == "higher" else -m.value


def _severity(statement: Statement) -> tuple[bool, float]:
    """Return how far above chance the first figure lies, as a share of what chance leaves."""
    reading = statement.before or statement.after
    assert reading is not None
    m, chance = reading.measurement, reading.measurement.chance or 0.0
    if m.unit != "fraction" or m.worse == "lower" or chance >= 1:
        return False, 0.0
    return reading.evidence != "void", (m.value - chance) / (1 - chance)


def _tell(
    report: AuditReport, before: Reading | None, after: Reading | None, family: str = ""
) -> str:
    """Return the finding in one to three sentences."""
    parts = [_tell_found(before)] if before else ["Not measured without a defense"]
    if after:
        parts.append(_tell_left(report, before, after))
    texts = ["; ".join(parts)]
    shown = before or after
    assert shown is not None
    if stronger := _stronger(shown, family):
        texts.append(stronger)
    return " ".join(map(sentence, texts))


def _tell_found(reading: Reading) -> str:
    m = reading.measurement
    if reading.evidence == "void":
        return (
            f"{label(m.metric)}: no figure counts, because the attack {reading.attack} reports "
            "success where there is nothing to find"
        )
    chance = "" if m.chance is None else f" (chance {round_in_words(m.chance, m.unit)})"
    text = f"{_meaning(m)}{chance}"
    if reading.attack == "utility":
        return f"{text}, which is overestimated" if reading.evidence != "certified" else text
    if _reaches_chance(m):
        text = f"{text}; the 95% interval reaches chance"
    if reading.evidence == "certified":
        return text
    doubt = f"the attack {reading.attack} did not pass its controls and may miss a larger leak"
    return f"{text}, but {doubt}"


def _reaches_chance(m: Measurement) -> bool:
    if m.chance is None:
        return False
    return m.low <= m.chance if m.worse == "higher" else m.high >= m.chance


def _meaning(m: Measurement) -> str:
    base, _, judge = m.metric.partition(".")
    value = round_in_words(m.value, m.unit)
    if base not in STATEMENTS:
        return f"{label(m.metric)}: {value}"
    by = f"The independent judge {judge}" if judge else "The audited model itself"
    return STATEMENTS[base].format(value=value, judge=by)


def _tell_left(report: AuditReport, before: Reading | None, after: Reading) -> str:
    m, phrase = after.measurement, defense_phrase(after.scenario)
    value = round_in_words(m.value, m.unit)
    if after.evidence == "void":
        return f"under {phrase} no figure counts: the attack reports success where there is nothing"
    if after.attack == "utility":
        biased = "" if after.evidence == "certified" else ", which is overestimated"
        return f"under {phrase} for {value}{biased}"
    if after.evidence == "uncertified":
        return (
            f"under {phrase} the attack {after.attack} finds {value}, but it did not pass its "
            "controls there, so this is no evidence of protection"
        )
    others = sum(scenario.defense != BARE for scenario in report.scenarios)
    best = f"of {others} defenses, " if others > 1 else ""
    text = f"{best}{phrase} leaves {value}"
    if before and before.evidence != "void" and not shows_less(before.measurement, m, others):
        return f"{text}; the difference may be due to chance, so this shows no reduction"
    return text


def _stronger(shown: Reading, family: str) -> str:
    """Say what an attack found beyond this figure without having passed its controls: it counts."""
    metric, limit = shown.measurement.metric, shown.measurement.pessimistic
    sign = 1 if shown.measurement.worse == "higher" else -1
    more = [
        r
        for r in (_readings(shown.scenario, family, metric) if family else [])
        if r.evidence == "uncertified" and sign * (r.measurement.value - limit) > 0
    ]
    if not more or shown.evidence != "certified":
        return ""
    top = max(more, key=lambda r: _badness(r.measurement))
    value = round_in_words(top.measurement.value, top.measurement.unit)
    return f"the attack {top.attack} finds even {value}, although it did not pass its controls"


def defense_phrase(scenario: Scenario) -> str:
    """Return a defense as a sentence names it.

    >>> params = {"epsilon": 300.0}
    >>> defense_phrase(Scenario(defense="dp", plugin="dp_gallery", params=params))
    'noise at ε = 300'
    >>> defense_phrase(Scenario(defense="mine", plugin="pis"))
    'mine'
    """
    words, parameter = PHRASES.get(scenario.plugin, ("", ""))
    value = scenario.params.get(parameter)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return words.format(quantity(value))
    return scenario.defense


def round_in_words(value: float, unit: str) -> str:
    """Return a figure in running text: whole percents, decimals only near the ends.

    >>> figures = 0.9734, 0.0027, 0.9951
    >>> tuple(round_in_words(figure, "fraction") for figure in figures)
    ('97%', '0.3%', '99.5%')
    >>> round_in_words(0.0, "fraction"), round_in_words(1.0, "fraction")
    ('0%', '100%')
    """
    if unit != "fraction":
        return number(value, unit)
    if value in (0.0, 1.0):
        return f"{100 * value:.0f}%"
    return f"{100 * value:.0f}%" if 0.1 <= value <= 0.99 else f"{100 * value:.1f}%"


def _family(report: AuditReport, address: str) -> str:
    """Return the family of attacks that a gate's address speaks of; empty for anything else."""
    _, attack, metric = [*address.split("/", 2), "", ""][:3]
    if attack == "ladder":
        families = {f: None for s in report.scenarios for f in map(family_of, s.findings)}
        return next((f for f in families if metric.startswith(f"{f}.")), "")
    return next(
        (family_of(f) for s in report.scenarios for f in s.findings if f.attack == attack), ""
    )


def _standing(verdicts: Sequence[Verdict]) -> Standing:
    outcomes = {verdict.outcome for verdict in verdicts}
    if not outcomes:
        return "no limit"
    if "fail" in outcomes:
        return "fail"
    return "inconclusive" if "inconclusive" in outcomes else "pass"


def _deciding(verdicts: Sequence[Verdict]) -> tuple[str, ...]:
    outcome = _standing(verdicts)
    return tuple(dict.fromkeys(v.address for v in verdicts if v.outcome == outcome))


def next_steps(report: AuditReport, verdicts: Sequence[Verdict]) -> list[str]:
    """Return what to do about the findings, the most pressing first."""
    return [sentence(text) for text in _steps(report, verdicts)]


def _steps(report: AuditReport, verdicts: Sequence[Verdict]) -> list[str]:
    deciding = [v for v in verdicts if v.decides]
    steps = []
    if not report.complete:
        steps.append("finish the audit: the same audit run continues where it was interrupted")
    if failed := [v.address for v in deciding if v.outcome == "fail"]:
        steps.append(
            f"do not release under these limits: {listing(failed)} failed. Store less, or try a "
            "stronger defense, and audit again"
        )
    steps += _undecided(report, [v for v in deciding if v.outcome == "inconclusive"])
    for scenario in report.scenarios:
        wrong = [c.verdict for c in scenario.claims if c.verdict not in ("", "CONSISTENT")]
        steps += [f"correct the privacy claim of {scenario.defense}: it is {v}" for v in wrong]
    if not verdicts:
        steps.append("set limits: without gates this audit measures and does not judge")
    if untried := [r.name for r in risks(report) if not r.families and r.name in MEANINGS]:
        tried = listing([name.lower() for name in untried])
        steps.append(f"add attacks for what this audit did not test: {tried}")
    if report.scenarios and all(s.defense == BARE for s in report.scenarios):
        steps.append("audit a defense beside the bare model, to see what it leaves and costs")
    if not report.real_people:
        steps.append("audit your own model on your own pictures: these people are synthetic")
    return steps or ["repeat the audit when the model, the data or the release changes"]


def _undecided(report: AuditReport, verdicts: Sequence[Verdict]) -> list[str]:
    """Say why gates could not be decided, and what would decide them."""
    nothing, weak, wide = [], [], []
    for verdict in verdicts:
        if verdict.observed is None:
            nothing.append(verdict.address)
        elif doubts_on(report, verdict.address).passing:
            weak.append(verdict.address)
        else:
            wide.append(verdict.address)
    steps = []
    if wide:
        steps.append(f"audit more people: the interval of {listing(wide)} straddles its limit")
    if weak:
        steps.append(
            f"strengthen the attack behind {listing(weak)}: a low figure counts only if it passes "
            "its controls"
        )
    if nothing:
        steps.append(f"find out why there is no figure for {listing(nothing)}")
    return steps
