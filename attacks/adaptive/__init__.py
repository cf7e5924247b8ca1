"""Attacks that answer one defense: noise averaged out, features translated, shifts undone."""

from attacks.adaptive.averaging import Averaging
from attacks.adaptive.translation import Translation
from attacks.adaptive.unshift import Unshift

__all__ = ["Averaging", "Translation", "Unshift"]
