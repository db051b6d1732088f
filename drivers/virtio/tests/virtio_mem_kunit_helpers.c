// SPDX-License-Identifier: GPL-2.0
/*
 * The fixture of the suites for the virtio-mem driver, see virtio_mem_kunit.h.
 */
#include <kunit/test.h>
#include <linux/bitmap.h>
#include <linux/gfp.h>
#include <linux/hrtimer.h>
#include <linux/iopoll.h>
#include <linux/ioport.h>
#include <linux/memory.h>
#include <linux/mm.h>
#include <linux/page_ref.h>
#include <linux/percpu.h>
#include <linux/rbtree.h>
#include <linux/slab.h>
#include <linux/virtio_ids.h>

#include "virtio_mem_kunit.h"

/* The kernel zone has had memory since boot, which the system needs. */
static bool kernel_zone_is_in_use(void)
{
	return zone_managed_pages(&NODE_DATA(first_memory_node)->node_zones[ZONE_NORMAL]);
}

/**
 * vmt_any_zone() - how to online memory if its zone does not matter
 *
 * Isolation looks at the pages of a kernel zone, but treats those of
 * ZONE_MOVABLE as movable, see page_is_unmovable(). So a kernel zone tests
 * more, and it takes less time if many pages are free.
 *
 * Context: Any, while no memory of a test case is online.
 * Return: MMOP_ONLINE_KERNEL, or MMOP_ONLINE_MOVABLE if that zone is in use.
 */
enum mmop vmt_any_zone(void)
{
	return kernel_zone_is_in_use() ? MMOP_ONLINE_MOVABLE : MMOP_ONLINE_KERNEL;
}

/**
 * vmt_require_zone() - skip the test case if memory would go to a zone in use
 * @test: the test case
 * @online_type: how memory is onlined. What is not for ZONE_MOVABLE may go to a
 *	zone that has other memory, which the system cannot do without.
 *
 * Context: May sleep.
 */
void vmt_require_zone(struct kunit *test, enum mmop online_type)
{
	if ((online_type == MMOP_ONLINE_KERNEL || online_type == MMOP_ONLINE) &&
	    kernel_zone_is_in_use())
		kunit_skip(test, "the kernel zone has other memory that is needed");
}

/**
 * vmt_default_online_type() - how memory is onlined that the driver adds
 * @test: the test case
 * @online_type: the type; MMOP_OFFLINE to leave it offline. The test case is
 *	skipped if memory would go to a zone in use.
 *
 * Context: May sleep.
 */
void vmt_default_online_type(struct kunit *test, enum mmop online_type)
{
	vmt_require_zone(test, online_type);
	phantom_set_default_online_type(test, online_type);
}

static void unused_online_page(struct page *page, unsigned int order)
{
}

/**
 * vmt_init() - the init() of suites for the virtio-mem driver
 * @test: the test case. It is skipped if the system does not allow to run it.
 *
 * Context: May sleep.
 * Return: 0.
 */
int vmt_init(struct kunit *test)
{
	phantom_require(test);
	if (want_init_on_alloc(0))
		kunit_skip(test, "init_on_alloc writes to allocated pages");
	if (set_online_page_callback(unused_online_page))
		kunit_skip(test, "a driver has set its online_page callback");
	restore_online_page_callback(unused_online_page);

	phantom_snapshot_expect_at_end(test);
	phantom_guard(test);
	return 0;
}

static struct vmt *dev_to_vmt(struct virtio_mem_device *dev)
{
	return container_of(dev, struct vmt, dev);
}

static void note_plug(struct virtio_mem_device *dev, unsigned long block,
		      unsigned long nr_blocks, bool plug)
{
	if (plug)
		bitmap_clear(dev_to_vmt(dev)->never_onlined, block, nr_blocks);
}

static int note_hotplug(struct notifier_block *nb, unsigned long event, void *arg)
{
	struct vmt *vmt = container_of(nb, struct vmt, nb);
	const struct memory_notify *notify = arg;
	const u64 start = PFN_PHYS(notify->start_pfn);
	const u64 size = PFN_PHYS(notify->nr_pages);
	unsigned long block;

	if (start < vmt->ph.start || start >= vmt->ph.start + vmt->ph.size)
		return NOTIFY_DONE;
	vmt->activity++;
	if (event != MEM_ONLINE)
		return NOTIFY_OK;

	for (block = (start - vmt->ph.start) / vmt->dev.block_size;
	     block < (start - vmt->ph.start + size) / vmt->dev.block_size;
	     block++)
		__assign_bit(block, vmt->never_onlined,
			     !test_bit(block, vmt->dev.plugged));
	return NOTIFY_OK;
}

/* Release what the driver kept because of memory that stayed in the system. */
static void release_leftovers(struct vmt *vmt, struct memory_group *group)
{
	const u64 start = le64_to_cpu(vmt->dev.config.addr);
	const u64 size = le64_to_cpu(vmt->dev.config.region_size);
	struct resource *res = lookup_resource(&iomem_resource, start);
	const char *name;
	int mgid;

	if (res && resource_size(res) == size &&
	    res->flags & IORESOURCE_EXCLUSIVE) {
		name = res->name;
		KUNIT_EXPECT_EQ(vmt->test, 0, release_resource(res));
		kfree(res);
		kfree(name);
	}
	for (mgid = 0; group && mgid < 1000; mgid++) {
		if (memory_group_find_by_id(mgid) != group)
			continue;
		KUNIT_EXPECT_EQ(vmt->test, 0, memory_group_unregister(mgid));
		break;
	}
}

static struct memory_group *find_memory_group(struct vmt *vmt)
{
	struct memory_group *group = NULL;
	struct memory_block *mem;
	u64 offset;

	for (offset = 0; offset < vmt->ph.size && !group; offset += VMT_MB) {
		mem = memory_block_at(vmt->ph.start + offset);
		if (!mem)
			continue;
		group = mem->group;
		memory_block_put(mem);
	}
	return group;
}

/**
 * vmt_remove() - unload the driver and remove all memory of the device
 * @vmt: the fixture. The device is as new afterwards, with nothing plugged.
 *
 * Also removes what the driver must leave behind, whatever state it is in.
 *
 * Context: May sleep.
 */
void vmt_remove(struct vmt *vmt)
{
	struct memory_group *group;

	virtio_mem_device_except(&vmt->dev, NULL);
	virtio_mem_device_release(&vmt->dev);
	virtio_kunit_unregister(&vmt->dev.vk);
	group = find_memory_group(vmt);
	vmt->removing = true;
	phantom_remove_leftover(vmt->test, vmt->ph.start, vmt->ph.size);
	vmt->removing = false;
	release_leftovers(vmt, group);
	virtio_mem_device_unplug_all(&vmt->dev);
	vmt->unloaded = false;
}

/*
 * However the test case ended, let the driver finish and compare, then clean
 * up.
 */
static void vmt_end(void *arg)
{
	struct vmt *vmt = arg;

	vmt->thorough = true;
	virtio_mem_device_release(&vmt->dev);
	if (virtio_kunit_is_bound(&vmt->dev.vk)) {
		vmt_settle(vmt);
		vmt_expect_consistent(vmt);
	}
	KUNIT_EXPECT_EQ_MSG(vmt->test, 0, vmt->dev.nr_invalid,
			    "driver made invalid requests");
	vmt_remove(vmt);
	unregister_memory_notifier(&vmt->nb);
}

/**
 * vmt_new() - make a virtio-mem device
 * @test: the test case. When it ends, the driver is unloaded, all memory of the
 *	device is removed, and everything else the driver left behind is
 *	released.
 * @online_type: how memory is onlined that the driver adds
 * @nr_memory_blocks: size of the region in memory blocks
 * @block_size: size of device blocks. The test case is skipped if they are
 *	smaller than memory blocks, and these have less than eight sub-blocks.
 *
 * Context: May sleep.
 * Return: the fixture, with a device that is not registered yet.
 */
struct vmt *vmt_new(struct kunit *test, enum mmop online_type,
		    unsigned long nr_memory_blocks, u64 block_size)
{
	const u64 size = nr_memory_blocks * VMT_MB;
	struct vmt *vmt;

	/* Test cases plug and unplug some sub-blocks, and leave others alone. */
	if (block_size < VMT_MB && VMT_MB < 8 * VMT_SB)
		kunit_skip(test, "a memory block has few sub-blocks");
	vmt_default_online_type(test, online_type);

	vmt = kunit_kzalloc(test, sizeof(*vmt), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, vmt);
	vmt->test = test;
	vmt->ph.test = test;
	vmt->ph.start = phantom_find_range(test, size);
	vmt->ph.size = size;
	phantom_snapshot_take(&vmt->without);

	virtio_mem_device_init(&vmt->dev, test, VIRTIO_ID_MEM, vmt->ph.start,
			       size, block_size);
	vmt->dev.plug = note_plug;
	vmt->never_onlined = kunit_kcalloc(test, BITS_TO_LONGS(vmt->dev.nr_blocks),
					   sizeof(long), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, vmt->never_onlined);
	vmt->nb.notifier_call = note_hotplug;
	KUNIT_ASSERT_EQ(test, 0, register_memory_notifier(&vmt->nb));
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, vmt_end, vmt));
	return vmt;
}

/**
 * vmt_require_alignment() - skip the test case if the region is not aligned
 * @vmt: the fixture
 * @size: to what it has to be aligned, in bytes. Whether it is depends on the
 *	physical addresses that others have.
 */
void vmt_require_alignment(struct vmt *vmt, u64 size)
{
	if (!IS_ALIGNED(vmt->ph.start, size))
		kunit_skip(vmt->test, "no aligned range of physical address space");
}

/**
 * vmt_bind() - let the driver probe the device
 * @vmt: the fixture
 * @requested_size: what to request from the beginning
 *
 * Aborts the test case if the driver fails to probe.
 *
 * Context: May sleep.
 */
void vmt_bind(struct vmt *vmt, u64 requested_size)
{
	virtio_mem_device_resize(&vmt->dev, requested_size);
	KUNIT_ASSERT_EQ(vmt->test, 0, virtio_kunit_register(&vmt->dev.vk));
	KUNIT_ASSERT_TRUE(vmt->test, virtio_kunit_is_bound(&vmt->dev.vk));
	vmt_settle(vmt);
}

/**
 * vmt_unbind() - remove the device under the driver
 * @vmt: the fixture. What is plugged stays plugged.
 *
 * Context: May sleep.
 */
void vmt_unbind(struct vmt *vmt)
{
	virtio_kunit_unregister(&vmt->dev.vk);
	vmt->unloaded = true;
}

/**
 * vmt_probe() - make a virtio-mem device and let the driver probe it
 * @test: the test case
 * @online_type: how memory is onlined that the driver adds
 * @nr_memory_blocks: size of the region in memory blocks
 * @requested_size: what to request from the beginning
 *
 * The device blocks are as small as the driver makes use of.
 *
 * Context: May sleep.
 * Return: the fixture.
 */
struct vmt *vmt_probe(struct kunit *test, enum mmop online_type,
		      unsigned long nr_memory_blocks, u64 requested_size)
{
	struct vmt *vmt = vmt_new(test, online_type, nr_memory_blocks, VMT_SB);

	vmt_bind(vmt, requested_size);
	return vmt;
}

static unsigned long vmt_activity(struct vmt *vmt)
{
	return READ_ONCE(vmt->activity) + READ_ONCE(vmt->dev.activity);
}

/**
 * vmt_settle() - wait until the driver has nothing more to do
 * @vmt: the fixture; no answers must be held back
 *
 * The driver works in system_freezable_wq, and may queue its work again while
 * it works, so wait until it did nothing the last time. An endless loop of
 * requests ends because the device answers only VIRTIO_MEM_MAX_REQUESTS of
 * them. Work that the driver postpones for 50 seconds or more is not waited
 * for: see vmt_retry().
 *
 * Context: May sleep.
 */
void vmt_settle(struct vmt *vmt)
{
	unsigned long last;

	__flush_workqueue(system_freezable_wq);
	do {
		last = vmt_activity(vmt);
		__flush_workqueue(system_freezable_wq);
	} while (vmt_activity(vmt) != last);
}

/**
 * vmt_resize() - request another size, and wait until the driver has done it
 * @vmt: the fixture
 * @size: what to request
 *
 * Context: May sleep.
 */
void vmt_resize(struct vmt *vmt, u64 size)
{
	virtio_mem_device_resize(&vmt->dev, size);
	vmt_settle(vmt);
}

/**
 * vmt_retry() - let the driver do now what it has postponed
 * @vmt: the fixture
 *
 * Context: May sleep.
 */
void vmt_retry(struct vmt *vmt)
{
	vmt_resize(vmt, le64_to_cpu(vmt->dev.config.requested_size));
}

DECLARE_PER_CPU(struct hrtimer_cpu_base, hrtimer_bases);

/* Find a timer that is waiting to expire, and lies at a certain address. */
static struct hrtimer *find_timer(const void *start, size_t size)
{
	struct rb_node *node;
	int cpu, i;

	for_each_possible_cpu(cpu) {
		struct hrtimer_cpu_base *base = &per_cpu(hrtimer_bases, cpu);

		guard(raw_spinlock_irqsave)(&base->lock);
		for (i = 0; i < HRTIMER_MAX_CLOCK_BASES; i++) {
			node = rb_first(&base->clock_base[i].active.rb_root.rb_root);
			for (; node; node = rb_next(node)) {
				/* The first member of a timer, in all kernels. */
				if ((void *)node >= start &&
				    (void *)node < start + size)
					return (void *)node;
			}
		}
	}
	return NULL;
}

/**
 * vmt_retry_timer() - find the timer that makes the driver retry later
 * @vmt: the fixture; a driver is bound to its device
 *
 * The timer is somewhere in what the driver allocated for the device.
 *
 * Context: May sleep.
 * Return: the timer, or NULL if the driver is not going to retry.
 */
struct hrtimer *vmt_retry_timer(struct vmt *vmt)
{
	const void *priv = vmt->dev.vk.vdev.priv;

	return find_timer(priv, ksize(priv));
}

/**
 * vmt_timer_is_queued() - is a timer waiting to expire?
 * @timer: the timer, which need not exist any more
 *
 * Context: May sleep.
 * Return: whether it is.
 */
bool vmt_timer_is_queued(const struct hrtimer *timer)
{
	return find_timer(timer, 1);
}

static bool retry_is_due(struct hrtimer *timer)
{
	return hrtimer_callback_running(timer) ||
	       (vmt_timer_is_queued(timer) &&
		hrtimer_get_remaining(timer) < NSEC_PER_SEC);
}

/**
 * vmt_expire_retry_timer() - have the time pass that the driver waits
 * @vmt: the fixture. The test case is aborted if the driver does not wait.
 *
 * Other than after vmt_retry(), the driver believes that the configuration is
 * the same as before. Returns when the driver has nothing more to do at once.
 *
 * Context: May sleep.
 */
void vmt_expire_retry_timer(struct vmt *vmt)
{
	struct hrtimer *timer = vmt_retry_timer(vmt);
	bool due;

	KUNIT_ASSERT_NOT_NULL_MSG(vmt->test, timer, "driver does not retry");
	hrtimer_start(timer, 0, HRTIMER_MODE_REL);
	KUNIT_ASSERT_EQ(vmt->test, 0,
			read_poll_timeout(retry_is_due, due, !due, USEC_PER_MSEC,
					  USEC_PER_SEC, false, timer));
	vmt_settle(vmt);
}

static struct memory_block *vmt_get_block(struct vmt *vmt, unsigned int i)
{
	return memory_block_at(vmt->ph.start + i * VMT_MB);
}

/**
 * vmt_online() - online a memory block, as user space does
 * @vmt: the fixture
 * @i: the number of the memory block in the region
 * @online_type: how to online it
 *
 * Context: May sleep.
 * Return: what device_online() returns, or -ENODEV.
 */
int vmt_online(struct vmt *vmt, unsigned int i, enum mmop online_type)
{
	return phantom_device_online(vmt->ph.start + i * VMT_MB, online_type);
}

/**
 * vmt_offline() - try to offline a memory block, as user space does
 * @vmt: the fixture
 * @i: the number of the memory block in the region
 *
 * Context: May sleep.
 * Return: what device_offline() returns, or -ENODEV.
 */
int vmt_offline(struct vmt *vmt, unsigned int i)
{
	return phantom_device_offline(vmt->ph.start + i * VMT_MB);
}

/**
 * vmt_is_present() - has the memory block been added?
 * @vmt: the fixture
 * @i: the number of the memory block in the region
 *
 * Return: whether it was added, and not removed.
 */
bool vmt_is_present(struct vmt *vmt, unsigned int i)
{
	struct memory_block *mem = vmt_get_block(vmt, i);

	if (mem)
		memory_block_put(mem);
	return mem;
}

/**
 * vmt_is_online() - is the memory block online?
 * @vmt: the fixture
 * @i: the number of the memory block in the region
 *
 * Return: whether it was added and onlined.
 */
bool vmt_is_online(struct vmt *vmt, unsigned int i)
{
	struct memory_block *mem = vmt_get_block(vmt, i);
	bool online = mem && mem->state == MEM_ONLINE;

	if (mem)
		memory_block_put(mem);
	return online;
}

/**
 * vmt_expect_pages() - expect a state of pages of the device
 * @vmt: the fixture
 * @offset: offset into the region
 * @size: how much
 * @state: the expected state, see phantom_expect()
 *
 * Context: May sleep.
 */
void vmt_expect_pages(struct vmt *vmt, u64 offset, u64 size,
		      enum phantom_state state)
{
	u64 start = round_down(offset, VMT_MB);

	for (; start < offset + size; start += VMT_MB) {
		if (vmt_is_present(vmt, start / VMT_MB))
			continue;
		KUNIT_FAIL(vmt->test, "memory block %llu is not there",
			   start / VMT_MB);
		return;
	}
	phantom_expect(&vmt->ph, vmt_pfn(vmt, offset), PHYS_PFN(size), state);
}

static void expect_dirty(struct vmt *vmt, unsigned long pfn,
			 unsigned long nr_pages, bool dirty)
{
	unsigned long i;

	for (i = 0; i < nr_pages; i++) {
		if (PageDirty(pfn_to_page(pfn + i)) == dirty)
			continue;
		KUNIT_FAIL(vmt->test, "page %lu of %lu is%s dirty", i, nr_pages,
			   dirty ? " not" : "");
		break;
	}
}

/* Expect all pages to be alike. Look only at some unless the test case ends. */
static void expect_alike(struct vmt *vmt, u64 offset, u64 size,
			 enum phantom_state state, bool dirty)
{
	unsigned long pfn = vmt_pfn(vmt, offset), nr_pages = PHYS_PFN(size);
	unsigned long i, step = vmt->thorough ? nr_pages : nr_pages / 2 - 1;
	unsigned long nr = vmt->thorough ? nr_pages : 1;

	for (i = 0; i + nr <= nr_pages; i += step) {
		phantom_expect(&vmt->ph, pfn + i, nr, state);
		if (state != PHANTOM_FREE)
			expect_dirty(vmt, pfn + i, nr, dirty);
	}
}

/*
 * Find the end of the device blocks from @block on that are in the same state.
 */
static unsigned long end_of_run(struct vmt *vmt, unsigned long block,
				unsigned long end)
{
	const bool plugged = test_bit(block, vmt->dev.plugged);
	const bool never_onlined = test_bit(block, vmt->never_onlined);

	while (++block < end) {
		if (test_bit(block, vmt->dev.plugged) != plugged ||
		    test_bit(block, vmt->never_onlined) != never_onlined)
			break;
	}
	return block;
}

/**
 * vmt_expect_block() - compare the memmap of a memory block with the device
 * @vmt: the fixture; its test case fails if they differ
 * @i: the number of the memory block in the region; it is online, or was until
 *	now
 * @free: whether to expect plugged pages to be in the buddy. Otherwise, look
 *	only at the others.
 *
 * Context: May sleep.
 * Return: how many pages are plugged.
 */
unsigned long vmt_expect_block(struct vmt *vmt, unsigned int i, bool free)
{
	const enum phantom_state unplugged = vmt->unloaded ? PHANTOM_OFFLINE :
							     PHANTOM_SKIPPABLE;
	const u64 block_size = vmt->dev.block_size;
	const u64 end = (i + 1) * VMT_MB / block_size;
	unsigned long block = i * VMT_MB / block_size, next, nr_plugged = 0;

	/* Memory is added only after all of a big block was plugged. */
	if (block_size > VMT_MB) {
		if (free)
			expect_alike(vmt, i * VMT_MB, VMT_MB, PHANTOM_FREE, false);
		return PHYS_PFN(VMT_MB);
	}

	for (; block < end; block = next) {
		const u64 offset = block * block_size;
		u64 size;

		next = end_of_run(vmt, block, end);
		size = (next - block) * block_size;
		if (!test_bit(block, vmt->dev.plugged)) {
			expect_alike(vmt, offset, size, unplugged,
				     test_bit(block, vmt->never_onlined));
			continue;
		}
		nr_plugged += PHYS_PFN(size);
		if (free)
			expect_alike(vmt, offset, size, PHANTOM_FREE, false);
	}
	return nr_plugged;
}

static int add_resource_size(struct resource *res, void *arg)
{
	*(u64 *)arg += resource_size(res);
	return 0;
}

/**
 * vmt_expect_consistent() - compare what device and kernel know about memory
 * @vmt: the fixture; its test case fails if the bitmap of the device, the
 *	memmap, the resource tree, and the counters differ
 *
 * Context: May sleep.
 */
void vmt_expect_consistent(struct vmt *vmt)
{
	const unsigned long nr_blocks = vmt->ph.size / VMT_MB;
	unsigned long start_pfn, end_pfn, nr_present = 0, plugged;
	struct phantom_snapshot expected = vmt->without, now;
	unsigned long zone_start[MAX_NR_ZONES] = {};
	struct zone *zone;
	u64 size = 0;
	int i, z;

	phantom_snapshot_take(&now);
	for (i = 0; i < nr_blocks; i++) {
		if (!vmt_is_present(vmt, i))
			continue;
		nr_present++;
		if (!vmt_is_online(vmt, i))
			continue;

		zone = vmt_zone(vmt, i);
		z = zone_idx(zone);
		start_pfn = vmt_pfn(vmt, i * VMT_MB);
		end_pfn = start_pfn + PHYS_PFN(VMT_MB);
		plugged = vmt_expect_block(vmt, i, true);

		expected.totalram += plugged;
		expected.zone[z].managed += plugged;
		expected.zone[z].free += plugged;
		expected.zone[z].present += PHYS_PFN(VMT_MB);
		expected.node_present += PHYS_PFN(VMT_MB);
		if (!zone_start[z])
			zone_start[z] = start_pfn;
		if (!vmt->without.zone[z].present)
			expected.zone[z].spanned = end_pfn - zone_start[z];
		expected.node_spanned =
			end_pfn - NODE_DATA(zone_to_nid(zone))->node_start_pfn;
	}
	expected.nr_memory_blocks += nr_present;
	expected.resources = now.resources;
	phantom_snapshot_expect(vmt->test, &expected);

	walk_iomem_res_desc(IORES_DESC_NONE, IORESOURCE_SYSTEM_RAM | IORESOURCE_BUSY,
			    vmt->ph.start, vmt->ph.start + vmt->ph.size - 1, &size,
			    add_resource_size);
	KUNIT_EXPECT_EQ(vmt->test, nr_present * VMT_MB, size);
}

/**
 * vmt_expect_plugged() - expect the size of plugged memory
 * @vmt: the fixture
 * @size: the size. All that vmt_expect_consistent() compares has to match, too.
 *
 * Context: May sleep.
 */
void vmt_expect_plugged(struct vmt *vmt, u64 size)
{
	KUNIT_EXPECT_EQ(vmt->test, size, virtio_mem_device_plugged_size(&vmt->dev));
	vmt_expect_consistent(vmt);
}

static void free_used_page(void *page)
{
	__free_page(page);
}

/**
 * vmt_use_page() - allocate a plugged page, such that it cannot be migrated
 * @vmt: the fixture
 * @offset: offset of the page into the region, in bytes
 *
 * Context: May sleep.
 * Return: the page.
 */
struct page *vmt_use_page(struct vmt *vmt, u64 offset)
{
	const unsigned long pfn = vmt_pfn(vmt, offset);

	KUNIT_ASSERT_TRUE(vmt->test, vmt_is_online(vmt, offset / VMT_MB));
	KUNIT_ASSERT_EQ(vmt->test, 0,
			alloc_contig_range(pfn, pfn + 1, ACR_FLAGS_NONE,
					   GFP_KERNEL));
	KUNIT_ASSERT_EQ(vmt->test, 0,
			kunit_add_action_or_reset(vmt->test, free_used_page,
						  pfn_to_page(pfn)));
	return pfn_to_page(pfn);
}

/**
 * vmt_stop_using_page() - free a page
 * @vmt: the fixture
 * @page: a page from vmt_use_page()
 *
 * Context: May sleep.
 */
void vmt_stop_using_page(struct vmt *vmt, struct page *page)
{
	kunit_release_action(vmt->test, free_used_page, page);
}

static int vmt_observer_notify(struct notifier_block *nb, unsigned long event,
			       void *arg)
{
	struct vmt_observer *observer = container_of(nb, struct vmt_observer, nb);
	const struct memory_notify *notify = arg;
	struct vmt *vmt = observer->vmt;
	const u64 start = PFN_PHYS(notify->start_pfn);
	unsigned int i;

	if (start < vmt->ph.start || start >= vmt->ph.start + vmt->ph.size ||
	    vmt->removing)
		return NOTIFY_DONE;
	i = (start - vmt->ph.start) / VMT_MB;

	switch (event) {
	case MEM_GOING_ONLINE:
		observer->nr_going++;
		return notifier_from_errno(observer->veto_online);
	case MEM_GOING_OFFLINE:
		observer->nr_going++;
		break;
	case MEM_CANCEL_OFFLINE:
		observer->nr_cancelled++;
		break;
	case MEM_OFFLINE:
		observer->nr_offline++;
		break;
	default:
		return NOTIFY_OK;
	}

	if (observer->fake_offline)
		vmt_expect_pages(vmt, i * VMT_MB, VMT_MB, PHANTOM_SKIPPABLE);
	else
		vmt_expect_block(vmt, i, false);
	if (event == MEM_GOING_OFFLINE && observer->veto)
		return notifier_from_errno(observer->veto);
	return NOTIFY_OK;
}

static void vmt_unregister_observer(void *nb)
{
	unregister_memory_notifier(nb);
}

/**
 * vmt_register_observer() - look at pages while memory blocks go offline
 * @vmt: the fixture. Its test case fails if, when the observer is notified,
 *	unplugged pages are not what they should be.
 * @priority: the priority. The one of the driver is 0.
 *
 * Context: May sleep.
 * Return: the observer.
 */
struct vmt_observer *vmt_register_observer(struct vmt *vmt, int priority)
{
	struct vmt_observer *observer;

	observer = kunit_kzalloc(vmt->test, sizeof(*observer), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(vmt->test, observer);
	observer->vmt = vmt;
	observer->nb.notifier_call = vmt_observer_notify;
	observer->nb.priority = priority;
	KUNIT_ASSERT_EQ(vmt->test, 0, register_memory_notifier(&observer->nb));
	KUNIT_ASSERT_EQ(vmt->test, 0,
			kunit_add_action_or_reset(vmt->test,
						  vmt_unregister_observer,
						  &observer->nb));
	return observer;
}
