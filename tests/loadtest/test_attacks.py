"""The attacker's own pieces, against a server that is told what to say."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from loadtest.attack_kit import exchange
from loadtest.attacks import ATTACKS, ambiguous
from loadtest.fuzzing import mutated


@contextmanager
def server(answer: Callable[[socket.socket], object]) -> Iterator[int]:
    """Takes one connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1_024)
                answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(5)


def test_answer_and_end_of_a_connection_are_both_told() -> None:
    with server(lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as port:
        said, is_closed = exchange(port, b"x", wait_s=5)
    assert said.startswith(b"HTTP/1.1 400")
    assert is_closed


def test_server_that_says_nothing_waits_for_more() -> None:
    asked = threading.Event()
    with server(lambda _connection: asked.wait(5)) as port:
        assert exchange(port, b"x", wait_s=0.05) == (b"", False)
        asked.set()


def test_port_where_nobody_listens_is_a_closed_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert exchange(port, b"x") == (b"", True)


def test_changes_are_the_same_for_the_same_seed() -> None:
    first, second = ([mutated(random.Random(5), [b"a seed", b"another"]) for _ in range(3)] for _ in range(2))
    assert first == second


def test_every_attack_has_a_name_of_its_own_and_knows_what_is_right() -> None:
    assert len({attack.what for attack in ATTACKS}) == len(ATTACKS)
    said_on_purpose = {"501", "503", "505"}
    assert all(
        attack.right and not {how for how in attack.right if how.startswith("5")} - said_on_purpose
        for attack in ATTACKS
    )


def test_ambiguous_requests_all_differ_and_hide_another() -> None:
    requests = ambiguous()
    assert len(set(requests)) == len(requests)
    assert all(request.count(b" HTTP/1.1\r\n") == 2 for request in requests)
