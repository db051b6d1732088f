// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests for the virtio-mem driver: suspending and resuming the system, as
 * far as the driver takes part, and hibernation.
 */
#include <kunit/known_bug.h>
#include <kunit/test.h>
#include <linux/delay.h>
#include <linux/suspend.h>
#include <linux/virtio_config.h>
#include <linux/workqueue.h>

#include "virtio_mem_kunit.h"

/**
 * struct suspend_param - how the system suspends, and whether it may
 * @desc: in words
 * @state: how the system suspends
 * @plugged: whether memory is plugged
 * @persistent: whether the device keeps its memory
 * @allowed: whether the system may suspend
 */
struct suspend_param {
	const char *desc;
	suspend_state_t state;
	bool plugged;
	bool persistent;
	bool allowed;
};

static const struct suspend_param suspend_params[] = {
	{ "to memory, nothing plugged", PM_SUSPEND_MEM, false, false, true },
	{ "to memory, plugged", PM_SUSPEND_MEM, true, false, false },
	{ "to memory, plugged, the device keeps it", PM_SUSPEND_MEM, true, true,
	  true },
	{ "standby, plugged", PM_SUSPEND_STANDBY, true, false, false },
	{ "to idle, plugged", PM_SUSPEND_TO_IDLE, true, false, true },
};

KUNIT_ARRAY_PARAM_DESC(suspend, suspend_params, desc);

/**
 * struct hibernation_param - what the system is about to do
 * @desc: in words
 * @prepare: how notifiers hear of it
 * @post: how notifiers hear that it is over
 * @allowed: whether the system may do it
 */
struct hibernation_param {
	const char *desc;
	unsigned long prepare;
	unsigned long post;
	bool allowed;
};

static const struct hibernation_param hibernation_params[] = {
	{ "hibernation", PM_HIBERNATION_PREPARE, PM_POST_HIBERNATION, false },
	{ "restoring an image", PM_RESTORE_PREPARE, PM_POST_RESTORE, false },
	{ "suspending", PM_SUSPEND_PREPARE, PM_POST_SUSPEND, true },
};

KUNIT_ARRAY_PARAM_DESC(hibernation, hibernation_params, desc);

#ifdef CONFIG_SUSPEND
#include "../../../kernel/power/power.h"

static int virtio_mem_sleep_init(struct kunit *test)
{
	return vmt_init(test);
}

static void thaw_driver(void *unused)
{
	pm_suspend_target_state = PM_SUSPEND_ON;
	thaw_workqueues();
}

/* Have the system be about to suspend: nothing runs in freezable workqueues. */
static void begin_suspend(struct vmt *vmt, suspend_state_t state)
{
	freeze_workqueues_begin();
	pm_suspend_target_state = state;
	KUNIT_ASSERT_EQ(vmt->test, 0,
			kunit_add_action_or_reset(vmt->test, thaw_driver, NULL));
	KUNIT_ASSERT_FALSE(vmt->test, freeze_workqueues_busy());
}

static void end_suspend(struct vmt *vmt)
{
	kunit_release_action(vmt->test, thaw_driver, NULL);
	vmt_settle(vmt);
}

/*
 * virtio-mem lets the system suspend if nothing is plugged, if the device keeps
 * its memory, or if the system only suspends to idle; and whether it does or
 * not, the driver follows a size that is requested meanwhile.
 */
static void system_suspends_if_no_memory_gets_lost(struct kunit *test)
{
	const struct suspend_param *param = test->param_value;
	const u64 size = param->plugged ? VMT_MB / 2 : 0;
	struct vmt *vmt = vmt_new(test, vmt_any_zone(), 1, VMT_SB);
	struct virtio_device *vdev = &vmt->dev.vk.vdev;
	unsigned long nr_requests;

	if (param->persistent)
		vmt->dev.vk.features |= BIT_ULL(VIRTIO_MEM_F_PERSISTENT_SUSPEND);
	vmt_bind(vmt, size);
	nr_requests = vmt->dev.nr_requests[VIRTIO_MEM_REQ_PLUG];

	begin_suspend(vmt, param->state);
	KUNIT_EXPECT_EQ(test, param->allowed ? 0 : -EPERM,
			virtio_device_freeze(vdev));
	KUNIT_EXPECT_EQ(test, !param->allowed,
			!!(vmt->dev.vk.status & VIRTIO_CONFIG_S_DRIVER_OK));
	/* A driver that is asleep does not hear of it, and has to look. */
	if (param->allowed)
		vmt->dev.config.requested_size = cpu_to_le64(VMT_MB);
	else
		virtio_mem_device_resize(&vmt->dev, VMT_MB);
	if (param->allowed)
		KUNIT_EXPECT_EQ(test, 0, virtio_device_restore(vdev));
	KUNIT_EXPECT_EQ(test, nr_requests,
			vmt->dev.nr_requests[VIRTIO_MEM_REQ_PLUG]);
	end_suspend(vmt);
	KUNIT_EXPECT_EQ(test, 0, vmt->dev.nr_requests[VIRTIO_MEM_REQ_UNPLUG_ALL]);
	vmt_expect_plugged(vmt, VMT_MB);
}

/*
 * When the system resumes, virtio-mem tries again what it wanted to try again
 * meanwhile, without an error.
 */
static void retry_during_suspend_is_made_up_for(struct kunit *test)
{
	struct vmt *vmt = vmt_probe(test, MMOP_OFFLINE, 1, 0);
	struct virtio_device *vdev = &vmt->dev.vk.vdev;

	virtio_mem_device_except(&vmt->dev, &(struct virtio_mem_exception){
		.nth = 1, .answer = VIRTIO_MEM_RESP_BUSY,
	});
	vmt_resize(vmt, VMT_SB);
	KUNIT_EXPECT_EQ(test, 1, vmt->dev.nr_since);

	begin_suspend(vmt, PM_SUSPEND_MEM);
	KUNIT_ASSERT_EQ(test, 0, virtio_device_freeze(vdev));
	hrtimer_start(vmt_retry_timer(vmt), 0, HRTIMER_MODE_REL);
	fsleep(2 * USEC_PER_MSEC);
	KUNIT_EXPECT_NULL(test, vmt_retry_timer(vmt));
	KUNIT_EXPECT_EQ(test, 1, vmt->dev.nr_since);
	KUNIT_ASSERT_EQ(test, 0, virtio_device_restore(vdev));
	KUNIT_EXPECT_EQ(test, 1, vmt->dev.nr_since);
	end_suspend(vmt);
	vmt_expect_plugged(vmt, VMT_SB);
}

static int find_no_vqs(struct virtio_device *vdev, unsigned int nvqs,
		       struct virtqueue *vqs[],
		       struct virtqueue_info vqs_info[],
		       struct irq_affinity *desc)
{
	return -ENOMEM;
}

/*
 * Suspend and resume, without memory for virtqueues. Return whether the driver
 * used the device after that, for which it had a reason.
 */
static bool resume_without_virtqueue(struct vmt *vmt)
{
	struct virtio_device *vdev = &vmt->dev.vk.vdev;
	const struct virtio_config_ops *config = vdev->config;
	struct virtio_config_ops no_memory = *config;
	unsigned long activity;

	no_memory.find_vqs = find_no_vqs;
	begin_suspend(vmt, PM_SUSPEND_MEM);
	virtio_mem_device_resize(&vmt->dev,
				 le64_to_cpu(vmt->dev.config.requested_size));
	KUNIT_EXPECT_EQ(vmt->test, 0, virtio_device_freeze(vdev));
	vdev->config = &no_memory;
	KUNIT_EXPECT_EQ(vmt->test, -ENOMEM, virtio_device_restore(vdev));
	vdev->config = config;
	activity = READ_ONCE(vmt->dev.activity);
	end_suspend(vmt);
	return READ_ONCE(vmt->dev.activity) != activity;
}

/*
 * If virtio-mem does not get a virtqueue when the system resumes, it does not
 * use the device any more, whatever it wanted to try again, and can be unloaded.
 */
static void driver_gives_up_without_a_virtqueue(struct kunit *test)
{
	struct vmt *vmt = vmt_probe(test, MMOP_OFFLINE, 1, 0);
	const bool in_use = resume_without_virtqueue(vmt);

	/* There was nothing to be requested, so this did no harm yet. */
	if (in_use)
		kunit_known_bug(test, "virtio-mem-leave-unrestored-device",
				"the driver used a device that was not restored");
	KUNIT_ASSERT_FALSE(test, in_use);

	vmt_remove(vmt);
	vmt_bind(vmt, 0);
	virtio_mem_device_except(&vmt->dev, &(struct virtio_mem_exception){
		.nth = 1, .answer = VIRTIO_MEM_RESP_BUSY,
	});
	vmt_resize(vmt, VMT_SB);
	KUNIT_EXPECT_FALSE(test, resume_without_virtqueue(vmt));
	KUNIT_EXPECT_NULL(test, vmt_retry_timer(vmt));
	KUNIT_EXPECT_EQ(test, 1, vmt->dev.nr_since);
	vmt_expect_plugged(vmt, 0);
	vmt_unbind(vmt);
}

static int prepare(const struct hibernation_param *param)
{
	int ret = pm_notifier_call_chain_robust(param->prepare, param->post);

	if (!ret)
		pm_notifier_call_chain(param->post);
	return ret;
}

/*
 * As long as virtio-mem has a device, even if nothing is plugged, the system
 * cannot hibernate nor restore an image, but it can suspend.
 */
static void driver_refuses_hibernation(struct kunit *test)
{
	const struct hibernation_param *param = test->param_value;
	struct vmt *vmt;

	if (prepare(param))
		kunit_skip(test, "somebody else refuses that");
	vmt = vmt_probe(test, MMOP_OFFLINE, 1, 0);
	KUNIT_EXPECT_EQ(test, param->allowed, !prepare(param));
	vmt_remove(vmt);
	KUNIT_EXPECT_EQ(test, 0, prepare(param));
}

#else

static int virtio_mem_sleep_init(struct kunit *test)
{
	kunit_skip(test, "needs SUSPEND");
}

static void system_suspends_if_no_memory_gets_lost(struct kunit *test)
{
}

static void retry_during_suspend_is_made_up_for(struct kunit *test)
{
}

static void driver_gives_up_without_a_virtqueue(struct kunit *test)
{
}

static void driver_refuses_hibernation(struct kunit *test)
{
}

#endif

static struct kunit_case virtio_mem_sleep_cases[] = {
	KUNIT_CASE_PARAM(system_suspends_if_no_memory_gets_lost,
			 suspend_gen_params),
	KUNIT_CASE(retry_during_suspend_is_made_up_for),
	KUNIT_CASE(driver_gives_up_without_a_virtqueue),
	KUNIT_CASE_PARAM(driver_refuses_hibernation, hibernation_gen_params),
	{}
};

static struct kunit_suite virtio_mem_sleep_suite = {
	.name = "virtio_mem_sleep",
	.init = virtio_mem_sleep_init,
	.test_cases = virtio_mem_sleep_cases,
};

kunit_test_suite(virtio_mem_sleep_suite);

MODULE_DESCRIPTION("KUnit tests for virtio-mem in a system that sleeps");
MODULE_LICENSE("GPL");
