"""Two processes for all tests that want some: to start them costs more than most of the fits."""

import itertools

import loky

_numbers = itertools.count()
_used_by = None


class SharedPool:
    """Stands for a `loky.ProcessPoolExecutor`, in processes that others have used before.

    What is sent is pickled and run as it would be; only that it is the processes' first work is not so.
    """

    processes = None

    def __init__(self, cores, initializer, initargs):
        self.first = next(_numbers), initializer, initargs

    def submit(self, function, *arguments):
        return self.processes.submit(_call, self.first, function, *arguments)

    def map(self, function, arguments):
        started = [self.submit(function, argument) for argument in arguments]
        return (future.result() for future in started)

    def shutdown(self, **how):
        pass


def start():
    SharedPool.processes = loky.ProcessPoolExecutor(2)


def end():
    SharedPool.processes.shutdown(kill_workers=True)


def _call(first, function, *arguments):
    global _used_by
    number, initializer, initargs = first
    if _used_by != number:
        initializer(*initargs)
        _used_by = number
    return function(*arguments)
