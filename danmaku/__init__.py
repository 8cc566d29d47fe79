"""Rooms: danmaku, likes, product cards and notices over Socket.IO, ordered, bounded and moderated.

Cores without I/O: `wire` (bytes of the protocol), `room` (what a room knows, and in which order), `tick` (what is told
next, and whose turn it is), `moderation` (words), `conduct` (people, sanctions, rates), `pace`.
Around them, from the outside in: `gateway` (the door for the product), `socket`, `polling`, `upgrade` and `session`
(the two transports), `entrance` (from a connection to a seat), `speech` (from what is said to a draft), `tables` and
`table` (active rooms), `sequencer` (one order across nodes), `alone` (without them), `fanout` (the same bytes to all).
`history` keeps, `review` asks outside, `measures` shows, `ports` says what is asked of the rest of the product.
"""
