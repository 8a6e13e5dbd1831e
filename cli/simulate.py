"""`qudao simulate`: try another assessment policy on real periods, or leave events out."""

from __future__ import annotations

import argparse
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from api.fields import read_instant
from api.query import read_known
from api.simulating import Compared, Simulated
from cli.asking import Api
from cli.columns import columns
from cli.moments import read_moment
from domain.errors import QudaoError
from domain.numbers import text
from infra.settings import Settings

SHOWN_MAX = 40
#: Fields of what is asked, and the flags they come from.
FLAGS = {
    "periods": "--period",
    "dealers": "--dealer",
    "without": "--without",
    "policy": "--policy",
    "card": "--card",
    "known_at": "--known-at",
    "valid_at": "--valid-at",
}


class CardError(QudaoError):
    """The file is no card."""

    code = "card"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to try, on whom and when."""
    parser.add_argument(
        "--period",
        action="append",
        required=True,
        metavar="P",
        help="2026, 2026-Q1, 2026-03; may be repeated",
    )
    parser.add_argument(
        "--card", type=Path, metavar="FILE", help="the body of an assessment policy, JSON or TOML"
    )
    parser.add_argument("--policy", metavar="NAME", help="a policy that is published or built in")
    parser.add_argument("--dealer", action="append", default=[], metavar="ID", help="one of those to look at")
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        type=int,
        metavar="SEQUENCE",
        help="as if this event had never been",
    )
    parser.add_argument(
        "--known-at", metavar="WHEN", help="what was known at an instant, or a sequence of the log"
    )
    parser.add_argument("--valid-at", metavar="INSTANT", help="what was true then")


def run(settings: Settings, arguments: argparse.Namespace) -> int:
    """Ask the service and say who would be assessed otherwise."""
    asked: dict[str, Any] = {
        "periods": arguments.period,
        "dealers": arguments.dealer,
        "without": arguments.without,
        "policy": arguments.policy,
        "known_at": read_moment("--known-at", read_known, arguments.known_at),
        "valid_at": read_moment("--valid-at", read_instant, arguments.valid_at),
    }
    if arguments.card is not None:
        asked["card"] = read_card(arguments.card)
    said = {name: value for name, value in asked.items() if value not in (None, [])}
    answer = Api(settings.host, settings.port, FLAGS).send("/assessments/simulate", msgspec.json.encode(said))
    if arguments.json:
        print(answer.decode())
    else:
        print("\n".join(lines_of(msgspec.json.decode(answer, type=Simulated))))
    return 0


def read_card(path: Path) -> Any:
    """The body of a policy, as its file says it."""
    try:
        content = path.read_bytes()
        if path.suffix == ".toml":
            return tomllib.loads(content.decode(), parse_float=Decimal)
        return msgspec.json.Decoder(float_hook=Decimal).decode(content)
    except OSError as error:
        raise CardError(f"{path} cannot be read: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CardError(f"{path} is neither JSON nor TOML as its name says: {error}") from None


def lines_of(found: Simulated) -> list[str]:
    """A simulation for a person: how many change, by grade, and who."""
    lines = [
        f"{found.compared:,} cards compared, as of sequence {found.sequence}: {found.better:,} would be better, "
        f"{found.worse:,} worse; {found.grade_changes:,} would change grade",
        "",
        *columns(
            ("grade", "now", "then"),
            [(one.grade, str(one.now), str(one.then)) for one in found.grades],
            (1, 2),
        ),
    ]
    changed = [card for card in found.cards if card.grade_changes or card.difference]
    if changed:
        heads = ("dealer", "period", "now", "", "then", "", "difference")
        lines += ["", *columns(heads, [_row(card) for card in changed[:SHOWN_MAX]], (2, 4, 6))]
    if len(changed) > SHOWN_MAX:
        lines.append(f"… and {len(changed) - SHOWN_MAX:,} more: --json has all")
    return lines


def _row(card: Compared) -> tuple[str, ...]:
    scores = [("–" if one.score is None else text(one.score), one.grade) for one in (card.now, card.then)]
    return (
        *(card.dealer, card.period, *scores[0], *scores[1]),
        "" if card.difference is None else f"{card.difference:+f}",
    )
