"""Training pictures recovered from shared gradients, as a ladder of rungs."""

from attacks.gradient.inverting import GradientInversion
from attacks.gradient.leakage import Dlg, Idlg

__all__ = ["Dlg", "GradientInversion", "Idlg"]
