// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests for the virtio-mem device that the virtio-mem driver is tested
 * with, and for requests that this driver never makes. They are made by a
 * driver that does nothing else, for a virtio device ID of its own.
 */
#include <kunit/phantom_memory.h>
#include <kunit/test.h>
#include <linux/bitmap.h>
#include <linux/completion.h>
#include <linux/hardirq.h>
#include <linux/scatterlist.h>
#include <linux/sizes.h>
#include <linux/string.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>

#include "virtio_mem_device.h"

#define VIRTIO_ID_CLIENT	0xfffe

#define CLIENT_ADDR	(4ULL * SZ_1G)
#define CLIENT_BLOCK	((u64)SZ_2M)
#define CLIENT_NR	16

static unsigned int client_features[1];

static const struct virtio_device_id client_ids[] = {
	{ VIRTIO_ID_CLIENT, VIRTIO_DEV_ANY_ID },
	{ 0 },
};

/**
 * struct client - the state of the driver that makes requests
 * @vq: the virtqueue
 * @answered: completed when an answer arrives
 * @req: the request
 * @resp: the answer
 * @nr_config_changes: how often configuration is said to have changed
 * @in_hardirq: whether that was said in the context of a hard interrupt
 */
static struct client {
	struct virtqueue *vq;
	struct completion answered;
	unsigned int nr_config_changes;
	bool in_hardirq;
	struct virtio_mem_req req;
	struct virtio_mem_resp resp;
} *client;

static void client_answered(struct virtqueue *vq)
{
	complete(&client->answered);
}

static void client_config_changed(struct virtio_device *vdev)
{
	client->nr_config_changes++;
	client->in_hardirq = in_hardirq();
}

static int client_probe(struct virtio_device *vdev)
{
	client->vq = virtio_find_single_vq(vdev, client_answered, "request");
	return PTR_ERR_OR_ZERO(client->vq);
}

static void client_remove(struct virtio_device *vdev)
{
	virtio_reset_device(vdev);
	vdev->config->del_vqs(vdev);
}

static struct virtio_driver client_driver = {
	.driver.name = "virtio_mem_client",
	.id_table = client_ids,
	.feature_table = client_features,
	.probe = client_probe,
	.remove = client_remove,
	.config_changed = client_config_changed,
};

static void client_unregister(void *unused)
{
	unregister_virtio_driver(&client_driver);
}

static struct virtio_mem_device *client_device(struct kunit *test, bool features)
{
	struct virtio_mem_device *dev;

	client = kunit_kzalloc(test, sizeof(*client), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, client);
	init_completion(&client->answered);
	client_features[0] = VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE;
	client_driver.feature_table_size = features;
	KUNIT_ASSERT_EQ(test, 0, register_virtio_driver(&client_driver));
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, client_unregister, NULL));

	dev = kunit_kzalloc(test, sizeof(*dev), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, dev);
	virtio_mem_device_init(dev, test, VIRTIO_ID_CLIENT, CLIENT_ADDR,
			       CLIENT_NR * CLIENT_BLOCK, CLIENT_BLOCK);
	KUNIT_ASSERT_EQ(test, 0, virtio_kunit_register(&dev->vk));
	return dev;
}

/*
 * Get a device whose first half is usable. Half of that is requested, and
 * blocks 1 and 2 are plugged.
 */
static struct virtio_mem_device *client_device_in_use(struct kunit *test)
{
	struct virtio_mem_device *dev = client_device(test, true);

	KUNIT_ASSERT_TRUE(test, virtio_kunit_is_bound(&dev->vk));
	dev->extent = CLIENT_NR / 4 * CLIENT_BLOCK;
	virtio_mem_device_unplug_all(dev);
	virtio_mem_device_resize(dev, CLIENT_NR / 4 * CLIENT_BLOCK);
	bitmap_set(dev->plugged, 1, 2);
	dev->config.plugged_size = cpu_to_le64(2 * CLIENT_BLOCK);
	return dev;
}

/*
 * Make a request that is already in client->req, of which so many bytes are
 * there, with so much room for the answer. Return the length of the answer.
 */
static unsigned int send_request(struct kunit *test, size_t req_size,
				 size_t resp_size)
{
	struct scatterlist out, in, *sgs[] = { &out, &in };
	unsigned int len = 0;

	memset(&client->resp, 0xff, sizeof(client->resp));
	sg_init_one(&out, &client->req, req_size);
	sg_init_one(&in, &client->resp, resp_size);

	reinit_completion(&client->answered);
	KUNIT_ASSERT_EQ(test, 0, virtqueue_add_sgs(client->vq, sgs, 1, 1, client,
						   GFP_KERNEL));
	virtqueue_kick(client->vq);
	KUNIT_ASSERT_NE(test, 0,
			wait_for_completion_timeout(&client->answered, 5 * HZ));
	KUNIT_EXPECT_PTR_EQ(test, client, virtqueue_get_buf(client->vq, &len));
	return len;
}

/* What the specification gives no meaning to is garbage. */
static void fill_request(u16 type, u64 addr, u16 nr_blocks)
{
	memset(&client->req, VIRTIO_MEM_GARBAGE, sizeof(client->req));
	client->req.type = (__force __virtio16)cpu_to_le16(type);
	if (type == VIRTIO_MEM_REQ_UNPLUG_ALL)
		return;
	/* All other requests look the same. */
	client->req.u.plug.addr = (__force __virtio64)cpu_to_le64(addr);
	client->req.u.plug.nb_blocks = (__force __virtio16)cpu_to_le16(nr_blocks);
}

static u16 answer(void)
{
	return le16_to_cpu((__force __le16)client->resp.type);
}

static u16 answered_state(void)
{
	return le16_to_cpu((__force __le16)client->resp.u.state.state);
}

static int make_request(struct kunit *test, u16 type, u64 addr, u16 nr_blocks)
{
	fill_request(type, addr, nr_blocks);
	KUNIT_EXPECT_EQ(test, sizeof(client->resp),
			send_request(test, sizeof(client->req),
				     sizeof(client->resp)));
	return answer();
}

/**
 * struct request_param - a request to client_device_in_use()
 * @desc: the request in words
 * @type: VIRTIO_MEM_REQ_*
 * @offset: offset into the region
 * @nr_blocks: number of blocks
 * @answer: what the device should answer
 * @first: the first plugged block afterwards
 * @nr_plugged: the number of plugged blocks
 * @state: VIRTIO_MEM_STATE_*
 */
struct request_param {
	const char *desc;
	u16 type;
	u64 offset;
	u16 nr_blocks;
	u16 answer;
	unsigned int first;
	unsigned int nr_plugged;
	u16 state;
};

#define STRAY(_desc, _type)							\
	{ .desc = _desc " an unaligned block", .type = _type,			\
	  .offset = 2 * CLIENT_BLOCK - SZ_4K, .nr_blocks = 1,			\
	  .answer = VIRTIO_MEM_RESP_ERROR, .first = 1, .nr_plugged = 2 }
#define PLUG(_desc, _block, _nr, _answer, _first, _nr_plugged)			\
	{ .desc = "plug " _desc, .type = VIRTIO_MEM_REQ_PLUG,			\
	  .offset = (_block) * CLIENT_BLOCK, .nr_blocks = _nr,			\
	  .answer = VIRTIO_MEM_RESP_##_answer, .first = _first,			\
	  .nr_plugged = _nr_plugged }
#define UNPLUG(_desc, _block, _nr, _answer, _first, _nr_plugged)		\
	{ .desc = "unplug " _desc, .type = VIRTIO_MEM_REQ_UNPLUG,		\
	  .offset = (_block) * CLIENT_BLOCK, .nr_blocks = _nr,			\
	  .answer = VIRTIO_MEM_RESP_##_answer, .first = _first,			\
	  .nr_plugged = _nr_plugged }
#define STATE(_desc, _block, _nr, _answer, _state)				\
	{ .desc = "state of " _desc, .type = VIRTIO_MEM_REQ_STATE,		\
	  .offset = (_block) * CLIENT_BLOCK, .nr_blocks = _nr,			\
	  .answer = VIRTIO_MEM_RESP_##_answer, .first = 1, .nr_plugged = 2,	\
	  .state = _state }

static const struct request_param request_params[] = {
	PLUG("unplugged blocks", 3, 2, ACK, 1, 4),
	PLUG("a plugged block", 2, 1, ERROR, 1, 2),
	PLUG("plugged and unplugged blocks", 0, 2, ERROR, 1, 2),
	PLUG("more than requested", 3, 3, NACK, 1, 2),
	PLUG("no block", 3, 0, ERROR, 1, 2),
	PLUG("beyond the usable region", 7, 2, ERROR, 1, 2),
	PLUG("beyond the region", CLIENT_NR, 1, ERROR, 1, 2),
	PLUG("before the region", -1ULL, 1, ERROR, 1, 2),
	PLUG("more than an address space", 3, U16_MAX, ERROR, 1, 2),
	STRAY("plug", VIRTIO_MEM_REQ_PLUG),
	UNPLUG("a plugged block", 1, 1, ACK, 2, 1),
	UNPLUG("an unplugged block", 3, 1, ERROR, 1, 2),
	UNPLUG("plugged and unplugged blocks", 2, 2, ERROR, 1, 2),
	UNPLUG("no block", 1, 0, ERROR, 1, 2),
	UNPLUG("beyond the usable region", 8, 1, ERROR, 1, 2),
	UNPLUG("beyond the region", CLIENT_NR, 1, ERROR, 1, 2),
	STRAY("unplug", VIRTIO_MEM_REQ_UNPLUG),
	STATE("plugged blocks", 1, 2, ACK, VIRTIO_MEM_STATE_PLUGGED),
	STATE("unplugged blocks", 3, 3, ACK, VIRTIO_MEM_STATE_UNPLUGGED),
	STATE("plugged and unplugged blocks", 0, 4, ACK, VIRTIO_MEM_STATE_MIXED),
	STATE("no block", 1, 0, ERROR, 0),
	STATE("blocks beyond the usable region", 7, 2, ERROR, 0),
	STATE("blocks beyond the region", CLIENT_NR, 1, ERROR, 0),
	STRAY("state of", VIRTIO_MEM_REQ_STATE),
	{ .desc = "unplug all", .type = VIRTIO_MEM_REQ_UNPLUG_ALL,
	  .answer = VIRTIO_MEM_RESP_ACK, .first = CLIENT_NR },
	{ .desc = "something else", .type = 4, .answer = VIRTIO_MEM_RESP_ERROR,
	  .first = 1, .nr_plugged = 2 },
};

KUNIT_ARRAY_PARAM_DESC(request, request_params, desc);

/*
 * The virtio-mem device of the tests answers requests, valid and invalid ones,
 * as section 5.15 of the VIRTIO specification 1.3 says.
 */
static void device_answers_as_specified(struct kunit *test)
{
	const struct request_param *param = test->param_value;
	struct virtio_mem_device *dev = client_device_in_use(test);

	KUNIT_EXPECT_EQ(test, param->answer,
			make_request(test, param->type, CLIENT_ADDR + param->offset,
				     param->nr_blocks));
	KUNIT_EXPECT_EQ(test, param->first,
			find_first_bit(dev->plugged, dev->nr_blocks));
	KUNIT_EXPECT_EQ(test, param->nr_plugged,
			bitmap_weight(dev->plugged, dev->nr_blocks));
	KUNIT_EXPECT_EQ(test, param->nr_plugged * CLIENT_BLOCK,
			le64_to_cpu(dev->config.plugged_size));
	if (param->type == VIRTIO_MEM_REQ_STATE &&
	    param->answer == VIRTIO_MEM_RESP_ACK)
		KUNIT_EXPECT_EQ(test, param->state, answered_state());
	KUNIT_EXPECT_EQ(test, param->answer == VIRTIO_MEM_RESP_ERROR,
			dev->nr_invalid);
}

/*
 * The virtio-mem device of the tests fills with garbage what a driver has to
 * ignore: padding, the node without VIRTIO_MEM_F_ACPI_PXM, and the state in any
 * answer but an acknowledged STATE request.
 */
static void unused_fields_are_garbage(struct kunit *test)
{
	struct virtio_mem_device *dev = client_device_in_use(test);
	u8 garbage[sizeof(client->resp)];

	memset(garbage, VIRTIO_MEM_GARBAGE, sizeof(garbage));
	KUNIT_EXPECT_MEMEQ(test, dev->config.padding, garbage,
			   sizeof(dev->config.padding));
	KUNIT_EXPECT_MEMEQ(test, &dev->config.node_id, garbage,
			   sizeof(dev->config.node_id));

	make_request(test, VIRTIO_MEM_REQ_STATE, CLIENT_ADDR, 1);
	KUNIT_EXPECT_MEMEQ(test, client->resp.padding, garbage,
			   sizeof(client->resp.padding));
	KUNIT_EXPECT_EQ(test, VIRTIO_MEM_STATE_UNPLUGGED, answered_state());
	make_request(test, VIRTIO_MEM_REQ_STATE, CLIENT_ADDR, 0);
	KUNIT_EXPECT_MEMEQ(test, &client->resp.u, garbage, sizeof(client->resp.u));
	make_request(test, VIRTIO_MEM_REQ_UNPLUG_ALL, 0, 0);
	KUNIT_EXPECT_MEMEQ(test, client->resp.padding, garbage,
			   sizeof(client->resp.padding));
	KUNIT_EXPECT_MEMEQ(test, &client->resp.u, garbage, sizeof(client->resp.u));
}

/*
 * The virtio-mem device of the tests answers ERROR to a request that is cut
 * short, and changes nothing.
 */
static void short_request_is_refused(struct kunit *test)
{
	struct virtio_mem_device *dev = client_device_in_use(test);

	fill_request(VIRTIO_MEM_REQ_UNPLUG, CLIENT_ADDR + CLIENT_BLOCK, 1);
	send_request(test, sizeof(client->req) - 1, sizeof(client->resp));
	KUNIT_EXPECT_EQ(test, VIRTIO_MEM_RESP_ERROR, answer());
	KUNIT_EXPECT_EQ(test, 1, dev->nr_invalid);
	KUNIT_EXPECT_EQ(test, 2, bitmap_weight(dev->plugged, dev->nr_blocks));
}

/*
 * The virtio-mem device of the tests does not carry out a request if there is
 * no room for the answer.
 */
static void request_without_room_for_an_answer_is_refused(struct kunit *test)
{
	struct virtio_mem_device *dev = client_device_in_use(test);

	fill_request(VIRTIO_MEM_REQ_UNPLUG, CLIENT_ADDR + CLIENT_BLOCK, 1);
	KUNIT_EXPECT_EQ(test, 0, send_request(test, sizeof(client->req),
					      sizeof(client->resp) - 1));
	KUNIT_EXPECT_EQ(test, 0xffff, answer());
	KUNIT_EXPECT_EQ(test, 1, dev->nr_invalid);
	KUNIT_EXPECT_EQ(test, 2, bitmap_weight(dev->plugged, dev->nr_blocks));
}

/*
 * The virtio-mem device of the tests tells the driver, in an interrupt, of
 * each change of the requested size, and of no change of the plugged size.
 */
static void driver_hears_of_requested_sizes_only(struct kunit *test)
{
	struct virtio_mem_device *dev = client_device_in_use(test);
	const unsigned int nr = client->nr_config_changes;

	make_request(test, VIRTIO_MEM_REQ_UNPLUG, CLIENT_ADDR + CLIENT_BLOCK, 1);
	make_request(test, VIRTIO_MEM_REQ_UNPLUG_ALL, 0, 0);
	KUNIT_EXPECT_EQ(test, nr, client->nr_config_changes);
	virtio_mem_device_resize(dev, CLIENT_BLOCK);
	KUNIT_EXPECT_EQ(test, nr + 1, client->nr_config_changes);
	KUNIT_EXPECT_EQ(test, VIRTIO_KUNIT_HARDIRQ, client->in_hardirq);
}

/*
 * The virtio-mem device of the tests must not request what is not a multiple of
 * the block size or does not fit in the region, and all else is usable as soon
 * as it is requested.
 */
static void requested_size_is_aligned_and_usable(struct kunit *test)
{
	struct virtio_mem_device *dev = client_device_in_use(test);
	const u64 region = CLIENT_NR * CLIENT_BLOCK;

	KUNIT_EXPECT_TRUE(test, virtio_mem_device_may_request(dev, 0));
	KUNIT_EXPECT_TRUE(test, virtio_mem_device_may_request(dev, region));
	KUNIT_EXPECT_FALSE(test, virtio_mem_device_may_request(dev, region - SZ_4K));
	KUNIT_EXPECT_FALSE(test, virtio_mem_device_may_request(dev, region +
							       CLIENT_BLOCK));

	virtio_mem_device_resize(dev, region);
	KUNIT_EXPECT_EQ(test, region,
			le64_to_cpu(dev->config.usable_region_size));
}

/*
 * The virtio-mem device of the tests has the same block size, node, address and
 * region size whatever the driver or the host do.
 */
static void geometry_never_changes(struct kunit *test)
{
	struct virtio_mem_device *dev = client_device_in_use(test);
	const struct virtio_mem_config *config = &dev->config;

	make_request(test, VIRTIO_MEM_REQ_PLUG, CLIENT_ADDR, 1);
	make_request(test, VIRTIO_MEM_REQ_UNPLUG_ALL, 0, 0);
	virtio_mem_device_resize(dev, CLIENT_NR * CLIENT_BLOCK);
	virtio_kunit_unregister(&dev->vk);
	virtio_mem_device_unplug_all(dev);
	KUNIT_EXPECT_EQ(test, CLIENT_BLOCK, le64_to_cpu(config->block_size));
	KUNIT_EXPECT_EQ(test, VIRTIO_MEM_GARBAGE * 0x101,
			le16_to_cpu(config->node_id));
	KUNIT_EXPECT_EQ(test, CLIENT_ADDR, le64_to_cpu(config->addr));
	KUNIT_EXPECT_EQ(test, CLIENT_NR * CLIENT_BLOCK,
			le64_to_cpu(config->region_size));
}

/*
 * The virtio-mem device of the tests keeps blocks plugged when a driver resets
 * it, and unplugs them when the machine is reset.
 */
static void reset_of_the_device_unplugs_nothing(struct kunit *test)
{
	struct virtio_mem_device *dev = client_device_in_use(test);

	virtio_kunit_unregister(&dev->vk);
	KUNIT_ASSERT_EQ(test, 0, virtio_kunit_register(&dev->vk));
	KUNIT_EXPECT_EQ(test, VIRTIO_MEM_RESP_ACK,
			make_request(test, VIRTIO_MEM_REQ_STATE,
				     CLIENT_ADDR + CLIENT_BLOCK, 2));
	KUNIT_EXPECT_EQ(test, VIRTIO_MEM_STATE_PLUGGED, answered_state());
	KUNIT_EXPECT_EQ(test, 2 * CLIENT_BLOCK,
			le64_to_cpu(dev->config.plugged_size));

	virtio_kunit_unregister(&dev->vk);
	virtio_mem_device_unplug_all(dev);
	KUNIT_EXPECT_EQ(test, 0, virtio_mem_device_plugged_size(dev));
	KUNIT_EXPECT_EQ(test, 0, le64_to_cpu(dev->config.plugged_size));
}

/*
 * The usable region of the virtio-mem device of the tests shrinks when all
 * memory is unplugged by request, but not when the requested size shrinks.
 */
static void unplug_all_shrinks_the_usable_region(struct kunit *test)
{
	struct virtio_mem_device *dev = client_device_in_use(test);
	const u64 usable = le64_to_cpu(dev->config.usable_region_size);

	virtio_mem_device_resize(dev, 0);
	KUNIT_EXPECT_EQ(test, usable, le64_to_cpu(dev->config.usable_region_size));
	KUNIT_EXPECT_EQ(test, VIRTIO_MEM_RESP_ACK,
			make_request(test, VIRTIO_MEM_REQ_UNPLUG_ALL, 0, 0));
	KUNIT_EXPECT_EQ(test, dev->extent,
			le64_to_cpu(dev->config.usable_region_size));
}

/*
 * The virtio-mem device of the tests gives the answer that
 * virtio_mem_device_except() asks for to the request that it names, and to no
 * other.
 */
static void device_answers_differently_when_told_to(struct kunit *test)
{
	struct virtio_mem_device *dev = client_device_in_use(test);
	const u64 addr = CLIENT_ADDR + CLIENT_BLOCK;

	virtio_mem_device_except(dev, &(struct virtio_mem_exception){
		.nth = 2, .answer = VIRTIO_MEM_RESP_BUSY,
	});
	KUNIT_EXPECT_EQ(test, VIRTIO_MEM_RESP_ACK,
			make_request(test, VIRTIO_MEM_REQ_UNPLUG, addr, 1));
	KUNIT_EXPECT_EQ(test, VIRTIO_MEM_RESP_BUSY,
			make_request(test, VIRTIO_MEM_REQ_PLUG, addr, 1));
	KUNIT_EXPECT_FALSE(test, test_bit(1, dev->plugged));
	KUNIT_EXPECT_EQ(test, VIRTIO_MEM_RESP_ACK,
			make_request(test, VIRTIO_MEM_REQ_PLUG, addr, 1));
}

/*
 * The virtio-mem device of the tests refuses a driver that does not negotiate
 * VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE.
 */
static void device_refuses_driver_that_accesses_unplugged_memory(struct kunit *test)
{
	struct virtio_mem_device *dev = client_device(test, false);

	KUNIT_EXPECT_FALSE(test, virtio_kunit_is_bound(&dev->vk));
	KUNIT_EXPECT_TRUE(test, dev->vk.status & VIRTIO_CONFIG_S_FAILED);
}

static struct kunit_case virtio_mem_device_cases[] = {
	KUNIT_CASE_PARAM(device_answers_as_specified, request_gen_params),
	KUNIT_CASE(unused_fields_are_garbage),
	KUNIT_CASE(short_request_is_refused),
	KUNIT_CASE(request_without_room_for_an_answer_is_refused),
	KUNIT_CASE(driver_hears_of_requested_sizes_only),
	KUNIT_CASE(requested_size_is_aligned_and_usable),
	KUNIT_CASE(geometry_never_changes),
	KUNIT_CASE(reset_of_the_device_unplugs_nothing),
	KUNIT_CASE(unplug_all_shrinks_the_usable_region),
	KUNIT_CASE(device_answers_differently_when_told_to),
	KUNIT_CASE(device_refuses_driver_that_accesses_unplugged_memory),
	{}
};

static struct kunit_suite virtio_mem_device_suite = {
	.name = "virtio_mem_device",
	.test_cases = virtio_mem_device_cases,
};

kunit_test_suite(virtio_mem_device_suite);

MODULE_DESCRIPTION("KUnit tests for a virtio-mem device");
MODULE_LICENSE("GPL");
