"""Tables on published pictures: what a protected training set is still good for, and who is in it.

PIS's protocol (SCIS 69(1), 2026, Sec. 3.1 and 4.1). People are divided three ways, by identity: the
owner protects pictures of some and publishes them; the adversary trains a network on others, and
searches the published pictures for people of whom they have an original one; and whoever trains on
the published pictures is measured on the rest.

``utility`` is the mean over several networks trained on the published pictures alone; ``leakage``
is the adversary's retrieval, where finding either person of a mixed picture counts; ``pu`` is the
PU-score of both. The paper does not say whether networks are tested on original or on protected
pictures; here they are tested on original ones, as a deployment would use them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial

import torch
from torch import Tensor

from auditor.config.blocks import read_defenses
from auditor.embedding import features_of
from auditor.errors import AuditError, DataError, ModelError
from auditor.feature_cache import FeatureCache
from auditor.metrics import measure
from auditor.metrics.retrieval import Retrieval, evaluate
from auditor.metrics.scores import pu
from auditor.metrics.similarity import Truth
from auditor.models.extractor import CardedExtractor
from auditor.report import Measurement
from auditor.reproduction.attributes import Reader, train_reader
from auditor.reproduction.plan import Block, block_of
from auditor.reproduction.scene import RowResult, Scene, keep_outcome
from auditor.training import train_reid
from auditor.training.job import start
from auditor.types import Defense, ReIDDataset, RunContext, Split, Target

METRICS = ("map", "rank1")
POWER = 0.1
"""Share of people whom a network must find in unprotected pictures before its silence counts."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Stage:
    """The three groups of people, and the adversary's network.

    Attributes:
        owner: ``train`` and ``gallery`` are all pictures of the protected people, ``query`` one
            original picture of each per camera, ``auxiliary`` the adversary's own people.
        measured: query and gallery of people nobody trained on.
        attacker: trained on the adversary's own people.
        reader: what reads attributes off a picture, trained likewise; None where none is asked for.
    """

    owner: ReIDDataset
    measured: ReIDDataset
    attacker: CardedExtractor
    reader: Reader | None


def run(scene: Scene) -> Mapping[str, RowResult]:
    """Protect, search and train once per row; gives row name -> outcome.

    A row lies in ``rows/`` of the folder once it is finished, and is not run again.

    Raises:
        ModelError: if the adversary finds hardly anybody even in unprotected pictures, or a network
            trained on unprotected pictures does: their failures would prove nothing.
    """
    ctx = RunContext(
        seed=scene.seed, device=scene.device, workdir=scene.folder, weights=scene.weights
    )

    @cache
    def stage() -> Stage:
        return set_up(scene, ctx)

    outcomes = {}
    for name, row in scene.plan.rows.items():
        block = block_of(row, scene.preset)
        outcomes[name] = keep_outcome(
            scene, name, block, partial(_outcome, scene, stage, name, block, ctx)
        )
    return outcomes


def set_up(scene: Scene, ctx: RunContext) -> Stage:
    """Divide the people and train the adversary.

    Raises:
        DataError: if too few people are there to divide.
    """
    owner = owner_of(scene.data, ctx)
    scene.say(f"training the adversary ({scene.preset.attacker}) on "
              f"{len(owner.auxiliary.pids.unique())} people of their own")  # fmt: skip
    name = scene.preset.attacker
    fresh = _fresh(scene, name, ctx)
    attacker = _train(scene, owner.auxiliary, "attacker", ctx, name, fresh)
    bare = _search(attacker, owner.query, owner.gallery, ctx)
    if (found := bare.cmc(1)) < POWER:
        raise ModelError(
            f"the adversary's network finds {found:.1%} of the people in unprotected pictures, so "
            f"its failures prove nothing; train {scene.preset.attacker!r} longer, or at a lower lr"
        )
    return Stage(
        owner=owner, measured=scene.data, attacker=attacker, reader=_reader(scene, owner, ctx)
    )


def _reader(scene: Scene, owner: ReIDDataset, ctx: RunContext) -> Reader | None:
    wanted = scene.preset.attributes
    if not wanted:
        return None
    scene.say(f"training what reads {', '.join(wanted)} off a picture")
    name = scene.preset.reader or scene.preset.attacker
    recipe = scene.training(name).recipe
    return train_reader(_fresh(scene, name, ctx), owner, wanted, recipe, ctx)


def owner_of(data: ReIDDataset, ctx: RunContext) -> ReIDDataset:
    """Protect every second training person; the adversary has the others.

    Raises:
        DataError: if there are fewer than four training people.
    """
    people = data.train.pids[data.train.pids > 0].unique()
    people = people[torch.randperm(len(people), generator=ctx.generator("reproduction/people"))]
    if len(people) < 4:
        raise DataError(f"too few training people ({len(people)}) to divide between owner and "
                        "adversary; give four or more")  # fmt: skip
    protected = _of(data.train, people[0::2])
    return replace(
        data,
        train=protected,
        gallery=protected,
        query=protected.take(_one_per_camera(protected)),
        auxiliary=_of(data.train, people[1::2]),
    )


def _of(split: Split, people: Tensor) -> Split:
    return split.take(torch.isin(split.pids, people).nonzero().flatten())


def _one_per_camera(split: Split) -> Tensor:
    """Return ``(Q,)`` rows: the first of each person and camera."""
    seen: dict[tuple[int, int], int] = {}
    for row, key in enumerate(zip(split.pids.tolist(), split.camids.tolist(), strict=True)):
        seen.setdefault(key, row)
    return torch.tensor(sorted(seen.values()))


def _outcome(
    scene: Scene, stage: Callable[[], Stage], name: str, block: Block, ctx: RunContext
) -> RowResult:
    there = stage()
    scene.say(f"row {name}")
    defenses: Sequence[Defense] = read_defenses(name, block) if block else ()
    try:
        found = _measure(scene, there, name, defenses, ctx)
    except AuditError as error:
        return RowResult(reason=str(error))
    if not defenses:
        require_learners(learners_of(scene), found)
    columns = scene.plan.columns.items()
    return RowResult(figures={k: found[c.address] for k, c in columns if c.address in found})


def require_learners(learners: Sequence[str], found: Mapping[str, Measurement]) -> None:
    """Refuse networks that learned next to nothing from unprotected pictures.

    Args:
        learners: their names.
        found: what became of the row without protection.

    Raises:
        ModelError: if one of them finds hardly anybody.
    """
    for arch in learners:
        if (rate := found[f"utility/{arch}/rank1"].value) < POWER:
            raise ModelError(
                f"the network {arch!r}, trained on unprotected pictures, finds {rate:.1%} of the "
                "people, so that it finds few after protection proves nothing; train it longer, "
                "or at a lower lr"
            )


def _measure(
    scene: Scene, stage: Stage, name: str, defenses: Sequence[Defense], ctx: RunContext
) -> dict[str, Measurement]:
    """Return address -> measurement of one row."""
    target = Target(stage.attacker, stage.owner)
    published = _apply(defenses, target, name, ctx)
    if published.extractor is not target.extractor:
        # the protection lies in the training, not in the pictures
        return _utility(scene, stage, partial(_train_protected, defenses, stage, name, ctx), ctx)
    gallery = published.data.gallery
    found = _utility(scene, stage, partial(_train, scene, gallery, name, ctx), ctx)
    found |= _leakage(stage, gallery, ctx)
    if stage.reader is not None:
        found |= stage.reader.f1(gallery, stage.owner.gallery, ctx)
    for metric in METRICS:
        found[f"pu/{metric}"] = _pu(metric, found[f"utility/{metric}"], found[f"leakage/{metric}"])
    if "attributes/mean" in found:
        found["pu/attributes"] = _pu("f1", found["utility/rank1"], found["attributes/mean"])
    return found


def _apply(defenses: Sequence[Defense], target: Target, name: str, ctx: RunContext) -> Target:
    with ctx.randomness(f"reproduction/{name}"):
        for defense in defenses:
            target = defense.apply(target, ctx)
    return target


def _train_protected(
    defenses: Sequence[Defense], stage: Stage, name: str, ctx: RunContext, arch: str,
    fresh: CardedExtractor,
) -> CardedExtractor:  # fmt: skip
    """Return what a protecting training makes of a fresh network."""
    extractor = _apply(defenses, Target(fresh, stage.owner), f"{name}/{arch}", ctx).extractor
    assert isinstance(extractor, CardedExtractor)
    return extractor


def _train(
    scene: Scene, split: Split, name: str, ctx: RunContext, arch: str, fresh: CardedExtractor
) -> CardedExtractor:
    """Return a fresh network after training on ``split``."""
    recipe = scene.training(arch).recipe
    return train_reid(fresh, split, recipe, ctx, name=f"{name}/{arch}").extractor


def _fresh(scene: Scene, name: str, ctx: RunContext) -> CardedExtractor:
    """Return the preset's model ``name`` before any training here."""
    return start(scene.training(name), ctx, f"reproduction/{name}")[1]


def learners_of(scene: Scene) -> Sequence[str]:
    """Return the preset's models that are trained on published pictures."""
    return scene.preset.learners or list(scene.preset.models)


def _utility(
    scene: Scene,
    stage: Stage,
    learn: Callable[[str, CardedExtractor], CardedExtractor],
    ctx: RunContext,
) -> dict[str, Measurement]:
    """Return how well networks trained on the published pictures find people on original ones."""
    ctx = replace(ctx, cache=FeatureCache())  # nobody asks for these features again
    searches = {}
    for arch in learners_of(scene):
        learned = learn(arch, _fresh(scene, arch, ctx))
        searches[arch] = _search(learned, stage.measured.query, stage.measured.gallery, ctx)
    pids = stage.measured.query.pids
    found = {}
    for metric in METRICS:
        values = {arch: _values(metric, search) for arch, search in searches.items()}
        rows = next(iter(searches.values())).query_index
        every = torch.stack(list(values.values())).mean(0)
        for arch, value in {"": every, **{f"{arch}/": v for arch, v in values.items()}}.items():
            measured = measure.mean(metric, value, pids[rows])
            found[f"utility/{arch}{metric}"] = replace(measured, worse="lower")
    return found


def _leakage(stage: Stage, published: Split, ctx: RunContext) -> dict[str, Measurement]:
    """How often the adversary finds a person, or the one they were mixed with, by an original."""
    search = _search(stage.attacker, stage.owner.query, published, ctx)
    pids = stage.owner.query.pids[search.query_index]
    return {f"leakage/{m}": measure.mean(m, _values(m, search), pids) for m in METRICS}


def _search(extractor: CardedExtractor, query: Split, gallery: Split, ctx: RunContext) -> Retrieval:
    return evaluate(
        features_of(extractor, query, ctx),
        features_of(extractor, gallery, ctx),
        Truth.of(query, gallery, partners=gallery.partners),
        distance=extractor.card.distance,
    )


def _values(metric: str, search: Retrieval) -> Tensor:
    """Return ``(V,)`` of one metric, a value per query."""
    return search.average_precision if metric == "map" else search.hit(1)


def _pu(metric: str, utility: Measurement, leakage: Measurement) -> Measurement:
    score = pu(f"pu_{metric}", utility, leakage).measurement
    assert score is not None
    return score
