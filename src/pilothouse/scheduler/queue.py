"""The scheduling queue: pods that can be tried now, pods that wait out a back-off, pods that wait for a change.

- active: a heap by (priority, time of arrival);
- back-off: tried and failed, and something has changed since: 1 s, doubled to 10 s (KEP: scheduler queue);
- unschedulable: nothing that could help has happened yet; after 5 minutes tried again all the same;
- gated: has scheduling gates.
"""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass, field

from ..api.object import Object, uid_of
from ..base.clock import Clock

BACKOFF_FIRST_S, BACKOFF_MAX_S = 1.0, 10.0
UNSCHEDULABLE_MAX_S = 300.0


@dataclass(slots=True)
class QueuedPod:
    pod: Object
    arrived: float
    attempts: int = 0
    failed_at: float = 0.0
    plugins: set[str] = field(default_factory=set)  # who rejected it last

    @property
    def priority(self) -> int:
        return self.pod["spec"].get("priority") or 0

    def ready_at(self) -> float:
        return self.failed_at + min(BACKOFF_FIRST_S * 2 ** max(0, self.attempts - 1), BACKOFF_MAX_S)


class SchedulingQueue:
    """Pure bookkeeping on a clock; who waits for it is the scheduler."""

    def __init__(self, clock: Clock):
        self._clock = clock
        self._order = itertools.count()
        self._pods: dict[str, QueuedPod] = {}  # every pod that is here, by uid
        self._active: list[tuple[int, float, int, str]] = []
        self._in_active: set[str] = set()
        self._backoff: set[str] = set()
        self._unschedulable: set[str] = set()
        self._moves = 0  # counts the changes of the cluster, to see one that happened during an attempt

    def __len__(self) -> int:
        return len(self._pods)

    @property
    def moves(self) -> int:
        return self._moves

    def add(self, pod: Object) -> None:
        """A new pod, or a changed one: whatever held it back may be different now."""
        uid = uid_of(pod)
        queued = self._pods.get(uid)
        if queued is None:
            queued = self._pods[uid] = QueuedPod(pod, self._clock.monotonic())
        changed_spec = queued.pod["spec"] != pod["spec"] or queued.pod["metadata"].get("labels") != pod[
            "metadata"
        ].get("labels")
        queued.pod = pod
        if queued.attempts == 0 or changed_spec:
            self._activate(uid)

    def remove(self, uid: str) -> None:
        self._pods.pop(uid, None)
        for group in (self._in_active, self._backoff, self._unschedulable):
            group.discard(uid)

    def _activate(self, uid: str) -> None:
        if uid in self._in_active:
            return
        self._backoff.discard(uid)
        self._unschedulable.discard(uid)
        self._in_active.add(uid)
        queued = self._pods[uid]
        heapq.heappush(self._active, (-queued.priority, queued.arrived, next(self._order), uid))

    def pop(self) -> QueuedPod | None:
        """The next pod to try; it leaves the queue until `failed` brings it back."""
        self._wake()
        while self._active:
            uid = heapq.heappop(self._active)[3]
            if uid in self._in_active:
                self._in_active.discard(uid)
                return self._pods.pop(uid)
        return None

    def failed(self, queued: QueuedPod, plugins: set[str], moves_before: int) -> None:
        """An attempt came to nothing. `moves_before`: `moves` when the attempt began."""
        uid = uid_of(queued.pod)
        queued.attempts += 1
        queued.failed_at = self._clock.monotonic()
        queued.plugins = plugins
        self._pods[uid] = queued
        # something changed while we looked, or an error rather than a rejection: try again after the back-off
        (self._backoff if moves_before != self._moves or not plugins else self._unschedulable).add(uid)

    def move_all(self, helps: set[str] | None = None) -> None:
        """Something changed that may help pods rejected by these plugins (None: anybody)."""
        self._moves += 1
        for uid in list(self._unschedulable):
            plugins = self._pods[uid].plugins
            if helps is None or not plugins or plugins & helps:
                self._unschedulable.discard(uid)
                self._backoff.add(uid)

    def next_wake_s(self) -> float | None:
        """Seconds until somebody's time comes; None while nobody waits."""
        if self._in_active:
            return 0.0
        now = self._clock.monotonic()
        times = [self._pods[uid].ready_at() for uid in self._backoff]
        times += [self._pods[uid].failed_at + UNSCHEDULABLE_MAX_S for uid in self._unschedulable]
        return max(0.0, min(times) - now) if times else None

    def _wake(self) -> None:
        now = self._clock.monotonic()
        for uid in [uid for uid in self._backoff if self._pods[uid].ready_at() <= now]:
            self._activate(uid)
        for uid in [u for u in self._unschedulable if self._pods[u].failed_at + UNSCHEDULABLE_MAX_S <= now]:
            self._activate(uid)
