"""Rooms: danmaku, likes, product cards and notices over Socket.IO, ordered, bounded and moderated.

Pure cores: `wire` (bytes of the protocol), `room` (what a room knows and in which order), `moderation` (who may say
what). Around them: `sequencer` (one order across nodes), `fanout` (shared bytes to many connections), `socket` and
`session` (the two transports), `history` (danmaku kept), `gateway` (the door for the rest of the product).
"""
