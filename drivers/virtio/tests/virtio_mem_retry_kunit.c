// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests for the virtio-mem driver: what it does when memory cannot be
 * plugged or unplugged at once: whether, when and how often it tries again.
 */
#include <kunit/known_bug.h>
#include <kunit/test.h>
#include <linux/gfp.h>
#include <linux/iopoll.h>
#include <linux/panic.h>
#include <linux/sched.h>
#include <linux/virtio.h>
#include <linux/workqueue.h>

#include "virtio_mem_kunit.h"

/*
 * When the driver tries again
 */

/* Let the device answer BUSY from now on. */
static void make_device_busy(struct vmt *vmt)
{
	virtio_mem_device_except(&vmt->dev, &(struct virtio_mem_exception){
		.nth = 1, .last = UINT_MAX, .answer = VIRTIO_MEM_RESP_BUSY,
	});
}

static void expect_retry_in(struct vmt *vmt, int seconds)
{
	struct hrtimer *timer = vmt_retry_timer(vmt);

	KUNIT_ASSERT_NOT_NULL_MSG(vmt->test, timer, "driver does not retry");
	KUNIT_EXPECT_EQ(vmt->test, seconds,
			DIV_ROUND_UP_ULL(hrtimer_get_remaining(timer),
					 NSEC_PER_SEC));
}

/*
 * virtio-mem tries again after 50 seconds what the device was too busy for, then
 * after twice that time and so on, but at least every 300 seconds; and the next
 * time, it begins with 50 seconds again.
 */
static void driver_waits_longer_each_time(struct kunit *test)
{
	static const int seconds[] = { 50, 100, 200, 300, 300 };
	struct vmt *vmt = vmt_probe(test, MMOP_OFFLINE, 1, 0);
	int i;

	make_device_busy(vmt);
	vmt_resize(vmt, VMT_SB);
	for (i = 0; i < ARRAY_SIZE(seconds); i++) {
		KUNIT_EXPECT_EQ(test, i + 1, vmt->dev.nr_since);
		expect_retry_in(vmt, seconds[i]);
		if (i == ARRAY_SIZE(seconds) - 1)
			virtio_mem_device_except(&vmt->dev, NULL);
		vmt_expire_retry_timer(vmt);
	}
	vmt_expect_plugged(vmt, VMT_SB);
	KUNIT_EXPECT_NULL(test, vmt_retry_timer(vmt));

	make_device_busy(vmt);
	vmt_resize(vmt, 2 * VMT_SB);
	expect_retry_in(vmt, 50);
}

/*
 * If the requested size changes before virtio-mem tries again, it does at once
 * what is requested, and does not try again after that.
 */
static void driver_does_not_wait_for_another_size(struct kunit *test)
{
	struct vmt *vmt = vmt_probe(test, MMOP_OFFLINE, 1, 0);

	make_device_busy(vmt);
	vmt_resize(vmt, 2 * VMT_SB);
	KUNIT_ASSERT_NOT_NULL(test, vmt_retry_timer(vmt));
	virtio_mem_device_except(&vmt->dev, NULL);
	vmt_resize(vmt, VMT_SB);
	vmt_expect_plugged(vmt, VMT_SB);
	KUNIT_EXPECT_NULL(test, vmt_retry_timer(vmt));
}

/*
 * virtio-mem does not try again later if the device answers ERROR, or if the
 * usable region has no room: not before the device changes that.
 */
static void driver_does_not_retry_in_vain(struct kunit *test)
{
	struct vmt *vmt = vmt_new(test, MMOP_OFFLINE, 2, VMT_SB);

	/* The usable region ends in the middle of the second memory block. */
	vmt->dev.extent = 0;
	virtio_mem_device_unplug_all(&vmt->dev);
	vmt_bind(vmt, VMT_MB + VMT_MB / 2);
	vmt_expect_plugged(vmt, VMT_MB);
	KUNIT_EXPECT_NULL(test, vmt_retry_timer(vmt));
	virtio_mem_device_except(&vmt->dev, &(struct virtio_mem_exception){
		.nth = 1, .answer = VIRTIO_MEM_RESP_ERROR,
	});
	vmt_resize(vmt, 0);
	KUNIT_EXPECT_EQ(test, 1, vmt->dev.nr_since);
	KUNIT_EXPECT_NULL(test, vmt_retry_timer(vmt));
}

/* virtio-mem does not try again once it is unloaded. */
static void unloading_stops_the_retry_timer(struct kunit *test)
{
	struct vmt *vmt = vmt_probe(test, MMOP_OFFLINE, 1, 0);
	struct hrtimer *timer;

	make_device_busy(vmt);
	vmt_resize(vmt, VMT_SB);
	timer = vmt_retry_timer(vmt);
	KUNIT_ASSERT_NOT_NULL(test, timer);
	KUNIT_EXPECT_TRUE(test, vmt_timer_is_queued(timer));
	vmt_unbind(vmt);
	KUNIT_EXPECT_FALSE(test, vmt_timer_is_queued(timer));
}

/*
 * If only a part of an offline memory block can be unplugged because the device
 * becomes busy, virtio-mem knows which part that is, and unplugs the rest and
 * removes the memory block when it tries again.
 */
static void half_unplugged_offline_block_is_removed_later(struct kunit *test)
{
	struct vmt *vmt = vmt_probe(test, vmt_any_zone(), 1, VMT_MB);
	struct page *page = vmt_use_page(vmt, VMT_MB - 1);

	/* Unplug the last sub-block but one, so that it takes two requests. */
	vmt_resize(vmt, VMT_MB - VMT_SB);
	vmt_stop_using_page(vmt, page);
	KUNIT_ASSERT_EQ(test, 0, vmt_offline(vmt, 0));

	virtio_mem_device_except(&vmt->dev, &(struct virtio_mem_exception){
		.nth = 2, .answer = VIRTIO_MEM_RESP_BUSY,
	});
	vmt_resize(vmt, 0);
	KUNIT_EXPECT_EQ(test, 2, vmt->dev.nr_since);
	vmt_expect_plugged(vmt, VMT_MB - 2 * VMT_SB);

	vmt_expire_retry_timer(vmt);
	KUNIT_EXPECT_EQ(test, 3, vmt->dev.nr_since);
	vmt_expect_plugged(vmt, 0);
	KUNIT_EXPECT_FALSE(test, vmt_is_present(vmt, 0));
}

/*
 * How often the driver tries to take a page
 */

/**
 * struct stubborn_balloon - a page that cannot be migrated yet
 * @dev: a balloon that has the page
 * @nr_tries: how often it was to be migrated
 * @nr_refused: how often it cannot
 */
struct stubborn_balloon {
	struct balloon_dev_info dev;
	unsigned int nr_tries;
	unsigned int nr_refused;
};

static int migrate_stubborn_page(struct balloon_dev_info *dev,
				 struct page *newpage, struct page *page,
				 enum migrate_mode mode)
{
	struct stubborn_balloon *balloon =
		container_of(dev, struct stubborn_balloon, dev);

	if (balloon->nr_tries++ < balloon->nr_refused)
		return -EBUSY;
	balloon_page_replace(dev, newpage, page);
	return 0;
}

static void deflate_balloon(void *arg)
{
	struct stubborn_balloon *balloon = arg;

	__free_page(balloon_page_dequeue(&balloon->dev));
}

/* Inflate a balloon by a page of the device; migration copies no contents. */
static struct stubborn_balloon *inflate_balloon(struct vmt *vmt, u64 offset)
{
	const unsigned long pfn = vmt_pfn(vmt, offset);
	struct stubborn_balloon *balloon;
	struct kunit *test = vmt->test;

	if (!BALLOON_PAGES_MIGRATE)
		kunit_skip(test, "pages in balloons are not migrated");

	balloon = kunit_kzalloc(test, sizeof(*balloon), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, balloon);
	balloon_devinfo_init(&balloon->dev);
	balloon->dev.migratepage = migrate_stubborn_page;
	KUNIT_ASSERT_EQ(test, 0,
			alloc_contig_range(pfn, pfn + 1, ACR_FLAGS_NONE,
					   GFP_KERNEL));
	balloon_page_enqueue(&balloon->dev, pfn_to_page(pfn));
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, deflate_balloon, balloon));
	return balloon;
}

/* How often does alloc_contig_range() try to migrate a page by itself? */
static unsigned int tries_of_one_allocation(struct vmt *vmt,
					    struct stubborn_balloon *balloon)
{
	const unsigned long pfn = vmt_pfn(vmt, VMT_MB - VMT_SB);
	unsigned int nr_tries;

	balloon->nr_refused = UINT_MAX;
	KUNIT_ASSERT_EQ(vmt->test, -EBUSY,
			alloc_contig_range(pfn, pfn + PHYS_PFN(VMT_SB),
					   ACR_FLAGS_NONE, GFP_KERNEL));
	nr_tries = balloon->nr_tries;
	balloon->nr_tries = 0;
	KUNIT_ASSERT_GE(vmt->test, nr_tries, 1);
	return nr_tries;
}

/*
 * virtio-mem unplugs a sub-block in ZONE_MOVABLE even if a page in it can only
 * be migrated when it tries to allocate the sub-block for the fifth time.
 */
static void page_pinned_for_a_moment_does_not_keep_a_subblock(struct kunit *test)
{
	struct vmt *vmt = vmt_probe(test, MMOP_ONLINE_MOVABLE, 1, VMT_MB);
	struct stubborn_balloon *balloon = inflate_balloon(vmt, VMT_MB - 1);

	balloon->nr_refused = 4 * tries_of_one_allocation(vmt, balloon);
	vmt_resize(vmt, VMT_MB - VMT_SB);
	KUNIT_EXPECT_EQ(test, balloon->nr_refused + 1, balloon->nr_tries);
	vmt_expect_plugged(vmt, VMT_MB - VMT_SB);
	vmt_expect_pages(vmt, VMT_MB - VMT_SB, VMT_SB, PHANTOM_SKIPPABLE);
}

/*
 * virtio-mem gives up a sub-block with a page that cannot be migrated after
 * five attempts in ZONE_MOVABLE and a single one in a kernel zone, and unplugs
 * another sub-block instead.
 */
static void driver_gives_up_a_pinned_page(struct kunit *test)
{
	const enum mmop online_type = vmt_online_type(test);
	const unsigned int nr = online_type == MMOP_ONLINE_MOVABLE ? 5 : 1;
	struct vmt *vmt = vmt_probe(test, online_type, 1, VMT_MB);
	struct stubborn_balloon *balloon = inflate_balloon(vmt, VMT_MB - 1);
	const unsigned int nr_tries = tries_of_one_allocation(vmt, balloon);

	vmt_resize(vmt, VMT_MB - VMT_SB);
	KUNIT_EXPECT_EQ(test, nr * nr_tries, balloon->nr_tries);
	KUNIT_EXPECT_EQ(test, VMT_MB - VMT_SB,
			virtio_mem_device_plugged_size(&vmt->dev));
	vmt_expect_pages(vmt, VMT_MB - 2 * VMT_SB, VMT_SB, PHANTOM_SKIPPABLE);
}

/**
 * struct mode_param - how the driver uses memory
 * @desc: in words
 * @block_size: the size of device blocks, a function because it depends on the
 *	system
 */
struct mode_param {
	const char *desc;
	u64 (*block_size)(void);
};

static u64 pageblock_size(void)
{
	return VMT_SB;
}

static u64 memory_block_size(void)
{
	return VMT_MB;
}

static const struct mode_param mode_params[] = {
	{ "sub-block mode", pageblock_size },
	{ "big-block mode", memory_block_size },
};

KUNIT_ARRAY_PARAM_DESC(mode, mode_params, desc);

/* How often the driver has read the requested size, while this is tested. */
static unsigned int nr_size_reads;

/*
 * The driver reads that it should unplug memory, and right after that the device
 * tells it that something has changed. What that is it learns if it looks.
 */
static void change_after_read(struct virtio_mem_device *dev, unsigned int offset)
{
	if (offset != offsetof(struct virtio_mem_config, requested_size))
		return;
	if (++nr_size_reads == 1)
		virtio_config_changed(&dev->vk.vdev);
	else if (nr_size_reads == 2)
		virtio_mem_device_resize(dev, VMT_MB);
}

/*
 * If the device takes back a request to unplug memory before virtio-mem has
 * begun with it, the driver takes no page away from the system.
 */
static void driver_takes_no_memory_that_it_may_keep(struct kunit *test)
{
	const struct mode_param *param = test->param_value;
	struct vmt *vmt = vmt_new(test, vmt_any_zone(), 1, param->block_size());
	struct stubborn_balloon *balloon;
	struct vmt_observer *observer;

	vmt_bind(vmt, VMT_MB);
	balloon = inflate_balloon(vmt, VMT_MB - 1);
	observer = vmt_register_observer(vmt, -1);
	nr_size_reads = 0;
	vmt->dev.config_read = change_after_read;
	vmt_resize(vmt, 0);
	KUNIT_EXPECT_GE(test, nr_size_reads, 2);
	KUNIT_EXPECT_EQ(test, 0, balloon->nr_tries);
	KUNIT_EXPECT_EQ(test, 0, observer->nr_going);
	KUNIT_EXPECT_EQ(test, 0, vmt->dev.nr_requests[VIRTIO_MEM_REQ_UNPLUG]);
	KUNIT_EXPECT_EQ(test, VMT_MB, virtio_mem_device_plugged_size(&vmt->dev));
}

/*
 * What others do to memory of the device
 */

/**
 * struct veto_param - an error of a memory notifier
 * @desc: in words
 * @error: the error
 * @is_expected: whether the driver expects it; it warns of others
 * @block_size: the size of device blocks
 */
struct veto_param {
	const char *desc;
	int error;
	bool is_expected;
	u64 (*block_size)(void);
};

static const struct veto_param veto_params[] = {
	{ "-EBUSY, sub-block mode", -EBUSY, true, pageblock_size },
	{ "-ENOMEM, sub-block mode", -ENOMEM, true, pageblock_size },
	{ "-EAGAIN, sub-block mode", -EAGAIN, false, pageblock_size },
	{ "-ENOMEM, big-block mode", -ENOMEM, true, memory_block_size },
	{ "-EAGAIN, big-block mode", -EAGAIN, false, memory_block_size },
	{ "-EINVAL, big-block mode", -EINVAL, false, memory_block_size },
};

KUNIT_ARRAY_PARAM_DESC(veto, veto_params, desc);

/* The warnings of the driver's worker, which is another task than the test. */
static struct kunit_suppressed_warning *worker_warnings;

static void suppress_worker_warnings(struct virtio_mem_device *dev,
				     unsigned int offset)
{
	if (!worker_warnings)
		worker_warnings = kunit_start_suppress_warning(dev->vk.test);
}

static void end_suppress_worker_warnings(void *test)
{
	if (worker_warnings)
		kunit_end_suppress_warning(test, worker_warnings);
	worker_warnings = NULL;
}

/*
 * Whichever error makes a memory block of virtio-mem stay online, the driver
 * goes on, removes the memory block when it tries again, and warns only of an
 * error that nobody should return.
 */
static void driver_survives_every_error_of_offlining(struct kunit *test)
{
	const struct veto_param *param = test->param_value;
	struct vmt *vmt = vmt_new(test, vmt_any_zone(), 1, param->block_size());
	struct vmt_observer *observer;
	int nr_warnings;

	vmt_bind(vmt, VMT_MB);
	observer = vmt_register_observer(vmt, -1);
	observer->fake_offline = true;
	observer->veto = param->error;
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test,
						  end_suppress_worker_warnings,
						  test));
	vmt->dev.config_read = suppress_worker_warnings;
	vmt_resize(vmt, 0);
	vmt->dev.config_read = NULL;
	nr_warnings = kunit_suppressed_warning_count(worker_warnings);
	kunit_release_action(test, end_suppress_worker_warnings, test);

	if (param->is_expected)
		KUNIT_EXPECT_EQ(test, 0, nr_warnings);
	else
		KUNIT_EXPECT_LE(test, 1, nr_warnings);
	KUNIT_EXPECT_LE(test, 1, observer->nr_going);
	KUNIT_EXPECT_EQ(test, observer->nr_going, observer->nr_cancelled);
	KUNIT_EXPECT_TRUE(test, vmt_is_online(vmt, 0));
	/* A big block is unplugged last, sub-blocks are unplugged first. */
	vmt_expect_plugged(vmt, vmt->dev.block_size == VMT_MB ? VMT_MB : 0);

	observer->veto = 0;
	vmt_expire_retry_timer(vmt);
	vmt_expect_plugged(vmt, 0);
	KUNIT_EXPECT_FALSE(test, vmt_is_present(vmt, 0));
}

/*
 * With unplug_online=N, virtio-mem leaves big blocks alone that are online, and
 * unplugs one as soon as somebody has offlined it.
 */
static void online_big_blocks_stay_if_told_so(struct kunit *test)
{
	struct vmt *vmt = vmt_new(test, vmt_any_zone(), 2, VMT_MB);
	struct vmt_observer *observer;

	phantom_set_param(test, "virtio_mem.unplug_online", "N");
	vmt_bind(vmt, 2 * VMT_MB);
	observer = vmt_register_observer(vmt, -1);
	vmt_resize(vmt, 0);
	KUNIT_EXPECT_EQ(test, 0, observer->nr_going);
	KUNIT_EXPECT_NULL(test, vmt_retry_timer(vmt));
	vmt_expect_plugged(vmt, 2 * VMT_MB);

	KUNIT_ASSERT_EQ(test, 0, vmt_offline(vmt, 0));
	vmt_settle(vmt);
	vmt_expect_plugged(vmt, VMT_MB);
	KUNIT_EXPECT_FALSE(test, vmt_is_present(vmt, 0));
	KUNIT_EXPECT_TRUE(test, vmt_is_online(vmt, 1));
}

/*
 * virtio-mem unplugs big blocks that are offline first, then those in
 * ZONE_MOVABLE, and those in a kernel zone last.
 */
static void big_blocks_shrink_in_order(struct kunit *test)
{
	struct vmt *vmt;

	vmt_require_zone(test, MMOP_ONLINE_KERNEL);
	vmt = vmt_new(test, MMOP_ONLINE_MOVABLE, 3, VMT_MB);
	vmt_bind(vmt, 3 * VMT_MB);
	KUNIT_ASSERT_EQ(test, 0, vmt_offline(vmt, 2));
	KUNIT_ASSERT_EQ(test, 0, vmt_online(vmt, 2, MMOP_ONLINE_KERNEL));
	KUNIT_ASSERT_EQ(test, 0, vmt_offline(vmt, 0));

	vmt_resize(vmt, 2 * VMT_MB);
	KUNIT_EXPECT_FALSE(test, vmt_is_present(vmt, 0));
	vmt_expect_plugged(vmt, 2 * VMT_MB);
	vmt_resize(vmt, VMT_MB);
	KUNIT_EXPECT_FALSE(test, vmt_is_present(vmt, 1));
	KUNIT_EXPECT_TRUE(test, vmt_is_online(vmt, 2));
	vmt_expect_plugged(vmt, VMT_MB);
	vmt_resize(vmt, 0);
	vmt_expect_plugged(vmt, 0);
}

/**
 * struct vmt_work - something that is done in another task
 * @work: the work
 * @vmt: the fixture
 * @fn: what is done
 * @task: who does it, as soon as it has begun
 * @done: whether it was done
 * @ret: the result
 */
struct vmt_work {
	struct work_struct work;
	struct vmt *vmt;
	int (*fn)(struct vmt *vmt);
	struct task_struct *task;
	bool done;
	int ret;
};

static int unbind(struct vmt *vmt)
{
	vmt_unbind(vmt);
	return 0;
}

static int online_movable(struct vmt *vmt)
{
	return vmt_online(vmt, 0, MMOP_ONLINE_MOVABLE);
}

static void vmt_work_fn(struct work_struct *work)
{
	struct vmt_work *w = container_of(work, struct vmt_work, work);

	WRITE_ONCE(w->task, current);
	w->ret = w->fn(w->vmt);
	WRITE_ONCE(w->done, true);
}

static void finish_vmt_work(void *arg)
{
	struct vmt_work *w = arg;

	virtio_mem_device_release(&w->vmt->dev);
	flush_work(&w->work);
}

static struct vmt_work *start_vmt_work(struct vmt *vmt,
				       int (*fn)(struct vmt *vmt))
{
	struct vmt_work *w = kunit_kzalloc(vmt->test, sizeof(*w), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(vmt->test, w);
	INIT_WORK(&w->work, vmt_work_fn);
	w->vmt = vmt;
	w->fn = fn;
	schedule_work(&w->work);
	KUNIT_ASSERT_EQ(vmt->test, 0,
			kunit_add_action_or_reset(vmt->test, finish_vmt_work, w));
	return w;
}

/* Is it in the midst of that, asleep, and was not awake since an earlier look? */
static bool vmt_work_sleeps(struct vmt_work *w, unsigned long *nr_switches)
{
	struct task_struct *task = READ_ONCE(w->task);
	unsigned long before = *nr_switches;

	if (!task)
		return false;
	*nr_switches = READ_ONCE(task->nvcsw);
	return *nr_switches == before &&
	       READ_ONCE(task->__state) == TASK_UNINTERRUPTIBLE;
}

/*
 * Wait until the work has got to where it waits for somebody, which is a matter
 * of luck if the machine is busy, or until it is done. Return true if it waits.
 */
static bool vmt_work_waits(struct vmt_work *w)
{
	unsigned long nr_switches = ULONG_MAX;
	bool sleeps, done;

	return !read_poll_timeout(vmt_work_sleeps, sleeps,
				  (done = READ_ONCE(w->done)) || sleeps,
				  USEC_PER_MSEC, 5 * USEC_PER_SEC, false, w,
				  &nr_switches) && !done;
}

/**
 * struct held_param - the last request of the driver
 * @desc: in words
 * @plug: whether the driver plugs memory, otherwise it unplugs some
 */
struct held_param {
	const char *desc;
	bool plug;
};

static const struct held_param held_params[] = {
	{ "UNPLUG, of a part of a memory block", false },
	{ "PLUG, of a new memory block", true },
};

KUNIT_ARRAY_PARAM_DESC(held, held_params, desc);

/* Request a size, and unload the driver while it waits for its first answer. */
static struct vmt_work *unbind_while_held(struct vmt *vmt, u64 size)
{
	struct vmt_work *work;

	virtio_mem_device_except(&vmt->dev, &(struct virtio_mem_exception){
		.nth = 1, .answer = VIRTIO_MEM_AS_SPECIFIED, .hold = true,
	});
	virtio_mem_device_resize(&vmt->dev, size);
	KUNIT_ASSERT_TRUE(vmt->test, virtio_mem_device_wait_held(&vmt->dev));
	work = start_vmt_work(vmt, unbind);
	KUNIT_EXPECT_TRUE(vmt->test, vmt_work_waits(work));
	return work;
}

/*
 * Unloading virtio-mem waits until the device has answered the last request, and
 * after that, pages match what is plugged.
 *
 * The driver has a memory block locked while it unplugs some of it, but not
 * while it plugs a new one.
 */
static void unloading_waits_for_the_last_answer(struct kunit *test)
{
	const struct held_param *param = test->param_value;
	const u64 size = param->plug ? VMT_SB : VMT_MB - VMT_SB;
	struct vmt *vmt = vmt_probe(test, vmt_any_zone(), 1,
				    param->plug ? 0 : VMT_MB);
	struct vmt_work *work;

	work = unbind_while_held(vmt, size);

	virtio_mem_device_release(&vmt->dev);
	flush_work(&work->work);
	KUNIT_EXPECT_EQ(test, 1, vmt->dev.nr_since);
	KUNIT_EXPECT_EQ(test, size, virtio_mem_device_plugged_size(&vmt->dev));
	KUNIT_EXPECT_EQ(test, !param->plug, vmt_is_online(vmt, 0));
	if (!param->plug)
		vmt_expect_block(vmt, 0, true);
}

/* So often does the driver try again what it is refused before it is let go. */
#define ENDLESS	100

/*
 * Unloading virtio-mem ends, though the device refuses what the driver requests, as
 * it wants less by then, and nobody tells the driver any more.
 */
static void unloading_ends_though_requests_are_refused(struct kunit *test)
{
	const u64 size = VMT_MB + VMT_SB;
	struct vmt *vmt = vmt_probe(test, vmt_any_zone(), 2, 0);
	struct vmt_work *work;
	unsigned int nr;

	work = unbind_while_held(vmt, size);

	virtio_mem_device_resize(&vmt->dev, VMT_MB);
	virtio_mem_device_release(&vmt->dev);
	read_poll_timeout(READ_ONCE, nr, READ_ONCE(work->done) || nr >= ENDLESS,
			  USEC_PER_MSEC, 5 * USEC_PER_SEC, false, vmt->dev.nr_since);
	/* Let it have what it requests, so that it ends. */
	virtio_mem_device_resize(&vmt->dev, size);
	flush_work(&work->work);
	if (nr >= ENDLESS)
		kunit_known_bug(test, "virtio-mem-stop-when-removed",
				"the driver went on requesting what it was refused");
	KUNIT_EXPECT_EQ(test, 2, vmt->dev.nr_since);
	KUNIT_EXPECT_EQ(test, VMT_MB, virtio_mem_device_plugged_size(&vmt->dev));
}

static void thaw_offline_pages(void *unused)
{
	page_offline_thaw();
}

/*
 * virtio-mem may sleep while it keeps pages offline that are onlined, as it
 * waits for those who rely on it that no page becomes PageOffline().
 */
static void onlining_may_sleep(struct kunit *test)
{
	const bool has_warned = test_taint(TAINT_WARN);
	struct vmt *vmt = vmt_probe(test, MMOP_OFFLINE, 1, VMT_MB / 2);
	struct vmt_work *work;

	page_offline_freeze();
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, thaw_offline_pages, NULL));
	work = start_vmt_work(vmt, online_movable);
	KUNIT_EXPECT_TRUE(test, vmt_work_waits(work));
	kunit_release_action(test, thaw_offline_pages, NULL);
	flush_work(&work->work);
	KUNIT_EXPECT_EQ(test, 0, work->ret);
	/* The kernel says so when somebody sleeps who must not. */
	KUNIT_EXPECT_EQ(test, has_warned, test_taint(TAINT_WARN));
	vmt_expect_plugged(vmt, VMT_MB / 2);
}

static struct kunit_case virtio_mem_retry_cases[] = {
	KUNIT_CASE(driver_waits_longer_each_time),
	KUNIT_CASE(driver_does_not_wait_for_another_size),
	KUNIT_CASE(driver_does_not_retry_in_vain),
	KUNIT_CASE(unloading_stops_the_retry_timer),
	KUNIT_CASE(half_unplugged_offline_block_is_removed_later),
	KUNIT_CASE(page_pinned_for_a_moment_does_not_keep_a_subblock),
	KUNIT_CASE_PARAM(driver_gives_up_a_pinned_page, zone_gen_params),
	KUNIT_CASE_PARAM(driver_takes_no_memory_that_it_may_keep,
			 mode_gen_params),
	KUNIT_CASE_PARAM(driver_survives_every_error_of_offlining,
			 veto_gen_params),
	KUNIT_CASE(online_big_blocks_stay_if_told_so),
	KUNIT_CASE(big_blocks_shrink_in_order),
	KUNIT_CASE_PARAM(unloading_waits_for_the_last_answer, held_gen_params),
	KUNIT_CASE(unloading_ends_though_requests_are_refused),
	KUNIT_CASE(onlining_may_sleep),
	{}
};

static struct kunit_suite virtio_mem_retry_suite = {
	.name = "virtio_mem_retry",
	.init = vmt_init,
	.test_cases = virtio_mem_retry_cases,
};

kunit_test_suite(virtio_mem_retry_suite);

MODULE_DESCRIPTION("KUnit tests for what virtio-mem cannot do at once");
MODULE_LICENSE("GPL");
