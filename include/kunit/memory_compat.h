/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What older kernels call otherwise, or do not have: for KUnit tests of memory
 * hotplug that are to be built with several versions.
 */
#ifndef _KUNIT_MEMORY_COMPAT_H
#define _KUNIT_MEMORY_COMPAT_H

#include <linux/memory_hotplug.h>
#include <linux/version.h>

#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 3, 0)

/* Of internal.h, for files that include it, some became a header of its own. */
#ifdef __MM_INTERNAL_H
#include "../../mm/page_alloc.h"
#endif

#else

/* Has memory added with an online type of the caller's, not the default one. */
static inline int __add_memory_driver_managed(int nid, u64 start, u64 size,
					      const char *resource_name,
					      mhp_t mhp_flags,
					      enum mmop online_type)
{
	const enum mmop online_type_before = mhp_get_default_online_type();
	int ret;

	mhp_set_default_online_type(online_type);
	ret = add_memory_driver_managed(nid, start, size, resource_name,
					mhp_flags);
	mhp_set_default_online_type(online_type_before);
	return ret;
}

#endif

#endif /* _KUNIT_MEMORY_COMPAT_H */
