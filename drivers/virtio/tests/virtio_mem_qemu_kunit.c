// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests for the virtio-mem driver with a device of a hypervisor, called a
 * QEMU device here: what it does about PageOffline() pages when somebody
 * outside resizes the device, with memory that really exists.
 *
 * A test case asks for a size on the console, see ask_for(), and says what it
 * believes to be plugged. A program that reads the console compares that with
 * what the hypervisor knows, and with what memory of the device was ever touched
 * since it was plugged. If all is well, it has the hypervisor change the
 * requested size of the device, which is the answer. If there has never been an
 * answer, all test cases are skipped.
 *
 * A test case starts and ends with nothing plugged. All memory of the device is
 * guarded by phantom_guard(), so that nobody but the test cases uses it; they
 * allocate it by alloc_contig_range().
 */
#include <kunit/memory_compat.h>
#include <kunit/mount.h>
#include <kunit/phantom_memory.h>
#include <kunit/test.h>
#include <linux/acpi.h>
#include <linux/anon_inodes.h>
#include <linux/crash_dump.h>
#include <linux/delay.h>
#include <linux/device.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/gfp.h>
#include <linux/jiffies.h>
#include <linux/memory.h>
#include <linux/migrate.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/pagemap.h>
#include <linux/seq_buf.h>
#include <linux/swap.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mem.h>
#include <linux/workqueue.h>

static unsigned int rounds = 20;
module_param(rounds, uint, 0444);
MODULE_PARM_DESC(rounds, "How often a memory block goes offline and online");

/* How long to wait until the device is resized, and for the driver. */
#define TIMEOUT_MS	(10 * MSEC_PER_SEC)
/* When to ask again, because a new console may drop what is printed. */
#define ASK_AGAIN_MS	500

/* The size of a memory block */
#define QM_MB	((u64)memory_block_size_bytes())
/* How many memory blocks the region of the device has to have. */
#define QM_NR_MB	4

/**
 * struct qemu_mem - a virtio-mem device of the hypervisor
 * @test: the test case
 * @vdev: the device, bound to its driver
 * @ph: the region of the device, for functions that take phantom memory
 * @sb: the granularity in which the driver plugs and unplugs memory
 * @without: the counters of memory hotplug while nothing is plugged
 * @nr_allocated: how many pages test cases have allocated
 */
struct qemu_mem {
	struct kunit *test;
	struct virtio_device *vdev;
	struct phantom_memory ph;
	u64 sb;
	struct phantom_snapshot without;
	unsigned long nr_allocated;
};

static unsigned long qm_pfn(struct qemu_mem *qm, u64 offset)
{
	return PHYS_PFN(qm->ph.start + offset);
}

/*
 * The device
 */

static u64 plugged_size(struct qemu_mem *qm)
{
	u64 size;

	virtio_cread_le(qm->vdev, struct virtio_mem_config, plugged_size, &size);
	return size;
}

static u64 requested_size(struct qemu_mem *qm)
{
	u64 size;

	virtio_cread_le(qm->vdev, struct virtio_mem_config, requested_size, &size);
	return size;
}

/* @ms bounds the wait, in milliseconds. */
static bool wait_until(struct qemu_mem *qm, u64 (*get)(struct qemu_mem *qm),
		       u64 size, unsigned int ms)
{
	const unsigned long deadline = jiffies + msecs_to_jiffies(ms);

	while (get(qm) != size) {
		if (time_after(jiffies, deadline))
			return false;
		fsleep(200);
	}
	return true;
}

static struct memory_block *qm_get_block(struct qemu_mem *qm, unsigned int i)
{
	return memory_block_at(qm->ph.start + i * QM_MB);
}

/*
 * Is a part of the region plugged, as far as pages tell? Those of a memory block
 * that is offline do not.
 */
static bool may_be_plugged(struct qemu_mem *qm, u64 offset, bool *sure)
{
	struct memory_block *mem = qm_get_block(qm, offset / QM_MB);
	bool plugged = mem;

	if (mem) {
		if (mem->state == MEM_ONLINE)
			plugged = !PageOffline(pfn_to_page(qm_pfn(qm, offset)));
		else
			*sure = false;
		memory_block_put(mem);
	}
	return plugged;
}

/* Say which parts of the region are plugged, by their offsets. */
static const char *plugged_parts(struct qemu_mem *qm)
{
	static char text[512];
	struct seq_buf parts;
	bool sure = true, was = false;
	u64 offset;

	seq_buf_init(&parts, text, sizeof(text));
	for (offset = 0; offset < qm->ph.size; offset += qm->sb) {
		bool is = may_be_plugged(qm, offset, &sure);

		if (is && !was)
			seq_buf_printf(&parts, " %#llx-", offset);
		else if (was && !is)
			seq_buf_printf(&parts, "%#llx", offset);
		was = is;
	}
	if (was)
		seq_buf_printf(&parts, "%#llx", offset);
	seq_buf_printf(&parts, " plugged%s", sure ? "" : " at most");
	KUNIT_EXPECT_FALSE(qm->test, seq_buf_has_overflowed(&parts));
	return seq_buf_str(&parts);
}

/* The program that reads the console looks for these words. */
static bool ask_for(struct qemu_mem *qm, u64 size)
{
	const char *parts;
	int i;

	/* The driver works in this workqueue. */
	__flush_workqueue(system_freezable_wq);
	parts = plugged_parts(qm);
	for (i = 0; i < TIMEOUT_MS / ASK_AGAIN_MS; i++) {
		kunit_info(qm->test, "please resize to %llu bytes, with%s\n", size,
			   parts);
		if (wait_until(qm, requested_size, size, ASK_AGAIN_MS))
			return true;
	}
	return false;
}

/* Nobody resized the device, or somebody refused to. */
static bool unanswered;

/* Have the device resized, and wait until the driver plugged that much. */
static bool try_to_resize(struct qemu_mem *qm, u64 size, u64 plugged)
{
	if (!ask_for(qm, size)) {
		unanswered = true;
		KUNIT_FAIL(qm->test, "nobody resized the device to %llu", size);
		return false;
	}
	if (!wait_until(qm, plugged_size, plugged, TIMEOUT_MS)) {
		KUNIT_FAIL(qm->test, "driver plugged %llu, should be %llu",
			   plugged_size(qm), plugged);
		return false;
	}
	/* The driver works in this workqueue. */
	__flush_workqueue(system_freezable_wq);
	return true;
}

static void resize_device_to(struct qemu_mem *qm, u64 size, u64 plugged)
{
	KUNIT_ASSERT_TRUE(qm->test, try_to_resize(qm, size, plugged));
}

static void resize_device(struct qemu_mem *qm, u64 size)
{
	resize_device_to(qm, size, size);
}

/*
 * Memory blocks
 */

static int online_block(struct qemu_mem *qm, unsigned int i,
			enum mmop online_type)
{
	return phantom_device_online(qm->ph.start + i * QM_MB, online_type);
}

static int offline_block(struct qemu_mem *qm, unsigned int i)
{
	return phantom_device_offline(qm->ph.start + i * QM_MB);
}

/*
 * Expect that @managed bytes of the device are managed pages, from the first
 * online memory block on, and that all counters match.
 */
static void expect_counters(struct qemu_mem *qm, u64 managed)
{
	struct phantom_snapshot expected = qm->without, now;
	const unsigned long nr_pages = PHYS_PFN(QM_MB);
	unsigned long nr_managed = PHYS_PFN(managed);
	struct memory_block *mem;
	unsigned long pfn;
	unsigned int i;

	for (i = 0; i < qm->ph.size / QM_MB; i++) {
		mem = qm_get_block(qm, i);
		if (!mem)
			continue;
		expected.nr_memory_blocks++;
		if (mem->state == MEM_ONLINE) {
			struct zone *zone;
			unsigned long nr;
			int z;

			pfn = qm_pfn(qm, i * QM_MB);
			zone = page_zone(pfn_to_page(pfn));
			z = zone_idx(zone);
			nr = min(nr_pages, nr_managed);
			nr_managed -= nr;

			expected.totalram += nr;
			expected.zone[z].managed += nr;
			expected.zone[z].free += nr;
			expected.zone[z].present += nr_pages;
			expected.zone[z].spanned += nr_pages;
			expected.node_present += nr_pages;
			expected.node_spanned = pfn + nr_pages -
				NODE_DATA(zone_to_nid(zone))->node_start_pfn;
			if (!i)
				expected.zone[z].free -= qm->nr_allocated;
		}
		memory_block_put(mem);
	}
	phantom_snapshot_take(&now);
	expected.resources = now.resources;
	phantom_snapshot_expect(qm->test, &expected);
}

static void expect_pages(struct qemu_mem *qm, u64 offset, u64 size,
			 enum phantom_state state)
{
	if (size)
		phantom_expect(&qm->ph, qm_pfn(qm, offset), PHYS_PFN(size),
			       state);
}

/* The driver remembers by PageDirty() what it never gave to the buddy. */
static void expect_dirty(struct qemu_mem *qm, u64 offset, u64 size, bool dirty)
{
	unsigned long i;

	for (i = 0; i < PHYS_PFN(size); i++) {
		if (PageDirty(pfn_to_page(qm_pfn(qm, offset) + i)) == dirty)
			continue;
		KUNIT_FAIL(qm->test, "page %lu from %#llx is%s dirty", i, offset,
			   dirty ? " not" : "");
		break;
	}
}

/*
 * Expect that exactly the first @size bytes of the region are plugged and free,
 * and that the rest of the last memory block is skippable.
 */
static void expect_plugged(struct qemu_mem *qm, u64 size)
{
	KUNIT_EXPECT_EQ(qm->test, size, plugged_size(qm));
	expect_counters(qm, size);
	expect_pages(qm, 0, size, PHANTOM_FREE);
	expect_pages(qm, size, ALIGN(size, QM_MB) - size, PHANTOM_SKIPPABLE);
}

/*
 * Contents
 */

/* Pages of the device that a test case has allocated */
struct qm_area {
	struct qemu_mem *qm;
	u64 offset;
	u64 size;
};

static void free_qm_area_action(void *arg)
{
	struct qm_area *area = arg;

	area->qm->nr_allocated -= PHYS_PFN(area->size);
	free_contig_range(qm_pfn(area->qm, area->offset),
			  PHYS_PFN(area->size));
}

/* Allocate these pages; they are freed when the test case ends. */
static struct qm_area *alloc_qm_area(struct qemu_mem *qm, u64 offset,
				     u64 size)
{
	const unsigned long start_pfn = qm_pfn(qm, offset);
	struct qm_area *area;

	area = kunit_kzalloc(qm->test, sizeof(*area), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(qm->test, area);
	area->qm = qm;
	area->offset = offset;
	area->size = size;
	KUNIT_ASSERT_EQ_MSG(qm->test, 0,
			    alloc_contig_range(start_pfn,
					       start_pfn + PHYS_PFN(size),
					       ACR_FLAGS_NONE, GFP_KERNEL),
			    "%#llx bytes at %#llx", size, offset);
	qm->nr_allocated += PHYS_PFN(size);
	KUNIT_ASSERT_EQ(qm->test, 0,
			kunit_add_action_or_reset(qm->test, free_qm_area_action,
						  area));
	return area;
}

static void free_qm_area(struct qm_area *area)
{
	kunit_release_action(area->qm->test, free_qm_area_action, area);
}

/*
 * The pattern: the first word of each cache line is its own address and a mark.
 */
#define STEP	(64 / sizeof(u64))

static u64 word_for(const u64 *where, u8 mark)
{
	return mark ? (u64)(uintptr_t)where ^ (mark * 0x0101010101010101ULL) : 0;
}

static void write_pattern(struct qm_area *area, u8 mark)
{
	u64 *start = page_address(pfn_to_page(qm_pfn(area->qm, area->offset)));
	u64 *where;

	for (where = start; where < start + area->size / sizeof(u64); where += STEP)
		*where = word_for(where, mark);
}

/* Expect what write_pattern() wrote, or zeroes if @mark is 0. */
static void expect_pattern(struct qm_area *area, u8 mark)
{
	u64 *start = page_address(pfn_to_page(qm_pfn(area->qm, area->offset)));
	u64 *where;

	for (where = start; where < start + area->size / sizeof(u64); where += STEP) {
		if (*where == word_for(where, mark))
			continue;
		KUNIT_FAIL(area->qm->test, "%#llx at %#llx, expected %#llx", *where,
			   area->offset + (where - start) * sizeof(u64),
			   word_for(where, mark));
		break;
	}
}

/* Allocate free memory, write the pattern to it, and free it. */
static void write_contents(struct qemu_mem *qm, u64 offset, u64 size, u8 mark)
{
	struct qm_area *area;

	if (!size)
		return;
	area = alloc_qm_area(qm, offset, size);
	write_pattern(area, mark);
	expect_pattern(area, mark);
	free_qm_area(area);
}

/* Expect that free memory contains the pattern, as nobody else has used it. */
static void expect_contents(struct qemu_mem *qm, u64 offset, u64 size, u8 mark)
{
	struct qm_area *area;

	if (!size || want_init_on_alloc(GFP_KERNEL) || want_init_on_free() ||
	    page_poisoning_enabled())
		return;
	area = alloc_qm_area(qm, offset, size);
	expect_pattern(area, mark);
	free_qm_area(area);
}

/*
 * The fixture
 */

/* Only a driver can search the bus. This one matches no device. */
static const struct virtio_device_id no_device[] = { { 0 } };

static struct virtio_driver bus_visitor = {
	.driver.name = "virtio_mem_qemu_kunit",
	.id_table = no_device,
};

static int is_virtio_mem(struct device *dev, const void *unused)
{
	return dev_to_virtio(dev)->id.device == VIRTIO_ID_MEM;
}

static void put_vdev(void *vdev)
{
	put_device(&((struct virtio_device *)vdev)->dev);
}

static struct virtio_device *find_device(struct kunit *test)
{
	struct virtio_device *vdev;
	struct device *dev;

	KUNIT_ASSERT_EQ(test, 0, register_virtio_driver(&bus_visitor));
	dev = bus_find_device(bus_visitor.driver.bus, NULL, NULL, is_virtio_mem);
	unregister_virtio_driver(&bus_visitor);
	if (!dev)
		kunit_skip(test, "there is no virtio-mem device");
	vdev = dev_to_virtio(dev);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, put_vdev, vdev));
	if (!dev->driver)
		kunit_skip(test, "no driver is bound to the virtio-mem device");
	return vdev;
}

static void restore_online_type(void *online_type)
{
	mhp_set_default_online_type((long)online_type);
}

/* How memory is onlined that the driver adds. */
static void set_online_type(struct kunit *test, enum mmop online_type)
{
	const long old = mhp_get_default_online_type();

	mhp_set_default_online_type(online_type);
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, restore_online_type,
						  (void *)old));
}

/* Device or driver did not return to their initial state. */
static bool lost;

/* Skip the test case if nobody resizes the device. */
static void require_listener(struct qemu_mem *qm)
{
	static enum { UNKNOWN, PRESENT, ABSENT } listener;
	const u64 other_size = requested_size(qm) ? 0 : qm->sb;

	if (listener == UNKNOWN)
		listener = ask_for(qm, other_size) ? PRESENT : ABSENT;
	if (listener == ABSENT)
		kunit_skip(qm->test,
			   "nobody resizes the device when asked to on the console");
	lost = requested_size(qm) == other_size &&
	       !wait_until(qm, plugged_size, other_size, TIMEOUT_MS);
	/* The driver may be about to remove what is unplugged. */
	__flush_workqueue(system_freezable_wq);
	KUNIT_ASSERT_FALSE_MSG(qm->test, lost,
			       "the driver does not plug what is requested");
}

/* Unplug all, even if that was requested before without success. */
static bool resize_to_nothing(struct qemu_mem *qm)
{
	const u64 plugged = plugged_size(qm);

	if (plugged && !requested_size(qm) && !try_to_resize(qm, plugged, plugged))
		return false;
	return !requested_size(qm) || try_to_resize(qm, 0, 0);
}

/*
 * Make all PageOffline() pages skippable. Return the number of memory blocks.
 */
static unsigned int allow_offlining(struct qemu_mem *qm)
{
	unsigned int i, nr_blocks = 0;
	unsigned long pfn, end_pfn;
	struct memory_block *mem;

	for (i = 0; i < qm->ph.size / QM_MB; i++) {
		mem = qm_get_block(qm, i);
		if (!mem)
			continue;
		nr_blocks++;
		end_pfn = qm_pfn(qm, (i + 1) * QM_MB);
		for (pfn = qm_pfn(qm, i * QM_MB); pfn < end_pfn; pfn++) {
			struct page *page = pfn_to_page(pfn);

			if (mem->state == MEM_ONLINE && PageOffline(page))
				SetPageOfflineSkippable(page);
		}
		memory_block_put(mem);
	}
	return nr_blocks;
}

static void qemu_mem_end(void *arg)
{
	struct qemu_mem *qm = arg;

	/* The driver was unbound on purpose, and cannot be bound again. */
	if (!qm->vdev->dev.driver)
		return;
	lost = !resize_to_nothing(qm);
	if (lost || !allow_offlining(qm))
		return;

	/*
	 * Try again, so that a single bug does not make every test case fail.
	 */
	KUNIT_FAIL(qm->test, "the driver left memory behind");
	lost = !try_to_resize(qm, qm->sb, qm->sb) || !resize_to_nothing(qm) ||
	       allow_offlining(qm);
}

/* Find a device that is large enough. */
static struct qemu_mem *find_qemu_mem(struct kunit *test)
{
	struct qemu_mem *qm;
	u64 block_size;

	phantom_require(test);
	qm = kunit_kzalloc(test, sizeof(*qm), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, qm);
	test->priv = qm;
	qm->test = test;
	qm->ph.test = test;
	qm->vdev = find_device(test);
	virtio_cread_le(qm->vdev, struct virtio_mem_config, addr, &qm->ph.start);
	virtio_cread_le(qm->vdev, struct virtio_mem_config, region_size,
			&qm->ph.size);
	virtio_cread_le(qm->vdev, struct virtio_mem_config, block_size,
			&block_size);
	qm->sb = max(block_size, PFN_PHYS(pageblock_nr_pages));
	if (qm->sb > QM_MB / 8)
		kunit_skip(test, "device blocks of %#llx are too large for memory blocks of %#llx",
			   block_size, QM_MB);
	if (qm->ph.size < QM_NR_MB * QM_MB || !IS_ALIGNED(qm->ph.start, QM_MB))
		kunit_skip(test, "region %#llx-%#llx does not have %u memory blocks",
			   qm->ph.start, qm->ph.start + qm->ph.size - 1,
			   QM_NR_MB);
	return qm;
}

static int qemu_mem_init(struct kunit *test)
{
	struct qemu_mem *qm = find_qemu_mem(test);

	if (lost)
		kunit_skip(test, "the device was lost in an earlier test case");
	if (unanswered)
		kunit_skip(test, "there was no answer in an earlier test case");
	set_online_type(test, MMOP_OFFLINE);
	require_listener(qm);
	lost = !resize_to_nothing(qm);
	KUNIT_ASSERT_FALSE(test, lost);
	return 0;
}

/* For test cases that leave everything as it was before. */
static int qemu_mem_init_and_restore(struct kunit *test)
{
	struct qemu_mem *qm;

	qemu_mem_init(test);
	qm = test->priv;
	phantom_snapshot_take(&qm->without);
	phantom_snapshot_expect_at_end(test);
	phantom_guard(test);
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, qemu_mem_end, qm));
	return 0;
}

/*
 * Cases
 */

/**
 * struct qemu_mem_param - a variant of a test case
 * @desc: the variant in words
 * @online_type: the kind of zone that memory of the device is onlined to
 */
struct qemu_mem_param {
	const char *desc;
	enum mmop online_type;
};

static const struct qemu_mem_param zone_params[] = {
	{ .desc = "ZONE_MOVABLE", .online_type = MMOP_ONLINE_MOVABLE },
	{ .desc = "kernel zone", .online_type = MMOP_ONLINE_KERNEL },
};

KUNIT_ARRAY_PARAM_DESC(zone, zone_params, desc);

static enum mmop zone_param(struct kunit *test)
{
	return ((const struct qemu_mem_param *)test->param_value)->online_type;
}

/* Skip the test case if others use the zone that @online_type stands for. */
static void require_empty_zone(struct kunit *test, enum mmop online_type)
{
	const int z = online_type == MMOP_ONLINE_MOVABLE ? ZONE_MOVABLE : ZONE_NORMAL;
	struct zone *zone = &NODE_DATA(first_memory_node)->node_zones[z];

	if (zone_managed_pages(zone))
		kunit_skip(test, "zone %s has other memory", zone->name);
}

/* Have @size plugged, and onlined to the zone of this variant. */
static struct qemu_mem *plug_and_online(struct kunit *test, u64 size)
{
	struct qemu_mem *qm = test->priv;

	require_empty_zone(test, zone_param(test));
	set_online_type(test, zone_param(test));
	resize_device(qm, size);
	return qm;
}

/*
 * With a QEMU device, virtio-mem plugs half of a memory block, which can be
 * used, and the other half is skippable.
 */
static void plugs_half_a_memory_block(struct kunit *test)
{
	struct qemu_mem *qm = plug_and_online(test, QM_MB / 2);

	expect_plugged(qm, QM_MB / 2);
	expect_dirty(qm, QM_MB / 2, QM_MB / 2, true);
	write_contents(qm, 0, QM_MB / 2, 0xa5);
	expect_plugged(qm, QM_MB / 2);
}

/*
 * With a QEMU device, free memory that virtio-mem unplugs becomes skippable,
 * and the rest keeps its contents.
 */
static void shrinking_makes_free_memory_skippable(struct kunit *test)
{
	struct qemu_mem *qm = plug_and_online(test, QM_MB);

	write_contents(qm, 0, QM_MB, 0xa5);
	resize_device(qm, QM_MB / 2);
	expect_plugged(qm, QM_MB / 2);
	expect_dirty(qm, QM_MB / 2, QM_MB / 2, false);
	expect_contents(qm, 0, QM_MB / 2, 0xa5);
}

/*
 * With a QEMU device, memory that is unplugged and plugged again is zero,
 * because the host had it back in between.
 */
static void shrinking_gives_memory_back_to_the_host(struct kunit *test)
{
	struct qemu_mem *qm = plug_and_online(test, QM_MB);

	write_contents(qm, 0, QM_MB, 0xa5);
	resize_device(qm, QM_MB / 2);
	resize_device(qm, QM_MB);
	expect_plugged(qm, QM_MB);
	expect_contents(qm, 0, QM_MB / 2, 0xa5);
	expect_contents(qm, QM_MB / 2, QM_MB / 2, 0);
}

/*
 * With a QEMU device, a partially plugged memory block can be offlined and
 * onlined many times, and plugged memory keeps its contents.
 */
static void partially_plugged_block_survives_many_rounds(struct kunit *test)
{
	struct qemu_mem *qm = plug_and_online(test, QM_MB / 2);
	unsigned int i;

	write_contents(qm, 0, QM_MB / 2, 0xa5);
	for (i = 0; i < rounds; i++) {
		KUNIT_ASSERT_EQ_MSG(test, 0, offline_block(qm, 0), "round %u",
				    i);
		expect_counters(qm, 0);
		KUNIT_ASSERT_EQ_MSG(test, 0,
				    online_block(qm, 0, zone_param(test)),
				    "round %u", i);
		expect_plugged(qm, QM_MB / 2);
	}
	expect_dirty(qm, QM_MB / 2, QM_MB / 2, true);
	expect_contents(qm, 0, QM_MB / 2, 0xa5);
}

/*
 * With a QEMU device, a memory block can be offlined and onlined after each of
 * several resizes, and plugged memory keeps its contents.
 *
 * After the first resize, the block has memory that was unplugged while it was
 * online.
 */
static void block_survives_a_round_after_each_resize(struct kunit *test)
{
	struct qemu_mem *qm = plug_and_online(test, QM_MB);
	const u64 sizes[] = {
		QM_MB / 2, QM_MB / 4, QM_MB / 2 + qm->sb, QM_MB - qm->sb,
		qm->sb, QM_MB,
	};
	int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		resize_device(qm, sizes[i]);
		expect_plugged(qm, sizes[i]);
		write_contents(qm, 0, sizes[i], i + 1);
		KUNIT_ASSERT_EQ(test, 0, offline_block(qm, 0));
		KUNIT_ASSERT_EQ(test, 0, online_block(qm, 0, zone_param(test)));
		expect_plugged(qm, sizes[i]);
		expect_dirty(qm, sizes[i], QM_MB - sizes[i], true);
		expect_contents(qm, 0, sizes[i], i + 1);
	}
}

/*
 * With a QEMU device, resizing across several memory blocks leaves exactly the
 * requested size plugged, and memory that stays plugged keeps its contents.
 */
static void resizes_across_memory_blocks(struct kunit *test)
{
	struct qemu_mem *qm = plug_and_online(test, QM_MB / 2);
	const u64 sizes[] = {
		QM_MB + QM_MB / 2, QM_MB, QM_MB + qm->sb, QM_MB - qm->sb,
		3 * QM_MB, 2 * QM_MB + QM_MB / 2, 3 * QM_MB - qm->sb,
		QM_MB / 2, 2 * QM_MB, 0,
	};
	u64 size = plugged_size(qm);
	int i;

	write_contents(qm, 0, size, 0xa5);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		resize_device(qm, sizes[i]);
		expect_plugged(qm, sizes[i]);
		expect_contents(qm, 0, min(size, sizes[i]), 0xa5);
		if (sizes[i] > size)
			write_contents(qm, size, sizes[i] - size, 0xa5);
		size = sizes[i];
	}
}

/* With a QEMU device, memory in use is not unplugged and keeps its contents. */
static void memory_in_use_stays_plugged(struct kunit *test)
{
	struct qemu_mem *qm = plug_and_online(test, QM_MB + QM_MB / 2);
	const u64 offset = 3 * qm->sb;
	struct qm_area *area;

	area = alloc_qm_area(qm, offset, qm->sb);
	write_pattern(area, 0xa5);
	resize_device_to(qm, 0, qm->sb);
	expect_counters(qm, qm->sb);
	expect_pages(qm, 0, offset, PHANTOM_SKIPPABLE);
	expect_pages(qm, offset + qm->sb, QM_MB - offset - qm->sb,
		     PHANTOM_SKIPPABLE);
	expect_pattern(area, 0xa5);

	resize_device(qm, QM_MB);
	expect_counters(qm, QM_MB);
	expect_pages(qm, 0, offset, PHANTOM_FREE);
	expect_pages(qm, offset + qm->sb, QM_MB - offset - qm->sb,
		     PHANTOM_FREE);
	expect_pattern(area, 0xa5);

	free_qm_area(area);
	expect_plugged(qm, QM_MB);
}

/*
 * With a QEMU device, a PageOffline() page of somebody else that is not
 * skippable makes offlining the memory block fail with -EBUSY, and nothing else
 * changes.
 *
 * It might belong to a driver that does not use PG_offline_skippable.
 */
static void other_offline_page_blocks_offlining(struct kunit *test)
{
	struct qemu_mem *qm = plug_and_online(test, QM_MB / 2);
	const u64 offset = QM_MB / 4;
	struct qm_area *area;
	struct page *page;

	write_contents(qm, 0, QM_MB / 2, 0xa5);
	area = alloc_qm_area(qm, offset, PAGE_SIZE);
	page = pfn_to_page(qm_pfn(qm, offset));
	__SetPageOffline(page);

	KUNIT_EXPECT_EQ(test, -EBUSY, offline_block(qm, 0));
	expect_counters(qm, QM_MB / 2);
	expect_pages(qm, 0, offset, PHANTOM_FREE);
	expect_pages(qm, offset, PAGE_SIZE, PHANTOM_OFFLINE);
	expect_pages(qm, offset + PAGE_SIZE, QM_MB / 2 - offset - PAGE_SIZE,
		     PHANTOM_FREE);
	expect_pages(qm, QM_MB / 2, QM_MB / 2, PHANTOM_SKIPPABLE);
	__ClearPageOffline(page);
	free_qm_area(area);

	expect_contents(qm, 0, QM_MB / 2, 0xa5);
	resize_device(qm, QM_MB);
	expect_plugged(qm, QM_MB);
	write_contents(qm, 0, QM_MB, 0x5a);
	resize_device(qm, QM_MB / 2);
	expect_plugged(qm, QM_MB / 2);
	KUNIT_EXPECT_EQ(test, 0, offline_block(qm, 0));
	KUNIT_EXPECT_EQ(test, 0, online_block(qm, 0, zone_param(test)));
	expect_plugged(qm, QM_MB / 2);
	expect_contents(qm, 0, QM_MB / 2, 0x5a);
}

/*
 * With a QEMU device, virtio-mem plugs and unplugs memory of a memory block
 * that is offline.
 */
static void offline_block_is_resized(struct kunit *test)
{
	struct qemu_mem *qm = test->priv;

	/* The driver adds memory, but does not online it. */
	require_empty_zone(test, zone_param(test));
	resize_device(qm, QM_MB / 2);
	expect_counters(qm, 0);
	resize_device(qm, QM_MB / 2 + QM_MB / 4);
	expect_counters(qm, 0);
	resize_device(qm, QM_MB / 2 + qm->sb);
	expect_counters(qm, 0);

	KUNIT_ASSERT_EQ(test, 0, online_block(qm, 0, zone_param(test)));
	expect_plugged(qm, QM_MB / 2 + qm->sb);
	expect_dirty(qm, QM_MB / 2 + qm->sb, QM_MB / 2 - qm->sb, true);
	write_contents(qm, 0, QM_MB / 2 + qm->sb, 0xa5);
	KUNIT_ASSERT_EQ(test, 0, offline_block(qm, 0));

	resize_device(qm, QM_MB / 4);
	KUNIT_ASSERT_EQ(test, 0, online_block(qm, 0, zone_param(test)));
	expect_plugged(qm, QM_MB / 4);
	expect_contents(qm, 0, QM_MB / 4, 0xa5);
}

static const struct file_operations test_fops = {
	.owner = THIS_MODULE,
};

static const struct address_space_operations test_aops = {
	.migrate_folio = migrate_folio,
};

static void close_file(void *file)
{
	truncate_inode_pages(((struct file *)file)->f_mapping, 0);
	fput(file);
}

/* Create a file without contents, whose page cache can be migrated. */
static struct address_space *create_mapping(struct kunit *test)
{
	struct file *file;

	file = anon_inode_create_getfile("[virtio_mem_qemu]", &test_fops, NULL,
					 O_RDWR, NULL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, file);
	file->f_mapping->a_ops = &test_aops;
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, close_file, file));
	return file->f_mapping;
}

/*
 * With a QEMU device, offlining a memory block migrates a page cache folio out
 * of it, with its contents.
 */
static void offlining_moves_contents_away(struct kunit *test)
{
	struct qemu_mem *qm = plug_and_online(test, QM_MB / 2);
	struct address_space *mapping = create_mapping(test);
	const unsigned long pfn = qm_pfn(qm, QM_MB / 2 - PAGE_SIZE);
	struct folio *folio;

	/* The last plugged page goes to the page cache. */
	KUNIT_ASSERT_EQ(test, 0, alloc_contig_range(pfn, pfn + 1, ACR_FLAGS_NONE,
						    GFP_KERNEL));
	folio = page_folio(pfn_to_page(pfn));
	memset(folio_address(folio), 0xa5, PAGE_SIZE);
	KUNIT_ASSERT_EQ(test, 0, filemap_add_folio(mapping, folio, 0, GFP_KERNEL));
	folio_mark_uptodate(folio);
	folio_unlock(folio);
	folio_put(folio);
	lru_add_drain_all();

	KUNIT_EXPECT_EQ(test, 0, offline_block(qm, 0));
	expect_counters(qm, 0);

	folio = filemap_get_folio(mapping, 0);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, folio);
	KUNIT_EXPECT_NE(test, pfn, folio_pfn(folio));
	KUNIT_EXPECT_NULL(test, memchr_inv(folio_address(folio), 0xa5, PAGE_SIZE));
	folio_put(folio);

	KUNIT_EXPECT_EQ(test, 0, online_block(qm, 0, zone_param(test)));
	expect_plugged(qm, QM_MB / 2);
}

/*
 * With a QEMU device, virtio-mem plugs what is requested before the machine
 * starts, if anything, and it is onlined as the kernel's command line says.
 *
 * This has to be the first case that uses the device.
 */
static void memory_requested_before_the_start_is_online(struct kunit *test)
{
	struct qemu_mem *qm = find_qemu_mem(test);
	const enum mmop type = mhp_get_default_online_type();
	const u64 size = requested_size(qm);
	struct memory_block *mem;
	struct page *page;
	u64 offset;

	if (!size) {
		KUNIT_EXPECT_EQ(test, 0, plugged_size(qm));
		return;
	}
	KUNIT_ASSERT_TRUE(test, wait_until(qm, plugged_size, size, TIMEOUT_MS));
	__flush_workqueue(system_freezable_wq);
	for (offset = 0; offset < size; offset += QM_MB) {
		mem = qm_get_block(qm, offset / QM_MB);
		KUNIT_ASSERT_NOT_NULL(test, mem);
		KUNIT_EXPECT_EQ(test, type == MMOP_OFFLINE ? MEM_OFFLINE : MEM_ONLINE,
				mem->state);
		page = pfn_to_page(qm_pfn(qm, offset));
		if (type == MMOP_ONLINE_MOVABLE)
			KUNIT_EXPECT_TRUE(test, is_zone_movable_page(page));
		memory_block_put(mem);
	}
	if (type != MMOP_OFFLINE)
		expect_pages(qm, size, ALIGN(size, QM_MB) - size, PHANTOM_SKIPPABLE);
}

#ifdef CONFIG_ACPI_NUMA
/* The node of a device by the firmware's tables. */
static int node_of_device(struct qemu_mem *qm)
{
	u16 pxm;

	if (!virtio_has_feature(qm->vdev, VIRTIO_MEM_F_ACPI_PXM))
		return memory_add_physaddr_to_nid(qm->ph.start);
	virtio_cread_le(qm->vdev, struct virtio_mem_config, node_id, &pxm);
	return pxm_to_node(pxm);
}

static int expect_node_of_device(struct device *dev, void *arg)
{
	struct kunit *test = arg;
	struct qemu_mem qm = { .test = test };
	struct memory_block *mem;
	unsigned int i;
	int nid;

	if (!is_virtio_mem(dev, NULL) || !dev->driver)
		return 0;
	qm.vdev = dev_to_virtio(dev);
	virtio_cread_le(qm.vdev, struct virtio_mem_config, addr, &qm.ph.start);
	nid = node_of_device(&qm);
	KUNIT_EXPECT_NE(test, NUMA_NO_NODE, nid);
	KUNIT_EXPECT_TRUE(test, wait_until(&qm, plugged_size, requested_size(&qm),
					   TIMEOUT_MS));
	for (i = 0; i < DIV_ROUND_UP(requested_size(&qm), QM_MB); i++) {
		mem = qm_get_block(&qm, i);
		KUNIT_EXPECT_NOT_NULL(test, mem);
		if (!mem)
			break;
		KUNIT_EXPECT_EQ(test, nid, mem->nid);
		memory_block_put(mem);
	}
	return 0;
}

/*
 * With QEMU devices, virtio-mem adds what is requested before the machine starts
 * to the node that the device says, for each device.
 */
static void memory_is_on_the_node_of_its_device(struct kunit *test)
{
	find_qemu_mem(test);
	bus_for_each_dev(bus_visitor.driver.bus, NULL, test,
			 expect_node_of_device);
}
#endif

static struct kunit_case virtio_mem_qemu_start_cases[] = {
	KUNIT_CASE(memory_requested_before_the_start_is_online),
#ifdef CONFIG_ACPI_NUMA
	KUNIT_CASE(memory_is_on_the_node_of_its_device),
#endif
	{}
};

static struct kunit_suite virtio_mem_qemu_start_suite = {
	.name = "virtio_mem_qemu_start",
	.test_cases = virtio_mem_qemu_start_cases,
};

static struct kunit_case virtio_mem_qemu_cases[] = {
	KUNIT_CASE_PARAM(plugs_half_a_memory_block, zone_gen_params),
	KUNIT_CASE_PARAM(shrinking_makes_free_memory_skippable, zone_gen_params),
	KUNIT_CASE_PARAM(shrinking_gives_memory_back_to_the_host, zone_gen_params),
	KUNIT_CASE_PARAM(partially_plugged_block_survives_many_rounds,
			 zone_gen_params),
	KUNIT_CASE_PARAM(block_survives_a_round_after_each_resize, zone_gen_params),
	KUNIT_CASE_PARAM_ATTR(resizes_across_memory_blocks, zone_gen_params,
			      { .speed = KUNIT_SPEED_SLOW }),
	KUNIT_CASE_PARAM(memory_in_use_stays_plugged, zone_gen_params),
	KUNIT_CASE_PARAM(other_offline_page_blocks_offlining, zone_gen_params),
	KUNIT_CASE_PARAM(offline_block_is_resized, zone_gen_params),
	KUNIT_CASE_PARAM(offlining_moves_contents_away, zone_gen_params),
	{}
};

static struct kunit_suite virtio_mem_qemu_suite = {
	.name = "virtio_mem_qemu",
	.init = qemu_mem_init_and_restore,
	.test_cases = virtio_mem_qemu_cases,
};

/*
 * With a QEMU device, offlining fails with -EBUSY for partially plugged memory
 * blocks after virtio-mem is unbound, and succeeds for fully plugged ones.
 *
 * The driver refuses to be bound again while memory of the device is in the
 * system, so this has to be the last case of the last suite that uses the
 * device.
 */
static void unbinding_keeps_partially_plugged_blocks_online(struct kunit *test)
{
	static const unsigned int full[] = { 0, 2 }, partial[] = { 1, 3 };
	struct qemu_mem *qm = test->priv;
	struct qm_area *area[2];
	int i;

	/*
	 * Two memory blocks in each zone, of which the second is plugged
	 * partially.
	 */
	require_empty_zone(test, MMOP_ONLINE_KERNEL);
	require_empty_zone(test, MMOP_ONLINE_MOVABLE);
	set_online_type(test, MMOP_ONLINE_KERNEL);
	resize_device(qm, 2 * QM_MB);
	set_online_type(test, MMOP_ONLINE_MOVABLE);
	resize_device(qm, 4 * QM_MB);
	for (i = 0; i < 2; i++) {
		area[i] = alloc_qm_area(qm, full[i] * QM_MB, QM_MB + QM_MB / 2);
		write_pattern(area[i], 0xa5);
	}
	resize_device(qm, 3 * QM_MB);
	for (i = 0; i < 2; i++)
		expect_pages(qm, partial[i] * QM_MB + QM_MB / 2, QM_MB / 2,
			     PHANTOM_SKIPPABLE);

	device_release_driver(&qm->vdev->dev);

	for (i = 0; i < 2; i++) {
		expect_pattern(area[i], 0xa5);
		free_qm_area(area[i]);
		expect_pages(qm, partial[i] * QM_MB + QM_MB / 2, QM_MB / 2,
			     PHANTOM_OFFLINE);
		KUNIT_EXPECT_EQ(test, -EBUSY, offline_block(qm, partial[i]));
		expect_pages(qm, partial[i] * QM_MB, QM_MB / 2, PHANTOM_FREE);
		expect_pages(qm, partial[i] * QM_MB + QM_MB / 2, QM_MB / 2,
			     PHANTOM_OFFLINE);

		KUNIT_EXPECT_EQ(test, 0, offline_block(qm, full[i]));
		KUNIT_EXPECT_EQ(test, 0,
				online_block(qm, full[i],
					     i ? MMOP_ONLINE_MOVABLE :
						 MMOP_ONLINE_KERNEL));
		expect_pages(qm, full[i] * QM_MB, QM_MB, PHANTOM_FREE);
		expect_contents(qm, full[i] * QM_MB, QM_MB + QM_MB / 2, 0xa5);
	}
	KUNIT_EXPECT_EQ(test, 3 * QM_MB, plugged_size(qm));
	KUNIT_EXPECT_EQ(test, PHYS_PFN(3 * QM_MB),
			totalram_pages() - qm->without.totalram);
	/* Nobody does it, but what is unplugged is compared once more. */
	KUNIT_EXPECT_TRUE(test, ask_for(qm, 0));
}

static struct kunit_case virtio_mem_qemu_unbind_cases[] = {
	KUNIT_CASE(unbinding_keeps_partially_plugged_blocks_online),
	{}
};

static int qemu_mem_init_to_unbind(struct kunit *test)
{
	struct qemu_mem *qm;

	qemu_mem_init(test);
	qm = test->priv;
	phantom_snapshot_take(&qm->without);
	phantom_guard(test);
	return kunit_add_action_or_reset(test, qemu_mem_end, qm);
}

static struct kunit_suite virtio_mem_qemu_unbind_suite = {
	.name = "virtio_mem_qemu_unbind",
	.init = qemu_mem_init_to_unbind,
	.test_cases = virtio_mem_qemu_unbind_cases,
};

#ifdef CONFIG_PROC_VMCORE
static struct file *open_vmcore(struct kunit *test)
{
	struct vfsmount *proc = kunit_mount(test, "proc");
	struct file *file;

	KUNIT_ASSERT_NOT_NULL(test, proc);
	file = file_open_root_mnt(proc, "vmcore", O_RDONLY, 0);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, file);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, close_file, file));
	return file;
}

/*
 * A kdump kernel can read all of the memory of the kernel that crashed, beside a
 * QEMU device.
 *
 * Whoever owns the memory of the device can tell what was read of it. In other
 * kernels, there is nothing to be read.
 */
static void dump_can_be_read_to_its_end(struct kunit *test)
{
	const size_t size = SZ_64K;
	struct file *file;
	loff_t pos = 0;
	ssize_t ret;
	void *buf;

	if (!is_kdump_kernel())
		return;
	buf = kunit_kmalloc(test, size, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, buf);
	file = open_vmcore(test);
	do {
		ret = kernel_read(file, buf, size, &pos);
	} while (ret > 0);
	KUNIT_EXPECT_EQ(test, 0, ret);
	KUNIT_EXPECT_EQ(test, i_size_read(file_inode(file)), pos);
}

static struct kunit_case virtio_mem_qemu_dump_cases[] = {
	KUNIT_CASE(dump_can_be_read_to_its_end),
	{}
};

static struct kunit_suite virtio_mem_qemu_dump_suite = {
	.name = "virtio_mem_qemu_dump",
	.test_cases = virtio_mem_qemu_dump_cases,
};

kunit_test_suite(virtio_mem_qemu_dump_suite);
#endif

kunit_test_suites(&virtio_mem_qemu_start_suite, &virtio_mem_qemu_suite,
		  &virtio_mem_qemu_unbind_suite);

MODULE_DESCRIPTION("KUnit tests for the virtio-mem driver with a device of a hypervisor");
MODULE_LICENSE("GPL");
