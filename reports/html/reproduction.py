"""A paper's table beside its repetition, as one page without scripts."""

from pathlib import Path

from auditor.artifacts.atomic import write
from auditor.report import Measurement
from auditor.reproduction.record import Figure, Reproduction
from reports.html.page import environment, load_style


def render(record: Reproduction, path: Path) -> None:
    """Write the page, whole or not at all."""
    template = environment().get_template("reproduction.html.j2")
    columns = record.measured_columns()
    page = template.render(
        record=record,
        columns=columns,
        untouched=[column.label for column in record.columns if column not in columns],
        measured=measured,
        interval=interval,
        printed=printed,
        agrees=agrees,
        **load_style(),
    )
    write(path, page.encode())


def printed(figure: Figure) -> str:
    """Return the paper's figure."""
    return "" if figure.paper is None else f"{figure.paper * 100:.1f}"


def measured(figure: Figure) -> str:
    """Ours, in the paper's unit."""
    m = figure.measured
    if m is None:
        return ""
    return f"{m.value * 100:.1f}" if _share(m) else f"{m.value:.2f}"


def interval(figure: Figure) -> str:
    """Return the interval of ours."""
    m = figure.measured
    if m is None:
        return ""
    if _share(m):
        return f"{m.low * 100:.1f} to {m.high * 100:.1f}"
    return f"{m.low:.2f} to {m.high:.2f}"


def agrees(figure: Figure) -> bool:
    """Return whether the paper's figure lies within our interval."""
    m = figure.measured
    return m is not None and figure.paper is not None and m.low <= figure.paper <= m.high


def _share(m: Measurement) -> bool:
    return m.unit in ("fraction", "ratio") and not m.metric.startswith("urr")
