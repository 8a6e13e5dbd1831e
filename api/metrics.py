"""What happens, as numbers for Prometheus."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

from litestar import Response
from litestar.handlers import HTTPRouteHandler, get
from litestar.types import Message, Scope
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from api.health import Health, health_of
from api.link import Link
from api.problems import AnyRequest
from api.reading import Opened


class Metrics:
    """The counters of one application, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "qudao_http_requests", "Requests answered", ["path", "method", "status"], registry=self.registry
        )
        self.append_seconds = Histogram(
            "qudao_append_seconds",
            "Time until the log acknowledged a request's events",
            registry=self.registry,
        )
        self.events = Counter(
            "qudao_http_events",
            "Events taken in over HTTP, by what became of them",
            ["status"],
            registry=self.registry,
        )

    async def count(self, message: Message, scope: Scope) -> None:
        """Count an answer as it begins; unknown addresses share one label."""
        if message["type"] == "http.response.start":
            handler = scope.get("route_handler")
            path = min(handler.paths) if handler is not None else "(none)"
            self.requests.labels(path, str(scope.get("method", "")), message["status"]).inc()

    def appended(self, began: float) -> None:
        """Observe one append that began at a `time.perf_counter`."""
        self.append_seconds.observe(time.perf_counter() - began)


class _Positions(Collector):
    def __init__(self, health: Health) -> None:
        self._health = health

    def collect(self) -> Iterator[GaugeMetricFamily]:
        health = self._health
        yield GaugeMetricFamily("qudao_healthy", "1 where /health is green", float(health.healthy))
        if health.log.reachable:
            yield GaugeMetricFamily("qudao_log_last_sequence", "End of the log", health.log.last_sequence)
        labels = ["projection", "version", "status"]
        position = GaugeMetricFamily("qudao_position", "Sequence taken in", labels=labels)
        lag = GaugeMetricFamily("qudao_lag_sequences", "Events behind the log", labels=labels)
        seconds = GaugeMetricFamily(
            "qudao_lag_seconds", "How long the first event behind has waited", labels=labels
        )
        for one in health.projections:
            names = [one.projection, one.version, one.status]
            position.add_metric(names, one.sequence)
            if one.lag is not None and one.lag_seconds is not None:
                lag.add_metric(names, one.lag)
                seconds.add_metric(names, one.lag_seconds)
        yield from (position, lag, seconds)


def metrics_handler(metrics: Metrics, link: Link, opened: Opened) -> HTTPRouteHandler:
    """GET /metrics, with positions and lag as they are when asked."""

    @get("/metrics")
    async def scrape(request: AnyRequest) -> Response[bytes]:
        now = CollectorRegistry()
        now.register(_Positions(await health_of(link, opened, ())))
        text = await asyncio.to_thread(generate_latest, metrics.registry) + generate_latest(now)
        return Response(text, media_type="text/plain; version=0.0.4", headers={"Cache-Control": "no-store"})

    return scrape
