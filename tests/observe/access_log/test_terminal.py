"""The request log on a real terminal, as a person sees it on the screen."""

import fcntl
import logging
import os
import pty
import select
import struct
import termios
from collections.abc import Iterator
from typing import Any

import pyte
import pytest

from kubelatch.gate.patterns import PatternList
from kubelatch.observe.access_log import LogWriter, RequestViews
from kubelatch.observe.access_log.terminal import TerminalLog
from kubelatch.observe.program_log import LogHandler
from kubelatch.relay.record import Record

from .support import record

PODS = "/api/v1/namespaces/shop/pods?limit=500"
LONG = f"/apis/apps/v1/namespaces/shop/deployments/web?fieldManager={'kubectl-' * 20}"
AGENT = ((b"User-Agent", b"kubectl/v1.36.1"),)


class Window:
    """A terminal, and the log that writes to it."""

    def __init__(self, columns: int = 160, rows: int = 24) -> None:
        self.columns = columns
        self.raw = ""
        self._master, self._slave = pty.openpty()
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.Stream(self._screen)
        self.writer = LogWriter(os.ttyname(self._slave))
        self.log = self.make()

    def make(self, **options: Any) -> TerminalLog:
        """The log; later calls replace it."""
        self.log = TerminalLog(
            self.writer,
            RequestViews(),
            **{"colour": False, "moves_cursor": True, **options},
        )
        return self.log

    def show(self, *records: Record) -> None:
        self.log.write(records)

    def rows(self) -> list[str]:
        """What is on the screen once all has been written, without the empty rows at its end."""
        self.writer.close()
        while select.select([self._master], [], [], 0)[0]:
            self.raw += os.read(self._master, 65536).decode()
        self._stream.feed(self.raw)
        return "\n".join(row.rstrip() for row in self._screen.display).rstrip().split("\n")

    def close(self) -> None:
        self.writer.close()
        os.close(self._master)
        os.close(self._slave)


@pytest.fixture
def window() -> Iterator[Window]:
    window = Window()
    yield window
    window.close()


@pytest.mark.parametrize("columns", [80, 100, 160])
@pytest.mark.parametrize("target", [PODS, LONG, "/version", "/api/v1/pods/日本語" + "語" * 200])
def test_a_request_that_goes_well_is_one_row(columns: int, target: str) -> None:
    window = Window(columns)
    try:
        window.show(record(target=target, headers=AGENT))
        (row,) = window.rows()
        assert len(row) < columns
        assert " 200 " in row
        assert not any(f"{key}=" in row for key in ("conn", "cred", "audit", "client", "ua"))
        if columns == 160 and target == PODS:
            assert row.split()[4:] == ["list", "pods", "shop/", PODS]
    finally:
        window.close()


def test_at_a_hundred_columns_the_object_is_whole_and_the_target_is_cut() -> None:
    window = Window(100)
    try:
        window.show(record(method="PATCH", target=LONG))
        (row,) = window.rows()
        assert "patch deployments.apps shop/web " in row
        assert row.endswith("...")
    finally:
        window.close()


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("/api/v1/namespaces/shop", "shop"),
        ("/api/v1/nodes/n1", "n1"),
        ("/api/v1/pods", ""),
        ("/api/v1/namespaces/shop/pods/web", "shop/web"),
    ],
)
def test_the_object_is_named_as_people_name_it(window: Window, target: str, name: str) -> None:
    window.show(record(target=target))
    (row,) = window.rows()
    assert row.split()[6:] == [*filter(None, [name]), target]


@pytest.mark.parametrize(
    "wrong",
    [{"status": 404}, {"status": 502, "cause": "refused"}, {"status": 403, "rule": "reject-paths"}],
    ids=["refused upstream", "failed", "refused here"],
)
def test_where_something_is_wrong_the_rest_follows(window: Window, wrong: dict[str, Any]) -> None:
    window.show(record(target=LONG, headers=AGENT, client="127.0.0.1", **wrong))
    row, *rest = window.rows()
    details = "".join(line.strip() for line in rest)
    assert all(len(line) < window.columns for line in (row, *rest))
    assert "kubectl-" * 20 in details
    assert "ua=kubectl/v1.36.1" in "".join(rest)
    for key in ("cause", "rule"):
        assert (f"{key}={wrong.get(key)}" in " ".join(rest)) is (key in wrong)


def test_v_shows_the_rest_of_every_request(window: Window) -> None:
    window.make(verbosity=1)
    window.show(record(target=PODS, headers=AGENT))
    row, rest = window.rows()
    assert PODS in row
    assert "ua=kubectl/v1.36.1" in rest
    assert PODS not in rest


def test_polling_is_one_row_with_a_count(window: Window) -> None:
    nodes = "/api/v1/nodes"
    for _ in range(3):
        window.show(record(target=PODS), record(target=nodes))
    window.show(record(target=PODS, sent=777))
    pods_row, nodes_row = window.rows()
    assert f" x4 {PODS}" in pods_row
    assert " 777 " in pods_row
    assert f" x3 {nodes}" in nodes_row


def test_a_failing_poll_is_folded_with_its_details(window: Window) -> None:
    failed = {"status": 502, "cause": "refused", "first_byte": 0.0, "client": "127.0.0.1"}
    for _ in range(3):
        window.show(record(target=PODS, **failed), record(target="/version"))
    row, details, version = window.rows()
    assert " x3 " in row
    assert "cause=refused" in details
    assert " x3 /version" in version


@pytest.mark.parametrize(
    "other",
    [{"status": 404}, {"method": "POST"}, {"target": f"{PODS}&continue=x"}],
    ids=lambda other: next(iter(other)),
)
def test_another_request_is_another_row(window: Window, other: dict[str, Any]) -> None:
    window.show(record(target=PODS), record(**{"target": PODS, **other}))
    assert len([row for row in window.rows() if "pods" in row and row[8] == " "]) >= 2


def test_changes_are_not_folded(window: Window) -> None:
    window.show(*[record(method="POST", target="/api/v1/namespaces/shop/pods")] * 3)
    assert len(window.rows()) == 3


def test_what_others_write_in_between_is_not_overwritten(window: Window) -> None:
    logger = logging.getLogger("test of the terminal log")
    handler = LogHandler(window.writer)
    logger.addHandler(handler)
    logger.propagate = False
    try:
        window.show(record(target=PODS))
        logger.warning("something else")
        window.show(record(target=PODS), record(target="/version"))
        window.show(record(target=PODS))
    finally:
        logger.removeHandler(handler)
    first, other, second, version = window.rows()
    assert first.endswith(f" {PODS}")
    assert other == "WARNING: something else"
    assert f" x3 {PODS}" in second
    assert version.endswith("/version")


def test_rows_that_have_left_the_screen_are_not_updated() -> None:
    window = Window(100, rows=5)
    try:
        targets = [f"/api/v1/nodes/n{number}" for number in range(8)]
        window.show(*(record(target=target) for target in targets))
        window.show(record(target=targets[0]), record(target=targets[7]))
        assert [row.split()[-1] for row in window.rows()] == [*targets[5:], targets[0]]
        assert [" x2 " in row for row in window.rows()] == [False, False, True, False]
    finally:
        window.close()


def test_colour_is_all_that_no_color_changes() -> None:
    screens = []
    for colour in (True, False):
        window = Window()
        try:
            window.make(colour=colour)
            for status in (200, 404, 503, 200):
                window.show(record(target=PODS, status=status))
            screens.append(window.rows())
            assert ("\x1b[32m200\x1b[0m" in window.raw) is colour
            assert ("\x1b[33m404\x1b[0m" in window.raw) is colour
            assert ("\x1b[31m503\x1b[0m" in window.raw) is colour
        finally:
            window.close()
    assert screens[0] == screens[1]
    assert " x2 " in screens[0][0]


def test_a_terminal_that_cannot_move_its_cursor_gets_rows_only(window: Window) -> None:
    window.make(moves_cursor=False)
    window.show(record(target=PODS), record(target=PODS))
    assert len(window.rows()) == 2
    assert "\x1b" not in window.raw


def test_paths_can_be_left_out(window: Window) -> None:
    window.make(skip=PatternList("--log-skip-paths", ("^/livez",)))
    window.show(record(target="/livez"), record(target="/livez", status=500))
    assert " 500 " in window.rows()[0]


def test_a_stream_that_begins_and_ends_has_two_rows(window: Window) -> None:
    window.make(verbosity=2)
    watch = record(target="/api/v1/pods?watch=1", ended=0.0, first_byte=0.0)
    window.log.begin(watch)
    window.show(record(target="/api/v1/pods?watch=1"))
    rows = [row for row in window.rows() if not row.startswith(" ")]
    assert [row.split()[1] for row in rows] == [">>>", "200"]
