"""Media over HTTP. Reads the HLS store or the live hub and owns nothing of either."""
