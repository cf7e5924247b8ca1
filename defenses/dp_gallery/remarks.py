"""The sentences of a claim: the mechanism, and what a reader must see beside its numbers."""

from defenses.dp_gallery.mechanism import Clip

DATA_DEPENDENT = (
    "σ follows from the spread of the stored features, not from sensitivity, ε and δ; it tells "
    "something about them that no ε here accounts for"
)
COUNTED = "images per identity were counted in the gallery, not bounded beforehand"
SECRET = (
    "the noise of a record follows from a secret key: anyone who learns the key can remove it, and "
    "equal entries of two releases are one record; a record is a picture's file seen through one "
    "network, so a copy in another file is another record, and counts as one"
)
ROUNDING = "floating-point noise: no guarantee beyond rounding"


def meaningless(epsilon: float) -> str:
    """Return what a large ε does not promise."""
    return (
        f"ε = {epsilon:.4g} is no meaningful guarantee: it lets the odds that a person is in the "
        "gallery change without practical limit; only the attacks say what is protected"
    )


def describe_mechanism(mechanism: str, calibration: str, clip: Clip, sticky: bool) -> str:
    """Return the mechanism in words.

    >>> describe_mechanism("gaussian", "analytic", "unit", False)
    'analytic Gaussian on unit-norm rows'
    >>> describe_mechanism("laplace", "analytic", 4.0, True)
    'Laplace on rows cut to norm 4, the same for a record in every release'
    """
    rows = {"unit": "unit-norm rows", "none": "rows of any norm"}
    names = {
        "analytic": "analytic Gaussian",
        "classic": "Gaussian by the classic bound",
        "pepr": "Gaussian by the recipe of PEPR-Net",
    }
    name = "Laplace" if mechanism == "laplace" else names[calibration]
    shape = rows[clip] if isinstance(clip, str) else f"rows cut to norm {clip:g}"
    return f"{name} on {shape}{', the same for a record in every release' if sticky else ''}"
