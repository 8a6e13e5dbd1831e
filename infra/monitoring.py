"""What NATS servers say of themselves on their monitoring addresses: what ails them, and what they hold of the log."""

from __future__ import annotations

import asyncio
import http.client
import logging
from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec

from infra.jetstream import nanoseconds
from infra.stream import STREAM, StreamState

log = logging.getLogger("qudao.nats")

ASK_SECONDS = 2.0


class Extent(msgspec.Struct, frozen=True):
    """What one server holds of the stream."""

    messages: int
    first_sequence: int
    last_sequence: int

    @property
    def missing(self) -> int:
        """Nothing is ever deleted, so every sequence from the first to the last should be there."""
        return (self.last_sequence - self.first_sequence + 1 - self.messages) if self.last_sequence else 0


class ServerState(msgspec.Struct, frozen=True):
    """One server: by its name, or by its address where it does not answer; `held` is empty where it has no copy."""

    server: str
    answers: bool
    ailment: str = ""
    held: Extent | None = None


class _Healthz(msgspec.Struct):
    error: str = ""


class _Varz(msgspec.Struct):
    server_name: str = ""


class _State(msgspec.Struct):
    messages: int
    first_seq: int
    last_seq: int


class _Stream(msgspec.Struct):
    name: str
    created: str
    state: _State


class _Account(msgspec.Struct):
    stream_detail: list[_Stream] = []


class _Jsz(msgspec.Struct):
    account_details: list[_Account] = []


def asked_of(url: str, path: str) -> tuple[int, bytes]:
    """Status and body of an answer; raises OSError or HTTPException where there is none."""
    target = urlsplit(url)
    kind = http.client.HTTPSConnection if target.scheme == "https" else http.client.HTTPConnection
    connection = kind(target.hostname or "", target.port, timeout=ASK_SECONDS)
    try:
        connection.request("GET", f"{target.path.rstrip('/')}{path}")
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def ailment(url: str) -> str:
    """Why the server says it is not well; nothing where it is, or does not answer."""
    try:
        status, body = asked_of(url, "/healthz")
        return "" if status == http.client.OK else msgspec.json.decode(body, type=_Healthz).error
    except (OSError, http.client.HTTPException, msgspec.DecodeError):
        return ""


async def servers(urls: Sequence[str], created: int) -> tuple[ServerState, ...]:
    """Every server by its monitoring address; `created` tells the log's stream from others of its name."""
    return tuple(await asyncio.gather(*(asyncio.to_thread(_server, url, created) for url in urls)))


def _server(url: str, created: int) -> ServerState:
    try:
        name = msgspec.json.decode(asked_of(url, "/varz")[1], type=_Varz).server_name
        jsz = msgspec.json.decode(asked_of(url, "/jsz?accounts=1&streams=1")[1], type=_Jsz)
        why = ailment(url)
    except (OSError, http.client.HTTPException, msgspec.DecodeError) as error:
        log.debug("monitor %s does not answer: %s", url, error)
        return ServerState(url, False)
    streams = [stream for account in jsz.account_details for stream in account.stream_detail]
    found = [s.state for s in streams if s.name == STREAM and nanoseconds(s.created) == created]
    held = Extent(found[0].messages, found[0].first_seq, found[0].last_seq) if found else None
    return ServerState(name, True, why, held)


def faults_of(
    states: Sequence[ServerState], log_state: StreamState, lost: int = 0
) -> tuple[list[str], list[str]]:
    """What makes the log unfit on the servers, and what is only to be looked after: faults, then warnings.

    Of the messages `lost` are missing by decision.
    """
    faults: list[str] = []
    warnings: list[str] = []
    alone = log_state.replicas == 1
    for state in states:
        held = state.held
        if not state.answers:
            warnings.append(f"The server at {state.server} does not answer")
        elif state.ailment:
            (faults if alone and held else warnings).append(
                f"The server {state.server} is not well: {state.ailment}"
            )
        if held is not None and held.missing > lost:
            there = f"{held.messages} of the messages {held.first_sequence} to {held.last_sequence}"
            heal = (
                "`qudao repair` says what can be done"
                if alone
                else "stop it, remove its copy of the stream and start it again, so that it takes the others'"
            )
            faults.append(f"The log has a hole on the server {state.server}: it holds {there}; {heal}")
    return faults, warnings
