"""The one stream of the log: made and changed by an administrative command, checked by everyone."""

from __future__ import annotations

import asyncio
import secrets

import msgspec
from nats.aio.client import Client

from domain.errors import QudaoError
from infra.jetstream import JetStreamError, ask, nanoseconds
from infra.jetstream import connect as connect

STREAM = "CHANNEL"
SUBJECTS = ["channel.*.*"]
MESSAGE_BYTES_MAX = 262_144  # headers included
DUPLICATE_WINDOW_SECONDS = 3600

NOT_FOUND = 10059
SPREAD_LOOKS, SPREAD_LOOK_SECONDS = 50, 0.1
SECOND = 1_000_000_000

Config = dict[str, object]

# What the promise of a complete, unchanging log stands on and no update can put right afterwards.
UNCHANGEABLE: Config = {
    "subjects": SUBJECTS,
    "storage": "file",
    "retention": "limits",
    "max_age": 0,
    "max_bytes": -1,
    "max_msgs": -1,
    "max_msgs_per_subject": -1,
    "sealed": False,
    "no_ack": False,
    "allow_rollup_hdrs": False,
    "allow_msg_ttl": False,
}
# Absent from the server's answer unless someone asked for them.
UNWANTED = (
    "mirror",
    "sources",
    "subject_transform",
    "persist_mode",
    "allow_msg_schedules",
    "allow_msg_counter",
)

# What an update may only make stronger.
STRENGTHENED: Config = {
    "discard": "new",
    "deny_delete": True,
    "deny_purge": True,
    "allow_direct": True,
    "allow_atomic": True,
    "max_msg_size": MESSAGE_BYTES_MAX,
}


class StreamError(QudaoError):
    """The stream is missing, or is not one the book of record can stand on."""

    code = "stream"


class StreamState(msgspec.Struct, frozen=True):
    """What the log says of itself."""

    store_id: str
    created: int  # nanoseconds since 1970 UTC
    first_sequence: int
    last_sequence: int
    messages: int
    deleted: int
    replicas: int
    storage: str
    persist_mode: str
    faults: tuple[str, ...]  # why it is not the stream design promises; empty is well
    holders: tuple[str, ...] = ()  # the servers that hold it, where the log says so: in a cluster

    @property
    def contiguous(self) -> bool:
        """Say whether every sequence from the first to the last is there, on the replica that answered."""
        return self.missing == 0

    @property
    def missing(self) -> int:
        """How many messages between the first and the last are not there."""
        return (self.last_sequence - self.first_sequence + 1 - self.messages) if self.last_sequence else 0


class _State(msgspec.Struct):
    messages: int
    first_seq: int
    last_seq: int
    num_deleted: int = 0


class _Replica(msgspec.Struct):
    name: str


class _Cluster(msgspec.Struct):
    leader: str = ""
    replicas: list[_Replica] = []


class _Info(msgspec.Struct):
    config: Config
    created: str
    state: _State
    cluster: _Cluster = msgspec.field(default_factory=_Cluster)


async def create_stream(
    client: Client,
    *,
    replicas: int | None = None,
    duplicate_window_seconds: int = DUPLICATE_WINDOW_SECONDS,
    store_id: str | None = None,
) -> StreamState:
    """Make the stream, or strengthen the one there; refuse one whose past or shape breaks the promise.

    `replicas` and `store_id` left out mean 1 and a fresh id for a new stream, and no change for an old one.
    """
    try:
        info = await ask(client, f"STREAM.INFO.{STREAM}", {}, _Info)
    except JetStreamError as error:
        if error.number != NOT_FOUND:
            raise
        config: Config = {
            "name": STREAM,
            **UNCHANGEABLE,
            **STRENGTHENED,
            "num_replicas": replicas or 1,
            "duplicate_window": duplicate_window_seconds * SECOND,
            "metadata": {"store_id": store_id or secrets.token_hex(16)},
        }
        return _state(await ask(client, f"STREAM.CREATE.{STREAM}", config, _Info))
    return await _strengthen(client, info.config, replicas, duplicate_window_seconds, store_id)


async def stream_state(client: Client) -> StreamState:
    """Read the stream's identity, extent and faults; raises StreamError where there is none."""
    try:
        return _state(await ask(client, f"STREAM.INFO.{STREAM}", {}, _Info))
    except JetStreamError as error:
        if error.number != NOT_FOUND:
            raise
        raise StreamError(f"there is no stream {STREAM} here: make it with `qudao stream`") from error


async def _strengthen(
    client: Client, found: Config, replicas: int | None, window_seconds: int, store_id: str | None
) -> StreamState:
    if broken := _broken(found):
        raise StreamError(f"the stream {STREAM} cannot be the log: {'; '.join(broken)}")
    known = _store_id(found)
    if store_id is not None and known not in ("", store_id):
        raise StreamError(
            f"the stream {STREAM} belongs to store {known}, not to {store_id}: use another server"
        )
    # The server takes an update as the whole configuration: what is left out falls back to defaults.
    wanted = {
        **found,
        **STRENGTHENED,
        "num_replicas": replicas or found.get("num_replicas"),
        "duplicate_window": max(_integer(found, "duplicate_window"), window_seconds * SECOND),
        "metadata": {**_metadata(found), "store_id": known or store_id or secrets.token_hex(16)},
    }
    if wanted == found:
        return await stream_state(client)
    state = _state(await ask(client, f"STREAM.UPDATE.{STREAM}", wanted, _Info))
    for _ in range(SPREAD_LOOKS):  # a cluster answers before it has chosen who holds the further copies
        if not state.holders or len(state.holders) >= state.replicas:
            break
        await asyncio.sleep(SPREAD_LOOK_SECONDS)
        state = await stream_state(client)
    return state


def _state(info: _Info) -> StreamState:
    config, state = info.config, info.state
    seen = StreamState(
        store_id=_store_id(config),
        created=nanoseconds(info.created),
        first_sequence=state.first_seq,
        last_sequence=state.last_seq,
        messages=state.messages,
        deleted=state.num_deleted,
        replicas=_integer(config, "num_replicas"),
        storage=str(config.get("storage")),
        persist_mode=str(config.get("persist_mode", "default")),
        faults=(),
        holders=tuple(
            sorted(name for name in (info.cluster.leader, *(r.name for r in info.cluster.replicas)) if name)
        ),
    )
    return msgspec.structs.replace(seen, faults=tuple(_faults(config, seen)))


def _faults(config: Config, state: StreamState) -> list[str]:
    faults = _broken(config)
    faults += [
        _differs(config, name, value) for name, value in STRENGTHENED.items() if config.get(name) != value
    ]
    if _integer(config, "duplicate_window") < DUPLICATE_WINDOW_SECONDS * SECOND:
        faults.append(f"duplicate_window is shorter than {DUPLICATE_WINDOW_SECONDS} s")
    if not state.store_id:
        faults.append("metadata names no store_id")
    if state.first_sequence > 1:
        faults.append(f"it begins at sequence {state.first_sequence}: what came before is gone")
    if not state.contiguous or state.deleted:
        held = f"{state.messages} of the messages {state.first_sequence} to {state.last_sequence}"
        faults.append(f"it holds only {held}: some are gone")
    return faults


def _broken(config: Config) -> list[str]:
    faults = [
        _differs(config, name, value)
        for name, value in UNCHANGEABLE.items()
        if config.get(name, value) != value
    ]
    return faults + [f"{name} is set to {config[name]}" for name in UNWANTED if config.get(name)]


def _differs(config: Config, name: str, value: object) -> str:
    return f"{name} is {config.get(name, 'unset')}, not {value}"


def _metadata(config: Config) -> dict[str, str]:
    return msgspec.convert(config.get("metadata") or {}, dict[str, str])


def _store_id(config: Config) -> str:
    return _metadata(config).get("store_id", "")


def _integer(config: Config, name: str) -> int:
    return msgspec.convert(config.get(name, 0), int)
