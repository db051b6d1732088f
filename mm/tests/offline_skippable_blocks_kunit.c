// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests for offlining in layouts of memory blocks: two of which one
 * refuses, several sections, memory groups, a memmap on memory, and all the
 * memory of a node.
 */
#include <kunit/fault.h>
#include <kunit/known_bug.h>
#include <linux/firmware-map.h>
#include <linux/memory.h>
#include <linux/memory_hotplug.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/node.h>
#include <linux/notifier.h>
#include <linux/page_ref.h>
#include <linux/slab.h>

#include "../internal.h"
#include "offline_skippable.h"

#define BLOCK_NR_PAGES	PHYS_PFN(memory_block_size_bytes())

/* A single block at @start, which the test case adds and removes. */
static struct phantom_memory *phantom_block_at(struct kunit *test, u64 start,
					       int nid)
{
	return phantom_memory_at(test, start, memory_block_size_bytes(), nid);
}

/* Online a memory block, all pages of which are skippable then. */
static void online_skippable(struct phantom_memory *ph,
			     enum mmop online_type)
{
	phantom_block_online(ph, online_type);
	phantom_set(ph, ph->start_pfn, ph->nr_pages, PHANTOM_SKIPPABLE);
}

/* The online_page callback of a driver that keeps all pages. */
static void keep_page_skippable(struct page *page, unsigned int order)
{
	unsigned long i;

	for (i = 0; i < 1UL << order; i++)
		SetPageOfflineSkippable(page + i);
}

static void set_callback(struct kunit *test)
{
	if (set_online_page_callback(keep_page_skippable))
		kunit_skip(test, "a driver has set its online_page callback");
}

/*
 * Several blocks, several sections
 */

/*
 * If the second of two memory blocks refuses to go offline,
 * offline_and_remove_memory() fails with -EBUSY, and onlines the first one to
 * the zone it was in, by way of the driver.
 */
static void first_block_is_onlined_again_if_the_second_refuses(struct kunit *test)
{
	const struct offline_skippable_param *param = test->param_value;
	const u64 size = memory_block_size_bytes();
	struct phantom_memory *both, *first, *second;
	struct phantom_snapshot online;
	struct zone *zone;

	both = phantom_memory_add(test, 2 * size);
	first = phantom_block_at(test, both->start, both->nid);
	second = phantom_block_at(test, both->start + size, both->nid);
	online_skippable(first, param->online_type);
	online_skippable(second, param->online_type);
	phantom_set(second, phantom_end_pfn(second) - 1, 1, PHANTOM_OFFLINE);
	zone = first->zone;
	phantom_snapshot_take(&online);

	set_callback(test);
	KUNIT_EXPECT_EQ(test, -EBUSY,
			offline_and_remove_memory(both->start, both->size));
	restore_online_page_callback(keep_page_skippable);

	KUNIT_EXPECT_EQ(test, MEM_ONLINE, first->block->state);
	KUNIT_EXPECT_EQ(test, MEM_ONLINE, second->block->state);
	KUNIT_EXPECT_PTR_EQ(test, zone, page_zone(pfn_to_page(first->start_pfn)));
	phantom_snapshot_expect(test, &online);
	phantom_expect_isolated(first, 0);
	phantom_expect(first, first->start_pfn, first->nr_pages,
		       PHANTOM_SKIPPABLE);
	phantom_expect(second, second->start_pfn, second->nr_pages - 1,
		       PHANTOM_SKIPPABLE);
	phantom_expect(second, phantom_end_pfn(second) - 1, 1, PHANTOM_OFFLINE);
}

/* Expect that all pageblocks of both are isolated, or none of either is. */
static void expect_both_isolated(struct phantom_memory *first,
				 struct phantom_memory *last, bool isolated)
{
	unsigned long pfn;

	KUNIT_EXPECT_EQ(first->test, isolated ? first->nr_pages + last->nr_pages : 0,
			first->zone->nr_isolate_pageblock * pageblock_nr_pages);
	for (pfn = first->start_pfn; pfn < phantom_end_pfn(last); pfn += pageblock_nr_pages) {
		struct page *page = pfn_to_online_page(pfn);

		if (page)
			KUNIT_EXPECT_EQ(first->test, isolated, is_migrate_isolate_page(page));
	}
}

/*
 * Where all of a range is isolated, and where that is undone, memory blocks are passed
 * over that are offline.
 */
static void isolation_passes_over_memory_that_is_offline(struct kunit *test)
{
	const struct offline_skippable_param *param = test->param_value;
	const u64 size = memory_block_size_bytes();
	struct phantom_memory *all, *first, *last;

	all = phantom_memory_add(test, 3 * size);
	first = phantom_block_at(test, all->start, all->nid);
	last = phantom_block_at(test, all->start + 2 * size, all->nid);
	online_skippable(first, param->online_type);
	online_skippable(last, param->online_type);

	KUNIT_EXPECT_EQ(test, 0,
			start_isolate_page_range(first->start_pfn, phantom_end_pfn(last),
						 PB_ISOLATE_MODE_MEM_OFFLINE));
	expect_both_isolated(first, last, true);
	undo_isolate_page_range(first->start_pfn, phantom_end_pfn(last));
	expect_both_isolated(first, last, false);
}

static void offline_sections(void *arg)
{
	struct phantom_memory *ph = arg;

	if (!ph->zone)
		return;
	phantom_set(ph, ph->start_pfn, ph->nr_pages, PHANTOM_SKIPPABLE);
	KUNIT_EXPECT_EQ(ph->test, 0, phantom_offline(ph));
}

/*
 * Online the end of a section and all of the next one at once, and make all
 * pages skippable. The first section is the first one of @ph.
 */
static void online_two_sections(struct phantom_memory *ph, enum mmop online_type)
{
	const unsigned long nr_pages =
		phantom_offlinable(min(4 * pageblock_nr_pages, PAGES_PER_SECTION));
	struct zone *zone;
	int ret;

	ph->start_pfn = PHYS_PFN(ph->start) + PAGES_PER_SECTION - nr_pages;
	ph->nr_pages = PAGES_PER_SECTION + nr_pages;
	zone = zone_for_pfn_range(online_type, ph->nid, NULL, ph->start_pfn,
				  ph->nr_pages);
	set_callback(ph->test);
	ret = phantom_online_pages(ph->start_pfn, ph->nr_pages, zone);
	restore_online_page_callback(keep_page_skippable);
	KUNIT_ASSERT_EQ(ph->test, 0, ret);
	ph->zone = zone;
	KUNIT_ASSERT_EQ(ph->test, 0,
			kunit_add_action_or_reset(ph->test, offline_sections, ph));
}

/* Expect both sections to be online, or both to be offline. */
static void expect_sections(struct phantom_memory *ph, bool online)
{
	const unsigned long last_pfn = phantom_end_pfn(ph) - 1;

	KUNIT_EXPECT_EQ(ph->test, online, !!pfn_to_online_page(ph->start_pfn));
	KUNIT_EXPECT_EQ(ph->test, online, !!pfn_to_online_page(last_pfn));
}

/*
 * A range that is in two sections goes offline if all its pages are
 * skippable, and stays online in both if the last page of the second section is
 * not.
 */
static void sections_go_offline_together(struct kunit *test)
{
	const struct offline_skippable_param *param = test->param_value;
	const u64 block_size = memory_block_size_bytes();
	struct phantom_memory *ph;
	struct phantom_snapshot offline, online;
	unsigned long last_pfn;

	ph = phantom_memory_add(test, max_t(u64, block_size,
					    2 * PFN_PHYS(PAGES_PER_SECTION)));
	phantom_snapshot_take(&offline);
	online_two_sections(ph, param->online_type);
	last_pfn = phantom_end_pfn(ph) - 1;
	expect_sections(ph, true);

	phantom_set(ph, last_pfn, 1, PHANTOM_OFFLINE);
	phantom_snapshot_take(&online);
	KUNIT_ASSERT_EQ(test, -EBUSY, phantom_offline(ph));
	expect_sections(ph, true);
	phantom_expect_isolated(ph, 0);
	phantom_snapshot_expect(test, &online);

	phantom_set(ph, last_pfn, 1, PHANTOM_SKIPPABLE);
	phantom_expect(ph, ph->start_pfn, ph->nr_pages, PHANTOM_SKIPPABLE);
	KUNIT_ASSERT_EQ(test, 0, phantom_offline(ph));
	expect_sections(ph, false);
	phantom_snapshot_expect(test, &offline);
}

/*
 * Memory groups
 */

static void unregister_group(void *mgid)
{
	WARN_ON_ONCE(memory_group_unregister((long)mgid));
}

static int keep_group(struct kunit *test, int mgid)
{
	KUNIT_ASSERT_GE(test, mgid, 0);
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, unregister_group,
						  (void *)(long)mgid));
	return mgid;
}

/* Register a static memory group for up to @max_pages pages. */
static int register_group(struct kunit *test, unsigned long max_pages)
{
	return keep_group(test, memory_group_register_static(first_memory_node,
							     max_pages));
}

/* Register a dynamic memory group, which grows by @unit_pages pages. */
static int register_dynamic_group(struct kunit *test, unsigned long unit_pages)
{
	return keep_group(test, memory_group_register_dynamic(first_memory_node,
							      unit_pages));
}

struct added_memory {
	u64 start;
	u64 size;
};

static void remove_added_memory(void *arg)
{
	const struct added_memory *added = arg;

	WARN_ON_ONCE(remove_memory(added->start, added->size));
}

/* Add phantom memory to a memory group. Return where it starts. */
static u64 add_phantom_to_group(struct kunit *test, int mgid, u64 size)
{
	struct added_memory *added;

	added = kunit_kmalloc(test, sizeof(*added), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, added);
	added->start = phantom_find_range(test, size);
	added->size = size;
	KUNIT_ASSERT_EQ(test, 0,
			__add_memory_driver_managed(mgid, added->start, size,
						    "System RAM (kunit)",
						    MHP_NID_IS_MGID,
						    MMOP_OFFLINE));
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, remove_added_memory,
						  added));
	return added->start;
}

static void expect_group(struct kunit *test, const struct memory_group *group,
			 unsigned long kernel, unsigned long movable)
{
	KUNIT_EXPECT_EQ(test, kernel, group->present_kernel_pages);
	KUNIT_EXPECT_EQ(test, movable, group->present_movable_pages);
}

/*
 * A memory group counts its present pages in kernel zones and in ZONE_MOVABLE,
 * skippable ones as well, and counts as before if one of its memory blocks
 * refuses to go offline.
 */
static void memory_group_counts_present_pages(struct kunit *test)
{
	const u64 size = memory_block_size_bytes();
	const int mgid = register_group(test, 2 * BLOCK_NR_PAGES);
	struct memory_group *group = memory_group_find_by_id(mgid);
	struct phantom_memory *kernel, *movable;
	u64 start;

	start = add_phantom_to_group(test, mgid, 2 * size);
	kernel = phantom_block_at(test, start, first_memory_node);
	movable = phantom_block_at(test, start + size, first_memory_node);
	expect_group(test, group, 0, 0);

	online_skippable(kernel, MMOP_ONLINE_KERNEL);
	expect_group(test, group, BLOCK_NR_PAGES, 0);
	online_skippable(movable, MMOP_ONLINE_MOVABLE);
	expect_group(test, group, BLOCK_NR_PAGES, BLOCK_NR_PAGES);

	phantom_set(movable, movable->start_pfn, 1, PHANTOM_OFFLINE);
	KUNIT_ASSERT_EQ(test, -EBUSY, phantom_block_offline(movable));
	expect_group(test, group, BLOCK_NR_PAGES, BLOCK_NR_PAGES);
	phantom_set(movable, movable->start_pfn, 1, PHANTOM_SKIPPABLE);

	KUNIT_ASSERT_EQ(test, 0, phantom_block_offline(kernel));
	expect_group(test, group, 0, BLOCK_NR_PAGES);
	KUNIT_ASSERT_EQ(test, 0, phantom_block_offline(movable));
	expect_group(test, group, 0, 0);
}

/* Would memory of a memory group be onlined to ZONE_MOVABLE by default? */
static bool auto_movable(const struct phantom_memory *ph, int mgid)
{
	struct zone *zone = zone_for_pfn_range(MMOP_ONLINE, ph->nid,
					       memory_group_find_by_id(mgid),
					       PHYS_PFN(ph->start),
					       BLOCK_NR_PAGES);

	return zone_idx(zone) == ZONE_MOVABLE;
}

/*
 * With the policy "auto-movable", memory of a static memory group is onlined to
 * ZONE_MOVABLE, unless other memory of the group is online in a kernel zone, or
 * the group is too large for the ratio.
 */
static void auto_movable_policy_looks_at_memory_group(struct kunit *test)
{
	const u64 size = memory_block_size_bytes();
	const int mgid = register_group(test, 2 * BLOCK_NR_PAGES);
	const int huge = register_group(test, 16 * totalram_pages());
	struct phantom_memory *first, *second;
	u64 start;

	phantom_set_param(test, "memory_hotplug.auto_movable_ratio", "400");
	phantom_set_param(test, "memory_hotplug.online_policy", "auto-movable");
	start = add_phantom_to_group(test, mgid, 2 * size);
	first = phantom_block_at(test, start, first_memory_node);
	second = phantom_block_at(test, start + size, first_memory_node);
	KUNIT_EXPECT_TRUE(test, auto_movable(second, mgid));
	KUNIT_EXPECT_FALSE(test, auto_movable(second, huge));

	online_skippable(first, MMOP_ONLINE_KERNEL);
	KUNIT_EXPECT_FALSE(test, auto_movable(second, mgid));
	KUNIT_ASSERT_EQ(test, 0, phantom_block_offline(first));
	KUNIT_EXPECT_TRUE(test, auto_movable(second, mgid));
}

/* What stand_in_for_early_memory() has to undo. */
struct early_memory {
	struct {
		unsigned long present;
		unsigned long cma;
	} zone[MAX_NR_ZONES];
};

static unsigned long *cma_pages(struct zone *zone)
{
#ifdef CONFIG_CMA
	return &zone->cma_pages;
#else
	static unsigned long none;

	return &none;
#endif
}

static void restore_early_memory(void *arg)
{
	const struct early_memory *early = arg;
	int i;

	for (i = 0; i < ZONE_MOVABLE; i++) {
		struct zone *zone = &NODE_DATA(first_memory_node)->node_zones[i];

		zone->present_early_pages = early->zone[i].present;
		*cma_pages(zone) = early->zone[i].cma;
	}
}

static int find_group(struct memory_group *group, void *unused)
{
	return -EEXIST;
}

/*
 * With the policy "auto-movable" and a ratio of 100 percent, have it seem that no
 * memory is there since the boot. Return a zone that can stand in for it: only this
 * policy looks at present_early_pages, or at cma_pages.
 */
static struct zone *stand_in_for_early_memory(struct kunit *test)
{
	pg_data_t *pgdat = NODE_DATA(first_memory_node);
	struct early_memory *early;
	struct zone *found = NULL;
	int i;

	if (num_node_state(N_MEMORY) > 1)
		kunit_skip(test, "another node has memory");
	if (populated_zone(&pgdat->node_zones[ZONE_MOVABLE]))
		kunit_skip(test, "there is ZONE_MOVABLE already");
	if (walk_dynamic_memory_groups(NUMA_NO_NODE, find_group, NULL, NULL))
		kunit_skip(test, "there is a dynamic memory group already");

	phantom_set_param(test, "memory_hotplug.auto_movable_ratio", "100");
	phantom_set_param(test, "memory_hotplug.online_policy", "auto-movable");
	early = kunit_kzalloc(test, sizeof(*early), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, early);
	for (i = 0; i < ZONE_MOVABLE; i++) {
		struct zone *zone = &pgdat->node_zones[i];

		early->zone[i].present = zone->present_early_pages;
		early->zone[i].cma = *cma_pages(zone);
	}
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, restore_early_memory,
						  early));
	for (i = 0; i < ZONE_MOVABLE; i++) {
		struct zone *zone = &pgdat->node_zones[i];

		zone->present_early_pages = 0;
		*cma_pages(zone) = 0;
		if (!found && populated_zone(zone))
			found = zone;
	}
	KUNIT_ASSERT_NOT_NULL(test, found);
	return found;
}

/* Would so many pages go to ZONE_MOVABLE by default, and belong to that group? */
static bool pages_go_to_movable(unsigned long pfn, unsigned long nr_pages,
				struct memory_group *group)
{
	struct zone *zone = zone_for_pfn_range(MMOP_ONLINE, first_memory_node,
					       group, pfn, nr_pages);

	return zone_idx(zone) == ZONE_MOVABLE;
}

/* Expect so many pages at most to go to ZONE_MOVABLE, where none are yet. */
static void expect_at_most(struct kunit *test, unsigned long nr_pages)
{
	const unsigned long pfn = PHYS_PFN(phantom_memory_get(test)->start);

	KUNIT_EXPECT_TRUE(test, pages_go_to_movable(pfn, nr_pages, NULL));
	KUNIT_EXPECT_FALSE(test, pages_go_to_movable(pfn, nr_pages + 1, NULL));
}

/*
 * With the policy "auto-movable", memory goes to ZONE_MOVABLE up to the ratio to the
 * pages that kernel zones have since the boot, where those of CMA count as movable.
 */
static void auto_movable_policy_keeps_to_ratio(struct kunit *test)
{
	static const char ratio[] = "memory_hotplug.auto_movable_ratio";
	struct zone *zone = stand_in_for_early_memory(test);

	zone->present_early_pages = 1000;
	expect_at_most(test, 1000);
	KUNIT_EXPECT_EQ(test, 0, phantom_write_param(test, ratio, "301"));
	expect_at_most(test, 3010);
	KUNIT_EXPECT_EQ(test, 0, phantom_write_param(test, ratio, "50"));
	expect_at_most(test, 500);
	if (IS_ENABLED(CONFIG_CMA)) {
		*cma_pages(zone) = 100;
		expect_at_most(test, 350);
	}
	KUNIT_EXPECT_EQ(test, 0, phantom_write_param(test, ratio, "0"));
	KUNIT_EXPECT_FALSE(test, pages_go_to_movable(0, 1, NULL));
	KUNIT_EXPECT_EQ(test, 0, phantom_write_param(test, ratio, "400"));
	KUNIT_EXPECT_EQ(test, 0,
			phantom_write_param(test, "memory_hotplug.online_policy",
					    "contig-zones"));
	KUNIT_EXPECT_FALSE(test, pages_go_to_movable(PHYS_PFN(phantom_memory_get(test)->start),
						     1, NULL));
}

/*
 * With the policy "auto-movable", memory of a static memory group goes to ZONE_MOVABLE
 * if all that the group may ever have can go there, what is there of it included.
 */
static void auto_movable_policy_makes_room_for_static_group(struct kunit *test)
{
	const u64 size = memory_block_size_bytes();
	struct zone *zone = stand_in_for_early_memory(test);
	const int mgid = register_group(test, 3 * BLOCK_NR_PAGES);
	struct memory_group *group = memory_group_find_by_id(mgid);
	const u64 start = add_phantom_to_group(test, mgid, 2 * size);
	const unsigned long pfn = PHYS_PFN(start + size);
	int i;

	for (i = 0; i < 2; i++) {
		zone->present_early_pages = 3 * BLOCK_NR_PAGES;
		KUNIT_EXPECT_TRUE(test, pages_go_to_movable(pfn, BLOCK_NR_PAGES, group));
		zone->present_early_pages--;
		KUNIT_EXPECT_FALSE(test, pages_go_to_movable(pfn, BLOCK_NR_PAGES, group));
		if (!i)
			online_skippable(phantom_block_at(test, start, group->nid),
					 MMOP_ONLINE_MOVABLE);
	}
}

/*
 * With the policy "auto-movable", memory of a dynamic memory group goes to ZONE_MOVABLE
 * if all of its unit can, and nothing of the unit is in a kernel zone; memory of the
 * group in a kernel zone makes room for more.
 */
static void auto_movable_policy_looks_at_unit_of_dynamic_group(struct kunit *test)
{
	const unsigned long unit = 2 * BLOCK_NR_PAGES;
	const u64 size = memory_block_size_bytes();
	struct zone *zone = stand_in_for_early_memory(test);
	const int mgid = register_dynamic_group(test, unit);
	struct memory_group *group = memory_group_find_by_id(mgid);
	struct phantom_memory *blocks[3];
	unsigned long pfn[3];
	u64 start;
	int i;

	start = ALIGN(add_phantom_to_group(test, mgid, 4 * size), 2 * size);
	for (i = 0; i < 3; i++) {
		blocks[i] = phantom_block_at(test, start + i * size, group->nid);
		pfn[i] = PHYS_PFN(blocks[i]->start);
	}

	for (i = 0; i < 2; i++) {
		/* A memory block, and all of the unit */
		zone->present_early_pages = unit;
		KUNIT_EXPECT_TRUE(test, pages_go_to_movable(pfn[i], BLOCK_NR_PAGES, group));
		KUNIT_EXPECT_TRUE(test, pages_go_to_movable(pfn[0], unit, group));
		zone->present_early_pages--;
		KUNIT_EXPECT_FALSE(test, pages_go_to_movable(pfn[i], BLOCK_NR_PAGES, group));
		KUNIT_EXPECT_FALSE(test, pages_go_to_movable(pfn[0], unit, group));

		/* The other one of the unit is there already. */
		online_skippable(blocks[!i], MMOP_ONLINE_MOVABLE);
		KUNIT_EXPECT_FALSE(test, pages_go_to_movable(pfn[i], BLOCK_NR_PAGES, group));
		zone->present_early_pages++;
		KUNIT_EXPECT_TRUE(test, pages_go_to_movable(pfn[i], BLOCK_NR_PAGES, group));
		KUNIT_ASSERT_EQ(test, 0, phantom_block_offline(blocks[!i]));
	}

	/* One of the next unit does not matter, other than that it makes room. */
	online_skippable(blocks[2], MMOP_ONLINE_KERNEL);
	zone->present_early_pages = BLOCK_NR_PAGES;
	KUNIT_EXPECT_TRUE(test, pages_go_to_movable(pfn[1], BLOCK_NR_PAGES, group));
	zone->present_early_pages--;
	KUNIT_EXPECT_FALSE(test, pages_go_to_movable(pfn[1], BLOCK_NR_PAGES, group));
	/* It does not do so for others. */
	KUNIT_EXPECT_FALSE(test, pages_go_to_movable(pfn[1], BLOCK_NR_PAGES, NULL));

	zone->present_early_pages = 4 * unit;
	for (i = 0; i < 2; i++) {
		online_skippable(blocks[!i], MMOP_ONLINE_KERNEL);
		KUNIT_EXPECT_FALSE(test, pages_go_to_movable(pfn[i], BLOCK_NR_PAGES, group));
		KUNIT_ASSERT_EQ(test, 0, phantom_block_offline(blocks[!i]));
	}
}

/*
 * With the policy "auto-movable", movable memory of a dynamic memory group takes from
 * others as much of the ratio as memory of the group in kernel zones does not allow.
 */
static void auto_movable_policy_charges_other_dynamic_groups(struct kunit *test)
{
	const u64 size = memory_block_size_bytes();
	struct zone *zone = stand_in_for_early_memory(test);
	/* The groups are asked in this order. */
	const int mgid = register_dynamic_group(test, BLOCK_NR_PAGES);
	const int first = register_dynamic_group(test, BLOCK_NR_PAGES);
	const int other = register_dynamic_group(test, BLOCK_NR_PAGES);
	struct memory_group *group = memory_group_find_by_id(mgid);
	struct phantom_memory *movable, *kernel, *own;
	u64 start;

	KUNIT_EXPECT_LT(test, first, other);
	start = add_phantom_to_group(test, other, 2 * size);
	movable = phantom_block_at(test, start, first_memory_node);
	kernel = phantom_block_at(test, start + size, first_memory_node);
	own = phantom_block_at(test, add_phantom_to_group(test, mgid, size),
			       first_memory_node);

	online_skippable(movable, MMOP_ONLINE_MOVABLE);
	zone->present_early_pages = BLOCK_NR_PAGES + 1000;
	expect_at_most(test, 1000);

	/* It is charged less for each page of its own, and gets nothing back. */
	memory_group_find_by_id(other)->present_kernel_pages = BLOCK_NR_PAGES - 1;
	expect_at_most(test, BLOCK_NR_PAGES + 999);
	memory_group_find_by_id(other)->present_kernel_pages = 0;
	online_skippable(kernel, MMOP_ONLINE_KERNEL);
	expect_at_most(test, BLOCK_NR_PAGES + 1000);
	KUNIT_ASSERT_EQ(test, 0, phantom_block_offline(movable));
	expect_at_most(test, BLOCK_NR_PAGES + 1000);
	KUNIT_ASSERT_EQ(test, 0, phantom_block_offline(kernel));

	/* If others need all or more, not even what the group has makes room. */
	online_skippable(movable, MMOP_ONLINE_MOVABLE);
	online_skippable(own, MMOP_ONLINE_KERNEL);
	zone->present_early_pages = BLOCK_NR_PAGES - 1;
	KUNIT_EXPECT_FALSE(test, pages_go_to_movable(PHYS_PFN(kernel->start), 1, NULL));
	zone->present_early_pages++;
	KUNIT_EXPECT_FALSE(test, pages_go_to_movable(PHYS_PFN(kernel->start),
						     BLOCK_NR_PAGES, group));
	zone->present_early_pages++;
	KUNIT_EXPECT_TRUE(test, pages_go_to_movable(PHYS_PFN(kernel->start),
						    BLOCK_NR_PAGES, group));
}

/*
 * Pages that are present count for their zone and their node, those that are there
 * since the boot for the zone once more, and those of a memory group for the group, by
 * the kind of zone.
 */
static void present_pages_count_for_zone_node_and_group(struct kunit *test)
{
	const struct offline_skippable_param *param = test->param_value;
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);
	struct page *pages[] = { pfn_to_page(ph->start_pfn), ZERO_PAGE(0) };
	const bool movable = param->online_type == MMOP_ONLINE_MOVABLE;
	struct memory_group group = {};
	int i, j;

	for (i = 0; i < ARRAY_SIZE(pages); i++) {
		struct zone *zone = page_zone(pages[i]);
		pg_data_t *pgdat = zone->zone_pgdat;
		const unsigned long early = zone->present_early_pages;
		const unsigned long present = zone->present_pages;
		const unsigned long of_node = pgdat->node_present_pages;
		const bool is_early = i;

		for (j = 0; j < 2; j++) {
			/* No other task sees it: there is but one that hotplugs. */
			adjust_present_page_count(pages[i], j ? &group : NULL, 3);
			KUNIT_EXPECT_EQ(test, present + 3, zone->present_pages);
			KUNIT_EXPECT_EQ(test, of_node + 3, pgdat->node_present_pages);
			KUNIT_EXPECT_EQ(test, early + (is_early ? 3 : 0),
					zone->present_early_pages);
			expect_group(test, &group,
				     !j || (movable && !is_early) ? 0 : 3,
				     j && movable && !is_early ? 3 : 0);
			adjust_present_page_count(pages[i], j ? &group : NULL, -3);
			expect_group(test, &group, 0, 0);
			KUNIT_EXPECT_EQ(test, present, zone->present_pages);
			KUNIT_EXPECT_EQ(test, early, zone->present_early_pages);
		}
	}
}

/*
 * The memmap on the memory itself
 */

static void forget_altmap(void *arg)
{
	struct memory_block *mem = arg;

	mem->altmap = NULL;
	memory_block_put(mem);
}

/*
 * Try to offline a memory block whose first pages are its memmap. If the kernel
 * cannot, make the memmap offline pages like the others, so that the whole memory
 * block can go offline when the test case ends.
 */
static int offline_behind_memmap(struct phantom_memory *ph,
				 unsigned long nr_memmap_pages)
{
	const int ret = phantom_block_offline(ph);
	unsigned long i;

	if (ret != -EPERM)
		return ret;
	ph->start_pfn -= nr_memmap_pages;
	ph->nr_pages += nr_memmap_pages;
	ph->block->altmap = NULL;
	for (i = 0; i < nr_memmap_pages; i++) {
		ClearPageVmemmapSelfHosted(pfn_to_page(ph->start_pfn + i));
		__SetPageOffline(pfn_to_page(ph->start_pfn + i));
	}
	kunit_known_bug(ph->test, "arm64-mm-unmap-with-memmap",
			"memory with its memmap on it cannot go offline");
	return ret;
}

/*
 * A memory block with its memmap on the memory goes offline with skippable
 * pages behind the memmap, and if it refuses, the memmap is present as before.
 *
 * The memmap is elsewhere, as phantom memory has no contents. What onlining and
 * offlining do about one on the memory does not depend on that.
 */
static void memmap_on_memory_is_accounted_for(struct kunit *test)
{
	const struct offline_skippable_param *param = test->param_value;
	const unsigned long nr_memmap_pages =
		ALIGN(PFN_UP(BLOCK_NR_PAGES * sizeof(struct page)),
		      pageblock_nr_pages);
	struct phantom_memory *ph = phantom_memory_get(test);
	struct phantom_snapshot offline, online;
	struct vmem_altmap *altmap;
	struct memory_block *mem;
	struct page *memmap;

	if (nr_memmap_pages >= BLOCK_NR_PAGES)
		kunit_skip(test, "a memory block has no room for its memmap");
	phantom_snapshot_take(&offline);
	altmap = kunit_kzalloc(test, sizeof(*altmap), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, altmap);
	altmap->free = nr_memmap_pages;
	mem = memory_block_at(ph->start);
	KUNIT_ASSERT_NOT_NULL(test, mem);
	mem->altmap = altmap;
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, forget_altmap, mem));

	phantom_block_online(ph, param->online_type);
	/* The memmap is not for phantom memory to look after. */
	memmap = pfn_to_page(ph->start_pfn);
	ph->start_pfn += nr_memmap_pages;
	ph->nr_pages -= nr_memmap_pages;
	phantom_set(ph, ph->start_pfn, ph->nr_pages, PHANTOM_SKIPPABLE);
	KUNIT_EXPECT_EQ(test,
			offline.zone[zone_idx(ph->zone)].present + BLOCK_NR_PAGES,
			ph->zone->present_pages);
	KUNIT_EXPECT_EQ(test, offline.zone[zone_idx(ph->zone)].managed,
			zone_managed_pages(ph->zone));
	KUNIT_EXPECT_FALSE(test, PageOffline(memmap));
	KUNIT_EXPECT_TRUE(test, PageVmemmapSelfHosted(memmap));
	KUNIT_EXPECT_TRUE(test, PageVmemmapSelfHosted(memmap + nr_memmap_pages - 1));

	phantom_set(ph, ph->start_pfn, 1, PHANTOM_OFFLINE);
	phantom_snapshot_take(&online);
	KUNIT_ASSERT_EQ(test, -EBUSY, offline_behind_memmap(ph, nr_memmap_pages));
	phantom_snapshot_expect(test, &online);
	phantom_expect_isolated(ph, 0);
	KUNIT_EXPECT_TRUE(test, PageVmemmapSelfHosted(memmap));

	phantom_set(ph, ph->start_pfn, 1, PHANTOM_SKIPPABLE);
	KUNIT_EXPECT_EQ(test, 0, offline_behind_memmap(ph, nr_memmap_pages));
	phantom_snapshot_expect(test, &offline);
}

/* Does the architecture look at a memmap only once its memory is online? */
static void require_untouched_memmap(struct kunit *test)
{
	if (!IS_ENABLED(CONFIG_X86_64))
		kunit_skip(test, "the architecture may use a memmap that is not there");
	/* See page_init_poison(). */
	if (IS_ENABLED(CONFIG_DEBUG_VM))
		kunit_skip(test, "CONFIG_DEBUG_VM writes to a memmap that is not there");
	phantom_set_param(test, "memory_hotplug.memmap_on_memory", "y");
	if (!mhp_supports_memmap_on_memory())
		kunit_skip(test, "there can be no memmap on memory");
}

/*
 * Expect a memory block to have its own memmap on its first pages, all of which are in
 * use, or none of its own. Return the memory block.
 */
static struct memory_block *expect_own_memmap(struct kunit *test, u64 start,
					      bool expected)
{
	const unsigned long nr_pages = PFN_UP(BLOCK_NR_PAGES * sizeof(struct page));
	struct memory_block *mem = memory_block_at(start);
	const struct vmem_altmap *altmap;

	KUNIT_ASSERT_NOT_NULL(test, mem);
	altmap = mem->altmap;
	KUNIT_EXPECT_EQ(test, expected, !!altmap);
	if (altmap) {
		KUNIT_EXPECT_EQ(test, PHYS_PFN(start), altmap->base_pfn);
		KUNIT_EXPECT_EQ(test, PHYS_PFN(start) + BLOCK_NR_PAGES - 1,
				altmap->end_pfn);
		KUNIT_EXPECT_EQ(test, nr_pages, altmap->free);
		KUNIT_EXPECT_EQ(test, nr_pages, altmap->alloc);
	}
	return mem;
}

/* Expect to be the last who knows of a memory block. */
static void expect_last_of_block(struct kunit *test, struct memory_block *mem)
{
	KUNIT_EXPECT_EQ(test, 1, kref_read(&mem->dev.kobj.kref));
	memory_block_put(mem);
}

/*
 * If that is asked for and possible, each memory block that is added has its memmap on
 * itself, and when memory is removed, nothing of it is left.
 *
 * While the memory is offline, nobody uses its memmap, which is not there.
 */
static void memory_blocks_have_their_own_memmap(struct kunit *test)
{
	static const struct {
		const char *param;
		mhp_t flags;
		bool own_memmap;
	} ways[] = {
		{ "force", MHP_NONE, false },
		{ "force", MHP_MEMMAP_ON_MEMORY, true },
		{ "n", MHP_MEMMAP_ON_MEMORY, false },
		{ "y", MHP_MEMMAP_ON_MEMORY, true },
	};
	const u64 size = memory_block_size_bytes();
	const u64 start = phantom_find_range(test, 2 * size);
	struct memory_block *mem[2];
	struct phantom_snapshot before;
	int i, j;

	require_untouched_memmap(test);
	phantom_set_default_online_type(test, MMOP_OFFLINE);
	phantom_snapshot_take(&before);
	for (i = 0; i < ARRAY_SIZE(ways); i++) {
		KUNIT_EXPECT_EQ(test, 0,
				phantom_write_param(test,
						    "memory_hotplug.memmap_on_memory",
						    ways[i].param));
		KUNIT_ASSERT_EQ(test, 0, add_memory(first_memory_node, start, 2 * size,
						    ways[i].flags));
		for (j = 0; j < 2; j++)
			mem[j] = expect_own_memmap(test, start + j * size,
						   ways[i].own_memmap);
		KUNIT_EXPECT_TRUE(test, pfn_valid(PHYS_PFN(start + 2 * size) - 1));
		if (IS_ENABLED(CONFIG_FIRMWARE_MEMMAP))
			KUNIT_EXPECT_EQ(test, 0,
					firmware_map_remove(start, start + 2 * size,
							    "System RAM"));
		KUNIT_ASSERT_EQ(test, 0, remove_memory(start, 2 * size));
		for (j = 0; j < 2; j++)
			expect_last_of_block(test, mem[j]);
		KUNIT_EXPECT_FALSE(test, pfn_valid(PHYS_PFN(start)));
		KUNIT_EXPECT_FALSE(test, pfn_valid(PHYS_PFN(start + 2 * size) - 1));
		phantom_snapshot_expect(test, &before);
	}
}

/*
 * Memory of which some memory blocks have their own memmap and others have not fails to
 * be removed at once with -EINVAL, and all of it stays.
 */
static void memory_with_mixed_memmaps_is_removed_in_parts(struct kunit *test)
{
	const u64 size = memory_block_size_bytes();
	const u64 start = phantom_find_range(test, 2 * size);

	require_untouched_memmap(test);
	KUNIT_ASSERT_EQ(test, 0, phantom_add_range(start, size, MHP_MEMMAP_ON_MEMORY));
	KUNIT_ASSERT_EQ(test, 0, phantom_add_range(start + size, size, MHP_NONE));
	kunit_warning_suppress(test) {
		KUNIT_EXPECT_EQ(test, -EINVAL, remove_memory(start, 2 * size));
		/* It warns once. */
		KUNIT_EXPECT_LE(test, kunit_suppressed_warning_count(__kunit_suppress), 1);
	}
	memory_block_put(expect_own_memmap(test, start, true));
	memory_block_put(expect_own_memmap(test, start + size, false));
	KUNIT_EXPECT_EQ(test, 0, remove_memory(start + size, size));
	KUNIT_EXPECT_EQ(test, 0, remove_memory(start, size));
}

/*
 * Whichever allocation fails while memory blocks are added with their own memmap, either
 * all of them are there or none is.
 */
static void adding_with_memmap_leaves_nothing_behind(struct kunit *test)
{
	const u64 size = 3 * memory_block_size_bytes();
	const u64 start = phantom_find_range(test, size);
	struct phantom_snapshot before;
	unsigned int nth, nr_failed = 0;
	bool failed = true;
	int ret;

	if (kunit_fault_needs_page_tables(size))
		kunit_fault_in_page_tables(test);
	require_untouched_memmap(test);
	kunit_fault_init(test);
	phantom_snapshot_take(&before);
	for (nth = 1; failed; nth++) {
		kunit_fault_arm(test, nth);
		ret = phantom_add_range(start, size, MHP_MEMMAP_ON_MEMORY);
		failed = kunit_fault_disarm(test, 1);
		nr_failed += !!ret;
		if (ret)
			KUNIT_EXPECT_TRUE_MSG(test, failed, "adding failed: %d", ret);
		else
			KUNIT_EXPECT_EQ(test, 0, remove_memory(start, size));
		KUNIT_EXPECT_FALSE(test, pfn_valid(PHYS_PFN(start)));
		phantom_snapshot_expect(test, &before);
	}
	KUNIT_EXPECT_GE(test, nr_failed, 9);
}

/*
 * A memmap that fills sections has these online, and not the one it ends in the middle
 * of, until it is gone again.
 */
static void memmap_brings_its_sections_online(struct kunit *test)
{
	const unsigned long nr_pages = PAGES_PER_SECTION + pageblock_nr_pages;
	struct phantom_memory *ph;
	struct phantom_snapshot before;
	unsigned long pfn, end_pfn;
	struct zone *zone;

	if (pageblock_nr_pages == PAGES_PER_SECTION)
		kunit_skip(test, "a section is a pageblock");
	ph = phantom_memory_add(test, ALIGN(PFN_PHYS(2 * PAGES_PER_SECTION),
					    memory_block_size_bytes()));
	pfn = PHYS_PFN(ph->start);
	zone = zone_for_pfn_range(MMOP_ONLINE_KERNEL, ph->nid, NULL, pfn, nr_pages);
	phantom_snapshot_take(&before);
	for (end_pfn = pfn + nr_pages; end_pfn >= pfn + PAGES_PER_SECTION;
	     end_pfn -= pageblock_nr_pages) {
		const unsigned long *behind = page_flags_word(pfn_to_page(end_pfn));
		const unsigned long flags = *behind;

		mem_hotplug_begin();
		KUNIT_EXPECT_EQ(test, 0,
				mhp_init_memmap_on_memory(pfn, end_pfn - pfn, zone));
		KUNIT_EXPECT_NOT_NULL(test, pfn_to_online_page(pfn));
		KUNIT_EXPECT_NULL(test, pfn_to_online_page(pfn + PAGES_PER_SECTION));
		KUNIT_EXPECT_TRUE(test, PageVmemmapSelfHosted(pfn_to_page(end_pfn - 1)));
		KUNIT_EXPECT_EQ(test, flags, *behind);
		mhp_deinit_memmap_on_memory(pfn, end_pfn - pfn);
		mem_hotplug_done();
		KUNIT_EXPECT_NULL(test, pfn_to_online_page(pfn));
		KUNIT_EXPECT_NULL(test, pfn_to_online_page(pfn + PAGES_PER_SECTION));
		phantom_snapshot_expect(test, &before);
	}
}

/*
 * The last memory of a node
 */

/**
 * struct node_observer - a node notifier
 * @nb: the notifier
 * @events: all events since the last expect_node_events()
 * @nid: the node of the last event
 */
struct node_observer {
	struct notifier_block nb;
	unsigned long events;
	int nid;
};

#if defined(CONFIG_NUMA) && defined(NODE_ADDING_FIRST_MEMORY)
static int node_observer_notify(struct notifier_block *nb, unsigned long event,
				void *arg)
{
	struct node_observer *observer =
		container_of(nb, struct node_observer, nb);

	observer->events |= event;
	observer->nid = ((struct node_notify *)arg)->nid;
	return NOTIFY_OK;
}

static void unregister_node_observer(void *nb)
{
	unregister_node_notifier(nb);
}

static struct node_observer *register_node_observer(struct kunit *test)
{
	struct node_observer *observer;

	observer = kunit_kzalloc(test, sizeof(*observer), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, observer);
	observer->nb.notifier_call = node_observer_notify;
	KUNIT_ASSERT_EQ(test, 0, register_node_notifier(&observer->nb));
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, unregister_node_observer,
						  &observer->nb));
	return observer;
}

/* Expect events of a node since the last call, and whether it has memory. */
static void expect_node_events(struct kunit *test,
			       struct node_observer *observer, int nid,
			       unsigned long events, bool has_memory)
{
	KUNIT_EXPECT_EQ(test, events, observer->events);
	KUNIT_EXPECT_EQ(test, nid, observer->nid);
	KUNIT_EXPECT_EQ(test, has_memory, node_state(nid, N_MEMORY));
	observer->events = 0;
}

/*
 * A node has memory from the onlining of its first memory block to the
 * offlining of its last one, which node notifiers hear of, and also if that is
 * refused.
 */
static void node_has_memory_until_the_last_of_it_is_offline(struct kunit *test)
{
	const struct offline_skippable_param *param = test->param_value;
	const int nid = phantom_nid_without_memory(test);
	struct node_observer *observer = register_node_observer(test);
	struct phantom_memory *ph;

	ph = phantom_memory_add_to(test, nid, memory_block_size_bytes());
	KUNIT_EXPECT_TRUE(test, node_online(nid));
	online_skippable(ph, param->online_type);
	expect_node_events(test, observer, nid,
			   NODE_ADDING_FIRST_MEMORY | NODE_ADDED_FIRST_MEMORY,
			   true);
	KUNIT_EXPECT_EQ(test, BLOCK_NR_PAGES, NODE_DATA(nid)->node_present_pages);

	/* In a kernel zone, isolation would refuse it earlier. */
	if (param->online_type == MMOP_ONLINE_MOVABLE) {
		phantom_set(ph, ph->start_pfn, 1, PHANTOM_OFFLINE);
		KUNIT_ASSERT_EQ(test, -EBUSY, phantom_block_offline(ph));
		expect_node_events(test, observer, nid,
				   NODE_REMOVING_LAST_MEMORY |
				   NODE_CANCEL_REMOVING_LAST_MEMORY, true);
		phantom_set(ph, ph->start_pfn, 1, PHANTOM_SKIPPABLE);
	}

	KUNIT_ASSERT_EQ(test, 0, phantom_block_offline(ph));
	expect_node_events(test, observer, nid,
			   NODE_REMOVING_LAST_MEMORY | NODE_REMOVED_LAST_MEMORY,
			   false);
	KUNIT_EXPECT_EQ(test, 0, NODE_DATA(nid)->node_present_pages);
}

/*
 * Node notifiers hear nothing of a memory block that is neither the first nor
 * the last memory of its node.
 */
static void node_notifiers_do_not_hear_of_other_memory(struct kunit *test)
{
	const struct offline_skippable_param *param = test->param_value;
	struct phantom_memory *ph = phantom_memory_get(test);
	struct node_observer *observer = register_node_observer(test);

	phantom_online(ph, param->online_type);
	phantom_set(ph, ph->start_pfn, ph->nr_pages, PHANTOM_SKIPPABLE);
	KUNIT_ASSERT_EQ(test, 0, phantom_offline(ph));
	KUNIT_EXPECT_EQ(test, 0, observer->events);
	KUNIT_EXPECT_TRUE(test, node_state(ph->nid, N_MEMORY));
}
#endif

/* Expect the threads of a node that reclaim and compact its memory to run, or not to. */
static void expect_threads(struct kunit *test, const pg_data_t *pgdat, bool expected)
{
	KUNIT_EXPECT_EQ(test, expected, !!pgdat->kswapd);
#ifdef CONFIG_COMPACTION
	KUNIT_EXPECT_EQ(test, expected, !!pgdat->kcompactd);
#endif
}

/*
 * The threads that reclaim and compact the memory of a node end when its last memory
 * goes offline, and not before; they run again when memory goes online.
 */
static void threads_of_node_run_while_it_has_memory(struct kunit *test)
{
	struct phantom_memory *ph = phantom_memory_get(test);
	pg_data_t *pgdat = NODE_DATA(ph->nid);
	unsigned long others;
	int i, ret;

	if (IS_ENABLED(CONFIG_NUMA))
		kunit_skip(test, "others would take the node for one without memory");
#ifndef NODE_ADDING_FIRST_MEMORY
	kunit_skip(test, "the kernel asks the zones of the node, and not the node");
#endif
	for (i = 1; i >= 0; i--) {
		phantom_online(ph, MMOP_ONLINE_MOVABLE);
		expect_threads(test, pgdat, true);
		phantom_set(ph, ph->start_pfn, ph->nr_pages, PHANTOM_SKIPPABLE);

		/* Have it seem that all but a page of the other memory is not there. */
		others = pgdat->node_present_pages - ph->nr_pages - i;
		pgdat->node_present_pages -= others;
		ret = phantom_offline(ph);
		pgdat->node_present_pages += others;
		KUNIT_ASSERT_EQ(test, 0, ret);
		expect_threads(test, pgdat, i);
	}
	phantom_online(ph, MMOP_ONLINE_MOVABLE);
	expect_threads(test, pgdat, true);
}

static struct kunit_case offline_skippable_blocks_cases[] = {
	KUNIT_CASE_PARAM(first_block_is_onlined_again_if_the_second_refuses,
			 zone_gen_params),
	KUNIT_CASE_PARAM(isolation_passes_over_memory_that_is_offline, zone_gen_params),
	KUNIT_CASE_PARAM(sections_go_offline_together, zone_gen_params),
	KUNIT_CASE(memory_group_counts_present_pages),
	KUNIT_CASE(auto_movable_policy_looks_at_memory_group),
	KUNIT_CASE(auto_movable_policy_keeps_to_ratio),
	KUNIT_CASE(auto_movable_policy_makes_room_for_static_group),
	KUNIT_CASE(auto_movable_policy_looks_at_unit_of_dynamic_group),
	KUNIT_CASE(auto_movable_policy_charges_other_dynamic_groups),
	KUNIT_CASE_PARAM(present_pages_count_for_zone_node_and_group, zone_gen_params),
	KUNIT_CASE_PARAM(memmap_on_memory_is_accounted_for, zone_gen_params),
	KUNIT_CASE(memory_blocks_have_their_own_memmap),
	KUNIT_CASE(memory_with_mixed_memmaps_is_removed_in_parts),
	KUNIT_CASE(adding_with_memmap_leaves_nothing_behind),
	KUNIT_CASE(memmap_brings_its_sections_online),
	KUNIT_CASE(threads_of_node_run_while_it_has_memory),
#if defined(CONFIG_NUMA) && defined(NODE_ADDING_FIRST_MEMORY)
	KUNIT_CASE_PARAM(node_has_memory_until_the_last_of_it_is_offline,
			 zone_gen_params),
	KUNIT_CASE_PARAM(node_notifiers_do_not_hear_of_other_memory,
			 zone_gen_params),
#endif
	{}
};

static struct kunit_suite offline_skippable_blocks_suite = {
	.name = "offline_skippable_blocks",
	.init = offline_skippable_hotplug_init,
	.suite_exit = offline_skippable_suite_exit,
	.test_cases = offline_skippable_blocks_cases,
};

kunit_test_suites(&offline_skippable_blocks_suite);
