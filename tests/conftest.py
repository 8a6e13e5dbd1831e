"""Scratch databases for the tests of a module."""

import pytest

from projections.registry import PROJECTIONS
from tests.lab.folding import Scratch


@pytest.fixture(scope="session")
def scratch_of_all(tmp_path_factory: pytest.TempPathFactory) -> Scratch:
    """Empty databases with the tables of every projection there is."""
    return Scratch(tmp_path_factory.mktemp("scratch-of-all"), PROJECTIONS)


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Scratch:
    """Empty databases with the tables of orders and stock."""
    return Scratch(tmp_path_factory.mktemp("scratch"))
