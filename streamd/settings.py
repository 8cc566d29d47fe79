"""What an operator can set: names, shapes, defaults, and which of them contradict each other.

`Settings` is frozen and comes from `streamd.config.load`. Section `http`, field `port` is `STREAMD_HTTP_PORT`. Each
component declares its own small settings and `streamd.app` fills them from these: nothing else needs this module.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from streamd.errors import SettingsError

WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104  # where a listener on all addresses can be reached


def _split(value: object) -> object:
    """A comma-separated list, as an environment variable can hold it."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _udp_range(value: object) -> object:
    """`any`, or `50000-50100`, as a pair; (0, 0) is any."""
    if value in ("any", (0, 0)):
        return (0, 0)
    if isinstance(value, str) and re.fullmatch(r"\d+-\d+", value):
        low, high = (int(part) for part in value.split("-"))
        if 1024 <= low <= high <= 65535:
            return (low, high)
    raise ValueError("neither `any` nor a range like 50000-50100 within 1024 to 65535")


def _public_url(value: object) -> object:
    if isinstance(value, str) and value:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
            raise ValueError("not an http or https address of a host, without a path")
        return value.rstrip("/")
    return value


def _service_url(value: object) -> object:
    if isinstance(value, str) and value:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("not an http or https address")
        if parts.username is not None or parts.fragment:
            raise ValueError("an address without user, password and fragment: requests are signed instead")
    return value


def _gateway_url(value: object) -> object:
    return value if value == "sandbox" else _public_url(value)


def _origins(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.netloc or value != f"{parts.scheme}://{parts.netloc}":
            raise ValueError(f"{value[:100]!r} is not an origin: http or https, a host, no path")
    return values


def _ice_servers(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        # It goes into a header as it is (RFC 7064, RFC 7065).
        if not re.fullmatch(r"(stun|turn)s?:[A-Za-z0-9.\[\]:_-]+(\?transport=(udp|tcp))?", value):
            raise ValueError(f"{value[:100]!r} is neither stun:HOST:PORT nor turn:HOST:PORT")
    return values


def _one_of(*schemes: str) -> BeforeValidator:
    def check(value: object) -> object:
        if isinstance(value, str) and value and value.partition("://")[0] not in schemes:
            # The rest of the address may hold a password and is not repeated.
            raise ValueError("the address must begin with " + " or ".join(f"{scheme}://" for scheme in schemes))
        return value

    return BeforeValidator(check)


Port = Annotated[int, Field(ge=1, le=65535, description="a port number, 1 to 65535")]
Host = Annotated[str, Field(min_length=1, description="an address to listen on: 0.0.0.0, 127.0.0.1, ::")]
PemFile = Annotated[Path | None, Field(description="the path of a PEM file")]


class Section(BaseModel):
    """A group of settings: one table of the file, one prefix in the environment."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Http(Section):
    """Pages, API, HLS and FLV."""

    host: Host = "0.0.0.0"  # noqa: S104  # a streaming server is there to be reached
    port: Port = 8080
    cors_origins: Annotated[
        tuple[str, ...],
        BeforeValidator(_split),
        AfterValidator(_origins),
        Field(description="a list of other sites whose pages may use the API: https://shop.example.com"),
    ] = ()
    behind_proxy: Annotated[
        bool, Field(description="true where a proxy of yours sets X-Forwarded-For, and nobody gets past it")
    ] = False


class Api(Section):
    """How much one caller may ask."""

    writes_per_s: Annotated[int, Field(ge=1, le=1_000, description="1 to 1000 changes a second")] = 10


Days = Annotated[int, Field(ge=1, le=36_500, description="1 to 36500 days")]


class Retention(Section):
    """For how long things are kept. Orders, payments and refunds are never deleted."""

    # Three years: what the rules for live commerce ask for.
    danmaku_days: Days = 3 * 366
    visits_days: Days = 366
    notices_days: Days = 366
    jobs_days: Days = 30


class Shop(Section):
    """Orders."""

    order_expiry_ms: Annotated[
        int, Field(ge=1_000, le=604_800_000, description="1000 to 604800000 milliseconds to pay an order in")
    ] = 900_000


class PaymentService(Section):
    """The gateway that is paid through; none while `url` is empty."""

    url: Annotated[
        str,
        BeforeValidator(_gateway_url),
        Field(description="the address of the gateway, or `sandbox` for one that this node starts; empty for none"),
    ] = ""
    key: Annotated[SecretStr, Field(description="the secret that this server and its gateway sign with")] = SecretStr(
        ""
    )
    notify_url: Annotated[
        str,
        BeforeValidator(_public_url),
        Field(description="where the gateway reaches this server, without a path; its public address if left out"),
    ] = ""


class Sandbox(Section):
    """Where the sandbox gateway listens, and where browsers reach its page."""

    host: Annotated[str, Field(description="an address to listen on; that of the pages if left out")] = ""
    port: Port = 8090
    public_url: Annotated[
        str, BeforeValidator(_public_url), Field(description="the address of its page, without a path")
    ] = ""


class Rtmp(Section):
    """Where encoders push."""

    host: Host = "0.0.0.0"  # noqa: S104
    port: Port = 1935
    behind_proxy: Annotated[
        bool, Field(description="true where a load balancer sends a PROXY header first, and nobody gets past it")
    ] = False


class Rtmps(Section):
    """RTMP inside TLS, on the same address; off while there is no certificate."""

    port: Port = 1936
    cert: PemFile = None
    key: PemFile = None


class Live(Section):
    """The life of a programme."""

    grace_ms: Annotated[int, Field(ge=0, le=3_600_000, description="0 to 3600000 milliseconds")] = 45_000


class Hls(Section):
    """How live playlists are cut."""

    segment_ms: Annotated[int, Field(ge=500, le=10_000, description="500 to 10000 milliseconds")] = 2000
    part_ms: Annotated[int, Field(ge=100, le=2_000, description="100 to 2000 milliseconds")] = 500
    window_segments: Annotated[int, Field(ge=4, le=300, description="a number of segments, 4 to 300")] = 10


class Webrtc(Section):
    """WHIP ingest."""

    host: Annotated[str, Field(description="an address to listen on; that of the pages if left out")] = ""
    public_ips: Annotated[
        tuple[IPv4Address | IPv6Address, ...],
        BeforeValidator(_split),
        Field(description="a list of addresses: 203.0.113.7,2001:db8::7"),
    ] = ()
    udp_ports: Annotated[
        tuple[int, int], BeforeValidator(_udp_range), Field(description="`any`, or a range like 50000-50100")
    ] = (0, 0)
    ice_servers: Annotated[
        tuple[str, ...],
        BeforeValidator(_split),
        AfterValidator(_ice_servers),
        Field(description="a list of servers that encoders are told of: stun:stun.example.com:3478"),
    ] = ()
    turn_username: Annotated[str, Field(description="the name that TURN servers of the list are used with")] = ""
    turn_password: Annotated[SecretStr, Field(description="the password of that name")] = SecretStr("")
    max_sessions: Annotated[int, Field(ge=1, le=10_000, description="a number of sessions, 1 to 10000")] = 200
    consent_ms: Annotated[int, Field(ge=5_000, le=120_000, description="5000 to 120000 milliseconds")] = 15_000


class Review(Section):
    """A service of the operator's, asked about every danmaku before it is shown; off while there is no address."""

    url: Annotated[
        str,
        BeforeValidator(_service_url),
        Field(description="an address to POST to: https://review.example.com/danmaku"),
    ] = ""
    secret: Annotated[
        SecretStr, Field(description="the secret that requests are signed by, of 16 characters or more")
    ] = SecretStr("")


class Wechat(Section):
    """Signing in from a WeChat mini-program; off while there is no app id."""

    app_id: Annotated[str, Field(description="the mini-program's app id: wx0123456789abcdef")] = ""
    app_secret: Annotated[SecretStr, Field(description="the mini-program's secret, from its console")] = SecretStr("")
    url: Annotated[
        str, BeforeValidator(_public_url), Field(description="where WeChat's server API answers, without a path")
    ] = "https://api.weixin.qq.com"


class Logging(Section):
    """The structured log on standard error."""

    format: Annotated[Literal["auto", "json", "text"], Field(description="auto, json or text")] = "auto"
    level: Annotated[
        Literal["debug", "info", "warning", "error"], Field(description="debug, info, warning or error")
    ] = "info"


class Settings(BaseSettings):
    """Everything an operator can set."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid")

    data_dir: Annotated[Path, Field(description="a folder that streamd may write to")] = Path("./data")
    public_url: Annotated[
        str,
        BeforeValidator(_public_url),
        Field(description="the address browsers use, without a path: https://live.example.com"),
    ] = ""
    database_url: Annotated[
        SecretStr,
        _one_of("sqlite+aiosqlite", "mysql+aiomysql"),
        Field(description="sqlite+aiosqlite:///PATH or mysql+aiomysql://USER:PASSWORD@HOST/NAME"),
    ] = SecretStr("sqlite+aiosqlite:///{data}/streamd.db")
    redis_url: Annotated[
        SecretStr,
        _one_of("redis", "rediss", "redis+cluster"),
        Field(description="redis://HOST:6379/0, rediss://… or redis+cluster://…; empty for a single process"),
    ] = SecretStr("")
    workers: Annotated[int, Field(ge=1, le=256, description="a number of processes, 1 to 256")] = 1
    node_host: Annotated[str, Field(description="the address where other nodes reach this one")] = ""
    shutdown_ms: Annotated[int, Field(ge=100, le=60_000, description="100 to 60000 milliseconds")] = 4000
    http: Http = Http()
    api: Api = Api()
    retention: Retention = Retention()
    shop: Shop = Shop()
    payment: PaymentService = PaymentService()
    sandbox: Sandbox = Sandbox()
    rtmp: Rtmp = Rtmp()
    rtmps: Rtmps = Rtmps()
    live: Live = Live()
    hls: Hls = Hls()
    webrtc: Webrtc = Webrtc()
    review: Review = Review()
    wechat: Wechat = Wechat()
    log: Logging = Logging()

    @property
    def database(self) -> str:
        """The database's address with the data folder filled in. Holds a password: never print it."""
        return self.database_url.get_secret_value().replace("{data}", str(self.data_dir.absolute()))

    @property
    def public_origin(self) -> str:
        """`scheme://host[:port]` of pages and API, for links and CORS."""
        return self.public_url or f"http://{reachable(self.http.host)}:{self.http.port}"

    @property
    def sandbox_host(self) -> str:
        """Where the sandbox gateway listens."""
        return self.sandbox.host or self.http.host

    @property
    def sandbox_origin(self) -> str:
        """`scheme://host[:port]` of the sandbox gateway's page."""
        host = reachable(urlsplit(self.public_url).hostname or self.sandbox_host)
        return self.sandbox.public_url or f"http://{host}:{self.sandbox.port}"

    @property
    def payment_url(self) -> str:
        """Where this node reaches its payment gateway; empty where it has none."""
        if self.payment.url == "sandbox":
            return f"http://{reachable(self.sandbox_host)}:{self.sandbox.port}"
        return self.payment.url

    @property
    def rtmp_url(self) -> str:
        """What goes into an encoder's "server" field."""
        host = reachable(urlsplit(self.public_url).hostname or self.rtmp.host)
        return f"rtmp://{host}:{self.rtmp.port}/live"

    @property
    def loopback_rtmp_url(self) -> str:
        """The same, for a process on this machine."""
        return f"rtmp://{reachable(self.rtmp.host)}:{self.rtmp.port}/live"


def reachable(host: str) -> str:
    """A listening address as the host part of an address that this machine can connect to."""
    return WILDCARDS.get(host) or (f"[{host}]" if ":" in host else host)


def contradictions(settings: Settings) -> Iterator[SettingsError]:
    """What is wrong between settings that are each well-formed."""
    hls = settings.hls
    if hls.part_ms * 2 > hls.segment_ms:
        yield SettingsError(
            f"STREAMD_HLS_PART_MS is {hls.part_ms} and STREAMD_HLS_SEGMENT_MS is {hls.segment_ms}",
            why="a segment must hold at least two parts, or low latency has nothing to work with",
            fix=f"set STREAMD_HLS_PART_MS to {hls.segment_ms // 4} or make segments longer",
        )
    if settings.payment.url not in ("", "sandbox") and not settings.payment.key.get_secret_value():
        yield SettingsError(
            "STREAMD_PAYMENT_URL is set and STREAMD_PAYMENT_KEY is not",
            why="every message between this server and its gateway is signed",
            fix="set the key that the gateway has, or STREAMD_PAYMENT_KEY_FILE",
        )
    if (settings.rtmps.cert is None) != (settings.rtmps.key is None):
        yield SettingsError(
            "only one of STREAMD_RTMPS_CERT and STREAMD_RTMPS_KEY is set",
            why="TLS needs the certificate and its private key",
            fix="set both, or neither to leave RTMPS off",
        )
    secret = settings.review.secret.get_secret_value()
    if bool(settings.review.url) != bool(secret) or 0 < len(secret) < 16:
        yield SettingsError(
            "STREAMD_REVIEW_URL and STREAMD_REVIEW_SECRET do not go together",
            why="the service must know who asks: every request is signed by a secret of 16 characters or more",
            fix="set both, the secret as in `openssl rand -hex 32`; or neither to ask nobody",
        )
    if bool(settings.wechat.app_id) != bool(settings.wechat.app_secret.get_secret_value()):
        yield SettingsError(
            "only one of STREAMD_WECHAT_APP_ID and STREAMD_WECHAT_APP_SECRET is set",
            why="WeChat answers who proves to be the mini-program",
            fix="set both, or neither to sign nobody in by WeChat",
        )
    if settings.workers > 1 and not settings.redis_url.get_secret_value():
        yield SettingsError(
            f"STREAMD_WORKERS is {settings.workers} and STREAMD_REDIS_URL is empty",
            why="workers meet through Redis; the bus inside a process reaches that process only",
            fix="set STREAMD_REDIS_URL=redis://127.0.0.1:6379/0, or run one worker",
        )
    low, high = settings.webrtc.udp_ports
    if high and settings.workers > 1 and high - low < settings.workers:
        yield SettingsError(
            f"STREAMD_WEBRTC_UDP_PORTS has {high - low + 1} ports and STREAMD_WORKERS is {settings.workers}",
            why="every worker has a port of its own, and while one is replaced there is one more of them",
            fix=f"give it at least {settings.workers + 1} ports: {low}-{low + settings.workers}",
        )
