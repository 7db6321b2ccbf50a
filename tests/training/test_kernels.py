"""The kernels of all processors give the same bits; those of 64-bit ARM run in an emulator."""

import subprocess
from pathlib import Path

import pytest

from hpsearch.native.network import instruction_sets

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "hpsearch" / "native" / "src"
PROGRAM = ROOT / "tests" / "support" / "kernel_bits"
#: As setup.py compiles the extension.
FLAGS = ["-O3", "-std=gnu11", "-ffp-contract=off", "-fno-math-errno", "-pthread"]


#: Every product of the program's small networks is shared by three threads.
THREADS = ["-DTHREADS=3", "-DTHREAD_MULTIPLICATIONS=1", "-DSTART_MULTIPLICATIONS=1"]


def bits_of(name, folder, *, compiler="cc", emulator=(), flags=("-static",)):
    """The bits that kernels give: networks of all kinds in training, and activations."""
    program = folder / name
    sources = [PROGRAM / "kernel_bits.c", SOURCES / f"kernels_{name}.c"]
    subprocess.run(
        [compiler, *FLAGS, f"-DKERNELS=kernels_{name}", "-I", PROGRAM, "-I", SOURCES, *sources,
         *flags, "-lm", "-o", program],
        check=True,
    )  # fmt: skip
    return subprocess.run(
        [*emulator, program], capture_output=True, text=True, check=True
    ).stdout.splitlines()


@pytest.mark.slow
def test_this_processor_and_64_bit_arm_give_the_same_bits(tmp_path):
    lines = bits_of("avx2", tmp_path)
    assert len(lines) > 1000
    assert not any("nan" in line for line in lines)
    for name in {*instruction_sets()} - {"avx2"}:
        assert bits_of(name, tmp_path) == lines
    compiler, emulator = "aarch64-linux-gnu-gcc", ["qemu-aarch64-static"]
    assert bits_of("neon", tmp_path, compiler=compiler, emulator=emulator) == lines


@pytest.mark.slow
def test_threads_share_products_without_a_race(tmp_path):
    checked = ["-fsanitize=thread", "-O1", "-g", *THREADS]
    assert bits_of("avx2", tmp_path, flags=checked) == bits_of("avx2", tmp_path)
