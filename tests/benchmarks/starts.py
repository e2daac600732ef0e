"""The whole service: many schedules due at one second, until QRS has accepted the last start.

Beat, two workers and the simulator, as many as `make run` starts by default. QRS answers after 20 ms.
"""

from __future__ import annotations

import json
import math
import sys
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import requests

from tests.benchmarks.burst import LOADED_A_SECOND, START_SECONDS, pick_dues, wait_for_due, with_patience
from tests.benchmarks.contenders import Service
from tests.benchmarks.figures import Figure, percentile
from tests.benchmarks.scale import Scale
from tests.benchmarks.stage import Stage, compose_command, free_port

ANSWER_SECONDS = 0.020
#: Of each number, the bars of the half and of the last, in seconds
BARS = {500: (0.6, 1.2), 2000: (2.0, 4.0)}
#: The workers need longer to start than beat
WORKER_SECONDS = 6.0
#: After this long without a start, no more are expected; and how long the worker may take to record the last one
SILENT_SECONDS = 15.0
RECORDED_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Starts:
    """What QRS was asked: for each due second, how many seconds later it accepted each start of it.

    `doubled` counts starts that no run of the ledger knows of.
    """

    accepted: Mapping[float, Sequence[float]]
    doubled: int


def measure(stage: Stage, scale: Scale) -> Iterator[Figure]:
    """Yield when half and all of the starts were accepted, and whether each was made once."""
    for number in scale.called:
        starts = measure_starts(stage, number, rounds=scale.called_rounds)
        for percent, bar in zip((50, 100), BARS.get(number, (None, None)), strict=True):
            late = [percentile(of_round, percent) for of_round in starts.accepted.values()]
            yield Figure(
                f"{number:,} starts in QRS: " + ("last" if percent == 100 else f"p{percent}"),
                unit="s",
                ours=percentile(late, 50),
                bar=bar,
                sentence=f"Of {number:,} due at one second, QRS has accepted {'half' if percent == 50 else 'the last'} "
                f"{{value}} after it{_tell_rounds(late)}.",
            )
        wanted = number * scale.called_rounds
        yield Figure(
            f"{number:,} starts lost, doubled",
            unit="",
            ours=wanted - sum(map(len, starts.accepted.values())) + starts.doubled,
            bar=0,
            sentence=f"Of {wanted:,} starts, {{value}} were lost or made twice.",
        )


def _tell_rounds(late: Sequence[float]) -> str:
    return f" in the middle one of {len(late)} rounds, and {max(late):.2f} s in the slowest" if len(late) > 1 else ""


def measure_starts(stage: Stage, number: int, *, rounds: int) -> Starts:
    """Return what came of rounds of so many starts each."""
    return with_patience(lambda patience: _measure_starts(stage, number, rounds=rounds, patience=patience))


def _measure_starts(stage: Stage, number: int, *, rounds: int, patience: int) -> Starts:
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
        delay_answers(controls)
        loaded_at = time.time() + patience * (START_SECONDS + WORKER_SECONDS + number / LOADED_A_SECOND)
        dues = pick_dues(loaded_at, rounds=rounds, gap=math.ceil(5 + number / 400))
        service.make_due(*dues)
        worker = compose_command("worker")
        commands = {
            "worker": worker,
            "worker-2": [*worker, "--hostname", "second@%h"],
            "beat": compose_command("beat"),
        }
        programs = [running.enter_context(service.start(name, command)) for name, command in commands.items()]
        wait_for_due(dues[0], programs)
        # The journal is left alone while there is work
        time.sleep(max(dues[-1] + 3 + number / 400 - time.time(), 0))
        journal = wait_for_journal(controls, number * rounds)
    return read_starts(journal, service.database.read_sessions())


def delay_answers(controls: int) -> None:
    """Make QRS answer each call late, for as long as it runs."""
    fault = {"kind": "delay", "delay_ms": round(ANSWER_SECONDS * 1000)}
    requests.post(f"http://127.0.0.1:{controls}/faults", json=fault, timeout=10).raise_for_status()


def wait_for_journal(controls: int, number: int) -> list[dict[str, Any]]:
    """Return the journal when it has so many entries, or gets no more of them, and their outcomes are recorded."""
    entries: list[dict[str, Any]] = []
    since, grown_at = 0, time.monotonic()
    while len(entries) < number and time.monotonic() - grown_at < SILENT_SECONDS:
        answer = requests.get(f"http://127.0.0.1:{controls}/journal?since={since}", timeout=30).json()
        if answer["entries"]:
            grown_at = time.monotonic()
        entries += answer["entries"]
        since = answer["next"]
        time.sleep(1)
    time.sleep(RECORDED_SECONDS)
    return entries


def read_starts(journal: Iterable[Mapping[str, Any]], due_by_session: Mapping[str, float]) -> Starts:
    """Return what a journal tells; `due_by_session` has the runs of the ledger by their sessions."""
    accepted: dict[float, list[float]] = {}
    doubled = 0
    for entry in journal:
        if entry["outcome"] == "started":
            due = due_by_session.get(entry["session_id"].replace("-", ""))
            if due is None:
                doubled += 1
            else:
                accepted.setdefault(due, []).append(entry["at_ns"] / 1e9 + ANSWER_SECONDS - due)
    return Starts(accepted, doubled)


def _task(number: int) -> dict[str, object]:
    task_id = str(uuid.UUID(int=number))
    return {"id": task_id, "name": f"Reload {number}", "app": f"App {number}", "reload_seconds": 1}
