"""Where encoders put the key, and what must never become a path."""

from __future__ import annotations

import pytest

from rtmp_ingest.events import PlayRequested, PublishRequested
from rtmp_ingest.stream_name import parse_stream_name, play_request, publish_request
from streamd.errors import InvalidError, NotFoundError, UnauthenticatedError


@pytest.mark.parametrize(
    ("app", "name", "expected"),
    [
        ("live", "demo-key", ("live", "demo-key", {})),
        ("live/", "/demo-key/", ("live", "demo-key", {})),
        ("/live//", "demo-key", ("live", "demo-key", {})),
        ("live/demo-key", "", ("live", "demo-key", {})),
        ("a/b", "c", ("a/b", "c", {})),
        ("live", "room?key=K", ("live", "room", {"key": "K"})),
        ("live", "KEY?token=a+b%2Fc&user=x", ("live", "KEY", {"token": "a+b/c", "user": "x"})),
        ("live?vhost=x&token=app", "KEY?token=name", ("live", "KEY", {"vhost": "x", "token": "name"})),
        ("live?token=t", "KEY", ("live", "KEY", {"token": "t"})),
        ("live", "", ("live", "", {})),
        ("live", "?key=K", ("live", "", {"key": "K"})),
        ("", "", ("", "", {})),
        ("live", "k?a=1&clientConfigId=9&&=x&b", ("live", "k", {"a": "1", "clientConfigId": "9", "b": ""})),
        ("live", "k?a=1?b=2", ("live", "k", {"a": "1", "b": "2"})),
    ],
)
def test_app_name_and_query_are_gathered(app: str, name: str, expected: tuple[str, str, dict[str, str]]) -> None:
    assert tuple(parse_stream_name(app, name, max_bytes=1024)) == expected


@pytest.mark.parametrize(
    "name",
    [
        "..",
        ".",
        "a b",
        "a\nb",
        "a\x00",
        'a"',
        "a%2e%2e",
        "a\\b",
        "<script>",
        "ключ",
        "a/../b",
        "x" * 1025,
        "x?" + "y" * 1024,
    ],
)
def test_names_that_could_mean_something_else_are_refused(name: str) -> None:
    with pytest.raises(InvalidError):
        parse_stream_name("live", name, max_bytes=1024)


def test_a_refusal_does_not_repeat_the_key() -> None:
    with pytest.raises(InvalidError) as refused:
        parse_stream_name("live", "secret key", max_bytes=1024)
    assert "secret" not in refused.value.one_line()


def test_a_publish_without_any_key_is_unauthenticated() -> None:
    with pytest.raises(UnauthenticatedError):
        publish_request(PublishRequested(stream_id=1, app="live", name="", encoder=""), peer="p", name_bytes=1024)


def test_a_publish_request_says_who_and_what() -> None:
    event = PublishRequested(stream_id=1, app="live", name="room?key=K", encoder="FMLE/3.0")
    request = publish_request(event, peer="192.0.2.1:5", name_bytes=1024)
    assert (request.protocol, request.app, request.name, request.query) == ("rtmp", "live", "room", {"key": "K"})
    assert (request.peer, request.encoder) == ("192.0.2.1:5", "FMLE/3.0")


def test_a_play_request_understands_the_same_words_as_flv() -> None:
    event = PlayRequested(stream_id=1, app="live", name="room?gop=0&audio=0&token=t")
    request = play_request(event, peer="p", app="live", name_bytes=1024)
    assert (request.room, request.from_next_key, request.audio, request.video) == ("room", True, False, True)
    assert request.query["token"] == "t"
    assert not request.kinds_fixed


@pytest.mark.parametrize(("app", "name"), [("other", "room"), ("live", ""), ("live/sub", "room")])
def test_nothing_is_played_from_elsewhere(app: str, name: str) -> None:
    with pytest.raises(NotFoundError):
        play_request(PlayRequested(stream_id=1, app=app, name=name), peer="p", app="live", name_bytes=1024)
