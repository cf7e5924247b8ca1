"""Stage one of PEPR-Net: features that redraw a de-identified picture and name nobody."""

from defenses.deid.defense import Deid

__all__ = ["Deid"]
