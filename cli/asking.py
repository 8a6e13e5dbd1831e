"""Questions to the running HTTP API, as any client would put them."""

from __future__ import annotations

import http.client
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

import msgspec

from domain.errors import QudaoError

WAIT_SECONDS = 5


class AskError(QudaoError):
    """The API answered with a problem, or not at all."""

    code = "ask"


class _Items(msgspec.Struct):
    items: list[dict[str, Any]]


class _Problem(msgspec.Struct):
    title: str = ""
    detail: str = ""


class Api:
    """One service to be asked."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port

    def rows(self, view: str, **query: object) -> list[dict[str, Any]]:
        """The rows of one page of a view, or of its sums."""
        return msgspec.json.decode(self.body(f"/{view}", **query), type=_Items).items

    def body(self, path: str, **query: object) -> bytes:
        """What an address answers, as it comes. Raises AskError where that is a problem."""
        status, body = self._get(f"{path}?{urlencode(query)}")
        if status != http.client.OK:
            problem = msgspec.json.decode(body, type=_Problem)
            raise AskError(f"the API refuses {path}: {problem.detail or problem.title or status}")
        return body

    def await_sequence(self, views: Sequence[str], sequence: int, seconds: float) -> None:
        """Return once views show everything up to a sequence. Raises AskError where they do not in time."""
        deadline = time.monotonic() + seconds
        for view in views:
            question = urlencode({"limit": 1, "min_sequence": sequence, "wait": WAIT_SECONDS})
            while (status := self._get(f"/{view}?{question}")[0]) != http.client.OK:
                if time.monotonic() > deadline:
                    raise AskError(
                        f"/{view} does not show event {sequence} within {seconds:g} s (status {status})"
                    )
                time.sleep(0.1)

    def _get(self, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=60)
        try:
            connection.request("GET", path, headers={"Accept": "application/json"})
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            raise AskError(f"the API at {self._host}:{self._port} does not answer: {error}") from error
        finally:
            connection.close()
