/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What older kernels call otherwise, or lack, by the names of newer ones: the
 * suites for memory hotplug know the latter only.
 *
 * Where a kernel lets the preprocessor see whether it has something, that
 * decides, so that backports do no harm; elsewhere, the version does.
 */
#ifndef _KUNIT_MEMORY_COMPAT_H
#define _KUNIT_MEMORY_COMPAT_H

#include <kunit/test.h>
#include <kunit/test-bug.h>
#include <linux/bug.h>
#include <linux/gfp.h>
#include <linux/hrtimer.h>
#include <linux/kmsg_dump.h>
#include <linux/memory.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/page-flags.h>
#include <linux/page-isolation.h>
#include <linux/pageblock-flags.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/timer.h>
#include <linux/version.h>
#include <linux/vmalloc.h>
#include <linux/vmstat.h>

#if __has_include("linux/hrtimer_bases.h")
#include <linux/hrtimer_bases.h>
#endif

#if __has_include("linux/balloon.h")
#include <linux/balloon.h>
#else
#include <linux/balloon_compaction.h>
#endif

/* Of internal.h, for files that include it, some became a header of its own. */
#if defined(__MM_INTERNAL_H) && __has_include("../../mm/page_alloc.h")
#include "../../mm/page_alloc.h"
#endif

/**
 * page_flags_word() - the flags of a page, for bit operations
 * @page: the page
 *
 * Return: a pointer to its flags, which are in a structure of their own in
 *	newer kernels.
 */
static inline unsigned long *page_flags_word(const struct page *page)
{
	return (unsigned long *)&page->flags;
}

/* Are pages in balloons migrated? */
#define BALLOON_PAGES_MIGRATE					\
	(IS_ENABLED(CONFIG_BALLOON_MIGRATION) ||		\
	 IS_ENABLED(CONFIG_BALLOON_COMPACTION))

#if !__has_include("linux/balloon.h")
/* It is drivers that do. */
static inline void balloon_count_managed_pages(struct balloon_dev_info *balloon)
{
}

static inline void balloon_page_replace(struct balloon_dev_info *balloon,
					struct page *newpage, struct page *page)
{
	get_page(newpage);
	scoped_guard(spinlock_irqsave, &balloon->pages_lock) {
		balloon_page_insert(balloon, newpage);
		balloon->isolated_pages--;
	}
	balloon_page_finalize(page);
	put_page(page);
}
#else
/**
 * balloon_count_managed_pages() - have pages in a balloon not count as managed
 * @balloon: the balloon
 */
static inline void balloon_count_managed_pages(struct balloon_dev_info *balloon)
{
	balloon->adjust_managed_page_count = true;
}

/**
 * balloon_page_replace() - what migration of a balloon page leaves to the driver
 * @balloon: the balloon
 * @newpage: the page that is to be in the balloon
 * @page: the page that was in the balloon, and is isolated
 *
 * Newer kernels leave nothing to the driver.
 *
 * Context: Called by the driver's migratepage().
 */
static inline void balloon_page_replace(struct balloon_dev_info *balloon,
					struct page *newpage, struct page *page)
{
}
#endif

#ifndef kzalloc_obj
#define kzalloc_obj(obj)	kzalloc(sizeof(obj), GFP_KERNEL)
#endif

#ifndef timer_container_of
#define timer_container_of	from_timer
#define timer_destroy_on_stack	destroy_timer_on_stack
#endif

#ifndef EMPTY_VMA_FLAGS
#define EMPTY_VMA_FLAGS	0
#endif

/* Whoever adds memory may say that it cannot be accessed until it is online. */
#ifdef MHP_OFFLINE_INACCESSIBLE
#define mhp_init_memmap_on_memory(pfn, nr_pages, zone)				\
	mhp_init_memmap_on_memory(pfn, nr_pages, zone, false)
#endif

/*
 * Do isolation and scan make sure that the size of a folio is possible, which
 * they read without a reference?
 */
#ifdef MEMORY_OFFLINE
#define FOLIO_SIZE_IS_CHECKED	false
#else
#define FOLIO_SIZE_IS_CHECKED	true
#endif

/* Do pageblocks get their migratetype back when they are no longer isolated? */
#ifdef MEMORY_OFFLINE
#define ISOLATION_KEEPS_MIGRATETYPE	false

/* An isolated pageblock gets its migratetype from undo_isolate_page_range(). */
static inline void init_pageblock_migratetype(struct page *page, int migratetype,
					      bool isolate)
{
	if (!isolate)
		set_pageblock_migratetype(page, migratetype);
}

/* Not counted yet. */
#define NR_FREE_PAGES_BLOCKS	NR_FREE_PAGES

/* Pageblocks are isolated by others than who moves them to a zone. */
#define move_pfn_range_to_zone(zone, start_pfn, nr_pages, altmap, migratetype,	\
			       isolate)						\
do {										\
	(void)(isolate);							\
	move_pfn_range_to_zone(zone, start_pfn, nr_pages, altmap, migratetype);	\
} while (0)
#else
#define ISOLATION_KEEPS_MIGRATETYPE	true
#endif

#if KERNEL_VERSION(6, 13, 0) > LINUX_VERSION_CODE
static inline void
hrtimer_setup_on_stack(struct hrtimer *timer,
		       enum hrtimer_restart (*function)(struct hrtimer *),
		       clockid_t clock_id, enum hrtimer_mode mode)
{
	hrtimer_init_on_stack(timer, clock_id, mode);
	timer->function = function;
}
#endif

/* Can who adds memory of a driver say how it is to be onlined? */
#define DRIVER_CHOOSES_ONLINE_TYPE	(KERNEL_VERSION(7, 3, 0) <= LINUX_VERSION_CODE)

/* Can several ranges be removed, all or none? */
#if KERNEL_VERSION(7, 3, 0) <= LINUX_VERSION_CODE
#define RANGES_ARE_REMOVED_TOGETHER
#endif

#if KERNEL_VERSION(7, 3, 0) > LINUX_VERSION_CODE && defined(CONFIG_MEMORY_HOTPLUG)
/* Has memory added with an online type of the caller's, not the default one. */
static inline int __add_memory_driver_managed(int nid, u64 start, u64 size,
					      const char *resource_name,
					      mhp_t mhp_flags,
					      enum mmop online_type)
{
	const enum mmop online_type_before = mhp_get_default_online_type();
	int ret;

	mhp_set_default_online_type(online_type);
	ret = add_memory_driver_managed(nid, start, size, resource_name,
					mhp_flags);
	mhp_set_default_online_type(online_type_before);
	return ret;
}
#endif

#ifndef CONFIG_MEMORY_HOTPLUG
/* There are no memory blocks. */
#elif KERNEL_VERSION(7, 0, 0) > LINUX_VERSION_CODE
/* A variable, which only guests of a hypervisor have. */
#define hv_root_partition()	\
	(IS_ENABLED(CONFIG_HYPERVISOR_GUEST) && hv_root_partition)

static inline struct memory_block *memory_block_at(u64 addr)
{
	return find_memory_block(pfn_to_section_nr(PHYS_PFN(addr)));
}

static inline void memory_block_put(struct memory_block *mem)
{
	put_device(&mem->dev);
}

static inline unsigned long phys_to_block_id(unsigned long phys)
{
	return phys / memory_block_size_bytes();
}

/* Memory block devices get their node later. */
static inline int create_block_devices(unsigned long start, unsigned long size,
				       int nid, struct vmem_altmap *altmap,
				       struct memory_group *group)
{
	return create_memory_block_devices(start, size, altmap, group);
}

#define create_memory_block_devices	create_block_devices

static inline long nr_vmalloc_pages(void)
{
	return vmalloc_nr_pages();
}
#else
/**
 * memory_block_at() - get the memory block device of an address
 * @addr: physical address, in bytes
 *
 * Context: With the lock of lock_device_hotplug() held, or where memory cannot
 *	be removed.
 * Return: the memory block, to be given back by memory_block_put(), or NULL.
 */
static inline struct memory_block *memory_block_at(u64 addr)
{
	return memory_block_get(phys_to_block_id(addr));
}

/**
 * nr_vmalloc_pages() - count the pages that vmalloc() has allocated
 *
 * global_node_page_state() leaves out what CPUs have not added yet.
 *
 * Return: number of pages.
 */
static inline long nr_vmalloc_pages(void)
{
	long nr = 0;
	int nid, cpu;

	for_each_node_state(nid, N_MEMORY) {
		pg_data_t *pgdat = NODE_DATA(nid);

		nr += atomic_long_read(&pgdat->vm_stat[NR_VMALLOC]);
		for_each_online_cpu(cpu)
			nr += per_cpu_ptr(pgdat->per_cpu_nodestats,
					  cpu)->vm_node_stat_diff[NR_VMALLOC];
	}
	return nr;
}
#endif

/* Does the kernel tell who waits for a mutex? */
#if defined(CONFIG_DEBUG_MUTEXES) || KERNEL_VERSION(6, 17, 0) <= LINUX_VERSION_CODE
#define BLOCKED_ON_IS_KNOWN	true

/**
 * is_blocked_on_mutex() - does a task wait for a mutex?
 * @task: the task
 *
 * Return: whether it does, which may change at any time. Never, unless
 *	%BLOCKED_ON_IS_KNOWN.
 */
static inline bool is_blocked_on_mutex(const struct task_struct *task)
{
	return READ_ONCE(task->blocked_on);
}
#else
#define BLOCKED_ON_IS_KNOWN	false

static inline bool is_blocked_on_mutex(const struct task_struct *task)
{
	return false;
}
#endif

/*
 * Pages with movable_ops: older kernels know them by what is in page->mapping.
 */
#ifdef PAGE_MAPPING_MOVABLE
#define MOVABLE_OPS_FLAGS	0UL

static inline void set_page_movable_ops(struct page *page)
{
	page->mapping = (void *)PAGE_MAPPING_MOVABLE;
}

static inline void clear_page_movable_ops(struct page *page)
{
	page->mapping = NULL;
}
#else
#define MOVABLE_OPS_FLAGS	(BIT(PG_movable_ops) | BIT(PG_movable_ops_isolated))

/**
 * set_page_movable_ops() - make an offline page look as if it had movable_ops
 * @page: the page; to be undone by clear_page_movable_ops()
 */
static inline void set_page_movable_ops(struct page *page)
{
	SetPageMovableOps(page);
}

static inline void clear_page_movable_ops(struct page *page)
{
	clear_bit(PG_movable_ops, page_flags_word(page));
}
#endif

/*
 * Isolation: older kernels have flags and a migratetype in place of a mode.
 */
#ifdef MEMORY_OFFLINE
enum pb_isolate_mode {
	PB_ISOLATE_MODE_MEM_OFFLINE,
	PB_ISOLATE_MODE_CMA_ALLOC,
	PB_ISOLATE_MODE_OTHER,
};

static inline int isolate_mode_flags(enum pb_isolate_mode mode)
{
	return mode == PB_ISOLATE_MODE_MEM_OFFLINE ? MEMORY_OFFLINE : 0;
}

static inline int isolate_mode_migratetype(enum pb_isolate_mode mode)
{
#ifdef CONFIG_CMA
	if (mode == PB_ISOLATE_MODE_CMA_ALLOC)
		return MIGRATE_CMA;
#endif
	return MIGRATE_MOVABLE;
}

static inline int isolate_page_range(unsigned long start_pfn,
				     unsigned long end_pfn,
				     enum pb_isolate_mode mode)
{
	return start_isolate_page_range(start_pfn, end_pfn,
					isolate_mode_migratetype(mode),
					isolate_mode_flags(mode), GFP_KERNEL);
}

static inline void undo_isolate_mode_page_range(unsigned long start_pfn,
						unsigned long end_pfn,
						enum pb_isolate_mode mode)
{
	undo_isolate_page_range(start_pfn, end_pfn,
				isolate_mode_migratetype(mode));
}

#define start_isolate_page_range	isolate_page_range
#define undo_isolate_page_range(start_pfn, end_pfn)				\
	undo_isolate_page_range(start_pfn, end_pfn, MIGRATE_MOVABLE)
#define test_pages_isolated(start_pfn, end_pfn, mode)				\
	test_pages_isolated(start_pfn, end_pfn, isolate_mode_flags(mode))

#define ACR_FLAGS_NONE	MIGRATE_MOVABLE

struct page *has_unmovable_pages(unsigned long start_pfn, unsigned long end_pfn,
				 int migratetype, int flags);

/*
 * has_unmovable_pages() does not tell how far it steps from a page to the next.
 * But it always looks for PG_reserved: the first page at which it finds that is
 * the next one. It may look at one pageblock only, so to step further means to
 * step to its end.
 */
static inline bool page_is_unmovable(struct zone *zone, struct page *page,
				     enum pb_isolate_mode mode,
				     unsigned long *step)
{
	const unsigned long pfn = page_to_pfn(page);
	const unsigned long end_pfn = pageblock_end_pfn(pfn);
	const int migratetype = isolate_mode_migratetype(mode);
	const int flags = isolate_mode_flags(mode);
	unsigned long next;

	if (has_unmovable_pages(pfn, pfn + 1, migratetype, flags))
		return true;
	for (next = pfn + 1; next < end_pfn; next++) {
		struct page *found;

		set_bit(PG_reserved, page_flags_word(pfn_to_page(next)));
		found = has_unmovable_pages(pfn, next + 1, migratetype, flags);
		clear_bit(PG_reserved, page_flags_word(pfn_to_page(next)));
		if (found)
			break;
	}
	*step = next - pfn;
	return false;
}
#else
/**
 * undo_isolate_mode_page_range() - end an isolation, for whatever it was
 * @start_pfn: the first page
 * @end_pfn: the page behind the last one
 * @mode: what start_isolate_page_range() was for. Newer kernels know by
 *	themselves which migratetype a pageblock has.
 */
static inline void undo_isolate_mode_page_range(unsigned long start_pfn,
						unsigned long end_pfn,
						enum pb_isolate_mode mode)
{
	undo_isolate_page_range(start_pfn, end_pfn);
}
#endif /* MEMORY_OFFLINE */

/*
 * Warnings: older kernels cannot suppress them. Keep them off the console
 * instead, and count those of the task in the log.
 */
#ifndef kunit_warning_suppress
#include <asm/sections.h>
#include <linux/console.h>
#include <linux/printk.h>
#include <linux/string.h>

struct kunit_suppressed_warning {
	struct kunit *test;
	u64 seq;
	pid_t pid;
	int loglevel;
	int count;
};

static inline u64 kunit_log_next_seq(void)
{
	struct kmsg_dump_iter iter;

	kmsg_dump_rewind(&iter);
	return iter.next_seq;
}

/* The number of warnings in the log. If @show, print what is there. */
static inline int kunit_warnings_in_log(struct kunit_suppressed_warning *w,
					bool show)
{
	const u64 end = kunit_log_next_seq();
	struct kmsg_dump_iter iter = { .cur_seq = w->seq, .next_seq = end };
	char line[256], pid[32];
	int count = 0;
	size_t len;

	snprintf(pid, sizeof(pid), " PID: %d at ", w->pid);
	/* What gets printed here is added to the log. */
	while (iter.cur_seq < end &&
	       kmsg_dump_get_line(&iter, false, line, sizeof(line) - 1, &len)) {
		line[len] = '\0';
		count += strstr(line, "WARNING: CPU: ") && strstr(line, pid);
		if (show)
			pr_err("%s", line);
	}
	return count;
}

/* Have the console pass over all that is in the log by now. */
static inline void kunit_flush_console(void)
{
	console_lock();
	console_unlock();
}

static inline void kunit_suppress_warning_cleanup(void *arg)
{
	struct kunit_suppressed_warning *w = arg;

	kunit_flush_console();
	console_loglevel = w->loglevel;
	/* Who looks for the reason of a failure needs to see all of it. */
	w->count = kunit_warnings_in_log(w, w->test->status == KUNIT_FAILURE);
}

static inline struct kunit_suppressed_warning *
kunit_start_suppress_warning(struct kunit *test)
{
	struct kunit_suppressed_warning *w;

	w = kunit_kzalloc(test, sizeof(*w), GFP_KERNEL);
	if (!w) {
		KUNIT_FAIL(test, "no memory to count warnings");
		return NULL;
	}
	w->test = test;
	w->pid = current->pid;
	w->count = -1;
	/* Let WARN_ON_ONCE() warn again, as clear_warn_once in debugfs does. */
	generic_bug_clear_once();
	memset(__start_once, 0, __end_once - __start_once);
	/* KUnit does not end a line with a result: it waits for the next one. */
	kunit_printk(KERN_DEBUG, test, "no warnings on the console\n");
	kunit_flush_console();
	w->loglevel = console_loglevel;
	console_loglevel = CONSOLE_LOGLEVEL_SILENT;
	w->seq = kunit_log_next_seq();
	if (kunit_add_action_or_reset(test, kunit_suppress_warning_cleanup, w)) {
		KUNIT_FAIL(test, "no memory to count warnings");
		return NULL;
	}
	return w;
}

static inline void
kunit_end_suppress_warning(struct kunit *test, struct kunit_suppressed_warning *w)
{
	if (w)
		kunit_release_action(test, kunit_suppress_warning_cleanup, w);
}

static inline void
__kunit_suppress_auto_cleanup(struct kunit_suppressed_warning **w)
{
	if (*w)
		kunit_end_suppress_warning((*w)->test, *w);
}

static inline int
kunit_suppressed_warning_count(struct kunit_suppressed_warning *w)
{
	if (!w)
		return 0;
	return w->count < 0 ? kunit_warnings_in_log(w, false) : w->count;
}

#define kunit_warning_suppress(test)						\
	for (struct kunit_suppressed_warning *__kunit_suppress			\
	     __cleanup(__kunit_suppress_auto_cleanup) =				\
	     kunit_start_suppress_warning(test);				\
	     __kunit_suppress;							\
	     __kunit_suppress_auto_cleanup(&__kunit_suppress),			\
	     __kunit_suppress = NULL)

#define KUNIT_EXPECT_SUPPRESSED_WARNING_COUNT(test, expected)			\
	KUNIT_EXPECT_EQ(test,							\
			kunit_suppressed_warning_count(__kunit_suppress),	\
			expected)

static inline bool (**kunit_warning_hook(void))(bool)
{
	return NULL;
}
#else
/*
 * Where the function is kept that is asked at each warning whether a test
 * suppresses it. NULL: an older kernel asks nobody.
 */
static inline bool (**kunit_warning_hook(void))(bool)
{
	return &kunit_hooks.is_suppressed_warning;
}
#endif /* kunit_warning_suppress */

#endif /* _KUNIT_MEMORY_COMPAT_H */
