"""The record as one web page: no script, no other file; it reads without its style too.

The page forbids by its own policy what it does not need, so a stranger's text that slipped through
escaping still could not run or load anything.
"""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from auditor.artifacts.atomic import write
from auditor.artifacts.personal import reveal_people
from auditor.gates import Verdict, decimals, limit_text
from auditor.report import LISTED, AuditReport
from reports.content import caveats, co_trained, compliance, coverage, risks, tables, wording
from reports.content.co_trained import Pair
from reports.content.compliance import Annex
from reports.content.coverage import Coverage
from reports.content.glossary import TERMS
from reports.content.tables import Ruling
from reports.content.threat_models import Threat
from reports.html.sections import context, defenses, key_findings, people, results
from reports.html.sections.context import ReproducibilitySection, ScopeSection
from reports.html.sections.defenses import ClaimCard, DefensesSection
from reports.html.sections.key_findings import KeyFindingsSection
from reports.html.sections.people import PeopleSection, RankListsPart
from reports.html.sections.results import AttackPart, RiskPart
from reports.redaction.sanitize import clean

NAME = 160
"""Characters of a name in a heading or an address."""


def render(
    report: AuditReport, verdicts: Sequence[Verdict], path: Path, *, root: Path, reveal: bool
) -> None:
    """One self-contained page that opens offline, without scripts.

    Args:
        report: the record.
        verdicts: of the gates, from `auditor.gates.check`.
        path: the file to write, whole or not at all.
        root: the folder that the record's picture paths are relative to.
        reveal: whether real people may be named and their pictures embedded sharp.

    Raises:
        UsageError: if people are to be named and the table that names them is not there.
    """
    write(path, page(report, verdicts, root=root, reveal=reveal).encode())


@dataclass(frozen=True, kw_only=True)
class Page:
    """Everything that the templates show, section by section.

    Attributes:
        report: the record, under its people's own names if they are revealed.
        revealed: whether real people are named and shown.
        ruling: the verdict.
        key_findings: the first screen.
        verdicts: of the gates.
        scope: what was attacked, and how it was fed.
        threats: the threat model of every attack.
        results: by risk.
        attacks: every attack once, with its certificates.
        defenses: before and after.
        co_trained: adversaries of a defense's training, beside fresh ones.
        claims: privacy claims.
        people: the most exposed people, and groups.
        rank_lists: a few queries and what they find.
        longest_list: entries that a rank list shows at most.
        limitations: what a reader must not conclude; the disclaimer comes first.
        untested: risks and attacks that were not tried.
        coverage: of the classes of attacks that the Opinion names.
        annexes: compliance forms.
        reproducibility: hashes, versions and configuration.
        glossary: term -> meaning.
        style: of the page.
        style_hash: by which the page's own policy names it.
    """

    report: AuditReport
    revealed: bool
    ruling: Ruling
    key_findings: KeyFindingsSection
    verdicts: Sequence[Verdict]
    scope: ScopeSection
    threats: list[Threat]
    results: list[RiskPart]
    attacks: list[AttackPart]
    defenses: DefensesSection
    co_trained: list[Pair]
    claims: list[ClaimCard]
    people: PeopleSection
    rank_lists: list[RankListsPart]
    longest_list: int
    limitations: list[str]
    untested: list[str]
    coverage: tuple[Coverage, ...]
    annexes: tuple[Annex, ...]
    reproducibility: ReproducibilitySection
    glossary: Mapping[str, str]
    style: str
    style_hash: str


def page(report: AuditReport, verdicts: Sequence[Verdict], *, root: Path, reveal: bool) -> str:
    """Return the page as text."""
    shown = build(report, verdicts, root=root, reveal=reveal)
    return environment().get_template("report.html.j2").render(page=shown)


def build(report: AuditReport, verdicts: Sequence[Verdict], *, root: Path, reveal: bool) -> Page:
    """Return the page of a record, section by section."""
    stored, report = report, reveal_people(report, root) if reveal else report
    by_risk = results.build(report, root=root, reveal=reveal)
    return Page(
        report=report,
        revealed=reveal and report.real_people,
        ruling=tables.verdict_of(report, verdicts),
        key_findings=key_findings.build(report, verdicts, root=root, reveal=reveal),
        verdicts=verdicts,
        scope=context.scope(report),
        threats=context.threats(report),
        results=by_risk,
        attacks=results.in_order(report, by_risk),
        defenses=defenses.build(report),
        co_trained=co_trained.pairs(report),
        claims=defenses.claims(report),
        people=people.build(report),
        rank_lists=people.rank_lists(report, root=root, reveal=reveal),
        longest_list=LISTED,
        limitations=caveats.caveats(report),
        untested=risks.untested(report),
        coverage=coverage.coverage(report),
        annexes=compliance.annexes(report),
        reproducibility=context.reproducibility(report, stored),
        glossary=TERMS,
        **load_style(),
    )


def load_style(name: str = "style.css") -> dict[str, str]:
    """Return the style of every page, and the hash by which the page's own policy names it."""
    style = resources.files("reports").joinpath(f"templates/{name}").read_text("utf-8").strip()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return {"style": Markup(style), "style_hash": digest}


@cache
def environment() -> Environment:
    """Escapes everything, whatever the template is called, and knows the house's words."""
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=PackageLoader("reports"),
    )
    environment.filters |= {
        "label": wording.label,
        "number": wording.number,
        "interval": wording.interval,
        "quantity": wording.quantity,
        "sentence": wording.sentence,
        "prose": wording.prose,
        "decimals": decimals,
        "limit": limit_text,
        "percent": percent,
        "breakable": breakable,
        "name": partial(clean, longest=NAME),
        "trusted": Markup,  # pictures and drawings of this house: too long to clean as a text
    }
    return environment


def _finalize(value: Any) -> Any:
    # what this house made is Markup and stays as it is; every other text is cleaned first
    return clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def breakable(name: str) -> Markup:
    """Return a long technical name that may break after its slashes and underscores.

    >>> breakable("none/identity/top1")
    Markup('none/<wbr>identity/<wbr>top1')
    """
    shown = str(escape(clean(name, NAME)))
    return Markup(re.sub("([/_])", r"\1<wbr>", shown))


def percent(fraction: float) -> str:
    """Return a place on an axis from 0 to 1, kept on it.

    >>> percent(0.25), percent(1.7)
    ('25.00%', '100.00%')
    """
    return f"{100 * min(max(fraction, 0.0), 1.0):.2f}%"
