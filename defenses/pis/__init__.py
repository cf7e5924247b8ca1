"""Person identity shift (SCIS 69(1), 2026): everybody's pictures become a mixed person's."""

from defenses.pis.defense import AppearanceExchange, AppearanceInterpolation, IdentityShift

__all__ = ["AppearanceExchange", "AppearanceInterpolation", "IdentityShift"]
