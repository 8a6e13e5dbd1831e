"""`qudao serve`: the HTTP API alone, until it is told to stop."""

from __future__ import annotations

import argparse

from api.app import create_app
from api.server import serve
from domain.event_types import CATALOGUE
from infra.settings import Settings
from projections.registry import PROJECTIONS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    del parser  # settings say all there is to say


def run(settings: Settings, arguments: argparse.Namespace) -> int:
    """Serve until stopped; the log and the database may come later. Raises ServeError."""
    del arguments
    app = create_app(
        database_url=settings.database_url,
        nats_url=settings.nats_url,
        catalogue=CATALOGUE,
        projections=PROJECTIONS,
        monitor_urls=settings.monitor_urls,
    )
    serve(app, settings.host, settings.port)
    return 0
