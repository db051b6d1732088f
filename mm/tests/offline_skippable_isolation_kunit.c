// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests for PageOfflineSkippable() itself, and for how the isolation of
 * pageblocks treats skippable pages (mm/page_isolation.c).
 */
#include <linux/cpumask.h>
#include <linux/gfp.h>
#include <linux/hrtimer.h>
#include <linux/hugetlb.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/page_ref.h>
#include <linux/preempt.h>
#include <linux/smp.h>

#include "../internal.h"
#include <kunit/memory_compat.h>
#include "offline_skippable.h"

#define MODE_OFFLINE	PB_ISOLATE_MODE_MEM_OFFLINE

/*
 * The flag
 */

/*
 * Setting and clearing PageOfflineSkippable() changes a single bit of
 * page->flags, and nothing else of the page or of its neighbours.
 */
static void flag_is_a_single_bit(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_OFFLINE);
	struct page *page = pfn_to_page(ph->start_pfn + 1);
	const struct page before = *page;

	SetPageOfflineSkippable(page);
	KUNIT_EXPECT_TRUE(test, PageOfflineSkippable(page));
	KUNIT_EXPECT_EQ(test,
			*page_flags_word(&before) | BIT(PG_offline_skippable),
			*page_flags_word(page));
	KUNIT_EXPECT_EQ(test, before.page_type, page->page_type);
	phantom_expect(ph, page_to_pfn(page), 1, PHANTOM_SKIPPABLE);
	phantom_expect(ph, page_to_pfn(page) - 1, 1, PHANTOM_OFFLINE);
	phantom_expect(ph, page_to_pfn(page) + 1, 1, PHANTOM_OFFLINE);

	ClearPageOfflineSkippable(page);
	KUNIT_EXPECT_FALSE(test, PageOfflineSkippable(page));
	KUNIT_EXPECT_MEMEQ(test, &before, page, sizeof(before));
}

/*
 * PG_offline_skippable is no flag that a PageOffline() page may have for another
 * reason, and one that freeing a page clears without complaint.
 *
 * virtio-mem has PG_dirty for its own use, and balloons have those of pages with
 * movable_ops.
 */
static void flag_shares_no_bit_with_others_of_offline_pages(struct kunit *test)
{
	const unsigned long flag = BIT(PG_offline_skippable);

	KUNIT_EXPECT_EQ(test, 0, flag & (BIT(PG_dirty) | MOVABLE_OPS_FLAGS));
	KUNIT_EXPECT_EQ(test, 0, flag & (BIT(PG_head) | __PG_HWPOISON));
	KUNIT_EXPECT_EQ(test, 0, flag & PAGE_FLAGS_CHECK_AT_FREE);
	KUNIT_EXPECT_EQ(test, flag, flag & PAGE_FLAGS_CHECK_AT_PREP);
}

/**
 * struct poison_param - where a page becomes HWPoison
 * @desc: in words
 * @other_cpu: whether it is on another CPU than the one that changes the page
 */
struct poison_param {
	const char *desc;
	bool other_cpu;
};

static const struct poison_param poison_params[] = {
	{ "in an interrupt", false },
#ifdef CONFIG_SMP
	{ "on another CPU", true },
#endif
};

KUNIT_ARRAY_PARAM_DESC(poison, poison_params, desc);

/* A timer that makes @page HWPoison. */
struct poison_timer {
	struct hrtimer timer;
	struct page *page;
	bool expired;
};

static enum hrtimer_restart poison_page(struct hrtimer *timer)
{
	struct poison_timer *poison = container_of(timer, struct poison_timer,
						   timer);

	SetPageHWPoison(poison->page);
	WRITE_ONCE(poison->expired, true);
	return HRTIMER_NORESTART;
}

static void start_poison_timer(void *arg)
{
	struct poison_timer *poison = arg;

	hrtimer_start(&poison->timer, ns_to_ktime(20 * NSEC_PER_USEC),
		      HRTIMER_MODE_REL_PINNED_HARD);
}

/*
 * A page that becomes HWPoison while PageOfflineSkippable() is set and cleared
 * stays HWPoison.
 *
 * Where a single instruction changes a bit of memory, as on x86, no interrupt
 * can come in between; there, only another CPU can show a loss. It does so most
 * of the time, unless one thread emulates all CPUs.
 */
static void changing_the_flag_keeps_hwpoison(struct kunit *test)
{
	const struct poison_param *param = test->param_value;
	struct phantom_memory *ph = phantom_memory_get(test);
	const ktime_t end = ktime_add_ms(ktime_get(),
					 param->other_cpu ? 200 : 50);
	struct poison_timer poison;
	unsigned int cpu;

	if (!IS_ENABLED(CONFIG_MEMORY_FAILURE))
		kunit_skip(test, "CONFIG_MEMORY_FAILURE is not set");
	if (param->other_cpu && num_online_cpus() == 1)
		kunit_skip(test, "there is only one CPU");

	phantom_online(ph, MMOP_ONLINE_MOVABLE);
	poison.page = pfn_to_page(ph->start_pfn);
	hrtimer_setup_on_stack(&poison.timer, poison_page, CLOCK_MONOTONIC,
			       HRTIMER_MODE_REL_PINNED_HARD);
	do {
		poison.expired = false;
		preempt_disable();
		cpu = smp_processor_id();
		if (param->other_cpu)
			cpu = cpumask_any_but(cpu_online_mask, cpu);
		smp_call_function_single(cpu, start_poison_timer, &poison, 1);
		while (!READ_ONCE(poison.expired)) {
			SetPageOfflineSkippable(poison.page);
			ClearPageOfflineSkippable(poison.page);
		}
		preempt_enable();
		if (!PageHWPoison(poison.page)) {
			KUNIT_FAIL(test, "the page is not HWPoison any more");
			break;
		}
		ClearPageHWPoison(poison.page);
	} while (ktime_before(ktime_get(), end));
	hrtimer_cancel(&poison.timer);
	destroy_hrtimer_on_stack(&poison.timer);
}

#ifdef CONFIG_CONTIG_ALLOC
/*
 * Allocate the first pageblock, all of which is free. No page may have the
 * flag.
 */
static void alloc_expect_no_flag(struct kunit *test, struct phantom_memory *ph)
{
	unsigned long pfn;

	KUNIT_ASSERT_EQ(test, 0,
			alloc_contig_range(ph->start_pfn,
					   ph->start_pfn + pageblock_nr_pages,
					   ACR_FLAGS_NONE, GFP_KERNEL));
	for (pfn = ph->start_pfn; pfn < ph->start_pfn + pageblock_nr_pages; pfn++) {
		if (!test_bit(PG_offline_skippable,
			      page_flags_word(pfn_to_page(pfn))))
			continue;
		KUNIT_FAIL(test, "page %lu still has the bit of the flag",
			   pfn - ph->start_pfn);
		break;
	}
}

/*
 * Pages that were skippable and went back to the buddy do not have
 * PG_offline_skippable set when they are allocated again.
 *
 * They go back in both ways that drivers use: pages that were kept offline
 * since onlining by generic_online_page(), and pages that were allocated by
 * free_contig_range(). In the latter case, the driver even forgets to clear the
 * flag before.
 */
static void flag_is_clear_on_allocated_pages(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);
	const unsigned long start_pfn = ph->start_pfn;
	unsigned long pfn;

	if (want_init_on_alloc(0) && !phantom_is_borrowed(ph))
		kunit_skip(test, "init_on_alloc writes to allocated pages");

	phantom_set(ph, start_pfn, pageblock_nr_pages, PHANTOM_FREE);
	phantom_expect(ph, start_pfn, pageblock_nr_pages, PHANTOM_FREE);
	alloc_expect_no_flag(test, ph);

	for (pfn = start_pfn; pfn < start_pfn + pageblock_nr_pages; pfn++) {
		__SetPageOffline(pfn_to_page(pfn));
		SetPageOfflineSkippable(pfn_to_page(pfn));
		__ClearPageOffline(pfn_to_page(pfn));
	}
	free_contig_range(start_pfn, pageblock_nr_pages);
	drain_all_pages(ph->zone);
	phantom_expect(ph, start_pfn, pageblock_nr_pages, PHANTOM_FREE);
	alloc_expect_no_flag(test, ph);
	free_contig_range(start_pfn, pageblock_nr_pages);
}
#else
static void flag_is_clear_on_allocated_pages(struct kunit *test)
{
	kunit_skip(test, "CONFIG_CONTIG_ALLOC is not set");
}
#endif

static struct kunit_case offline_skippable_flag_cases[] = {
	KUNIT_CASE_PARAM(flag_is_a_single_bit, zone_gen_params),
	KUNIT_CASE(flag_shares_no_bit_with_others_of_offline_pages),
	KUNIT_CASE_PARAM(changing_the_flag_keeps_hwpoison, poison_gen_params),
	KUNIT_CASE_PARAM(flag_is_clear_on_allocated_pages, zone_gen_params),
	{}
};

static struct kunit_suite offline_skippable_flag_suite = {
	.name = "offline_skippable_flag",
	.init = offline_skippable_init,
	.suite_exit = offline_skippable_suite_exit,
	.test_cases = offline_skippable_flag_cases,
};

/*
 * Isolating pageblocks
 */

static int isolate_phantom(struct phantom_memory *ph, enum pb_isolate_mode mode)
{
	return start_isolate_page_range(ph->start_pfn, phantom_end_pfn(ph), mode);
}

static void undo_isolate_phantom(struct phantom_memory *ph)
{
	undo_isolate_page_range(ph->start_pfn, phantom_end_pfn(ph));
}

static bool is_unmovable(struct phantom_memory *ph, struct page *page,
			 enum pb_isolate_mode mode)
{
	unsigned long step = 1;

	return page_is_unmovable(ph->zone, page, mode, &step);
}

static const enum pb_isolate_mode isolate_modes[] = {
	MODE_OFFLINE, PB_ISOLATE_MODE_OTHER, PB_ISOLATE_MODE_CMA_ALLOC,
};

static void expect_unmovable(struct phantom_memory *ph, struct page *page)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(isolate_modes); i++)
		KUNIT_EXPECT_TRUE_MSG(ph->test,
				      is_unmovable(ph, page, isolate_modes[i]),
				      "mode %d", isolate_modes[i]);
}

/*
 * Expect that a page is movable, and that the next page to look at is @step
 * pages further.
 */
static void expect_movable(struct phantom_memory *ph, struct page *page,
			   unsigned long step)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(isolate_modes); i++) {
		unsigned long found = 1;

		KUNIT_EXPECT_FALSE_MSG(ph->test,
				       page_is_unmovable(ph->zone, page,
							 isolate_modes[i],
							 &found),
				       "mode %d", isolate_modes[i]);
		KUNIT_EXPECT_EQ_MSG(ph->test, step, found, "mode %d",
				    isolate_modes[i]);
	}
}

/*
 * start_isolate_page_range() isolates skippable pages for offlining, and
 * undoing the isolation leaves them as they were.
 */
static void isolates_skippable_pages(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);

	KUNIT_EXPECT_EQ(test, 0, isolate_phantom(ph, MODE_OFFLINE));
	phantom_expect_isolated(ph, ph->nr_pages / pageblock_nr_pages);
	phantom_expect(ph, ph->start_pfn, ph->nr_pages, PHANTOM_SKIPPABLE);

	undo_isolate_phantom(ph);
	phantom_expect_isolated(ph, 0);
	phantom_expect(ph, ph->start_pfn, ph->nr_pages, PHANTOM_SKIPPABLE);
}

/*
 * Skippable pages next to free pages can be isolated for offlining, and the
 * number of free pages in the zone follows the isolation and its undoing.
 */
static void isolates_skippable_pages_among_free_pages(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);
	/* Three quarters of the range, not aligned to pageblocks. */
	const unsigned long free_pfn = ph->start_pfn + ph->nr_pages / 8;
	const unsigned long nr_free = ph->nr_pages / 4 * 3;
	struct phantom_snapshot before, isolated;

	phantom_set(ph, free_pfn, nr_free, PHANTOM_FREE);
	phantom_snapshot_take(&before);

	KUNIT_EXPECT_EQ(test, 0, isolate_phantom(ph, MODE_OFFLINE));
	phantom_expect_isolated(ph, ph->nr_pages / pageblock_nr_pages);
	/*
	 * Free pages that are isolated do not count as free. Where others allocate
	 * and free pages, too, how many are free does not tell.
	 */
	phantom_snapshot_take(&isolated);
	if (phantom_guarded(ph))
		KUNIT_EXPECT_EQ(test, isolated.zone[zone_idx(ph->zone)].free, 0);
	KUNIT_EXPECT_EQ(test, phantom_nr_free(ph), nr_free);

	undo_isolate_phantom(ph);
	phantom_expect_isolated(ph, 0);
	phantom_snapshot_expect(test, &before);
	if (phantom_guarded(ph))
		KUNIT_EXPECT_EQ(test, before.zone[zone_idx(ph->zone)].free,
				nr_free);
	phantom_expect(ph, ph->start_pfn, ph->nr_pages / 8, PHANTOM_SKIPPABLE);
	phantom_expect(ph, free_pfn, nr_free, PHANTOM_FREE);
	phantom_expect(ph, free_pfn + nr_free, ph->nr_pages / 8, PHANTOM_SKIPPABLE);
}

/*
 * A single PageOffline() page that is not skippable, wherever it is, makes
 * isolation for offlining fail with -EBUSY in a kernel zone, and no pageblock
 * stays isolated.
 *
 * In ZONE_MOVABLE, isolation treats every page as movable that is not reserved,
 * so it succeeds. There, scan_movable_pages() refuses the page later.
 */
static void refuses_nonskippable_page_unless_zone_is_movable(struct kunit *test)
{
	const struct offline_skippable_param *param = test->param_value;
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);
	const bool movable = param->online_type == MMOP_ONLINE_MOVABLE;
	struct phantom_snapshot before;

	phantom_set(ph, ph->start_pfn + 1, pageblock_nr_pages - 2, PHANTOM_FREE);
	phantom_set(ph, pfn_at(ph, param), 1, PHANTOM_OFFLINE);
	phantom_snapshot_take(&before);

	KUNIT_EXPECT_EQ(test, movable ? 0 : -EBUSY,
			isolate_phantom(ph, MODE_OFFLINE));
	if (movable)
		undo_isolate_phantom(ph);
	phantom_expect_isolated(ph, 0);
	phantom_expect(ph, pfn_at(ph, param), 1, PHANTOM_OFFLINE);
	phantom_expect(ph, ph->start_pfn + 1, pageblock_nr_pages - 2, PHANTOM_FREE);
	phantom_snapshot_expect(test, &before);
}

static const struct offline_skippable_param other_mode_params[] = {
	IN_MOVABLE_ZONE(", contiguous allocation", .mode = PB_ISOLATE_MODE_OTHER),
	IN_KERNEL_ZONE(", contiguous allocation", .mode = PB_ISOLATE_MODE_OTHER),
	IN_MOVABLE_ZONE(", CMA", .mode = PB_ISOLATE_MODE_CMA_ALLOC),
	IN_KERNEL_ZONE(", CMA", .mode = PB_ISOLATE_MODE_CMA_ALLOC),
};

KUNIT_ARRAY_PARAM_DESC(other_mode, other_mode_params, desc);

/*
 * Skippable pages in a kernel zone cannot be isolated for CMA or for contiguous
 * allocation.
 *
 * In ZONE_MOVABLE they can. There, test_pages_isolated() refuses them later.
 */
static void refuses_other_modes_unless_zone_is_movable(struct kunit *test)
{
	const struct offline_skippable_param *param = test->param_value;
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);
	const bool movable = param->online_type == MMOP_ONLINE_MOVABLE;

	KUNIT_EXPECT_EQ(test, movable ? 0 : -EBUSY,
			isolate_phantom(ph, param->mode));
	if (movable) {
		KUNIT_EXPECT_EQ(test, -EBUSY,
				test_pages_isolated(ph->start_pfn,
						    phantom_end_pfn(ph),
						    param->mode));
		undo_isolate_phantom(ph);
	}
	phantom_expect_isolated(ph, 0);
	phantom_expect(ph, ph->start_pfn, ph->nr_pages, PHANTOM_SKIPPABLE);
}

/**
 * struct edge_param - what is in a pageblock before one that is isolated
 * @desc: in words
 * @folio_across: a folio that begins with it, and is larger
 * @free_across: a free page at its end that is larger
 * @free_order: a free page of that order, if it is not 0
 * @nr_free: so many free pages at its beginning
 * @folio_order: a folio of that order, if it is not 0 ...
 * @folio_at: ... at that offset in pages
 * @lost_tail: and so many pages further a page that looks like one of its pages,
 *	if it is not 0
 */
struct edge_param {
	const char *desc;
	bool folio_across;
	bool free_across;
	unsigned int free_order;
	unsigned long nr_free;
	unsigned int folio_order;
	unsigned long folio_at;
	unsigned long lost_tail;
};

static const struct edge_param edge_params[] = {
	{ "a folio across the edge", .folio_across = true },
	{ "a free page across the edge", .free_across = true },
	{ "a free page across the edge, behind another one", .free_across = true,
	  .nr_free = LARGE_NR_PAGES },
	{ "a free page across the edge, behind a folio", .free_across = true,
	  .folio_order = LARGE_ORDER },
	{ "a free page of an impossible order", .free_order = BITS_PER_LONG },
	{ "a folio that is not aligned to its size", .folio_order = 1, .folio_at = 1 },
	{ "a tail page beyond the end of its folio", .folio_order = LARGE_ORDER,
	  .lost_tail = LARGE_NR_PAGES + 1 },
	{ "a tail page far beyond the end of its folio", .folio_order = LARGE_ORDER,
	  .lost_tail = 2 * LARGE_NR_PAGES - 1 },
};

KUNIT_ARRAY_PARAM_DESC(edge, edge_params, desc);

/* What is read without a lock may look like that. */
static void look_free(struct phantom_memory *ph, unsigned long pfn, unsigned int order)
{
	struct page *page = &phantom_make_folio(ph, pfn, 0)->page;

	set_page_private(page, order);
	__SetPageBuddy(page);
}

static void look_like_tail_of(struct phantom_memory *ph, unsigned long pfn,
			      struct folio *folio)
{
	struct page *page = &phantom_make_folio(ph, pfn, 0)->page;

	/* This word leads to the head page, whatever its name, see compound_head(). */
	page->lru.next = folio_page(folio, 1)->lru.next;
}

/*
 * Online memory in ZONE_MOVABLE, where nobody else allocates what is free. Return the
 * first page of a range of pageblocks that may be a single page.
 */
static unsigned long online_max_order_pages(struct phantom_memory *ph)
{
	unsigned long pfn;

	if (pageblock_order == MAX_PAGE_ORDER)
		kunit_skip(ph->test, "pageblocks are as large as free pages are");
	phantom_online(ph, MMOP_ONLINE_MOVABLE);
	pfn = ALIGN(ph->start_pfn, MAX_ORDER_NR_PAGES);
	if (pfn + MAX_ORDER_NR_PAGES > phantom_end_pfn(ph))
		kunit_skip(ph->test, "a free page of the largest order does not fit");
	return pfn;
}

static void lay_before_edge(struct phantom_memory *ph, const struct edge_param *param,
			    unsigned long pfn)
{
	struct folio *folio;

	if (param->folio_across)
		phantom_make_folio(ph, pfn, pageblock_order + 1);
	if (param->free_across)
		look_free(ph, pfn + pageblock_nr_pages - 1, 1);
	if (param->free_order)
		look_free(ph, pfn + 1, param->free_order);
	phantom_set(ph, pfn, param->nr_free, PHANTOM_FREE);
	if (!param->folio_order)
		return;
	folio = phantom_make_folio(ph, pfn + param->folio_at, param->folio_order);
	if (param->lost_tail)
		look_like_tail_of(ph, pfn + param->lost_tail, folio);
}

/*
 * A pageblock cannot be isolated while a page begins before it that might extend
 * into it, and stays as it was.
 *
 * Half of a page would be isolated then, and half of it would not when it is
 * freed.
 */
static void refuses_pageblock_that_a_page_extends_into(struct kunit *test)
{
	const struct edge_param *param = test->param_value;
	struct phantom_memory *ph = phantom_memory_get(test);
	unsigned long pfn, edge;

	if (!FOLIO_SIZE_IS_CHECKED && !param->folio_across)
		kunit_skip(test, "isolation trusts the size of a page");
	pfn = online_max_order_pages(ph);
	edge = pfn + pageblock_nr_pages;

	KUNIT_EXPECT_EQ(test, 0, start_isolate_page_range(edge, edge + 1, MODE_OFFLINE));
	undo_isolate_page_range(edge, edge + 1);

	lay_before_edge(ph, param, pfn);
	KUNIT_EXPECT_EQ(test, -EBUSY,
			start_isolate_page_range(edge, edge + 1, MODE_OFFLINE));
	phantom_expect_isolated(ph, 0);
}

/*
 * A pageblock in the middle of a gigantic hugetlb folio can be isolated.
 *
 * The folio is migrated then, or dissolved: see alloc_contig_range().
 */
static void pageblock_of_a_gigantic_folio_is_isolated(struct kunit *test)
{
	const unsigned int order = MAX_PAGE_ORDER + 1;
	struct phantom_memory *ph = phantom_memory_get(test);
	unsigned long pfn;

	if (order > MAX_FOLIO_ORDER)
		kunit_skip(test, "there are no gigantic folios");
	phantom_online(ph, MMOP_ONLINE_MOVABLE);
	if (!IS_ALIGNED(ph->start_pfn, 1UL << order))
		kunit_skip(test, "the memory is not aligned to a folio of order %u", order);
	phantom_make_hugetlb_folio(ph, ph->start_pfn, order);
	for (pfn = ph->start_pfn; pfn < phantom_end_pfn(ph); pfn += pageblock_nr_pages) {
		KUNIT_EXPECT_EQ(test, 0, start_isolate_page_range(pfn, pfn + 1, MODE_OFFLINE));
		KUNIT_EXPECT_TRUE(test, is_migrate_isolate_page(pfn_to_page(pfn)));
		KUNIT_EXPECT_EQ(test, 1, ph->zone->nr_isolate_pageblock);
		undo_isolate_page_range(pfn, pfn + 1);
		phantom_expect_isolated(ph, 0);
	}
}

/*
 * A free page of two pageblocks or more is split if one of its pageblocks is isolated,
 * and whole again if that is undone.
 */
static void undoing_isolation_of_a_pageblock_merges_free_pages(struct kunit *test)
{
	const unsigned long nr_pages = MAX_ORDER_NR_PAGES;
	struct phantom_memory *ph = phantom_memory_get(test);
	const unsigned long pfn = online_max_order_pages(ph);
	const unsigned long last = pfn + nr_pages - pageblock_nr_pages;
	struct page *page = pfn_to_page(pfn);
	unsigned long at;

	phantom_set(ph, pfn, nr_pages, PHANTOM_FREE);
	KUNIT_ASSERT_TRUE(test, PageBuddy(page));
	KUNIT_ASSERT_EQ(test, MAX_PAGE_ORDER, buddy_order(page));

	for (at = pfn; at <= last; at += last - pfn) {
		KUNIT_EXPECT_EQ(test, 0,
				start_isolate_page_range(at, at + 1, MODE_OFFLINE));
		KUNIT_EXPECT_TRUE(test, PageBuddy(pfn_to_page(at)));
		KUNIT_EXPECT_EQ(test, pageblock_order, buddy_order(pfn_to_page(at)));
		KUNIT_EXPECT_EQ(test, nr_pages, phantom_nr_free(ph));
		undo_isolate_page_range(at, at + 1);
		phantom_expect_isolated(ph, 0);
		KUNIT_EXPECT_TRUE(test, PageBuddy(page));
		KUNIT_EXPECT_EQ(test, MAX_PAGE_ORDER, buddy_order(page));
	}
}

/*
 * A page in use is not taken for a free one of the order that is in page->private when
 * isolation is undone.
 */
static void undoing_isolation_ignores_private_of_page_in_use(struct kunit *test)
{
	struct phantom_memory *ph = phantom_memory_get(test);
	const unsigned long pfn = online_max_order_pages(ph);
	struct page *page = pfn_to_page(pfn);

	phantom_set(ph, ph->start_pfn, ph->nr_pages, PHANTOM_SKIPPABLE);
	/* Its buddy would be the free pageblock behind it. */
	phantom_set(ph, pfn + pageblock_nr_pages, pageblock_nr_pages, PHANTOM_FREE);
	set_page_private(page, pageblock_order);
	KUNIT_EXPECT_EQ(test, 0, start_isolate_page_range(pfn, pfn + 1, MODE_OFFLINE));
	undo_isolate_page_range(pfn, pfn + 1);
	KUNIT_EXPECT_EQ(test, pageblock_order, page_private(page));
	set_page_private(page, 0);
	phantom_expect(ph, pfn, pageblock_nr_pages, PHANTOM_SKIPPABLE);
	phantom_expect(ph, pfn + pageblock_nr_pages, pageblock_nr_pages, PHANTOM_FREE);
	phantom_expect_isolated(ph, 0);
}

/*
 * alloc_contig_range() over skippable pages fails with -EBUSY and does not
 * change them.
 */
static void contiguous_allocation_fails_over_skippable_pages(struct kunit *test)
{
#ifdef CONFIG_CONTIG_ALLOC
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);
	const unsigned long pfn = ph->start_pfn;

	KUNIT_EXPECT_EQ(test, -EBUSY,
			alloc_contig_range(pfn, pfn + pageblock_nr_pages,
					   ACR_FLAGS_NONE, GFP_KERNEL));
	phantom_expect_isolated(ph, 0);
	phantom_expect(ph, pfn, ph->nr_pages, PHANTOM_SKIPPABLE);
#else
	kunit_skip(test, "CONFIG_CONTIG_ALLOC is not set");
#endif
}

/* The other modes do not matter in ZONE_MOVABLE, see page_is_unmovable(). */
static const struct offline_skippable_param kernel_count_params[] = {
	IN_KERNEL_ZONE(", count 1", .count = 1),
	IN_KERNEL_ZONE(", count 2", .count = 2),
};

KUNIT_ARRAY_PARAM_DESC(kernel_count, kernel_count_params, desc);

/*
 * In a kernel zone, page_is_unmovable() treats a skippable page with references
 * as movable in offlining mode, and as unmovable in the other modes.
 */
static void skippable_page_is_movable_for_offlining_only(struct kunit *test)
{
	const struct offline_skippable_param *param = test->param_value;
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);
	struct page *page = pfn_to_page(ph->start_pfn);

	set_page_count(page, param->count);
	KUNIT_EXPECT_FALSE(test, is_unmovable(ph, page, MODE_OFFLINE));
	KUNIT_EXPECT_TRUE(test, is_unmovable(ph, page, PB_ISOLATE_MODE_OTHER));
	KUNIT_EXPECT_TRUE(test, is_unmovable(ph, page, PB_ISOLATE_MODE_CMA_ALLOC));
}

/*
 * In a kernel zone, page_is_unmovable() treats a PageOffline() page with
 * references that is not skippable as unmovable, whatever the isolation mode.
 */
static void nonskippable_page_is_unmovable(struct kunit *test)
{
	const struct offline_skippable_param *param = test->param_value;
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_OFFLINE);
	struct page *page = pfn_to_page(ph->start_pfn);

	set_page_count(page, param->count);
	expect_unmovable(ph, page);
}

static const struct offline_skippable_param kernel_zone_params[] = {
	IN_KERNEL_ZONE(""),
};

KUNIT_ARRAY_PARAM_DESC(kernel_zone, kernel_zone_params, desc);

/*
 * In a kernel zone, page_is_unmovable() treats a PageOffline() page with a
 * reference count of 0 as movable, skippable or not.
 *
 * A page that was in a balloon and is about to be free looks like that. If it
 * stays like that, scan_movable_pages() refuses it later.
 */
static void offline_page_with_count_0_is_movable(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_OFFLINE);
	struct page *page = pfn_to_page(ph->start_pfn);

	set_page_count(page, 0);
	expect_movable(ph, page, 1);
	SetPageOfflineSkippable(page);
	expect_movable(ph, page, 1);
}

/*
 * In a kernel zone, page_is_unmovable() treats an HWPoison PageOffline() page
 * that is not skippable as movable in offlining mode, like any HWPoison page.
 *
 * scan_movable_pages() refuses it later.
 */
static void hwpoisoned_nonskippable_page_is_movable(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_OFFLINE);
	struct page *page = pfn_to_page(ph->start_pfn);

	if (!IS_ENABLED(CONFIG_MEMORY_FAILURE))
		kunit_skip(test, "CONFIG_MEMORY_FAILURE is not set");

	SetPageHWPoison(page);
	KUNIT_EXPECT_FALSE(test, is_unmovable(ph, page, MODE_OFFLINE));
	KUNIT_EXPECT_TRUE(test, is_unmovable(ph, page, PB_ISOLATE_MODE_OTHER));
	ClearPageHWPoison(page);
}

/*
 * In a kernel zone, page_is_unmovable() treats a page with movable_ops as
 * movable, whether or not it is PageOffline().
 */
static void page_with_movable_ops_is_movable(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_OFFLINE);
	struct page *page = pfn_to_page(ph->start_pfn);
	struct folio *folio = phantom_make_folio(ph, ph->start_pfn + 1, 0);

	set_page_movable_ops(page);
	expect_movable(ph, page, 1);
	/* The flag is ignored. */
	SetPageOfflineSkippable(page);
	expect_movable(ph, page, 1);
	clear_page_movable_ops(page);
	/* Pages of other types can have movable_ops, too. */
	__SetPageZsmalloc(&folio->page);
	set_page_movable_ops(&folio->page);
	expect_movable(ph, &folio->page, 1);
}

/*
 * For isolation of a kernel zone, the bit of PG_offline_skippable means nothing
 * on a page that is not PageOffline().
 */
static void isolation_ignores_the_bit_on_other_pages(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);
	struct page *page = mark_page_in_use(ph->start_pfn);

	KUNIT_EXPECT_TRUE(test, is_unmovable(ph, page, MODE_OFFLINE));
	KUNIT_EXPECT_EQ(test, -EBUSY, isolate_phantom(ph, MODE_OFFLINE));
	phantom_expect_isolated(ph, 0);
	mark_page_offline(page);
}

/* Other kinds of pages, for which the flag changes nothing */

/*
 * page_is_unmovable() treats a reserved page as unmovable, even in
 * ZONE_MOVABLE.
 *
 * Memory holes are among the reserved pages.
 */
static void reserved_page_is_unmovable(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);
	struct folio *folio = phantom_make_folio(ph, ph->start_pfn, 0);

	__SetPageReserved(&folio->page);
	expect_unmovable(ph, &folio->page);
	KUNIT_EXPECT_EQ(test, -EBUSY, isolate_phantom(ph, MODE_OFFLINE));
	phantom_expect_isolated(ph, 0);
}

/*
 * page_is_unmovable() treats a page in use that is not on the LRU as unmovable
 * in a kernel zone, and as movable in ZONE_MOVABLE.
 */
static void page_in_use_is_unmovable_unless_zone_is_movable(struct kunit *test)
{
	const struct offline_skippable_param *param = test->param_value;
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);
	struct folio *folio = phantom_make_folio(ph, ph->start_pfn, 0);

	if (param->online_type == MMOP_ONLINE_MOVABLE)
		expect_movable(ph, &folio->page, 1);
	else
		expect_unmovable(ph, &folio->page);
}

/*
 * In a kernel zone, page_is_unmovable() treats a page with a reference count of
 * 0 as movable, and steps over no other page.
 *
 * Such a page is about to be used or freed. What its last owner left in
 * page->private must not be taken for the order of a free page.
 */
static void page_with_count_0_is_movable(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);
	struct folio *folio = phantom_make_folio(ph, ph->start_pfn, 0);

	set_page_private(&folio->page, pageblock_order);
	set_page_count(&folio->page, 0);
	expect_movable(ph, &folio->page, 1);
}

/*
 * In a kernel zone, page_is_unmovable() treats free pages as movable, and steps
 * over a whole buddy at once.
 */
static void free_pages_are_stepped_over(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);
	struct page *page = pfn_to_page(ph->start_pfn);

	phantom_set(ph, ph->start_pfn, pageblock_nr_pages, PHANTOM_FREE);
	KUNIT_ASSERT_TRUE(test, PageBuddy(page));
	KUNIT_ASSERT_GT(test, buddy_order(page), 0);
	expect_movable(ph, page, 1UL << buddy_order(page));
	/* Only the first page of a buddy knows its order. */
	expect_movable(ph, page + 1, 1);
}

/* In a kernel zone, page_is_unmovable() treats a page on the LRU as movable. */
static void page_on_lru_is_movable(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);
	struct folio *folio = phantom_make_folio(ph, ph->start_pfn, 0);

	folio_set_lru(folio);
	expect_movable(ph, &folio->page, 1);
}

/*
 * In a kernel zone, page_is_unmovable() treats an HWPoison page as movable in
 * offlining mode, and as unmovable in the other modes.
 */
static void hwpoisoned_page_is_movable_for_offlining_only(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);
	struct folio *folio = phantom_make_folio(ph, ph->start_pfn, 0);

	if (!IS_ENABLED(CONFIG_MEMORY_FAILURE))
		kunit_skip(test, "CONFIG_MEMORY_FAILURE is not set");

	SetPageHWPoison(&folio->page);
	KUNIT_EXPECT_FALSE(test, is_unmovable(ph, &folio->page, MODE_OFFLINE));
	KUNIT_EXPECT_TRUE(test, is_unmovable(ph, &folio->page,
					     PB_ISOLATE_MODE_OTHER));
	KUNIT_EXPECT_TRUE(test, is_unmovable(ph, &folio->page,
					     PB_ISOLATE_MODE_CMA_ALLOC));
}

/*
 * In a kernel zone, page_is_unmovable() treats a large folio on the LRU as
 * movable, and steps over the rest of it from any of its pages.
 */
static void large_folio_on_lru_is_stepped_over(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);
	struct folio *folio = phantom_make_folio(ph, ph->start_pfn, LARGE_ORDER);
	unsigned long i;

	folio_set_lru(folio);
	for (i = 0; i < LARGE_NR_PAGES; i++)
		expect_movable(ph, folio_page(folio, i), LARGE_NR_PAGES - i);
}

/*
 * In a kernel zone, page_is_unmovable() treats every page of a large folio that
 * is neither on the LRU nor of hugetlb as unmovable.
 */
static void large_folio_not_on_lru_is_unmovable(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);
	struct folio *folio = phantom_make_folio(ph, ph->start_pfn, LARGE_ORDER);
	unsigned long i;

	for (i = 0; i < LARGE_NR_PAGES; i++)
		expect_unmovable(ph, folio_page(folio, i));
}

/*
 * In a kernel zone, page_is_unmovable() treats a large folio as unmovable if
 * its order is larger than MAX_FOLIO_ORDER.
 *
 * Isolation holds no reference, so the folio may be freed and its memory be
 * used anew while the order is read.
 */
static void large_folio_of_impossible_order_is_unmovable(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);
	struct folio *folio = phantom_make_folio(ph, ph->start_pfn, LARGE_ORDER);

	if (!FOLIO_SIZE_IS_CHECKED)
		kunit_skip(test, "isolation trusts the size of a folio");

	folio_set_lru(folio);
	folio->_flags_1 = (folio->_flags_1 & ~0xffUL) | MAX_FOLIO_ORDER;
	expect_movable(ph, &folio->page,
		       MAX_FOLIO_NR_PAGES - ph->start_pfn % MAX_FOLIO_NR_PAGES);
	folio->_flags_1++;
	expect_unmovable(ph, &folio->page);
}

/*
 * In a kernel zone, page_is_unmovable() treats a hugetlb folio as movable if
 * hugetlb knows its size, and steps over the rest of it.
 */
static void hugetlb_folio_is_stepped_over(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);
	struct folio *folio;
	unsigned int order;

	/*
	 * Use the smallest size that hugetlb has, if phantom memory has room
	 * for it.
	 */
	for (order = 1; order < ilog2(ph->nr_pages); order++) {
		if (size_to_hstate(PAGE_SIZE << order))
			break;
	}
	folio = phantom_make_hugetlb_folio(ph, ph->start_pfn, order);
	if (!size_to_hstate(folio_size(folio)))
		kunit_skip(test, "hugetlb has no folio that is small enough");

	expect_movable(ph, &folio->page, 1UL << order);
	expect_movable(ph, folio_page(folio, 1), (1UL << order) - 1);
	expect_movable(ph, folio_page(folio, (1UL << order) - 1), 1);
}

/*
 * In a kernel zone, page_is_unmovable() treats a hugetlb folio as unmovable if
 * hugetlb does not know its size.
 *
 * Nobody could allocate a folio to migrate it to.
 */
static void hugetlb_folio_of_unknown_size_is_unmovable(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);
	struct folio *folio = phantom_make_hugetlb_folio(ph, ph->start_pfn, 1);

	if (!FOLIO_SIZE_IS_CHECKED)
		kunit_skip(test, "isolation trusts the size of a folio");

	KUNIT_ASSERT_NULL(test, size_to_hstate(folio_size(folio)));
	expect_unmovable(ph, &folio->page);
}

static struct kunit_case offline_skippable_isolation_cases[] = {
	KUNIT_CASE_PARAM(isolates_skippable_pages, zone_gen_params),
	KUNIT_CASE_PARAM(isolates_skippable_pages_among_free_pages,
			 zone_gen_params),
	KUNIT_CASE_PARAM(refuses_nonskippable_page_unless_zone_is_movable,
			 position_gen_params),
	KUNIT_CASE_PARAM(refuses_other_modes_unless_zone_is_movable,
			 other_mode_gen_params),
	KUNIT_CASE_PARAM(contiguous_allocation_fails_over_skippable_pages,
			 zone_gen_params),
	KUNIT_CASE_PARAM(refuses_pageblock_that_a_page_extends_into, edge_gen_params),
	KUNIT_CASE(pageblock_of_a_gigantic_folio_is_isolated),
	KUNIT_CASE(undoing_isolation_ignores_private_of_page_in_use),
	KUNIT_CASE(undoing_isolation_of_a_pageblock_merges_free_pages),
	KUNIT_CASE_PARAM(skippable_page_is_movable_for_offlining_only,
			 kernel_count_gen_params),
	KUNIT_CASE_PARAM(nonskippable_page_is_unmovable, kernel_count_gen_params),
	KUNIT_CASE_PARAM(offline_page_with_count_0_is_movable,
			 kernel_zone_gen_params),
	KUNIT_CASE_PARAM(hwpoisoned_nonskippable_page_is_movable,
			 kernel_zone_gen_params),
	KUNIT_CASE_PARAM(page_with_movable_ops_is_movable, kernel_zone_gen_params),
	KUNIT_CASE_PARAM(isolation_ignores_the_bit_on_other_pages,
			 kernel_zone_gen_params),
	KUNIT_CASE_PARAM(reserved_page_is_unmovable, zone_gen_params),
	KUNIT_CASE_PARAM(page_in_use_is_unmovable_unless_zone_is_movable,
			 zone_gen_params),
	KUNIT_CASE_PARAM(page_with_count_0_is_movable, kernel_zone_gen_params),
	KUNIT_CASE_PARAM(free_pages_are_stepped_over, kernel_zone_gen_params),
	KUNIT_CASE_PARAM(page_on_lru_is_movable, kernel_zone_gen_params),
	KUNIT_CASE_PARAM(hwpoisoned_page_is_movable_for_offlining_only,
			 kernel_zone_gen_params),
	KUNIT_CASE_PARAM(large_folio_on_lru_is_stepped_over,
			 kernel_zone_gen_params),
	KUNIT_CASE_PARAM(large_folio_not_on_lru_is_unmovable,
			 kernel_zone_gen_params),
	KUNIT_CASE_PARAM(large_folio_of_impossible_order_is_unmovable,
			 kernel_zone_gen_params),
	KUNIT_CASE_PARAM(hugetlb_folio_is_stepped_over, kernel_zone_gen_params),
	KUNIT_CASE_PARAM(hugetlb_folio_of_unknown_size_is_unmovable,
			 kernel_zone_gen_params),
	{}
};

static struct kunit_suite offline_skippable_isolation_suite = {
	.name = "offline_skippable_isolation",
	.init = offline_skippable_init,
	.suite_exit = offline_skippable_suite_exit,
	.test_cases = offline_skippable_isolation_cases,
};

/* Testing whether all pages in isolated pageblocks are out of use */

static int test_phantom_isolated(struct phantom_memory *ph,
				 enum pb_isolate_mode mode)
{
	return test_pages_isolated(ph->start_pfn, phantom_end_pfn(ph), mode);
}

/*
 * In offlining mode, test_pages_isolated() accepts a range of skippable pages,
 * of free pages, or of both.
 */
static void accepts_free_and_skippable_pages(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_isolated(test);

	KUNIT_EXPECT_EQ(test, 0, test_phantom_isolated(ph, MODE_OFFLINE));
	phantom_set(ph, ph->start_pfn + 1, ph->nr_pages - 2, PHANTOM_FREE);
	KUNIT_EXPECT_EQ(test, 0, test_phantom_isolated(ph, MODE_OFFLINE));
	phantom_set(ph, ph->start_pfn, 1, PHANTOM_FREE);
	phantom_set(ph, phantom_end_pfn(ph) - 1, 1, PHANTOM_FREE);
	KUNIT_EXPECT_EQ(test, 0, test_phantom_isolated(ph, MODE_OFFLINE));
}

/*
 * test_pages_isolated() refuses a range of which a pageblock, whichever, is not
 * isolated.
 */
static void refuses_pageblock_that_is_not_isolated(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_isolated(test);
	unsigned long pfn;

	for (pfn = ph->start_pfn; pfn < phantom_end_pfn(ph); pfn += pageblock_nr_pages) {
		undo_isolate_page_range(pfn, pfn + pageblock_nr_pages);
		KUNIT_EXPECT_EQ(test, -EBUSY, test_phantom_isolated(ph, MODE_OFFLINE));
		KUNIT_ASSERT_EQ(test, 0,
				start_isolate_page_range(pfn, pfn + pageblock_nr_pages,
							 MODE_OFFLINE));
	}
	KUNIT_EXPECT_EQ(test, 0, test_phantom_isolated(ph, MODE_OFFLINE));
}

/*
 * In offlining mode, test_pages_isolated() accepts a skippable page whatever
 * its reference count.
 */
static void accepts_skippable_page_with_any_count(struct kunit *test)
{
	const struct offline_skippable_param *param = test->param_value;
	struct phantom_memory *ph = phantom_online_isolated(test);

	set_page_count(pfn_to_page(ph->start_pfn + 1), param->count);
	KUNIT_EXPECT_EQ(test, 0, test_phantom_isolated(ph, MODE_OFFLINE));
}

/*
 * In offlining mode, test_pages_isolated() refuses a PageOffline() page that is
 * not skippable whatever its reference count.
 *
 * Before PG_offline_skippable existed, drivers let offlining skip a page by a
 * reference count of 0.
 */
static void refuses_nonskippable_page_with_any_count(struct kunit *test)
{
	const struct offline_skippable_param *param = test->param_value;
	struct phantom_memory *ph = phantom_online_isolated(test);

	phantom_set(ph, ph->start_pfn + 1, 1, PHANTOM_OFFLINE);
	set_page_count(pfn_to_page(ph->start_pfn + 1), param->count);
	KUNIT_EXPECT_EQ(test, -EBUSY, test_phantom_isolated(ph, MODE_OFFLINE));
}

/*
 * In offlining mode, test_pages_isolated() refuses a PageOffline() page that is
 * not skippable wherever it is in the range.
 */
static void refuses_nonskippable_page_anywhere(struct kunit *test)
{
	const struct offline_skippable_param *param = test->param_value;
	struct phantom_memory *ph = phantom_online_isolated(test);

	phantom_set(ph, pfn_at(ph, param), 1, PHANTOM_OFFLINE);
	KUNIT_EXPECT_EQ(test, -EBUSY, test_phantom_isolated(ph, MODE_OFFLINE));
}

/*
 * In offlining mode, test_pages_isolated() refuses a page with movable_ops even
 * if it is marked as skippable.
 *
 * It has to be migrated, or it would be lost with its memory block.
 */
static void refuses_skippable_page_with_movable_ops(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_isolated(test);
	struct page *page = pfn_to_page(ph->start_pfn + 1);

	set_page_movable_ops(page);
	KUNIT_EXPECT_EQ(test, -EBUSY, test_phantom_isolated(ph, MODE_OFFLINE));
	clear_page_movable_ops(page);
}

/*
 * In the modes for CMA and contiguous allocation, test_pages_isolated() refuses
 * a skippable page.
 */
static void refuses_skippable_page_in_other_modes(struct kunit *test)
{
	const struct offline_skippable_param *param = test->param_value;
	struct phantom_memory *ph = phantom_online_isolated(test);

	phantom_set(ph, ph->start_pfn + 1, ph->nr_pages - 1, PHANTOM_FREE);
	KUNIT_EXPECT_EQ(test, -EBUSY, test_phantom_isolated(ph, param->mode));
	phantom_set(ph, ph->start_pfn, 1, PHANTOM_FREE);
	KUNIT_EXPECT_EQ(test, 0, test_phantom_isolated(ph, param->mode));
}

/*
 * test_pages_isolated() accepts an HWPoison page in offlining mode, and refuses
 * it in the other modes.
 */
static void accepts_hwpoisoned_page(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_isolated(test);
	struct page *page;

	if (!IS_ENABLED(CONFIG_MEMORY_FAILURE))
		kunit_skip(test, "CONFIG_MEMORY_FAILURE is not set");

	/* All other pages are free, so this page alone decides in each mode. */
	phantom_set(ph, ph->start_pfn + 1, ph->nr_pages - 1, PHANTOM_FREE);
	page = mark_page_in_use(ph->start_pfn);
	KUNIT_EXPECT_EQ(test, -EBUSY, test_phantom_isolated(ph, MODE_OFFLINE));
	SetPageHWPoison(page);
	KUNIT_EXPECT_EQ(test, 0, test_phantom_isolated(ph, MODE_OFFLINE));
	KUNIT_EXPECT_EQ(test, -EBUSY,
			test_phantom_isolated(ph, PB_ISOLATE_MODE_OTHER));
	KUNIT_EXPECT_EQ(test, -EBUSY,
			test_phantom_isolated(ph, PB_ISOLATE_MODE_CMA_ALLOC));
	ClearPageHWPoison(page);
	mark_page_offline(page);
}

/*
 * For test_pages_isolated(), the bit of PG_offline_skippable means nothing on a
 * page that is not PageOffline().
 */
static void test_isolated_ignores_the_bit_on_other_pages(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_isolated(test);
	struct page *page = mark_page_in_use(ph->start_pfn + 1);

	KUNIT_EXPECT_EQ(test, -EBUSY, test_phantom_isolated(ph, MODE_OFFLINE));
	mark_page_offline(page);
}

static struct kunit_case offline_skippable_test_isolated_cases[] = {
	KUNIT_CASE_PARAM(accepts_free_and_skippable_pages, zone_gen_params),
	KUNIT_CASE_PARAM(refuses_pageblock_that_is_not_isolated, zone_gen_params),
	KUNIT_CASE_PARAM(accepts_skippable_page_with_any_count, count_gen_params),
	KUNIT_CASE_PARAM(refuses_nonskippable_page_with_any_count,
			 count_gen_params),
	KUNIT_CASE_PARAM(refuses_nonskippable_page_anywhere, position_gen_params),
	KUNIT_CASE_PARAM(refuses_skippable_page_with_movable_ops, zone_gen_params),
	KUNIT_CASE_PARAM(refuses_skippable_page_in_other_modes,
			 other_mode_gen_params),
	KUNIT_CASE_PARAM(accepts_hwpoisoned_page, zone_gen_params),
	KUNIT_CASE_PARAM(test_isolated_ignores_the_bit_on_other_pages,
			 zone_gen_params),
	{}
};

static struct kunit_suite offline_skippable_test_isolated_suite = {
	.name = "offline_skippable_test_isolated",
	.init = offline_skippable_init,
	.suite_exit = offline_skippable_suite_exit,
	.test_cases = offline_skippable_test_isolated_cases,
};

/*
 * Every case ends with offlining its memory, which begins with isolation. If
 * isolation is broken, every case fails, so the suites that test it come first.
 */
kunit_test_suites(&offline_skippable_isolation_suite,
		  &offline_skippable_test_isolated_suite,
		  &offline_skippable_flag_suite);
