"""What an acknowledgement of the log means here, by the servers' own report."""

from __future__ import annotations

import asyncio
import http.client
import logging
from collections.abc import Sequence
from typing import Literal

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg

from infra.monitoring import asked_of
from infra.stream import StreamState

log = logging.getLogger("qudao.nats")

Meaning = Literal["disk", "quorum", "lazy", "memory", "unknown"]


class Durability(msgspec.Struct, frozen=True):
    """What survives once an event is acknowledged; `explanation` is one sentence for people."""

    acknowledged_means: Meaning
    explanation: str

    @property
    def kept(self) -> bool:
        """Say whether an acknowledged event survives a power cut of one machine."""
        return self.acknowledged_means in ("disk", "quorum")


class ServerReport(msgspec.Struct, frozen=True):
    """How one server writes: synced before each acknowledgement, or every so often."""

    server: str
    sync_always: bool
    sync_seconds: float


class _Config(msgspec.Struct):
    sync_interval: int = 0
    sync_always: bool = False


class _JetStream(msgspec.Struct):
    config: _Config | None = None


class _Varz(msgspec.Struct):
    server_name: str = ""
    jetstream: _JetStream = msgspec.field(default_factory=_JetStream)


class _SystemReply(msgspec.Struct):
    data: _Varz | None = None


async def durability(client: Client, state: StreamState, monitor_urls: Sequence[str] = ()) -> Durability:
    """Say what an acknowledgement means, asking each monitor, else the system account if it is ours."""
    if monitor_urls:
        reports = await _monitored(monitor_urls)
    else:
        reports = await _pinged(client)
    return judge(state, reports)


def judge(state: StreamState, reports: Sequence[ServerReport]) -> Durability:
    """Weigh the stream's settings and the servers' reports; nothing unreported is taken for granted."""
    if state.storage != "file":
        return Durability(
            "memory", f"An acknowledged event is lost when the server stops: storage is {state.storage}."
        )
    if state.persist_mode == "async":
        return Durability("lazy", "An event is acknowledged before it is written: persist_mode is async.")
    if state.holders:  # another server of the cluster says nothing about those that hold the log
        reports = [report for report in reports if report.server in state.holders]
    if len(reports) < state.replicas:
        heard = f"{len(reports)} of the {state.replicas} servers that hold the log"
        return Durability(
            "unknown",
            f"Only {heard} told how they write: name their monitoring addresses, or ask the operator.",
        )
    lazy = [report for report in reports if not report.sync_always]
    if not lazy:
        return Durability("disk", "An acknowledged event is on disk: every server syncs before it answers.")
    window = f"{lazy[0].server} syncs only every {lazy[0].sync_seconds:g} s"
    if state.replicas >= 3:
        return Durability(
            "quorum",
            f"An acknowledged event is held by a majority of {state.replicas} servers, but {window}.",
        )
    return Durability(
        "lazy", f"A power cut can lose acknowledged events: {window}; set sync_interval: always."
    )


async def _monitored(urls: Sequence[str]) -> list[ServerReport]:
    answers = await asyncio.gather(
        *(asyncio.to_thread(asked_of, url, "/varz") for url in urls), return_exceptions=True
    )
    reports = []
    for url, answer in zip(urls, answers, strict=True):
        if isinstance(answer, tuple):
            reports += _report(msgspec.json.decode(answer[1], type=_Varz))
        elif isinstance(answer, OSError | http.client.HTTPException):
            log.warning("monitor %s does not answer: %s", url, answer)
        else:
            raise answer
    return reports


async def _pinged(client: Client, window_seconds: float = 0.3) -> list[ServerReport]:
    """Gather every server's answer; an account without system rights simply hears none."""
    reports: list[ServerReport] = []

    async def heard(message: Msg) -> None:
        if message.data:
            reply = msgspec.json.decode(message.data, type=_SystemReply)
            reports.extend(_report(reply.data) if reply.data else [])

    inbox = client.new_inbox()
    subscription = await client.subscribe(inbox, cb=heard)
    await client.publish("$SYS.REQ.SERVER.PING.VARZ", b"", reply=inbox)
    await asyncio.sleep(window_seconds)
    await subscription.unsubscribe()
    return reports


def _report(varz: _Varz) -> list[ServerReport]:
    config = varz.jetstream.config
    if config is None:  # a server without JetStream holds nothing
        return []
    return [ServerReport(varz.server_name, config.sync_always, config.sync_interval / 1e9)]
