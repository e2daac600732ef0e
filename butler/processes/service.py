"""The whole service on one machine: what starts when, and how it ends."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Mapping
from functools import partial

from django.conf import settings

from butler.address import join_address
from butler.preparation import AdminLogin, prepare_service
from butler.processes.console import Console
from butler.processes.data_folder import DataFolder
from butler.processes.ports import LOOPBACK, open_port
from butler.processes.programs import service_programs, simulator_program
from butler.processes.readiness import (
    LeaseWatch,
    answers_http,
    answers_redis,
    answers_worker,
    describe_qrs,
    in_thread,
    require_redis,
)
from butler.processes.redis_server import redis_program
from butler.processes.supervisor import Stage, Supervisor
from butler.processes.welcome import welcome
from butler.setting_names import list_needed

#: How many seconds after the beginning of a stop what still runs is killed
STOP_STAGES = (
    # The worker finishes the calls that it has in hand
    Stage(names=("web", "beat", "worker"), seconds=3.8),
    Stage(names=("simulator", "redis"), seconds=4.5),
)
#: They stop the service, also where a shell has them ignored, as for `make run &` in a script
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)
POLL_SECONDS = 0.1
#: Waiting for longer than this is worth a line
PATIENCE_SECONDS = 10.0


class Service:
    """All processes of one data folder."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._folder = DataFolder(settings.BUTLER_DATA_DIR, run_file=settings.RUN_FILE)
        self._address = join_address(settings.BUTLER_HOST, settings.BUTLER_PORT)

    async def run(self) -> None:
        """Start everything, keep it running until SIGINT, SIGTERM, SIGQUIT or SIGHUP, and stop it.

        Raises StartError when it cannot start; nothing is left running then either.
        """
        with (
            self._folder.claim(address=f"http://{self._address}") as claim,
            # Who calls while the web server is started again waits in it, and is not refused
            open_port(settings.BUTLER_HOST, settings.BUTLER_PORT) as self._listener,
        ):
            # A process that outlives a killed supervisor goes on holding the claim
            self._supervisor = Supervisor(self._console, held=[claim])
            await self._run()

    async def _run(self) -> None:
        running = asyncio.create_task(self._start_and_watch())
        self._obey_signals(running)
        try:
            await running
        except asyncio.CancelledError:
            self._console.say("stopping")
        finally:
            self._listener.close()
            await self._supervisor.stop(STOP_STAGES)
            self._folder.withdraw()

    def _obey_signals(self, running: asyncio.Task[None]) -> None:
        loop = asyncio.get_running_loop()
        for number in (*STOP_SIGNALS, signal.SIGHUP):
            # Who started this with nohup wants it ignored
            if number in STOP_SIGNALS or signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, self._obey, running)

    def _obey(self, running: asyncio.Task[None]) -> None:
        """Stop at the first signal, kill at the next."""
        if running.done():
            self._supervisor.kill()
        else:
            running.cancel()

    async def _start_and_watch(self) -> None:
        await self._start()
        await self._supervisor.watch()

    async def _start(self) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        ports = self._folder.choose_ports(("redis", "qrs", "controls"), besides=settings.BUTLER_PORT)
        servers = self._start_simulator(ports) | await self._start_redis(ports["redis"])
        login = await in_thread(prepare_service)
        led = await in_thread(LeaseWatch)
        for program in service_programs(servers, listener=self._listener.fileno()):
            self._supervisor.start(program)
        async with asyncio.TaskGroup() as group:
            qrs = group.create_task(in_thread(partial(self._describe_qrs, ports)))
            for name, probe in self._probes(ports, led).items():
                group.create_task(self._wait_for(name, probe))
        self._folder.publish(servers)
        facts = self._list_facts(login, qrs=qrs.result())
        seconds = clock() - began
        self._console.write(welcome(seconds=seconds, address=self._address, facts=facts, needed=list_needed()))

    async def _start_redis(self, port: int) -> dict[str, str]:
        """Make sure that there is a Redis; return the settings that name it if it is our own."""
        if settings.REDIS_IS_GIVEN:
            await in_thread(partial(require_redis, settings.REDIS_URL))
            return {}
        self._supervisor.start(redis_program(port=port, folder=self._folder.subfolder("redis")))
        # Only now is it known; nothing in this process has asked for it yet
        settings.REDIS_URL = f"redis://{LOOPBACK}:{port}/0"
        await self._wait_for("redis", partial(answers_redis, settings.REDIS_URL))
        return {"REDIS_URL": settings.REDIS_URL}

    def _start_simulator(self, ports: Mapping[str, int]) -> dict[str, str]:
        """Start the simulated QRS where no real one is given; return the settings that name it."""
        if settings.QRS_IS_GIVEN:
            return {}
        certificates = self._folder.path / "certificates"
        self._supervisor.start(
            simulator_program(port=ports["qrs"], control_port=ports["controls"], certificates=certificates)
        )
        return {"QRS_URL": f"https://{LOOPBACK}:{ports['qrs']}", "QRS_CERT_DIR": str(certificates)}

    def _probes(self, ports: Mapping[str, int], led: LeaseWatch) -> dict[str, Callable[[], bool]]:
        probes: dict[str, Callable[[], bool]] = {
            "web": partial(answers_http, settings.BUTLER_HOST, settings.BUTLER_PORT, "/v4/schedules"),
            "beat": led.is_led,
            "worker": partial(answers_worker, settings.REDIS_URL),
        }
        if not settings.QRS_IS_GIVEN:
            probes["simulator"] = partial(answers_http, LOOPBACK, ports["controls"], "/health")
        return probes

    async def _wait_for(self, name: str, probe: Callable[[], bool]) -> None:
        clock = asyncio.get_running_loop().time
        patient_until = clock() + PATIENCE_SECONDS
        while not await in_thread(probe):
            if clock() > patient_until:
                self._console.say(f"still waiting for {name}")
                patient_until += PATIENCE_SECONDS
            await asyncio.sleep(POLL_SECONDS)

    def _describe_qrs(self, ports: Mapping[str, int]) -> str:
        if settings.QRS_IS_GIVEN:
            return describe_qrs()
        return f"simulated, with demo tasks; controls at http://{LOOPBACK}:{ports['controls']}/"

    def _list_facts(self, login: AdminLogin, *, qrs: str) -> dict[str, str]:
        return {
            "API": f"http://{self._address}/v4/schedules",
            "Admin": f"http://{self._address}/admin/",
            "Login": str(login),
            "Qlik Sense": qrs,
            "Data folder": str(self._folder.path),
        }
