"""Ids survive being written as tokens, and bad ones are told apart."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.identifiers import digest, escape, flaw, unescape

texts = st.text(min_size=1, max_size=40)


@given(texts)
def test_an_escaped_id_reads_back_as_itself(identifier: str) -> None:
    token = escape(identifier)

    assert unescape(token) == identifier
    assert re.fullmatch(r"[A-Za-z0-9_=-]+", token)
    assert token != "_"


@given(st.text(alphabet="=_-aZ09fF8. 渠", max_size=12))
def test_a_token_reads_back_only_if_escape_could_have_written_it(token: str) -> None:
    try:
        identifier = unescape(token)
    except ValueError:
        return

    assert escape(identifier) == token


@pytest.mark.parametrize("token", ["_", "=5f", "=41", "a.b", "=FF", "=", "=C3", "渠"])
def test_a_token_that_escape_never_writes_is_refused(token: str) -> None:
    with pytest.raises(ValueError, match=r"escaped id|utf-8"):
        unescape(token)


def test_the_contract_spells_these_tokens() -> None:
    assert escape("WH/OUT/00001") == "WH=2FOUT=2F00001"
    assert escape("渠道-7") == "=E6=B8=A0=E9=81=93-7"
    assert escape("_") == "=5F"
    assert escape("a_b") == "a_b"


@pytest.mark.parametrize("identifier", ["a\nb", "\x00", "\x7f", "\ud800", "", "渠" * 43, "x" * 129])
def test_an_id_with_control_characters_surrogates_or_too_many_bytes_has_a_flaw(identifier: str) -> None:
    assert flaw(identifier) is not None


@pytest.mark.parametrize("identifier", ["渠" * 42, "x" * 128, " ", "0007", "😀"])
def test_any_other_text_of_up_to_128_bytes_is_an_id(identifier: str) -> None:
    assert flaw(identifier) is None


@given(st.lists(texts.filter(lambda t: flaw(t) is None), min_size=1, max_size=3))
def test_a_digest_depends_on_where_one_id_ends_and_fits_a_signed_integer(parts: list[str]) -> None:
    found = digest(*parts)

    assert 0 <= found < 2**63
    assert found == digest(*parts)
    assert found != digest("".join(parts), "")
    assert digest("a", "bc") != digest("ab", "c")
