// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests for the virtio-rng driver: what a reader gets of the bytes that a
 * device hands out.
 *
 * The hwrng core reads in a thread of its own from the best source it has. Most
 * cases have a source that is as good, and was there before, so that nobody but
 * the case reads from the device.
 */
#include <kunit/known_bug.h>
#include <kunit/test.h>
#include <linux/cache.h>
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/hw_random.h>
#include <linux/irq_work.h>
#include <linux/jiffies.h>
#include <linux/kref.h>
#include <linux/minmax.h>
#include <linux/module.h>
#include <linux/string.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/workqueue.h>

#include "virtio_kunit.h"

/* How much the driver asks for at a time. */
#define ROOM	((size_t)MAX(32, SMP_CACHE_BYTES))

/**
 * struct rng - a device that hands out the bytes 0, 1, 2 and so on
 * @vk: the virtio device
 * @buf: the buffer that the host has
 * @has_buf: whether it has one
 * @nr_bufs: how many buffers it got
 * @asked: the driver asks, and the device does not answer
 * @nr_answers: how many buffers the device is to answer
 * @len: how many bytes it hands out each time
 * @extra: how many more it says that it handed out
 * @next: the next byte
 * @reader: reads from the driver
 * @read_size: how much
 * @read_result: what the driver returned
 * @read_done: it has returned
 * @read_bytes: what was read
 * @remover: removes the device
 * @removed: the device was removed
 */
struct rng {
	struct virtio_kunit vk;
	struct virtio_kunit_buf buf;
	bool has_buf;
	unsigned int nr_bufs;
	struct completion asked;
	unsigned int nr_answers;
	size_t len;
	size_t extra;
	u8 next;

	struct work_struct reader;
	size_t read_size;
	int read_result;
	struct completion read_done;
	u8 read_bytes[4 * ROOM];

	struct work_struct remover;
	struct completion removed;
};

static struct rng *to_rng(struct virtio_kunit *vk)
{
	return container_of(vk, struct rng, vk);
}

/*
 * The device
 */

static void rng_handle(struct virtio_kunit *vk, struct virtio_kunit_vq *vq)
{
	struct rng *rng = to_rng(vk);
	size_t i, written;

	for (;;) {
		if (!rng->has_buf) {
			if (!virtio_kunit_get_buf(vq, &rng->buf))
				return;
			rng->has_buf = true;
			rng->nr_bufs++;
		}
		if (!rng->nr_answers) {
			complete(&rng->asked);
			return;
		}
		rng->nr_answers--;
		for (i = written = 0; i < rng->len; i++, rng->next++)
			written += virtio_kunit_write(vq, &rng->buf, &rng->next, 1);
		rng->has_buf = false;
		virtio_kunit_put_buf(vq, &rng->buf, written + rng->extra);
	}
}

static void rng_reset(struct virtio_kunit *vk)
{
	to_rng(vk)->has_buf = false;
}

static const struct virtio_kunit_ops rng_ops = {
	.handle = rng_handle,
	.reset = rng_reset,
};

/* Have the device answer, now and when the driver asks again. */
static void answer(struct rng *rng, unsigned int nr_answers, size_t len)
{
	struct virtio_kunit_vq *vq = &rng->vk.vqs[0];

	flush_workqueue(rng->vk.host);
	rng->nr_answers = nr_answers;
	rng->len = len;
	queue_work(rng->vk.host, &vq->work);
	flush_workqueue(rng->vk.host);
	irq_work_sync(&vq->irq);
}

/*
 * The readers
 */

/* The private data of the driver begin with this. */
static struct hwrng *to_hwrng(struct rng *rng)
{
	return rng->vk.vdev.priv;
}

static int read_now(struct rng *rng, void *bytes, size_t size)
{
	struct hwrng *hwrng = to_hwrng(rng);

	return hwrng->read(hwrng, bytes, size, false);
}

static void read_and_wait(struct work_struct *work)
{
	struct rng *rng = container_of(work, struct rng, reader);
	struct hwrng *hwrng = to_hwrng(rng);

	rng->read_result = hwrng->read(hwrng, rng->read_bytes, rng->read_size,
				       true);
	complete(&rng->read_done);
}

static void start_reading(struct rng *rng, size_t size)
{
	rng->read_size = size;
	queue_work(system_long_wq, &rng->reader);
}

static bool wait_for(struct completion *completion)
{
	return wait_for_completion_timeout(completion, 5 * HZ);
}

static void expect_bytes(struct kunit *test, const u8 *bytes, size_t size,
			 u8 first)
{
	size_t i;

	for (i = 0; i < size && bytes[i] == (u8)(first + i); i++)
		;
	KUNIT_EXPECT_EQ_MSG(test, size, i, "byte %zu is %u, should be %u", i,
			    bytes[i], (u8)(first + i));
}

static void remove_device(struct work_struct *work)
{
	struct rng *rng = container_of(work, struct rng, remover);

	virtio_kunit_unregister(&rng->vk);
	complete(&rng->removed);
}

/*
 * The fixture
 */

/* A source that never has anything. */
static int read_nothing(struct hwrng *hwrng, void *data, size_t max, bool wait)
{
	return 0;
}

static struct hwrng other_source;

static void remove_other_source(void *unused)
{
	hwrng_unregister(&other_source);
}

static void add_other_source(struct kunit *test)
{
	other_source = (struct hwrng){
		.name = "virtio_rng_kunit",
		.read = read_nothing,
	};
	KUNIT_ASSERT_EQ(test, 0, hwrng_register(&other_source));
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, remove_other_source, NULL));
}

static void flush_workers(void *arg)
{
	struct rng *rng = arg;

	flush_work(&rng->reader);
	flush_work(&rng->remover);
}

/* Let the driver probe a device that does not answer yet. */
static struct rng *probe_rng(struct kunit *test)
{
	struct rng *rng = kunit_kzalloc(test, sizeof(*rng), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, rng);
	init_completion(&rng->asked);
	init_completion(&rng->read_done);
	init_completion(&rng->removed);
	INIT_WORK(&rng->reader, read_and_wait);
	INIT_WORK(&rng->remover, remove_device);
	/* After the device is gone, which ends every read. */
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, flush_workers, rng));
	virtio_kunit_init(&rng->vk, test, &rng_ops, VIRTIO_ID_RNG,
			  BIT_ULL(VIRTIO_F_VERSION_1), NULL, 0);
	KUNIT_ASSERT_EQ(test, 0, virtio_kunit_register(&rng->vk));
	KUNIT_ASSERT_TRUE(test, virtio_kunit_is_bound(&rng->vk));
	KUNIT_ASSERT_TRUE(test, wait_for(&rng->asked));
	return rng;
}

/* The same, and nobody else reads from it. */
static struct rng *probe_own_rng(struct kunit *test)
{
	add_other_source(test);
	return probe_rng(test);
}

/*
 * Cases
 */

/*
 * When it probes, virtio-rng makes one buffer available that the device may
 * write to, and none that it may read.
 */
static void probe_asks_for_bytes(struct kunit *test)
{
	struct rng *rng = probe_own_rng(test);

	KUNIT_EXPECT_EQ(test, 1, rng->nr_bufs);
	KUNIT_EXPECT_EQ(test, ROOM, vringh_kiov_length(&rng->buf.in));
	KUNIT_EXPECT_EQ(test, 0, vringh_kiov_length(&rng->buf.out));
}

static const size_t answer_params[] = { 1, 31, ROOM };

static void answer_desc(const size_t *len, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%zu bytes", *len);
}

KUNIT_ARRAY_PARAM(answer, answer_params, answer_desc);

/*
 * A reader that does not wait gets exactly the bytes that the virtio-rng device
 * has handed out, and the driver then asks for more.
 */
static void read_gets_the_bytes_of_the_device(struct kunit *test)
{
	const size_t len = *(const size_t *)test->param_value;
	struct rng *rng = probe_own_rng(test);
	u8 bytes[2 * ROOM] = {};

	KUNIT_EXPECT_EQ(test, 0, read_now(rng, bytes, sizeof(bytes)));
	answer(rng, 1, len);
	KUNIT_EXPECT_EQ(test, len, read_now(rng, bytes, sizeof(bytes)));
	expect_bytes(test, bytes, len, 0);
	KUNIT_EXPECT_EQ(test, 0, bytes[len]);

	KUNIT_EXPECT_EQ(test, 0, read_now(rng, bytes, sizeof(bytes)));
	answer(rng, 1, len);
	KUNIT_EXPECT_EQ(test, 2, rng->nr_bufs);
	KUNIT_EXPECT_EQ(test, len, read_now(rng, bytes, sizeof(bytes)));
	expect_bytes(test, bytes, len, len);
}

/*
 * A reader that takes less than the virtio-rng device has handed out gets the
 * rest when it reads again.
 */
static void reading_in_pieces_loses_nothing(struct kunit *test)
{
	struct rng *rng = probe_own_rng(test);
	u8 bytes[ROOM] = {};
	const size_t first = ROOM - 8;
	int rest;

	answer(rng, 1, ROOM);
	KUNIT_EXPECT_EQ(test, first, read_now(rng, bytes, first));
	rest = read_now(rng, bytes + first, 3);
	if (!rest)
		kunit_known_bug(test, "hwrng-virtio-keep-rest-of-answer",
				"the driver drops the rest of an answer");
	KUNIT_EXPECT_EQ(test, 3, rest);
	KUNIT_EXPECT_EQ(test, 5, read_now(rng, bytes + first + 3, 7));
	expect_bytes(test, bytes, ROOM, 0);
}

/*
 * A reader that waits gets all that it wants, from several answers of the
 * virtio-rng device, each of which it uses up before the next.
 */
static void waiting_read_takes_several_answers(struct kunit *test)
{
	struct rng *rng = probe_own_rng(test);

	start_reading(rng, 3 * 20);
	answer(rng, 3, 20);
	KUNIT_ASSERT_TRUE(test, wait_for(&rng->read_done));
	KUNIT_EXPECT_EQ(test, 3 * 20, rng->read_result);
	expect_bytes(test, rng->read_bytes, 3 * 20, 0);
}

/* A reader that waits gets nothing before the virtio-rng device answers. */
static void waiting_read_waits_for_the_device(struct kunit *test)
{
	struct rng *rng = probe_own_rng(test);

	start_reading(rng, 16);
	fsleep(1000);
	KUNIT_EXPECT_FALSE(test, completion_done(&rng->read_done));
	answer(rng, 1, 16);
	KUNIT_ASSERT_TRUE(test, wait_for(&rng->read_done));
	KUNIT_EXPECT_EQ(test, 16, rng->read_result);
	expect_bytes(test, rng->read_bytes, 16, 0);
}

/*
 * A reader gets no more than the buffer of the driver has room for, if the
 * virtio-rng device says that it handed out more.
 */
static void boasting_device_is_not_believed(struct kunit *test)
{
	struct rng *rng = probe_own_rng(test);
	u8 bytes[4 * ROOM] = {};

	rng->extra = 3 * ROOM;
	answer(rng, 1, ROOM);
	KUNIT_EXPECT_EQ(test, ROOM, read_now(rng, bytes, sizeof(bytes)));
	expect_bytes(test, bytes, ROOM, 0);
	KUNIT_EXPECT_EQ(test, 0, bytes[ROOM]);
}

/*
 * When a virtio-rng device is removed, the hwrng core's thread, which waits for
 * bytes of it, stops waiting.
 */
static void removal_ends_a_waiting_read(struct kunit *test)
{
	struct rng *rng = probe_rng(test);

	if (!kref_read(&to_hwrng(rng)->ref))
		kunit_skip(test, "another source of random numbers is in use");
	/* The thread starts to read. */
	fsleep(2000);
	queue_work(system_long_wq, &rng->remover);
	KUNIT_EXPECT_TRUE(test, wait_for(&rng->removed));
	/* Do not leave the thread waiting. */
	if (!completion_done(&rng->removed) && rng->vk.in_use)
		answer(rng, 1, ROOM);
}

static struct kunit_case virtio_rng_cases[] = {
	KUNIT_CASE(probe_asks_for_bytes),
	KUNIT_CASE_PARAM(read_gets_the_bytes_of_the_device, answer_gen_params),
	KUNIT_CASE(reading_in_pieces_loses_nothing),
	KUNIT_CASE(waiting_read_takes_several_answers),
	KUNIT_CASE(waiting_read_waits_for_the_device),
	KUNIT_CASE(boasting_device_is_not_believed),
	KUNIT_CASE(removal_ends_a_waiting_read),
	{}
};

static struct kunit_suite virtio_rng_suite = {
	.name = "virtio_rng",
	.test_cases = virtio_rng_cases,
};

kunit_test_suite(virtio_rng_suite);

MODULE_DESCRIPTION("KUnit tests for the virtio-rng driver");
MODULE_LICENSE("GPL");
