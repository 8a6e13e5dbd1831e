"""One engine for the small histories of a module."""

from collections.abc import Iterator

import pytest

from tests.lab.folding import Worlds, shut


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worlds]:
    """Histories folded side by side, each under ids of its own."""
    worlds = Worlds(tmp_path_factory.mktemp("worlds") / "worlds.db")
    yield worlds
    shut(worlds.engine)
