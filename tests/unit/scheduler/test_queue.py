"""When a pod gets its next try."""

from __future__ import annotations

from pilothouse.base.clock import VirtualClock
from pilothouse.scheduler.queue import SchedulingQueue

from .builders import pod


def popped(queue: SchedulingQueue) -> list[str]:
    names = []
    while queued := queue.pop():
        names.append(queued.pod["metadata"]["name"])
    return names


def failing(queue: SchedulingQueue, *plugins: str, moves: int | None = None) -> None:
    queued = queue.pop()
    assert queued is not None
    queue.failed(queued, set(plugins), queue.moves if moves is None else moves)


def test_the_important_first_then_who_came_first():
    clock = VirtualClock()
    queue = SchedulingQueue(clock)
    for name, priority in (("a", 0), ("b", 5), ("c", 0), ("d", 5)):
        queue.add(pod(name, priority=priority))
        clock.advance(1)
    assert popped(queue) == ["b", "d", "a", "c"]


def test_a_rejected_pod_waits_for_a_change_that_concerns_it():
    queue = SchedulingQueue(VirtualClock())
    queue.add(pod("a"))
    failing(queue, "NodeResourcesFit")
    queue.move_all({"NodeAffinity"})
    assert queue.pop() is None
    queue.move_all({"NodeResourcesFit"})
    assert popped(queue) == ["a"]  # nobody else is active: its back-off is not waited for


def test_a_change_that_may_help_anybody_moves_all():
    queue = SchedulingQueue(VirtualClock())
    for name in "ab":
        queue.add(pod(name))
        failing(queue, "NodeResourcesFit" if name == "a" else "NodeAffinity")
    queue.move_all(None)
    assert popped(queue) == ["a", "b"]


def test_a_change_during_the_attempt_is_not_missed():
    queue = SchedulingQueue(VirtualClock())
    queue.add(pod("a"))
    failing(queue, "NodeResourcesFit", moves=queue.moves - 1)
    assert popped(queue) == ["a"]


def test_those_that_back_off_come_after_the_active():
    queue = SchedulingQueue(VirtualClock())
    queue.add(pod("a", priority=9))
    failing(queue, "NodeResourcesFit")
    queue.move_all(None)
    queue.add(pod("b"))
    assert popped(queue) == ["b", "a"]


def test_after_an_error_the_back_off_is_waited_for_and_grows_to_ten_seconds():
    clock = VirtualClock()
    queue = SchedulingQueue(clock)
    queue.add(pod("a"))
    waits = []
    for _ in range(6):
        failing(queue)
        assert queue.pop() is None
        waits.append(queue.next_wake_s())
        clock.advance(waits[-1] or 0)
    assert waits == [1, 2, 4, 8, 10, 10]


def test_after_five_minutes_everybody_is_tried_again():
    clock = VirtualClock()
    queue = SchedulingQueue(clock)
    queue.add(pod("a"))
    failing(queue, "NodeAffinity")
    assert queue.next_wake_s() == 300
    clock.advance(299)
    assert queue.pop() is None
    clock.advance(1)
    assert popped(queue) == ["a"]


def test_a_changed_pod_is_tried_at_once_and_a_status_is_no_change():
    queue = SchedulingQueue(VirtualClock())
    queue.add(pod("a"))
    failing(queue, "NodeAffinity")
    queue.add({**pod("a"), "status": {"conditions": []}})
    assert queue.pop() is None
    queue.add(pod("a", nodeSelector={"b": "c"}))
    assert popped(queue) == ["a"]


def test_a_pod_that_is_gone_is_not_tried():
    queue = SchedulingQueue(VirtualClock())
    queue.add(pod("a"))
    queue.remove("uid-a")
    assert queue.pop() is None
    assert queue.next_wake_s() is None
    assert len(queue) == 0
