// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests for the virtio-mem driver: what it makes of the configuration of a
 * device, such as a region that does not fit memory blocks, and how its memory
 * is known to the rest of the kernel.
 */
#include <kunit/test.h>
#include <linux/acpi.h>
#include <linux/bitmap.h>
#include <linux/ioport.h>
#include <linux/nodemask.h>
#include <linux/sizes.h>
#include <linux/string.h>

#include "virtio_mem_kunit.h"

/**
 * struct setup_param - how the driver uses memory
 * @desc: in words
 * @force_bbm: whether in big-block mode
 */
struct setup_param {
	const char *desc;
	bool force_bbm;
};

static const struct setup_param setup_params[] = {
	{ "sub-block mode", false },
	{ "big-block mode", true },
};

KUNIT_ARRAY_PARAM_DESC(setup, setup_params, desc);

static struct vmt *vmt_new_setup(struct kunit *test,
				 unsigned long nr_memory_blocks)
{
	const struct setup_param *param = test->param_value;

	if (param->force_bbm)
		phantom_set_param(test, "virtio_mem.force_bbm", "1");
	return vmt_new(test, MMOP_OFFLINE, nr_memory_blocks, VMT_SB);
}

/*
 * Where memory is
 */

/*
 * Have the device tell another region, which it takes for one that begins at
 * vmt->ph.start: so device blocks of both are the same, as far as there are
 * any.
 */
static void set_region(struct vmt *vmt, u64 addr, u64 size)
{
	vmt->dev.config.addr = cpu_to_le64(addr);
	vmt->dev.config.region_size = cpu_to_le64(size);
	vmt->dev.region_size = size;
	virtio_mem_device_unplug_all(&vmt->dev);
}

/*
 * Of a region that neither begins nor ends with a memory block, virtio-mem uses
 * the whole memory blocks in between, whether in sub-block mode or not.
 */
static void driver_uses_whole_memory_blocks_of_the_region(struct kunit *test)
{
	struct vmt *vmt = vmt_new_setup(test, 3);

	set_region(vmt, vmt->ph.start + VMT_MB / 2, 2 * VMT_MB);
	vmt_bind(vmt, 2 * VMT_MB);
	KUNIT_EXPECT_EQ(test, 1, vmt->dev.nr_requests[VIRTIO_MEM_REQ_PLUG]);
	KUNIT_EXPECT_FALSE(test, vmt_is_present(vmt, 0));
	KUNIT_EXPECT_TRUE(test, vmt_is_present(vmt, 1));
	KUNIT_EXPECT_FALSE(test, vmt_is_present(vmt, 2));
	vmt_expect_plugged(vmt, VMT_MB);
	vmt_resize(vmt, 0);
	vmt_expect_plugged(vmt, 0);
}

static void restore_end_of_physical_memory(void *arg)
{
	const resource_size_t *end = arg;

	iomem_resource.end = *end;
}

/*
 * virtio-mem plugs nothing of a region that the kernel cannot address, whether
 * in sub-block mode or not.
 */
static void driver_plugs_nothing_that_is_not_addressable(struct kunit *test)
{
	const struct range range = mhp_get_pluggable_range(true);
	struct vmt *vmt = vmt_new_setup(test, 2);
	resource_size_t *end;

	if (range.end > U64_MAX - 2 * VMT_MB)
		kunit_skip(test, "all is addressable");
	end = kunit_kzalloc(test, sizeof(*end), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, end);
	*end = iomem_resource.end;
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test,
						  restore_end_of_physical_memory,
						  end));
	/* The processor may have a smaller idea of physical memory. */
	iomem_resource.end = max(*end, range.end + 2 * VMT_MB);
	set_region(vmt, range.end + 1, 2 * VMT_MB);
	vmt_bind(vmt, VMT_MB);
	KUNIT_EXPECT_EQ(test, 0, vmt->dev.nr_requests[VIRTIO_MEM_REQ_PLUG]);
	vmt_expect_plugged(vmt, 0);
	virtio_kunit_unregister(&vmt->dev.vk);
}

/* Whatever is requested, nothing is usable yet. */
static void hide_usable_region(struct virtio_mem_device *dev, unsigned int offset)
{
	dev->config.usable_region_size = 0;
}

/*
 * virtio-mem plugs nothing as long as the usable region is empty, whether in
 * sub-block mode or not, and continues when it is not.
 */
static void driver_waits_for_a_usable_region(struct kunit *test)
{
	struct vmt *vmt = vmt_new_setup(test, 1);

	vmt->dev.config_read = hide_usable_region;
	vmt_bind(vmt, VMT_MB);
	KUNIT_EXPECT_EQ(test, 0, vmt->dev.nr_requests[VIRTIO_MEM_REQ_PLUG]);
	KUNIT_EXPECT_NULL(test, vmt_retry_timer(vmt));

	vmt->dev.config_read = NULL;
	vmt_retry(vmt);
	vmt_expect_plugged(vmt, VMT_MB);
}

/*
 * After virtio-mem has unplugged all memory, it plugs only what is still usable
 * then.
 *
 * Of the region, which does not begin with a memory block, there is a whole
 * memory block that was usable before.
 */
static void usable_region_shrinks_when_all_is_unplugged(struct kunit *test)
{
	struct vmt *vmt = vmt_new(test, MMOP_OFFLINE, 3, VMT_SB);
	struct virtio_mem_config *config = &vmt->dev.config;

	vmt->dev.extent = 0;
	set_region(vmt, vmt->ph.start + VMT_MB / 2, 2 * VMT_MB);
	config->usable_region_size = config->region_size;
	config->plugged_size = cpu_to_le64(VMT_SB);
	bitmap_set(vmt->dev.plugged, 0, 1);
	virtio_mem_device_except(&vmt->dev, &(struct virtio_mem_exception){
		.nth = 1, .answer = VIRTIO_MEM_RESP_BUSY,
	});
	vmt_bind(vmt, VMT_MB);
	vmt_expect_plugged(vmt, VMT_SB);

	vmt_expire_retry_timer(vmt);
	KUNIT_EXPECT_EQ(test, 2, vmt->dev.nr_requests[VIRTIO_MEM_REQ_UNPLUG_ALL]);
	KUNIT_EXPECT_EQ(test, 0, vmt->dev.nr_requests[VIRTIO_MEM_REQ_PLUG]);
	vmt_expect_plugged(vmt, 0);
}

/*
 * Sizes of blocks
 */

/**
 * struct bbm_param - a parameter of the driver
 * @desc: in words
 * @num: so many ...
 * @denom: ... of so many parts of a memory block
 */
struct bbm_param {
	const char *desc;
	unsigned int num;
	unsigned int denom;
};

static const struct bbm_param bbm_params[] = {
	{ "half a memory block", 1, 2 },
	{ "three memory blocks", 3, 1 },
	{ "one and a half memory blocks", 3, 2 },
};

KUNIT_ARRAY_PARAM_DESC(bbm, bbm_params, desc);

/*
 * A big block is as large as a memory block if bbm_block_size is smaller than
 * that, or not a power of two.
 */
static void driver_refuses_size_of_big_blocks(struct kunit *test)
{
	const struct bbm_param *param = test->param_value;
	struct vmt *vmt;
	char size[24];

	snprintf(size, sizeof(size), "%llu", VMT_MB / param->denom * param->num);
	phantom_set_param(test, "virtio_mem.bbm_block_size", size);
	phantom_set_param(test, "virtio_mem.force_bbm", "1");
	vmt = vmt_new(test, MMOP_OFFLINE, 4, VMT_SB);
	vmt_bind(vmt, VMT_MB - VMT_SB);
	vmt_expect_plugged(vmt, 0);
	vmt_resize(vmt, 2 * VMT_MB);
	vmt_expect_plugged(vmt, 2 * VMT_MB);
	vmt_resize(vmt, VMT_MB);
	vmt_expect_plugged(vmt, VMT_MB);
}

/* virtio-mem plugs and unplugs a device block of 4 GiB as a whole. */
static void device_block_may_have_4_gib(struct kunit *test)
{
	struct vmt *vmt;

	if (VMT_MB > SZ_4G)
		kunit_skip(test, "a memory block is larger than that");
	vmt = vmt_new(test, MMOP_OFFLINE, SZ_4G / VMT_MB, SZ_4G);
	vmt_require_alignment(vmt, SZ_4G);
	vmt_bind(vmt, SZ_4G);
	vmt_expect_plugged(vmt, SZ_4G);
	KUNIT_EXPECT_EQ(test, 1, vmt->dev.nr_requests[VIRTIO_MEM_REQ_PLUG]);
	vmt_resize(vmt, 0);
	vmt_expect_plugged(vmt, 0);
}

#if defined(CONFIG_PAGE_BLOCK_MAX_ORDER) && CONFIG_PAGE_BLOCK_MAX_ORDER <= 5
/*
 * virtio-mem knows what is plugged, and unplugs all of it, even if what it has
 * to remember about sub-blocks takes more than a page.
 *
 * With larger pageblocks, this would take more memory for the memmap than most
 * machines have.
 */
static void driver_remembers_more_than_a_page(struct kunit *test)
{
	const unsigned long nr_sub_blocks = VMT_MB / VMT_SB;
	const unsigned long nr = DIV_ROUND_UP(PAGE_SIZE * BITS_PER_BYTE,
					      nr_sub_blocks);
	struct vmt *vmt = vmt_new(test, vmt_any_zone(), 2 * nr + 1, VMT_SB);

	/* One memory block is plugged partially, and so is the next one ... */
	vmt_bind(vmt, nr * VMT_MB - VMT_SB);
	vmt_expect_plugged(vmt, nr * VMT_MB - VMT_SB);
	/* ... after a second and a third page were needed. */
	vmt_resize(vmt, 2 * nr * VMT_MB + VMT_SB);
	vmt_expect_plugged(vmt, 2 * nr * VMT_MB + VMT_SB);
	vmt_resize(vmt, nr * VMT_MB);
	vmt_expect_plugged(vmt, nr * VMT_MB);
	vmt_resize(vmt, 0);
	vmt_expect_plugged(vmt, 0);
}
#endif

/*
 * When configuration changes
 */

/* What the device is asked for while the driver reads the configuration. */
static struct {
	unsigned int nth;
	u64 size;
} change;

static void change_at_nth_read(struct virtio_mem_device *dev, unsigned int offset)
{
	if (change.nth && !--change.nth)
		virtio_mem_device_resize(dev, change.size);
}

/*
 * Whatever of the configuration virtio-mem is reading when the requested size
 * changes, and with it the usable region, it plugs what is requested at last.
 */
static void driver_follows_size_changed_while_it_reads(struct kunit *test)
{
	struct vmt *vmt = vmt_new(test, MMOP_OFFLINE, 1, VMT_SB);
	unsigned int nth;

	vmt->dev.extent = 0;
	vmt->dev.config_read = change_at_nth_read;
	change.size = VMT_MB;
	for (nth = 1; ; nth++) {
		virtio_mem_device_unplug_all(&vmt->dev);
		change.nth = nth;
		virtio_mem_device_resize(&vmt->dev, 0);
		virtio_mem_device_unplug_all(&vmt->dev);
		KUNIT_ASSERT_EQ(test, 0, virtio_kunit_register(&vmt->dev.vk));
		vmt_settle(vmt);
		if (change.nth)
			break;
		vmt_expect_plugged(vmt, VMT_MB);
		vmt_remove(vmt);
	}
	/* Six fields when the driver probes, and three fields later. */
	KUNIT_EXPECT_GE(test, nth, 10);
	change.nth = 0;
	vmt_expect_plugged(vmt, 0);
}

/*
 * How memory is known to others
 */

static void expect_resources(struct vmt *vmt, u64 size)
{
	struct resource *region, *memory;
	struct kunit *test = vmt->test;

	region = lookup_resource(&iomem_resource, vmt->ph.start);
	KUNIT_ASSERT_NOT_NULL(test, region);
	KUNIT_EXPECT_STREQ(test, dev_name(&vmt->dev.vk.vdev.dev), region->name);
	KUNIT_EXPECT_EQ(test, vmt->ph.size, resource_size(region));
	KUNIT_EXPECT_TRUE(test, region->flags & IORESOURCE_EXCLUSIVE);
	KUNIT_EXPECT_FALSE(test, region->flags & IORESOURCE_BUSY);
	memory = region->child;
	if (!size) {
		KUNIT_EXPECT_NULL(test, memory);
		return;
	}
	KUNIT_ASSERT_NOT_NULL(test, memory);
	KUNIT_EXPECT_STREQ(test, "System RAM (virtio_mem)", memory->name);
	KUNIT_EXPECT_EQ(test, vmt->ph.start, memory->start);
	KUNIT_EXPECT_EQ(test, size, resource_size(memory));
	KUNIT_EXPECT_TRUE(test, memory->flags & IORESOURCE_BUSY);
	KUNIT_EXPECT_TRUE(test, memory->flags & IORESOURCE_SYSRAM_DRIVER_MANAGED);
	KUNIT_EXPECT_NULL_MSG(test, memory->sibling, "resources are not merged");
}

/*
 * All memory of a virtio-mem device is a single resource, named System RAM
 * (virtio_mem) and managed by the driver, in one that reserves the region of the
 * device, whether in sub-block mode or not.
 *
 * It is by this name that kexec-tools leave the memory alone.
 */
static void memory_is_one_driver_managed_resource(struct kunit *test)
{
	struct vmt *vmt = vmt_new_setup(test, 2);

	vmt_bind(vmt, 0);
	expect_resources(vmt, 0);
	vmt_resize(vmt, 2 * VMT_MB);
	expect_resources(vmt, 2 * VMT_MB);
	vmt_resize(vmt, VMT_MB);
	expect_resources(vmt, VMT_MB);
	vmt_resize(vmt, 2 * VMT_MB);
	expect_resources(vmt, 2 * VMT_MB);
}

/*
 * All memory of a virtio-mem device is in one dynamic memory group, which grows
 * by memory blocks in sub-block mode, and by big blocks otherwise.
 */
static void memory_is_one_dynamic_group(struct kunit *test)
{
	const struct setup_param *param = test->param_value;
	const u64 unit = param->force_bbm ? 2 * VMT_MB : VMT_MB;
	struct memory_group *group = NULL;
	struct memory_block *mem;
	struct vmt *vmt;
	char size[24];
	u64 offset;

	snprintf(size, sizeof(size), "%llu", unit);
	phantom_set_param(test, "virtio_mem.bbm_block_size", size);
	vmt = vmt_new_setup(test, 2);
	vmt_require_alignment(vmt, unit);
	vmt_bind(vmt, 2 * VMT_MB);
	for (offset = 0; offset < 2 * VMT_MB; offset += VMT_MB) {
		mem = memory_block_at(vmt->ph.start + offset);
		KUNIT_ASSERT_NOT_NULL(test, mem);
		KUNIT_EXPECT_NOT_NULL(test, mem->group);
		if (group)
			KUNIT_EXPECT_PTR_EQ(test, group, mem->group);
		group = mem->group;
		memory_block_put(mem);
	}
	KUNIT_ASSERT_NOT_NULL(test, group);
	KUNIT_EXPECT_TRUE(test, group->is_dynamic);
	KUNIT_EXPECT_EQ(test, PHYS_PFN(unit), group->d.unit_pages);
	KUNIT_EXPECT_EQ(test, first_memory_node, group->nid);
}

#ifdef CONFIG_ACPI_NUMA
/* A proximity domain whose node is not the one that the region is in. */
static int other_proximity_domain(struct vmt *vmt)
{
	const int here = memory_add_physaddr_to_nid(vmt->ph.start);
	int pxm, nid;

	for (pxm = 0; pxm < MAX_PXM_DOMAINS; pxm++) {
		nid = pxm_to_node(pxm);
		if (nid != NUMA_NO_NODE && nid != here)
			return pxm;
	}
	kunit_skip(vmt->test, "there is a single node");
}

static void expect_node(struct vmt *vmt, int nid)
{
	struct memory_block *mem = memory_block_at(vmt->ph.start);

	KUNIT_ASSERT_NOT_NULL(vmt->test, mem);
	KUNIT_EXPECT_EQ(vmt->test, nid, mem->nid);
	KUNIT_EXPECT_EQ(vmt->test, nid, mem->group->nid);
	memory_block_put(mem);
}

/*
 * Memory of a virtio-mem device goes to the node of the proximity domain that
 * the device says, or, if it says none, to the node that its addresses are in.
 */
static void memory_goes_to_the_node_of_its_device(struct kunit *test)
{
	struct vmt *vmt = vmt_new(test, MMOP_OFFLINE, 1, VMT_SB);
	const int pxm = other_proximity_domain(vmt);

	vmt->dev.config.node_id = cpu_to_le16(pxm);
	vmt_bind(vmt, VMT_MB);
	expect_node(vmt, memory_add_physaddr_to_nid(vmt->ph.start));
	vmt_remove(vmt);

	vmt->dev.vk.features |= BIT_ULL(VIRTIO_MEM_F_ACPI_PXM);
	vmt_bind(vmt, VMT_MB);
	expect_node(vmt, pxm_to_node(pxm));
}

/*
 * Memory of a virtio-mem device goes to the node that its addresses are in if
 * the device says a proximity domain that nobody knows.
 */
static void memory_of_unknown_proximity_domain_has_a_node(struct kunit *test)
{
	struct vmt *vmt = vmt_new(test, MMOP_OFFLINE, 1, VMT_SB);

	vmt->dev.vk.features |= BIT_ULL(VIRTIO_MEM_F_ACPI_PXM);
	vmt->dev.config.node_id = cpu_to_le16(MAX_PXM_DOMAINS);
	vmt_bind(vmt, VMT_MB);
	expect_node(vmt, memory_add_physaddr_to_nid(vmt->ph.start));
}
#endif

/* Offline and online a memory block of which only the first half is plugged. */
static void expect_half_plugged(struct vmt *vmt, enum mmop online_type)
{
	KUNIT_EXPECT_EQ(vmt->test, 0, vmt_offline(vmt, 0));
	KUNIT_EXPECT_EQ(vmt->test, 0, vmt_online(vmt, 0, online_type));
	vmt_expect_pages(vmt, 0, VMT_MB / 2, PHANTOM_FREE);
	vmt_expect_pages(vmt, VMT_MB / 2, VMT_MB / 2, PHANTOM_SKIPPABLE);
}

/*
 * Two virtio-mem devices each keep their own unplugged pages offline when memory
 * is onlined, and one of them still does so without the other.
 */
static void devices_do_not_get_in_each_others_way(struct kunit *test)
{
	struct vmt *first, *second;

	vmt_require_zone(test, MMOP_ONLINE_KERNEL);
	first = vmt_probe(test, MMOP_ONLINE_MOVABLE, 1, VMT_MB / 2);
	second = vmt_probe(test, MMOP_ONLINE_KERNEL, 1, VMT_MB / 2);
	expect_half_plugged(first, MMOP_ONLINE_MOVABLE);
	expect_half_plugged(second, MMOP_ONLINE_KERNEL);
	vmt_expect_plugged(second, VMT_MB / 2);

	vmt_resize(first, VMT_MB);
	vmt_resize(first, VMT_MB / 2);
	vmt_expect_pages(second, VMT_MB / 2, VMT_MB / 2, PHANTOM_SKIPPABLE);

	vmt_remove(second);
	expect_half_plugged(first, MMOP_ONLINE_MOVABLE);
	vmt_expect_plugged(first, VMT_MB / 2);
}

static struct kunit_case virtio_mem_setup_cases[] = {
	KUNIT_CASE_PARAM(driver_uses_whole_memory_blocks_of_the_region,
			 setup_gen_params),
	KUNIT_CASE_PARAM(driver_plugs_nothing_that_is_not_addressable,
			 setup_gen_params),
	KUNIT_CASE_PARAM(driver_waits_for_a_usable_region, setup_gen_params),
	KUNIT_CASE(usable_region_shrinks_when_all_is_unplugged),
	KUNIT_CASE_PARAM(driver_refuses_size_of_big_blocks, bbm_gen_params),
	KUNIT_CASE(device_block_may_have_4_gib),
#if defined(CONFIG_PAGE_BLOCK_MAX_ORDER) && CONFIG_PAGE_BLOCK_MAX_ORDER <= 5
	KUNIT_CASE_SLOW(driver_remembers_more_than_a_page),
#endif
	KUNIT_CASE(driver_follows_size_changed_while_it_reads),
	KUNIT_CASE_PARAM(memory_is_one_driver_managed_resource, setup_gen_params),
	KUNIT_CASE_PARAM(memory_is_one_dynamic_group, setup_gen_params),
#ifdef CONFIG_ACPI_NUMA
	KUNIT_CASE(memory_goes_to_the_node_of_its_device),
	KUNIT_CASE(memory_of_unknown_proximity_domain_has_a_node),
#endif
	KUNIT_CASE(devices_do_not_get_in_each_others_way),
	{}
};

static struct kunit_suite virtio_mem_setup_suite = {
	.name = "virtio_mem_setup",
	.init = vmt_init,
	.test_cases = virtio_mem_setup_cases,
};

kunit_test_suite(virtio_mem_setup_suite);

MODULE_DESCRIPTION("KUnit tests for how virtio-mem sets itself up");
MODULE_LICENSE("GPL");
