"""Audits a model in this process: the same pipeline as `audit run`, with plug-ins as they are."""

import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from tempfile import mkdtemp
from types import MappingProxyType
from typing import Any

from auditor import config as configuration
from auditor import plugins
from auditor.api.folder import prepare
from auditor.api.opening import AnyCard, AnyModel, model_config, open_model
from auditor.api.report import Report
from auditor.artifacts import ownership
from auditor.config import PRESETS, AuditConfig, DataConfig, ModelConfig
from auditor.console import Display, Quiet
from auditor.errors import UsageError, did_you_mean
from auditor.gates import Gate
from auditor.models import LoadedModel
from auditor.pipeline import session
from auditor.pipeline.environment import pick_device
from auditor.pipeline.inputs import open_configured, open_data
from auditor.types import Attack, Defense, ReIDDataset

NOTHING: Mapping[str, Any] = MappingProxyType({})


def audit(
    model: AnyModel,
    data: str | Path | ReIDDataset,
    *,
    attacks: str | Sequence[Attack] | Mapping[str, Attack] = "quick",
    defenses: Mapping[str, Defense | Sequence[Defense]] = NOTHING,
    gates: Sequence[Gate] = (),
    judges: Mapping[str, AnyModel] = NOTHING,
    card: AnyCard = None,
    arch: str | None = None,
    controls: bool = True,
    budget: Sequence[float] = (),
    seed: int = 0,
    device: str = "auto",
    out: str | Path | None = None,
    overwrite: bool = False,
    resume: bool = False,
    settings: Mapping[str, Any] = NOTHING,
    progress: bool = True,
) -> Report:
    """Attack a model, defend it, attack it again, and return what was found.

    The record is the one that `audit run` would write with the same settings.

    Args:
        model: a network, a model file, or what `open_model` returned.
        data: a dataset, or where it lies on disk.
        attacks: a preset (``quick``, ``full``, ``demo``), attacks, or label -> attack. Anything
            with ``run(target, ctx)`` is an attack; see `auditor.types.Attack`.
        defenses: label -> defense, or several that are applied one after the other. Each is a
            scenario beside the bare model, ``none``.
        gates: limits that the report judges.
        judges: label -> an independent model that judges reconstructions.
        card: how the model is fed; see `open_model`.
        arch: the architecture, where ``model`` is a file of weights alone.
        controls: whether each attack is tried on controls. Without, nothing is certified.
        budget: fractions of the auxiliary people and of training with which every attack is
            repeated.
        seed: of everything random.
        device: ``auto``, ``cpu`` or ``cuda``, for whatever is not open already.
        out: folder for the record and its pictures. None: a temporary folder, which is removed
            together with the report.
        overwrite: whether an earlier audit in ``out`` is replaced.
        resume: whether an audit in ``out`` of the same model, people and seed is continued, as
            ``--resume auto`` does: what is finished is kept. What a network or plug-in computes is
            known by its class, its weights and the plain values in its fields, so start anew once
            its code has changed.
        settings: any other key of the configuration, such as ``{"force": True}``.
        progress: whether the steps are shown.

    Returns:
        The report.

    Raises:
        UsageError: for settings that cannot be followed, or an ``out`` that is taken.
        DataError: if the dataset cannot be audited.
        ModelError: if the model does not load, is no extractor, or fails the sanity probe.
        ModelRefusedError: if its format cannot be opened without trusting its author.
        EnvironmentUnmetError: if the device, the disk or a package is not there.
        KeyboardInterrupt: if it is interrupted; with ``out``, what is finished is there.
    """
    if not isinstance(data, str | Path | ReIDDataset):
        raise UsageError(f"data is a {type(data).__name__}; give a dataset, or where one lies")
    if "target" in judges:
        raise UsageError("judges: the label 'target' is taken by the audited model itself")
    files = {label: _model_config(judge) for label, judge in judges.items()}
    chosen = {
        "model": _model_config(model, arch, card),
        "data": None if isinstance(data, ReIDDataset) else DataConfig(path=Path(data)),
        "judges": {label: found for label, found in files.items() if found is not None},
        "attacks": _label(attacks),
        "defenses": dict(defenses),
        "gates": list(gates),
        "controls": controls,
        "budget": list(budget),
        "preset": attacks if isinstance(attacks, str) else "quick",
        "seed": seed,
        "device": device,
    }
    if both := sorted(settings.keys() & chosen.keys()):
        raise UsageError(f"settings: {both[0]!r} is a separate argument; give it there")
    config = configuration.resolve({**chosen, **settings}, "auditor.audit", judges)
    if resume:
        _check_resumable(config, data, out, overwrite=overwrite)
    opened = _open(model, config.model, device, arch=arch, card=card)
    inputs = _inputs(opened, data, judges, config)
    with _folder(out, overwrite=overwrite, resume=resume) as folder:
        record = session.run(
            config,
            folder,
            inputs,
            resume=resume,
            display=Display if progress else Quiet,
            command="auditor.audit(…)",
        )
        return Report(record, folder, temporary=out is None)


def _check_resumable(
    config: AuditConfig,
    data: str | Path | ReIDDataset,
    out: str | Path | None,
    *,
    overwrite: bool,
) -> None:
    """Refuse to go on where nothing was kept, or where nobody can tell that it is the same."""
    if out is None:
        raise UsageError("resume: there is nothing to continue without out")
    if overwrite:
        raise UsageError("resume keeps what overwrite throws away; give one of them")
    if isinstance(data, ReIDDataset) and not data.facts.get("pictures_sha256"):
        raise UsageError(
            "resume: people in memory cannot be told from others; give the folder or manifest.csv "
            "of the data set, or what open_dataset made of it"
        )
    for plugin in (*config.attacks.values(), *chain.from_iterable(config.defenses.values())):
        if not plugins.is_plain(plugin):
            raise UsageError(
                f"resume: {plugins.class_path(plugin)} cannot be told from another of its class; "
                "make it a dataclass whose fields are plain values"
            )


def _inputs(
    model: LoadedModel,
    data: str | Path | ReIDDataset,
    judges: Mapping[str, AnyModel],
    config: AuditConfig,
) -> session.Inputs:
    """Open what is audited; judges are opened where the model is."""
    people = data if isinstance(data, ReIDDataset) else open_data(DataConfig(path=Path(data)))
    place = model.device.type  # that of a model which was opened before
    opened = {
        label: _open(judge, config.judges.get(label), place) for label, judge in judges.items()
    }
    inputs = session.Inputs(model=model, data=people, judges=opened)
    return session.hasten_inputs(config, inputs)


def _model_config(
    model: AnyModel, arch: str | None = None, card: AnyCard = None
) -> ModelConfig | None:
    """Return the model as a configuration names it, if it is a file."""
    return model_config(model, arch=arch, card=card) if isinstance(model, str | Path) else None


def _open(
    model: AnyModel,
    config: ModelConfig | None,
    device: str,
    *,
    arch: str | None = None,
    card: AnyCard = None,
) -> LoadedModel:
    if config is not None:
        return open_configured(config, pick_device(device))
    return open_model(model, arch=arch, card=card, device=device)


def _label(
    attacks: str | Sequence[Attack] | Mapping[str, Attack],
) -> dict[str, Any]:
    """Return label -> attack, or the blocks of a preset."""
    if isinstance(attacks, str):
        if attacks not in PRESETS:
            hint = did_you_mean(attacks, PRESETS, f"there are {', '.join(PRESETS)}")
            raise UsageError(f"attacks: no preset named {attacks!r}; {hint}")
        blocks: dict[str, Any] = configuration.preset_defaults(attacks)["attacks"]
        return blocks
    if isinstance(attacks, Mapping):
        return dict(attacks)
    labelled: dict[str, Any] = {}
    for attack in attacks:
        label = label_of(attack)
        if label in labelled:
            raise UsageError(f"attacks: two are called {label!r}; give them as label -> attack")
        labelled[label] = attack
    return labelled


def label_of(attack: Attack) -> str:
    """Return what an attack is called that was given without a label.

    Its installed name, or else its class in the same spelling.
    """
    name = plugins.name_of("attacks", attack)
    if name in plugins.installed("attacks"):
        return name
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(attack).__name__).lower()


@contextmanager
def _folder(out: str | Path | None, *, overwrite: bool, resume: bool) -> Iterator[Path]:
    """Yield the folder to audit in; a temporary one is removed after an error."""
    if out is not None:
        with ownership.hold_folder(Path(out)):
            prepare(Path(out), overwrite=overwrite, resume=resume)
            yield Path(out)
        return
    folder = Path(mkdtemp(prefix="audit-"))
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
