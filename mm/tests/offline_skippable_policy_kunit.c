// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests for the pages that PG_offline_skippable is not for.
 *
 * With CONFIG_DEBUG_VM_PGFLAGS, the kernel crashes if a flag is set on a page
 * that its policy excludes. Here, and only here, remember that instead: this
 * has to come before page-flags.h makes functions of it.
 */
#include <linux/mmdebug.h>
#include <linux/types.h>

struct page;

/* Has a policy excluded a page? */
static bool excluded;

static inline void exclude_page_if(bool cond, const struct page *page)
{
	if (cond)
		excluded = true;
}

#undef VM_BUG_ON_PGFLAGS
#define VM_BUG_ON_PGFLAGS(cond, page)	exclude_page_if(cond, page)

#include "offline_skippable.h"

/* Expect that the flag can be set and cleared, or that the page is excluded. */
static void expect_excluded(struct kunit *test, struct page *page, bool expected)
{
	excluded = false;
	SetPageOfflineSkippable(page);
	KUNIT_EXPECT_EQ(test, expected, excluded);
	excluded = false;
	ClearPageOfflineSkippable(page);
	KUNIT_EXPECT_EQ(test, expected, excluded);
	/* Who offlines memory asks any page. */
	excluded = false;
	PageOfflineSkippable(page);
	KUNIT_EXPECT_FALSE(test, excluded);
}

/*
 * SetPageOfflineSkippable() and ClearPageOfflineSkippable() do not allow for a
 * compound page, neither its head nor its tail pages.
 */
static void flag_is_not_for_compound_pages(struct kunit *test)
{
	struct phantom_memory *ph = phantom_memory_get(test);
	struct folio *folio;

	phantom_online(ph, MMOP_ONLINE_MOVABLE);
	folio = phantom_make_folio(ph, ph->start_pfn, LARGE_ORDER);
	expect_excluded(test, folio_page(folio, 0), true);
	expect_excluded(test, folio_page(folio, 1), true);
	expect_excluded(test, folio_page(folio, LARGE_NR_PAGES - 1), true);
	expect_excluded(test, folio_page(folio, LARGE_NR_PAGES), false);
}

static struct kunit_case offline_skippable_policy_cases[] = {
	KUNIT_CASE(flag_is_not_for_compound_pages),
	{}
};

static struct kunit_suite offline_skippable_policy_suite = {
	.name = "offline_skippable_policy",
	.init = offline_skippable_init,
	.suite_exit = offline_skippable_suite_exit,
	.test_cases = offline_skippable_policy_cases,
};

kunit_test_suites(&offline_skippable_policy_suite);
