// SPDX-License-Identifier: GPL-2.0
/*
 * Known bugs of the kernel, see include/kunit/known_bug.h.
 */
#include <kunit/known_bug.h>
#include <linux/moduleparam.h>

#undef MODULE_PARAM_PREFIX
#define MODULE_PARAM_PREFIX "kunit."

static bool fail_known_bugs;
module_param(fail_known_bugs, bool, 0644);
MODULE_PARM_DESC(fail_known_bugs,
		 "Fail rather than skip test cases that show a known bug of the kernel");

/**
 * kunit_skips_known_bugs() - shall a test case that shows a known bug be skipped?
 * @test: the test case
 *
 * For kunit_known_bug(). Context: Any.
 *
 * Return: false if it shall fail, or has failed already: skipping it would hide
 *	that.
 */
bool kunit_skips_known_bugs(struct kunit *test)
{
	return !fail_known_bugs && READ_ONCE(test->status) != KUNIT_FAILURE;
}
