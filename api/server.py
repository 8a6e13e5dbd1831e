"""Serving the application: on this machine only, for as long as nobody is asked who they are."""

from __future__ import annotations

import ipaddress
import socket

import uvicorn
from litestar import Litestar

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
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=STOP_SECONDS,
            lifespan="on",
        )
    )


def listen(host: str, port: int) -> socket.socket:
    """A listening socket on a loopback address; port 0 takes a free one. Raises ServeError."""
    if not _loopback(host):
        raise ServeError(
            f"{host} is reachable from elsewhere, and access control is not configured: use 127.0.0.1 or ::1"
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family)
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
