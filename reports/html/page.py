"""The record as one web page: no script, no other file; it reads without its style too.

The page forbids by its own policy what it does not need, so a stranger's text that slipped through
escaping still could not run or load anything.
"""

import base64
import hashlib
import re
from collections.abc import Sequence
from functools import cache, partial
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from auditor.artifacts.atomic import write
from auditor.artifacts.personal import reveal_people
from auditor.gates import Verdict, decimals, limit_text
from auditor.report import LISTED, SMALLEST_GROUP, AuditReport, Measurement
from reports.content import (
    caveats,
    claims,
    co_trained,
    compliance,
    context,
    coverage,
    risks,
    tables,
    threat_models,
    wording,
)
from reports.content.certificates import certificates, others
from reports.content.facts import as_yaml, facts
from reports.content.glossary import TERMS
from reports.html.exhibits import exhibits, picture
from reports.html.sections import key_findings
from reports.plots import trade_off
from reports.plots.curves import curve_plots
from reports.plots.projection import constellations
from reports.plots.pu_weights import weight_plots
from reports.plots.similarity import strength_plots
from reports.redaction.sanitize import clean

NAME = 160
"""Characters of a name in a heading or an address."""
SURE = 0.05
"""The corrected p-value up to which a difference between groups is called measurable."""
FOLDED = 8
"""Metrics of one attack beyond which those of single attributes fold away."""


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


def page(report: AuditReport, verdicts: Sequence[Verdict], *, root: Path, reveal: bool) -> str:
    """The page as text."""
    stored, report = report, reveal_people(report, root) if reveal else report
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            bare=report.scenarios[0] if report.scenarios else None,
            verdicts=verdicts,
            ruling=tables.verdict_of(report, verdicts),
            findings=key_findings.build(report, verdicts, root=root, reveal=reveal),
            comparison=tables.comparison(report),
            scope=context.scope(report),
            threats=threat_models.threats(report),
            risks=risks.risks(report),
            untested=risks.untested(report),
            identity=context.identity(report),
            attacks=tables.by_attack(report),
            people=tables.by_person(report),
            subgroups=tables.by_subgroup(report),
            listed=[scenario for scenario in report.scenarios if scenario.rank_lists],
            scores=tables.all_scores(report),
            plots=trade_off.plots(report),
            weights=weight_plots(report),
            constellations=constellations(report),
            strengths=strength_plots(report),
            exhibits=partial(exhibits, report, root=root, reveal=reveal),
            picture=partial(picture, report, root=root, reveal=reveal),
            limitations=caveats.caveats(report),
            coverage=coverage.coverage(report),
            annexes=compliance.annexes(report),
            disclaimer=caveats.DISCLAIMER,
            glossary=TERMS,
            revealed=reveal and report.real_people,
            fingerprint=context.fingerprint(stored),
            **styled(),
        )
    )


def styled(name: str = "style.css") -> dict[str, str]:
    """The style of every page, and the hash by which the page's own policy names it."""
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
    environment.globals |= {
        "figures": tables.figures,
        "curves": curve_plots,
        "co_trained": co_trained.pairs,
        "smallest_group": SMALLEST_GROUP,
        "longest_list": LISTED,
        "proven": SURE,
        "certificates": certificates,
        "others": others,
        "change": tables.change,
        "folded": folded,
        "measured": tables.measured,
        "promises": claims,
        "decimals": decimals,
        "limit_text": limit_text,
        "facts": facts,
        "as_yaml": lambda config: escape(as_yaml(config)),
        "percent": percent,
    }
    environment.filters |= {
        "label": wording.label,
        "number": wording.number,
        "interval": wording.interval,
        "quantity": wording.quantity,
        "sentence": wording.sentence,
        "prose": wording.prose,
        "breakable": breakable,
        "name": partial(clean, longest=NAME),
        "trusted": Markup,  # pictures and drawings of this house: too long to clean as a text
    }
    return environment


def _finalize(value: Any) -> Any:
    # what this house made is Markup and stays as it is; every other text is cleaned first
    return clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def breakable(name: str) -> Markup:
    """A long technical name that may break after its slashes and underscores.

    >>> breakable("none/identity/top1")
    Markup('none/<wbr>identity/<wbr>top1')
    """
    shown = str(escape(clean(name, NAME)))
    return Markup(re.sub("([/_])", r"\1<wbr>", shown))


def percent(fraction: float) -> str:
    """A place on an axis from 0 to 1, kept on it.

    >>> percent(0.25), percent(1.7)
    ('25.00%', '100.00%')
    """
    return f"{100 * min(max(fraction, 0.0), 1.0):.2f}%"


def folded(measurements: Sequence[Measurement]) -> tuple[list[str], list[str]]:
    """Metric names to show at once, and, if there are many, those of single attributes to fold."""
    names = list(dict.fromkeys(m.metric for m in measurements))
    if len(names) <= FOLDED:
        return names, []
    single = [n for n in names if "." in n and not n.startswith("reid_")]
    return [n for n in names if n not in single], single
