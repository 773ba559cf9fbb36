"""Methods that run under their object's lock."""

import threading

from gdws_explorer.session.locking import locked


class Counter:
    def __init__(self):
        self.lock = threading.RLock()
        self.value = 0

    @locked
    def add(self, by=1):
        """Adds, in two steps that another thread must not come between."""
        before = self.value
        again = self.double() // 2
        assert again == before
        self.value = before + by
        return self.value

    @locked
    def double(self):
        return 2 * self.value


def test_no_count_is_lost_among_threads():
    counter, start = Counter(), threading.Barrier(8)

    def work():
        start.wait(10)
        for _ in range(200):
            counter.add()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert counter.value == 1600


def test_a_method_waits_for_the_lock_and_keeps_its_name_and_arguments():
    counter, done = Counter(), threading.Event()
    assert counter.add.__name__ == "add"
    assert "in two steps" in counter.add.__doc__
    with counter.lock:
        thread = threading.Thread(target=lambda: (counter.add(by=5), done.set()))
        thread.start()
        assert not done.wait(0.05)
    thread.join(10)
    assert counter.value == 5
