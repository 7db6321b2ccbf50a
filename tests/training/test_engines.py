"""The C engines of all processors give the same bits; 64-bit ARM's runs in an emulator."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from hpsearch.native.network import native_engines

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "hpsearch" / "native" / "src"
PROGRAM = ROOT / "tests" / "support" / "engine_bits"
#: As setup.py compiles the extension.
FLAGS = ["-O3", "-std=c11", "-ffp-contract=off", "-fno-math-errno"]


def bits_of(engine, folder, *, compiler="cc", emulator=()):
    """The bits that an engine gives: networks of all kinds in training, and activations."""
    program = folder / engine
    sources = [PROGRAM / "engine_bits.c", SOURCES / f"engine_{engine}.c"]
    subprocess.run(
        [compiler, *FLAGS, f"-DENGINE=engine_{engine}", "-I", PROGRAM, "-I", SOURCES, *sources,
         "-static", "-lm", "-o", program],
        check=True,
    )  # fmt: skip
    return subprocess.run(
        [*emulator, program], capture_output=True, text=True, check=True
    ).stdout.splitlines()


@pytest.fixture(scope="module")
def wanted(tmp_path_factory):
    lines = bits_of("avx2", tmp_path_factory.mktemp("avx2"))
    assert len(lines) > 1000
    assert not any("nan" in line for line in lines)
    return lines


@pytest.mark.slow
def test_64_bit_arm(wanted, tmp_path):
    found = bits_of(
        "neon", tmp_path, compiler="aarch64-linux-gnu-gcc", emulator=["qemu-aarch64-static"]
    )
    assert found == wanted


@pytest.mark.slow
def test_this_processor(wanted, tmp_path):
    for engine in {*native_engines()} - {"avx2"}:
        assert bits_of(engine, tmp_path) == wanted
