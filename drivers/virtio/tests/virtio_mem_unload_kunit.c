// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests for the virtio-mem driver: how memory is onlined, and what
 * happens to memory when the device is removed under the driver.
 */
#include <kunit/test.h>
#include <linux/bitmap.h>
#include <linux/mmzone.h>
#include <linux/page-flags.h>
#include <linux/sizes.h>

#include "virtio_mem_kunit.h"

/*
 * Online types and zones
 */

/**
 * struct policy_param - how memory is onlined
 * @desc: in words
 * @online_type: what the driver gets
 * @auto_movable: the most movable memory in relation to kernel memory, in
 *	percent, if the policy is auto-movable
 * @zone: the zone that memory should go to
 */
struct policy_param {
	const char *desc;
	enum mmop online_type;
	const char *auto_movable;
	enum zone_type zone;
};

static const struct policy_param policy_params[] = {
	{ "online_movable", MMOP_ONLINE_MOVABLE, NULL, ZONE_MOVABLE },
	{ "online_kernel", MMOP_ONLINE_KERNEL, NULL, ZONE_NORMAL },
	{ "auto-movable, much movable memory allowed", MMOP_ONLINE, "10000",
	  ZONE_MOVABLE },
	{ "auto-movable, no movable memory allowed", MMOP_ONLINE, "0",
	  ZONE_NORMAL },
};

KUNIT_ARRAY_PARAM_DESC(policy, policy_params, desc);

/*
 * Memory that virtio-mem adds goes online in the zone that the default online
 * type and the online policy call for.
 */
static void memory_goes_online_in_a_zone(struct kunit *test)
{
	const struct policy_param *param = test->param_value;
	struct vmt *vmt;

	if (param->auto_movable) {
		phantom_set_param(test, "memory_hotplug.online_policy", "auto-movable");
		phantom_set_param(test, "memory_hotplug.auto_movable_ratio",
				  param->auto_movable);
	}
	vmt = vmt_probe(test, param->online_type, 1, VMT_MB / 2);
	KUNIT_ASSERT_TRUE(test, vmt_is_online(vmt, 0));
	KUNIT_EXPECT_EQ(test, param->zone, zone_idx(vmt_zone(vmt, 0)));
	vmt_expect_plugged(vmt, VMT_MB / 2);
}

/*
 * With a default online type of MMOP_OFFLINE, memory that virtio-mem adds stays
 * offline until somebody onlines it, and then its plugged pages are free and
 * its unplugged ones skippable.
 */
static void memory_stays_offline_until_somebody_onlines_it(struct kunit *test)
{
	struct vmt *vmt = vmt_probe(test, MMOP_OFFLINE, 1, VMT_MB / 2);

	KUNIT_EXPECT_TRUE(test, vmt_is_present(vmt, 0));
	KUNIT_EXPECT_FALSE(test, vmt_is_online(vmt, 0));
	vmt_expect_plugged(vmt, VMT_MB / 2);

	KUNIT_ASSERT_EQ(test, 0, vmt_online(vmt, 0, vmt_any_zone()));
	vmt_expect_plugged(vmt, VMT_MB / 2);
	vmt_expect_pages(vmt, 0, VMT_MB / 2, PHANTOM_FREE);
	vmt_expect_pages(vmt, VMT_MB / 2, VMT_MB / 2, PHANTOM_SKIPPABLE);
}

/*
 * virtio-mem adds no more memory while 1 GiB of it, or two memory blocks if
 * these are larger, is offline, and continues once half of that is online.
 */
static void driver_waits_for_offline_memory_to_go_online(struct kunit *test)
{
	const u64 limit = max_t(u64, SZ_1G, 2 * VMT_MB);
	const u64 size = limit + VMT_MB;
	const enum mmop online_type = vmt_any_zone();
	struct vmt *vmt = vmt_probe(test, MMOP_OFFLINE, size / VMT_MB, size);
	int i;

	vmt_expect_plugged(vmt, limit);

	/* The driver continues once half of that is online. */
	for (i = 0; i < limit / 2 / VMT_MB; i++) {
		vmt_settle(vmt);
		vmt_expect_plugged(vmt, limit);
		KUNIT_ASSERT_EQ(test, 0, vmt_online(vmt, i, online_type));
	}
	vmt_settle(vmt);
	vmt_expect_plugged(vmt, size);
}

/*
 * When memory of another device is onlined, the online_page callback of
 * virtio-mem passes all of it to the buddy.
 */
static void memory_of_other_devices_is_onlined_completely(struct kunit *test)
{
	struct phantom_memory ph = { .test = test };
	struct phantom_memory *dimm;

	vmt_probe(test, MMOP_ONLINE_MOVABLE, 1, VMT_MB / 2);
	dimm = phantom_memory_add(test, VMT_MB);
	KUNIT_EXPECT_EQ(test, 0, phantom_device_online(dimm->start,
						       MMOP_ONLINE_MOVABLE));
	phantom_expect(&ph, PHYS_PFN(dimm->start), PHYS_PFN(VMT_MB), PHANTOM_FREE);
	KUNIT_EXPECT_EQ(test, 0, phantom_device_offline(dimm->start));
}

static struct kunit_case virtio_mem_online_cases[] = {
	KUNIT_CASE_PARAM(memory_goes_online_in_a_zone, policy_gen_params),
	KUNIT_CASE(memory_stays_offline_until_somebody_onlines_it),
	KUNIT_CASE(driver_waits_for_offline_memory_to_go_online),
	KUNIT_CASE(memory_of_other_devices_is_onlined_completely),
	{}
};

static struct kunit_suite virtio_mem_online_suite = {
	.name = "virtio_mem_online",
	.init = vmt_init,
	.test_cases = virtio_mem_online_cases,
};

/*
 * Forced unload
 */

/**
 * struct mode_param - the mode of the driver
 * @desc: in words
 * @big_blocks: whether it is big-block mode
 */
struct mode_param {
	const char *desc;
	bool big_blocks;
};

static const struct mode_param mode_params[] = {
	{ "sub-block mode", false },
	{ "big-block mode", true },
};

KUNIT_ARRAY_PARAM_DESC(mode, mode_params, desc);

/*
 * After virtio-mem is unloaded, unplugged pages of a partially plugged online
 * memory block are not skippable any more, and offlining it fails with -EBUSY.
 */
static void partially_plugged_block_stays_online_for_good(struct kunit *test)
{
	struct vmt *vmt = vmt_probe(test, vmt_online_type(test), 1, VMT_MB / 2);

	vmt_unbind(vmt);
	KUNIT_EXPECT_EQ(test, -EBUSY, vmt_offline(vmt, 0));
	KUNIT_EXPECT_TRUE(test, vmt_is_online(vmt, 0));
	vmt_expect_plugged(vmt, VMT_MB / 2);
	vmt_expect_pages(vmt, VMT_MB / 2, VMT_MB / 2, PHANTOM_OFFLINE);
}

/*
 * After virtio-mem is unloaded, offlining fails with -EBUSY for a memory block
 * from which the driver unplugged memory that was free.
 */
static void shrunk_block_stays_online_for_good(struct kunit *test)
{
	struct vmt *vmt = vmt_probe(test, vmt_any_zone(), 1, VMT_MB);

	vmt_resize(vmt, VMT_MB - VMT_SB);
	vmt_unbind(vmt);
	KUNIT_EXPECT_EQ(test, -EBUSY, vmt_offline(vmt, 0));
	vmt_expect_plugged(vmt, VMT_MB - VMT_SB);
}

/*
 * After virtio-mem is unloaded, offlining fails with -EBUSY for a memory block
 * of which only the first sub-block is unplugged.
 */
static void block_without_its_first_subblock_stays_online_for_good(struct kunit *test)
{
	struct vmt *vmt = vmt_new(test, vmt_any_zone(), 1, VMT_MB / 2);
	struct page *page;

	vmt_bind(vmt, VMT_MB);
	page = vmt_use_page(vmt, VMT_MB - 1);
	vmt_resize(vmt, VMT_MB / 2);
	vmt_stop_using_page(vmt, page);
	vmt_unbind(vmt);
	vmt_expect_pages(vmt, 0, VMT_MB / 2, PHANTOM_OFFLINE);
	KUNIT_EXPECT_EQ(test, -EBUSY, vmt_offline(vmt, 0));
	vmt_expect_plugged(vmt, VMT_MB / 2);
}

/*
 * Unloading virtio-mem does not clear the bit of PG_offline_skippable on
 * plugged pages, where it means something else.
 */
static void unloading_leaves_plugged_pages_alone(struct kunit *test)
{
	struct vmt *vmt = vmt_probe(test, vmt_any_zone(), 1, VMT_MB / 2);
	struct page *page = vmt_use_page(vmt, VMT_MB / 2 - 1);

	set_bit(PG_offline_skippable, page_flags_word(page));
	vmt_unbind(vmt);
	KUNIT_EXPECT_TRUE(test, test_bit(PG_offline_skippable,
					 page_flags_word(page)));
	clear_bit(PG_offline_skippable, page_flags_word(page));
}

/*
 * After virtio-mem is unloaded, a fully plugged memory block can be offlined
 * and onlined again, even if the next one is partially plugged.
 */
static void fully_plugged_block_goes_offline(struct kunit *test)
{
	const enum mmop online_type = vmt_any_zone();
	struct vmt *vmt = vmt_probe(test, online_type, 2, VMT_MB + VMT_MB / 2);

	vmt_unbind(vmt);
	KUNIT_EXPECT_EQ(test, 0, vmt_offline(vmt, 0));
	KUNIT_EXPECT_EQ(test, -EBUSY, vmt_offline(vmt, 1));
	vmt_expect_plugged(vmt, VMT_MB + VMT_MB / 2);
	KUNIT_EXPECT_EQ(test, 0, vmt_online(vmt, 0, online_type));
	vmt_expect_pages(vmt, 0, VMT_MB, PHANTOM_FREE);
}

/*
 * Unloading virtio-mem removes a partially plugged memory block that is
 * offline, but not a fully plugged one.
 */
static void offline_partially_plugged_block_is_removed(struct kunit *test)
{
	struct vmt *vmt = vmt_probe(test, vmt_any_zone(), 2,
				    VMT_MB + VMT_MB / 2);

	KUNIT_ASSERT_EQ(test, 0, vmt_offline(vmt, 0));
	KUNIT_ASSERT_EQ(test, 0, vmt_offline(vmt, 1));
	vmt_unbind(vmt);
	KUNIT_EXPECT_TRUE(test, vmt_is_present(vmt, 0));
	KUNIT_EXPECT_FALSE(test, vmt_is_present(vmt, 1));
	vmt_expect_plugged(vmt, VMT_MB + VMT_MB / 2);
}

/*
 * After virtio-mem is unloaded, a memory block of a plugged big block can be
 * offlined.
 */
static void big_block_goes_offline_without_the_driver(struct kunit *test)
{
	struct vmt *vmt = vmt_new(test, vmt_any_zone(), 1, VMT_MB);

	vmt_bind(vmt, VMT_MB);
	vmt_unbind(vmt);
	vmt_expect_plugged(vmt, VMT_MB);
	KUNIT_EXPECT_EQ(test, 0, vmt_offline(vmt, 0));
}

static unsigned int nr_memory_groups(void)
{
	unsigned int nr = 0;
	int mgid;

	for (mgid = 0; mgid < 100; mgid++)
		nr += !!memory_group_find_by_id(mgid);
	return nr;
}

/*
 * Unloading virtio-mem leaves neither a resource nor a memory group behind if
 * no memory of the device stays in the system.
 *
 * As long as memory stays, so do the resource that contains it, the name of
 * that resource, and the memory group, because something refers to them.
 */
static void nothing_is_left_if_no_memory_is_left(struct kunit *test)
{
	const unsigned int nr_groups = nr_memory_groups();
	struct vmt *vmt = vmt_probe(test, vmt_any_zone(), 1, VMT_MB / 2);

	KUNIT_ASSERT_EQ(test, 0, vmt_offline(vmt, 0));
	KUNIT_EXPECT_EQ(test, nr_groups + 1, nr_memory_groups());
	vmt_unbind(vmt);
	phantom_snapshot_expect(test, &vmt->without);
	KUNIT_EXPECT_EQ(test, nr_groups, nr_memory_groups());
}

static void foreign_online_page(struct page *page, unsigned int order)
{
}

static void restore_foreign_callback(void *unused)
{
	restore_online_page_callback(foreign_online_page);
}

/*
 * virtio-mem fails to probe and leaves nothing behind if somebody else has set
 * the online_page callback, and can probe once that is restored.
 */
static void nothing_is_left_if_the_driver_cannot_have_its_callback(struct kunit *test)
{
	const unsigned int nr_groups = nr_memory_groups();
	struct vmt *vmt = vmt_new(test, vmt_any_zone(), 1, VMT_SB);

	KUNIT_ASSERT_EQ(test, 0, set_online_page_callback(foreign_online_page));
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test,
						  restore_foreign_callback,
						  NULL));
	KUNIT_ASSERT_EQ(test, 0, virtio_kunit_register(&vmt->dev.vk));
	KUNIT_EXPECT_FALSE(test, virtio_kunit_is_bound(&vmt->dev.vk));
	phantom_snapshot_expect(test, &vmt->without);
	KUNIT_EXPECT_EQ(test, nr_groups, nr_memory_groups());
	kunit_release_action(test, restore_foreign_callback, NULL);

	virtio_kunit_unregister(&vmt->dev.vk);
	vmt_bind(vmt, VMT_SB);
	vmt_expect_plugged(vmt, VMT_SB);
}

/*
 * virtio-mem does not probe a device again as long as memory of that device is
 * in the system.
 */
static void driver_does_not_probe_again_as_long_as_memory_is_left(struct kunit *test)
{
	struct vmt *vmt = vmt_probe(test, vmt_any_zone(), 1, VMT_MB / 2);

	vmt_unbind(vmt);
	KUNIT_ASSERT_EQ(test, 0, virtio_kunit_register(&vmt->dev.vk));
	KUNIT_EXPECT_FALSE(test, virtio_kunit_is_bound(&vmt->dev.vk));
	virtio_kunit_unregister(&vmt->dev.vk);
	vmt_expect_plugged(vmt, VMT_MB / 2);
}

/*
 * Unloading virtio-mem frees all memory that the driver allocated by vmalloc().
 *
 * Somebody else may allocate memory in the meantime, but not every time.
 */
static void driver_frees_its_own_memory(struct kunit *test)
{
	const struct mode_param *param = test->param_value;
	struct vmt *vmt = vmt_new(test, MMOP_OFFLINE, 1,
				  param->big_blocks ? VMT_MB : VMT_SB);
	long before;
	int i;

	for (i = 0; i < 5; i++) {
		before = nr_vmalloc_pages();
		vmt_bind(vmt, VMT_MB);
		vmt_resize(vmt, 0);
		vmt_unbind(vmt);
		if (nr_vmalloc_pages() <= before)
			return;
	}
	KUNIT_FAIL(test, "pages are left of what the driver allocated by vmalloc()");
}

/*
 * virtio-mem probes a device again if no memory of that device is in the
 * system, and begins with unplugging everything.
 */
static void driver_probes_again_if_no_memory_is_left(struct kunit *test)
{
	struct vmt *vmt = vmt_probe(test, vmt_any_zone(), 1, VMT_MB / 2);

	KUNIT_ASSERT_EQ(test, 0, vmt_offline(vmt, 0));
	vmt_unbind(vmt);
	vmt->unloaded = false;
	vmt_bind(vmt, VMT_MB / 4);
	KUNIT_EXPECT_EQ(test, 1, vmt->dev.nr_requests[VIRTIO_MEM_REQ_UNPLUG_ALL]);
	vmt_expect_plugged(vmt, VMT_MB / 4);
}

static struct kunit_case virtio_mem_unload_cases[] = {
	KUNIT_CASE_PARAM(partially_plugged_block_stays_online_for_good,
			 zone_gen_params),
	KUNIT_CASE(shrunk_block_stays_online_for_good),
	KUNIT_CASE(block_without_its_first_subblock_stays_online_for_good),
	KUNIT_CASE(unloading_leaves_plugged_pages_alone),
	KUNIT_CASE(fully_plugged_block_goes_offline),
	KUNIT_CASE(offline_partially_plugged_block_is_removed),
	KUNIT_CASE(big_block_goes_offline_without_the_driver),
	KUNIT_CASE(nothing_is_left_if_no_memory_is_left),
	KUNIT_CASE(nothing_is_left_if_the_driver_cannot_have_its_callback),
	KUNIT_CASE_PARAM(driver_frees_its_own_memory, mode_gen_params),
	KUNIT_CASE(driver_does_not_probe_again_as_long_as_memory_is_left),
	KUNIT_CASE(driver_probes_again_if_no_memory_is_left),
	{}
};

static struct kunit_suite virtio_mem_unload_suite = {
	.name = "virtio_mem_unload",
	.init = vmt_init,
	.test_cases = virtio_mem_unload_cases,
};

kunit_test_suites(&virtio_mem_unload_suite, &virtio_mem_online_suite);

MODULE_DESCRIPTION("KUnit tests for onlining and unloading with virtio-mem");
MODULE_LICENSE("GPL");
