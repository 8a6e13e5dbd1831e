"""The connection to NATS and its JetStream API, with errors a person can act on."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec
import nats.errors
from nats.aio.client import Client

from domain.errors import QudaoError
from infra.connection import Connection, LostError

log = logging.getLogger("qudao.nats")

T = TypeVar("T")


class LogUnreachableError(QudaoError):
    """The log does not answer; nothing is known about what was asked of it."""

    code = "log_unreachable"


class JetStreamError(QudaoError):
    """The log answered with an error of its own; `number` is JetStream's `err_code`."""

    code = "log_refused"

    def __init__(self, asked: str, refusal: Refusal) -> None:
        super().__init__(f"{asked}: {refusal.description} (JetStream error {refusal.err_code})")
        self.number = refusal.err_code
        self.passing = refusal.code == 503  # a leader is being elected, a resource is short


class Refusal(msgspec.Struct):
    """JetStream's error object."""

    code: int = 0
    err_code: int = 0
    description: str = ""


class _Answer(msgspec.Struct):
    error: Refusal | None = None


async def connect(url: str, name: str, *, patience_seconds: float = 5) -> Connection:
    """Connect and stay connected: reconnects never end, only the first connect is bounded."""
    client = Connection()
    failures: list[str] = []
    connected = False

    async def failed(error: Exception) -> None:
        failures[:] = [str(error) or type(error).__name__]
        if connected:  # until then it is told once, by the error
            log.warning("NATS connection %s: %s", name, failures[0])

    async def lost() -> None:
        client.interrupted()
        if not client.is_closed:
            log.warning("NATS connection %s: lost, reconnecting to %s", name, _without_password(url))

    async def back() -> None:
        log.info("NATS connection %s: connected again", name)

    async def closed() -> None:
        log.info("NATS connection %s: closed", name)

    try:
        async with asyncio.timeout(patience_seconds):
            await client.connect(
                url.split(","),
                name=name,
                error_cb=failed,
                disconnected_cb=lost,
                reconnected_cb=back,
                closed_cb=closed,
                max_reconnect_attempts=-1,
                reconnect_time_wait=0.5,  # type: ignore[arg-type]  # declared int, used in sleep()
                connect_timeout=2,
                ping_interval=20,
                drain_timeout=5,
            )
    except (TimeoutError, OSError, ValueError, nats.errors.Error) as error:
        await client.close()
        reason = failures[0] if failures else str(error) or "no answer"
        raise LogUnreachableError(
            f"no NATS server at {_without_password(url)} within {patience_seconds:g} s ({reason}): check the "
            "address, and that the server runs, as it does under `qudao up`"
        ) from error
    connected = True
    return client


async def ask(
    client: Client,
    subject: str,
    question: object,
    answer: type[T],
    *,
    timeout_seconds: float = 5,
    once: bool = False,
) -> T:
    """Ask the JetStream API; raises JetStreamError on refusal, LogUnreachableError on silence.

    What the connection broke on is asked once more, unless it may only be asked `once`.
    """
    try:
        reply = await client.request(
            f"$JS.API.{subject}", msgspec.json.encode(question), timeout=timeout_seconds
        )
    except LostError as error:
        if once:
            raise LogUnreachableError(f"no answer to {subject}: {error}") from error
        return await ask(client, subject, question, answer, timeout_seconds=timeout_seconds, once=True)
    except nats.errors.NoRespondersError as error:
        raise LogUnreachableError(f"JetStream is off or not ready for {subject}") from error
    except nats.errors.Error as error:
        raise LogUnreachableError(
            f"no answer to {subject} within {timeout_seconds:g} s ({type(error).__name__}):"
            " the server is away, or the account lacks the permission"
        ) from error
    if refusal := msgspec.json.decode(reply.data, type=_Answer).error:
        raise JetStreamError(subject, refusal)
    return msgspec.json.decode(reply.data, type=answer)


def nanoseconds(text: str) -> int:
    """Read the server's RFC 3339 UTC time; datetime would cut its nanoseconds off."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    seconds = int(datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp())
    return seconds * 1_000_000_000 + int(fraction.ljust(9, "0"))


def _without_password(url: str) -> str:
    return ",".join(
        urlsplit(one)._replace(netloc=urlsplit(one).netloc.rpartition("@")[2]).geturl()
        for one in url.split(",")
    )
