"""What attacks say of themselves."""

from dataclasses import dataclass
from typing import ClassVar

from attacks.identity import IdentityLda
from auditor.plugins import AttackInfo, describe, installed, load
from auditor.report import Adversary


@dataclass(frozen=True, kw_only=True)
class Plain:
    """Declares nothing."""

    def run(self, target, ctx):
        """Nothing either."""


@dataclass(frozen=True, kw_only=True)
class Worlds(Plain):
    """Brings worlds of its own."""

    slow: ClassVar[bool] = True

    def make_planted(self, target, ctx):
        """A world to win in."""
        return "planted"


def test_an_attack_that_declares_nothing_has_the_defaults():
    assert describe(Plain()) == AttackInfo()


def test_own_worlds_are_made_by_the_attack_itself():
    info = describe(Worlds())
    assert info.slow
    assert info.make_planted(None, None) == "planted"
    assert info.make_null is None


def test_a_class_says_the_same_as_its_attack():
    for declared in (describe(IdentityLda), describe(IdentityLda())):
        assert declared.family == "identity"
        assert declared.headline == "top1"
        assert isinstance(declared.adversary, Adversary)


def test_every_installed_attack_names_its_adversary():
    assert all(describe(load("attacks", name)).adversary for name in installed("attacks"))
