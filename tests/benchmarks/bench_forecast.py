"""How long the forecast of a day takes. Run: python -m tests.benchmarks.bench_forecast

It fills a database of its own with 10,000 schedules: once with a mix as sites have it, in which many share their
times, once with times and jitter that are different for each, and once due every second, each with its own jitter.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from time import perf_counter, process_time
from typing import Any

SCHEDULES = 10_000
ROUNDS = 3
ZONES = ["UTC", "Europe/Stockholm", "Europe/London", "America/New_York", "Asia/Kolkata"]
#: A quiet day, and the one on which Europe's clocks are set
DAYS = [datetime(2026, 11, 25, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)]


def main() -> None:
    """Print a line for each mix and day."""
    with tempfile.TemporaryDirectory(prefix="butler-bench-") as folder:
        prepare(Path(folder))
        for name, make in (("a site's mix", mixed), ("all different", different), ("every second", every_second)):
            fill(list(make(Random(1))))
            for day in DAYS:
                print_times(name, day)


def prepare(folder: Path) -> None:
    """Make an empty database in the folder, and Django ready to use it."""
    os.environ |= {"BUTLER_DATA_DIR": str(folder), "DATABASE_URL": f"sqlite:///{folder}/bench.sqlite3"}
    os.environ["DJANGO_SETTINGS_MODULE"] = "butler.settings"
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)


def mixed(random: Random) -> Iterator[dict[str, Any]]:
    """Yield schedules of which half are due each 5 to 15 minutes on weekdays, the others some times a day or a week."""
    for _ in range(SCHEDULES // 2):
        step, first = random.choice([5, 10, 15]), random.randrange(5)
        hours = random.choice(["*", "6-18", "7-19", "8-17"])
        yield {"cron_schedule": f"{first}-59/{step} {hours} * * 1-5", "timezone": random.choice(ZONES)}
    for _ in range(SCHEDULES // 2):
        minute, hour = random.randrange(0, 60, 5), random.randrange(24)
        text = random.choice([f"{minute} {hour} * * *", f"{minute} * * * *", f"{minute} {hour} * * 1", "0 6 1 * *"])
        yield {"cron_schedule": text, "timezone": random.choice(ZONES)}


def different(random: Random) -> Iterator[dict[str, Any]]:
    """Yield schedules of which no two have the same times, each with some random minutes of each hour, and jitter."""
    for _ in range(SCHEDULES):
        minutes = ",".join(map(str, sorted(random.sample(range(60), random.randint(4, 12)))))
        values = {"cron_schedule": f"{random.randrange(60)} {minutes} * * * *", "timezone": random.choice(ZONES)}
        yield values | {"jitter": timedelta(minutes=10)}


def every_second(random: Random) -> Iterator[dict[str, Any]]:
    """Yield schedules that are due as often as can be, each put off by another time."""
    for _ in range(SCHEDULES):
        zone = random.choice(ZONES)
        yield {"cron_schedule": "* * 8-17 * * *", "timezone": zone, "jitter": timedelta(hours=12)}


def fill(rows: list[dict[str, Any]]) -> None:
    """Put these schedules, and no other, into the database."""
    from django.core.management import call_command

    from schedules import services
    from schedules.changes import Origin
    from schedules.models import Schedule, ScheduleChange

    origin = Origin(ScheduleChange.Source.COMMAND)
    call_command("flush", interactive=False, verbosity=0)
    task = "0fe447a9-ba1f-44a9-ac23-68c3a1d88d8b"
    schedules = [Schedule(name=f"s-{n}", title=f"Schedule {n}", qlik_task_id=task, **row) for n, row in enumerate(rows)]
    services.add_schedules(schedules, origin=origin)


def print_times(name: str, day: datetime) -> None:
    """Print the first and the shortest time of a forecast of a day; the first finds the caches empty.

    On a machine with other work the time of the processor says more.
    """
    from schedules.forecast import Per, forecast_load

    walls, cpus = [], []
    for _ in range(ROUNDS):
        wall, cpu = perf_counter(), process_time()
        forecast = forecast_load(from_at=day, until_at=day + timedelta(days=1), per=Per.MINUTE)
        walls.append(perf_counter() - wall)
        cpus.append(process_time() - cpu)
    peak = forecast.busiest_seconds[0].starts
    print(
        f"{name:14} {day:%Y-%m-%d}  {forecast.starts:>13,} starts, busiest second {peak:>6,}"
        f"  first {walls[0]:.2f} s, then {min(walls):.2f} s; of the processor {min(cpus):.2f} s",
        flush=True,
    )


if __name__ == "__main__":
    main()
