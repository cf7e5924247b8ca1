"""The commands `audit data`: look at a dataset, write its manifest, make splits.

Nothing heavy is imported before a command runs.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auditor.console import printable
from auditor.errors import DataError, UsageError

if TYPE_CHECKING:
    from auditor.data.check import Check
    from auditor.data.rows import Rows

NAMED = 50
"""Broken pictures at most that are listed one by one."""

app = typer.Typer(
    name="data",
    help="Check, convert and split data sets.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

Source = Annotated[Path, typer.Argument(metavar="DIR", help="Folder or manifest.csv.")]
LayoutName = Annotated[
    str,
    typer.Option(
        "--layout",
        help="auto, manifest, market1501, dukemtmc, cuhk03np, cuhk03, cuhk01, msmt17, veri, "
        "veriwild, vehicleid, sysu_mm01, regdb, split_folders, folder or pattern.",
    ),
]
Attributes = Annotated[
    Path | None,
    typer.Option(
        "--attributes",
        help="market_attribute.mat or duke_attribute.mat; found automatically beside the pictures.",
    ),
]
Pattern = Annotated[
    str | None,
    typer.Option(
        "--pattern",
        help="Regular expression for file names: (?P<pid>…), and camid, split, track, time.",
    ),
]
Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        metavar="OURS=THEIRS",
        help="A table's name for path, pid, camid or split; repeatable.",
    ),
]
FollowLinks = Annotated[
    bool, typer.Option("--follow-links", help="Follow links that lead out of the folder.")
]
Out = Annotated[
    Path,
    typer.Option("--out", help="CSV file; a bare name is put in DIR, where its paths start."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace --out if it exists.")]


@app.command("check")
def check_command(
    source: Source,
    layout: LayoutName = "auto",
    pattern: Pattern = None,
    column: Columns = None,
    follow_links: FollowLinks = False,
    attributes: Attributes = None,
    cross_camera: Annotated[
        bool,
        typer.Option(
            "--cross-camera/--any-camera", help="Ignore matches from the query's own camera."
        ),
    ] = True,
    max_broken: Annotated[
        float, typer.Option(min=0, max=1, help="Share of unreadable pictures that is tolerated.")
    ] = 0.01,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Describe a data set and check whether it can be audited: exit code 0 if so, 2 if not."""
    from auditor.data.check import check

    rows = _read(source, layout, attributes, pattern, column, follow_links)
    found = check(rows, cross_camera=cross_camera, max_broken=max_broken)
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=2, ensure_ascii=False))
    else:
        typer.echo("\n".join(map(printable, _describe(found))))  # files are called anything
    if found.faults:
        raise DataError("this dataset cannot be audited: " + "; ".join(found.faults))


@app.command()
def convert(
    source: Source,
    out: Out,
    layout: LayoutName = "auto",
    pattern: Pattern = None,
    column: Columns = None,
    follow_links: FollowLinks = False,
    attributes: Attributes = None,
    overwrite: Overwrite = False,
) -> None:
    """Convert any layout to a manifest, with the attributes found beside it."""
    rows = _read(source, layout, attributes, pattern, column, follow_links)
    _write(rows, _place(source, out), overwrite)


@app.command()
def split(
    source: Source,
    out: Out,
    layout: LayoutName = "auto",
    pattern: Pattern = None,
    column: Columns = None,
    follow_links: FollowLinks = False,
    attributes: Attributes = None,
    auxiliary: Annotated[
        float,
        typer.Option("--auxiliary", help="Share of people assigned to the adversary."),
    ] = 0.5,
    queries: Annotated[
        str, typer.Option("--queries", help="one-per-camera or one-per-person.")
    ] = "one-per-camera",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the random split.")] = 0,
    overwrite: Overwrite = False,
) -> None:
    """Write a manifest with new, disjoint splits of attacked people and the adversary's."""
    import numpy as np

    from auditor.data.resplit import resplit

    rows = _read(source, layout, attributes, pattern, column, follow_links)
    rng = np.random.default_rng(seed)
    made = resplit(rows, rng, auxiliary=auxiliary, queries=queries)  # type: ignore[arg-type]
    _write(made, _place(source, out), overwrite)


def _read(
    source: Path,
    layout: str,
    attributes: Path | None,
    pattern: str | None,
    columns: list[str] | None,
    follow_links: bool,
) -> "Rows":
    from auditor.data.layouts import read_rows

    pairs = [text.partition("=") for text in columns or []]
    if any(not theirs for _, _, theirs in pairs):
        raise UsageError("--column is of the form OURS=THEIRS, such as pid=person_id")
    return read_rows(
        source,
        layout,
        attributes,
        pattern=pattern,
        columns={ours: theirs for ours, _, theirs in pairs},
        follow_links=follow_links,
    )


def _place(source: Path, out: Path) -> Path:
    """Return a bare name belongs to the pictures, since the paths in it start where it lies."""
    folder = source if source.is_dir() else source.parent
    return folder / out if out.parent == Path() and not out.is_absolute() else out


def _write(rows: "Rows", file: Path, overwrite: bool) -> None:
    from auditor.data.check import count_splits, split_table
    from auditor.data.layouts.table import write_table
    from auditor.data.rows import JUNK

    write_table(rows, file, overwrite=overwrite)
    people = rows.table[rows.table["pid"] != JUNK]
    typer.echo(f"wrote {file}: {len(rows.table)} pictures, layout {rows.layout}")
    typer.echo("\n".join(_table(count_splits(rows, split_table(people)))))
    for notice in rows.notices:
        typer.echo(f"notice: {printable(notice)}")
    typer.echo(f"next: audit data check {file}")


def _describe(found: "Check") -> Iterator[str]:
    """Yield the whole check, line by line."""
    yield f"layout: {found.layout}"
    yield from _table(found.splits)
    yield f"cameras: {len(found.cameras)} ({_counts(found.cameras) or 'none'})"
    for name, values in found.attributes.items():
        yield f"attribute {name}: {_counts(values)} people"
    pictures = sum(found.cameras.values())
    for name, known in found.tracks.items():
        yield f"{name}: known for {known} of {pictures} pictures"
    yield from _describe_sides(found)
    if found.queries is not None:
        number, lost = found.queries["number"], found.queries["without_match"]
        yield f"queries: {number}, {lost} without a valid match in the gallery"
    yield f"broken pictures: {len(found.broken)}"
    for path, reason in islice(found.broken.items(), NAMED):
        yield f"  {path}: {reason}"
    if len(found.broken) > NAMED:
        yield f"  and {len(found.broken) - NAMED} more; --json lists all of them"
    for notice in found.notices:
        yield f"notice: {notice}"
    if not found.faults:
        yield "this dataset can be audited"


def _describe_sides(found: "Check") -> Iterator[str]:
    """Who is on which side of the border between attacked and auxiliary people, and what is."""
    sides = found.disjoint
    counts = f"{sides['attacked']} attacked and {sides['auxiliary']} auxiliary people"
    if sides["both"]:
        first = ", ".join(map(str, sides["first"]))
        yield f"identity disjointness: NO, {sides['both']} of {counts} are both (pid {first})"
    else:
        yield (
            f"identity disjointness: yes, {counts}; it would fail if one pid were in query or "
            "gallery and in auxiliary (else train) too"
        )
    if found.near_duplicates is None:
        yield "near-duplicates: not compared, for the splits are not decided"
        return
    yield f"near-duplicates across the border: {len(found.near_duplicates)}"
    for pair in found.near_duplicates:
        yield f"  {pair['known']} is a copy of {pair['attacked']} ({pair['bits']} bits apart)"


def _table(splits: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    columns = ("images", "people", "distractors", "junk")
    yield f"{'split':<10}" + "".join(f"{name:>12}" for name in columns)
    for name, counts in splits.items():
        yield f"{name:<10}" + "".join(f"{counts[column]:>12}" for column in columns)


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name}: {number}" for name, number in counts.items())
