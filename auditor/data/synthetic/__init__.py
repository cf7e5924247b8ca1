"""Synthetic people: a re-ID dataset without anybody in it, for demos, tests and controls."""

from auditor.data.synthetic.figure import paint_figure
from auditor.data.synthetic.pen import Person, Pose
from auditor.data.synthetic.world import ATTRIBUTES, make_person, make_world, take_picture

__all__ = [
    "ATTRIBUTES",
    "Person",
    "Pose",
    "make_person",
    "make_world",
    "paint_figure",
    "take_picture",
]
