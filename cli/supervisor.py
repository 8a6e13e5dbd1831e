"""The processes of one machine: started together, restarted where one dies, stopped in order."""

from __future__ import annotations

import asyncio
import http.client
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
from msgspec import Struct

from cli.flags import as_environment
from cli.trouble import make_folder
from domain.errors import QudaoError
from infra.child import spawn
from infra.durability import Durability, durability
from infra.jetstream import connect
from infra.nats_server import NatsServer
from infra.ports import free_port, refuse_taken
from infra.settings import Settings
from infra.stream import create_stream, stream_state

# `-m` would put the folder one happens to be in before the packages; this runs the code of the parent.
RUN = "import sys; sys.path.append(sys.argv.pop(1)); from cli.main import main; sys.exit(main())"
ROOT = str(Path(__file__).resolve().parents[1])
NATS, PROJECTOR, API = "nats-server", "projector", "API"
FOR_GOOD = 3
#: What ends by itself is started again later each time; what was at work, or was killed by another, soon.
BACKOFF_SECONDS, BACKOFF_SECONDS_MAX, STEADY_SECONDS = 0.1, 10.0, 5.0
KILLED_SECONDS_MAX = 1.0
STOP_SECONDS = 12.0
UNWELL_SECONDS = 15.0  # what /health says for so long does not pass by itself
#: How often nats-server is asked how it is, and how often in a row it has to say what ails it.
LOOK_SECONDS, AILMENTS = 2.0, 2
HEAL_SECONDS = 10.0  # what being started anew did not heal is not tried again sooner
ROOM_BYTES = 8 << 20  # less free space than this, and nats-server need not be started anew


class EndedError(QudaoError):
    """A process that is needed ended before everything was ready."""

    code = "ended"


class Health(Struct, frozen=True):
    """What /health says, as far as it matters here."""

    healthy: bool = False
    faults: tuple[str, ...] = ()


class Child(Struct):
    """One of our own commands as a process."""

    name: str
    command: list[str]
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    backoff_seconds: float = BACKOFF_SECONDS
    due: float = 0.0
    ended: bool = False  # for good

    def start(self) -> None:
        self.process = spawn(self.command, environment=self.environment)
        self.started = time.monotonic()

    def stop(self) -> None:
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()


class Supervisor:
    """`with Supervisor(settings, tell) as it: it.start(); it.await_health()`, then `tend` again and again.

    `tell` hears in a sentence what a person should know. What was started is stopped at the end, whatever
    happens: first the API, then the projector, then the log.
    """

    def __init__(self, settings: Settings, tell: Callable[[str], None], flags: list[str]) -> None:
        self.settings = settings
        self._tell = tell
        self._flags = flags
        self._nats: NatsServer | None = None
        self._nats_due = 0.0
        self._nats_look = 0.0
        self._ailments = 0
        self.durability: Durability | None = None
        self.children: list[Child] = []

    def start(self) -> None:
        """Start everything; refuses a port in use before anything is made."""
        settings = self.settings
        if settings.host not in ("127.0.0.1", "::1", "localhost"):
            from api.server import listen  # slow to import, and the API itself asks the same

            listen(settings.host, settings.port).close()
        refuse_taken(settings.host, settings.port)
        if not settings.nats:
            refuse_taken("127.0.0.1", settings.nats_port)
        if settings.port == 0:
            settings = msgspec.structs.replace(settings, port=free_port(settings.host))
        make_folder(Path(settings.data))
        if not settings.nats:
            self._nats = self._start_nats(settings.nats_port)
            settings = msgspec.structs.replace(
                settings, nats=self._nats.url, nats_port=self._nats.port, nats_monitor=self._nats.monitor_url
            )
        self.settings = settings
        self.durability = asyncio.run(self._open_stream(made_here=self._nats is not None))
        environment = as_environment(settings)
        self.children = [
            Child(PROJECTOR, self._command("project"), environment),
            Child(API, self._command("serve"), environment),
        ]
        for child in self.children:
            child.start()

    def _start_nats(self, port: int, monitor_port: int = 0) -> NatsServer:
        binary = Path(self.settings.nats_server) if self.settings.nats_server else None
        return NatsServer.start(
            self.settings.nats_folder, port=port, monitor_port=monitor_port, binary=binary
        )

    async def _open_stream(self, *, made_here: bool) -> Durability:
        client = await connect(self.settings.nats, "qudao up")
        try:
            if made_here:
                window = self.settings.duplicate_window_seconds
                state = await create_stream(
                    client, replicas=self.settings.replicas or None, duplicate_window_seconds=window
                )
            else:
                state = await stream_state(client)
            return await durability(client, state, self.settings.monitor_urls)
        finally:
            await client.close()

    def _command(self, name: str) -> list[str]:
        return [sys.executable, "-P", "-c", RUN, ROOT, name, *self._flags]

    @property
    def url(self) -> str:
        host = self.settings.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.settings.port}"

    @property
    def pids(self) -> dict[str, int]:
        """The processes that run now."""
        found = {c.name: c.process.pid for c in self.children if c.process and c.process.poll() is None}
        return found | ({NATS: self._nats.pid} if self._nats is not None and self._nats.alive() else {})

    def await_health(self, seconds: float = 60) -> Health:
        """Wait until /health is well, stays unwell, or the projector has stopped for good. Raises EndedError."""
        deadline = time.monotonic() + seconds
        health, since = None, time.monotonic()
        while time.monotonic() < deadline:
            self._refuse_ended()
            before, health = health, ask_health(self.settings.host, self.settings.port)
            if health is None or before is None or health.faults != before.faults:
                since = time.monotonic()
            elif time.monotonic() - since > UNWELL_SECONDS:
                return health
            if health is not None and (health.healthy or any(child.ended for child in self.children)):
                return health
            time.sleep(0.02)
        if health is None:
            raise EndedError(f"the API did not answer at {self.url} within {seconds:g} s")
        return health

    def _refuse_ended(self) -> None:
        for child in self.children:
            code = child.process.poll() if child.process is not None else None
            if code == FOR_GOOD:
                self._give_up(child)
            elif code is not None:
                raise EndedError(f"the {child.name} ended at once (exit code {code}); it said why above")

    def _give_up(self, child: Child) -> None:
        if not child.ended:
            child.ended = True
            self._tell(
                f"the {child.name} stopped for good and said why above; what was built is still served, and "
                f"{self.url}/health says how it stands"
            )

    def tend(self) -> None:
        """Look once after everything: start again what died, a little later each time."""
        now = time.monotonic()
        for child in self.children:  # first: they begin while nats-server reads its log, and wait for it
            self._tend(child, now)
        if self._nats is not None and now >= self._nats_due:
            if not self._nats.alive():
                self._restart_nats("nats-server died")
            elif now >= self._nats_look and (why := self._ails()):
                self._restart_nats(f"nats-server does not write any more ({why})")
                self._ailments, self._nats_look = 0, time.monotonic() + HEAL_SECONDS

    def _restart_nats(self, why: str) -> None:
        assert self._nats is not None
        self._tell(f"{why}; starting it again")
        self._nats.stop()
        try:
            self._nats = self._start_nats(self._nats.port, self._nats.monitor_port)
        except QudaoError as error:
            self._tell(str(error))
        self._nats_due = time.monotonic() + 1.0

    def _ails(self) -> str:
        """Why nats-server has to be started anew: after one failed write it refuses all others until then."""
        assert self._nats is not None
        self._nats_look = time.monotonic() + LOOK_SECONDS
        why = self._nats.ailment()
        self._ailments = self._ailments + 1 if why else 0
        if self._ailments == AILMENTS:
            self._tell(f"nats-server is not well: {why}")
        room = shutil.disk_usage(self.settings.nats_folder).free >= ROOM_BYTES
        return why if room and self._ailments >= AILMENTS else ""

    def _tend(self, child: Child, now: float) -> None:
        code = child.process.poll() if child.process is not None else None
        if code is None or child.ended:
            return
        if code == FOR_GOOD:
            self._give_up(child)
        elif not child.due:
            if now - child.started > STEADY_SECONDS:
                child.backoff_seconds = BACKOFF_SECONDS
            most = KILLED_SECONDS_MAX if code == -signal.SIGKILL else BACKOFF_SECONDS_MAX
            child.due = now + min(most, child.backoff_seconds)
            child.backoff_seconds = min(most, 2 * child.backoff_seconds)
            self._tell(f"the {child.name} died (exit code {code}); starting it again")
        elif now >= child.due:
            child.due = 0.0
            child.start()

    def stop(self) -> None:
        """Stop everything that runs, in order."""
        for child in reversed(self.children):
            child.stop()
        if self._nats is not None:
            self._nats.stop()

    def kill(self) -> None:
        """End everything at once."""
        for child in self.children:
            if child.process is not None:
                child.process.kill()
        if self._nats is not None and self._nats.alive():
            self._nats.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def ask_health(host: str, port: int) -> Health | None:
    """What /health says; None where nothing answers yet."""
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", "/health")
        return msgspec.json.decode(connection.getresponse().read(), type=Health)
    except (OSError, http.client.HTTPException, msgspec.DecodeError):
        return None
    finally:
        connection.close()
