// SPDX-License-Identifier: GPL-2.0
/*
 * Phantom memory for KUnit tests, see include/kunit/phantom_memory.h.
 */
#include <kunit/phantom_memory.h>
#include <kunit/test-bug.h>
#include <kunit/test.h>
#include <linux/cc_platform.h>
#include <linux/cpufeature.h>
#include <linux/device/driver.h>
#include <linux/gfp.h>
#include <linux/initrd.h>
#include <linux/ioport.h>
#include <linux/jhash.h>
#include <linux/memblock.h>
#include <linux/memory.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/notifier.h>
#include <linux/page-isolation.h>
#include <linux/page_ref.h>
#include <linux/printk.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/swap.h>
#include <linux/vmstat.h>

#ifdef CONFIG_X86
#include <asm/mshyperv.h>
#include <xen/xen.h>
#endif

#include "../internal.h"
#include <kunit/memory_compat.h>

#undef MODULE_PARAM_PREFIX
#define MODULE_PARAM_PREFIX "phantom_memory."

static bool any_machine = IS_ENABLED(CONFIG_PHANTOM_MEMORY_KUNIT_ANY_MACHINE);
module_param(any_machine, bool, 0644);
MODULE_PARM_DESC(any_machine,
		 "Map addresses that nothing responds to even if this may be a real machine");

static bool running_system;
module_param(running_system, bool, 0644);
MODULE_PARM_DESC(running_system,
		 "Hotplug memory that does not exist even if user space may notice");

/*
 * Room for layouts of a few pageblocks, aligned such that neither isolation nor
 * merging of free pages looks beyond it.
 */
#define PHANTOM_NR_PAGES							\
	max(4 * pageblock_nr_pages, 2 * MAX_ORDER_NR_PAGES)

/* Shared by the test cases of a suite, see phantom_memory_get(). */
static struct phantom_memory *phantom_shared;

/* The phantom memory that is being onlined, for phantom_online_page() */
static struct phantom_memory *phantom_onlining;

/* The zones of the node that phantom_guard() guards */
static bool phantom_guards[MAX_NR_ZONES];

/*
 * More pages than a zone can have, even after __zone_watermark_ok() has taken
 * fractions of it and has added up a few of these.
 */
#define PHANTOM_GUARD	(LONG_MAX / 4)

/* The node that phantom memory is added to. */
static int phantom_nid(void)
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

static bool phantom_guarded(const struct phantom_memory *ph)
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

static int count_memory_block(struct memory_block *mem, void *arg)
{
	unsigned long *nr_memory_blocks = arg;

	(*nr_memory_blocks)++;
	return 0;
}

static int hash_resource(struct resource *res, void *arg)
{
	u32 *hash = arg;

	*hash = jhash(&res->start, sizeof(res->start), *hash);
	*hash = jhash(&res->end, sizeof(res->end), *hash);
	*hash = jhash(&res->flags, sizeof(res->flags), *hash);
	return 0;
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
		snapshot->zone[i].isolated = zone->nr_isolate_pageblock;
		snapshot->zone[i].watermark = min_wmark_pages(zone);
		snapshot->zone[i].free = zone_page_state_snapshot(zone, NR_FREE_PAGES);
	}
	snapshot->node_present = pgdat->node_present_pages;
	snapshot->node_spanned = pgdat->node_spanned_pages;
	snapshot->totalram = totalram_pages();
	for_each_memory_block(&snapshot->nr_memory_blocks, count_memory_block);
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

static bool in_virtual_machine(void)
{
#ifdef CONFIG_X86
	/* These see the real machine's physical addresses. */
	if (xen_pv_domain() || xen_initial_domain() || hv_root_partition())
		return false;
	return cpu_feature_enabled(X86_FEATURE_HYPERVISOR);
#else
	return false;
#endif
}

/* Phantom memory has no contents: skip if the kernel writes to free pages. */
static void require_untouched_contents(struct kunit *test)
{
	if (page_poisoning_enabled())
		kunit_skip(test, "page_poison writes to free pages");
	if (want_init_on_free())
		kunit_skip(test, "init_on_free writes to free pages");
	if (kasan_hw_tags_enabled())
		kunit_skip(test, "KASAN_HW_TAGS writes tags of free pages");
	if (IS_ENABLED(CONFIG_KMSAN))
		kunit_skip(test, "KMSAN has no metadata for hotplugged memory");
#ifdef CONFIG_S390
	if (cmma_flag)
		kunit_skip(test, "the hypervisor hears of free pages without cmma=off");
#endif
}

/**
 * phantom_require() - skip a test case where phantom memory would do harm
 * @test: the test case
 *
 * Nothing accesses phantom memory on purpose, but it is in the direct mapping,
 * so a CPU may read from it speculatively. On a real machine, a range that is
 * not in the resource tree may be one that nobody may access, or that a device
 * responds to. So without the parameter phantom_memory.any_machine, the kernel
 * has to know that it runs in a virtual machine.
 *
 * User space might online phantom memory, read it by /proc/kcore or allocate
 * all memory. So without the parameter phantom_memory.running_system, user
 * space must not have been started.
 *
 * Also waits for what changes the counters of memory hotplug while the kernel
 * boots: the memory of an initrd is freed, and devices are probed.
 *
 * To be called first, in the init() of suites. Context: May sleep.
 */
void phantom_require(struct kunit *test)
{
	if (!any_machine && !in_virtual_machine())
		kunit_skip(test, "maybe a real machine, and no phantom_memory.any_machine");
	if (!running_system && system_state >= SYSTEM_RUNNING)
		kunit_skip(test, "user space runs, and no phantom_memory.running_system");
	if (cc_platform_has(CC_ATTR_MEM_ENCRYPT))
		kunit_skip(test, "memory is encrypted, so must exist to be added");
	require_untouched_contents(test);

	wait_for_initramfs();
	wait_for_device_probe();
}

/*
 * Adding @size bytes takes a memmap, which is doubled here to account for page
 * tables and the like, and maybe a shadow. If memory is short, allocations for
 * reclaim ignore phantom_guard(), and arch_add_memory() of x86 crashes.
 */
static void require_free_memory(struct kunit *test, u64 size)
{
	u64 needed = 2 * PHYS_PFN(size) * sizeof(struct page);

	if (IS_ENABLED(CONFIG_KASAN_GENERIC))
		needed += size / 8;
	if (global_zone_page_state(NR_FREE_PAGES) <
	    totalreserve_pages + PHYS_PFN(needed))
		kunit_skip(test, "there is not enough memory for the memmap");
}

/**
 * phantom_find_range() - find a physical range with nothing in it
 * @test: the test case, which is skipped if there is none, or if the system
 *	cannot have phantom memory
 * @size: size of the range in bytes
 *
 * Context: May sleep.
 * Return: the physical start address, aligned to memory_block_size_bytes().
 */
u64 phantom_find_range(struct kunit *test, u64 size)
{
	const struct range range = mhp_get_pluggable_range(true);
	const u64 align = memory_block_size_bytes();
	static u64 lowest;
	u64 start;

	phantom_require(test);
	require_free_memory(test, size);

	/*
	 * Below 4 GiB, platforms have devices that are not always in the
	 * resource tree, so stay away even though nothing gets accessed. Adding
	 * memory moves max_pfn, and removing it does not move it back.
	 */
	if (!lowest)
		lowest = max3(range.start, PFN_PHYS(max_pfn), (u64)SZ_4G);
	for (start = ALIGN(lowest, align);
	     start <= range.end && range.end - start >= size - 1;
	     start += align) {
		if (region_intersects(start, size, 0, IORES_DESC_NONE) !=
		    REGION_DISJOINT)
			continue;
		if (start + size > max_mem_size && system_state < SYSTEM_RUNNING)
			kunit_skip(test, "memory cannot be added, as with mem=");
		return start;
	}
	kunit_skip(test, "no %llu MiB of free physical address space in %#llx-%#llx",
		   size / SZ_1M, range.start, range.end);
}

/* Nobody but test cases may online phantom memory, not even a rule of udev. */
static int phantom_notify(struct notifier_block *nb, unsigned long event,
			  void *arg)
{
	const struct phantom_memory *ph = container_of(nb, struct phantom_memory,
						       nb);
	const struct memory_notify *notify = arg;
	const u64 start = PFN_PHYS(notify->start_pfn);

	if (event == MEM_GOING_ONLINE && start >= ph->start &&
	    start < ph->start + ph->size && !kunit_get_current_test())
		return notifier_from_errno(-EPERM);
	return NOTIFY_OK;
}

static int phantom_memory_remove(struct phantom_memory *ph)
{
	int ret = ph->size ? remove_memory(ph->start, ph->size) : 0;

	if (!ret)
		unregister_memory_notifier(&ph->nb);
	return ret;
}

static struct phantom_memory *__phantom_memory_add(struct kunit *test, u64 size)
{
	struct phantom_memory *ph;
	u64 start;
	int ret;

	start = phantom_find_range(test, size);

	ph = kzalloc_obj(*ph);
	KUNIT_ASSERT_NOT_NULL(test, ph);
	ph->test = test;
	ph->nid = phantom_nid();
	ph->start = start;
	ph->size = size;
	ph->nb.notifier_call = phantom_notify;
	register_memory_notifier(&ph->nb);

	ret = __add_memory_driver_managed(ph->nid, ph->start, ph->size,
					  "System RAM (kunit)", MHP_NONE,
					  MMOP_OFFLINE);
	if (ret) {
		unregister_memory_notifier(&ph->nb);
		kfree(ph);
		KUNIT_FAIL_AND_ABORT(test, "adding memory failed: %d", ret);
	}
	return ph;
}

static void phantom_memory_remove_action(void *arg)
{
	struct phantom_memory *ph = arg;
	int ret = phantom_memory_remove(ph);

	KUNIT_EXPECT_EQ_MSG(ph->test, 0, ret, "phantom memory not removed");
	if (!ret)
		kfree(ph);
}

/**
 * phantom_memory_add() - add phantom memory for a single test case
 * @test: the test case; the memory is removed when it ends. The test case is
 *	skipped if the system cannot have phantom memory.
 * @size: size in bytes, a multiple of memory_block_size_bytes()
 *
 * Context: May sleep.
 * Return: the phantom memory, all of it offline.
 */
struct phantom_memory *phantom_memory_add(struct kunit *test, u64 size)
{
	struct phantom_memory *ph = __phantom_memory_add(test, size);

	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test,
						  phantom_memory_remove_action,
						  ph));
	return ph;
}

/**
 * phantom_memory_get() - get phantom memory that the test cases share
 * @test: the test case. It is skipped if the system cannot have phantom memory.
 *
 * Adding and removing a memory block takes longer than most test cases, so it
 * is done once per suite.
 *
 * Context: May sleep.
 * Return: the phantom memory, all of it offline, large enough for the layouts
 *	that phantom_online() makes room for.
 */
struct phantom_memory *phantom_memory_get(struct kunit *test)
{
	u64 size = ALIGN(PFN_PHYS(PHANTOM_NR_PAGES), memory_block_size_bytes());

	if (!phantom_shared)
		phantom_shared = __phantom_memory_add(test, size);
	phantom_shared->test = test;
	return phantom_shared;
}

/**
 * phantom_memory_put() - remove the phantom memory of phantom_memory_get()
 *
 * For the suite_exit() of every suite that uses phantom_memory_get().
 *
 * Context: May sleep.
 */
void phantom_memory_put(void)
{
	if (!phantom_shared)
		return;
	if (WARN_ON_ONCE(phantom_memory_remove(phantom_shared)))
		pr_err("phantom memory of KUnit stays in the system\n");
	else
		kfree(phantom_shared);
	phantom_shared = NULL;
}

/*
 * The online_page callback for phantom memory: pages stay PageOffline(), as if
 * they belonged to the test. Other memory is not supposed to be onlined at the
 * same time; if it is, it goes to the buddy as usual.
 */
static void phantom_online_page(struct page *page, unsigned int order)
{
	const unsigned long pfn = page_to_pfn(page);
	const struct phantom_memory *ph = phantom_onlining;

	if (pfn < ph->start_pfn || pfn >= phantom_end_pfn(ph))
		generic_online_page(page, order);
}

/* Let phantom_online_page() handle @nr_pages from @start_pfn on from now on. */
static void phantom_prepare_online(struct phantom_memory *ph,
				   unsigned long start_pfn,
				   unsigned long nr_pages,
				   enum mmop online_type)
{
	KUNIT_ASSERT_NULL_MSG(ph->test, ph->zone, "already online");
	if (set_online_page_callback(phantom_online_page))
		kunit_skip(ph->test, "a driver has set its online_page callback");

	ph->start_pfn = start_pfn;
	ph->nr_pages = nr_pages;
	ph->zone = zone_for_pfn_range(online_type, ph->nid, NULL, start_pfn,
				      nr_pages);
	phantom_onlining = ph;
}

static void phantom_offline_action(void *arg);

/* Forget the online part of @ph, which is offline now. */
static void phantom_clear_online(struct phantom_memory *ph)
{
	if (ph->block)
		memory_block_put(ph->block);
	ph->block = NULL;
	ph->zone = NULL;
}

/* Onlining returned @ret. Abort the test case if that is not 0. */
static void phantom_finish_online(struct phantom_memory *ph, int ret)
{
	restore_online_page_callback(phantom_online_page);
	phantom_onlining = NULL;
	if (ret)
		phantom_clear_online(ph);
	KUNIT_ASSERT_EQ_MSG(ph->test, 0, ret, "onlining failed");
	KUNIT_ASSERT_EQ(ph->test, 0,
			kunit_add_action_or_reset(ph->test,
						  phantom_offline_action, ph));
}

/**
 * phantom_online() - online a few pageblocks of phantom memory
 * @ph: the phantom memory; nothing of it must be online
 * @online_type: MMOP_ONLINE_MOVABLE or MMOP_ONLINE_KERNEL
 *
 * Onlines the last PHANTOM_NR_PAGES pages by way of online_pages(), behind the
 * back of the memory block device; the part of the memory block before them
 * stays offline, as it is done for a memmap on memory. Onlining a whole memory
 * block takes many times longer.
 *
 * Aborts the test case on errors. The pages go offline when it ends.
 *
 * Context: May sleep.
 */
void phantom_online(struct phantom_memory *ph, enum mmop online_type)
{
	const unsigned long nr_pages = PHANTOM_NR_PAGES;
	int ret;

	phantom_prepare_online(ph, PHYS_PFN(ph->start + ph->size) - nr_pages,
			       nr_pages, online_type);
	mem_hotplug_begin();
	ret = online_pages(ph->start_pfn, nr_pages, ph->zone, NULL);
	mem_hotplug_done();
	phantom_finish_online(ph, ret);
}

/**
 * phantom_device_online() - online a memory block, as user space does
 * @start: physical start address of the memory block, in bytes
 * @online_type: how to online it
 *
 * Unlike phantom_block_online(), it leaves the pages to whoever added the
 * memory.
 *
 * Context: May sleep.
 * Return: what device_online() returns, or -ENODEV.
 */
int phantom_device_online(u64 start, enum mmop online_type)
{
	struct memory_block *mem;
	int ret = -ENODEV;

	lock_device_hotplug();
	mem = memory_block_at(start);
	if (mem) {
		mem->online_type = online_type;
		ret = device_online(&mem->dev);
		memory_block_put(mem);
	}
	unlock_device_hotplug();
	return ret;
}

/**
 * phantom_device_offline() - try to offline a memory block, as user space does
 * @start: physical start address of the memory block, in bytes
 *
 * Context: May sleep.
 * Return: what device_offline() returns, or -ENODEV.
 */
int phantom_device_offline(u64 start)
{
	struct memory_block *mem;
	int ret = -ENODEV;

	lock_device_hotplug();
	mem = memory_block_at(start);
	if (mem) {
		ret = device_offline(&mem->dev);
		memory_block_put(mem);
	}
	unlock_device_hotplug();
	return ret;
}

/**
 * phantom_block_online() - online a whole memory block of phantom memory
 * @ph: the phantom memory; nothing of it must be online
 * @online_type: MMOP_ONLINE_MOVABLE or MMOP_ONLINE_KERNEL, or MMOP_OFFLINE to
 *	have the kernel choose, as writing 1 to the file "online" does
 *
 * Onlines the first memory block through the driver core, as user space does.
 * Aborts the test case on errors. The memory block goes offline when it ends.
 *
 * Context: May sleep.
 */
void phantom_block_online(struct phantom_memory *ph, enum mmop online_type)
{
	int ret = -ENODEV;

	phantom_prepare_online(ph, PHYS_PFN(ph->start),
			       PHYS_PFN(memory_block_size_bytes()),
			       online_type);
	lock_device_hotplug();
	ph->block = memory_block_at(ph->start);
	if (ph->block) {
		if (online_type != MMOP_OFFLINE)
			ph->block->online_type = online_type;
		ret = device_online(&ph->block->dev);
		ph->zone = page_zone(pfn_to_page(ph->start_pfn));
	}
	unlock_device_hotplug();
	phantom_finish_online(ph, ret);
}

/* Give PageOffline() pages to the buddy, in chunks as large as possible. */
static void phantom_give_to_buddy(struct phantom_memory *ph, unsigned long pfn,
				  unsigned long nr_pages)
{
	const unsigned long end_pfn = pfn + nr_pages;

	if (!phantom_guarded(ph))
		kunit_skip(ph->test, "zone %s has other memory that is needed",
			   ph->zone->name);
	while (pfn < end_pfn) {
		unsigned int order = min_t(unsigned int, MAX_PAGE_ORDER,
					   __ffs(pfn));

		while (pfn + (1UL << order) > end_pfn)
			order--;
		generic_online_page(pfn_to_page(pfn), order);
		pfn += 1UL << order;
	}
}

/**
 * phantom_set() - change the state of phantom pages
 * @ph: the phantom memory
 * @pfn: the first page
 * @nr_pages: number of pages, none of which may be PHANTOM_FREE
 * @state: what they become. The test case is skipped if that is PHANTOM_FREE
 *	and the zone has other memory, which the system cannot do without.
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
static void phantom_make_offline(unsigned long pfn, unsigned long nr_pages)
{
	adjust_managed_page_count(pfn_to_page(pfn), -nr_pages);
	for (; nr_pages--; pfn++) {
		set_page_count(pfn_to_page(pfn), PHANTOM_PAGE_COUNT);
		__SetPageOffline(pfn_to_page(pfn));
	}
}

/**
 * phantom_undo_offline_isolated() - undo __offline_isolated_pages()
 * @ph: the phantom memory, for all of which __offline_isolated_pages() was
 *	called
 *
 * Replaces what offline_pages() does after that call, and onlining again: pages
 * that were in the buddy are no longer managed and become PageOffline(), and
 * the sections go online again.
 *
 * Context: May sleep.
 */
void phantom_undo_offline_isolated(struct phantom_memory *ph)
{
	unsigned long pfn, step;

	for (pfn = ph->start_pfn; pfn < phantom_end_pfn(ph); pfn += step) {
		struct page *page = pfn_to_page(pfn);

		step = PageBuddy(page) ? 1UL << buddy_order(page) : 1;
		if (!page_has_type(page) && !PageHWPoison(page))
			phantom_make_offline(pfn, 1);
	}
	online_mem_sections(ph->start_pfn, phantom_end_pfn(ph));
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
 * The test case fails if one of them was allocated.
 */
static void phantom_make_all_offline(struct phantom_memory *ph)
{
	struct zone *zone = ph->zone;
	unsigned long pfn, step;

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
			KUNIT_FAIL(ph->test, "pfn %#lx has no memory, but is in use",
				   pfn);
			break;
		}
		set_page_count(page, PHANTOM_PAGE_COUNT);
	}
	undo_isolate_page_range(ph->start_pfn, phantom_end_pfn(ph));
}

/* Offlining of the online part of @ph returned @ret. */
static void phantom_finish_offline(struct phantom_memory *ph, int ret)
{
	if (ret)
		return;
	phantom_clear_online(ph);
	kunit_remove_action(ph->test, phantom_offline_action, ph);
}

/**
 * phantom_offline() - try to offline what phantom_online() onlined
 * @ph: the phantom memory
 *
 * Context: May sleep.
 * Return: what offline_pages() returns.
 */
int phantom_offline(struct phantom_memory *ph)
{
	int ret;

	mem_hotplug_begin();
	ret = offline_pages(ph->start_pfn, ph->nr_pages, ph->zone, NULL);
	mem_hotplug_done();
	phantom_finish_offline(ph, ret);
	return ret;
}

/**
 * phantom_block_offline() - try to offline what phantom_block_online() onlined
 * @ph: the phantom memory
 *
 * Context: May sleep.
 * Return: what device_offline() returns.
 */
int phantom_block_offline(struct phantom_memory *ph)
{
	int ret;

	lock_device_hotplug();
	ret = device_offline(&ph->block->dev);
	unlock_device_hotplug();
	phantom_finish_offline(ph, ret);
	return ret;
}

/**
 * phantom_block_offline_and_remove() - try to offline and remove phantom memory
 * @ph: the phantom memory, from phantom_memory_add() and phantom_block_online()
 *
 * Context: May sleep.
 * Return: what offline_and_remove_memory() returns.
 */
int phantom_block_offline_and_remove(struct phantom_memory *ph)
{
	int ret = offline_and_remove_memory(ph->start, ph->size);

	phantom_finish_offline(ph, ret);
	if (!ret)
		ph->size = 0;
	return ret;
}

static void phantom_offline_action(void *arg)
{
	struct phantom_memory *ph = arg;
	int ret;

	/*
	 * If possible, offline with all pages free. This does not rely on the
	 * code under test, so that a single bug does not make every test case
	 * fail.
	 */
	phantom_make_all_offline(ph);
	phantom_set(ph, ph->start_pfn, ph->nr_pages,
		    phantom_guarded(ph) ? PHANTOM_FREE : PHANTOM_SKIPPABLE);
	ret = ph->block ? phantom_block_offline(ph) : phantom_offline(ph);
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

/*
 * Give all pages to the buddy. The test case fails if some of them are in use.
 */
static void phantom_give_all_to_buddy(struct phantom_memory *ph)
{
	unsigned long pfn, step;
	bool in_use = false;

	drain_all_pages(ph->zone);
	undo_isolate_page_range(ph->start_pfn, phantom_end_pfn(ph));

	for (pfn = ph->start_pfn; pfn < phantom_end_pfn(ph); pfn += step) {
		struct page *page = pfn_to_page(pfn);

		step = PageBuddy(page) ? 1UL << buddy_order(page) : 1;
		if (PageBuddy(page) || PageOffline(page))
			continue;
		in_use = true;
		phantom_make_offline(pfn, 1);
	}
	/*
	 * Do this only now, because free pages merge with free pages behind
	 * them.
	 */
	for (pfn = ph->start_pfn; pfn < phantom_end_pfn(ph); pfn += step) {
		struct page *page = pfn_to_page(pfn);

		step = PageBuddy(page) ? 1UL << buddy_order(page) : 1;
		if (!PageOffline(page))
			continue;
		for (step = 0; pfn + step < phantom_end_pfn(ph); step++) {
			page = pfn_to_page(pfn + step);
			if (!PageOffline(page))
				break;
			ClearPageDirty(page);
			set_page_count(page, PHANTOM_PAGE_COUNT);
		}
		phantom_set(ph, pfn, step,
			    phantom_guarded(ph) ? PHANTOM_FREE : PHANTOM_SKIPPABLE);
	}
	KUNIT_EXPECT_FALSE_MSG(ph->test, in_use, "pages without memory are in use");
}

/**
 * phantom_remove_leftover() - remove memory that was added by somebody else
 * @test: the test case, which fails if the memory is in use or cannot be
 *	removed
 * @start: start of a range from phantom_find_range()
 * @size: its size
 *
 * For test cases of a driver that adds memory itself, and leaves some of it
 * behind when it is unloaded. Nobody may use the memory any more.
 *
 * Context: May sleep.
 */
void phantom_remove_leftover(struct kunit *test, u64 start, u64 size)
{
	const u64 block_size = memory_block_size_bytes();
	const u64 end = start + size;
	int ret;

	for (; start < end; start += block_size) {
		struct phantom_memory ph = {
			.test = test,
			.start_pfn = PHYS_PFN(start),
			.nr_pages = PHYS_PFN(block_size),
		};

		lock_device_hotplug();
		ph.block = memory_block_at(start);
		if (!ph.block) {
			unlock_device_hotplug();
			continue;
		}
		ret = 0;
		if (ph.block->state == MEM_ONLINE) {
			ph.zone = page_zone(pfn_to_page(ph.start_pfn));
			phantom_give_all_to_buddy(&ph);
			ret = device_offline(&ph.block->dev);
		}
		memory_block_put(ph.block);
		unlock_device_hotplug();
		KUNIT_EXPECT_EQ_MSG(test, 0, ret, "memory block stays online");
		if (!ret)
			KUNIT_EXPECT_EQ(test, 0, remove_memory(start, block_size));
	}
}
