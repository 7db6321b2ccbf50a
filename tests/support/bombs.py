"""Files that would blow up."""

from __future__ import annotations

import io
import zipfile

import numpy as np


def archive_of_zeros(path) -> None:
    """Two hundred megabytes in two hundred kilobytes."""
    head = io.BytesIO()
    about = {"descr": "<f4", "fortran_order": False, "shape": (50_000_000,)}
    np.lib.format.write_array_header_1_0(head, about)
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("x.npy", "w", force_zip64=True) as stream,
    ):
        stream.write(head.getvalue())
        for _ in range(200):
            stream.write(bytes(1_000_000))
