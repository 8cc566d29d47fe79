"""What workers tell each other over HTTP: mirrored media, questions, requests that came to the wrong worker."""
