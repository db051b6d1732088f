/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Phantom memory: hotplugged memory for KUnit tests of memory hotplug.
 *
 * Phantom memory is added to the system like any hotplugged memory, at a
 * physical range with nothing behind it. It has a memmap, zones, memory blocks
 * and a place in the resource tree, all of them real; it has no contents.
 * Whatever is done to it must therefore stay within the memmap, and the page
 * allocator must never hand it out:
 *
 * - onlining leaves every page PageOffline(), with a reference count of
 *   PHANTOM_PAGE_COUNT, as if the test were the driver that owns the pages;
 * - nobody but a test case can online it;
 * - while a test case runs, zones without other memory are guarded such that
 *   allocations do not take pages from them, see phantom_guard(). Only in these
 *   zones may pages be in the buddy;
 * - when phantom memory goes offline at the end of a test case, no page of it
 *   may be in use.
 *
 * Where there is no memory hotplug, and where memory must have contents, it is
 * borrowed from the page allocator instead: see phantom_is_borrowed().
 *
 * It all is undone when the test case ends, whether it succeeded or not. What
 * stays is what adding memory raises and removing memory does not lower: max_pfn,
 * and min_free_kbytes if khugepaged has it raised for more zones.
 *
 * Test cases are skipped where all this would not be safe, see
 * phantom_require(): on what may be a real machine, and once user space runs.
 */
#ifndef _KUNIT_PHANTOM_MEMORY_H
#define _KUNIT_PHANTOM_MEMORY_H

#include <linux/memory_hotplug.h>
#include <linux/mmzone.h>
#include <linux/notifier.h>
#include <linux/types.h>

struct folio;
struct kunit;
struct phantom_provider;
struct memory_block;

/* The reference count of a PageOffline() page, see PAGE_TYPE_OPS(Offline). */
#define PHANTOM_PAGE_COUNT	1

/**
 * struct phantom_memory - hotplugged memory that consists of a memmap only
 * @test: the test case that uses the memory
 * @provider: where the memory is from
 * @start: physical start address, in bytes
 * @size: size in bytes; of hotplugged memory, a multiple of
 *	memory_block_size_bytes()
 * @nid: the node that the memory was added to
 * @obstacle: why the memory is borrowed, rather than hotplugged; otherwise NULL
 * @home: of borrowed memory, the zone that it was allocated from; otherwise NULL
 * @zone: the zone of the online part, NULL while everything is offline
 * @start_pfn: the first pfn of the online part
 * @nr_pages: the number of pages in the online part
 * @block: the memory block, if the online part is one that the driver core
 *	onlined; otherwise NULL
 * @nb: keeps others from onlining the memory
 * @online_page: called for each chunk that is onlined. Optional.
 */
struct phantom_memory {
	struct kunit *test;
	const struct phantom_provider *provider;
	u64 start;
	u64 size;
	int nid;
	const char *obstacle;
	struct zone *home;

	struct zone *zone;
	unsigned long start_pfn;
	unsigned long nr_pages;
	struct memory_block *block;
	struct notifier_block nb;
	void (*online_page)(struct page *page, unsigned int order);
};

/**
 * phantom_end_pfn() - the end of the online part of phantom memory
 * @ph: the phantom memory
 *
 * Return: one past the last pfn.
 */
static inline unsigned long phantom_end_pfn(const struct phantom_memory *ph)
{
	return ph->start_pfn + ph->nr_pages;
}

/**
 * phantom_is_borrowed() - was phantom memory allocated, rather than hotplugged?
 * @ph: the phantom memory, from phantom_memory_get()
 *
 * Borrowed memory has contents. It is in a zone of the test's choice as if it
 * had been onlined there, but has no memory block of its own, so it cannot be
 * offlined by offline_pages() or the driver core: test cases that try to are
 * skipped. In a kernel zone, it is side by side with memory of others, see
 * phantom_guarded().
 *
 * Return: whether it is borrowed.
 */
static inline bool phantom_is_borrowed(const struct phantom_memory *ph)
{
	return ph->obstacle;
}

unsigned long phantom_offlinable(unsigned long nr_pages);
void phantom_require_hotplugged(const struct phantom_memory *ph);

void phantom_require(struct kunit *test);
void phantom_set_param(struct kunit *test, const char *name, const char *value);
int phantom_write_param(struct kunit *test, const char *name, const char *value);
const char *phantom_read_param(struct kunit *test, const char *name);
int phantom_boot_option(struct kunit *test, const char *name, char *value);
void phantom_set_default_online_type(struct kunit *test, int online_type);
struct memory_block *phantom_get_block(struct kunit *test, u64 start);
struct device_attribute *phantom_find_file(struct kunit *test, struct device *dev,
					   const char *name);
const char *phantom_read_file(struct kunit *test, struct device *dev,
			      const char *name);
ssize_t phantom_write_file(struct kunit *test, struct device *dev,
			   const char *name, const char *text);
void phantom_guard(struct kunit *test);
bool phantom_guarded(const struct phantom_memory *ph);

u64 phantom_find_range(struct kunit *test, u64 size);
u64 phantom_find_aligned_range(struct kunit *test, u64 size, u64 align);
int phantom_add_range(u64 start, u64 size, mhp_t mhp_flags);
void phantom_remove_leftover(struct kunit *test, u64 start, u64 size);
int phantom_nid_without_memory(struct kunit *test);
struct phantom_memory *phantom_memory_add(struct kunit *test, u64 size);
struct phantom_memory *phantom_memory_add_to(struct kunit *test, int nid,
					     u64 size);
struct phantom_memory *phantom_memory_at(struct kunit *test, u64 start,
					 u64 size, int nid);
struct phantom_memory *phantom_memory_get(struct kunit *test);
void phantom_memory_put(void);

int phantom_online_pages(unsigned long pfn, unsigned long nr_pages, struct zone *zone);
int phantom_offline_pages(unsigned long pfn, unsigned long nr_pages, struct zone *zone);
void phantom_online(struct phantom_memory *ph, enum mmop online_type);
int phantom_offline(struct phantom_memory *ph);
void phantom_offline_by_force(struct phantom_memory *ph);
int phantom_device_online(u64 start, enum mmop online_type);
int phantom_device_offline(u64 start);
void phantom_block_online(struct phantom_memory *ph, enum mmop online_type);
int phantom_block_offline(struct phantom_memory *ph);
int phantom_block_offline_and_remove(struct phantom_memory *ph);

/**
 * enum phantom_state - what a phantom page is
 * @PHANTOM_OFFLINE: PageOffline() and held by the test, as after onlining
 * @PHANTOM_SKIPPABLE: the same, and offlining may skip it
 * @PHANTOM_FREE: plugged; in the buddy
 */
enum phantom_state {
	PHANTOM_OFFLINE,
	PHANTOM_SKIPPABLE,
	PHANTOM_FREE,
};

void phantom_set(struct phantom_memory *ph, unsigned long pfn,
		 unsigned long nr_pages, enum phantom_state state);
void phantom_expect(struct phantom_memory *ph, unsigned long pfn,
		    unsigned long nr_pages, enum phantom_state state);
void phantom_expect_isolated(struct phantom_memory *ph,
			     unsigned long nr_pageblocks);
unsigned long phantom_nr_free(struct phantom_memory *ph);
void phantom_undo_offline_isolated(struct phantom_memory *ph);
struct folio *phantom_make_folio(struct phantom_memory *ph, unsigned long pfn,
				 unsigned int order);

/**
 * struct phantom_snapshot - what memory hotplug has to account for
 * @zone: the zones of the node that phantom memory is added to, in pages and
 *	pageblocks. The number of free pages and %WMARK_MIN are compared only
 *	for zones that have no memory but phantom memory, as in others they
 *	change; and %WMARK_MIN only while there is no guard.
 * @node_present: present pages of the node
 * @node_spanned: spanned pages of the node
 * @totalram: totalram_pages()
 * @nr_memory_blocks: number of memory block devices
 * @resources: a hash of the tree of physical memory resources
 */
struct phantom_snapshot {
	struct {
		unsigned long managed;
		unsigned long present;
		unsigned long spanned;
		unsigned long isolated;
		unsigned long watermark;
		unsigned long free;
	} zone[MAX_NR_ZONES];
	unsigned long node_present;
	unsigned long node_spanned;
	unsigned long totalram;
	unsigned long nr_memory_blocks;
	u32 resources;
};

void phantom_snapshot_take(struct phantom_snapshot *snapshot);
void phantom_snapshot_expect(struct kunit *test,
			     const struct phantom_snapshot *expected);
void phantom_snapshot_expect_at_end(struct kunit *test);

#endif /* _KUNIT_PHANTOM_MEMORY_H */
