"""One watch at a member, and all who share it: opened, kept, moved to another member, ended.

A file of its own because it is the life of one shared watch.  A stream tells what happens from now
on.  What happened before is asked for one event after the other (`_Fill`): by a watcher with an
earlier `waitIndex`, and where a stream has ended and the next one, at another member, begins later.
A stream with a `waitIndex` would not do: etcd tells of a past event and is silent afterwards.
Source: spec/watch.md section 3.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from etcdpy.proxy import forwarding
from etcdpy.proxy.asking import Events, NoMemberError, Opened, Question, open_watch
from etcdpy.proxy.follower import Admission, Follower
from etcdpy.proxy.members import Members
from etcdpy.proxy.sharing import SharedWatch

log = logging.getLogger("etcdpy.proxy.httpproxy")

#: For so long a member's word that these credentials may watch is enough.
ADMISSION_S = 1.0
#: A member is asked no sooner again, however fast watches come.
PACE_S = 0.01
#: A watch that nobody shares any more is kept for so long: who was told an event comes back.
LINGER_S = 30.0
#: Different moments of the past that are asked for at once; more of them are carried one by one.
FILLS_MAX = 16


class Group:
    """The watchers of one key with one kind of credentials; it ends itself, or by `end`."""

    def __init__(
        self,
        question: Question,
        members: Members,
        relay: Callable[[Follower], None],
        on_end: Callable[[], None],
    ) -> None:
        """`relay` carries a watch that can't be shared to a member."""
        self._question = question
        self._members = members
        self._relay = relay
        self._on_end = on_end
        self._newest: SharedWatch | None = None  # what the stream tells goes there
        self._admission: Admission | None = None
        self._arrived: list[Follower] = []  # and no member was asked since
        self._asked: list[Follower] = []  # for whom a member is being asked
        self._asked_at_s = -PACE_S
        self._fills: list[_Fill] = []
        self._is_admitting = False
        self._is_ended = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def watchers_count(self) -> int:
        """How many share it."""
        newest = len(self._newest) if self._newest is not None else 0
        waiting = len(self._arrived) + len(self._asked)
        return newest + waiting + sum(fill.watchers_count for fill in self._fills)

    def arrive(self, follower: Follower) -> None:
        """Take a watch that was asked for just now."""
        self._stop_timer()
        admission, newest = self._admission, self._newest
        is_fresh = admission is not None and self._members.now_s() - admission.at_s <= ADMISSION_S
        is_known = newest is not None and newest.covers(follower.position)
        if follower.position and is_fresh and is_known:
            assert admission is not None
            self._place(follower, admission)
            return
        self._arrived.append(follower)
        if not self._is_admitting:
            self._is_admitting = True
            self._start(self._admit())

    def left(self, follower: Follower) -> None:
        """Hear that a client has gone before its answer had ended."""
        if follower in self._arrived:
            self._arrived.remove(follower)
        for fill in self._fills:
            fill.left(follower)
        self.look_for_end()

    def look_for_end(self) -> None:
        """Begin to wait for the end if nobody is left."""
        if not self.watchers_count and self._timer is None and not self._is_ended:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(LINGER_S, self.end)

    def end(self) -> None:
        """End it, and cut all who share it."""
        if self._is_ended:
            return
        self._is_ended = True
        self._stop_timer()
        for task in tuple(self._tasks):
            task.cancel()
        self._on_end()
        count = self._newest.cut() if self._newest is not None else 0
        waiting = self._arrived + self._asked
        self._arrived, self._asked = [], []
        for fill in self._fills:
            waiting += fill.take_waiting()
            count += fill.history.cut()
        self._members.figures.shared_cut_count += count
        self._answer(waiting, NoMemberError(503, "zero endpoints currently available"))

    # Who may join

    async def _admit(self) -> None:
        """Ask a member, again and again, for those who have arrived before it was asked."""
        try:
            while self._arrived:
                pause_s = self._asked_at_s + PACE_S - self._members.now_s()
                if pause_s > 0:
                    await asyncio.sleep(pause_s)
                self._asked, self._arrived = self._arrived, []
                self._asked_at_s = self._members.now_s()
                await self._admit_batch(self._asked)
                self._asked = []
        finally:
            self._is_admitting = False
        if self._newest is None:
            self.end()  # nobody was admitted
        self.look_for_end()

    async def _admit_batch(self, batch: list[Follower]) -> None:
        is_first = self._newest is None
        request = self._question.outgoing(is_stream=is_first)
        try:
            opened = await open_watch(self._members, request)
        except NoMemberError as error:
            self._answer(batch, error)
            return
        if opened.refusal is not None:
            for follower in batch:
                if not follower.is_gone:
                    follower.refuse(opened.answer, opened.refusal)
            return
        admission = Admission(opened.answer, opened.start_index, self._members.now_s())
        self._admission = admission
        if is_first:
            self._newest = SharedWatch(opened.start_index)
            self._start(self._follow(opened))
        else:
            opened.connection.close()
        self._asked = []
        for follower in batch:
            if not follower.is_gone:
                self._place(follower, admission)

    def _answer(self, batch: list[Follower], error: NoMemberError) -> None:
        for follower in batch:
            if not follower.is_gone:
                follower.answer(forwarding.error_message(error.status, str(error)))

    def _place(self, follower: Follower, admission: Admission) -> None:
        """Give an admitted watch its place in a history."""
        newest = self._newest
        assert newest is not None
        self._members.figures.handled["GET", 200] += 1
        index = max(admission.index, newest.next - 1)
        if not follower.position:  # from now on: the member's now, or that of the history if later
            index = max(admission.index, newest.low - 1)
            follower.position = index + 1
        if newest.covers(follower.position):
            follower.begin(admission, index)
            newest.join(follower)
            return
        for fill in self._fills:
            if fill.take(follower):
                return
        if len(self._fills) >= FILLS_MAX:
            follower.is_gone = True
            self._relay(follower)
            return
        self._fill(SharedWatch(follower.position - 1)).take(follower)

    # The stream

    async def _follow(self, opened: Opened | None) -> None:
        """Take what the stream tells; open another one whenever it ends, as long as one can be."""
        while opened is not None:
            events = Events(self._told)
            try:
                opened.connection.deliver_to(events)
                await events.over
            finally:
                opened.connection.close()
            opened = await self._open_again()
        self.end()

    def _told(self, index: int, body: bytes) -> None:
        assert self._newest is not None
        figures = self._members.figures
        figures.shared_events_count += 1
        figures.shared_told_count += self._newest.add(index, body)
        self.look_for_end()

    async def _open_again(self) -> Opened | None:
        """Return a stream that goes on where the last one ended, None if there is none."""
        if not self.watchers_count:
            return None
        try:
            opened = await open_watch(self._members, self._question.outgoing(is_stream=True))
        except NoMemberError:
            return None
        if opened.refusal is not None:
            return None
        former = self._newest
        assert former is not None
        if opened.start_index >= former.next:
            self._newest = SharedWatch(opened.start_index)
            self._fill(former)
        return opened

    # The past

    def _fill(self, older: SharedWatch) -> "_Fill":
        fill = _Fill(older)
        self._fills.append(fill)
        fill.task = self._start(self._run_fill(fill))
        return fill

    async def _run_fill(self, fill: "_Fill") -> None:
        """Ask for one event after the other, until they are those that the stream tells."""
        try:
            while await self._fill_once(fill):
                pass
        finally:
            if not self._is_ended:
                self._fills.remove(fill)
                self._members.figures.shared_cut_count += fill.history.cut()
                self.look_for_end()

    async def _fill_once(self, fill: "_Fill") -> bool:
        """Ask for the next event of the past; False when there is nothing more to ask for."""
        older = fill.history
        try:
            request = self._question.outgoing(wait_index=older.next)
            opened = await open_watch(self._members, request)
        except NoMemberError as error:
            self._answer(fill.take_waiting(), error)
            return False
        if opened.refusal is not None:
            for follower in fill.take_waiting():
                follower.refuse(opened.answer, opened.refusal)
            return False
        fill.open(Admission(opened.answer, opened.start_index, self._members.now_s()))
        found: list[tuple[int, bytes]] = []
        events = Events(lambda index, body: found.append((index, body)))
        try:
            opened.connection.deliver_to(events)
            await events.over
        finally:
            opened.connection.close()
        newest = self._newest
        assert newest is not None
        if found and found[0][0] < newest.low:
            self._members.figures.shared_events_count += 1
            self._members.figures.shared_told_count += older.add(*found[0])
            return fill.watchers_count > 0
        if found:
            newest.absorb(older)
            return False
        return fill.watchers_count > 0  # the member has gone: ask another one

    # Tasks

    def _start(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a shared watch has failed", exc_info=task.exception())
            self.end()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Fill:
    """A history that lacks what lies between its end and the beginning of the newest one."""

    def __init__(self, history: SharedWatch) -> None:
        self.history = history
        self._waiting: list[Follower] = []  # until a member has said that this past is known
        self._admission: Admission | None = None
        self.task: asyncio.Task[None] | None = None  # that asks for the past

    @property
    def watchers_count(self) -> int:
        """How many wait for it."""
        return len(self.history) + len(self._waiting)

    def take(self, follower: Follower) -> bool:
        """Take a watch if this history covers it."""
        if not self.history.covers(follower.position):
            return False
        if self._admission is None:
            self._waiting.append(follower)
        else:
            self._begin(follower, self._admission)
        return True

    def open(self, admission: Admission) -> None:
        """Begin the answers of those who have waited."""
        self._admission = admission
        for follower in self.take_waiting():
            self._begin(follower, admission)

    def take_waiting(self) -> list[Follower]:
        """Return those whose answers have not begun, who are the caller's from now on."""
        waiting, self._waiting = self._waiting, []
        return [follower for follower in waiting if not follower.is_gone]

    def left(self, follower: Follower) -> None:
        """Forget a watch; nothing more is asked for when it was the last one."""
        if follower in self._waiting:
            self._waiting.remove(follower)
        if not self.watchers_count and self.task is not None:
            self.task.cancel()

    def _begin(self, follower: Follower, admission: Admission) -> None:
        follower.begin(admission, admission.index)
        self.history.join(follower)
