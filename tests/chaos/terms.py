"""What a scenario is told: how long it may take, on which database, and the seed of its moments."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from tests.chaos.workshop import Workshop


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The terms of one run; `count` replaces the number of rounds where it is given."""

    workshop: Workshop
    seed: int
    database: str = "sqlite"
    is_short: bool = False
    count: int | None = None

    def rounds(self, *, short: int, full: int) -> int:
        """Return how often a fault strikes; on PostgreSQL, which comes second, a third of it."""
        if self.is_short:
            return short
        return self.count or (full if self.database == "sqlite" else -(-full // 3))

    @property
    def patience(self) -> int:
        """By what to multiply the limits of gaps: the short tests may share the machine with much else."""
        return 2 if self.is_short else 1

    def make_random(self, name: str) -> Random:
        """Return a source of chance for a scenario: the same for the same seed."""
        return Random(f"{self.seed} {name} {self.database}")
