/* SPDX-License-Identifier: GPL-2.0 */
/*
 * File systems for KUnit tests, which run before there is a user space that mounts any.
 */
#ifndef _KUNIT_MOUNT_H
#define _KUNIT_MOUNT_H

#include <kunit/test.h>
#include <linux/fs.h>
#include <linux/mount.h>

static inline void kunit_unmount(void *mnt)
{
	kern_unmount(mnt);
}

/**
 * kunit_mount() - mount a file system where only the kernel sees it
 * @test: the test case
 * @name: of the type of file system, such as "proc"
 *
 * Files of it are opened by file_open_root_mnt(), and closed before the test case ends.
 *
 * Context: May sleep.
 * Return: the mount, which is undone when the test case ends, or NULL if the kernel
 * has no such file system.
 */
static inline struct vfsmount *kunit_mount(struct kunit *test, const char *name)
{
	struct file_system_type *type = get_fs_type(name);
	struct vfsmount *mnt;

	if (!type)
		return NULL;
	mnt = kern_mount(type);
	put_filesystem(type);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, mnt);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, kunit_unmount, mnt));
	return mnt;
}

#endif /* _KUNIT_MOUNT_H */
