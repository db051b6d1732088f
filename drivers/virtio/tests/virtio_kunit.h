/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A virtio transport for KUnit: a device on the real virtio bus, whose other
 * side, the host, is code of the test.
 *
 * The driver under test gets a struct virtio_device like any other. Its
 * virtqueues are split rings, which the host accesses by way of vringh. The
 * host runs in a workqueue of its own, so driver and host are concurrent as
 * with a real device, and the driver hears from the host in hard interrupt
 * context. With PREEMPT_RT, that is a thread, as for most drivers.
 *
 * The device itself, that is, its configuration space and what it does with
 * buffers, is up to the user: see struct virtio_kunit_ops. Configuration space
 * is read-only for the driver.
 *
 * The transport holds the driver to the VIRTIO specification: a test case fails
 * if the driver breaks a rule.
 */
#ifndef _DRIVERS_VIRTIO_TESTS_VIRTIO_KUNIT_H
#define _DRIVERS_VIRTIO_TESTS_VIRTIO_KUNIT_H

#include <linux/cleanup.h>
#include <linux/completion.h>
#include <linux/irq_work.h>
#include <linux/kconfig.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/vhost_iotlb.h>
#include <linux/virtio.h>
#include <linux/vringh.h>
#include <linux/workqueue.h>

struct kunit;
struct virtio_kunit;

#define VIRTIO_KUNIT_MAX_VQS	4
#define VIRTIO_KUNIT_NUM	16

/* Is the driver called in hard interrupt context? See irq_work_single(). */
#define VIRTIO_KUNIT_HARDIRQ	(!IS_ENABLED(CONFIG_PREEMPT_RT))

/* The driver reads configuration space in pieces of so many bytes at most. */
#define VIRTIO_KUNIT_CONFIG_PIECE	4

/**
 * struct virtio_kunit_buf - a buffer that the driver made available to the host
 * @out: what the host can read
 * @in: what the host can write
 * @out_vec: initial room for @out
 * @in_vec: initial room for @in
 * @head: identifies the buffer
 */
struct virtio_kunit_buf {
	struct vringh_kiov out;
	struct vringh_kiov in;
	struct kvec out_vec[4];
	struct kvec in_vec[4];
	u16 head;
};

/**
 * struct virtio_kunit_vq - both sides of a virtqueue
 * @vk: the device that it belongs to
 * @vq: the side of the driver; NULL if there is none
 * @vring: the side of the host
 * @work: calls &virtio_kunit_ops.handle in the context of the host
 * @irq: calls the driver in the context of an interrupt
 */
struct virtio_kunit_vq {
	struct virtio_kunit *vk;
	struct virtqueue *vq;
	struct vringh vring;
	struct work_struct work;
	struct irq_work irq;
};

/**
 * struct virtio_kunit_ops - what makes a certain kind of device
 * @handle: the driver has notified the host of buffers. In the context of the
 *	host.
 * @features_ok: whether the device accepts the features that the driver has
 *	chosen. Optional. In the context of the driver.
 * @reset: the driver has reset the device; the host must forget the buffers
 *	that it holds. Optional. In the context of the driver.
 * @config_read: the driver is about to read a piece of configuration space, of
 *	%VIRTIO_KUNIT_CONFIG_PIECE bytes or less. Optional. In the context of
 *	the driver.
 * @violation: driver or host have broken a rule, which is put in words.
 *	Optional: without it, the test case fails.
 */
struct virtio_kunit_ops {
	void (*handle)(struct virtio_kunit *vk, struct virtio_kunit_vq *vq);
	bool (*features_ok)(struct virtio_kunit *vk);
	void (*reset)(struct virtio_kunit *vk);
	void (*config_read)(struct virtio_kunit *vk, unsigned int offset);
	void (*violation)(struct virtio_kunit *vk, const char *what);
};

/**
 * struct virtio_kunit - a virtio device for KUnit
 * @vdev: the device as the driver sees it
 * @test: the test case that it belongs to
 * @ops: what makes this kind of device
 * @features: the feature bits that the device offers
 * @config: configuration space, which the host changes under
 *	guard(virtio_kunit_config)
 * @config_size: its size
 * @config_lock: for @config and @generation
 * @generation: the generation of @config
 * @config_irq: tells the driver in the context of an interrupt that @config
 *	changed
 * @config_irq_lock: for whoever waits for @config_irq
 * @status: the device status
 * @status_lock: for @status; nothing is sent to driver or host while the device
 *	is not in use
 * @in_use: the host may use virtqueues
 * @registered: whether the device is on the bus
 * @released: @vdev is not referenced any more
 * @host: the context of the host
 * @iotlb: the host can access all memory
 * @iotlb_lock: for @iotlb
 * @vqs: the virtqueues
 */
struct virtio_kunit {
	struct virtio_device vdev;
	struct kunit *test;
	const struct virtio_kunit_ops *ops;
	u64 features;
	void *config;
	size_t config_size;
	spinlock_t config_lock; /* for config and generation */
	u32 generation;
	struct irq_work config_irq;
	struct mutex config_irq_lock; /* for waiting for config_irq */
	u8 status;
	spinlock_t status_lock; /* for status */
	bool in_use;
	bool registered;
	struct completion released;
	struct workqueue_struct *host;
	struct vhost_iotlb iotlb;
	spinlock_t iotlb_lock; /* for iotlb */
	struct virtio_kunit_vq vqs[VIRTIO_KUNIT_MAX_VQS];
};

/*
 * guard(virtio_kunit_config)(vk): while the host changes configuration space. A
 * driver that is reading a field notices, and reads it again.
 */
DEFINE_LOCK_GUARD_1(virtio_kunit_config, struct virtio_kunit,
		    spin_lock_irqsave(&_T->lock->config_lock, _T->flags),
		    _T->lock->generation++;
		    spin_unlock_irqrestore(&_T->lock->config_lock, _T->flags),
		    unsigned long flags)

bool virtio_kunit_serves(u64 features);
void virtio_kunit_init(struct virtio_kunit *vk, struct kunit *test,
		       const struct virtio_kunit_ops *ops, u32 id, u64 features,
		       void *config, size_t config_size);

int virtio_kunit_register(struct virtio_kunit *vk);
void virtio_kunit_unregister(struct virtio_kunit *vk);
bool virtio_kunit_is_bound(struct virtio_kunit *vk);

bool virtio_kunit_get_buf(struct virtio_kunit_vq *vq,
			  struct virtio_kunit_buf *buf);
size_t virtio_kunit_read(struct virtio_kunit_vq *vq,
			 struct virtio_kunit_buf *buf, void *dst, size_t len);
size_t virtio_kunit_write(struct virtio_kunit_vq *vq,
			  struct virtio_kunit_buf *buf, const void *src,
			  size_t len);
void virtio_kunit_put_buf(struct virtio_kunit_vq *vq,
			  struct virtio_kunit_buf *buf, size_t written);

void virtio_kunit_config_changed(struct virtio_kunit *vk);

#endif /* _DRIVERS_VIRTIO_TESTS_VIRTIO_KUNIT_H */
