"""Paths as bytes: what a clean path is, and its pieces.

Every path inside the tree package is clean and absolute: it begins with a slash, has no empty, `.`
or `..` component and no trailing slash, except the root, which is `/` alone.
Source: spec/keys.md section 2.
"""

ROOT = b"/"
MEMBERS_PART = b"/0"  # the cluster's own rows
KEYS_PART = b"/1"  # what clients see as `/`


def clean(path: bytes) -> bytes:
    """Return the clean absolute form of `path`; `..` does not climb above the root."""
    names: list[bytes] = []
    for name in path.split(b"/"):
        if name == b"..":
            del names[-1:]
        elif name not in (b"", b"."):
            names.append(name)
    return b"/" + b"/".join(names)


def is_clean(path: bytes) -> bool:
    """Tell whether `path` is clean and absolute."""
    if not path.startswith(b"/"):
        return False
    if path.find(b"//") < 0 and path.find(b"/.") < 0 and path[-1:] != b"/":
        return True  # nearly all paths; a name may begin with a dot, so the rest is looked at
    return clean(path) == path


def join(parent: bytes, name: bytes) -> bytes:
    """Return the path of the child `name` of the clean path `parent`."""
    return below(parent) + name


def below(path: bytes) -> bytes:
    """Return the prefix that all paths below the clean `path` have."""
    return path if path == ROOT else path + b"/"
