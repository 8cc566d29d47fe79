"""Plain HTTP for tests that talk to a real server from outside."""

from __future__ import annotations

import gzip
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes

    @property
    def text(self) -> str:
        return (gzip.decompress(self.body) if self.headers.get("content-encoding") == "gzip" else self.body).decode()

    def json(self) -> Any:
        return json.loads(self.text)


def get(url: str, *, timeout: float = 10, headers: dict[str, str] | None = None) -> Answer:
    """GET; an error status is an answer like any other."""
    request = urllib.request.Request(url, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            return Answer(response.status, {k.lower(): v for k, v in response.headers.items()}, response.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, {k.lower(): v for k, v in error.headers.items()}, error.read())


# Some machines give us a quarter of their time: then things are slow, not broken.
_PATIENCE = 4


def eventually(read: Callable[[], T], holds: Callable[[T], bool], *, seconds: float = 15, what: str = "") -> T:
    """Ask until `holds`; the last value is in the failure. `seconds` is how long it takes where the machine is ours."""
    deadline = time.monotonic() + _PATIENCE * seconds
    while True:
        value = read()
        if holds(value):
            return value
        assert time.monotonic() < deadline, f"{what or 'condition'} did not come to hold; last: {value!r}"
        time.sleep(0.05)
