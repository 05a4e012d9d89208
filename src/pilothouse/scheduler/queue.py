"""The scheduling queue: pods that can be tried now, pods that wait out a back-off, pods that wait for a change.

- active: by priority, then by time of arrival (or of the last attempt);
- backoff: tried and rejected, and something that may help has happened since: 1 s, doubled to 10 s; where nobody is
  active they are tried at once, the one whose time comes first (KEP-5142);
- error: the attempt failed by no fault of the pod's: as backoff, but the time is always waited for;
- unschedulable: nothing that could help has happened yet; after 5 minutes tried again all the same.

Pods with scheduling gates are not here at all.
"""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass, field
from enum import Enum

from ..api.object import Object, labels_of, uid_of
from ..base.clock import Clock

BACKOFF_FIRST_S, BACKOFF_MAX_S = 1.0, 10.0
UNSCHEDULABLE_MAX_S = 300.0


class Place(Enum):
    NEW, ACTIVE, BACKOFF, ERROR, UNSCHEDULABLE = range(5)


@dataclass(slots=True)
class QueuedPod:
    pod: Object
    since: float  # when it came, or was last tried
    attempts: int = 0
    plugins: set[str] = field(default_factory=set)  # who rejected it last
    place: Place = Place.NEW

    @property
    def priority(self) -> int:
        return int(self.pod["spec"].get("priority") or 0)

    def ready_at(self) -> float:
        return self.since + min(BACKOFF_FIRST_S * 2.0 ** max(0, self.attempts - 1), BACKOFF_MAX_S)


class SchedulingQueue:
    """Pure bookkeeping on a clock; who waits for it is the scheduler."""

    def __init__(self, clock: Clock):
        self._clock = clock
        self._order = itertools.count()
        self._pods: dict[str, QueuedPod] = {}  # every pod that is here, by uid
        self._unschedulable: dict[str, None] = {}  # the longest waiting first
        # heaps of (…, uid); an entry counts only while the pod is in that place
        self._active: list[tuple[int, float, int, str]] = []
        self._timed: dict[Place, list[tuple[float, int, str]]] = {Place.BACKOFF: [], Place.ERROR: []}
        self.moves = 0  # counts the changes of the cluster, to see one that happened during an attempt

    def __len__(self) -> int:
        return len(self._pods)

    def add(self, pod: Object) -> None:
        """A new pod, or a changed one: whatever held it back may be different now."""
        uid = uid_of(pod)
        queued = self._pods.get(uid)
        if queued is None:
            queued = self._pods[uid] = QueuedPod(pod, self._clock.monotonic())
        before, queued.pod = queued.pod, pod
        if queued.place is Place.NEW or _differs(before, pod):
            self._put(uid, Place.ACTIVE)

    def remove(self, uid: str) -> None:
        self._pods.pop(uid, None)
        self._unschedulable.pop(uid, None)

    def _put(self, uid: str, place: Place) -> None:
        queued = self._pods[uid]
        if queued.place is place:
            return
        self._unschedulable.pop(uid, None)
        queued.place, order = place, next(self._order)
        if place is Place.ACTIVE:
            heapq.heappush(self._active, (-queued.priority, queued.since, order, uid))
        elif place is Place.UNSCHEDULABLE:
            self._unschedulable[uid] = None
        else:
            heapq.heappush(self._timed[place], (queued.ready_at(), order, uid))

    def pop(self) -> QueuedPod | None:
        """The next pod to try; it leaves the queue until `failed` brings it back."""
        now = self._clock.monotonic()
        for place in (Place.BACKOFF, Place.ERROR):
            while (due := self._first(place)) and due[0] <= now:
                self._put(due[1], Place.ACTIVE)
        while self._unschedulable:
            uid = next(iter(self._unschedulable))
            if self._pods[uid].since + UNSCHEDULABLE_MAX_S > now:
                break
            self._put(uid, Place.ACTIVE)
        while self._active:
            uid = heapq.heappop(self._active)[-1]
            if uid in self._pods and self._pods[uid].place is Place.ACTIVE:
                return self._pods.pop(uid)
        if first := self._first(Place.BACKOFF):
            return self._pods.pop(first[1])
        return None

    def _first(self, place: Place) -> tuple[float, str] | None:
        """(its time, uid) of who is next there."""
        heap = self._timed[place]
        while heap:
            ready_at, _, uid = heap[0]
            queued = self._pods.get(uid)
            if queued is not None and queued.place is place and queued.ready_at() == ready_at:
                return ready_at, uid
            heapq.heappop(heap)
        return None

    def failed(self, queued: QueuedPod, plugins: set[str], moves_before: int) -> None:
        """An attempt came to nothing. No `plugins`: an error rather than a rejection. `moves_before`: `moves` when it began."""
        uid = uid_of(queued.pod)
        queued.attempts += 1
        queued.since, queued.plugins, queued.place = self._clock.monotonic(), plugins, Place.NEW
        self._pods[uid] = queued
        if not plugins:
            self._put(uid, Place.ERROR)
        else:
            self._put(uid, Place.UNSCHEDULABLE if moves_before == self.moves else Place.BACKOFF)

    def move_all(self, helps: set[str] | None = None) -> None:
        """Something changed that may help pods rejected by these plugins (None: anybody)."""
        self.moves += 1
        for uid in list(self._unschedulable):
            if helps is None or self._pods[uid].plugins & helps:
                self._put(uid, Place.BACKOFF)

    def next_wake_s(self) -> float | None:
        """Seconds until somebody's time comes; None while nobody waits."""
        if any(uid in self._pods for *_, uid in self._active[:1]) or self._first(Place.BACKOFF):
            return 0.0
        times = [first[0]] if (first := self._first(Place.ERROR)) else []
        if self._unschedulable:
            times.append(self._pods[next(iter(self._unschedulable))].since + UNSCHEDULABLE_MAX_S)
        return max(0.0, min(times) - self._clock.monotonic()) if times else None


def _differs(old: Object, new: Object) -> bool:
    return old["spec"] != new["spec"] or labels_of(old) != labels_of(new)
