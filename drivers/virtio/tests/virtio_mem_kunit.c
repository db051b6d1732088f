// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests for the virtio-mem driver: plugging and unplugging, in sub-block
 * mode and in big-block mode, and what the device answers.
 */
#include <kunit/test.h>
#include <linux/bitmap.h>
#include <linux/gfp.h>
#include <linux/ioport.h>
#include <linux/sizes.h>

#include "virtio_mem_kunit.h"

/*
 * Sub-block mode
 */

static u64 size_zero(void)
{
	return 0;
}

static u64 size_one_subblock(void)
{
	return VMT_SB;
}

static u64 size_half_block(void)
{
	return VMT_MB / 2;
}

static u64 size_one_and_a_half_blocks(void)
{
	return VMT_MB + VMT_MB / 2;
}

static u64 size_two_blocks(void)
{
	return 2 * VMT_MB;
}

/**
 * struct size_param - what is requested of a region of two memory blocks
 * @desc: in words
 * @online_type: how memory is onlined
 * @size: the size, a function because it depends on the system
 */
struct size_param {
	const char *desc;
	enum mmop online_type;
	u64 (*size)(void);
};

static const struct size_param size_params[] = {
	{ "nothing", MMOP_ONLINE_MOVABLE, size_zero },
	{ "one sub-block, ZONE_MOVABLE", MMOP_ONLINE_MOVABLE,
	  size_one_subblock },
	{ "half a memory block, ZONE_MOVABLE", MMOP_ONLINE_MOVABLE,
	  size_half_block },
	{ "half a memory block, kernel zone", MMOP_ONLINE_KERNEL,
	  size_half_block },
	{ "one and a half memory blocks, ZONE_MOVABLE", MMOP_ONLINE_MOVABLE,
	  size_one_and_a_half_blocks },
	{ "everything, kernel zone", MMOP_ONLINE_KERNEL, size_two_blocks },
};

KUNIT_ARRAY_PARAM_DESC(size, size_params, desc);

/*
 * virtio-mem plugs exactly the requested size when it probes, and then plugged
 * pages are free and the rest of the last memory block is skippable.
 */
static void probe_plugs_what_is_requested(struct kunit *test)
{
	const struct size_param *param = test->param_value;
	const u64 size = param->size();
	struct vmt *vmt = vmt_probe(test, param->online_type, 2, size);
	u64 rest = round_up(size, VMT_MB) - size;

	vmt_expect_plugged(vmt, size);
	KUNIT_EXPECT_EQ(test, size > 0, vmt_is_online(vmt, 0));
	KUNIT_EXPECT_EQ(test, size > VMT_MB, vmt_is_online(vmt, 1));
	if (size)
		vmt_expect_pages(vmt, 0, size, PHANTOM_FREE);
	if (rest)
		vmt_expect_pages(vmt, size, rest, PHANTOM_SKIPPABLE);
}

/* virtio-mem negotiates VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE when it probes. */
static void probe_negotiates_that_unplugged_memory_is_inaccessible(struct kunit *test)
{
	struct vmt *vmt = vmt_probe(test, MMOP_OFFLINE, 1, 0);

	KUNIT_EXPECT_TRUE(test, __virtio_test_bit(&vmt->dev.vk.vdev,
						  VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE));
}

/*
 * Before it plugs anything, virtio-mem unplugs what it finds plugged when it
 * probes, and retries that later if the device is busy.
 */
static void probe_first_unplugs_what_was_left_plugged(struct kunit *test)
{
	struct vmt *vmt = vmt_new(test, vmt_any_zone(), 1, VMT_SB);

	bitmap_set(vmt->dev.plugged, 1, 2);
	vmt->dev.config.plugged_size = cpu_to_le64(2 * VMT_SB);
	virtio_mem_device_except(&vmt->dev, &(struct virtio_mem_exception){
		.nth = 1, .answer = VIRTIO_MEM_RESP_BUSY,
	});
	vmt_bind(vmt, VMT_MB / 2);
	KUNIT_EXPECT_EQ(test, 1, vmt->dev.nr_requests[VIRTIO_MEM_REQ_UNPLUG_ALL]);
	KUNIT_EXPECT_EQ(test, 0, vmt->dev.nr_requests[VIRTIO_MEM_REQ_PLUG]);
	vmt_expect_plugged(vmt, 2 * VMT_SB);

	vmt_retry(vmt);
	KUNIT_EXPECT_EQ(test, 2, vmt->dev.nr_requests[VIRTIO_MEM_REQ_UNPLUG_ALL]);
	vmt_expect_plugged(vmt, VMT_MB / 2);
	vmt_expect_pages(vmt, 0, VMT_MB / 2, PHANTOM_FREE);
}

/*
 * A partially plugged memory block can be offlined and onlined 200 times, and
 * each time its unplugged pages are skippable again.
 *
 * There is a hole in what is plugged. Most of the rounds are in a kernel zone,
 * see vmt_any_zone() for the reason. Both zones have another memory block,
 * because onlining the first one of a zone and offlining the last one takes
 * longer.
 */
static void partially_plugged_block_survives_200_rounds(struct kunit *test)
{
	const u64 size = 3 * VMT_MB - VMT_SB;
	unsigned long *plugged;
	struct page *page;
	struct vmt *vmt;
	int i;

	vmt_require_zone(test, MMOP_ONLINE_KERNEL);
	vmt = vmt_probe(test, MMOP_ONLINE_MOVABLE, 3, 3 * VMT_MB);
	KUNIT_ASSERT_EQ(test, 0, vmt_offline(vmt, 1));
	KUNIT_ASSERT_EQ(test, 0, vmt_online(vmt, 1, MMOP_ONLINE_KERNEL));
	page = vmt_use_page(vmt, 3 * VMT_MB - 1);
	vmt_resize(vmt, size);
	vmt_stop_using_page(vmt, page);
	plugged = kunit_kcalloc(test, BITS_TO_LONGS(vmt->dev.nr_blocks),
				sizeof(long), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, plugged);
	bitmap_copy(plugged, vmt->dev.plugged, vmt->dev.nr_blocks);

	for (i = 0; i < 200; i++) {
		KUNIT_ASSERT_EQ_MSG(test, 0, vmt_offline(vmt, 2), "round %d", i);
		KUNIT_ASSERT_EQ_MSG(test, 0,
				    vmt_online(vmt, 2, i % 25 ?
					       MMOP_ONLINE_KERNEL :
					       MMOP_ONLINE_MOVABLE),
				    "round %d", i);
		vmt_expect_plugged(vmt, size);
	}
	KUNIT_EXPECT_TRUE(test, bitmap_equal(plugged, vmt->dev.plugged,
					     vmt->dev.nr_blocks));
}

/*
 * virtio-mem removes all memory blocks of the device when a size of 0 is
 * requested.
 */
static void shrinking_to_nothing_removes_memory_blocks(struct kunit *test)
{
	struct vmt *vmt = vmt_probe(test, vmt_any_zone(), 2,
				    VMT_MB + VMT_MB / 2);

	vmt_resize(vmt, 0);
	vmt_expect_plugged(vmt, 0);
	KUNIT_EXPECT_FALSE(test, vmt_is_present(vmt, 0));
	KUNIT_EXPECT_FALSE(test, vmt_is_present(vmt, 1));
}

/* virtio-mem unplugs each memory block with a single request if all of it is to go. */
static void memory_blocks_are_unplugged_at_once(struct kunit *test)
{
	struct vmt *vmt = vmt_probe(test, vmt_any_zone(), 2, 2 * VMT_MB);

	vmt_resize(vmt, 0);
	vmt_expect_plugged(vmt, 0);
	KUNIT_EXPECT_EQ(test, 2, vmt->dev.nr_requests[VIRTIO_MEM_REQ_UNPLUG]);
}

/*
 * virtio-mem unplugs no sub-block with a page in use, but another sub-block
 * instead.
 */
static void busy_subblock_stays_plugged(struct kunit *test)
{
	struct vmt *vmt = vmt_probe(test, vmt_online_type(test), 1, VMT_MB);
	struct page *page = vmt_use_page(vmt, VMT_MB - 1);

	vmt_resize(vmt, VMT_MB - VMT_SB);
	vmt_expect_pages(vmt, VMT_MB - 2 * VMT_SB, VMT_SB, PHANTOM_SKIPPABLE);
	KUNIT_EXPECT_FALSE(test, PageOffline(page));
	KUNIT_EXPECT_EQ(test, 1, page_count(page));

	vmt_stop_using_page(vmt, page);
	vmt_expect_plugged(vmt, VMT_MB - VMT_SB);
}

/*
 * virtio-mem keeps a memory block online as long as a page in it is in use, and
 * removes it after that.
 */
static void memory_block_is_removed_after_its_last_busy_subblock(struct kunit *test)
{
	struct vmt *vmt = vmt_probe(test, vmt_any_zone(), 1, VMT_MB);
	struct page *page = vmt_use_page(vmt, VMT_MB / 2);

	vmt_resize(vmt, 0);
	KUNIT_EXPECT_EQ(test, VMT_SB, virtio_mem_device_plugged_size(&vmt->dev));
	KUNIT_EXPECT_TRUE(test, vmt_is_online(vmt, 0));

	vmt_stop_using_page(vmt, page);
	vmt_retry(vmt);
	vmt_expect_plugged(vmt, 0);
	KUNIT_EXPECT_FALSE(test, vmt_is_present(vmt, 0));
}

/* virtio-mem plugs and unplugs sub-blocks of a memory block that is offline. */
static void offline_block_is_resized(struct kunit *test)
{
	struct vmt *vmt = vmt_probe(test, vmt_any_zone(), 1, VMT_MB / 2);

	KUNIT_ASSERT_EQ(test, 0, vmt_offline(vmt, 0));
	vmt_resize(vmt, VMT_MB);
	vmt_resize(vmt, VMT_SB);
	vmt_expect_plugged(vmt, VMT_SB);

	KUNIT_ASSERT_EQ(test, 0, vmt_online(vmt, 0, vmt_any_zone()));
	vmt_expect_plugged(vmt, VMT_SB);
}

/*
 * virtio-mem removes a memory block that is offline once all of it is
 * unplugged.
 */
static void offline_block_is_removed_once_unplugged(struct kunit *test)
{
	struct vmt *vmt = vmt_probe(test, vmt_any_zone(), 1, VMT_MB / 2);

	KUNIT_ASSERT_EQ(test, 0, vmt_offline(vmt, 0));
	vmt_resize(vmt, 0);
	vmt_expect_plugged(vmt, 0);
	KUNIT_EXPECT_FALSE(test, vmt_is_present(vmt, 0));
}

/*
 * virtio-mem unplugs sub-blocks of offline memory blocks before those of online
 * ones.
 */
static void offline_blocks_shrink_before_online_ones(struct kunit *test)
{
	struct vmt *vmt = vmt_probe(test, vmt_any_zone(), 2, 2 * VMT_MB);

	KUNIT_ASSERT_EQ(test, 0, vmt_offline(vmt, 0));
	vmt_resize(vmt, 2 * VMT_MB - 3 * VMT_SB);
	vmt_expect_plugged(vmt, 2 * VMT_MB - 3 * VMT_SB);
	vmt_expect_pages(vmt, VMT_MB, VMT_MB, PHANTOM_FREE);
}

/* Probe with two memory blocks: the first one in ZONE_MOVABLE, the second one not. */
static struct vmt *probe_movable_and_kernel_block(struct kunit *test, u64 size)
{
	struct vmt *vmt;

	vmt_require_zone(test, MMOP_ONLINE_KERNEL);
	vmt = vmt_probe(test, MMOP_ONLINE_MOVABLE, 2, size);
	KUNIT_ASSERT_EQ(test, 0, vmt_offline(vmt, 1));
	KUNIT_ASSERT_EQ(test, 0, vmt_online(vmt, 1, MMOP_ONLINE_KERNEL));
	return vmt;
}

/*
 * virtio-mem unplugs sub-blocks of memory blocks in ZONE_MOVABLE before those
 * in a kernel zone.
 */
static void movable_blocks_shrink_before_kernel_blocks(struct kunit *test)
{
	struct vmt *vmt = probe_movable_and_kernel_block(test, 2 * VMT_MB);

	vmt_resize(vmt, 2 * VMT_MB - 2 * VMT_SB);
	vmt_expect_plugged(vmt, 2 * VMT_MB - 2 * VMT_SB);
	vmt_expect_pages(vmt, VMT_MB, VMT_MB, PHANTOM_FREE);
}

/*
 * Of memory blocks that are partially plugged, virtio-mem unplugs sub-blocks of those in
 * ZONE_MOVABLE first.
 */
static void partial_movable_blocks_shrink_before_kernel_blocks(struct kunit *test)
{
	struct vmt *vmt = probe_movable_and_kernel_block(test, VMT_MB + VMT_MB / 2);

	/* While it is offline, the first memory block is the first to shrink. */
	KUNIT_ASSERT_EQ(test, 0, vmt_offline(vmt, 0));
	vmt_resize(vmt, VMT_MB + VMT_MB / 2 - VMT_SB);
	KUNIT_ASSERT_EQ(test, 0, vmt_online(vmt, 0, MMOP_ONLINE_MOVABLE));

	vmt_resize(vmt, VMT_MB + VMT_MB / 2 - 2 * VMT_SB);
	vmt_expect_plugged(vmt, VMT_MB + VMT_MB / 2 - 2 * VMT_SB);
	vmt_expect_pages(vmt, VMT_MB, VMT_MB / 2, PHANTOM_FREE);
}

/*
 * A memory block in ZONE_MOVABLE that has shrunk before is still among those that shrink
 * first.
 */
static void movable_blocks_shrink_on_before_kernel_blocks(struct kunit *test)
{
	struct vmt *vmt = probe_movable_and_kernel_block(test, 2 * VMT_MB);

	vmt_resize(vmt, 2 * VMT_MB - VMT_SB);
	vmt_expect_pages(vmt, VMT_MB, VMT_MB, PHANTOM_FREE);
	/* Both are partially plugged then. */
	KUNIT_ASSERT_EQ(test, 0, vmt_offline(vmt, 1));
	vmt_resize(vmt, 2 * VMT_MB - 2 * VMT_SB);
	KUNIT_ASSERT_EQ(test, 0, vmt_online(vmt, 1, MMOP_ONLINE_KERNEL));

	vmt_resize(vmt, 2 * VMT_MB - 3 * VMT_SB);
	vmt_expect_plugged(vmt, 2 * VMT_MB - 3 * VMT_SB);
	vmt_expect_pages(vmt, VMT_MB, VMT_MB - VMT_SB, PHANTOM_FREE);
}

/* A memory block that is completely plugged again is not among those that shrink first. */
static void block_that_has_grown_again_is_not_the_first_to_shrink(struct kunit *test)
{
	const enum mmop online_type = vmt_any_zone();
	struct vmt *vmt = vmt_probe(test, online_type, 2, 2 * VMT_MB);

	KUNIT_ASSERT_EQ(test, 0, vmt_offline(vmt, 0));
	vmt_resize(vmt, 2 * VMT_MB - VMT_SB);
	KUNIT_ASSERT_EQ(test, 0, vmt_online(vmt, 0, online_type));
	vmt_resize(vmt, 2 * VMT_MB);
	vmt_resize(vmt, 2 * VMT_MB - VMT_SB);
	vmt_expect_plugged(vmt, 2 * VMT_MB - VMT_SB);
	vmt_expect_pages(vmt, 0, VMT_MB, PHANTOM_FREE);
}

/*
 * An offline memory block is completely plugged before another one is added, even if what
 * it lacks is in several places.
 */
static void offline_block_is_filled_before_another_is_added(struct kunit *test)
{
	struct vmt *vmt = vmt_probe(test, vmt_any_zone(), 2, VMT_MB);
	struct page *page;

	if (VMT_MB < 3 * VMT_SB)
		kunit_skip(test, "a memory block has but two sub-blocks");
	page = vmt_use_page(vmt, VMT_MB - VMT_SB - 1);
	vmt_resize(vmt, VMT_MB - 2 * VMT_SB);
	vmt_stop_using_page(vmt, page);
	KUNIT_ASSERT_EQ(test, 0, vmt_offline(vmt, 0));
	vmt_resize(vmt, VMT_MB);
	vmt_expect_plugged(vmt, VMT_MB);
	KUNIT_EXPECT_FALSE(test, vmt_is_present(vmt, 1));
}

/*
 * Memory notifiers that are called before and after that of virtio-mem see
 * unplugged pages that are skippable and have a reference count of 1.
 */
static void notifiers_see_skippable_pages_with_count_1(struct kunit *test)
{
	struct vmt *vmt = vmt_probe(test, vmt_any_zone(), 1, VMT_MB / 2);
	struct vmt_observer *before = vmt_register_observer(vmt, 1);
	struct vmt_observer *after = vmt_register_observer(vmt, -1);

	KUNIT_ASSERT_EQ(test, 0, vmt_offline(vmt, 0));
	KUNIT_EXPECT_EQ(test, 1, before->nr_going);
	KUNIT_EXPECT_EQ(test, 1, before->nr_offline);
	KUNIT_EXPECT_EQ(test, 1, after->nr_going);
	KUNIT_EXPECT_EQ(test, 1, after->nr_offline);
}

static void vetoed_offlining_changes_nothing(struct kunit *test, int priority)
{
	struct vmt *vmt = vmt_probe(test, vmt_any_zone(), 1, VMT_MB / 2);
	struct vmt_observer *before = vmt_register_observer(vmt, 1);
	struct vmt_observer *after = vmt_register_observer(vmt, -1);
	struct vmt_observer *veto = priority > 0 ? before : after;

	veto->veto = -EPERM;
	KUNIT_EXPECT_EQ(test, -EPERM, vmt_offline(vmt, 0));
	KUNIT_EXPECT_TRUE(test, vmt_is_online(vmt, 0));
	KUNIT_EXPECT_EQ(test, 1, before->nr_cancelled);
	vmt_expect_plugged(vmt, VMT_MB / 2);

	/* The driver is able to work on the memory block. */
	vmt_resize(vmt, VMT_MB / 4);
	vmt_expect_plugged(vmt, VMT_MB / 4);
	veto->veto = 0;
	KUNIT_EXPECT_EQ(test, 0, vmt_offline(vmt, 0));
}

/*
 * If a memory notifier refuses offlining before virtio-mem hears of it, the
 * memory block stays online, and the driver can still resize it.
 */
static void offlining_vetoed_before_the_driver_changes_nothing(struct kunit *test)
{
	vetoed_offlining_changes_nothing(test, 1);
}

/*
 * If a memory notifier refuses offlining after virtio-mem agreed to it, the
 * memory block stays online, and the driver can still resize it.
 */
static void offlining_vetoed_after_the_driver_changes_nothing(struct kunit *test)
{
	vetoed_offlining_changes_nothing(test, -1);
}

/*
 * virtio-mem plugs only whole memory blocks that are in the usable region of
 * the device, and continues when that region grows.
 */
static void driver_plugs_no_more_than_is_usable(struct kunit *test)
{
	struct vmt *vmt = vmt_new(test, vmt_any_zone(), 3, VMT_SB);

	vmt->dev.extent = 0;
	virtio_mem_device_unplug_all(&vmt->dev);
	vmt_bind(vmt, VMT_MB + VMT_MB / 2);
	/* The usable region ends in the middle of the second memory block. */
	vmt_expect_plugged(vmt, VMT_MB);
	KUNIT_EXPECT_FALSE(test, vmt_is_present(vmt, 1));

	/* The usable region grows with the requested size. */
	vmt_resize(vmt, 2 * VMT_MB);
	vmt_expect_plugged(vmt, 2 * VMT_MB);
}

/*
 * If device blocks are smaller than a pageblock, virtio-mem plugs and unplugs
 * them in sub-blocks that are as large as a pageblock.
 */
static void small_device_blocks_are_plugged_by_the_subblock(struct kunit *test)
{
	struct vmt *vmt = vmt_new(test, vmt_any_zone(), 1, VMT_SB / 4);

	vmt_bind(vmt, VMT_SB + VMT_SB / 2);
	vmt_expect_plugged(vmt, VMT_SB);
	vmt_resize(vmt, 3 * VMT_SB - VMT_SB / 4);
	vmt_expect_plugged(vmt, 2 * VMT_SB);
}

/*
 * If device blocks are larger than a pageblock but fit in a memory block,
 * virtio-mem uses them as sub-blocks.
 */
static void large_device_blocks_are_subblocks(struct kunit *test)
{
	struct vmt *vmt = vmt_new(test, vmt_any_zone(), 1, VMT_MB / 2);

	vmt_bind(vmt, VMT_MB);
	vmt_expect_plugged(vmt, VMT_MB);
	vmt_resize(vmt, VMT_MB / 2);
	vmt_expect_plugged(vmt, VMT_MB / 2);
}

static struct kunit_case virtio_mem_sbm_cases[] = {
	KUNIT_CASE_PARAM(probe_plugs_what_is_requested, size_gen_params),
	KUNIT_CASE(probe_negotiates_that_unplugged_memory_is_inaccessible),
	KUNIT_CASE(probe_first_unplugs_what_was_left_plugged),
	KUNIT_CASE(partially_plugged_block_survives_200_rounds),
	KUNIT_CASE(shrinking_to_nothing_removes_memory_blocks),
	KUNIT_CASE(memory_blocks_are_unplugged_at_once),
	KUNIT_CASE_PARAM(busy_subblock_stays_plugged, zone_gen_params),
	KUNIT_CASE(memory_block_is_removed_after_its_last_busy_subblock),
	KUNIT_CASE(offline_block_is_resized),
	KUNIT_CASE(offline_block_is_removed_once_unplugged),
	KUNIT_CASE(offline_blocks_shrink_before_online_ones),
	KUNIT_CASE(movable_blocks_shrink_before_kernel_blocks),
	KUNIT_CASE(partial_movable_blocks_shrink_before_kernel_blocks),
	KUNIT_CASE(movable_blocks_shrink_on_before_kernel_blocks),
	KUNIT_CASE(block_that_has_grown_again_is_not_the_first_to_shrink),
	KUNIT_CASE(offline_block_is_filled_before_another_is_added),
	KUNIT_CASE(notifiers_see_skippable_pages_with_count_1),
	KUNIT_CASE(offlining_vetoed_before_the_driver_changes_nothing),
	KUNIT_CASE(offlining_vetoed_after_the_driver_changes_nothing),
	KUNIT_CASE(driver_plugs_no_more_than_is_usable),
	KUNIT_CASE(small_device_blocks_are_plugged_by_the_subblock),
	KUNIT_CASE(large_device_blocks_are_subblocks),
	{}
};

static struct kunit_suite virtio_mem_sbm_suite = {
	.name = "virtio_mem_sbm",
	.init = vmt_init,
	.test_cases = virtio_mem_sbm_cases,
};

/*
 * Big-block mode
 */

/*
 * In big-block mode, virtio-mem plugs and onlines exactly the requested big
 * blocks when it probes.
 */
static void probe_plugs_big_blocks(struct kunit *test)
{
	struct vmt *vmt = vmt_new(test, vmt_any_zone(), 3, VMT_MB);

	vmt_bind(vmt, 2 * VMT_MB);
	vmt_expect_plugged(vmt, 2 * VMT_MB);
	KUNIT_EXPECT_TRUE(test, vmt_is_online(vmt, 0));
	KUNIT_EXPECT_TRUE(test, vmt_is_online(vmt, 1));
	KUNIT_EXPECT_FALSE(test, vmt_is_present(vmt, 2));
}

/*
 * All pages of a big block are skippable while virtio-mem offlines it in order
 * to unplug it.
 */
static void big_block_is_skippable_while_going_offline(struct kunit *test)
{
	struct vmt *vmt = vmt_new(test, vmt_any_zone(), 1, VMT_MB);
	struct vmt_observer *before, *after;

	vmt_bind(vmt, VMT_MB);
	before = vmt_register_observer(vmt, 1);
	before->fake_offline = true;
	after = vmt_register_observer(vmt, -1);
	after->fake_offline = true;

	vmt_resize(vmt, 0);
	KUNIT_EXPECT_EQ(test, 1, before->nr_going);
	KUNIT_EXPECT_EQ(test, 1, before->nr_offline);
	KUNIT_EXPECT_EQ(test, 1, after->nr_going);
	KUNIT_EXPECT_EQ(test, 1, after->nr_offline);
	vmt_expect_plugged(vmt, 0);
	KUNIT_EXPECT_FALSE(test, vmt_is_present(vmt, 0));
}

/*
 * virtio-mem keeps a big block plugged as long as a page in it is in use, and
 * removes it after that.
 */
static void busy_big_block_stays_plugged(struct kunit *test)
{
	struct vmt *vmt = vmt_new(test, vmt_any_zone(), 1, VMT_MB);
	struct page *page;

	vmt_bind(vmt, VMT_MB);
	page = vmt_use_page(vmt, VMT_MB / 2);
	vmt_resize(vmt, 0);
	KUNIT_EXPECT_EQ(test, VMT_MB, virtio_mem_device_plugged_size(&vmt->dev));
	KUNIT_EXPECT_EQ(test, 1, page_count(page));

	vmt_stop_using_page(vmt, page);
	vmt_expect_plugged(vmt, VMT_MB);
	vmt_retry(vmt);
	vmt_expect_plugged(vmt, 0);
	KUNIT_EXPECT_FALSE(test, vmt_is_present(vmt, 0));
}

/*
 * If a big block cannot be offlined, its pages go back to the buddy, and
 * virtio-mem unplugs it when it tries again.
 */
static void big_block_that_cannot_go_offline_is_free_again(struct kunit *test)
{
	struct vmt *vmt = vmt_new(test, vmt_any_zone(), 1, VMT_MB);
	struct vmt_observer *observer;

	vmt_bind(vmt, VMT_MB);
	observer = vmt_register_observer(vmt, -1);
	observer->fake_offline = true;
	observer->veto = -EBUSY;
	vmt_resize(vmt, 0);
	KUNIT_EXPECT_LE(test, 1, observer->nr_going);
	vmt_expect_plugged(vmt, VMT_MB);
	KUNIT_EXPECT_TRUE(test, vmt_is_online(vmt, 0));
	vmt_expect_pages(vmt, 0, VMT_MB, PHANTOM_FREE);

	observer->veto = 0;
	vmt_retry(vmt);
	vmt_expect_plugged(vmt, 0);
}

/*
 * A memory block of a big block can be offlined and onlined, and its pages are
 * free after that.
 */
static void big_block_goes_offline_and_online(struct kunit *test)
{
	struct vmt *vmt = vmt_new(test, vmt_any_zone(), 1, VMT_MB);

	vmt_bind(vmt, VMT_MB);
	KUNIT_ASSERT_EQ(test, 0, vmt_offline(vmt, 0));
	vmt_expect_plugged(vmt, VMT_MB);
	KUNIT_ASSERT_EQ(test, 0, vmt_online(vmt, 0, vmt_any_zone()));
	vmt_expect_plugged(vmt, VMT_MB);
	vmt_expect_pages(vmt, 0, VMT_MB, PHANTOM_FREE);
}

/* Have big blocks of two memory blocks each. */
static void set_double_blocks(struct kunit *test)
{
	char size[24];

	snprintf(size, sizeof(size), "%llu", 2 * VMT_MB);
	phantom_set_param(test, "virtio_mem.bbm_block_size", size);
	phantom_set_param(test, "virtio_mem.force_bbm", "1");
}

/* Get big blocks of two memory blocks each, with smaller device blocks. */
static struct vmt *bind_double_blocks(struct kunit *test, u64 requested_size)
{
	struct vmt *vmt;

	set_double_blocks(test);
	vmt = vmt_new(test, vmt_any_zone(), 4, VMT_SB);
	vmt_require_alignment(vmt, 2 * VMT_MB);
	vmt_bind(vmt, requested_size);
	return vmt;
}

/* A big block of two memory blocks is plugged and unplugged as a whole. */
static void big_block_may_have_several_memory_blocks(struct kunit *test)
{
	struct vmt *vmt = bind_double_blocks(test, 3 * VMT_MB);

	vmt_expect_plugged(vmt, 2 * VMT_MB);
	KUNIT_EXPECT_TRUE(test, vmt_is_online(vmt, 0));
	KUNIT_EXPECT_TRUE(test, vmt_is_online(vmt, 1));
	KUNIT_EXPECT_FALSE(test, vmt_is_present(vmt, 2));

	vmt_resize(vmt, VMT_MB);
	vmt_expect_plugged(vmt, 2 * VMT_MB);
	vmt_resize(vmt, 0);
	vmt_expect_plugged(vmt, 0);
	KUNIT_EXPECT_FALSE(test, vmt_is_present(vmt, 0));
}

static void release_start(void *start)
{
	release_mem_region((uintptr_t)start, VMT_MB);
}

/* Have the next region start in the middle of a big block. */
static void occupy_aligned_start(struct kunit *test)
{
	const u64 start = phantom_find_range(test, VMT_MB);

	if (!IS_ALIGNED(start, 2 * VMT_MB))
		return;
	KUNIT_ASSERT_NOT_NULL(test, request_mem_region(start, VMT_MB, "kunit"));
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, release_start,
						  (void *)(uintptr_t)start));
}

/*
 * In big-block mode, virtio-mem plugs no big block of which only a part is in
 * the region of the device, even if all of the region is requested.
 */
static void driver_plugs_no_big_block_beyond_the_region(struct kunit *test)
{
	struct vmt *vmt;

	set_double_blocks(test);
	occupy_aligned_start(test);
	vmt = vmt_new(test, vmt_any_zone(), 4, VMT_SB);
	if (IS_ALIGNED(vmt->ph.start, 2 * VMT_MB))
		kunit_skip(test, "no unaligned range of physical address space");
	vmt_bind(vmt, 4 * VMT_MB);
	vmt_expect_plugged(vmt, 2 * VMT_MB);
	KUNIT_EXPECT_FALSE(test, vmt_is_present(vmt, 0));
	KUNIT_EXPECT_FALSE(test, vmt_is_present(vmt, 3));
}

/*
 * virtio-mem unplugs a big block of which one memory block is online and
 * another one is offline.
 */
static void big_block_may_be_partially_online(struct kunit *test)
{
	struct vmt *vmt = bind_double_blocks(test, 2 * VMT_MB);

	KUNIT_ASSERT_EQ(test, 0, vmt_offline(vmt, 1));
	vmt_expect_plugged(vmt, 2 * VMT_MB);
	vmt_resize(vmt, 0);
	vmt_expect_plugged(vmt, 0);
	KUNIT_EXPECT_FALSE(test, vmt_is_present(vmt, 0));
	KUNIT_EXPECT_FALSE(test, vmt_is_present(vmt, 1));
}

/*
 * If a big block cannot be unplugged because a page in its second memory block
 * is in use, the pages of its first one go back to the buddy.
 *
 * The driver finds the page in use after it made the first memory block
 * fake-offline.
 */
static void partly_busy_big_block_is_free_again(struct kunit *test)
{
	struct vmt *vmt = bind_double_blocks(test, 2 * VMT_MB);
	struct page *page = vmt_use_page(vmt, VMT_MB);

	vmt_resize(vmt, 0);
	vmt_expect_pages(vmt, 0, VMT_MB, PHANTOM_FREE);
	vmt_stop_using_page(vmt, page);
	vmt_expect_plugged(vmt, 2 * VMT_MB);
}

/*
 * If the device is too busy to unplug a big block whose memory was removed,
 * virtio-mem unplugs it later.
 */
static void removed_big_block_is_unplugged_later(struct kunit *test)
{
	struct vmt *vmt = vmt_new(test, vmt_any_zone(), 1, VMT_MB);

	vmt_bind(vmt, VMT_MB);
	/* The driver tries again at once after it removed the memory block. */
	virtio_mem_device_except(&vmt->dev, &(struct virtio_mem_exception){
		.nth = 1, .last = 2, .answer = VIRTIO_MEM_RESP_BUSY,
	});
	vmt_resize(vmt, 0);
	vmt_expect_plugged(vmt, VMT_MB);
	KUNIT_EXPECT_FALSE(test, vmt_is_present(vmt, 0));

	vmt_retry(vmt);
	vmt_expect_plugged(vmt, 0);
}

static struct kunit_case virtio_mem_bbm_cases[] = {
	KUNIT_CASE(probe_plugs_big_blocks),
	KUNIT_CASE(big_block_is_skippable_while_going_offline),
	KUNIT_CASE(busy_big_block_stays_plugged),
	KUNIT_CASE(big_block_that_cannot_go_offline_is_free_again),
	KUNIT_CASE(big_block_goes_offline_and_online),
	KUNIT_CASE(big_block_may_have_several_memory_blocks),
	KUNIT_CASE(driver_plugs_no_big_block_beyond_the_region),
	KUNIT_CASE(big_block_may_be_partially_online),
	KUNIT_CASE(partly_busy_big_block_is_free_again),
	KUNIT_CASE(removed_big_block_is_unplugged_later),
	{}
};

static struct kunit_suite virtio_mem_bbm_suite = {
	.name = "virtio_mem_bbm",
	.init = vmt_init,
	.test_cases = virtio_mem_bbm_cases,
};

/*
 * What the device answers
 */

/**
 * struct answer_param - an answer of the device, and how the driver reacts
 * @desc: in words
 * @grow: whether the driver has to plug memory, otherwise to unplug some
 * @answer: what the device answers a request
 * @outcome: what the driver does about it
 */
struct answer_param {
	const char *desc;
	bool grow;
	u16 answer;
	enum { RETRY_AT_ONCE, RETRY_LATER, GIVE_UP } outcome;
};

static const struct answer_param answer_params[] = {
	{ "PLUG is answered BUSY", true, VIRTIO_MEM_RESP_BUSY, RETRY_LATER },
	{ "PLUG is answered NACK", true, VIRTIO_MEM_RESP_NACK, RETRY_AT_ONCE },
	{ "PLUG is answered ERROR", true, VIRTIO_MEM_RESP_ERROR, GIVE_UP },
	{ "UNPLUG is answered BUSY", false, VIRTIO_MEM_RESP_BUSY, RETRY_LATER },
	/*
	 * The specification has no NACK for UNPLUG, so any reaction would do.
	 */
	{ "UNPLUG is answered NACK", false, VIRTIO_MEM_RESP_NACK, RETRY_LATER },
	{ "UNPLUG is answered ERROR", false, VIRTIO_MEM_RESP_ERROR, GIVE_UP },
};

KUNIT_ARRAY_PARAM_DESC(answer, answer_params, desc);

/*
 * What is requested before and after makes the driver send several requests: it
 * plugs the rest of one memory block and some of another one, or it unplugs
 * some of the first one, sub-block by sub-block.
 */
static u64 size_before(bool grow)
{
	return grow ? VMT_MB - 2 * VMT_SB : VMT_MB;
}

static u64 size_after(bool grow)
{
	return grow ? VMT_MB + VMT_SB : VMT_MB - 3 * VMT_SB;
}

static unsigned int nr_requests(bool grow)
{
	return grow ? 2 : 3;
}

static void expect_outcome(struct vmt *vmt, const struct answer_param *param,
			   unsigned int nth)
{
	const struct virtio_mem_exception exception = {
		.nth = nth,
		.answer = param->answer,
	};
	const u64 size = size_after(param->grow);
	struct kunit *test = vmt->test;

	vmt_resize(vmt, size_before(param->grow));
	virtio_mem_device_except(&vmt->dev, &exception);
	vmt_resize(vmt, size);
	KUNIT_ASSERT_GE(test, vmt->dev.nr_since, nth);
	if (param->outcome != RETRY_AT_ONCE) {
		vmt_expect_consistent(vmt);
		KUNIT_EXPECT_EQ(test, nth, vmt->dev.nr_since);
		vmt_retry(vmt);
	}
	if (param->outcome == GIVE_UP) {
		KUNIT_EXPECT_EQ_MSG(test, nth, vmt->dev.nr_since,
				    "driver did not give up");
		vmt_expect_consistent(vmt);
	} else {
		KUNIT_EXPECT_EQ(test, nr_requests(param->grow) + 1,
				vmt->dev.nr_since);
		vmt_expect_plugged(vmt, size);
	}
}

/*
 * When the device answers BUSY, NACK or ERROR, virtio-mem retries at once,
 * retries later or gives up as it should, and still knows what is plugged.
 */
static void driver_handles_every_answer(struct kunit *test)
{
	const struct answer_param *param = test->param_value;
	struct vmt *vmt = vmt_new(test, vmt_any_zone(), 2, VMT_SB);
	unsigned int nth;

	vmt_bind(vmt, 0);
	for (nth = 1; nth <= nr_requests(param->grow); nth++) {
		expect_outcome(vmt, param, nth);
		if (param->outcome == GIVE_UP) {
			vmt_remove(vmt);
			vmt_bind(vmt, 0);
		}
	}
}

static u64 size_reduced(void)
{
	return VMT_MB - 4 * VMT_SB;
}

static u64 size_full(void)
{
	return VMT_MB;
}

/**
 * struct change_param - a size that is requested during a request
 * @desc: in words
 * @grow: whether the driver was plugging memory
 * @size: the size that is requested then
 */
struct change_param {
	const char *desc;
	bool grow;
	u64 (*size)(void);
};

static const struct change_param change_params[] = {
	{ "unplug while plugging", true, size_reduced },
	{ "plug while unplugging", false, size_full },
};

KUNIT_ARRAY_PARAM_DESC(change, change_params, desc);

static void expect_change(struct vmt *vmt, unsigned int nth, bool delay)
{
	const struct change_param *param = vmt->test->param_value;
	const struct virtio_mem_exception exception = {
		.nth = nth,
		.answer = VIRTIO_MEM_AS_SPECIFIED,
		.hold = delay,
		.resize = !delay,
		.requested_size = param->size(),
	};

	vmt_resize(vmt, size_before(param->grow));
	virtio_mem_device_except(&vmt->dev, &exception);
	virtio_mem_device_resize(&vmt->dev, size_after(param->grow));
	if (delay) {
		KUNIT_EXPECT_TRUE(vmt->test,
				  virtio_mem_device_wait_held(&vmt->dev));
		virtio_mem_device_resize(&vmt->dev, param->size());
		virtio_mem_device_release(&vmt->dev);
	}
	vmt_settle(vmt);
	KUNIT_EXPECT_GE(vmt->test, vmt->dev.nr_since, nth);
	/* A request that was made before may exceed what is requested now. */
	KUNIT_EXPECT_LE_MSG(vmt->test, vmt->dev.nr_answers[VIRTIO_MEM_RESP_NACK],
			    delay ? 0 : nth, "driver missed that the size changed");
	vmt_expect_plugged(vmt, param->size());
}

/*
 * virtio-mem ends up with the right size if the requested size changes while
 * the device handles a request.
 */
static void driver_follows_size_changed_during_a_request(struct kunit *test)
{
	const struct change_param *param = test->param_value;
	struct vmt *vmt = vmt_new(test, vmt_any_zone(), 2, VMT_SB);
	unsigned int nth;

	vmt_bind(vmt, 0);
	for (nth = 1; nth <= nr_requests(param->grow); nth++)
		expect_change(vmt, nth, false);
}

/*
 * virtio-mem ends up with the right size if the requested size changes while
 * the device delays the answer to a request.
 */
static void driver_follows_size_changed_before_a_delayed_answer(struct kunit *test)
{
	const struct change_param *param = test->param_value;
	struct vmt *vmt = vmt_new(test, vmt_any_zone(), 2, VMT_SB);
	unsigned int nth;

	vmt_bind(vmt, 0);
	for (nth = 1; nth <= nr_requests(param->grow); nth++)
		expect_change(vmt, nth, true);
}

/*
 * If the device is too busy to unplug memory, its pages go back to the buddy,
 * and virtio-mem unplugs them when it tries again.
 */
static void memory_that_cannot_be_unplugged_is_free_again(struct kunit *test)
{
	struct vmt *vmt = vmt_probe(test, vmt_any_zone(), 1, VMT_MB);

	virtio_mem_device_except(&vmt->dev, &(struct virtio_mem_exception){
		.nth = 1, .last = UINT_MAX, .answer = VIRTIO_MEM_RESP_BUSY,
	});
	vmt_resize(vmt, 0);
	vmt_retry(vmt);
	vmt_expect_plugged(vmt, VMT_MB);
	vmt_expect_pages(vmt, 0, VMT_MB, PHANTOM_FREE);

	virtio_mem_device_except(&vmt->dev, NULL);
	vmt_retry(vmt);
	vmt_expect_plugged(vmt, 0);
}

static struct kunit_case virtio_mem_answers_cases[] = {
	KUNIT_CASE_PARAM(driver_handles_every_answer, answer_gen_params),
	KUNIT_CASE_PARAM(driver_follows_size_changed_during_a_request,
			 change_gen_params),
	KUNIT_CASE_PARAM(driver_follows_size_changed_before_a_delayed_answer,
			 change_gen_params),
	KUNIT_CASE(memory_that_cannot_be_unplugged_is_free_again),
	{}
};

static struct kunit_suite virtio_mem_answers_suite = {
	.name = "virtio_mem_answers",
	.init = vmt_init,
	.test_cases = virtio_mem_answers_cases,
};

kunit_test_suites(&virtio_mem_sbm_suite, &virtio_mem_bbm_suite,
		  &virtio_mem_answers_suite);

MODULE_DESCRIPTION("KUnit tests for the virtio-mem driver");
MODULE_LICENSE("GPL");
