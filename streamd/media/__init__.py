"""What media is inside streamd, whatever protocol brought it: tracks, frames, and the bitstreams they carry.

A leaf: standard library only, no I/O, no clock. Everything that touches media imports from here and nothing here
imports from anything else.
"""
