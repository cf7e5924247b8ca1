"""A release policy as a file: limits with the reasons for them, limits on claims, and waivers.

A policy is kept apart from an audit's configuration, because somebody else decides it. It says for
every limit why it is there, and it is read to the letter or not at all.
`auditor.gates.policy_check` holds a record against it.
"""

from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from auditor.artifacts import plain_yaml
from auditor.console import printable
from auditor.errors import UsageError, did_you_mean
from auditor.gates.gate import Gate, Waiver


def _number(value: Any) -> Any:
    # YAML reads 1e-3 as a text and yes as a truth value; the first is a number, the second is none
    if isinstance(value, bool):
        raise ValueError("a truth value is not a number")
    return value


def _address(text: str) -> str:
    if len(parts := text.split("/", 2)) != 3 or not all(parts):
        raise ValueError(f"{text!r} is not of the form scenario/attack/metric")
    return text


Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Number = Annotated[float, BeforeValidator(_number), Field(strict=False, allow_inf_nan=False)]
Address = Annotated[Text, AfterValidator(_address)]
Day = Annotated[date, Field(strict=False)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Limit(_Strict):
    """A gate and why it is there.

    Attributes:
        address: ``scenario/attack/metric`` with shell wildcards; ``*/identity/top1@gender=*`` is
            the headline in every group.
        max: for figures that get worse as they rise.
        min: for figures that get worse as they fall, such as utility.
        limit: for either; which side is good follows from the metric.
        level: an ``error`` decides the exit code, a ``warn`` only shows.
        judge: see `auditor.gates.Gate`.
        adjust: likewise.
        cites: who decided the limit, or which text asks for it.
    """

    address: Address
    max: Number | None = None
    min: Number | None = None
    limit: Number | None = None
    level: Literal["error", "warn"] = "error"
    judge: Literal["pessimistic", "value"] = "pessimistic"
    adjust: Literal["holm", "none"] = "holm"
    cites: Text

    @model_validator(mode="after")
    def _one_limit(self) -> "Limit":
        if sum(side is not None for side in (self.max, self.min, self.limit)) != 1:
            raise ValueError(f"{self.address!r} needs one of max, min and limit")
        return self

    @property
    def gate(self) -> Gate:
        """The same as the judge reads it."""
        (limit,) = (side for side in (self.max, self.min, self.limit) if side is not None)
        return Gate(
            address=self.address,
            limit=limit,
            level=self.level,
            judge=self.judge,
            adjust=self.adjust,
            cites=self.cites,
        )


class ClaimLimit(_Strict):
    """What the privacy claims of a scenario must come to.

    Attributes:
        verdict: CONSISTENT refuses claims that are over-claimed, refuted or no claims at all.
        max_epsilon_certified: for ``unit``, composed over the claim's releases.
        unit: whose data that ε protects: everything of a person, or one image.
        level: an ``error`` decides the exit code, a ``warn`` only shows.
        cites: who decided the limit, or which text asks for it.
    """

    verdict: Literal["CONSISTENT"] | None = None
    max_epsilon_certified: Annotated[Number, Field(ge=0)] | None = None
    unit: Literal["identity", "image"] = "identity"
    level: Literal["error", "warn"] = "error"
    cites: Text

    @model_validator(mode="after")
    def _something(self) -> "ClaimLimit":
        if self.verdict is None and self.max_epsilon_certified is None:
            raise ValueError("asks for nothing; give verdict or max_epsilon_certified")
        return self


class WaiverEntry(_Strict):
    """A waiver as it is written; see `auditor.gates.Waiver`. Who owns it may be missing here."""

    address: Address
    owner: str = ""
    reason: Text
    expires: Day

    @property
    def waiver(self) -> Waiver:
        """The same as the judge reads it."""
        return Waiver(
            address=self.address,
            owner=self.owner.strip(),
            reason=self.reason,
            expires=self.expires,
        )


class Policy(_Strict):
    """Everything a release is held to.

    Attributes:
        version: of this file's form.
        on_missing: what a gate without anything to judge comes to: ``error`` fails it,
            ``inconclusive`` leaves it open. Neither lets it pass.
        gates: limits on measurements.
        isolation: ``strong`` refuses a record whose models ran less well isolated than that.
        claims: scenario, with shell wildcards -> limits on what it promises.
        waivers: shortfalls that somebody answers for.
    """

    version: Literal[1]
    on_missing: Literal["error", "inconclusive"] = "error"
    isolation: Literal["strong"] | None = None
    gates: list[Limit] = []
    claims: dict[Text, ClaimLimit] = {}
    waivers: list[WaiverEntry] = []

    @model_validator(mode="after")
    def _something(self) -> "Policy":
        if not self.gates and not self.claims and self.isolation is None:
            raise ValueError("sets no gates and no claims, so it would judge nothing")
        return self


def load(path: Path) -> Policy:
    """Read a policy.

    Raises:
        UsageError: if the file cannot be followed to the letter; unknown keys and keys that are
            given twice are refused, for a limit that is not read is a limit that is not kept.
    """
    loaded = plain_yaml.read(path)
    try:
        return Policy.model_validate(loaded)
    except ValidationError as error:
        raise UsageError(f"{path}: {_first(error)}") from None


def _first(error: ValidationError) -> str:
    """Return the first thing wrong, where it is, and the nearest key if one was mistyped."""
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        models: dict[str, type[_Strict]] = {
            "gates": Limit,
            "claims": ClaimLimit,
            "waivers": WaiverEntry,
        }
        model = models.get(str(first["loc"][0]), Policy) if len(first["loc"]) > 1 else Policy
        known = model.model_fields
        message = "no such key; "
        message += did_you_mean(str(first["loc"][-1]), known, f"there are {', '.join(known)}")
    return printable(f"{place}: {message}" if place else message)
