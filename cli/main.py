"""The command line `qudao`: one exit code for each kind of end, and one line for what a person can put right."""

from __future__ import annotations

import argparse
import difflib
import importlib
import os
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import NoReturn

from cli import flags, logs
from cli.reaching import reached
from cli.trouble import explained
from domain.errors import QudaoError
from infra.settings import load

#: command → its module, imported only when it is asked for, and what it does
COMMANDS = {
    "up": ("cli.up", "run everything on this machine: the log, the projector and the HTTP API"),
    "demo": ("cli.demo", "the same on a scratch folder, filled by a simulated channel"),
    "stream": ("cli.stream", "make the log's stream, or strengthen and verify the one there"),
    "import": ("cli.import_command", "send the rows of CSV files as events, by a mapping file"),
    "project": ("cli.project", "run the projector alone"),
    "serve": ("cli.serve", "run the HTTP API alone"),
    "command": ("cli.command", "decide: publish an assessment, or restate one"),
    "simulate": ("cli.simulate", "try another assessment policy on real periods, or leave events out"),
    "rebuild": ("cli.rebuild", "build projections anew beside the ones that serve, then switch"),
    "status": ("cli.status", "say how far every projection is, and how the log stands"),
    "verify": ("cli.verify", "read the whole log again: whole, and what was folded, or where it is not"),
    "head": ("cli.head", "sign what the log is now, for somebody else to keep"),
    "history": ("cli.history", "everything that concerns a dealer, to look at, to keep or to print"),
    "backup": ("cli.backup", "copy the log into a new folder, while it goes on"),
    "restore": ("cli.restore", "put a copy of the log back where none is, and prove it"),
    "replay": ("cli.replay", "fold the log up to a moment into a database of its own, to be asked"),
    "repair": ("cli.repair", "say what the log here has lost, or put it back from a copy"),
    "accept-gap": ("cli.accept_gap", "decide that the book goes on without messages that are lost"),
    "check": ("cli.check", "fold the log from zero beside and compare: equal, or which rows"),
}

BEGINNING = ("up", "demo", "restore", "repair")  # these start a server; the others look for the one that runs
DONE, WRONG, STOPPED, INTERRUPTED = 0, 2, 3, 130
#: Codes of errors after which starting again would end the same way.
FOR_GOOD = frozenset({"log", "log_hole", "log_shrunk", "fenced", "busy"})
EPILOG = (
    "exit codes: 0 done; 1 something differs, is unhealthy or was left out; 2 cannot be done as asked; "
    "3 stopped for good: a person has to look; 130 interrupted"
)


class UsageError(QudaoError):
    """The command line says something that is not known."""

    code = "usage"


class Parser(argparse.ArgumentParser):
    """Says what is wrong with a command line in one line."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; `{self.prog} --help` tells what there is")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    try:
        try:
            code = run(list(sys.argv[1:] if argv is None else argv))
        except SystemExit as end:  # --help and --version
            code = WRONG if end.code else DONE
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return INTERRUPTED
    except QudaoError as error:
        say(str(error))
        return STOPPED if error.code in FOR_GOOD else WRONG
    except BrokenPipeError:
        _drop_output()
        return WRONG
    except Exception as error:
        if (line := explained(error)) is None:
            raise
        say(line)
        _drop_output()
        return WRONG


def _drop_output() -> None:
    """Let what cannot be written go, or the interpreter fails once more when it ends."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def run(argv: list[str]) -> int:
    command = next((word for word in argv if not word.startswith("-")), None)
    if command is not None and command not in COMMANDS:
        near = difflib.get_close_matches(command, COMMANDS, 1)
        meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(COMMANDS)}"
        raise UsageError(f"there is no command {command!r}: {meant}")
    arguments = parser(command).parse_args(argv)
    if command is None:
        parser(None).print_help()
        return WRONG
    logs.configure(as_json=arguments.json, verbose=arguments.verbose)
    settings = load(flags.given(arguments), file=Path(arguments.config) if arguments.config else None)
    if command not in BEGINNING:
        settings = reached(settings)
    code: int = importlib.import_module(COMMANDS[command][0]).run(settings, arguments)
    return code


def parser(command: str | None) -> Parser:
    """The parser of a command; the others are only named."""
    whole = Parser(prog="qudao", description="The book of record for distribution channels.", epilog=EPILOG)
    whole.add_argument("--version", action="version", version=f"qudao {metadata.version('qudao')}")
    commands = whole.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    for name, (module, about) in COMMANDS.items():
        if name == command or command is None:
            one = commands.add_parser(
                name, help=about, description=f"{about[0].upper()}{about[1:]}.", epilog=EPILOG
            )
        if name == command:
            importlib.import_module(module).add_arguments(one)
            one.add_argument("--json", action="store_true", help="answer, and log, in JSON")
            one.add_argument("--verbose", action="store_true", help="log what goes well, too")
            flags.add_settings(one)
    return whole


def say(line: str) -> None:
    """One line for a person, on stderr."""
    print("qudao:", " ".join(line.split("\n")), file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
