"""Edits of thousands of schedules at once: how long they take, and how late they make the starts of others.

The edit itself, in a process of its own, for the database that BUTLER_DATA_DIR names, with its seconds as the output:
    python -m tests.benchmarks.mass stop
"""

from __future__ import annotations

import json
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.contenders import Service
from tests.benchmarks.figures import Figure
from tests.benchmarks.fill import ZONES
from tests.benchmarks.reader import QueueReader
from tests.benchmarks.scale import Scale
from tests.benchmarks.stage import Stage

IMPORT_BARS = {5000: 10.0}
STOP_BARS = {10_000: 1.0}
#: The longest time for which the others may be silent, in seconds
SILENCE_BARS = {50: 1.5}
#: Schedules that are there before an import, those included that are due each second
THERE = 1000
#: Time for what is before an edit and after it
SETTLE_SECONDS = 3


@dataclass(frozen=True, slots=True)
class Edited:
    """The seconds that an edit has taken, and by how many others were late at most while it was made."""

    seconds: float
    silence: float


def measure(stage: Stage, scale: Scale) -> Iterator[Figure]:
    """Yield imports of new and of changed schedules, and stops and starts of many, beside others."""
    for number, a_second in scale.imports:
        for kind, edited in measure_imports(stage, number, a_second=a_second).items():
            what = f"An import of {number:,} {kind} schedules"
            yield from _figures(f"import {number:,} {kind}", what, edited, a_second, IMPORT_BARS.get(number))
    for number, a_second in scale.stops:
        for kind, edited in measure_switches(stage, number, a_second=a_second).items():
            bar = STOP_BARS.get(number)
            yield from _figures(f"{kind} {number:,}", f"To {kind} {number:,} schedules", edited, a_second, bar)


def _figures(name: str, what: str, edited: Edited, a_second: int, bar: float | None) -> Iterator[Figure]:
    yield Figure(
        f"{name}, {a_second}/s due",
        unit="s",
        ours=edited.seconds,
        bar=bar,
        sentence=f"{what} takes {{value}} while {a_second} others are due each second.",
    )
    yield Figure(
        f"{name}: others late",
        unit="s",
        ours=edited.silence,
        bar=SILENCE_BARS.get(a_second),
        sentence=f"Meanwhile the messages of the {a_second} others are {{value}} late at most.",
    )


def measure_imports(stage: Stage, number: int, *, a_second: int) -> dict[str, Edited]:
    """Return what an import of new schedules costs, the whole command, and one that changes all of them."""
    service = Service(stage, THERE)
    file = service.folder / "file.yaml"

    def import_file(hour: int) -> float:
        write_file(file, number, hour=hour)
        began = time.monotonic()
        command = [sys.executable, "manage.py", "schedules", "import", str(file), "--replace", "--months", "1-12"]
        _run(service, command, name=f"import-{hour}")
        return time.monotonic() - began

    return _measure(stage, service, {"new": lambda: import_file(1), "changed": lambda: import_file(2)}, a_second)


def measure_switches(stage: Stage, number: int, *, a_second: int) -> dict[str, Edited]:
    """Return what a stop and a start of so many schedules cost, the others being left alone."""
    service = Service(stage, number + a_second)

    def switch(kind: str) -> float:
        output = _run(service, [sys.executable, "-m", "tests.benchmarks.mass", kind, str(a_second)], name=kind)
        return float(json.loads(output.splitlines()[-1]))

    return _measure(stage, service, {kind: lambda kind=kind: switch(kind) for kind in ("stop", "start")}, a_second)


def _measure(stage: Stage, service: Service, edits: dict[str, Callable[[], float]], a_second: int) -> dict[str, Edited]:
    service.make_due_every_second(first=a_second)
    spans = {}
    with QueueReader(stage.redis_url) as reader, service.start_beat() as beat:
        reader.wait_for(1, count=service.count_runs, seconds=120)
        time.sleep(SETTLE_SECONDS)
        for name, edit in edits.items():
            began = time.time()
            seconds = edit()
            time.sleep(SETTLE_SECONDS)
            spans[name] = began, time.time(), seconds
        beat.check()
    lateness = list(service.read_lateness(reader.arrivals))
    return {
        name: Edited(seconds, max(late for due, late in lateness if began <= due < ended))
        for name, (began, ended, seconds) in spans.items()
    }


def write_file(file: Path, number: int, *, hour: int) -> None:
    """Write a file of so many schedules, each with times of its own, none due before the next day."""
    day = time.gmtime(time.time() - 86_400)
    lines = ["butlerSchedule:"]
    for i in range(number):
        lines += [
            f"  - name: Schedule {i}",
            f"    cronSchedule: '{i % 60} {(hour + i // 60) % 24} {day.tm_mday} {day.tm_mon} *'",
            f"    timezone: {ZONES[i % len(ZONES)]}",
            f"    qlikSenseTaskId: {uuid.UUID(int=i)}",
            "    startupState: started",
            f"    tags: [tag {i % 7}, tag {i % 11}]",
            f"    id: mass-{i}",
        ]
    file.write_text("\n".join([*lines, ""]))


def _run(service: Service, command: list[str], *, name: str) -> str:
    """Run a program of the service to its end and return what it said."""
    process = service.start(name, command)
    try:
        process.wait(seconds=300)
    finally:
        process.stop()
    return process.log.read_text()


def main(kind: str, left_alone: int) -> None:
    """Stop or start all schedules but the first ones, and print the seconds that it took."""
    import django

    django.setup()
    from schedules import services
    from schedules.changes import Origin
    from schedules.models import Schedule, ScheduleChange

    names = list(Schedule.objects.order_by("pk").values_list("name", flat=True))[left_alone:]
    edit = services.stop_schedules if kind == "stop" else services.start_schedules
    began = time.monotonic()
    edit(names, origin=Origin(ScheduleChange.Source.COMMAND, "bench"))
    print(json.dumps(time.monotonic() - began))


if __name__ == "__main__":
    import os

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "butler.settings")
    main(sys.argv[1], int(sys.argv[2]))
