"""What several modules here need once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.phone import build_miniprogram


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The mini-program, as WeChat would load it."""
    out = tmp_path_factory.mktemp("miniprogram")
    build_miniprogram(out)
    return out
