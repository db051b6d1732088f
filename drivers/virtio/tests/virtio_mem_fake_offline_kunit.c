// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests for the virtio-mem driver: what it does to pages of sub-blocks
 * that it plugs and unplugs while their memory block is online.
 *
 * Other suites rely on this. Each case ends with fully plugged memory blocks,
 * so that it does not depend on what unloading the driver does to other ones.
 */
#include <kunit/test.h>

#include "virtio_mem_kunit.h"

/*
 * Free sub-blocks that virtio-mem unplugs from an online memory block become
 * PageOffline() and skippable, and the counters follow.
 */
static void shrinking_makes_free_subblocks_skippable(struct kunit *test)
{
	struct vmt *vmt = vmt_probe(test, vmt_online_type(test), 1, VMT_MB);

	vmt_resize(vmt, VMT_MB - 2 * VMT_SB);
	vmt_expect_plugged(vmt, VMT_MB - 2 * VMT_SB);
	vmt_expect_pages(vmt, VMT_MB - 2 * VMT_SB, 2 * VMT_SB, PHANTOM_SKIPPABLE);
	vmt_resize(vmt, VMT_MB);
}

/*
 * When virtio-mem plugs sub-blocks again that it unplugged from an online
 * memory block, their pages go back to the buddy and are not skippable any
 * more.
 */
static void growing_frees_skippable_subblocks(struct kunit *test)
{
	struct vmt *vmt = vmt_probe(test, vmt_any_zone(), 1, VMT_MB);

	vmt_resize(vmt, VMT_MB - 2 * VMT_SB);
	vmt_resize(vmt, VMT_MB);
	vmt_expect_plugged(vmt, VMT_MB);
	vmt_expect_pages(vmt, 0, VMT_MB, PHANTOM_FREE);
}

/*
 * When virtio-mem plugs sub-blocks that were unplugged when their memory block
 * went online, their pages go to the buddy and are not skippable any more.
 */
static void growing_frees_subblocks_that_never_were_free(struct kunit *test)
{
	struct vmt *vmt = vmt_probe(test, vmt_any_zone(), 1, VMT_MB / 2);

	vmt_expect_plugged(vmt, VMT_MB / 2);
	vmt_expect_pages(vmt, VMT_MB / 2, VMT_MB / 2, PHANTOM_SKIPPABLE);
	vmt_resize(vmt, VMT_MB);
	vmt_expect_plugged(vmt, VMT_MB);
	vmt_expect_pages(vmt, 0, VMT_MB, PHANTOM_FREE);
}

static struct kunit_case virtio_mem_fake_offline_cases[] = {
	KUNIT_CASE_PARAM(shrinking_makes_free_subblocks_skippable, zone_gen_params),
	KUNIT_CASE(growing_frees_skippable_subblocks),
	KUNIT_CASE(growing_frees_subblocks_that_never_were_free),
	{}
};

static struct kunit_suite virtio_mem_fake_offline_suite = {
	.name = "virtio_mem_fake_offline",
	.init = vmt_init,
	.test_cases = virtio_mem_fake_offline_cases,
};

kunit_test_suite(virtio_mem_fake_offline_suite);

MODULE_DESCRIPTION("KUnit tests for fake-offline pages of virtio-mem");
MODULE_LICENSE("GPL");
