"""Where an event of a watch ends, in each format."""

import pytest

from kubelatch.http1.watch import CborFramer
from tests.support.draining import ITEM


@pytest.mark.parametrize("size", [1, 2, 3, 7, len(ITEM), 1000])
def test_the_end_of_an_item_is_found_however_the_stream_is_cut(size: int) -> None:
    events, stream = CborFramer(), ITEM * 3
    ends = set()
    for start in range(0, len(stream), size):
        events.feed(stream[start : start + size])
        if events.at_boundary:
            ends.add(min(start + size, len(stream)))
    whole = {len(ITEM), 2 * len(ITEM), 3 * len(ITEM)}
    assert ends == {end for end in whole if end % size == 0 or end == len(stream)}


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x1c", id="reserved length"),
        pytest.param(b"\xdf\x01", id="tag without end"),
        pytest.param(b"\xa1\xff", id="break in what has a length"),
        pytest.param(b"\x81" * 10_000 + b"\x01", id="deeper than Kubernetes reads"),
    ],
)
def test_what_is_no_cbor_of_kubernetes_has_no_end(data: bytes) -> None:
    events = CborFramer()
    events.feed(data)
    events.feed(ITEM)
    assert not events.at_boundary
