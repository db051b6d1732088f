// SPDX-License-Identifier: GPL-2.0
/*
 * Phantom memory for KUnit tests, see include/kunit/phantom_memory.h: its pages,
 * wherever they are from.
 */
#include <kunit/phantom_memory.h>
#include <kunit/test-bug.h>
#include <kunit/test.h>
#include <linux/delay.h>
#include <linux/device/driver.h>
#include <linux/gfp.h>
#include <linux/initrd.h>
#include <linux/ioport.h>
#include <linux/jhash.h>
#include <linux/memory.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/notifier.h>
#include <linux/page-isolation.h>
#include <linux/page_owner.h>
#include <linux/page_ref.h>
#include <linux/printk.h>
#include <linux/slab.h>
#include <linux/swap.h>
#include <linux/vmstat.h>

#include "../internal.h"
#include <kunit/memory_compat.h>
#include "phantom_memory.h"

#undef MODULE_PARAM_PREFIX
#define MODULE_PARAM_PREFIX "phantom_memory."

static bool running_system;
module_param(running_system, bool, 0644);
MODULE_PARM_DESC(running_system,
		 "Hotplug memory that does not exist even if user space may notice");

/* Shared by the test cases of a suite, see phantom_memory_get(). */
static struct phantom_memory *phantom_shared;

/* The zones of the node that phantom_guard() guards */
static bool phantom_guards[MAX_NR_ZONES];

/*
 * More pages than a zone can have, even after __zone_watermark_ok() has taken
 * fractions of it and has added up a few of these.
 */
#define PHANTOM_GUARD	(LONG_MAX / 4)

/* The node that phantom memory is in. */
int phantom_nid(void)
{
	return first_memory_node;
}

static void phantom_guard_raise(void)
{
	int i, j;

	for (i = 0; i < MAX_NR_ZONES; i++) {
		struct zone *zone = &NODE_DATA(phantom_nid())->node_zones[i];

		if (!phantom_guards[i])
			continue;
		guard(spinlock_irqsave)(&zone->lock);
		zone->lowmem_reserve[i] = PHANTOM_GUARD;
		for (j = 0; j < NR_WMARK; j++)
			zone->_watermark[j] = PHANTOM_GUARD;
	}
}

static int phantom_guard_notify(struct notifier_block *nb, unsigned long event,
				void *arg)
{
	if (event == MEM_ONLINE || event == MEM_OFFLINE)
		phantom_guard_raise();
	return NOTIFY_OK;
}

/* Called first, before other notifiers may allocate memory. */
static struct notifier_block phantom_guard_nb = {
	.notifier_call = phantom_guard_notify,
	.priority = INT_MAX,
};

static void phantom_guard_drop(void *unused)
{
	int i;

	unregister_memory_notifier(&phantom_guard_nb);
	for (i = 0; i < MAX_NR_ZONES; i++) {
		struct zone *zone = &NODE_DATA(phantom_nid())->node_zones[i];

		if (!phantom_guards[i])
			continue;
		/* No zone has a reserve from allocations meant for it. */
		scoped_guard(spinlock_irqsave, &zone->lock)
			zone->lowmem_reserve[i] = 0;
		phantom_guards[i] = false;
	}
	/* Not those from before: what they depend on may have changed. */
	setup_per_zone_wmarks();
}

/**
 * phantom_guarded() - is phantom memory all that its zone has?
 * @ph: the phantom memory, something of which is online
 *
 * Return: whether nobody but the test case takes pages from the zone, or gives
 *	any back to it.
 */
bool phantom_guarded(const struct phantom_memory *ph)
{
	return phantom_guards[zone_idx(ph->zone)];
}

/**
 * phantom_guard() - keep the page allocator from handing out phantom memory
 * @test: the test case; the guard is dropped when it ends
 *
 * No allocation takes a page from a zone if that left fewer free pages than its
 * watermark and what it keeps in reserve from higher zones: see
 * __zone_watermark_ok(). Raise both in all zones that have no memory yet, which
 * will be those of phantom memory. Zones that have memory cannot be guarded.
 *
 * Onlining and offlining set up the watermarks again, but not what a zone has
 * in reserve from allocations that are meant for it: see
 * setup_per_zone_lowmem_reserve(). So there is no moment in which kernel
 * allocations could take phantom memory, and the watermarks are raised again,
 * for the sake of others, by a memory notifier.
 *
 * Two kinds of allocations do not obey watermarks. Those that reclaim needs,
 * ALLOC_NO_WATERMARKS, try all other zones first, and phantom_find_range() sees
 * to it that these are not short of memory. And alloc_contig_pages() takes any
 * range that is free; while the kernel boots, nobody but test cases calls it.
 * Should one of them take a page of phantom memory, then the test case fails.
 *
 * Context: May sleep.
 */
void phantom_guard(struct kunit *test)
{
	int i;

	for (i = 0; i < MAX_NR_ZONES; i++) {
		struct zone *zone = &NODE_DATA(phantom_nid())->node_zones[i];

		phantom_guards[i] = !zone_managed_pages(zone);
	}
	phantom_guard_raise();
	KUNIT_ASSERT_EQ(test, 0, register_memory_notifier(&phantom_guard_nb));
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, phantom_guard_drop, NULL));
}

static int hash_resource(struct resource *res, void *arg)
{
	u32 *hash = arg;

	*hash = jhash(&res->start, sizeof(res->start), *hash);
	*hash = jhash(&res->end, sizeof(res->end), *hash);
	*hash = jhash(&res->flags, sizeof(res->flags), *hash);
	return 0;
}

/*
 * Where others have memory, they isolate pageblocks, too, but not for long: see
 * alloc_contig_range() and offline_pages().
 */
static unsigned long nr_isolated(const struct zone *zone, bool is_shared)
{
	unsigned long nr;
	int i;

	for (i = 0; (nr = READ_ONCE(zone->nr_isolate_pageblock)) && is_shared && i < 100; i++)
		usleep_range(USEC_PER_MSEC, 2 * USEC_PER_MSEC);
	return nr;
}

/**
 * phantom_snapshot_take() - remember the counters of memory hotplug
 * @snapshot: where to store them
 *
 * Context: May sleep.
 */
void phantom_snapshot_take(struct phantom_snapshot *snapshot)
{
	pg_data_t *pgdat = NODE_DATA(phantom_nid());
	int i;

	memset(snapshot, 0, sizeof(*snapshot));
	for (i = 0; i < MAX_NR_ZONES; i++) {
		struct zone *zone = &pgdat->node_zones[i];

		snapshot->zone[i].managed = zone_managed_pages(zone);
		snapshot->zone[i].present = zone->present_pages;
		snapshot->zone[i].spanned = zone->spanned_pages;
		snapshot->zone[i].isolated = nr_isolated(zone, !phantom_guards[i]);
		snapshot->zone[i].watermark = min_wmark_pages(zone);
		/* Pages that are freed one by one are not counted as free at once. */
		if (phantom_guards[i] && populated_zone(zone))
			drain_all_pages(zone);
		snapshot->zone[i].free = zone_page_state_snapshot(zone, NR_FREE_PAGES);
	}
	snapshot->node_present = pgdat->node_present_pages;
	snapshot->node_spanned = pgdat->node_spanned_pages;
	snapshot->totalram = totalram_pages();
	snapshot->nr_memory_blocks = phantom_count_memory_blocks();
	walk_iomem_res_desc(IORES_DESC_NONE, 0, 0, -1, &snapshot->resources,
			    hash_resource);
}

/**
 * phantom_snapshot_expect() - compare the counters of memory hotplug
 * @test: the test case, which fails if they differ
 * @expected: what the counters should be
 *
 * Context: May sleep.
 */
void phantom_snapshot_expect(struct kunit *test,
			     const struct phantom_snapshot *expected)
{
	pg_data_t *pgdat = NODE_DATA(phantom_nid());
	struct phantom_snapshot now;
	int i;

	phantom_snapshot_take(&now);
	for (i = 0; i < MAX_NR_ZONES; i++) {
		const char *name = pgdat->node_zones[i].name;

		KUNIT_EXPECT_EQ_MSG(test, expected->zone[i].managed,
				    now.zone[i].managed, "zone %s", name);
		KUNIT_EXPECT_EQ_MSG(test, expected->zone[i].present,
				    now.zone[i].present, "zone %s", name);
		KUNIT_EXPECT_EQ_MSG(test, expected->zone[i].spanned,
				    now.zone[i].spanned, "zone %s", name);
		KUNIT_EXPECT_EQ_MSG(test, expected->zone[i].isolated,
				    now.zone[i].isolated, "zone %s", name);
		if (!phantom_guards[i] && now.zone[i].managed)
			continue;
		KUNIT_EXPECT_EQ_MSG(test, expected->zone[i].free,
				    now.zone[i].free, "zone %s", name);
		if (phantom_guards[i])
			continue;
		KUNIT_EXPECT_EQ_MSG(test, expected->zone[i].watermark,
				    now.zone[i].watermark, "zone %s", name);
	}
	KUNIT_EXPECT_EQ(test, expected->node_present, now.node_present);
	KUNIT_EXPECT_EQ(test, expected->node_spanned, now.node_spanned);
	KUNIT_EXPECT_EQ(test, expected->totalram, now.totalram);
	KUNIT_EXPECT_EQ(test, expected->nr_memory_blocks, now.nr_memory_blocks);
	KUNIT_EXPECT_EQ(test, expected->resources, now.resources);
}

static void expect_snapshot_action(void *arg)
{
	struct kunit *test = kunit_get_current_test();

	phantom_snapshot_expect(test, arg);
}

/**
 * phantom_snapshot_expect_at_end() - compare counters when the test case ends
 * @test: the test case, which fails if the counters differ from what they are
 *	now after everything registered from now on got undone
 *
 * Context: May sleep.
 */
void phantom_snapshot_expect_at_end(struct kunit *test)
{
	struct phantom_snapshot *now;

	now = kunit_kmalloc(test, sizeof(*now), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, now);
	phantom_snapshot_take(now);
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action(test, expect_snapshot_action, now));
}

/*
 * Skip a test case once user space runs. Otherwise wait for what changes the
 * counters of memory hotplug while the kernel boots: the memory of an initrd is
 * freed, and devices are probed.
 */
void phantom_require_boot(struct kunit *test)
{
	if (!running_system && system_state >= SYSTEM_RUNNING)
		kunit_skip(test, "user space runs, and no phantom_memory.running_system");

	wait_for_initramfs();
	wait_for_device_probe();
}

/**
 * phantom_memory_get() - get phantom memory that the test cases share
 * @test: the test case. It is skipped if the system cannot have phantom memory.
 *
 * Adding and removing a memory block takes longer than most test cases, so it
 * is done once per suite. Where memory cannot be hotplugged, it is borrowed from
 * the page allocator, see phantom_is_borrowed().
 *
 * Context: May sleep.
 * Return: the phantom memory, all of it offline, large enough for the layouts
 *	that phantom_online() makes room for.
 */
struct phantom_memory *phantom_memory_get(struct kunit *test)
{
	if (!phantom_shared) {
		const char *obstacle = phantom_hotplug_obstacle();

		phantom_shared = obstacle ? phantom_borrow(test, obstacle) :
					    phantom_hotplug(test);
	}
	phantom_shared->test = test;
	return phantom_shared;
}

/**
 * phantom_memory_put() - give back the phantom memory of phantom_memory_get()
 *
 * For the suite_exit() of every suite that uses phantom_memory_get().
 *
 * Context: May sleep.
 */
void phantom_memory_put(void)
{
	if (!phantom_shared)
		return;
	if (WARN_ON_ONCE(phantom_shared->provider->release(phantom_shared)))
		pr_err("phantom memory of KUnit stays in the system\n");
	else
		kfree(phantom_shared);
	phantom_shared = NULL;
}

/**
 * phantom_online() - online a few pageblocks of phantom memory
 * @ph: the phantom memory; nothing of it must be online
 * @online_type: MMOP_ONLINE_MOVABLE or MMOP_ONLINE_KERNEL
 *
 * Onlines PHANTOM_NR_PAGES pages, or more where the architecture has it so.
 *
 * Aborts the test case on errors. The pages go offline when it ends.
 *
 * Context: May sleep.
 */
void phantom_online(struct phantom_memory *ph, enum mmop online_type)
{
	KUNIT_ASSERT_NULL_MSG(ph->test, ph->zone, "already online");
	ph->provider->online(ph, online_type);
}

/*
 * Give PageOffline() pages to the buddy, to the end of its lists, where they are
 * the last to be allocated.
 */
static void phantom_free(struct page *page, unsigned int order)
{
#ifdef CONFIG_MEMORY_HOTPLUG
	/*
	 * Memory that goes offline takes along what is known about allocations in it,
	 * but not a part of a section. They must not be taken for freed once more.
	 */
	set_page_owner(page, order, GFP_KERNEL);
	generic_online_page(page, order);
#else
	const unsigned long nr_pages = 1UL << order;
	unsigned long i;

	for (i = 0; i < nr_pages; i++) {
		__ClearPageOffline(page + i);
		set_page_count(page + i, 0);
	}
	adjust_managed_page_count(page, nr_pages);
	guard(spinlock_irqsave)(&page_zone(page)->lock);
	__putback_isolated_page(page, order, get_pageblock_migratetype(page));
#endif
}

/* Give PageOffline() pages to the buddy, in chunks as large as possible. */
static void phantom_give_to_buddy(struct phantom_memory *ph, unsigned long pfn,
				  unsigned long nr_pages)
{
	const unsigned long end_pfn = pfn + nr_pages;

	if (!phantom_guarded(ph) && !phantom_is_borrowed(ph))
		kunit_skip(ph->test, "zone %s has other memory that is needed",
			   ph->zone->name);
	while (pfn < end_pfn) {
		unsigned int order = min_t(unsigned int, pageblock_order,
					   __ffs(pfn));

		while (pfn + (1UL << order) > end_pfn)
			order--;
		phantom_free(pfn_to_page(pfn), order);
		pfn += 1UL << order;
	}
}

/**
 * phantom_set() - change the state of phantom pages
 * @ph: the phantom memory
 * @pfn: the first page
 * @nr_pages: number of pages, none of which may be PHANTOM_FREE
 * @state: what they become. The test case is skipped if that is PHANTOM_FREE
 *	and the zone has other memory, which the system cannot do without. (But
 *	anybody may allocate memory that is borrowed.)
 *
 * Context: Any, but for PHANTOM_FREE: may sleep.
 */
void phantom_set(struct phantom_memory *ph, unsigned long pfn,
		 unsigned long nr_pages, enum phantom_state state)
{
	unsigned long i;

	for (i = 0; i < nr_pages; i++) {
		if (state == PHANTOM_SKIPPABLE)
			SetPageOfflineSkippable(pfn_to_page(pfn + i));
		else
			ClearPageOfflineSkippable(pfn_to_page(pfn + i));
	}
	if (state == PHANTOM_FREE)
		phantom_give_to_buddy(ph, pfn, nr_pages);
}

static bool phantom_page_is(const struct page *page, enum phantom_state state,
			    bool in_buddy)
{
	if (state == PHANTOM_FREE)
		return (in_buddy || is_free_buddy_page(page)) &&
		       !PageOffline(page) && !PageOfflineSkippable(page);

	return PageOffline(page) && page_ref_count(page) == PHANTOM_PAGE_COUNT &&
	       PageOfflineSkippable(page) == (state == PHANTOM_SKIPPABLE);
}

/**
 * phantom_expect() - expect a state of phantom pages
 * @ph: the phantom memory; its test case fails if a page has another state
 * @pfn: the first page
 * @nr_pages: number of pages
 * @state: the expected state, which includes the reference count. If it is
 *	PHANTOM_FREE, the pcplists are drained first.
 *
 * Context: Any, but for PHANTOM_FREE: may sleep.
 */
void phantom_expect(struct phantom_memory *ph, unsigned long pfn,
		    unsigned long nr_pages, enum phantom_state state)
{
	static const char * const name[] = {
		[PHANTOM_OFFLINE] = "offline",
		[PHANTOM_SKIPPABLE] = "offline and skippable",
		[PHANTOM_FREE] = "free",
	};
	unsigned long i, end_of_free = 0;

	if (state == PHANTOM_FREE)
		drain_all_pages(page_zone(pfn_to_page(pfn)));
	for (i = 0; i < nr_pages; i++) {
		struct page *page = pfn_to_page(pfn + i);

		/*
		 * Do not make is_free_buddy_page() search for the first page of
		 * a buddy again and again.
		 */
		if (PageBuddy(page))
			end_of_free = i + (1UL << buddy_order(page));
		if (phantom_page_is(page, state, i < end_of_free))
			continue;
		KUNIT_FAIL(ph->test,
			   "page %lu of %lu is not %s: flags %pGp, type %#x, count %d",
			   i, nr_pages, name[state], page_flags_word(page),
			   page->page_type, page_ref_count(page));
		break;
	}
}

/**
 * phantom_expect_isolated() - expect that pageblocks are isolated
 * @ph: the phantom memory; its test case fails if it is not as expected
 * @nr_pageblocks: how many pageblocks, from the first one on, are isolated. No
 *	others in the zone are.
 */
void phantom_expect_isolated(struct phantom_memory *ph,
			     unsigned long nr_pageblocks)
{
	unsigned long pfn, i = 0;

	KUNIT_EXPECT_EQ(ph->test, nr_pageblocks, ph->zone->nr_isolate_pageblock);
	for (pfn = ph->start_pfn; pfn < phantom_end_pfn(ph);
	     pfn += pageblock_nr_pages, i++)
		KUNIT_EXPECT_EQ_MSG(ph->test, i < nr_pageblocks,
				    is_migrate_isolate_page(pfn_to_page(pfn)),
				    "pageblock %lu", i);
}

/**
 * phantom_nr_free() - count the phantom pages that are in the buddy
 * @ph: the phantom memory
 *
 * Return: number of pages.
 */
unsigned long phantom_nr_free(struct phantom_memory *ph)
{
	unsigned long pfn = ph->start_pfn, nr_free = 0;

	guard(spinlock_irqsave)(&ph->zone->lock);
	while (pfn < phantom_end_pfn(ph)) {
		struct page *page = pfn_to_page(pfn);
		unsigned long step = 1;

		if (PageBuddy(page)) {
			step = 1UL << buddy_order(page);
			nr_free += step;
		}
		pfn += step;
	}
	return nr_free;
}

/*
 * Make pages PageOffline() that are neither in the buddy nor in use any more.
 */
void phantom_make_offline(unsigned long pfn, unsigned long nr_pages)
{
	adjust_managed_page_count(pfn_to_page(pfn), -nr_pages);
	for (; nr_pages--; pfn++) {
		set_page_count(pfn_to_page(pfn), PHANTOM_PAGE_COUNT);
		__SetPageOffline(pfn_to_page(pfn));
	}
}

/* What phantom_make_folio() has to undo. */
struct phantom_folio {
	struct page *pages;
	size_t size;
	struct page before[];
};

static void phantom_unmake_folio(void *arg)
{
	const struct phantom_folio *folio = arg;

	memcpy(folio->pages, folio->before, folio->size);
}

/**
 * phantom_make_folio() - turn offline pages into a folio in use
 * @ph: the phantom memory; its test case is skipped if it is too small
 * @pfn: the first page, aligned to the size of the folio
 * @order: the order of the folio. None of its pages may be PHANTOM_FREE.
 *
 * The folio has no contents and is on no list, so it may only be looked at.
 * When the test case ends, its pages become what they were before.
 *
 * Context: May sleep.
 * Return: the folio, in use with a reference count of 1, and not on the LRU.
 */
struct folio *phantom_make_folio(struct phantom_memory *ph, unsigned long pfn,
				 unsigned int order)
{
	const unsigned long nr_pages = 1UL << order;
	struct page *pages = pfn_to_page(pfn);
	struct phantom_folio *folio;
	unsigned long i;

	if (pfn + nr_pages > phantom_end_pfn(ph))
		kunit_skip(ph->test, "there is no room for a folio of order %u",
			   order);
	folio = kunit_kmalloc(ph->test, struct_size(folio, before, nr_pages),
			      GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(ph->test, folio);
	folio->pages = pages;
	folio->size = flex_array_size(folio, before, nr_pages);
	memcpy(folio->before, pages, folio->size);
	KUNIT_ASSERT_EQ(ph->test, 0,
			kunit_add_action_or_reset(ph->test, phantom_unmake_folio,
						  folio));

	for (i = 0; i < nr_pages; i++) {
		ClearPageOfflineSkippable(pages + i);
		__ClearPageOffline(pages + i);
		set_page_count(pages + i, i ? 0 : 1);
	}
	if (order)
		prep_compound_page(pages, order);
	return page_folio(pages);
}

/* Take a free page of phantom memory from the buddy. Needs the zone lock. */
static unsigned long phantom_take_from_buddy(struct zone *zone,
					     struct page *page)
{
	const unsigned long min_wmark = zone->_watermark[WMARK_MIN];
	unsigned long nr_pages;

	/*
	 * __isolate_free_page() obeys the watermark, which phantom_guard()
	 * raised.
	 */
	zone->_watermark[WMARK_MIN] = LONG_MIN / 4;
	nr_pages = __isolate_free_page(page, buddy_order(page));
	zone->_watermark[WMARK_MIN] = min_wmark;

	phantom_make_offline(page_to_pfn(page), nr_pages);
	return nr_pages;
}

/*
 * Make all pages PageOffline() again, none of them in the buddy or isolated.
 * If one of them was allocated, the test case fails, and so does this.
 */
int phantom_make_all_offline(struct phantom_memory *ph)
{
	struct zone *zone = ph->zone;
	unsigned long pfn, step;
	int ret = 0;

	/* Pages may have been allocated and freed by the test case. */
	drain_all_pages(zone);

	for (pfn = ph->start_pfn; pfn < phantom_end_pfn(ph); pfn += step) {
		struct page *page = pfn_to_page(pfn);

		step = 1;
		scoped_guard(spinlock_irqsave, &zone->lock) {
			if (PageBuddy(page))
				step = phantom_take_from_buddy(zone, page);
		}
		if (PageHWPoison(page) && !PageOffline(page))
			__SetPageOffline(page);
		ClearPageHWPoison(page);
		if (!PageOffline(page)) {
			KUNIT_FAIL(ph->test, "pfn %#lx is in use", pfn);
			ret = -EBUSY;
			break;
		}
		set_page_count(page, PHANTOM_PAGE_COUNT);
	}
	undo_isolate_page_range(ph->start_pfn, phantom_end_pfn(ph));
	return ret;
}

static void phantom_offline_action(void *arg)
{
	struct phantom_memory *ph = arg;
	int ret = phantom_make_all_offline(ph);

	/*
	 * Nobody should be using memory that does not exist. If somebody is,
	 * offlining tells.
	 */
	if (!ret || !phantom_is_borrowed(ph))
		ret = ph->provider->offline(ph);
	KUNIT_EXPECT_EQ_MSG(ph->test, 0, ret, "phantom memory stays online");
	if (!ret)
		return;

	/*
	 * The memory stays online. Keep it out of the buddy, and let later test
	 * cases use other memory.
	 */
	phantom_make_all_offline(ph);
	if (ph == phantom_shared)
		phantom_shared = NULL;
}

/**
 * phantom_offline_by_force() - offline what is online, whatever state it is in
 * @ph: the phantom memory; its test case fails if pages of it are in use
 *
 * As at the end of the test case, for one that goes on after a failure.
 *
 * Context: May sleep.
 */
void phantom_offline_by_force(struct phantom_memory *ph)
{
	if (ph->zone)
		kunit_release_action(ph->test, phantom_offline_action, ph);
}

/* Have @ph, which went online, go offline again when the test case ends. */
void phantom_went_online(struct phantom_memory *ph)
{
	KUNIT_ASSERT_EQ(ph->test, 0,
			kunit_add_action_or_reset(ph->test,
						  phantom_offline_action, ph));
}

/* Forget the online part of @ph, which is offline now. */
void phantom_went_offline(struct phantom_memory *ph)
{
	ph->zone = NULL;
	kunit_remove_action(ph->test, phantom_offline_action, ph);
}
