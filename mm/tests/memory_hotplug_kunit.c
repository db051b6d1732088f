// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests for memory hotplug in general: what is added, onlined, taken
 * offline or isolated is as it was if that fails, above all if there is no
 * memory for it.
 *
 * Most of these test cases come from bugs that kernels have, see
 * kunit_known_bug().
 */
#include <kunit/fault.h>
#include <kunit/known_bug.h>
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/device.h>
#include <linux/firmware-map.h>
#include <linux/gfp.h>
#include <linux/kernel.h>
#include <linux/kthread.h>
#include <linux/memory-tiers.h>
#include <linux/memory.h>
#include <linux/mm.h>
#include <linux/node.h>
#include <linux/percpu.h>
#include <linux/pgtable.h>
#include <linux/sched/task.h>
#include <linux/swap.h>
#include <linux/sysfs.h>
#include <linux/uaccess.h>

#include "../internal.h"
#include "offline_skippable.h"
#include "user_memory.h"

/*
 * Isolation
 */

/*
 * If alloc_contig_range() fails because somebody else isolated its range, the
 * range stays isolated.
 */
static void contiguous_allocation_keeps_isolation_of_others(struct kunit *test)
{
#ifdef CONFIG_CONTIG_ALLOC
	struct phantom_memory *ph = phantom_online_isolated(test);
	const unsigned long start_pfn = ph->start_pfn;

	KUNIT_EXPECT_EQ(test, -EBUSY,
			alloc_contig_range(start_pfn,
					   start_pfn + pageblock_nr_pages,
					   ACR_FLAGS_NONE, GFP_KERNEL));
	if (!is_migrate_isolate_page(pfn_to_page(start_pfn)))
		kunit_known_bug(test, "mm-page_alloc-keep-isolation-of-others",
				"the kernel undid somebody else's isolation");
	phantom_expect_isolated(ph, ph->nr_pages / pageblock_nr_pages);
#else
	kunit_skip(test, "CONFIG_CONTIG_ALLOC is not set");
#endif
}

/*
 * Adding
 */

/* Look at each page of the memmap of memory that nobody uses. */
static bool memmap_is_there(u64 start, u64 size)
{
	unsigned long pfn, word;

	for (pfn = PHYS_PFN(start); pfn < PHYS_PFN(start + size);
	     pfn += PAGE_SIZE / sizeof(struct page))
		if (get_kernel_nofault(word, (unsigned long *)pfn_to_page(pfn)))
			return false;
	return true;
}

/*
 * Add memory while the nth allocation fails, and remove it again. Return
 * whether there was an nth allocation.
 */
static bool add_range_faulty(struct kunit *test, u64 start, u64 size,
			     unsigned int nth, int *ret)
{
	bool failed, has_memmap = true;

	kunit_fault_arm(test, nth);
	*ret = phantom_add_range(start, size, MHP_NONE);
	/* One warning of add_pages() on x86 */
	failed = kunit_fault_disarm(test, 1);
	if (*ret) {
		KUNIT_EXPECT_TRUE_MSG(test, failed, "adding failed: %d", *ret);
	} else {
		has_memmap = memmap_is_there(start, size);
		KUNIT_EXPECT_EQ(test, 0, remove_memory(start, size));
	}
	if (IS_ENABLED(CONFIG_S390) && !has_memmap)
		kunit_known_bug(test, "s390-vmem-tell-lack-of-memory",
				"memory was added without a part of its memmap");
	KUNIT_EXPECT_TRUE(test, has_memmap);
	return failed;
}

/*
 * Adding memory fails with -ENOMEM if the resource cannot be allocated, which
 * is the first thing to be allocated.
 */
static void adding_tells_lack_of_memory(struct kunit *test)
{
	const u64 size = memory_block_size_bytes();
	int ret;

	KUNIT_EXPECT_TRUE(test,
			  add_range_faulty(test, phantom_find_range(test, size),
					   size, 1, &ret));
	if (ret == -EEXIST)
		kunit_known_bug(test, "mm-memory_hotplug-tell-lack-of-memory",
				"lack of memory gives -EEXIST");
	KUNIT_EXPECT_EQ(test, -ENOMEM, ret);
}

/* Remove sections that the kernel left behind. Return whether it did. */
static bool remove_leftover_sections(u64 start, u64 size)
{
	unsigned long pfn = PHYS_PFN(start);
	bool found = false;

	mem_hotplug_begin();
	for (; pfn < PHYS_PFN(start + size); pfn += PAGES_PER_SECTION) {
		if (!pfn_valid(pfn))
			continue;
		arch_remove_memory(PFN_PHYS(pfn), PFN_PHYS(PAGES_PER_SECTION),
				   NULL, NULL);
		found = true;
	}
	mem_hotplug_done();
	return found;
}

/*
 * Add memory beside other memory, while one allocation after the other fails. Either it
 * is there or nothing of it is, and the counters match.
 */
static void expect_added_or_not(struct kunit *test, u64 size)
{
	const u64 start = phantom_find_range(test, size);
	bool failed = true, leftover = false;
	unsigned int nth, nr_failed = 0;
	struct phantom_snapshot before;
	int ret;

	if (kunit_fault_needs_page_tables(size))
		kunit_fault_in_page_tables(test);
	phantom_snapshot_take(&before);
	for (nth = 1; failed && !leftover; nth++) {
		failed = add_range_faulty(test, start, size, nth, &ret);
		nr_failed += !!ret;
		leftover = remove_leftover_sections(start, size);
		phantom_snapshot_expect(test, &before);
	}
	if (leftover && size > PFN_PHYS(PAGES_PER_SECTION))
		kunit_known_bug(test, "mm-memory_hotplug-leave-no-sections",
				"sections stay if a later one cannot be added");
	KUNIT_EXPECT_FALSE(test, leftover);
	KUNIT_EXPECT_GE(test, nr_failed, 3);
}

/*
 * Whichever allocation fails while memory of several sections is added, either
 * it is there or nothing of it is, and the counters match.
 *
 * There is other memory already, for which there are page tables, unless memory
 * blocks are large.
 */
static void adding_leaves_nothing_behind(struct kunit *test)
{
	expect_added_or_not(test, 2 * memory_block_size_bytes());
}

/*
 * Whichever allocation fails while a single memory block is added, either it is there
 * or nothing of it is, and the counters match.
 */
static void adding_of_a_block_leaves_nothing_behind(struct kunit *test)
{
	expect_added_or_not(test, memory_block_size_bytes());
}

/*
 * Whichever allocation fails while memory is added far from all other memory,
 * so that there are no page tables for it yet, either it is there or nothing
 * of it is.
 */
static void adding_survives_without_page_tables(struct kunit *test)
{
	const u64 size = memory_block_size_bytes();
	const u64 start = phantom_find_aligned_range(test, size,
						     max_t(u64, size, PUD_SIZE));
	unsigned int nth, nr_failed = 0;
	bool failed = true;
	int ret;

	kunit_fault_in_page_tables(test);
	for (nth = 1; failed; nth++) {
		failed = add_range_faulty(test, start, size, nth, &ret);
		nr_failed += !!ret;
		KUNIT_EXPECT_FALSE(test, remove_leftover_sections(start, size));
	}
	KUNIT_EXPECT_GE(test, nr_failed, 4);
}

/*
 * Whichever allocation fails while an entry is added to the firmware memory
 * map, the entry can be removed again if and only if adding it succeeded.
 */
static void firmware_map_recovers_without_memory(struct kunit *test)
{
	const u64 start = phantom_find_range(test, memory_block_size_bytes());
	const u64 end = start + memory_block_size_bytes();
	bool failed = true;
	unsigned int nth;
	int ret;

	if (!IS_ENABLED(CONFIG_FIRMWARE_MEMMAP))
		kunit_skip(test, "CONFIG_FIRMWARE_MEMMAP is not set");
	kunit_known_bug(test, "firmware-memmap-keep-entry",
			"not tried, as the kernel might use freed memory");

	for (nth = 1; failed; nth++) {
		kunit_fault_arm(test, nth);
		ret = firmware_map_add_hotplug(start, end, "KUnit");
		failed = kunit_fault_disarm(test, 0);
		KUNIT_EXPECT_TRUE(test, !ret || (failed && ret == -ENOMEM));
		kunit_warning_suppress(test) {
			KUNIT_EXPECT_EQ(test, ret ? -EINVAL : 0,
					firmware_map_remove(start, end, "KUnit"));
			KUNIT_EXPECT_SUPPRESSED_WARNING_COUNT(test, 0);
		}
	}
	KUNIT_EXPECT_GE(test, nth, 4);
}

/*
 * Onlining
 */

/*
 * Pages that test cases online by themselves, and give to the buddy: those of
 * a zone that is empty, and hence guarded.
 */
struct guarded_range {
	struct zone *zone;
	unsigned long start_pfn;
	unsigned long nr_pages;
};

static struct guarded_range guarded_range(struct kunit *test)
{
	struct phantom_memory *ph = phantom_memory_get(test);
	struct guarded_range range = {
		.nr_pages = phantom_offlinable(max(pageblock_nr_pages,
						   MAX_ORDER_NR_PAGES)),
	};

	range.start_pfn = PHYS_PFN(ph->start + ph->size) - range.nr_pages;
	range.zone = zone_for_pfn_range(MMOP_ONLINE_MOVABLE, ph->nid, NULL,
					range.start_pfn, range.nr_pages);
	if (populated_zone(range.zone))
		kunit_skip(test, "zone %s has other memory", range.zone->name);
	return range;
}

static int online_range(const struct guarded_range *range)
{
	return phantom_online_pages(range->start_pfn, range->nr_pages, range->zone);
}

static void expect_offline_range(struct kunit *test,
				 const struct guarded_range *range)
{
	KUNIT_EXPECT_EQ(test, 0, phantom_offline_pages(range->start_pfn, range->nr_pages,
						       range->zone));
}

/*
 * Whichever allocation fails while memory is onlined, it is either online or
 * as it was, and the counters match.
 */
static void onlining_recovers_without_memory(struct kunit *test)
{
	const struct guarded_range range = guarded_range(test);
	struct phantom_snapshot before;
	bool failed = true;
	unsigned int nth;
	int ret;

	/* Both __vmalloc_area_node() and kasan_mem_notifier() free it. */
	if (IS_ENABLED(CONFIG_KASAN))
		kunit_known_bug(test, "kasan-free-no-shadow-twice",
				"not tried, as KASAN might free a shadow twice");

	phantom_snapshot_take(&before);
	for (nth = 1; failed; nth++) {
		kunit_fault_arm(test, nth);
		ret = online_range(&range);
		failed = kunit_fault_disarm(test, 0);
		if (ret)
			KUNIT_EXPECT_TRUE_MSG(test, failed,
					      "onlining failed: %d", ret);
		else
			expect_offline_range(test, &range);
		phantom_snapshot_expect(test, &before);
	}
}

/* More than fit into what per-cpu allocations have in store */
#define NR_HOGS		4096
#define LARGEST_HOG	SZ_16K
/* Smaller than struct per_cpu_pages */
#define SMALLEST_HOG	SZ_64

struct percpu_hogs {
	unsigned int nr;
	void __percpu *hogs[NR_HOGS];
};

static void free_percpu_hogs(void *arg)
{
	struct percpu_hogs *hogs = arg;

	while (hogs->nr)
		free_percpu(hogs->hogs[--hogs->nr]);
}

/* Allocate what there is of per-cpu memory, without more of it being made. */
static void hog_percpu_memory(struct kunit *test, struct percpu_hogs *hogs)
{
	size_t size = LARGEST_HOG;

	kunit_fault_arm_all(test);
	while (size >= SMALLEST_HOG && hogs->nr < NR_HOGS) {
		void __percpu *hog = __alloc_percpu_gfp(size, SMALLEST_HOG,
							GFP_KERNEL | __GFP_NOWARN);

		if (hog)
			hogs->hogs[hogs->nr++] = hog;
		else
			size /= 2;
	}
	kunit_fault_disarm(test, 0);
	KUNIT_ASSERT_LT(test, hogs->nr, NR_HOGS);
}

/*
 * Onlining the first memory of a zone fails with -ENOMEM if there is no memory
 * for the zone's per-cpu lists of pages, and succeeds later.
 */
static void onlining_fails_without_per_cpu_lists(struct kunit *test)
{
	const struct guarded_range range = guarded_range(test);
	struct percpu_hogs *hogs;
	int ret = 0, i;

	if (IS_ENABLED(CONFIG_KASAN_GENERIC))
		kunit_skip(test, "KASAN's shadow, which comes first, takes memory, too");
	kunit_known_bug(test, "mm-page_alloc-check-per-cpu-lists",
			"not tried, as the kernel might use lists that are not there");

	hogs = kunit_kzalloc(test, sizeof(*hogs), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, hogs);
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, free_percpu_hogs, hogs));

	/* A worker may make more per-cpu memory at any time. */
	for (i = 0; i < 10 && !ret; i++) {
		hog_percpu_memory(test, hogs);
		kunit_fault_arm_all(test);
		ret = online_range(&range);
		kunit_fault_disarm(test, 0);
		if (!ret)
			expect_offline_range(test, &range);
	}
	KUNIT_EXPECT_EQ(test, -ENOMEM, ret);

	kunit_release_action(test, free_percpu_hogs, hogs);
	ret = online_range(&range);
	KUNIT_EXPECT_EQ(test, 0, ret);
	if (!ret)
		expect_offline_range(test, &range);
}

/* Expect the watermarks to be those for the memory that there is. */
static void expect_current_watermarks(struct kunit *test, const struct zone *zone)
{
	const unsigned long watermark = min_wmark_pages(zone);

	setup_per_zone_wmarks();
	KUNIT_EXPECT_EQ(test, watermark, min_wmark_pages(zone));
}

/*
 * When memory has gone online or offline, zones share in the watermarks by the memory
 * that they have then.
 */
static void watermarks_are_those_for_online_memory(struct kunit *test)
{
	struct guarded_range range = guarded_range(test);
	struct phantom_memory *ph = phantom_memory_get(test);
	struct zone *zone;

	range.start_pfn = PHYS_PFN(ph->start);
	range.nr_pages = PHYS_PFN(ph->size);
	range.zone = zone_for_pfn_range(MMOP_ONLINE_KERNEL, ph->nid, NULL,
					range.start_pfn, range.nr_pages);
	if (populated_zone(range.zone))
		kunit_skip(test, "zone %s has other memory", range.zone->name);
	/* The guard of the zone makes do with what it has in reserve. */
	for_each_populated_zone(zone)
		break;
	expect_current_watermarks(test, zone);
	KUNIT_ASSERT_EQ(test, 0, online_range(&range));
	expect_current_watermarks(test, zone);
	expect_offline_range(test, &range);
	expect_current_watermarks(test, zone);
}

/* A node that is online already is not brought online again. */
static void node_is_brought_online_once(struct kunit *test)
{
	KUNIT_EXPECT_TRUE(test, node_online(first_memory_node));
	KUNIT_EXPECT_EQ(test, 0, try_online_node(first_memory_node));
	KUNIT_EXPECT_TRUE(test, node_online(first_memory_node));
}

#ifdef CONFIG_MEMORY_FAILURE
/**
 * struct page_taker - takes a page out of use while its memory goes offline
 * @nb: has it begin when that has begun
 * @take: memory_failure() or the like
 * @pfn: the page
 * @done: it has ended
 * @ret: what @take returned
 */
struct page_taker {
	struct notifier_block nb;
	int (*take)(unsigned long pfn, int flags);
	unsigned long pfn;
	struct completion done;
	int ret;
};

static int take_page_thread(void *arg)
{
	struct page_taker *taker = arg;

	taker->ret = taker->take(taker->pfn, MF_SW_SIMULATED);
	complete(&taker->done);
	return 0;
}

static int take_page_meanwhile(struct notifier_block *nb, unsigned long event,
			       void *arg)
{
	struct page_taker *taker = container_of(nb, struct page_taker, nb);
	struct task_struct *task;
	int i;

	if (event == MEM_GOING_OFFLINE) {
		task = kthread_create(take_page_thread, taker, "take_page");
		if (IS_ERR(task))
			return notifier_from_errno(PTR_ERR(task));
		get_task_struct(task);
		wake_up_process(task);
		/* Until it waits for the offliner. */
		for (i = 0; i < 1000 && !(READ_ONCE(task->__state) & TASK_UNINTERRUPTIBLE); i++)
			usleep_range(50, 100);
		put_task_struct(task);
	} else if (event == MEM_OFFLINE) {
		/* As page_init_poison() does, in kernels that check for that. */
		memset(pfn_to_page(taker->pfn), PAGE_POISON_PATTERN,
		       sizeof(struct page));
	}
	return NOTIFY_OK;
}

static void expect_leaves_alone(struct kunit *test,
				int (*take)(unsigned long pfn, int flags), int expected)
{
	struct page_taker taker = {
		.nb.notifier_call = take_page_meanwhile,
		.take = take,
	};
	struct phantom_memory *ph = phantom_memory_get(test);

	phantom_online(ph, MMOP_ONLINE_MOVABLE);
	phantom_set(ph, ph->start_pfn, ph->nr_pages, PHANTOM_SKIPPABLE);
	taker.pfn = ph->start_pfn;
	init_completion(&taker.done);

	KUNIT_ASSERT_EQ(test, 0, register_memory_notifier(&taker.nb));
	KUNIT_EXPECT_EQ(test, 0, phantom_offline(ph));
	unregister_memory_notifier(&taker.nb);
	wait_for_completion(&taker.done);
	KUNIT_EXPECT_EQ(test, expected, taker.ret);
}

/*
 * A page whose memory goes offline while somebody waits to take it out of use is left
 * alone: there is nothing in its struct page any more.
 */
static void soft_offline_leaves_alone_what_went_offline(struct kunit *test)
{
	kunit_known_bug(test, "mm-memory-failure-look-again",
			"not tried, as the kernel might use a memmap that is gone");
	expect_leaves_alone(test, soft_offline_page, -EIO);
}

/*
 * An error in memory that goes offline is handled when that has ended, and then there
 * is nothing to handle.
 */
static void memory_failure_leaves_alone_what_went_offline(struct kunit *test)
{
	kunit_known_bug(test, "mm-memory-failure-keep-memory-online",
			"not tried, as the kernel might use a memmap that is gone");
	expect_leaves_alone(test, memory_failure, -ENXIO);
}
#endif

/*
 * A request to online a memory block that is online already is refused, and
 * does not decide to which zone the memory block goes the next time.
 */
static void refused_online_type_is_forgotten(struct kunit *test)
{
	struct phantom_memory *ph = phantom_memory_get(test);
	enum zone_type before, after;

	phantom_block_online(ph, MMOP_OFFLINE);
	before = zone_idx(ph->zone);
	KUNIT_EXPECT_EQ(test, -EINVAL,
			phantom_write_file(test, &ph->block->dev, "state",
					   before == ZONE_MOVABLE ? "online_kernel" :
								    "online_movable"));
	phantom_set(ph, ph->start_pfn, ph->nr_pages, PHANTOM_SKIPPABLE);
	KUNIT_ASSERT_EQ(test, 0, phantom_block_offline(ph));

	phantom_block_online(ph, MMOP_OFFLINE);
	after = zone_idx(ph->zone);
	if (after != before)
		kunit_known_bug(test, "drivers-base-memory-forget-online-type",
				"a request that was refused decided the zone");
	KUNIT_EXPECT_EQ(test, before, after);
}

/*
 * Offlining
 */

/* Refuses to have memory go offline from @start_pfn on. */
struct refusing_notifier {
	struct notifier_block nb;
	unsigned long start_pfn;
};

static int refuse_going_offline(struct notifier_block *nb, unsigned long event,
				void *arg)
{
	const struct refusing_notifier *refusing =
		container_of(nb, struct refusing_notifier, nb);
	const struct memory_notify *notify = arg;

	if (event == MEM_GOING_OFFLINE &&
	    notify->start_pfn >= refusing->start_pfn)
		return notifier_from_errno(-EBUSY);
	return NOTIFY_OK;
}

/* A range to be removed that does not consist of whole memory blocks is refused. */
static void part_of_memory_block_is_not_removed(struct kunit *test)
{
	const u64 size = memory_block_size_bytes();
	struct phantom_memory *ph = phantom_memory_add(test, 2 * size);

	KUNIT_EXPECT_EQ(test, -EINVAL,
			offline_and_remove_memory(ph->start + PAGE_SIZE, size));
	KUNIT_EXPECT_EQ(test, -EINVAL,
			offline_and_remove_memory(ph->start, size + PAGE_SIZE));
	KUNIT_EXPECT_EQ(test, -EINVAL, offline_and_remove_memory(ph->start, 0));
#ifdef RANGES_ARE_REMOVED_TOGETHER
	KUNIT_EXPECT_EQ(test, -EINVAL, offline_and_remove_memory_ranges(NULL, 1));
	KUNIT_EXPECT_EQ(test, -EINVAL,
			offline_and_remove_memory_ranges(&(struct range) {
				ph->start, ph->start + size - 1 }, 0));
#endif
	KUNIT_EXPECT_TRUE(test, pfn_valid(PHYS_PFN(ph->start)));
}

/*
 * Memory fails to be removed with -ENOMEM if there is no memory to remember which of it
 * is online, and can be removed later.
 */
static void removing_tells_lack_of_memory(struct kunit *test)
{
	const u64 size = memory_block_size_bytes();
	const u64 start = phantom_find_range(test, size);

	KUNIT_ASSERT_EQ(test, 0, phantom_add_range(start, size, MHP_NONE));
	kunit_fault_arm(test, 1);
	KUNIT_EXPECT_EQ(test, -ENOMEM, offline_and_remove_memory(start, size));
	KUNIT_EXPECT_TRUE(test, kunit_fault_disarm(test, 0));
	KUNIT_EXPECT_TRUE(test, pfn_valid(PHYS_PFN(start)));
	KUNIT_EXPECT_EQ(test, 0, offline_and_remove_memory(start, size));
	KUNIT_EXPECT_FALSE(test, pfn_valid(PHYS_PFN(start)));
}

/*
 * If offline_and_remove_memory() cannot offline a memory block, others are
 * online as before, even one with an HWPoison page.
 */
static void failed_removal_keeps_poisoned_memory_online(struct kunit *test)
{
	const u64 size = memory_block_size_bytes();
	struct refusing_notifier refusing = {
		.nb.notifier_call = refuse_going_offline,
	};
	struct guarded_range range;
	struct phantom_memory *ph;
	bool online;

	if (!IS_ENABLED(CONFIG_MEMORY_FAILURE))
		kunit_skip(test, "CONFIG_MEMORY_FAILURE is not set");
	range = guarded_range(test);
	ph = phantom_memory_add(test, 2 * size);
	range.start_pfn = PHYS_PFN(ph->start);

	/* As far as the driver core knows, there is an HWPoison page. */
	num_poisoned_pages_inc(range.start_pfn);
	KUNIT_EXPECT_EQ(test, -EHWPOISON,
			phantom_device_online(ph->start, MMOP_ONLINE_MOVABLE));
	num_poisoned_pages_sub(range.start_pfn, 1);
	KUNIT_EXPECT_EQ(test, 0,
			phantom_device_online(ph->start, MMOP_ONLINE_MOVABLE));
	KUNIT_EXPECT_EQ(test, 0, phantom_device_online(ph->start + size,
						       MMOP_ONLINE_MOVABLE));

	refusing.start_pfn = PHYS_PFN(ph->start + size);
	register_memory_notifier(&refusing.nb);
	num_poisoned_pages_inc(range.start_pfn);
	KUNIT_EXPECT_EQ(test, -EBUSY,
			offline_and_remove_memory(ph->start, 2 * size));
	num_poisoned_pages_sub(range.start_pfn, 1);
	unregister_memory_notifier(&refusing.nb);

	online = pfn_to_online_page(range.start_pfn);
	KUNIT_EXPECT_EQ(test, online ? 0 : 1, phantom_device_offline(ph->start));
	KUNIT_EXPECT_EQ(test, 0, phantom_device_offline(ph->start + size));
	if (!online)
		kunit_known_bug(test, "mm-memory_hotplug-offline-poisoned-last",
				"memory with an HWPoison page went offline");
	KUNIT_EXPECT_TRUE(test, online);
}

#if defined(CONFIG_NUMA) && defined(NODE_ADDING_FIRST_MEMORY)
/*
 * Memory tiers
 *
 * A driver such as dax/kmem says which type of memory a node is about to get
 * from it. The type holds a reference for itself, and one for each node that
 * has it.
 */

static void put_type(void *type)
{
	put_memory_type(type);
}

/* A type of memory that is slower than all others. */
static struct memory_dev_type *slow_memory_type(struct kunit *test)
{
	struct memory_dev_type *type;

	type = alloc_memory_type(MEMTIER_ADISTANCE_DRAM * 100);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, type);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, put_type, type));
	return type;
}

static bool has_node(struct memory_dev_type *type)
{
	return kref_read(&type->kref) > 1;
}

/* Phantom memory of a node that has no memory, and gets that type of memory. */
static struct phantom_memory *memory_of_type(struct kunit *test,
					     struct memory_dev_type *type)
{
	const int nid = phantom_nid_without_memory(test);
	struct phantom_memory *ph;

	ph = phantom_memory_add_to(test, nid, memory_block_size_bytes());
	init_node_memory_type(nid, type);
	if (!has_node(type))
		kunit_known_bug(test, "mm-memory-tiers-forget-type",
				"a node without memory still has another type");
	KUNIT_ASSERT_TRUE(test, has_node(type));
	return ph;
}

static void online_first_memory(struct phantom_memory *ph)
{
	phantom_block_online(ph, MMOP_ONLINE_MOVABLE);
	phantom_set(ph, ph->start_pfn, ph->nr_pages, PHANTOM_SKIPPABLE);
}

/*
 * A driver for a type of memory that a node did not get, as it has another one,
 * does not take that one from the node when it goes.
 */
static void node_keeps_its_memory_type(struct kunit *test)
{
	struct memory_dev_type *type = slow_memory_type(test);
	const int nid = first_memory_node;
	bool taken;

	init_node_memory_type(nid, type);
	KUNIT_ASSERT_FALSE(test, has_node(type));
	clear_node_memory_type(nid, NULL);

	init_node_memory_type(nid, type);
	taken = has_node(type);
	clear_node_memory_type(nid, type);
	if (taken) {
		init_node_memory_type(nid, default_dram_type);
		kunit_known_bug(test, "mm-memory-tiers-forget-type",
				"a driver took the type of a node with memory");
	}
	KUNIT_EXPECT_FALSE(test, taken);
}

/*
 * When the last memory of a node has gone offline, its next memory may be of
 * another type.
 */
static void node_without_memory_has_no_memory_type(struct kunit *test)
{
	struct memory_dev_type *type = slow_memory_type(test);
	const int nid = phantom_nid_without_memory(test);
	struct phantom_memory *ph;

	ph = phantom_memory_add_to(test, nid, memory_block_size_bytes());
	online_first_memory(ph);
	KUNIT_ASSERT_EQ(test, 0, phantom_block_offline(ph));

	ph = memory_of_type(test, type);
	online_first_memory(ph);
	KUNIT_EXPECT_TRUE(test, node_isset(nid, type->nodes));
	KUNIT_ASSERT_EQ(test, 0, phantom_block_offline(ph));
	KUNIT_EXPECT_FALSE(test, node_isset(nid, type->nodes));
	clear_node_memory_type(nid, type);
	KUNIT_EXPECT_FALSE(test, has_node(type));
}

/*
 * A node keeps its type of memory until its last memory is offline, even if the
 * driver for that type has gone.
 */
static void memory_keeps_its_type_without_driver(struct kunit *test)
{
	struct memory_dev_type *type = slow_memory_type(test);
	struct phantom_memory *ph = memory_of_type(test, type);
	bool kept;

	online_first_memory(ph);
	clear_node_memory_type(ph->nid, type);
	kept = has_node(type);
	if (!kept) {
		/* Or else offlining would dereference NULL. */
		init_node_memory_type(ph->nid, type);
		KUNIT_ASSERT_EQ(test, 0, phantom_block_offline(ph));
		clear_node_memory_type(ph->nid, type);
		kunit_known_bug(test, "mm-memory-tiers-forget-type",
				"memory that is online has no type");
	}
	KUNIT_EXPECT_TRUE(test, kept);
	KUNIT_EXPECT_TRUE(test, node_isset(ph->nid, type->nodes));
	KUNIT_ASSERT_EQ(test, 0, phantom_block_offline(ph));
	KUNIT_EXPECT_FALSE(test, has_node(type));
	KUNIT_EXPECT_TRUE(test, nodes_empty(type->nodes));
}

/* Which allocation fails when others hear that a node has got its first memory. */
static struct {
	struct kunit *test;
	unsigned int nth;
	bool failed;
} tier_fault;

static int arm_tier_fault(struct notifier_block *nb, unsigned long event,
			  void *arg)
{
	if (event == NODE_ADDED_FIRST_MEMORY)
		kunit_fault_arm(tier_fault.test, tier_fault.nth);
	return NOTIFY_OK;
}

static int disarm_tier_fault(struct notifier_block *nb, unsigned long event,
			     void *arg)
{
	if (event == NODE_ADDED_FIRST_MEMORY)
		tier_fault.failed = kunit_fault_disarm(tier_fault.test, 0);
	return NOTIFY_OK;
}

static struct notifier_block tier_fault_nb[] = {
	{ .notifier_call = arm_tier_fault, .priority = INT_MAX },
	{ .notifier_call = disarm_tier_fault, .priority = INT_MIN },
};

static void unregister_tier_fault(void *nb)
{
	unregister_node_notifier(nb);
}

/*
 * Whichever allocation fails while a node gets a memory tier, no type of memory
 * has the node any more when it has no memory.
 */
static void memory_tier_recovers_without_memory(struct kunit *test)
{
	struct memory_dev_type *type = slow_memory_type(test);
	struct phantom_memory *ph = memory_of_type(test, type);
	bool cleared = true;
	unsigned int nth, i;

	for (i = 0; i < ARRAY_SIZE(tier_fault_nb); i++) {
		struct notifier_block *nb = &tier_fault_nb[i];

		KUNIT_ASSERT_EQ(test, 0, register_node_notifier(nb));
		KUNIT_ASSERT_EQ(test, 0,
				kunit_add_action_or_reset(test,
							  unregister_tier_fault,
							  nb));
	}
	tier_fault.test = test;
	tier_fault.failed = true;
	for (nth = 1; tier_fault.failed && cleared; nth++) {
		tier_fault.nth = nth;
		online_first_memory(ph);
		KUNIT_ASSERT_EQ(test, 0, phantom_block_offline(ph));
		cleared = nodes_empty(type->nodes);
	}
	clear_node_memory_type(ph->nid, type);
	if (!cleared)
		kunit_known_bug(test, "mm-memory-tiers-clear-mask",
				"a type has a node that got no tier");
	KUNIT_EXPECT_TRUE(test, cleared);
	KUNIT_EXPECT_GE(test, nth, 4);
}
#endif

/*
 * Migration
 */

/*
 * do_migrate_range() takes an HWPoison folio off the LRU, and keeps no
 * reference to it.
 */
static void migration_keeps_no_reference_to_hwpoisoned_folio(struct kunit *test)
{
	struct folio *folio;
	bool on_lru;
	int count;

	if (!IS_ENABLED(CONFIG_MEMORY_FAILURE))
		kunit_skip(test, "CONFIG_MEMORY_FAILURE is not set");

	folio = folio_alloc(GFP_HIGHUSER_MOVABLE, 0);
	KUNIT_ASSERT_NOT_NULL(test, folio);
	add_to_lru(test, folio);
	lru_add_drain();
	on_lru = folio_test_lru(folio);
	SetPageHWPoison(&folio->page);
	do_migrate_range(folio_pfn(folio), folio_pfn(folio) + 1);
	ClearPageHWPoison(&folio->page);
	KUNIT_EXPECT_TRUE(test, on_lru);
	KUNIT_EXPECT_FALSE(test, folio_test_lru(folio));
	count = folio_ref_count(folio);
	if (count == 2)
		folio_put(folio);
	folio_put(folio);

	if (count == 2)
		kunit_known_bug(test, "mm-memory_hotplug-put-poisoned-folio",
				"a reference is kept");
	KUNIT_EXPECT_EQ(test, 1, count);
}

/*
 * What user space reads and writes
 */

KUNIT_DEFINE_ACTION_WRAPPER(put_root, put_device, struct device *);

/* The device that has the files in /sys/devices/system/memory. */
static struct device *get_memory_root(struct kunit *test,
				      const struct phantom_memory *ph)
{
	struct device *root = bus_get_dev_root(phantom_get_block(test, ph->start)->dev.bus);

	KUNIT_ASSERT_NOT_NULL(test, root);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, put_root, root));
	return root;
}

/*
 * The files of a memory block tell where it is, and whether memory can be removed;
 * another one tells how large memory blocks are.
 */
static void files_tell_about_memory_block(struct kunit *test)
{
	struct phantom_memory *ph = phantom_memory_get(test);
	struct device *dev = &phantom_get_block(test, ph->start)->dev;
	char text[32];

	snprintf(text, sizeof(text), "%08lx\n",
		 (unsigned long)(ph->start / memory_block_size_bytes()));
	KUNIT_EXPECT_STREQ(test, text, phantom_read_file(test, dev, "phys_index"));
	KUNIT_EXPECT_STREQ(test, IS_ENABLED(CONFIG_MEMORY_HOTREMOVE) ? "1\n" : "0\n",
			   phantom_read_file(test, dev, "removable"));
	snprintf(text, sizeof(text), "%d\n",
		 arch_get_memory_phys_device(PHYS_PFN(ph->start)));
	KUNIT_EXPECT_STREQ(test, text, phantom_read_file(test, dev, "phys_device"));
	snprintf(text, sizeof(text), "%lx\n", memory_block_size_bytes());
	KUNIT_EXPECT_STREQ(test, text,
			   phantom_read_file(test, get_memory_root(test, ph),
					     "block_size_bytes"));
}

static const char * const online_words[] = {
	[MMOP_OFFLINE] = "offline",
	[MMOP_ONLINE] = "online",
	[MMOP_ONLINE_KERNEL] = "online_kernel",
	[MMOP_ONLINE_MOVABLE] = "online_movable",
};

/*
 * What is written to auto_online_blocks is the default for memory that is added,
 * and is read from there; anything else fails with -EINVAL and changes nothing.
 */
static void default_online_type_is_what_is_written(struct kunit *test)
{
	static const char * const others[] = { "", "auto", "online_", "Offline", "1" };
	struct phantom_memory *ph = phantom_memory_get(test);
	struct device *root = get_memory_root(test, ph);
	char text[32];
	int i, j;

	phantom_set_default_online_type(test, MMOP_OFFLINE);
	for (i = 0; i < ARRAY_SIZE(online_words); i++) {
		snprintf(text, sizeof(text), "%s\n", online_words[i]);
		KUNIT_EXPECT_EQ(test, strlen(text),
				phantom_write_file(test, root, "auto_online_blocks",
						   text));
		KUNIT_EXPECT_EQ(test, i, mhp_get_default_online_type());
		for (j = 0; j < ARRAY_SIZE(others); j++)
			KUNIT_EXPECT_EQ_MSG(test, -EINVAL,
					    phantom_write_file(test, root,
							       "auto_online_blocks",
							       others[j]),
					    "%s", others[j]);
		KUNIT_EXPECT_STREQ(test, text,
				   phantom_read_file(test, root,
						     "auto_online_blocks"));
	}
}

/* Without a default that was set, that of the configuration counts. */
static void default_online_type_is_that_of_configuration(struct kunit *test)
{
	enum mmop expected = MMOP_OFFLINE;

	if (IS_ENABLED(CONFIG_MHP_DEFAULT_ONLINE_TYPE_ONLINE_AUTO))
		expected = MMOP_ONLINE;
	if (IS_ENABLED(CONFIG_MHP_DEFAULT_ONLINE_TYPE_ONLINE_KERNEL))
		expected = MMOP_ONLINE_KERNEL;
	if (IS_ENABLED(CONFIG_MHP_DEFAULT_ONLINE_TYPE_ONLINE_MOVABLE))
		expected = MMOP_ONLINE_MOVABLE;

	phantom_set_default_online_type(test, -1);
	KUNIT_EXPECT_EQ(test, expected, mhp_get_default_online_type());
	KUNIT_EXPECT_EQ(test, expected, mhp_get_default_online_type());
}

/*
 * The default for memory that is added is what the command line says, unless that is
 * none of the words for it.
 */
static void default_online_type_is_that_of_command_line(struct kunit *test)
{
	static const char name[] = "memhp_default_state=";
	char word[32];
	int i;

	phantom_set_default_online_type(test, MMOP_OFFLINE);
	for (i = ARRAY_SIZE(online_words) - 1; i >= 0; i--) {
		strscpy(word, online_words[i], sizeof(word));
		KUNIT_EXPECT_EQ(test, 1, phantom_boot_option(test, name, word));
		KUNIT_EXPECT_EQ(test, i, mhp_get_default_online_type());
		strscpy(word, "auto", sizeof(word));
		KUNIT_EXPECT_EQ(test, 1, phantom_boot_option(test, name, word));
		KUNIT_EXPECT_EQ(test, i, mhp_get_default_online_type());
	}
}

/*
 * An address that is written to hard_offline_page has its page taken out of use, one
 * that is written to soft_offline_page is not if its page is skippable, and what is no
 * number fails with -EINVAL.
 */
static void address_that_is_written_is_taken_out_of_use(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);
	const unsigned long pfn = ph->start_pfn + 3;
	struct device *root = get_memory_root(test, ph);
	char text[32];

	if (!IS_ENABLED(CONFIG_MEMORY_FAILURE))
		kunit_skip(test, "CONFIG_MEMORY_FAILURE is not set");

	snprintf(text, sizeof(text), "%#llx\n", PFN_PHYS(pfn));
	KUNIT_EXPECT_EQ(test, -EIO,
			phantom_write_file(test, root, "soft_offline_page", text));
	KUNIT_EXPECT_EQ(test, -EINVAL,
			phantom_write_file(test, root, "soft_offline_page", "page"));
	KUNIT_EXPECT_EQ(test, -EINVAL,
			phantom_write_file(test, root, "hard_offline_page", "page"));
	phantom_expect(ph, ph->start_pfn, ph->nr_pages, PHANTOM_SKIPPABLE);

	phantom_set(ph, ph->start_pfn, pageblock_nr_pages, PHANTOM_FREE);
	KUNIT_EXPECT_EQ(test, strlen(text),
			phantom_write_file(test, root, "hard_offline_page", text));
	KUNIT_EXPECT_TRUE(test, PageHWPoison(pfn_to_page(pfn)));
	KUNIT_EXPECT_EQ(test, pageblock_nr_pages - 1, phantom_nr_free(ph));
	KUNIT_EXPECT_EQ(test, 0, unpoison_memory(pfn));
	KUNIT_EXPECT_EQ(test, pageblock_nr_pages, phantom_nr_free(ph));
}

/**
 * struct param_word - a word for a parameter
 * @word: the word that is written
 * @read: what is read then, or NULL if it is refused
 */
struct param_word {
	const char *word;
	const char *read;
};

static void expect_param_words(struct kunit *test, const char *name,
			       const struct param_word *words, unsigned int nr)
{
	unsigned int i, j;

	phantom_set_param(test, name, words[0].word);
	for (i = 0; i < nr; i++) {
		if (!words[i].read)
			continue;
		KUNIT_EXPECT_EQ_MSG(test, 0,
				    phantom_write_param(test, name, words[i].word),
				    "%s", words[i].word);
		KUNIT_EXPECT_STREQ(test, words[i].read,
				   phantom_read_param(test, name));
		for (j = 0; j < nr; j++) {
			if (words[j].read)
				continue;
			KUNIT_EXPECT_EQ_MSG(test, -EINVAL,
					    phantom_write_param(test, name,
								words[j].word),
					    "%s", words[j].word);
		}
		KUNIT_EXPECT_STREQ(test, words[i].read,
				   phantom_read_param(test, name));
	}
}

/*
 * The policy for memory that is onlined without a zone is one of two words, and is
 * read as it was written; anything else fails with -EINVAL and changes nothing.
 */
static void online_policy_is_what_is_written(struct kunit *test)
{
	static const struct param_word words[] = {
		{ "contig-zones", "contig-zones\n" },
		{ "auto-movable\n", "auto-movable\n" },
		{ "" }, { "auto" }, { "contig-zones-" }, { "0" },
	};

	expect_param_words(test, "memory_hotplug.online_policy", words,
			   ARRAY_SIZE(words));
}

/*
 * The memmap can be on the memory that is added if the parameter says so, and if it
 * fills pageblocks there or these may be wasted; what is no such word fails with
 * -EINVAL and changes nothing.
 */
static void memmap_on_memory_is_what_is_written(struct kunit *test)
{
#ifdef CONFIG_MHP_MEMMAP_ON_MEMORY
	static const char name[] = "memory_hotplug.memmap_on_memory";
	static const struct param_word words[] = {
		{ "n", "N\n" },
		{ "1", "Y\n" },
		{ "force", "force\n" },
		{ "0", "N\n" },
		{ "y\n", "Y\n" },
		{ "FORCE\n", "force\n" },
		{ "maybe" }, { "" }, { "?" },
	};
	const unsigned long nr_block_pages = PHYS_PFN(memory_block_size_bytes());
	const unsigned long size = nr_block_pages * sizeof(struct page);
	const unsigned long nr_pages = PFN_UP(size);

	expect_param_words(test, name, words, ARRAY_SIZE(words));

	KUNIT_EXPECT_EQ(test, 0, phantom_write_param(test, name, "n"));
	KUNIT_EXPECT_FALSE(test, mhp_supports_memmap_on_memory());
	/* Others ask for less, see arch_supports_memmap_on_memory(). */
	if (!IS_ENABLED(CONFIG_X86_64))
		return;
	KUNIT_EXPECT_EQ(test, 0, phantom_write_param(test, name, "y"));
	KUNIT_EXPECT_EQ(test,
			pageblock_aligned(nr_pages) && IS_ALIGNED(size, PMD_SIZE),
			mhp_supports_memmap_on_memory());
	KUNIT_EXPECT_EQ(test, 0, phantom_write_param(test, name, "force"));
	KUNIT_EXPECT_EQ(test,
			pageblock_align(nr_pages) < nr_block_pages &&
				IS_ALIGNED(size, PMD_SIZE),
			mhp_supports_memmap_on_memory());
#else
	kunit_skip(test, "CONFIG_MHP_MEMMAP_ON_MEMORY is not set");
#endif
}

static int memory_hotplug_faults_init(struct kunit *test)
{
	kunit_fault_init(test);
	return offline_skippable_hotplug_init(test);
}

static struct kunit_case memory_hotplug_cases[] = {
	KUNIT_CASE_PARAM(contiguous_allocation_keeps_isolation_of_others,
			 zone_gen_params),
	KUNIT_CASE(watermarks_are_those_for_online_memory),
	KUNIT_CASE(node_is_brought_online_once),
#ifdef CONFIG_MEMORY_FAILURE
	KUNIT_CASE(soft_offline_leaves_alone_what_went_offline),
	KUNIT_CASE(memory_failure_leaves_alone_what_went_offline),
#endif
	KUNIT_CASE(refused_online_type_is_forgotten),
	KUNIT_CASE(files_tell_about_memory_block),
	KUNIT_CASE(default_online_type_is_what_is_written),
	KUNIT_CASE(default_online_type_is_that_of_configuration),
	KUNIT_CASE(default_online_type_is_that_of_command_line),
	KUNIT_CASE_PARAM(address_that_is_written_is_taken_out_of_use, zone_gen_params),
	KUNIT_CASE(online_policy_is_what_is_written),
	KUNIT_CASE(memmap_on_memory_is_what_is_written),
	KUNIT_CASE(part_of_memory_block_is_not_removed),
	KUNIT_CASE(failed_removal_keeps_poisoned_memory_online),
	KUNIT_CASE(migration_keeps_no_reference_to_hwpoisoned_folio),
#if defined(CONFIG_NUMA) && defined(NODE_ADDING_FIRST_MEMORY)
	KUNIT_CASE(node_keeps_its_memory_type),
	KUNIT_CASE(node_without_memory_has_no_memory_type),
	KUNIT_CASE(memory_keeps_its_type_without_driver),
#endif
	{}
};

static struct kunit_suite memory_hotplug_suite = {
	.name = "memory_hotplug",
	.init = offline_skippable_hotplug_init,
	.suite_exit = offline_skippable_suite_exit,
	.test_cases = memory_hotplug_cases,
};

static struct kunit_case memory_hotplug_faults_cases[] = {
	KUNIT_CASE(adding_tells_lack_of_memory),
	KUNIT_CASE(removing_tells_lack_of_memory),
	KUNIT_CASE(adding_of_a_block_leaves_nothing_behind),
	KUNIT_CASE(adding_leaves_nothing_behind),
	KUNIT_CASE(adding_survives_without_page_tables),
	KUNIT_CASE(firmware_map_recovers_without_memory),
	KUNIT_CASE(onlining_recovers_without_memory),
	KUNIT_CASE(onlining_fails_without_per_cpu_lists),
#if defined(CONFIG_NUMA) && defined(NODE_ADDING_FIRST_MEMORY)
	KUNIT_CASE(memory_tier_recovers_without_memory),
#endif
	{}
};

static struct kunit_suite memory_hotplug_faults_suite = {
	.name = "memory_hotplug_faults",
	.init = memory_hotplug_faults_init,
	.suite_exit = offline_skippable_suite_exit,
	.test_cases = memory_hotplug_faults_cases,
};

kunit_test_suites(&memory_hotplug_suite, &memory_hotplug_faults_suite);

MODULE_DESCRIPTION("KUnit tests for memory hotplug");
MODULE_LICENSE("GPL");
