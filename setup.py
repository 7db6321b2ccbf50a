"""The extension in C; all else stands in pyproject.toml."""

from pathlib import Path

from setuptools import Extension, setup

SOURCES = Path("hpsearch/native/src")

setup(
    ext_modules=[
        Extension(
            "hpsearch.native._native",
            sources=sorted(map(str, SOURCES.glob("*.c"))),
            depends=sorted(map(str, SOURCES.glob("*.h"))),
            # No contraction: what is fused is written so, and the bits are the same everywhere.
            extra_compile_args=["-O3", "-std=c11", "-ffp-contract=off", "-fno-math-errno"],
            py_limited_api=True,
            # Without a compiler there is TensorFlow.
            optional=True,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
