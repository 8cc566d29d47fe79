#!/usr/bin/env python3
"""Prints an nginx configuration for one or many streamd nodes: python3 nginx/render.py --help

Standard library only, so that it runs on the machine that nginx is on. What the configuration does, and why, is in
README.md beside this file.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

TEMPLATE = Path(__file__).with_name("nginx.conf.template")
_NODE = re.compile(r"(?P<host>\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+)(?::(?P<http>\d+))?(?::(?P<rtmp>\d+))?")
_NAME = re.compile(r"[A-Za-z0-9*_.-]+")
_MARK = re.compile(r"@([A-Z_]+)@")


def main() -> int:
    """Exit code 2 for what cannot be rendered."""
    arguments = _parser().parse_args()
    try:
        text = render(arguments)
    except ValueError as error:
        print(f"render.py: {error}", file=sys.stderr)
        return 2
    sys.stdout.write(text)
    return 0


def render(arguments: argparse.Namespace) -> str:
    """The configuration. Raises ValueError that names what is wrong."""
    if not _NAME.fullmatch(arguments.server_name):
        raise ValueError(f"{arguments.server_name!r} is not a host name. Fix: --server-name live.example.com")
    nodes = [_node(text) for text in arguments.node]
    folders = {"RUN": arguments.run_dir, "LOG": arguments.log_dir, "CACHE": arguments.cache_dir}
    files = {"CERTIFICATE": arguments.certificate, "KEY": arguments.key}
    for option, path in {**folders, **files}.items():
        if re.search(r"[\s;{}$'\"]", path):
            raise ValueError(f"{option.lower()}: {path!r} has characters that nginx reads otherwise. Fix: a plain path")
    temporary = "\n".join(
        f"    {kind}_temp_path {arguments.cache_dir}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    values = {
        **folders,
        **files,
        "USER": f"user {arguments.user};" if arguments.user else "",
        "CACHE_SIZE": arguments.cache_size,
        "SERVER_NAME": arguments.server_name,
        "HTTP_PORT": str(arguments.http_port),
        "HTTPS_PORT": str(arguments.https_port),
        "HTTPS_SUFFIX": "" if arguments.https_port == 443 else f":{arguments.https_port}",
        "RTMP_PORT": str(arguments.rtmp_port),
        "RTMPS_PORT": str(arguments.rtmps_port),
        "TEMP_PATHS": temporary,
        "HTTP_NODES": _servers([(host, http) for host, http, _ in nodes]),
        "RTMP_NODES": _servers([(host, rtmp) for host, _, rtmp in nodes]),
    }
    return _MARK.sub(lambda mark: values[mark[1]], TEMPLATE.read_text(encoding="utf-8"))


def _node(text: str) -> tuple[str, str, str]:
    match = _NODE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a node. Fix: HOST, HOST:HTTP_PORT or HOST:HTTP_PORT:RTMP_PORT")
    return match["host"], match["http"] or "8080", match["rtmp"] or "1935"


def _servers(addresses: list[tuple[str, str]]) -> str:
    return "\n".join(f"        server {host}:{port} max_fails=2 fail_timeout=5s;" for host, port in addresses)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Print an nginx configuration for streamd.")
    parser.add_argument("--server-name", required=True, help="the name in the certificate: live.example.com")
    parser.add_argument("--certificate", required=True, help="PEM file: the certificate and its chain")
    parser.add_argument("--key", required=True, help="PEM file: its key")
    parser.add_argument(
        "--node", action="append", required=True, metavar="HOST[:HTTP[:RTMP]]", help="a streamd; give it once for each"
    )
    parser.add_argument("--cache-dir", default="/var/cache/nginx/streamd", help="best in memory: a tmpfs")
    parser.add_argument("--cache-size", default="2g", help="of media; a minute of every watched stream fits in")
    parser.add_argument("--user", default="www-data", help="whom the workers run as; empty: as nginx was started")
    parser.add_argument("--run-dir", default="/run", help="where nginx.pid goes")
    parser.add_argument("--log-dir", default="/var/log/nginx")
    parser.add_argument("--http-port", type=int, default=80)
    parser.add_argument("--https-port", type=int, default=443)
    parser.add_argument("--rtmp-port", type=int, default=1935)
    parser.add_argument("--rtmps-port", type=int, default=1936)
    return parser


if __name__ == "__main__":
    sys.exit(main())
