// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests for the virtio-mem driver in a kdump kernel, where it only says
 * what of the memory of the crashed kernel may be read.
 */
#include <kunit/test.h>
#include <linux/bitmap.h>
#include <linux/crash_dump.h>
#include <linux/ioport.h>
#include <linux/uio.h>

#include "virtio_mem_kunit.h"

#ifdef CONFIG_PROC_VMCORE

static void end_kdump(void *unused)
{
	elfcorehdr_addr = ELFCORE_ADDR_MAX;
}

/* Until the test case ends, have the kernel look like one for kdump. */
static void begin_kdump(struct kunit *test)
{
	if (is_kdump_kernel())
		kunit_skip(test, "this is a kdump kernel");
	elfcorehdr_addr = ELFCORE_ADDR_ERR;
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, end_kdump, NULL));
	if (!is_kdump_kernel())
		kunit_skip(test, "the architecture tells by other means");
}

static int virtio_mem_kdump_init(struct kunit *test)
{
	vmt_init(test);
	begin_kdump(test);
	return 0;
}

/* Bind a device of which the crashed kernel has used some device blocks. */
static struct vmt *vmt_crash(struct kunit *test, u64 block_size,
			     unsigned long block, unsigned long nr_blocks)
{
	struct vmt *vmt = vmt_new(test, MMOP_OFFLINE, 2, block_size);

	bitmap_set(vmt->dev.plugged, block, nr_blocks);
	vmt->dev.config.plugged_size = cpu_to_le64(nr_blocks * block_size);
	vmt_bind(vmt, nr_blocks * block_size);
	return vmt;
}

/*
 * In a kdump kernel, virtio-mem makes no request by itself, neither when it
 * probes nor when another size is requested or when it is unloaded, and it adds
 * no memory.
 */
static void driver_leaves_memory_of_the_crashed_kernel(struct kunit *test)
{
	struct vmt *vmt = vmt_crash(test, VMT_SB, 1, 2);

	KUNIT_EXPECT_NULL(test, lookup_resource(&iomem_resource, vmt->ph.start));
	vmt_resize(vmt, 2 * VMT_MB);
	vmt_resize(vmt, 0);
	KUNIT_EXPECT_EQ(test, 0, vmt->dev.nr_since);
	vmt_expect_plugged(vmt, 2 * VMT_SB);
	vmt_unbind(vmt);
	KUNIT_EXPECT_EQ(test, 0, vmt->dev.nr_since);
}

/**
 * struct last_cb - is asked about a page after all others said that it is RAM
 * @cb: the callback
 * @asked: whether it was asked
 */
struct last_cb {
	struct vmcore_cb cb;
	bool asked;
};

/* Nobody reads what is not RAM. */
static bool last_pfn_is_ram(struct vmcore_cb *cb, unsigned long pfn)
{
	container_of(cb, struct last_cb, cb)->asked = true;
	return false;
}

static void unregister_last_cb(void *cb)
{
	unregister_vmcore_cb(cb);
}

static struct last_cb *register_last_cb(struct kunit *test)
{
	struct last_cb *last = kunit_kzalloc(test, sizeof(*last), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, last);
	last->cb.pfn_is_ram = last_pfn_is_ram;
	register_vmcore_cb(&last->cb);
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, unregister_last_cb,
						  &last->cb));
	return last;
}

/* Read a page as /proc/vmcore does. Return whether the driver allows it. */
static bool is_ram(struct vmt *vmt, struct last_cb *last, u64 offset)
{
	u64 addr = vmt->ph.start + offset;
	struct iov_iter iter;
	struct kvec kvec;
	u8 byte = 0xff;

	kvec = (struct kvec){ .iov_base = &byte, .iov_len = 1 };
	iov_iter_kvec(&iter, ITER_DEST, &kvec, 1, 1);
	last->asked = false;
	KUNIT_EXPECT_EQ(vmt->test, 1, read_from_oldmem(&iter, 1, &addr, false));
	KUNIT_EXPECT_EQ_MSG(vmt->test, 0, byte, "what is not RAM is not zero");
	return last->asked;
}

/*
 * In a kdump kernel, /proc/vmcore has the plugged pages of a virtio-mem device,
 * zeros for its other pages, and whatever is outside of its region.
 */
static void vmcore_has_plugged_pages_only(struct kunit *test)
{
	struct vmt *vmt = vmt_crash(test, VMT_SB, 1, 2);
	struct last_cb *last = register_last_cb(test);

	KUNIT_EXPECT_FALSE(test, is_ram(vmt, last, 0));
	KUNIT_EXPECT_FALSE(test, is_ram(vmt, last, VMT_SB - PAGE_SIZE));
	KUNIT_EXPECT_TRUE(test, is_ram(vmt, last, VMT_SB));
	KUNIT_EXPECT_TRUE(test, is_ram(vmt, last, 3 * VMT_SB - PAGE_SIZE));
	KUNIT_EXPECT_FALSE(test, is_ram(vmt, last, 3 * VMT_SB));
	KUNIT_EXPECT_FALSE(test, is_ram(vmt, last, 2 * VMT_MB - PAGE_SIZE));
	KUNIT_EXPECT_TRUE(test, is_ram(vmt, last, 2 * VMT_MB));
	KUNIT_EXPECT_TRUE(test, is_ram(vmt, last, -PAGE_SIZE));
	KUNIT_EXPECT_EQ(test, 0, vmt->dev.nr_invalid);
}

/*
 * virtio-mem asks the device once for all successive pages of a device block
 * that are read from /proc/vmcore, and never if nothing is plugged.
 */
static void driver_remembers_the_last_device_block(struct kunit *test)
{
	struct vmt *vmt = vmt_crash(test, VMT_SB, 1, 1);
	struct last_cb *last = register_last_cb(test);
	u64 offset;

	for (offset = 0; offset < VMT_SB; offset += VMT_SB / 4)
		KUNIT_EXPECT_FALSE(test, is_ram(vmt, last, offset));
	KUNIT_EXPECT_EQ(test, 1, vmt->dev.nr_requests[VIRTIO_MEM_REQ_STATE]);
	for (; offset < 2 * VMT_SB; offset += VMT_SB / 4)
		KUNIT_EXPECT_TRUE(test, is_ram(vmt, last, offset));
	KUNIT_EXPECT_EQ(test, 2, vmt->dev.nr_requests[VIRTIO_MEM_REQ_STATE]);
	KUNIT_EXPECT_FALSE(test, is_ram(vmt, last, 0));
	KUNIT_EXPECT_EQ(test, 3, vmt->dev.nr_requests[VIRTIO_MEM_REQ_STATE]);

	vmt_remove(vmt);
	vmt_bind(vmt, 0);
	KUNIT_EXPECT_EQ(test, 0, vmt->dev.config.plugged_size);
	kunit_release_action(test, unregister_last_cb, &last->cb);
	last = register_last_cb(test);
	KUNIT_EXPECT_FALSE(test, is_ram(vmt, last, VMT_SB));
	KUNIT_EXPECT_EQ(test, 3, vmt->dev.nr_requests[VIRTIO_MEM_REQ_STATE]);
}

/*
 * If the device cannot tell whether a page is plugged, /proc/vmcore has zeros for
 * it.
 */
static void page_of_unknown_state_is_not_read(struct kunit *test)
{
	static const u16 answers[] = {
		VIRTIO_MEM_RESP_ERROR, VIRTIO_MEM_RESP_BUSY, VIRTIO_MEM_RESP_NACK,
	};
	struct vmt *vmt = vmt_crash(test, VMT_SB, 0, 2);
	struct last_cb *last = register_last_cb(test);
	int i;

	for (i = 0; i < ARRAY_SIZE(answers); i++) {
		KUNIT_EXPECT_TRUE(test, is_ram(vmt, last, 0));
		virtio_mem_device_except(&vmt->dev, &(struct virtio_mem_exception){
			.nth = 1, .answer = answers[i],
		});
		KUNIT_EXPECT_FALSE(test, is_ram(vmt, last, VMT_SB));
		KUNIT_EXPECT_EQ(test, 1, vmt->dev.nr_since);
	}
}

/*
 * When virtio-mem is unloaded in a kdump kernel, it no longer says what may be
 * read.
 */
static void unloaded_driver_is_not_asked(struct kunit *test)
{
	struct vmt *vmt = vmt_crash(test, VMT_SB, 1, 1);
	struct last_cb *last = register_last_cb(test);

	KUNIT_EXPECT_FALSE(test, is_ram(vmt, last, 0));
	vmt_unbind(vmt);
	KUNIT_EXPECT_TRUE(test, is_ram(vmt, last, 0));
}

#else

static int virtio_mem_kdump_init(struct kunit *test)
{
	kunit_skip(test, "needs PROC_VMCORE");
}

static void driver_leaves_memory_of_the_crashed_kernel(struct kunit *test)
{
}

static void vmcore_has_plugged_pages_only(struct kunit *test)
{
}

static void driver_remembers_the_last_device_block(struct kunit *test)
{
}

static void page_of_unknown_state_is_not_read(struct kunit *test)
{
}

static void unloaded_driver_is_not_asked(struct kunit *test)
{
}

#endif

static struct kunit_case virtio_mem_kdump_cases[] = {
	KUNIT_CASE(driver_leaves_memory_of_the_crashed_kernel),
	KUNIT_CASE(vmcore_has_plugged_pages_only),
	KUNIT_CASE(driver_remembers_the_last_device_block),
	KUNIT_CASE(page_of_unknown_state_is_not_read),
	KUNIT_CASE(unloaded_driver_is_not_asked),
	{}
};

static struct kunit_suite virtio_mem_kdump_suite = {
	.name = "virtio_mem_kdump",
	.init = virtio_mem_kdump_init,
	.test_cases = virtio_mem_kdump_cases,
};

kunit_test_suite(virtio_mem_kdump_suite);

MODULE_DESCRIPTION("KUnit tests for virtio-mem in a kdump kernel");
MODULE_LICENSE("GPL");
