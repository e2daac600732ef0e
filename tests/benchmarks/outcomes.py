"""The outcomes of 10,000 runs into the ledger: time of the database, and statements.

In a process of its own, for the database that DATABASE_URL or BUTLER_DATA_DIR names:
    python -m tests.benchmarks.outcomes 10000 25
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tests.benchmarks.figures import Figure
from tests.benchmarks.process import ROOT
from tests.benchmarks.scale import Scale
from tests.benchmarks.stage import Stage

if TYPE_CHECKING:
    from schedules.runs import Outcome

#: As many as a worker has in hand of one message
AT_ONCE = 25
#: Hours before, each of which has left as many runs in the ledger
HISTORY = 5
BAR_SECONDS = 1.0
NO_POSTGRES = 3


def measure(stage: Stage, scale: Scale) -> Iterator[Figure]:
    """Yield the time and the statements, on SQLite and on PostgreSQL where there is one."""
    settings = {"BUTLER_DATA_DIR": str(stage.new_folder())}
    arguments = ["tests.benchmarks.outcomes", scale.outcomes, AT_ONCE]
    yield from _figures("SQLite", scale.outcomes, json.loads(stage.run_module(*arguments, settings=settings)))  # type: ignore[arg-type]
    command = [ROOT / "scripts/with-postgres", sys.executable, "-m", *map(str, arguments)]
    environment = stage.environment({"BUTLER_DATA_DIR": str(stage.new_folder())})
    answer = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if answer.returncode != NO_POSTGRES:
        answer.check_returncode()
        yield from _figures("PostgreSQL", scale.outcomes, json.loads(answer.stdout))


def _figures(database: str, number: int, found: Mapping[str, float]) -> Iterator[Figure]:
    yield Figure(
        f"{number:,} outcomes, {database}",
        unit="s",
        ours=found["seconds"],
        bar=BAR_SECONDS,
        sentence=f"Recording the outcomes of {number:,} runs, {AT_ONCE} at a time as of one message, takes {{value}} "
        f"on {database}; all in one call {found['seconds_at_once']:.2f} s.",
    )
    yield Figure(
        f"{number:,} outcomes: statements",
        unit="",
        ours=found["statements"],
        sentence=f"It takes {{value}} statements on {database}.",
    )


def main(number: int, at_once: int) -> None:
    """Print seconds and statements as JSON."""
    import os

    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "butler.settings")
    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    hour, *history = range(int(time.time()) // 3600 * 3600, 0, -3600)[: HISTORY + 2]
    for due in history[1:]:
        time_outcomes(make_claimed(number, due=due), number)
    seconds, statements = time_outcomes(make_claimed(number, due=history[0]), at_once)
    seconds_at_once, _ = time_outcomes(make_claimed(number, due=hour), number)
    print(json.dumps({"seconds": seconds, "seconds_at_once": seconds_at_once, "statements": statements}))


def make_claimed(number: int, *, due: int) -> list[Outcome]:
    """Insert so many claimed runs, due at an epoch second, and return what is to be recorded of them."""
    from schedules.models import Run, from_epoch
    from schedules.runs import Outcome

    now = datetime.now(UTC)
    runs = [
        Run(
            pk=uuid.UUID(Run.occurrence_key(schedule_pk=i + 1, due=due)),
            schedule_id=i + 1,
            schedule_name=f"bench-{i}",
            qlik_task_id=str(uuid.UUID(int=i)),
            due_at=from_epoch(due),
            planned_at=now,
            claimed_at=now,
            reason=Run.Reason.SCHEDULED,
            state=Run.State.CLAIMED,
            worker="bench",
        )
        for i in range(number)
    ]
    Run.objects.bulk_create(runs, batch_size=1000)
    answered = now + timedelta(milliseconds=20)
    return [
        Outcome(id=run.pk, state=Run.State.STARTED, called_at=now, answered_at=answered, session=uuid.uuid4())
        for run in runs
    ]


def time_outcomes(outcomes: Sequence[Outcome], at_once: int) -> tuple[float, int]:
    """Record them, so many in a call; return the seconds of all calls and their statements."""
    from django.db import connection

    from schedules import runs

    statements = 0

    def count(execute: Callable[..., Any], *arguments: Any) -> Any:
        nonlocal statements
        statements += 1
        return execute(*arguments)

    lost = 0
    with connection.execute_wrapper(count):
        began = time.perf_counter()
        for start in range(0, len(outcomes), at_once):
            lost += runs.record_outcomes(outcomes[start : start + at_once])
        seconds = time.perf_counter() - began
    if lost:
        raise RuntimeError(f"{lost} outcomes were not recorded")
    return seconds, statements


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
