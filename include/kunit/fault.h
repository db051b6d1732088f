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

#include <linux/types.h>

struct kunit;

void kunit_fault_init(struct kunit *test);
void kunit_fault_arm(struct kunit *test, unsigned int nth);
void kunit_fault_arm_all(struct kunit *test);
bool kunit_fault_disarm(struct kunit *test, int nr_warnings);

#endif /* _KUNIT_FAULT_H */
