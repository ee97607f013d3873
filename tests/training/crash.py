"""Ways to die: a child process to kill, and a file system that fails at the N-th operation."""

import contextlib
import errno
import io
import os
import signal
import sys
import traceback
import warnings
from pathlib import Path

import filelock


def start(work, output=None):
    """Run ``work()`` in a forked child; its process id. Forking is quick: no new imports.

    Its exit status is that of an exception's exit code, 99 for any other exception.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads beside a fork
        child = os.fork()
    if child:
        return child
    code = 99
    try:
        if output is not None:
            descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
            sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
            sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
        work()
        code = 0
    except SystemExit as end:
        code = end.code or 0
    except BaseException as error:
        traceback.print_exc()
        code = getattr(error, "exit_code", 99)
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def ended(child):
    """The exit status of a child, negative for a signal, as subprocess has it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kill_self():
    os.kill(os.getpid(), signal.SIGKILL)


def disk_full():
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Faults:
    """Every operation of the store on files, counted; ``act()`` happens at number ``at``.

    ``moment`` is "before" or "after" the operation. A write acts in its middle instead of
    before it. With ``lasting``, all later operations act too.
    """

    def __init__(self, monkeypatch, act=lambda: None, at=0, moment="before", lasting=False):
        self.act, self.at, self.moment, self.lasting = act, at, moment, lasting
        self.seen = 0
        for owner, name in [
            (os, "replace"),
            (os, "fsync"),
            (Path, "mkdir"),
            (Path, "unlink"),
            (filelock.FileLock, "acquire"),
        ]:
            monkeypatch.setattr(owner, name, self._counted(getattr(owner, name)))
        monkeypatch.setattr(Path, "open", self._opened())

    def _due(self, number, moment):
        due = number >= self.at if self.lasting else number == self.at
        if self.at and due and self.moment == moment:
            self.act()

    def _next(self):
        self.seen += 1
        return self.seen

    def _counted(self, operation):
        def counted(*arguments, **options):
            number = self._next()
            self._due(number, "before")
            result = operation(*arguments, **options)
            self._due(number, "after")
            return result

        return counted

    def _opened(self):
        faults, plain = self, Path.open

        class Torn(io.FileIO):
            def write(self, content):
                number, half = faults._next(), len(content) // 2
                super().write(content[:half])
                faults._due(number, "before")
                super().write(content[half:])
                faults._due(number, "after")
                return len(content)

        def opened(path, mode="r", *arguments, **options):
            if mode != "wb":
                return plain(path, mode, *arguments, **options)
            number = faults._next()
            faults._due(number, "before")
            file = Torn(path, "w")
            faults._due(number, "after")
            return file

        return opened
