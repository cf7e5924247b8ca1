"""Audit records to render and judge in tests: realistic, drawn by hand, no model needed.

`example_record` is one finished audit of a person re-identification model, bare and with noise on
its gallery. Variants come from `dataclasses.replace`.
"""

from dataclasses import replace

from auditor.evaluation.exposure import exposure, worst_case
from auditor.evaluation.ladders import ladders
from auditor.report import (
    Adversary,
    AuditedEpsilon,
    AuditReport,
    Curve,
    DistanceEpsilon,
    Exposed,
    Finding,
    Gap,
    Match,
    Measurement,
    NoisyTraining,
    Place,
    Power,
    PowerOutcome,
    PrivacyClaim,
    ProbeCheck,
    Ranked,
    RankList,
    ReconstructionBound,
    Scenario,
    Score,
    Subgroup,
)

ATTRIBUTES = {
    "age": (0.71, 0.58),
    "backpack": (0.83, 0.66),
    "gender": (0.912, 0.694),
    "hat": (0.662, 0.531),
    "upper_colour": (0.774, 0.418),
}
HOSTILE = (
    "=cmd|'/c calc'!A0",
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "<script>alert(1)</script>",
    "]]>",
    "\"'><img src=x onerror=alert(1)>",
    "{{ 7 * 7 }}",
    "right\u202eleft\u2066\u200f",
    "nul\x00bell\x07escape\x1b",
    "surrogate\ud800\udfff",
    "noncharacter\ufffe\uffff",
    "#N/A",
    "x" * 40_000,
    "😀" * 20_000,
    "/home/somebody/secret/model.pth",
    "",
)


def measured(
    metric: str,
    value: float,
    chance: float | None = None,
    half: float = 0.03,
    worse: str = "higher",
    unit: str = "fraction",
    n: int = 80,
    note: str = "",
) -> Measurement:
    """A measurement with a symmetric interval; rates stay in [0, 1]."""
    low, high = value - half, value + half
    if unit == "fraction":
        low, high = max(0.0, low), min(1.0, high)
    return Measurement(
        metric=metric,
        value=value,
        n=n,
        low=low,
        high=high,
        chance=chance,
        worse=worse,  # type: ignore[arg-type]
        unit=unit,  # type: ignore[arg-type]
        note=note,
    )


def certificate(
    metric: str,
    chance: float,
    *,
    shown: bool = True,
    found: float = 0.97,
    outcome: PowerOutcome | None = None,
) -> Power:
    """What the controls said about an attack by one metric."""
    reason = (
        f"it finds a planted leak ({found:.3f}) and stays at chance on the null model"
        if shown
        else f"it recovers too little of a planted leak: {found:.3f}"
    )
    return Power(
        metric=metric,
        planted=measured(metric, found, chance, 0.02),
        null=measured(metric, chance * 1.05, chance, 0.01),
        reference=1.0,
        adversary="certainty",
        required=0.5,
        outcome=outcome or ("shown" if shown else "weak"),
        reason=reason,
    )


def identity(top1: float, top5: float) -> Finding:
    """A finding of the identity classifier."""
    return Finding(
        attack="identity",
        plugin="identity",
        summary="Names the person behind a stolen embedding with a softmax classifier.",
        threat_model=(
            "has the stored gallery and knows the names behind part of each person's entries; "
            "may query nothing; names the remaining entries."
        ),
        params={"train_share": 0.5, "epochs": 40, "lr": 1e-2},
        status="done",
        measurements=(
            measured("top1", top1, 1 / 80, 0.041),
            measured("top5", top5, 5 / 80, 0.035),
        ),
        powers=(certificate("top1", 1 / 80), certificate("top5", 5 / 80)),
        notes=("closed set: 80 people, 440 entries to name",),
    )


def attribute(column: int, mean: float) -> Finding:
    """A finding of the attribute classifier; ``column`` 0 is the bare model."""
    each = [
        measured(f"{name}.{metric}", figures[column] + shift, chance, 0.05)
        for name, figures in ATTRIBUTES.items()
        for metric, shift, chance in (
            ("balanced_accuracy", 0.0, 0.25 if name == "upper_colour" else 0.5),
            ("f1", 0.02, 0.55),
            ("accuracy", 0.04, 0.6),
        )
    ]
    return Finding(
        attack="attribute",
        plugin="attribute",
        summary="Reads attributes of unseen people from their stolen embeddings.",
        threat_model="has the stored gallery and own, annotated pictures of other people.",
        params={"hidden": 256, "dropout": 0.3, "epochs": 30},
        status="done",
        measurements=(
            measured("mean_balanced_accuracy", mean, 0.45, 0.024),
            measured("mean_f1", mean - 0.01, 0.54, 0.026, note="chance is one constant guess"),
            *each,
        ),
        powers=tuple(
            certificate(m.metric, m.chance)
            for m in (measured("mean_balanced_accuracy", mean, 0.45), *each)
            if m.chance is not None
        ),
        notes=("5 attributes of people who are disjoint from those learned from",),
    )


def inversion(rank1: float, floor: float, *, shown: bool = True) -> Finding:
    """A finding of the inverter, with a picture that need not exist."""
    return Finding(
        attack="inversion",
        plugin="inversion",
        summary="Reconstructs the person's picture from a stolen embedding with a conditional GAN.",
        threat_model="has the stored gallery and own pictures of other people.",
        params={"image_size": (64, 32), "width": 24, "epochs": 8, "ema": 0.99},
        status="done",
        measurements=(
            measured("reid_rank1", rank1, floor, 0.055),
            measured("reid_map", rank1 * 0.8, floor * 0.9, 0.04),
            measured("psnr", 17.21, 14.02, 0.31, unit="dB"),
            measured("ssim", 0.512, 0.421, 0.02),
            measured(
                "lpips_reference", 0.231, 0.344, 0.012, "lower", "distance",
                note="reference backbone: not comparable with published LPIPS",
            ),
        ),
        powers=(certificate("reid_rank1", floor, shown=shown, found=0.93 if shown else 0.31),),
        exhibits={"reconstructions": f"personal/{rank1}/inversion/inversion.png"},
        notes=("chance is the same figure for reconstructions of another person's feature",),
    )  # fmt: skip


def utility(rank1: float) -> tuple[Measurement, ...]:
    """rank1, rank5, rank10, map and minp."""
    return (
        measured("rank1", rank1, 0.014, 0.032, "lower"),
        measured("rank5", min(1.0, rank1 + 0.06), None, 0.02, "lower"),
        measured("rank10", min(1.0, rank1 + 0.08), None, 0.015, "lower"),
        measured("map", rank1 * 0.9, None, 0.03, "lower"),
        measured("minp", rank1 * 0.62, None, 0.035, "lower"),
    )


def claim() -> PrivacyClaim:
    """Noise whose ε means nothing, and says so."""
    return PrivacyClaim(
        mechanism="analytic Gaussian on unit-norm rows",
        unit="image",
        neighbours="one image replaced",
        delta=1e-5,
        sigma=0.0972,
        sensitivity=2.0,
        epsilon_claimed=300.0,
        epsilon_certified=299.96,
        epsilon_identity=1902.4,
        releases=1,
        images_per_identity=9,
        remarks=("ε = 300 is no meaningful guarantee; only the attacks say what is protected",),
    )


def private_training() -> PrivacyClaim:
    """A claim about the people a network was trained on."""
    return replace(
        claim(),
        mechanism="DP-SGD: Gaussian noise on the sum of cut gradients of a Poisson sample",
        neighbours="one image added or taken away",
        epsilon_claimed=8.0,
        epsilon_certified=7.98,
        epsilon_identity=42.9,
        sensitivity=1.0,
        training=NoisyTraining(
            noise_multiplier=0.61,
            sampling_rate=0.0526,
            steps=1900,
            runs=2,
            accountants={"Opacus (RDP)": 7.97, "dp-accounting (RDP)": None},
        ),
        verdict="CONSISTENT",
    )


def over_claimed() -> PrivacyClaim:
    """A claim that was audited, and does not hold."""
    return replace(
        claim(),
        mechanism="Gaussian by the recipe of PEPR-Net on unit-norm rows",
        epsilon_claimed=0.1,
        epsilon_certified=462.31,
        audited=AuditedEpsilon(
            epsilon=7.9048,
            epsilon_gaussian=211.07,
            ceiling=7.9048,
            confidence=0.95,
            trials=20_000,
            pair="the two gallery rows farthest apart",
        ),
        distances=(
            DistanceEpsilon(
                between="two rows of one person (median)", distance=0.713, epsilon=88.1
            ),
            DistanceEpsilon(between="the two rows farthest apart", distance=1.31, epsilon=None),
        ),
        reconstruction=ReconstructionBound(prior=0.0027, image=0.9991, identity=1.0),
        verdict="OVER-CLAIMED",
        reason="ε = 0.1 is claimed, but the noise certifies no less than ε = 462.3",
    )


def scores(scenario: str, pu: float, urr: float) -> tuple[Score, ...]:
    """PU-score on identity and URR-1."""
    return (
        Score(
            name="pu_identity",
            definition="pu",
            formula="2 / (I_u / utility + I_p / (1 − leakage)), I_u = I_p = 1",
            measurement=measured("pu_identity", pu, None, 0.04, "lower", "ratio"),
            inputs={"utility.map": 0.83, "leakage.top1": 0.9},
        ),
        Score(
            name="urr1",
            definition="urr-1",
            formula="(U / U₀) / max(ρ, ρ_min), ρ = max(0, R − floor) / (R₀ − floor₀)",
            measurement=measured("urr1", urr, 1.0, 0.3, "lower", "ratio"),
            inputs={"utility": 0.61, "utility_bare": 0.83, "people": 80.0},
        ),
    )


def matches(correct: int, queries: int = 24) -> tuple[Match, ...]:
    """Query → best match, the first ``correct`` of them right."""
    return tuple(
        Match(
            query_id=str(100 + n),
            query_camera=str(n % 3),
            match_id=str(100 + n if n < correct else 400 + n),
            match_camera=str((n + 1) % 3),
            similarity=0.93 - 0.013 * n,
            correct=n < correct,
            rank=1.0 if n < correct else 2.0 + n,
        )
        for n in range(queries)
    )


def rank_lists(right: tuple[str, ...] = ("00010", "10110")) -> tuple[RankList, ...]:
    """One list per text, whose digits say which matches are right; the pictures need not exist."""
    return tuple(
        RankList(
            query_id=str(100 + n),
            query_camera=str(n % 3),
            rank=row.find("1") + 1.0 if "1" in row else 17.5,
            matches=tuple(
                Ranked(
                    match_id=str(100 + n if digit == "1" else 400 + place),
                    match_camera=str((n + place + 1) % 3),
                    similarity=0.91 - 0.03 * place,
                    correct=digit == "1",
                )
                for place, digit in enumerate(row)
            ),
            picture=f"personal/none/utility/rank-list-{n + 1}.png",
        )
        for n, row in enumerate(right)
    )


def example_record() -> AuditReport:
    """A finished audit; everything is done, and the inverter did not pass its controls."""
    bare = Scenario(
        defense="none",
        summary="The model as it is.",
        utility=utility(0.924),
        findings=(
            identity(0.903, 0.971),
            attribute(0, 0.772),
            inversion(0.412, 0.031, shown=False),
        ),
        scores=scores("none", 0.174, 1.0),
        matches=matches(22),
        rank_lists=rank_lists(),
    )
    noisy = Scenario(
        defense="dp_gallery",
        plugin="dp_gallery",
        summary="Adds calibrated Gaussian noise to every stored gallery feature.",
        params={"epsilon": 300.0, "delta": 1e-5, "unit": "image"},
        claims=(claim(),),
        utility=utility(0.678),
        findings=(
            identity(0.097, 0.284),
            attribute(1, 0.578),
            inversion(0.094, 0.034, shown=False),
        ),
        scores=scores("dp_gallery", 0.719, 3.41),
        matches=matches(16),
    )
    return AuditReport(
        title="osnet_x1_0.safetensors on synthetic people",
        config={
            "model": {"path": "osnet_x1_0.safetensors", "arch": "osnet_x1_0", "card": "torchreid"},
            "data": {"path": "drawn", "cross_camera": True},
            "attacks": {"identity": {"epochs": 40}, "attribute": {}, "inversion": {"width": 24}},
            "defenses": {"dp_gallery": {"epsilon": 300.0, "delta": 1e-5}},
            "gates": [{"address": "none/identity/top1", "limit": 0.1}],
            "seed": 0,
        },
        model={
            "file": "osnet_x1_0.safetensors",
            "format": "safetensors",
            "trust": "data",
            "sha256": "9f2c" * 16,
            "arch": "osnet_x1_0",
            "parameters": 2193616,
            "feature_dim": 512,
            "differentiable": True,
            "card": {
                "height": 256,
                "width": 128,
                "colour": "rgb",
                "value_range": "0..1",
                "mean": [0.485, 0.456, 0.406],
                "std": [0.229, 0.224, 0.225],
                "l2_norm": False,
                "output": 0,
                "distance": "cosine",
            },
            "judges": {},
        },
        data={
            "layout": "market1501",
            "images": {"query": 240, "gallery": 720, "auxiliary": 1920},
            "identities": {"query": 80, "gallery": 80, "auxiliary": 160},
            "distractors": 12,
            "cameras": ["c1", "c2", "c3"],
            "junk": 4,
            "broken": {"count": 1, "share": 0.0003, "files": ["bounding_box_test/0012_c1.jpg"]},
            "notices": ["1 of the people in train are also attacked; they were taken out of train"],
        },
        environment={
            "auditor": "0.1.0",
            "python": "3.11.9",
            "device": "cpu (x86_64)",
            "platform": "Linux x86_64",
            "packages": {"torch": "2.10.0", "numpy": "2.3.1"},
        },
        probe=(
            ProbeCheck(name="finite", outcome="pass", detail="features of 512 images are finite"),
            ProbeCheck(name="deterministic", outcome="pass", detail="same images, same features"),
            ProbeCheck(
                name="normalisation",
                outcome="warn",
                detail="98 of 128 people are found at rank 1, but 109 with mean and std 0.5",
            ),
        ),
        scenarios=(bare, noisy),
        scores=(
            Score(
                name="urr2",
                definition="urr-2",
                formula="∫₀¹ max{ U/U₀ : scenarios with excess reversibility ≤ ρ } dρ",
                measurement=measured("urr2", 0.812, None, 0.0, "lower", "ratio", n=2),
                inputs={"none.excess": 1.0, "dp_gallery.excess": 0.16},
            ),
        ),
        complete=True,
        real_people=False,
    )


def failed_record() -> AuditReport:
    """The example with a crashed attack, one that does not apply, and a crashed defense."""
    report = example_record()
    bare, noisy = report.scenarios
    crashed = replace(
        bare.findings[0],
        status="failed",
        measurements=(),
        powers=(),
        reason="RuntimeError: the classifier diverged",
    )
    skipped = replace(
        bare.findings[1],
        status="not-applicable",
        measurements=(),
        reason="no attribute is annotated with two values",
    )
    bare = replace(bare, findings=(crashed, skipped, inversion(0.412, 0.031)))
    noisy = Scenario(
        defense="dp_gallery",
        plugin="dp_gallery",
        status="failed",
        reason="UsageError: delta 0.1 allows a whole row to be published in the clear",
    )
    return replace(report, scenarios=(bare, noisy), complete=False, real_people=True)


def powerful_record() -> AuditReport:
    """The example with every attack certified."""
    report = example_record()
    scenarios = tuple(
        replace(
            scenario,
            findings=tuple(
                replace(f, powers=tuple(map(_shown, f.powers))) for f in scenario.findings
            ),
        )
        for scenario in report.scenarios
    )
    return replace(report, scenarios=scenarios)


def _shown(power: Power) -> Power:
    assert power.null is not None
    return certificate(power.metric, power.null.chance or 0.0)


def persons(rate: float, people: int = 120, images: int = 5) -> Measurement:
    """A top-1 rate with the people behind it, some of them hit on every image."""
    hits = [min(images, round(2 * rate * images * n / people)) for n in range(people)]
    found = measured("top1", sum(hits) / (people * images), 1 / people, n=people)
    return replace(found, persons={str(n + 1): (float(h), images) for n, h in enumerate(hits)})


def budget() -> tuple[Curve, ...]:
    """Two budget curves and a ROC."""
    points = ((38.0, 0.31, 0.27, 0.35), (94.0, 0.44, 0.4, 0.48), (375.0, 0.6, 0.56, 0.64))
    people = Curve(
        name="auxiliary_people", metric="top1", x="auxiliary people", points=points, log_x=True,
        statement="not saturated: from 94 to 375 auxiliary people it gains 16.0 points",
    )  # fmt: skip
    rates = [0.0, *(10 ** (n / 8 - 3) for n in range(25))]
    roc = Curve(
        name="roc", metric="tpr", x="false-positive rate", log_x=True,
        points=tuple((x, x**0.3, 0.9 * x**0.3, min(1.0, 1.1 * x**0.3)) for x in rates),
    )  # fmt: skip
    return people, replace(people, name="training", x="epochs"), roc


def detailed_record() -> AuditReport:
    """Two scenarios with a ladder of identity, curves, worst cases and subgroups."""
    scenarios = []
    for name, rate in (("none", 0.6), ("dp_gallery", 0.3)):
        figure = persons(rate)
        groups = tuple(
            Subgroup(
                attribute=attribute,
                value=value,
                measurement=measured(f"top1@{attribute}={value}", rate + shift, 0.01, n=60),
            )
            for attribute in ("gender", "hat")
            for value, shift in (("female", 0.1), ("male", -0.1))
        )
        gap = Gap(
            attribute="gender", higher="female", lower="male", difference=0.2, p=0.001,
            p_adjusted=0.002,
        )  # fmt: skip
        first = replace(
            identity(rate, rate),
            family="identity",
            measurements=(figure,),
            worst_case=worst_case(figure),
            curves=budget(),
            subgroups=(*groups, Subgroup(attribute="bag", value="yes", measurement=None)),
            gaps=(gap, replace(gap, attribute="hat", p=0.4, p_adjusted=0.4)),
        )
        weak = replace(identity(0.05, 0.1), attack="identity_lda", family="identity")
        idle = replace(weak, attack="historical", powers=(certificate("top1", 0.01, shown=False),))
        findings = (first, weak, idle)
        scenarios.append(
            replace(
                example_record().scenarios[0 if name == "none" else 1],
                findings=findings,
                ladders=ladders(findings),
                exposure=exposure(findings),
            )
        )
    return replace(example_record(), scenarios=tuple(scenarios))


def pictured_record() -> AuditReport:
    """The detailed record with everything that is drawn."""
    report = detailed_record()
    scenarios = []
    for number, scenario in enumerate(report.scenarios):
        apart = (1.0, 6.0)[number]
        places = tuple(
            Place(person=person, x=float(3 * person + copy * apart), y=float(copy))
            for person in range(7)
            for copy in range(3)
        )
        drawn = inversion(0.4, 0.03)
        alike = replace(persons(0.6 - number / 5), metric="source_cosine", unit="ratio")
        findings = (*scenario.findings, replace(drawn, measurements=(*drawn.measurements, alike)))
        pu = replace(scenario.scores[0], weighted=((0.0, 0.8), (1.0, 0.4 + number / 5), (2.0, 0.2)))
        scenarios.append(
            replace(
                scenario, embedding=places, findings=findings, scores=(pu, *scenario.scores[1:])
            )
        )
    return replace(report, scenarios=tuple(scenarios))


def hostile_record(text: str) -> AuditReport:
    """A record in which every text a stranger may choose is ``text``."""
    label = text or "empty"
    bad = Curve(name=text, metric=text, x=text, points=((1.0, 0.2, 0.1, 0.3),), statement=text)
    finding = Finding(
        attack=label,
        plugin=text,
        summary=text,
        threat_model=text,
        adversary=Adversary(knowledge=text, access=text, auxiliary=text),
        params={label: text, "nested": {label: [text, {"deep": text}]}},
        status="done",
        measurements=(
            measured(f"{label}.{label}", 0.4, 0.1, note=text),
            measured(label, 0.5, 0.1, note=text),
        ),
        curves=(bad, replace(bad, name="roc", log_x=True)),
        worst_case=(measured(label, 0.5), measured(label, 0.5)),
        subgroups=(
            Subgroup(attribute=text, value=text, measurement=measured(f"a@{text}", 0.5, note=text)),
            Subgroup(attribute=text, value=text, measurement=None),
        ),
        gaps=(Gap(attribute=text, higher=text, lower=text, difference=0.1, p=0, p_adjusted=0),),
        powers=(certificate(label, 0.1),),
        exhibits={label: label},
        notes=(text,),
        reason=text,
    )
    findings = (finding, replace(finding, attack=f"{label}2", curves=()))
    findings = tuple(replace(each, family=label) for each in findings)
    exposed = exposure(detailed_record().scenarios[0].findings)
    assert exposed is not None
    person = Exposed(pseudonym=text, leakage=1.0, attack=text, images=1, average=1.0)
    scenario = Scenario(
        defense=label,
        plugin=text,
        summary=text,
        params={label: text},
        claims=(replace(claim(), mechanism=text, neighbours=text, remarks=(text,)),),
        utility=(measured(label, 0.4), measured("map", 0.4, worse="lower")),
        co_trained=(replace(finding, measurements=(measured(f"ssim.{text}", 0.5),)),),
        findings=(*findings, replace(finding, attack="failed", status="failed", curves=())),
        ladders=ladders(findings),
        exposure=replace(exposed, attacks=(label, text), most=(person,)),
        scores=(
            Score(
                name=label,
                definition=text,
                formula=text,
                measurement=None,
                undefined=text,
                weighted=((0.0, 0.5), (2.0, 0.5)),
            ),
        ),
        matches=tuple(
            replace(match, query_id=text, match_id=text, query_camera=text, match_camera=text)
            for match in matches(1, 2)
        ),
        rank_lists=(
            RankList(
                query_id=text,
                query_camera=text,
                rank=2.0,
                matches=(Ranked(match_id=text, match_camera=text, similarity=-1e9, correct=True),)
                * 9,
                picture=text,
            ),
        ),
        notes=(text,),
    )
    return AuditReport(
        title=text,
        config={label: text},
        model={label: text, "card": {label: text}},
        data={label: text, "cameras": [text], "notices": [text]},
        environment={label: text, "command": text},
        probe=(ProbeCheck(name=text, outcome="warn", detail=text),),
        scenarios=(
            scenario,
            replace(scenario, defense=f"{label}2"),
            replace(scenario, defense="failed", status="failed", reason=text),
        ),
    )
