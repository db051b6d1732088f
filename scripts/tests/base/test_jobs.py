# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, Generator, List, Optional, Sequence, Tuple
from unittest import mock

from base import jobs
from base.jobs import Pool, Store, campaign
from tests import fixture

Result = Dict[str, Any]


@dataclass(frozen=True)
class Job:
    key: str


JOBS = [Job(name) for name in "abcd"]


def square(job: Job) -> Result:
    return {"is": job.key * 2}


class StoreTest(fixture.Case):
    def setUp(self) -> None:
        super().setUp()
        self.store = Store(self.root / "results")

    def test_what_is_saved_is_there_until_it_is_forgotten(self) -> None:
        self.assertIsNone(self.store.load("a"))
        self.store.save("a", {"is": 1})
        self.store.save("b", {"is": 2})
        self.assertEqual(self.store.load("a"), {"is": 1})
        self.store.forget("a")
        self.store.forget("a")
        self.assertIsNone(self.store.load("a"))
        self.assertEqual(self.store.load("b"), {"is": 2})

    def test_a_result_holds_in_its_context_alone(self) -> None:
        self.store.save("a", {"is": 1})
        self.assertIsNone(Store(self.root / "results", "another way to boot").load("a"))

    def test_a_file_that_is_cut_short_is_as_good_as_none(self) -> None:
        self.store.save("a", {"is": 1, "said": "x" * 100})
        file, = (self.root / "results").iterdir()
        whole = file.read_bytes()
        for text in (*(whole[:size] for size in range(len(whole))), b"[]", b"1", b'{"key": "a"}',
                     b'{"key": "a", "result": 1}', b"\xff\xfe"):
            file.write_bytes(text)
            self.assertIsNone(self.store.load("a"), text)
        self.store.save("a", {"is": 2})
        self.assertEqual(self.store.load("a"), {"is": 2})


class CampaignTest(fixture.Case):
    def setUp(self) -> None:
        super().setUp()
        self.store = Store(self.root / "results")
        self.ran: List[str] = []
        self.replace(mock.patch.object(jobs, "say"), mock.patch("base.progress.say"))

    def run_all(self, work: Callable[[Job], Optional[Result]] = square,
                wanted: Sequence[Job] = JOBS, workers: int = 1, **more: Any) -> Dict[str, Result]:
        def noted(job: Job) -> Optional[Result]:
            self.ran.append(job.key)
            return work(job)
        stop = more.pop("stop", lambda: None)
        return campaign("jobs", wanted, self.store, Pool(noted, stop, workers), **more)

    def kept(self) -> List[str]:
        return [job.key for job in JOBS if self.store.load(job.key)]

    def test_results_are_written_one_by_one(self) -> None:
        seen: List[List[str]] = []
        go_on = threading.Semaphore(1)

        def work(job: Job) -> Result:
            go_on.acquire()
            return square(job)

        def tell(*_: Any) -> None:
            seen.append(self.kept())
            go_on.release()
        self.run_all(work, tell=tell)
        self.assertEqual(seen, [["a"], ["a", "b"], ["a", "b", "c"], ["a", "b", "c", "d"]])

    def test_a_rerun_runs_what_is_left_and_tells_of_all(self) -> None:
        told: List[Tuple[str, bool]] = []
        self.run_all(wanted=JOBS[:2])
        self.ran.clear()
        results = self.run_all(tell=lambda job, _, known: told.append((job.key, known)))
        self.assertEqual(self.ran, ["c", "d"])
        self.assertEqual(results, {job.key: square(job) for job in JOBS})
        self.assertEqual(told, [("a", True), ("b", True), ("c", False), ("d", False)])
        self.ran.clear()
        self.assertEqual(self.run_all(), results)
        self.assertEqual(self.ran, [])

    def test_what_came_to_nothing_is_not_kept(self) -> None:
        results = self.run_all(lambda job: None if job.key == "b" else square(job))
        self.assertEqual((list(results), self.kept()), (["a", "c", "d"], ["a", "c", "d"]))
        self.ran.clear()
        self.run_all()
        self.assertEqual(self.ran, ["b"])

    def test_an_exception_stops_the_rest_and_keeps_what_is_there(self) -> None:
        stop = threading.Event()

        def work(job: Job) -> Result:
            if job.key == "b":
                raise OSError("no disk")
            if job.key == "c":  # the worker goes on until it is told
                self.assertTrue(stop.wait(60))
            return square(job)
        with self.assertRaises(OSError):
            self.run_all(work, stop=stop.set)
        self.assertEqual(self.kept(), ["a"])
        self.assertNotIn("d", self.ran)

    def test_what_ends_beside_a_job_that_fails_is_kept(self) -> None:
        together = threading.Barrier(3)

        def work(job: Job) -> Result:
            together.wait()
            if job.key == "b":
                raise OSError("no disk")
            return square(job)

        def wait(futures: Any, *_: Any) -> Any:  # until all of them are done
            return {future for future in futures if future.exception() or future.result()}, set()
        with mock.patch.object(jobs, "wait", wait), self.assertRaises(OSError):
            self.run_all(work, JOBS[:3], workers=3)
        self.assertEqual(self.kept(), ["a", "c"])

    def test_an_interrupt_ends_what_is_under_way_at_once(self) -> None:
        stop = threading.Event()

        def work(job: Job) -> Result:
            if job.key != "a":
                self.assertTrue(stop.wait(60))
            return square(job)

        def tell(*_: Any) -> None:
            raise KeyboardInterrupt
        begin = time.monotonic()
        with self.assertRaises(KeyboardInterrupt):
            self.run_all(work, workers=2, stop=stop.set, tell=tell)
        self.assertLess(time.monotonic() - begin, 30)
        self.assertEqual(self.kept(), ["a"])  # the other one was cut short
        self.assertNotIn("d", self.ran)
        stop.set()
        self.ran.clear()
        self.run_all(work)
        self.assertEqual(self.ran, ["b", "c", "d"])

    def test_another_executor_can_take_the_list(self) -> None:
        taken: List[List[str]] = []

        class Backwards:
            def run(self, jobs: Sequence[Job]
                    ) -> Generator[Optional[Tuple[Job, Optional[Result]]], None, None]:
                taken.append([job.key for job in jobs])
                yield None
                for job in reversed(jobs):
                    yield job, square(job)
        self.store.save("b", {"is": "known"})
        results = campaign("jobs", JOBS, self.store, Backwards())
        self.assertEqual(taken, [["a", "c", "d"]])
        self.assertEqual(results["b"], {"is": "known"})
        self.assertEqual(self.kept(), ["a", "b", "c", "d"])

    def test_no_more_at_a_time_than_workers(self) -> None:
        lock, now, most = threading.Lock(), 0, 0

        def work(job: Job) -> Result:
            nonlocal now, most
            with lock:
                now += 1
                most = max(most, now)
            time.sleep(0.01)
            with lock:
                now -= 1
            return square(job)
        self.run_all(work, workers=2)
        self.assertLessEqual(most, 2)
