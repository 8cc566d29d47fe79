"""The built front end, served."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from streamd.accounts.rooms import Rooms
from tests.api.support import serve


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    folder = tmp_path / "dist"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><div id=app></div>", encoding="utf-8")
    (folder / "favicon.ico").write_bytes(b"icon")
    (folder / "assets" / "main-abc123.js").write_text("let text = 'x'" * 100, encoding="utf-8")
    (folder / "assets" / "main-abc123.js.gz").write_bytes(gzip.compress(b"let text = 'x'" * 100))
    (folder / "assets" / ".hidden").write_text("no", encoding="utf-8")
    (tmp_path / "secret.txt").write_text("no", encoding="utf-8")
    return folder


@pytest.mark.parametrize("path", ["/", "/watch/demo", "/studio", "/studio/demo", "/admin"])
async def test_every_page_address_answers_the_same_document(rooms: Rooms, dist: Path, path: str) -> None:
    async with serve(rooms, dist=dist) as client:
        answer = await client.get(path)
        assert (answer.status, answer.content_type) == (200, "text/html")
        assert "id=app" in await answer.text()
        assert answer.headers["Cache-Control"] == "no-cache"


async def test_page_that_has_not_changed_is_not_sent_again(rooms: Rooms, dist: Path) -> None:
    async with serve(rooms, dist=dist) as client:
        tag = (await client.get("/")).headers["ETag"]
        assert (await client.get("/", headers={"If-None-Match": tag})).status == 304


async def test_asset_is_kept_for_ever_and_sent_compressed(rooms: Rooms, dist: Path) -> None:
    async with serve(rooms, dist=dist) as client:
        answer = await client.get("/assets/main-abc123.js", headers={"Accept-Encoding": "gzip"})
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert answer.headers["Content-Encoding"] == "gzip"
        assert int(answer.headers["Content-Length"]) < 200
        assert await answer.text() == "let text = 'x'" * 100
        plain = await client.get("/assets/main-abc123.js", headers={"Accept-Encoding": "identity"})
        assert "Content-Encoding" not in plain.headers


async def test_files_at_the_top_are_served(rooms: Rooms, dist: Path) -> None:
    async with serve(rooms, dist=dist) as client:
        assert await (await client.get("/favicon.ico")).read() == b"icon"


@pytest.mark.parametrize(
    "path",
    ["/assets/missing.js", "/assets/.hidden", "/assets/..%2f..%2fsecret.txt", "/..%2fsecret.txt", "/robots.txt"],
)
async def test_nothing_else_is_served(rooms: Rooms, dist: Path, path: str) -> None:
    async with serve(rooms, dist=dist) as client:
        answer = await client.get(path)
        assert (answer.status, answer.content_type) == (404, "application/problem+json")


async def test_missing_build_is_explained_and_appears_without_a_restart(rooms: Rooms, tmp_path: Path) -> None:
    folder = tmp_path / "later"
    async with serve(rooms, dist=folder) as client:
        answer = await client.get("/watch/demo")
        assert answer.status == 503
        assert "make web" in await answer.text()
        folder.mkdir()
        (folder / "index.html").write_text("here", encoding="utf-8")
        assert await (await client.get("/watch/demo")).text() == "here"


async def test_dead_link_shows_people_the_page_and_programs_the_problem(rooms: Rooms, dist: Path) -> None:
    async with serve(rooms, dist=dist) as client:
        page = await client.get("/wach/demo", headers={"Accept": "text/html,*/*;q=0.8"})
        assert (page.status, page.content_type) == (404, "text/html")
        assert "id=app" in await page.text()
        assert "script-src 'self'" in page.headers["Content-Security-Policy"]
        for path, accept in [("/wach/demo", "application/json"), ("/api/v1/nothing", "text/html")]:
            answer = await client.get(path, headers={"Accept": accept})
            assert (answer.status, (await answer.json())["code"]) == (404, "address_unknown")


async def test_pages_may_load_what_the_site_serves_and_nothing_else(rooms: Rooms, dist: Path) -> None:
    async with serve(rooms, dist=dist) as client:
        policy = (await client.get("/")).headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "connect-src 'self' wss://live.example.com;" in policy
