/* SPDX-License-Identifier: GPL-2.0 */
/* Comes at the end of one of the files that hold mutants. */
unsigned int mutant_alive;

static int __init mutant_choose(char *number)
{
	return kstrtouint(number, 10, &mutant_alive);
}
early_param("mutant", mutant_choose);
