"""The programs of the service: all kept running, then stopped in order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from butler.processes.child import Child, Program
from butler.processes.console import Console, kind_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Programs that stop together, at the latest `seconds` after the stop began."""

    names: Sequence[str]
    seconds: float


class Supervisor:
    """Starts programs, keeps them running, and stops them. For one event loop."""

    def __init__(self, console: Console, *, held: Sequence[int] = ()) -> None:
        self._console = console
        self._held = held
        self._children: dict[str, Child] = {}

    def start(self, program: Program) -> None:
        """Keep the program running from now on."""
        self._children[program.name] = Child(program, console=self._console, held=self._held)

    async def watch(self) -> None:
        """Wait until cancelled, or until the watching of a program itself fails, and raise that error."""
        tasks = [child.task for child in self._children.values()]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()

    async def stop(self, stages: Sequence[Stage]) -> None:
        """Stop what runs, stage by stage; a program in no stage is killed in the end."""
        began = asyncio.get_running_loop().time()
        for stage in stages:
            running = [child for name, child in self._children.items() if kind_of(name) in stage.names]
            await asyncio.gather(*(child.stop(by=began + stage.seconds) for child in running))
        await asyncio.gather(*(child.stop(by=began) for child in self._children.values()))

    def kill(self) -> None:
        """End everything at once and for good."""
        for child in self._children.values():
            child.kill()
