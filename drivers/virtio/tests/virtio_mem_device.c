// SPDX-License-Identifier: GPL-2.0
/*
 * A virtio-mem device for KUnit, see virtio_mem_device.h.
 */
#include <kunit/test.h>
#include <linux/bitmap.h>
#include <linux/jiffies.h>
#include <linux/log2.h>
#include <linux/string.h>
#include <linux/virtio_config.h>

#include "virtio_mem_device.h"

static struct virtio_mem_device *to_dev(struct virtio_kunit *vk)
{
	return container_of(vk, struct virtio_mem_device, vk);
}

/**
 * virtio_mem_device_plugged_size() - count what is plugged
 * @dev: the device
 *
 * Return: the size of all plugged device blocks, in bytes.
 */
u64 virtio_mem_device_plugged_size(struct virtio_mem_device *dev)
{
	return bitmap_weight(dev->plugged, dev->nr_blocks) * dev->block_size;
}

static u64 read_config(struct virtio_mem_device *dev, const __le64 *field)
{
	guard(spinlock_irqsave)(&dev->vk.config_lock);
	return le64_to_cpu(*field);
}

/*
 * The usable region is larger than the requested size by @dev->extent. It
 * shrinks only with @shrink.
 */
static void set_usable_region(struct virtio_mem_device *dev, bool shrink)
{
	struct virtio_mem_config *config = &dev->config;
	u64 usable = min(dev->region_size,
			 le64_to_cpu(config->requested_size) + dev->extent);

	if (shrink || usable > le64_to_cpu(config->usable_region_size))
		config->usable_region_size = cpu_to_le64(usable);
}

/* Find the device blocks of a request. Return false if some are not usable. */
static bool get_range(struct virtio_mem_device *dev, u64 addr, u16 nr_blocks,
		      unsigned long *block)
{
	const u64 usable = read_config(dev, &dev->config.usable_region_size);

	if (!nr_blocks || addr < dev->addr ||
	    !IS_ALIGNED(addr - dev->addr, dev->block_size) ||
	    addr - dev->addr > usable ||
	    nr_blocks * dev->block_size > usable - (addr - dev->addr))
		return false;
	*block = (addr - dev->addr) / dev->block_size;
	return true;
}

static bool blocks_are(struct virtio_mem_device *dev, unsigned long block,
		       u16 nr_blocks, bool plugged)
{
	const unsigned long end = block + nr_blocks;

	if (plugged)
		return find_next_zero_bit(dev->plugged, end, block) >= end;
	return find_next_bit(dev->plugged, end, block) >= end;
}

static void set_plugged(struct virtio_mem_device *dev, unsigned long block,
			unsigned long nr_blocks, bool plug)
{
	if (plug)
		bitmap_set(dev->plugged, block, nr_blocks);
	else
		bitmap_clear(dev->plugged, block, nr_blocks);
	scoped_guard(virtio_kunit_config, &dev->vk)
		dev->config.plugged_size =
			cpu_to_le64(virtio_mem_device_plugged_size(dev));
	if (dev->plug)
		dev->plug(dev, block, nr_blocks, plug);
}

static u16 do_plug(struct virtio_mem_device *dev,
		   const struct virtio_mem_req_plug *req)
{
	const u16 nr_blocks = le16_to_cpu((__force __le16)req->nb_blocks);
	const u64 addr = le64_to_cpu((__force __le64)req->addr);
	unsigned long block;

	if (!get_range(dev, addr, nr_blocks, &block) ||
	    !blocks_are(dev, block, nr_blocks, false))
		return VIRTIO_MEM_RESP_ERROR;
	if (virtio_mem_device_plugged_size(dev) + nr_blocks * dev->block_size >
	    read_config(dev, &dev->config.requested_size))
		return VIRTIO_MEM_RESP_NACK;
	set_plugged(dev, block, nr_blocks, true);
	return VIRTIO_MEM_RESP_ACK;
}

static u16 do_unplug(struct virtio_mem_device *dev,
		     const struct virtio_mem_req_unplug *req)
{
	const u16 nr_blocks = le16_to_cpu((__force __le16)req->nb_blocks);
	const u64 addr = le64_to_cpu((__force __le64)req->addr);
	unsigned long block;

	if (!get_range(dev, addr, nr_blocks, &block) ||
	    !blocks_are(dev, block, nr_blocks, true))
		return VIRTIO_MEM_RESP_ERROR;
	set_plugged(dev, block, nr_blocks, false);
	return VIRTIO_MEM_RESP_ACK;
}

static u16 do_unplug_all(struct virtio_mem_device *dev)
{
	set_plugged(dev, 0, dev->nr_blocks, false);
	guard(virtio_kunit_config)(&dev->vk);
	set_usable_region(dev, true);
	return VIRTIO_MEM_RESP_ACK;
}

static u16 do_state(struct virtio_mem_device *dev,
		    const struct virtio_mem_req_state *req,
		    struct virtio_mem_resp *resp)
{
	const u16 nr_blocks = le16_to_cpu((__force __le16)req->nb_blocks);
	const u64 addr = le64_to_cpu((__force __le64)req->addr);
	unsigned long block;
	u16 state;

	if (!get_range(dev, addr, nr_blocks, &block))
		return VIRTIO_MEM_RESP_ERROR;
	if (blocks_are(dev, block, nr_blocks, true))
		state = VIRTIO_MEM_STATE_PLUGGED;
	else if (blocks_are(dev, block, nr_blocks, false))
		state = VIRTIO_MEM_STATE_UNPLUGGED;
	else
		state = VIRTIO_MEM_STATE_MIXED;
	resp->u.state.state = (__force __virtio16)cpu_to_le16(state);
	return VIRTIO_MEM_RESP_ACK;
}

/* Carry out a request. Return the answer. */
static u16 do_request(struct virtio_mem_device *dev,
		      const struct virtio_mem_req *req,
		      struct virtio_mem_resp *resp)
{
	switch (le16_to_cpu((__force __le16)req->type)) {
	case VIRTIO_MEM_REQ_PLUG:
		return do_plug(dev, &req->u.plug);
	case VIRTIO_MEM_REQ_UNPLUG:
		return do_unplug(dev, &req->u.unplug);
	case VIRTIO_MEM_REQ_UNPLUG_ALL:
		return do_unplug_all(dev);
	case VIRTIO_MEM_REQ_STATE:
		return do_state(dev, &req->u.state, resp);
	default:
		return VIRTIO_MEM_RESP_ERROR;
	}
}

/*
 * Note that the driver has made a request, and find out what to do differently.
 * Return whether it is the first one too many.
 */
static bool note_request(struct virtio_mem_device *dev,
			 struct virtio_mem_exception *exception)
{
	guard(spinlock_irqsave)(&dev->lock);
	WRITE_ONCE(dev->activity, dev->activity + 1);

	dev->nr_since++;
	*exception = (struct virtio_mem_exception){
		.answer = VIRTIO_MEM_AS_SPECIFIED,
	};
	if (dev->exception.nth && dev->nr_since >= dev->exception.nth &&
	    dev->nr_since <= dev->exception.last)
		*exception = dev->exception;
	if (dev->requests_left)
		return !--dev->requests_left;
	exception->answer = VIRTIO_MEM_RESP_ERROR;
	exception->hold = false;
	return false;
}

static void answer_request(struct virtio_kunit_vq *vq,
			   struct virtio_kunit_buf *buf,
			   const struct virtio_mem_resp *resp)
{
	virtio_kunit_put_buf(vq, buf,
			     virtio_kunit_write(vq, buf, resp, sizeof(*resp)));
}

static void virtio_mem_device_handle(struct virtio_kunit *vk,
				     struct virtio_kunit_vq *vq)
{
	struct virtio_mem_device *dev = to_dev(vk);
	struct virtio_kunit_buf buf;

	while (virtio_kunit_get_buf(vq, &buf)) {
		struct virtio_mem_exception exception;
		struct virtio_mem_resp resp;
		struct virtio_mem_req req = {};
		bool complete_req;
		u16 type, answer;

		if (vringh_kiov_length(&buf.in) < sizeof(resp)) {
			dev->nr_invalid++;
			virtio_kunit_put_buf(vq, &buf, 0);
			continue;
		}
		complete_req = virtio_kunit_read(vq, &buf, &req, sizeof(req)) ==
			       sizeof(req);
		type = le16_to_cpu((__force __le16)req.type);
		if (type < ARRAY_SIZE(dev->nr_requests))
			dev->nr_requests[type]++;

		if (note_request(dev, &exception))
			KUNIT_FAIL(vk->test, "driver does not stop making requests");
		if (exception.resize)
			virtio_mem_device_resize(dev, exception.requested_size);

		memset(&resp, VIRTIO_MEM_GARBAGE, sizeof(resp));
		answer = exception.answer;
		if (answer == VIRTIO_MEM_AS_SPECIFIED) {
			answer = complete_req ? do_request(dev, &req, &resp) :
						VIRTIO_MEM_RESP_ERROR;
			if (answer == VIRTIO_MEM_RESP_ERROR)
				dev->nr_invalid++;
		}
		dev->nr_answers[answer]++;
		resp.type = (__force __virtio16)cpu_to_le16(answer);
		if (!exception.hold) {
			answer_request(vq, &buf, &resp);
			continue;
		}
		/* There is only one request at a time. */
		dev->held_buf = buf;
		dev->held_buf.out.iov = dev->held_buf.out_vec;
		dev->held_buf.in.iov = dev->held_buf.in_vec;
		dev->held_resp = resp;
		dev->is_held = true;
		complete(&dev->held);
		return;
	}
}

static void virtio_mem_device_release_work(struct work_struct *work)
{
	struct virtio_mem_device *dev =
		container_of(work, struct virtio_mem_device, release);

	if (!dev->is_held)
		return;
	dev->is_held = false;
	answer_request(&dev->vk.vqs[0], &dev->held_buf, &dev->held_resp);
}

/* After a reset, no request is answered, but what is plugged stays plugged. */
static void virtio_mem_device_reset(struct virtio_kunit *vk)
{
	struct virtio_mem_device *dev = to_dev(vk);

	cancel_work_sync(&dev->release);
	dev->is_held = false;
	reinit_completion(&dev->held);
}

/* Refuse a driver that might access unplugged memory. */
static bool virtio_mem_device_features_ok(struct virtio_kunit *vk)
{
	struct virtio_mem_device *dev = to_dev(vk);

	if (dev->probe)
		dev->probe(dev);
	return !(vk->features & ~vk->vdev.features &
		 BIT_ULL(VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE));
}

static void virtio_mem_device_config_read(struct virtio_kunit *vk,
					  unsigned int offset)
{
	struct virtio_mem_device *dev = to_dev(vk);

	scoped_guard(spinlock_irqsave, &dev->lock)
		WRITE_ONCE(dev->activity, dev->activity + 1);
	if (dev->config_read)
		dev->config_read(dev, offset);
}

static const struct virtio_kunit_ops virtio_mem_device_ops = {
	.handle = virtio_mem_device_handle,
	.features_ok = virtio_mem_device_features_ok,
	.reset = virtio_mem_device_reset,
	.config_read = virtio_mem_device_config_read,
};

/**
 * virtio_mem_device_may_request() - is it allowed to request this size?
 * @dev: the device
 * @size: the requested size
 *
 * Context: Any.
 * Return: whether the specification allows the device to request that.
 */
bool virtio_mem_device_may_request(struct virtio_mem_device *dev, u64 size)
{
	return IS_ALIGNED(size, dev->block_size) && size <= dev->region_size;
}

/**
 * virtio_mem_device_resize() - change the requested size
 * @dev: the device
 * @size: the requested size. If it does not change, the driver looks at it
 *	again nevertheless.
 *
 * The test case fails if the device must not request that.
 *
 * Context: May sleep.
 */
void virtio_mem_device_resize(struct virtio_mem_device *dev, u64 size)
{
	KUNIT_EXPECT_TRUE_MSG(dev->vk.test,
			      virtio_mem_device_may_request(dev, size),
			      "device with %#llx in blocks of %#llx requests %#llx",
			      dev->region_size, dev->block_size, size);
	scoped_guard(virtio_kunit_config, &dev->vk) {
		dev->config.requested_size = cpu_to_le64(size);
		set_usable_region(dev, false);
	}
	scoped_guard(spinlock_irqsave, &dev->lock)
		dev->requests_left = VIRTIO_MEM_MAX_REQUESTS;
	virtio_kunit_config_changed(&dev->vk);
}

/**
 * virtio_mem_device_unplug_all() - unplug everything without being asked to
 * @dev: the device, which must not be registered
 *
 * A device does this when the machine is reset.
 *
 * Context: Any.
 */
void virtio_mem_device_unplug_all(struct virtio_mem_device *dev)
{
	do_unplug_all(dev);
}

/**
 * virtio_mem_device_except() - handle some of the next requests in another way
 * @dev: the device
 * @exception: which requests, and how. NULL for none.
 *
 * Context: Any, but the driver must not be making requests.
 */
void virtio_mem_device_except(struct virtio_mem_device *dev,
			      const struct virtio_mem_exception *exception)
{
	guard(spinlock_irqsave)(&dev->lock);
	dev->nr_since = 0;
	dev->exception = exception ? *exception : (struct virtio_mem_exception){};
	if (dev->exception.last < dev->exception.nth)
		dev->exception.last = dev->exception.nth;
}

/**
 * virtio_mem_device_wait_held() - wait for a request that is held back
 * @dev: the device
 *
 * Context: May sleep.
 * Return: whether there is such a request; false if there was none in a while.
 */
bool virtio_mem_device_wait_held(struct virtio_mem_device *dev)
{
	return wait_for_completion_timeout(&dev->held, 5 * HZ);
}

/**
 * virtio_mem_device_release() - answer requests that were held back
 * @dev: the device
 *
 * Context: Any.
 */
void virtio_mem_device_release(struct virtio_mem_device *dev)
{
	scoped_guard(spinlock_irqsave, &dev->lock)
		dev->exception = (struct virtio_mem_exception){};
	queue_work(dev->vk.host, &dev->release);
}

/**
 * virtio_mem_device_init() - make a virtio-mem device
 * @dev: the device, which must live as long as @test
 * @test: the test case; the device is unregistered when it ends
 * @id: the virtio device ID
 * @addr: physical start address of the region
 * @region_size: size of the region
 * @block_size: size of the device blocks
 *
 * Nothing is plugged or requested, all of the region is usable.
 *
 * Aborts the test case on errors.
 *
 * Context: May sleep.
 */
void virtio_mem_device_init(struct virtio_mem_device *dev, struct kunit *test,
			    u32 id, u64 addr, u64 region_size, u64 block_size)
{
	KUNIT_ASSERT_TRUE(test, is_power_of_2(block_size));
	spin_lock_init(&dev->lock);
	dev->addr = addr;
	dev->region_size = region_size;
	dev->block_size = block_size;
	dev->extent = region_size;
	dev->requests_left = VIRTIO_MEM_MAX_REQUESTS;
	dev->nr_blocks = region_size / block_size;
	dev->plugged = kunit_kcalloc(test, BITS_TO_LONGS(dev->nr_blocks),
				     sizeof(long), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, dev->plugged);

	memset(&dev->config, VIRTIO_MEM_GARBAGE, sizeof(dev->config));
	dev->config.plugged_size = 0;
	dev->config.requested_size = 0;
	dev->config.block_size = cpu_to_le64(block_size);
	dev->config.addr = cpu_to_le64(addr);
	dev->config.region_size = cpu_to_le64(region_size);
	dev->config.usable_region_size = cpu_to_le64(region_size);
	init_completion(&dev->held);
	INIT_WORK(&dev->release, virtio_mem_device_release_work);
	virtio_kunit_init(&dev->vk, test, &virtio_mem_device_ops, id,
			  VIRTIO_MEM_DEVICE_FEATURES, &dev->config,
			  sizeof(dev->config));
}
