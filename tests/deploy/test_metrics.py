"""Every metric that the dashboard, the alerts and the autoscaler name is one that a running server exports."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import socketio
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.deploy.manifests import ROOT, adapter_rules, dashboard, dockerfile, of_kind, pods, queries, rules
from tests.support.encoder import clip, pushing
from tests.support.redis import redis_server
from tests.support.server import RunningServer, start_server
from tests.support.web import eventually, get

# Of Prometheus itself, or added by it and by the page that merges workers.
_FOREIGN_METRICS = {"up"}
_FOREIGN_LABELS = {"job", "instance", "worker", "namespace", "pod", "le"}
_SUFFIX = re.compile(r"_(total|bucket|count|sum|created)$")
_WORDS = {"sum", "max", "min", "by", "rate", "increase", "histogram_quantile", "label_values", "on", "and", "or", "for"}


class Scrape(NamedTuple):
    """What `/metrics` of a server said that had an encoder, a player and a member."""

    types: dict[str, str]  # by family
    labels: dict[str, set[str]]  # by family, of the samples that were there
    probes: dict[str, int]
    healthcheck: int


@pytest.fixture(scope="module")
def scrape(tmp_path_factory: pytest.TempPathFactory) -> Scrape:
    return asyncio.run(_scrape(tmp_path_factory.mktemp("scraped")))


async def _scrape(folder: Path) -> Scrape:
    async with redis_server() as redis:
        with start_server(folder, env={"STREAMD_REDIS_URL": redis.url}) as server:
            member = socketio.AsyncClient()
            try:
                await member.connect(server.http_url, auth={"room": "demo"}, transports=["websocket"], wait_timeout=10)
                with pushing(f"{server.rtmp_url}/demo-key", clip()):
                    address = f"{server.http_url}/live/demo/index.m3u8"
                    await asyncio.to_thread(
                        eventually, lambda: get(address), lambda answer: answer.status == 200, what="a playlist"
                    )
                    return await asyncio.to_thread(_read, server)
            finally:
                await member.disconnect()


def _read(server: RunningServer) -> Scrape:
    types: dict[str, str] = {}
    labels: dict[str, set[str]] = defaultdict(set)
    page = get(f"{server.http_url}/metrics").body.decode()
    for family in text_string_to_metric_families(page):
        types[family.name] = family.type
        for sample in family.samples:
            labels[family.name].update(sample.labels)
    probes = {path: get(f"{server.http_url}{path}").status for path in ("/healthz", "/readyz", "/metrics")}
    return Scrape(types, labels, probes, _healthcheck(server))


def _healthcheck(server: RunningServer) -> int:
    """The exit code of the image's own."""
    text = dict(dockerfile())["HEALTHCHECK"].partition(" CMD ")[2]
    command = [sys.executable, *json.loads(text)[1:]]
    return subprocess.run(command, env=server.environ, timeout=20).returncode


class Selector(NamedTuple):
    where: str
    metric: str
    matchers: dict[str, str]

    @property
    def family(self) -> str:
        return _SUFFIX.sub("", self.metric)


def selectors() -> Iterator[Selector]:
    for where, query in queries():
        text = re.sub(r"\b(by|without|on)\s*\([^)]*\)", "", query)
        if query.startswith("label_values"):
            text = text.partition(",")[0]
        for metric, inside in re.findall(
            r"([a-z_]{2,})\s*(?:\{([^}]*)\})?(?!\w|\s*\()", re.sub(r'"[^"{}]*"', _kept, text)
        ):
            if metric in _WORDS or metric.startswith("_"):
                continue
            yield Selector(where, metric, dict(re.findall(r"(\w+)\s*(?:!=|=~|!~|=)\s*<([^>]*)>", inside)))


def _kept(quoted: re.Match[str]) -> str:
    """Quotes as brackets, so that what stands in them is no name."""
    return "<" + quoted[0][1:-1].upper() + ">"


def test_every_metric_named_is_exported(scrape: Scrape) -> None:
    named = {(one.where, one.metric) for one in selectors() if one.metric not in _FOREIGN_METRICS}
    assert len(named) > 40
    for where, metric in named:
        family = _SUFFIX.sub("", metric)
        assert family in scrape.types, f"{where} asks for {metric}"
        kind = scrape.types[family]
        ending = metric.removeprefix(family)
        assert ending in {"counter": {"_total"}, "gauge": {""}, "histogram": {"_bucket", "_count", "_sum"}}[kind], where


def test_every_label_asked_for_is_on_its_metric(scrape: Scrape) -> None:
    for one in selectors():
        known = scrape.labels.get(one.family) or set()
        for label in one.matchers.keys() - _FOREIGN_LABELS:
            assert not known or label in known, f"{one.where}: {one.metric} has no {label}"
    for where, query in queries():
        grouped = {name for inside in re.findall(r"\bby\s*\(([^)]*)\)", query) for name in re.findall(r"\w+", inside)}
        known = set().union(*(scrape.labels.get(_SUFFIX.sub("", name), set()) for name in _metrics_of(query)))
        declared = set().union(*(_labels_in_source(name) for name in _metrics_of(query)))
        assert grouped <= known | declared | _FOREIGN_LABELS, where


def _metrics_of(query: str) -> list[str]:
    return re.findall(r"streamd_[a-z_]+", query)


def _labels_in_source(metric: str) -> set[str]:
    """Names of labels beside the metric's name: those of families that have no sample before their first use."""
    name = re.escape(_SUFFIX.sub("", metric))
    found = re.findall(rf'"{name}",(?:[^()]|\([^)]*\))*', _source())
    return {word for text in found for word in re.findall(r'"([a-z]+)"', text)}


def _source() -> str:
    folders = [ROOT / name for name in ("streamd", "danmaku", "rtmp_ingest", "hls_packager")]
    paths = [path for folder in folders for path in folder.rglob("*.py") if "node_modules" not in path.parts]
    return "\n".join(path.read_text(encoding="utf-8") for path in paths)


def test_values_that_alerts_wait_for_are_said_by_the_code() -> None:
    source = _source()
    waited = {
        value
        for rule in rules()
        for label, value in re.findall(r'(\w+)="([^"]*)"', rule["expr"])
        if label not in _FOREIGN_LABELS and label != "class"
    }
    assert waited >= {"dead", "forged", "paused"}
    for value in waited:
        assert f'"{value}"' in source, value


def test_what_the_autoscaler_asks_is_made_by_the_adapter() -> None:
    made = {rule["name"]["as"] for rule in adapter_rules()}
    asked = {
        metric["pods"]["metric"]["name"] for metric in of_kind("HorizontalPodAutoscaler")["streamd"]["spec"]["metrics"]
    }
    assert asked == made


def test_probes_ask_what_the_server_answers(scrape: Scrape) -> None:
    assert set(scrape.probes.values()) == {200}
    (container,) = pods()["streamd"]["containers"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["path"] in scrape.probes


def test_the_image_is_healthy_when_its_server_is(scrape: Scrape) -> None:
    assert scrape.healthcheck == 0


def test_panels_of_the_dashboard_have_numbers_and_places_of_their_own() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}) == len(panels)


def test_parentheses_of_queries_close() -> None:
    for where, query in queries():
        for opening, closing in ("()", "[]", "{}"):
            assert query.count(opening) == query.count(closing), where


def test_every_alert_is_explained_in_the_runbook() -> None:
    runbook = (ROOT / "deploy" / "README.md").read_text(encoding="utf-8")
    for rule in rules():
        assert f"**{rule['alert']}**" in runbook, rule["alert"]
        assert rule["labels"]["severity"] in ("page", "look")
