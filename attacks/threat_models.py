"""Whom the attacks suppose: knowledge, access and data, side by side.

The prose in each attack's docstring says the same at length; what it may spend is its parameters.
"""

from auditor.report import OTHERS, Adversary

_SOUGHT = f"{OTHERS}, and clean pictures of the person they look for"
_RELEASE = "how the gallery is protected and released, not its key"
_BLACK_BOX = "the stored gallery; the extractor as a black box"
_NO_MEMBERS = "nobody's membership; how pictures are protected, not the key"

INSIDER = Adversary(
    knowledge="the names behind part of each person's entries",
    access="the stored gallery; no queries",
    auxiliary="none",
)
INFORMED_INSIDER = Adversary(
    knowledge=f"the names behind part of each person's entries; {_RELEASE}",
    access=_BLACK_BOX,
    auxiliary=OTHERS,
)
SEEKER = Adversary(
    knowledge="the mechanism that protected the pictures, not its key",
    access="the stored gallery of protected pictures; the extractor as a black box",
    auxiliary="an original picture of the person they look for",
)
SEARCHER = Adversary(
    knowledge="the mechanism that protected the pictures, not its key",
    access=_BLACK_BOX,
    auxiliary="clean pictures of people who may be there or not",
)
INFORMED_SEARCHER = Adversary(
    knowledge=_RELEASE,
    access=_BLACK_BOX,
    auxiliary=f"{OTHERS}, and clean pictures of people who may be there or not",
)
ANNOTATOR = Adversary(
    knowledge=_RELEASE,
    access=f"{_BLACK_BOX}; no names",
    auxiliary=f"{OTHERS}, annotated",
)
DESCRIBER = Adversary(
    knowledge=f"a description of whom they look for; {_RELEASE}",
    access=f"{_BLACK_BOX}; no names",
    auxiliary=f"{OTHERS}, annotated",
)
DECODER = Adversary(knowledge=_RELEASE, access=_BLACK_BOX, auxiliary=OTHERS)
GRADIENT_DECODER = Adversary(
    knowledge=_RELEASE,
    access="the stored gallery; the extractor, with its gradients if it has any",
    auxiliary=OTHERS,
)
COMPOSER = Adversary(
    knowledge="how the pictures are protected, not the key; nothing of the release",
    access=f"{_BLACK_BOX}, also for pictures they make",
    auxiliary=OTHERS,
)
WHITE_BOX = Adversary(
    knowledge="how the pictures are protected, not the key; nothing of the release",
    access="the stored gallery; the extractor with its gradients",
    auxiliary=OTHERS,
)
CUSTOMER = Adversary(
    knowledge="the position of the entry they want",
    access="the similarity scores of a verification service; no features, gradients or weights",
    auxiliary=OTHERS,
)
COPYIST = Adversary(
    knowledge="nothing of the gallery or of the model",
    access="the features that the extractor returns for pictures; no weights or gradients",
    auxiliary=OTHERS,
)
STRANGER = Adversary(
    knowledge="the mechanism that protected the pictures, not its key; nothing of the model",
    access="the stored gallery; no queries, another extractor",
    auxiliary=f"{OTHERS}, and clean pictures of many people who are in the gallery",
)
INFORMED_CUSTOMER = Adversary(
    knowledge=f"the extractor; the position of the entry they want; {_RELEASE}",
    access="the similarity scores of a verification service; no stored features",
    auxiliary=_SOUGHT,
)
COLLECTOR = Adversary(
    knowledge=f"which entries are one record, and which one pseudonym's; {_RELEASE}",
    access="several independent releases of the gallery; the extractor as a black box",
    auxiliary=_SOUGHT,
)
LINKER = Adversary(
    knowledge="no names",
    access="two independent releases of the gallery; with a second model, both as black boxes",
    auxiliary=f"none; with a second model, {OTHERS}",
)
INFORMED_LINKER = Adversary(
    knowledge=f"no names; {_RELEASE}",
    access="two independent releases of the gallery; the extractor as a black box",
    auxiliary=OTHERS,
)
TRACKER = Adversary(
    knowledge=f"the camera of each entry, and its time where known, no names; {_RELEASE}",
    access=_BLACK_BOX,
    auxiliary=f"{OTHERS} by the same cameras",
)
TRANSLATOR = Adversary(
    knowledge="the mechanism of the protection and of the release, not its key",
    access=(
        "the stored gallery; everything it went through, for own pictures; a clean public extractor"
    ),
    auxiliary=_SOUGHT,
)
UNSHIFTER = Adversary(
    knowledge="the mechanism that protected the pictures, not its key",
    access=_BLACK_BOX,
    auxiliary=_SOUGHT,
)
PARTLY_TOLD = Adversary(
    knowledge="of half of the candidates whether they are members; how pictures are protected",
    access="the extractor as a black box",
    auxiliary="pictures of the candidates and of other people",
)
OBSERVER = Adversary(
    knowledge=_NO_MEMBERS,
    access="the extractor as a black box",
    auxiliary="several pictures of each candidate, and pictures of other people",
)
PERTURBER = Adversary(
    knowledge=_NO_MEMBERS,
    access="the extractor as a black box, also for changed copies",
    auxiliary="pictures of the candidates",
)
SHADOW_TRAINER = Adversary(
    knowledge=_NO_MEMBERS,
    access="the extractor as a black box",
    auxiliary="pictures of the candidates, and of other people to train shadow extractors on",
)
PARTICIPANT = Adversary(
    knowledge="the network's weights, how many people there are, and how pictures are protected",
    access="the gradient that a client shares for a single picture; no queries",
    auxiliary=f"where pictures are protected, {OTHERS}",
)
