"""A day of one stream in simulated time, from RTMP messages to playlists, with the troubles that encoders have."""

from __future__ import annotations

import argparse
import time

from loadtest.report import Figure, Report, Table
from loadtest.simulated_day import HOUR_S, TROUBLES, SimulatedDay
from loadtest.stage import open_stage

SUMMARY = "24 simulated hours of one stream: drift of sound and hour, memory, numbers, the 32-bit wrap"
_WARM_HOURS = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Defaults: two to four minutes."""
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--seed", type=int, default=1, help="of the network's delays")


def run(arguments: argparse.Namespace) -> Report:
    """As fast as one core goes."""
    seconds = round(arguments.hours * HOUR_S)
    began = time.monotonic()
    with open_stage() as stage:
        day = SimulatedDay(seed=arguments.seed, say=lambda second: stage.say(f"hour {second // HOUR_S}"))
        found = day.run(seconds)
    took = time.monotonic() - began
    figures = [
        Figure(name="sound against pictures, worst", value=found.av_error_us / 1_000, unit="ms", most=20.0),
        Figure(
            name="programme date against wall clock, worst", value=found.wall_error_us / 1_000, unit="ms", most=20.0
        ),
        Figure(name="the same while it settles after a trouble", value=found.settling_error_us / 1_000, unit="ms"),
        Figure(name="times and sequence numbers that went back", value=found.went_back, most=0),
        Figure(name="different promises in playlists (target duration, part target)", value=len(found.targets), most=1),
        Figure(name="32-bit wraps crossed", value=found.wraps, least=1 if arguments.hours >= 1 else None),
        Figure(name="faster than real time", value=seconds / took, unit="times", least=60),
    ]
    if len(found.resident) > _WARM_HOURS:
        grown = max(found.resident) - found.resident[_WARM_HOURS - 1]
        figures.append(
            Figure(name=f"resident memory, growth after hour {_WARM_HOURS}", value=grown / 2**20, unit="MiB", most=2)
        )
    troubles = tuple((each.what, found.troubles.get(each.what, 0), each.lasts_s) for each in TROUBLES)
    return Report(
        scenario="day",
        title=f"A stream of {arguments.hours:g} hours, in simulated time",
        command="",
        figures=tuple(figures),
        tables=(
            Table(title="Troubles", columns=("what", "times", "seconds each"), rows=troubles),
            Table(title="Repaired on the timeline", columns=("what", "times"), rows=tuple(found.repairs.items())),
        ),
        notes=(
            f"{found.pictures} pictures and {found.sounds} frames of sound through FrameReader, LiveStream, Packager "
            f"and SegmentStore in {took:.0f} s; {found.segments} segments left the playlist; {found.dropped} messages "
            "were dropped.",
            "The encoder's clock is 50 ppm fast (4.3 s a day), its sound another 20 ppm slow, the network adds up to "
            "40 ms by chance. Errors are those of every single frame.",
            "Settling: a minute and a half after each trouble, in which the hour is corrected by 5 ms a second.",
        ),
    )
