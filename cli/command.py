"""`qudao command`: decide something, by the service that runs."""

from __future__ import annotations

import argparse

import msgspec

from api.commands import COMMAND, Decided
from cli.asking import Api
from domain.assessment import PublishAssessment
from domain.errors import QudaoError
from infra.settings import Settings


class CommandError(QudaoError):
    """What is said is no command."""

    code = "command"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command and what it says."""
    parser.add_argument("name", metavar="NAME", choices=(COMMAND,), help=f"which: {COMMAND}")
    fields = ", ".join(PublishAssessment.__struct_fields__)
    parser.add_argument("fields", metavar="FIELD=VALUE", nargs="*", help=f"what it says: {fields}")


def run(settings: Settings, arguments: argparse.Namespace) -> int:
    """Send the command and say what became of it; 2 where it is refused, with the reason."""
    command = read(arguments.fields)
    answer = Api(settings.host, settings.port).send(f"/commands/{COMMAND}", msgspec.json.encode(command))
    if arguments.json:
        print(answer.decode())
    else:
        print("\n".join(lines_of(msgspec.json.decode(answer, type=Decided))))
    return 0


def read(said: list[str]) -> PublishAssessment:
    """The command that FIELD=VALUE pairs make."""
    pairs = [one.partition("=") for one in said]
    if wrong := [name for name, sign, _ in pairs if not sign]:
        raise CommandError(f"{wrong[0]!r} is no FIELD=VALUE")
    try:
        return msgspec.convert(
            {name: value for name, _, value in pairs}, type=PublishAssessment, strict=False
        )
    except msgspec.ValidationError as error:
        raise CommandError(f"{COMMAND}: {error}") from None


def lines_of(found: Decided) -> list[str]:
    """A decision for a person."""
    said = found.decision
    score = "no score" if said.score is None else f"score {said.score}"
    done = "published" if found.status == "accepted" else "published before, by the same command,"
    lines = [
        f"{said.dealer} {said.period.name} under {said.policy} {said.version}: {score}, {said.grade}",
        f"{done} at sequence {found.sequence} as {said.assessment}; {found.address}",
        f"as it was known: {found.seen}",
    ]
    for fact in said.because:
        moved = "" if fact.score is None else f" {fact.score:+f}"
        lines.append(f"  because of {fact.type} {fact.event} at sequence {fact.sequence}:{moved}")
    return lines
