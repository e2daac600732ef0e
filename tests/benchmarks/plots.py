"""The two plots of the document: lateness and rate against the number of schedules due at one second."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt

from tests.benchmarks.figures import Figure

Points = Mapping[str, Mapping[int, float]]

#: Name, colour, marker; distinct without colours too
STYLES = {
    "ours": ("Butler", "#047857", "o"),
    "redbeat": ("RedBeat", "#c2410c", "s"),
    "stock": ("django-celery-beat", "#6d28d9", "^"),
}
_GREY = "#6b7280"
_STYLE = {
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _GREY,
    "axes.grid": True,
    "grid.color": "#e5e7eb",
    "xtick.color": "#374151",
    "ytick.color": "#374151",
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
}


def collect_points(figures: Iterable[Figure]) -> dict[str, dict[int, float]]:
    """Return the seconds of each burst by contender and size."""
    points: dict[str, dict[int, float]] = {name: {} for name in STYLES}
    for figure in figures:
        for name in STYLES:
            if figure.number is not None and (seconds := getattr(figure, name)) is not None:
                points[name][figure.number] = seconds
    return points


def draw_plots(figures: Iterable[Figure], folder: Path) -> None:
    """Write lateness.png and rate.png."""
    points = collect_points(figures)
    rates = {name: {n: n / seconds for n, seconds in of_one.items()} for name, of_one in points.items()}
    _draw(
        points,
        folder / "lateness.png",
        title="From the due second to the last message on Redis",
        format_value=_format_seconds,
    )
    _draw(rates, folder / "rate.png", title="Runs sent a second", format_value=_format_number)


def _draw(points: Points, path: Path, *, title: str, format_value: Callable[[float, Any], str]) -> None:
    mpl.use("agg")
    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
        axes.set(xscale="log", yscale="log", xlabel="schedules due at one second")
        for name, of_one in points.items():
            if of_one:
                _draw_line(axes, name, of_one, format_value)
        for axis, form in ((axes.xaxis, _format_number), (axes.yaxis, format_value)):
            axis.set_major_formatter(form)
            axis.set_minor_formatter("")
        axes.margins(x=0.05, y=0.12)
        # Room for the names at the ends of the lines
        axes.set_xlim(right=axes.get_xlim()[1] * 3)
        axes.set_title(title, loc="left", fontsize=13, fontweight="bold", pad=12)
        figure.savefig(path, dpi=130, metadata={"Software": None})
        plt.close(figure)


def _draw_line(axes: Any, name: str, points: Mapping[int, float], format_value: Callable[[float, Any], str]) -> None:
    label, colour, marker = STYLES[name]
    numbers = sorted(points)
    axes.plot(numbers, [points[n] for n in numbers], color=colour, marker=marker, linewidth=2, markersize=6)
    last = numbers[-1]
    axes.annotate(
        f"{label}, {format_value(points[last], None)}",
        (last, points[last]),
        xytext=(9, 0),
        textcoords="offset points",
        va="center",
        color=colour,
        fontweight="bold",
    )


def _format_seconds(value: float, _: object) -> str:
    return f"{value:,.0f} s" if value >= 1 else f"{value * 1000:,.0f} ms"


def _format_number(value: float, _: object) -> str:
    return f"{value:,.0f}"
