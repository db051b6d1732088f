# SPDX-License-Identifier: GPL-2.0
"""Campaigns: a list of jobs with keys, results that are kept one by one.

A campaign that is cut short goes on from there: a job whose key has a result
is not run again. Who runs the jobs is an Executor; the one here has threads
of this machine, and another may hand the same list to other machines.
"""

from __future__ import annotations

import contextlib
import json
from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, Callable, Deque, Dict, Generator, Generic, Iterator, List, Optional, \
    Protocol, Sequence, Set, Tuple, TypeVar

from base.files import digest, write
from base.process import CPUS
from base.progress import Progress, say

POLL = 0.2  # seconds between two looks at the clock


class Keyed(Protocol):
    """A job: what its outcome depends on is all in its key."""

    @property
    def key(self) -> str: ...


Job = TypeVar("Job")
KeyedJob = TypeVar("KeyedJob", bound=Keyed)
Half = TypeVar("Half")
Result = TypeVar("Result")
Made = TypeVar("Made", covariant=True)


class Executor(Protocol[Job, Made]):
    """Runs jobs, in any order, and hands over each result as soon as it is there.

    None for a job says that it came to nothing, which is not to be kept; and
    an empty hand-over in between is a sign of life. A generator that is closed
    ends the jobs that are under way.
    """

    def run(self, jobs: Sequence[Job]
            ) -> Generator[Optional[Tuple[Job, Optional[Made]]], None, None]: ...


class Pool(Generic[Job, Result]):
    """As many jobs at a time as this machine has processors."""

    def __init__(self, work: Callable[[Job], Optional[Result]],
                 stop: Callable[[], None] = lambda: None, workers: int = CPUS) -> None:
        self.work = work
        self.stop = stop  # has jobs that are under way end soon
        self.workers = workers

    def run(self, jobs: Sequence[Job]
            ) -> Generator[Optional[Tuple[Job, Optional[Result]]], None, None]:
        pool = ThreadPoolExecutor(self.workers)
        try:
            whose: Dict[Future[Optional[Result]], Job] = {
                pool.submit(self.work, job): job for job in jobs}
            waiting: Set[Future[Optional[Result]]] = set(whose)
            while waiting:
                done, waiting = wait(waiting, POLL, FIRST_COMPLETED)
                # What came to its end beside a job that failed is not lost.
                for future in sorted(done, key=lambda future: future.exception() is not None):
                    yield whose[future], future.result()
                yield None
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            self.stop()
            raise
        finally:
            pool.shutdown()


class Pipeline(Generic[Job, Half, Result]):
    """Two steps a job, results in order: while one job is in the second, the next is in the first.

    The first step is run by the caller's thread, and the second by another.
    """

    def __init__(self, first: Callable[[Job], Half], second: Callable[[Half], Result],
                 stop: Callable[[], None] = lambda: None) -> None:
        self.first = first
        self.second = second
        self.stop = stop  # has a second step that is under way end soon

    def run(self, jobs: Sequence[Job]) -> Generator[Tuple[Job, Result], None, None]:
        pool = ThreadPoolExecutor(1)
        waiting: Deque[Tuple[Job, Future[Result]]] = deque()
        try:
            for job in jobs:
                try:
                    half = self.first(job)
                except Exception:
                    yield from self._rest(waiting)  # what came before it is not spoilt
                    raise
                except KeyboardInterrupt:
                    while waiting and waiting[0][1].done():
                        yield waiting[0][0], waiting.popleft()[1].result()
                    raise
                waiting.append((job, pool.submit(self.second, half)))
                while len(waiting) > 1 or waiting and waiting[0][1].done():
                    yield waiting[0][0], waiting[0][1].result()
                    waiting.popleft()
            yield from self._rest(waiting)
        except BaseException:
            for _, future in waiting:
                future.cancel()
            self.stop()
            raise
        finally:
            pool.shutdown()

    @staticmethod
    def _rest(waiting: Deque[Tuple[Job, Future[Result]]]) -> Iterator[Tuple[Job, Result]]:
        while waiting:
            yield waiting[0][0], waiting[0][1].result()
            waiting.popleft()


class Store:
    """Results as JSON, a file each; they hold for as long as `context` is the same."""

    def __init__(self, folder: Path, context: str = "") -> None:
        self.folder = folder
        self.context = context

    def _file(self, key: str) -> Path:
        return self.folder / f"{digest(self.context.encode(), key.encode())[:24]}.json"

    def load(self, key: str) -> Optional[Dict[str, Any]]:
        """None as well for a file that is no such thing, say since the disk was full."""
        try:
            held = json.loads(self._file(key).read_text())
            return dict(held["result"]) if held["key"] == key else None
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def save(self, key: str, result: Dict[str, Any]) -> None:
        write(self._file(key), json.dumps({"key": key, "result": result}, indent=1).encode())

    def forget(self, key: str) -> None:
        self._file(key).unlink(missing_ok=True)


def campaign(what: str, jobs: Sequence[KeyedJob], store: Store,
             executor: Executor[KeyedJob, Dict[str, Any]],
             tell: Callable[[KeyedJob, Dict[str, Any], bool], None] = lambda *_: None
             ) -> Dict[str, Dict[str, Any]]:
    """Run the jobs that have no result yet, and give back the results of all by key.

    `tell` hears of each result as it comes: the job, the result, and whether
    it is known from an earlier run.
    """
    results: Dict[str, Dict[str, Any]] = {}
    left: List[KeyedJob] = []
    for job in jobs:
        held = store.load(job.key)
        if held is None:
            left.append(job)
        else:
            results[job.key] = held
            tell(job, held, True)
    if results:
        say(f"{len(results)} of {len(jobs)} {what} are known from an earlier run")
    if left:
        with Progress(f"{len(left)} {what}", len(left)) as progress, \
                contextlib.closing(executor.run(left)) as run:
            done = 0
            for found in run:
                if found:
                    job, result = found
                    done += 1
                    if result is not None:
                        store.save(job.key, result)
                        results[job.key] = result
                        tell(job, result, False)
                progress.update(done)
    return {job.key: results[job.key] for job in jobs if job.key in results}
