"""How commands open the database, to write or to look."""

from __future__ import annotations

from pathlib import Path

from cli.trouble import make_folder
from infra.database import Database, DatabaseError
from infra.materialising import moment_of
from infra.settings import Settings


def open_database(settings: Settings) -> Database:
    """The database to be written; its folder is made where it is this machine's own."""
    if not settings.database:
        make_folder(Path(settings.data))
    database = Database(settings.database_url)
    if moment_of(database) is not None:
        database.close()
        raise DatabaseError(
            f"{database.name} holds a moment that was made: only `qudao up --read-only` takes it"
        )
    return database


def look_into_database(settings: Settings) -> Database:
    """The database to be read. Raises DatabaseError where no projector has been there yet."""
    url = settings.database_url
    file = Path(url.removeprefix("sqlite:///"))
    if url.startswith("sqlite:///") and not file.is_file():
        raise DatabaseError(
            f"there is no database {file} yet: start `qudao up` or `qudao project`, or give another"
        )
    return Database(url, read_only=True)
