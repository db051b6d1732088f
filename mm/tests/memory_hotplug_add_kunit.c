// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests for adding memory: which memory and which pages are refused, what is
 * there of memory that is added, and that nothing is when it is removed.
 */
#include <kunit/known_bug.h>
#include <linux/firmware-map.h>
#include <linux/ioport.h>
#include <linux/kernel.h>
#include <linux/memblock.h>
#include <linux/memory.h>
#include <linux/memory_hotplug.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/pgtable.h>

#include "offline_skippable.h"

/*
 * Memory
 */

static void expect_removed(struct kunit *test, u64 start, u64 size)
{
	KUNIT_EXPECT_EQ(test, 0, remove_memory(start, size));
	KUNIT_EXPECT_NULL(test, lookup_resource(&iomem_resource, start));
}

/* The resource of memory tells whether a driver manages it. */
static void resource_tells_who_manages_memory(struct kunit *test)
{
	const u64 size = memory_block_size_bytes();
	const u64 start = phantom_find_range(test, size);
	struct resource *res;

	phantom_set_default_online_type(test, MMOP_OFFLINE);
	KUNIT_ASSERT_EQ(test, 0, add_memory(first_memory_node, start, size, MHP_NONE));
	res = lookup_resource(&iomem_resource, start);
	KUNIT_EXPECT_EQ(test, IORESOURCE_SYSTEM_RAM | IORESOURCE_BUSY,
			res ? res->flags & (IORESOURCE_SYSTEM_RAM | IORESOURCE_BUSY |
					    IORESOURCE_SYSRAM_DRIVER_MANAGED) : 0);
	expect_removed(test, start, size);

	KUNIT_ASSERT_EQ(test, 0, phantom_add_range(start, size, MHP_NONE));
	res = lookup_resource(&iomem_resource, start);
	KUNIT_EXPECT_TRUE(test, res && res->flags & IORESOURCE_SYSRAM_DRIVER_MANAGED);
	/* As those do who have the lock already. */
	lock_device_hotplug();
	__remove_memory(start, size);
	unlock_device_hotplug();
	KUNIT_EXPECT_NULL(test, lookup_resource(&iomem_resource, start));
}

/* Memory that the kernel could not address is refused, and nothing is left of it. */
static void memory_out_of_range_is_refused(struct kunit *test)
{
	const struct range range = mhp_get_pluggable_range(true);
	const u64 size = memory_block_size_bytes();
	const u64 end = ALIGN_DOWN(range.end, size) + size;

	phantom_require(test);
	if (end + size < end)
		kunit_skip(test, "all memory is in range");
	KUNIT_EXPECT_EQ(test, -E2BIG, phantom_add_range(end, size, MHP_NONE));
	KUNIT_EXPECT_NULL(test, lookup_resource(&iomem_resource, end));
	/* The first half of it is in range. */
	KUNIT_EXPECT_EQ(test, -E2BIG, phantom_add_range(end - size, 2 * size, MHP_NONE));
	KUNIT_EXPECT_NULL(test, lookup_resource(&iomem_resource, end - size));
}

/*
 * A range may be added if it is not empty, does not wrap, and lies within the range
 * that the kernel can address, up to and including its last byte.
 */
static void range_is_allowed_within_pluggable_range(struct kunit *test)
{
	const u64 size = memory_block_size_bytes();
	int need_mapping;

	phantom_require(test);
	for (need_mapping = 0; need_mapping <= 1; need_mapping++) {
		const struct range range = mhp_get_pluggable_range(need_mapping);
		const u64 end = range.end + 1;

		KUNIT_ASSERT_LT(test, range.start, range.end);
		KUNIT_EXPECT_TRUE(test, mhp_range_allowed(range.start, size, need_mapping));
		KUNIT_EXPECT_FALSE(test, mhp_range_allowed(range.start, 0, need_mapping));
		if (range.start)
			KUNIT_EXPECT_FALSE(test, mhp_range_allowed(range.start - 1, size,
								   need_mapping));
		if (!end)
			continue;
		KUNIT_EXPECT_TRUE(test, mhp_range_allowed(end - size, size, need_mapping));
		KUNIT_EXPECT_TRUE(test, mhp_range_allowed(range.end, 1, need_mapping));
		KUNIT_EXPECT_FALSE(test, mhp_range_allowed(end - size, size + 1,
							   need_mapping));
		KUNIT_EXPECT_FALSE(test, mhp_range_allowed(end, size, need_mapping));
		/* It ends at 1. */
		KUNIT_EXPECT_FALSE(test, mhp_range_allowed(range.end, 1 - range.end,
							   need_mapping));
	}
}

/* A range that does not consist of whole memory blocks is refused. */
static void part_of_memory_block_is_refused(struct kunit *test)
{
	const u64 size = memory_block_size_bytes();
	const u64 start = phantom_find_range(test, 2 * size);
	struct resource empty = {
		.name = "System RAM (kunit)",
		.start = start,
		.end = start - 1,
	};

	KUNIT_EXPECT_EQ(test, -EINVAL, phantom_add_range(start + PAGE_SIZE, size, MHP_NONE));
	KUNIT_EXPECT_EQ(test, -EINVAL, phantom_add_range(start, size + PAGE_SIZE, MHP_NONE));
	KUNIT_EXPECT_EQ(test, -EINVAL, phantom_add_range(start, PAGE_SIZE, MHP_NONE));
	KUNIT_EXPECT_EQ(test, -EINVAL,
			add_memory(first_memory_node, start, PAGE_SIZE, MHP_NONE));
	lock_device_hotplug();
	KUNIT_EXPECT_EQ(test, -EINVAL,
			add_memory_resource(first_memory_node, &empty, MHP_NONE));
	unlock_device_hotplug();
	KUNIT_EXPECT_EQ(test, REGION_DISJOINT,
			region_intersects(start, 2 * size, 0, IORES_DESC_NONE));
}

/* Memory for a node or a memory group that cannot be is refused. */
static void memory_of_no_node_or_group_is_refused(struct kunit *test)
{
	const u64 size = memory_block_size_bytes();
	const u64 start = phantom_find_range(test, size);
	int nid = 0;

	while (nid < MAX_NUMNODES && node_possible(nid))
		nid++;
	if (IS_ENABLED(CONFIG_NUMA) && nid == MAX_NUMNODES)
		kunit_skip(test, "all nodes are possible");
	kunit_warning_suppress(test) {
		KUNIT_EXPECT_EQ(test, -EINVAL, add_memory(nid, start, size, MHP_NONE));
		KUNIT_EXPECT_SUPPRESSED_WARNING_COUNT(test, 1);
	}
	KUNIT_EXPECT_EQ(test, -EINVAL,
			add_memory(INT_MAX, start, size, MHP_NID_IS_MGID));
	KUNIT_EXPECT_EQ(test, REGION_DISJOINT,
			region_intersects(start, size, 0, IORES_DESC_NONE));
}

/*
 * Memory is managed by a driver whose name is in parentheses behind "System RAM"; with
 * any other name, or if it is to be onlined in no known way, it is refused.
 */
static void memory_of_driver_without_name_is_refused(struct kunit *test)
{
	static const char * const names[] = {
		NULL, "", "System RAM", "kunit)", "RAM (kunit)", "System RAM (kunit",
		"more System RAM (kunit)", "System RAM (kunit) ", "System RAM kunit)",
	};
	const u64 size = memory_block_size_bytes();
	const u64 start = phantom_find_range(test, size);
	int i;

	for (i = 0; i < ARRAY_SIZE(names); i++)
		KUNIT_EXPECT_EQ_MSG(test, -EINVAL,
				    __add_memory_driver_managed(first_memory_node,
								start, size, names[i],
								MHP_NONE,
								MMOP_OFFLINE),
				    "%s", names[i]);
	if (DRIVER_CHOOSES_ONLINE_TYPE)
		KUNIT_EXPECT_EQ(test, -EINVAL,
				__add_memory_driver_managed(first_memory_node, start,
							    size, "System RAM (kunit)",
							    MHP_NONE,
							    MMOP_ONLINE_MOVABLE + 1));
	KUNIT_EXPECT_EQ(test, REGION_DISJOINT,
			region_intersects(start, size, 0, IORES_DESC_NONE));
}

/*
 * Memory that is there already is not added again, and stays as it is; what is added
 * right behind it shares its resource only if that is asked for.
 */
static void memory_is_added_once(struct kunit *test)
{
	const u64 size = memory_block_size_bytes();
	const u64 start = phantom_find_range(test, 2 * size);
	struct resource *res;
	int i;

	phantom_set_default_online_type(test, MMOP_OFFLINE);
	for (i = 0; i < 2; i++) {
		const mhp_t flags = i ? MHP_MERGE_RESOURCE : MHP_NONE;

		KUNIT_ASSERT_EQ(test, 0,
				add_memory_driver_managed(first_memory_node, start, size,
							  "System RAM (kunit)", flags));
		KUNIT_EXPECT_EQ(test, -EEXIST, phantom_add_range(start, size, MHP_NONE));
		KUNIT_EXPECT_EQ(test, -EEXIST,
				add_memory(first_memory_node, start, size, MHP_NONE));
		KUNIT_EXPECT_EQ(test, 0,
				add_memory_driver_managed(first_memory_node, start + size,
							  size, "System RAM (kunit)",
							  flags));
		res = lookup_resource(&iomem_resource, start);
		KUNIT_EXPECT_EQ(test, (i + 1) * size, res ? resource_size(res) : 0);
		KUNIT_EXPECT_EQ(test, 0, remove_memory(start + size, size));
		KUNIT_EXPECT_EQ(test, 0, remove_memory(start, size));
		KUNIT_EXPECT_EQ(test, REGION_DISJOINT,
				region_intersects(start, 2 * size, 0, IORES_DESC_NONE));
	}
}

/* The online_page callback: what goes online stays PageOffline(), and can be skipped. */
static void keep_skippable(struct page *page, unsigned int order)
{
	unsigned long i;

	for (i = 0; i < 1UL << order; i++)
		SetPageOfflineSkippable(page + i);
}

static void stop_keeping(void *unused)
{
	restore_online_page_callback(keep_skippable);
}

/*
 * All of the memory that is added goes online as whoever adds it asks for, or stays
 * offline if that is asked for.
 */
static void memory_is_onlined_as_it_is_added(struct kunit *test)
{
	const u64 size = memory_block_size_bytes();
	const u64 start = phantom_find_range(test, 2 * size);
	int online_type, i;

	if (set_online_page_callback(keep_skippable))
		kunit_skip(test, "a driver has set its online_page callback");
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, stop_keeping, NULL));
	for (online_type = MMOP_OFFLINE; online_type <= MMOP_ONLINE_MOVABLE; online_type++) {
		KUNIT_ASSERT_EQ(test, 0,
				__add_memory_driver_managed(first_memory_node, start,
							    2 * size,
							    "System RAM (kunit)",
							    MHP_NONE, online_type));
		for (i = 0; i < 2; i++) {
			const unsigned long pfn = PHYS_PFN(start + i * size);
			struct page *page = pfn_to_online_page(pfn);

			KUNIT_EXPECT_EQ(test, online_type != MMOP_OFFLINE, !!page);
			if (page && online_type != MMOP_ONLINE)
				KUNIT_EXPECT_EQ(test, online_type == MMOP_ONLINE_MOVABLE,
						page_zonenum(page) == ZONE_MOVABLE);
		}
		KUNIT_ASSERT_EQ(test, 0, offline_and_remove_memory(start, 2 * size));
	}
}

/*
 * Memory that is added below other memory does not lower the end of memory, beyond
 * which the kernel looks for no pages.
 */
static void end_of_memory_is_not_lowered(struct kunit *test)
{
	const u64 size = memory_block_size_bytes();
	const u64 start = phantom_find_range(test, 2 * size);
	unsigned long end_pfn;

	KUNIT_ASSERT_EQ(test, 0, phantom_add_range(start + size, size, MHP_NONE));
	end_pfn = max_pfn;
	KUNIT_EXPECT_EQ(test, 0, phantom_add_range(start, size, MHP_NONE));
	expect_removed(test, start, size);
	expect_removed(test, start + size, size);
	if (IS_ENABLED(CONFIG_RISCV) && max_pfn < end_pfn)
		kunit_known_bug(test, "riscv-mm-keep-end-of-memory", "it was lowered");
	KUNIT_EXPECT_GE(test, max_pfn, end_pfn);
}

/* The firmware memory map lists memory that is added, but not that of a driver. */
static void firmware_map_lists_memory_of_firmware(struct kunit *test)
{
	const u64 size = memory_block_size_bytes();
	const u64 start = phantom_find_range(test, size);

	if (!IS_ENABLED(CONFIG_FIRMWARE_MEMMAP))
		kunit_skip(test, "CONFIG_FIRMWARE_MEMMAP is not set");
	phantom_set_default_online_type(test, MMOP_OFFLINE);

	KUNIT_ASSERT_EQ(test, 0, add_memory(first_memory_node, start, size, MHP_NONE));
	KUNIT_EXPECT_EQ(test, 0,
			firmware_map_remove(start, start + size, "System RAM"));
	expect_removed(test, start, size);

	KUNIT_ASSERT_EQ(test, 0, add_memory(first_memory_node, start, size, MHP_NONE));
	expect_removed(test, start, size);
	KUNIT_EXPECT_EQ(test, -EINVAL,
			firmware_map_remove(start, start + size, "System RAM"));

	KUNIT_ASSERT_EQ(test, 0, phantom_add_range(start, size, MHP_NONE));
	KUNIT_EXPECT_EQ(test, -EINVAL,
			firmware_map_remove(start, start + size, "System RAM"));
	expect_removed(test, start, size);
}

static void restore_max_mem_size(void *unused)
{
	max_mem_size = U64_MAX;
}

/* Memory beyond what mem= allows is refused, but only while the kernel boots. */
static void memory_beyond_limit_is_refused_at_boot(struct kunit *test)
{
	const u64 size = memory_block_size_bytes();
	const u64 start = phantom_find_range(test, size);

	if (max_mem_size != U64_MAX)
		kunit_skip(test, "there is a limit already");
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, restore_max_mem_size, NULL));

	max_mem_size = start + size;
	KUNIT_EXPECT_EQ(test, 0, phantom_add_range(start, size, MHP_NONE));
	expect_removed(test, start, size);

	max_mem_size = start + size - 1;
	if (system_state < SYSTEM_RUNNING) {
		KUNIT_EXPECT_EQ(test, -E2BIG, phantom_add_range(start, size, MHP_NONE));
		KUNIT_EXPECT_NULL(test, lookup_resource(&iomem_resource, start));
	} else {
		KUNIT_EXPECT_EQ(test, 0, phantom_add_range(start, size, MHP_NONE));
		expect_removed(test, start, size);
	}
}

/*
 * Pages
 */

/*
 * Pages that share a subsection with others are refused, and so are pages whose
 * memmap is to be on other pages than the first ones, or is larger than they are, and
 * pages that nobody may access.
 */
static void wrong_pages_are_refused(struct kunit *test)
{
	const u64 size = memory_block_size_bytes();
	const unsigned long pfn = PHYS_PFN(phantom_find_range(test, size));
	const unsigned long nr_pages = PAGES_PER_SUBSECTION;
	struct vmem_altmap before = { .base_pfn = pfn - 1, .free = 1 };
	struct vmem_altmap after = { .base_pfn = pfn + 1, .free = 1 };
	struct vmem_altmap large = { .base_pfn = pfn, .free = nr_pages + 1 };
	struct mhp_params params = { .pgprot = PAGE_KERNEL };
	struct mhp_params nothing = {};

	mem_hotplug_begin();
	kunit_warning_suppress(test) {
		KUNIT_EXPECT_EQ(test, -EINVAL,
				__add_pages(first_memory_node, pfn + 1, nr_pages, &params));
		KUNIT_EXPECT_EQ(test, -EINVAL,
				__add_pages(first_memory_node, pfn, nr_pages - 1, &params));
		KUNIT_EXPECT_SUPPRESSED_WARNING_COUNT(test, 2);
	}
	kunit_warning_suppress(test) {
		KUNIT_EXPECT_EQ(test, -EINVAL,
				__add_pages(first_memory_node, pfn, nr_pages, &nothing));
		/* It warns once. */
		KUNIT_EXPECT_LE(test, kunit_suppressed_warning_count(__kunit_suppress), 1);
	}
	params.altmap = &before;
	KUNIT_EXPECT_EQ(test, -EINVAL,
			__add_pages(first_memory_node, pfn, nr_pages, &params));
	params.altmap = &after;
	KUNIT_EXPECT_EQ(test, -EINVAL,
			__add_pages(first_memory_node, pfn, nr_pages, &params));
	params.altmap = &large;
	KUNIT_EXPECT_EQ(test, -EINVAL,
			__add_pages(first_memory_node, pfn, nr_pages, &params));
	mem_hotplug_done();
	KUNIT_EXPECT_FALSE(test, pfn_valid(pfn));
}

/*
 * Pages may all be meant for their memmap, of which none are used yet when they are
 * added.
 */
static void pages_may_be_as_many_as_their_memmap_has(struct kunit *test)
{
	const u64 size = memory_block_size_bytes();
	const unsigned long pfn = PHYS_PFN(phantom_find_range(test, size));
	const unsigned long nr_pages = PAGES_PER_SUBSECTION;
	struct vmem_altmap altmap = { .base_pfn = pfn, .free = nr_pages, .alloc = 1 };
	struct mhp_params params = { .pgprot = PAGE_KERNEL, .altmap = &altmap };

	/* Others may put the memmap there, for all that it is too small. */
	if (!IS_ENABLED(CONFIG_X86_64) || nr_pages == PAGES_PER_SECTION)
		kunit_skip(test, "the memmap of these pages might not be there");
	mem_hotplug_begin();
	KUNIT_EXPECT_EQ(test, 0, __add_pages(first_memory_node, pfn, nr_pages, &params));
	KUNIT_EXPECT_EQ(test, 0, altmap.alloc);
	KUNIT_EXPECT_TRUE(test, pfn_valid(pfn + nr_pages - 1));
	__remove_pages(pfn, nr_pages, &altmap, NULL);
	mem_hotplug_done();
	KUNIT_EXPECT_FALSE(test, pfn_valid(pfn));
}

/*
 * Pages that are in a section which is online, but are not there, are not online, nor
 * are those behind the last section that there can be; and who removes parts of
 * subsections removes nothing.
 */
static void absent_pages_are_not_online(struct kunit *test)
{
#ifdef CONFIG_SPARSEMEM_VMEMMAP
	const unsigned long nr_pages = PAGES_PER_SUBSECTION;
	const u64 start = phantom_find_range(test, PFN_PHYS(2 * PAGES_PER_SECTION));
	/* At the end of a section, and at the begin of the next one */
	const unsigned long pfn = SECTION_ALIGN_UP(PHYS_PFN(start) + 1) - nr_pages;
	struct mhp_params params = { .pgprot = PAGE_KERNEL };

	KUNIT_EXPECT_NULL(test, pfn_to_online_page(section_nr_to_pfn(NR_MEM_SECTIONS)));
	KUNIT_EXPECT_NULL(test, pfn_to_online_page(section_nr_to_pfn(NR_MEM_SECTIONS) +
						   PAGES_PER_SECTION));
	KUNIT_EXPECT_NULL(test, pfn_to_online_page(ULONG_MAX));

	if (nr_pages == PAGES_PER_SECTION)
		kunit_skip(test, "a section has but one subsection");
	mem_hotplug_begin();
	KUNIT_EXPECT_EQ(test, 0,
			__add_pages(first_memory_node, pfn, 2 * nr_pages, &params));
	KUNIT_EXPECT_TRUE(test, pfn_valid(pfn));
	KUNIT_EXPECT_TRUE(test, pfn_valid(pfn + 2 * nr_pages - 1));
	KUNIT_EXPECT_FALSE(test, pfn_valid(pfn - 1));
	KUNIT_EXPECT_FALSE(test, pfn_valid(pfn + 2 * nr_pages));
	KUNIT_EXPECT_NULL(test, pfn_to_online_page(pfn));

	online_mem_sections(pfn, pfn + nr_pages);
	online_mem_sections(pfn + nr_pages, pfn + 2 * nr_pages);
	KUNIT_EXPECT_NULL(test, pfn_to_online_page(pfn - 1));
	KUNIT_EXPECT_PTR_EQ(test, pfn_to_page(pfn), pfn_to_online_page(pfn));
	KUNIT_EXPECT_NOT_NULL(test, pfn_to_online_page(pfn + 2 * nr_pages - 1));
	KUNIT_EXPECT_NULL(test, pfn_to_online_page(pfn + 2 * nr_pages));
	offline_mem_sections(pfn, pfn + nr_pages);
	offline_mem_sections(pfn + nr_pages, pfn + 2 * nr_pages);

	kunit_warning_suppress(test) {
		__remove_pages(pfn, nr_pages - 1, NULL, NULL);
		__remove_pages(pfn + 1, nr_pages, NULL, NULL);
		KUNIT_EXPECT_SUPPRESSED_WARNING_COUNT(test, 2);
	}
	KUNIT_EXPECT_TRUE(test, pfn_valid(pfn));
	KUNIT_EXPECT_TRUE(test, pfn_valid(pfn + 2 * nr_pages - 1));
	__remove_pages(pfn, 2 * nr_pages, NULL, NULL);
	KUNIT_EXPECT_FALSE(test, pfn_valid(pfn));
	KUNIT_EXPECT_FALSE(test, pfn_valid(pfn + 2 * nr_pages - 1));
	mem_hotplug_done();
#else
	kunit_skip(test, "CONFIG_SPARSEMEM_VMEMMAP is not set");
#endif
}

static struct kunit_case memory_hotplug_add_cases[] = {
	KUNIT_CASE(resource_tells_who_manages_memory),
	KUNIT_CASE(memory_out_of_range_is_refused),
	KUNIT_CASE(range_is_allowed_within_pluggable_range),
	KUNIT_CASE(part_of_memory_block_is_refused),
	KUNIT_CASE(memory_of_no_node_or_group_is_refused),
	KUNIT_CASE(memory_of_driver_without_name_is_refused),
	KUNIT_CASE(memory_is_added_once),
	KUNIT_CASE(memory_is_onlined_as_it_is_added),
	KUNIT_CASE(end_of_memory_is_not_lowered),
	KUNIT_CASE(firmware_map_lists_memory_of_firmware),
	KUNIT_CASE(memory_beyond_limit_is_refused_at_boot),
	KUNIT_CASE(wrong_pages_are_refused),
	KUNIT_CASE(pages_may_be_as_many_as_their_memmap_has),
	KUNIT_CASE(absent_pages_are_not_online),
	{}
};

static struct kunit_suite memory_hotplug_add_suite = {
	.name = "memory_hotplug_add",
	.init = offline_skippable_hotplug_init,
	.suite_exit = offline_skippable_suite_exit,
	.test_cases = memory_hotplug_add_cases,
};

kunit_test_suite(memory_hotplug_add_suite);

MODULE_DESCRIPTION("KUnit tests for adding memory");
MODULE_LICENSE("GPL");
