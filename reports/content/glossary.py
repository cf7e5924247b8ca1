"""The terms of a report, each explained once; the documentation prints the same."""

from collections.abc import Mapping
from types import MappingProxyType

TERMS: Mapping[str, str] = MappingProxyType(
    {
        "adversary": (
            "The attacker. A threat model states what they know, may access, own and spend."
        ),
        "anonymity set": (
            "How many people in the gallery fit a person's description at least as well as they "
            "do, themselves included."
        ),
        "attack, family, rung, ladder": (
            "An attack recovers one thing from what a deployment releases. Attacks that "
            "recover the same thing form a family. Each of them is a rung of the family's "
            "ladder, and the strongest rung speaks for the family."
        ),
        "auxiliary data": "The adversary's own pictures, of people who are not attacked.",
        "certificate (power certificate)": (
            "Evidence that an attack works: in a given scenario and by a given metric, it "
            "passed its controls. Only a certified attack's low figure is evidence of "
            "privacy."
        ),
        "chance": "What an adversary without access to the release reaches by guessing.",
        "claim": (
            "What a differentially private release promises: ε and δ, for neighbours that it "
            "names. ε is given as claimed, certified by the mechanism's own numbers and "
            "audited by experiment."
        ),
        "controls": (
            "The two runs that test the attack instead of the model, with the same code and "
            "budget: on a plant and on a null."
        ),
        "defense": (
            "A change to the model, to the pictures or to the stored features that is meant "
            "to reduce leakage."
        ),
        "DET curve": "Detection error trade-off: FNIR against FPIR, for every threshold.",
        "efficiency": (
            "The share of the reference adversary's excess over chance that an attack "
            "recovers from a plant. 0.8 is required."
        ),
        "exposure": (
            "How many of a person's pictures an attack succeeds on; a person is fully exposed "
            "if it succeeds on all of them."
        ),
        "FPIR, FNIR, TPIR": (
            "Error rates of a search with a threshold. FPIR: share of searches for people who are "
            "not in the gallery that find somebody. FNIR: share of searches for people who are in "
            "it that miss them; TPIR is the rest."
        ),
        "gallery, query": (
            "The gallery is what the system stores: a feature and a camera for every picture. "
            "A query is a picture whose person is searched for."
        ),
        "gate, limit, verdict": (
            "A gate sets a limit for every figure that its address matches. Its verdict is "
            "pass, fail or inconclusive; inconclusive is not a mild pass."
        ),
        "headline": (
            "The figure of an attack by which it is summarised, the first in its certificate."
        ),
        "identity": (
            "One person in a data set. Intervals are taken over identities, not over pictures."
        ),
        "interval": (
            "The range that contains the true figure with 95% confidence if other people of "
            "the same kind were attacked. Its pessimistic end is the worse one for privacy "
            "(or for utility); gates judge that end. An interval that straddles a limit "
            "decides nothing."
        ),
        "null": (
            "A control with nothing to find: an extractor whose features do not depend on the "
            "picture. An attack that reports success there is self-deceived, and none of its "
            "figures count."
        ),
        "plant (planted leak)": (
            "A control with a faint leak of known strength, which a working attack must find."
        ),
        "probe": (
            "Checks before any attack that the model is fed as it should be. A model fed "
            "wrongly looks private."
        ),
        "PU": "Privacy–utility score: utility and the absence of leakage in one number.",
        "record and report": (
            "The record, report.json, contains every figure of an audit. A report (the page, the "
            "workbook, the Markdown) is rendered from the record and adds nothing to it."
        ),
        "reference adversary": (
            "The best adversary known for a plant: it is given the true parameters of the "
            "planted model and what the attack is given."
        ),
        "release": (
            "How stored features leave the deployment, for instance with noise; also one copy "
            "of the gallery released so."
        ),
        "reveal": (
            "To show real people's pictures and names in a report, which otherwise blurs and "
            "replaces them."
        ),
        "scenario": "The audited model under one defense, or under none.",
        "synthetic people": (
            "People rendered by the project itself, for the demo, the tests and the controls. "
            "Nobody real is among them."
        ),
        "URR": (
            "Utility–reversibility ratio: how much more reversibility than utility a defense "
            "removed. 1 is the undefended model."
        ),
        "waiver": "A named person's acceptance of a failing or open verdict until a given day.",
    }
)
"""Term -> what it means here, in alphabetical order."""
