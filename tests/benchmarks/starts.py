"""The whole service: many schedules due at one second, until QRS has accepted the last start.

Beat, one worker and the simulator as docker-compose.yml starts them, with default settings. QRS answers after 20 ms.
"""

from __future__ import annotations

import json
import math
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import requests

from tests.benchmarks.burst import LOADED_A_SECOND, START_SECONDS, pick_dues
from tests.benchmarks.contenders import Service
from tests.benchmarks.figures import Figure, percentile
from tests.benchmarks.scale import Scale
from tests.benchmarks.stage import Stage, compose_command, free_port

ANSWER_SECONDS = 0.020
#: Of each number, the bars of the half and of the last, in seconds
BARS = {500: (0.6, 1.2), 2000: (2.0, 4.0)}
#: The worker needs longer to start than beat
WORKER_SECONDS = 4.0


def measure(stage: Stage, scale: Scale) -> Iterator[Figure]:
    """Yield when half and all of the starts were accepted, and whether each was made once."""
    for number in scale.called:
        accepted = measure_starts(stage, number, rounds=scale.called_rounds)
        rounds = len(accepted)
        for percent, bar in zip((50, 100), BARS.get(number, (None, None)), strict=True):
            name = "last" if percent == 100 else f"p{percent}"
            late = [percentile(list(starts.values()), percent) for starts, _ in accepted]
            yield Figure(
                f"{number:,} starts in QRS: {name}",
                unit="s",
                ours=percentile(late, 50),
                bar=bar,
                sentence=f"Of {number:,} due at one second, QRS has accepted {'half' if percent == 50 else 'the last'} "
                f"{{value}} after it, in the middle one of {rounds} rounds; the slowest took {max(late):.2f} s.",
            )
        yield Figure(
            f"{number:,} starts lost, doubled",
            unit="",
            ours=sum(number - len(starts) + doubled for starts, doubled in accepted),
            bar=0,
            sentence=f"Of {number * rounds:,} starts, {{value}} were lost or made twice.",
        )


def measure_starts(stage: Stage, number: int, *, rounds: int) -> list[tuple[dict[str, float], int]]:
    """Return for each round the seconds from due to accepted by task id, and how many starts were made twice."""
    service = Service(stage, number)
    qrs, controls = free_port(), free_port()
    certificates = service.folder / "certificates"
    service.settings |= {"QRS_URL": f"https://localhost:{qrs}", "QRS_CERT_DIR": str(certificates)}
    tasks = service.folder / "tasks.json"
    tasks.write_text(json.dumps([_task(i) for i in range(2 * number + 2)]))
    options = [f"--port={qrs}", f"--control-port={controls}", f"--certificates={certificates}", f"--tasks={tasks}"]
    with ExitStack() as running:
        command = [sys.executable, "-m", "qlik.simulator", "--speed=100", *options]
        simulator = running.enter_context(service.start("simulator", command))
        simulator.wait_for_words("QRS simulator ready")
        site = Controls(controls)
        site.delay_answers()
        loaded_at = time.time() + START_SECONDS + WORKER_SECONDS + number / LOADED_A_SECOND
        dues = pick_dues(loaded_at, rounds=rounds, gap=math.ceil(5 + number / 400))
        service.make_due(*dues)
        programs = [service.start(name, compose_command(name)) for name in ("worker", "beat")]
        for program in programs:
            running.enter_context(program)
        programs[0].wait_for_words(" ready.")
        time.sleep(max(dues[0] - time.time(), 0))
        return [_read_round(site, due, number) for due in dues]


class Controls:
    """The controls of the simulator."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    def delay_answers(self) -> None:
        """Make QRS answer each call late, for as long as it runs."""
        fault = {"kind": "delay", "delay_ms": round(ANSWER_SECONDS * 1000)}
        requests.post(f"{self._url}/faults", json=fault, timeout=10).raise_for_status()

    def take_journal(self) -> list[dict[str, Any]]:
        """Return what was asked since the last time."""
        entries: list[dict[str, Any]] = requests.get(f"{self._url}/journal", timeout=30).json()["entries"]
        requests.delete(f"{self._url}/journal", timeout=10).raise_for_status()
        return entries


def _read_round(site: Controls, due: int, number: int) -> tuple[dict[str, float], int]:
    """Wait until a round is over, and return what came of it; the journal is left alone while there is work."""
    time.sleep(max(due + 3 + number / 400 - time.time(), 0))
    entries = site.take_journal()
    return read_starts(entries, due)


def read_starts(entries: Sequence[dict[str, Any]], due: int) -> tuple[dict[str, float], int]:
    """Return from a journal the seconds from `due` to the answer by task id, and how many starts were made twice."""
    started = [entry for entry in entries if entry["outcome"] == "started"]
    accepted = {entry["task_id"]: entry["at_ns"] / 1e9 + ANSWER_SECONDS - due for entry in reversed(started)}
    return accepted, sum(Counter(entry["task_id"] for entry in started).values()) - len(accepted)


def _task(number: int) -> dict[str, object]:
    task_id = str(uuid.UUID(int=number))
    return {"id": task_id, "name": f"Reload {number}", "app": f"App {number}", "reload_seconds": 1}
