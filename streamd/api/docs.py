"""`/api/openapi.json` for programs and `/api/docs` for people.

The page is plain HTML made from the description at start: no script, nothing fetched from elsewhere, so its content
security policy allows its own style and nothing more.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from html import escape

import orjson
from aiohttp import web

from streamd.api.openapi import Document, describe
from streamd.api.routes import Route

_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h2 { margin-top: 2.5rem; border-bottom: 1px solid #8884; padding-bottom: .3rem }
h2 code { font-size: 1rem }
.method { font: 700 .8rem/1 ui-monospace, monospace; border: 1px solid; border-radius: .3rem; padding: .15rem .4rem }
table { border-collapse: collapse; width: 100% }
td, th { text-align: left; vertical-align: top; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid #8882 }
td:first-child { white-space: nowrap }
a { color: inherit }
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode("ascii")
_POLICY = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; frame-ancestors 'none'"


class DocsApi:
    """The two handlers; `routes` is everything that is to be described, their own included."""

    def __init__(self, *, version: str, server: str) -> None:
        self._version = version
        self._server = server
        self._json = b""
        self._page = ""

    def routes(self) -> list[Route]:
        return [
            Route(
                method="GET",
                path="/api/openapi.json",
                handler=self.openapi,
                summary="This API in OpenAPI 3.1",
            ),
            Route(
                method="GET",
                path="/api/docs",
                handler=self.docs,
                summary="This API for people",
            ),
        ]

    def describe(self, routes: Sequence[Route]) -> None:
        """Say once, at start, what there is."""
        document = describe(routes, version=self._version, server=self._server)
        self._json = orjson.dumps(document, option=orjson.OPT_INDENT_2)
        self._page = page(document)

    async def openapi(self) -> web.StreamResponse:
        return web.Response(body=self._json, content_type="application/json", charset="utf-8")

    async def docs(self) -> web.StreamResponse:
        headers = {"Content-Security-Policy": _POLICY}
        return web.Response(text=self._page, content_type="text/html", charset="utf-8", headers=headers)


def page(document: Document) -> str:
    """The description as HTML."""
    title = f"{document['info']['title']} {document['info']['version']}"
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        '<meta name=viewport content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)} API</title><style>{_STYLE}</style>",
        f"<h1>{escape(title)} API</h1><p>{escape(document['info']['summary'])}. For programs: ",
        '<a href="/api/openapi.json">/api/openapi.json</a>. Errors are problem+json (RFC 9457).</p>',
    ]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            parts += _operation(path, method, operation)
    parts.append("<h2>Objects</h2>")
    for name, schema in document["components"]["schemas"].items():
        parts += _schema(name, schema)
    return "".join(parts)


def _operation(path: str, method: str, operation: Document) -> Iterator[str]:
    yield f"<h2><span class=method>{method.upper()}</span> <code>{escape(path)}</code></h2>"
    yield f"<p>{escape(operation['summary'])}. {escape(operation.get('description', ''))}</p><table>"
    for kind, sent in operation.get("requestBody", {}).get("content", {}).items():
        yield _row("body", _type(sent["schema"]), escape(kind))
    for parameter in operation["parameters"]:
        about = parameter.get("description", "")
        yield _row(parameter["name"], f"{_type(parameter['schema'])} in {parameter['in']}", escape(about))
    for status, answer in operation["responses"].items():
        content: Document = next(iter(answer.get("content", {}).values()), {})
        yield _row(status, _type(content.get("schema", {})), escape(answer["description"]))
    yield "</table>"


def _schema(name: str, schema: Document) -> Iterator[str]:
    yield f'<h3 id="{escape(name)}">{escape(name)}</h3><p>{escape(schema.get("description", ""))}</p><table>'
    for field, details in schema.get("properties", {}).items():
        yield _row(field, _type(details), escape(details.get("description", "")))
    yield "</table>"


def _row(name: str, kind: str, about: str) -> str:
    return f"<tr><td><code>{escape(name)}</code><td>{kind}<td>{about}"


def _type(schema: Document) -> str:
    """A schema in a word or two, as HTML."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(f"<code>{escape(str(one))}</code>" for one in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    bounds = [
        f"{sign} {schema[key]}" for key, sign in (("minimum", "≥"), ("maximum", "≤")) if schema.get(key) is not None
    ]
    return escape(" ".join([str(schema.get("type", "")), *bounds]))
