"""Native charts of the workbook: bars, lines, and lines over a numeric axis."""

from collections.abc import Iterator, Sequence

from openpyxl.chart import BarChart, LineChart, Reference, ScatterChart, Series
from openpyxl.chart.data_source import StrRef
from openpyxl.chart.series import SeriesLabel
from openpyxl.worksheet.worksheet import Worksheet

from reports.redaction.sanitize import clean

SHADES = ("0E5F70", "6FB2C0", "D08A3E", "7A6AA8", "5B8C5A", "B5616B")
CHANCE_SHADE = "9AA3AA"
MOST_CHARTS = 12
"""More on one sheet nobody looks at."""
LONGEST_TITLE = 120
APART = 20
"""Rows between the tops of two charts."""

Chart = BarChart | LineChart | ScatterChart


def bars(
    sheet: Worksheet, title: str, columns: Sequence[int], rows: tuple[int, int], at: str, names: int
) -> BarChart:
    """Bars of ``rows`` (first and last) of every one of ``columns``, named by column ``names``."""
    chart = BarChart()
    chart.gapWidth = 60
    _series(sheet, chart, columns, rows)
    chart.set_categories(Reference(sheet, min_col=names, min_row=rows[0], max_row=rows[1]))
    _dress(chart, title)
    sheet.add_chart(chart, at)
    return chart


def lines(
    sheet: Worksheet, title: str, columns: Sequence[int], rows: tuple[int, int], at: str, names: int
) -> LineChart:
    """Return a line for every one of ``columns`` over the values in column ``names``."""
    chart = LineChart()
    _series(sheet, chart, columns, rows)
    chart.set_categories(Reference(sheet, min_col=names, min_row=rows[0], max_row=rows[1]))
    for place, line in enumerate(chart.series):
        line.smooth = False
        line.graphicalProperties.line.solidFill = SHADES[place % len(SHADES)]
    _dress(chart, title)
    sheet.add_chart(chart, at)
    return chart


def curve(
    sheet: Worksheet, title: str, x: int, y: int, rows: tuple[int, int], at: str, *, log: bool
) -> None:
    """One line over a numeric axis, which may be logarithmic."""
    chart = ScatterChart()
    chart.style, chart.scatterStyle = 13, "lineMarker"
    across = Reference(sheet, min_col=x, min_row=rows[0], max_row=rows[1])
    line = Series(Reference(sheet, min_col=y, min_row=rows[0], max_row=rows[1]), across)
    line.graphicalProperties.line.solidFill = SHADES[0]
    line.smooth = False
    chart.series.append(line)
    chart.legend = None
    if log:
        chart.x_axis.scaling.logBase = 10
    _dress(chart, title)
    sheet.add_chart(chart, at)


def places(column: str) -> Iterator[str]:
    """Return where charts go, one below the other; no more than anybody looks at."""
    return (f"{column}{2 + APART * n}" for n in range(MOST_CHARTS))


def _series(
    sheet: Worksheet, chart: BarChart | LineChart, columns: Sequence[int], rows: tuple[int, int]
) -> None:
    for place, column in enumerate(columns):
        chart.add_data(Reference(sheet, min_col=column, min_row=rows[0], max_row=rows[1]))
        series = chart.series[-1]
        title = Reference(sheet, min_col=column, min_row=1)
        series.tx = SeriesLabel(strRef=StrRef(f=str(title)))
        series.graphicalProperties.solidFill = SHADES[place % len(SHADES)]


def _dress(chart: Chart, title: str) -> None:
    chart.title = clean(title, LONGEST_TITLE)
    # without this, current spreadsheets hide the axes of charts written here
    chart.x_axis.delete = chart.y_axis.delete = False
    chart.height, chart.width = 9, 18
