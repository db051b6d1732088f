# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import threading
import unittest
from typing import List, Tuple

from base.jobs import Pipeline


JOBS = "abcd"


class PipelineTest(unittest.TestCase):
    def setUp(self) -> None:
        self.events: List[str] = []
        self.stopped = threading.Event()

    def run_all(self, pipeline: Pipeline[str, str, str]) -> List[Tuple[str, str]]:
        found = []
        for job, result in pipeline.run(JOBS):
            found.append((job, result))
        return found

    def test_results_come_in_order(self) -> None:
        self.assertEqual(self.run_all(Pipeline(lambda job: job.upper(),
                                               lambda half: half * 2)),
                         [("a", "AA"), ("b", "BB"), ("c", "CC"), ("d", "DD")])

    def test_the_next_first_step_runs_beside_a_second(self) -> None:
        begun = {job: threading.Event() for job in JOBS}

        def first(job: str) -> str:
            begun[job].set()
            return job

        def second(half: str) -> str:
            following = chr(ord(half) + 1)
            if following in begun:
                self.assertTrue(begun[following].wait(10))
            return half

        self.assertEqual(len(self.run_all(Pipeline(first, second))), 4)

    def test_trouble_in_a_first_step_spoils_nothing_before_it(self) -> None:
        def first(job: str) -> str:
            if job == "c":
                raise ValueError
            return job

        found = []
        with self.assertRaises(ValueError):
            for job, _ in Pipeline[str, str, str](first, lambda half: half).run(JOBS):
                found.append(job)
        self.assertEqual(found, ["a", "b"])

    def test_an_interrupt_stops_the_second_step(self) -> None:
        def first(job: str) -> str:
            if job == "b":
                raise KeyboardInterrupt
            return job

        def second(half: str) -> str:
            self.assertTrue(self.stopped.wait(10))
            return half

        with self.assertRaises(KeyboardInterrupt):
            self.run_all(Pipeline(first, second, self.stopped.set))
