"""The engine under a seed's faults: a few seeds hold, and an engine that is broken on purpose is found out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from infra import engine
from infra.database import Commit, Database, Move, Transaction
from infra.documents import Documents, Identity
from infra.engine import Engine
from tests.simulation.run import World, empty_disk

SEEDS = 60
FOUND_WITHIN = 1000


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return empty_disk(tmp_path_factory.mktemp("simulation"))


@pytest.mark.parametrize("first", range(0, SEEDS, 20))
def test_every_table_is_what_the_log_says_whatever_failed_on_the_way(empty: Path, first: int) -> None:
    for seed in range(first, first + 20):
        world = World(seed, empty)
        try:
            world.run()
        except Exception as error:
            pytest.fail(f"python -m tests.simulation --replay {seed}: {', '.join(world.steps)}: {error!r}")


def _no_fence(patch: pytest.MonkeyPatch) -> None:
    def move(self: Database, run: Any, move: Move) -> None:
        old, new = move.old, move.new
        run(
            "UPDATE positions SET status=?, sequence=?, leaf=?, chain=?, error=? WHERE projection=? AND version=?",
            (new.status, new.sequence, new.leaf, new.chain, new.error, old.projection, old.version),
        )

    patch.setattr(Database, "move", move)


def _over_gaps(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(engine, "covered", lambda *gap: True)


def _no_rollback(patch: pytest.MonkeyPatch) -> None:
    leave = Transaction.__exit__
    patch.setattr(Transaction, "__exit__", lambda self, kind, *error: leave(self, None, *error))


def _memory_kept(patch: pytest.MonkeyPatch) -> None:
    reset = Engine.reset

    def to_the_position_alone(self: Engine) -> None:
        documents, caches = self._documents, {m.position.version: m.cache for m in self.members}
        reset(self)
        self._documents = documents
        for member in self.members:
            member.cache = caches.get(member.position.version, member.cache)

    patch.setattr(Engine, "reset", to_the_position_alone)


def _rows_and_positions_apart(patch: pytest.MonkeyPatch) -> None:
    commit = Database.commit

    def apart(self: Database, both: Commit, transaction: Transaction | None = None) -> None:
        commit(self, Commit(both.statements, ()))
        if getattr(self, "random", None) is not None and self.random.random() < self.faults:  # type: ignore[attr-defined]
            raise OSError("the power went")
        commit(self, Commit((), both.moves))

    patch.setattr(Database, "commit", apart)


def _duplicates_folded(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Documents, "_identity", lambda self, where: Identity(0))


@pytest.mark.parametrize(
    "breaks",
    [_no_fence, _over_gaps, _no_rollback, _memory_kept, _rows_and_positions_apart, _duplicates_folded],
)
def test_an_engine_broken_on_purpose_is_found_out(
    empty: Path, breaks: Callable[[pytest.MonkeyPatch], None]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        breaks(patch)
        assert next(_failing(empty), FOUND_WITHIN) < FOUND_WITHIN


def _failing(empty: Path) -> Iterator[int]:
    for seed in range(FOUND_WITHIN):
        try:
            World(seed, empty).run()
        except Exception:
            yield seed
