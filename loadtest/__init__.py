"""Load tests and comparisons: `python -m loadtest SCENARIO [--json]`.

A scenario starts its servers (ours and a peer that a user would pick) on free loopback ports, drives them with the same
generators, and prints figures against their targets. Generators share no code with the server's protocol packages: a
mistake made on both sides would go unseen. Time is bounded, and nothing outlives the command.
"""
