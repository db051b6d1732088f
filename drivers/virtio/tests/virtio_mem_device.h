/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A virtio-mem device for KUnit, as section 5.15 of the VIRTIO specification
 * 1.3 describes it, on top of the transport of virtio_kunit.h. It has no
 * memory, only a bitmap of what is plugged. What the specification gives no
 * meaning to is filled with %VIRTIO_MEM_GARBAGE.
 *
 * It can be told to answer differently, see struct virtio_mem_exception.
 */
#ifndef _DRIVERS_VIRTIO_TESTS_VIRTIO_MEM_DEVICE_H
#define _DRIVERS_VIRTIO_TESTS_VIRTIO_MEM_DEVICE_H

#include <linux/completion.h>
#include <linux/spinlock.h>
#include <linux/virtio_mem.h>

#include "virtio_kunit.h"

#define VIRTIO_MEM_DEVICE_FEATURES						\
	(BIT_ULL(VIRTIO_F_VERSION_1) |						\
	 BIT_ULL(VIRTIO_RING_F_INDIRECT_DESC) |					\
	 BIT_ULL(VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE))

/* The bytes that a driver or a device has to ignore. */
#define VIRTIO_MEM_GARBAGE	0xa5

/* For &virtio_mem_exception.answer: answer as the specification says. */
#define VIRTIO_MEM_AS_SPECIFIED	0xffff

/*
 * How many requests a driver may make without a change of the requested size.
 * More are taken for an endless loop. (A memory block of 2 GiB can have 1024
 * sub-blocks.)
 */
#define VIRTIO_MEM_MAX_REQUESTS	4000

/**
 * struct virtio_mem_exception - a request that is not handled as usual
 * @nth: the number of the first such request, counted from 1 since
 *	virtio_mem_device_except(); 0 for none
 * @last: the number of the last such request
 * @answer: VIRTIO_MEM_RESP_*, given without doing what is requested, or
 *	VIRTIO_MEM_AS_SPECIFIED
 * @hold: whether to carry out the request, but not to answer it until
 *	virtio_mem_device_release()
 * @resize: whether to change the requested size before handling the request
 * @requested_size: to what
 */
struct virtio_mem_exception {
	unsigned int nth;
	unsigned int last;
	u16 answer;
	bool hold;
	bool resize;
	u64 requested_size;
};

/**
 * struct virtio_mem_device - a virtio-mem device
 * @vk: the virtio device
 * @config: configuration space, changed under guard(virtio_kunit_config)
 * @addr: physical start address of the region
 * @region_size: size of the region
 * @block_size: size of the device blocks
 * @extent: how much more than the requested size is usable
 * @nr_blocks: number of device blocks in the region
 * @plugged: bitmap of plugged device blocks
 * @lock: for what driver, host and test case may change at once: @activity,
 *	@requests_left, @exception and @nr_since
 * @nr_requests: number of requests, by VIRTIO_MEM_REQ_*
 * @nr_answers: number of answers to them, by VIRTIO_MEM_RESP_*
 * @nr_invalid: number of requests that a driver must not make
 * @activity: changes whenever the driver does something with the device
 * @requests_left: how many requests the driver may make until the device
 *	answers nothing but errors
 * @exception: what to do differently
 * @nr_since: number of requests since @exception was set
 * @is_held: whether the answer to a request is held back
 * @held: there is such an answer
 * @held_buf: the buffer that it belongs to
 * @held_resp: the answer
 * @release: makes the host answer
 * @plug: called after device blocks became plugged or unplugged. Optional. In
 *	the context of the host.
 * @probe: called right before a driver probes the device. Optional. In the
 *	context of the driver.
 * @config_read: called before the driver reads the configuration. Optional. In
 *	the context of the driver.
 */
struct virtio_mem_device {
	struct virtio_kunit vk;
	struct virtio_mem_config config;
	u64 addr;
	u64 region_size;
	u64 block_size;
	u64 extent;
	unsigned long nr_blocks;
	unsigned long *plugged;

	spinlock_t lock; /* for the state of the host, see above */
	unsigned long nr_requests[4];
	unsigned long nr_answers[4];
	unsigned long nr_invalid;
	unsigned long activity;
	unsigned long requests_left;

	struct virtio_mem_exception exception;
	unsigned int nr_since;
	bool is_held;
	struct completion held;
	struct virtio_kunit_buf held_buf;
	struct virtio_mem_resp held_resp;
	struct work_struct release;

	void (*plug)(struct virtio_mem_device *dev, unsigned long block,
		     unsigned long nr_blocks, bool plug);
	void (*probe)(struct virtio_mem_device *dev);
	void (*config_read)(struct virtio_mem_device *dev, unsigned int offset);
};

void virtio_mem_device_init(struct virtio_mem_device *dev, struct kunit *test,
			    u32 id, u64 addr, u64 region_size, u64 block_size);
bool virtio_mem_device_may_request(struct virtio_mem_device *dev, u64 size);
void virtio_mem_device_resize(struct virtio_mem_device *dev, u64 size);
void virtio_mem_device_except(struct virtio_mem_device *dev,
			      const struct virtio_mem_exception *exception);
bool virtio_mem_device_wait_held(struct virtio_mem_device *dev);
void virtio_mem_device_release(struct virtio_mem_device *dev);
void virtio_mem_device_unplug_all(struct virtio_mem_device *dev);
u64 virtio_mem_device_plugged_size(struct virtio_mem_device *dev);

#endif /* _DRIVERS_VIRTIO_TESTS_VIRTIO_MEM_DEVICE_H */
