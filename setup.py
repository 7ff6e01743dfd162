"""The compiled inner loops of the tracker; everything else is in setup.cfg."""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "taskgroup.tracker._loops",  # loaded with ctypes: needs neither Python's headers nor an import
            ["taskgroup/tracker/_loops.c"],
            extra_compile_args=["-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"],
            optional=True,  # without a compiler numpy does the same
        )
    ]
)
