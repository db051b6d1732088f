// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests for the virtio-mem driver: memory that goes online or offline
 * while the driver works, or has work left.
 */
#include <kunit/test.h>
#include <linux/delay.h>
#include <linux/iopoll.h>
#include <linux/workqueue.h>

#include "virtio_mem_kunit.h"

/**
 * struct hotplug_work - onlining or offlining in another task
 * @work: the work
 * @vmt: the fixture
 * @online: whether to online the first memory block, or to offline it
 * @ret: the result
 */
struct hotplug_work {
	struct work_struct work;
	struct vmt *vmt;
	bool online;
	int ret;
};

static void hotplug_work_fn(struct work_struct *work)
{
	struct hotplug_work *hotplug = container_of(work, struct hotplug_work,
						    work);

	hotplug->ret = hotplug->online ?
		       vmt_online(hotplug->vmt, 0, vmt_any_zone()) :
		       vmt_offline(hotplug->vmt, 0);
}

static void finish_hotplug_work(void *arg)
{
	struct hotplug_work *hotplug = arg;

	virtio_mem_device_release(&hotplug->vmt->dev);
	flush_work(&hotplug->work);
}

/*
 * Online or offline a memory block while the driver waits for the device to
 * answer a request about it. This has to wait for the driver, also after
 * another attempt was refused before the driver heard of it.
 */
static void hotplug_waits_for_the_driver(struct kunit *test, bool online)
{
	const u64 size = online ? VMT_MB : VMT_MB - VMT_SB;
	struct vmt_observer *veto, *after;
	struct hotplug_work *work;
	unsigned int nr;
	struct vmt *vmt;

	vmt = vmt_probe(test, online ? MMOP_OFFLINE : vmt_any_zone(), 1,
			online ? VMT_SB : VMT_MB);
	veto = vmt_register_observer(vmt, 1);
	after = vmt_register_observer(vmt, -1);
	work = kunit_kzalloc(test, sizeof(*work), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, work);
	INIT_WORK(&work->work, hotplug_work_fn);
	work->vmt = vmt;
	work->online = online;
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, finish_hotplug_work,
						  work));

	virtio_mem_device_except(&vmt->dev, &(struct virtio_mem_exception){
		.nth = 1, .answer = VIRTIO_MEM_AS_SPECIFIED, .hold = true,
	});
	virtio_mem_device_resize(&vmt->dev, size);
	KUNIT_ASSERT_TRUE(test, virtio_mem_device_wait_held(&vmt->dev));

	veto->veto = -EPERM;
	veto->veto_online = -EPERM;
	KUNIT_EXPECT_EQ(test, -EPERM, online ?
			vmt_online(vmt, 0, vmt_any_zone()) :
			vmt_offline(vmt, 0));
	veto->veto = 0;
	veto->veto_online = 0;

	schedule_work(&work->work);
	KUNIT_ASSERT_EQ(test, 0,
			read_poll_timeout(READ_ONCE, nr, nr == 2, 100,
					  USEC_PER_SEC, false, veto->nr_going));
	/* Give hotplug that does not wait for the driver enough time. */
	fsleep(USEC_PER_MSEC);
	KUNIT_EXPECT_EQ(test, 0, READ_ONCE(after->nr_going));
	virtio_mem_device_release(&vmt->dev);
	flush_work(&work->work);
	KUNIT_EXPECT_EQ(test, 0, work->ret);
	vmt_settle(vmt);
	vmt_expect_plugged(vmt, size);
}

/* Offlining a memory block waits while virtio-mem unplugs a part of it. */
static void offlining_waits_for_the_driver(struct kunit *test)
{
	hotplug_waits_for_the_driver(test, false);
}

/* Onlining a memory block waits while virtio-mem plugs more of it. */
static void onlining_waits_for_the_driver(struct kunit *test)
{
	hotplug_waits_for_the_driver(test, true);
}

/*
 * With unplug_online=N, virtio-mem unplugs memory as soon as the memory block
 * is offline.
 *
 * The driver could not do anything before, so there is no reason to wait any
 * longer.
 */
static void driver_unplugs_at_once_what_goes_offline(struct kunit *test)
{
	struct vmt *vmt;

	phantom_set_param(test, "virtio_mem.unplug_online", "N");
	vmt = vmt_probe(test, vmt_any_zone(), 1, VMT_MB);
	vmt_resize(vmt, VMT_MB / 2);
	vmt_expect_plugged(vmt, VMT_MB);
	KUNIT_ASSERT_EQ(test, 0, vmt_offline(vmt, 0));
	vmt_settle(vmt);
	vmt_expect_plugged(vmt, VMT_MB / 2);
}

/*
 * With unplug_online=Y, offlining a memory block does not make virtio-mem retry
 * earlier what the device was too busy for.
 *
 * The driver can unplug memory whether it is online or offline.
 */
static void offlining_does_not_trigger_an_early_retry(struct kunit *test)
{
	struct vmt *vmt = vmt_probe(test, vmt_any_zone(), 1, VMT_MB);

	virtio_mem_device_except(&vmt->dev, &(struct virtio_mem_exception){
		.nth = 1, .answer = VIRTIO_MEM_RESP_BUSY,
	});
	vmt_resize(vmt, VMT_MB / 2);
	vmt_expect_plugged(vmt, VMT_MB);
	KUNIT_ASSERT_EQ(test, 0, vmt_offline(vmt, 0));
	vmt_settle(vmt);
	vmt_expect_plugged(vmt, VMT_MB);
	vmt_retry(vmt);
	vmt_expect_plugged(vmt, VMT_MB / 2);
}

/*
 * When virtio-mem adds memory that goes online at once, that does not make it
 * retry earlier what the device was too busy for.
 *
 * The device is busy right after it let the driver add the memory.
 */
static void onlining_does_not_trigger_an_early_retry(struct kunit *test)
{
	struct vmt *vmt = vmt_new(test, vmt_any_zone(), 2, VMT_SB);

	virtio_mem_device_except(&vmt->dev, &(struct virtio_mem_exception){
		.nth = 2, .answer = VIRTIO_MEM_RESP_BUSY,
	});
	vmt_bind(vmt, VMT_MB + VMT_SB);
	vmt_expect_plugged(vmt, VMT_MB);
}

static struct kunit_case virtio_mem_hotplug_cases[] = {
	KUNIT_CASE(offlining_waits_for_the_driver),
	KUNIT_CASE(onlining_waits_for_the_driver),
	KUNIT_CASE(driver_unplugs_at_once_what_goes_offline),
	KUNIT_CASE(offlining_does_not_trigger_an_early_retry),
	KUNIT_CASE(onlining_does_not_trigger_an_early_retry),
	{}
};

static struct kunit_suite virtio_mem_hotplug_suite = {
	.name = "virtio_mem_hotplug",
	.init = vmt_init,
	.test_cases = virtio_mem_hotplug_cases,
};

kunit_test_suite(virtio_mem_hotplug_suite);

MODULE_DESCRIPTION("KUnit tests for hotplug while virtio-mem works");
MODULE_LICENSE("GPL");
