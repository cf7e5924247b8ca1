"""Body keypoints that somebody else has found, read from a file and looked up by picture.

A JSON file maps a picture's path to 17 triples ``[x, y, score]``; a CSV file has the column
``path`` and, for each keypoint, ``NAME_x``, ``NAME_y`` and ``NAME_score``. ``x`` and ``y`` are
fractions of the picture's width and height, so that resizing changes nothing. A path may be a
file's name alone or have any number of its folders before it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pandas as pd
import torch
from torch import Tensor

from auditor.data.images import file_of
from auditor.errors import DataError
from auditor.types import Images

COCO = (
    *("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder"),
    *("left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip"),
    *("left_knee", "right_knee", "left_ankle", "right_ankle"),
)
"""The keypoints' names in the order of the COCO data set, which torchvision's networks keep."""

SHOULDERS = (COCO.index("left_shoulder"), COCO.index("right_shoulder"))


@dataclass(frozen=True, eq=False)
class Keypoints:
    """Keypoints by picture.

    Attributes:
        file: where they were read.
        table: path -> ``(17, 3)`` of x, y and score.
    """

    file: Path
    table: Mapping[str, Tensor]

    @classmethod
    def read(cls, file: Path) -> "Keypoints":
        """Return the keypoints in a CSV or JSON file.

        Raises:
            DataError: if the file contains something else.
        """
        try:
            rows = _read_csv(file) if file.suffix.lower() == ".csv" else _read_json(file)
        except OSError as error:
            raise DataError(f"cannot read the keypoints in {file}: {error.strerror}") from None
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise DataError(
                f"{file} contains no keypoints ({error}); it takes 17 times x, y, score per path"
            ) from None
        for path, points in rows.items():
            if points.shape != (len(COCO), 3) or not torch.isfinite(points).all():
                raise DataError(
                    f"{file}: the keypoints of {path!r} are not {len(COCO)} × 3 finite numbers"
                )
            if points[:, :2].sub(0.5).abs().max() > 1.5:
                raise DataError(
                    f"{file}: the keypoints of {path!r} lie far outside the picture; give x and y "
                    "as fractions of its width and height"
                )
        return cls(file, rows)

    def of(self, images: Images, indices: Sequence[int]) -> Tensor:
        """Return ``(len(indices), 17, 3)`` of the pictures ``indices``.

        All 0 where a picture has none.
        """
        return torch.stack([self._one(file_of(images, index)) for index in indices])

    def _one(self, path: Path | None) -> Tensor:
        parts = PurePosixPath(path.as_posix()).parts if path else ()
        for start in range(len(parts)):
            if (points := self.table.get("/".join(parts[start:]))) is not None:
                return points
        return torch.zeros(len(COCO), 3)


def _read_json(file: Path) -> dict[str, Tensor]:
    loaded = json.loads(file.read_text(encoding="utf-8"))
    return {path: torch.tensor(points, dtype=torch.float32) for path, points in loaded.items()}


def _read_csv(file: Path) -> dict[str, Tensor]:
    cells = pd.read_csv(file)
    columns = [f"{name}_{part}" for name in COCO for part in ("x", "y", "score")]
    values = torch.from_numpy(cells[columns].to_numpy(dtype="float32")).reshape(-1, len(COCO), 3)
    return dict(zip(cells["path"].astype(str), values, strict=True))


def shoulder_line(points: Tensor) -> Tensor:
    """``(B,)`` height of the shoulders as a fraction of the picture, NaN where none was found.

    Args:
        points: keypoints ``(B, 17, 3)``.
    """
    shoulders = points[:, SHOULDERS]
    found = shoulders[..., 2] > 0
    total = (shoulders[..., 1] * found).sum(1)
    return total / found.sum(1).where(found.any(1), torch.nan)
