"""A phone with the built mini-program on it: Node behind a `wx` of real sockets, told what its user does."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

WEB = Path(__file__).parents[2] / "streamd" / "web"
SHIM = Path(__file__).with_name("wx_shim.js")
ROOM, PRODUCT, PAY, ME = (f"pages/{name}/index" for name in ("room", "product", "pay", "me"))


def build_miniprogram(out: Path) -> None:
    """For an address that the phone's resolver sends to whichever server it is given."""
    assert shutil.which("node"), "install nodejs: the mini-program is run in it"
    assert (WEB / "node_modules" / "ws").exists(), (
        "run `npm ci` in streamd/web: the mini-program's socket here is its ws"
    )
    env = os.environ | {"MINIPROGRAM_ORIGIN": "https://streamd.test", "MINIPROGRAM_OUT": str(out)}
    subprocess.run(["node", "miniprogram/build.mjs"], cwd=WEB, env=env, check=True, timeout=60)


class Phone:
    """A mini-program that runs, told what its user does."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._number = 0

    async def do(self, deed: str, *args: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._number += 1
        self._process.stdin.write(json.dumps({"id": self._number, "do": deed, "args": args}).encode() + b"\n")
        async with asyncio.timeout(30):
            line = await self._process.stdout.readline()
        answer = json.loads(line)
        assert "error" not in answer, answer
        return answer["result"]

    async def sees(self, page: str, holds: Callable[[Any], object], *, what: str, within_s: float = 15) -> Any:
        """Wait until what the page was given by setData is so."""
        data: Any = None
        try:
            async with asyncio.timeout(within_s):
                while not holds(data := await self.do("data", page)):  # noqa: ASYNC110 - a page tells nobody
                    await asyncio.sleep(0.05)
        except TimeoutError:
            shown = {name: value for name, value in data.items() if name != "w"}  # without its words
            raise AssertionError(f"{what} was not seen; the page shows {json.dumps(shown)[:2_000]}") from None
        return data

    async def reads(self, text: str, *, within_s: float = 15) -> None:
        await self.sees(ROOM, lambda data: text in texts(data), what=repr(text), within_s=within_s)

    async def say(self, text: str) -> None:
        """Resolves when it is judged, or given back."""
        await self.do("call", ROOM, "onDraft", {"detail": {"value": text}})
        await self.do("call", ROOM, "say", {})

    async def begin_to_say(self, text: str) -> None:
        await self.do("call", ROOM, "onDraft", {"detail": {"value": text}})
        await self.do("start", ROOM, "say", {})

    async def enter(self, room: str) -> None:
        await self.do("open", ROOM, {"room": room})
        await self.sees(ROOM, lambda data: data["title"] and not data["banner"], what="the room")


def texts(data: Any) -> list[str]:
    return [line["text"] for line in data["lines"]]


@asynccontextmanager
async def phone(built: Path, url: str, who: str) -> AsyncIterator[Phone]:
    process = await asyncio.create_subprocess_exec(
        "node",
        os.fspath(SHIM),
        os.fspath(built),
        url,
        os.fspath(WEB / "node_modules"),
        who,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 22,
    )
    try:
        yield Phone(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(30):
                await process.wait()
        except TimeoutError:
            process.kill()
