"""Serving the application: on this machine only, for as long as nobody is asked who they are."""

from __future__ import annotations

import ipaddress
import socket

import uvicorn
from litestar import Litestar, Request
from litestar.enums import HttpMethod, ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from api.problems import Problem
from domain.errors import QudaoError

STOP_SECONDS = 10


class ServeError(QudaoError):
    """The service cannot listen where it was told to."""

    code = "serve"


def serve(app: Litestar, host: str = "127.0.0.1", port: int = 8080) -> None:
    """Serve until the process is told to stop. Raises ServeError where the address is not allowed or taken."""
    bound = listen(host, port)
    try:
        server_of(app).run(sockets=[bound])
    finally:
        bound.close()


async def serving(app: Litestar, bound: socket.socket) -> None:
    """Serve on a socket of `listen` inside a running loop, until cancelled or told to stop."""
    await server_of(app).serve(sockets=[bound])


def server_of(app: Litestar) -> uvicorn.Server:
    """The server, quiet: requests are counted in /metrics, not logged."""
    return uvicorn.Server(
        uvicorn.Config(
            at_the_door(app),
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=STOP_SECONDS,
            lifespan="on",
        )
    )


def at_the_door(app: ASGIApp) -> ASGIApp:
    """Before the application: HEAD is GET without its body, and other names of this machine are turned away.

    A page of a foreign site whose name is pointed at 127.0.0.1 would otherwise read the book in its visitor's
    browser; for as long as nobody is asked who they are, the name in the request is all there is to tell by.
    """

    async def enter(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP:
            named = next((value for name, value in scope["headers"] if name == b"host"), b"").decode(
                "latin-1"
            )
            if not _loopback(_host(named)):
                problem = Problem("misdirected", f"this service does not answer as {named!r}: use 127.0.0.1")
                answer = problem.response().to_asgi_response(app=None, request=Request(scope))
                await answer(scope, receive, send)
                return
            if scope["method"] == HttpMethod.HEAD:  # the server sends no body for it
                scope = {**scope, "method": HttpMethod.GET}
        await app(scope, receive, send)

    return enter


def _host(named: str) -> str:
    return named[1:].partition("]")[0] if named.startswith("[") else named.partition(":")[0]


def listen(host: str, port: int) -> socket.socket:
    """A listening socket on a loopback address; port 0 takes a free one. Raises ServeError."""
    if not _loopback(host):
        raise ServeError(
            f"{host} is reachable from elsewhere, and access control is not configured: use 127.0.0.1 or ::1"
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio switches Nagle's delay off only then: 40 ms an answer otherwise.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.listen(1024)
    except (OSError, OverflowError) as error:
        bound.close()
        why = error.strerror if isinstance(error, OSError) else "no such port"
        raise ServeError(
            f"{host}:{port} cannot be listened on ({why}): stop what uses it, or take another"
        ) from None
    return bound


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
