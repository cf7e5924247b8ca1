"""No system of the bag passes while it leaks; no private one fails."""

from datetime import date
from fnmatch import fnmatchcase

import pytest

from auditor.certification import proving
from auditor.config import AuditConfig
from auditor.console import Quiet
from auditor.errors import ModelError
from auditor.gates import Verdict
from auditor.gates.policy import Policy
from auditor.gates.policy_check import judge
from auditor.pipeline.plan import run_audit
from auditor.pipeline.steps import World
from auditor.report import AuditReport
from auditor.types import RunContext, Target, as_is
from tests.fakes.systems import FAKES, HONEST

ATTACKS = {
    "identity": {"epochs": 30},
    "identity_lda": {},
    "identity_plda": {},
    "identity_metric": {"steps": 60},
    "attribute_boosting": {"iterations": 20, "neighbours": 0, "min_people": 10},
    "attribute_logistic": {"min_people": 10},
    "attribute_expansion": {"min_people": 10},
    "linkage": {},
    "averaging": {"releases": 8},
}
"""What reads stored features alone, at settings of seconds."""

LEAKS = {
    "none/ladder/identity.top1": 0.15,
    "none/*/top1.fully_exposed": 0.04,
    "none/ladder/linkage.linkage_rank1": 0.15,
    "none/ladder/averaging.matched_rank1": 0.15,
    "none/ladder/attribute.tall.balanced_accuracy": 0.7,
    "none/ladder/attribute.rare.balanced_accuracy": 0.7,
}
"""What a careful team would ask of a gallery; strict enough that a private system can pass."""
USEFUL = "none/utility/rank1"


@pytest.fixture(scope="module")
def shared_controls():
    """Certificates by what they depend on; no audited model takes part in them."""
    known, prove = {}, proving.Prover.prove

    def once(self, attack, label, scenario, progress):
        if scenario is not self.bare:
            return prove(self, attack, label, scenario, progress)
        key = (attack, scenario.release, scenario.publish)
        if key not in known:
            known[key] = prove(self, attack, label, scenario, progress)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(proving.Prover, "prove", once)
        yield


def policy(claims: bool) -> Policy:
    """What a careful team asks; of claims too, where there are any."""
    cites = {"cites": "the bag"}
    gates = [{"address": address, "limit": limit, **cites} for address, limit in LEAKS.items()]
    gates.append({"address": USEFUL, "limit": 0.5, **cites})
    promises = {"*": {"verdict": "CONSISTENT", **cites}} if claims else {}
    asked = {"version": 1, "on_missing": "inconclusive", "gates": gates, "claims": promises}
    return Policy.model_validate(asked)


def audited(target: Target, workdir, defenses=None) -> AuditReport:
    """The record of a whole audit of ``target``, and of what ``defenses`` make of it."""
    settings = {"attacks": ATTACKS, "rank_lists": 0, "study": 0, "tsne_people": 0}
    config = AuditConfig.model_validate({**settings, "defenses": defenses or {}})
    world = World(
        config=config,
        target=target,
        ctx=RunContext(workdir=workdir),
        distance="cosine",
        probe=lambda ctx: (),
        head=AuditReport(title="bag", config=config.to_record()),
    )
    return run_audit(world, Quiet(0))


def judged(target: Target, workdir, defenses=None) -> list[Verdict]:
    """What the policy makes of a system; nothing where its features cannot be used at all."""
    try:
        record = audited(target, workdir, defenses)
    except ModelError:
        return []
    promising = any(scenario.claims for scenario in record.scenarios)
    return judge(record, policy(promising), date.today())


def concerned(verdicts: list[Verdict], addresses: tuple[str, ...]) -> list[Verdict]:
    """The verdicts on what a fake gives away."""
    return [v for v in verdicts if any(fnmatchcase(v.address, a) for a in addresses)]


QUICK = {"open_book", "code_in_products", "leaks_one_person_in_twenty", "not_a_number"}
QUICK |= {"shuffled_labels", "noise_of_the_picture", "random_bits"}
"""Those that the fast suite tries."""


def trials(names):
    """Each name as a case of its own."""
    for name in names:
        yield pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow])


@pytest.mark.parametrize("name", list(trials(FAKES)))
def test_a_fake_never_passes(name, tmp_path, shared_controls, record_property):
    system = FAKES[name]
    verdicts = judged(system.make(), tmp_path, system.defenses)
    outcomes = {v.outcome for v in concerned(verdicts, system.addresses)}
    worst = next((o for o in ("fail", "inconclusive", "pass") if o in outcomes), "refused")
    record_property("outcome", worst)
    assert outcomes or not verdicts, "no gate speaks of what it hides"
    assert worst != "pass", verdicts


@pytest.mark.parametrize("name", list(trials(HONEST)))
def test_a_private_system_never_fails(name, tmp_path, shared_controls, record_property):
    # it need not be useful, so the gate on utility is not asked
    target = HONEST[name]()
    outcomes = {v.outcome for v in judged(target, tmp_path) if v.address != USEFUL}
    record_property("outcome", " and ".join(sorted(outcomes)))
    assert "fail" not in outcomes
    # behind noise that hides all from the best adversary nothing can be shown either
    assert "pass" in outcomes or target.release is not as_is
