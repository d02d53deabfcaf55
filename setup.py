"""The optional part of the build: with ETCDPY_COMPILE=1 the hot modules become machine code.

    ETCDPY_COMPILE=1 pip install .

mypyc compiles them from the same typed source (a C compiler and Python's headers are needed, and a
few minutes); whatever is not compiled, and everything without that variable, is plain Python.  All
else that the build has to know is in pyproject.toml.

Compiled is what a request or a batch passes through.  Left out are what is subclassed or replaced
by plain Python (errors), what mypyc cannot make (data classes that are generic), and what handles
named tuples under the type of a plain tuple, which mypyc takes literally (store/view).
"""

import os
import tomllib
from glob import glob
from pathlib import Path

from setuptools import setup

_PATTERNS = (
    "consensus/*",
    "tree/*",
    "store/record",
    "store/wal",
    "http/gojson/writer",
    "http/auth/access",
    "http/auth/rules",
    "http/auth/store",
    "http/peers/frames",
    "http/peers/peer",
    "http/peers/protocol",
    "http/peers/stream",
    "http/peers/transport",
    "http/access",
    "http/answerers",
    "http/backend",
    "http/chunks",
    "http/connection",
    "http/events",
    "http/fast",
    "http/form",
    "http/heads",
    "http/keys",
    "http/limits",
    "http/listing",
    "http/lookout",
    "http/notifier",
    "http/outgoing",
    "http/params",
    "http/receiver",
    "http/routes",
    "http/runner",
    "http/sending",
    "http/target",
    "http/traffic",
    "http/watch",
    "http/wire",
    "metrics/exposition",
    "apply",
    "linearizer",
    "member",
    "quota",
)


def _paths() -> list[str]:
    """Return the files to compile, whose packages stay plain."""
    paths = [path for one in _PATTERNS for path in sorted(glob(f"etcdpy/{one}.py"))]
    return [path for path in paths if not path.endswith("__init__.py")]


def _options() -> dict[str, object]:
    """Return what is to be added to the build."""
    if os.environ.get("ETCDPY_COMPILE", "") in ("", "0"):
        return {}
    try:
        from mypyc.build import mypycify
    except ImportError:  # pip asks what is needed before it installs it
        project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
        # Types are checked on the way: what is imported has to be there.
        imported = project["dependencies"] + project["optional-dependencies"]["auto-tls"]
        return {"setup_requires": ["mypy>=1.13,<3", "types-PyYAML>=6.0", *imported]}
    level = os.environ.get("ETCDPY_COMPILE_LEVEL", "3")
    modules = mypycify(_paths(), opt_level=level, debug_level="0", group_name="etcdpy")
    return {"ext_modules": modules}


setup(**_options())
