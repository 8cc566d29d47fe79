"""Every metric the process exports, in one place, so that a dashboard's author can read this page and be done.

One registry a process, made by the composition root and handed down; nothing here is global. Counters on hot paths are
plain integers in their owners, read at scrape time through `Metrics.collect_from`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import Metric
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.registry import Collector

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"


class _Reader(Collector):
    def __init__(self, read: Callable[[], Iterable[Metric]]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        return self._read()

    def describe(self) -> Iterable[Metric]:
        # Nothing is registered by name ahead of time: what is read may differ between scrapes.
        return ()


class Metrics:
    """The process's metrics."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry(auto_describe=False)
        self.rtmp_connections = Gauge("streamd_rtmp_connections", "RTMP connections open now", registry=registry)
        self.rtmp_sessions = Counter(
            "streamd_rtmp_sessions", "RTMP sessions ended, by reason", ["reason"], registry=registry
        )
        self.publish_refused = Counter(
            "streamd_publish_refused", "Publish attempts refused, by reason", ["reason"], registry=registry
        )
        self.publications = Counter(
            "streamd_publications", "Publications started, by protocol", ["protocol"], registry=registry
        )
        self.http_requests = Counter(
            "streamd_http_requests", "HTTP answers, by area and status", ["area", "status"], registry=registry
        )
        self.http_seconds = Histogram(
            "streamd_http_seconds",
            "Time to answer, by area; blocked playlists wait on purpose",
            ["area"],
            registry=registry,
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 6),
        )
        self.loop_lag_seconds = Histogram(
            "streamd_loop_lag_seconds",
            "How late a timer of the event loop fires",
            registry=registry,
            buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
        )

        self.tasks = Gauge(
            "streamd_tasks", "asyncio tasks alive now: grows without end where one is never ended", registry=registry
        )

    def collect_from(self, read: Callable[[], Iterable[Metric]]) -> None:
        """Ask `read` for metric families at every scrape."""
        self.registry.register(_Reader(read))

    def render(self) -> bytes:
        """The page that `/metrics` answers."""
        page: bytes = generate_latest(self.registry)  # type: ignore[no-untyped-call]  # untyped upstream
        return page
