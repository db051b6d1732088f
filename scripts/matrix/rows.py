# SPDX-License-Identifier: GPL-2.0
"""The machines: one row for each kernel, architecture, compiler, options, CPUs and memory."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import List, Sequence, Tuple

from base.files import digest
from base.outcome import Exit, Fail
from base.project import ARCH, CONFIG, FAIL_KNOWN_BUGS, KERNEL, UML
from guest.setup import Setup, prefix
from series.worktree import Source

MEMORY = 1024  # MiB, as kunit.py has it


@dataclass(frozen=True)
class Row:
    """A machine. Where nothing is said, it is that of `suite kunit`."""

    name: str
    kconfig: str = ""  # `X` for CONFIG_X=y, `-X` for one that is not set, or `X=3`
    args: str = ""  # on the kernel's command line
    cpus: int = 1
    memory: int = MEMORY
    qemu: str = ""  # more for QEMU's command line
    arch: str = ARCH
    llvm: str = ""
    config: str = CONFIG
    kernel: str = KERNEL
    fixes: bool = False
    since: Tuple[int, int] = (0, 0)  # the version of QEMU that can do it

    @property
    def source(self) -> Source:
        return Source(self.kernel, fixes=self.fixes)

    @property
    def options(self) -> Tuple[str, ...]:
        """As kunit.py and .config have them."""
        return tuple(map(_option, self.kconfig.split()))

    @property
    def setup(self) -> Setup:
        return Setup(self.arch, self.config, "" if self.llvm else prefix(self.arch), self.llvm,
                     self.options)

    @property
    def boot(self) -> Tuple[str, ...]:
        """What `kunit.py exec` is told. The user's own options are last, and count."""
        qemu = [f"-m {self.memory}"] if self.memory != MEMORY else []
        qemu += [f"-smp {self.cpus}"] if self.cpus != 1 else []
        qemu += [self.qemu] if self.qemu else []
        return (*(f"--kernel_args={word}" for word in self.args.split()),
                *(f"--qemu_args={words}" for words in qemu))

    @property
    def usual(self) -> bool:
        """Has it the kernel of `suite kunit`, which is there after `suite check` has built it?"""
        return self.source == Source(KERNEL) and self.setup == Setup()

    @property
    def machine(self) -> List[str]:
        """What each row has."""
        return [self.kernel, self.arch, self.setup.compiler, self.config,
                f"{self.cpus} CPU{'s' if self.cpus > 1 else ''}", f"{self.memory} MiB"]

    def line(self) -> str:
        """What is in it, for people."""
        words = ["linux", *self.machine, *(["with fixes"] if self.fixes else []), *self.kconfig.split(),
                 *self.args.split(), *([self.qemu] if self.qemu else [])]
        return f"{self.name:<22} {' '.join(words)}"


def _option(word: str) -> str:
    name, _, value = word.partition("=")
    return f"# CONFIG_{name[1:]} is not set" if name.startswith("-") else \
        f"CONFIG_{name}={value or 'y'}"


DEBUG = "DEBUG_KERNEL SLUB_DEBUG"
LOCKDEP = f"{DEBUG} PROVE_LOCKING KALLSYMS_ALL"
SMP = "SMP CPU_FREQ"
NODES = f"{SMP} NUMA NUMA_EMU"
# Memory of QEMU's nodes, which ACPI tells of; without drivers that want more.
ACPI = f"{SMP} NUMA PCI ACPI ACPI_NUMA NLS -ACPI_AC -ACPI_BATTERY -ACPI_FAN -ACPI_PROCESSOR " \
    "-ACPI_THERMAL"
TWO_NODES = "-object memory-backend-ram,id=a,size=512M -object memory-backend-ram,id=b,size=512M " \
    "-numa node,memdev=a -numa node,memdev=b"
# Of two nodes, the first one has neither memory nor the processor that runs.
MEMORYLESS = "-m 1024,maxmem=4G -object memory-backend-ram,id=ram,size=1G " \
    "-numa node,nodeid=0,cpus=1 -numa node,nodeid=1,cpus=0,memdev=ram"
# More memory than this machine may have, most of which the guest never touches.
SPARSE = "-object memory-backend-ram,id=ram,size={0}M,reserve=off -machine memory-backend=ram"
HUGE = 65 * 1024  # MiB; from 64 GiB on, memory blocks are as large as the end of memory allows
# What the command line turns on: one kernel has all of it, and does none of it.
SWITCHES = f"{DEBUG} PAGE_POISONING DEBUG_PAGEALLOC PAGE_OWNER PAGE_TABLE_CHECK " \
    "SHUFFLE_PAGE_ALLOCATOR HUGETLBFS HUGETLB_PAGE_OPTIMIZE_VMEMMAP KFENCE " \
    "KFENCE_SAMPLE_INTERVAL=0"

# In the order in which they are run: what tells the most comes first.
ROWS: Tuple[Row, ...] = (
    Row("usual"),
    Row("memory-512m", memory=512),
    Row("memory-4g", memory=4096),
    Row("memory-16g", memory=16384),
    Row("blocks-2g", memory=HUGE, qemu=SPARSE.format(HUGE)),
    Row("online-movable", args="memhp_default_state=online_movable"),
    Row("online-kernel", args="memhp_default_state=online_kernel"),
    Row("online", args="memhp_default_state=online"),
    Row("auto-movable", args="memory_hotplug.online_policy=auto-movable"),
    Row("memmap-on-memory", args="memory_hotplug.memmap_on_memory=1"),
    Row("init-on-alloc", args="init_on_alloc=1"),
    Row("init-on-free", args="init_on_free=1"),
    Row("debug", config="debug"),
    Row("debug-4-cpus", config="debug", cpus=4),
    Row("page-poisoning", SWITCHES, "page_poison=1"),
    Row("debug-pagealloc", SWITCHES, "debug_pagealloc=on"),
    Row("page-owner", SWITCHES, "page_owner=on page_table_check=on"),
    Row("slub-debug", SWITCHES, "slab_debug=FZPU"),
    Row("shuffle", SWITCHES, "page_alloc.shuffle=1"),
    Row("hugetlb-vmemmap", SWITCHES, "hugetlb_free_vmemmap=on"),
    Row("kfence", SWITCHES, "kfence.sample_interval=1"),
    Row("cpus-2", NODES, cpus=2),
    Row("cpus-4", NODES, cpus=4),
    Row("cpus-8", NODES, cpus=8),
    Row("numa-fake-2", NODES, "numa=fake=2", cpus=2),
    Row("numa-fake-4", NODES, "numa=fake=4", cpus=4),
    Row("preempt-rt", f"{SMP} PREEMPT_RT", cpus=2),
    Row("kasan", f"{DEBUG} KASAN KASAN_VMALLOC"),
    Row("lockdep", f"{LOCKDEP} DEBUG_ATOMIC_SLEEP"),
    Row("debug-vm", f"{DEBUG} DEBUG_VM DEBUG_VM_PGFLAGS DEBUG_VM_PGTABLE DEBUG_VM_RB"),
    Row("cma-off", "-CMA"),
    Row("numa-qemu", ACPI, qemu=TWO_NODES, cpus=2),
    Row("numa-memoryless", ACPI, "nr_cpus=1", qemu=MEMORYLESS, cpus=2),
    Row("small-pageblocks", "PAGE_BLOCK_MAX_ORDER=5"),
    Row("distribution", "TRANSPARENT_HUGEPAGE CGROUPS MEMCG EVENTFD VIRTIO_BALLOON "
        "VM_EVENT_COUNTERS PAGE_REPORTING IDLE_PAGE_TRACKING"),
    Row("lockdep-preempt", f"{LOCKDEP} {SMP} PREEMPT DEBUG_ATOMIC_SLEEP DEBUG_PREEMPT", cpus=2),
    Row("ubsan", "UBSAN UBSAN_BOUNDS UBSAN_SHIFT UBSAN_BOOL UBSAN_ENUM"),
    Row("kcsan", f"{DEBUG} {SMP} KCSAN", cpus=2),
    Row("fixes", "KPROBES", FAIL_KNOWN_BUGS, fixes=True),
    Row("clang", llvm="-19"),
    Row("uml", arch=UML),
    Row("arm64", arch="arm64"),
    Row("arm64-16k", "ARM64_16K_PAGES", arch="arm64"),
    Row("arm64-64k", "ARM64_64K_PAGES", arch="arm64"),
    Row("arm64-64k-memory-4g", "ARM64_64K_PAGES", memory=4096, arch="arm64"),
    # QEMU 7.2 takes tags for different that are the same: KASAN's report has both.
    Row("arm64-hw-tags", "KASAN KASAN_HW_TAGS", qemu="-machine virt,mte=on -cpu max",
        arch="arm64", since=(8, 0)),
    Row("riscv", arch="riscv"),
    Row("s390", arch="s390"),
    Row("powerpcle", arch="powerpcle"),
    Row("linux-7.2", kernel="7.2"),
    Row("linux-6.12", kernel="6.12"),
)


def matching(patterns: Sequence[str], rows: Sequence[Row] = ROWS) -> List[Row]:
    """Those that are asked for."""
    for pattern in patterns:
        if not any(fnmatchcase(row.name, pattern) for row in rows):
            raise Fail(Exit.BAD_INPUT, f"no row matches {pattern}",
                       "./suite matrix --list names them; a part of a name needs a `*` around it")
    return [row for row in rows if any(fnmatchcase(row.name, pattern) for pattern in patterns)]


def sample(commit: str, rows: Sequence[Row] = ROWS) -> List[Row]:
    """One of the rows for which the usual kernel and machine are enough.

    Others take minutes to build, or more memory than a machine may promise. Which
    one, the commit says, so that all have their turn.
    """
    near = [row for row in rows if row.usual and row.boot and not row.qemu]
    return sorted(near, key=lambda row: digest(commit.encode(), row.name.encode()))[:1]
