"""The secret of an installation."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from streamd.accounts.node_secret import FILE_NAME, open_node_secret
from streamd.accounts.stream_keys import KEY_SHAPE
from streamd.errors import SettingsError


def test_secret_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    first = open_node_secret(tmp_path).programme_pass("demo")
    assert open_node_secret(tmp_path).programme_pass("demo") == first
    assert stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_pass_is_good_for_one_room_of_one_installation(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    ours, other = open_node_secret(tmp_path), open_node_secret(tmp_path / "other")
    passes = {ours.programme_pass("demo"), ours.programme_pass("demo2"), other.programme_pass("demo")}
    assert len(passes) == 3
    assert all(KEY_SHAPE.fullmatch(one) for one in passes)


def test_processes_that_make_it_at_once_get_the_same_one(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        passes = set(pool.map(lambda _: open_node_secret(tmp_path).programme_pass("demo"), range(32)))
    assert len(passes) == 1


def test_damaged_or_unreadable_secret_is_explained(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"short")
    with pytest.raises(SettingsError, match="is damaged"):
        open_node_secret(tmp_path)
    with pytest.raises(SettingsError, match="cannot be read or made"):
        open_node_secret(tmp_path / "nowhere")
