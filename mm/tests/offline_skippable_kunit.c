// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests for offlining memory that contains skippable pages: the last
 * step, __offline_isolated_pages() (mm/page_alloc.c), and all of it through
 * offline_pages() and the driver core. The last suite checks that nobody else
 * gets to allocate the memory that the tests hotplug.
 */
#include <linux/gfp.h>
#include <linux/irqflags.h>
#include <linux/lockdep.h>
#include <linux/memory.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/notifier.h>
#include <linux/page_ref.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include "offline_skippable.h"

/*
 * Taking isolated pages offline
 */

/**
 * struct offline_layout - which pages of a range are PageOffline()
 * @desc: the layout in words
 * @online_type: the kind of zone
 * @is_offline: whether the page at an offset into the range is
 */
struct offline_layout {
	const char *desc;
	enum mmop online_type;
	bool (*is_offline)(unsigned long offset, unsigned long nr_pages);
};

static bool layout_no_page(unsigned long offset, unsigned long nr_pages)
{
	return false;
}

static bool layout_all_pages(unsigned long offset, unsigned long nr_pages)
{
	return true;
}

static bool layout_first_page(unsigned long offset, unsigned long nr_pages)
{
	return offset == 0;
}

static bool layout_last_page(unsigned long offset, unsigned long nr_pages)
{
	return offset == nr_pages - 1;
}

static bool layout_odd_pageblocks(unsigned long offset, unsigned long nr_pages)
{
	return offset / pageblock_nr_pages % 2;
}

static bool layout_in_max_order(unsigned long offset, unsigned long nr_pages)
{
	return offset == MAX_ORDER_NR_PAGES + MAX_ORDER_NR_PAGES / 2;
}

static bool layout_odd_pages(unsigned long offset, unsigned long nr_pages)
{
	return offset % 2;
}

static const struct offline_layout layouts[] = {
	IN_MOVABLE_ZONE(", no page", .is_offline = layout_no_page),
	IN_KERNEL_ZONE(", no page", .is_offline = layout_no_page),
	IN_MOVABLE_ZONE(", all pages", .is_offline = layout_all_pages),
	IN_KERNEL_ZONE(", all pages", .is_offline = layout_all_pages),
	IN_MOVABLE_ZONE(", the first page", .is_offline = layout_first_page),
	IN_KERNEL_ZONE(", the first page", .is_offline = layout_first_page),
	IN_MOVABLE_ZONE(", the last page", .is_offline = layout_last_page),
	IN_KERNEL_ZONE(", the last page", .is_offline = layout_last_page),
	IN_MOVABLE_ZONE(", every other pageblock",
			.is_offline = layout_odd_pageblocks),
	IN_KERNEL_ZONE(", every other pageblock",
		       .is_offline = layout_odd_pageblocks),
	IN_MOVABLE_ZONE(", a page inside a max-order chunk",
			.is_offline = layout_in_max_order),
	IN_KERNEL_ZONE(", a page inside a max-order chunk",
		       .is_offline = layout_in_max_order),
	IN_MOVABLE_ZONE(", every other page", .is_offline = layout_odd_pages),
	IN_KERNEL_ZONE(", every other page", .is_offline = layout_odd_pages),
};

KUNIT_ARRAY_PARAM_DESC(layout, layouts, desc);

static void expect_sections_online(struct phantom_memory *ph, bool online)
{
	unsigned long pfn;

	for (pfn = ph->start_pfn; pfn < phantom_end_pfn(ph);
	     pfn += PAGES_PER_SECTION)
		KUNIT_EXPECT_EQ(ph->test, online, !!pfn_to_online_page(pfn));
}

/* Take isolated pages offline, of which @nr_offline are PageOffline(). */
static void expect_offlined(struct phantom_memory *ph, unsigned long nr_offline)
{
	KUNIT_EXPECT_EQ(ph->test, ph->nr_pages - nr_offline,
			__offline_isolated_pages(ph->start_pfn,
						 phantom_end_pfn(ph)));
	KUNIT_EXPECT_EQ(ph->test, 0, phantom_nr_free(ph));
	expect_sections_online(ph, false);
	phantom_undo_offline_isolated(ph);
}

/*
 * In any layout of free and skippable pages, __offline_isolated_pages() counts
 * the free pages only, takes them off the free lists, and takes the sections
 * offline.
 */
static void offlining_does_not_count_skippable_pages(struct kunit *test)
{
	const struct offline_layout *layout = test->param_value;
	struct phantom_memory *ph = phantom_memory_get(test);
	unsigned long i, nr_offline = 0;

	phantom_online(ph, layout->online_type);
	phantom_set(ph, ph->start_pfn, ph->nr_pages, PHANTOM_SKIPPABLE);
	for (i = 0; i < ph->nr_pages; i++) {
		if (layout->is_offline(i, ph->nr_pages))
			nr_offline++;
		else
			phantom_set(ph, ph->start_pfn + i, 1, PHANTOM_FREE);
	}
	KUNIT_ASSERT_EQ(test, 0,
			start_isolate_page_range(ph->start_pfn,
						 phantom_end_pfn(ph),
						 PB_ISOLATE_MODE_MEM_OFFLINE));

	expect_sections_online(ph, true);
	expect_offlined(ph, nr_offline);
}

/* WARN*() does nothing without CONFIG_BUG. */
static void require_warnings(struct kunit *test)
{
	if (!IS_ENABLED(CONFIG_BUG))
		kunit_skip(test, "CONFIG_BUG is not set");
}

/*
 * __offline_isolated_pages() warns once about a PageOffline() page that is not
 * skippable, and does not count it.
 */
static void offlining_warns_about_nonskippable_page(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_isolated(test);

	require_warnings(test);
	phantom_set(ph, ph->start_pfn + 1, 1, PHANTOM_OFFLINE);
	kunit_warning_suppress(test) {
		expect_offlined(ph, ph->nr_pages);
		KUNIT_EXPECT_SUPPRESSED_WARNING_COUNT(test, 1);
	}
}

static const struct offline_skippable_param wrong_count_params[] = {
	IN_MOVABLE_ZONE(", count 0", .count = 0),
	IN_KERNEL_ZONE(", count 0", .count = 0),
	IN_MOVABLE_ZONE(", count 2", .count = 2),
	IN_KERNEL_ZONE(", count 2", .count = 2),
};

KUNIT_ARRAY_PARAM_DESC(wrong_count, wrong_count_params, desc);

/*
 * __offline_isolated_pages() warns once about a skippable page with a reference
 * count other than 1, and neither counts nor changes it.
 */
static void offlining_warns_about_skippable_page_with_wrong_count(struct kunit *test)
{
	const struct offline_skippable_param *param = test->param_value;
	struct phantom_memory *ph = phantom_online_isolated(test);

	require_warnings(test);
	set_page_count(pfn_to_page(ph->start_pfn + 1), param->count);
	kunit_warning_suppress(test) {
		expect_offlined(ph, ph->nr_pages);
		KUNIT_EXPECT_SUPPRESSED_WARNING_COUNT(test, 1);
	}
	KUNIT_EXPECT_EQ(test, param->count,
			page_ref_count(pfn_to_page(ph->start_pfn + 1)));
}

/*
 * What a warning is watched for: whether a lock is held that is taken with
 * interrupts off. Without lockdep, these tell; and on x86, they are at a warning
 * as they were before it.
 */
static struct warning_watch {
	bool (*hook)(bool count);
	spinlock_t *lock;	/* that is not to be held */
	unsigned int locked;
} warning_watch;

static bool watch_warning(bool count)
{
	if (count && (IS_ENABLED(CONFIG_LOCKDEP) ?
		      lockdep_is_held(warning_watch.lock) : irqs_disabled()))
		warning_watch.locked++;
	return warning_watch.hook(count);
}

static void unwatch_warnings(void *unused)
{
	WRITE_ONCE(*kunit_warning_hook(), warning_watch.hook);
}

/*
 * __offline_isolated_pages() warns without zone->lock held.
 */
static void offlining_warns_without_zone_lock(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_isolated(test);

	require_warnings(test);
	if (!kunit_warning_hook())
		kunit_skip(test, "KUnit calls nothing at a warning");
	if (!IS_ENABLED(CONFIG_LOCKDEP) && !IS_ENABLED(CONFIG_X86))
		kunit_skip(test, "a warning does not tell of locks without lockdep");

	warning_watch = (struct warning_watch) {
		.hook = *kunit_warning_hook(),
		.lock = &ph->zone->lock,
	};
	WRITE_ONCE(*kunit_warning_hook(), watch_warning);
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, unwatch_warnings, NULL));

	phantom_set(ph, ph->start_pfn + 1, 1, PHANTOM_OFFLINE);
	set_page_count(pfn_to_page(ph->start_pfn + 2), 2);
	kunit_warning_suppress(test) {
		expect_offlined(ph, ph->nr_pages);
		KUNIT_EXPECT_SUPPRESSED_WARNING_COUNT(test, 2);
	}
	KUNIT_EXPECT_EQ(test, 0, warning_watch.locked);
}

/*
 * __offline_isolated_pages() does not count a skippable page that is HWPoison.
 */
static void offlining_does_not_count_hwpoisoned_skippable_page(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_isolated(test);

	if (!IS_ENABLED(CONFIG_MEMORY_FAILURE))
		kunit_skip(test, "CONFIG_MEMORY_FAILURE is not set");

	SetPageHWPoison(pfn_to_page(ph->start_pfn + 1));
	expect_offlined(ph, ph->nr_pages);
}

/*
 * __offline_isolated_pages() counts HWPoison pages in the buddy and in use,
 * because they are managed.
 */
static void offlining_counts_other_hwpoisoned_pages(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_isolated(test);
	struct page *free, *used;

	if (!IS_ENABLED(CONFIG_MEMORY_FAILURE))
		kunit_skip(test, "CONFIG_MEMORY_FAILURE is not set");

	phantom_set(ph, ph->start_pfn, pageblock_nr_pages, PHANTOM_FREE);
	free = pfn_to_page(ph->start_pfn);
	used = mark_page_in_use(ph->start_pfn + pageblock_nr_pages);
	SetPageHWPoison(free);
	SetPageHWPoison(used);
	KUNIT_EXPECT_EQ(test, pageblock_nr_pages + 1,
			__offline_isolated_pages(ph->start_pfn,
						 phantom_end_pfn(ph)));
	KUNIT_EXPECT_EQ(test, 0, phantom_nr_free(ph));
	ClearPageHWPoison(free);
	phantom_undo_offline_isolated(ph);
	ClearPageHWPoison(used);
	mark_page_offline(used);
}

/*
 * __offline_isolated_pages() counts a free page even if it has the bit of
 * PG_offline_skippable set.
 */
static void offlining_counts_free_page_with_the_bit(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_isolated(test);

	phantom_set(ph, ph->start_pfn, pageblock_nr_pages, PHANTOM_FREE);
	set_bit(PG_offline_skippable, page_flags_word(pfn_to_page(ph->start_pfn)));
	expect_offlined(ph, ph->nr_pages - pageblock_nr_pages);
}

static struct kunit_case offline_skippable_offline_cases[] = {
	KUNIT_CASE_PARAM(offlining_does_not_count_skippable_pages,
			 layout_gen_params),
	KUNIT_CASE_PARAM(offlining_warns_about_nonskippable_page, zone_gen_params),
	KUNIT_CASE_PARAM(offlining_warns_about_skippable_page_with_wrong_count,
			 wrong_count_gen_params),
	KUNIT_CASE_PARAM(offlining_warns_without_zone_lock, zone_gen_params),
	KUNIT_CASE_PARAM(offlining_does_not_count_hwpoisoned_skippable_page,
			 zone_gen_params),
	KUNIT_CASE_PARAM(offlining_counts_other_hwpoisoned_pages, zone_gen_params),
	KUNIT_CASE_PARAM(offlining_counts_free_page_with_the_bit, zone_gen_params),
	{}
};

static struct kunit_suite offline_skippable_offline_suite = {
	.name = "offline_skippable_offline",
	.init = offline_skippable_hotplug_init,
	.suite_exit = offline_skippable_suite_exit,
	.test_cases = offline_skippable_offline_cases,
};

/* All of offlining */

/**
 * struct hotplug_observer - a memory notifier, which can also act as a driver
 * @nb: the notifier
 * @ph: the memory that it is about
 * @nr_events: how many events it has seen
 * @events: the first of these events
 * @count: the lowest and the highest reference count of PageOffline() pages in
 *	MEM_GOING_OFFLINE
 * @veto: whether to refuse offlining
 * @extra_reference: a page to drop a reference to in MEM_OFFLINE, or NULL
 * @old_protocol: whether to drop the references of PageOffline() pages in
 *	MEM_GOING_OFFLINE, and to get them back in MEM_CANCEL_OFFLINE
 */
struct hotplug_observer {
	struct notifier_block nb;
	struct phantom_memory *ph;
	unsigned int nr_events;
	unsigned long events[4];
	struct {
		int min;
		int max;
	} count;
	bool veto;
	struct page *extra_reference;
	bool old_protocol;
};

static void record_ref_counts(struct hotplug_observer *observer)
{
	unsigned long pfn;

	observer->count.min = INT_MAX;
	observer->count.max = INT_MIN;
	for (pfn = observer->ph->start_pfn; pfn < phantom_end_pfn(observer->ph);
	     pfn++) {
		struct page *page = pfn_to_page(pfn);
		int count = page_ref_count(page);

		if (!PageOffline(page))
			continue;
		observer->count.min = min(observer->count.min, count);
		observer->count.max = max(observer->count.max, count);
	}
}

static void add_to_ref_counts(struct phantom_memory *ph, int nr)
{
	unsigned long pfn;

	for (pfn = ph->start_pfn; pfn < phantom_end_pfn(ph); pfn++) {
		if (PageOffline(pfn_to_page(pfn)))
			page_ref_add(pfn_to_page(pfn), nr);
	}
}

static int observer_notify(struct notifier_block *nb, unsigned long event,
			   void *arg)
{
	struct hotplug_observer *observer =
		container_of(nb, struct hotplug_observer, nb);
	const struct memory_notify *notify = arg;
	struct phantom_memory *ph = observer->ph;

	KUNIT_EXPECT_EQ(ph->test, ph->start_pfn, notify->start_pfn);
	KUNIT_EXPECT_EQ(ph->test, ph->nr_pages, notify->nr_pages);
	if (observer->nr_events < ARRAY_SIZE(observer->events))
		observer->events[observer->nr_events] = event;
	observer->nr_events++;

	switch (event) {
	case MEM_GOING_OFFLINE:
		record_ref_counts(observer);
		if (observer->old_protocol)
			add_to_ref_counts(ph, -1);
		if (observer->veto)
			return notifier_from_errno(-EPERM);
		break;
	case MEM_CANCEL_OFFLINE:
		if (observer->old_protocol)
			add_to_ref_counts(ph, 1);
		break;
	case MEM_OFFLINE:
		if (observer->extra_reference) {
			put_page(observer->extra_reference);
			phantom_expect(ph, page_to_pfn(observer->extra_reference),
				       1, PHANTOM_SKIPPABLE);
		}
		break;
	}
	return NOTIFY_OK;
}

static void unregister_observer(void *nb)
{
	unregister_memory_notifier(nb);
}

static struct hotplug_observer *register_observer(struct phantom_memory *ph)
{
	struct hotplug_observer *observer;

	observer = kunit_kzalloc(ph->test, sizeof(*observer), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(ph->test, observer);
	observer->ph = ph;
	observer->nb.notifier_call = observer_notify;
	KUNIT_ASSERT_EQ(ph->test, 0, register_memory_notifier(&observer->nb));
	KUNIT_ASSERT_EQ(ph->test, 0,
			kunit_add_action_or_reset(ph->test, unregister_observer,
						  &observer->nb));
	return observer;
}

/* Expect that offlining succeeded, or that it was refused after it began. */
static void expect_events(struct hotplug_observer *observer, bool offline)
{
	struct kunit *test = observer->ph->test;

	KUNIT_EXPECT_EQ(test, 2, observer->nr_events);
	KUNIT_EXPECT_EQ(test, MEM_GOING_OFFLINE, observer->events[0]);
	KUNIT_EXPECT_EQ(test, offline ? MEM_OFFLINE : MEM_CANCEL_OFFLINE,
			observer->events[1]);
	KUNIT_EXPECT_EQ(test, PHANTOM_PAGE_COUNT, observer->count.min);
	KUNIT_EXPECT_EQ(test, PHANTOM_PAGE_COUNT, observer->count.max);
}

/* Make the first quarter of a memory block free, and the rest skippable. */
static void free_first_quarter(struct phantom_memory *ph)
{
	phantom_set(ph, ph->start_pfn, ph->nr_pages / 4, PHANTOM_FREE);
	phantom_set(ph, ph->start_pfn + ph->nr_pages / 4, ph->nr_pages / 4 * 3,
		    PHANTOM_SKIPPABLE);
}

static void expect_first_quarter_free(struct phantom_memory *ph)
{
	phantom_expect(ph, ph->start_pfn, ph->nr_pages / 4, PHANTOM_FREE);
	phantom_expect(ph, ph->start_pfn + ph->nr_pages / 4,
		       ph->nr_pages / 4 * 3, PHANTOM_SKIPPABLE);
}

/*
 * Expect the counters to be what they were with all of @ph @offline, plus what
 * its online part adds to them, with @nr_free pages of it in the buddy.
 */
static void expect_snapshot_online(struct phantom_memory *ph,
				   const struct phantom_snapshot *offline,
				   unsigned long nr_free)
{
	struct phantom_snapshot online = *offline;
	const int i = zone_idx(ph->zone);

	online.zone[i].free += nr_free;
	online.zone[i].managed += nr_free;
	online.zone[i].present += ph->nr_pages;
	online.node_present += ph->nr_pages;
	online.totalram += nr_free;
	/*
	 * There may be a hole between the memory and what was spanned before.
	 */
	online.zone[i].spanned = phantom_end_pfn(ph) - ph->zone->zone_start_pfn;
	online.node_spanned = phantom_end_pfn(ph) -
			      NODE_DATA(ph->nid)->node_start_pfn;
	phantom_snapshot_expect(ph->test, &online);
}

/*
 * When a memory block is added, onlined, offlined, onlined and offlined again,
 * and removed, all counters are right after each step, and onlining never makes
 * pages skippable.
 */
static void counters_are_right_at_each_step_of_hotplug(struct kunit *test)
{
	const struct offline_skippable_param *param = test->param_value;
	struct phantom_snapshot without, offline, now;
	struct phantom_memory *ph;

	phantom_snapshot_take(&without);
	ph = phantom_memory_add(test, memory_block_size_bytes());
	phantom_snapshot_take(&now);
	KUNIT_EXPECT_NE(test, without.resources, now.resources);
	offline = without;
	offline.resources = now.resources;
	offline.nr_memory_blocks++;
	phantom_snapshot_expect(test, &offline);

	phantom_block_online(ph, param->online_type);
	free_first_quarter(ph);
	expect_snapshot_online(ph, &offline, ph->nr_pages / 4);

	KUNIT_ASSERT_EQ(test, 0, phantom_block_offline(ph));
	phantom_snapshot_expect(test, &offline);

	/* The flag does not come back by itself. */
	phantom_block_online(ph, param->online_type);
	phantom_expect(ph, ph->start_pfn, ph->nr_pages, PHANTOM_OFFLINE);
	phantom_set(ph, ph->start_pfn, ph->nr_pages, PHANTOM_FREE);
	phantom_expect(ph, ph->start_pfn, ph->nr_pages, PHANTOM_FREE);
	expect_snapshot_online(ph, &offline, ph->nr_pages);

	KUNIT_ASSERT_EQ(test, 0, phantom_block_offline(ph));
	phantom_snapshot_expect(test, &offline);
}

/*
 * offline_and_remove_memory() succeeds for a memory block with free and
 * skippable pages.
 */
static void offline_and_remove_memory_skips_pages(struct kunit *test)
{
	const struct offline_skippable_param *param = test->param_value;
	struct phantom_snapshot without;
	struct phantom_memory *ph;

	phantom_snapshot_take(&without);
	ph = phantom_memory_add(test, memory_block_size_bytes());
	phantom_block_online(ph, param->online_type);
	free_first_quarter(ph);
	KUNIT_ASSERT_EQ(test, 0, phantom_block_offline_and_remove(ph));
	phantom_snapshot_expect(test, &without);
}

/*
 * offline_and_remove_memory() fails with -EBUSY and changes nothing if one
 * PageOffline() page of the memory block is not skippable.
 */
static void offline_and_remove_memory_needs_the_flag(struct kunit *test)
{
	const struct offline_skippable_param *param = test->param_value;
	struct phantom_memory *ph = phantom_memory_get(test);
	struct phantom_snapshot online;

	phantom_block_online(ph, param->online_type);
	free_first_quarter(ph);
	phantom_set(ph, phantom_end_pfn(ph) - 1, 1, PHANTOM_OFFLINE);
	phantom_snapshot_take(&online);
	KUNIT_EXPECT_EQ(test, -EBUSY,
			offline_and_remove_memory(PFN_PHYS(ph->start_pfn),
						  PFN_PHYS(ph->nr_pages)));
	KUNIT_EXPECT_EQ(test, MEM_ONLINE, ph->block->state);
	phantom_snapshot_expect(test, &online);
	phantom_set(ph, phantom_end_pfn(ph) - 1, 1, PHANTOM_SKIPPABLE);
	expect_first_quarter_free(ph);
}

/*
 * device_offline() fails with -EBUSY and changes nothing if one PageOffline()
 * page of the memory block is not skippable, and succeeds once it is.
 */
static void nonskippable_page_blocks_offlining_until_marked(struct kunit *test)
{
	const struct offline_skippable_param *param = test->param_value;
	struct phantom_memory *ph = phantom_memory_get(test);
	struct phantom_snapshot offline, online;

	phantom_snapshot_take(&offline);
	phantom_block_online(ph, param->online_type);
	free_first_quarter(ph);
	phantom_set(ph, phantom_end_pfn(ph) - 1, 1, PHANTOM_OFFLINE);
	phantom_snapshot_take(&online);

	KUNIT_EXPECT_EQ(test, -EBUSY, phantom_block_offline(ph));
	KUNIT_EXPECT_EQ(test, MEM_ONLINE, ph->block->state);
	phantom_expect_isolated(ph, 0);
	phantom_snapshot_expect(test, &online);
	phantom_expect(ph, ph->start_pfn, ph->nr_pages / 4, PHANTOM_FREE);
	phantom_expect(ph, phantom_end_pfn(ph) - 1, 1, PHANTOM_OFFLINE);

	phantom_set(ph, phantom_end_pfn(ph) - 1, 1, PHANTOM_SKIPPABLE);
	KUNIT_ASSERT_EQ(test, 0, phantom_block_offline(ph));
	phantom_snapshot_expect(test, &offline);
}

/* Free pages of memory that could not be offlined can still be allocated. */
static void refused_memory_is_still_usable(struct kunit *test)
{
#ifdef CONFIG_CONTIG_ALLOC
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);
	int ret;

	if (want_init_on_alloc(0))
		kunit_skip(test, "init_on_alloc writes to allocated pages");

	phantom_set(ph, ph->start_pfn, pageblock_nr_pages, PHANTOM_FREE);
	phantom_set(ph, phantom_end_pfn(ph) - 1, 1, PHANTOM_OFFLINE);
	KUNIT_EXPECT_EQ(test, -EBUSY, phantom_offline(ph));

	ret = alloc_contig_range(ph->start_pfn,
				 ph->start_pfn + pageblock_nr_pages,
				 ACR_FLAGS_NONE, GFP_KERNEL);
	KUNIT_EXPECT_EQ(test, 0, ret);
	if (!ret)
		free_contig_range(ph->start_pfn, pageblock_nr_pages);
#else
	kunit_skip(test, "CONFIG_CONTIG_ALLOC is not set");
#endif
}

/*
 * Memory notifiers hear MEM_GOING_OFFLINE and MEM_OFFLINE with the exact range,
 * and see that skippable pages still have their reference when memory is going
 * offline.
 */
static void notifiers_see_pages_with_their_reference(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);
	struct hotplug_observer *observer = register_observer(ph);

	KUNIT_ASSERT_EQ(test, 0, phantom_offline(ph));
	expect_events(observer, true);
}

/*
 * If a memory notifier refuses MEM_GOING_OFFLINE, offline_pages() fails with
 * the error of the notifier, and all pages and counters are as before.
 */
static void notifier_vetoes_offlining(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);
	struct hotplug_observer *observer;
	struct phantom_snapshot online;

	phantom_set(ph, ph->start_pfn, pageblock_nr_pages, PHANTOM_FREE);
	phantom_snapshot_take(&online);
	observer = register_observer(ph);
	observer->veto = true;

	KUNIT_EXPECT_EQ(test, -EPERM, phantom_offline(ph));
	expect_events(observer, false);
	phantom_expect_isolated(ph, 0);
	phantom_snapshot_expect(test, &online);
	phantom_expect(ph, ph->start_pfn, pageblock_nr_pages, PHANTOM_FREE);
	phantom_expect(ph, ph->start_pfn + pageblock_nr_pages,
		       ph->nr_pages - pageblock_nr_pages, PHANTOM_SKIPPABLE);
	observer->veto = false;
}

/*
 * If a driver drops its references in MEM_GOING_OFFLINE instead of making the
 * pages skippable, offline_pages() fails with -EBUSY, and the driver keeps all
 * of its pages.
 *
 * In a kernel zone, isolation refuses the pages, so offlining does not begin.
 * In ZONE_MOVABLE, the driver drops its references, to no avail, and restores
 * them in MEM_CANCEL_OFFLINE.
 */
static void old_protocol_is_refused_and_loses_nothing(struct kunit *test)
{
	const struct offline_skippable_param *param = test->param_value;
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_OFFLINE);
	struct hotplug_observer *observer;
	struct phantom_snapshot online;

	phantom_set(ph, ph->start_pfn, pageblock_nr_pages, PHANTOM_FREE);
	phantom_snapshot_take(&online);
	observer = register_observer(ph);
	observer->old_protocol = true;

	KUNIT_EXPECT_EQ(test, -EBUSY, phantom_offline(ph));
	if (param->online_type == MMOP_ONLINE_MOVABLE)
		expect_events(observer, false);
	else
		KUNIT_EXPECT_EQ(test, 0, observer->nr_events);
	phantom_expect_isolated(ph, 0);
	phantom_snapshot_expect(test, &online);
	phantom_expect(ph, ph->start_pfn, pageblock_nr_pages, PHANTOM_FREE);
	phantom_expect(ph, ph->start_pfn + pageblock_nr_pages,
		       ph->nr_pages - pageblock_nr_pages, PHANTOM_OFFLINE);
	observer->old_protocol = false;
}

/*
 * Offlining warns once about a skippable page to which somebody else holds a
 * reference, and dropping that reference later does not free the page.
 *
 * The reference is dropped in MEM_OFFLINE, because the memmap is poisoned after
 * that in some configurations.
 */
static void extra_reference_does_not_free_the_page(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);
	struct page *page = pfn_to_page(ph->start_pfn + 1);
	struct hotplug_observer *observer = register_observer(ph);

	require_warnings(test);
	get_page(page);
	observer->extra_reference = page;
	kunit_warning_suppress(test) {
		KUNIT_EXPECT_EQ(test, 0, phantom_offline(ph));
		KUNIT_EXPECT_SUPPRESSED_WARNING_COUNT(test, 1);
	}
	KUNIT_EXPECT_EQ(test, PHANTOM_PAGE_COUNT + 1, observer->count.max);
}

/*
 * A memory block with a skippable page that is HWPoison goes offline, and
 * onlining it again fails with -EHWPOISON.
 */
static void block_with_poisoned_page_goes_offline_for_good(struct kunit *test)
{
	const struct offline_skippable_param *param = test->param_value;
	struct phantom_snapshot offline;
	struct phantom_memory *ph;
	unsigned long pfn;
	int ret;

	if (!IS_ENABLED(CONFIG_MEMORY_FAILURE))
		kunit_skip(test, "CONFIG_MEMORY_FAILURE is not set");

	ph = phantom_memory_add(test, memory_block_size_bytes());
	phantom_snapshot_take(&offline);
	phantom_block_online(ph, param->online_type);
	free_first_quarter(ph);
	pfn = phantom_end_pfn(ph) - 1;
	memory_failure(pfn, MF_SW_SIMULATED);
	KUNIT_EXPECT_TRUE(test, PageHWPoison(pfn_to_page(pfn)));
	phantom_expect(ph, pfn, 1, PHANTOM_SKIPPABLE);

	KUNIT_ASSERT_EQ(test, 0, phantom_block_offline(ph));
	phantom_snapshot_expect(test, &offline);
	ret = phantom_device_online(ph->start, param->online_type);
	KUNIT_EXPECT_EQ(test, -EHWPOISON, ret);
	if (!ret)
		phantom_device_offline(ph->start);
}

/*
 * After each of 200 rounds of onlining and offlining memory with skippable
 * pages, all counters are what they were before.
 */
static void counters_do_not_drift_over_200_rounds(struct kunit *test)
{
	const struct offline_skippable_param *param = test->param_value;
	struct phantom_memory *ph = phantom_memory_get(test);
	struct phantom_snapshot offline, online;
	int i;

	phantom_snapshot_take(&offline);
	for (i = 0; i < 200; i++) {
		phantom_online(ph, param->online_type);
		free_first_quarter(ph);
		if (!i)
			phantom_snapshot_take(&online);
		else
			phantom_snapshot_expect(test, &online);
		KUNIT_ASSERT_EQ_MSG(test, 0, phantom_offline(ph), "round %d", i);
		phantom_snapshot_expect(test, &offline);
	}
}

static struct kunit_case offline_skippable_cases[] = {
	KUNIT_CASE_PARAM(counters_are_right_at_each_step_of_hotplug,
			 zone_gen_params),
	KUNIT_CASE_PARAM(offline_and_remove_memory_skips_pages, zone_gen_params),
	KUNIT_CASE_PARAM(offline_and_remove_memory_needs_the_flag,
			 zone_gen_params),
	KUNIT_CASE_PARAM(nonskippable_page_blocks_offlining_until_marked,
			 zone_gen_params),
	KUNIT_CASE_PARAM(refused_memory_is_still_usable, zone_gen_params),
	KUNIT_CASE_PARAM(notifiers_see_pages_with_their_reference,
			 zone_gen_params),
	KUNIT_CASE_PARAM(notifier_vetoes_offlining, zone_gen_params),
	KUNIT_CASE_PARAM(old_protocol_is_refused_and_loses_nothing,
			 zone_gen_params),
	KUNIT_CASE_PARAM(extra_reference_does_not_free_the_page, zone_gen_params),
	KUNIT_CASE_PARAM(block_with_poisoned_page_goes_offline_for_good,
			 zone_gen_params),
	KUNIT_CASE_PARAM(counters_do_not_drift_over_200_rounds, zone_gen_params),
	{}
};

static struct kunit_suite offline_skippable_suite = {
	.name = "offline_skippable",
	.init = offline_skippable_hotplug_init,
	.suite_exit = offline_skippable_suite_exit,
	.test_cases = offline_skippable_cases,
};

/* Phantom memory, which all of these suites rely on */

struct allocated_pages {
	struct list_head pages;
};

static void free_allocated_pages(void *arg)
{
	struct allocated_pages *allocated = arg;
	struct page *page, *next;

	list_for_each_entry_safe(page, next, &allocated->pages, lru)
		__free_page(page);
}

/*
 * While phantom_guard() is active, no allocation takes phantom memory, even if
 * all of it is free.
 */
static void phantom_memory_is_never_allocated(struct kunit *test)
{
	static const gfp_t gfps[] = {
		GFP_KERNEL, GFP_ATOMIC, GFP_NOWAIT, GFP_HIGHUSER_MOVABLE,
	};
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_FREE);
	struct allocated_pages *allocated;
	int i;

	allocated = kunit_kmalloc(test, sizeof(*allocated), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, allocated);
	INIT_LIST_HEAD(&allocated->pages);
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, free_allocated_pages,
						  allocated));

	/*
	 * More pages than the pcplists may have, so that some come from zones.
	 */
	for (i = 0; i < 1024; i++) {
		struct page *page = alloc_page(gfps[i % ARRAY_SIZE(gfps)]);

		KUNIT_ASSERT_NOT_NULL(test, page);
		list_add(&page->lru, &allocated->pages);
		KUNIT_ASSERT_PTR_NE(test, ph->zone, page_zone(page));
	}
	phantom_expect(ph, ph->start_pfn, ph->nr_pages, PHANTOM_FREE);
}

struct online_work {
	struct work_struct work;
	u64 start;
	int ret;
};

static void online_memory_block(struct work_struct *work)
{
	struct online_work *ow = container_of(work, struct online_work, work);

	ow->ret = phantom_device_online(ow->start, MMOP_ONLINE_MOVABLE);
}

/*
 * Nobody but a test case can online phantom memory, as a rule of udev might.
 */
static void phantom_memory_is_not_onlined_by_others(struct kunit *test)
{
	struct online_work ow = { .start = phantom_memory_get(test)->start };

	INIT_WORK_ONSTACK(&ow.work, online_memory_block);
	schedule_work(&ow.work);
	flush_work(&ow.work);
	destroy_work_on_stack(&ow.work);

	KUNIT_EXPECT_EQ(test, -EPERM, ow.ret);
	if (!ow.ret)
		KUNIT_EXPECT_EQ(test, 0, phantom_device_offline(ow.start));
}

static struct kunit_case offline_skippable_phantom_cases[] = {
	KUNIT_CASE_PARAM(phantom_memory_is_never_allocated, zone_gen_params),
	KUNIT_CASE(phantom_memory_is_not_onlined_by_others),
	{}
};

static struct kunit_suite offline_skippable_phantom_suite = {
	.name = "offline_skippable_phantom",
	.init = offline_skippable_hotplug_init,
	.suite_exit = offline_skippable_suite_exit,
	.test_cases = offline_skippable_phantom_cases,
};

/*
 * For readers of the results, suites for parts of offlining come before those
 * for all of it. The last suite also fails if offlining is broken, but says
 * less about the reason.
 */
kunit_test_suites(&offline_skippable_offline_suite,
		  &offline_skippable_suite,
		  &offline_skippable_phantom_suite);

MODULE_DESCRIPTION("KUnit tests for offlining memory with skippable pages");
MODULE_LICENSE("GPL");
