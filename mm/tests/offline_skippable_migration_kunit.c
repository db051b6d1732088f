// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests for what memory offlining does about pages in use: it scans for
 * movable pages, and migrates them (mm/memory_hotplug.c).
 */
#include <linux/anon_inodes.h>
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/gfp.h>
#include <linux/highmem.h>
#include <linux/kmsg_dump.h>
#include <linux/migrate.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/page_ref.h>
#include <linux/pagemap.h>
#include <linux/ratelimit.h>
#include <linux/string.h>
#include <linux/swap.h>
#include <linux/timer.h>
#include <linux/uaccess.h>

#include "../internal.h"
#include "offline_skippable.h"
#include "user_memory.h"

/*
 * Pages with contents: phantom memory has none, so what gets migrated for real
 * comes from the page allocator. As long as the test owns a page, the page is
 * PageOffline().
 */
#define NR_REAL_PAGES	8

static void free_real_pages(void *pages)
{
	int i;

	for (i = 0; i < NR_REAL_PAGES; i++) {
		struct page *page = (struct page *)pages + i;

		if (!PageOffline(page))
			continue;
		ClearPageOfflineSkippable(page);
		__ClearPageOffline(page);
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
		SetPageOfflineSkippable(pages + i);
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
	balloon_page_replace(dev, newpage, page);
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

	if (!BALLOON_PAGES_MIGRATE)
		kunit_skip(test, "pages in balloons are not migrated");

	balloon = kunit_kzalloc(test, sizeof(*balloon), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, balloon);
	balloon_devinfo_init(&balloon->dev);
	balloon->dev.migratepage = migrate_balloon_page;
	balloon->pages = pages;

	ClearPageOfflineSkippable(page);
	__ClearPageOffline(page);
	balloon_page_enqueue(&balloon->dev, page);
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, deflate_balloon, balloon));
	return balloon;
}

/*
 * Scanning
 */

/* The value of the out parameter of scan_movable_pages() before the call */
#define NO_PFN	ULONG_MAX

static void expect_scan(struct kunit *test, struct phantom_memory *ph, int ret,
			unsigned long movable_pfn)
{
	unsigned long pfn = NO_PFN;

	KUNIT_EXPECT_EQ(test, ret, scan_movable_pages(ph->start_pfn,
						      phantom_end_pfn(ph), &pfn));
	KUNIT_EXPECT_EQ(test, movable_pfn, pfn);
}

/*
 * Make a phantom page look like a page on the LRU. This is enough for a scan.
 */
static struct page *mark_page_on_lru(unsigned long pfn)
{
	struct page *page = mark_page_in_use(pfn);

	SetPageLRU(page);
	return page;
}

static void mark_lru_page_offline(struct page *page)
{
	ClearPageLRU(page);
	mark_page_offline(page);
}

/*
 * scan_movable_pages() passes over skippable pages, and finds nothing if there
 * are no others.
 */
static void scan_passes_over_skippable_pages(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);

	expect_scan(test, ph, -ENOENT, NO_PFN);
	phantom_expect(ph, ph->start_pfn, ph->nr_pages, PHANTOM_SKIPPABLE);
}

/*
 * scan_movable_pages() passes over a skippable page whatever its reference
 * count.
 */
static void scan_passes_over_skippable_page_with_any_count(struct kunit *test)
{
	const struct offline_skippable_param *param = test->param_value;
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);

	set_page_count(pfn_to_page(ph->start_pfn), param->count);
	expect_scan(test, ph, -ENOENT, NO_PFN);
}

/*
 * scan_movable_pages() fails with -EBUSY at a PageOffline() page that is not
 * skippable, wherever it is in the range.
 */
static void scan_stops_at_nonskippable_page(struct kunit *test)
{
	const struct offline_skippable_param *param = test->param_value;
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);

	phantom_set(ph, pfn_at(ph, param), 1, PHANTOM_OFFLINE);
	expect_scan(test, ph, -EBUSY, NO_PFN);
}

/*
 * scan_movable_pages() fails with -EBUSY at a PageOffline() page that is not
 * skippable, whatever its reference count.
 *
 * Before PG_offline_skippable existed, drivers let offlining skip a page by a
 * reference count of 0.
 */
static void scan_stops_at_nonskippable_page_with_any_count(struct kunit *test)
{
	const struct offline_skippable_param *param = test->param_value;
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);

	phantom_set(ph, ph->start_pfn, 1, PHANTOM_OFFLINE);
	set_page_count(pfn_to_page(ph->start_pfn), param->count);
	expect_scan(test, ph, -EBUSY, NO_PFN);
}

/*
 * scan_movable_pages() finds a page on the LRU among skippable pages, even if
 * it has the bit of PG_offline_skippable set.
 */
static void scan_finds_movable_page_behind_skippable_pages(struct kunit *test)
{
	const struct offline_skippable_param *param = test->param_value;
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);
	struct page *page = mark_page_on_lru(pfn_at(ph, param));

	expect_scan(test, ph, 0, page_to_pfn(page));
	mark_lru_page_offline(page);
}

/*
 * scan_movable_pages() finds a movable page if it comes before a PageOffline()
 * page that is not skippable.
 */
static void scan_finds_movable_page_before_nonskippable_page(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_OFFLINE);
	struct page *page = mark_page_on_lru(ph->start_pfn);

	expect_scan(test, ph, 0, page_to_pfn(page));
	mark_lru_page_offline(page);
}

/*
 * scan_movable_pages() fails with -EBUSY if a PageOffline() page that is not
 * skippable comes before a movable page.
 */
static void scan_stops_at_nonskippable_page_before_movable_page(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_OFFLINE);
	struct page *page = mark_page_on_lru(ph->start_pfn + 1);

	expect_scan(test, ph, -EBUSY, NO_PFN);
	mark_lru_page_offline(page);
}

/*
 * scan_movable_pages() finds a balloon page, which is PageOffline() and has
 * movable_ops.
 */
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

/*
 * scan_movable_pages() fails with -EBUSY at a PageOffline() page that is not
 * skippable even if it is HWPoison.
 */
static void scan_stops_at_hwpoisoned_nonskippable_page(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);
	struct page *page = pfn_to_page(ph->start_pfn);

	if (!IS_ENABLED(CONFIG_MEMORY_FAILURE))
		kunit_skip(test, "CONFIG_MEMORY_FAILURE is not set");

	SetPageHWPoison(page);
	expect_scan(test, ph, -ENOENT, NO_PFN);
	ClearPageOfflineSkippable(page);
	expect_scan(test, ph, -EBUSY, NO_PFN);
	ClearPageHWPoison(page);
}

/*
 * scan_movable_pages() finds a page with movable_ops even if it is marked as
 * skippable or has a reference count of 0.
 *
 * With a count of 0, a page that was in a balloon is about to be free.
 */
static void scan_finds_any_page_with_movable_ops(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);
	struct page *page = pfn_to_page(ph->start_pfn + 1);

	set_page_movable_ops(page);
	expect_scan(test, ph, 0, page_to_pfn(page));
	ClearPageOfflineSkippable(page);
	set_page_count(page, 0);
	expect_scan(test, ph, 0, page_to_pfn(page));
	clear_page_movable_ops(page);
}

/* scan_movable_pages() does not look at the page right behind its range. */
static void scan_ends_with_its_range(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);
	struct page *page = mark_page_on_lru(ph->start_pfn + 1);
	unsigned long pfn = NO_PFN;

	KUNIT_EXPECT_EQ(test, -ENOENT, scan_movable_pages(ph->start_pfn,
							  ph->start_pfn + 1,
							  &pfn));
	KUNIT_EXPECT_EQ(test, NO_PFN, pfn);
	mark_lru_page_offline(page);
}

/*
 * scan_movable_pages() passes over a large folio that is neither on the LRU nor
 * of hugetlb.
 *
 * The kernel uses such a folio. Its private data must not be taken for the
 * flags that hugetlb keeps there.
 */
static void scan_passes_over_large_folio_not_on_lru(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);
	struct folio *folio = phantom_make_folio(ph, ph->start_pfn, LARGE_ORDER);

	folio->private = (void *)ULONG_MAX;
	expect_scan(test, ph, -ENOENT, NO_PFN);
}

/* scan_movable_pages() finds a hugetlb folio that is migratable. */
static void scan_finds_migratable_hugetlb_folio(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);
	struct folio *folio =
		phantom_make_hugetlb_folio(ph, ph->start_pfn + LARGE_NR_PAGES,
					   LARGE_ORDER);

	folio_set_hugetlb_migratable(folio);
	expect_scan(test, ph, 0, folio_pfn(folio));
}

/*
 * scan_movable_pages() steps over a hugetlb folio that is not migratable,
 * without looking at its tail pages.
 *
 * If it looked, it would stop at the last tail page, which is PageOffline().
 */
static void scan_steps_over_unmigratable_hugetlb_folio(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);
	struct folio *folio =
		phantom_make_hugetlb_folio(ph, ph->start_pfn, LARGE_ORDER);
	struct page *page;

	__SetPageOffline(folio_page(folio, LARGE_NR_PAGES - 1));
	expect_scan(test, ph, -ENOENT, NO_PFN);

	page = mark_page_on_lru(ph->start_pfn + LARGE_NR_PAGES);
	expect_scan(test, ph, 0, page_to_pfn(page));
	mark_lru_page_offline(page);
}

/*
 * scan_movable_pages() does not look at pages behind its range even if a
 * hugetlb folio extends beyond the end of the range.
 */
static void scan_ends_with_its_range_inside_hugetlb_folio(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);
	unsigned long pfn = NO_PFN;
	struct page *page;

	phantom_make_hugetlb_folio(ph, ph->start_pfn, LARGE_ORDER);
	page = mark_page_on_lru(ph->start_pfn + LARGE_NR_PAGES);
	KUNIT_EXPECT_EQ(test, -ENOENT, scan_movable_pages(ph->start_pfn,
							  ph->start_pfn + 2,
							  &pfn));
	KUNIT_EXPECT_EQ(test, NO_PFN, pfn);
	mark_lru_page_offline(page);
}

/* Change the size that folio_nr_pages() returns for a large folio. */
static void set_folio_nr_pages(struct folio *folio, unsigned long nr_pages)
{
#ifdef NR_PAGES_IN_LARGE_FOLIO
	folio->_nr_pages = nr_pages;
#else
	folio->_flags_1 = (folio->_flags_1 & ~0xffUL) | ilog2(nr_pages);
#endif
}

/*
 * scan_movable_pages() does not miss a movable page behind a hugetlb folio
 * whose size is impossible.
 *
 * The scan holds no reference, so the folio may be freed while its size is
 * read, which then may be anything.
 */
static void scan_ignores_impossible_size_of_hugetlb_folio(struct kunit *test)
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
	struct page *page = mark_page_on_lru(ph->start_pfn + LARGE_NR_PAGES);
	int i;

	if (!FOLIO_SIZE_IS_CHECKED) {
		mark_lru_page_offline(page);
		kunit_skip(test, "the scan trusts the size of a folio");
	}

	for (i = 0; i < ARRAY_SIZE(impossible); i++) {
		set_folio_nr_pages(folio, impossible[i]);
		expect_scan(test, ph, 0, page_to_pfn(page));
	}
	/* The largest possible size is taken for real. */
	set_folio_nr_pages(folio, MAX_FOLIO_NR_PAGES);
	expect_scan(test, ph, -ENOENT, NO_PFN);
	mark_lru_page_offline(page);
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
	KUNIT_CASE_PARAM(scan_stops_at_hwpoisoned_nonskippable_page,
			 zone_gen_params),
	KUNIT_CASE(scan_finds_balloon_page),
	KUNIT_CASE_PARAM(scan_finds_any_page_with_movable_ops, zone_gen_params),
	KUNIT_CASE_PARAM(scan_ends_with_its_range, zone_gen_params),
	KUNIT_CASE_PARAM(scan_passes_over_large_folio_not_on_lru,
			 zone_gen_params),
	KUNIT_CASE_PARAM(scan_finds_migratable_hugetlb_folio, zone_gen_params),
	KUNIT_CASE_PARAM(scan_steps_over_unmigratable_hugetlb_folio,
			 zone_gen_params),
	KUNIT_CASE_PARAM(scan_ends_with_its_range_inside_hugetlb_folio,
			 zone_gen_params),
	KUNIT_CASE_PARAM(scan_ignores_impossible_size_of_hugetlb_folio,
			 zone_gen_params),
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

/* The sequence number of the next kernel message */
static u64 log_next_seq(void)
{
	struct kmsg_dump_iter iter;

	kmsg_dump_rewind(&iter);
	return iter.next_seq;
}

/* Has a kernel message since @seq contained @what? */
static bool is_logged_since(u64 seq, const char *what)
{
	struct kmsg_dump_iter iter = {
		.cur_seq = seq,
		.next_seq = log_next_seq(),
	};
	char line[128];
	size_t len;

	while (kmsg_dump_get_line(&iter, false, line, sizeof(line), &len)) {
		if (strnstr(line, what, len))
			return true;
	}
	return false;
}

static bool isolation_failure_logged_since(u64 seq)
{
	return is_logged_since(seq, "failed to isolate pfn");
}

/*
 * Expect that migrating pages logs @what. The log of do_migrate_range() is rate
 * limited, and others may have reached the limit: if so, wait until it is over.
 */
static void migrate_and_expect_log(struct kunit *test, unsigned long start_pfn,
				   unsigned long end_pfn, const char *what)
{
	const u64 seq = log_next_seq();

	do_migrate_range(start_pfn, end_pfn);
	if (!IS_ENABLED(CONFIG_PRINTK))
		return;
	if (!is_logged_since(seq, what)) {
		msleep(jiffies_to_msecs(DEFAULT_RATELIMIT_INTERVAL + 1));
		/* A folio that was put back has to be on the LRU list again. */
		lru_add_drain_all();
		do_migrate_range(start_pfn, end_pfn);
	}
	KUNIT_EXPECT_TRUE(test, is_logged_since(seq, what));
}

/*
 * do_migrate_range() changes neither the reference count nor the flags of
 * skippable pages, and logs nothing about them.
 */
static void migrate_leaves_skippable_pages_alone(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);
	const u64 seq = log_next_seq();

	do_migrate_range(ph->start_pfn, phantom_end_pfn(ph));
	phantom_expect(ph, ph->start_pfn, ph->nr_pages, PHANTOM_SKIPPABLE);
	KUNIT_EXPECT_FALSE(test, isolation_failure_logged_since(seq));
}

/*
 * do_migrate_range() leaves a PageOffline() page that is not skippable where it
 * is, and logs that it failed to isolate the page.
 */
static void migrate_cannot_move_nonskippable_page(struct kunit *test)
{
	struct phantom_memory *ph = phantom_online_as(test, PHANTOM_SKIPPABLE);

	phantom_set(ph, ph->start_pfn + 1, 1, PHANTOM_OFFLINE);
	migrate_and_expect_log(test, ph->start_pfn, phantom_end_pfn(ph),
			       "failed to isolate pfn");
	phantom_expect(ph, ph->start_pfn + 1, 1, PHANTOM_OFFLINE);
}

/*
 * do_migrate_range() migrates a balloon page that is among skippable pages, even
 * if it is marked as skippable itself.
 *
 * Pages with movable_ops are not to be marked. If one is, it must not be lost.
 */
static void migrate_moves_balloon_page(struct kunit *test)
{
	struct page *pages = alloc_real_pages(test);
	const unsigned long start_pfn = page_to_pfn(pages);
	struct single_page_balloon *balloon;

	balloon = inflate_balloon(test, pages, pages + 2);
	SetPageOfflineSkippable(pages + 2);
	do_migrate_range(start_pfn, start_pfn + NR_REAL_PAGES);
	KUNIT_EXPECT_EQ(test, 1, balloon->nr_migrated);
	expect_still_skippable(test, pages + 1);
	expect_still_skippable(test, pages + 3);
}

static const struct file_operations test_fops = {
	.owner = THIS_MODULE,
};

static const struct address_space_operations movable_aops = {
	.migrate_folio = migrate_folio,
};

static int fail_migrate_folio(struct address_space *mapping, struct folio *dst,
			      struct folio *src, enum migrate_mode mode)
{
	return -EIO;
}

static const struct address_space_operations failing_aops = {
	.migrate_folio = fail_migrate_folio,
};

static void close_file(void *file)
{
	truncate_inode_pages(((struct file *)file)->f_mapping, 0);
	fput(file);
}

/* Create a file without contents, for its page cache. */
static struct address_space *
create_mapping(struct kunit *test, const struct address_space_operations *aops)
{
	struct file *file;

	file = anon_inode_create_getfile("[offline_skippable]", &test_fops, NULL,
					 O_RDWR, NULL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, file);
	file->f_mapping->a_ops = aops;
	mapping_set_large_folios(file->f_mapping);
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, close_file, file));
	return file->f_mapping;
}

/* Turn some of the real pages into a page cache folio on the LRU. */
static struct folio *page_cache_add(struct kunit *test,
				    struct address_space *mapping,
				    pgoff_t index, struct page *pages,
				    unsigned int order)
{
	struct folio *folio;
	int i;

	if (order && !mapping_large_folio_support(mapping))
		kunit_skip(test, "CONFIG_TRANSPARENT_HUGEPAGE is not set");

	for (i = 0; i < 1 << order; i++) {
		ClearPageOfflineSkippable(pages + i);
		__ClearPageOffline(pages + i);
		set_page_count(pages + i, i ? 0 : 1);
	}
	if (order) {
		prep_compound_page(pages, order);
		folio_set_large_rmappable(page_folio(pages));
	}
	folio = page_folio(pages);
	memset(folio_address(folio), 0xa5, folio_size(folio));
	KUNIT_ASSERT_EQ(test, 0,
			filemap_add_folio(mapping, folio, index, GFP_KERNEL));
	folio_mark_uptodate(folio);
	/* What is dirty, and cannot be written, is not reclaimed. */
	folio_set_dirty(folio);
	folio_unlock(folio);
	folio_put(folio);
	lru_add_drain_all();
	return folio;
}

/* Unlike offline_pages(), do_migrate_range() does not try again. */
static void migrate_from_lru(struct kunit *test, unsigned long start_pfn,
			     unsigned long end_pfn)
{
	unsigned long pfn;

	for (pfn = start_pfn; pfn < end_pfn; pfn++) {
		if (!PageOffline(pfn_to_page(pfn)))
			KUNIT_ASSERT_TRUE(test, wait_for_lru(pfn_folio(pfn)));
	}
	do_migrate_range(start_pfn, end_pfn);
}

/* Expect a folio in the page cache with its contents, at @pfn or elsewhere. */
static void expect_in_cache(struct kunit *test, struct address_space *mapping,
			    pgoff_t index, unsigned int order,
			    unsigned long pfn, bool there)
{
	struct folio *folio = filemap_get_folio(mapping, index);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, folio);
	KUNIT_EXPECT_EQ_MSG(test, there, folio_pfn(folio) == pfn, "index %lu",
			    index);
	KUNIT_EXPECT_EQ(test, order, folio_order(folio));
	KUNIT_EXPECT_NULL(test, memchr_inv(folio_address(folio), 0xa5,
					   folio_size(folio)));
	folio_put(folio);
}

static void expect_moved(struct kunit *test, struct address_space *mapping,
			 pgoff_t index, unsigned int order, unsigned long pfn)
{
	expect_in_cache(test, mapping, index, order, pfn, false);
}

static void expect_not_moved(struct kunit *test, struct address_space *mapping,
			     pgoff_t index, unsigned int order, unsigned long pfn)
{
	expect_in_cache(test, mapping, index, order, pfn, true);
}

/*
 * do_migrate_range() does not even try to isolate a skippable page.
 *
 * The page is in the page cache and only looks like a skippable one, because
 * isolating and migrating it would succeed.
 */
static void migrate_does_not_isolate_skippable_page(struct kunit *test)
{
	struct address_space *mapping = create_mapping(test, &movable_aops);
	struct page *pages = alloc_real_pages(test);
	const unsigned long start_pfn = page_to_pfn(pages);

	page_cache_add(test, mapping, 0, pages + 2, 0);
	__SetPageOffline(pages + 2);
	SetPageOfflineSkippable(pages + 2);
	do_migrate_range(start_pfn, start_pfn + NR_REAL_PAGES);
	/* If it moved, these pages have other owners. */
	KUNIT_ASSERT_TRUE(test, PageOffline(pages + 2));
	ClearPageOfflineSkippable(pages + 2);
	__ClearPageOffline(pages + 2);
	expect_not_moved(test, mapping, 0, 0, start_pfn + 2);
	KUNIT_EXPECT_TRUE(test, PageLRU(pages + 2));
}

/*
 * do_migrate_range() migrates a page cache folio that is among skippable pages,
 * with its contents, even if it has the bit of PG_offline_skippable set.
 *
 * For a page cache folio, the bit means something else, and the file system may
 * set it.
 */
static void migrate_moves_movable_folio_among_skippable_pages(struct kunit *test)
{
	struct address_space *mapping = create_mapping(test, &movable_aops);
	struct page *pages = alloc_real_pages(test);
	const unsigned long start_pfn = page_to_pfn(pages);
	const u64 seq = log_next_seq();

	page_cache_add(test, mapping, 0, pages + 2, 0);
	set_bit(PG_offline_skippable, page_flags_word(pages + 2));
	migrate_from_lru(test, start_pfn, start_pfn + NR_REAL_PAGES);
	KUNIT_EXPECT_FALSE(test, isolation_failure_logged_since(seq));
	expect_still_skippable(test, pages);
	expect_still_skippable(test, pages + 1);
	expect_still_skippable(test, pages + 3);
	expect_moved(test, mapping, 0, 0, start_pfn + 2);
}

/*
 * do_migrate_range() migrates the first and the last page of its range, but not
 * the pages next to the range.
 */
static void migrate_moves_only_pages_in_its_range(struct kunit *test)
{
	struct address_space *mapping = create_mapping(test, &movable_aops);
	struct page *pages = alloc_real_pages(test);
	const unsigned long start_pfn = page_to_pfn(pages);
	int i;

	for (i = 0; i < 5; i++)
		page_cache_add(test, mapping, i, pages + i, 0);
	migrate_from_lru(test, start_pfn + 1, start_pfn + 4);
	expect_not_moved(test, mapping, 0, 0, start_pfn);
	for (i = 1; i < 4; i++)
		expect_moved(test, mapping, i, 0, start_pfn + i);
	expect_not_moved(test, mapping, 4, 0, start_pfn + 4);
}

/*
 * do_migrate_range() migrates a large folio as one, and continues with the page
 * right behind it.
 */
static void migrate_moves_large_folio_as_one(struct kunit *test)
{
	struct address_space *mapping = create_mapping(test, &movable_aops);
	struct page *pages = alloc_real_pages(test);
	const unsigned long start_pfn = page_to_pfn(pages);
	const u64 seq = log_next_seq();

	page_cache_add(test, mapping, 0, pages, LARGE_ORDER);
	page_cache_add(test, mapping, LARGE_NR_PAGES, pages + LARGE_NR_PAGES,
		       0);
	migrate_from_lru(test, start_pfn, start_pfn + NR_REAL_PAGES);
	expect_moved(test, mapping, 0, LARGE_ORDER, start_pfn);
	/* The page right behind the large folio. */
	expect_moved(test, mapping, LARGE_NR_PAGES, 0,
		     start_pfn + LARGE_NR_PAGES);
	KUNIT_EXPECT_FALSE(test, isolation_failure_logged_since(seq));
}

/*
 * do_migrate_range() migrates a large folio as a whole even if only a part of
 * it is in the range.
 */
static void migrate_moves_large_folios_that_exceed_the_range(struct kunit *test)
{
	struct address_space *mapping = create_mapping(test, &movable_aops);
	struct page *pages = alloc_real_pages(test);
	const unsigned long start_pfn = page_to_pfn(pages);

	page_cache_add(test, mapping, 0, pages, LARGE_ORDER);
	page_cache_add(test, mapping, LARGE_NR_PAGES, pages + LARGE_NR_PAGES,
		       LARGE_ORDER);
	migrate_from_lru(test, start_pfn + 1, start_pfn + LARGE_NR_PAGES + 1);
	expect_moved(test, mapping, 0, LARGE_ORDER, start_pfn);
	expect_moved(test, mapping, LARGE_NR_PAGES, LARGE_ORDER,
		     start_pfn + LARGE_NR_PAGES);
}

/*
 * do_migrate_range() puts a folio that fails to migrate back on the LRU, and
 * logs the failure.
 */
static void migrate_puts_back_folio_that_fails_to_migrate(struct kunit *test)
{
	struct address_space *mapping = create_mapping(test, &failing_aops);
	struct page *pages = alloc_real_pages(test);
	const unsigned long start_pfn = page_to_pfn(pages);
	struct folio *folio = page_cache_add(test, mapping, 0, pages + 2, 0);

	KUNIT_ASSERT_TRUE(test, wait_for_lru(folio));
	migrate_and_expect_log(test, start_pfn, start_pfn + NR_REAL_PAGES,
			       "migrating pfn");
	expect_not_moved(test, mapping, 0, 0, start_pfn + 2);
	KUNIT_EXPECT_TRUE(test, wait_for_lru(folio));
	KUNIT_EXPECT_EQ(test, 1, folio_ref_count(folio));
}

/* HWPoison pages, which are not migrated because nobody may read them */

static void unpoison_folio(void *arg)
{
	struct folio *folio = arg;
	/* Of other pages of a hugetlb folio, the memmap may be read-only. */
	const long nr_pages = folio_test_hugetlb(folio) ? 1 : folio_nr_pages(folio);
	long i;

	for (i = 0; i < nr_pages; i++)
		ClearPageHWPoison(folio_page(folio, i));
	if (folio_test_large(folio) && !folio_test_hugetlb(folio))
		folio_clear_has_hwpoisoned(folio);
	folio_put(folio);
}

/*
 * Poison the last page of a folio, or the first one of a hugetlb folio, see
 * folio_set_hugetlb_hwpoison(). Hold a reference to the folio until the test
 * case ends.
 */
static void poison_folio(struct kunit *test, struct folio *folio)
{
	if (!IS_ENABLED(CONFIG_MEMORY_FAILURE))
		kunit_skip(test, "CONFIG_MEMORY_FAILURE is not set");

	if (folio_test_hugetlb(folio)) {
		SetPageHWPoison(&folio->page);
	} else {
		SetPageHWPoison(folio_page(folio, folio_nr_pages(folio) - 1));
		if (folio_test_large(folio))
			folio_set_has_hwpoisoned(folio);
	}
	folio_get(folio);
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, unpoison_folio, folio));
}

struct locked_folio {
	struct folio *folio;
	struct timer_list timer;
};

static void unlock_folio_on_timer(struct timer_list *timer)
{
	struct locked_folio *locked = timer_container_of(locked, timer, timer);

	folio_unlock(locked->folio);
}

/*
 * Migrate pages while a folio is locked, and expect that this does not wait for
 * the lock.
 */
static void migrate_locked_folio(struct kunit *test, struct folio *folio,
				 unsigned long start_pfn, unsigned long end_pfn)
{
	struct locked_folio locked = { .folio = folio };
	bool waited;

	folio_lock(folio);
	timer_setup_on_stack(&locked.timer, unlock_folio_on_timer, 0);
	mod_timer(&locked.timer, jiffies + HZ);
	do_migrate_range(start_pfn, end_pfn);
	waited = !timer_delete_sync(&locked.timer);
	timer_destroy_on_stack(&locked.timer);
	KUNIT_EXPECT_FALSE(test, waited);
	if (!waited)
		folio_unlock(folio);
}

/*
 * Kernels may keep the reference by which they took an HWPoison folio off the
 * LRU: see migration_keeps_no_reference_to_hwpoisoned_folio(). Put it. There
 * are @count others.
 */
static void put_kept_reference(struct kunit *test, struct folio *folio,
			       int count)
{
	const bool kept = folio_ref_count(folio) > count;

	KUNIT_EXPECT_EQ(test, count + kept, folio_ref_count(folio));
	if (kept)
		folio_put(folio);
}

/*
 * do_migrate_range() takes an HWPoison folio off the LRU for good, and does not
 * migrate it.
 */
static void migrate_takes_hwpoisoned_folio_off_the_lru(struct kunit *test)
{
	struct address_space *mapping = create_mapping(test, &movable_aops);
	struct page *pages = alloc_real_pages(test);
	const unsigned long start_pfn = page_to_pfn(pages);
	struct folio *folio = page_cache_add(test, mapping, 0, pages + 2, 0);
	const u64 seq = log_next_seq();
	int count;

	poison_folio(test, folio);
	KUNIT_ASSERT_TRUE(test, wait_for_lru(folio));
	count = folio_ref_count(folio);
	migrate_locked_folio(test, folio, start_pfn, start_pfn + NR_REAL_PAGES);
	expect_not_moved(test, mapping, 0, 0, start_pfn + 2);
	KUNIT_EXPECT_FALSE(test, isolation_failure_logged_since(seq));
	KUNIT_EXPECT_FALSE(test, folio_test_lru(folio));
	put_kept_reference(test, folio, count);
}

/*
 * do_migrate_range() neither migrates nor isolates an HWPoison folio that is
 * not on the LRU.
 */
static void migrate_leaves_hwpoisoned_folio_not_on_lru_alone(struct kunit *test)
{
	struct address_space *mapping = create_mapping(test, &movable_aops);
	struct page *pages = alloc_real_pages(test);
	const unsigned long start_pfn = page_to_pfn(pages);
	struct folio *folio = page_cache_add(test, mapping, 0, pages + 2, 0);
	const u64 seq = log_next_seq();
	int count;

	poison_folio(test, folio);
	KUNIT_ASSERT_TRUE(test, wait_for_lru(folio));
	KUNIT_ASSERT_TRUE(test, folio_isolate_lru(folio));
	count = folio_ref_count(folio);
	migrate_locked_folio(test, folio, start_pfn, start_pfn + NR_REAL_PAGES);
	expect_not_moved(test, mapping, 0, 0, start_pfn + 2);
	KUNIT_EXPECT_FALSE(test, isolation_failure_logged_since(seq));
	KUNIT_EXPECT_EQ(test, count, folio_ref_count(folio));
	folio_putback_lru(folio);
}

/*
 * do_migrate_range() leaves a large folio with an HWPoison page on the LRU, and
 * continues with the page right behind it.
 */
static void migrate_leaves_large_hwpoisoned_folio_alone(struct kunit *test)
{
	struct address_space *mapping = create_mapping(test, &movable_aops);
	struct page *pages = alloc_real_pages(test);
	const unsigned long start_pfn = page_to_pfn(pages);
	struct folio *folio = page_cache_add(test, mapping, 0, pages,
					     LARGE_ORDER);
	int count;

	page_cache_add(test, mapping, LARGE_NR_PAGES, pages + LARGE_NR_PAGES,
		       0);
	poison_folio(test, folio);
	KUNIT_ASSERT_TRUE(test, wait_for_lru(folio));
	count = folio_ref_count(folio);
	migrate_locked_folio(test, folio, start_pfn, start_pfn + NR_REAL_PAGES);
	expect_not_moved(test, mapping, 0, LARGE_ORDER, start_pfn);
	KUNIT_EXPECT_TRUE(test, wait_for_lru(folio));
	KUNIT_EXPECT_EQ(test, count, folio_ref_count(folio));
	expect_moved(test, mapping, LARGE_NR_PAGES, 0,
		     start_pfn + LARGE_NR_PAGES);
	if (!folio_test_lru(folio))
		folio_putback_lru(folio);
}

static struct folio *map_poisoned_folio(struct kunit *test, unsigned long addr)
{
	struct folio *folio = get_mapped_folio(test, addr);

	/* It stays, as it is mapped. The test case may end here. */
	folio_put(folio);
	poison_folio(test, folio);
	return folio;
}

/*
 * do_migrate_range() unmaps a mapped HWPoison folio, and takes it off the LRU.
 */
static void migrate_unmaps_hwpoisoned_folio(struct kunit *test)
{
	struct folio *folio = map_poisoned_folio(test, map_to_user(test, NULL,
								   PAGE_SIZE));

	migrate_from_lru(test, folio_pfn(folio), folio_pfn(folio) + 1);
	KUNIT_EXPECT_FALSE(test, folio_mapped(folio));
	KUNIT_EXPECT_FALSE(test, folio_test_lru(folio));
	put_kept_reference(test, folio, 1);
}

/*
 * do_migrate_range() unmaps a mapped HWPoison folio even if it is not on the
 * LRU.
 */
static void migrate_unmaps_hwpoisoned_folio_not_on_lru(struct kunit *test)
{
	struct folio *folio = map_poisoned_folio(test, map_to_user(test, NULL,
								   PAGE_SIZE));

	KUNIT_ASSERT_TRUE(test, folio_isolate_lru(folio));
	do_migrate_range(folio_pfn(folio), folio_pfn(folio) + 1);
	KUNIT_EXPECT_FALSE(test, folio_mapped(folio));
	KUNIT_EXPECT_EQ(test, 2, folio_ref_count(folio));
	folio_putback_lru(folio);
}

/*
 * Migrating hugetlb folios
 */

/* do_migrate_range() migrates a hugetlb folio with its contents. */
static void migrate_moves_hugetlb_folio(struct kunit *test)
{
	const unsigned long addr = map_hugetlb_to_user(test);
	int __user *contents = (int __user *)addr;
	struct folio *folio;
	unsigned long pfn;
	int found = 0;

	KUNIT_ASSERT_EQ(test, 0, put_user(0xa5a5, contents));
	folio = get_mapped_folio(test, addr);
	pfn = folio_pfn(folio);
	folio_put(folio);

	do_migrate_range(pfn, pfn + folio_nr_pages(folio));
	folio = get_mapped_folio(test, addr);
	KUNIT_EXPECT_NE(test, pfn, folio_pfn(folio));
	folio_put(folio);
	KUNIT_EXPECT_EQ(test, 0, get_user(found, contents));
	KUNIT_EXPECT_EQ(test, 0xa5a5, found);
}

/* do_migrate_range() unmaps a mapped HWPoison hugetlb folio. */
static void migrate_unmaps_hwpoisoned_hugetlb_folio(struct kunit *test)
{
	struct folio *folio = map_poisoned_folio(test, map_hugetlb_to_user(test));
	const unsigned long pfn = folio_pfn(folio);
	const int count = folio_ref_count(folio);

	KUNIT_ASSERT_TRUE(test, folio_mapped(folio));
	do_migrate_range(pfn, pfn + folio_nr_pages(folio));
	KUNIT_EXPECT_FALSE(test, folio_mapped(folio));
	KUNIT_EXPECT_EQ(test, count - 1, folio_ref_count(folio));
}

static struct kunit_case offline_skippable_migrate_cases[] = {
	KUNIT_CASE_PARAM(migrate_leaves_skippable_pages_alone, zone_gen_params),
	KUNIT_CASE_PARAM(migrate_cannot_move_nonskippable_page, zone_gen_params),
	KUNIT_CASE(migrate_moves_balloon_page),
	KUNIT_CASE(migrate_does_not_isolate_skippable_page),
	KUNIT_CASE(migrate_moves_movable_folio_among_skippable_pages),
	KUNIT_CASE(migrate_moves_only_pages_in_its_range),
	KUNIT_CASE(migrate_moves_large_folio_as_one),
	KUNIT_CASE(migrate_moves_large_folios_that_exceed_the_range),
	KUNIT_CASE(migrate_puts_back_folio_that_fails_to_migrate),
	KUNIT_CASE(migrate_takes_hwpoisoned_folio_off_the_lru),
	KUNIT_CASE(migrate_leaves_hwpoisoned_folio_not_on_lru_alone),
	KUNIT_CASE(migrate_leaves_large_hwpoisoned_folio_alone),
	KUNIT_CASE(migrate_unmaps_hwpoisoned_folio),
	KUNIT_CASE(migrate_unmaps_hwpoisoned_folio_not_on_lru),
	KUNIT_CASE(migrate_moves_hugetlb_folio),
	KUNIT_CASE(migrate_unmaps_hwpoisoned_hugetlb_folio),
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
