"""Reads what is in `deploy/`: compose, Kubernetes, the dashboard, the alerts, the Dockerfile."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
IMAGE = "streamd:local"


def compose() -> dict[str, Any]:
    """compose.yaml, with the variables that it asks for filled in."""
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    given = {"SERVER_NAME": "live.example.com", "PUBLIC_IP": "203.0.113.7"}
    text = re.sub(r"\$\{(\w+)(?::[?-]([^}]*))?\}", lambda found: given.get(found[1], found[2] or ""), text)
    read: dict[str, Any] = yaml.safe_load(text)
    return read


def objects() -> list[dict[str, Any]]:
    """All Kubernetes objects, the migration included, the kustomization not."""
    return [
        found
        for path in sorted(KUBERNETES.glob("*.yaml"))
        if path.name != "kustomization.yaml"
        for found in yaml.safe_load_all(path.read_text(encoding="utf-8"))
    ]


def of_kind(kind: str) -> dict[str, Any]:
    """By name."""
    return {found["metadata"]["name"]: found for found in objects() if found["kind"] == kind}


def pods() -> dict[str, dict[str, Any]]:
    """Pod templates' specs, by the name of what makes them."""
    made = of_kind("Deployment") | of_kind("Job")
    return {name: found["spec"]["template"]["spec"] for name, found in made.items()}


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    """Those that come first included."""
    return [*pod.get("initContainers", []), *pod["containers"]]


def dashboard() -> dict[str, Any]:
    """The Grafana dashboard."""
    read: dict[str, Any] = json.loads((DEPLOY / "grafana" / "streamd.json").read_text(encoding="utf-8"))
    return read


def rules() -> list[dict[str, Any]]:
    """The alert rules."""
    groups = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def adapter_rules() -> list[dict[str, Any]]:
    """What the HorizontalPodAutoscaler's figures are made of."""
    found: list[dict[str, Any]] = yaml.safe_load((DEPLOY / "prometheus" / "adapter.yaml").read_text(encoding="utf-8"))[
        "rules"
    ]
    return found


def queries() -> Iterator[tuple[str, str]]:
    """Where it stands, and the query."""
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", []):
            yield f"panel {panel['title']!r}", target["expr"]
    for variable in dashboard()["templating"]["list"]:
        if variable["type"] == "query":
            yield f"variable {variable['name']!r}", variable["query"]["query"]
    for rule in rules():
        yield f"alert {rule['alert']}", rule["expr"]
    for rule in adapter_rules():
        yield f"adapter {rule['name']['as']}", rule["seriesQuery"]


def dockerfile() -> list[tuple[str, str]]:
    """Instructions in their order, continued lines joined: ("COPY", "nginx/ /usr/share/streamd/nginx/")."""
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#")).replace("\\\n", " ").splitlines()
    parts = [line.strip().partition(" ") for line in lines if line.strip()]
    return [(word, " ".join(rest.split())) for word, _, rest in parts]
