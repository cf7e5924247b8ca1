"""Synthetic people before and after an identity shift, as one picture.

`python benchmarks/shift_sheet.py FILE.png [--set KEY=VALUE …] [--weights DIR]` draws 60 people and
200 others to train on, shifts the 60, and writes a sheet: originals above, shifted ones below; each
person has two neighbouring columns, by two cameras. The figure in the documentation is made so.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import torch
from torchvision.utils import make_grid, save_image

from auditor import plugins
from auditor.certification import controls
from auditor.config import put
from auditor.data.synthetic import make_world
from auditor.types import RunContext

SIZE = (128, 64)
PEOPLE = 5


def main() -> None:
    """Draw, learn, shift, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--set", action="append", dest="settings", default=[])
    parser.add_argument("--weights", type=Path)
    args = parser.parse_args()
    params: dict[str, Any] = {}
    for setting in args.settings:
        put(params, setting)
    world = make_world(identities=60, auxiliary=200, cameras=3, images_per_camera=4, seed=20)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    ctx = RunContext(weights=args.weights, device=device)
    shifted = plugins.build("defenses", "pis", params).apply(controls.make_null_target(world), ctx)
    people = world.gallery.pids.unique()[:PEOPLE]
    rows = [
        int(((world.gallery.pids == pid) & (world.gallery.camids == camera)).nonzero()[0])
        for pid in people
        for camera in (0, 1)
    ]
    pictures = [split.images.load(rows, SIZE) for split in (world.gallery, shifted.data.gallery)]
    save_image(make_grid(torch.cat(pictures), nrow=len(rows)), args.file)
    print(f"{args.file}: {time.process_time():.0f} CPU-s")


if __name__ == "__main__":
    main()
