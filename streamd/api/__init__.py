"""The JSON API, the pages and the operator's endpoints: parse, call the use case, render. One file an area.

Media (`/live/…`) is not here and passes through nothing that is here: there are no aiohttp middlewares; every route of
this package is wrapped one by one when it is mounted (`routes.mount`).
"""
