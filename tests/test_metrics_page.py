"""The metrics of all workers of a node, on one page."""

from __future__ import annotations

from prometheus_client.core import CounterMetricFamily
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from streamd.telemetry.metrics import Metrics
from streamd.telemetry.metrics_page import merge


def page(requests: int, *, extra: str = "") -> str:
    metrics = Metrics()
    metrics.http_requests.labels("api", '2"00}').inc(requests)
    metrics.http_seconds.labels("api").observe(0.003)
    if extra:
        metrics.collect_from(lambda: [CounterMetricFamily(extra, "Told by some only", value=7)])
    return metrics.render().decode()


def test_every_sample_says_its_worker_and_every_family_is_told_once() -> None:
    merged = merge({"0": page(3), "1": page(5, extra="streamd_rare")})
    families = list(text_string_to_metric_families(merged))
    assert len({family.name for family in families}) == len(families)
    counts = {
        sample.labels["worker"]: sample.value
        for family in families
        for sample in family.samples
        if sample.name == "streamd_http_requests_total"
    }
    assert counts == {"0": 3, "1": 5}
    assert all("worker" in sample.labels for family in families for sample in family.samples)
    assert any(family.name == "streamd_rare" for family in families)
    assert merged.count("# EOF") == 1


def test_nothing_but_the_label_is_added() -> None:
    told = page(1)
    assert merge({"0": told}).replace('worker="0",', "").replace('{worker="0"}', "") == told
