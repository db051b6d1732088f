/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the suites for PageOfflineSkippable() share: the parameters of their
 * test cases, and their fixture.
 */
#ifndef _MM_TESTS_OFFLINE_SKIPPABLE_H
#define _MM_TESTS_OFFLINE_SKIPPABLE_H

#include <kunit/memory_compat.h>
#include <kunit/phantom_memory.h>
#include <kunit/test.h>
#include <linux/log2.h>
#include <linux/page-flags.h>
#include <linux/page-isolation.h>
#include <linux/sched/signal.h>
#include <linux/timer.h>

/**
 * struct offline_skippable_param - a variant of a test case
 * @desc: the variant in words
 * @online_type: the kind of zone that phantom memory is onlined to
 * @where: the position of a page in a range, see pfn_at()
 * @count: the reference count of a page
 * @mode: the isolation mode
 */
struct offline_skippable_param {
	const char *desc;
	enum mmop online_type;
	enum { FIRST, MIDDLE, LAST } where;
	int count;
	enum pb_isolate_mode mode;
};

#define IN_MOVABLE_ZONE(variant, ...)						\
	{ .desc = "ZONE_MOVABLE" variant, .online_type = MMOP_ONLINE_MOVABLE,	\
	  ##__VA_ARGS__ }
#define IN_KERNEL_ZONE(variant, ...)						\
	{ .desc = "kernel zone" variant, .online_type = MMOP_ONLINE_KERNEL,	\
	  ##__VA_ARGS__ }

static const struct offline_skippable_param zone_params[] = {
	IN_MOVABLE_ZONE(""),
	IN_KERNEL_ZONE(""),
};

__maybe_unused KUNIT_ARRAY_PARAM_DESC(zone, zone_params, desc);

static const struct offline_skippable_param position_params[] = {
	IN_MOVABLE_ZONE(", first page", .where = FIRST),
	IN_KERNEL_ZONE(", first page", .where = FIRST),
	IN_MOVABLE_ZONE(", a middle page", .where = MIDDLE),
	IN_KERNEL_ZONE(", a middle page", .where = MIDDLE),
	IN_MOVABLE_ZONE(", last page", .where = LAST),
	IN_KERNEL_ZONE(", last page", .where = LAST),
};

__maybe_unused KUNIT_ARRAY_PARAM_DESC(position, position_params, desc);

static const struct offline_skippable_param count_params[] = {
	IN_MOVABLE_ZONE(", count 0", .count = 0),
	IN_KERNEL_ZONE(", count 0", .count = 0),
	IN_MOVABLE_ZONE(", count 1", .count = 1),
	IN_KERNEL_ZONE(", count 1", .count = 1),
	IN_MOVABLE_ZONE(", count 2", .count = 2),
	IN_KERNEL_ZONE(", count 2", .count = 2),
};

__maybe_unused KUNIT_ARRAY_PARAM_DESC(count, count_params, desc);

/**
 * pfn_at() - the page that a variant of a test case is about
 * @ph: the phantom memory
 * @param: the variant
 *
 * Return: the pfn of a page in the online part of @ph.
 */
static inline unsigned long pfn_at(const struct phantom_memory *ph,
				   const struct offline_skippable_param *param)
{
	switch (param->where) {
	case FIRST:
		return ph->start_pfn;
	case MIDDLE:
		return ph->start_pfn + ph->nr_pages / 2 + 1;
	default:
		return phantom_end_pfn(ph) - 1;
	}
}

/**
 * phantom_online_as() - online shared phantom memory, all of it in one state
 * @test: the test case, whose parameter tells the zone
 * @state: the state of all pages
 *
 * Context: May sleep.
 * Return: the phantom memory, see phantom_memory_get() and phantom_online().
 */
static inline struct phantom_memory *
phantom_online_as(struct kunit *test, enum phantom_state state)
{
	const struct offline_skippable_param *param = test->param_value;
	struct phantom_memory *ph = phantom_memory_get(test);

	phantom_online(ph, param->online_type);
	phantom_set(ph, ph->start_pfn, ph->nr_pages, state);
	return ph;
}

/**
 * phantom_online_isolated() - online shared phantom memory, and isolate it
 * @test: the test case, whose parameter tells the zone
 *
 * Isolates it for offlining.
 *
 * Context: May sleep.
 * Return: the phantom memory. All pages are PHANTOM_SKIPPABLE, because in a
 *	kernel zone other pages could not be isolated.
 */
static inline struct phantom_memory *phantom_online_isolated(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);

	KUNIT_ASSERT_EQ(test, 0,
			start_isolate_page_range(ph->start_pfn,
						 phantom_end_pfn(ph),
						 PB_ISOLATE_MODE_MEM_OFFLINE));
	return ph;
}

/**
 * mark_page_in_use() - make an offline page look like a page in use
 * @pfn: the page, which is PageOffline()
 *
 * Return: the page, which is not PageOffline(), but has the bit of
 *	PG_offline_skippable set, as if that meant something else to its user.
 */
static inline struct page *mark_page_in_use(unsigned long pfn)
{
	struct page *page = pfn_to_page(pfn);

	__ClearPageOffline(page);
	set_bit(PG_offline_skippable, page_flags_word(page));
	return page;
}

/**
 * mark_page_offline() - undo mark_page_in_use()
 * @page: the page; it becomes PageOffline() without the flag
 */
static inline void mark_page_offline(struct page *page)
{
	clear_bit(PG_offline_skippable, page_flags_word(page));
	__SetPageOffline(page);
}

/* The size of large folios in the test cases, small enough to fit anywhere. */
#define LARGE_NR_PAGES	4
#define LARGE_ORDER	ilog2(LARGE_NR_PAGES)

/**
 * phantom_make_hugetlb_folio() - phantom_make_folio() for hugetlb
 * @ph: the phantom memory; its test case is skipped if there is no hugetlb
 * @pfn: the first page, aligned to the size of the folio
 * @order: the order of the folio, which need not be one that hugetlb has
 *
 * Context: May sleep.
 * Return: the folio, which is not migratable.
 */
static inline struct folio *
phantom_make_hugetlb_folio(struct phantom_memory *ph, unsigned long pfn,
			   unsigned int order)
{
#ifdef CONFIG_HUGETLB_PAGE
	struct folio *folio = phantom_make_folio(ph, pfn, order);

	__folio_set_hugetlb(folio);
	return folio;
#else
	kunit_skip(ph->test, "CONFIG_HUGETLB_PAGE is not set");
#endif
}

/**
 * give_up() - have offlining fail with -EINTR, as user space can by a signal
 * @task: the task that offlines memory, between patience_begin() and
 *	patience_end()
 *
 * Context: Any.
 */
static inline void give_up(struct task_struct *task)
{
	send_sig(SIGUSR1, task, 0);
}

/**
 * struct patience - how long a test case waits for offlining
 * @timer: when it gives up
 * @task: the task that offlines memory
 */
struct patience {
	struct timer_list timer;
	struct task_struct *task;
};

static inline void patience_is_over(struct timer_list *timer)
{
	struct patience *patience = timer_container_of(patience, timer, timer);

	give_up(patience->task);
}

/**
 * patience_begin() - see to it that offlining comes to an end
 * @patience: where to keep track, on the stack
 *
 * Offlining tries forever to get rid of pages. From now on, the task that calls
 * this can be sent a signal to give up, which happens after five seconds.
 *
 * Context: Task.
 */
static inline void patience_begin(struct patience *patience)
{
	patience->task = current;
	allow_signal(SIGUSR1);
	timer_setup_on_stack(&patience->timer, patience_is_over, 0);
	mod_timer(&patience->timer, jiffies + 5 * HZ);
}

/**
 * patience_end() - undo patience_begin()
 * @patience: what was passed to patience_begin() by the same task
 *
 * Context: Task.
 */
static inline void patience_end(struct patience *patience)
{
	timer_delete_sync(&patience->timer);
	timer_destroy_on_stack(&patience->timer);
	disallow_signal(SIGUSR1);
	flush_signals(current);
}

/**
 * offline_skippable_init() - the init function of all suites
 * @test: the test case, which is skipped if there cannot be phantom memory.
 *	When it ends, all counters of memory hotplug have to be what they are
 *	now.
 *
 * Context: May sleep.
 * Return: 0.
 */
static inline int offline_skippable_init(struct kunit *test)
{
	phantom_memory_get(test);
	phantom_snapshot_expect_at_end(test);
	phantom_guard(test);
	return 0;
}

/**
 * offline_skippable_hotplug_init() - the init function of suites that offline
 * @test: the test case, which is skipped if there is no memory to be offlined
 *
 * Context: May sleep.
 * Return: 0.
 */
static inline int offline_skippable_hotplug_init(struct kunit *test)
{
	phantom_require_hotplugged(phantom_memory_get(test));
	return offline_skippable_init(test);
}

/**
 * offline_skippable_suite_exit() - the suite_exit function of all suites
 * @suite: the suite
 *
 * Context: May sleep.
 */
static inline void offline_skippable_suite_exit(struct kunit_suite *suite)
{
	phantom_memory_put();
}

#endif /* _MM_TESTS_OFFLINE_SKIPPABLE_H */
