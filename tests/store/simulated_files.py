"""A disk that can lose, tear, delay and refuse: `Files` in memory, for store tests and simulator.

It keeps two states: what the system shows (the page cache and the directories in memory) and what
would still be there after a power loss.  `fdatasync` and `fsync_dir` carry the first over to the
second.  `crash` makes a new disk from the durable state and, of what was not synced, any subset:
page by page, name by name, each file's size old, new or between.  `kill` is the process's death
alone: handles and locks go, the page cache stays.

Deterministic: everything that is left to chance comes from one seeded source.
"""

import errno
import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field


class SimulatedCrash(BaseException):
    """The power went, or the process was killed, in the middle of an operation.

    Not an Exception, so that no handler of the code under test can stop it.
    """


@dataclass(slots=True)
class Inode:
    """A file's bytes: as the system shows them, and as they are on the disk."""

    cached: bytearray = field(default_factory=bytearray)
    durable: bytearray = field(default_factory=bytearray)
    dirty: set[int] = field(default_factory=set)  # pages that differ, as far as the system knows

    def copy_page(self, page: int, page_bytes: int) -> None:
        """Carry one page over, within both sizes."""
        start, end = page * page_bytes, (page + 1) * page_bytes
        data = self.cached[start : min(end, len(self.durable))]
        self.durable[start : start + len(data)] = data

    def resize_durable(self, size: int) -> None:
        """Set the durable size; what is new is zeros."""
        del self.durable[size:]
        self.durable.extend(bytes(size - len(self.durable)))


@dataclass(slots=True)
class Directory:
    """Names, as the system shows them and as they are on the disk, and what leads from one to the
    other: each change maps names to what they name now, None for nothing.
    """

    cached: dict[str, "Inode | Directory"] = field(default_factory=dict)
    durable: dict[str, "Inode | Directory"] = field(default_factory=dict)
    pending: list[dict[str, "Inode | Directory | None"]] = field(default_factory=list)

    def change(self, names: dict[str, "Inode | Directory | None"]) -> None:
        """Change names in memory, in one step that is kept or lost as a whole."""
        self.pending.append(names)
        _apply(self.cached, names)


def _apply(
    entries: "dict[str, Inode | Directory]", names: "dict[str, Inode | Directory | None]"
) -> None:
    for name, thing in names.items():
        if thing is None:
            entries.pop(name, None)
        else:
            entries[name] = thing


class SimulatedFiles:
    """`Files` on a simulated disk.

    `on_operation(operation, path)` is called before each operation and may raise an OSError (the
    operation then does nothing, but for the cases in `_refuse_sync`), or count, or delay.
    """

    def __init__(
        self,
        chance: random.Random,
        *,
        page_bytes: int = 4096,
        on_operation: Callable[[str, str], None] | None = None,
    ) -> None:
        self.chance = chance
        self.page_bytes = page_bytes
        self.on_operation = on_operation
        self.operation_count = 0
        self.crash_at: int | None = None  # the operation, by count, in whose middle to crash
        self.free_bytes: int | None = None  # None: no end
        self.root = Directory()
        self._handles: dict[int, tuple[Inode, str]] = {}
        self._locks: dict[int, int] = {}  # id of inode -> handle
        self._last_handle = 2

    # ---- Files

    def create(self, path: str) -> int:
        self._begin("create", path)
        directory, name = self._parent(path)
        if name in directory.cached:
            raise _error(errno.EEXIST, path)
        inode = Inode()
        directory.change({name: inode})
        return self._hand_out(inode, path)

    def open(self, path: str) -> int:
        self._begin("open", path)
        return self._hand_out(self._inode(path), path)

    def close(self, handle: int) -> None:
        inode, path = self._handles[handle]
        self._begin("close", path)
        del self._handles[handle]
        if self._locks.get(id(inode)) == handle:
            del self._locks[id(inode)]

    def read(self, handle: int, offset: int, length: int) -> bytes:
        inode, path = self._handles[handle]
        self._begin("read", path)
        return bytes(inode.cached[offset : offset + length])

    def write(self, handle: int, offset: int, data: bytes) -> None:
        inode, path = self._handles[handle]
        is_last = self._is_crash_next()
        if not is_last:
            self._begin("write", path)
        room = len(data)
        growth = offset + len(data) - len(inode.cached)
        if self.free_bytes is not None and growth > self.free_bytes:
            room = max(0, len(data) - (growth - self.free_bytes))
        if is_last:
            room = self.chance.randint(0, room)
        self._put(inode, offset, data[:room])
        if is_last:
            self._begin("write", path)
        if room < len(data):
            raise _error(errno.ENOSPC, path)

    def size(self, handle: int) -> int:
        inode, path = self._handles[handle]
        self._begin("size", path)
        return len(inode.cached)

    def truncate(self, handle: int, size: int) -> None:
        inode, path = self._handles[handle]
        self._begin("truncate", path)
        pages = range(size // self.page_bytes, len(inode.cached) // self.page_bytes + 1)
        inode.dirty.update(pages)
        del inode.cached[size:]
        inode.cached.extend(bytes(size - len(inode.cached)))

    def fdatasync(self, handle: int) -> None:
        inode, path = self._handles[handle]
        try:
            self._begin("fdatasync", path)
        except OSError:
            self._refuse_sync(inode)
            raise
        self._sync(inode)

    def flusher(self) -> None:
        return None

    def list_names(self, path: str) -> list[str]:
        self._begin("list_names", path)
        return sorted(self._directory(path).cached)

    def mkdir(self, path: str) -> None:
        self._begin("mkdir", path)
        directory, name = self._parent(path)
        if name in directory.cached:
            raise _error(errno.EEXIST, path)
        directory.change({name: Directory()})

    def rename(self, source: str, target: str) -> None:
        self._begin("rename", source)
        directory, name = self._parent(source)
        target_directory, target_name = self._parent(target)
        assert directory is target_directory, "the store renames within one directory only"
        inode = self._inode(source)
        directory.change({name: None, target_name: inode})

    def unlink(self, path: str) -> None:
        self._begin("unlink", path)
        directory, name = self._parent(path)
        self._inode(path)
        directory.change({name: None})

    def fsync_dir(self, path: str) -> None:
        directory = self._directory(path)
        self._begin("fsync_dir", path)
        directory.durable = dict(directory.cached)
        directory.pending.clear()

    def lock(self, path: str) -> int:
        self._begin("lock", path)
        directory, name = self._parent(path)
        if name not in directory.cached:
            directory.change({name: Inode()})
        inode = self._inode(path)
        if id(inode) in self._locks:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN), path)
        handle = self._hand_out(inode, path)
        self._locks[id(inode)] = handle
        return handle

    def room_bytes(self, path: str) -> int:
        self._begin("room", path)
        return 1 << 40 if self.free_bytes is None else self.free_bytes

    def random_bytes(self, count: int) -> bytes:
        return self.chance.randbytes(count)

    # ---- what happens to disks

    def kill(self) -> None:
        """End the process that uses the disk; what the system shows stays as it is."""
        self._handles.clear()
        self._locks.clear()
        self.crash_at = None

    def crash(self, survival: float | None = None) -> "SimulatedFiles":
        """Return the disk as it is after a power loss; this one stays as it was.

        Each page and each change of names that was not synced is still there with the
        probability `survival`: 0.0 loses all, 1.0 none; None draws the probability.
        """
        if survival is None:
            survival = self.chance.random()
        after = SimulatedFiles(
            self.chance, page_bytes=self.page_bytes, on_operation=self.on_operation
        )
        after.root = self._crash_directory(self.root, survival, {})
        return after

    def peek(self, path: str) -> bytes:
        """Return a file's bytes as the system shows them; no operation."""
        return bytes(self._inode(path).cached)

    def poke(self, path: str, data: bytes) -> None:
        """Make these a file's bytes, durable; no operation."""
        inode = self._inode(path)
        inode.cached[:] = data
        inode.durable[:] = data
        inode.dirty.clear()

    def names(self, path: str) -> list[str]:
        """Return the names in a directory as the system shows them; no operation."""
        return sorted(self._directory(path).cached)

    def remove(self, path: str) -> None:
        """Remove a file for good; no operation."""
        directory, name = self._parent(path)
        del directory.cached[name]
        directory.durable.pop(name, None)

    def _crash_directory(
        self, directory: Directory, survival: float, seen: dict[int, Inode]
    ) -> Directory:
        entries = dict(directory.durable)
        for names in directory.pending:
            if self.chance.random() < survival:
                _apply(entries, names)
        after = Directory()
        for name, thing in entries.items():
            if isinstance(thing, Directory):
                after.cached[name] = self._crash_directory(thing, survival, seen)
            else:
                if id(thing) not in seen:
                    seen[id(thing)] = self._crash_inode(thing, survival)
                after.cached[name] = seen[id(thing)]
        after.durable = dict(after.cached)
        return after

    def _crash_inode(self, inode: Inode, survival: float) -> Inode:
        after = Inode(inode.cached, bytearray(inode.durable))
        after.resize_durable(self._crash_size(inode, survival))
        for page in sorted(inode.dirty):
            if self.chance.random() < survival:
                after.copy_page(page, self.page_bytes)
        after.cached = bytearray(after.durable)
        return after

    def _crash_size(self, inode: Inode, survival: float) -> int:
        """Return the old size, the new one, or a page's border between."""
        old, new = len(inode.durable), len(inode.cached)
        if not inode.dirty or old == new:
            return old
        if self.chance.random() < survival:
            return new
        first, last = sorted((old, new))
        borders = range((first // self.page_bytes + 1) * self.page_bytes, last, self.page_bytes)
        if borders and survival and self.chance.random() < 0.5:
            return self.chance.choice(borders)
        return old

    # ---- inside

    def _is_crash_next(self) -> bool:
        return self.operation_count == self.crash_at

    def _begin(self, operation: str, path: str) -> None:
        if self._is_crash_next():
            raise SimulatedCrash(f"{operation} {path}")
        self.operation_count += 1
        if self.on_operation is not None:
            self.on_operation(operation, path)

    def _put(self, inode: Inode, offset: int, data: bytes) -> None:
        if not data:
            return
        before = len(inode.cached)
        if offset > before:
            inode.cached.extend(bytes(offset - before))
        inode.cached[offset : offset + len(data)] = data
        if self.free_bytes is not None:
            self.free_bytes -= len(inode.cached) - before
        first = min(offset, before) // self.page_bytes
        inode.dirty.update(range(first, (offset + len(data) - 1) // self.page_bytes + 1))

    def _sync(self, inode: Inode) -> None:
        if not inode.dirty:
            return
        inode.resize_durable(len(inode.cached))
        for page in inode.dirty:
            inode.copy_page(page, self.page_bytes)
        inode.dirty.clear()

    def _refuse_sync(self, inode: Inode) -> None:
        """Do what Linux does when a sync fails: some pages are on the disk, the others are in
        memory and count as clean, so that no later sync will write them.
        """
        if self.chance.random() < 0.5:
            inode.resize_durable(len(inode.cached))
        for page in sorted(inode.dirty):
            if self.chance.random() < 0.5:
                inode.copy_page(page, self.page_bytes)
        inode.dirty.clear()

    def _hand_out(self, inode: Inode, path: str) -> int:
        self._last_handle += 1
        self._handles[self._last_handle] = (inode, path)
        return self._last_handle

    def _parent(self, path: str) -> tuple[Directory, str]:
        above, _, name = os.path.normpath(path).rpartition("/")
        return self._directory(above), name

    def _directory(self, path: str) -> Directory:
        directory = self.root
        for name in os.path.normpath(path).split("/"):
            if name in ("", "."):
                continue
            thing = directory.cached.get(name)
            if thing is None:
                raise _error(errno.ENOENT, path)
            if isinstance(thing, Inode):
                raise _error(errno.ENOTDIR, path)
            directory = thing
        return directory

    def _inode(self, path: str) -> Inode:
        directory, name = self._parent(path)
        thing = directory.cached.get(name)
        if thing is None:
            raise _error(errno.ENOENT, path)
        if isinstance(thing, Directory):
            raise _error(errno.EISDIR, path)
        return thing


def _error(number: int, path: str) -> OSError:
    """Return the OSError, of its own class, that the system raises for `number`."""
    return OSError(number, os.strerror(number), path)
