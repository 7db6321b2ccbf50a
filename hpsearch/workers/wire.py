"""Exchange messages between driver and worker over a socket that user code can also reach."""

from __future__ import annotations

import os
import socket
import zlib

#: Exit status of a worker whose code has closed the connection to the driver.
CLOSED_STATUS = 74
_MARK = b"hpsearch"
_LENGTH_BYTES, _CHECKSUM_BYTES = 8, 4
_HEADER_BYTES = len(_MARK) + _LENGTH_BYTES + _CHECKSUM_BYTES
_BLOCK_BYTES = 1 << 20


class NoMessageError(Exception):
    """The socket holds bytes that the other side's `Wire` did not send."""


class Wire:
    """One side of a socket.

    The driver posts and takes messages without waiting, because a worker may be stopped, or its
    code may write to any descriptor. The worker sends and receives messages, and waits for them.
    """

    def __init__(self, endpoint: socket.socket) -> None:
        self._socket = endpoint
        self._identity = _identity(endpoint.fileno())
        self._received = bytearray()
        self._waiting = bytearray()
        #: True if bytes that are no message were received.
        self.spoilt = False

    def fileno(self) -> int:
        """Return the descriptor for selectors."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close this side."""
        self._socket.close()

    def send_bytes(self, body: bytes) -> None:
        """Send a message; wait until it is on its way.

        Raises:
            OSError: The other side has closed, or this side's descriptor is another file's.
        """
        if _identity(self.fileno()) != self._identity:
            raise OSError("the descriptor was closed, and is another file's now")
        self._socket.sendall(_framed(body))

    def recv_bytes(self) -> bytes:
        """Wait for a message.

        Raises:
            EOFError: The other side has closed.
        """
        while (body := self._first()) is None:
            block = self._socket.recv(_BLOCK_BYTES)
            if not block:
                raise EOFError
            self._received += block
        return body

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
            EOFError: The other side has closed, and all its messages were taken.
            NoMessageError: Other code wrote to the socket, and all messages before were taken.
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
        except NoMessageError:
            # The next call will raise, even if nothing more arrives.
            self.spoilt = True
            if not bodies:
                raise
        if ended and not bodies:
            raise EOFError
        return bodies

    def _first(self) -> bytes | None:
        """Remove and return the first message if it is complete."""
        received = self._received
        if received[: len(_MARK)] != _MARK[: len(received)]:
            raise NoMessageError
        if len(received) < _HEADER_BYTES:
            return None
        numbers = received[len(_MARK) : _HEADER_BYTES]
        length = int.from_bytes(numbers[:_LENGTH_BYTES], "little")
        if numbers[_LENGTH_BYTES:] != _checksum(numbers[:_LENGTH_BYTES]):
            raise NoMessageError
        end = _HEADER_BYTES + length
        if len(received) < end + _CHECKSUM_BYTES:
            return None
        body = bytes(received[_HEADER_BYTES:end])
        if received[end : end + _CHECKSUM_BYTES] != _checksum(body):
            raise NoMessageError
        del received[: end + _CHECKSUM_BYTES]
        return body


def _identity(descriptor: int) -> tuple[int, int]:
    found = os.fstat(descriptor)
    return found.st_dev, found.st_ino


def _framed(body: bytes) -> bytes:
    length = len(body).to_bytes(_LENGTH_BYTES, "little")
    return b"".join([_MARK, length, _checksum(length), body, _checksum(body)])


def _checksum(data: bytes | bytearray) -> bytes:
    return zlib.crc32(data).to_bytes(_CHECKSUM_BYTES, "little")
