// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests for offlining memory that has contents besides skippable pages:
 * all of offline_pages() (mm/memory_hotplug.c), which scans, migrates and tests
 * until nothing is left to be migrated.
 *
 * Phantom memory has no contents. So these suites borrow a memory block that
 * the system has anyway, and whose pages are all free: they offline it, online
 * some pageblocks of it to ZONE_MOVABLE, where data goes first, and in the end
 * online it as it was.
 */
#include <linux/cpumask.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/highmem.h>
#include <linux/hugetlb.h>
#include <linux/memory.h>
#include <linux/memory_hotplug.h>
#include <linux/migrate.h>
#include <linux/mm.h>
#include <linux/notifier.h>
#include <linux/pagemap.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/shmem_fs.h>
#include <linux/timer.h>
#include <linux/topology.h>
#include <linux/uaccess.h>
#include <linux/vmstat.h>

#include "../internal.h"
#include "offline_skippable.h"
#include "user_memory.h"

/*
 * Borrowed memory
 */

/* How much of the memory block is onlined to ZONE_MOVABLE */
#define BORROWED_NR_PAGES							\
	max(8 * pageblock_nr_pages, 4 * MAX_ORDER_NR_PAGES)

/**
 * struct borrowed_memory - a memory block of the system, lent to test cases
 * @memory: the memory as phantom memory would have it. Its online part is in
 *	ZONE_MOVABLE, all of it free at first. Unlike phantom memory, it has
 *	contents, and is not guarded: who allocates movable memory gets it.
 * @nb: looks at skippable pages whenever something happens to the memory
 * @nr_skippable: the number of skippable pages, all of them made so by unplug()
 * @give_up_in: the event in which to have offlining give up, or -1
 * @events: the number of times that each event was heard of
 */
struct borrowed_memory {
	struct phantom_memory memory;
	struct notifier_block nb;
	unsigned long nr_skippable;
	unsigned long give_up_in;
	unsigned int events[MEM_CANCEL_OFFLINE + 1];
};

/* Shared by the test cases of a suite, as borrowing takes longer than most. */
static struct borrowed_memory *borrowed;

/* Can a memory block be borrowed? If so, remember its start, and go on. */
static int find_free_block(struct memory_block *mem, void *arg)
{
	const unsigned long nr_pages = PHYS_PFN(memory_block_size_bytes());
	const unsigned long start_pfn = section_nr_to_pfn(mem->start_section_nr);
	struct zone *zone = mem->zone;
	unsigned long *found_pfn = arg;
	unsigned long pfn;

	if (mem->state != MEM_ONLINE || !zone ||
	    zone_to_nid(zone) != first_memory_node)
		return 0;
	/* Otherwise the zone would shrink, and not get the memory back. */
	if (zone->zone_start_pfn >= start_pfn ||
	    zone_end_pfn(zone) <= start_pfn + nr_pages)
		return 0;
	for (pfn = start_pfn; pfn < start_pfn + nr_pages; ) {
		struct page *page = pfn_to_online_page(pfn);

		if (!page || !PageBuddy(page))
			return 0;
		pfn += 1UL << buddy_order(page);
	}
	*found_pfn = start_pfn;
	return 0;
}

static void borrow_memory(struct kunit *test)
{
	const unsigned long block_nr_pages = PHYS_PFN(memory_block_size_bytes());
	unsigned long start_pfn = 0;
	struct borrowed_memory *memory;
	int ret;

	if (block_nr_pages < BORROWED_NR_PAGES)
		kunit_skip(test, "a memory block has few pageblocks");
	if (populated_zone(&NODE_DATA(first_memory_node)->node_zones[ZONE_MOVABLE]))
		kunit_skip(test, "ZONE_MOVABLE has memory, so data may go there");

	memory = kzalloc_obj(*memory);
	KUNIT_ASSERT_NOT_NULL(test, memory);
	drain_all_pages(NULL);
	for_each_memory_block(&start_pfn, find_free_block);
	ret = start_pfn ? phantom_device_offline(PFN_PHYS(start_pfn)) : -ENOENT;
	if (ret) {
		kfree(memory);
		kunit_skip(test, "no memory block is free and can go offline: %d",
			   ret);
	}
	memory->memory.start = PFN_PHYS(start_pfn);
	memory->memory.size = memory_block_size_bytes();
	memory->memory.nid = first_memory_node;
	memory->memory.nr_pages = BORROWED_NR_PAGES;
	memory->memory.start_pfn = start_pfn + block_nr_pages -
				   memory->memory.nr_pages;
	borrowed = memory;
}

static int data_init(struct kunit *test)
{
	phantom_require(test);
	if (!borrowed)
		borrow_memory(test);
	if (borrowed->memory.zone)
		kunit_skip(test, "another test case left memory online");
	borrowed->memory.test = test;
	phantom_snapshot_expect_at_end(test);
	return 0;
}

static void data_suite_exit(struct kunit_suite *suite)
{
	if (!borrowed)
		return;
	if (WARN_ON_ONCE(borrowed->memory.zone) ||
	    WARN_ON_ONCE(phantom_device_online(borrowed->memory.start,
					       MMOP_ONLINE_KERNEL)))
		pr_err("memory that KUnit borrowed is lost\n");
	kfree(borrowed);
	borrowed = NULL;
}

static bool is_borrowed(unsigned long pfn)
{
	return pfn >= borrowed->memory.start_pfn &&
	       pfn < phantom_end_pfn(&borrowed->memory);
}

/* Expect all skippable pages to be there, with their reference count. */
static void expect_skippable(void)
{
	struct phantom_memory *ph = &borrowed->memory;
	unsigned long pfn, nr_skippable = 0;

	for (pfn = ph->start_pfn; pfn < phantom_end_pfn(ph); pfn++) {
		const struct page *page = pfn_to_page(pfn);

		nr_skippable += PageOffline(page) && PageOfflineSkippable(page) &&
				page_ref_count(page) == PHANTOM_PAGE_COUNT;
	}
	KUNIT_EXPECT_EQ(ph->test, borrowed->nr_skippable, nr_skippable);
}

static int borrowed_notify(struct notifier_block *nb, unsigned long event,
			   void *arg)
{
	if (event < ARRAY_SIZE(borrowed->events))
		borrowed->events[event]++;
	expect_skippable();
	if (event == borrowed->give_up_in)
		give_up(current);
	return NOTIFY_OK;
}

static void offline_borrowed_action(void *unused);

/* Try to offline what online_borrowed() onlined. */
static int offline_borrowed(void)
{
	struct phantom_memory *ph = &borrowed->memory;
	struct patience patience;
	int ret;

	patience_begin(&patience);
	ret = phantom_offline_pages(ph->start_pfn, ph->nr_pages, ph->zone);
	patience_end(&patience);

	if (!ret) {
		ph->zone = NULL;
		kunit_remove_action(ph->test, offline_borrowed_action, NULL);
	}
	return ret;
}

/* Give what unplug() took back, so that all pages can be migrated or are free. */
static void plug_all(void)
{
	const struct phantom_memory *ph = &borrowed->memory;
	unsigned long pfn;

	for (pfn = ph->start_pfn; pfn < phantom_end_pfn(ph); pfn++) {
		struct page *page = pfn_to_page(pfn);

		if (!PageOffline(page))
			continue;
		ClearPageOfflineSkippable(page);
		__ClearPageOffline(page);
		adjust_managed_page_count(page, 1);
		__free_page(page);
	}
	borrowed->nr_skippable = 0;
}

static void offline_borrowed_action(void *unused)
{
	plug_all();
	KUNIT_EXPECT_EQ_MSG(borrowed->memory.test, 0, offline_borrowed(),
			    "borrowed memory stays online");
}

static void unregister_borrowed_nb(void *unused)
{
	unregister_memory_notifier(&borrowed->nb);
}

/* Whoever allocates data and asks for no node gets it from that of the processor. */
static void run_at_node(struct kunit *test, int nid)
{
	unsigned int cpu;

	for_each_online_cpu(cpu) {
		if (cpu_to_node(cpu) == nid &&
		    !set_cpus_allowed_ptr(current, cpumask_of(cpu)))
			return;
	}
	if (num_node_state(N_MEMORY) > 1)
		kunit_skip(test, "no processor is at the node that memory is borrowed from");
}

/* Online some pageblocks of the borrowed memory to ZONE_MOVABLE. */
static struct phantom_memory *online_borrowed(struct kunit *test)
{
	struct phantom_memory *ph = &borrowed->memory;
	struct zone *zone = &NODE_DATA(ph->nid)->node_zones[ZONE_MOVABLE];

	run_at_node(test, ph->nid);
	KUNIT_ASSERT_EQ(test, 0,
			phantom_online_pages(ph->start_pfn, ph->nr_pages, zone));
	ph->zone = zone;
	borrowed->nr_skippable = 0;
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, offline_borrowed_action,
						  NULL));

	borrowed->give_up_in = -1;
	memset(borrowed->events, 0, sizeof(borrowed->events));
	borrowed->nb.notifier_call = borrowed_notify;
	register_memory_notifier(&borrowed->nb);
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, unregister_borrowed_nb,
						  NULL));
	return ph;
}

/* Make free pages skippable, as virtio-mem does when it unplugs them. */
static void unplug(struct kunit *test, unsigned long pfn, unsigned long nr_pages)
{
#ifdef CONFIG_CONTIG_ALLOC
	unsigned long i;

	KUNIT_ASSERT_EQ(test, 0,
			alloc_contig_range(pfn, pfn + nr_pages, ACR_FLAGS_NONE,
					   GFP_KERNEL));
	for (i = 0; i < nr_pages; i++) {
		__SetPageOffline(pfn_to_page(pfn + i));
		SetPageOfflineSkippable(pfn_to_page(pfn + i));
	}
	adjust_managed_page_count(pfn_to_page(pfn), -nr_pages);
	borrowed->nr_skippable += nr_pages;
#else
	kunit_skip(test, "CONFIG_CONTIG_ALLOC is not set");
#endif
}

/* Make a page skippable if it is free, but not if there is no such page. */
static void unplug_if_free(struct kunit *test, unsigned long pfn)
{
	if (!is_borrowed(pfn))
		return;
	drain_all_pages(borrowed->memory.zone);
	if (is_free_buddy_page(pfn_to_page(pfn)))
		unplug(test, pfn, 1);
}

/* Make what is free right before and right behind a folio skippable. */
static void unplug_around(struct kunit *test, struct folio *folio)
{
	unplug_if_free(test, folio_pfn(folio) - 1);
	unplug_if_free(test, folio_pfn(folio) + folio_nr_pages(folio));
}

/*
 * Data
 */

#define CONTENTS	0xa5

/**
 * struct data - a folio of data in borrowed memory
 * @pfn: its first page
 * @nr_pages: its size
 * @mapping: the file that it belongs to, or NULL
 * @addr: the user address that it is mapped at, if it belongs to no file
 */
struct data {
	unsigned long pfn;
	unsigned long nr_pages;
	struct address_space *mapping;
	unsigned long addr;
};

static struct folio *get_data(struct kunit *test, const struct data *data)
{
	struct folio *folio;

	if (!data->mapping)
		return get_mapped_folio(test, data->addr);
	lru_add_drain_all();
	folio = filemap_get_folio(data->mapping, 0);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, folio);
	return folio;
}

/* Fill in what there is to know about data that was just allocated. */
static void found_data(struct kunit *test, struct data *data)
{
	struct folio *folio = get_data(test, data);
	long i;

	data->pfn = folio_pfn(folio);
	data->nr_pages = folio_nr_pages(folio);
	for (i = 0; i < data->nr_pages; i++)
		memset_page(folio_page(folio, i), 0, CONTENTS, PAGE_SIZE);
	folio_put(folio);
	KUNIT_ASSERT_TRUE_MSG(test, is_borrowed(data->pfn),
			      "data is at pfn %#lx", data->pfn);
	unplug_around(test, pfn_folio(data->pfn));
}

static struct address_space *create_shmem_file(struct kunit *test)
{
	struct file *file = shmem_kernel_file_setup("offline_skippable",
						    PAGE_SIZE, EMPTY_VMA_FLAGS);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, file);
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, put_file_action, file));
	return file->f_mapping;
}

static void allocate_file_data(struct kunit *test, struct data *data)
{
	struct folio *folio;

	data->mapping = create_shmem_file(test);
	folio = shmem_read_folio_gfp(data->mapping, 0, GFP_HIGHUSER_MOVABLE);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, folio);
	folio_put(folio);
	found_data(test, data);
}

static void allocate_anonymous_data(struct kunit *test, struct data *data)
{
	data->addr = map_to_user(test, NULL, PAGE_SIZE);
	found_data(test, data);
}

static void allocate_hugetlb_data(struct kunit *test, struct data *data)
{
	data->addr = map_hugetlb_to_user(test);
	found_data(test, data);
}

/**
 * struct data_param - a kind of data
 * @desc: the kind in words
 * @allocate: allocates a folio of it in borrowed memory, and makes free pages
 *	next to it skippable
 */
struct data_param {
	const char *desc;
	void (*allocate)(struct kunit *test, struct data *data);
};

static const struct data_param data_params[] = {
	{ .desc = "file", .allocate = allocate_file_data },
	{ .desc = "anonymous memory", .allocate = allocate_anonymous_data },
	{ .desc = "hugetlb", .allocate = allocate_hugetlb_data },
};

KUNIT_ARRAY_PARAM_DESC(data, data_params, desc);

/* Expect data to be all there, in the place where it was or elsewhere. */
static void expect_data(struct kunit *test, const struct data *data, bool moved)
{
	struct folio *folio = get_data(test, data);
	unsigned long i;

	KUNIT_EXPECT_EQ(test, moved, folio_pfn(folio) != data->pfn);
	KUNIT_EXPECT_EQ(test, data->nr_pages, folio_nr_pages(folio));
	for (i = 0; i < data->nr_pages; i++) {
		void *contents = kmap_local_folio(folio, i * PAGE_SIZE);
		const bool same = !memchr_inv(contents, CONTENTS, PAGE_SIZE);

		kunmap_local(contents);
		if (!same) {
			KUNIT_FAIL(test, "page %lu of the data is damaged", i);
			break;
		}
	}
	folio_put(folio);
}

/*
 * Offlining moves a folio of any kind out of memory that has skippable pages
 * right before and right behind it, with its contents.
 */
static void offlining_moves_data_beside_skippable_pages(struct kunit *test)
{
	const struct data_param *param = test->param_value;
	struct phantom_memory *ph = online_borrowed(test);
	struct phantom_snapshot offline;
	struct data data = {};

	param->allocate(test, &data);
	KUNIT_EXPECT_NE(test, 0, borrowed->nr_skippable);
	KUNIT_ASSERT_EQ(test, 0, offline_borrowed());
	KUNIT_EXPECT_EQ(test, 1, borrowed->events[MEM_OFFLINE]);
	expect_data(test, &data, true);

	phantom_snapshot_take(&offline);
	KUNIT_EXPECT_EQ(test, 0, offline.zone[ZONE_MOVABLE].managed);
	KUNIT_EXPECT_EQ(test, 0, offline.zone[ZONE_MOVABLE].present);
	KUNIT_EXPECT_NULL(test, pfn_to_online_page(ph->start_pfn));
}

/*
 * Data that fails to migrate
 */

/**
 * struct stubborn_file - a file whose folio fails to migrate a few times
 * @data: the folio
 * @real_aops: what the file does when the test case is over
 * @nr_failures: in how many rounds of offlining it is still going to fail. In
 *	each of them, migration is first tried without waiting, which is not
 *	counted, and then once in earnest.
 * @nr_rounds: in how many rounds it has been tried to migrate it
 * @give_up: whether offlining is to give up after a failure
 */
struct stubborn_file {
	struct data data;
	const struct address_space_operations *real_aops;
	int nr_failures;
	int nr_rounds;
	bool give_up;
};

/* The one of the test case */
static struct stubborn_file *stubborn_file;

static int stubborn_migrate_folio(struct address_space *mapping,
				  struct folio *dst, struct folio *src,
				  enum migrate_mode mode)
{
	struct stubborn_file *file = stubborn_file;

	expect_skippable();
	if (!file->nr_failures) {
		file->nr_rounds++;
		return migrate_folio(mapping, dst, src, mode);
	}
	if (mode == MIGRATE_SYNC) {
		file->nr_rounds++;
		file->nr_failures--;
		if (file->give_up)
			give_up(current);
	}
	return -EIO;
}

static const struct address_space_operations stubborn_aops = {
	.dirty_folio = noop_dirty_folio,
	.migrate_folio = stubborn_migrate_folio,
};

static void restore_aops(void *arg)
{
	const struct stubborn_file *file = arg;

	file->data.mapping->a_ops = file->real_aops;
}

static struct stubborn_file *allocate_stubborn_file(struct kunit *test,
						    int nr_failures)
{
	struct stubborn_file *file;

	file = kunit_kzalloc(test, sizeof(*file), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, file);
	allocate_file_data(test, &file->data);
	file->nr_failures = nr_failures;
	file->real_aops = file->data.mapping->a_ops;
	file->data.mapping->a_ops = &stubborn_aops;
	stubborn_file = file;
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, restore_aops, file));
	return file;
}

/*
 * Offlining tries to migrate a folio again and again until that succeeds, and
 * skippable pages are the same each time.
 */
static void offlining_goes_on_until_data_moved(struct kunit *test)
{
	struct stubborn_file *file;

	online_borrowed(test);
	file = allocate_stubborn_file(test, 2);
	KUNIT_ASSERT_EQ(test, 0, offline_borrowed());
	KUNIT_EXPECT_EQ(test, 3, file->nr_rounds);
	expect_data(test, &file->data, true);
}

struct page_on_timer {
	struct page *page;
	struct timer_list timer;
};

static void free_page_on_timer(struct timer_list *timer)
{
	struct page_on_timer *pt = timer_container_of(pt, timer, timer);

	__free_page(pt->page);
}

/*
 * Offlining goes on as long as a page is in use that nothing is known about,
 * and succeeds when it is freed.
 *
 * Neither does the scan find the page, nor can it be migrated.
 */
static void offlining_goes_on_until_page_is_freed(struct kunit *test)
{
	struct page_on_timer pt;
	bool freed;

	online_borrowed(test);
	pt.page = alloc_page(GFP_HIGHUSER_MOVABLE);
	KUNIT_ASSERT_NOT_NULL(test, pt.page);
	KUNIT_EXPECT_TRUE(test, is_borrowed(page_to_pfn(pt.page)));
	unplug_around(test, page_folio(pt.page));

	timer_setup_on_stack(&pt.timer, free_page_on_timer, 0);
	mod_timer(&pt.timer, jiffies + 2);
	KUNIT_EXPECT_EQ(test, 0, offline_borrowed());
	freed = !timer_delete_sync(&pt.timer);
	timer_destroy_on_stack(&pt.timer);
	KUNIT_EXPECT_TRUE(test, freed);
}

/* Reclaim, too, isolates folios for a while. */
static bool none_stays_isolated(void)
{
	unsigned long nr = 1;
	int i;

	for (i = 0; nr && i < 1000; i++) {
		nr = global_node_page_state(NR_ISOLATED_ANON) +
		     global_node_page_state(NR_ISOLATED_FILE);
		if (nr)
			usleep_range(USEC_PER_MSEC, 2 * USEC_PER_MSEC);
	}
	return !nr;
}

/* Expect that offlining gives up, and that nothing has changed. */
static void expect_gives_up(struct kunit *test, struct stubborn_file *file)
{
	struct folio *folio = pfn_folio(file->data.pfn);
	struct phantom_memory *ph = &borrowed->memory;
	const int count = folio_ref_count(folio);
	struct phantom_snapshot online;

	phantom_snapshot_take(&online);
	KUNIT_ASSERT_EQ(test, -EINTR, offline_borrowed());
	KUNIT_EXPECT_TRUE(test, none_stays_isolated());
	expect_data(test, &file->data, false);
	KUNIT_EXPECT_TRUE(test, wait_for_lru(folio));
	KUNIT_EXPECT_EQ(test, count, folio_ref_count(folio));
	expect_skippable();
	phantom_expect_isolated(ph, 0);
	phantom_snapshot_expect(test, &online);
	KUNIT_EXPECT_EQ(test, 1, borrowed->events[MEM_CANCEL_OFFLINE]);
	KUNIT_EXPECT_EQ(test, 0, borrowed->events[MEM_OFFLINE]);
}

/*
 * If a signal arrives before anything has moved, offlining fails with -EINTR
 * and changes nothing, and succeeds the next time.
 */
static void signal_stops_offlining_before_data_moves(struct kunit *test)
{
	struct stubborn_file *file;

	online_borrowed(test);
	file = allocate_stubborn_file(test, 0);
	borrowed->give_up_in = MEM_GOING_OFFLINE;
	expect_gives_up(test, file);
	KUNIT_EXPECT_EQ(test, 0, file->nr_rounds);

	borrowed->give_up_in = -1;
	KUNIT_ASSERT_EQ(test, 0, offline_borrowed());
	expect_data(test, &file->data, true);
}

/*
 * If a signal arrives while a folio fails to migrate, offlining fails with
 * -EINTR and changes nothing, and succeeds the next time.
 */
static void signal_stops_offlining_after_data_did_not_move(struct kunit *test)
{
	struct stubborn_file *file;

	online_borrowed(test);
	file = allocate_stubborn_file(test, 1);
	file->give_up = true;
	expect_gives_up(test, file);
	KUNIT_EXPECT_EQ(test, 1, file->nr_rounds);

	KUNIT_ASSERT_EQ(test, 0, offline_borrowed());
	expect_data(test, &file->data, true);
}

/*
 * Hugetlb folios
 */

#ifdef CONFIG_HUGETLB_PAGE
/* Find the hugetlb folio in borrowed memory. */
static unsigned long find_hugetlb(struct kunit *test)
{
	const struct phantom_memory *ph = &borrowed->memory;
	unsigned long pfn;

	for (pfn = ph->start_pfn; pfn < phantom_end_pfn(ph);
	     pfn += pages_per_huge_page(&default_hstate)) {
		if (PageHuge(pfn_to_page(pfn)))
			return pfn;
	}
	KUNIT_FAIL_AND_ABORT(test, "there is no hugetlb folio");
	return 0;
}

/*
 * Offlining fails with -EBUSY and changes nothing if it cannot dissolve a free
 * hugetlb folio because that is reserved, and succeeds once it is not.
 */
static void reserved_hugetlb_folio_prevents_offlining(struct kunit *test)
{
	struct phantom_memory *ph = online_borrowed(test);
	struct file *file = create_hugetlb_file(test);
	const unsigned long pfn = find_hugetlb(test);
	struct folio *folio = pfn_folio(pfn);
	struct phantom_snapshot online;

	unplug_around(test, folio);
	phantom_snapshot_take(&online);
	KUNIT_ASSERT_EQ(test, -EBUSY, offline_borrowed());
	KUNIT_EXPECT_EQ(test, 1, borrowed->events[MEM_CANCEL_OFFLINE]);
	phantom_expect_isolated(ph, 0);
	phantom_snapshot_expect(test, &online);
	KUNIT_EXPECT_TRUE(test, folio_test_hugetlb(folio));
	expect_skippable();

	/* It becomes a surplus folio that nobody wants, and is freed. */
	kunit_release_action(test, put_file_action, file);
	KUNIT_EXPECT_EQ(test, 0, offline_borrowed());
}

/* Offlining dissolves a free hugetlb folio, and hugetlb has one less then. */
static void offlining_dissolves_free_hugetlb_folio(struct kunit *test)
{
	struct hstate *h = &default_hstate;
	unsigned long nr_huge_pages, max_huge_pages;
	struct file *file;

	online_borrowed(test);
	file = create_hugetlb_file(test);
	if (h->surplus_huge_pages != 1)
		kunit_skip(test, "somebody else has surplus huge pages");
	nr_huge_pages = h->nr_huge_pages - 1;
	max_huge_pages = h->max_huge_pages;
	/* Unless it is a surplus folio, it stays in the pool. */
	scoped_guard(spinlock_irq, &hugetlb_lock) {
		h->surplus_huge_pages--;
		h->surplus_huge_pages_node[borrowed->memory.nid]--;
		h->max_huge_pages++;
	}
	kunit_release_action(test, put_file_action, file);
	unplug_around(test, pfn_folio(find_hugetlb(test)));
	KUNIT_EXPECT_EQ(test, nr_huge_pages + 1, h->nr_huge_pages);

	KUNIT_EXPECT_EQ(test, 0, offline_borrowed());
	KUNIT_EXPECT_EQ(test, nr_huge_pages, h->nr_huge_pages);
	KUNIT_EXPECT_EQ(test, max_huge_pages, h->max_huge_pages);
}
#else
static void reserved_hugetlb_folio_prevents_offlining(struct kunit *test)
{
	kunit_skip(test, "CONFIG_HUGETLB_PAGE is not set");
}

static void offlining_dissolves_free_hugetlb_folio(struct kunit *test)
{
	kunit_skip(test, "CONFIG_HUGETLB_PAGE is not set");
}
#endif

static void unpoison_hugetlb(void *arg)
{
	ClearPageHWPoison(arg);
}

/*
 * do_migrate_range() does not move an HWPoison hugetlb folio to another one:
 * who accesses it gets an error.
 */
static void migrate_does_not_move_hwpoisoned_hugetlb_folio(struct kunit *test)
{
	struct file *file = create_hugetlb_file(test);
	const unsigned long addr = map_to_user(test, file,
					       i_size_read(file_inode(file)));
	struct folio *folio = get_mapped_folio(test, addr);
	const unsigned long pfn = folio_pfn(folio);
	struct page *page;
	long ret;

	/* With one more reference, it could not move. */
	folio_put(folio);
	if (!IS_ENABLED(CONFIG_MEMORY_FAILURE))
		kunit_skip(test, "CONFIG_MEMORY_FAILURE is not set");
	SetPageHWPoison(&folio->page);
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, unpoison_hugetlb,
						  &folio->page));

	do_migrate_range(pfn, pfn + folio_nr_pages(folio));
	KUNIT_EXPECT_FALSE(test, folio_mapped(folio));
	KUNIT_EXPECT_PTR_EQ(test, file->f_mapping, folio_mapping(folio));
	ret = get_user_pages_unlocked(addr, 1, &page, FOLL_HWPOISON);
	KUNIT_EXPECT_EQ(test, -EHWPOISON, ret);
	if (ret == 1)
		put_page(page);
}

static struct kunit_case offline_skippable_data_cases[] = {
	KUNIT_CASE_PARAM(offlining_moves_data_beside_skippable_pages,
			 data_gen_params),
	KUNIT_CASE(offlining_goes_on_until_data_moved),
	KUNIT_CASE(offlining_goes_on_until_page_is_freed),
	KUNIT_CASE(signal_stops_offlining_before_data_moves),
	KUNIT_CASE(signal_stops_offlining_after_data_did_not_move),
	KUNIT_CASE(reserved_hugetlb_folio_prevents_offlining),
	KUNIT_CASE(offlining_dissolves_free_hugetlb_folio),
	KUNIT_CASE(migrate_does_not_move_hwpoisoned_hugetlb_folio),
	{}
};

static struct kunit_suite offline_skippable_data_suite = {
	.name = "offline_skippable_data",
	.init = data_init,
	.suite_exit = data_suite_exit,
	.test_cases = offline_skippable_data_cases,
};

kunit_test_suites(&offline_skippable_data_suite);
