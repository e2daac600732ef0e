"""The simulator as a whole: a site, its QRS port and its control port."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from qlik.simulator.api import Api, Behaviour
from qlik.simulator.certificates import ensure_certificates, make_proxy_context, make_server_context
from qlik.simulator.controls import Controls
from qlik.simulator.demo import DEMO_TASKS
from qlik.simulator.faults import Fault, FaultPlan
from qlik.simulator.journal import Entry, Journal, RunFile
from qlik.simulator.listener import Listener
from qlik.simulator.outages import Mains
from qlik.simulator.proxy import Proxy, ProxySettings
from qlik.simulator.tasks import SLOTS, Site, Task
from qlik.simulator.tokens import ensure_token_key

CONTROL_HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorSettings:
    """How a simulator is set up; port 0 takes a free one."""

    certificates: Path
    host: str = "127.0.0.1"
    # Further names, beside the host, that the server's certificate bears.
    names: Sequence[str] = ()
    port: int = 0
    control_port: int = 0
    speed: float = 1.0
    slots: int = SLOTS
    tasks: Sequence[Task] = DEMO_TASKS
    second_sessions: bool = True
    behaviour: Behaviour = field(default_factory=Behaviour)
    # Written directory\id; they may do what the service accounts may.
    users: Sequence[str] = ()
    # None: there is no proxy.
    proxy: ProxySettings | None = None
    journal_size: int = 100_000
    journal_file: Path | None = None
    run_file: Path | None = None


class Simulator:
    """A simulator in this process; answers inside its `with` block."""

    def __init__(self, settings: SimulatorSettings) -> None:
        """Make certificates where there are none. Raises ForeignCertificatesError."""
        ensure_certificates(settings.certificates, names=[settings.host, *settings.names])
        self.certificates = settings.certificates
        self._runs = RunFile(settings.run_file) if settings.run_file else None
        self.site = Site(
            settings.tasks,
            speed=settings.speed,
            slots=settings.slots,
            second_sessions=settings.second_sessions,
            note_end=self._runs.add if self._runs else None,
        )
        self.faults = FaultPlan()
        self.journal = Journal(settings.journal_size, settings.journal_file)
        api = Api(
            site=self.site,
            faults=self.faults,
            journal=self.journal,
            behaviour=settings.behaviour,
            users=settings.users,
        )
        self._qrs = Listener(
            host=settings.host,
            port=settings.port,
            answer=api.answer,
            context=make_server_context(settings.certificates),
        )
        self._listeners = [self._qrs]
        self.proxy = self._make_proxy(settings, settings.proxy, api) if settings.proxy else None
        self.mains = Mains(self._listeners, self.site)
        controls = Controls(
            site=self.site,
            faults=self.faults,
            journal=self.journal,
            mains=self.mains,
            proxy=self.proxy,
            count_connections=self.count_connections,
        )
        self._controls = Listener(host=CONTROL_HOST, port=settings.control_port, answer=controls.answer)

    def _make_proxy(self, settings: SimulatorSettings, proxied: ProxySettings, api: Api) -> Proxy:
        proxy = Proxy(proxied, ensure_token_key(settings.certificates), api.answer)
        self._listeners.append(
            Listener(
                host=settings.host,
                port=proxied.port,
                answer=proxy.answer,
                context=make_proxy_context(settings.certificates),
            )
        )
        return proxy

    def __enter__(self) -> Self:
        """Take the ports and answer. Raises ListenError."""
        with ExitStack() as started:
            started.callback(self.journal.close)
            if self._runs:
                started.callback(self._runs.close)
            self.mains.end()
            started.callback(self.mains.close)
            self._controls.start()
            started.callback(self._controls.close)
            self._started = started.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._started.close()

    @property
    def url(self) -> str:
        """The address of QRS."""
        return self._qrs.url

    @property
    def proxy_url(self) -> str | None:
        """The address of the proxy, without a prefix."""
        return self._listeners[-1].url if self.proxy else None

    @property
    def control_url(self) -> str:
        """The address of the controls."""
        return self._controls.url

    def count_connections(self) -> int:
        """Return how many connections were ever made to QRS."""
        return self._qrs.connections_accepted

    def entries(self) -> list[Entry]:
        """Return the journal."""
        return self.journal.read()[0]

    def add_fault(self, fault: Fault) -> None:
        """Let something go wrong from now on."""
        self.faults.add(fault)
