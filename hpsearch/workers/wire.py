"""Exchange messages over a socket that a worker's code can also reach."""

from __future__ import annotations

import contextlib
import socket

#: Exit status of a worker whose code has closed the connection to the driver.
CLOSED_STATUS = 74
_LENGTH_BYTES = 8
#: No message is longer, and any text that user code writes reads as a greater length.
_MOST_BYTES = 2**40
_BLOCK_BYTES = 1 << 20


class Wire:
    """One side of a socket; a message is its length in eight bytes, then its bytes.

    The driver posts and takes messages without waiting, because a worker may be stopped. The
    worker sends and receives messages, and waits for them.
    """

    def __init__(self, endpoint: socket.socket) -> None:
        self._socket = endpoint
        self._received = bytearray()
        self._waiting = bytearray()

    def fileno(self) -> int:
        """Return the descriptor for selectors."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close this side."""
        self._socket.close()

    def send_bytes(self, body: bytes) -> None:
        """Send a message; wait until it is on its way.

        Raises:
            OSError: The other side has closed.
        """
        self._socket.sendall(_framed(body))

    def recv_bytes(self) -> bytes:
        """Wait for a message.

        Raises:
            EOFError: The other side has closed, or sent something else.
        """
        return self._exactly(_length_of(self._exactly(_LENGTH_BYTES)))

    def _exactly(self, count: int) -> bytes:
        received = bytearray()
        while len(received) < count:
            block = self._socket.recv(min(count - len(received), _BLOCK_BYTES))
            if not block:
                raise EOFError
            received += block
        return bytes(received)

    def post(self, body: bytes) -> None:
        """Send as much of a message as fits now; `flush` sends the rest."""
        self._waiting += _framed(body)
        self.flush()

    def flush(self) -> None:
        """Send as much of posted messages as fits; drop them if the other side has closed."""
        try:
            while self._waiting:
                sent = self._socket.send(self._waiting[:_BLOCK_BYTES], socket.MSG_DONTWAIT)
                del self._waiting[:sent]
        except BlockingIOError:
            return
        except OSError:
            self._waiting.clear()

    @property
    def waits(self) -> bool:
        """True if `flush` has something left to send."""
        return bool(self._waiting)

    def take(self) -> list[bytes]:
        """Return the complete messages received so far.

        Raises:
            EOFError: The other side has closed, or other code wrote to the socket; all messages
                before were taken.
        """
        ended = False
        try:
            while block := self._socket.recv(_BLOCK_BYTES, socket.MSG_DONTWAIT):
                self._received += block
            ended = True
        except BlockingIOError:
            pass
        except OSError:
            ended = True
        bodies: list[bytes] = []
        try:
            while (body := self._first()) is not None:
                bodies.append(body)
        except EOFError:
            ended = True
            # Wake the driver up, even if nothing more arrives.
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
        if ended and not bodies:
            raise EOFError
        return bodies

    def _first(self) -> bytes | None:
        """Remove and return the first message if it is complete."""
        if len(self._received) < _LENGTH_BYTES:
            return None
        end = _LENGTH_BYTES + _length_of(self._received[:_LENGTH_BYTES])
        if len(self._received) < end:
            return None
        body = bytes(self._received[_LENGTH_BYTES:end])
        del self._received[:end]
        return body


def _framed(body: bytes) -> bytes:
    return len(body).to_bytes(_LENGTH_BYTES) + body


def _length_of(header: bytes | bytearray) -> int:
    length = int.from_bytes(header)
    if length > _MOST_BYTES:
        raise EOFError
    return length
