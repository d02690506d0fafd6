"""Which exchanges are captured, where more come than can be."""

from kubelatch.observe.inspector.sampler import RATE, Sampler


def loops(sampler: Sampler, begin: float, seconds: int, rate: int, connection: object) -> int:
    """How many of so many exchanges a second on one connection are captured."""
    taken = 0
    for number in range(seconds * rate):
        taken += sampler.takes(connection, begin + number / rate)
        sampler.ended(1)
    return taken


def test_all_are_taken_where_few_come() -> None:
    assert loops(Sampler(0.0), 0.0, 10, 150, "a client") == 1500


def test_no_more_than_so_many_a_second_are_taken() -> None:
    taken = loops(Sampler(0.0), 0.0, 10, 900, "a client")
    assert 9 * RATE < taken <= 11 * RATE


def test_fewer_are_taken_where_very_many_come() -> None:
    assert loops(Sampler(0.0), 0.0, 10, 5000, "a client") < 5 * RATE


def test_a_quiet_client_is_taken_beside_one_in_a_loop() -> None:
    sampler = Sampler(0.0)
    for second in range(10):
        loops(sampler, second, 1, 5000, "one in a loop")
        assert sampler.takes("a quiet one", second + 1), second


def test_after_a_rest_all_are_taken_again() -> None:
    sampler = Sampler(0.0)
    loops(sampler, 0.0, 2, 5000, "a client")
    assert loops(sampler, 600.0, 1, 100, "a client") == 100
