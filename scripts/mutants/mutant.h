/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Included by each file that holds mutants. One at most is alive, for as long
 * as the kernel runs: the one whose number is on the kernel's command line.
 */
extern unsigned int mutant_alive;

static inline __attribute__((__always_inline__)) int mutant(unsigned int number)
{
	return __builtin_expect(mutant_alive == number, 0);
}
