"""The words and number formats of every rendered report: labels, percent signs, intervals.

The record has fractions and the field's short names; here alone they turn into what is read.
"""

import math

from auditor.report import Measurement

UTILITY = ("rank1", "map", "rank1_reranked", "map_reranked")
"""The utility figures that stand for the rest in summaries."""

LABELS = {
    "rank1": "Rank-1",
    "rank5": "Rank-5",
    "rank10": "Rank-10",
    "map": "mAP",
    "minp": "mINP",
    "top1": "Top-1",
    "top5": "Top-5",
    "balanced_accuracy": "Balanced accuracy",
    "mean_balanced_accuracy": "Mean balanced accuracy",
    "mean_f1": "Mean F1",
    "f1": "F1",
    "accuracy": "Accuracy",
    "auc": "AUC",
    "excess_accuracy": "Accuracy above the majority's share",
    "reid_rank1": "Re-identified at rank 1",
    "reid_map": "Re-identification mAP",
    "source_cosine": "Cosine to the original picture",
    "type1_rank1": "Original picture found at rank 1",
    "sar_type1_fmr1": "Passes for the same picture at FMR 1%",
    "sar_type1_fmr01": "Passes for the same picture at FMR 0.1%",
    "sar_type2_fmr1": "Passes for the person at FMR 1%",
    "sar_type2_fmr01": "Passes for the person at FMR 0.1%",
    "attribute_agreement": "Attributes read from the picture",
    "linkage_rank1": "Linked at rank 1",
    "linkage_map": "Linkage mAP",
    "d_sys": "Linkability D_sys",
    "aligned_rank1": "Found without the model at rank 1",
    "aligned_map": "Search without the model, mAP",
    "aligned_attributes": "Attributes read without the model",
    "agreement": "Agreement of a copy with the model",
    "student_rank1": "Rank-1 of the copy",
    "shares_explained": "Make-up of the crowd inferred",
    "share_error": "Error of estimated shares",
    "described_rank1": "Found by description at rank 1",
    "described_map": "mAP of search by description",
    "anonymity_median": "Anonymity set, median",
    "anonymity_q05": "Anonymity set, 5% quantile",
    "pairwise_f1": "Links across cameras (pairwise F1)",
    "pairwise_f1_untimed": "Links across cameras by features alone (pairwise F1)",
    "bcubed_f1": "B-cubed F1",
    "path_recovered": "Whole path recovered",
    "purity": "Purity of clusters",
    "tpir": "Found on the list (TPIR)",
    "fnir": "FNIR",
    "rank1_listed": "First on the list, if on it",
    "fnir_at_fpir_1pct": "FNIR at FPIR 1%",
    "fnir_at_fpir_0_1pct": "FNIR at FPIR 0.1%",
    "matched_rank1": "Matched at rank 1",
    "denoised_rank1": "Matched at rank 1, one release denoised",
    "translated_rank1": "Named at rank 1 after translation",
    "translated_map": "Translation mAP",
    "translated_cosine": "Cosine of the translation to the clean feature",
    "unshifted_rank1": "Named at rank 1 after un-shifting",
    "unshifted_map": "Un-shifted mAP",
    "shifted_rank1": "Named at rank 1 without un-shifting",
    "shifted_map": "mAP without un-shifting",
    "retrieved_rank1": "Either person found at rank 1",
    "retrieved_map": "mAP of finding either person",
    "own_rank1": "Own identity first",
    "partner_rank1": "Partner first",
    "cosine": "Cosine to the clean feature",
    "recovered_cosine": "Cosine to the stored feature",
    "score_reached": "Score reached",
    "verified_fmr1": "Passes verification at FMR 1%",
    "verified_fmr01": "Passes verification at FMR 0.1%",
    "recovered": "Pictures recovered",
    "recovered_published": "Protected pictures recovered",
    "label_recovered": "Labels recovered",
    "feature_cosine": "Cosine of features to the original",
    "mse": "Mean squared error",
    "psnr": "PSNR",
    "psnr_published": "PSNR to the protected picture",
    "ssim": "SSIM",
    "lpips": "LPIPS",
    "lpips_reference": "Perceptual distance",
    "fully_exposed": "people found in every image",
    "worst_5_percent": "most exposed 5% of people",
    "identity_excess": "Membership advantage beyond shift",
    "identity_auc": "Membership AUC by person",
    "image_auc": "Membership AUC by picture",
    "identity_tpr": "Members found",
    "image_tpr": "Members' pictures found",
    "blind_identity_auc": "Blind AUC by person",
    "blind_image_auc": "Blind AUC by picture",
    "identity_tpr_at_fpr_1pct": "Members found at 1% false alarms",
    "identity_tpr_at_fpr_0_1pct": "Members found at 0.1% false alarms",
    "image_tpr_at_fpr_1pct": "Members' pictures found at 1% false alarms",
    "image_tpr_at_fpr_0_1pct": "Members' pictures found at 0.1% false alarms",
    "urr1": "URR-1",
    "urr2": "URR-2",
}
UNITS = {
    "fraction": "percent",
    "dB": "dB",
    "distance": "distance",
    "ratio": "ratio",
    "people": "people",
}
ABSENT = "n/a"
LONGEST_NAME = 80
"""Characters of one name in an enumeration."""


def label(metric: str) -> str:
    """Return what a reader calls a metric.

    The part after a dot is what it is measured on, or by whom; after an at sign, among whom.

    >>> label("map"), label("gender.f1"), label("reid_rank1.osnet"), label("pu_identity")
    ('mAP', 'gender: F1', 'Re-identified at rank 1 (osnet)', 'PU-score (identity)')
    >>> label("top1@hat=yes"), label("top1.fully_exposed"), label("map_reranked")
    ('Top-1 among hat = yes', 'Top-1: people found in every image', 'mAP, re-ranked')
    """
    if metric in LABELS:
        return LABELS[metric]
    if metric.removesuffix("_reranked") in UTILITY:
        return f"{label(metric.removesuffix('_reranked'))}, re-ranked"
    whole, at, group = metric.partition("@")
    if at and whole:
        return f"{label(whole)} among {group.replace('=', ' = ', 1)}"
    head, _, tail = metric.rpartition(".")
    if tail in LABELS and head:
        return f"{label(head)}: {LABELS[tail]}"
    head, _, tail = metric.partition(".")
    if head in LABELS and tail:
        return f"{LABELS[head]} ({tail})"
    if metric.startswith("pu_"):
        return f"PU-score ({metric.removeprefix('pu_')})"
    return metric


def number(value: float | None, unit: str) -> str:
    """One number in its unit: rates in percent with one decimal, dB with two, others with three.

    >>> number(0.4312, "fraction"), number(17.2, "dB"), number(0.2, "distance")
    ('43.1%', '17.20 dB', '0.200')
    >>> number(12.0, "people")
    '12'
    """
    if value is None:
        return ABSENT
    if not math.isfinite(value):
        return "unbounded" if value > 0 else ABSENT
    if unit == "fraction":
        return f"{100 * value:.1f}%"
    if unit == "people":
        return f"{value:.0f}"
    return f"{value:.2f} dB" if unit == "dB" else f"{value:.3f}"


def interval(measurement: Measurement) -> str:
    """Return the 95% interval, its unit said once.

    >>> m = Measurement(metric="top1", value=0.5, n=9, low=0.4, high=0.61)
    >>> interval(m)
    '40.0–61.0%'
    """
    low, high = (number(end, measurement.unit) for end in (measurement.low, measurement.high))
    return f"{low.removesuffix('%').removesuffix(' dB')}–{high}"


def quantity(value: float | None) -> str:
    """Write a parameter such as ε or σ with six significant digits; None means no bound.

    >>> quantity(300.0), quantity(299.96), quantity(1e-5), quantity(float("inf"))
    ('300', '299.96', '1e-05', 'unbounded')
    """
    if value is None:
        return "unbounded"
    if math.isnan(value):
        return ABSENT
    return f"{value:.6g}" if math.isfinite(value) else "unbounded"


def prose(text: str) -> str:
    """Return a docstring's sentences without their marks for code.

    >>> prose("Closed set, as for `identity`.")
    'Closed set, as for identity.'
    """
    return text.replace("`", "")


def sentence(text: str) -> str:
    """Return a reason with a capital letter and a full stop; a symbol stays small.

    >>> sentence("it finds a planted leak"), sentence("ε = 300 is much!")
    ('It finds a planted leak.', 'ε = 300 is much!')
    """
    text = text.strip()
    ended = text if text[-1:] in ".!?…" else f"{text}."
    return ended[:1].upper() + ended[1:] if ended[:1].isascii() else ended


def listing(names: list[str], most: int = 3) -> str:
    """Return names in a sentence, the first few of many.

    >>> listing(["a", "b"]), listing(["a", "b", "c", "d", "e"])
    ('a and b', 'a, b, c and 2 more')
    """
    names = [
        name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…" for name in names
    ]
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
