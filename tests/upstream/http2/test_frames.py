"""Frames, cut out of what is received and built."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelatch.upstream.http2 import frames
from kubelatch.upstream.http2.frames import Code, Frame, FrameReader, FrameType, Http2Error

some = st.builds(
    Frame,
    kind=st.integers(0, 20),
    flags=st.integers(0, 255),
    stream=st.integers(0, 2**31 - 1),
    payload=st.binary(max_size=50),
)


@given(st.lists(some, max_size=5), st.lists(st.integers(0, 300), max_size=5))
def test_frames_are_the_same_however_they_are_cut(sent: list[Frame], places: list[int]) -> None:
    stream = b"".join(
        frames.build(frame.kind, frame.flags, frame.stream, frame.payload)  # type: ignore[arg-type]
        for frame in sent
    )
    edges = sorted({0, len(stream), *(place % (len(stream) + 1) for place in places)})
    reader, found = FrameReader(), []
    for start, end in itertools.pairwise(edges):
        found += list(reader.feed(stream[start:end]))
    assert found == sent


def test_a_frame_larger_than_agreed_is_refused_before_it_has_come() -> None:
    with pytest.raises(Http2Error) as caught:
        list(FrameReader().feed(b"\x00\x40\x01\x00\x00\x00\x00\x00\x01"))
    assert caught.value.code is Code.FRAME_SIZE_ERROR


def test_padding_and_priority_are_taken_off() -> None:
    padded = Frame(FrameType.DATA, 0x8, 1, b"\x03abc\0\0\0")
    assert frames.content(padded) == b"abc"
    both = Frame(FrameType.HEADERS, 0x28, 1, b"\x02\0\0\0\0\x10abc\0\0")
    assert frames.content(both) == b"abc"
    for broken in (Frame(FrameType.DATA, 0x8, 1, b""), Frame(FrameType.DATA, 0x8, 1, b"\x03ab")):
        with pytest.raises(Http2Error):
            frames.content(broken)


def test_a_head_larger_than_a_frame_goes_on_in_others() -> None:
    found = list(FrameReader().feed(frames.build_headers(3, b"abcdefgh", size=3)))
    assert [(frame.kind, frame.flags, frame.payload) for frame in found] == [
        (FrameType.HEADERS, frames.END_STREAM, b"abc"),
        (FrameType.CONTINUATION, 0, b"def"),
        (FrameType.CONTINUATION, frames.END_HEADERS, b"gh"),
    ]
    assert {frame.stream for frame in found} == {3}


def test_error_codes_have_names() -> None:
    assert frames.code_name(8) == "CANCEL"
    assert frames.code_name(99) == "code 0x63"
