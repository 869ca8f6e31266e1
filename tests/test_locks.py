"""Locks: who waits, and what the others see."""

import threading

from r2b_keras import locks


def test_a_lock_is_held_by_one_at_a_time(tmp_path):
    path, order = tmp_path / "a.lock", []

    def second():
        with locks.held(path):
            order.append("second")

    assert not locks.is_held(path) and not path.exists()
    with locks.held(path):
        assert locks.is_held(path)
        # Looking at it changes nothing.
        assert locks.is_held(path)
        waiter = threading.Thread(target=second)
        waiter.start()
        waiter.join(0.3)
        assert waiter.is_alive()
        order.append("first")
    waiter.join(30)
    assert order == ["first", "second"]
    assert not locks.is_held(path)
