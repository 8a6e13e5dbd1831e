"""The HTTP service put together. It starts before the log or the database are there, and says so in /health."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib import metadata

from litestar import Litestar
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.types import Message, Scope

from api.asking import Freshness, view_handlers
from api.bodies import REQUEST_BYTES_MAX
from api.commands import VIEWS, Commands, command_handlers
from api.events import event_handlers
from api.health import health_handler
from api.history_answers import history_handlers
from api.index import Index
from api.intake import Intake
from api.link import APPEND_SECONDS, Link
from api.metrics import Metrics, metrics_handler
from api.past import Replaying
from api.problems import AnyRequest, Problem, handle
from api.reading import Opened
from api.reference import reference_handlers
from api.schemas import schema_handlers
from api.simulating import SIMULATE, simulation_handlers
from api.views import FIXED_PATHS, views_of
from domain.catalogue import Catalogue
from infra.documents import ROWS
from infra.positions import INDEX
from projections.projection import Projection


def create_app(
    *,
    database_url: str,
    nats_url: str,
    catalogue: Catalogue,
    projections: Sequence[Projection],
    monitor_urls: Sequence[str] = (),
    append_seconds: float = APPEND_SECONDS,
) -> Litestar:
    """The application over one database and one log; nothing is opened before it starts.

    Without an address of a log it only reads.
    """
    opened = Opened(database_url, Replaying(catalogue, {p.name: p for p in projections}))
    link = Link(nats_url, monitor_urls, append_seconds=append_seconds)
    metrics = Metrics()
    index = Index(opened)
    intake = Intake(catalogue, index, link, metrics)
    freshness = Freshness(opened)
    views = views_of(projections, {INDEX: ROWS})
    if taken := set(views) & (set(FIXED_PATHS) - {"events"}):
        raise ValueError(f"views may not be called {sorted(taken)}: these addresses are taken")
    version = _version()
    decides = set(VIEWS) <= set(views)

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        await link.start()
        try:
            yield
        finally:
            await link.stop()
            opened.close()

    async def incomplete(message: Message, scope: Scope) -> None:
        """Say of every answer that reaches beyond a gap of the log that it does."""
        if opened.gaps and message["type"] == "http.response.start":
            said = dict(message["headers"])
            reached = int(said.get(b"qudao-sequence", b"0"))
            if lost := [str(gap) for gap in opened.gaps if gap.first <= reached]:
                message["headers"] = [*message["headers"], (b"qudao-incomplete", ", ".join(lost).encode())]

    return Litestar(
        [
            *view_handlers(views.values(), opened, freshness),
            *(history_handlers(views, opened, link, freshness) if "dealers" in views else ()),
            *event_handlers(intake, index, link, views, freshness),
            *(
                command_handlers(Commands(catalogue, opened, index, link, views, freshness))
                if decides
                else ()
            ),
            *(simulation_handlers(opened, views["assessments"]) if decides else ()),
            *schema_handlers(catalogue),
            *reference_handlers(views, catalogue, version),
            health_handler(link, opened, [INDEX, *[projection.name for projection in projections]]),
            metrics_handler(metrics, link, opened),
        ],
        lifespan=[lifespan],
        before_request=None if nats_url else _only_read,
        exception_handlers={HTTPException: handle, Exception: handle},
        before_send=[metrics.count, incomplete],
        request_max_body_size=REQUEST_BYTES_MAX,
        openapi_config=None,
        cors_config=None,
        logging_config=None,
        state=State({}),
        debug=False,
    )


def _only_read(request: AnyRequest) -> None:
    """Refuse what would be stored; a simulation stores nothing."""
    if request.method == "POST" and request.url.path != SIMULATE:
        raise Problem("read_only", "events and commands go to the service that has the log")


def _version() -> str:
    try:
        return metadata.version("qudao")
    except metadata.PackageNotFoundError:  # run from a folder, not installed
        return "0"
