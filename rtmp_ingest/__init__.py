"""RTMP: publishers in, players out.

Pure core (bytes in, events and bytes out): `buffer handshake chunks amf0 messages stream_name session frames`, ruled by
`limits`. Thin shell: `server` and `connection` accept peers, `play` writes to players, `client` publishes to a server.
"""
