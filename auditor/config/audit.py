"""What an audit is told: a YAML file over a preset, a few flags over both. Needs no torch."""

import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    field_serializer,
    field_validator,
    model_validator,
)

from auditor.config.blocks import (
    BARE,
    attack_block,
    defense_block,
    read_attack,
    read_defenses,
)
from auditor.gates import Gate

if TYPE_CHECKING:
    from auditor.types import Attack, Defense
else:  # which would begin with torch; `read_attack` and `read_defenses` look at what is given
    Attack = Defense = Any

Layout = Literal[
    "auto",
    "manifest",
    "market1501",
    "dukemtmc",
    "cuhk03np",
    "cuhk01",
    "msmt17",
    "veri",
    "cuhk03",
    "veriwild",
    "vehicleid",
    "sysu_mm01",
    "regdb",
    "split_folders",
    "folder",
    "pattern",
]
"""How a dataset may be laid out; `auditor.data.layouts` reads each."""

PATHS = ("path", "trained_with", "attributes", "gallery", "query", "auxiliary", "pictures")
"""Keys of the blocks of a model, of data and of features that name a file or a folder."""
PRESETS = ("quick", "full", "demo")
REQUIRED_EFFICIENCY = 0.8


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ServiceConfig(_Strict):
    """A model that runs elsewhere, behind the Open Inference Protocol or taking pictures in JSON.

    Attributes:
        url: of the model: https://HOST/v2/models/NAME, with or without /versions/VERSION, where it
            speaks the protocol; any other takes pictures in JSON.
        headers: header -> the environment variable with its value.
        batch: pictures in a request.
        seconds: in which a request must be answered.
        retries: how often a request is sent again when that may help.
        rate: requests a second; None: no limit.
        budget: how many pictures it may be sent in all, repeated ones included; None: no limit.
    """

    url: str
    headers: dict[str, str] = Field(default_factory=dict)
    batch: int = Field(default=32, ge=1, le=4096)
    seconds: float = Field(default=60, gt=0, allow_inf_nan=False)
    retries: int = Field(default=4, ge=0, le=20)
    rate: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    budget: int | None = Field(default=None, ge=1)

    @property
    def place(self) -> str:
        """What of the address may travel in a record: not the host."""
        path = re.sub(r"^\w*:?//[^/]*", "", self.url)
        return path.rpartition("/v2/")[2].strip("/")


class ModelConfig(_Strict):
    """A model file or a service, and how to feed it; what is left out is what a file says itself.

    Attributes:
        path: the model file.
        service: what is asked in its place.
        arch: the architecture of weights alone.
        trained_with: a training configuration of fast-reid, TransReID or their relatives, which
            says arch and card.
        weights_key: which of several networks in a checkpoint is meant.
        card: how it is fed.
        isolation: how a model that is more than data is kept apart: ``auto`` as well as this
            machine can, ``strong`` not at all if that is not possible, ``weak`` in a process with
            limits alone, ``none`` in the audit's own process, for models whose author is trusted.
        seconds: in which such a model must answer for a batch.
        memory_gib: what its process may hold; None: three quarters of the machine's memory.
    """

    path: Path | None = None
    service: ServiceConfig | None = None
    arch: str | None = None
    trained_with: Path | None = None
    weights_key: str | None = None
    card: str | dict[str, Any] | None = None
    isolation: Literal["auto", "strong", "weak", "none"] = "auto"
    seconds: float = Field(default=600, gt=0, allow_inf_nan=False)
    memory_gib: float | None = Field(default=None, gt=0, le=2**20)

    @model_validator(mode="after")
    def _one_model(self) -> "ModelConfig":
        if (self.path is None) == (self.service is None):
            raise ValueError("give a path, or a service with its url")
        files = ("arch", "trained_with", "weights_key")
        if self.service is not None and (given := [f for f in files if getattr(self, f)]):
            raise ValueError(f"a service has no {given[0]}; its model is whole")
        return self


class DataConfig(_Strict):
    """A dataset on disk.

    Attributes:
        path: a folder, or a table.
        layout: how it is laid out.
        pattern: reads the pictures' own names; see `auditor.data.layouts.pattern`.
        columns: what a table calls path, pid, camid and split.
        follow_links: whether links out of the folder are followed.
        attributes: a published .mat file.
        cross_camera: whether matches from a query's own camera are ignored.
        max_broken: the largest share of unreadable pictures that may be dropped.
        near_duplicates: what to do about the adversary's pictures that are copies of attacked ones.
        name: for the report.
    """

    path: Path
    layout: Layout = "auto"
    pattern: str | None = None
    columns: dict[str, str] = Field(default_factory=dict)
    follow_links: bool = False
    attributes: Path | None = None
    cross_camera: bool = True
    max_broken: float = Field(default=0.01, ge=0, le=1)
    near_duplicates: Literal["error", "warn", "drop"] = "warn"
    name: str = ""


class FeaturesConfig(_Strict):
    """Features that came alone, in the place of a model and its data.

    Attributes:
        gallery: a file of stored rows: Parquet, npz or safetensors.
        query: what is searched with; None: some of the gallery's rows.
        auxiliary: of the adversary's own people; None: half of the gallery's.
        columns: what the files call features, pid, camid, path and split.
        pictures: the folder that paths start at; None: each file's own.
        cross_camera: whether matches from a query's own camera are ignored.
        distance: how the owner compares two features.
        name: for the report.
    """

    gallery: Path
    query: Path | None = None
    auxiliary: Path | None = None
    columns: dict[str, str] = Field(default_factory=dict)
    pictures: Path | None = None
    cross_camera: bool = True
    distance: Literal["cosine", "euclidean"] = "cosine"
    name: str = ""


class RankingConfig(_Strict):
    """What the deployment does to its ranking beyond the plain distance; nothing by default.

    Attributes:
        rerank: how the ranking is mended; see `auditor.metrics.reranking`.
        k1: mutual neighbours of k-reciprocal re-ranking.
        k2: entries whose neighbourhoods are averaged; 1 is off.
        weight: ``lambda``, the weight of the plain distance; with 1 nothing changes.
        expansion: how a query is averaged with its nearest entries before anything else.
        neighbours: how many entries that takes in.
        alpha: power of the cosine by which they weigh.
    """

    rerank: Literal["none", "k_reciprocal"] = "none"
    k1: int = Field(default=20, ge=1)
    k2: int = Field(default=6, ge=1)
    weight: float = Field(default=0.3, ge=0, le=1, alias="lambda")
    expansion: Literal["none", "average", "alpha"] = "none"
    neighbours: int = Field(default=5, ge=1)
    alpha: float = Field(default=3.0, ge=0)

    @property
    def plain(self) -> bool:
        """Whether the deployment ranks by the distance alone."""
        return self.rerank == self.expansion == "none"


class AuditConfig(_Strict):
    """The whole audit; `to_record` is what the record keeps.

    Attributes:
        model: what is audited.
        data: the people it is audited on.
        features: what is audited instead where there are stored features and no model.
        judges: label -> an independent model that judges reconstructions.
        attacks: label -> attack, or the block of its hyper-parameters, where ``use`` names the
            plug-in if the label does not.
        defenses: the same for defenses; each is a scenario beside ``none``. A sequence, or a block
            ``chain``, lists several that are applied one after the other.
        pooling: how the features of a tracklet's pictures become the one entry that the deployment
            stores: their ``mean``, or a mean weighed by ``quality``, which is how well they agree;
            ``none`` stores every picture; ``auto`` is the mean where tracklets are known.
        ranking: what the deployment does beyond the plain distance; then utility is measured both
            ways. Attacks rank plainly.
        rank_lists: of how many queries each scenario shows the best matches.
        study: how many questions each scenario with pictures of its own leaves for a study with
            people; see `auditor.user_study.material`.
        tsne_people: of how many people each scenario draws the stored features.
        gates: limits; see `auditor.gates`.
        controls: whether every attack must prove its power; without, every gate on an attack is
            inconclusive.
        required_efficiency: the share of a faint planted leak that an attack must recover, of what
            the best adversary could; see `auditor.certification.certificates`.
        budget: fractions of the auxiliary people, and of training, with which every attack is
            repeated; empty: no budget curves.
        budget_scenarios: the scenarios whose attacks are repeated.
        force: go on although the sanity probe failed.
        weights: folder with pretrained backbones (LPIPS).
        cache: folder that keeps features from run to run; the record does not mention it, for
            figures do not depend on it.
        preset: where the defaults come from.
        seed: of everything random.
        device: auto takes a GPU if there is one.
        deterministic: on a GPU, choose algorithms that repeat exactly, at some cost in time; torch
            warns by name of an operation that has none. A CPU always repeats.
        fast: compute features in bfloat16, where device and model can: about three times as fast,
            and off by a few thousandths of their length. Gradients stay exact.
    """

    model: ModelConfig | None = None
    data: DataConfig | None = None
    features: FeaturesConfig | None = None
    judges: dict[str, ModelConfig] = Field(default_factory=dict)
    attacks: dict[str, Attack] = Field(default_factory=dict)
    defenses: dict[str, tuple[Defense, ...]] = Field(default_factory=dict)
    pooling: Literal["auto", "none", "mean", "quality"] = "auto"
    ranking: RankingConfig = RankingConfig()
    rank_lists: int = Field(default=6, ge=0, le=100)
    study: int = Field(default=20, ge=0, le=50)
    tsne_people: int = Field(default=10, ge=0, le=30)
    gates: list[Gate] = Field(default_factory=list)
    controls: bool = True
    required_efficiency: float = Field(default=REQUIRED_EFFICIENCY, gt=0, le=1)
    budget: list[Annotated[float, Field(gt=0, lt=1)]] = Field(default_factory=list)
    budget_scenarios: list[str] = [BARE]
    force: bool = False
    weights: Path | None = None
    cache: Path | None = None
    preset: Literal["quick", "full", "demo"] = "quick"
    seed: int = Field(default=0, ge=0)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    deterministic: bool = False
    fast: bool = False

    @field_validator("attacks", mode="before")
    @classmethod
    def _read_attacks(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        return {label: read_attack(str(label), block) for label, block in given.items()}

    @field_validator("defenses", mode="before")
    @classmethod
    def _read_defenses(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        return {label: read_defenses(str(label), block) for label, block in given.items()}

    @field_serializer("attacks")
    def _write_attacks(self, attacks: dict[str, Attack]) -> dict[str, Any]:
        return {label: attack_block(label, attack) for label, attack in attacks.items()}

    @field_serializer("defenses")
    def _write_defenses(self, defenses: dict[str, tuple[Defense, ...]]) -> dict[str, Any]:
        return {label: defense_block(label, chain) for label, chain in defenses.items()}

    def to_record(self) -> dict[str, Any]:
        """Plain data for the record; paths by name only, for a report travels."""
        plain = self.model_dump(mode="json", exclude={"gates", "cache"}, by_alias=True)
        plain["gates"] = [asdict(gate) for gate in self.gates]
        blocks = (plain["model"], plain["data"], plain["features"], *plain["judges"].values())
        for block in blocks:
            for key in PATHS:
                if block and block.get(key):
                    block[key] = Path(block[key]).name
            if block and block.get("service"):
                block["service"]["url"] = ServiceConfig(**block["service"]).place
        if plain["weights"]:
            plain["weights"] = Path(plain["weights"]).name
        return plain
