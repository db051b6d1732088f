// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests for the virtio-mem driver: allocations that fail, the first one,
 * then the second one, and so on, see include/kunit/fault.h.
 */
#include <kunit/fault.h>
#include <kunit/known_bug.h>
#include <kunit/test.h>
#include <linux/pgtable.h>
#include <linux/virtio_mem.h>

#include "virtio_mem_kunit.h"

/* Which allocation is to fail once the driver gets to where it is armed. */
static struct {
	struct kunit *test;
	unsigned int nth;
} fault;

static int virtio_mem_faults_init(struct kunit *test)
{
	vmt_init(test);
	kunit_fault_init(test);
	return 0;
}

static void arm_fault_in_current(void)
{
	if (fault.nth)
		kunit_fault_arm(fault.test, fault.nth);
}

static void arm_fault_in_probe(struct virtio_mem_device *dev)
{
	arm_fault_in_current();
}

/*
 * The requested size is what the driver reads last before it plugs or unplugs.
 */
static void arm_fault_in_worker(struct virtio_mem_device *dev,
				unsigned int offset)
{
	if (offset == offsetof(struct virtio_mem_config, requested_size))
		arm_fault_in_current();
}

static void forget_fault(void *unused)
{
	fault.nth = 0;
}

/* Nothing is to fail once the test case has ended, however it does. */
static struct vmt *vmt_new_faulty(struct kunit *test, enum mmop online_type,
				  unsigned long nr_blocks, u64 block_size)
{
	struct vmt *vmt = vmt_new(test, online_type, nr_blocks, block_size);

	fault.test = test;
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, forget_fault, NULL));
	return vmt;
}

/*
 * Return whether the nth allocation was made, and so failed. That may have led
 * to @nr_warnings warnings.
 */
static bool fault_was_injected(struct kunit *test, int nr_warnings)
{
	forget_fault(NULL);
	return kunit_fault_disarm(test, nr_warnings);
}

/*
 * Whichever allocation fails while virtio-mem probes, probing either fails or
 * succeeds, nothing is left after unloading, and the next probe succeeds.
 */
static void probe_fails_cleanly_without_memory(struct kunit *test)
{
	struct vmt *vmt = vmt_new_faulty(test, MMOP_ONLINE_MOVABLE, 1, VMT_SB);
	unsigned int nth, nr_backed_out = 0;
	bool failed = true;

	vmt->dev.probe = arm_fault_in_probe;
	for (nth = 1; failed; nth++) {
		fault.nth = nth;
		KUNIT_ASSERT_EQ(test, 0, virtio_kunit_register(&vmt->dev.vk));
		vmt_settle(vmt);
		failed = fault_was_injected(test, 0);
		if (!virtio_kunit_is_bound(&vmt->dev.vk)) {
			KUNIT_EXPECT_TRUE(test, failed);
			nr_backed_out++;
		}
		virtio_kunit_unregister(&vmt->dev.vk);
		phantom_snapshot_expect(test, &vmt->without);
	}
	KUNIT_EXPECT_GE(test, nr_backed_out, 5);

	vmt_bind(vmt, VMT_SB);
	vmt_expect_plugged(vmt, VMT_SB);
}

/*
 * Whichever allocation fails before virtio-mem requests the first memory it plugs, it
 * requests nothing, and plugs what it should when it tries again.
 *
 * What it remembers about memory blocks and sub-blocks is allocated then.
 */
static void first_memory_block_waits_for_memory(struct kunit *test)
{
	struct vmt *vmt = vmt_new_faulty(test, MMOP_OFFLINE, 1, VMT_SB);
	unsigned int nth, nr_waited = 0;
	u64 plugged = VMT_SB;

	vmt->dev.config_read = arm_fault_in_worker;
	/* Other cases have allocations fail once there was a request. */
	for (nth = 1; plugged == VMT_SB; nth++) {
		vmt_bind(vmt, 0);
		virtio_mem_device_except(&vmt->dev, NULL);
		fault.nth = nth;
		vmt_resize(vmt, VMT_SB);
		KUNIT_ASSERT_TRUE(test, fault_was_injected(test, 1));
		if (!vmt->dev.nr_since) {
			nr_waited++;
			vmt_expect_plugged(vmt, 0);
			vmt_expire_retry_timer(vmt);
		}
		plugged = virtio_mem_device_plugged_size(&vmt->dev);
		vmt_remove(vmt);
	}
	KUNIT_EXPECT_GE(test, nr_waited, 2);
}

/* Resize @vmt while the nth allocation fails. Return whether there was one. */
static bool resize_faulty(struct vmt *vmt, u64 size, unsigned int nth)
{
	bool failed;

	fault.nth = nth;
	vmt_resize(vmt, size);
	/* One warning of add_pages() on x86 */
	failed = fault_was_injected(vmt->test, 1);
	vmt_expect_consistent(vmt);
	return failed;
}

/*
 * To be called if memory blocks are added to the first one, which may have provided
 * page tables for them.
 */
static void add_faulty_memory_block(struct kunit *test)
{
	if (kunit_fault_needs_page_tables(2 * VMT_MB))
		kunit_fault_in_page_tables(test);
	if (IS_ENABLED(CONFIG_S390))
		kunit_known_bug(test, "s390-vmem-tell-lack-of-memory",
				"not tried, as a part of the memmap might be missing");
}

/*
 * There is another memory block from the beginning, which provides page tables,
 * and per-cpu lists of pages for the zone. The kernel may not check whether it
 * got memory for these, see mm/tests/memory_hotplug_kunit.c.
 */
static void resizing_recovers(struct kunit *test, enum mmop online_type,
			      u64 block_size, u64 small, u64 large,
			      unsigned int nr_faults)
{
	struct vmt *vmt = vmt_new_faulty(test, online_type, 2, block_size);
	bool in_plug = true, in_unplug = true;
	unsigned int nth, nr_given_up = 0;

	vmt->dev.config_read = arm_fault_in_worker;
	vmt_bind(vmt, small);
	for (nth = 1; in_plug || in_unplug; nth++) {
		if (in_plug)
			in_plug = resize_faulty(vmt, large, nth);
		/* The next round shows whether the driver recovers. */
		if (!in_unplug && virtio_mem_device_plugged_size(&vmt->dev) == small)
			continue;
		if (virtio_mem_device_plugged_size(&vmt->dev) != large)
			vmt_resize(vmt, large);
		if (virtio_mem_device_plugged_size(&vmt->dev) == small) {
			vmt_expect_consistent(vmt);
			nr_given_up++;
			vmt_remove(vmt);
			vmt_bind(vmt, large);
		}
		KUNIT_ASSERT_EQ(test, large,
				virtio_mem_device_plugged_size(&vmt->dev));

		if (in_unplug)
			in_unplug = resize_faulty(vmt, small, nth);
		if (virtio_mem_device_plugged_size(&vmt->dev) != small)
			vmt_resize(vmt, small);
		vmt_expect_plugged(vmt, small);
	}
	KUNIT_EXPECT_GE(test, nth - 2, nr_faults);
	/*
	 * A resource that cannot be allocated looks like one that already
	 * exists, see register_memory_resource().
	 */
	if (nr_given_up)
		kunit_known_bug(test, "mm-memory_hotplug-tell-lack-of-memory",
				"the driver gave up, and did not try again");
	KUNIT_EXPECT_EQ(test, nr_given_up, 0);
}

/*
 * Whichever allocation fails while virtio-mem resizes a memory block, pages and
 * counters match what is plugged, and resizing succeeds when it is tried again.
 */
static void resizing_memory_block_recovers_without_memory(struct kunit *test)
{
	resizing_recovers(test, MMOP_ONLINE_MOVABLE, VMT_SB, VMT_MB - 2 * VMT_SB,
			  VMT_MB, 1);
}

/*
 * Whichever allocation fails while virtio-mem adds or removes a memory block,
 * pages and counters match what is plugged, and resizing succeeds when it is
 * tried again.
 */
static void resizing_by_memory_block_recovers_without_memory(struct kunit *test)
{
	add_faulty_memory_block(test);
	/* Both __vmalloc_area_node() and kasan_mem_notifier() free it. */
	if (IS_ENABLED(CONFIG_KASAN))
		kunit_known_bug(test, "kasan-free-no-shadow-twice",
				"not tried, as KASAN might free a shadow twice");
	resizing_recovers(test, MMOP_ONLINE_MOVABLE, VMT_SB, VMT_MB,
			  VMT_MB + 2 * VMT_SB, 10);
}

/*
 * If virtio-mem can neither add a memory block for lack of memory nor unplug it
 * again because the device is busy, it unplugs the memory when it tries again,
 * and can add the memory block after that.
 */
static void memory_that_cannot_be_added_is_unplugged_later(struct kunit *test)
{
	const u64 small = VMT_MB, large = VMT_MB + 2 * VMT_SB;
	struct vmt *vmt = vmt_new_faulty(test, MMOP_OFFLINE, 2, VMT_SB);
	unsigned int nth;

	add_faulty_memory_block(test);
	vmt_bind(vmt, small);
	vmt->dev.config_read = arm_fault_in_worker;
	for (nth = 1; ; nth++) {
		virtio_mem_device_except(&vmt->dev, &(struct virtio_mem_exception){
			.nth = 2, .last = 3, .answer = VIRTIO_MEM_RESP_BUSY,
		});
		fault.nth = nth;
		vmt_resize(vmt, large);
		KUNIT_ASSERT_TRUE(test, fault_was_injected(test, 1));
		/* See resizing_recovers() for what makes it give up. */
		if (vmt->dev.nr_since == 2 && vmt_retry_timer(vmt))
			break;
		vmt_remove(vmt);
		vmt_bind(vmt, small);
	}
	KUNIT_EXPECT_FALSE(test, vmt_is_present(vmt, 1));
	vmt_expect_plugged(vmt, large);

	/* The device is still busy. */
	vmt_expire_retry_timer(vmt);
	KUNIT_EXPECT_EQ(test, 3, vmt->dev.nr_since);
	vmt_expect_plugged(vmt, large);
	vmt_expire_retry_timer(vmt);
	KUNIT_EXPECT_EQ(test, 5, vmt->dev.nr_since);
	KUNIT_EXPECT_TRUE(test, vmt_is_present(vmt, 1));
	vmt_expect_plugged(vmt, large);
}

/*
 * Whichever allocation fails while virtio-mem adds or removes a big block,
 * pages and counters match what is plugged, and resizing succeeds when it is
 * tried again.
 *
 * The memory stays offline, because onlining it is the same as in sub-block
 * mode.
 */
static void resizing_by_big_block_recovers_without_memory(struct kunit *test)
{
	add_faulty_memory_block(test);
	resizing_recovers(test, MMOP_OFFLINE, VMT_MB, VMT_MB, 2 * VMT_MB, 10);
}

static struct kunit_case virtio_mem_faults_cases[] = {
	KUNIT_CASE(probe_fails_cleanly_without_memory),
	KUNIT_CASE(first_memory_block_waits_for_memory),
	KUNIT_CASE(resizing_memory_block_recovers_without_memory),
	KUNIT_CASE(resizing_by_memory_block_recovers_without_memory),
	KUNIT_CASE(memory_that_cannot_be_added_is_unplugged_later),
	KUNIT_CASE(resizing_by_big_block_recovers_without_memory),
	{}
};

static struct kunit_suite virtio_mem_faults_suite = {
	.name = "virtio_mem_faults",
	.init = virtio_mem_faults_init,
	.test_cases = virtio_mem_faults_cases,
};

kunit_test_suite(virtio_mem_faults_suite);

MODULE_DESCRIPTION("KUnit tests for virtio-mem without memory");
MODULE_LICENSE("GPL");
