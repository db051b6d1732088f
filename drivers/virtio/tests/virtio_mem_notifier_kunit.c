// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests for the virtio-mem driver: its memory notifier, which refuses to
 * let memory go online or offline when that must not happen.
 *
 * Memory blocks that go online are fully plugged, because these tests are not
 * about what the driver does to unplugged pages.
 */
#include <kunit/test.h>
#include <linux/device.h>
#include <linux/memory_hotplug.h>

#include "virtio_mem_kunit.h"

/*
 * Call all memory notifiers for memory of the device. MEM_CANCEL_OFFLINE is the
 * one event that they do nothing about if nothing happened before.
 */
static int call_notifiers(struct vmt *vmt, enum memory_block_state event,
			  u64 offset, u64 size)
{
	struct memory_notify notify = {
		.start_pfn = vmt_pfn(vmt, offset),
		.nr_pages = PHYS_PFN(size),
	};

	return memory_notify(event, &notify);
}

/**
 * struct range_param - a range of the region of the device
 * @desc: in words
 * @block_size: size of device blocks, in halves of memory blocks; 0 for
 *	sub-blocks
 * @start: where it starts, in halves of memory blocks
 * @size: its size, in halves of memory blocks
 * @answer: the answer of the driver if the range is to go online or offline
 */
struct range_param {
	const char *desc;
	unsigned int block_size;
	unsigned int start;
	unsigned int size;
	int answer;
};

static const struct range_param range_params[] = {
	{ "sub-blocks: a memory block", 0, 2, 2, NOTIFY_OK },
	{ "sub-blocks: half a memory block", 0, 2, 1, NOTIFY_BAD },
	{ "sub-blocks: two memory blocks", 0, 2, 4, NOTIFY_BAD },
	{ "sub-blocks: halves of two memory blocks", 0, 1, 2, NOTIFY_BAD },
	{ "sub-blocks: half a memory block of others", 0, 8, 1, NOTIFY_DONE },
	{ "big blocks: a memory block", 4, 2, 2, NOTIFY_OK },
	{ "big blocks: a big block of two memory blocks", 4, 4, 4, NOTIFY_OK },
	{ "big blocks: parts of two big blocks", 4, 2, 4, NOTIFY_BAD },
};

KUNIT_ARRAY_PARAM_DESC(range, range_params, desc);

/*
 * The memory notifier of virtio-mem refuses, with a warning, any range of the
 * device that is neither one memory block in sub-block mode nor within one big
 * block in big-block mode.
 */
static void driver_refuses_hotplug_of_wrong_size(struct kunit *test)
{
	const struct range_param *param = test->param_value;
	const u64 block_size = param->block_size * VMT_MB / 2 ?: VMT_SB;
	struct vmt *vmt;

	if (!IS_ENABLED(CONFIG_BUG))
		kunit_skip(test, "CONFIG_BUG is not set");

	vmt = vmt_new(test, MMOP_ONLINE_MOVABLE, 4, block_size);
	vmt_require_alignment(vmt, block_size);
	vmt_bind(vmt, 0);
	kunit_warning_suppress(test) {
		KUNIT_EXPECT_EQ(test, param->answer,
				call_notifiers(vmt, MEM_CANCEL_OFFLINE,
					       param->start * VMT_MB / 2,
					       param->size * VMT_MB / 2));
		KUNIT_EXPECT_SUPPRESSED_WARNING_COUNT(test,
						      param->answer == NOTIFY_BAD);
	}
}

/*
 * virtio-mem refuses to online memory in the region of its device that somebody
 * else added.
 */
static void driver_refuses_to_online_memory_it_did_not_add(struct kunit *test)
{
	struct vmt *vmt = vmt_new(test, MMOP_OFFLINE, 2, VMT_SB);

	vmt_bind(vmt, VMT_MB);
	KUNIT_ASSERT_EQ(test, 0, add_memory(first_memory_node,
					    vmt->ph.start + VMT_MB, VMT_MB,
					    MHP_NONE));
	KUNIT_EXPECT_EQ(test, -EPERM, vmt_online(vmt, 1, MMOP_ONLINE_MOVABLE));
	KUNIT_EXPECT_EQ(test, 0, vmt_online(vmt, 0, MMOP_ONLINE_MOVABLE));
	KUNIT_EXPECT_EQ(test, 0, remove_memory(vmt->ph.start + VMT_MB, VMT_MB));
}

static void vetoed_onlining_changes_nothing(struct kunit *test, int priority)
{
	struct vmt *vmt = vmt_probe(test, MMOP_OFFLINE, 1, VMT_MB / 2);

	vmt_register_observer(vmt, priority)->veto_online = -EPERM;
	KUNIT_EXPECT_EQ(test, -EPERM, vmt_online(vmt, 0, MMOP_ONLINE_MOVABLE));
	KUNIT_EXPECT_FALSE(test, vmt_is_online(vmt, 0));

	/* The driver is able to work on the memory block. */
	vmt_resize(vmt, VMT_MB / 4);
	vmt_expect_plugged(vmt, VMT_MB / 4);
}

/*
 * If a memory notifier refuses onlining before virtio-mem hears of it, the
 * memory block stays offline, and the driver can still resize it.
 */
static void onlining_vetoed_before_the_driver_changes_nothing(struct kunit *test)
{
	vetoed_onlining_changes_nothing(test, 1);
}

/*
 * If a memory notifier refuses onlining after virtio-mem agreed to it, the
 * memory block stays offline, and the driver can still resize it.
 */
static void onlining_vetoed_after_the_driver_changes_nothing(struct kunit *test)
{
	vetoed_onlining_changes_nothing(test, -1);
}

/**
 * struct removal - looks at the driver while it removes memory
 * @nb: the notifier of the bus that memory blocks are on
 * @vmt: the fixture
 * @nr: how many memory blocks were removed
 * @online_ret: the result of onlining memory at that time
 * @offline_ret: the result of offlining memory at that time
 */
struct removal {
	struct notifier_block nb;
	struct vmt *vmt;
	unsigned int nr;
	int online_ret;
	int offline_ret;
};

/*
 * Call all memory notifiers as if the first memory block, which is online, were
 * about to go online or offline. Only the driver does anything about that.
 */
static int announce_hotplug(struct vmt *vmt, enum memory_block_state going,
			    enum memory_block_state cancel)
{
	const int ret =
		notifier_to_errno(call_notifiers(vmt, going, 0, VMT_MB));

	if (ret != -EBUSY)
		call_notifiers(vmt, cancel, 0, VMT_MB);
	return ret;
}

static int note_removal(struct notifier_block *nb, unsigned long event, void *arg)
{
	struct removal *removal = container_of(nb, struct removal, nb);

	if (event != BUS_NOTIFY_DEL_DEVICE)
		return NOTIFY_DONE;
	removal->nr++;
	removal->online_ret = announce_hotplug(removal->vmt, MEM_GOING_ONLINE,
					       MEM_CANCEL_ONLINE);
	removal->offline_ret = announce_hotplug(removal->vmt, MEM_GOING_OFFLINE,
						MEM_CANCEL_OFFLINE);
	return NOTIFY_OK;
}

/*
 * While virtio-mem is being unloaded, its memory notifier refuses onlining and
 * offlining with -EBUSY.
 *
 * At that time, the driver removes memory that must not go online without it.
 */
static void driver_refuses_hotplug_while_it_is_unloaded(struct kunit *test)
{
	struct vmt *vmt = vmt_probe(test, MMOP_OFFLINE, 2,
				    VMT_MB + VMT_MB / 2);
	struct removal removal = { .nb.notifier_call = note_removal, .vmt = vmt };
	struct memory_block *mem;
	const struct bus_type *bus;

	KUNIT_ASSERT_EQ(test, 0, vmt_online(vmt, 0, MMOP_ONLINE_MOVABLE));
	mem = memory_block_at(vmt->ph.start);
	KUNIT_ASSERT_NOT_NULL(test, mem);
	bus = mem->dev.bus;
	memory_block_put(mem);

	KUNIT_ASSERT_EQ(test, 0, bus_register_notifier(bus, &removal.nb));
	vmt_unbind(vmt);
	bus_unregister_notifier(bus, &removal.nb);
	KUNIT_EXPECT_EQ(test, 1, removal.nr);
	KUNIT_EXPECT_EQ(test, -EBUSY, removal.online_ret);
	KUNIT_EXPECT_EQ(test, -EBUSY, removal.offline_ret);
	vmt_expect_plugged(vmt, VMT_MB + VMT_MB / 2);
}

static struct kunit_case virtio_mem_notifier_cases[] = {
	KUNIT_CASE_PARAM(driver_refuses_hotplug_of_wrong_size,
			 range_gen_params),
	KUNIT_CASE(driver_refuses_to_online_memory_it_did_not_add),
	KUNIT_CASE(onlining_vetoed_before_the_driver_changes_nothing),
	KUNIT_CASE(onlining_vetoed_after_the_driver_changes_nothing),
	KUNIT_CASE(driver_refuses_hotplug_while_it_is_unloaded),
	{}
};

static struct kunit_suite virtio_mem_notifier_suite = {
	.name = "virtio_mem_notifier",
	.init = vmt_init,
	.test_cases = virtio_mem_notifier_cases,
};

kunit_test_suite(virtio_mem_notifier_suite);

MODULE_DESCRIPTION("KUnit tests for the memory notifier of virtio-mem");
MODULE_LICENSE("GPL");
