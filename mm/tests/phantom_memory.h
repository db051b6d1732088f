/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Where phantom memory is from, and what those who provide it can do with its
 * pages: what the files of phantom memory know of each other.
 */
#ifndef _MM_TESTS_PHANTOM_MEMORY_H
#define _MM_TESTS_PHANTOM_MEMORY_H

#include <kunit/phantom_memory.h>

/*
 * Room for layouts of a few pageblocks, aligned such that neither isolation nor
 * merging of free pages looks beyond it.
 */
#define PHANTOM_NR_PAGES							\
	max(4 * pageblock_nr_pages, 2 * MAX_ORDER_NR_PAGES)

/**
 * struct phantom_provider - who provides phantom memory
 * @online: online some of the memory, and call phantom_went_online(). If it
 *	cannot, it aborts or skips the test case.
 * @offline: offline that again, and call phantom_went_offline(). All pages are
 *	PageOffline(). It returns 0 or an error.
 * @release: give the memory back, all of it offline. It returns 0 or an error.
 *
 * All of them may sleep.
 */
struct phantom_provider {
	void (*online)(struct phantom_memory *ph, enum mmop online_type);
	int (*offline)(struct phantom_memory *ph);
	int (*release)(struct phantom_memory *ph);
};

#ifdef CONFIG_MEMORY_HOTREMOVE
const char *phantom_hotplug_obstacle(void);
struct phantom_memory *phantom_hotplug(struct kunit *test);
unsigned long phantom_count_memory_blocks(void);
#else
#define phantom_hotplug_obstacle()	"CONFIG_MEMORY_HOTREMOVE is not set"

static inline struct phantom_memory *phantom_hotplug(struct kunit *test)
{
	return NULL;
}

static inline unsigned long phantom_count_memory_blocks(void)
{
	return 0;
}
#endif

struct phantom_memory *phantom_borrow(struct kunit *test,
				      const char *obstacle);

int phantom_nid(void);
void phantom_require_boot(struct kunit *test);
void phantom_went_online(struct phantom_memory *ph);
void phantom_went_offline(struct phantom_memory *ph);
void phantom_make_offline(unsigned long pfn, unsigned long nr_pages);
int phantom_make_all_offline(struct phantom_memory *ph);

#endif /* _MM_TESTS_PHANTOM_MEMORY_H */
