"""The pages: the built front end, served as it lies in `streamd/web/dist`.

Every page address answers the same `index.html`; the router inside decides. What is under `/assets/` carries a hash of
its content in its name and may be kept for ever. Where a file has a compressed sibling (`make web` makes them once),
aiohttp sends that one.
"""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

from streamd.api.routes import Route
from streamd.errors import NotFoundError

PAGES = ("/", "/watch/{room}", "/studio", "/studio/{room}", "/admin")
NOT_BUILT = """<!doctype html><html lang=en><meta charset=utf-8><title>streamd: pages not built</title>
<h1>The pages are not built yet</h1>
<p>The server is running: encoders can push to it, players and the API work.
Only the pages are missing, because <code>streamd/web/dist</code> does not exist.</p>
<p>Run <code>make web</code> in the checkout (it needs Node 20.19 or newer, and npm), then load this page again.</p>
<p>Meanwhile: <a href="/api/v1/rooms?on_air=true">rooms on air</a> · <a href="/api/docs">API</a></p>
"""


class Pages:
    """The handlers over one folder, which may be missing or appear while the server runs."""

    def __init__(self, *, folder: Path) -> None:
        self._folder = folder

    @property
    def is_built(self) -> bool:
        """Whether there is anything to serve."""
        return (self._folder / "index.html").is_file()

    def routes(self) -> list[Route]:
        pages = [
            Route(
                method="GET",
                path=path,
                handler=self.page,
                summary="A page",
                area="pages",
                documented=False,
            )
            for path in PAGES
        ]
        files = {"/assets/{name:[A-Za-z0-9._-]+}": self.asset, "/{name:[A-Za-z0-9_-]+[.][a-z0-9]+}": self.file}
        return pages + [
            Route(method="GET", path=path, handler=handler, summary="A file", area="pages", documented=False)
            for path, handler in files.items()
        ]

    async def page(self) -> web.StreamResponse:
        """`index.html`, asked for anew each time: it names the assets of this build."""
        if not self.is_built:
            return web.Response(status=503, text=NOT_BUILT, content_type="text/html", charset="utf-8")
        return web.FileResponse(self._folder / "index.html", headers={"Cache-Control": "no-cache"})

    def missing(self) -> web.Response | None:
        """`index.html` with status 404: the router inside says that there is nothing here."""
        if not self.is_built:
            return None
        document = (self._folder / "index.html").read_bytes()  # a few hundred bytes, in the kernel's cache
        headers = {"Cache-Control": "no-cache"}
        return web.Response(status=404, body=document, content_type="text/html", charset="utf-8", headers=headers)

    async def asset(self, *, name: str) -> web.StreamResponse:
        """A file that never changes under its name."""
        return self._send(self._folder / "assets" / name, cache="public, max-age=31536000, immutable")

    async def file(self, *, name: str) -> web.StreamResponse:
        """favicon.ico, robots.txt and their like, at the top of the folder."""
        return self._send(self._folder / name, cache="public, max-age=3600")

    def _send(self, path: Path, *, cache: str) -> web.StreamResponse:
        # The patterns of the routes leave no way out of the folder: no slash, and no name that begins with a dot.
        if path.name.startswith(".") or not path.is_file():
            raise NotFoundError(f"there is no file {path.name[:100]!r}", fix="load the page again", code="file_unknown")
        return web.FileResponse(path, headers={"Cache-Control": cache})
