"""One measured figure beside its bar and its peers, and the statistics that figures are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import ceil
from typing import Any

#: What there is beside the service; the keys of Figure.peers
PEERS = ("stock", "redbeat")

_PREFIXED = {"s": (1.0, 1e-3, "ms"), "MB": (1.0, 1 / 1024, "KB")}


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured of the service, and of its peers where they can do the same.

    `unit` is s, MB, %, /s, x or empty for a plain number. `bar` is the greatest value that is good enough, or the
    least where `at_least` is set; None where nothing was promised. `sentence` says what the value is, with a
    `{value}` in it, and `number` the size of a burst, for the plots.
    """

    measure: str
    unit: str
    ours: float | None
    sentence: str
    bar: float | None = None
    at_least: bool = False
    stock: float | None = None
    redbeat: float | None = None
    number: int | None = None

    @property
    def peers(self) -> dict[str, float]:
        """The peers that were measured, by name."""
        return {name: value for name in PEERS if (value := getattr(self, name)) is not None}

    @property
    def holds(self) -> bool | None:
        """Whether the bar is reached; None without a bar or a value."""
        if self.bar is None or self.ours is None:
            return None
        return self.ours >= self.bar if self.at_least else self.ours <= self.bar

    @property
    def ratio(self) -> float | None:
        """How many times better than the best peer; None without one, and where nothing was spent at all."""
        if not self.peers or not self.ours or self.unit == "x":
            return None
        if self.at_least or self.unit == "/s":
            return self.ours / max(self.peers.values())
        return min(self.peers.values()) / self.ours

    def as_json(self) -> dict[str, Any]:
        """Return what `from_json` understands."""
        return {name: value for name, value in asdict(self).items() if value is not None and value is not False}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Figure:
        """Return the figure that `as_json` wrote down."""
        return cls(**{"ours": None, **values})


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the value that `percent` of the values do not exceed (nearest rank); raises ValueError for none."""
    if not values:
        raise ValueError("there is no percentile of no values")
    in_order = sorted(values)
    return in_order[max(ceil(len(in_order) * percent / 100), 1) - 1]


def format_value(value: float | None, unit: str) -> str:
    """Return a value as people read it, with three digits that count: 94.1 ms, 1.05 s, 12,300 /s."""
    if value is None:
        return ""
    if unit in _PREFIXED:
        limit, factor, smaller = _PREFIXED[unit]
        if abs(value) < limit:
            value, unit = value / factor, smaller
    space = "" if unit == "x" else " "
    return f"{_round(value)}{space}{unit}".rstrip()


def _round(value: float) -> str:
    if value == 0 or abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
