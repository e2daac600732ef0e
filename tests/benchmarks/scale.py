"""How large the measures are: in full, or in minutes."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Scale:
    """Numbers of schedules, rounds and seconds of every measure; the defaults are the full ones."""

    #: Sizes of the bursts of each contender
    bursts: dict[str, tuple[int, ...]] = field(
        default_factory=lambda: {
            "ours": (500, 1000, 2000, 4000, 5000, 10_000, 30_000, 100_000),
            "stock": (500, 1000, 2000, 4000),
            "redbeat": (500, 1000, 2000, 5000),
        }
    )
    #: Bursts of one size of the service, up to 10,000; larger ones and those of peers are measured once
    burst_rounds: int = 5
    steady_seconds: int = 300
    idle_seconds: int = 60
    #: Schedules that are loaded while little or nothing is due
    loaded: int = 10_000
    edits: int = 400
    stock_edits: int = 8
    disturbed_seconds: int = 240
    #: Imports and stops of how many schedules, while how many others are due each second
    imports: tuple[tuple[int, int], ...] = ((5000, 50), (10_000, 50), (10_000, 200))
    stops: tuple[tuple[int, int], ...] = ((10_000, 50), (10_000, 200), (100_000, 50))
    #: Sizes of cold starts of the service; peers start with `loaded`
    starts: tuple[int, ...] = (10_000, 100_000)
    start_rounds: int = 3
    many: int = 100_000
    called: tuple[int, ...] = (500, 2000)
    called_rounds: int = 5
    outcomes: int = 10_000


FULL = Scale()
QUICK = Scale(
    bursts={"ours": (500, 1000, 5000, 10_000), "stock": (500, 1000), "redbeat": (500, 1000, 5000)},
    burst_rounds=3,
    steady_seconds=20,
    idle_seconds=10,
    edits=100,
    stock_edits=0,
    disturbed_seconds=20,
    imports=((5000, 50),),
    stops=((10_000, 50),),
    starts=(10_000,),
    start_rounds=1,
    many=20_000,
    called_rounds=1,
)
