"""Messages between driver and worker over a socket that the worker's code can also reach."""

from __future__ import annotations

import os
import socket
import zlib

#: Exit status of a worker without a connection to the driver, which the worker's code can close.
CLOSED_STATUS = 74
_MARK = b"hpsearch"
_LENGTH_BYTES, _CHECKSUM_BYTES = 8, 4
_HEADER_BYTES = len(_MARK) + _LENGTH_BYTES + _CHECKSUM_BYTES
_BLOCK_BYTES = 1 << 20


class NoMessageError(Exception):
    """There is something on the socket that the other side's `Wire` did not send."""


class Wire:
    """One side of a socket.

    The driver posts and takes messages without ever waiting, because a worker may be stopped, or
    its code may write to any descriptor. The worker sends and receives, and waits.
    """

    def __init__(self, endpoint: socket.socket) -> None:
        self._socket = endpoint
        self._identity = _identity(endpoint.fileno())
        self._received = bytearray()
        self._waiting = bytearray()
        #: True if what was received goes on with something that is no message.
        self.spoilt = False

    def fileno(self) -> int:
        """Return the descriptor for selectors."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close this side."""
        self._socket.close()

    def send_bytes(self, body: bytes) -> None:
        """Send a message, waiting until it is on its way.

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
        """Send a message, as much of it as fits now; `flush` sends the rest."""
        self._waiting += _framed(body)
        self.flush()

    def flush(self) -> None:
        """Send what fits of posted messages; nothing if the other side has closed."""
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
        """Return the whole messages that there are.

        Raises:
            EOFError: The other side has closed, and its messages are taken.
            NoMessageError: Something else wrote to the socket, and messages before it are taken.
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
            # The next call raises, if nothing more comes, too.
            self.spoilt = True
            if not bodies:
                raise
        if ended and not bodies:
            raise EOFError
        return bodies

    def _first(self) -> bytes | None:
        """Remove and return the first message if all of it is there."""
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
