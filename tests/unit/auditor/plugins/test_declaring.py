"""Fields of a plug-in that check themselves, in Python as on the command line."""

from dataclasses import FrozenInstanceError, fields, is_dataclass, replace

import pytest

from auditor import plugins
from auditor.plugins.declaring import Positive, Several, checked_dataclass


@checked_dataclass
class Shift:
    by: Positive = 0.5
    people: Several = 2
    size: tuple[int, int] = (64, 32)

    def __post_init__(self) -> None:
        if self.people > self.size[0]:
            raise ValueError("people must fit into size")


def test_it_is_a_frozen_keyword_only_dataclass():
    shift = Shift(by=1, size=[8, 4])
    assert is_dataclass(shift)
    assert [field.name for field in fields(shift)] == ["by", "people", "size"]
    assert repr(shift) == "Shift(by=1.0, people=2, size=(8, 4))"
    assert replace(shift, people=3) == Shift(by=1.0, people=3, size=(8, 4))
    assert plugins.parameters(shift) == {"by": 1.0, "people": 2, "size": [8, 4]}
    with pytest.raises(FrozenInstanceError):
        shift.by = 2
    with pytest.raises(ValueError, match="positional"):
        Shift(1.0)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"by": 0}, "by\n.*greater than 0"),
        ({"by": float("inf")}, "by\n.*finite"),
        ({"people": 1}, "people\n.*greater than or equal to 2"),
        ({"people": 2.5}, "people"),
        ({"size": (1, 2, 3)}, "size"),
        ({"speed": 1}, "speed\n.*[Uu]nexpected"),
        ({"people": 99}, "people must fit into size"),
    ],
)
def test_a_wrong_value_is_named_wherever_an_instance_is_made(wrong, named):
    with pytest.raises(ValueError, match=named):
        Shift(**wrong)
    if "speed" not in wrong:
        with pytest.raises(ValueError, match=named):
            replace(Shift(), **wrong)


def test_every_plug_in_that_is_shipped_checks_its_fields():
    for kind in ("attacks", "defenses"):
        for name, entry in plugins.installed(kind).items():
            if entry.module.partition(".")[0] in ("attacks", "defenses"):
                assert hasattr(plugins.load(kind, name), "__pydantic_validator__"), name
