// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests for offlining in layouts of memory blocks: two of which one
 * refuses, several sections, memory groups, a memmap on memory, and all the
 * memory of a node.
 */
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
	mem_hotplug_begin();
	ret = online_pages(ph->start_pfn, ph->nr_pages, zone, NULL);
	mem_hotplug_done();
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

/* Register a static memory group for up to @max_pages pages. */
static int register_group(struct kunit *test, unsigned long max_pages)
{
	int mgid = memory_group_register_static(first_memory_node, max_pages);

	KUNIT_ASSERT_GE(test, mgid, 0);
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, unregister_group,
						  (void *)(long)mgid));
	return mgid;
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
	KUNIT_ASSERT_EQ(test, -EBUSY, phantom_block_offline(ph));
	phantom_snapshot_expect(test, &online);
	phantom_expect_isolated(ph, 0);
	KUNIT_EXPECT_TRUE(test, PageVmemmapSelfHosted(memmap));

	phantom_set(ph, ph->start_pfn, 1, PHANTOM_SKIPPABLE);
	KUNIT_EXPECT_EQ(test, 0, phantom_block_offline(ph));
	phantom_snapshot_expect(test, &offline);
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

static struct kunit_case offline_skippable_blocks_cases[] = {
	KUNIT_CASE_PARAM(first_block_is_onlined_again_if_the_second_refuses,
			 zone_gen_params),
	KUNIT_CASE_PARAM(sections_go_offline_together, zone_gen_params),
	KUNIT_CASE(memory_group_counts_present_pages),
	KUNIT_CASE(auto_movable_policy_looks_at_memory_group),
	KUNIT_CASE_PARAM(memmap_on_memory_is_accounted_for, zone_gen_params),
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
