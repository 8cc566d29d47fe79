"""What is sold, bought and paid for, and what rooms have to hear of it. Knows nothing of HTTP, sockets or media."""
