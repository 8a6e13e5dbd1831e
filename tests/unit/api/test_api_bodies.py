"""Bodies are cut into events without changing a byte of them, and without holding more than a bounded part."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import bodies
from api.answers import chosen
from api.problems import Problem, problem_of
from api.server import ServeError, listen
from domain.catalogue import BODY_BYTES_MAX
from domain.errors import QudaoError


async def pieces(whole: bytes, size: int) -> AsyncIterator[bytes]:
    for begin in range(0, len(whole), size):
        yield whole[begin : begin + size]


async def cut(whole: bytes, size: int) -> list[bytes | None]:
    return [line async for group in bodies.chunks(pieces(whole, size)) for line in group]


@given(st.lists(st.binary().filter(lambda b: b"\n" not in b), max_size=20), st.integers(1, 50))
async def test_lines_do_not_depend_on_how_the_stream_was_cut(lines: list[bytes], size: int) -> None:
    found = await cut(b"\n".join(lines), size)

    assert found == [line.strip(b" \t\r") for line in lines if line.strip(b" \t\r")]


async def test_a_line_too_long_is_left_out_alone() -> None:
    found = await cut(b"1\n" + b"x" * (BODY_BYTES_MAX * 3) + b"\n2\n" + b"y" * (BODY_BYTES_MAX * 2), 65_536)

    assert found == [b"1", None, b"2", None]


async def test_groups_are_bounded() -> None:
    groups = [group async for group in bodies.chunks(pieces(b"1\n" * 2500, 10_000))]

    assert [len(group) for group in groups] == [1000, 1000, 500]


def test_an_array_is_cut_byte_by_byte() -> None:
    assert bodies.elements(b'[ {"a": 1.50 } ,\n2, "\xe8\x8c\xb6"]') == [
        b'{"a": 1.50 }',
        b"2",
        b'"\xe8\x8c\xb6"',
    ]


@pytest.mark.parametrize("body", [b"", b"{}", b"[1", b"[1]]", b"[" * 100_000, b"[1,]"])
def test_what_is_no_array_is_a_problem(body: bytes) -> None:
    with pytest.raises(Problem, match="no JSON array"):
        bodies.elements(body)


def test_headers_and_data_become_one_event_with_the_data_as_sent() -> None:
    headers = {
        "ce-id": "e%201",
        "CE-Source": "%E6%B8%A0",
        "content-type": "application/json",
        "ce-type": '"t"',
    }

    event = bodies.structured(headers, "application/json", b'{"a": 1.50}')

    assert b'{"a": 1.50}' in event
    assert json.loads(event) == {
        "id": "e 1",
        "source": "渠",
        "type": "t",
        "datacontenttype": "application/json",
        "data": {"a": 1.5},
    }


@pytest.mark.parametrize("data", [b'1},"id":"x","y":{"a":1', b"", b"1,2", b"\xff"])
def test_data_cannot_break_out_of_its_event(data: bytes) -> None:
    with pytest.raises(Problem, match="data is not JSON"):
        bodies.structured({"ce-id": "1"}, "application/json", data)


@pytest.mark.parametrize(
    ("accept", "format"),
    [
        (None, "json"),
        ("*/*", "json"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "html"),
        ("text/csv", "csv"),
        ("text/*;q=0.5, application/json;q=0.1", "csv"),
        ("application/json;q=0, */*", "csv"),
        ("text/html;q=nan, application/json", "json"),
    ],
)
def test_the_best_of_what_is_accepted_is_given(accept: str | None, format: str) -> None:
    assert chosen(accept, "") == format


def test_what_cannot_be_given_is_said() -> None:
    with pytest.raises(Problem, match="text/csv"):
        chosen("image/png", "")


def test_a_problem_never_shows_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    problem = problem_of(ZeroDivisionError("secret"), "GET /x")

    body = problem.response().content
    assert b"secret" not in body
    assert problem.document.incident in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_an_error_a_person_can_act_on_is_told() -> None:
    class AwayError(QudaoError):
        code = "database"

    problem = problem_of(AwayError("the disk is full"), "GET /x")

    assert (problem.document.status, problem.document.detail) == (503, "the disk is full")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", ""])
def test_nobody_else_is_let_in_before_access_control(host: str) -> None:
    with pytest.raises(ServeError, match="access control is not configured"):
        listen(host, 0)


def test_a_port_in_use_is_said_in_one_line() -> None:
    with listen("127.0.0.1", 0) as bound, pytest.raises(ServeError, match="in use") as error:
        listen("127.0.0.1", bound.getsockname()[1])

    assert "\n" not in str(error.value)


DEEP = b'{"a]":' * 5000 + b"1" + b"}" * 5000


def test_an_element_nested_too_deeply_comes_out_as_it_was_sent_among_its_neighbours() -> None:
    """Brackets, commas and quotes within strings part nothing."""
    near = [b"null", b'"],[\\""', b'{"a": [1, 2]}']

    assert bodies.elements(b"[" + b" , ".join([*near, DEEP, *near, DEEP, b"2"]) + b"]") == [
        *near,
        DEEP,
        *near,
        DEEP,
        b"2",
    ]


@pytest.mark.parametrize(
    "body", [b"[" + DEEP, b"[" + DEEP + b" 1]", b"[" + DEEP + b",,1]", b"[1," + DEEP + b',"', b"[" * 100_000]
)
def test_an_array_that_is_broken_around_a_deep_element_is_refused(body: bytes) -> None:
    """Nothing is guessed of where an element ends."""
    with pytest.raises(Problem, match="no JSON array"):
        bodies.elements(body)
