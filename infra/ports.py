"""Ports of this machine: whether one can be listened on, and which one is free."""

from __future__ import annotations

import random
import socket

from domain.errors import QudaoError

#: From, up to: ports that no common system gives to outgoing connections.
QUIET = 10_000, 32_000


class PortError(QudaoError):
    """The port is in use, or not for us."""

    code = "port"


def refuse_taken(host: str, port: int) -> None:
    """Raise PortError where nothing can listen on a port now; 0 is any port."""
    if port == 0:
        return
    try:
        with _socket(host) as probe:
            probe.bind((host, port))
    except OSError as error:
        raise PortError(
            f"port {host}:{port} cannot be used ({error.strerror}): stop what holds it or take another"
        ) from error


def free_port(host: str = "127.0.0.1", wanted: int = 0) -> int:
    """The wanted port where it can be listened on, else any that can.

    Not of those that outgoing connections are given, one of which could take it before it is listened on.
    """
    drawn = [random.randrange(*QUIET) for _ in range(20)]
    for port in (wanted, *drawn, 0) if wanted else (*drawn, 0):
        try:
            with _socket(host) as probe:
                probe.bind((host, port))
                return int(probe.getsockname()[1])
        except OSError:
            if not port:
                raise
    raise AssertionError("the loop returns or raises")


def _socket(host: str) -> socket.socket:
    probe = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return probe
