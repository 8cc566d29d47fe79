"""What operators see of rooms: metric families, made at scrape time from the integers that the owners count in.

Rooms are not labels (there may be thousands); classes and reasons are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from streamd.cluster.bus import CLASS_NAMES

if TYPE_CHECKING:
    from danmaku.gateway import RoomGateway


def families(gateway: RoomGateway) -> Iterator[Metric]:
    """All families of one gateway."""
    tables = list(gateway.tables)
    audiences = [table.line.audience for table in tables]
    yield _gauge("streamd_room_connections", "Connections to rooms, of both transports", gateway.server.connections)
    yield _gauge("streamd_room_active", "Rooms with members on this node", len(tables))
    yield _gauge("streamd_room_members", "Members on this node", sum(len(each) for each in audiences))
    yield _gauge(
        "streamd_room_lagging", "Members who do not keep up now", sum(each.lagging_count for each in audiences)
    )
    yield _gauge("streamd_room_alone", "Rooms that go on without the bus", sum(t.line.is_alone for t in tables))
    totals = gateway.tables.totals()
    yield _counter("streamd_room_delivered", "Packets written to members", totals.delivered)
    yield _counter("streamd_room_repairs", "Times a room fetched what it had missed", totals.repairs)
    yield _counter("streamd_room_joins", "Members seated", gateway.entrance.joins)
    yield _counter("streamd_room_spoken", "Danmaku that got a number", gateway.speech.spoken)
    shed = dict(zip(CLASS_NAMES, totals.shed, strict=True))
    yield _labelled("streamd_room_shed", "Events withheld from members who did not keep up", "class", shed)
    yield _labelled("streamd_room_aborted", "Members cut off", "reason", totals.aborted)
    yield _labelled("streamd_room_gone", "Connections ended", "reason", gateway.entrance.gone)
    yield _labelled("streamd_room_refused_joins", "Joins refused", "code", gateway.entrance.refused)
    yield _labelled("streamd_room_refused_danmaku", "Danmaku refused", "code", gateway.speech.refusals)
    yield _labelled("streamd_room_reviews", "Danmaku asked about outside", "outcome", gateway.speech.reviews)
    yield _counter("streamd_room_ping_timeouts", "Members who fell silent", gateway.wheel.timeouts)
    yield _counter("streamd_room_never_joined", "Connections that joined no room in time", gateway.wheel.never_joined)


def _gauge(name: str, text: str, value: int) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _counter(name: str, text: str, value: int) -> Metric:
    return CounterMetricFamily(name, text, value=value)


def _labelled(name: str, text: str, label: str, values: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=[label])
    for value, count in sorted(values.items()):
        family.add_metric([value], count)
    return family
