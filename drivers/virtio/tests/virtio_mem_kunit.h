/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the suites for the virtio-mem driver share: the fixture.
 */
#ifndef _DRIVERS_VIRTIO_TESTS_VIRTIO_MEM_KUNIT_H
#define _DRIVERS_VIRTIO_TESTS_VIRTIO_MEM_KUNIT_H

#include <kunit/memory_compat.h>
#include <kunit/phantom_memory.h>
#include <kunit/test.h>
#include <linux/hrtimer.h>
#include <linux/memory.h>
#include <linux/mmzone.h>
#include <linux/notifier.h>

#include "virtio_mem_device.h"

/**
 * struct vmt - a virtio-mem device, and what is known about its memory
 * @test: the test case
 * @dev: the device
 * @ph: the range of physical memory that is the region of the device
 * @without: the counters of memory hotplug without the device
 * @never_onlined: bitmap of device blocks that were unplugged when their memory
 *	block went online last, and not plugged since
 * @unloaded: the driver was unloaded, and memory stayed behind
 * @removing: vmt_remove() removes memory, which observers ignore
 * @thorough: compare every page, as at the end of a test case. Otherwise,
 *	compare a few of those that should be alike.
 * @nb: follows memory blocks
 * @activity: counts what @nb hears of
 */
struct vmt {
	struct kunit *test;
	struct virtio_mem_device dev;
	struct phantom_memory ph;
	struct phantom_snapshot without;
	unsigned long *never_onlined;
	bool unloaded;
	bool removing;
	bool thorough;
	struct notifier_block nb;
	unsigned long activity;
};

/**
 * struct vmt_observer - looks at memory blocks that go online or offline
 * @nb: the notifier
 * @vmt: the fixture
 * @nr_going: how many times it saw %MEM_GOING_OFFLINE or %MEM_GOING_ONLINE
 * @nr_cancelled: how many times it saw %MEM_CANCEL_OFFLINE
 * @nr_offline: how many times it saw %MEM_OFFLINE
 * @veto: an error to refuse offlining with, or 0
 * @veto_online: an error to refuse onlining with, or 0
 * @fake_offline: whether all pages should be fake-offline, plugged or not
 */
struct vmt_observer {
	struct notifier_block nb;
	struct vmt *vmt;
	unsigned int nr_going;
	unsigned int nr_cancelled;
	unsigned int nr_offline;
	int veto;
	int veto_online;
	bool fake_offline;
};

struct vmt_observer *vmt_register_observer(struct vmt *vmt, int priority);

/*
 * The size of a pageblock, which is the smallest size of sub-blocks. Where a memory
 * block is but one pageblock, there are none, and vmt_new() does not take this size.
 */
#define VMT_SB		min((u64)pageblock_nr_pages * PAGE_SIZE, VMT_MB / 2)
/* The size of a memory block. */
#define VMT_MB		((u64)memory_block_size_bytes())

int vmt_init(struct kunit *test);

struct vmt *vmt_new(struct kunit *test, enum mmop online_type,
		    unsigned long nr_memory_blocks, u64 block_size);
void vmt_require_alignment(struct vmt *vmt, u64 size);
void vmt_bind(struct vmt *vmt, u64 requested_size);
void vmt_unbind(struct vmt *vmt);
void vmt_remove(struct vmt *vmt);
struct vmt *vmt_probe(struct kunit *test, enum mmop online_type,
		      unsigned long nr_memory_blocks, u64 requested_size);

void vmt_settle(struct vmt *vmt);
void vmt_resize(struct vmt *vmt, u64 size);
void vmt_retry(struct vmt *vmt);
struct hrtimer *vmt_retry_timer(struct vmt *vmt);
bool vmt_timer_is_queued(const struct hrtimer *timer);
void vmt_expire_retry_timer(struct vmt *vmt);

enum mmop vmt_any_zone(void);
void vmt_require_zone(struct kunit *test, enum mmop online_type);
void vmt_default_online_type(struct kunit *test, enum mmop online_type);
int vmt_online(struct vmt *vmt, unsigned int i, enum mmop online_type);
int vmt_offline(struct vmt *vmt, unsigned int i);
bool vmt_is_present(struct vmt *vmt, unsigned int i);
bool vmt_is_online(struct vmt *vmt, unsigned int i);

unsigned long vmt_expect_block(struct vmt *vmt, unsigned int i, bool free);
void vmt_expect_consistent(struct vmt *vmt);
void vmt_expect_plugged(struct vmt *vmt, u64 size);
void vmt_expect_pages(struct vmt *vmt, u64 offset, u64 size,
		      enum phantom_state state);

struct page *vmt_use_page(struct vmt *vmt, u64 offset);
void vmt_stop_using_page(struct vmt *vmt, struct page *page);

/**
 * vmt_pfn() - a page in the region of the device
 * @vmt: the fixture
 * @offset: offset into the region, in bytes
 *
 * Return: the pfn.
 */
static inline unsigned long vmt_pfn(struct vmt *vmt, u64 offset)
{
	return PHYS_PFN(vmt->ph.start + offset);
}

/**
 * vmt_zone() - the zone of an online memory block
 * @vmt: the fixture
 * @i: the number of the memory block in the region
 *
 * Return: the zone.
 */
static inline struct zone *vmt_zone(struct vmt *vmt, unsigned int i)
{
	return page_zone(pfn_to_page(vmt_pfn(vmt, i * VMT_MB)));
}

/**
 * struct vmt_zone_param - the kind of zone that memory is onlined to
 * @desc: in words
 * @online_type: how it is onlined
 */
struct vmt_zone_param {
	const char *desc;
	enum mmop online_type;
};

static const struct vmt_zone_param vmt_zone_params[] = {
	{ "ZONE_MOVABLE", MMOP_ONLINE_MOVABLE },
	{ "kernel zone", MMOP_ONLINE_KERNEL },
};

__maybe_unused KUNIT_ARRAY_PARAM_DESC(zone, vmt_zone_params, desc);

static inline enum mmop vmt_online_type(struct kunit *test)
{
	const struct vmt_zone_param *param = test->param_value;

	return param->online_type;
}

#endif /* _DRIVERS_VIRTIO_TESTS_VIRTIO_MEM_KUNIT_H */
