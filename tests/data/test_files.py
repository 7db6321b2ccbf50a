"""Memory and files."""

from __future__ import annotations

import pytest

from hpsearch.data.files import require_memory
from hpsearch.errors import DataError
from hpsearch.machine import available_bytes


def test_available_bytes_is_a_part_of_the_machine():
    assert 1_000_000 < available_bytes() < 1 << 46


def test_require_memory():
    require_memory(1000, "small")
    with pytest.raises(DataError, match=r"big: reading it takes about 1000000000\.0 GB"):
        require_memory(10**18, "big")
