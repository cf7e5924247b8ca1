"""Headline figures of a record as a Markdown table: `python benchmarks/table.py report.json`."""

import sys
from pathlib import Path

from auditor.report import AuditReport, Measurement, Power, Scenario, load

ROWS = (
    ("utility", "rank1", "re-ID rank-1"),
    ("utility", "map", "re-ID mAP"),
    ("identity", "top1", "identity: top-1, closed set"),
    ("identity_lda", "top1", "identity: top-1 by LDA"),
    ("identity_plda", "top1", "identity: top-1, knowing how people differ"),
    ("identity_cross_camera", "top1", "identity: top-1 by LDA, other cameras than known"),
    ("linkage", "linkage_rank1", "linkage of two releases: rank-1"),
    ("linkage_plda", "linkage_rank1", "linkage, knowing how people differ: rank-1"),
    ("linkage", "d_sys", "linkage of two releases: D_sys"),
    ("averaging", "matched_rank1", "person found after averaging 16 releases"),
    ("translation", "translated_rank1", "person found after translation to clean features"),
    ("score_trilateration", "matched_rank1", "person found from similarity scores alone"),
    ("attribute", "mean_balanced_accuracy", "attributes: mean balanced accuracy"),
    ("attribute_logistic", "mean_balanced_accuracy", "attributes: by logistic regression"),
    ("attribute_expansion", "mean_balanced_accuracy", "attributes: by magnitudes and products"),
    ("attribute", "gender.balanced_accuracy", "· gender, balanced accuracy"),
    ("attribute", "hair.balanced_accuracy", "· hair length, balanced accuracy"),
    ("attribute", "backpack.balanced_accuracy", "· backpack, balanced accuracy"),
    ("attribute", "hat.balanced_accuracy", "· hat, balanced accuracy"),
    ("attribute", "upblack.balanced_accuracy", "· black top, balanced accuracy"),
    (
        "attribute",
        "up_colour.balanced_accuracy",
        "· colour of the top (multi-class)",
    ),
    ("composite", "reid_rank1", "composite: re-identified, rank-1, by the model itself"),
    ("composite", "reid_rank1.osnet_x0_25", "composite: rank-1, independent judge (OSNet x0.25)"),
    ("composite", "reid_rank1.retail_0287", "composite: rank-1, judge of the same maker (0287)"),
    ("composite", "sar_type2_fmr1", "composite: passes for the person at FMR 1%"),
    ("composite", "attribute_agreement", "composite: attributes read off the picture"),
    ("inversion", "reid_rank1", "GAN: re-identified, rank-1, by the model itself"),
    ("inversion", "reid_rank1.osnet_x0_25", "GAN: rank-1, independent judge (OSNet x0.25)"),
    ("inversion", "reid_rank1.retail_0287", "GAN: rank-1, judge of the same maker (0287)"),
    ("inversion", "psnr", "GAN: PSNR"),
    ("inversion", "ssim", "GAN: SSIM"),
    ("inversion", "lpips", "GAN: LPIPS, lower is leakier"),
    ("scores", "pu_identity", "PU-score (mAP, identity top-1)"),
    ("scores", "urr1", "URR-1"),
)


def shown(m: Measurement | None) -> str:
    """Return value and interval; fractions in percent."""
    if m is None:
        return "–"
    if m.unit == "fraction":
        return f"{m.value:.1%} ({m.low:.1%}–{m.high:.1%})"
    unit = " dB" if m.unit == "dB" else ""
    return f"{m.value:.3f}{unit} ({m.low:.3f}–{m.high:.3f})"


def chance(m: Measurement) -> str:
    """Return the blind adversary's figure."""
    if m.chance is None:
        return "–"
    return f"{m.chance:.1%}" if m.unit == "fraction" else f"{m.chance:.3f}"


def table(report: AuditReport) -> str:
    """Return one row per figure, one column per scenario."""
    figures = dict(report.measurements())
    names = [scenario.defense for scenario in report.scenarios]
    lines = ["| figure | " + " | ".join(f"`{n}`" for n in names) + " | chance |"]
    lines.append("|---" * (len(names) + 2) + "|")
    for attack, metric, label in ROWS:
        found = [figures.get(f"{name}/{attack}/{metric}") for name in names]
        if found[0] is not None:
            cells = " | ".join(map(shown, found))
            lines.append(f"| {label} | {cells} | {chance(found[0])} |")
    return "\n".join(lines)


def certificates(report: AuditReport) -> str:
    """Tabulate headlines' power certificates, a row per attack; defenses by efficiency alone."""
    bare, *defended = report.scenarios
    heads = ["attack", "planted leak", "best adversary", "efficiency", "nothing to find", "chance"]
    heads += [f"`{scenario.defense}`" for scenario in defended]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for finding in bare.findings:
        power = finding.power()
        if power and power.planted and power.null:
            best = "–" if power.reference is None else f"{power.reference:.1%}"
            cells = [finding.attack, shown(power.planted), best, efficiency(power)]
            cells += [shown(power.null), chance(power.null)]
            cells += [efficiency(of(scenario, finding.attack)) for scenario in defended]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def of(scenario: Scenario, attack: str) -> Power | None:
    """Return the certificate of the attack's headline in the scenario."""
    return next((f.power() for f in scenario.findings if f.attack == attack), None)


def efficiency(power: Power | None) -> str:
    """Return the share of what the best adversary finds, or the outcome if power was not shown."""
    if power is None:
        return "–"
    share = "" if power.efficiency is None else f"{power.efficiency:.2f}"
    return share if power.shown and share else f"{share} {power.outcome}".strip()


if __name__ == "__main__":
    record = load(Path(sys.argv[1]))
    print(table(record), certificates(record), sep="\n\n")
