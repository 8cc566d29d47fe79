"""The synthetic programme: a moving picture with a clock, and a beep, pushed over RTMP by a process of its own.

It is what a newcomer sees first and what measurements read: `strip` is the clock for machines, `card` the picture,
`tone` the sound, `encoders` turn both into frames, `publisher` keeps them on air. Not for use inside a server: drawing
and encoding take about a seventh of a core.
"""

from streamd.programme.publisher import run_programme

__all__ = ["run_programme"]
