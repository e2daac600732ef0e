"""A whole site of real processes: Redis, a database, the simulator of QRS, beats, workers, a web server."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Self
from uuid import UUID

import requests

from tests.chaos.journal import Start, read_starts
from tests.chaos.ledger import WAITING, Row, count_open, leader_pid, newest_due, read_ledger
from tests.chaos.programs import CELERY, ROOT, Program, environment
from tests.chaos.workshop import Workshop
from tests.redis_server import RedisServer, free_port
from tests.waiting import wait_for

#: Due on a day that no run of this program sees
REST = "0 0 29 2 *"
EVERY_SECOND = "* * * * * *"
CLOCK_FOLDER = Path(__file__).parent / "clock"


@dataclass(frozen=True, slots=True)
class Job:
    """A schedule that the harness has made; each has a Qlik task of its own."""

    pk: int
    name: str
    task_id: str
    cron: str
    misfire: str
    grace: float


class Clerk:
    """The harness's end of a clerk process."""

    def __init__(self, settings: Mapping[str, str], log: Path) -> None:
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.clerk"],
                cwd=ROOT,
                env=environment(**settings),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                process_group=0,
            )
        self._is_ready = False

    def ask(self, name: str, *arguments: Any) -> Any:
        """Call one of the clerk's functions and return its answer; raises RuntimeError with its error."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if not self._is_ready:
            self._is_ready = self._process.stdout.readline() == "clerk ready\n"
        self._process.stdin.write(json.dumps([name, *arguments]) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline() or '{"error": "the clerk has died"}')
        if "error" in answer:
            raise RuntimeError(f"{name}: {answer['error']}")
        return answer["answer"]

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()


class Site:
    """One site. As a context manager it has Redis, simulator and clerk, and leaves nothing running in the end."""

    def __init__(
        self,
        workshop: Workshop,
        *,
        database: str = "sqlite",
        random: Random,
        qrs_timeout: str = "1,2",
        has_clock: bool = False,
        simulator: Sequence[str] = (),
        **settings: str,
    ) -> None:
        self.folder = workshop.make_folder()
        self.database = workshop.make_database(database, folder=self.folder)
        self.random = random
        self.redis = RedisServer(self.folder)
        self.jobs: list[Job] = []
        #: What the harness waited for in vain
        self.complaints: list[str] = []
        self.programs: list[Program] = []
        self.clock_file = self.folder / "clock.txt"
        self._workshop = workshop
        self._simulator_options = simulator
        self.journal_file = self.folder / "journal.jsonl"
        self.reload_file = self.folder / "reloads.jsonl"
        self._ports = free_port(), free_port()
        self._stack = ExitStack()
        self._settings = {
            "BUTLER_DATA_DIR": str(self.folder),
            "DATABASE_URL": self.database.url,
            "REDIS_URL": self.redis.url,
            "QRS_URL": f"https://127.0.0.1:{self._ports[0]}",
            "QRS_CERT_DIR": str(workshop.certificates),
            "QRS_TIMEOUT": qrs_timeout,
            "SECRET_KEY": "chaos",
            **settings,
        }
        self._clock = {"PYTHONPATH": str(CLOCK_FOLDER), "CHAOS_CLOCK": str(self.clock_file)} if has_clock else {}

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.callback(self._workshop.drop_database, self.database)
            stack.callback(self.redis.stop)
            self.redis.start()
            self.simulator = self._start_simulator()
            stack.callback(self._end_programs)
            self.clerk = Clerk(self._settings | self._clock, self.folder / "clerk.log")
            stack.callback(lambda: self.clerk.close())
            self.simulator.wait_until_says("QRS simulator ready")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def restart_clerk(self) -> None:
        """Start another clerk: the database of the one before is gone."""
        self.clerk.close()
        self.clerk = Clerk(self._settings | self._clock, self.folder / "clerk.log")

    # Schedules

    def create(self, crons: Sequence[str], *, misfire: str = "once", grace: float = 3600, **values: Any) -> list[Job]:
        """Create a started schedule for each of the cron texts, with a task that the simulator knows."""
        rows = [
            {
                "name": self._new_id(),
                "title": f"Chaos {len(self.jobs) + number}",
                "qlik_task_id": self._new_id(),
                "cron_schedule": cron,
                "misfire": misfire,
                "misfire_grace": grace,
                "enabled": True,
                **values,
            }
            for number, cron in enumerate(crons)
        ]
        tasks = [{"id": row["qlik_task_id"], "name": row["title"], "app": "Chaos"} for row in rows]
        self.control("/tasks", [task | {"reload_seconds": 1} for task in tasks])
        made = [
            Job(pk, row["name"], row["qlik_task_id"].replace("-", ""), row["cron_schedule"], misfire, grace)
            for pk, row in zip(self.clerk.ask("create", rows), rows, strict=True)
        ]
        self.jobs += made
        return made

    def rest(self) -> None:
        """Let no schedule be due any more; what is planned goes on."""
        self.clerk.ask("edit", [job.name for job in self.jobs], {"cron_schedule": REST})

    # Processes

    def start_beat(self, *, has_clock: bool = True) -> Program:
        """Start one more beat."""
        return self._start("beat", *CELERY, "beat", "--pidfile=", settings=self._clock if has_clock else {})

    def start_worker(self, *, has_clock: bool = True) -> Program:
        """Start one more worker."""
        name = f"worker{len(self.programs)}@chaos"
        options = ("worker", "--without-mingle", "--without-gossip", "--hostname", name)
        return self._start("worker", *CELERY, *options, settings=self._clock if has_clock else {})

    def start_web(self) -> str:
        """Start the web server and return its address."""
        port = free_port()
        web = self._start("web", "-m", "gunicorn", "butler.wsgi", settings={"BUTLER_PORT": str(port)})
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: _answers(f"{url}/v4/schedules?id=none"), seconds=30, what=web.output, pause=0.1)
        return url

    def start_command(self, *arguments: str) -> Program:
        """Start `manage.py schedules` with these arguments, and do not wait for its end."""
        return self._start("command", "manage.py", "schedules", *arguments)

    def leader(self) -> Program | None:
        """Return the beat that holds the lease."""
        pid = leader_pid(self.database)
        return next((program for program in self.programs if program.is_running and program.pid == pid), None)

    def wait_for_leader(self, *, seconds: float = 30) -> Program:
        """Wait until a beat leads, and return it."""
        return wait_for(self.leader, seconds=seconds, what="a beat that leads", pause=0.05)

    # What happened

    def rows(self) -> list[Row]:
        """Return the ledger."""
        return read_ledger(self.database)

    def starts(self) -> list[Start]:
        """Return the starts that the simulator has accepted."""
        return read_starts(self.journal_file)

    def count_open(self, **values: Any) -> int:
        """Return how many runs have no final state yet."""
        return count_open(self.database, **values)

    def newest_due(self) -> float:
        """Return the latest due instant in the ledger."""
        return newest_due(self.database)

    def is_on_time(self) -> bool:
        """Return whether the last second is planned and nothing due before it is waiting; a claimed run may hang."""
        limit = int(time.time()) - 1
        return self.newest_due() >= limit and not self.count_open(due_until=limit, states=WAITING)

    def wait_until_on_time(self, *, seconds: float = 30) -> None:
        """Wait until a beat leads and nothing is late, not even of the second after this call.

        Of use while something is due each second. After so many seconds it is noted as a complaint.
        """
        began = time.time()
        try:
            wait_for(
                lambda: time.time() > int(began) + 2 and self.leader() and self.is_on_time(),
                seconds=seconds,
                pause=0.05,
            )
        except AssertionError:
            late = time.time() - self.newest_due()
            self.complaints.append(
                f"not on time within {seconds} s; newest row {late:.0f} s old, {self.count_open()} open"
            )

    def control(self, path: str, sent: object = None, *, method: str = "POST") -> Any:
        """Return what the simulator's control port answers."""
        url = f"http://127.0.0.1:{self._ports[1]}{path}"
        answer = requests.request(method, url, json=sent, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def settle(self, *, seconds: float = 20) -> float:
        """Choose an end for what is compared, let the schedules rest, wait for final states; return that end.

        What has no final state after so many seconds is left as it is: the tally says so.
        """
        end = time.time()
        with suppress(AssertionError):
            wait_for(lambda: self.newest_due() >= int(end), seconds=seconds, pause=0.1)
        self.rest()
        self.wait_until_closed(seconds=seconds)
        return end

    def wait_until_closed(self, *, seconds: float) -> None:
        """Wait until every run has its final state, no longer than so many seconds."""
        with suppress(AssertionError):
            wait_for(lambda: not self.count_open(), seconds=seconds, pause=0.1)

    def _new_id(self) -> str:
        return str(UUID(int=self.random.getrandbits(128), version=4))

    def _start_simulator(self) -> Program:
        port, control_port = self._ports
        ports = ("--port", str(port), "--control-port", str(control_port), "--speed", "100")
        folder = ("--certificates", str(self._workshop.certificates))
        files = ("--journal", str(self.journal_file), "--runs", str(self.reload_file))
        return self._start("simulator", "-m", "qlik.simulator", *ports, *folder, *files, *self._simulator_options)

    def _start(self, name: str, *arguments: str, settings: Mapping[str, str] | None = None) -> Program:
        log = self.folder / f"{name}-{len(self.programs)}.log"
        program = Program(name, *arguments, settings=self._settings | (settings or {}), log=log)
        program.start()
        self.programs.append(program)
        return program

    def _end_programs(self) -> None:
        for program in self.programs:
            program.kill()


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).status_code < 500
    except requests.RequestException:
        return False
