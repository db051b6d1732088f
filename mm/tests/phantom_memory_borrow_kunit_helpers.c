// SPDX-License-Identifier: GPL-2.0
/*
 * Phantom memory that is borrowed from the page allocator, see
 * include/kunit/phantom_memory.h.
 */
#include <kunit/phantom_memory.h>
#include <kunit/test.h>
#include <linux/gfp.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/page_ref.h>
#include <linux/slab.h>

#include "../internal.h"
#include <kunit/memory_compat.h>
#include "phantom_memory.h"

static void move_to_zone(const struct phantom_memory *ph, const struct zone *zone)
{
	unsigned long pfn;

	for (pfn = ph->start_pfn; pfn < phantom_end_pfn(ph); pfn++)
		set_page_zone(pfn_to_page(pfn), zone_idx(zone));
}

/*
 * Give the pages to ZONE_MOVABLE, which has no other memory. It spans what the
 * zone spans that they are from, so that the flags of pageblocks are found where
 * they are. As no zonelist has the zone, nobody allocates from it.
 */
static void borrow_for_movable_zone(struct phantom_memory *ph)
{
	struct zone *movable = &NODE_DATA(ph->nid)->node_zones[ZONE_MOVABLE];
	int order, type;

	if (populated_zone(movable))
		kunit_skip(ph->test, "borrowed memory cannot share ZONE_MOVABLE");

	for (order = 0; order < NR_PAGE_ORDERS; order++) {
		struct free_area *area = &movable->free_area[order];

		for (type = 0; type < MIGRATE_TYPES; type++)
			INIT_LIST_HEAD(&area->free_list[type]);
	}
	movable->zone_start_pfn = ph->home->zone_start_pfn;
	movable->spanned_pages = ph->home->spanned_pages;
	movable->present_pages = ph->nr_pages;
#ifndef CONFIG_SPARSEMEM
	movable->pageblock_flags = ph->home->pageblock_flags;
#endif
	move_to_zone(ph, movable);
	ph->zone = movable;
}

static void phantom_borrow_online(struct phantom_memory *ph,
				  enum mmop online_type)
{
	ph->start_pfn = PHYS_PFN(ph->start);
	ph->nr_pages = PHYS_PFN(ph->size);
	if (online_type == MMOP_ONLINE_MOVABLE)
		borrow_for_movable_zone(ph);
	else
		ph->zone = ph->home;
	phantom_went_online(ph);
}

static int phantom_borrow_offline(struct phantom_memory *ph)
{
	if (ph->zone != ph->home) {
		move_to_zone(ph, ph->home);
		ph->zone->zone_start_pfn = 0;
		ph->zone->spanned_pages = 0;
		ph->zone->present_pages = 0;
#ifndef CONFIG_SPARSEMEM
		ph->zone->pageblock_flags = NULL;
#endif
	}
	phantom_went_offline(ph);
	return 0;
}

static int phantom_borrow_release(struct phantom_memory *ph)
{
#ifdef CONFIG_CONTIG_ALLOC
	const unsigned long start_pfn = PHYS_PFN(ph->start);
	const unsigned long nr_pages = PHYS_PFN(ph->size);
	unsigned long i;

	for (i = 0; i < nr_pages; i++) {
		ClearPageOfflineSkippable(pfn_to_page(start_pfn + i));
		__ClearPageOffline(pfn_to_page(start_pfn + i));
	}
	adjust_managed_page_count(pfn_to_page(start_pfn), nr_pages);
	free_contig_range(start_pfn, nr_pages);
#endif
	return 0;
}

static const struct phantom_provider phantom_borrow_provider = {
	.online = phantom_borrow_online,
	.offline = phantom_borrow_offline,
	.release = phantom_borrow_release,
};

/*
 * Borrow memory from the page allocator. @obstacle tells why there is no other;
 * the test case is skipped with that reason if there is none to borrow either.
 */
struct phantom_memory *phantom_borrow(struct kunit *test, const char *obstacle)
{
	struct phantom_memory *ph;
	struct page *pages = NULL;

	phantom_require_boot(test);
	/* See phantom_free(). */
	if (!IS_ENABLED(CONFIG_MEMORY_HOTPLUG) &&
	    (page_poisoning_enabled() || want_init_on_free()))
		kunit_skip(test, "page_poison or init_on_free writes to free pages");

	ph = kzalloc_obj(*ph);
	KUNIT_ASSERT_NOT_NULL(test, ph);
#ifdef CONFIG_CONTIG_ALLOC
	pages = alloc_contig_pages(PHANTOM_NR_PAGES, GFP_KERNEL | __GFP_NOWARN,
				   phantom_nid(), NULL);
#endif
	if (!pages) {
		kfree(ph);
		kunit_skip(test, "%s, and no %lu MiB in one piece to borrow",
			   obstacle, PHANTOM_NR_PAGES * PAGE_SIZE / SZ_1M);
	}
	ph->test = test;
	ph->provider = &phantom_borrow_provider;
	ph->obstacle = obstacle;
	ph->home = page_zone(pages);
	ph->nid = page_to_nid(pages);
	ph->start = PFN_PHYS(page_to_pfn(pages));
	ph->size = PFN_PHYS(PHANTOM_NR_PAGES);
	phantom_make_offline(page_to_pfn(pages), PHANTOM_NR_PAGES);
	return ph;
}
