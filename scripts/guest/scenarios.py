# SPDX-License-Identifier: GPL-2.0
"""Ways to have QEMU's virtio-mem device: what is behind it, beside it, and done to it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, List, Optional, Tuple

from base.process import run
from base.project import ARCH
from guest import parts
from guest.qmp import Qmp, QmpError
from guest.setup import MACHINES

DEVICE = "virtio-mem-pci"
SIZE = 2**30  # of the device
BLOCK = 2 * 2**20
PATH = "/machine/peripheral/vm0"  # the device, for QMP
OTHER_PATH = "/machine/peripheral/vm1"
SOME = 128 * 2**20  # what is requested of a device in passing
AT_THE_START = 192 * 2**20  # what is requested before the machine starts
HUGE_PAGES = Path("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages")
HUGE_PAGES_NEEDED = SIZE // BLOCK
BALLOON_LEAVES = 768 * 2**20  # of the gigabyte of RAM
ONLINE = "memhp_default_state=online_movable"
# Suites: what the one kernel runs before it crashes, and the other one then.
START_OR_DUMP_SUITE, DUMP_SUITE = "virtio_mem_qemu_[ds]*", "virtio_mem_qemu_dump"
PATIENCE = 8.0  # seconds for the guest to do what it does; it waits for 10

Reason = Callable[[str], str]  # why QEMU, for that architecture, cannot do it; or nothing
Trial = Callable[[Qmp], List[str]]  # what went wrong


@dataclass(frozen=True)
class Scenario:
    """The device, and what is to be tried by QMP.

    `before` is tried before the first resize, and `while_plugged` before the first
    one that finds memory plugged. `lacking` is asked before QEMU starts. A scenario that
    `resets` the machine, or in which it `crashes`, is judged by the kernel that starts
    after that. `afterwards` is tried of the file that was the memory of the device.
    """

    name: str
    about: str
    backend: str = "memory-backend-ram"
    is_file: bool = False
    device: str = ""
    more_qemu: Tuple[str, ...] = ()
    kernel_arguments: str = ""
    lacking: Optional[Reason] = None
    before: Optional[Trial] = None
    while_plugged: Optional[Trial] = None
    resets: bool = False
    crashes: bool = False
    afterwards: Optional[Callable[[Path], List[str]]] = None

    def lacks(self, arch: str) -> str:
        """Why it cannot be had; or nothing."""
        return self.lacking(arch) if self.lacking else ""

    def qemu(self, memory: Path) -> List[str]:
        backend = f"{self.backend},id=mem0,size={SIZE}"
        if self.is_file:
            backend += f",mem-path={memory}"
        return ["-m", "1G,maxmem=4G", "-object", backend, "-device",
                f"{DEVICE},id=vm0,memdev=mem0,block-size={BLOCK}{self.device}", *self.more_qemu]


def _no_huge_pages(arch: str) -> str:
    free = int(HUGE_PAGES.read_text()) if HUGE_PAGES.exists() else 0
    return "" if free >= HUGE_PAGES_NEEDED else \
        f"{free} of {HUGE_PAGES_NEEDED} huge pages of 2 MiB are free on this machine"


def _no_memslots(arch: str) -> str:
    binary = f"qemu-system-{MACHINES[arch].qemu}"
    done = run([binary, "-device", f"{DEVICE},help"])
    return "" if "dynamic-memslots" in done.stdout else \
        f"{binary} is older than 8.2: it has no dynamic-memslots"


def _no_acpi(arch: str) -> str:
    """ACPI tells of PCI devices that are plugged in, and of the nodes of devices."""
    return "" if arch == ARCH else f"without firmware, a machine of {arch} has no ACPI"


def _no_second_kernel(arch: str) -> str:
    return "" if arch == ARCH else f"the program that loads a second kernel is for {ARCH} alone"


def refused(qmp: Qmp, command: str, **arguments: object) -> List[str]:
    """Whether QEMU refuses a command, as it should."""
    try:
        qmp.execute(command, **arguments)
        return [f"QEMU did not refuse {command} {arguments}"]
    except QmpError:
        return []


def _try_sizes(qmp: Qmp) -> List[str]:
    before = qmp.get(PATH, "requested-size")
    wrong = [line for value in (SIZE + BLOCK, 2**40, BLOCK // 2)
             for line in refused(qmp, "qom-set", path=PATH, property="requested-size",
                                 value=value)]
    if qmp.get(PATH, "requested-size") != before:
        wrong.append("a size that QEMU refused is requested all the same")
    return wrong


def _try_to_unplug(qmp: Qmp) -> List[str]:
    before = qmp.get(PATH, "size")
    wrong = refused(qmp, "device_del", id="vm0") + refused(qmp, "object-del", id="mem0")
    if qmp.get(PATH, "size") != before:
        wrong.append("memory was unplugged with a device that was not")
    return wrong


def _come_true(condition: Callable[[], bool]) -> bool:
    """Wait for what the guest does by itself."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def _inflate_balloon(qmp: Qmp) -> List[str]:
    qmp.execute("balloon", value=BALLOON_LEAVES)
    inflated = _come_true(lambda: bool(
        qmp.execute("query-balloon")["actual"] == BALLOON_LEAVES))
    return [] if inflated else ["the guest did not inflate its balloon"]


def _plug_device_in(qmp: Qmp) -> List[str]:
    """Have another device come, give memory, refuse to go with it, and take it back."""
    qmp.execute("device_add", driver=DEVICE, id="vm1", memdev="mem1", **{
        "block-size": BLOCK, "requested-size": SOME})
    if not _come_true(lambda: bool(qmp.get(OTHER_PATH, "size") == SOME)):
        return ["the guest did not plug memory of a device that was plugged in"]
    wrong = refused(qmp, "device_del", id="vm1") + refused(qmp, "object-del", id="mem1")
    qmp.set(OTHER_PATH, "requested-size", 0)
    if not _come_true(lambda: bool(qmp.get(OTHER_PATH, "size") == 0)):
        wrong.append("the guest did not unplug memory of a device that was plugged in")
    return wrong


def _unplug_from_other_node(qmp: Qmp) -> List[str]:
    """Have the last memory of a node go, which was plugged when the machine started."""
    if qmp.get(OTHER_PATH, "size") != SOME:
        return ["the guest did not plug memory of the device on another node"]
    qmp.set(OTHER_PATH, "requested-size", 0)
    return [] if _come_true(lambda: bool(qmp.get(OTHER_PATH, "size") == 0)) else \
        ["the guest did not unplug the last memory of a node"]


def _reset(qmp: Qmp) -> List[str]:
    """Reset the machine, at which the device has to unplug all; kunit.py has QEMU end then."""
    qmp.execute("set-action", reboot="reset")
    qmp.execute("system_reset")
    unplugged = _come_true(lambda: bool(qmp.get(PATH, "size") == 0))
    qmp.execute("set-action", reboot="shutdown")
    return [] if unplugged else ["memory stayed plugged when the machine was reset"]


def _read_all_that_was_plugged(memory: Path) -> List[str]:
    """Nobody has touched most of it before; reading fills holes, in a tmpfs.

    This machine may take single pages away that nobody has written to, see
    shmem_recalc_inode(); but the guest reads a device block as a whole or not at all.
    """
    existing = parts.existing(memory)
    plugged = [(0, AT_THE_START)]
    touched = [(start // BLOCK * BLOCK, -(-end // BLOCK) * BLOCK) for start, end in existing]
    unread = parts.outside(plugged, touched)
    beyond = parts.outside(existing, plugged)
    return [f"{what}: {parts.told(those)}" for what, those in
            (("plugged memory that is not in the dump", unread),
             ("unplugged memory that the dump has read", beyond)) if those]


# Two nodes, of which the first one has neither RAM nor the processor that runs. The
# firmware tells of processors first: so Linux has the nodes the other way round.
NODES = ("-smp", "2,maxcpus=2", "-object", f"memory-backend-ram,id=ram,size={SIZE}",
         "-numa", "node,nodeid=0,cpus=1", "-numa", "node,nodeid=1,cpus=0,memdev=ram",
         "-object", f"memory-backend-ram,id=mem1,size={SIZE}", "-device",
         f"{DEVICE},id=vm1,memdev=mem1,node=0,block-size={BLOCK},requested-size={SOME}")

SCENARIOS = (
    Scenario("file", "memory that is a file, of which unplugged parts have to stay holes",
             "memory-backend-file,share=on", True),
    Scenario("ram", "anonymous memory"),
    Scenario("hugetlb", "huge pages of the host", "memory-backend-memfd,hugetlb=on,share=on",
             lacking=_no_huge_pages),
    Scenario("memslots", "a slot for each part of memory that is plugged",
             device=",dynamic-memslots=on", lacking=_no_memslots),
    Scenario("refusals", "sizes the device cannot have, and an attempt to remove it in use",
             before=_try_sizes, while_plugged=_try_to_unplug),
    Scenario("hotplug", "another device that is plugged in while the machine runs",
             more_qemu=("-object", f"memory-backend-ram,id=mem1,size={SIZE}"),
             lacking=_no_acpi, before=_plug_device_in),
    Scenario("boot", "memory requested before the machine starts, onlined as the kernel's "
             "command line says", "memory-backend-file,share=on", True,
             device=f",requested-size={AT_THE_START}",
             kernel_arguments=ONLINE),
    Scenario("balloon", "a balloon beside it, which takes a quarter of the other memory",
             "memory-backend-file,share=on", True,
             more_qemu=("-device", "virtio-balloon-pci"), before=_inflate_balloon),
    Scenario("nodes", "another device, which has all memory of another node",
             device=f",node=1,requested-size={AT_THE_START}", more_qemu=NODES,
             kernel_arguments=f"{ONLINE} nr_cpus=1", lacking=_no_acpi,
             before=_unplug_from_other_node),
    Scenario("reset", "a machine that is reset while memory is plugged",
             "memory-backend-file,share=on", True, while_plugged=_reset, resets=True),
    Scenario("kdump", "a kernel that crashes, and another one that reads the dump",
             "memory-backend-file,share=on", True, device=f",requested-size={AT_THE_START}",
             kernel_arguments=f"{ONLINE} kunit.filter_glob={START_OR_DUMP_SUITE}",
             lacking=_no_second_kernel, crashes=True, afterwards=_read_all_that_was_plugged),
)
