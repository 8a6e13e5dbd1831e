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


class _Error(msgspec.Struct):
    field: str
    reason: str


class _Decision(msgspec.Struct):
    sequence: int
    type: str
    dealer: str


class _Problem(msgspec.Struct):
    title: str = ""
    detail: str = ""
    errors: tuple[_Error, ...] = ()
    between: tuple[_Decision, ...] = ()


def _refused(path: str, status: int, body: bytes) -> AskError:
    problem = msgspec.json.decode(body, type=_Problem)
    wrong = [f"{error.field}: {error.reason}" for error in problem.errors]
    between = [f"{one.type} of {one.dealer} at sequence {one.sequence}" for one in problem.between]
    lines = [problem.detail or problem.title or str(status), *wrong[1:]]
    if between:
        lines.append(f"decided meanwhile: {', '.join(between)}")
    return AskError(f"the API refuses {path}: {'; '.join(lines)}")


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
            raise _refused(path, status, body)
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

    def send(self, path: str, body: bytes) -> bytes:
        """What the service answers to JSON sent to an address. Raises AskError where it refuses."""
        status, answer = self._ask("POST", path, body)
        if status >= http.client.BAD_REQUEST:
            raise _refused(path, status, answer)
        return answer

    def _get(self, path: str) -> tuple[int, bytes]:
        return self._ask("GET", path)

    def _ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=60)
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            raise AskError(f"the API at {self._host}:{self._port} does not answer: {error}") from error
        finally:
            connection.close()
