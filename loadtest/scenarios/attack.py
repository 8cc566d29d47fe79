"""A table of attacks on a running server, and how those fared who were on it for good reasons."""

from __future__ import annotations

import argparse
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from loadtest import clips
from loadtest.attack_kit import Attack, Place, exchange
from loadtest.attacks import ATTACKS
from loadtest.bystanders import Bystanders
from loadtest.machine import resident_bytes
from loadtest.nodes import Encoder
from loadtest.peers import Streamd
from loadtest.processes import free_ports
from loadtest.report import Figure, Report, Table
from loadtest.stage import open_stage

SUMMARY = "Attacks on every port: what was tried, how many, how answered, and who else noticed"
_ROOM, _VICTIM = "show", "other"
_PART_GAP_S, _ROOM_WAIT_S = 1.5, 0.5
_AFTERMATH_S = 1.5  # in which bystanders still feel it
_OFFER = (
    b"v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n"
    b"c=IN IP4 0.0.0.0\r\na=mid:0\r\na=sendonly\r\na=rtcp-mux\r\na=ice-ufrag:abcd\r\n"
    b"a=ice-pwd:0123456789012345678901\r\n"
    b"a=fingerprint:sha-256 " + b":".join([b"AB"] * 32) + b"\r\na=setup:actpass\r\na=rtpmap:96 H264/90000\r\n"
    b"a=fmtp:96 packetization-mode=1;profile-level-id=42e01f\r\n"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Defaults: about four minutes."""
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--patience-s", type=float, default=90.0, help="how long slow peers go on, at most")
    parser.add_argument("--only", default="", help="attacks whose name contains this")


def run(arguments: argparse.Namespace) -> Report:
    """One after the other on one server, beside one encoder, one viewer and one member."""
    with open_stage() as stage:
        (rtmps_port,) = free_ports(1)
        tls = _certificate(stage.folder) | {"STREAMD_RTMPS_PORT": str(rtmps_port)}
        server = stage.server(Streamd(stage.folder / "streamd", rooms=[_ROOM, _VICTIM], settings=tls))
        encoder = Encoder([f"rtmp://127.0.0.1:{server.rtmp_port}/live/{_ROOM}"], clips.source_clip())
        stage.ends_with(encoder.stop)
        bystanders = Bystanders(server.http_port, _ROOM)
        stage.ends_with(bystanders.stop)
        place = Place(
            http_port=server.http_port,
            rtmp_port=server.rtmp_port,
            rtmps_port=rtmps_port,
            room=_VICTIM,
            offer=_OFFER,
            seed=arguments.seed,
            patience_s=arguments.patience_s,
        )
        stage.wait(3.0, "settling")
        before = resident_bytes(server.pids())
        chosen = [attack for attack in ATTACKS if arguments.only in attack.what]
        rows = []
        for attack in chosen:
            stage.say(attack.what)
            rows.append(_row(attack, place, server, bystanders))
        stage.wait(3.0, "settling")
        grown = (resident_bytes(server.pids()) - before) / 2**20
        errors = _complaints(stage.folder / "streamd" / "streamd.log")
        encoder_starts = len(encoder.starts_s)
        lost = bystanders.lost
    return _report(rows, grown, errors, lost=lost + encoder_starts - 1, seed=arguments.seed)


def _certificate(folder: Path) -> dict[str, str]:
    """Settings that switch RTMPS on, with a certificate that nobody vouches for."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    argv = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "1",
    ]
    argv += ["-subj", "/CN=localhost", "-out", str(certificate), "-keyout", str(key)]
    subprocess.run(argv, check=True, capture_output=True, timeout=20)
    return {"STREAMD_RTMPS_CERT": str(certificate), "STREAMD_RTMPS_KEY": str(key)}


def _row(attack: Attack, place: Place, server: Streamd, bystanders: Bystanders) -> tuple[object, ...]:
    pids, began_s = server.pids(), time.monotonic()
    before = resident_bytes(pids)
    answers = attack.run(place)
    time.sleep(_AFTERMATH_S)
    alive = exchange(place.http_port, b"GET /readyz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", wait_s=5.0)
    return (
        attack.what,
        answers.total(),
        ", ".join(f"{count} {how}" for how, count in answers.most_common()),
        sum(count for how, count in answers.items() if how not in attack.right),
        "yes" if alive[0].startswith(b"HTTP/1.1 200") else "NO",
        (resident_bytes(server.pids()) - before) / 2**20,
        bystanders.part_gap_s(began_s),
        bystanders.room_wait_s(began_s) * 1_000,
    )


def _complaints(log: Path) -> tuple[str, ...]:
    """What the server itself took for an error."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return tuple(line[:300] for line in lines if "Traceback" in line)[:10]


def _report(
    rows: Sequence[tuple[object, ...]], grown: float, errors: tuple[str, ...], *, lost: int, seed: int
) -> Report:
    columns = (
        "attack",
        "tries",
        "answers",
        "wrong",
        "alive",
        "MiB grown",
        "longest part gap, s",
        "longest room wait, ms",
    )
    numbers = [(int(str(row[3])), float(str(row[6])), float(str(row[7]))) for row in rows]
    return Report(
        scenario="attack",
        title="Attacks: what was tried, and what happened",
        command="",
        figures=(
            Figure(name="wrong answers", value=sum(each[0] for each in numbers), most=0),
            Figure(name="attacks after which the server was gone", value=sum(row[4] != "yes" for row in rows), most=0),
            Figure(
                name="longest gap between parts", value=max(each[1] for each in numbers), unit="s", most=_PART_GAP_S
            ),
            Figure(
                name="longest wait in the room",
                value=max(each[2] for each in numbers),
                unit="ms",
                most=_ROOM_WAIT_S * 1e3,
            ),
            Figure(name="connections of bystanders that broke", value=lost, most=0),
            Figure(name="resident memory, grown by all of it", value=grown, unit="MiB", most=32),
            Figure(name="errors in the server's log", value=len(errors), most=0),
        ),
        tables=(Table(title="Attacks", columns=columns, rows=tuple(rows)),),
        errors=errors,
        notes=(
            f"Seed {seed}: the same bytes every time. Wrong is an answer that is none of the attack's right ones: a "
            "5xx, a leak, a slow peer who is still served at the end.",
            "Bystanders: ffmpeg's stream, a viewer of blocked playlists, a member who likes ten times a second.",
        ),
    )
