"""The scenarios, by name. Each module holds `SUMMARY`, `add_arguments(parser)` and `run(arguments) -> Report`."""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import Protocol, cast

from loadtest.report import Report

NAMES = (
    "ingest",
    "whip",
    "growth",
    "workers",
    "flv_viewers",
    "node_media",
    "hls_viewers",
    "edge",
    "show",
    "glass",
    "rooms",
    "rooms_cpu",
    "bus",
    "bullets",
    "api",
    "orders",
    "pin",
    "relay",
    "faults",
    "day",
    "profile",
    "capacity",
)
# By name only: what two of them find is no figure to compare, and the third takes an hour.
ASIDE = ("fuzz", "attack", "soak")


class Scenario(Protocol):
    """What a scenario module offers."""

    SUMMARY: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Its own options, each with a default that ends within a few minutes."""
        ...

    def run(self, arguments: argparse.Namespace) -> Report:
        """Do it."""
        ...


def load(name: str) -> Scenario:
    """The scenario's module."""
    return cast(Scenario, import_module(f"loadtest.scenarios.{name}"))
