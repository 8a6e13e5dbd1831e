"""One engine for the small histories of a module."""

from collections.abc import Iterator

import pytest

from tests.lab.databases import Databases
from tests.lab.folding import Worlds, shut


@pytest.fixture(scope="module")
def worlds(databases: Databases) -> Iterator[Worlds]:
    """Histories folded side by side, each under ids of its own."""
    worlds = Worlds(databases.new())
    yield worlds
    shut(worlds.engine)
