/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Macros that Coccinelle does not know. Without a word, it passes over a function whose
 * head it cannot read.
 */
#define VISIBLE_IF_OFFLINE_SKIPPABLE_KUNIT
