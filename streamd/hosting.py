"""Accounts and rooms of a node over HTTP, joined: a part of the composition root."""

from __future__ import annotations

from collections.abc import Callable

from danmaku.gateway import RoomGateway
from danmaku.review import WebhookReviewer
from streamd.accounts.opening import Accounts
from streamd.accounts.outside import IdentityProvider
from streamd.accounts.roster import Roster
from streamd.api.addresses import Addresses
from streamd.api.broadcasting import BroadcastingApi
from streamd.api.moderation import ModerationApi
from streamd.api.mounting import Area
from streamd.api.picture_files import PictureFiles
from streamd.api.room_desk import RoomDeskApi
from streamd.api.rooms import RoomsApi
from streamd.api.sessions import SessionsApi
from streamd.api.staff import StaffApi
from streamd.api.users import UsersApi
from streamd.api.words import WordsApi
from streamd.chatting import ChatDesk, RoomOrder
from streamd.clock import Clock
from streamd.db.engine import Database
from streamd.desk import RoomDesk
from streamd.fleet import Alone
from streamd.live.stream import LiveStream
from streamd.pictures.store import Pictures
from streamd.providers.wechat import WechatProvider, WechatSettings
from streamd.settings import Settings
from streamd.site_words import SiteWordList
from streamd.stills import Stills


def identity_providers(settings: Settings) -> list[IdentityProvider]:
    """Who else may say who somebody is."""
    wechat = settings.wechat
    if not wechat.app_id:
        return []
    return [WechatProvider(WechatSettings(app_id=wechat.app_id, app_secret=wechat.app_secret, url=wechat.url))]


def open_reviewer(settings: Settings, *, clock: Clock) -> WebhookReviewer | None:
    """Whoever is asked about every danmaku, if the operator named somebody."""
    review = settings.review
    if not review.url:
        return None
    return WebhookReviewer(review.url, secret=review.secret.get_secret_value(), clock=clock)


def hosting_areas(
    *,
    engine: Database,
    clock: Clock,
    accounts: Accounts,
    addresses: Addresses,
    pictures: Pictures,
    gateway: RoomGateway,
    fleet: Alone,
    site_words: SiteWordList,
    find: Callable[[str], LiveStream | None],
) -> list[Area]:
    """People, rooms, what is on air in them, and who keeps order. `find` knows the streams of this process."""
    rooms = accounts.rooms
    stills = Stills(find=find, clock=clock, elsewhere=fleet.owners)
    return [
        RoomsApi(rooms=rooms, live=fleet, clock=clock, addresses=addresses),
        SessionsApi(sessions=accounts.sessions, outside=accounts.outside),
        UsersApi(
            users=accounts.users,
            roster=Roster(engine=engine),
            sessions=accounts.sessions,
            members=accounts.members,
            throttle=accounts.throttle,
        ),
        StaffApi(
            members=accounts.members,
            invitations=accounts.invitations,
            audit=accounts.audit,
            origin=addresses.origin,
        ),
        BroadcastingApi(
            rooms=rooms,
            keys=accounts.keys,
            playback=accounts.playback,
            pictures=pictures,
            live=fleet,
            stills=stills,
            chat=ChatDesk(rooms=rooms, teller=gateway),
            addresses=addresses,
            clock=clock,
        ),
        ModerationApi(orderly=RoomOrder(rooms=rooms, identities=accounts.identities, warden=gateway), clock=clock),
        RoomDeskApi(desk=RoomDesk(rooms=rooms, gateway=gateway, site_words=site_words), addresses=addresses),
        WordsApi(desk=site_words),
        PictureFiles(pictures=pictures, rooms=rooms, stills=stills, clock=clock),
    ]
