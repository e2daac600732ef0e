"""The supervisor with small programs that die, hang, fork and shout."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from butler.processes import child
from butler.processes.child import Program
from butler.processes.console import Console
from butler.processes.supervisor import Stage, Supervisor

LIMIT = 20.0


class Stand:
    """A supervisor, what it has written, and short ways to use it. One per event loop."""

    def __init__(self, folder: Path, *, held: Sequence[int]) -> None:
        self._folder = folder
        self._output = folder / "output"
        self._file = self._output.open("wb")
        self._console = Console(self._file.fileno())
        self.supervisor = Supervisor(self._console, held=held)

    def start(self, script: str, *, name: str = "child", quiet: tuple[str, ...] = ()) -> None:
        self.start_command("sh", "-c", script, name=name, quiet=quiet)

    def start_command(self, *command: str, name: str = "child", quiet: tuple[str, ...] = ()) -> None:
        self.supervisor.start(
            Program(name=name, command=command, folder=self._folder, environment=os.environ, quiet=quiet)
        )

    async def stop(self, *names: str, seconds: float = LIMIT) -> None:
        await self.supervisor.stop([Stage(names=[name], seconds=seconds) for name in names or ["child"]])

    @property
    def output(self) -> str:
        return self._output.read_text()

    def close(self) -> None:
        self._console.close()
        self._file.close()

    async def until(self, condition: Callable[[], object]) -> None:
        while not condition():
            await asyncio.sleep(0.01)

    async def until_said(self, words: str, *, times: int = 1) -> None:
        await self.until(lambda: self.output.count(words) >= times)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return a function that runs a scenario with a stand of its own and returns what was written."""
    monkeypatch.setattr(child, "FIRST_PAUSE_SECONDS", 0.05)

    def run(scenario: Callable[[Stand], Awaitable[None]], *, held: Sequence[int] = ()) -> str:
        async def run_within_limit() -> str:
            stand = Stand(tmp_path, held=held)
            try:
                await asyncio.wait_for(scenario(stand), LIMIT)
            finally:
                await stand.stop(seconds=0)
                stand.close()
            return stand.output

        return asyncio.run(run_within_limit())

    return run


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_a_program_that_ends_is_named_with_its_last_lines_and_started_again(run):
    async def scenario(stand):
        stand.start("echo one; echo two >&2; exit 3")
        await stand.until_said("exit code 3", times=2)

    output = run(scenario)
    assert output.startswith(
        "child     | one\n"
        "child     | two\n"
        "butler    | child ended by itself with exit code 3; it starts again in 0 s. Its last lines:\n"
        "butler    |     one\n"
        "butler    |     two\n"
        "child     | one\n"
    )


def test_only_the_last_lines_are_shown_again(run):
    async def scenario(stand):
        stand.start("seq 1 20; exit 1")
        await stand.until_said("    20")

    assert "    12\n" not in run(scenario)


def test_a_program_that_wrote_nothing_is_named_too(run):
    async def scenario(stand):
        stand.start("kill -SEGV $$")
        await stand.until_said("child was ended by SIGSEGV; it starts again in 0 s. It wrote nothing.")

    run(scenario)


def test_a_command_that_does_not_exist_is_named_and_tried_again(run):
    async def scenario(stand):
        stand.start_command("/no/such/command")
        await stand.until_said("child cannot be started ([Errno 2] No such file or directory", times=2)

    run(scenario)


def test_the_last_line_counts_without_a_line_end(run):
    async def scenario(stand):
        stand.start("printf unfinished; exit 1")
        await stand.until_said("    unfinished")

    assert run(scenario).startswith("child     | unfinished\n")


def test_known_noise_is_shown_only_after_a_death(run):
    async def scenario(stand):
        stand.start("echo this is noise; echo; echo this is news; exit 1", quiet=("noise",))
        await stand.until_said("    this is news")

    output = run(scenario)
    assert output.startswith("child     | this is news\n")
    assert "butler    |     this is noise\n" in output


def test_long_lines_and_invalid_text_arrive(run):
    async def scenario(stand):
        stand.start_command(sys.executable, "-c", "import os; os.write(1, b'\\xff' + b'x' * 300_000 + b'\\nend\\n')")
        await stand.until_said("child     | end\n")

    assert f"child     | \ufffd{'x' * 300_000}\n" in run(scenario)


def test_what_a_dead_program_has_started_is_ended_with_it(run):
    """Its child would go on holding the port, and here also the pipe."""
    pids = []

    async def scenario(stand):
        stand.start("sleep 1000 & echo started $!; wait")
        await stand.until_said("started")
        grandchild = int(stand.output.split("started ")[1].split()[0])
        pids.append(grandchild)
        os.kill(os.getpgid(grandchild), 9)
        await stand.until_said("child was ended by SIGKILL")
        await stand.until(lambda: not is_running(grandchild))

    run(scenario)
    assert pids


def test_a_program_leads_a_session_of_its_own(run):
    """So Ctrl-C in the terminal reaches the supervisor alone."""

    async def scenario(stand):
        stand.start("echo session $(cut -d' ' -f6 /proc/$$/stat) of $$; sleep 1000")
        await stand.until_said("session")

    _, session, _, pid = run(scenario).split("| ")[1].split()[:4]
    assert session == pid


def test_a_stop_lets_a_program_finish(run):
    async def scenario(stand):
        stand.start("trap 'echo finished; exit 0' TERM; echo ready; while :; do sleep 0.01; done")
        await stand.until_said("ready")
        await stand.stop()

    assert run(scenario) == "child     | ready\nchild     | finished\n"


def test_a_program_that_ignores_a_stop_is_killed_when_its_time_is_up(run):
    async def scenario(stand):
        stand.start("trap '' TERM; echo ready; while :; do sleep 0.01; done")
        await stand.until_said("ready")
        await stand.stop(seconds=0.1)

    assert run(scenario).endswith("butler    | child did not stop in time and is killed\n")


def test_stages_stop_one_after_the_other(run):
    async def scenario(stand):
        for name in ("first", "second"):
            stand.start("trap 'sleep 0.1; echo end; exit' TERM; echo up; while :; do sleep 0.01; done", name=name)
        await stand.until_said("up", times=2)
        await stand.stop("second", "first")

    assert run(scenario).endswith("second    | end\nfirst     | end\n")


def test_a_stop_does_not_wait_for_a_pause_to_end(run, monkeypatch):
    monkeypatch.setattr(child, "FIRST_PAUSE_SECONDS", 1000.0)

    async def scenario(stand):
        stand.start("exit 1")
        await stand.until_said("it starts again in 1000 s")
        await stand.stop()

    run(scenario)


def test_a_stop_in_the_moment_of_a_start_is_a_stop(run):
    async def scenario(stand):
        stand.start("sleep 1000")
        await asyncio.sleep(0)
        await stand.stop()

    run(scenario)


def test_a_kill_ends_a_stop_that_takes_long(run):
    async def scenario(stand):
        stand.start("trap '' TERM; echo ready; while :; do sleep 0.01; done")
        await stand.until_said("ready")
        stopping = asyncio.create_task(stand.stop(seconds=1000))
        await asyncio.sleep(0.05)
        stand.supervisor.kill()
        await stopping

    run(scenario)


def test_a_program_keeps_the_files_open_that_it_is_to_hold(run, tmp_path):
    lock = os.open(tmp_path / "lock", os.O_CREAT | os.O_RDWR)

    async def scenario(stand):
        stand.start(f"readlink /proc/self/fd/{lock}; sleep 1000")
        await stand.until_said("| ")
        await stand.stop()

    assert run(scenario, held=[lock]) == f"child     | {tmp_path}/lock\n"
    os.close(lock)


def test_an_error_in_the_watching_itself_is_raised(run, monkeypatch):
    async def break_down(self):
        raise RuntimeError("a defect")

    monkeypatch.setattr(child.Child, "_keep_running", break_down)

    async def scenario(stand):
        stand.start("sleep 1000")
        with pytest.raises(RuntimeError, match="a defect"):
            await stand.supervisor.watch()

    run(scenario)
