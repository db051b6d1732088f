// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests for what memory offlining does about pages that are in use: it
 * scans for movable pages, and migrates them (mm/memory_hotplug.c).
 */
#include <linux/anon_inodes.h>
#include <linux/balloon.h>
#include <linux/file.h>
#include <linux/gfp.h>
#include <linux/highmem.h>
#include <linux/kmsg_dump.h>
#include <linux/migrate.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/page_ref.h>
#include <linux/pagemap.h>
#include <linux/string.h>
#include <linux/swap.h>

#include "../internal.h"
#include "offline_skippable.h"

/*
 * Pages with contents: phantom memory has none, so what gets migrated for real
 * comes from the page allocator. As long as the test owns a page, the page is
 * PageOffline().
 */
#define NR_REAL_PAGES	4

static void free_real_pages(void *pages)
{
	int i;

	for (i = 0; i < NR_REAL_PAGES; i++) {
		struct page *page = (struct page *)pages + i;

		if (!PageOffline(page))
			continue;
		__ClearPageOfflineSkippable(page);
		__free_page(page);
	}
}

/* Get NR_REAL_PAGES contiguous pages, all of them offline and skippable. */
static struct page *alloc_real_pages(struct kunit *test)
{
	const unsigned int order = order_base_2(NR_REAL_PAGES);
	struct page *pages = alloc_pages(GFP_KERNEL, order);
	int i;

	KUNIT_ASSERT_NOT_NULL(test, pages);
	split_page(pages, order);
	for (i = 0; i < NR_REAL_PAGES; i++) {
		__SetPageOffline(pages + i);
		__SetPageOfflineSkippable(pages + i);
	}
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, free_real_pages, pages));
	return pages;
}

static void expect_still_skippable(struct kunit *test, struct page *page)
{
	KUNIT_EXPECT_TRUE(test, PageOffline(page));
	KUNIT_EXPECT_TRUE(test, PageOfflineSkippable(page));
	KUNIT_EXPECT_EQ(test, PHANTOM_PAGE_COUNT, page_ref_count(page));
}

/*
 * A balloon with a single page. Driver and core are the real ones as far as
 * migration is concerned, see mm/balloon.c; nothing is behind the driver.
 */
struct single_page_balloon {
	struct balloon_dev_info dev;
	struct page *pages;
	int nr_migrated;
};

static int migrate_balloon_page(struct balloon_dev_info *dev,
				struct page *newpage, struct page *page,
				enum migrate_mode mode)
{
	container_of(dev, struct single_page_balloon, dev)->nr_migrated++;
	return 0;
}

static void deflate_balloon(void *arg)
{
	struct single_page_balloon *balloon = arg;
	struct page *page = balloon_page_dequeue(&balloon->dev);

	/* If it did not move, it is still one of the real pages. */
	if (page < balloon->pages || page >= balloon->pages + NR_REAL_PAGES)
		__free_page(page);
}

/* Inflate a balloon by one of the real @pages. */
static struct single_page_balloon *inflate_balloon(struct kunit *test,
						   struct page *pages,
						   struct page *page)
{
	struct single_page_balloon *balloon;

	if (!IS_ENABLED(CONFIG_BALLOON_MIGRATION))
		kunit_skip(test, "CONFIG_BALLOON_MIGRATION is not set");

	balloon = kunit_kzalloc(test, sizeof(*balloon), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, balloon);
	balloon_devinfo_init(&balloon->dev);
	balloon->dev.migratepage = migrate_balloon_page;
	balloon->pages = pages;

	__ClearPageOfflineSkippable(page);
	__ClearPageOffline(page);
	balloon_page_enqueue(&balloon->dev, page);
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, deflate_balloon, balloon));
	return balloon;
}

/*
 * Scanning
 */

/* What the out parameter of scan_movable_pages() is before. */
#define NO_PFN	ULONG_MAX

static void expect_scan(struct kunit *test, struct phantom_memory *ph, int ret,
			unsigned long movable_pfn)
{
	unsigned long pfn = NO_PFN;

	KUNIT_EXPECT_EQ(test, ret, scan_movable_pages(ph->start_pfn,
						      phantom_end_pfn(ph), &pfn));
	KUNIT_EXPECT_EQ(test, movable_pfn, pfn);
}

/* Make a phantom page look as if it were in the page cache, for a scan only. */
static struct page *lend_page_to_lru(unsigned long pfn)
{
	struct page *page = lend_page(pfn);

	SetPageLRU(page);
	return page;
}

static void take_page_back_from_lru(struct page *page)
{
	ClearPageLRU(page);
	take_page_back(page);
}

static void scan_passes_over_skippable_pages(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);

	expect_scan(test, ph, -ENOENT, NO_PFN);
	phantom_expect(ph, ph->start_pfn, ph->nr_pages, PHANTOM_SKIPPABLE);
}

static void scan_passes_over_skippable_page_with_any_count(struct kunit *test)
{
	const struct offline_skippable_param *param = test->param_value;
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);

	set_page_count(pfn_to_page(ph->start_pfn), param->count);
	expect_scan(test, ph, -ENOENT, NO_PFN);
}

static void scan_stops_at_nonskippable_page(struct kunit *test)
{
	const struct offline_skippable_param *param = test->param_value;
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);

	phantom_set(ph, pfn_at(ph, param), 1, PHANTOM_OFFLINE);
	expect_scan(test, ph, -EBUSY, NO_PFN);
}

/* A count of 0 used to be how a driver let offlining skip the page. */
static void scan_stops_at_nonskippable_page_with_any_count(struct kunit *test)
{
	const struct offline_skippable_param *param = test->param_value;
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);

	phantom_set(ph, ph->start_pfn, 1, PHANTOM_OFFLINE);
	set_page_count(pfn_to_page(ph->start_pfn), param->count);
	expect_scan(test, ph, -EBUSY, NO_PFN);
}

static void scan_finds_movable_page_behind_skippable_pages(struct kunit *test)
{
	const struct offline_skippable_param *param = test->param_value;
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);
	struct page *page = lend_page_to_lru(pfn_at(ph, param));

	expect_scan(test, ph, 0, page_to_pfn(page));
	take_page_back_from_lru(page);
}

static void scan_finds_movable_page_before_nonskippable_page(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_OFFLINE);
	struct page *page = lend_page_to_lru(ph->start_pfn);

	expect_scan(test, ph, 0, page_to_pfn(page));
	take_page_back_from_lru(page);
}

static void scan_stops_at_nonskippable_page_before_movable_page(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_OFFLINE);
	struct page *page = lend_page_to_lru(ph->start_pfn + 1);

	expect_scan(test, ph, -EBUSY, NO_PFN);
	take_page_back_from_lru(page);
}

static void scan_finds_balloon_page(struct kunit *test)
{
	struct page *pages = alloc_real_pages(test);
	const unsigned long start_pfn = page_to_pfn(pages);
	unsigned long pfn = NO_PFN;

	inflate_balloon(test, pages, pages + 2);
	KUNIT_EXPECT_EQ(test, 0, scan_movable_pages(start_pfn,
						    start_pfn + NR_REAL_PAGES,
						    &pfn));
	KUNIT_EXPECT_EQ(test, start_pfn + 2, pfn);
}

/* It looks at no page that is not in its range, not even right behind it. */
static void scan_ends_with_its_range(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);
	struct page *page = lend_page_to_lru(ph->start_pfn + 1);
	unsigned long pfn = NO_PFN;

	KUNIT_EXPECT_EQ(test, -ENOENT, scan_movable_pages(ph->start_pfn,
							  ph->start_pfn + 1,
							  &pfn));
	KUNIT_EXPECT_EQ(test, NO_PFN, pfn);
	take_page_back_from_lru(page);
}

/* It is in use by the kernel. What hugetlb has in its private data, others do not. */
static void scan_passes_over_large_folio_not_on_lru(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);
	struct folio *folio = phantom_make_folio(ph, ph->start_pfn, LARGE_ORDER);

	folio->private = (void *)ULONG_MAX;
	expect_scan(test, ph, -ENOENT, NO_PFN);
}

static void scan_finds_migratable_hugetlb_folio(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);
	struct folio *folio =
		phantom_make_hugetlb_folio(ph, ph->start_pfn + LARGE_NR_PAGES,
					   LARGE_ORDER);

	folio_set_hugetlb_migratable(folio);
	expect_scan(test, ph, 0, folio_pfn(folio));
}

/* Tail pages are no business of the scan: see what would end it. */
static void scan_steps_over_other_hugetlb_folios(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);
	struct folio *folio =
		phantom_make_hugetlb_folio(ph, ph->start_pfn, LARGE_ORDER);
	struct page *page;

	__SetPageOffline(folio_page(folio, LARGE_NR_PAGES - 1));
	expect_scan(test, ph, -ENOENT, NO_PFN);

	page = lend_page_to_lru(ph->start_pfn + LARGE_NR_PAGES);
	expect_scan(test, ph, 0, page_to_pfn(page));
	take_page_back_from_lru(page);
}

static void scan_ends_with_its_range_amid_hugetlb_folio(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);
	struct page *page = lend_page_to_lru(ph->start_pfn + LARGE_NR_PAGES);
	unsigned long pfn = NO_PFN;

	phantom_make_hugetlb_folio(ph, ph->start_pfn, LARGE_ORDER);
	KUNIT_EXPECT_EQ(test, -ENOENT, scan_movable_pages(ph->start_pfn,
							  ph->start_pfn + 2,
							  &pfn));
	KUNIT_EXPECT_EQ(test, NO_PFN, pfn);
	take_page_back_from_lru(page);
}

/* What the kernel believes to be the size of a large folio. */
static void set_nr_pages(struct folio *folio, unsigned long nr_pages)
{
#ifdef NR_PAGES_IN_LARGE_FOLIO
	folio->_nr_pages = nr_pages;
#else
	folio->_flags_1 = (folio->_flags_1 & ~0xffUL) | ilog2(nr_pages);
#endif
}

/*
 * Without a reference to it, a folio may be freed while we read its size. Sizes
 * that are impossible must not make the scan miss a page: the one behind.
 */
static void scan_distrusts_size_of_hugetlb_folio(struct kunit *test)
{
	static const unsigned long impossible[] = {
#ifdef NR_PAGES_IN_LARGE_FOLIO
		0, LARGE_NR_PAGES + 1,
#endif
		2 * MAX_FOLIO_NR_PAGES,
	};
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);
	struct folio *folio =
		phantom_make_hugetlb_folio(ph, ph->start_pfn, LARGE_ORDER);
	struct page *page = lend_page_to_lru(ph->start_pfn + LARGE_NR_PAGES);
	int i;

	for (i = 0; i < ARRAY_SIZE(impossible); i++) {
		set_nr_pages(folio, impossible[i]);
		expect_scan(test, ph, 0, page_to_pfn(page));
	}
	/* The largest that is possible is taken for true. */
	set_nr_pages(folio, MAX_FOLIO_NR_PAGES);
	expect_scan(test, ph, -ENOENT, NO_PFN);
	take_page_back_from_lru(page);
}

static struct kunit_case offline_skippable_scan_cases[] = {
	KUNIT_CASE_PARAM(scan_passes_over_skippable_pages, zone_gen_params),
	KUNIT_CASE_PARAM(scan_passes_over_skippable_page_with_any_count,
			 count_gen_params),
	KUNIT_CASE_PARAM(scan_stops_at_nonskippable_page, position_gen_params),
	KUNIT_CASE_PARAM(scan_stops_at_nonskippable_page_with_any_count,
			 count_gen_params),
	KUNIT_CASE_PARAM(scan_finds_movable_page_behind_skippable_pages,
			 position_gen_params),
	KUNIT_CASE_PARAM(scan_finds_movable_page_before_nonskippable_page,
			 zone_gen_params),
	KUNIT_CASE_PARAM(scan_stops_at_nonskippable_page_before_movable_page,
			 zone_gen_params),
	KUNIT_CASE(scan_finds_balloon_page),
	KUNIT_CASE_PARAM(scan_ends_with_its_range, zone_gen_params),
	KUNIT_CASE_PARAM(scan_passes_over_large_folio_not_on_lru,
			 zone_gen_params),
	KUNIT_CASE_PARAM(scan_finds_migratable_hugetlb_folio, zone_gen_params),
	KUNIT_CASE_PARAM(scan_steps_over_other_hugetlb_folios, zone_gen_params),
	KUNIT_CASE_PARAM(scan_ends_with_its_range_amid_hugetlb_folio,
			 zone_gen_params),
	KUNIT_CASE_PARAM(scan_distrusts_size_of_hugetlb_folio, zone_gen_params),
	{}
};

static struct kunit_suite offline_skippable_scan_suite = {
	.name = "offline_skippable_scan",
	.init = offline_skippable_init,
	.suite_exit = offline_skippable_suite_exit,
	.test_cases = offline_skippable_scan_cases,
};

/*
 * Migrating
 */

/* Where the next kernel message goes to. */
static u64 log_end(void)
{
	struct kmsg_dump_iter iter;

	kmsg_dump_rewind(&iter);
	return iter.next_seq;
}

/* Whether do_migrate_range() has complained about a page since @seq. */
static bool complained_since(u64 seq)
{
	struct kmsg_dump_iter iter = { .cur_seq = seq, .next_seq = log_end() };
	char line[128];
	size_t len;

	while (kmsg_dump_get_line(&iter, false, line, sizeof(line), &len)) {
		if (strnstr(line, "failed to isolate pfn", len))
			return true;
	}
	return false;
}

static void migrate_leaves_skippable_pages_alone(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);
	const u64 seq = log_end();

	do_migrate_range(ph->start_pfn, phantom_end_pfn(ph));
	phantom_expect(ph, ph->start_pfn, ph->nr_pages, PHANTOM_SKIPPABLE);
	KUNIT_EXPECT_FALSE(test, complained_since(seq));
}

/* Without the flag, it tries, fails, and says so: compare the case above. */
static void migrate_cannot_move_nonskippable_page(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);
	const u64 seq = log_end();

	phantom_set(ph, ph->start_pfn + 1, 1, PHANTOM_OFFLINE);
	do_migrate_range(ph->start_pfn, phantom_end_pfn(ph));
	phantom_expect(ph, ph->start_pfn + 1, 1, PHANTOM_OFFLINE);
	if (IS_ENABLED(CONFIG_PRINTK))
		KUNIT_EXPECT_TRUE(test, complained_since(seq));
}

static void migrate_moves_balloon_page(struct kunit *test)
{
	struct page *pages = alloc_real_pages(test);
	const unsigned long start_pfn = page_to_pfn(pages);
	struct single_page_balloon *balloon;

	balloon = inflate_balloon(test, pages, pages + 2);
	do_migrate_range(start_pfn, start_pfn + NR_REAL_PAGES);
	KUNIT_EXPECT_EQ(test, 1, balloon->nr_migrated);
	expect_still_skippable(test, pages + 1);
	expect_still_skippable(test, pages + 3);
}

/*
 * Pages with movable_ops are not to have the flag. Should one have it, that
 * shows whether anything is done to a skippable page at all: isolating it would
 * succeed.
 */
static void migrate_does_not_isolate_skippable_page(struct kunit *test)
{
	struct page *pages = alloc_real_pages(test);
	const unsigned long start_pfn = page_to_pfn(pages);
	struct single_page_balloon *balloon;

	balloon = inflate_balloon(test, pages, pages + 2);
	__SetPageOfflineSkippable(pages + 2);
	do_migrate_range(start_pfn, start_pfn + NR_REAL_PAGES);
	KUNIT_EXPECT_EQ(test, 0, balloon->nr_migrated);
	expect_still_skippable(test, pages + 2);
}

static const struct file_operations test_fops = {
	.owner = THIS_MODULE,
};

static const struct address_space_operations test_aops = {
	.migrate_folio = migrate_folio,
};

static void close_file(void *file)
{
	truncate_inode_pages(((struct file *)file)->f_mapping, 0);
	fput(file);
}

/* Create a file without contents, whose page cache can be migrated. */
static struct address_space *create_mapping(struct kunit *test)
{
	struct file *file;

	file = anon_inode_create_getfile("[offline_skippable]", &test_fops, NULL,
					 O_RDWR, NULL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, file);
	file->f_mapping->a_ops = &test_aops;
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, close_file, file));
	return file->f_mapping;
}

/* The owner of that bit is the file system, see PG_mappedtodisk. */
static void migrate_moves_movable_folio_among_skippable_pages(struct kunit *test)
{
	struct address_space *mapping = create_mapping(test);
	struct page *pages = alloc_real_pages(test);
	const unsigned long start_pfn = page_to_pfn(pages);
	struct folio *folio;
	const u64 seq = log_end();
	void *contents;

	/* Hand over one of the pages to the page cache. */
	folio = page_folio(lend_page(start_pfn + 2));
	memset(folio_address(folio), 0xa5, PAGE_SIZE);
	KUNIT_ASSERT_EQ(test, 0,
			filemap_add_folio(mapping, folio, 0, GFP_KERNEL));
	folio_mark_uptodate(folio);
	folio_unlock(folio);
	folio_put(folio);
	lru_add_drain_all();

	do_migrate_range(start_pfn, start_pfn + NR_REAL_PAGES);
	KUNIT_EXPECT_FALSE(test, complained_since(seq));
	expect_still_skippable(test, pages);
	expect_still_skippable(test, pages + 1);
	expect_still_skippable(test, pages + 3);

	folio = filemap_get_folio(mapping, 0);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, folio);
	KUNIT_EXPECT_NE(test, start_pfn + 2, folio_pfn(folio));
	contents = folio_address(folio);
	KUNIT_EXPECT_NULL(test, memchr_inv(contents, 0xa5, PAGE_SIZE));
	folio_put(folio);
}

static struct kunit_case offline_skippable_migrate_cases[] = {
	KUNIT_CASE_PARAM(migrate_leaves_skippable_pages_alone, zone_gen_params),
	KUNIT_CASE_PARAM(migrate_cannot_move_nonskippable_page, zone_gen_params),
	KUNIT_CASE(migrate_moves_balloon_page),
	KUNIT_CASE(migrate_does_not_isolate_skippable_page),
	KUNIT_CASE(migrate_moves_movable_folio_among_skippable_pages),
	{}
};

static struct kunit_suite offline_skippable_migrate_suite = {
	.name = "offline_skippable_migrate",
	.init = offline_skippable_init,
	.suite_exit = offline_skippable_suite_exit,
	.test_cases = offline_skippable_migrate_cases,
};

kunit_test_suites(&offline_skippable_scan_suite,
		  &offline_skippable_migrate_suite);
