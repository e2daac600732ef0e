"""`manage.py up` as a person has it: a process of its own, its lines, its URL, and a second terminal."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar
from uuid import uuid4

import requests

from tests.conftest import free_port
from tests.waiting import wait_for

ROOT = Path(__file__).parents[2]
READY_SECONDS = 30.0
STOP_SECONDS = 5.0

#: The service's settings; what a test does not set is empty, whatever the developer's .env says
SETTINGS = tuple(re.findall(r"^#?([A-Z_]+)=", (ROOT / ".env.example").read_text(), flags=re.MULTILINE))
#: What the children learn from `up`, and commands from its run file
SERVERS = ("REDIS_URL", "QRS_URL", "QRS_CERT_DIR")
INHERITED = ("PATH", "HOME", "LANG", "TMPDIR")
#: A variable by which to know the processes of one copy, whoever started them
MARK = "TEST_COPY_OF_BUTLER"

#: How the command lines of the programs look
PROGRAMS = {
    "supervisor": r"manage\.py up",
    "web": r"-m gunicorn",
    "beat": r"-m celery .* beat",
    "worker": r"-m celery .* worker .*butler@",
    "worker-2": r"-m celery .* worker .*butler-2@",
    "simulator": r"-m qlik\.simulator",
    "redis": r"(valkey|redis)-server",
}

T = TypeVar("T")


class Service:
    """One running copy of the service. As a context manager it is started, ready, and gone in the end."""

    def __init__(self, data_folder: Path, **settings: str) -> None:
        self.data_folder = data_folder
        self.port = int(settings.get("BUTLER_PORT", 0)) or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.lines: list[str] = []
        self._mark = uuid4().hex
        # One worker is enough but where a test says otherwise: several copies share the machine
        ours = {"BUTLER_DATA_DIR": str(data_folder), "BUTLER_PORT": str(self.port), "BUTLER_WORKERS": "1"}
        self._settings = ours | settings
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        self.wait_until_ready()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self, *, ignored: Sequence[signal.Signals] = ()) -> None:
        """Type `manage.py up`, in a shell that has some signals ignored."""
        self.lines.clear()
        self._process = subprocess.Popen(
            [sys.executable, "manage.py", "up"],
            cwd=ROOT,
            env=self._environment(dict.fromkeys(SETTINGS, "")),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # As a terminal does it: what is typed there reaches the whole group
            process_group=0,
            preexec_fn=partial(_ignore, ignored) if ignored else None,
        )
        self._reader = threading.Thread(target=self._read, args=[self._process], daemon=True)
        self._reader.start()

    def wait_until_ready(self, *, seconds: float = READY_SECONDS) -> float:
        """Wait for the text that says so; return the seconds waited."""
        began = time.monotonic()
        self.wait_for(lambda: self.has_said("Butler is ready") or self._has_ended(), seconds=seconds)
        assert self.has_said("Butler is ready"), self.output
        return time.monotonic() - began

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """Send a signal as a person would; return the exit code and the seconds until the end."""
        began = time.monotonic()
        self.process.send_signal(number)
        code = self.wait_for_end(seconds=STOP_SECONDS + 1)
        return code, time.monotonic() - began

    def fail(self) -> int:
        """Start where that must fail; return the exit code, when nothing is left running."""
        self.start()
        code = self.wait_for_end(seconds=READY_SECONDS)
        self.kill()
        return code

    def wait_for_end(self, *, seconds: float) -> int:
        """Wait until the supervisor has ended and return its exit code; all that it said is in `lines` then."""
        code = self.process.wait(timeout=seconds)
        assert self._reader is not None
        self._reader.join(timeout=seconds)
        return code

    def kill(self) -> None:
        """Leave nothing running, however the test ended."""
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self._process is not None:
            self.wait_for_end(seconds=10)

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The supervisor."""
        assert self._process is not None
        return self._process

    @property
    def output(self) -> str:
        """All that it has said so far."""
        return "\n".join(self.lines)

    def has_said(self, words: str) -> bool:
        """Return whether a line has these words."""
        return any(words in line for line in self.lines)

    def wait_for(self, condition: Callable[[], T], *, seconds: float) -> T:
        """Return the first true value of `condition`; show what the service said when none came."""
        try:
            return wait_for(condition, seconds=seconds)
        except AssertionError as error:
            error.add_note(f"{self.output}\n{self.processes()}")
            raise

    def processes(self) -> dict[int, str]:
        """Return the number and the name of every process that belongs to this copy of the service."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if self._owns(folder):
                    command = (folder / "cmdline").read_text().replace("\0", " ")
                    found[int(folder.name)] = _name_program(command)
        return found

    def pid_of(self, name: str) -> int | None:
        """Return the number of the process that leads the program `name`; None when there is none."""
        return next((pid for pid, found in self.processes().items() if found == name and os.getpgid(pid) == pid), None)

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Type `python manage.py ...` in a second terminal."""
        environment = self._environment(dict.fromkeys(set(SETTINGS) - set(SERVERS), ""))
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def call(self, method: str, path: str, body: str | None = None) -> requests.Response:
        """Call the web server as curl does."""
        data = None if body is None else body.encode()
        headers = {"Content-Type": "application/json"}
        return requests.request(method, self.url + path, data=data, headers=headers, timeout=10)

    def answers(self) -> bool:
        """Return whether the web server answers."""
        try:
            return self.call("GET", "/v4/schedules").ok
        except requests.RequestException:
            return False

    def simulator(self, path: str, sent: object = None) -> Any:
        """Return what the simulator's control port answers to GET `path`, or to a POST of what is sent."""
        url = f"http://127.0.0.1:{self.server_port('controls')}{path}"
        answer = requests.get(url, timeout=10) if sent is None else requests.post(url, json=sent, timeout=10)
        answer.raise_for_status()
        return answer.json()

    def server_port(self, name: str) -> int:
        """Return the port of a server that the service started: redis, qrs or controls."""
        port: int = json.loads((self.data_folder / "ports.json").read_text())[name]
        return port

    def _environment(self, blank: Mapping[str, str]) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if name in INHERITED}
        return {**inherited, **blank, **self._settings, MARK: self._mark}

    def _owns(self, folder: Path) -> bool:
        if self._is_marked(folder):
            return True
        # Redis writes its title over its environment; it is known by where it runs, and for whom
        if (folder / "cwd").readlink() != self.data_folder / "redis":
            return False
        parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        return parent == 1 or self._is_marked(folder.with_name(str(parent)))

    def _is_marked(self, folder: Path) -> bool:
        return f"{MARK}={self._mark}".encode() in (folder / "environ").read_bytes().split(b"\0")

    def _has_ended(self) -> bool:
        return self.process.poll() is not None

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout as pipe:
            for line in pipe:
                self.lines.append(line.decode().rstrip("\n"))


def _ignore(numbers: Sequence[signal.Signals]) -> None:
    for number in numbers:
        signal.signal(number, signal.SIG_IGN)


def _name_program(command: str) -> str:
    return next((name for name, pattern in PROGRAMS.items() if re.search(pattern, command)), command)
