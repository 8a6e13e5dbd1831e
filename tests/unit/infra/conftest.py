"""Scratch databases for the tests of a module."""

import pytest

from tests.lab.folding import Scratch


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Scratch:
    """Empty databases with all tables."""
    return Scratch(tmp_path_factory.mktemp("scratch"))
