"""The desk from which a show is run, over HTTP."""

from __future__ import annotations

from tests.api.support import Client, Stage, body_of

ROOM = "/api/v1/rooms/demo"


async def test_message_or_own_words_are_pinned_and_never_both(stage: Stage, client: Client) -> None:
    headers = await stage.sign_in("moderator")
    for body, status in [
        ({"message_id": "m1"}, 204),
        ({"text": "free shipping today"}, 204),
        ({"message_id": "m1", "text": "both"}, 400),
        ({}, 400),
        ({"text": "two\nlines"}, 400),
    ]:
        assert (await body_of(client, "PUT", f"{ROOM}/pinned", headers=headers, json=body))[0] == status, body
    assert (await body_of(client, "DELETE", f"{ROOM}/pinned", headers=headers))[0] == 204
    assert [deed[1:4] for deed in stage.desk.done] == [
        ("pin", "m1", ""),
        ("pin", "", "free shipping today"),
        ("unpin",),
    ]


async def test_notice_is_for_those_who_run_the_show(stage: Stage, client: Client) -> None:
    notice = {"text": "the draw begins at nine"}
    moderator, assistant = await stage.sign_in("moderator"), await stage.sign_in("assistant")
    assert (await body_of(client, "POST", f"{ROOM}/notices", headers=moderator, json=notice))[0] == 403
    assert (await body_of(client, "POST", f"{ROOM}/notices", headers=assistant, json=notice))[0] == 204
    assert stage.desk.done[0][:3] == ("demo", "announce", "the draw begins at nine")


async def test_audience_and_the_trial_of_words_are_told(stage: Stage, client: Client) -> None:
    headers = await stage.sign_in("moderator")
    status, seen = await body_of(client, "GET", f"{ROOM}/audience", headers=headers)
    assert (status, seen["online"], seen["shed_here"]["C"]) == (200, 3, 7)
    status, trial = await body_of(client, "GET", f"{ROOM}/words/trial?text=spam", headers=headers)
    assert (status, trial) == (200, {"action": "mask", "text": "***", "words": ["spam"]})


async def test_addresses_for_an_encoder_are_told_without_the_key(stage: Stage, client: Client) -> None:
    headers = await stage.sign_in("assistant")
    status, encoder = await body_of(client, "GET", f"{ROOM}/encoder", headers=headers)
    assert (status, encoder["rtmp_url"]) == (200, "rtmp://live.example.com:1935/live")
    assert encoder["whip_url"].endswith("/whip/demo")
    assert "stream_key" not in encoder
