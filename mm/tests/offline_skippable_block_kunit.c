// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests for memory block devices (drivers/base/memory.c), through which
 * memory goes online and offline, and for the zone that it goes to
 * (mm/memory_hotplug.c).
 */
#include <kunit/fault.h>
#include <linux/device.h>
#include <linux/kref.h>
#include <linux/memory.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/notifier.h>
#include <linux/pagemap.h>
#include <linux/string.h>
#include <linux/swap.h>
#include <linux/sysfs.h>
#include <linux/xarray.h>

#include "offline_skippable.h"
#include "user_memory.h"

/* The online_page callback: what goes online stays PageOffline(). */
static void leave_page_offline(struct page *page, unsigned int order)
{
}

static void restore_callback(void *unused)
{
	restore_online_page_callback(leave_page_offline);
}

static u64 block_start(const struct phantom_memory *ph, unsigned int nr)
{
	return ph->start + nr * (u64)memory_block_size_bytes();
}

static unsigned long block_pfn(const struct memory_block *mem)
{
	return section_nr_to_pfn(mem->start_section_nr);
}

static unsigned long nr_block_pages(void)
{
	return PHYS_PFN(memory_block_size_bytes());
}

/* Let offlining skip all pages of an online memory block. */
static void make_block_skippable(struct phantom_memory *ph,
				 const struct memory_block *mem)
{
	phantom_set(ph, block_pfn(mem), nr_block_pages(), PHANTOM_SKIPPABLE);
}

static int offline_block(struct phantom_memory *ph, struct memory_block *mem)
{
	make_block_skippable(ph, mem);
	return phantom_device_offline(PFN_PHYS(block_pfn(mem)));
}

static int offline_if_online(struct memory_block *mem, void *ph)
{
	if (mem->state == MEM_ONLINE) {
		make_block_skippable(ph, mem);
		return device_offline(&mem->dev);
	}
	return 0;
}

static void offline_all_blocks(void *arg)
{
	struct phantom_memory *ph = arg;

	lock_device_hotplug();
	KUNIT_EXPECT_EQ(ph->test, 0,
			walk_memory_blocks(ph->start, ph->size, ph,
					   offline_if_online));
	unlock_device_hotplug();
}

/*
 * Add memory blocks that the test case onlines as it likes; all pages stay
 * PageOffline(). They go offline when it ends.
 */
static struct phantom_memory *add_blocks(struct kunit *test, unsigned int nr)
{
	struct phantom_memory *ph =
		phantom_memory_add(test, nr * (u64)memory_block_size_bytes());

	if (set_online_page_callback(leave_page_offline))
		kunit_skip(test, "a driver has set its online_page callback");
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, restore_callback, NULL));
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, offline_all_blocks, ph));
	return ph;
}

/*
 * What user space reads and writes
 */

static ssize_t write_state(struct kunit *test, struct memory_block *mem,
			   const char *word)
{
	return phantom_write_file(test, &mem->dev, "state", word);
}

static struct zone *zone_of_block(const struct memory_block *mem,
				  enum mmop online_type)
{
	return zone_for_pfn_range(online_type, mem->nid, NULL, block_pfn(mem),
				  nr_block_pages());
}

static void expect_block_online(struct kunit *test, struct memory_block *mem,
				struct zone *zone)
{
	char name[32];

	KUNIT_EXPECT_EQ(test, MEM_ONLINE, mem->state);
	KUNIT_EXPECT_PTR_EQ(test, zone, mem->zone);
	KUNIT_EXPECT_PTR_EQ(test, zone, page_zone(pfn_to_page(block_pfn(mem))));
	KUNIT_EXPECT_STREQ(test, "online\n", phantom_read_file(test, &mem->dev, "state"));
	snprintf(name, sizeof(name), "%s\n", zone->name);
	KUNIT_EXPECT_STREQ(test, name, phantom_read_file(test, &mem->dev, "valid_zones"));
}

static void expect_block_offline(struct kunit *test, struct memory_block *mem)
{
	KUNIT_EXPECT_EQ(test, MEM_OFFLINE, mem->state);
	KUNIT_EXPECT_NULL(test, mem->zone);
	KUNIT_EXPECT_NULL(test, pfn_to_online_page(block_pfn(mem)));
	KUNIT_EXPECT_STREQ(test, "offline\n", phantom_read_file(test, &mem->dev, "state"));
}

/**
 * struct state_word - what is written to the state of a memory block
 * @desc: the word
 * @word: the same, as it is written
 * @online_type: what it asks for
 */
struct state_word {
	const char *desc;
	const char *word;
	enum mmop online_type;
};

static const struct state_word online_words[] = {
	{ "online", "online\n", MMOP_ONLINE },
	{ "online_kernel", "online_kernel\n", MMOP_ONLINE_KERNEL },
	{ "online_movable", "online_movable", MMOP_ONLINE_MOVABLE },
};

KUNIT_ARRAY_PARAM_DESC(online_word, online_words, desc);

/*
 * Writing a kind of online to the state of a memory block brings it to the zone
 * of that kind, and writing offline takes it out of there.
 */
static void state_of_block_is_what_is_written(struct kunit *test)
{
	const struct state_word *param = test->param_value;
	struct phantom_memory *ph = add_blocks(test, 1);
	struct memory_block *mem = phantom_get_block(test, ph->start);
	struct zone *zone = zone_of_block(mem, param->online_type);

	expect_block_offline(test, mem);
	KUNIT_ASSERT_EQ(test, strlen(param->word),
			write_state(test, mem, param->word));
	expect_block_online(test, mem, zone);

	/* None of the pages is skippable yet. */
	KUNIT_EXPECT_EQ(test, -EBUSY, write_state(test, mem, "offline"));
	expect_block_online(test, mem, zone);

	make_block_skippable(ph, mem);
	KUNIT_EXPECT_EQ(test, strlen("offline"),
			write_state(test, mem, "offline"));
	expect_block_offline(test, mem);
}

/*
 * Writing anything else than a kind of online or offline to the state of a
 * memory block, or what it is already, fails with -EINVAL and changes nothing.
 */
static void other_words_do_not_change_state_of_block(struct kunit *test)
{
	static const char * const words[] = {
		"", "\n", "on", "Online", "online_", "online_movable_", "going-offline",
	};
	struct phantom_memory *ph = add_blocks(test, 1);
	struct memory_block *mem = phantom_get_block(test, ph->start);
	struct zone *zone = zone_of_block(mem, MMOP_ONLINE);
	int i;

	for (i = 0; i < ARRAY_SIZE(words); i++)
		KUNIT_EXPECT_EQ_MSG(test, -EINVAL,
				    write_state(test, mem, words[i]), "%s",
				    words[i]);
	KUNIT_EXPECT_EQ(test, -EINVAL, write_state(test, mem, "offline"));
	expect_block_offline(test, mem);

	KUNIT_ASSERT_EQ(test, strlen("online"), write_state(test, mem, "online"));
	make_block_skippable(ph, mem);
	for (i = 0; i < ARRAY_SIZE(words); i++)
		KUNIT_EXPECT_EQ_MSG(test, -EINVAL,
				    write_state(test, mem, words[i]), "%s",
				    words[i]);
	for (i = 0; i < ARRAY_SIZE(online_words); i++)
		KUNIT_EXPECT_EQ_MSG(test, -EINVAL,
				    write_state(test, mem, online_words[i].word),
				    "%s", online_words[i].desc);
	expect_block_online(test, mem, zone);
}

/*
 * The zones that an offline memory block says it can go to are, in this order,
 * those of online, of online_kernel and of online_movable, each of them once.
 */
static void valid_zones_of_offline_block_are_those_of_online(struct kunit *test)
{
	struct phantom_memory *ph = add_blocks(test, 1);
	struct memory_block *mem = phantom_get_block(test, ph->start);
	struct zone *zones[] = {
		zone_of_block(mem, MMOP_ONLINE),
		zone_of_block(mem, MMOP_ONLINE_KERNEL),
		zone_of_block(mem, MMOP_ONLINE_MOVABLE),
	};
	char names[64];
	int i, len;

	len = scnprintf(names, sizeof(names), "%s", zones[0]->name);
	for (i = 1; i < ARRAY_SIZE(zones); i++) {
		if (zones[i] != zones[0])
			len += scnprintf(names + len, sizeof(names) - len, " %s",
					 zones[i]->name);
	}
	scnprintf(names + len, sizeof(names) - len, "\n");
	KUNIT_EXPECT_STREQ(test, names,
			   phantom_read_file(test, &mem->dev, "valid_zones"));
}

/*
 * Zones
 */

/*
 * With the policy "contig-zones", a memory block between memory of one zone goes
 * to that zone, be it a kernel zone or ZONE_MOVABLE.
 */
static void block_amid_a_zone_goes_there(struct kunit *test)
{
	const struct offline_skippable_param *param = test->param_value;
	struct phantom_memory *ph = add_blocks(test, 3);
	struct memory_block *mem = phantom_get_block(test, block_start(ph, 1));
	struct zone *zone = zone_of_block(mem, param->online_type);

	if (!zone_is_empty(&NODE_DATA(ph->nid)->node_zones[ZONE_MOVABLE]))
		kunit_skip(test, "there is ZONE_MOVABLE already");

	phantom_set_param(test, "memory_hotplug.online_policy", "contig-zones");
	KUNIT_ASSERT_EQ(test, 0,
			phantom_device_online(block_start(ph, 0),
					      param->online_type));
	KUNIT_ASSERT_EQ(test, 0,
			phantom_device_online(block_start(ph, 2),
					      param->online_type));
	KUNIT_ASSERT_EQ(test, 0,
			phantom_device_online(block_start(ph, 1), MMOP_ONLINE));
	expect_block_online(test, mem, zone);
}

/*
 * Memory that is not in a zone below ZONE_NORMAL is onlined to ZONE_NORMAL if it
 * is to be in a kernel zone, however far above the other zones it is.
 */
static void memory_far_above_other_zones_is_normal(struct kunit *test)
{
	pg_data_t *pgdat = NODE_DATA(numa_mem_id());
	struct zone *normal = &pgdat->node_zones[ZONE_NORMAL];
	bool found = false;
	struct zone *zone;
	int bit;

	for (zone = pgdat->node_zones; zone < normal; zone++) {
		const unsigned long pfn = zone->zone_start_pfn;

		if (zone_is_empty(zone))
			continue;
		found = true;
		KUNIT_EXPECT_PTR_EQ(test, zone,
				    zone_for_pfn_range(MMOP_ONLINE_KERNEL,
						       pgdat->node_id, NULL,
						       pfn, 1));
		/* If only the lower bits counted, this would be the zone, too. */
		for (bit = fls_long(pgdat_end_pfn(pgdat));
		     bit < BITS_PER_LONG - PAGE_SHIFT; bit++) {
			struct zone *far;

			far = zone_for_pfn_range(MMOP_ONLINE_KERNEL,
						 pgdat->node_id, NULL,
						 pfn + (1UL << bit), 1);
			KUNIT_EXPECT_PTR_EQ_MSG(test, normal, far, "bit %d",
						bit);
		}
	}
	if (!found)
		kunit_skip(test, "there is no zone below ZONE_NORMAL");
}

/* The zone for that way to online memory blocks, in which no others may be. */
static struct zone *empty_zone(struct kunit *test, const struct phantom_memory *ph,
			       enum mmop online_type)
{
	struct zone *zone = zone_for_pfn_range(online_type, ph->nid, NULL,
					       PHYS_PFN(ph->start),
					       nr_block_pages());

	if (!zone_is_empty(zone))
		kunit_skip(test, "zone %s has other memory", zone->name);
	return zone;
}

static void online_blocks(struct phantom_memory *ph, enum mmop online_type,
			  const int *blocks, unsigned int nr)
{
	while (nr--)
		KUNIT_ASSERT_EQ(ph->test, 0,
				phantom_device_online(block_start(ph, *blocks++),
						      online_type));
}

static void offline_nth_block(struct phantom_memory *ph, unsigned int nr)
{
	KUNIT_ASSERT_EQ(ph->test, 0,
			offline_block(ph, phantom_get_block(ph->test,
							    block_start(ph, nr))));
}

/* Expect that a zone begins with one memory block, and ends with another one. */
static void expect_span(const struct phantom_memory *ph, const struct zone *zone,
			unsigned int first, unsigned int last)
{
	KUNIT_EXPECT_EQ(ph->test, PHYS_PFN(block_start(ph, first)),
			zone->zone_start_pfn);
	KUNIT_EXPECT_EQ(ph->test, PHYS_PFN(block_start(ph, last + 1)),
			zone_end_pfn(zone));
	KUNIT_EXPECT_GE(ph->test, pgdat_end_pfn(zone->zone_pgdat),
			zone_end_pfn(zone));
}

static enum mmop other_type(enum mmop online_type)
{
	return online_type == MMOP_ONLINE_MOVABLE ? MMOP_ONLINE_KERNEL :
						    MMOP_ONLINE_MOVABLE;
}

/*
 * A zone spans its memory from the first to the last that is online, whatever
 * memory that is offline, or of another zone, lies in between.
 */
static void zone_spans_its_memory_that_is_online(struct kunit *test)
{
	const struct offline_skippable_param *param = test->param_value;
	const enum mmop online_other = other_type(param->online_type);
	struct phantom_memory *ph = add_blocks(test, 7);
	struct zone *zone = empty_zone(test, ph, param->online_type);
	struct zone *other = empty_zone(test, ph, online_other);

	/* The memory block in the middle stays offline. */
	online_blocks(ph, param->online_type, (int []){ 4, 1, 5, 0 }, 4);
	online_blocks(ph, online_other, (int []){ 2, 6 }, 2);
	expect_span(ph, zone, 0, 5);
	expect_span(ph, other, 2, 6);

	/* Neither the first nor the last of the zone */
	offline_nth_block(ph, 4);
	expect_span(ph, zone, 0, 5);
	offline_nth_block(ph, 5);
	expect_span(ph, zone, 0, 1);
	online_blocks(ph, param->online_type, (int []){ 5 }, 1);
	expect_span(ph, zone, 0, 5);
	offline_nth_block(ph, 0);
	expect_span(ph, zone, 1, 5);
	offline_nth_block(ph, 1);
	expect_span(ph, zone, 5, 5);
	offline_nth_block(ph, 5);
	KUNIT_EXPECT_TRUE(test, zone_is_empty(zone));
	KUNIT_EXPECT_EQ(test, 0, zone->zone_start_pfn);
	expect_span(ph, other, 2, 6);
}

/*
 * When memory has gone offline, its zone is contiguous if and only if no hole is
 * left in it, and memory that goes online behind a hole makes it one with a hole.
 */
static void zone_with_a_hole_is_not_contiguous(struct kunit *test)
{
	const struct offline_skippable_param *param = test->param_value;
	struct phantom_memory *ph = add_blocks(test, 4);
	struct zone *zone = empty_zone(test, ph, param->online_type);

	online_blocks(ph, param->online_type, (int []){ 0, 1, 2 }, 3);
	offline_nth_block(ph, 2);
	KUNIT_EXPECT_TRUE(test, zone->contiguous);
	online_blocks(ph, param->online_type, (int []){ 3 }, 1);
	KUNIT_EXPECT_FALSE(test, zone->contiguous);
	offline_nth_block(ph, 3);
	KUNIT_EXPECT_TRUE(test, zone->contiguous);

	online_blocks(ph, param->online_type, (int []){ 2, 3 }, 2);
	offline_nth_block(ph, 3);
	KUNIT_EXPECT_TRUE(test, zone->contiguous);
	offline_nth_block(ph, 1);
	KUNIT_EXPECT_FALSE(test, zone->contiguous);
	offline_nth_block(ph, 0);
	KUNIT_EXPECT_TRUE(test, zone->contiguous);
}

/* A zone without a hole is contiguous as soon as all its memory is online. */
static void zone_without_a_hole_is_contiguous(struct kunit *test)
{
	const struct offline_skippable_param *param = test->param_value;
	struct phantom_memory *ph = add_blocks(test, 2);
	struct zone *zone = empty_zone(test, ph, param->online_type);

	online_blocks(ph, param->online_type, (int []){ 0, 1 }, 2);
	if (!zone->contiguous)
		kunit_known_bug(test, "mm-memory_hotplug-find-zone-contiguous",
				"memory without a hole was onlined");
	KUNIT_EXPECT_TRUE(test, zone->contiguous);
}

/* Is memory of that zone to be had for allocations that may be from any zone? */
static bool in_zonelist(struct zone *zone)
{
	struct zoneref *ref;
	struct zone *each;

	for_each_zone_zonelist(each, ref, node_zonelist(zone_to_nid(zone), GFP_KERNEL),
			       MAX_NR_ZONES - 1) {
		if (each == zone)
			return true;
	}
	return false;
}

/*
 * From when its first memory goes online until its last goes offline, a zone is in the
 * zonelists, and has the same per-cpu lists of its own.
 */
static void zone_with_memory_has_lists(struct kunit *test)
{
	const struct offline_skippable_param *param = test->param_value;
	struct phantom_memory *ph = add_blocks(test, 2);
	struct zone *zone = empty_zone(test, ph, param->online_type);
	void __percpu *before = zone->per_cpu_pageset;
	void __percpu *lists;

	KUNIT_EXPECT_FALSE(test, in_zonelist(zone));
	online_blocks(ph, param->online_type, (int []){ 0 }, 1);
	lists = zone->per_cpu_pageset;
	KUNIT_EXPECT_TRUE(test, lists != before);
	KUNIT_EXPECT_TRUE(test, in_zonelist(zone));
	online_blocks(ph, param->online_type, (int []){ 1 }, 1);
	offline_nth_block(ph, 0);
	KUNIT_EXPECT_TRUE(test, zone->per_cpu_pageset == lists);
	KUNIT_EXPECT_TRUE(test, in_zonelist(zone));
	offline_nth_block(ph, 1);
	KUNIT_EXPECT_TRUE(test, zone->per_cpu_pageset == before);
	KUNIT_EXPECT_FALSE(test, in_zonelist(zone));
}

/*
 * With the policy "contig-zones", memory that no zone spans goes to a kernel zone,
 * and so does memory that both a kernel zone and ZONE_MOVABLE span.
 */
static void block_of_no_zone_or_two_goes_to_kernel_zone(struct kunit *test)
{
	struct phantom_memory *ph = add_blocks(test, 5);
	struct memory_block *mem = phantom_get_block(test, block_start(ph, 2));
	struct zone *kernel = empty_zone(test, ph, MMOP_ONLINE_KERNEL);
	int online_type;

	empty_zone(test, ph, MMOP_ONLINE_MOVABLE);
	phantom_set_param(test, "memory_hotplug.online_policy", "contig-zones");
	for (online_type = MMOP_OFFLINE; online_type <= MMOP_ONLINE; online_type++)
		KUNIT_EXPECT_PTR_EQ(test, kernel, zone_of_block(mem, online_type));

	online_blocks(ph, MMOP_ONLINE_KERNEL, (int []){ 0, 3 }, 2);
	online_blocks(ph, MMOP_ONLINE_MOVABLE, (int []){ 1, 4 }, 2);
	for (online_type = MMOP_OFFLINE; online_type <= MMOP_ONLINE; online_type++)
		KUNIT_EXPECT_PTR_EQ(test, kernel, zone_of_block(mem, online_type));
}

static void restore_movable_node(void *enabled)
{
	movable_node_enabled = enabled;
}

/*
 * With the option movable_node, memory that no zone spans goes to ZONE_MOVABLE, and
 * memory that a kernel zone spans goes there nevertheless.
 */
static void block_of_no_zone_is_movable_with_movable_node(struct kunit *test)
{
	struct phantom_memory *ph = add_blocks(test, 3);
	struct memory_block *mem = phantom_get_block(test, block_start(ph, 1));
	struct zone *kernel = empty_zone(test, ph, MMOP_ONLINE_KERNEL);
	struct zone *movable = empty_zone(test, ph, MMOP_ONLINE_MOVABLE);
	char value[] = "";

	phantom_set_param(test, "memory_hotplug.online_policy", "contig-zones");
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, restore_movable_node,
						  movable_node_enabled ? test : NULL));
	KUNIT_EXPECT_EQ(test, 0, phantom_boot_option(test, "movable_node", value));
	KUNIT_EXPECT_PTR_EQ(test, movable, zone_of_block(mem, MMOP_ONLINE));
	online_blocks(ph, MMOP_ONLINE_KERNEL, (int []){ 0, 2 }, 2);
	KUNIT_EXPECT_PTR_EQ(test, kernel, zone_of_block(mem, MMOP_ONLINE));
}

/*
 * A range of which an end is in another zone than offline_pages() is told fails to
 * go offline with -EINVAL, and stays online in both.
 */
static void range_of_two_zones_stays_online(struct kunit *test)
{
	const struct offline_skippable_param *param = test->param_value;
	struct phantom_memory *ph = add_blocks(test, 2);
	struct memory_block *mem[2];
	struct phantom_snapshot online;
	int i;

	for (i = 0; i < 2; i++) {
		mem[i] = phantom_get_block(test, block_start(ph, i));
		online_blocks(ph, i ? other_type(param->online_type) : param->online_type,
			      &i, 1);
		make_block_skippable(ph, mem[i]);
	}
	phantom_snapshot_take(&online);
	/* It warns once, whatever is wrong with the range. */
	kunit_warning_suppress(test) {
		for (i = 0; i < 2; i++)
			KUNIT_EXPECT_EQ(test, -EINVAL,
					phantom_offline_pages(block_pfn(mem[0]),
							      2 * nr_block_pages(),
							      mem[i]->zone));
	}
	phantom_snapshot_expect(test, &online);
	for (i = 0; i < 2; i++)
		KUNIT_EXPECT_NOT_NULL(test, pfn_to_online_page(block_pfn(mem[i])));
}

/* A range goes offline at once even if it is of several resources. */
static void range_of_two_resources_goes_offline(struct kunit *test)
{
	const struct offline_skippable_param *param = test->param_value;
	struct phantom_memory *first = add_blocks(test, 1);
	struct phantom_memory *second = phantom_memory_add(test, first->size);
	const unsigned long pfn = PHYS_PFN(first->start);
	const unsigned long nr_pages = 2 * nr_block_pages();
	struct zone *zone = zone_for_pfn_range(param->online_type, first->nid, NULL,
					       pfn, nr_pages);

	if (second->start != first->start + first->size)
		kunit_skip(test, "memory was added elsewhere");
	KUNIT_ASSERT_EQ(test, 0, phantom_online_pages(pfn, nr_pages, zone));
	phantom_set(first, pfn, nr_pages, PHANTOM_SKIPPABLE);
	KUNIT_EXPECT_EQ(test, 0, phantom_offline_pages(pfn, nr_pages, zone));
}

/*
 * State of memory blocks
 */

static int expect_zone_of_pages(struct memory_block *mem, void *arg)
{
	struct zone *zone, *found = NULL;
	struct kunit *test = arg;
	unsigned int nr_zones = 0;
	unsigned long i;

	if (mem->state != MEM_ONLINE)
		return 0;
	for_each_populated_zone(zone) {
		if (!zone_intersects(zone, block_pfn(mem), nr_block_pages()))
			continue;
		nr_zones++;
		found = zone;
	}
	if (nr_zones == 1)
		KUNIT_EXPECT_PTR_EQ(test, found, mem->zone);
	if (!mem->zone)
		return 0;
	for (i = 0; i < nr_block_pages(); i++) {
		struct page *page = pfn_to_online_page(block_pfn(mem) + i);

		/*
		 * Holes have no pages if they are whole sections, or reserved
		 * ones in whatever zone is around them.
		 */
		if (page && !PageReserved(page) && page_zone(page) != mem->zone) {
			KUNIT_FAIL(test, "pfn %#lx is in zone %s, and not in %s",
				   block_pfn(mem) + i, page_zone(page)->name,
				   mem->zone->name);
			break;
		}
	}
	return 0;
}

/*
 * An online memory block is in the zone of all of its pages, and in none only if
 * several zones span it.
 */
static void online_block_is_in_the_zone_of_its_pages(struct kunit *test)
{
	lock_device_hotplug();
	for_each_memory_block(test, expect_zone_of_pages);
	unlock_device_hotplug();
}

struct veto {
	struct notifier_block nb;
	unsigned int nr_cancelled;
};

static int veto_onlining(struct notifier_block *nb, unsigned long event,
			 void *arg)
{
	struct veto *veto = container_of(nb, struct veto, nb);

	if (event == MEM_CANCEL_ONLINE)
		veto->nr_cancelled++;
	return event == MEM_GOING_ONLINE ? notifier_from_errno(-EPERM) : NOTIFY_OK;
}

/*
 * A memory block that a memory notifier keeps from going online stays offline,
 * and nothing of it is left in the zone; it can go online later.
 */
static void refused_block_stays_offline(struct kunit *test)
{
	const struct offline_skippable_param *param = test->param_value;
	struct phantom_memory *ph = add_blocks(test, 1);
	struct memory_block *mem = phantom_get_block(test, ph->start);
	struct zone *zone = zone_of_block(mem, param->online_type);
	struct veto veto = { .nb.notifier_call = veto_onlining };
	struct phantom_snapshot offline;

	phantom_snapshot_take(&offline);
	KUNIT_ASSERT_EQ(test, 0, register_memory_notifier(&veto.nb));
	KUNIT_EXPECT_EQ(test, -EPERM,
			phantom_device_online(ph->start, param->online_type));
	unregister_memory_notifier(&veto.nb);
	KUNIT_EXPECT_EQ(test, 1, veto.nr_cancelled);
	expect_block_offline(test, mem);
	phantom_snapshot_expect(test, &offline);

	KUNIT_ASSERT_EQ(test, 0,
			phantom_device_online(ph->start, param->online_type));
	expect_block_online(test, mem, zone);
	KUNIT_EXPECT_EQ(test, 0, offline_block(ph, mem));
	phantom_snapshot_expect(test, &offline);
}

#define NR_HEARD	4
#define NO_EVENT	ULONG_MAX

/**
 * struct ear - a memory notifier that remembers what it heard
 * @nb: the notifier
 * @refused: the event that it refuses, or %NO_EVENT
 * @nr: how often it was called
 * @heard: what with, the first times
 */
struct ear {
	struct notifier_block nb;
	unsigned long refused;
	unsigned int nr;
	struct {
		unsigned long event;
		struct memory_notify notify;
	} heard[NR_HEARD];
};

static int hear(struct notifier_block *nb, unsigned long event, void *arg)
{
	struct ear *ear = container_of(nb, struct ear, nb);

	/* Older kernels also tell those who have to make memory accessible. */
	if (event > MEM_CANCEL_OFFLINE)
		return NOTIFY_OK;
	if (ear->nr < NR_HEARD) {
		ear->heard[ear->nr].event = event;
		ear->heard[ear->nr].notify = *(struct memory_notify *)arg;
	}
	ear->nr++;
	return event == ear->refused ? notifier_from_errno(-EPERM) : NOTIFY_OK;
}

/* Expect two events, both about the one memory block. */
static void expect_heard(struct kunit *test, struct ear *ear,
			 const struct memory_block *mem,
			 unsigned long first, unsigned long second)
{
	int i;

	KUNIT_EXPECT_EQ(test, 2, ear->nr);
	KUNIT_EXPECT_EQ(test, first, ear->heard[0].event);
	KUNIT_EXPECT_EQ(test, second, ear->heard[1].event);
	for (i = 0; i < 2; i++) {
		KUNIT_EXPECT_EQ(test, block_pfn(mem),
				ear->heard[i].notify.start_pfn);
		KUNIT_EXPECT_EQ(test, nr_block_pages(),
				ear->heard[i].notify.nr_pages);
	}
	ear->nr = 0;
}

/*
 * Memory notifiers hear twice of a memory block that goes online or offline: before
 * it, which all hear of and any can refuse, and after it succeeded or did not.
 */
static void notifiers_hear_before_and_after(struct kunit *test)
{
	struct phantom_memory *ph = add_blocks(test, 1);
	struct memory_block *mem = phantom_get_block(test, ph->start);
	struct ear ear = { .nb.notifier_call = hear };

	KUNIT_ASSERT_EQ(test, 0, register_memory_notifier(&ear.nb));
	ear.refused = MEM_GOING_ONLINE;
	KUNIT_EXPECT_EQ(test, -EPERM,
			phantom_device_online(ph->start, MMOP_ONLINE_MOVABLE));
	expect_heard(test, &ear, mem, MEM_GOING_ONLINE, MEM_CANCEL_ONLINE);
	ear.refused = MEM_GOING_OFFLINE;
	KUNIT_EXPECT_EQ(test, 0,
			phantom_device_online(ph->start, MMOP_ONLINE_MOVABLE));
	expect_heard(test, &ear, mem, MEM_GOING_ONLINE, MEM_ONLINE);

	KUNIT_EXPECT_EQ(test, -EPERM, offline_block(ph, mem));
	expect_heard(test, &ear, mem, MEM_GOING_OFFLINE, MEM_CANCEL_OFFLINE);
	ear.refused = NO_EVENT;
	phantom_set(ph, block_pfn(mem), 1, PHANTOM_OFFLINE);
	KUNIT_EXPECT_EQ(test, -EBUSY, phantom_device_offline(ph->start));
	expect_heard(test, &ear, mem, MEM_GOING_OFFLINE, MEM_CANCEL_OFFLINE);
	KUNIT_EXPECT_EQ(test, 0, offline_block(ph, mem));
	expect_heard(test, &ear, mem, MEM_GOING_OFFLINE, MEM_OFFLINE);
	unregister_memory_notifier(&ear.nb);
}

/*
 * remove_memory() fails with -EBUSY and changes nothing if one of the memory
 * blocks is online, and succeeds once none is.
 */
static void memory_is_not_removed_while_a_block_is_online(struct kunit *test)
{
	struct phantom_snapshot without, online;
	struct phantom_memory *ph;
	struct memory_block *mem;

	phantom_snapshot_take(&without);
	ph = add_blocks(test, 2);
	mem = phantom_get_block(test, block_start(ph, 1));
	KUNIT_ASSERT_EQ(test, 0,
			phantom_device_online(block_start(ph, 1),
					      MMOP_ONLINE_MOVABLE));
	phantom_snapshot_take(&online);

	KUNIT_EXPECT_EQ(test, -EBUSY, remove_memory(ph->start, ph->size));
	phantom_snapshot_expect(test, &online);
	KUNIT_EXPECT_EQ(test, MEM_ONLINE, mem->state);

	KUNIT_ASSERT_EQ(test, 0, offline_block(ph, mem));
	KUNIT_ASSERT_EQ(test, 0, remove_memory(ph->start, ph->size));
	ph->size = 0;
	phantom_snapshot_expect(test, &without);
}

/*
 * If a memory block cannot go offline, offline_and_remove_memory() removes nothing, and
 * memory blocks are online and offline as they were, each in its zone.
 */
static void failed_removal_leaves_blocks_as_they_were(struct kunit *test)
{
	struct phantom_memory *ph = add_blocks(test, 4);
	struct phantom_snapshot before;
	struct memory_block *mem[4];
	struct zone *zone[4];
	int i;

	online_blocks(ph, MMOP_ONLINE_KERNEL, (int []){ 1 }, 1);
	online_blocks(ph, MMOP_ONLINE_MOVABLE, (int []){ 2, 3 }, 2);
	for (i = 0; i < ARRAY_SIZE(mem); i++) {
		mem[i] = phantom_get_block(test, block_start(ph, i));
		zone[i] = mem[i]->zone;
		if (i && i < 3)
			make_block_skippable(ph, mem[i]);
	}
	phantom_snapshot_take(&before);
	KUNIT_EXPECT_EQ(test, -EBUSY, offline_and_remove_memory(ph->start, ph->size));
	phantom_snapshot_expect(test, &before);
	expect_block_offline(test, mem[0]);
	for (i = 1; i < ARRAY_SIZE(mem); i++)
		expect_block_online(test, mem[i], zone[i]);
}

/*
 * Several ranges are removed together, or none of them if memory of one cannot go
 * offline; what lies between them stays.
 */
static void ranges_are_removed_together(struct kunit *test)
{
#ifdef RANGES_ARE_REMOVED_TOGETHER
	struct phantom_memory *ph = add_blocks(test, 3);
	const u64 size = memory_block_size_bytes();
	struct range ranges[2];
	int i;

	for (i = 0; i < 2; i++) {
		ranges[i].start = block_start(ph, 2 * i);
		ranges[i].end = ranges[i].start + size - 1;
	}
	online_blocks(ph, MMOP_ONLINE_MOVABLE, (int []){ 0, 1, 2 }, 3);
	phantom_set(ph, PHYS_PFN(ph->start), PHYS_PFN(ph->size), PHANTOM_SKIPPABLE);
	for (i = 0; i < 2; i++) {
		const unsigned long pfn = PHYS_PFN(ranges[i].start);

		phantom_set(ph, pfn, 1, PHANTOM_OFFLINE);
		KUNIT_EXPECT_EQ(test, -EBUSY, offline_and_remove_memory_ranges(ranges, 2));
		KUNIT_EXPECT_NOT_NULL(test, pfn_to_online_page(PHYS_PFN(ranges[0].start)));
		KUNIT_EXPECT_NOT_NULL(test, pfn_to_online_page(PHYS_PFN(ranges[1].start)));
		phantom_set(ph, PHYS_PFN(ph->start), PHYS_PFN(ph->size),
			    PHANTOM_SKIPPABLE);
	}
	KUNIT_ASSERT_EQ(test, 0, offline_and_remove_memory_ranges(ranges, 2));
	KUNIT_EXPECT_FALSE(test, pfn_valid(PHYS_PFN(ranges[0].start)));
	KUNIT_EXPECT_FALSE(test, pfn_valid(PHYS_PFN(ranges[1].start)));
	ph->start += size;
	ph->size = size;
	KUNIT_EXPECT_NOT_NULL(test, pfn_to_online_page(PHYS_PFN(ph->start)));
#else
	kunit_skip(test, "ranges are removed one by one");
#endif
}

static int count_pages(unsigned long start_pfn, unsigned long nr_pages, void *arg)
{
	*(unsigned long *)arg += nr_pages;
	return 0;
}

/* Expect a memory block of which a part is no System RAM not to go offline. */
static int expect_block_with_holes_refused(struct memory_block *mem, void *arg)
{
	struct kunit *test = arg;
	unsigned long nr_pages = 0;

	if (mem->state != MEM_ONLINE)
		return 0;
	walk_system_ram_range(block_pfn(mem), nr_block_pages(), &nr_pages,
			      count_pages);
	if (nr_pages == nr_block_pages())
		return 0;
	KUNIT_EXPECT_EQ(test, -EINVAL, device_offline(&mem->dev));
	KUNIT_EXPECT_EQ(test, MEM_ONLINE, mem->state);
	return 1;
}

/*
 * A memory block of the boot with holes in it cannot go offline, but -EINVAL.
 */
static void block_with_holes_stays_online(struct kunit *test)
{
	int found;

	lock_device_hotplug();
	found = for_each_memory_block(test, expect_block_with_holes_refused);
	unlock_device_hotplug();
	if (!found)
		kunit_skip(test, "no memory block has holes");
}

/**
 * struct onlined - what the online_page callback has been given
 * @test: the test case
 * @next_pfn: the page that is to be next
 */
static struct onlined {
	struct kunit *test;
	unsigned long next_pfn;
} onlined;

static void expect_next_chunk(struct page *page, unsigned int order)
{
	const unsigned long pfn = page_to_pfn(page);

	KUNIT_EXPECT_EQ(onlined.test, onlined.next_pfn, pfn);
	KUNIT_EXPECT_EQ(onlined.test, min(MAX_PAGE_ORDER, __ffs(pfn)), order);
	onlined.next_pfn = pfn + (1UL << order);
}

static void restore_next_chunk_callback(void *unused)
{
	restore_online_page_callback(expect_next_chunk);
}

/*
 * Memory that goes online, whichever pageblock it begins at, is handed out once,
 * up to its end, and in the largest chunks that its alignment and the page
 * allocator allow.
 */
static void onlining_hands_out_each_page_once(struct kunit *test)
{
	const struct offline_skippable_param *param = test->param_value;
	const unsigned long max_pages = phantom_offlinable(4 * pageblock_nr_pages);
	const unsigned long step = phantom_offlinable(pageblock_nr_pages);
	struct phantom_memory *ph =
		phantom_memory_add(test, ALIGN(PFN_PHYS(max_pages),
					       memory_block_size_bytes()));
	const unsigned long end_pfn = PHYS_PFN(ph->start + ph->size);
	unsigned long nr_pages, pfn;

	if (set_online_page_callback(expect_next_chunk))
		kunit_skip(test, "a driver has set its online_page callback");
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test,
						  restore_next_chunk_callback,
						  NULL));
	onlined.test = test;
	for (nr_pages = step; nr_pages <= max_pages; nr_pages += step) {
		struct zone *zone;

		pfn = end_pfn - nr_pages;
		onlined.next_pfn = pfn;
		zone = zone_for_pfn_range(param->online_type, ph->nid, NULL, pfn,
					  nr_pages);
		KUNIT_ASSERT_EQ(test, 0, phantom_online_pages(pfn, nr_pages, zone));
		KUNIT_EXPECT_EQ(test, end_pfn, onlined.next_pfn);

		phantom_set(ph, pfn, nr_pages, PHANTOM_SKIPPABLE);
		KUNIT_ASSERT_EQ(test, 0, phantom_offline_pages(pfn, nr_pages, zone));
	}
}

struct free_page_watch {
	struct notifier_block nb;
	struct page *page;
	bool was_free;
};

/* With a page that is not in the buddy, offlining would never end. */
static int refuse_unless_free(struct notifier_block *nb, unsigned long event,
			      void *arg)
{
	struct free_page_watch *watch =
		container_of(nb, struct free_page_watch, nb);

	if (event != MEM_GOING_OFFLINE)
		return NOTIFY_OK;
	watch->was_free = is_free_buddy_page(watch->page);
	return watch->was_free ? NOTIFY_OK : notifier_from_errno(-EBUSY);
}

/*
 * Let a zone have pages on per-cpu lists, however little memory it has. It is as
 * before once offlining has disabled these lists, and enabled them again.
 */
static void enable_pcplists(struct zone *zone)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct per_cpu_pages *pcp =
			per_cpu_ptr(zone->per_cpu_pageset, cpu);

		WRITE_ONCE(pcp->high_max, 64);
		WRITE_ONCE(pcp->high_min, 64);
		WRITE_ONCE(pcp->batch, 8);
	}
}

/*
 * A page that is freed when offlining drains the lists of pages on their way to
 * the LRU is in the buddy from then on, and not on a per-cpu list.
 */
static void page_freed_by_offlining_is_in_the_buddy(struct kunit *test)
{
	struct phantom_memory *ph = phantom_memory_get(test);
	struct free_page_watch watch = { .nb.notifier_call = refuse_unless_free };

	phantom_online(ph, MMOP_ONLINE_MOVABLE);
	phantom_set(ph, ph->start_pfn, ph->nr_pages, PHANTOM_SKIPPABLE);

	/* Only the list holds a reference to it. */
	watch.page = pfn_to_page(ph->start_pfn);
	phantom_set(ph, ph->start_pfn, 1, PHANTOM_OFFLINE);
	__ClearPageOffline(watch.page);
	adjust_managed_page_count(watch.page, 1);
	enable_pcplists(ph->zone);
	lru_add_drain_all();
	add_to_lru(test, page_folio(watch.page));
	put_page(watch.page);
	KUNIT_EXPECT_EQ(test, 1, page_ref_count(watch.page));

	KUNIT_ASSERT_EQ(test, 0, register_memory_notifier(&watch.nb));
	KUNIT_EXPECT_EQ(test, 0, phantom_offline(ph));
	unregister_memory_notifier(&watch.nb);
	KUNIT_EXPECT_TRUE(test, watch.was_free);
}

struct walk {
	unsigned int nr_seen;
	unsigned long seen[4];
	unsigned int stop_at;
};

static int record_block(struct memory_block *mem, void *arg)
{
	struct walk *walk = arg;

	if (walk->nr_seen < ARRAY_SIZE(walk->seen))
		walk->seen[walk->nr_seen] = block_pfn(mem);
	return ++walk->nr_seen == walk->stop_at ? -ECANCELED : 0;
}

/*
 * walk_memory_blocks() visits each memory block that the range touches once and
 * in order, passes over those that are not there, and stops at the first error.
 */
static void walk_visits_blocks_in_order_until_an_error(struct kunit *test)
{
	struct phantom_memory *ph = add_blocks(test, 3);
	const u64 size = memory_block_size_bytes();
	struct walk all = {}, two = {}, part = {}, stopped = { .stop_at = 2 };
	int i;

	lock_device_hotplug();
	KUNIT_EXPECT_EQ(test, 0,
			walk_memory_blocks(ph->start, ph->size, &all,
					   record_block));
	KUNIT_EXPECT_EQ(test, 3, all.nr_seen);
	for (i = 0; i < 3; i++)
		KUNIT_EXPECT_EQ(test, PHYS_PFN(block_start(ph, i)), all.seen[i]);

	/* A page of the first memory block, and one of the second. */
	KUNIT_EXPECT_EQ(test, 0,
			walk_memory_blocks(block_start(ph, 1) - PAGE_SIZE,
					   2 * PAGE_SIZE, &part, record_block));
	KUNIT_EXPECT_EQ(test, 2, part.nr_seen);
	KUNIT_EXPECT_EQ(test, PHYS_PFN(block_start(ph, 1)), part.seen[1]);
	KUNIT_EXPECT_EQ(test, 0,
			walk_memory_blocks(ph->start, 0, &part, record_block));
	KUNIT_EXPECT_EQ(test, 2, part.nr_seen);

	KUNIT_EXPECT_EQ(test, -ECANCELED,
			walk_memory_blocks(ph->start, ph->size, &stopped,
					   record_block));
	KUNIT_EXPECT_EQ(test, 2, stopped.nr_seen);
	unlock_device_hotplug();

	KUNIT_ASSERT_EQ(test, 0, remove_memory(block_start(ph, 1), size));
	lock_device_hotplug();
	KUNIT_EXPECT_EQ(test, 0,
			walk_memory_blocks(ph->start, ph->size, &two,
					   record_block));
	unlock_device_hotplug();
	KUNIT_EXPECT_EQ(test, 2, two.nr_seen);
	KUNIT_EXPECT_EQ(test, PHYS_PFN(block_start(ph, 2)), two.seen[1]);
	KUNIT_ASSERT_EQ(test, 0, remove_memory(block_start(ph, 2), size));
	ph->size = size;
}

/*
 * HWPoison pages
 */

/*
 * A memory block stays offline with -EHWPOISON until the last of its HWPoison
 * pages is one no more, while those beside it can go online; removing memory
 * takes its HWPoison pages off the count of all.
 */
static void block_is_onlined_only_without_hwpoison_pages(struct kunit *test)
{
#ifdef CONFIG_MEMORY_FAILURE
	const struct offline_skippable_param *param = test->param_value;
	const long before = atomic_long_read(&num_poisoned_pages);
	struct phantom_memory *ph = add_blocks(test, 3);
	const u64 start = block_start(ph, 1), end = block_start(ph, 2);
	int i;

	/* This is all that is kept of a page while its section is offline. */
	num_poisoned_pages_inc(PHYS_PFN(start));
	num_poisoned_pages_inc(PHYS_PFN(end) - 1);

	for (i = 0; i < 3; i += 2) {
		KUNIT_EXPECT_EQ(test, 0,
				phantom_device_online(block_start(ph, i),
						      param->online_type));
	}
	for (i = 0; i < 2; i++) {
		KUNIT_EXPECT_EQ(test, -EHWPOISON,
				phantom_device_online(start, param->online_type));
		expect_block_offline(test, phantom_get_block(test, start));
		num_poisoned_pages_sub(PHYS_PFN(start), 1);
	}
	KUNIT_EXPECT_EQ(test, 0,
			phantom_device_online(start, param->online_type));

	KUNIT_EXPECT_EQ(test, before, atomic_long_read(&num_poisoned_pages));
	num_poisoned_pages_inc(PHYS_PFN(end) - 1);
	offline_all_blocks(ph);
	KUNIT_ASSERT_EQ(test, 0, remove_memory(ph->start, ph->size));
	ph->size = 0;
	KUNIT_EXPECT_EQ(test, before, atomic_long_read(&num_poisoned_pages));
#else
	kunit_skip(test, "CONFIG_MEMORY_FAILURE is not set");
#endif
}

/*
 * Life and death of memory block devices
 */

#define NR_WATCH_REFS	2

/**
 * struct device_watch - holds on to memory block devices that are created
 * @nb: the notifier
 * @test: the test case
 * @bus: the bus of memory blocks
 * @first: the id of the first memory block to watch
 * @last: the id of the last one
 * @without_memory: have all allocations of the task fail from then on that such
 *	a device is in sysfs
 * @nr: how many there were
 * @devs: these, each with %NR_WATCH_REFS references of ours
 */
struct device_watch {
	struct notifier_block nb;
	struct kunit *test;
	const struct bus_type *bus;
	unsigned long first;
	unsigned long last;
	bool without_memory;
	unsigned int nr;
	struct device *devs[4];
};

static int watch_notify(struct notifier_block *nb, unsigned long event,
			void *data)
{
	struct device_watch *watch = container_of(nb, struct device_watch, nb);
	struct device *dev = data;
	int i;

	if (event != BUS_NOTIFY_ADD_DEVICE || dev->id < watch->first ||
	    dev->id > watch->last)
		return NOTIFY_DONE;
	if (watch->nr == ARRAY_SIZE(watch->devs)) {
		KUNIT_FAIL(watch->test, "too many memory blocks");
		return NOTIFY_DONE;
	}
	for (i = 0; i < NR_WATCH_REFS; i++)
		get_device(dev);
	watch->devs[watch->nr++] = dev;
	if (watch->without_memory)
		kunit_fault_arm_all(watch->test);
	return NOTIFY_OK;
}

/* Drop @refs references to one of them. */
static void stop_watching(struct device_watch *watch, unsigned int i,
			  unsigned int refs)
{
	while (refs--)
		put_device(watch->devs[i]);
}

static void stop_watch(void *arg)
{
	struct device_watch *watch = arg;
	unsigned int i;

	bus_unregister_notifier(watch->bus, &watch->nb);
	for (i = 0; i < watch->nr; i++)
		stop_watching(watch, i, NR_WATCH_REFS);
}

static int get_bus(struct memory_block *mem, void *arg)
{
	const struct bus_type **bus = arg;

	*bus = mem->dev.bus;
	return 1;
}

/* From now on, hold on to the memory block devices of a range. */
static struct device_watch *start_watch(struct kunit *test, u64 start, u64 size)
{
	struct device_watch *watch = kunit_kzalloc(test, sizeof(*watch),
						   GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, watch);
	watch->test = test;
	watch->first = phys_to_block_id(start);
	watch->last = phys_to_block_id(start + size - 1);
	watch->nb.notifier_call = watch_notify;
	for_each_memory_block(&watch->bus, get_bus);
	KUNIT_ASSERT_NOT_NULL(test, watch->bus);
	KUNIT_ASSERT_EQ(test, 0,
			bus_register_notifier(watch->bus, &watch->nb));
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, stop_watch, watch));
	return watch;
}

/*
 * Expect @nr memory block devices to have been created, and given up by all but
 * us. With a second reference, we even survive that one too many was dropped.
 */
static void expect_given_up(struct device_watch *watch, unsigned int nr)
{
	unsigned int i;

	KUNIT_EXPECT_EQ(watch->test, nr, watch->nr);
	for (i = 0; i < watch->nr; i++) {
		struct device *dev = watch->devs[i];
		unsigned int refs = kref_read(&dev->kobj.kref);

		KUNIT_EXPECT_FALSE(watch->test, device_is_registered(dev));
		KUNIT_EXPECT_EQ(watch->test, NR_WATCH_REFS, refs);
		stop_watching(watch, i, refs);
	}
	watch->nr = 0;
}

/*
 * When memory is removed, nobody holds a reference to its memory block devices
 * any more, whatever was done to them.
 */
static void block_is_given_up_when_memory_is_removed(struct kunit *test)
{
	const u64 size = 2 * (u64)memory_block_size_bytes();
	struct device_watch *watch;
	struct phantom_memory *ph;
	struct memory_block *mem;

	watch = start_watch(test, phantom_find_range(test, size), size);
	ph = add_blocks(test, 2);
	KUNIT_ASSERT_EQ(test, 0,
			phantom_device_online(ph->start, MMOP_ONLINE_KERNEL));
	KUNIT_EXPECT_EQ(test, -EBUSY, phantom_device_offline(ph->start));
	KUNIT_EXPECT_EQ(test, -EBUSY, remove_memory(ph->start, ph->size));
	mem = memory_block_at(ph->start);
	KUNIT_ASSERT_NOT_NULL(test, mem);
	KUNIT_EXPECT_EQ(test, 0, offline_block(ph, mem));
	memory_block_put(mem);
	KUNIT_ASSERT_EQ(test, 0, remove_memory(ph->start, ph->size));
	ph->size = 0;
	expect_given_up(watch, 2);
}

/*
 * If one of the memory block devices that are to be created exists already, the
 * others are given up, and that one stays.
 */
static void existing_block_stays_if_created_again(struct kunit *test)
{
	const u64 size = memory_block_size_bytes();
	struct phantom_memory *ph = add_blocks(test, 2);
	struct phantom_snapshot without;
	struct device_watch *watch;

	KUNIT_ASSERT_EQ(test, 0, remove_memory(ph->start, size));
	ph->start += size;
	ph->size -= size;

	phantom_snapshot_take(&without);
	watch = start_watch(test, ph->start - size, 2 * size);
	lock_device_hotplug();
	KUNIT_EXPECT_EQ(test, -EEXIST,
			create_memory_block_devices(ph->start - size, 2 * size,
						    ph->nid, NULL, NULL));
	unlock_device_hotplug();
	expect_given_up(watch, 1);
	phantom_snapshot_expect(test, &without);
	expect_block_offline(test, phantom_get_block(test, ph->start));
}

/* Find as many ids without a memory block as one node of the xarray has. */
static u64 find_range_without_blocks(struct kunit *test)
{
	const u64 size = XA_CHUNK_SIZE * (u64)memory_block_size_bytes();
	struct walk walk = {};
	u64 start;

	start = ALIGN(phantom_find_range(test, memory_block_size_bytes()), size);
	do {
		start += size;
		walk.nr_seen = 0;
		lock_device_hotplug();
		walk_memory_blocks(start, size, &walk, record_block);
		unlock_device_hotplug();
	} while (walk.nr_seen);
	return start;
}

/*
 * If there is no memory to keep track of a memory block device, creating it fails
 * with -ENOMEM, and it is given up once.
 */
static void block_is_given_up_once_without_memory(struct kunit *test)
{
	const u64 size = memory_block_size_bytes();
	const u64 start = find_range_without_blocks(test);
	struct device_watch *watch;
	int ret;

	kunit_fault_init(test);
	watch = start_watch(test, start, size);
	watch->without_memory = true;
	lock_device_hotplug();
	ret = create_memory_block_devices(start, size, numa_mem_id(), NULL, NULL);
	if (!ret)
		remove_memory_block_devices(start, size);
	unlock_device_hotplug();
	kunit_fault_disarm(test, 0);
	KUNIT_EXPECT_EQ(test, -ENOMEM, ret);
	expect_given_up(watch, 1);
}

static struct kunit_case offline_skippable_block_cases[] = {
	KUNIT_CASE_PARAM(state_of_block_is_what_is_written,
			 online_word_gen_params),
	KUNIT_CASE(other_words_do_not_change_state_of_block),
	KUNIT_CASE(valid_zones_of_offline_block_are_those_of_online),
	KUNIT_CASE_PARAM(block_amid_a_zone_goes_there, zone_gen_params),
	KUNIT_CASE(memory_far_above_other_zones_is_normal),
	KUNIT_CASE_PARAM(zone_spans_its_memory_that_is_online, zone_gen_params),
	KUNIT_CASE_PARAM(zone_with_a_hole_is_not_contiguous, zone_gen_params),
	KUNIT_CASE_PARAM(zone_without_a_hole_is_contiguous, zone_gen_params),
	KUNIT_CASE_PARAM(zone_with_memory_has_lists, zone_gen_params),
	KUNIT_CASE(block_of_no_zone_or_two_goes_to_kernel_zone),
	KUNIT_CASE(block_of_no_zone_is_movable_with_movable_node),
	KUNIT_CASE_PARAM(range_of_two_zones_stays_online, zone_gen_params),
	KUNIT_CASE_PARAM(range_of_two_resources_goes_offline, zone_gen_params),
	KUNIT_CASE(online_block_is_in_the_zone_of_its_pages),
	KUNIT_CASE_PARAM(refused_block_stays_offline, zone_gen_params),
	KUNIT_CASE(notifiers_hear_before_and_after),
	KUNIT_CASE(memory_is_not_removed_while_a_block_is_online),
	KUNIT_CASE(failed_removal_leaves_blocks_as_they_were),
	KUNIT_CASE(ranges_are_removed_together),
	KUNIT_CASE(block_with_holes_stays_online),
	KUNIT_CASE_PARAM(onlining_hands_out_each_page_once, zone_gen_params),
	KUNIT_CASE(page_freed_by_offlining_is_in_the_buddy),
	KUNIT_CASE(walk_visits_blocks_in_order_until_an_error),
	KUNIT_CASE_PARAM(block_is_onlined_only_without_hwpoison_pages,
			 zone_gen_params),
	KUNIT_CASE(block_is_given_up_when_memory_is_removed),
	KUNIT_CASE(existing_block_stays_if_created_again),
	KUNIT_CASE(block_is_given_up_once_without_memory),
	{}
};

static struct kunit_suite offline_skippable_block_suite = {
	.name = "offline_skippable_block",
	.init = offline_skippable_hotplug_init,
	.suite_exit = offline_skippable_suite_exit,
	.test_cases = offline_skippable_block_cases,
};

kunit_test_suite(offline_skippable_block_suite);

MODULE_DESCRIPTION("KUnit tests for memory block devices");
MODULE_LICENSE("GPL");
