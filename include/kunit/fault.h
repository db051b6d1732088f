/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Allocations that fail, for KUnit tests.
 *
 * Fault injection can make the nth allocation of a task fail, see fail_nth in
 * Documentation/fault-injection/fault-injection.rst. A test case does that for
 * the first allocation, the second one, and so on until there is no nth
 * allocation.
 */
#ifndef _KUNIT_FAULT_H
#define _KUNIT_FAULT_H

#include <kunit/known_bug.h>
#include <linux/kconfig.h>
#include <linux/mm.h>
#include <linux/pgtable.h>
#include <linux/types.h>

/**
 * kunit_fault_needs_page_tables() - does memory need page tables of its own?
 * @size: its size in bytes. It lies next to other memory.
 *
 * Context: Any.
 * Return: whether adding it may allocate page tables for the direct map.
 */
static inline bool kunit_fault_needs_page_tables(u64 size)
{
	/* Each page is mapped by itself then: see probe_page_size_mask() of x86. */
	return size > PUD_SIZE || debug_pagealloc_enabled();
}

/**
 * kunit_fault_in_page_tables() - say that there may be no memory for page tables
 * @test: the test case, which is skipped if the kernel does not check whether
 *	there is
 *
 * To be called before memory is added that needs some, while an allocation fails.
 */
static inline void kunit_fault_in_page_tables(struct kunit *test)
{
	if (IS_ENABLED(CONFIG_X86))
		kunit_known_bug(test, "x86-mm-check-page-tables",
				"not tried, as the kernel might dereference NULL");
	if (IS_ENABLED(CONFIG_RISCV))
		kunit_known_bug(test, "riscv-mm-check-page-tables",
				"not tried, as the kernel would crash");
}

void kunit_fault_init(struct kunit *test);
void kunit_fault_arm(struct kunit *test, unsigned int nth);
void kunit_fault_arm_all(struct kunit *test);
bool kunit_fault_disarm(struct kunit *test, int nr_warnings);

#endif /* _KUNIT_FAULT_H */
