"""What is said beneath the figures of a metric."""

from dataclasses import replace

from reports.content.tables import collect
from tests import records


def test_what_several_scenarios_note_is_said_once():
    asked = "the worse of two ways of asking: clean 0.310, protected 0.280"
    notes = {"none": "the ceiling is 0.508", "blur": f"the ceiling is 0.508; {asked}", "deid": ""}
    whole = records.identity(0.3, 0.5)
    members = [
        (name, replace(whole, measurements=(records.measured("top1", 0.3, note=note),)))
        for name, note in notes.items()
    ]
    figures, said = collect(members, "top1")
    assert [scenario for scenario, _ in figures] == list(notes)
    assert said == ["the ceiling is 0.508", asked]
