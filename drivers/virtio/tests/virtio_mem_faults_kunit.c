// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests for the virtio-mem driver: allocations that fail.
 *
 * Fault injection can make the nth allocation of a task fail, see fail_nth in
 * Documentation/fault-injection/fault-injection.rst. Each case does that for
 * the first allocation, the second one, and so on until there is no nth
 * allocation.
 */
#include <kunit/test.h>
#include <linux/bitmap.h>
#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/sched.h>
#include <linux/sched/task.h>
#include <linux/virtio_mem.h>

#include "virtio_mem_kunit.h"

#if IS_ENABLED(CONFIG_FAULT_INJECTION_DEBUG_FS) && IS_ENABLED(CONFIG_FAILSLAB) && \
	IS_ENABLED(CONFIG_FAIL_PAGE_ALLOC)

/**
 * struct fault_setting - a setting of fault injection to restore
 * @value: where it is
 * @size: its size
 * @old: what it was
 */
struct fault_setting {
	void *value;
	size_t size;
	u64 old;
};

static void restore_fault_attr(void *arg)
{
	struct fault_setting *setting = arg;

	memcpy(setting->value, &setting->old, setting->size);
}

/*
 * The settings are meant to be written by user space. There is no user space
 * yet, but there are the files in debugfs, which point to the values.
 */
static void set_fault_attr(struct kunit *test, const char *dir,
			   const char *name, const void *value, size_t size)
{
	struct dentry *parent = debugfs_lookup(dir, NULL);
	struct dentry *file = parent ? debugfs_lookup(name, parent) : NULL;
	struct fault_setting *setting;

	if (!file)
		kunit_skip(test, "no %s/%s in debugfs", dir, name);
	setting = kunit_kzalloc(test, sizeof(*setting), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, setting);
	setting->value = d_inode(file)->i_private;
	setting->size = size;
	dput(file);
	dput(parent);
	memcpy(&setting->old, setting->value, size);
	memcpy(setting->value, value, size);
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, restore_fault_attr,
						  setting));
}

static void set_fault_ulong(struct kunit *test, const char *dir,
			    const char *name, unsigned long value)
{
	set_fault_attr(test, dir, name, &value, sizeof(value));
}

static void set_fault_bool(struct kunit *test, const char *dir,
			   const char *name, bool value)
{
	set_fault_attr(test, dir, name, &value, sizeof(value));
}

static int virtio_mem_faults_init(struct kunit *test)
{
	const u32 min_order = 0;

	vmt_init(test);

	/* Let allocations of all kinds fail, without messages. */
	set_fault_bool(test, "failslab", "ignore-gfp-wait", false);
	set_fault_ulong(test, "failslab", "verbose", 0);
	set_fault_bool(test, "fail_page_alloc", "ignore-gfp-wait", false);
	set_fault_bool(test, "fail_page_alloc", "ignore-gfp-highmem", false);
	set_fault_attr(test, "fail_page_alloc", "min-order", &min_order,
		       sizeof(min_order));
	set_fault_ulong(test, "fail_page_alloc", "verbose", 0);
	return 0;
}

/* The task whose nth allocation is to fail. There is one at a time. */
static struct {
	struct kunit *test;
	unsigned int nth;
	struct task_struct *task;
	struct kunit_suppressed_warning *warnings;
} fault;

static void arm_fault_in_current(void)
{
	if (!fault.nth || fault.task)
		return;
	fault.warnings = kunit_start_suppress_warning(fault.test);
	fault.task = get_task_struct(current);
	current->fail_nth = fault.nth;
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

static void disarm_fault(void *unused)
{
	fault.nth = 0;
	if (!fault.task)
		return;
	WRITE_ONCE(fault.task->fail_nth, 0);
	put_task_struct(fault.task);
	fault.task = NULL;
	kunit_end_suppress_warning(fault.test, fault.warnings);
}

static struct vmt *vmt_new_faulty(struct kunit *test, enum mmop online_type,
				  unsigned long nr_blocks, u64 block_size)
{
	struct vmt *vmt = vmt_new(test, online_type, nr_blocks, block_size);

	fault.test = test;
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, disarm_fault, NULL));
	return vmt;
}

/*
 * Return whether the nth allocation was made, and so failed. That may have led
 * to @nr_warnings warnings.
 */
static bool fault_was_injected(struct kunit *test, int nr_warnings)
{
	bool failed = fault.task && !READ_ONCE(fault.task->fail_nth);

	KUNIT_EXPECT_NOT_NULL_MSG(test, fault.task, "nothing to fail");
	KUNIT_EXPECT_LE(test, kunit_suppressed_warning_count(fault.warnings),
			nr_warnings);
	disarm_fault(NULL);
	return failed;
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
 * There is another memory block from the beginning, which provides page tables,
 * and per-cpu lists of pages for the zone. When these are allocated, the kernel
 * does not always check whether there was memory for them.
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
	 * exists, which makes the driver give up: see
	 * register_memory_resource(). How many allocations come before it
	 * depends on what the slab caches of this CPU happen to hold, so it may
	 * be the nth one in two successive rounds.
	 */
	KUNIT_EXPECT_LE(test, nr_given_up, 2);
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
	/* Both __vmalloc_area_node() and kasan_mem_notifier() free it. */
	if (IS_ENABLED(CONFIG_KASAN))
		kunit_skip(test, "KASAN frees a shadow twice that it could not allocate");
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

	vmt_bind(vmt, small);
	vmt->dev.config_read = arm_fault_in_worker;
	for (nth = 1; ; nth++) {
		virtio_mem_device_except(&vmt->dev, &(struct virtio_mem_exception){
			.nth = 2, .last = 3, .answer = VIRTIO_MEM_RESP_BUSY,
		});
		fault.nth = nth;
		vmt_resize(vmt, large);
		KUNIT_ASSERT_TRUE(test, fault_was_injected(test, 1));
		/* See above for what makes the driver give up. */
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
	resizing_recovers(test, MMOP_OFFLINE, VMT_MB, VMT_MB, 2 * VMT_MB, 10);
}

#else

static int virtio_mem_faults_init(struct kunit *test)
{
	kunit_skip(test, "needs FAILSLAB, FAIL_PAGE_ALLOC, FAULT_INJECTION_DEBUG_FS");
}

static void probe_fails_cleanly_without_memory(struct kunit *test)
{
}

static void resizing_memory_block_recovers_without_memory(struct kunit *test)
{
}

static void resizing_by_memory_block_recovers_without_memory(struct kunit *test)
{
}

static void memory_that_cannot_be_added_is_unplugged_later(struct kunit *test)
{
}

static void resizing_by_big_block_recovers_without_memory(struct kunit *test)
{
}

#endif

static struct kunit_case virtio_mem_faults_cases[] = {
	KUNIT_CASE(probe_fails_cleanly_without_memory),
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
