// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests that have others step in while the virtio-mem driver resizes
 * memory: in its work, at its requests and where it changes pages. See
 * include/kunit/schedule.h.
 *
 * Who may have to wait for the driver is a thread of its own. The driver goes
 * on when that has ended, or waits for a mutex or for its work: nobody but the
 * driver can end that then.
 */
#include <kunit/memory_compat.h>
#include <kunit/schedule.h>
#include <linux/completion.h>
#include <linux/kprobes.h>
#include <linux/kthread.h>
#include <linux/sched/task.h>
#include <linux/workqueue.h>

#include "virtio_mem_kunit.h"

/**
 * enum vmr_point - where others can step in
 * @VMR_WORK: the driver begins to work
 * @VMR_CONFIG_READ: it is about to read the configuration of the device
 * @VMR_CONFIG_WAS_READ: it has, and will not see any more that it changes
 * @VMR_FAKE_OFFLINE: it is about to take pages from the buddy
 * @VMR_SET_FAKE_OFFLINE: it has them, and is about to mark them
 * @VMR_REQUEST: it is about to make a request
 * @VMR_PLUGGED: the device has done what was requested, and is about to answer
 * @VMR_FAKE_ONLINE: the driver is about to give pages to the buddy
 * @VMR_REMOVE: it is about to remove a memory block, if nothing of it is plugged
 */
enum vmr_point {
	VMR_WORK,
	VMR_CONFIG_READ,
	VMR_CONFIG_WAS_READ,
	VMR_FAKE_OFFLINE,
	VMR_SET_FAKE_OFFLINE,
	VMR_REQUEST,
	VMR_PLUGGED,
	VMR_FAKE_ONLINE,
	VMR_REMOVE,
};

static const struct schedule_point vmr_points[] = {
	[VMR_WORK]		= { "work" },
	[VMR_CONFIG_READ]	= { "config_read" },
	[VMR_CONFIG_WAS_READ]	= { "config_was_read" },
	[VMR_FAKE_OFFLINE]	= { "fake_offline" },
	[VMR_SET_FAKE_OFFLINE]	= { "set_fake_offline" },
	[VMR_REQUEST]		= { "request" },
	[VMR_PLUGGED]		= { "plugged" },
	[VMR_FAKE_ONLINE]	= { "fake_online" },
	[VMR_REMOVE]		= { "remove" },
};

/**
 * struct vmr_thread - somebody who may have to wait for the driver
 * @run: what it does. Returns 0, or an error.
 * @what: the same in words
 * @waits_for_work: it waits until the driver does not work, not for a mutex
 * @task: the thread, or NULL
 * @done: it has ended
 * @timer: interrupts it if it does not end
 * @ret: what came of it
 */
struct vmr_thread {
	int (*run)(void);
	const char *what;
	bool waits_for_work;
	struct task_struct *task;
	struct completion done;
	struct timer_list timer;
	int ret;
};

enum vmr_who {
	VMR_OFFLINE, VMR_ONLINE, VMR_SUSPEND, VMR_UNLOAD, VMR_NR_THREADS,
};

/**
 * struct vmr - the operation, and what actors did to it
 * @vmt: the device
 * @before: the size before the operation, in bytes
 * @after: the size that the operation is about
 * @online_type: the kind of zone
 * @thread: those who may have to wait, see &enum vmr_who
 * @isolation_is_kept: see schedule_isolation_is_kept()
 * @answer: has the device give an answer that it held back
 * @held: a page that an actor holds a reference to
 * @was_held: ... or held one
 * @disturbed: an actor did what may keep the driver from what it is to do
 * @config_ops: those of the transport
 * @our_config_ops: the same, with a hook
 * @has_read_size: the driver has just read the requested size
 * @note_plug: the hook of the fixture
 */
struct vmr {
	struct vmt *vmt;
	u64 before;
	u64 after;
	enum mmop online_type;
	struct vmr_thread thread[VMR_NR_THREADS];
	bool isolation_is_kept;
	struct timer_list answer;
	struct page *held;
	bool was_held;
	bool disturbed;
	const struct virtio_config_ops *config_ops;
	struct virtio_config_ops our_config_ops;
	bool has_read_size;
	void (*note_plug)(struct virtio_mem_device *dev, unsigned long block,
			  unsigned long nr_blocks, bool plug);
};

/* There is one at a time, for callbacks that have no argument. */
static struct vmr *vmr;

/*
 * Actors
 */

static int vmr_thread_run(void *arg)
{
	struct vmr_thread *thread = arg;
	int nr_warnings;

	/* Offlining warns once about a page that somebody else has a reference to. */
	kunit_warning_suppress(vmr->vmt->test) {
		thread->ret = thread->run();
		nr_warnings = kunit_suppressed_warning_count(__kunit_suppress);
	}
	if (nr_warnings > READ_ONCE(vmr->was_held))
		schedule_fail("who is to %s is warned %d times", thread->what, nr_warnings);
	complete(&thread->done);
	/* Interrupted or not, wait to be joined. */
	clear_thread_flag(TIF_SIGPENDING);
	return 0;
}

static void vmr_thread_interrupt(struct timer_list *timer)
{
	struct vmr_thread *thread = container_of(timer, struct vmr_thread, timer);

	set_tsk_thread_flag(thread->task, TIF_SIGPENDING);
}

static bool vmr_thread_waits(const struct vmr_thread *thread)
{
	if (thread->waits_for_work)
		return READ_ONCE(thread->task->__state) & TASK_UNINTERRUPTIBLE;
	return is_blocked_on_mutex(thread->task);
}

/* Let a thread run until it has ended, or waits for the driver. */
static void vmr_thread_start(struct vmr_thread *thread)
{
	unsigned int waits = 0, i;

	if (thread->task)
		return;
	init_completion(&thread->done);
	thread->task = kthread_create(vmr_thread_run, thread, "races");
	if (IS_ERR(thread->task)) {
		thread->task = NULL;
		schedule_fail("no memory for a thread");
		return;
	}
	get_task_struct(thread->task);
	timer_setup(&thread->timer, vmr_thread_interrupt, 0);
	mod_timer(&thread->timer,
		  jiffies + (vmr->isolation_is_kept ? 5 * HZ : HZ / 50));
	wake_up_process(thread->task);
	for (i = 0; i < 5 * HZ && waits < 2; i++) {
		if (wait_for_completion_timeout(&thread->done, 1)) {
			complete(&thread->done);
			return;
		}
		waits = vmr_thread_waits(thread) ? waits + 1 : 0;
	}
	if (waits < 2)
		schedule_fail("who is to %s is stuck", thread->what);
}

static int vmr_thread_join(struct vmr_thread *thread)
{
	if (!thread->task)
		return 0;
	wait_for_completion(&thread->done);
	timer_delete_sync(&thread->timer);
	kthread_stop_put(thread->task);
	thread->task = NULL;
	return thread->ret;
}

static void vmr_join(struct vmr_thread *thread)
{
	const int ret = vmr_thread_join(thread);

	if (ret == -EINTR && !vmr->isolation_is_kept)
		return;
	/* A driver that is unloaded takes along what is offline. */
	if (ret == -ENODEV && vmr->vmt->unloaded)
		return;
	/* Somebody else may use the memory, or have done it already. */
	if (ret < 0 && ret != -EBUSY && ret != -EAGAIN)
		schedule_fail("who is to %s gets %d", thread->what, ret);
}

static void vmr_step_in(struct vmr_thread *thread)
{
	vmr->disturbed = true;
	vmr_thread_start(thread);
	/* In the wild, the driver does not wait for this one to wait. */
	if (schedule_is_wild())
		vmr_join(thread);
}

static int vmr_offline(void)
{
	return vmt_offline(vmr->vmt, 0);
}

static void offline_block(void *ctx)
{
	vmr_step_in(&vmr->thread[VMR_OFFLINE]);
}

static int vmr_online(void)
{
	return vmt_online(vmr->vmt, 0, vmr->online_type);
}

static void online_block(void *ctx)
{
	vmr_step_in(&vmr->thread[VMR_ONLINE]);
}

/* The system suspends, once nothing works that it has to freeze, and resumes. */
static int vmr_suspend(void)
{
#ifdef CONFIG_PM_SLEEP
	struct virtio_device *vdev = &vmr->vmt->dev.vk.vdev;
	int ret;

	if (!virtio_kunit_is_bound(&vmr->vmt->dev.vk))
		return 0;
	freeze_workqueues_begin();
	/* Long enough for who looks now and then to see that it waits. */
	while (freeze_workqueues_busy())
		schedule_timeout_uninterruptible(4);
	ret = virtio_device_freeze(vdev);
	if (!ret)
		ret = virtio_device_restore(vdev);
	thaw_workqueues();
	return ret;
#else
	return 0;
#endif
}

static void suspend(void *ctx)
{
	/* In the wild, nobody freezes those who use the driver meanwhile. */
	if (!schedule_is_wild())
		vmr_step_in(&vmr->thread[VMR_SUSPEND]);
}

/* Somebody unloads the driver, which leaves its memory behind. */
static int vmr_unload(void)
{
	if (virtio_kunit_is_bound(&vmr->vmt->dev.vk))
		vmt_unbind(vmr->vmt);
	return 0;
}

static void unload(void *ctx)
{
	/* In the wild, these may use it at any time. */
	if (!schedule_is_wild())
		vmr_step_in(&vmr->thread[VMR_UNLOAD]);
}

static const struct vmr_thread vmr_threads[] = {
	[VMR_OFFLINE] = { vmr_offline, "offline memory" },
	[VMR_ONLINE] = { vmr_online, "online memory" },
	[VMR_SUSPEND] = { vmr_suspend, "suspend", .waits_for_work = true },
	[VMR_UNLOAD] = { vmr_unload, "unload the driver", .waits_for_work = true },
};

static void resize_back(void *ctx)
{
	virtio_mem_device_resize(&vmr->vmt->dev, vmr->before);
}

static void resize_again(void *ctx)
{
	virtio_mem_device_resize(&vmr->vmt->dev, vmr->after);
}

static void resize_more(void *ctx)
{
	virtio_mem_device_resize(&vmr->vmt->dev, VMT_MB / 2 + 3 * VMT_SB);
}

static void answer_busy(void *ctx)
{
	const struct virtio_mem_exception exception = {
		.nth = 1, .last = 1, .answer = VIRTIO_MEM_RESP_BUSY,
	};

	vmr->disturbed = true;
	virtio_mem_device_except(&vmr->vmt->dev, &exception);
}

/* The next answer comes late, and others go on meanwhile. */
static void vmr_answer(struct timer_list *timer)
{
	struct virtio_mem_device *dev = &vmr->vmt->dev;

	if (READ_ONCE(dev->is_held))
		virtio_mem_device_release(dev);
	else
		mod_timer(timer, jiffies + 1);
}

static void answer_late(void *ctx)
{
	const struct virtio_mem_exception exception = {
		.nth = 1, .last = 1, .answer = VIRTIO_MEM_AS_SPECIFIED, .hold = true,
	};

	virtio_mem_device_except(&vmr->vmt->dev, &exception);
	mod_timer(&vmr->answer, jiffies + 1);
}

static void get_unplugged(void *ctx)
{
	struct page *page;

	vmr->disturbed = true;
	/* In the wild, memory must not go online in between: counts start anew. */
	if (schedule_is_wild())
		get_online_mems();
	page = pfn_to_online_page(vmt_pfn(vmr->vmt, VMT_MB) - 1);
	/* Who walks pfns takes a reference to whatever is there. */
	if (page && get_page_unless_zero(page)) {
		WRITE_ONCE(vmr->was_held, true);
		vmr->held = page;
	}
}

static void put_unplugged(void *ctx)
{
	if (vmr->held)
		put_page(vmr->held);
	vmr->held = NULL;
	if (schedule_is_wild())
		put_online_mems();
}

#define VMR_SIZE	BIT(0)

#define VMR_STEP(first, bits)							\
	{ .step = { { .name = #first, .run = first, .sleeps = true } },		\
	  .touches = bits }
#define VMR_STEPS(first, second, bits)						\
	{ .step = { { .name = #first, .run = first, .sleeps = true },		\
		    { .name = #second, .run = second, .sleeps = true } },	\
	  .touches = bits }

static const struct schedule_actor vmr_actors[] = {
	VMR_STEP(offline_block, VMR_SIZE),
	VMR_STEP(online_block, VMR_SIZE),
	VMR_STEPS(resize_back, resize_again, VMR_SIZE),
	VMR_STEP(resize_more, VMR_SIZE),
	VMR_STEP(answer_busy, VMR_SIZE),
	VMR_STEP(answer_late, VMR_SIZE),
	VMR_STEPS(get_unplugged, put_unplugged, VMR_SIZE),
	/* Whatever others do, these wait for the driver to end its work. */
	VMR_STEP(suspend, 0),
	VMR_STEP(unload, 0),
};

/*
 * Hooks
 */

static bool vmr_is_operation(void)
{
	return current->flags & PF_WQ_WORKER;
}

static void vmr_config_read(struct virtio_mem_device *dev, unsigned int offset)
{
	/* Each field is read in one go, and all of them are read. */
	if (offset == offsetof(struct virtio_mem_config, requested_size)) {
		vmr->has_read_size = true;
		schedule_point(VMR_CONFIG_READ);
	}
}

/* The driver compares it to see whether what it has read belongs together. */
static u32 vmr_generation(struct virtio_device *vdev)
{
	const u32 generation = vmr->config_ops->generation(vdev);

	if (vmr->has_read_size)
		schedule_point(VMR_CONFIG_WAS_READ);
	vmr->has_read_size = false;
	return generation;
}

static void vmr_plug(struct virtio_mem_device *dev, unsigned long block,
		     unsigned long nr_blocks, bool plug)
{
	vmr->note_plug(dev, block, nr_blocks, plug);
	schedule_point(VMR_PLUGGED);
}

static struct schedule_probe vmr_probes[];

static void at_work(struct work_struct *work)
{
	typeof(at_work) *fn = schedule_enter(&vmr_probes[0], VMR_WORK);

	fn(work);
}

static int at_fake_offline(void *vm, unsigned long pfn, unsigned long nr_pages)
{
	typeof(at_fake_offline) *fn = schedule_enter(&vmr_probes[1],
						     VMR_FAKE_OFFLINE);

	return fn(vm, pfn, nr_pages);
}

static void at_set_fake_offline(unsigned long pfn, unsigned long nr_pages,
				bool onlined)
{
	typeof(at_set_fake_offline) *fn = schedule_enter(&vmr_probes[2],
							 VMR_SET_FAKE_OFFLINE);

	fn(pfn, nr_pages, onlined);
}

static u64 at_request(void *vm, const void *req)
{
	typeof(at_request) *fn = schedule_enter(&vmr_probes[3], VMR_REQUEST);

	return fn(vm, req);
}

static void at_fake_online(unsigned long pfn, unsigned long nr_pages)
{
	typeof(at_fake_online) *fn = schedule_enter(&vmr_probes[4],
						    VMR_FAKE_ONLINE);

	fn(pfn, nr_pages);
}

static int at_remove(void *vm, unsigned long mb_id)
{
	typeof(at_remove) *fn = schedule_enter(&vmr_probes[5], VMR_REMOVE);

	return fn(vm, mb_id);
}

static struct schedule_probe vmr_probes[] = {
	{ "virtio_mem_run_wq", at_work },
	{ "virtio_mem_fake_offline", at_fake_offline },
	{ "virtio_mem_set_fake_offline", at_set_fake_offline },
	{ "virtio_mem_send_request", at_request },
	{ "virtio_mem_fake_online", at_fake_online },
	{ "virtio_mem_sbm_try_remove_unplugged_mb", at_remove },
};

/*
 * The operation
 */

/* Let everybody finish, and have all memory online, and of size @size. */
static void vmr_settle(u64 size)
{
	struct vmt *vmt = vmr->vmt;

	virtio_mem_device_except(&vmt->dev, NULL);
	if (!vmt_is_online(vmt, 0))
		vmt_online(vmt, 0, vmr->online_type);
	if (le64_to_cpu(vmt->dev.config.requested_size) != size)
		vmt_resize(vmt, size);
	if (virtio_mem_device_plugged_size(&vmt->dev) != size)
		vmt_retry(vmt);
}

static void vmr_prepare(void *ctx)
{
	vmr->held = NULL;
	vmr->was_held = false;
	/* Registering the device makes it forget them. */
	vmr->vmt->dev.vk.vdev.config = &vmr->our_config_ops;
	vmr_settle(vmr->before);
	vmr->disturbed = false;
}

static void vmr_run(void *ctx)
{
	virtio_mem_device_resize(&vmr->vmt->dev, vmr->after);
	/* In the wild, there is more to do all the time. */
	if (schedule_is_wild())
		__flush_workqueue(system_freezable_wq);
	else
		vmt_settle(vmr->vmt);
}

static void vmr_check(void *ctx)
{
	struct vmt *vmt = vmr->vmt;
	const enum kunit_status status = vmt->test->status;
	u64 size;
	int i;

	/* Where there was no request any more, the next one is not to be held back. */
	timer_delete_sync(&vmr->answer);
	virtio_mem_device_release(&vmt->dev);
	for (i = 0; i < VMR_NR_THREADS; i++)
		vmr_join(&vmr->thread[i]);
	vmt_settle(vmt);

	vmt->test->status = KUNIT_SUCCESS;
	vmt_expect_consistent(vmt);
	if (vmt->unloaded) {
		vmt_remove(vmt);
		vmt_bind(vmt, vmr->before);
	}
	size = READ_ONCE(vmt->dev.config.requested_size);
	/* Whoever is not disturbed has to get there without being told again. */
	if (!vmr->disturbed && virtio_mem_device_plugged_size(&vmt->dev) != size)
		schedule_fail("%llu MiB are plugged instead of %llu",
			      virtio_mem_device_plugged_size(&vmt->dev) / SZ_1M,
			      size / SZ_1M);
	vmr_settle(size);
	if (!vmt_is_online(vmt, 0))
		schedule_fail("memory does not go online when all rest");
	if (virtio_mem_device_plugged_size(&vmt->dev) != size)
		schedule_fail("%llu MiB are plugged instead of %llu when all rest",
			      virtio_mem_device_plugged_size(&vmt->dev) / SZ_1M,
			      size / SZ_1M);
	vmt_expect_consistent(vmt);
	if (vmt->dev.nr_invalid)
		schedule_fail("the driver made an invalid request");
	if (vmt->test->status == KUNIT_FAILURE)
		schedule_fail("the memory is not as the device has it, see above");
	vmt->test->status = status;
}

/* Begin anew with a driver that knows nothing of what happened. */
static bool vmr_recover(void *ctx)
{
	vmt_remove(vmr->vmt);
	vmt_bind(vmr->vmt, vmr->before);
	return true;
}

static void vmr_unhook(void *unused)
{
	timer_delete_sync(&vmr->answer);
	vmr->vmt->dev.config_read = NULL;
	vmr->vmt->dev.plug = vmr->note_plug;
	vmr->vmt->dev.vk.vdev.config = vmr->config_ops;
}

static void vmr_hook(struct kunit *test)
{
	timer_setup(&vmr->answer, vmr_answer, 0);
	vmr->config_ops = vmr->vmt->dev.vk.vdev.config;
	vmr->our_config_ops = *vmr->config_ops;
	vmr->our_config_ops.generation = vmr_generation;
	vmr->note_plug = vmr->vmt->dev.plug;
	vmr->vmt->dev.plug = vmr_plug;
	vmr->vmt->dev.config_read = vmr_config_read;
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, vmr_unhook, NULL));
	schedule_probe_all(test, vmr_probes, ARRAY_SIZE(vmr_probes));
}

/**
 * struct vmr_param - an operation
 * @name: its name in schedules
 * @online_type: the kind of zone
 * @before: how many sub-blocks more than half of a memory block it has before
 * @after: how many more it has after
 */
struct vmr_param {
	const char *name;
	enum mmop online_type;
	unsigned int before;
	unsigned int after;
};

static const struct vmr_param vmr_params[] = {
	{ "plug_movable", MMOP_ONLINE_MOVABLE, 0, 2 },
	{ "plug_kernel", MMOP_ONLINE_KERNEL, 0, 2 },
	{ "unplug_movable", MMOP_ONLINE_MOVABLE, 2, 0 },
	{ "unplug_kernel", MMOP_ONLINE_KERNEL, 2, 0 },
};

KUNIT_ARRAY_PARAM_DESC(vmr, vmr_params, name);

/*
 * Whoever steps in while virtio-mem resizes memory, and wherever that is: the
 * memory is as the device has it, flags and counts of pages are right, and once
 * nobody steps in any more, all of the requested size is plugged and online.
 */
static void resizing_stands_every_schedule(struct kunit *test)
{
	const struct vmr_param *param = test->param_value;
	struct schedule_model model = {
		.name = param->name,
		.point = vmr_points,
		.nr_points = ARRAY_SIZE(vmr_points),
		.actor = vmr_actors,
		.nr_actors = ARRAY_SIZE(vmr_actors),
		.is_operation = vmr_is_operation,
		.prepare = vmr_prepare,
		.run = vmr_run,
		.check = vmr_check,
		.recover = vmr_recover,
	};

	if (!BLOCKED_ON_IS_KNOWN)
		kunit_skip(test, "the kernel does not tell who waits for a mutex");
	schedule_require(test, &model);
	vmt_require_zone(test, param->online_type);
	vmr = kunit_kzalloc(test, sizeof(*vmr), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, vmr);
	vmr->online_type = param->online_type;
	vmr->before = VMT_MB / 2 + param->before * VMT_SB;
	vmr->after = VMT_MB / 2 + param->after * VMT_SB;
	memcpy(vmr->thread, vmr_threads, sizeof(vmr->thread));
	vmr->vmt = vmt_new(test, param->online_type, 1, VMT_SB);
	/* Without it, nobody may suspend. */
	vmr->vmt->dev.vk.features |= BIT_ULL(VIRTIO_MEM_F_PERSISTENT_SUSPEND);
	vmt_bind(vmr->vmt, vmr->before);
	vmr->isolation_is_kept =
		schedule_isolation_is_kept(test, vmt_pfn(vmr->vmt, 0));
	vmr_hook(test);
	schedule_run_all(test, &model);
}

static struct kunit_case virtio_mem_races_cases[] = {
	KUNIT_CASE_PARAM(resizing_stands_every_schedule, vmr_gen_params),
	{}
};

static struct kunit_suite virtio_mem_races_suite = {
	.name = "virtio_mem_races",
	.init = vmt_init,
	.test_cases = virtio_mem_races_cases,
};

kunit_test_suite(virtio_mem_races_suite);

MODULE_DESCRIPTION("KUnit tests for races of the virtio-mem driver with others");
MODULE_LICENSE("GPL");
