/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Memory of user space for KUnit tests: anonymous memory and hugetlb, mapped to
 * an address space that belongs to the test case.
 */
#ifndef _MM_TESTS_USER_MEMORY_H
#define _MM_TESTS_USER_MEMORY_H

#include <kunit/memory_compat.h>
#include <kunit/mount.h>
#include <kunit/test.h>
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/hugetlb.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/swap.h>

static inline void put_file_action(void *file)
{
	fput(file);
	/* Kernel threads leave the rest to a workqueue. */
	flush_delayed_fput();
}

/**
 * map_to_user() - map a file, or anonymous memory, to a user address space
 * @test: the test case, whose address space it is
 * @file: the file, or NULL for anonymous memory
 * @size: size in bytes
 *
 * Context: May sleep.
 * Return: the address.
 */
static inline unsigned long map_to_user(struct kunit *test, struct file *file,
					unsigned long size)
{
	unsigned long addr;

	addr = kunit_vm_mmap(test, file, 0, size, PROT_READ | PROT_WRITE,
			     file ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, 0);
	KUNIT_ASSERT_NE(test, addr, 0);
	KUNIT_ASSERT_FALSE(test, IS_ERR_VALUE(addr));
	return addr;
}

/**
 * get_mapped_folio() - get the folio that is mapped at an address
 * @test: the test case
 * @addr: address in its user address space; it is written to, if need be
 *
 * Context: May sleep.
 * Return: the folio, with a reference to it, and on the LRU if it belongs there.
 */
static inline struct folio *get_mapped_folio(struct kunit *test,
					     unsigned long addr)
{
	struct page *page;

	KUNIT_ASSERT_EQ(test, 1,
			get_user_pages_unlocked(addr, 1, &page, FOLL_WRITE));
	lru_add_drain_all();
	return page_folio(page);
}

/**
 * wait_for_lru() - wait until a folio is on the LRU, or for a second
 * @folio: the folio. Others, such as reclaim, may have isolated it, and put it back soon.
 *
 * Context: May sleep.
 * Return: whether it is on the LRU.
 */
static inline bool wait_for_lru(struct folio *folio)
{
	int i;

	for (i = 0; !folio_test_lru(folio) && i < 1000; i++) {
		usleep_range(USEC_PER_MSEC, 2 * USEC_PER_MSEC);
		lru_add_drain_all();
	}
	return folio_test_lru(folio);
}

/**
 * add_to_lru() - have a folio put on the LRU, as if it were in use
 * @test: the test case
 * @folio: the folio, which nobody has charged for
 *
 * It is on a list of this CPU's first, see lru_add_drain().
 *
 * Context: May sleep.
 */
static inline void add_to_lru(struct kunit *test, struct folio *folio)
{
	/* folio_lruvec_lock() looks for the memory cgroup of a folio until it finds it. */
	KUNIT_ASSERT_EQ(test, 0, mem_cgroup_charge(folio, NULL, GFP_KERNEL));
	folio_add_lru(folio);
}

#ifdef CONFIG_HUGETLB_PAGE
static inline void restore_nr_overcommit(void *nr_overcommit_huge_pages)
{
	default_hstate.nr_overcommit_huge_pages =
		(unsigned long)nr_overcommit_huge_pages;
}

/*
 * Is memory freed that the memmap of hugetlb folios is in? Then no counter of memory
 * stays as it is: see free_vmemmap_page(). In doubt, it is.
 */
static inline bool hugetlb_frees_memmap(struct kunit *test)
{
	struct vfsmount *proc;
	struct file *file;
	char answer = '1';
	loff_t pos = 0;

	if (!IS_ENABLED(CONFIG_HUGETLB_PAGE_OPTIMIZE_VMEMMAP))
		return false;
	proc = kunit_mount(test, "proc");
	if (!proc)
		return true;
	file = file_open_root_mnt(proc, "sys/vm/hugetlb_optimize_vmemmap", O_RDONLY, 0);
	if (!IS_ERR(file)) {
		kernel_read(file, &answer, 1, &pos);
		__fput_sync(file);
	}
	return answer != '0';
}

/**
 * create_hugetlb_file() - create a hugetlb file with room for a single folio
 * @test: the test case. It is skipped if there cannot be such a file, or if memory
 *	counters change with its folio.
 *
 * The folio is a surplus one from the page allocator. It is reserved: in the
 * pool of hugetlb, but nobody else can have it.
 *
 * Context: May sleep.
 * Return: the file, which is put when the test case ends.
 */
static inline struct file *create_hugetlb_file(struct kunit *test)
{
	struct hstate *h = &default_hstate;
	struct file *file;
	int i;

	if (!hugepages_supported() || hstate_is_gigantic(h))
		kunit_skip(test, "there are no huge pages from the page allocator");
	if (hugetlb_frees_memmap(test))
		kunit_skip(test, "the memmap of huge pages is freed, and counters change");

	/*
	 * Surplus folios of earlier test cases are freed when their address
	 * space is, and nobody waits for that.
	 */
	for (i = 0; h->surplus_huge_pages && i < 1000; i++) {
		flush_delayed_fput();
		usleep_range(USEC_PER_MSEC, 2 * USEC_PER_MSEC);
	}
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action(test, restore_nr_overcommit,
					 (void *)h->nr_overcommit_huge_pages));
	h->nr_overcommit_huge_pages = h->surplus_huge_pages + 1;
	file = hugetlb_file_setup("offline_skippable", huge_page_size(h),
				  EMPTY_VMA_FLAGS, HUGETLB_ANONHUGE_INODE,
				  huge_page_shift(h));
	if (IS_ERR(file))
		kunit_skip(test, "there is no huge page: %pe", file);
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, put_file_action, file));
	return file;
}

/**
 * map_hugetlb_to_user() - map a hugetlb file with a single folio
 * @test: the test case. It is skipped if there cannot be such a file.
 *
 * Context: May sleep.
 * Return: the address.
 */
static inline unsigned long map_hugetlb_to_user(struct kunit *test)
{
	struct file *file = create_hugetlb_file(test);

	return map_to_user(test, file, huge_page_size(&default_hstate));
}
#else
static inline struct file *create_hugetlb_file(struct kunit *test)
{
	kunit_skip(test, "CONFIG_HUGETLB_PAGE is not set");
}

static inline unsigned long map_hugetlb_to_user(struct kunit *test)
{
	kunit_skip(test, "CONFIG_HUGETLB_PAGE is not set");
}
#endif

#endif /* _MM_TESTS_USER_MEMORY_H */
