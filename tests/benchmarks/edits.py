"""Edits through the API: how soon beat has taken them, and what they do to the lateness of others."""

from __future__ import annotations

import bisect
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from random import Random

import requests

from tests.benchmarks.contenders import Service, Stock
from tests.benchmarks.figures import Figure, percentile
from tests.benchmarks.idle import DAY
from tests.benchmarks.process import Process
from tests.benchmarks.reader import QueueReader
from tests.benchmarks.scale import Scale
from tests.benchmarks.stage import Stage, free_port
from tests.benchmarks.steady import A_SECOND
from tests.waiting import wait_for

#: An edit comes this long before a due second, up to so long after it
EARLIEST, LATEST = -0.3, 0.05
SETTLE_SECONDS = 4


@dataclass(frozen=True, slots=True)
class Edit:
    """When an edit was sent and answered, in nanoseconds since 1970, and the number of its change."""

    sent_ns: int
    answered_ns: int
    change: int


class Editor:
    """Starts and stops schedules that are not due, through the service's web server."""

    def __init__(self, service: Service, *, first: int) -> None:
        self._service = service
        self._names = service.database.list_names(after=first)
        self._numbers = Random(1)
        self._port = free_port()
        self._stopped: str | None = None
        self._session = requests.Session()

    def start_web(self) -> Process:
        """Start the web server and wait until it answers."""
        service = self._service
        service.settings["BUTLER_PORT"] = str(self._port)
        # The command of docker-compose.yml has the address of a container
        web = service.start("web", [sys.executable, "-m", "gunicorn", "butler.wsgi"])
        wait_for(lambda: web.check() or self._answers(), seconds=30, what="the web server")
        return web

    def edit(self) -> Edit:
        """Stop a schedule, or start again the one stopped before."""
        action = "start" if self._stopped else "stop"
        name = self._stopped or self._numbers.choice(self._names)
        self._stopped = None if self._stopped else name
        sent = time.time_ns()
        answer = self._session.put(f"http://127.0.0.1:{self._port}/v4/schedules/{name}/{action}", timeout=30)
        answered = time.time_ns()
        answer.raise_for_status()
        return Edit(sent, answered, self._service.database.last_change())

    def _answers(self) -> bool:
        try:
            url = f"http://127.0.0.1:{self._port}/v4/schedules?id={self._names[0]}"
            return self._session.get(url, timeout=30).ok
        except requests.ConnectionError:
            return False


def measure(stage: Stage, scale: Scale) -> Iterator[Figure]:
    """Yield how soon edits are live, and by how much they delay others."""
    delays = measure_edits(stage, scale.loaded, edits=scale.edits)
    stock = measure_stock_edits(stage, scale.loaded, edits=scale.stock_edits) if scale.stock_edits else []
    for percent, bar in ((50, None), (99, 1.0)):
        yield Figure(
            f"{scale.loaded:,}: edit live p{percent}",
            unit="s",
            ours=percentile(delays, percent),
            stock=percentile(stock, percent) if stock else None,
            bar=bar,
            sentence=f"Of {scale.edits} edits with {scale.loaded:,} schedules loaded, {percent} in 100 were live in "
            "beat within {value} of sending the request.",
        )
    quiet, disturbed = measure_disturbance(stage, scale.loaded, seconds=scale.disturbed_seconds)
    for percent, bar in ((50, None), (99, 0.020)):
        yield Figure(
            f"delay by an edit, p{percent}",
            unit="s",
            ours=percentile(disturbed, percent) - percentile(quiet, percent),
            bar=bar,
            sentence=f"At {A_SECOND} a second and {scale.loaded:,} loaded, an edit about the due second moves "
            f"p{percent} of the lateness by {{value}}, from {percentile(quiet, percent) * 1000:.1f} ms.",
        )


def measure_edits(stage: Stage, number: int, *, edits: int) -> list[float]:
    """Return for each edit the seconds from sending the request until beat had read the change."""
    service = Service(stage, number)
    editor = Editor(service, first=1)
    numbers = Random(2)
    with editor.start_web(), service.start_beat(watched=True, changes=True) as beat:
        wait_for(beat.is_quiet, seconds=60, what="beat to load")
        wait_for(lambda: beat.watch()["looks"], seconds=60, what="beat to look at changes")
        time.sleep(SETTLE_SECONDS)
        made = []
        for _ in range(edits):
            made.append(editor.edit())
            time.sleep(numbers.uniform(0.02, 0.12))
        time.sleep(2)
        looks = beat.watch()["looks"]
    return [(find_look(looks, edit.change) - edit.sent_ns) / 1e9 for edit in made]


def measure_stock_edits(stage: Stage, number: int, *, edits: int) -> list[float]:
    """Return for each edit of a stock periodic task the seconds until beat had read all tasks again."""
    stock = Stock(stage, number)
    stock.make_due(int(time.time()) + DAY // 2)
    numbers = Random(4)
    with stock.start_beat(watched=True, changes=True) as beat:
        time.sleep(SETTLE_SECONDS + number / 1000)
        made = []
        for _ in range(edits):
            made.append(time.time_ns())
            stock.edit()
            time.sleep(numbers.uniform(1, 2) + number / 2500)
        looks = wait_for(lambda: _looks_after(beat, made[-1]), seconds=60, what="the last edit to be live")
    return [(next(ended for began, ended, _ in looks if began > sent) - sent) / 1e9 for sent in made]


def _looks_after(beat: Process, sent_ns: int) -> list[tuple[int, int, int]]:
    """Return all looks so far if one of them began after an edit was sent, else none."""
    looks: list[tuple[int, int, int]] = beat.watch()["looks"]
    return looks if looks and looks[-1][0] > sent_ns else []


def find_look(looks: Sequence[tuple[int, int, int]], change: int) -> int:
    """Return when the first look ended that saw this change; see watched_beat.py."""
    place = bisect.bisect_left(looks, change, key=lambda look: look[2])
    if place == len(looks):
        raise RuntimeError(f"beat has not taken change {change}")
    return looks[place][1]


def measure_disturbance(stage: Stage, number: int, *, seconds: int) -> tuple[list[float], list[float]]:
    """Return the lateness of messages at seconds without an edit, and at those with one.

    Every other second, by chance, has an edit shortly before or after its begin. So both kinds have the same
    machine, with whatever else it does.
    """
    service = Service(stage, number)
    service.make_due_every_second(first=A_SECOND)
    editor = Editor(service, first=A_SECOND)
    with ExitStack() as running:
        running.enter_context(editor.start_web())
        reader = running.enter_context(QueueReader(stage.redis_url))
        running.enter_context(service.start_beat())
        reader.wait_for(1, count=service.count_runs, seconds=60)
        time.sleep(SETTLE_SECONDS)
        edited = _edit_for(editor, seconds=seconds)
        time.sleep(2)
    lateness = list(service.read_lateness(reader.arrivals))
    quiet = [late for due, late in lateness if edited.get(int(due)) is False]
    return quiet, [late for due, late in lateness if edited.get(int(due))]


def _edit_for(editor: Editor, *, seconds: int) -> dict[int, bool]:
    """Edit about the begin of some seconds; return for each second whether it had an edit."""
    numbers = Random(3)
    first = int(time.time()) + 2
    edited = {}
    for second in range(first, first + seconds):
        edited[second] = numbers.random() < 0.5
        time.sleep(max(second + numbers.uniform(EARLIEST, LATEST) - time.time(), 0))
        if edited[second]:
            editor.edit()
    return edited
