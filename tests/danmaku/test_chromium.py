"""The stock browser bundle of socket.io-client in Chromium: joins, speaks, hears, comes back and misses nothing."""

from __future__ import annotations

import asyncio
import shutil

from playwright.async_api import async_playwright

from tests.danmaku.test_clients import WEB
from tests.support.rooms import room_node

PAGE = """
async ([url]) => {
  const out = { welcomes: [], notices: [] };
  let position = null;
  const socket = io(url, {
    transports: ["websocket"], reconnectionDelay: 50, reconnectionDelayMax: 100,
    auth: (give) => give({ room: "demo", token: "browser", ...(position ? { resume: position } : {}) }),
  });
  socket.on("welcome", (w) => { out.welcomes.push(w.recovered); position = { epoch: w.epoch, seq: w.seq }; });
  socket.on("notice", (n) => { out.notices.push(n.n); position.seq = n.seq; });
  await new Promise((done) => socket.once("welcome", done));
  out.ack = await socket.emitWithAck("danmaku", { id: "b1", text: "浏览器" });
  window.out = out;
  window.drop = () => socket.io.engine.close();
}
"""


async def test_browser_joins_and_after_a_break_has_everything_once() -> None:
    chromium = shutil.which("chromium")
    assert chromium, "install chromium: rooms are tested in a real browser"
    bundle = WEB / "node_modules" / "socket.io-client" / "dist" / "socket.io.min.js"
    assert bundle.exists(), "run `npm ci` in streamd/web: rooms are tested with its socket.io-client"
    async with room_node() as node, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = await browser.new_page()
        await page.goto(f"{node.url}/nothing")
        await page.add_script_tag(path=bundle)
        await page.evaluate(PAGE, [node.url])
        for n in range(3):
            await node.gateway.publish("demo", "notice", {"n": n})
        for turn in range(3):
            await page.evaluate("drop()")
            for n in range(3 + 4 * turn, 7 + 4 * turn):
                await node.gateway.publish("demo", "notice", {"n": n})
            await page.wait_for_function("(count) => out.notices.length >= count", arg=7 + 4 * turn, timeout=10_000)
        await asyncio.sleep(0.1)
        out = await page.evaluate("out")
        await browser.close()
        assert out["ack"] == {"ok": True, "seq": 1}
        assert out["notices"] == list(range(15))
        assert out["welcomes"] == [False, True, True, True]
