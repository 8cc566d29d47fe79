"""streamd: live commerce server.

Holds the version and imports nothing, so that `streamd.media` stays a leaf that any package may import
without pulling the server in.
"""

__version__ = "0.1.0"
