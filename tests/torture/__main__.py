"""`make torture`: hold the rounds one after the other and print a table; a failure runs again from its seed."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import sqlalchemy as sa

from tests.torture.rounds import ROUNDS, STARTS, Outcome

RESUME_SECONDS, START_SECONDS = 5.0, 3.0
SMALL = 10  # the rounds after the first have so many times fewer events


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--events", type=int, default=200_000, help="simulated events of the first round")
    parser.add_argument("--kills", type=int, default=60, help="SIGKILLs of the first round, at least 6")
    parser.add_argument("--seed", type=int, default=1, help="what decides everything that is drawn")
    parser.add_argument("--rounds", default=",".join(ROUNDS), help=f"some of {','.join(ROUNDS)}")
    parser.add_argument("--database", default="", help="an empty PostgreSQL database; default: SQLite files")
    parser.add_argument("--scratch", type=Path, help="where to work; default: a folder of the system's own")
    chosen = parser.parse_args()
    wanted = chosen.rounds.split(",")
    if unknown := sorted(set(wanted) - set(ROUNDS)):
        parser.error(f"no round {', '.join(unknown)}: there are {', '.join(ROUNDS)}")
    with tempfile.TemporaryDirectory(prefix="qudao-torture-", dir=chosen.scratch) as scratch:
        outcomes = [_hold(name, Path(scratch) / name, chosen) for name in wanted]
    print("\n".join(table(outcomes)), flush=True)
    failed = [name for name, outcome in zip(wanted, outcomes, strict=True) if outcome.wrong]
    if failed:
        print(f"\n{again(chosen, *failed)}")
    return 1 if failed else 0


def again(chosen: argparse.Namespace, *rounds: str) -> str:
    """How to hold rounds that failed once more."""
    drawn = (
        f"--seed {chosen.seed} --events {chosen.events} --kills {chosen.kills} --rounds {','.join(rounds)}"
    )
    return f"failed: {', '.join(rounds)}. Again: python -m tests.torture {drawn}"


def _hold(name: str, folder: Path, chosen: argparse.Namespace) -> Outcome:
    """One round; what the processes log goes to a file, of which a failed round shows the end."""
    folder.mkdir(parents=True)
    print(f"{name}, seed {chosen.seed} …", flush=True)
    began = time.monotonic()
    said = folder / "stderr.log"
    options = {"events": chosen.events, "kills": chosen.kills, "starts": STARTS}
    if name != "blows":
        options = {"events": max(2_000, chosen.events // SMALL)}
    kept = os.dup(2)
    with said.open("wb") as log:
        os.dup2(log.fileno(), 2)
        try:
            with _schema(chosen.database, name) as database:
                outcome = ROUNDS[name](folder, chosen.seed, database=database, **options)
        except BaseException:
            sys.stderr.flush()
            os.dup2(kept, 2)
            print(f"{again(chosen, name)}\nWhat the processes said last:")
            print("".join(said.read_text(errors="replace").splitlines(keepends=True)[-20:]), flush=True)
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
    outcome.seconds = time.monotonic() - began
    for line in [*outcome.told, *(f"WRONG: {wrong}" for wrong in outcome.wrong)]:
        print(f"  {line}")
    if outcome.skipped:
        print(f"  skipped: {outcome.skipped}")
    return outcome


class _schema:
    """A schema of a round's own on PostgreSQL, dropped at the end; elsewhere nothing."""

    def __init__(self, url: str, name: str) -> None:
        self._url = url
        self._name = f"torture_{name.replace('-', '_')}"

    def __enter__(self) -> str:
        if not self._url:
            return ""
        self._run(f"DROP SCHEMA IF EXISTS {self._name} CASCADE", f"CREATE SCHEMA {self._name}")
        mark = "&" if "?" in self._url else "?"
        return f"{self._url}{mark}options=-csearch_path%3D{self._name}"

    def __exit__(self, *_: object) -> None:
        if self._url:
            self._run(f"DROP SCHEMA IF EXISTS {self._name} CASCADE")

    def _run(self, *statements: str) -> None:
        engine = sa.create_engine(self._url)
        with engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)
        engine.dispose()


def table(outcomes: list[Outcome]) -> list[str]:
    """The figures, a line a round."""
    head = (
        "round",
        "events",
        "kills",
        "blows",
        "lost",
        "doubled",
        "check",
        "resume median",
        "slowest",
        "seconds",
    )
    lines: list[tuple[str, ...]] = [head]
    for o in outcomes:
        if o.verdict is None:
            lines.append((o.round, *["-"] * 5, "skipped", "-", "-", f"{o.seconds:.0f}"))
            continue
        checked = "wrong" if o.wrong else "equal" if o.verdict.messages else "red"
        figures = (o.verdict.events, o.kills, len(o.hits), o.verdict.lost, o.verdict.doubled)
        resumed = [f"{f(o.resumed_seconds):.2f} s" if o.resumed_seconds else "-" for f in (median, max)]
        lines.append((o.round, *(f"{n:,}" for n in figures), checked, *resumed, f"{o.seconds:.0f}"))
    width = [max(len(line[place]) for line in lines) for place in range(len(head))]
    text = ["  ".join(cell.ljust(size) for cell, size in zip(line, width, strict=True)) for line in lines]
    for o in outcomes:
        text += _resumes(o)
        if o.started_seconds:
            met = "met" if max(o.started_seconds) <= START_SECONDS else "MISSED"
            times = ", ".join(f"{s:.2f}" for s in o.started_seconds)
            text.append(f"`qudao up` on all of it to healthy: {times} s (goal {START_SECONDS:g} s: {met})")
    load = "; ".join(f"{seconds:.1f}" for seconds in os.getloadavg())
    text.append(f"{os.cpu_count()} cores, load over the last 1, 5 and 15 minutes: {load}")
    return ["", *text]


def _resumes(outcome: Outcome) -> list[str]:
    by_kind: dict[str, list[float]] = {}
    for hit in outcome.hits:
        who = "all at once" if len(hit.blow.victims) > 1 else hit.blow.victims[0]
        by_kind.setdefault(f"{who} {hit.blow.how}", []).append(hit.resumed_seconds)
    lines = [
        f"  {kind:<24} {len(times):>3} times, resume {median(times):.2f} s (median), {max(times):.2f} s (slowest)"
        for kind, times in sorted(by_kind.items())
    ]
    kills = [hit.resumed_seconds for hit in outcome.hits if hit.blow.how == "killed"]
    if kills:
        late = sum(seconds > RESUME_SECONDS for seconds in kills)
        met = "met" if not late else f"MISSED {late} times"
        lines.append(f"resume after a kill: slowest {max(kills):.2f} s (goal {RESUME_SECONDS:g} s: {met})")
    return lines


if __name__ == "__main__":
    sys.exit(main())
