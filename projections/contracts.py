"""Contracts: from when to when, and what the dealer owes under them in which part of that time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any

import msgspec
from msgspec import Struct

from domain.calendar import business_day
from domain.contracts import ContractAmended, ContractEnded, ContractSigned, Obligation
from projections.documents import Change
from projections.holdings import FOREVER, NEVER
from projections.rows import Key, Row, Rows, Tables, table

NOT_YET, IN_FORCE, ENDED = "not yet", "in force", "ended"


class Term(Struct, frozen=True, gc=False):
    """What is owed in one part of a contract's time."""

    from_day: date
    to_day: date
    obligations: tuple[Obligation, ...]


@table("contracts", key=("dealer", "contract"), indexes=(("to_day",),))
class Contract(Row):
    """A contract from its first day up to, but not including, the day it ends."""

    dealer: str
    contract: str
    status: str = ""  # on the day asked about: not yet, in force or ended
    from_day: date = NEVER
    to_day: date = NEVER
    ended_early: bool = False  # by a statement of its end, and not by its own terms
    terms: tuple[Term, ...] = ()


def contract_keys(change: Change) -> Iterator[tuple[type[Row], Key]]:
    """The row a change of a contract touches."""
    yield Contract, (change.document.dealer, change.document.id)


def fold_contract(change: Change, rows: Rows) -> None:
    """Put the contract as it now stands. An amendment that names no end leaves the end where it was."""
    row = rows.edit(Contract, change.document.dealer, change.document.id)
    row.from_day, row.to_day, row.ended_early, row.terms = NEVER, NEVER, False, ()
    document = change.after
    if document is None:
        return
    signed, ended = document.one(ContractSigned), document.one(ContractEnded)
    said: list[ContractSigned | ContractAmended] = [signed.data] if signed is not None else []
    amended = sorted(document.each(ContractAmended), key=lambda a: a.data.from_)
    said += [a.data for a in amended]
    begun = [business_day(data.from_) for data in said]
    if not begun:
        return
    end = FOREVER
    for data in said:
        end = business_day(data.to) if data.to is not None else end
    if ended is not None and (day := business_day(ended.data.from_)) < end:
        end, row.ended_early = day, True
    row.from_day, row.to_day = min(begun), max(min(begun), end)
    for number, data in enumerate(said):
        until = min(begun[number + 1 :], default=end)
        if begun[number] < min(until, end):
            row.terms = (*row.terms, Term(begun[number], min(until, end), data.obligations))


def status_on(contract: Contract, day: date) -> str:
    """Whether a contract is in force on a day: not yet, in force or ended."""
    if day < contract.from_day:
        return NOT_YET
    return IN_FORCE if day < contract.to_day else ENDED


def contracts_at(tables: Tables, at: datetime, filters: Mapping[str, Sequence[Any]]) -> Iterator[Contract]:
    """Every contract with its status on the day of an instant, in that instant's own offset."""
    wanted = {name: filters[name] for name in ("dealer", "contract") if name in filters}
    for contract in tables.select(Contract, **wanted):
        yield msgspec.structs.replace(contract, status=status_on(contract, at.date()))
