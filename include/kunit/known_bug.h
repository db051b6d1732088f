/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Known bugs of the kernel: KUnit test cases that show one are skipped on
 * kernels that have it, and fail on kernels that are meant to have its fix.
 *
 * A test case cannot tell whether a kernel has a fix other than by trying: no
 * version and no option says so. And where it sees the bug, it cannot tell
 * whether the fix is missing or broken. Whoever builds the kernel knows, and
 * says so by the boot parameter kunit.fail_known_bugs.
 */
#ifndef _KUNIT_KNOWN_BUG_H
#define _KUNIT_KNOWN_BUG_H

#include <kunit/test.h>

bool kunit_skips_known_bugs(struct kunit *test);

/**
 * kunit_known_bug() - skip a test case because of a known bug of the kernel
 * @test: the test case
 * @fix: the name of the patch that mends the bug, without .patch
 * @fmt: what was observed, or why it would do harm to try; a printf() format
 *
 * To be called where the bug has shown, directly before the expectation that it
 * violates, or where it is about to do harm. If known bugs are to fail, this
 * does nothing, so that the expectation does. Nor does it do anything if the
 * test case has failed already: a failure remains one.
 *
 * Context: Only in the task of the test case. Does not return if it skips.
 */
#define kunit_known_bug(test, fix, fmt, ...)					\
do {										\
	struct kunit *__test = (test);						\
										\
	if (kunit_skips_known_bugs(__test))					\
		kunit_skip(__test, fmt ": known bug, mended by " fix,		\
			   ##__VA_ARGS__);					\
} while (0)

#endif /* _KUNIT_KNOWN_BUG_H */
