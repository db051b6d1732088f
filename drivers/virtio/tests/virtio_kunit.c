// SPDX-License-Identifier: GPL-2.0
/*
 * A virtio transport for KUnit, see virtio_kunit.h.
 */
#include <kunit/device.h>
#include <kunit/test.h>
#include <linux/err.h>
#include <linux/module.h>
#include <linux/string.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "virtio_kunit.h"

static struct virtio_kunit *to_vk(struct virtio_device *vdev)
{
	return container_of(vdev, struct virtio_kunit, vdev);
}

static void violation(struct virtio_kunit *vk, const char *what)
{
	if (vk->ops->violation)
		vk->ops->violation(vk, what);
	else
		KUNIT_FAIL(vk->test, "%s", what);
}

/*
 * As other transports do, read larger fields in pieces. In between, they may
 * change.
 */
static void virtio_kunit_get(struct virtio_device *vdev, unsigned int offset,
			     void *buf, unsigned int len)
{
	struct virtio_kunit *vk = to_vk(vdev);

	if (offset + len > vk->config_size) {
		violation(vk, "driver reads past configuration space");
		memset(buf, 0xff, len);
		return;
	}
	while (len) {
		unsigned int piece = min(len, VIRTIO_KUNIT_CONFIG_PIECE);

		if (vk->ops->config_read)
			vk->ops->config_read(vk, offset);
		scoped_guard(spinlock_irqsave, &vk->config_lock)
			memcpy(buf, vk->config + offset, piece);
		buf += piece;
		offset += piece;
		len -= piece;
	}
}

static void virtio_kunit_set(struct virtio_device *vdev, unsigned int offset,
			     const void *buf, unsigned int len)
{
	violation(to_vk(vdev), "driver writes to configuration space");
}

static u32 virtio_kunit_generation(struct virtio_device *vdev)
{
	struct virtio_kunit *vk = to_vk(vdev);

	guard(spinlock_irqsave)(&vk->config_lock);
	return vk->generation;
}

static u8 virtio_kunit_get_status(struct virtio_device *vdev)
{
	struct virtio_kunit *vk = to_vk(vdev);

	guard(spinlock_irqsave)(&vk->status_lock);
	return vk->status;
}

/* The status bits in the order in which a driver sets them. */
static const u8 status_order[] = {
	VIRTIO_CONFIG_S_ACKNOWLEDGE,
	VIRTIO_CONFIG_S_DRIVER,
	VIRTIO_CONFIG_S_FEATURES_OK,
	VIRTIO_CONFIG_S_DRIVER_OK,
};

/* Each status bit comes after those before it; a driver may fail at any time. */
static bool is_in_order(u8 status)
{
	unsigned int i = 0;

	status &= ~VIRTIO_CONFIG_S_FAILED;
	while (i < ARRAY_SIZE(status_order) && status & status_order[i])
		status &= ~status_order[i++];
	return !status;
}

static void virtio_kunit_set_status(struct virtio_device *vdev, u8 status)
{
	struct virtio_kunit *vk = to_vk(vdev);
	const u8 old = virtio_kunit_get_status(vdev);

	if (!status)
		violation(vk, "driver resets the device by way of its status");
	else if (old & ~status)
		violation(vk, "driver takes a status bit back");
	else if (old & VIRTIO_CONFIG_S_FAILED && status != old)
		violation(vk, "driver goes on after it failed");
	else if (!is_in_order(status))
		violation(vk, "driver sets status bits out of order");

	if ((status & ~old & VIRTIO_CONFIG_S_FEATURES_OK) &&
	    vk->ops->features_ok && !vk->ops->features_ok(vk))
		status &= ~VIRTIO_CONFIG_S_FEATURES_OK;
	if (status & VIRTIO_CONFIG_S_DRIVER_OK)
		WRITE_ONCE(vk->in_use, true);
	guard(spinlock_irqsave)(&vk->status_lock);
	vk->status = status;
}

/* Stop host and interrupts of a virtqueue, for which nothing new is queued. */
static void virtio_kunit_stop_vq(struct virtio_kunit_vq *vkq)
{
	cancel_work_sync(&vkq->work);
	irq_work_sync(&vkq->irq);
}

/*
 * Wait until the driver has been told of all changes of configuration space. Where
 * irq_work_sync() sleeps, an irq_work can have but one task that waits for it.
 */
static void virtio_kunit_sync_config(struct virtio_kunit *vk)
{
	guard(mutex)(&vk->config_irq_lock);
	irq_work_sync(&vk->config_irq);
}

static void virtio_kunit_reset(struct virtio_device *vdev)
{
	struct virtio_kunit *vk = to_vk(vdev);
	int i;

	scoped_guard(spinlock_irqsave, &vk->status_lock)
		vk->status = 0;
	for (i = 0; i < ARRAY_SIZE(vk->vqs); i++)
		virtio_kunit_stop_vq(&vk->vqs[i]);
	virtio_kunit_sync_config(vk);
	if (vk->ops->reset)
		vk->ops->reset(vk);
	WRITE_ONCE(vk->in_use, false);
}

static u64 virtio_kunit_get_features(struct virtio_device *vdev)
{
	return to_vk(vdev)->features;
}

static int virtio_kunit_finalize_features(struct virtio_device *vdev)
{
	struct virtio_kunit *vk = to_vk(vdev);

	vring_transport_features(vdev);
	if (vdev->features & ~vk->features)
		violation(vk, "driver takes features that are not offered");
	if (virtio_kunit_get_status(vdev) & VIRTIO_CONFIG_S_FEATURES_OK)
		violation(vk, "driver changes features after FEATURES_OK");
	return 0;
}

static bool virtio_kunit_notify(struct virtqueue *vq)
{
	struct virtio_kunit_vq *vkq = vq->priv;
	struct virtio_kunit *vk = vkq->vk;

	scoped_guard(spinlock_irqsave, &vk->status_lock) {
		if (vk->status & VIRTIO_CONFIG_S_DRIVER_OK) {
			queue_work(vk->host, &vkq->work);
			return true;
		}
	}
	violation(vk, "driver notifies a device that it does not drive");
	return true;
}

static void virtio_kunit_vq_irq(struct irq_work *irq)
{
	vring_interrupt(0, container_of(irq, struct virtio_kunit_vq, irq)->vq);
}

static void virtio_kunit_config_irq(struct irq_work *irq)
{
	struct virtio_kunit *vk =
		container_of(irq, struct virtio_kunit, config_irq);

	virtio_config_changed(&vk->vdev);
}

/* Interrupt the driver, if there is one that drives the device. */
static void virtio_kunit_interrupt(struct virtio_kunit *vk, struct irq_work *irq)
{
	guard(spinlock_irqsave)(&vk->status_lock);
	if (vk->status & VIRTIO_CONFIG_S_DRIVER_OK)
		irq_work_queue(irq);
}

static void virtio_kunit_used(struct vringh *vring)
{
	struct virtio_kunit_vq *vkq =
		container_of(vring, struct virtio_kunit_vq, vring);

	virtio_kunit_interrupt(vkq->vk, &vkq->irq);
}

static void virtio_kunit_del_vqs(struct virtio_device *vdev)
{
	struct virtio_kunit *vk = to_vk(vdev);
	int i;

	if (virtio_kunit_get_status(vdev) & VIRTIO_CONFIG_S_DRIVER_OK)
		violation(vk, "driver deletes virtqueues in use");
	for (i = 0; i < ARRAY_SIZE(vk->vqs); i++) {
		if (!vk->vqs[i].vq)
			continue;
		virtio_kunit_stop_vq(&vk->vqs[i]);
		vring_del_virtqueue(vk->vqs[i].vq);
		vk->vqs[i].vq = NULL;
	}
}

static int virtio_kunit_find_vq(struct virtio_kunit *vk, unsigned int index,
				const struct virtqueue_info *info)
{
	struct virtio_kunit_vq *vkq = &vk->vqs[index];
	struct virtqueue *vq;
	int ret;

	vq = vring_create_virtqueue(index, VIRTIO_KUNIT_NUM, PAGE_SIZE,
				    &vk->vdev, true, false, info->ctx,
				    virtio_kunit_notify, info->callback,
				    info->name);
	if (!vq)
		return -ENOMEM;
	vq->priv = vkq;

	/* For vringh, the addresses of the rings are pointers. */
	ret = vringh_init_iotlb(&vkq->vring, vk->vdev.features,
				virtqueue_get_vring_size(vq), true,
				(void *)(uintptr_t)virtqueue_get_desc_addr(vq),
				(void *)(uintptr_t)virtqueue_get_avail_addr(vq),
				(void *)(uintptr_t)virtqueue_get_used_addr(vq));
	if (ret) {
		vring_del_virtqueue(vq);
		return ret;
	}
	vringh_set_iotlb(&vkq->vring, &vk->iotlb, &vk->iotlb_lock);
	vkq->vring.notify = virtio_kunit_used;
	vkq->vq = vq;
	return 0;
}

static int virtio_kunit_find_vqs(struct virtio_device *vdev, unsigned int nvqs,
				 struct virtqueue *vqs[],
				 struct virtqueue_info vqs_info[],
				 struct irq_affinity *desc)
{
	struct virtio_kunit *vk = to_vk(vdev);
	unsigned int i, nr = 0;
	int ret;

	for (i = 0; i < nvqs; i++) {
		vqs[i] = NULL;
		if (!vqs_info[i].name)
			continue;
		ret = -ENOSPC;
		if (nr < ARRAY_SIZE(vk->vqs))
			ret = virtio_kunit_find_vq(vk, nr, &vqs_info[i]);
		if (ret) {
			virtio_kunit_del_vqs(vdev);
			return ret;
		}
		vqs[i] = vk->vqs[nr++].vq;
	}
	return 0;
}

static const char *virtio_kunit_bus_name(struct virtio_device *vdev)
{
	return "kunit";
}

static const struct virtio_config_ops virtio_kunit_config_ops = {
	.get = virtio_kunit_get,
	.set = virtio_kunit_set,
	.generation = virtio_kunit_generation,
	.get_status = virtio_kunit_get_status,
	.set_status = virtio_kunit_set_status,
	.reset = virtio_kunit_reset,
	.find_vqs = virtio_kunit_find_vqs,
	.del_vqs = virtio_kunit_del_vqs,
	.get_features = virtio_kunit_get_features,
	.finalize_features = virtio_kunit_finalize_features,
	.bus_name = virtio_kunit_bus_name,
};

static void virtio_kunit_handle(struct work_struct *work)
{
	struct virtio_kunit_vq *vkq =
		container_of(work, struct virtio_kunit_vq, work);

	vkq->vk->ops->handle(vkq->vk, vkq);
}

static bool may_use(struct virtio_kunit_vq *vq)
{
	if (READ_ONCE(vq->vk->in_use))
		return true;
	violation(vq->vk, "host uses a virtqueue after a reset");
	return false;
}

/**
 * virtio_kunit_get_buf() - get the next buffer that the driver made available
 * @vq: the virtqueue
 * @buf: the buffer; to be given back by virtio_kunit_put_buf(), unless the
 *	device gets reset before
 *
 * Context: The host.
 * Return: whether there was a buffer.
 */
bool virtio_kunit_get_buf(struct virtio_kunit_vq *vq,
			  struct virtio_kunit_buf *buf)
{
	int ret;

	if (!may_use(vq))
		return false;
	vringh_kiov_init(&buf->out, buf->out_vec, ARRAY_SIZE(buf->out_vec));
	vringh_kiov_init(&buf->in, buf->in_vec, ARRAY_SIZE(buf->in_vec));
	ret = vringh_getdesc_iotlb(&vq->vring, &buf->out, &buf->in, &buf->head,
				   GFP_KERNEL);
	if (ret < 0)
		violation(vq->vk, "driver breaks the ring");
	return ret == 1;
}
EXPORT_SYMBOL_GPL(virtio_kunit_get_buf);

/**
 * virtio_kunit_read() - read from a buffer, from where reading ended before
 * @vq: the virtqueue
 * @buf: the buffer
 * @dst: where to read to
 * @len: how much
 *
 * Context: The host.
 * Return: how many bytes were read.
 */
size_t virtio_kunit_read(struct virtio_kunit_vq *vq,
			 struct virtio_kunit_buf *buf, void *dst, size_t len)
{
	ssize_t ret = vringh_iov_pull_iotlb(&vq->vring, &buf->out, dst, len);

	return ret < 0 ? 0 : ret;
}
EXPORT_SYMBOL_GPL(virtio_kunit_read);

/**
 * virtio_kunit_write() - write to a buffer, to where writing ended before
 * @vq: the virtqueue
 * @buf: the buffer
 * @src: where to write from
 * @len: how much
 *
 * Context: The host.
 * Return: how many bytes were written.
 */
size_t virtio_kunit_write(struct virtio_kunit_vq *vq,
			  struct virtio_kunit_buf *buf, const void *src,
			  size_t len)
{
	ssize_t ret = vringh_iov_push_iotlb(&vq->vring, &buf->in, src, len);

	return ret < 0 ? 0 : ret;
}
EXPORT_SYMBOL_GPL(virtio_kunit_write);

/**
 * virtio_kunit_put_buf() - give a buffer back to the driver, and interrupt it
 * @vq: the virtqueue
 * @buf: the buffer
 * @written: the number of bytes written to it
 *
 * Context: The host.
 */
void virtio_kunit_put_buf(struct virtio_kunit_vq *vq,
			  struct virtio_kunit_buf *buf, size_t written)
{
	vringh_kiov_cleanup(&buf->out);
	vringh_kiov_cleanup(&buf->in);
	if (!may_use(vq))
		return;
	KUNIT_EXPECT_EQ(vq->vk->test, 0,
			vringh_complete_iotlb(&vq->vring, buf->head, written));
	if (vringh_need_notify_iotlb(&vq->vring))
		vringh_notify(&vq->vring);
}
EXPORT_SYMBOL_GPL(virtio_kunit_put_buf);

/**
 * virtio_kunit_config_changed() - tell the driver that configuration changed
 * @vk: the device
 *
 * The driver has been told when this returns.
 *
 * Context: May sleep.
 */
void virtio_kunit_config_changed(struct virtio_kunit *vk)
{
	virtio_kunit_interrupt(vk, &vk->config_irq);
	virtio_kunit_sync_config(vk);
}
EXPORT_SYMBOL_GPL(virtio_kunit_config_changed);

static void virtio_kunit_release(struct device *dev)
{
	complete(&to_vk(dev_to_virtio(dev))->released);
}

/**
 * virtio_kunit_register() - put the device on the bus
 * @vk: the device
 *
 * Aborts the test case if the device offers features that the transport cannot
 * serve.
 *
 * Context: May sleep.
 * Return: 0 or an error of register_virtio_device(). Drivers that match have
 *	probed the device by then, successfully or not: see
 *	virtio_kunit_is_bound().
 */
int virtio_kunit_register(struct virtio_kunit *vk)
{
	const struct virtio_device_id id = vk->vdev.id;
	struct device *parent = vk->vdev.dev.parent;
	int ret;

	KUNIT_ASSERT_TRUE_MSG(vk->test, virtio_kunit_serves(vk->features),
			      "cannot serve features %#llx", vk->features);
	memset(&vk->vdev, 0, sizeof(vk->vdev));
	vk->vdev.id = id;
	vk->vdev.config = &virtio_kunit_config_ops;
	vk->vdev.dev.parent = parent;
	vk->vdev.dev.release = virtio_kunit_release;
	reinit_completion(&vk->released);

	ret = register_virtio_device(&vk->vdev);
	if (ret) {
		put_device(&vk->vdev.dev);
		wait_for_completion(&vk->released);
	}
	vk->registered = !ret;
	return ret;
}
EXPORT_SYMBOL_GPL(virtio_kunit_register);

/**
 * virtio_kunit_unregister() - remove the device from the bus, if it is there
 * @vk: the device
 *
 * Context: May sleep.
 */
void virtio_kunit_unregister(struct virtio_kunit *vk)
{
	int i;

	if (!vk->registered)
		return;
	vk->registered = false;
	unregister_virtio_device(&vk->vdev);
	wait_for_completion(&vk->released);
	for (i = 0; i < ARRAY_SIZE(vk->vqs); i++) {
		if (vk->vqs[i].vq)
			violation(vk, "driver leaves a virtqueue behind");
	}
}
EXPORT_SYMBOL_GPL(virtio_kunit_unregister);

/**
 * virtio_kunit_is_bound() - is there a driver that uses the device?
 * @vk: the device
 *
 * Return: whether a driver has probed the device successfully.
 */
bool virtio_kunit_is_bound(struct virtio_kunit *vk)
{
	return vk->registered && device_is_bound(&vk->vdev.dev);
}
EXPORT_SYMBOL_GPL(virtio_kunit_is_bound);

static void virtio_kunit_fini(void *arg)
{
	struct virtio_kunit *vk = arg;

	virtio_kunit_unregister(vk);
	destroy_workqueue(vk->host);
	vhost_iotlb_reset(&vk->iotlb);
}

/**
 * virtio_kunit_serves() - can the transport serve these features?
 * @features: the feature bits
 *
 * It serves all features of a device type, and of those of virtqueues and
 * transports, which are the others, VIRTIO_RING_F_INDIRECT_DESC. By way of an
 * IOTLB, vringh cannot tell when it wants to be notified, which
 * VIRTIO_RING_F_EVENT_IDX takes. VIRTIO_F_VERSION_1 is required.
 *
 * Context: Any.
 * Return: whether it can.
 */
bool virtio_kunit_serves(u64 features)
{
	/* The others belong to the type of the device. */
	const u64 general = GENMASK_ULL(49, 24);

	features ^= BIT_ULL(VIRTIO_F_VERSION_1);
	return !(features & general & ~BIT_ULL(VIRTIO_RING_F_INDIRECT_DESC));
}
EXPORT_SYMBOL_GPL(virtio_kunit_serves);

/**
 * virtio_kunit_init() - make a virtio device
 * @vk: the device, which must live as long as @test
 * @test: the test case; the device is unregistered when it ends
 * @ops: what makes this kind of device
 * @id: the virtio device ID
 * @features: the feature bits to offer, see virtio_kunit_serves()
 * @config: the configuration space
 * @config_size: its size
 *
 * Aborts the test case on errors.
 *
 * Context: May sleep.
 */
void virtio_kunit_init(struct virtio_kunit *vk, struct kunit *test,
		       const struct virtio_kunit_ops *ops, u32 id, u64 features,
		       void *config, size_t config_size)
{
	static unsigned int nr_devices;
	struct device *parent;
	char name[24];
	int i;

	snprintf(name, sizeof(name), "virtio_kunit.%u", nr_devices++);
	parent = kunit_device_register(test, name);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, parent);
	vk->test = test;
	vk->ops = ops;
	vk->features = features;
	vk->config = config;
	vk->config_size = config_size;
	spin_lock_init(&vk->config_lock);
	mutex_init(&vk->config_irq_lock);
	spin_lock_init(&vk->status_lock);
	spin_lock_init(&vk->iotlb_lock);
	/* With PREEMPT_RT a thread, as handlers of interrupts are. */
	vk->config_irq = IRQ_WORK_INIT(virtio_kunit_config_irq);
	init_completion(&vk->released);
	vk->vdev.id.device = id;
	vk->vdev.dev.parent = parent;
	for (i = 0; i < ARRAY_SIZE(vk->vqs); i++) {
		vk->vqs[i].vk = vk;
		INIT_WORK(&vk->vqs[i].work, virtio_kunit_handle);
		vk->vqs[i].irq = IRQ_WORK_INIT(virtio_kunit_vq_irq);
	}

	vk->host = alloc_ordered_workqueue("virtio_kunit_host", 0);
	KUNIT_ASSERT_NOT_NULL(test, vk->host);
	vhost_iotlb_init(&vk->iotlb, 2, 0);
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, virtio_kunit_fini, vk));
	/* The device sees physical addresses, as it has no IOMMU. */
	KUNIT_ASSERT_EQ(test, 0,
			vhost_iotlb_add_range(&vk->iotlb, 0, ULONG_MAX, 0,
					      VHOST_MAP_RW));
}
EXPORT_SYMBOL_GPL(virtio_kunit_init);

MODULE_DESCRIPTION("A virtio transport for KUnit tests");
MODULE_LICENSE("GPL");
