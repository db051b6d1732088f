// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests for the virtio transport that drivers are tested with. The test
 * cases are the driver as well, of a virtio device ID that has none.
 */
#include <kunit/known_bug.h>
#include <kunit/test.h>
#include <linux/bits.h>
#include <linux/completion.h>
#include <linux/hardirq.h>
#include <linux/iopoll.h>
#include <linux/module.h>
#include <linux/scatterlist.h>
#include <linux/string.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>

#include "virtio_kunit.h"

#define VIRTIO_ID_NOBODY	0xfffd

#define VALUE_BEFORE		0x1111111122222222ULL
#define VALUE_AFTER		0x3333333344444444ULL

struct transport_config {
	__le64 value;
};

/**
 * struct transport - a device that returns the buffers it gets
 * @vk: the virtio device
 * @config: its configuration space
 * @vq: the virtqueue, as the driver sees it
 * @vq_info: what the driver asks for
 * @called: the driver was called about used buffers
 * @in_hardirq: it was called in the context of a hard interrupt
 * @echo: the host copies what it can read to where it can write
 * @slow: the host is not done with a buffer before the driver resets the device
 * @hold: the host keeps the buffer
 * @buf: the buffer that the host had last
 * @started: the host has got a buffer
 * @done: the host is done with a buffer
 * @nr_pieces: how often the driver read a piece of configuration space
 * @violation: which rule was broken last
 * @nr_violations: how often a rule was broken
 */
struct transport {
	struct virtio_kunit vk;
	struct transport_config config;
	struct virtqueue *vq;
	struct virtqueue_info vq_info[VIRTIO_KUNIT_MAX_VQS + 1];
	struct completion called;
	bool in_hardirq;
	bool echo;
	bool slow;
	bool hold;
	struct virtio_kunit_buf buf;
	struct completion started;
	bool done;
	unsigned int nr_pieces;
	const char *violation;
	unsigned int nr_violations;
};

static struct transport *to_transport(struct virtio_kunit *vk)
{
	return container_of(vk, struct transport, vk);
}

/*
 * The host
 */

static size_t echo(struct virtio_kunit_vq *vq, struct virtio_kunit_buf *buf)
{
	size_t written = 0;
	u8 byte;

	while (virtio_kunit_read(vq, buf, &byte, 1))
		written += virtio_kunit_write(vq, buf, &byte, 1);
	return written;
}

/* A reset begins with the status, and ends when the host is done. */
static void wait_for_reset(struct transport *t)
{
	struct virtio_device *vdev = &t->vk.vdev;
	u8 status;

	read_poll_timeout(vdev->config->get_status, status, !status, 1000,
			  5 * USEC_PER_SEC, false, vdev);
}

static void transport_handle(struct virtio_kunit *vk, struct virtio_kunit_vq *vq)
{
	struct transport *t = to_transport(vk);
	size_t written = 0;

	if (!virtio_kunit_get_buf(vq, &t->buf))
		return;
	complete(&t->started);
	if (t->hold)
		return;
	if (t->slow)
		wait_for_reset(t);
	if (t->echo)
		written = echo(vq, &t->buf);
	virtio_kunit_put_buf(vq, &t->buf, written);
	t->done = true;
}

/* Change a field when the driver has read half of it. */
static void transport_config_read(struct virtio_kunit *vk, unsigned int offset)
{
	struct transport *t = to_transport(vk);

	if (++t->nr_pieces != 2)
		return;
	guard(virtio_kunit_config)(vk);
	t->config.value = cpu_to_le64(VALUE_AFTER);
}

static void transport_violation(struct virtio_kunit *vk, const char *what)
{
	struct transport *t = to_transport(vk);

	t->violation = what;
	t->nr_violations++;
}

static const struct virtio_kunit_ops transport_ops = {
	.handle = transport_handle,
	.config_read = transport_config_read,
	.violation = transport_violation,
};

/*
 * The driver
 */

static void transport_called(struct virtqueue *vq)
{
	struct transport *t = to_transport(container_of(vq->vdev,
							struct virtio_kunit,
							vdev));

	t->in_hardirq = in_hardirq();
	complete(&t->called);
}

static int find_vqs(struct transport *t, unsigned int nr)
{
	struct virtqueue *vqs[ARRAY_SIZE(t->vq_info)];
	int ret;

	ret = virtio_find_vqs(&t->vk.vdev, nr, vqs, t->vq_info, NULL);
	t->vq = ret ? NULL : vqs[0];
	return ret;
}

static void choose_features(struct transport *t, u64 features)
{
	t->vk.vdev.features = features;
	t->vk.vdev.config->finalize_features(&t->vk.vdev);
}

static void drive(struct transport *t)
{
	struct virtio_device *vdev = &t->vk.vdev;

	virtio_add_status(vdev, VIRTIO_CONFIG_S_DRIVER);
	choose_features(t, t->vk.features);
	virtio_add_status(vdev, VIRTIO_CONFIG_S_FEATURES_OK);
	KUNIT_ASSERT_EQ(t->vk.test, 0, find_vqs(t, 1));
	virtio_device_ready(vdev);
}

static void stop_driving(void *arg)
{
	struct transport *t = arg;

	virtio_reset_device(&t->vk.vdev);
	t->vk.vdev.config->del_vqs(&t->vk.vdev);
}

/* Make a buffer available. */
static void add_buffer(struct transport *t, struct scatterlist *out,
		       struct scatterlist *in)
{
	struct scatterlist *sgs[] = { out, in };

	KUNIT_ASSERT_EQ(t->vk.test, 0,
			virtqueue_add_sgs(t->vq, sgs, 1, 1, t, GFP_KERNEL));
	virtqueue_kick(t->vq);
}

static void add_small_buffer(struct transport *t)
{
	u8 *bytes = kunit_kzalloc(t->vk.test, 2, GFP_KERNEL);
	struct scatterlist out, in;

	KUNIT_ASSERT_NOT_NULL(t->vk.test, bytes);
	sg_init_one(&out, &bytes[0], 1);
	sg_init_one(&in, &bytes[1], 1);
	add_buffer(t, &out, &in);
}

static bool wait_for(struct completion *completion)
{
	return wait_for_completion_timeout(completion, 5 * HZ);
}

static struct transport *transport_new(struct kunit *test)
{
	struct transport *t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);
	int i;

	KUNIT_ASSERT_NOT_NULL(test, t);
	for (i = 0; i < ARRAY_SIZE(t->vq_info); i++)
		t->vq_info[i] = (struct virtqueue_info){
			.name = "buffers",
			.callback = transport_called,
		};
	init_completion(&t->called);
	init_completion(&t->started);
	t->config.value = cpu_to_le64(VALUE_BEFORE);
	virtio_kunit_init(&t->vk, test, &transport_ops, VIRTIO_ID_NOBODY,
			  BIT_ULL(VIRTIO_F_VERSION_1) |
			  BIT_ULL(VIRTIO_RING_F_INDIRECT_DESC),
			  &t->config, sizeof(t->config));
	KUNIT_ASSERT_EQ(test, 0, virtio_kunit_register(&t->vk));
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, stop_driving, t));
	return t;
}

/*
 * Cases
 */

/*
 * A field of configuration space that the host changes while a driver reads it
 * by the virtio transport of the tests is read again, as a whole.
 */
static void field_that_changes_is_read_again(struct kunit *test)
{
	struct transport *t = transport_new(test);
	struct virtio_device *vdev = &t->vk.vdev;
	u64 value;

	virtio_cread_le(vdev, struct transport_config, value, &value);
	KUNIT_EXPECT_EQ(test, VALUE_AFTER, value);
	KUNIT_EXPECT_EQ(test, 4, t->nr_pieces);
	KUNIT_EXPECT_EQ(test, 0, t->nr_violations);
}

/*
 * A buffer of many pieces gets from the driver to the host and back by the
 * virtio transport of the tests.
 */
static void buffer_of_many_pieces_arrives(struct kunit *test)
{
	struct transport *t = transport_new(test);
	struct scatterlist out[7], in[5];
	u8 *sent, *returned;
	unsigned int len;
	int i;

	sent = kunit_kzalloc(test, 35, GFP_KERNEL);
	returned = kunit_kzalloc(test, 35, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, sent);
	KUNIT_ASSERT_NOT_NULL(test, returned);
	for (i = 0; i < 35; i++)
		sent[i] = i + 1;
	sg_init_table(out, 7);
	for (i = 0; i < 7; i++)
		sg_set_buf(&out[i], sent + 5 * i, 5);
	sg_init_table(in, 5);
	for (i = 0; i < 5; i++)
		sg_set_buf(&in[i], returned + 7 * i, 7);

	t->echo = true;
	drive(t);
	add_buffer(t, out, in);
	KUNIT_ASSERT_TRUE(test, wait_for(&t->called));
	KUNIT_EXPECT_PTR_EQ(test, t, virtqueue_get_buf(t->vq, &len));
	KUNIT_EXPECT_EQ(test, 35, len);
	KUNIT_EXPECT_MEMEQ(test, sent, returned, 35);
	KUNIT_EXPECT_EQ(test, 0, t->nr_violations);
}

/*
 * A driver hears of used buffers in the context of a hard interrupt with the
 * virtio transport of the tests, unless that is a thread.
 */
static void driver_is_called_in_hard_interrupts(struct kunit *test)
{
	struct transport *t = transport_new(test);

	drive(t);
	add_small_buffer(t);
	KUNIT_ASSERT_TRUE(test, wait_for(&t->called));
	KUNIT_EXPECT_EQ(test, VIRTIO_KUNIT_HARDIRQ, t->in_hardirq);
}

/*
 * A reset by way of the virtio transport of the tests waits until the host has
 * put its buffer aside, and the driver does not hear of that buffer any more.
 */
static void reset_waits_for_the_host(struct kunit *test)
{
	struct transport *t = transport_new(test);

	t->slow = true;
	drive(t);
	add_small_buffer(t);
	KUNIT_ASSERT_TRUE(test, wait_for(&t->started));
	KUNIT_EXPECT_FALSE(test, t->done);
	virtio_reset_device(&t->vk.vdev);
	KUNIT_EXPECT_TRUE(test, t->done);
	KUNIT_EXPECT_FALSE(test, completion_done(&t->called));
	KUNIT_EXPECT_EQ(test, 0, t->nr_violations);
}

static void be_out_of_order(struct transport *t)
{
	virtio_add_status(&t->vk.vdev, VIRTIO_CONFIG_S_FEATURES_OK);
}

static void take_back_status(struct transport *t)
{
	t->vk.vdev.config->set_status(&t->vk.vdev, VIRTIO_CONFIG_S_DRIVER);
}

static void clear_status(struct transport *t)
{
	t->vk.vdev.config->set_status(&t->vk.vdev, 0);
}

static void go_on_after_failure(struct transport *t)
{
	virtio_add_status(&t->vk.vdev, VIRTIO_CONFIG_S_FAILED);
	virtio_add_status(&t->vk.vdev, VIRTIO_CONFIG_S_DRIVER);
}

static void take_other_features(struct transport *t)
{
	choose_features(t, t->vk.features | BIT_ULL(0));
}

static void change_features_late(struct transport *t)
{
	drive(t);
	choose_features(t, BIT_ULL(VIRTIO_F_VERSION_1));
}

static void read_past_config(struct transport *t)
{
	virtio_cread32(&t->vk.vdev, sizeof(t->config) - 2);
}

static void write_config(struct transport *t)
{
	virtio_cwrite32(&t->vk.vdev, 0, 1);
}

static void notify_early(struct transport *t)
{
	KUNIT_ASSERT_EQ(t->vk.test, 0, find_vqs(t, 1));
	virtqueue_notify(t->vq);
}

static void notify_after_reset(struct transport *t)
{
	drive(t);
	virtio_reset_device(&t->vk.vdev);
	virtqueue_notify(t->vq);
}

static void delete_vqs_in_use(struct transport *t)
{
	drive(t);
	t->vk.vdev.config->del_vqs(&t->vk.vdev);
}

static void leave_vq_behind(struct transport *t)
{
	KUNIT_ASSERT_EQ(t->vk.test, 0, find_vqs(t, 1));
	virtio_kunit_unregister(&t->vk);
}

static void answer_after_reset(struct transport *t)
{
	t->hold = true;
	drive(t);
	add_small_buffer(t);
	KUNIT_ASSERT_TRUE(t->vk.test, wait_for(&t->started));
	virtio_reset_device(&t->vk.vdev);
	virtio_kunit_put_buf(&t->vk.vqs[0], &t->buf, 0);
	KUNIT_EXPECT_FALSE(t->vk.test, completion_done(&t->called));
}

/**
 * struct violation_param - a rule that is broken
 * @what: what the transport says about it
 * @commit: breaks the rule
 */
struct violation_param {
	const char *what;
	void (*commit)(struct transport *t);
};

static const struct violation_param violation_params[] = {
	{ "driver sets status bits out of order", be_out_of_order },
	{ "driver takes a status bit back", take_back_status },
	{ "driver resets the device by way of its status", clear_status },
	{ "driver goes on after it failed", go_on_after_failure },
	{ "driver takes features that are not offered", take_other_features },
	{ "driver changes features after FEATURES_OK", change_features_late },
	{ "driver reads past configuration space", read_past_config },
	{ "driver writes to configuration space", write_config },
	{ "driver notifies a device that it does not drive", notify_early },
	{ "driver notifies a device that it does not drive", notify_after_reset },
	{ "driver deletes virtqueues in use", delete_vqs_in_use },
	{ "driver leaves a virtqueue behind", leave_vq_behind },
	{ "host uses a virtqueue after a reset", answer_after_reset },
};

KUNIT_ARRAY_PARAM_DESC(violation, violation_params, what);

/*
 * The virtio transport of the tests notices when the driver or the host breaks
 * a rule of the VIRTIO specification, once and by its name.
 */
static void broken_rule_is_noticed(struct kunit *test)
{
	const struct violation_param *param = test->param_value;
	struct transport *t = transport_new(test);

	param->commit(t);
	KUNIT_EXPECT_EQ(test, 1, t->nr_violations);
	KUNIT_EXPECT_STREQ(test, param->what, t->violation);
}

/* The virtio transport of the tests has no more virtqueues than it says. */
static void too_many_virtqueues_are_refused(struct kunit *test)
{
	struct transport *t = transport_new(test);

	KUNIT_EXPECT_EQ(test, -ENOSPC, find_vqs(t, VIRTIO_KUNIT_MAX_VQS + 1));
	virtio_kunit_unregister(&t->vk);
	KUNIT_EXPECT_EQ(test, 0, t->nr_violations);
}

/*
 * The virtio transport of the tests serves no features that it does not
 * implement, and no device that is not of VIRTIO 1.
 */
static void features_that_are_not_implemented_are_not_served(struct kunit *test)
{
	const u64 version_1 = BIT_ULL(VIRTIO_F_VERSION_1);
	unsigned int bit;

	KUNIT_EXPECT_TRUE(test, virtio_kunit_serves(version_1));
	KUNIT_EXPECT_FALSE(test, virtio_kunit_serves(0));
	for (bit = 0; bit < 64; bit++) {
		const bool implemented = bit < 24 || bit > 49 ||
					 bit == VIRTIO_RING_F_INDIRECT_DESC ||
					 bit == VIRTIO_F_VERSION_1;

		KUNIT_EXPECT_EQ_MSG(test, implemented,
				    virtio_kunit_serves(version_1 | BIT_ULL(bit)),
				    "feature bit %u", bit);
	}
}

static int fail_once(struct virtio_device *vdev)
{
	static bool succeed;
	const int ret = succeed ? 0 : -EIO;

	succeed = !succeed;
	return ret;
}

static void reset_on_removal(struct virtio_device *vdev)
{
	virtio_reset_device(vdev);
}

static const struct virtio_device_id nobody_ids[] = {
	{ VIRTIO_ID_NOBODY, VIRTIO_DEV_ANY_ID },
	{ 0 },
};

static struct virtio_driver clumsy_driver = {
	.driver.name = "virtio_transport_kunit",
	.id_table = nobody_ids,
	.probe = fail_once,
	.remove = reset_on_removal,
};

static void unregister_clumsy_driver(void *unused)
{
	unregister_virtio_driver(&clumsy_driver);
}

/*
 * A virtio device that its driver has failed to probe is reset before it is
 * probed again.
 */
static void device_is_reset_after_its_driver_failed(struct kunit *test)
{
	struct transport *t = transport_new(test);

	KUNIT_ASSERT_EQ(test, 0, register_virtio_driver(&clumsy_driver));
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, unregister_clumsy_driver,
						  NULL));
	KUNIT_ASSERT_FALSE(test, virtio_kunit_is_bound(&t->vk));
	KUNIT_EXPECT_TRUE(test, t->vk.status & VIRTIO_CONFIG_S_FAILED);
	KUNIT_EXPECT_EQ(test, 1, device_attach(&t->vk.vdev.dev));
	if (t->vk.status & VIRTIO_CONFIG_S_FAILED)
		kunit_known_bug(test, "virtio-reset-failed-device",
				"the device is probed again as it was left");
	KUNIT_EXPECT_TRUE(test, t->vk.status & VIRTIO_CONFIG_S_DRIVER_OK);
	KUNIT_EXPECT_EQ(test, 0, t->nr_violations);
}

static struct kunit_case virtio_transport_cases[] = {
	KUNIT_CASE(field_that_changes_is_read_again),
	KUNIT_CASE(buffer_of_many_pieces_arrives),
	KUNIT_CASE(driver_is_called_in_hard_interrupts),
	KUNIT_CASE(reset_waits_for_the_host),
	KUNIT_CASE_PARAM(broken_rule_is_noticed, violation_gen_params),
	KUNIT_CASE(too_many_virtqueues_are_refused),
	KUNIT_CASE(features_that_are_not_implemented_are_not_served),
	KUNIT_CASE(device_is_reset_after_its_driver_failed),
	{}
};

static struct kunit_suite virtio_transport_suite = {
	.name = "virtio_transport",
	.test_cases = virtio_transport_cases,
};

kunit_test_suite(virtio_transport_suite);

MODULE_DESCRIPTION("KUnit tests for a virtio transport");
MODULE_LICENSE("GPL");
