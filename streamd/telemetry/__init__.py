"""What the process says about itself: a structured log and metrics. A leaf: knows nothing of what it reports on."""
