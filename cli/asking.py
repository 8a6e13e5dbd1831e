"""Questions to the running HTTP API, as any client would put them."""

from __future__ import annotations

import http.client
import re
import time
from collections.abc import Mapping, Sequence
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


def refusal(path: str, status: int, body: bytes, flags: Mapping[str, str]) -> AskError:
    """What a problem says, in a line: what is wrong by the flag that it came from, where it came from one."""
    problem = msgspec.json.decode(body, type=_Problem)
    detail = problem.detail or problem.title or str(status)
    if any(error.reason in detail and _root(error) in flags for error in problem.errors):
        lines = [_told(error, flags) for error in problem.errors]
    else:
        lines = [detail, *[_told(error, flags) for error in problem.errors if not _tells(detail, error)]]
    if problem.between:
        between = [f"{one.type} of {one.dealer} at sequence {one.sequence}" for one in problem.between]
        lines.append(f"decided meanwhile: {', '.join(between)}")
    return AskError(f"the API refuses {path}: {'; '.join(lines)}")


def _root(error: _Error) -> str:
    return re.split(r"[.\[]", error.field)[0]


def _told(error: _Error, flags: Mapping[str, str]) -> str:
    """An error, by its flag and where in what the flag names; which of several values is wrong, it says itself."""
    root = _root(error)
    _, _, within = error.field.partition(".")
    place = f"{flags[root]} {within}".rstrip() if root in flags else error.field
    return f"{place}: {error.reason}"


def _tells(detail: str, error: _Error) -> bool:
    """Whether a problem's sentence says an error of it already."""
    said = (f"{error.field} {error.reason}", f"{error.field}: {error.reason}")
    return (
        detail == error.reason or detail.endswith(f": {error.reason}") or any(one in detail for one in said)
    )


class Api:
    """One service to be asked. `flags`: what fields of a question come from, to be named where one is wrong."""

    def __init__(self, host: str, port: int, flags: Mapping[str, str] = {}) -> None:
        self._host = host
        self._port = port
        self._flags = flags

    def rows(self, view: str, **query: object) -> list[dict[str, Any]]:
        """The rows of one page of a view, or of its sums."""
        return msgspec.json.decode(self.body(f"/{view}", **query), type=_Items).items

    def body(self, path: str, **query: object) -> bytes:
        """What an address answers, as it comes. Raises AskError where that is a problem."""
        status, body = self._get(f"{path}?{urlencode(query)}")
        if status != http.client.OK:
            raise refusal(path, status, body, self._flags)
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
            raise refusal(path, status, answer, self._flags)
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
            raise AskError(
                f"the API at {self._host}:{self._port} does not answer ({error}): start `qudao up`, or give another "
                "with --host and --port"
            ) from error
        finally:
            connection.close()
