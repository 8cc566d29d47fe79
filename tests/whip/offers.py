"""Offers of real clients, and how tests change them."""

from __future__ import annotations

from pathlib import Path

from streamd.whip.offer import Offer, read_offer

_FOLDER = Path(__file__).parents[1] / "vectors" / "whip"
CHROMIUM = (_FOLDER / "chromium-156.sdp").read_bytes()
OBS = (_FOLDER / "obs-31.sdp").read_bytes()
OBS_SIMULCAST = (_FOLDER / "obs-31-simulcast.sdp").read_bytes()


def changed(offer: bytes, *changes: tuple[str, str]) -> bytes:
    """The offer with each text replaced wherever it stands; every one must be there."""
    for before, after in changes:
        assert before.encode() in offer, before
        offer = offer.replace(before.encode(), after.encode())
    return offer


def without(offer: bytes, *beginnings: str) -> bytes:
    """The offer without the lines that begin so."""
    lines = offer.split(b"\r\n")
    return b"\r\n".join(line for line in lines if not line.startswith(tuple(one.encode() for one in beginnings)))


def section(offer: bytes, kind: str) -> bytes:
    """The head of the offer and its one section of that kind."""
    head, *sections = offer.split(b"\r\nm=")
    return b"\r\nm=".join([head, *(one for one in sections if one.startswith(kind.encode()))])


def obs() -> Offer:
    return read_offer(OBS)
