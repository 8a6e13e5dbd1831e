"""`qudao replay`: fold the log up to a moment into a database of its own, to be asked with `qudao up --read-only`."""

from __future__ import annotations

import argparse
import asyncio
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from api.fields import read_instant
from api.query import read_known
from cli.moments import MomentArgumentError, read_moment
from cli.progress import Telling
from domain.catalogue import Rejected
from domain.event_types import CATALOGUE
from domain.plans import PolicyPublished
from domain.policies import unreadable
from infra.jetstream import connect
from infra.materialising import Moment, materialise, sequence_at
from infra.settings import Settings
from projections.registry import PROJECTIONS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which moment, and where to."""
    parser.add_argument(
        "--known-at",
        metavar="WHEN",
        help="what was known at an instant, or at a sequence of the log (default: all)",
    )
    parser.add_argument(
        "--valid-at", metavar="INSTANT", help="what was true by an instant (default: whenever it is true)"
    )
    parser.add_argument(
        "--policy",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="a policy to put in, as data of policy.published.v1 in JSON; may be repeated",
    )
    parser.add_argument(
        "--into",
        required=True,
        metavar="URL",
        help="a new database: sqlite:///FILE or postgresql+psycopg://…",
    )


def run(settings: Settings, arguments: argparse.Namespace) -> int:
    """Fold, and say how to ask; interrupted and asked again, it goes on where it was."""
    known_at = read_moment("--known-at", read_known, arguments.known_at)
    valid_at = read_moment("--valid-at", read_instant, arguments.valid_at)
    policies = [read_policy(path) for path in arguments.policy]
    moment = asyncio.run(_replay(settings, known_at, valid_at, policies, arguments.into))
    if arguments.json:
        print(msgspec.json.encode({"into": arguments.into, "moment": moment}).decode())
    else:
        print(f"{arguments.into} is the book as it was {moment}")
        print(f"ask it:  qudao up --read-only --database {arguments.into}")
    return 0


async def _replay(
    settings: Settings,
    known_at: int | datetime | None,
    valid_at: datetime | None,
    policies: list[PolicyPublished],
    into: str,
) -> Moment:
    client = await connect(settings.nats_url, "qudao replay")
    try:
        sequence = await sequence_at(client, known_at, datetime.now(UTC))
        moment = Moment(sequence, valid_at, tuple(f"{one.policy} {one.version}" for one in policies))
        await materialise(client, into, CATALOGUE, PROJECTIONS, moment, policies, Telling())
        return moment
    finally:
        await client.close()


def read_policy(path: Path) -> PolicyPublished:
    """A policy from its file, which what calculates with it can read. Raises MomentArgumentError."""
    try:
        policy = msgspec.json.decode(path.read_bytes(), type=PolicyPublished)
    except OSError as error:
        raise MomentArgumentError(f"{path} cannot be read: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, Rejected) as error:
        raise MomentArgumentError(f"{path} is no policy: {error}") from None
    if wrong := unreadable(policy.kind, policy.body):
        said = "; ".join(f"body.{flaw.field} {flaw.reason}" for flaw in wrong)
        raise MomentArgumentError(f"{path} is no {policy.kind} policy that could be in force: {said}")
    return policy
