/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Included by each file that holds mutants. One at most is alive, for as long
 * as the kernel runs: the one whose number is on the kernel's command line. With
 * none alive, the kernel notes down of which ones the code runs.
 */
#include <linux/jump_label.h>

extern unsigned int mutant_alive;
extern unsigned char mutant_ran[];
DECLARE_STATIC_KEY_FALSE(mutant_none_alive);

static inline __attribute__((__always_inline__)) int mutant(unsigned int number)
{
	if (static_branch_unlikely(&mutant_none_alive))
		mutant_ran[number] = 1;
	return __builtin_expect(mutant_alive == number, 0);
}
