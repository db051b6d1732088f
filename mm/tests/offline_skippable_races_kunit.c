// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests that have others step in while memory goes offline and online: at
 * every point of offline_pages() and online_pages() that a test can get at, and
 * in every way that is legal there. See include/kunit/schedule.h.
 */
#include <kunit/known_bug.h>
#include <kunit/mount.h>
#include <kunit/schedule.h>
#include <linux/anon_inodes.h>
#include <linux/completion.h>
#include <linux/elf.h>
#include <linux/file.h>
#include <linux/hugetlb.h>
#include <linux/kprobes.h>
#include <linux/kthread.h>
#include <linux/lockdep.h>
#include <linux/memory.h>
#include <linux/migrate.h>
#include <linux/module.h>
#include <linux/notifier.h>
#include <linux/page_reporting.h>
#include <linux/pagemap.h>
#include <linux/scatterlist.h>
#include <linux/swap.h>
#include <linux/workqueue.h>

#include "../internal.h"
#include "../page_reporting.h"
#include "offline_skippable.h"
#include "user_memory.h"

/*
 * Points. With %RACE_MHP, mem_hotplug_lock is held for writing; with %RACE_PCP,
 * pcplists are disabled, and nobody else can disable them; with %RACE_DEVICE, the
 * device of a memory block is locked, and so is device_hotplug_lock. Everywhere,
 * the thread may sleep.
 */

#define RACE_MHP	BIT(0)
#define RACE_PCP	BIT(1)
#define RACE_DEVICE	BIT(2)

/**
 * enum race_point - where others can step in
 * @RACE_BEFORE: before the memory goes offline
 * @RACE_BETWEEN: it is offline, and about to go online again
 * @RACE_OFFLINE_DEVICE: the driver core has the memory block go offline
 * @RACE_PCP_DISABLE: offlining begins, nothing has been changed
 * @RACE_LRU_DISABLE: the zone has no pcplists any more
 * @RACE_ISOLATE: nor are there LRU caches; nothing is isolated yet
 * @RACE_ISOLATE_BLOCK: the next pageblock is about to be isolated
 * @RACE_GOING_OFFLINE: all are. Called before other notifiers
 * @RACE_GOING_OFFLINE_LAST: the same, called after other notifiers
 * @RACE_SCAN: about to look for movable pages
 * @RACE_MIGRATE_RANGE: there is one
 * @RACE_MIGRATE_PAGES: some were taken off their lists
 * @RACE_MIGRATE_FOLIO: in migrate_folio() of an address space, with both folios
 *	locked
 * @RACE_MIGRATE_BALLOON: in migratepage() of a balloon, with both pages locked
 * @RACE_FREE_FOLIO: one was migrated: nobody has a reference to the old one, and it
 *	is about to be freed
 * @RACE_DISSOLVE: no movable pages are left. There never was any hugetlb folio
 * @RACE_TEST: about to test whether all pages are free or skippable
 * @RACE_OFFLINE_ISOLATED: they are, and nothing can fail any more
 * @RACE_OFFLINE: the memory is offline. Called before other notifiers
 * @RACE_OFFLINE_LAST: the same, called after other notifiers
 * @RACE_OFFLINE_UEVENT: user space is about to be told that it is offline
 * @RACE_UNDO_ISOLATE: offlining failed, all is about to be undone; also when
 *	memory was onlined, and its pages are about to be let go
 * @RACE_CANCEL_OFFLINE: offlining failed, nothing is isolated any more
 * @RACE_CANCEL_OFFLINE_LAST: the same, called after other notifiers
 * @RACE_ONLINE_DEVICE: the driver core has the memory block go online
 * @RACE_GOING_ONLINE: the memory goes online. Called before other notifiers
 * @RACE_GOING_ONLINE_LAST: the same, called after other notifiers
 * @RACE_ONLINE_PAGE: in the online_page callback, before it did anything
 * @RACE_ONLINE: the memory is online. Called before other notifiers
 * @RACE_ONLINE_LAST: the same, called after other notifiers
 * @RACE_ONLINE_UEVENT: user space is about to be told that it is online
 */
enum race_point {
	RACE_BEFORE,
	RACE_BETWEEN,
	RACE_OFFLINE_DEVICE,
	RACE_PCP_DISABLE,
	RACE_LRU_DISABLE,
	RACE_ISOLATE,
	RACE_ISOLATE_BLOCK,
	RACE_GOING_OFFLINE,
	RACE_GOING_OFFLINE_LAST,
	RACE_SCAN,
	RACE_MIGRATE_RANGE,
	RACE_MIGRATE_PAGES,
	RACE_MIGRATE_FOLIO,
	RACE_MIGRATE_BALLOON,
	RACE_FREE_FOLIO,
	RACE_DISSOLVE,
	RACE_TEST,
	RACE_OFFLINE_ISOLATED,
	RACE_OFFLINE,
	RACE_OFFLINE_LAST,
	RACE_OFFLINE_UEVENT,
	RACE_UNDO_ISOLATE,
	RACE_CANCEL_OFFLINE,
	RACE_CANCEL_OFFLINE_LAST,
	RACE_ONLINE_DEVICE,
	RACE_GOING_ONLINE,
	RACE_GOING_ONLINE_LAST,
	RACE_ONLINE_PAGE,
	RACE_ONLINE,
	RACE_ONLINE_LAST,
	RACE_ONLINE_UEVENT,
};

static const struct schedule_point race_points[] = {
	[RACE_BEFORE]			= { "before", .idle = true },
	[RACE_BETWEEN]			= { "between", .idle = true },
	[RACE_OFFLINE_DEVICE]		= { "offline_device", RACE_DEVICE },
	[RACE_PCP_DISABLE]		= { "pcp_disable", RACE_MHP },
	[RACE_LRU_DISABLE]		= { "lru_disable", RACE_MHP | RACE_PCP },
	[RACE_ISOLATE]			= { "isolate", RACE_MHP | RACE_PCP, .idle = true },
	[RACE_ISOLATE_BLOCK]		= { "isolate_block", RACE_MHP | RACE_PCP },
	[RACE_GOING_OFFLINE]		= { "going_offline", RACE_MHP | RACE_PCP },
	[RACE_GOING_OFFLINE_LAST]	= { "going_offline_last", RACE_MHP | RACE_PCP },
	[RACE_SCAN]			= { "scan", RACE_MHP | RACE_PCP },
	[RACE_MIGRATE_RANGE]		= { "migrate_range", RACE_MHP | RACE_PCP },
	[RACE_MIGRATE_PAGES]		= { "migrate_pages", RACE_MHP | RACE_PCP },
	[RACE_MIGRATE_FOLIO]		= { "migrate_folio", RACE_MHP | RACE_PCP },
	[RACE_MIGRATE_BALLOON]		= { "migrate_balloon", RACE_MHP | RACE_PCP },
	[RACE_FREE_FOLIO]		= { "free_folio", RACE_MHP | RACE_PCP },
	[RACE_DISSOLVE]			= { "dissolve", RACE_MHP | RACE_PCP, .idle = true },
	[RACE_TEST]			= { "test", RACE_MHP | RACE_PCP },
	[RACE_OFFLINE_ISOLATED]		= { "offline_isolated", RACE_MHP | RACE_PCP },
	[RACE_OFFLINE]			= { "offline", RACE_MHP },
	[RACE_OFFLINE_LAST]		= { "offline_last", RACE_MHP },
	[RACE_OFFLINE_UEVENT]		= { "offline_uevent", RACE_DEVICE },
	[RACE_UNDO_ISOLATE]		= { "undo_isolate", RACE_MHP | RACE_PCP },
	[RACE_CANCEL_OFFLINE]		= { "cancel_offline", RACE_MHP | RACE_PCP },
	[RACE_CANCEL_OFFLINE_LAST]	= { "cancel_offline_last", RACE_MHP | RACE_PCP },
	[RACE_ONLINE_DEVICE]		= { "online_device", RACE_DEVICE },
	[RACE_GOING_ONLINE]		= { "going_online", RACE_MHP },
	[RACE_GOING_ONLINE_LAST]	= { "going_online_last", RACE_MHP },
	[RACE_ONLINE_PAGE]		= { "online_page", RACE_MHP },
	[RACE_ONLINE]			= { "online", RACE_MHP },
	[RACE_ONLINE_LAST]		= { "online_last", RACE_MHP },
	[RACE_ONLINE_UEVENT]		= { "online_uevent", RACE_DEVICE },
};

/* Pages are gone after that, and references to them have to be. */
#define RACE_LATEST	BIT(RACE_OFFLINE)

/*
 * The operation: memory with free and skippable pages, a page cache folio, and
 * a page in a balloon goes offline, and online again.
 */

/* How many files tell user space about pages. */
#define RACE_NR_FILES	4

/**
 * struct race - an operation, and what actors did to it
 * @test: the test case
 * @ph: the memory
 * @neighbour: a memory block in the same zone, online and skippable
 * @online_type: the kind of zone
 * @blocked: the last page is not skippable
 * @block: the memory is a memory block, and goes offline as user space has it
 * @state: the memory block's file that user space reads and writes for that
 * @valid_zones: another one
 * @text: what was read from one
 * @before: called before other memory notifiers
 * @after: called after other memory notifiers
 * @balloon: holds one page
 * @mapping: has one folio
 * @offline: the counters while all is offline
 * @online: the counters while all is online and PHANTOM_OFFLINE
 * @used: the counters while all is online, and free or skippable
 * @ret: what offlining returned
 * @onlined: the memory went offline, and online again
 * @nr_offlined: how many times it went offline
 * @nr_refused: how many times it did not
 * @veto: an error to refuse offlining with, or 0
 * @may_be_busy: an actor did what may have offlining refused with -EBUSY
 * @task: the offliner
 * @signalled: it has a signal pending
 * @warnings: how often offlining should have warned
 * @warned: how often it did
 * @held: the folio of the page that an actor holds a reference to, by actor
 * @held_in_cache: the folio was in the page cache when an actor had got that
 * @isolated: a folio that an actor took off the LRU
 * @compacted: folios and pages that an actor isolated
 * @isolation_of_others: alloc_contig_range() leaves alone what is isolated
 * @deflated: a page that an actor took from the balloon
 * @contiguous: the number of pages that an actor allocated
 * @reporting: tells the hypervisor of free pages
 * @reported: it does so, and waits
 * @end_report: it need not wait any more
 * @report_ended: it has ended
 * @may_report: nobody else does
 * @is_guarded: nobody can allocate phantom memory
 * @fs: the file system of each file that tells about pages, or NULL
 * @buffer: a page of user space
 * @mm: the address space that it is in
 * @refused: somebody was told to write to @state again later
 * @cleared: an actor cleared the flag of a skippable page
 * @poisoned: an actor set PG_hwpoison
 * @failed: memory_failure() handled an error of a skippable page
 * @nr_offlined_before: the value of @nr_offlined when it did
 * @free_is_offline: an actor took a free page out of use
 * @free_has_failed: ... and memory_failure() another one
 * @lru_is_offline: an actor took the page of a folio out of use
 * @lru_has_failed: ... or memory_failure() did
 */
struct race {
	struct kunit *test;
	struct phantom_memory *ph;
	struct phantom_memory *neighbour;
	enum mmop online_type;
	bool blocked;
	struct memory_block *block;
	struct device_attribute *state;
	struct device_attribute *valid_zones;
	char *text;
	struct notifier_block before;
	struct notifier_block after;
	struct balloon_dev_info balloon;
	struct address_space *mapping;
	struct phantom_snapshot offline;
	struct phantom_snapshot online;
	struct phantom_snapshot used;
	int ret;
	bool onlined;
	unsigned long nr_offlined;
	unsigned long nr_refused;

	int veto;
	bool may_be_busy;
	struct task_struct *task;
	bool signalled;
	int warnings;
	int warned;
	struct folio *held[4];
	bool held_in_cache;
	struct folio *isolated;
	struct list_head compacted;
	bool isolation_of_others;
	struct page *deflated;
	unsigned long contiguous;
	struct page_reporting_dev_info reporting;
	struct completion reported;
	struct completion end_report;
	struct completion report_ended;
	bool may_report;
	bool is_guarded;
	struct vfsmount *fs[RACE_NR_FILES];
	char __user *buffer;
	struct mm_struct *mm;
	struct completion refused;
	bool cleared;
	bool poisoned;
	bool failed;
	unsigned long nr_offlined_before;
	bool free_is_offline;
	bool free_has_failed;
	bool lru_is_offline;
	bool lru_has_failed;
};

/* There is one at a time, for callbacks that have no argument. */
static struct race *race;

/* Free pages are in the first pageblock. */
static unsigned long free_pfn(void)
{
	return race->ph->start_pfn;
}

/* Skippable pages are in all others, but for the next ones. */
static unsigned long skippable_pfn(void)
{
	return race->ph->start_pfn + pageblock_nr_pages + 1;
}

static unsigned long folio_at(void)
{
	return phantom_end_pfn(race->ph) - pageblock_nr_pages + 8;
}

static unsigned long balloon_pfn(void)
{
	return folio_at() + 8;
}

static bool is_free_pfn(unsigned long pfn)
{
	return pfn < free_pfn() + pageblock_nr_pages ||
	       pfn == folio_at() || pfn == balloon_pfn();
}

/* Make a page of phantom memory one that was allocated from the buddy. */
static struct page *use_page(unsigned long pfn)
{
	struct page *page = pfn_to_page(pfn);

	ClearPageOfflineSkippable(page);
	__ClearPageOffline(page);
	adjust_managed_page_count(page, 1);
	return page;
}

static int migrate_race_balloon(struct balloon_dev_info *dev,
				struct page *newpage, struct page *page,
				enum migrate_mode mode)
{
	schedule_point(RACE_MIGRATE_BALLOON);
	balloon_page_replace(dev, newpage, page);
	return 0;
}

/* As migrate_folio(), but phantom memory has no contents. */
static int migrate_race_folio(struct address_space *mapping, struct folio *dst,
			      struct folio *src, enum migrate_mode mode)
{
	int ret;

	schedule_point(RACE_MIGRATE_FOLIO);
	ret = folio_migrate_mapping(mapping, dst, src, 0);
	if (!ret)
		folio_migrate_flags(dst, src);
	return ret;
}

static const struct address_space_operations race_aops = {
	.migrate_folio = migrate_race_folio,
};

static const struct file_operations race_fops = {};

static void close_race_file(void *file)
{
	truncate_inode_pages(((struct file *)file)->f_mapping, 0);
	fput(file);
}

static void race_create_mapping(struct kunit *test)
{
	struct file *file;

	file = anon_inode_create_getfile("[races]", &race_fops, NULL, O_RDWR, NULL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, file);
	file->f_mapping->a_ops = &race_aops;
	race->mapping = file->f_mapping;
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, close_race_file, file));
}

static void race_create_balloon(void)
{
	balloon_devinfo_init(&race->balloon);
	race->balloon.migratepage = migrate_race_balloon;
	balloon_count_managed_pages(&race->balloon);
}

static void race_fill(void)
{
	struct phantom_memory *ph = race->ph;
	struct folio *folio;

	phantom_set(ph, free_pfn(), pageblock_nr_pages, PHANTOM_FREE);
	phantom_set(ph, free_pfn() + pageblock_nr_pages,
		    ph->nr_pages - pageblock_nr_pages, PHANTOM_SKIPPABLE);
	if (race->blocked)
		phantom_set(ph, phantom_end_pfn(ph) - 1, 1, PHANTOM_OFFLINE);

	if (BALLOON_PAGES_MIGRATE)
		balloon_page_enqueue(&race->balloon, use_page(balloon_pfn()));
	else
		__free_page(use_page(balloon_pfn()));

	folio = page_folio(use_page(folio_at()));
	if (filemap_add_folio(race->mapping, folio, 0, GFP_KERNEL)) {
		schedule_fail("no memory for the page cache");
	} else {
		folio_mark_uptodate(folio);
		folio_unlock(folio);
	}
	folio_put(folio);
	lru_add_drain();
}

/* Free what is in the balloon and the page cache, wherever it is by now. */
static void race_empty(void)
{
	truncate_inode_pages(race->mapping, 0);
	while (!list_empty(&race->balloon.pages))
		__free_page(balloon_page_dequeue(&race->balloon));
	if (race->balloon.isolated_pages)
		schedule_fail("a page of the balloon is still isolated");
	/* Another processor may hold the folio on its way to the LRU. */
	lru_add_drain_all();
	drain_all_pages(race->ph->zone);
}

/*
 * Have the zone stay, so that it is not set up again for each schedule. Online a
 * whole memory block, as shrink_zone_span() looks at all of a section's pages.
 */
static void race_online_neighbour(void)
{
	struct phantom_memory *ph = race->neighbour;

	if (ph->zone)
		return;
	phantom_block_online(ph, race->online_type);
	phantom_set(ph, ph->start_pfn, ph->nr_pages, PHANTOM_SKIPPABLE);
}

static void race_online(void)
{
	if (race->block)
		phantom_block_online(race->ph, race->online_type);
	else
		phantom_online(race->ph, race->online_type);
}

static int race_try_offline(void)
{
	return race->block ? phantom_block_offline(race->ph) :
			     phantom_offline(race->ph);
}

/* Read a file of the memory block, which has one line. */
static void race_show(struct device_attribute *file)
{
	file->show(&race->block->dev, file, race->text);
	strim(race->text);
}

/* How often offlining has to warn about the pages as they are. */
static void race_expect_warnings(void)
{
	bool unskippable = false, wrong_count = false;
	unsigned long pfn;

	for (pfn = race->ph->start_pfn; pfn < phantom_end_pfn(race->ph); pfn++) {
		struct page *page = pfn_to_page(pfn);

		if (!PageOffline(page))
			continue;
		unskippable |= !PageOfflineSkippable(page);
		wrong_count |= page_ref_count(page) != PHANTOM_PAGE_COUNT;
	}
	race->warnings = unskippable + wrong_count;
}

static void race_compare_zone(const char *when, const struct zone *zone,
			      const char *what, unsigned long expected,
			      unsigned long now)
{
	if (now != expected)
		schedule_fail("%s, zone %s has %lu %s instead of %lu", when,
			      zone->name, now, what, expected);
}

/* Compare counters. Free pages only where there are no others. */
static void race_compare(const struct phantom_snapshot *expected,
			 const char *when)
{
	struct phantom_snapshot now;
	int i;

	phantom_snapshot_take(&now);
	for (i = 0; i < MAX_NR_ZONES; i++) {
		const struct zone *zone = &NODE_DATA(race->ph->nid)->node_zones[i];

		race_compare_zone(when, zone, "managed pages",
				  expected->zone[i].managed, now.zone[i].managed);
		race_compare_zone(when, zone, "present pages",
				  expected->zone[i].present, now.zone[i].present);
		race_compare_zone(when, zone, "spanned pages",
				  expected->zone[i].spanned, now.zone[i].spanned);
		race_compare_zone(when, zone, "isolated pageblocks",
				  expected->zone[i].isolated,
				  now.zone[i].isolated);
		if (zone == race->ph->zone)
			race_compare_zone(when, zone, "free pages",
					  expected->zone[i].free,
					  now.zone[i].free);
	}
	if (expected->totalram != now.totalram)
		schedule_fail("%s, totalram is %lu instead of %lu", when,
			      now.totalram, expected->totalram);
	if (expected->node_present != now.node_present)
		schedule_fail("%s, the node has %lu present pages instead of %lu",
			      when, now.node_present, expected->node_present);
	if (lru_cache_disabled())
		schedule_fail("%s, LRU caches are disabled", when);
}

/* Does the file of the memory block tell what is so? */
static void race_check_state(bool online)
{
	race_show(race->state);
	if (strcmp(race->text, online ? "online" : "offline"))
		schedule_fail("the state of the memory block is %s", race->text);
}

static void race_check_page(unsigned long pfn, bool skippable)
{
	const struct page *page = pfn_to_page(pfn);

	if (!PageOffline(page) || PageBuddy(page) ||
	    page_ref_count(page) != PHANTOM_PAGE_COUNT ||
	    PageHWPoison(page) || PageOfflineSkippable(page) != skippable)
		schedule_fail("page %lu has flags %#lx, type %#x, count %d",
			      pfn - race->ph->start_pfn,
			      *page_flags_word(page), page->page_type,
			      page_ref_count(page));
}

/* Are pages free that are to be, and owned that are to be, and none both? */
static void race_check_pages(void)
{
	const unsigned long end_pfn = phantom_end_pfn(race->ph);
	unsigned long pfn, end_of_free = 0;

	for (pfn = race->ph->start_pfn; pfn < end_pfn; pfn++) {
		struct page *page = pfn_to_page(pfn);

		if (PageBuddy(page))
			end_of_free = pfn + (1UL << buddy_order(page));
		if (!is_free_pfn(pfn))
			race_check_page(pfn, !race->blocked || pfn != end_pfn - 1);
		if (is_free_pfn(pfn) && pfn >= end_of_free)
			schedule_fail("page %lu is not free", pfn - race->ph->start_pfn);
		if (!is_free_pfn(pfn) && pfn < end_of_free)
			schedule_fail("page %lu is free", pfn - race->ph->start_pfn);
		if (is_migrate_isolate_page(page))
			schedule_fail("page %lu is still isolated",
				      pfn - race->ph->start_pfn);
	}
}

/* In the wild, whoever did something may have done so too late to matter. */
static bool race_may_return(int ret)
{
	if (!ret)
		return !race->blocked && (!race->veto || schedule_is_wild());
	if (ret == race->veto)
		return true;
	switch (ret) {
	case -EBUSY:
		return race->blocked || race->may_be_busy;
	case -EINTR:
		return race->signalled;
	default:
		return false;
	}
}

/* In the wild, nobody knows what the offliner sees. */
static bool race_may_warn(int warned)
{
	return schedule_is_wild() ? warned <= 2 : warned == race->warnings;
}

static void race_offline(void)
{
	kunit_warning_suppress(race->test) {
		race->ret = race_try_offline();
		race->warned = kunit_suppressed_warning_count(__kunit_suppress);
	}
	schedule_rest();
	clear_thread_flag(TIF_SIGPENDING);
	if (race->ret)
		race->nr_refused++;
	else
		race->nr_offlined++;
	if (!race_may_return(race->ret))
		schedule_fail("offlining returns %d", race->ret);
	if (race->ret && race->warned)
		schedule_fail("offlining fails and warns %d times", race->warned);
	if (!race->ret && !race_may_warn(race->warned))
		schedule_fail("offlining warns %d times instead of %d",
			      race->warned, race->warnings);
}

/* When nobody holds anything, the memory is as before, and goes offline. */
static void race_check(void *ctx)
{
	clear_thread_flag(TIF_SIGPENDING);
	race_online_neighbour();
	if (race->block)
		race_check_state(true);
	if (race->onlined) {
		unsigned long pfn;

		for (pfn = race->ph->start_pfn; pfn < phantom_end_pfn(race->ph); pfn++)
			race_check_page(pfn, false);
		race_compare(&race->online, "after onlining");
		return;
	}
	if (!race->ret)
		return;
	race_empty();
	race_check_pages();
	race_compare(&race->used, "after a refusal");

	phantom_set(race->ph, phantom_end_pfn(race->ph) - 1, 1, PHANTOM_SKIPPABLE);
	race->veto = 0;
	race->warnings = 0;
	race->signalled = false;
	race->may_be_busy = false;
	race->ret = race_try_offline();
	if (race->ret)
		schedule_fail("offlining returns %d when all rest", race->ret);
	else
		race_compare(&race->offline, "after offlining at last");
	if (!race->ph->zone)
		race_online();
}

static void race_run(void *ctx)
{
	schedule_point(RACE_BEFORE);
	race_offline();
	if (race->ret)
		return;
	race_online_neighbour();
	race_empty();
	race_compare(&race->offline, "after offlining");
	schedule_go_on();
	schedule_point(RACE_BETWEEN);
	race_online();
	race->onlined = true;
}

static void race_prepare(void *ctx)
{
	race->ret = 0;
	race->onlined = false;
	race->veto = 0;
	race->may_be_busy = false;
	race->signalled = false;
	race->warnings = 0;
	race->isolated = NULL;
	race->deflated = NULL;
	race->contiguous = 0;
	race->cleared = false;
	race->poisoned = false;
	race->failed = false;
	if (!race->ph->zone)
		race_online();
	race_fill();
}

static bool race_recover(void *ctx)
{
	race_empty();
	phantom_offline_by_force(race->ph);
	return !race->ph->zone;
}

/*
 * Actors. What they do in two steps is legal at any time in between, and the
 * operation has to cope.
 */

#define TOUCH_SKIPPABLE	BIT(0)
#define TOUCH_FREE	BIT(1)
#define TOUCH_LRU	BIT(2)
#define TOUCH_BALLOON	BIT(3)
#define TOUCH_ISOLATION	BIT(4)
#define TOUCH_ALL	U32_MAX

/*
 * An actor is about to do what may have offlining refused, or has done so if
 * @is_done. In the wild, the offliner may notice before that is known.
 */
static void race_may_be_busy(bool is_done)
{
	if (is_done || schedule_is_wild())
		WRITE_ONCE(race->may_be_busy, true);
}

/* Walkers of pfns take a reference to whatever is there, and drop it. */
enum race_held { HELD_SKIPPABLE, HELD_FREE, HELD_LRU, HELD_BALLOON };

static void hold(enum race_held held, unsigned long pfn)
{
	struct page *page = pfn_to_online_page(pfn);

	race->held[held] = NULL;
	if (page && folio_try_get(page_folio(page)))
		race->held[held] = page_folio(page);
}

static void let_go(enum race_held held)
{
	if (race->held[held])
		folio_put(race->held[held]);
	race->held[held] = NULL;
}

static void get_skippable(void *ctx)
{
	hold(HELD_SKIPPABLE, skippable_pfn());
}

static void put_skippable(void *ctx)
{
	let_go(HELD_SKIPPABLE);
}

static void get_free(void *ctx)
{
	hold(HELD_FREE, free_pfn());
}

static void put_free(void *ctx)
{
	let_go(HELD_FREE);
}

static bool is_in_cache(const struct folio *folio)
{
	return xa_load(&race->mapping->i_pages, 0) == folio;
}

static void get_lru(void *ctx)
{
	hold(HELD_LRU, folio_at());
	race->held_in_cache = race->held[HELD_LRU] &&
			      is_in_cache(race->held[HELD_LRU]);
}

static void put_lru(void *ctx)
{
	if (race->held_in_cache && !is_in_cache(race->held[HELD_LRU]))
		schedule_fail("a folio was migrated while somebody held it");
	let_go(HELD_LRU);
}

static void get_balloon(void *ctx)
{
	hold(HELD_BALLOON, balloon_pfn());
}

static void put_balloon(void *ctx)
{
	let_go(HELD_BALLOON);
}

/* Reclaim takes a folio off the LRU, and puts it back. */
static void isolate_lru(void *ctx)
{
	struct page *page = pfn_to_online_page(folio_at());
	struct folio *folio;

	if (!page || !PageLRU(page))
		return;
	folio = page_folio(page);
	if (!folio_try_get(folio))
		return;
	race_may_be_busy(false);
	if (folio_isolate_lru(folio)) {
		race->isolated = folio;
		/* It looks like any page in use, which a kernel zone may have. */
		race_may_be_busy(true);
	}
	folio_put(folio);
}

static void putback_lru(void *ctx)
{
	if (race->isolated)
		folio_putback_lru(race->isolated);
	race->isolated = NULL;
}

/* Compaction isolates what it could migrate, and gives up. */
static void compact(void *ctx)
{
#ifdef CONFIG_COMPACTION
	struct page *page = pfn_to_online_page(free_pfn());
	struct compact_control cc = {
		.order = -1,
		.gfp_mask = GFP_KERNEL,
		.mode = MIGRATE_ASYNC,
		.ignore_skip_hint = true,
	};

	if (!page)
		return;
	race_may_be_busy(false);
	cc.zone = page_zone(page);
	INIT_LIST_HEAD(&cc.migratepages);
	isolate_migratepages_range(&cc, race->ph->start_pfn,
				   phantom_end_pfn(race->ph));
	list_splice_init(&cc.migratepages, &race->compacted);
	race_may_be_busy(!list_empty(&race->compacted));
#endif
}

static void putback_compacted(void *ctx)
{
	putback_movable_pages(&race->compacted);
}

/*
 * The memory controller reports an error: memory_failure() has set PG_hwpoison, and
 * waits for whoever has pcplists disabled. Later, somebody takes it back.
 */
static void poison_skippable(void *ctx)
{
	struct page *page = pfn_to_online_page(skippable_pfn());

	if (!page || !IS_ENABLED(CONFIG_MEMORY_FAILURE) || PageHWPoison(page))
		return;
	SetPageHWPoison(page);
	race->poisoned = true;
}

/* Another task would take mf_mutex, so the offliner's locks do not count. */
static int unpoison(unsigned long pfn)
{
	int ret;

	lockdep_off();
	ret = unpoison_memory(pfn);
	lockdep_on();
	return ret;
}

/* Take back an error of a skippable page, which nobody else has done. */
static void race_unpoison_skippable(void)
{
	struct page *page = pfn_to_page(skippable_pfn());
	const int count = page_ref_count(page);
	int ret = -EBUSY;

#ifdef CONFIG_MEMORY_FAILURE
	if (!PageHWPoison(page))
		schedule_fail("PG_hwpoison is lost");
	/*
	 * In the wild, who soft-offlines a page may have mf_mutex, and wait for
	 * the offliner, which waits for this.
	 */
	if (schedule_is_wild()) {
		ClearPageHWPoison(page);
		return;
	}
	ret = unpoison(skippable_pfn());
#endif
	if (!ret)
		schedule_fail("a skippable page gets unpoisoned");
	if (page_ref_count(page) != count)
		schedule_fail("unpoison_memory() makes the count %d from %d",
			      page_ref_count(page), count);
	ClearPageHWPoison(page);
}

static void unpoison_skippable(void *ctx)
{
	if (race->poisoned)
		race_unpoison_skippable();
	race->poisoned = false;
}

/* A driver breaks its promise to change the flag only while nothing happens. */
static void clear_flag(void *ctx)
{
	struct page *page = pfn_to_online_page(skippable_pfn());

	if (!page || !PageOfflineSkippable(page))
		return;
	race_may_be_busy(true);
	ClearPageOfflineSkippable(page);
	race->cleared = true;
}

static void set_flag(void *ctx)
{
	struct page *page = pfn_to_online_page(skippable_pfn());

	if (page && race->cleared)
		SetPageOfflineSkippable(page);
	race->cleared = false;
}

/* A driver does not let the memory go. */
static void veto(void *ctx)
{
	WRITE_ONCE(race->veto, -EPERM);
}

/* Somebody presses Ctrl-C. */
static void interrupt(void *ctx)
{
	WRITE_ONCE(race->signalled, true);
	set_tsk_thread_flag(race->task, TIF_SIGPENDING);
}

static void drain(void *ctx)
{
	drain_all_pages(race->ph->zone);
	lru_add_drain_all();
}

/* Allocate free pages by their pfn, as those do who have no use for others. */
static bool alloc_free_pages(unsigned long pfn, unsigned long nr_pages)
{
#ifdef CONFIG_CONTIG_ALLOC
	struct page *page = pfn_to_online_page(pfn);

	if (!page || want_init_on_alloc(0))
		return false;
	/* With so little on the LRU, it would wait: see too_many_isolated(). */
	if (READ_ONCE(race->isolated) || !list_empty(&race->compacted))
		return false;
	if ((is_migrate_isolate_page(page) || schedule_is_wild()) &&
	    !race->isolation_of_others)
		return false;
	race_may_be_busy(false);
	return !alloc_contig_range(pfn, pfn + nr_pages, ACR_FLAGS_NONE,
				   GFP_KERNEL | __GFP_NOWARN);
#else
	return false;
#endif
}

/* A gigantic page is allocated, and freed. */
#define RACE_NR_CONTIGUOUS	16

static void alloc_contiguous(void *ctx)
{
	if (!alloc_free_pages(free_pfn(), RACE_NR_CONTIGUOUS))
		return;
	race->contiguous = RACE_NR_CONTIGUOUS;
	race_may_be_busy(true);
}

static void free_contiguous(void *ctx)
{
#ifdef CONFIG_CONTIG_ALLOC
	if (race->contiguous)
		free_contig_range(free_pfn(), race->contiguous);
	race->contiguous = 0;
#endif
}

/* The balloon is told to inflate, and gets a page of this memory. */
static void inflate(void *ctx)
{
	const unsigned long pfn = free_pfn() + 2 * RACE_NR_CONTIGUOUS;

	if (!alloc_free_pages(pfn, 1))
		return;
	/* One that cannot be migrated stays where it is, and is not skippable. */
	race_may_be_busy(!BALLOON_PAGES_MIGRATE);
	balloon_page_enqueue(&race->balloon, pfn_to_page(pfn));
}

/* The balloon is told to deflate. Its driver frees the page a while later. */
static void deflate(void *ctx)
{
	if (!list_empty(&race->balloon.pages))
		race->deflated = balloon_page_dequeue(&race->balloon);
}

static void free_deflated(void *ctx)
{
	if (race->deflated)
		__free_page(race->deflated);
	race->deflated = NULL;
}

/*
 * The hypervisor is told of free pages: they are taken off their lists, reported,
 * and put back. The first step waits until that is so for pages of this memory.
 *
 * It is done for a few pages when it is asked for, and at no other time.
 */
#ifdef CONFIG_PAGE_REPORTING
static unsigned int race_report_order_before;

static void race_hold_report(void)
{
	/* Nobody asks for another report then, see __page_reporting_request(). */
	atomic_set(&race->reporting.state, 1);
}

/*
 * Page reporting obeys watermarks, which phantom_guard() raises. So lower them where
 * nobody allocates anything.
 */
static void race_guard(bool raise)
{
	static unsigned long watermark[NR_WMARK];
	struct zone *zone = race->ph->zone;

	if (!zone || raise == race->is_guarded)
		return;
	race->is_guarded = raise;
	if (raise) {
		memcpy(zone->_watermark, watermark, sizeof(watermark));
		return;
	}
	memcpy(watermark, zone->_watermark, sizeof(watermark));
	zone->_watermark[WMARK_MIN] = LONG_MIN / 4;
	zone->_watermark[WMARK_LOW] = LONG_MIN / 4;
}

static int race_report(struct page_reporting_dev_info *reporting,
		       struct scatterlist *sgl, unsigned int nr)
{
	struct scatterlist *sg;
	bool hold = false;
	unsigned int i, j;

	for_each_sg(sgl, sg, nr, i) {
		for (j = 0; j < sg->length / PAGE_SIZE; j++) {
			if (PageOffline(sg_page(sg) + j))
				schedule_fail("an offline page is reported");
		}
		hold |= page_to_pfn(sg_page(sg)) >= race->ph->start_pfn &&
			page_to_pfn(sg_page(sg)) < phantom_end_pfn(race->ph);
	}
	if (hold && !completion_done(&race->end_report)) {
		race_guard(true);
		complete(&race->reported);
		wait_for_completion(&race->end_report);
	}
	return 0;
}

/* What a worker does a while after pages became free. */
static int race_report_all(void *unused)
{
	struct work_struct *work = &race->reporting.work.work;

	/* It allocates as much, which is not to take phantom memory. */
	kfree(kmalloc_array(PAGE_REPORTING_CAPACITY, sizeof(struct scatterlist),
			    GFP_KERNEL));
	race_guard(false);
	work->func(work);
	race_guard(true);
	complete(&race->reported);
	complete(&race->report_ended);
	return 0;
}

static void report_free(void *ctx)
{
	struct task_struct *task;

	/* In the wild, others allocate all the time. */
	if (!race->may_report || schedule_is_wild())
		return;
	reinit_completion(&race->reported);
	reinit_completion(&race->end_report);
	reinit_completion(&race->report_ended);
	task = kthread_run(race_report_all, NULL, "races");
	if (IS_ERR(task)) {
		schedule_fail("no memory for a thread");
		complete(&race->report_ended);
		return;
	}
	wait_for_completion(&race->reported);
}

static void end_report(void *ctx)
{
	if (!race->may_report || schedule_is_wild())
		return;
	complete_all(&race->end_report);
	wait_for_completion(&race->report_ended);
	/* There may be more to report. */
	cancel_delayed_work_sync(&race->reporting.work);
	race_hold_report();
}

static void race_stop_reports(void *unused)
{
	page_reporting_unregister(&race->reporting);
	page_reporting_order = race_report_order_before;
}

static void race_prepare_reports(struct kunit *test)
{
	init_completion(&race->reported);
	init_completion(&race->report_ended);
	init_completion(&race->end_report);
	complete_all(&race->end_report);
	race->reporting.report = race_report;
	/* A zone is left alone if it has fewer pages than some of this order. */
	race->reporting.order = 1;
	race_report_order_before = page_reporting_order;
	if (page_reporting_register(&race->reporting)) {
		kunit_info(test, "somebody else reports free pages, so that is not tried");
		return;
	}
	race->may_report = true;
	race->is_guarded = true;
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, race_stop_reports, NULL));
	cancel_delayed_work_sync(&race->reporting.work);
	race_hold_report();
}
#else
static void report_free(void *ctx) { }
static void end_report(void *ctx) { }
static void race_prepare_reports(struct kunit *test) { }
#endif

/*
 * User space reads what the kernel has about pages, and about the contents of
 * those that have contents.
 */
static void race_read(struct file *file, loff_t pos, size_t size)
{
	const bool has_none = !current->mm;

	/* As all do in the wild, but not the thread of the test case. */
	if (has_none)
		kthread_use_mm(race->mm);
	for (; size; size -= min(size, PAGE_SIZE)) {
		if (vfs_read(file, race->buffer, min(size, PAGE_SIZE), &pos) < 0)
			break;
	}
	if (has_none)
		kthread_unuse_mm(race->mm);
}

static void read_flags(struct file *file)
{
	race_read(file, (loff_t)race->ph->start_pfn * sizeof(u64),
		  race->ph->nr_pages * sizeof(u64));
}

/* Which stack allocated a page: of one that is online from this one on. */
static void read_owner(struct file *file)
{
	race_read(file, race->ph->start_pfn, PAGE_SIZE);
}

/* The contents of a skippable page, which are nobody's business. */
static void read_core(struct file *file)
{
	const unsigned long addr = (unsigned long)pfn_to_kaddr(skippable_pfn());
	struct elf_phdr phdr;
	struct elfhdr header;
	loff_t pos = 0;
	int i;

	if (kernel_read(file, &header, sizeof(header), &pos) != sizeof(header))
		return;
	for (i = 0; i < header.e_phnum; i++) {
		pos = header.e_phoff + i * sizeof(phdr);
		if (kernel_read(file, &phdr, sizeof(phdr), &pos) != sizeof(phdr))
			return;
		if (phdr.p_type == PT_LOAD && addr >= phdr.p_vaddr &&
		    addr - phdr.p_vaddr < phdr.p_memsz)
			race_read(file, phdr.p_offset + addr - phdr.p_vaddr, PAGE_SIZE);
	}
}

static const struct race_file {
	const char *fs;
	const char *name;
	void (*read)(struct file *file);
} race_files[RACE_NR_FILES] = {
	{ "proc", "kpageflags", read_flags },
	{ "proc", "kpagecount", read_flags },
	{ "proc", "kcore", read_core },
	{ "debugfs", "page_owner", read_owner },
};

static void read_memmap(void *ctx)
{
	unsigned int i;

	for (i = 0; i < RACE_NR_FILES; i++) {
		struct file *file;

		if (!race->fs[i])
			continue;
		file = file_open_root_mnt(race->fs[i], race_files[i].name, O_RDONLY, 0);
		if (IS_ERR(file))
			continue;
		race_files[i].read(file);
		__fput_sync(file);
	}
}

static void race_prepare_files(struct kunit *test)
{
	unsigned int i;

	race->buffer = (void __user *)map_to_user(test, NULL, PAGE_SIZE);
	race->mm = current->mm;
	for (i = 0; i < RACE_NR_FILES; i++)
		race->fs[i] = kunit_mount(test, race_files[i].fs);
}

/* User space reads and writes /sys/kernel/mm/page_idle. */
static void walk_idle(void *ctx)
{
	unsigned long pfn;

	for (pfn = race->ph->start_pfn; pfn < phantom_end_pfn(race->ph); pfn++) {
		struct page *page = pfn_to_online_page(pfn);
		struct folio *folio;

		if (!page || PageTail(page))
			continue;
		folio = page_folio(page);
		if (!folio_test_lru(folio) || !folio_try_get(folio))
			continue;
		folio_put(folio);
	}
}

/*
 * User space looks at the memory block, and tries to have it go offline itself.
 */

static void read_block(void *ctx)
{
	race_show(race->valid_zones);
	if (!*race->text)
		schedule_fail("there is no zone that the memory block may be in");
	race_show(race->state);
	if (strcmp(race->text, "online") && strcmp(race->text, "offline") &&
	    strcmp(race->text, "going-offline"))
		schedule_fail("the state of the memory block is %s", race->text);
}

static int race_write_state(void *unused)
{
	static const char text[] = "offline";
	ssize_t ret = race->state->store(&race->block->dev, race->state, text,
					 strlen(text));

	if (ret != -ERESTARTNOINTR)
		schedule_fail("writing to the file of the state returns %zd", ret);
	clear_thread_flag(TIF_SIGPENDING);
	complete(&race->refused);
	return 0;
}

static void write_state(void *ctx)
{
	/* In the wild, the memory may well go offline. */
	if (schedule_is_wild())
		return;
	reinit_completion(&race->refused);
	if (IS_ERR(kthread_run(race_write_state, NULL, "races")))
		schedule_fail("no memory for a thread");
	else
		wait_for_completion(&race->refused);
}

static void race_prepare_block(struct kunit *test)
{
	struct device *dev;

	race->block = phantom_get_block(test, race->ph->start);
	dev = &race->block->dev;
	race->state = phantom_find_file(test, dev, "state");
	race->valid_zones = phantom_find_file(test, dev, "valid_zones");
	race->text = kunit_kzalloc(test, PAGE_SIZE, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, race->text);
	init_completion(&race->refused);
}

/*
 * These wait until memory neither goes offline nor online.
 */

/* User space has a page taken out of use that a driver keeps offline. */
static void soft_offline_skippable(void *ctx)
{
	/*
	 * In the wild, the memory may go offline while this waits, which is a known bug
	 * that soft_offline_leaves_alone_what_went_offline() tells of.
	 */
	if (schedule_is_wild() && kunit_skips_known_bugs(race->test))
		return;
	if (IS_ENABLED(CONFIG_MEMORY_FAILURE))
		soft_offline_page(skippable_pfn(), 0);
}

/* The page to take out of use, or NULL if that is not to be tried. */
static struct page *page_to_take(unsigned long pfn)
{
	struct page *page = pfn_to_online_page(pfn);

	/*
	 * In the wild, the memory might be gone before that is taken back, and others
	 * poison a skippable page at the same time.
	 */
	if (!IS_ENABLED(CONFIG_MEMORY_FAILURE) || schedule_is_wild() || !page ||
	    PageHWPoison(page))
		return NULL;
	return page;
}

/*
 * The memory controller reports an error of such a page, of which the kernel knows
 * nothing but that it can do nothing about it.
 */
static void fail_skippable(void *ctx)
{
	const unsigned long pfn = skippable_pfn();
	struct page *page = page_to_take(pfn);
	int count;

	if (!page)
		return;
	count = page_ref_count(page);
	if (!memory_failure(pfn, MF_SW_SIMULATED))
		schedule_fail("a skippable page recovers from an error");
	if (!PageHWPoison(page) || PageBuddy(page) || page_ref_count(page) != count)
		schedule_fail("an error of a skippable page makes its count %d from %d",
			      page_ref_count(page), count);
	race->failed = true;
	race->nr_offlined_before = race->nr_offlined;
}

static void unpoison_failed(void *ctx)
{
	if (!race->failed)
		return;
	race->failed = false;
	num_poisoned_pages_sub(skippable_pfn(), 1);
	/* Memory that goes online again is not poisoned. */
	if (race->nr_offlined == race->nr_offlined_before &&
	    pfn_to_online_page(skippable_pfn()))
		race_unpoison_skippable();
}

/* The same for other pages. What was taken out of use, somebody takes back later. */
static bool soft_offline(unsigned long pfn)
{
	return page_to_take(pfn) && !soft_offline_page(pfn, 0);
}

static bool fail(unsigned long pfn)
{
	struct page *page = page_to_take(pfn);

	/* It keeps a reference to a page that it cannot take from its user. */
	if (!page || page_ref_count(page) > 1)
		return false;
	if (!memory_failure(pfn, MF_SW_SIMULATED))
		return true;
	ClearPageHWPoison(page);
	num_poisoned_pages_sub(pfn, 1);
	return false;
}

static void take_back(unsigned long pfn, bool *is_taken)
{
	struct page *page = pfn_to_online_page(pfn);

	if (!*is_taken)
		return;
	*is_taken = false;
	/* Memory that goes online again is not poisoned, but it counts as such. */
	if (!page || !PageHWPoison(page)) {
		num_poisoned_pages_sub(pfn, 1);
		return;
	}
	if (unpoison(pfn))
		schedule_fail("page %lu does not get unpoisoned",
			      pfn - race->ph->start_pfn);
}

static void soft_offline_free(void *ctx)
{
	race->free_is_offline = soft_offline(free_pfn() + 1);
}

static void unpoison_free(void *ctx)
{
	take_back(free_pfn() + 1, &race->free_is_offline);
}

static void soft_offline_lru(void *ctx)
{
	race->lru_is_offline = soft_offline(folio_at());
}

static void unpoison_lru(void *ctx)
{
	take_back(folio_at(), &race->lru_is_offline);
}

static void fail_free(void *ctx)
{
	race->free_has_failed = fail(free_pfn() + 2);
}

static void unpoison_failed_free(void *ctx)
{
	take_back(free_pfn() + 2, &race->free_has_failed);
}

static void fail_lru(void *ctx)
{
	race->lru_has_failed = fail(folio_at());
}

static void unpoison_failed_lru(void *ctx)
{
	take_back(folio_at(), &race->lru_has_failed);
}

/* Other memory of the zone goes offline, and online. */
static void offline_neighbour(void *ctx)
{
	if (race->neighbour->zone)
		phantom_block_offline(race->neighbour);
}

static void online_neighbour(void *ctx)
{
	if (!schedule_is_wild())
		race_online_neighbour();
}

#define RACE_STEPS(first, second)						\
	.step = {								\
		{ .name = #first, .run = first, .sleeps = true },		\
		{ .name = #second, .run = second, .sleeps = true,		\
		  .latest = RACE_LATEST },					\
	}
#define RACE_STEP(first, ...)							\
	.step = { { .name = #first, .run = first, .sleeps = true, ##__VA_ARGS__ } }

/* Both disable pcplists. */
#define RACE_TAKE_OUT(first, second)					\
	.step = {								\
		{ .name = #first, .run = first, .sleeps = true,			\
		  .locks = RACE_MHP | RACE_PCP },				\
		{ .name = #second, .run = second, .sleeps = true,		\
		  .locks = RACE_PCP },						\
	}

static const struct schedule_actor race_actors[] = {
	{ RACE_STEP(read_block), 0 },
	{ RACE_STEP(write_state, .only = (u32)~(BIT(RACE_BEFORE) | BIT(RACE_BETWEEN))),
	  0 },
	/* All of the above are about a memory block, and nothing else. */
	{ RACE_STEP(veto, .only = BIT(RACE_GOING_OFFLINE) |
			      BIT(RACE_GOING_OFFLINE_LAST)), TOUCH_ALL },
	{ RACE_STEP(interrupt), TOUCH_ALL },
	{ RACE_STEP(read_memmap), 0 },
	{ RACE_STEPS(get_skippable, put_skippable), TOUCH_SKIPPABLE },
	/* All of the above are tried with a memory block, which takes long. */
	{ RACE_STEPS(get_free, put_free), TOUCH_FREE },
	{ RACE_STEPS(get_lru, put_lru), TOUCH_LRU },
	{ RACE_STEPS(poison_skippable, unpoison_skippable), TOUCH_SKIPPABLE },
	{ RACE_STEPS(clear_flag, set_flag), TOUCH_SKIPPABLE },
	{ RACE_STEP(drain), TOUCH_FREE | TOUCH_LRU },
	{ RACE_STEP(walk_idle, .latest = RACE_LATEST), TOUCH_LRU },
	/* The offliner waits for these, and only a kprobe hears of it. */
	{ RACE_STEPS(get_balloon, put_balloon), TOUCH_BALLOON },
	{ RACE_STEPS(isolate_lru, putback_lru), TOUCH_LRU },
	{ RACE_STEPS(compact, putback_compacted), TOUCH_LRU | TOUCH_BALLOON },
	{ RACE_STEPS(deflate, free_deflated), TOUCH_BALLOON },
	{ RACE_STEPS(alloc_contiguous, free_contiguous),
	  TOUCH_FREE | TOUCH_ISOLATION },
	{ RACE_STEP(inflate), TOUCH_FREE | TOUCH_BALLOON | TOUCH_ISOLATION },
	{ RACE_STEPS(report_free, end_report), TOUCH_FREE },
	{ RACE_STEP(soft_offline_skippable, .locks = RACE_MHP), TOUCH_SKIPPABLE },
	{ RACE_TAKE_OUT(soft_offline_free, unpoison_free), TOUCH_FREE },
	{ RACE_TAKE_OUT(soft_offline_lru, unpoison_lru), TOUCH_LRU },
	{ RACE_TAKE_OUT(fail_skippable, unpoison_failed), TOUCH_SKIPPABLE },
	{ RACE_TAKE_OUT(fail_free, unpoison_failed_free), TOUCH_FREE },
	{ RACE_TAKE_OUT(fail_lru, unpoison_failed_lru), TOUCH_LRU },
	{ .step = {
		{ .name = "offline_neighbour", .run = offline_neighbour,
		  .sleeps = true, .locks = RACE_MHP | RACE_DEVICE },
		{ .name = "online_neighbour", .run = online_neighbour,
		  .sleeps = true, .locks = RACE_MHP | RACE_DEVICE } }, TOUCH_ALL },
};

#define RACE_FIRST_OF_PAGES		2
#define RACE_END_OF_BLOCK		6
#define RACE_END_WITHOUT_KPROBES	12

/*
 * Hooks
 */

static int race_notify(unsigned long event, void *arg, bool last)
{
	const struct memory_notify *notify = arg;
	int veto;

	if (notify->start_pfn != race->ph->start_pfn)
		return NOTIFY_OK;
	switch (event) {
	case MEM_GOING_OFFLINE:
		schedule_point(RACE_GOING_OFFLINE + last);
		veto = READ_ONCE(race->veto);
		if (schedule_is_active() && veto)
			return notifier_from_errno(veto);
		break;
	case MEM_CANCEL_OFFLINE:
		schedule_point(RACE_CANCEL_OFFLINE + last);
		break;
	case MEM_OFFLINE:
		/* The first chance without kprobes, and nothing has changed. */
		if (!IS_ENABLED(CONFIG_KPROBES) && !last)
			race_expect_warnings();
		schedule_point(RACE_OFFLINE + last);
		break;
	case MEM_GOING_ONLINE:
		schedule_point(RACE_GOING_ONLINE + last);
		break;
	case MEM_ONLINE:
		schedule_point(RACE_ONLINE + last);
		break;
	}
	return NOTIFY_OK;
}

static int race_notify_before(struct notifier_block *nb, unsigned long event,
			      void *arg)
{
	return race_notify(event, arg, false);
}

static int race_notify_after(struct notifier_block *nb, unsigned long event,
			     void *arg)
{
	return race_notify(event, arg, true);
}

/* In a memory block, there are many pageblocks, and each is as the one before. */
static bool race_is_among_first(const struct page *page)
{
	return page_to_pfn(page) < race->ph->start_pfn + 4 * pageblock_nr_pages;
}

static void race_online_page(struct page *page, unsigned int order)
{
	if (race_is_among_first(page))
		schedule_point(RACE_ONLINE_PAGE);
}

static void race_unhook(void *unused)
{
	race->ph->online_page = NULL;
	unregister_memory_notifier(&race->before);
	unregister_memory_notifier(&race->after);
}

static void race_hook(struct kunit *test)
{
	/* Phantom memory has one that comes first. */
	race->before = (struct notifier_block){ race_notify_before, NULL, INT_MAX - 1 };
	race->after = (struct notifier_block){ race_notify_after, NULL, INT_MIN };
	KUNIT_ASSERT_EQ(test, 0, register_memory_notifier(&race->before));
	KUNIT_ASSERT_EQ(test, 0, register_memory_notifier(&race->after));
	race->ph->online_page = race_online_page;
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, race_unhook, NULL));
}

#ifdef CONFIG_KPROBES
static struct schedule_probe race_probes[];

enum {
	PROBE_OFFLINE_DEVICE, PROBE_ONLINE_DEVICE, PROBE_UEVENT,
	PROBE_PCP_DISABLE, PROBE_LRU_DISABLE, PROBE_ISOLATE, PROBE_ISOLATE_BLOCK,
	PROBE_SCAN, PROBE_MIGRATE_RANGE, PROBE_MIGRATE_PAGES, PROBE_FREE_FOLIO,
	PROBE_DISSOLVE, PROBE_TEST, PROBE_OFFLINE_ISOLATED, PROBE_UNDO_ISOLATE,
};

/* The neighbour goes online and offline, too. */
static unsigned int race_device_point(const struct kobject *kobj, unsigned int point)
{
	return race->block && kobj == &race->block->dev.kobj ? point : SCHEDULE_NO_POINT;
}

static int at_offline_device(struct device *dev)
{
	typeof(at_offline_device) *fn =
		schedule_enter(&race_probes[PROBE_OFFLINE_DEVICE],
			       race_device_point(&dev->kobj, RACE_OFFLINE_DEVICE));

	return fn(dev);
}

static int at_online_device(struct device *dev)
{
	typeof(at_online_device) *fn =
		schedule_enter(&race_probes[PROBE_ONLINE_DEVICE],
			       race_device_point(&dev->kobj, RACE_ONLINE_DEVICE));

	return fn(dev);
}

static int at_uevent(struct kobject *kobj, enum kobject_action action)
{
	const bool online = action == KOBJ_ONLINE;
	const unsigned int point = race_device_point(kobj, online ?
						     RACE_ONLINE_UEVENT :
						     RACE_OFFLINE_UEVENT);
	typeof(at_uevent) *fn;

	if (point != SCHEDULE_NO_POINT)
		race_check_state(online);
	fn = schedule_enter(&race_probes[PROBE_UEVENT], point);
	return fn(kobj, action);
}

static void at_pcp_disable(struct zone *zone)
{
	typeof(at_pcp_disable) *fn =
		schedule_enter(&race_probes[PROBE_PCP_DISABLE], RACE_PCP_DISABLE);

	fn(zone);
}

static void at_lru_disable(void)
{
	typeof(at_lru_disable) *fn =
		schedule_enter(&race_probes[PROBE_LRU_DISABLE], RACE_LRU_DISABLE);

	fn();
}

static int at_isolate(unsigned long start_pfn, unsigned long end_pfn,
		      enum pb_isolate_mode mode)
{
	typeof(at_isolate) *fn =
		schedule_enter(&race_probes[PROBE_ISOLATE], RACE_ISOLATE);

	return fn(start_pfn, end_pfn, mode);
}

static int at_isolate_block(struct page *page, enum pb_isolate_mode mode,
			    unsigned long start_pfn, unsigned long end_pfn)
{
	typeof(at_isolate_block) *fn =
		schedule_enter(&race_probes[PROBE_ISOLATE_BLOCK],
			       race_is_among_first(page) ? RACE_ISOLATE_BLOCK :
							   SCHEDULE_NO_POINT);

	return fn(page, mode, start_pfn, end_pfn);
}

static int at_scan(unsigned long start, unsigned long end, unsigned long *pfn)
{
	typeof(at_scan) *fn;

	if (race->signalled)
		schedule_fail("a signal does not end it");
	fn = schedule_enter(&race_probes[PROBE_SCAN], RACE_SCAN);
	return fn(start, end, pfn);
}

static void at_migrate_range(unsigned long start_pfn, unsigned long end_pfn)
{
	typeof(at_migrate_range) *fn =
		schedule_enter(&race_probes[PROBE_MIGRATE_RANGE], RACE_MIGRATE_RANGE);

	fn(start_pfn, end_pfn);
}

static int at_migrate_pages(struct list_head *from, new_folio_t get_new_folio,
			    free_folio_t put_new_folio, unsigned long private,
			    enum migrate_mode mode, enum migrate_reason reason,
			    unsigned int *ret_succeeded)
{
	typeof(at_migrate_pages) *fn =
		schedule_enter(&race_probes[PROBE_MIGRATE_PAGES], RACE_MIGRATE_PAGES);

	return fn(from, get_new_folio, put_new_folio, private, mode, reason,
		  ret_succeeded);
}

static void at_free_folio(struct folio *folio)
{
	const unsigned long pfn = folio_pfn(folio);
	const bool is_ours = pfn == folio_at() || pfn == balloon_pfn();
	typeof(at_free_folio) *fn =
		schedule_enter(&race_probes[PROBE_FREE_FOLIO],
			       is_ours ? RACE_FREE_FOLIO : SCHEDULE_NO_POINT);

	fn(folio);
}

static int at_dissolve(unsigned long start_pfn, unsigned long end_pfn)
{
	typeof(at_dissolve) *fn =
		schedule_enter(&race_probes[PROBE_DISSOLVE], RACE_DISSOLVE);

	return fn(start_pfn, end_pfn);
}

static int at_test(unsigned long start_pfn, unsigned long end_pfn,
		   enum pb_isolate_mode mode)
{
	typeof(at_test) *fn =
		schedule_enter(&race_probes[PROBE_TEST], RACE_TEST);

	return fn(start_pfn, end_pfn, mode);
}

static unsigned long at_offline_isolated(unsigned long start_pfn,
					 unsigned long end_pfn)
{
	typeof(at_offline_isolated) *fn =
		schedule_enter(&race_probes[PROBE_OFFLINE_ISOLATED], RACE_OFFLINE_ISOLATED);

	race_expect_warnings();
	return fn(start_pfn, end_pfn);
}

static void at_undo_isolate(unsigned long start_pfn, unsigned long end_pfn)
{
	typeof(at_undo_isolate) *fn =
		schedule_enter(&race_probes[PROBE_UNDO_ISOLATE], RACE_UNDO_ISOLATE);

	fn(start_pfn, end_pfn);
}

static struct schedule_probe race_probes[] = {
	[PROBE_OFFLINE_DEVICE] = { "memory_subsys_offline", at_offline_device },
	[PROBE_ONLINE_DEVICE] = { "memory_subsys_online", at_online_device },
	[PROBE_UEVENT] = { "kobject_uevent", at_uevent },
	[PROBE_PCP_DISABLE] = { "zone_pcp_disable", at_pcp_disable },
	[PROBE_LRU_DISABLE] = { "lru_cache_disable", at_lru_disable },
	[PROBE_ISOLATE] = { "start_isolate_page_range", at_isolate },
	[PROBE_ISOLATE_BLOCK] = { "set_migratetype_isolate", at_isolate_block },
	[PROBE_SCAN] = { "scan_movable_pages", at_scan },
	[PROBE_MIGRATE_RANGE] = { "do_migrate_range", at_migrate_range },
	[PROBE_MIGRATE_PAGES] = { "migrate_pages", at_migrate_pages },
	[PROBE_FREE_FOLIO] = { "__folio_put", at_free_folio },
	[PROBE_DISSOLVE] = { "dissolve_free_hugetlb_folios", at_dissolve },
	[PROBE_TEST] = { "test_pages_isolated", at_test },
	[PROBE_OFFLINE_ISOLATED] = { "__offline_isolated_pages", at_offline_isolated },
	[PROBE_UNDO_ISOLATE] = { "undo_isolate_page_range", at_undo_isolate },
};

static void race_hook_functions(struct kunit *test)
{
	schedule_probe_all(test, race_probes, ARRAY_SIZE(race_probes));
}
#else
static void race_hook_functions(struct kunit *test) { }
#endif /* CONFIG_KPROBES */

/*
 * The suite
 */

struct race_param {
	const char *name;
	enum mmop online_type;
	bool blocked;
	bool block;
};

static const struct race_param race_params[] = {
	{ "offline_movable", MMOP_ONLINE_MOVABLE },
	{ "offline_kernel", MMOP_ONLINE_KERNEL },
	{ "refuse_movable", MMOP_ONLINE_MOVABLE, .blocked = true },
#ifdef CONFIG_KPROBES
	/* It takes long, and without kprobes, has no other points than these. */
	{ "offline_block", MMOP_ONLINE_MOVABLE, .block = true },
#endif
};

KUNIT_ARRAY_PARAM_DESC(race, race_params, name);

/* Who can step in. */
static void race_choose_actors(struct schedule_model *model, bool block)
{
	unsigned int first = block ? 0 : RACE_FIRST_OF_PAGES;
	unsigned int end = block ? RACE_END_OF_BLOCK : ARRAY_SIZE(race_actors);

	if (!IS_ENABLED(CONFIG_KPROBES) && !schedule_is_wild())
		end = min(end, RACE_END_WITHOUT_KPROBES);
	model->actor = &race_actors[first];
	model->nr_actors = end - first;
}

/*
 * Whoever steps in while memory goes offline, and wherever that is: the memory
 * goes offline or is refused for a reason that is there, what is refused is as
 * before, no page is lost or both free and owned, no counter is wrong, and it
 * ends.
 */
static void offlining_stands_every_schedule(struct kunit *test)
{
	const struct race_param *param = test->param_value;
	struct schedule_model model = {
		.name = param->name,
		.point = race_points,
		.nr_points = ARRAY_SIZE(race_points),
		.prepare = race_prepare,
		.run = race_run,
		.check = race_check,
		.recover = race_recover,
	};

	schedule_require(test, &model);
	race = kunit_kzalloc(test, sizeof(*race), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, race);
	race->test = test;
	race->task = current;
	race->online_type = param->online_type;
	race->ph = phantom_memory_get(test);
	INIT_LIST_HEAD(&race->compacted);
	race_create_balloon();
	race_create_mapping(test);
	if (param->block)
		race_prepare_block(test);
	race->neighbour = phantom_memory_add(test, memory_block_size_bytes());
	race_online_neighbour();
	phantom_snapshot_take(&race->offline);
	race_online();
	phantom_snapshot_take(&race->online);
	race_fill();
	race_empty();
	phantom_snapshot_take(&race->used);
	race->isolation_of_others = schedule_isolation_is_kept(test, free_pfn());
	race_prepare_reports(test);
	race_prepare_files(test);
	race_choose_actors(&model, param->block);
	race_hook(test);
	race_hook_functions(test);
	phantom_offline_by_force(race->ph);
	race->blocked = param->blocked;

	schedule_run_all(test, &model);
	if (schedule_is_wild())
		kunit_info(test, "the memory went offline %lu times, and was refused %lu times",
			   race->nr_offlined, race->nr_refused);
}

static struct kunit_case offline_skippable_races_cases[] = {
	KUNIT_CASE_PARAM(offlining_stands_every_schedule, race_gen_params),
	{}
};

static struct kunit_suite offline_skippable_races_suite = {
	.name = "offline_skippable_races",
	.init = offline_skippable_hotplug_init,
	.suite_exit = offline_skippable_suite_exit,
	.test_cases = offline_skippable_races_cases,
};

kunit_test_suite(offline_skippable_races_suite);

MODULE_DESCRIPTION("KUnit tests for races of offlining memory with others");
MODULE_LICENSE("GPL");
