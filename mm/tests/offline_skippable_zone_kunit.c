// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests for what zones, pageblocks and the edges of a range have to do
 * with offlining: what counts as free, which migratetype a pageblock has, when
 * onlined pages can be allocated, and what lies across an edge.
 */
#include <linux/gfp.h>
#include <linux/hugetlb.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/page_ref.h>
#include <linux/vmstat.h>

#include "../internal.h"
#include "offline_skippable.h"

/*
 * The edges of a range
 */

/* Expect that isolating the pageblock of @pfn for offlining returns @ret. */
static void expect_isolation(struct phantom_memory *ph, unsigned long pfn,
			     int ret)
{
	const unsigned long end_pfn = pfn + pageblock_nr_pages;

	KUNIT_EXPECT_EQ(ph->test, ret,
			start_isolate_page_range(pfn, end_pfn,
						 PB_ISOLATE_MODE_MEM_OFFLINE));
	KUNIT_EXPECT_EQ(ph->test, ret ? 0 : 1, ph->zone->nr_isolate_pageblock);
	undo_isolate_page_range(pfn, end_pfn);
}

/* An edge within the largest chunk that the buddy has: isolation looks there. */
static unsigned long edge_of_pageblock(struct phantom_memory *ph)
{
	if (pageblock_nr_pages == MAX_ORDER_NR_PAGES)
		kunit_skip(ph->test, "no page is larger than a pageblock");
	return ph->start_pfn + pageblock_nr_pages;
}

/*
 * Isolation of a pageblock succeeds if a large folio ends right where the
 * pageblock begins or ends.
 */
static void isolation_allows_folio_that_ends_at_its_edge(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);
	const unsigned long edge = edge_of_pageblock(ph);
	struct folio *folio;

	folio = phantom_make_folio(ph, edge - LARGE_NR_PAGES, LARGE_ORDER);
	expect_isolation(ph, edge, 0);
	/* In a kernel zone, a folio in the range has to be on the LRU. */
	SetPageLRU(&folio->page);
	expect_isolation(ph, edge - pageblock_nr_pages, 0);
	ClearPageLRU(&folio->page);
}

/*
 * Isolation of a pageblock fails with -EBUSY if a folio extends across its edge,
 * unless it is one of hugetlb, which can be migrated as a whole.
 */
static void isolation_refuses_folio_across_its_edge(struct kunit *test)
{
	struct phantom_memory *ph = phantom_memory_get(test);
	unsigned long edge;

	/* In a kernel zone, it would be unmovable anyway. */
	phantom_online(ph, MMOP_ONLINE_MOVABLE);
	edge = edge_of_pageblock(ph);
	phantom_set(ph, ph->start_pfn, ph->nr_pages, PHANTOM_SKIPPABLE);
	phantom_make_folio(ph, ph->start_pfn, pageblock_order + 1);
	expect_isolation(ph, edge, -EBUSY);
	expect_isolation(ph, edge - pageblock_nr_pages, -EBUSY);

	phantom_make_hugetlb_folio(ph, ph->start_pfn + 2 * pageblock_nr_pages,
				   pageblock_order + 1);
	expect_isolation(ph, edge + pageblock_nr_pages, 0);
	expect_isolation(ph, edge + 2 * pageblock_nr_pages, 0);
}

/*
 * scan_movable_pages() finds a page on the LRU right behind a hugetlb folio,
 * whichever page of the folio it begins with.
 */
static void scan_finds_page_behind_hugetlb_folio(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);
	const unsigned long behind = ph->start_pfn + LARGE_NR_PAGES;
	struct page *page;
	unsigned long i;

	phantom_make_hugetlb_folio(ph, ph->start_pfn, LARGE_ORDER);
	page = mark_page_in_use(behind);
	SetPageLRU(page);
	for (i = 0; i < LARGE_NR_PAGES; i++) {
		unsigned long pfn = 0;

		KUNIT_EXPECT_EQ_MSG(test, 0,
				    scan_movable_pages(ph->start_pfn + i,
						       phantom_end_pfn(ph), &pfn),
				    "page %lu", i);
		KUNIT_EXPECT_EQ_MSG(test, behind, pfn, "page %lu", i);
	}
	ClearPageLRU(page);
	mark_page_offline(page);
}

/*
 * Offlining fails with -EBUSY and changes nothing if a hugetlb folio in use that
 * cannot be migrated, such as a gigantic one, extends across the edge of the
 * range.
 */
static void hugetlb_folio_across_the_edge_prevents_offlining(struct kunit *test)
{
#ifdef CONFIG_HUGETLB_PAGE
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);
	struct phantom_snapshot online;
	struct phantom_memory part;
	struct patience patience;
	struct folio *folio;
	int ret;

	if (!hugepages_supported())
		kunit_skip(test, "there are no huge pages");
	if (!FOLIO_SIZE_IS_CHECKED && zone_idx(ph->zone) != ZONE_MOVABLE)
		kunit_skip(test, "isolation trusts the size of a folio");
	part = *ph;
	part.start_pfn += pageblock_nr_pages;
	part.nr_pages -= pageblock_nr_pages;
	if (part.nr_pages != phantom_offlinable(part.nr_pages))
		kunit_skip(test, "a part of a section cannot go offline");
	folio = phantom_make_hugetlb_folio(ph, ph->start_pfn,
					   pageblock_order + 1);

	phantom_snapshot_take(&online);
	patience_begin(&patience);
	ret = phantom_offline(&part);
	patience_end(&patience);
	KUNIT_ASSERT_EQ(test, -EBUSY, ret);
	phantom_snapshot_expect(test, &online);
	phantom_expect_isolated(ph, 0);
	KUNIT_EXPECT_EQ(test, 1, folio_ref_count(folio));
	phantom_expect(ph, ph->start_pfn + folio_nr_pages(folio),
		       ph->nr_pages - folio_nr_pages(folio), PHANTOM_SKIPPABLE);
#else
	kunit_skip(test, "CONFIG_HUGETLB_PAGE is not set");
#endif
}

/*
 * Free pages and migratetypes
 */

static unsigned long nr_free(const struct phantom_memory *ph)
{
	return zone_page_state_snapshot(ph->zone, NR_FREE_PAGES);
}

static unsigned long nr_free_in_blocks(const struct phantom_memory *ph)
{
	return zone_page_state_snapshot(ph->zone, NR_FREE_PAGES_BLOCKS);
}

/*
 * Free pages do not count as free while they are isolated, neither among all
 * pages nor among those in whole pageblocks, and do again afterwards.
 */
static void isolated_pages_do_not_count_as_free(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_FREE);
	const unsigned long nr_pages = 3 * pageblock_nr_pages;

	KUNIT_EXPECT_EQ(test, ph->nr_pages, nr_free(ph));
	KUNIT_EXPECT_EQ(test, ph->nr_pages, nr_free_in_blocks(ph));
	KUNIT_ASSERT_EQ(test, 0,
			start_isolate_page_range(ph->start_pfn,
						 ph->start_pfn + nr_pages,
						 PB_ISOLATE_MODE_MEM_OFFLINE));
	KUNIT_EXPECT_EQ(test, ph->nr_pages - nr_pages, nr_free(ph));
	KUNIT_EXPECT_EQ(test, ph->nr_pages - nr_pages, nr_free_in_blocks(ph));
	undo_isolate_page_range(ph->start_pfn, ph->start_pfn + nr_pages);
	KUNIT_EXPECT_EQ(test, ph->nr_pages, nr_free(ph));
	KUNIT_EXPECT_EQ(test, ph->nr_pages, nr_free_in_blocks(ph));
	phantom_expect(ph, ph->start_pfn, ph->nr_pages, PHANTOM_FREE);
}

/* Change the migratetype of a largest chunk, none of whose pages is free. */
static void set_migratetype(unsigned long pfn, int migratetype)
{
	unsigned long i;

	for (i = 0; i < MAX_ORDER_NR_PAGES; i += pageblock_nr_pages)
		init_pageblock_migratetype(pfn_to_page(pfn + i), migratetype,
					   false);
}

/*
 * After offlining failed, all pageblocks have the migratetype they had, and as
 * many free pages as before.
 */
static void refused_offlining_restores_migratetypes(struct kunit *test)
{
	static const int migratetypes[] = {
		MIGRATE_UNMOVABLE, MIGRATE_RECLAIMABLE,
	};
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);
	struct phantom_snapshot online;
	unsigned long in_blocks, i;

	if (!ISOLATION_KEEPS_MIGRATETYPE)
		kunit_skip(test, "isolation forgets the migratetype");
	if (page_group_by_mobility_disabled)
		kunit_skip(test, "pages are not grouped by mobility");

	/*
	 * Free pages merge up to the largest chunk, and take the migratetype
	 * along.
	 */
	for (i = 0; i < ARRAY_SIZE(migratetypes); i++)
		set_migratetype(ph->start_pfn + i * MAX_ORDER_NR_PAGES,
				migratetypes[i]);
	phantom_set(ph, ph->start_pfn, ph->nr_pages - 1, PHANTOM_FREE);
	phantom_set(ph, phantom_end_pfn(ph) - 1, 1, PHANTOM_OFFLINE);
	phantom_snapshot_take(&online);
	in_blocks = nr_free_in_blocks(ph);

	KUNIT_ASSERT_EQ(test, -EBUSY, phantom_offline(ph));
	phantom_snapshot_expect(test, &online);
	KUNIT_EXPECT_EQ(test, in_blocks, nr_free_in_blocks(ph));
	for (i = 0; i < ARRAY_SIZE(migratetypes) * MAX_ORDER_NR_PAGES;
	     i += pageblock_nr_pages)
		KUNIT_EXPECT_EQ_MSG(test, migratetypes[i / MAX_ORDER_NR_PAGES],
				    get_pageblock_migratetype(pfn_to_page(ph->start_pfn + i)),
				    "page %lu", i);
}

#ifdef CONFIG_CMA
static unsigned long nr_free_cma(const struct phantom_memory *ph)
{
	return zone_page_state_snapshot(ph->zone, NR_FREE_CMA_PAGES);
}

/* Isolate pageblocks as an allocation from CMA does. */
static int isolate_cma(const struct phantom_memory *ph, unsigned long nr_pages)
{
	return start_isolate_page_range(ph->start_pfn, ph->start_pfn + nr_pages,
					PB_ISOLATE_MODE_CMA_ALLOC);
}

static void make_cma_movable(void *arg)
{
	struct phantom_memory *ph = arg;
	unsigned long i;

	KUNIT_EXPECT_EQ(ph->test, 0, isolate_cma(ph, MAX_ORDER_NR_PAGES));
	for (i = 0; i < MAX_ORDER_NR_PAGES; i += pageblock_nr_pages)
		init_pageblock_migratetype(pfn_to_page(ph->start_pfn + i),
					   MIGRATE_MOVABLE, true);
	undo_isolate_page_range(ph->start_pfn, ph->start_pfn + MAX_ORDER_NR_PAGES);
}

/*
 * Online phantom memory whose first half is pageblocks of CMA. All pages are
 * free in the first pageblock, and skippable elsewhere.
 */
static struct phantom_memory *phantom_online_cma(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);

	set_migratetype(ph->start_pfn, MIGRATE_CMA);
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, make_cma_movable, ph));
	phantom_set(ph, ph->start_pfn, pageblock_nr_pages, PHANTOM_FREE);
	return ph;
}

/*
 * Offlining of memory with pageblocks of CMA fails with -EBUSY, and leaves them
 * to CMA, with as many free pages as before.
 */
static void cma_pageblock_prevents_offlining(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_cma(test);
	struct phantom_snapshot online;

	phantom_snapshot_take(&online);
	KUNIT_EXPECT_EQ(test, pageblock_nr_pages, nr_free_cma(ph));
	KUNIT_ASSERT_EQ(test, -EBUSY, phantom_offline(ph));
	phantom_snapshot_expect(test, &online);
	phantom_expect_isolated(ph, 0);
	KUNIT_EXPECT_EQ(test, pageblock_nr_pages, nr_free_cma(ph));
	KUNIT_EXPECT_TRUE(test, is_migrate_cma_page(pfn_to_page(ph->start_pfn)));
}

/*
 * An allocation from CMA can isolate pageblocks of CMA, whose free pages do not
 * count as free then, but does not get skippable pages in them.
 */
static void cma_does_not_get_skippable_pages(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_cma(test);
	const unsigned long skippable = ph->start_pfn + pageblock_nr_pages;

	if (pageblock_nr_pages == MAX_ORDER_NR_PAGES)
		kunit_skip(test, "there is but one pageblock of CMA");
	KUNIT_ASSERT_EQ(test, 0, isolate_cma(ph, MAX_ORDER_NR_PAGES));
	KUNIT_EXPECT_EQ(test, 0, nr_free_cma(ph));
	KUNIT_EXPECT_EQ(test, 0,
			test_pages_isolated(ph->start_pfn, skippable,
					    PB_ISOLATE_MODE_CMA_ALLOC));
	KUNIT_EXPECT_EQ(test, -EBUSY,
			test_pages_isolated(ph->start_pfn, skippable + 1,
					    PB_ISOLATE_MODE_CMA_ALLOC));
	undo_isolate_mode_page_range(ph->start_pfn,
				     ph->start_pfn + MAX_ORDER_NR_PAGES,
				     PB_ISOLATE_MODE_CMA_ALLOC);
	KUNIT_EXPECT_EQ(test, pageblock_nr_pages, nr_free_cma(ph));
	KUNIT_EXPECT_TRUE(test, is_migrate_cma_page(pfn_to_page(ph->start_pfn)));
	phantom_expect(ph, skippable, pageblock_nr_pages, PHANTOM_SKIPPABLE);
}
#else
static void cma_pageblock_prevents_offlining(struct kunit *test)
{
	kunit_skip(test, "CONFIG_CMA is not set");
}

static void cma_does_not_get_skippable_pages(struct kunit *test)
{
	kunit_skip(test, "CONFIG_CMA is not set");
}
#endif

static const struct offline_skippable_param offline_page_params[] = {
	IN_MOVABLE_ZONE(", count 0", .count = 0),
	IN_KERNEL_ZONE(", count 0", .count = 0),
	IN_MOVABLE_ZONE(", count 1", .count = 1),
	IN_KERNEL_ZONE(", count 1", .count = 1),
};

KUNIT_ARRAY_PARAM_DESC(offline_page, offline_page_params, desc);

#ifdef CONFIG_CONTIG_ALLOC
/* Try to allocate the pages of a pageblock. Does @ph provide them? */
static bool allocates_phantom(struct phantom_memory *ph)
{
	const gfp_t gfp = zone_idx(ph->zone) == ZONE_MOVABLE ?
			  GFP_HIGHUSER_MOVABLE : GFP_KERNEL;
	struct page *pages = alloc_contig_pages(pageblock_nr_pages,
						gfp | __GFP_NOWARN, ph->nid, NULL);
	unsigned long pfn;

	if (!pages)
		return false;
	pfn = page_to_pfn(pages);
	free_contig_range(pfn, pageblock_nr_pages);
	return pfn >= ph->start_pfn && pfn < phantom_end_pfn(ph);
}
#endif

/*
 * alloc_contig_pages() allocates no range with a PageOffline() page, and does
 * not change the page, even if its reference count is 0.
 */
static void contiguous_allocation_avoids_offline_page(struct kunit *test)
{
#ifdef CONFIG_CONTIG_ALLOC
	const struct offline_skippable_param *param = test->param_value;
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);
	const unsigned long pfn = ph->start_pfn + pageblock_nr_pages / 2;
	struct page *page = pfn_to_page(pfn);

	if (want_init_on_alloc(0))
		kunit_skip(test, "init_on_alloc writes to allocated pages");

	phantom_set(ph, ph->start_pfn, pageblock_nr_pages / 2, PHANTOM_FREE);
	phantom_set(ph, pfn + 1, pageblock_nr_pages / 2 - 1, PHANTOM_FREE);
	set_page_count(page, param->count);
	KUNIT_EXPECT_FALSE(test, allocates_phantom(ph));
	KUNIT_EXPECT_EQ(test, param->count, page_ref_count(page));
	set_page_count(page, PHANTOM_PAGE_COUNT);
	phantom_expect(ph, pfn, 1, PHANTOM_SKIPPABLE);
	phantom_expect_isolated(ph, 0);

	/* It is the page that matters. */
	phantom_set(ph, pfn, 1, PHANTOM_FREE);
	KUNIT_EXPECT_TRUE(test, allocates_phantom(ph));
#else
	kunit_skip(test, "CONFIG_CONTIG_ALLOC is not set");
#endif
}

/*
 * Poisoned pages
 */

/*
 * A free page that memory_failure() takes out of the buddy no longer counts as
 * free, and does again after unpoison_memory().
 */
static void poisoned_free_page_does_not_count_as_free(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);
	const unsigned long pfn = ph->start_pfn + 1;

	if (!IS_ENABLED(CONFIG_MEMORY_FAILURE))
		kunit_skip(test, "CONFIG_MEMORY_FAILURE is not set");

	phantom_set(ph, ph->start_pfn, pageblock_nr_pages, PHANTOM_FREE);
	KUNIT_EXPECT_EQ(test, 0, memory_failure(pfn, MF_SW_SIMULATED));
	KUNIT_EXPECT_EQ(test, pageblock_nr_pages - 1, phantom_nr_free(ph));
	KUNIT_EXPECT_EQ(test, pageblock_nr_pages - 1, nr_free(ph));
	KUNIT_EXPECT_EQ(test, 0, unpoison_memory(pfn));
	KUNIT_EXPECT_EQ(test, pageblock_nr_pages, phantom_nr_free(ph));
	KUNIT_EXPECT_EQ(test, pageblock_nr_pages, nr_free(ph));
}

/*
 * soft_offline_page() fails for a skippable page and does not change it, and the
 * memory can be offlined.
 */
static void soft_offline_leaves_skippable_page_alone(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);
	const unsigned long pfn = ph->start_pfn + 1;

	if (!IS_ENABLED(CONFIG_MEMORY_FAILURE))
		kunit_skip(test, "CONFIG_MEMORY_FAILURE is not set");

	KUNIT_EXPECT_EQ(test, -EIO, soft_offline_page(pfn, 0));
	KUNIT_EXPECT_FALSE(test, PageHWPoison(pfn_to_page(pfn)));
	phantom_expect(ph, pfn, 1, PHANTOM_SKIPPABLE);
	KUNIT_EXPECT_EQ(test, 0, phantom_offline(ph));
}

/*
 * Onlining
 */

/**
 * struct onlining - what the online_page callback sees
 * @zone: the zone that the memory is onlined to
 * @nr_pages: the number of pages that it is called for
 * @nr_isolated: how many of them are in isolated pageblocks
 * @nr_online: how many of them are in sections that are online
 * @max_free: the highest number of free pages of the zone meanwhile
 */
static struct onlining {
	struct zone *zone;
	unsigned long nr_pages;
	unsigned long nr_isolated;
	unsigned long nr_online;
	unsigned long max_free;
} onlining;

static void observe_onlining(struct page *page, unsigned int order)
{
	const unsigned long nr_pages = 1UL << order;

	onlining.nr_pages += nr_pages;
	if (is_migrate_isolate_page(page))
		onlining.nr_isolated += nr_pages;
	if (pfn_to_online_page(page_to_pfn(page)))
		onlining.nr_online += nr_pages;
	generic_online_page(page, order);
	onlining.max_free = max(onlining.max_free,
				zone_page_state_snapshot(onlining.zone,
							 NR_FREE_PAGES));
}

/*
 * Pages that the online_page callback gives to the buddy cannot be allocated
 * before their sections are online, because they are isolated until then.
 */
static void onlined_pages_are_isolated_until_they_are_online(struct kunit *test)
{
	const struct offline_skippable_param *param = test->param_value;
	struct phantom_memory *ph = phantom_memory_get(test);
	struct zone *zone;

	/* Have phantom memory choose the range, and the zone. */
	phantom_online(ph, param->online_type);
	zone = ph->zone;
	phantom_set(ph, ph->start_pfn, ph->nr_pages, PHANTOM_SKIPPABLE);
	KUNIT_ASSERT_EQ(test, 0, phantom_offline(ph));
	if (populated_zone(zone))
		kunit_skip(test, "zone %s has other memory", zone->name);

	memset(&onlining, 0, sizeof(onlining));
	onlining.zone = zone;
	KUNIT_ASSERT_EQ(test, 0, set_online_page_callback(observe_onlining));
	KUNIT_EXPECT_EQ(test, 0,
			phantom_online_pages(ph->start_pfn, ph->nr_pages, zone));
	restore_online_page_callback(observe_onlining);

	KUNIT_EXPECT_EQ(test, ph->nr_pages, onlining.nr_pages);
	KUNIT_EXPECT_EQ(test, ph->nr_pages, onlining.nr_isolated);
	KUNIT_EXPECT_EQ(test, 0, onlining.nr_online);
	KUNIT_EXPECT_EQ(test, 0, onlining.max_free);
	KUNIT_EXPECT_EQ(test, 0, zone->nr_isolate_pageblock);
	KUNIT_EXPECT_EQ(test, ph->nr_pages,
			zone_page_state_snapshot(zone, NR_FREE_PAGES));

	ph->zone = zone;
	KUNIT_EXPECT_EQ(test, 0, phantom_offline(ph));
}

/* Expect -EINVAL for ranges that begin or end where they must not, or are empty. */
static void expect_misaligned_refused(struct phantom_memory *ph, struct zone *zone,
				      int (*change)(unsigned long pfn,
						    unsigned long nr_pages,
						    struct zone *zone))
{
	const unsigned long start = ph->start_pfn, end = phantom_end_pfn(ph);

	/* It warns once, whatever is wrong with the range. */
	kunit_warning_suppress(ph->test) {
		KUNIT_EXPECT_EQ(ph->test, -EINVAL,
				change(start + 1, ph->nr_pages - 1, zone));
		KUNIT_EXPECT_EQ(ph->test, -EINVAL,
				change(start, ph->nr_pages - pageblock_nr_pages, zone));
		KUNIT_EXPECT_EQ(ph->test, -EINVAL, change(end, 0, zone));
	}
}

static void keep_page_offline(struct page *page, unsigned int order)
{
}

/*
 * A range that does not begin with a pageblock, that does not end with a section, or
 * that is empty, fails with -EINVAL to go online or offline, and nothing changes.
 */
static void misaligned_range_neither_goes_online_nor_offline(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);
	struct phantom_snapshot before;
	struct zone *zone = ph->zone;

	if (pageblock_nr_pages == PAGES_PER_SECTION)
		kunit_skip(test, "a section is a pageblock");
	phantom_snapshot_take(&before);
	expect_misaligned_refused(ph, zone, phantom_offline_pages);
	phantom_snapshot_expect(test, &before);
	KUNIT_EXPECT_NOT_NULL(test, pfn_to_online_page(ph->start_pfn));

	KUNIT_ASSERT_EQ(test, 0, phantom_offline(ph));
	phantom_snapshot_take(&before);
	KUNIT_ASSERT_EQ(test, 0, set_online_page_callback(keep_page_offline));
	expect_misaligned_refused(ph, zone, phantom_online_pages);
	restore_online_page_callback(keep_page_offline);
	phantom_snapshot_expect(test, &before);
	KUNIT_EXPECT_NULL(test, pfn_to_online_page(ph->start_pfn));
}

static unsigned long nr_kept[2];

static void keep_first(struct page *page, unsigned int order)
{
	nr_kept[0] += 1UL << order;
}

static void keep_second(struct page *page, unsigned int order)
{
	nr_kept[1] += 1UL << order;
}

/*
 * A driver cannot set its online_page callback while another one has set its own, nor
 * take that one back; only what it set itself is called, and is gone when taken back.
 */
static void online_page_callback_is_that_of_one_driver(struct kunit *test)
{
	struct phantom_memory *ph = phantom_memory_get(test);
	const unsigned long nr_pages = phantom_offlinable(max(pageblock_nr_pages,
								MAX_ORDER_NR_PAGES));
	const unsigned long pfn = PHYS_PFN(ph->start + ph->size) - nr_pages;
	struct zone *zone = zone_for_pfn_range(MMOP_ONLINE_MOVABLE, ph->nid, NULL, pfn,
					       nr_pages);

	memset(nr_kept, 0, sizeof(nr_kept));
	if (restore_online_page_callback(generic_online_page))
		kunit_skip(test, "a driver has set its online_page callback");
	KUNIT_ASSERT_EQ(test, 0, set_online_page_callback(keep_first));
	KUNIT_EXPECT_EQ(test, -EINVAL, set_online_page_callback(keep_second));
	KUNIT_EXPECT_EQ(test, -EINVAL, restore_online_page_callback(keep_second));
	KUNIT_EXPECT_EQ(test, 0, phantom_online_pages(pfn, nr_pages, zone));
	KUNIT_EXPECT_EQ(test, nr_pages, nr_kept[0]);
	phantom_set(ph, pfn, nr_pages, PHANTOM_SKIPPABLE);
	KUNIT_EXPECT_EQ(test, 0, phantom_offline_pages(pfn, nr_pages, zone));
	KUNIT_EXPECT_EQ(test, 0, restore_online_page_callback(keep_first));

	KUNIT_EXPECT_EQ(test, -EINVAL, restore_online_page_callback(keep_first));
	KUNIT_EXPECT_EQ(test, 0, set_online_page_callback(keep_second));
	KUNIT_EXPECT_EQ(test, -EINVAL, restore_online_page_callback(keep_first));
	KUNIT_EXPECT_EQ(test, 0, restore_online_page_callback(keep_second));
	KUNIT_EXPECT_EQ(test, 0, nr_kept[1]);
}

/*
 * Spans
 */

/*
 * A node that nobody knows of, with empty zones. What lies behind the last zone does
 * not look like one, or like anything else.
 */
static pg_data_t *make_node(struct kunit *test, int nid)
{
	pg_data_t *pgdat = kunit_kmalloc(test, sizeof(*pgdat), GFP_KERNEL);
	int i;

	KUNIT_ASSERT_NOT_NULL(test, pgdat);
	memset(pgdat, 0xff, sizeof(*pgdat));
	memset(pgdat->node_zones, 0, sizeof(pgdat->node_zones));
	pgdat->node_id = nid;
	pgdat->nr_zones = 0;
	pgdat->node_start_pfn = 0;
	pgdat->node_spanned_pages = 0;
	for (i = 0; i < MAX_NR_ZONES; i++) {
		struct zone *zone = &pgdat->node_zones[i];

		zone->zone_pgdat = pgdat;
		zone->name = "KUnit";
		zone_set_nid(zone, nid);
		spin_lock_init(&zone->lock);
	}
	return pgdat;
}

/* Pages of a memory block that is offline, a few at a time. */
struct parts {
	unsigned long start_pfn;
	unsigned long nr_pages;
};

static struct parts parts_of_block(struct kunit *test)
{
	const struct phantom_memory *ph = phantom_memory_get(test);

	return (struct parts) {
		.start_pfn = PHYS_PFN(ph->start),
		.nr_pages = PHYS_PFN(memory_block_size_bytes()) / 8,
	};
}

static void expect_zone_span(struct kunit *test, const struct parts *parts,
			     const struct zone *zone, unsigned long first,
			     unsigned long last)
{
	KUNIT_EXPECT_EQ(test, parts->start_pfn + first * parts->nr_pages,
			zone->zone_start_pfn);
	KUNIT_EXPECT_EQ(test, (last - first + 1) * parts->nr_pages,
			zone->spanned_pages);
}

static void expect_node_span(struct kunit *test, const struct parts *parts,
			     const pg_data_t *pgdat, unsigned long first,
			     unsigned long last)
{
	KUNIT_EXPECT_EQ(test, parts->start_pfn + first * parts->nr_pages,
			pgdat->node_start_pfn);
	KUNIT_EXPECT_EQ(test, (last - first + 1) * parts->nr_pages,
			pgdat->node_spanned_pages);
}

static void move_part(const struct parts *parts, struct zone *zone, unsigned long nr)
{
	move_pfn_range_to_zone(zone, parts->start_pfn + nr * parts->nr_pages,
			       parts->nr_pages, NULL, MIGRATE_MOVABLE, false);
}

static void remove_part(const struct parts *parts, struct zone *zone, unsigned long nr)
{
	remove_pfn_range_from_zone(zone, parts->start_pfn + nr * parts->nr_pages,
				   parts->nr_pages);
}

/*
 * A zone and its node grow to span what is moved to the zone, be it below, above or
 * amid what they span; a zone without memory that is online spans nothing.
 */
static void zone_and_node_grow_to_span_what_is_moved_there(struct kunit *test)
{
	const struct parts parts = parts_of_block(test);
	pg_data_t *pgdat = make_node(test, first_memory_node);
	struct zone *lower = &pgdat->node_zones[ZONE_NORMAL];
	struct zone *upper = &pgdat->node_zones[ZONE_MOVABLE];

	/* See get_pfnblock_bitmap_bitidx(). */
	if (IS_ENABLED(CONFIG_DEBUG_VM))
		kunit_skip(test, "CONFIG_DEBUG_VM looks at the spans of another node");
	mem_hotplug_begin();
	move_part(&parts, upper, 3);
	expect_zone_span(test, &parts, upper, 3, 3);
	expect_node_span(test, &parts, pgdat, 3, 3);
	KUNIT_EXPECT_EQ(test, ZONE_MOVABLE + 1, pgdat->nr_zones);
	move_part(&parts, upper, 5);
	expect_zone_span(test, &parts, upper, 3, 5);
	expect_node_span(test, &parts, pgdat, 3, 5);
	move_part(&parts, upper, 2);
	move_part(&parts, upper, 4);
	expect_zone_span(test, &parts, upper, 2, 5);
	expect_node_span(test, &parts, pgdat, 2, 5);

	move_part(&parts, lower, 3);
	expect_zone_span(test, &parts, lower, 3, 3);
	expect_node_span(test, &parts, pgdat, 2, 5);
	move_part(&parts, lower, 1);
	expect_zone_span(test, &parts, lower, 1, 3);
	expect_node_span(test, &parts, pgdat, 1, 5);
	move_part(&parts, lower, 7);
	expect_zone_span(test, &parts, lower, 1, 7);
	expect_node_span(test, &parts, pgdat, 1, 7);
	KUNIT_EXPECT_EQ(test, ZONE_MOVABLE + 1, pgdat->nr_zones);

	remove_part(&parts, lower, 7);
	KUNIT_EXPECT_TRUE(test, zone_is_empty(lower));
	KUNIT_EXPECT_EQ(test, 0, lower->zone_start_pfn);
	expect_node_span(test, &parts, pgdat, 2, 5);
	remove_part(&parts, upper, 2);
	KUNIT_EXPECT_TRUE(test, zone_is_empty(upper));
	KUNIT_EXPECT_EQ(test, 0, pgdat->node_spanned_pages);
	mem_hotplug_done();
}

/**
 * struct span_of_zones - what zones span, and hence their node
 * @zone: which zones span something; of it, the first and last part
 * @node: the first and the last part of the node
 */
struct span_of_zones {
	struct {
		enum zone_type type;
		unsigned long first;
		unsigned long last;
	} zone[2];
	struct {
		unsigned long first;
		unsigned long last;
	} node;
};

/*
 * When memory has been removed from one of its zones, a node spans just what its zones
 * do, in whichever order they are, and whatever it spanned before.
 */
static void node_spans_what_its_zones_do(struct kunit *test)
{
	static const struct span_of_zones spans[] = {
		{ { { 0, 1, 3 }, { MAX_NR_ZONES - 1, 5, 7 } }, { 1, 7 } },
		{ { { 0, 4, 6 }, { MAX_NR_ZONES - 1, 1, 3 } }, { 1, 6 } },
		{ { { 0, 2, 7 }, { 1, 3, 5 } }, { 2, 7 } },
		{ { { 0, 3, 5 }, { MAX_NR_ZONES - 1, 2, 7 } }, { 2, 7 } },
		{ { { 1, 3, 5 }, { 1, 3, 5 } }, { 3, 5 } },
	};
	const struct parts parts = parts_of_block(test);
	int i, j;

	for (i = 0; i < ARRAY_SIZE(spans); i++) {
		pg_data_t *pgdat = make_node(test, first_memory_node);

		pgdat->node_start_pfn = parts.start_pfn;
		pgdat->node_spanned_pages = 8 * parts.nr_pages;
		for (j = 0; j < 2; j++) {
			struct zone *zone = &pgdat->node_zones[spans[i].zone[j].type];

			zone->zone_start_pfn = parts.start_pfn +
					       spans[i].zone[j].first * parts.nr_pages;
			zone->spanned_pages = (spans[i].zone[j].last + 1 -
					       spans[i].zone[j].first) * parts.nr_pages;
		}
		mem_hotplug_begin();
		/* Neither end of the first one */
		remove_part(&parts, &pgdat->node_zones[spans[i].zone[0].type],
			    spans[i].zone[0].first + 1);
		mem_hotplug_done();
		expect_node_span(test, &parts, pgdat, spans[i].node.first,
				 spans[i].node.last);
	}
}

static struct kunit_case offline_skippable_edge_cases[] = {
	KUNIT_CASE_PARAM(isolation_allows_folio_that_ends_at_its_edge,
			 zone_gen_params),
	KUNIT_CASE(isolation_refuses_folio_across_its_edge),
	KUNIT_CASE_PARAM(scan_finds_page_behind_hugetlb_folio, zone_gen_params),
	KUNIT_CASE_PARAM(hugetlb_folio_across_the_edge_prevents_offlining,
			 zone_gen_params),
	{}
};

static struct kunit_suite offline_skippable_edge_suite = {
	.name = "offline_skippable_edge",
	.init = offline_skippable_hotplug_init,
	.suite_exit = offline_skippable_suite_exit,
	.test_cases = offline_skippable_edge_cases,
};

static struct kunit_case offline_skippable_zone_cases[] = {
	KUNIT_CASE_PARAM(isolated_pages_do_not_count_as_free, zone_gen_params),
	KUNIT_CASE_PARAM(refused_offlining_restores_migratetypes,
			 zone_gen_params),
	KUNIT_CASE_PARAM(cma_pageblock_prevents_offlining, zone_gen_params),
	KUNIT_CASE_PARAM(cma_does_not_get_skippable_pages, zone_gen_params),
	KUNIT_CASE_PARAM(contiguous_allocation_avoids_offline_page,
			 offline_page_gen_params),
	KUNIT_CASE_PARAM(poisoned_free_page_does_not_count_as_free,
			 zone_gen_params),
	KUNIT_CASE_PARAM(soft_offline_leaves_skippable_page_alone,
			 zone_gen_params),
	KUNIT_CASE_PARAM(onlined_pages_are_isolated_until_they_are_online,
			 zone_gen_params),
	KUNIT_CASE_PARAM(misaligned_range_neither_goes_online_nor_offline,
			 zone_gen_params),
	KUNIT_CASE(online_page_callback_is_that_of_one_driver),
	KUNIT_CASE(zone_and_node_grow_to_span_what_is_moved_there),
	KUNIT_CASE(node_spans_what_its_zones_do),
	{}
};

static struct kunit_suite offline_skippable_zone_suite = {
	.name = "offline_skippable_zone",
	.init = offline_skippable_hotplug_init,
	.suite_exit = offline_skippable_suite_exit,
	.test_cases = offline_skippable_zone_cases,
};

kunit_test_suites(&offline_skippable_edge_suite,
		  &offline_skippable_zone_suite);
