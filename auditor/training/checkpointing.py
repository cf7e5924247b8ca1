"""Which files a training writes, and what may be in their way."""

from pathlib import Path

from auditor.artifacts.atomic import refuse_existing
from auditor.errors import UsageError


def checkpoint_of(out: Path) -> Path:
    """Where an interrupted training of ``out`` waits to be resumed."""
    return out.with_name(f"{out.stem}.ckpt")


def check_files(out: Path, *, resume: bool, overwrite: bool) -> None:
    """Find out what would be in the way before hours are spent.

    Args:
        out: the safetensors file to write.
        resume: go on with an interrupted training.
        overwrite: replace ``out``, and drop an interrupted training.

    Raises:
        UsageError: if something is.
    """
    checkpoint = checkpoint_of(out)
    if out.suffix != ".safetensors":
        raise UsageError(f"--out {out}: weights are written as safetensors; "
                         f"name it {out.with_suffix('.safetensors').name}")  # fmt: skip
    if overwrite:
        checkpoint.unlink(missing_ok=True)
    refuse_existing(out, overwrite=overwrite)
    if checkpoint.exists() and not resume:
        raise UsageError(
            f"{checkpoint} contains an interrupted training; pass --resume to continue it, "
            "or --overwrite to start over"
        )
    if resume and not checkpoint.exists():
        raise UsageError(f"--resume: there is no {checkpoint}; leave --resume out to begin")
