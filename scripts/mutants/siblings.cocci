// SPDX-License-Identifier: GPL-2.0
// What if another flag, type, mode or state were meant, or the flag were cleared
// where it is set?

@initialize:python@
@@
from emit import mutant

CALLS = {
    "PageOffline": ("PageBuddy", "PageTable"),
    "PageOfflineSkippable": ("PageOffline", "PageDirty"),
    "PageBuddy": ("PageOffline",),
    "PageHWPoison": ("PageReserved",),
    "PageReserved": ("PageHWPoison",),
    "PageLRU": ("PageReserved",),
    "PageCompound": ("PageHead", "PageTail"),
    "page_has_movable_ops": ("PageOffline",),
    "folio_test_hugetlb": ("folio_test_large",),
    "folio_test_large": ("folio_test_hugetlb",),
    "folio_test_lru": ("folio_test_active",),
    "SetPageOfflineSkippable": ("ClearPageOfflineSkippable", "SetPageDirty"),
    "ClearPageOfflineSkippable": ("SetPageOfflineSkippable", "ClearPageDirty"),
}
NAMES = (
    ("PB_ISOLATE_MODE_MEM_OFFLINE", "PB_ISOLATE_MODE_CMA_ALLOC", "PB_ISOLATE_MODE_OTHER"),
    ("ZONE_MOVABLE", "ZONE_NORMAL"),
    ("VIRTIO_MEM_SBM_MB_KERNEL_PARTIAL", "VIRTIO_MEM_SBM_MB_MOVABLE_PARTIAL",
     "VIRTIO_MEM_SBM_MB_OFFLINE_PARTIAL", "VIRTIO_MEM_SBM_MB_KERNEL",
     "VIRTIO_MEM_SBM_MB_MOVABLE"),
)

@call@
identifier f;
expression X, E;
position p, x;
@@
\( f(X@x) \& E@p \)

@script:python@
f << call.f;
p << call.p;
x << call.x;
@@
for sibling in CALLS.get(f, ()):
    mutant(f"{f} to {sibling}", "expression", p, f"{sibling}({{x}})", x=x)

@constant_name@
identifier C;
position p;
@@
C@p

@script:python@
C << constant_name.C;
p << constant_name.p;
@@
for group in NAMES:
    if C in group:
        for sibling in group:
            if sibling != C:
                mutant(f"{C} to {sibling}", "expression", p, sibling)
