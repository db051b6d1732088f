/* SPDX-License-Identifier: GPL-2.0 */
/* Comes at the end of one of the files that hold mutants; there are MUTANTS - 1. */
#include <linux/minmax.h>
#include <linux/printk.h>
#include <linux/reboot.h>

unsigned int mutant_alive;
unsigned char mutant_ran[MUTANTS];
DEFINE_STATIC_KEY_FALSE(mutant_none_alive);

static int __init mutant_choose(char *number)
{
	const int ret = kstrtouint(number, 10, &mutant_alive);

	if (!mutant_alive)
		static_branch_enable(&mutant_none_alive);
	return ret;
}
early_param("mutant", mutant_choose);

static int mutant_tell(struct notifier_block *nb, unsigned long action, void *data)
{
	unsigned int number;

	for (number = 0; number < MUTANTS; number += 64)
		printk(KERN_INFO "mutants that ran: %u %*phN\n", number,
		       (int)min(64U, MUTANTS - number), mutant_ran + number);
	return NOTIFY_OK;
}

static struct notifier_block mutant_nb = { .notifier_call = mutant_tell };

static int __init mutant_init(void)
{
	return mutant_alive ? 0 : register_reboot_notifier(&mutant_nb);
}
late_initcall(mutant_init);
