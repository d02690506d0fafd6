"""Events of watches are counted however their bytes are divided."""

import random

import pytest

from kubelatch.observe.inspector.events import event_counter

TYPES = ["ADDED", "MODIFIED", "BOOKMARK", "DELETED", "ERROR", "MODIFIED"]
COUNTS = {"ADDED": 1, "MODIFIED": 2, "BOOKMARK": 1, "DELETED": 1, "ERROR": 1}


def as_json() -> bytes:
    return b"".join(b'{"type":"%b","object":{"a":"%b"}}\n' % (t.encode(), b"x" * 50) for t in TYPES)


def as_protobuf() -> bytes:
    events = [b"\x0a%c%b\x12\x05hello" % (len(t), t.encode()) for t in TYPES]
    return b"".join(len(event).to_bytes(4) + event for event in events)


@pytest.mark.parametrize(
    ("kind", "stream"),
    [
        (b"application/json", as_json()),
        (b"application/vnd.kubernetes.protobuf;stream=watch", as_protobuf()),
    ],
)
def test_events_are_counted_by_type(kind: bytes, stream: bytes) -> None:
    chance = random.Random(7)
    for size in [1, 2, 3, 5, 17, 18, 19, 1000, *(chance.randint(1, 60) for _ in range(20))]:
        counter = event_counter(kind)
        assert counter is not None
        for at in range(0, len(stream), size):
            counter.feed(stream[at : at + size])
        assert counter.counts == COUNTS, size


def test_a_list_in_place_of_a_watch_has_no_events() -> None:
    counter = event_counter(b"application/json")
    assert counter is not None
    counter.feed(b'{"kind":"PodList",\n"items":[]}\n\n')
    assert counter.counts == {}
    assert event_counter(b"application/cbor-seq") is None
    assert event_counter(None) is None
