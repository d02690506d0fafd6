"""The states of a client's connection, and every way from one to another.

Whatever changes a connection's state is an :class:`Event`; what it leads to stands in
:data:`TRANSITIONS` and nowhere else. An event that has no entry there is a fault of ours.
"""

from enum import IntEnum
from typing import Final


class State(IntEnum):
    """What a connection is doing."""

    #: One connection too many: it waits to be refused.
    EXCESS = 0
    #: No byte of a request has come.
    IDLE = 1
    #: Part of a request's head has come.
    HEAD = 2
    #: An exchange is under way, and its request's body still comes.
    BODY = 3
    #: An exchange is under way, and its request is whole.
    RESPONSE = 4
    #: An exchange is under way that may become a tunnel; what the client sends is kept for that.
    UPGRADE = 5
    #: The client's bytes go to a tunnel.
    TUNNEL = 6
    #: The last response is sent; what the client still sends is dropped.
    LINGER = 7
    #: An exchange is under way whose request's body cannot be read; what follows is dropped.
    BROKEN = 9
    #: The connection is closed, or about to be: buffered bytes still go out.
    CLOSED = 8


class Event(IntEnum):
    """What changes the state."""

    HEAD_BEGINS = 0
    REQUEST = 1
    REQUEST_WITH_BODY = 2
    REQUEST_TO_UPGRADE = 3
    BODY_ENDS = 4
    UPGRADE_IGNORED = 5
    SWITCHED = 6
    RESPONSE_ENDS = 7
    #: The response has ended, and the connection takes no further request.
    LAST_RESPONSE_ENDS = 8
    #: A response of ours, to something that is no request to be carried out.
    REFUSED = 9
    CLOSED = 10
    #: The rest of a body makes no sense.
    BODY_BREAKS = 11


_S, _E = State, Event

TRANSITIONS: Final[dict[State, dict[Event, State]]] = {
    _S.EXCESS: {_E.REFUSED: _S.LINGER, _E.CLOSED: _S.CLOSED},
    _S.IDLE: {
        _E.HEAD_BEGINS: _S.HEAD,
        _E.REQUEST: _S.RESPONSE,
        _E.REQUEST_WITH_BODY: _S.BODY,
        _E.REQUEST_TO_UPGRADE: _S.UPGRADE,
        _E.REFUSED: _S.LINGER,
        _E.CLOSED: _S.CLOSED,
    },
    _S.HEAD: {
        _E.REQUEST: _S.RESPONSE,
        _E.REQUEST_WITH_BODY: _S.BODY,
        _E.REQUEST_TO_UPGRADE: _S.UPGRADE,
        _E.REFUSED: _S.LINGER,
        _E.CLOSED: _S.CLOSED,
    },
    _S.BODY: {
        _E.BODY_ENDS: _S.RESPONSE,
        _E.BODY_BREAKS: _S.BROKEN,
        _E.LAST_RESPONSE_ENDS: _S.LINGER,
        _E.CLOSED: _S.CLOSED,
    },
    _S.RESPONSE: {
        _E.RESPONSE_ENDS: _S.IDLE,
        _E.LAST_RESPONSE_ENDS: _S.CLOSED,
        _E.CLOSED: _S.CLOSED,
    },
    _S.UPGRADE: {
        _E.UPGRADE_IGNORED: _S.RESPONSE,
        _E.SWITCHED: _S.TUNNEL,
        _E.LAST_RESPONSE_ENDS: _S.CLOSED,
        _E.CLOSED: _S.CLOSED,
    },
    _S.TUNNEL: {_E.LAST_RESPONSE_ENDS: _S.CLOSED, _E.CLOSED: _S.CLOSED},
    _S.BROKEN: {_E.LAST_RESPONSE_ENDS: _S.LINGER, _E.CLOSED: _S.CLOSED},
    _S.LINGER: {_E.CLOSED: _S.CLOSED},
    _S.CLOSED: {_E.CLOSED: _S.CLOSED, _E.LAST_RESPONSE_ENDS: _S.CLOSED},
}
