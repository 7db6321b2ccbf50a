"""The extension in C; all else stands in pyproject.toml."""

from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

SOURCES = Path("hpsearch/native/src")


class BuildExtension(build_ext):
    """Makes a wheel for any platform if the extension could not be built."""

    def run(self) -> None:
        """Build the extension."""
        super().run()
        if not self.inplace and not any(Path(path).exists() for path in self.get_outputs()):
            self.distribution.ext_modules = []
            if wheel := self.distribution.get_command_obj("bdist_wheel", create=False):
                wheel.root_is_pure = True


setup(
    ext_modules=[
        Extension(
            "hpsearch.native._native",
            sources=sorted(map(str, SOURCES.glob("*.c"))),
            depends=sorted(map(str, SOURCES.glob("*.h"))),
            # No contraction: what is fused is written so, and the bits are the same everywhere.
            extra_compile_args=[
                *("-O3", "-g0", "-std=gnu11", "-ffp-contract=off", "-fno-math-errno", "-pthread")
            ],
            extra_link_args=["-pthread"],
            py_limited_api=True,
            # Without a compiler there is TensorFlow.
            optional=True,
        )
    ],
    cmdclass={"build_ext": BuildExtension},
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
