"""What `deploy/` says fits together, and fits the program: settings, commands, ports, times, files."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from streamd.cli import app
from streamd.config import load
from streamd.settings import Settings
from tests.deploy.manifests import (
    DEPLOY,
    IMAGE,
    KUBERNETES,
    ROOT,
    compose,
    containers,
    dockerfile,
    objects,
    of_kind,
    pods,
)

_SUPERVISOR_S = 2  # what a supervisor gives its workers on top of STREAMD_SHUTDOWN_MS
_SECRETS = {
    "database_url": "mysql+aiomysql://streamd:secret@mariadb/streamd",
    "redis_url": "redis://:secret@redis:6379/0",
}
_FIELDS = {"status.podIP": "10.1.2.3", "status.hostIP": "203.0.113.7"}

Environment = dict[str, str]


def environments() -> Iterator[tuple[str, Environment]]:
    """The variables of every container of ours, by where they stand."""
    image = dict(part.split("=", 1) for word, rest in dockerfile() if word == "ENV" for part in rest.split())
    own = {name: value for name, value in image.items() if name.startswith("STREAMD_")}
    yield "Dockerfile", own
    for name, service in compose()["services"].items():
        if service["image"] == IMAGE:
            yield f"compose {name}", own | service.get("environment", {})
    maps = of_kind("ConfigMap")
    for name, pod in pods().items():
        for container in containers(pod):
            if container["image"] != IMAGE:
                continue
            given: Environment = dict(own)
            for source in container.get("envFrom", []):
                given |= maps[source["configMapRef"]["name"]]["data"]
            for entry in container.get("env", []):
                given[entry["name"]] = entry.get("value") or _FIELDS[entry["valueFrom"]["fieldRef"]["fieldPath"]]
            yield f"{name} {container['name']}", given


def settings_of(environment: Environment, folder: Path) -> Settings:
    """As streamd reads them, with files of secrets that are there."""
    for name, value in _SECRETS.items():
        (folder / name).write_text(value, encoding="utf-8")
    here = {
        name: str(folder / Path(value).name) if name.endswith("_FILE") else value for name, value in environment.items()
    }
    return load(environ=here, folder=folder)


def test_every_container_starts_with_settings_that_streamd_accepts(tmp_path: Path) -> None:
    found = dict(environments())
    assert {"compose streamd-1", "compose streamd-2", "streamd streamd", "streamd-migrate migrate"} <= found.keys()
    for environment in found.values():
        settings_of(environment, tmp_path)


def test_nodes_share_a_database_and_redis_and_believe_nginx_only(tmp_path: Path) -> None:
    found = dict(environments())
    for name in ("compose streamd-1", "compose streamd-2", "streamd streamd"):
        settings = settings_of(found[name], tmp_path)
        assert settings.database == _SECRETS["database_url"]
        assert settings.redis_url.get_secret_value() == _SECRETS["redis_url"]
        assert settings.http.behind_proxy
        assert settings.rtmp.behind_proxy
        assert settings.node_host
        assert settings.public_url.startswith("https://")


def commands() -> Iterator[tuple[str, list[str]]]:
    """What follows `streamd` in containers that keep the image's entry point."""
    yield "Dockerfile", yaml.safe_load(dict(dockerfile())["CMD"])
    for name, service in compose()["services"].items():
        if service["image"] == IMAGE and "entrypoint" not in service and "command" in service:
            yield name, service["command"]
    for name, pod in pods().items():
        for container in containers(pod):
            if container["image"] == IMAGE and "command" not in container:
                yield name, container["args"]


def test_commands_exist_and_the_entry_point_is_the_program() -> None:
    assert yaml.safe_load(dict(dockerfile())["ENTRYPOINT"]) == ["streamd"]
    known: dict[str, Any] = getattr(typer.main.get_command(app), "commands")  # noqa: B009  # typer's groups are untyped
    found = list(commands())
    assert len(found) >= 4
    for where, command in found:
        assert command[0] in known, where


def test_nginx_configurations_are_printed_from_these_arguments() -> None:
    service = compose()["services"]["nginx-configuration"]
    (container,) = pods()["nginx"]["initContainers"]
    for arguments in (service["command"], container["args"]):
        command = [sys.executable, str(ROOT / "nginx" / "render.py"), *arguments]
        text = subprocess.run(command, capture_output=True, check=True, text=True, timeout=20).stdout
        for node in [argument.partition("=")[2] for argument in arguments if argument.startswith("--node")]:
            assert f"server {node.partition(':')[0]}:8080" in text
            assert f"server {node.partition(':')[0]}:1935" in text


def test_there_is_time_to_stop(tmp_path: Path) -> None:
    found = dict(environments())
    for name, service in compose()["services"].items():
        if name.startswith("streamd-"):
            needed = settings_of(found[f"compose {name}"], tmp_path).shutdown_ms / 1_000 + _SUPERVISOR_S
            assert int(service["stop_grace_period"].removesuffix("s")) > needed
    pod = pods()["streamd"]
    (container,) = pod["containers"]
    before = int(container["lifecycle"]["preStop"]["exec"]["command"][-1])
    needed = before + settings_of(found["streamd streamd"], tmp_path).shutdown_ms / 1_000 + _SUPERVISOR_S
    assert pod["terminationGracePeriodSeconds"] > needed


def test_webrtc_ports_are_those_that_are_open(tmp_path: Path) -> None:
    found = dict(environments())
    ranges = []
    for name, service in compose()["services"].items():
        if not name.startswith("streamd-"):
            continue
        low, high = settings_of(found[f"compose {name}"], tmp_path).webrtc.udp_ports
        assert service["ports"] == [f"{low}-{high}:{low}-{high}/udp"]
        ranges.append(set(range(low, high + 1)))
    assert not ranges[0] & ranges[1]
    low, high = settings_of(found["streamd streamd"], tmp_path).webrtc.udp_ports
    (container,) = pods()["streamd"]["containers"]
    opened = [port for port in container["ports"] if port.get("protocol") == "UDP"]
    assert [port["hostPort"] for port in opened] == list(range(low, high + 1))
    assert all(port["hostPort"] == port["containerPort"] for port in opened)
    policy = of_kind("NetworkPolicy")["streamd"]["spec"]["ingress"]
    assert [{"port": low, "endPort": high, "protocol": "UDP"}] in [rule["ports"] for rule in policy]


def test_what_compose_names_is_declared() -> None:
    found = compose()
    for name, service in found["services"].items():
        assert set(service.get("secrets", [])) <= found["secrets"].keys(), name
        assert set(service.get("networks", [])) <= found["networks"].keys(), name
        assert set(service.get("depends_on", {})) <= found["services"].keys(), name
        sources = {volume.partition(":")[0] for volume in service.get("volumes", [])}
        assert sources <= found["volumes"].keys(), name
    (subnet,) = found["networks"]["inside"]["ipam"]["config"]
    for name in ("streamd-1", "streamd-2"):
        service = found["services"][name]
        address = service["networks"]["inside"]["ipv4_address"]
        assert address == service["environment"]["STREAMD_NODE_HOST"]
        assert address.startswith(subnet["subnet"].rpartition(".")[0])
        assert f"--node={address}" in found["services"]["nginx-configuration"]["command"]


def test_only_nginx_and_webrtc_are_published() -> None:
    for name, service in compose()["services"].items():
        if name != "nginx":
            assert all(port.endswith("/udp") for port in service.get("ports", [])), name


def test_no_secret_is_written_in_a_variable() -> None:
    for name, service in compose()["services"].items():
        for variable in service.get("environment", {}):
            if re.search("PASSWORD|SECRET|DATABASE_URL|REDIS_URL", variable):
                assert variable.endswith("_FILE"), f"{name}: {variable}"


def test_passwords_are_made_once_and_belong_together(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"

    def make() -> dict[str, str]:
        subprocess.run(["sh", str(DEPLOY / "make-secrets.sh"), str(folder)], check=True, timeout=20)
        return {path.name: path.read_text(encoding="utf-8").strip() for path in folder.iterdir()}

    made = make()
    assert make() == made
    assert f":{made['mariadb_password']}@mariadb/streamd" in made["database_url"]
    assert f":{made['redis_password']}@redis:6379" in made["redis_url"]
    assert made["redis.conf"].startswith(f"requirepass {made['redis_password']}\n")
    assert len(set(made.values())) == len(made)
    declared = {Path(secret["file"]).name for secret in compose()["secrets"].values()}
    assert {name for name in declared if "certificate" not in name} == made.keys()
    load(environ={"STREAMD_DATABASE_URL_FILE": str(folder / "database_url")}, folder=tmp_path)
    assert folder.stat().st_mode & 0o777 == 0o700


def test_docker_itself_accepts_the_compose_file() -> None:
    """Where its compose command is installed; the tests above look at the file by themselves."""
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True, timeout=20).returncode:
        assert compose()["name"] == "streamd"
        return
    environment = {"SERVER_NAME": "live.example.com", "PATH": "/usr/bin:/usr/local/bin"}
    command = [docker, "compose", "--file", str(DEPLOY / "compose.yaml"), "config", "--quiet"]
    subprocess.run(command, check=True, env=environment, timeout=60)


# --- Kubernetes ---


def test_the_kustomization_names_every_file_but_the_migration() -> None:
    named = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text(encoding="utf-8"))["resources"]
    there = {path.name for path in KUBERNETES.glob("*.yaml")}
    assert set(named) == there - {"kustomization.yaml", "migrate.yaml"}
    assert all(found["apiVersion"] and found["kind"] and found["metadata"]["name"] for found in objects())


@pytest.mark.parametrize("name", sorted(pods()))
def test_pods_mount_what_they_have_and_run_as_nobody(name: str) -> None:
    pod = pods()[name]
    volumes = {volume["name"] for volume in pod["volumes"]}
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["enableServiceLinks"] is False  # or variables of Services look like settings
    for container in containers(pod):
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_services_find_their_pods_and_ports() -> None:
    deployments = of_kind("Deployment")
    for name, service in of_kind("Service").items():
        app_label = service["spec"]["selector"]["app"]
        pod = deployments[app_label]["spec"]["template"]
        assert pod["metadata"]["labels"]["app"] == app_label
        ports = {port["name"] for container in pod["spec"]["containers"] for port in container["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports, name


def test_scaling_and_budgets_are_about_deployments_that_exist() -> None:
    deployments = of_kind("Deployment")
    for name, scaler in of_kind("HorizontalPodAutoscaler").items():
        assert scaler["spec"]["scaleTargetRef"]["name"] in deployments
        assert "replicas" not in deployments[name]["spec"]  # or each rollout undoes what the scaler did
    for budget in of_kind("PodDisruptionBudget").values():
        assert budget["spec"]["selector"]["matchLabels"]["app"] in deployments


# --- the image ---


def test_the_image_is_made_of_files_that_exist() -> None:
    copied = [rest for word, rest in dockerfile() if word == "COPY" and not rest.startswith("--from")]
    sources = [source for rest in copied for source in rest.split()[:-1]]
    assert len(sources) > 8
    for source in sources:
        assert (ROOT / source).exists(), source
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    let_in = {line[1:].removesuffix("/**") for line in ignored if line.startswith("!")}
    assert {source.partition("/")[0] for source in sources} == let_in


def test_the_image_installs_what_the_lock_names_and_runs_as_nobody() -> None:
    runs = " ".join(rest for word, rest in dockerfile() if word == "RUN")
    assert "--require-hashes" in runs
    assert "npm ci" in runs
    users = [rest for word, rest in dockerfile() if word == "USER"]
    assert users == ["10001:10001"]
    security = pods()["streamd"]["securityContext"]
    assert f"{security['runAsUser']}:{security['runAsGroup']}" == users[0]


def test_no_file_says_where_packages_come_from() -> None:
    for path in DEPLOY.rglob("*"):
        if path.is_file() and "secrets" not in path.parts:
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"index-url|--registry|registry\.|pypi\.|npmjs", text), path
