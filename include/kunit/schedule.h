/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Schedules: races on purpose, one at a time, and again.
 *
 * A kernel operation under test passes points at which others could step in. At
 * some of them it calls a test anyway, in notifiers and callbacks; a kprobe
 * makes it do so at others. A schedule says at which of these points which steps
 * of which actors run. As all of it runs in the thread of the operation, it runs
 * the same way each time, and nothing has to sleep and hope.
 *
 * A schedule is written as a string of steps in their order, for example
 *
 *	offline_movable:get_skippable@going_offline.1,put_skippable@test.2
 *
 * where a point is followed by how many times it has been passed. A step that
 * says no point runs when the operation is over, or when it must at the latest.
 *
 * In the wild there is no schedule: each actor is a thread of its own, and steps
 * in whenever it likes. So what it shares with the operation and with other
 * actors takes READ_ONCE() and the like, or has to be left alone by it while
 * actors may act, which they do only while &schedule_model.run runs.
 */
#ifndef _KUNIT_SCHEDULE_H
#define _KUNIT_SCHEDULE_H

#include <linux/bits.h>
#include <linux/kprobes.h>
#include <linux/limits.h>
#include <linux/types.h>

struct kunit;

/**
 * struct schedule_point - a point at which others can step in
 * @name: its name in schedules
 * @locks: the locks that the operation holds there, as bits of the model
 * @atomic: whether nobody may sleep there
 * @idle: whether the operation does nothing before its next point, but take locks.
 *	Who needs none of these would do the same there.
 */
struct schedule_point {
	const char *name;
	u32 locks;
	bool atomic;
	bool idle;
};

/**
 * struct schedule_step - something that an actor does at once
 * @name: its name in schedules
 * @run: do it. Gets &schedule_model.ctx. May sleep only if @sleeps.
 * @sleeps: whether it sleeps
 * @locks: the locks that it takes. It is not tried where the operation holds
 *	one of them: it would wait there, so this is the same as a later point.
 * @only: the points at which it is legal; 0 if at all of them
 * @latest: the points at which it has to have run, if the actor's first step ran;
 *	of a first step, those that it must not run across in the wild
 */
struct schedule_step {
	const char *name;
	void (*run)(void *ctx);
	bool sleeps;
	u32 locks;
	u32 only;
	u32 latest;
};

/**
 * struct schedule_actor - who may step in
 * @step: what it does. The second step is optional.
 * @touches: what it changes or depends on, as bits of the model. Two actors that
 *	have nothing in common do not take part in one schedule, as each would
 *	do there what it does alone.
 */
struct schedule_actor {
	struct schedule_step step[2];
	u32 touches;
};

/**
 * struct schedule_model - an operation, and all that can happen to it
 * @name: its name in schedules
 * @point: the points of the operation
 * @nr_points: how many
 * @actor: the actors
 * @nr_actors: how many
 * @is_operation: whether the current thread is one of the operation. Optional:
 *	without it, the thread of the test case is.
 * @ctx: for the functions
 * @prepare: called before the operation
 * @run: the operation, which calls schedule_point()
 * @check: called after all steps have run. Calls schedule_fail() if there is
 *	anything wrong.
 * @recover: called after a failure. Returns whether the operation can run again.
 */
struct schedule_model {
	const char *name;
	const struct schedule_point *point;
	unsigned int nr_points;
	const struct schedule_actor *actor;
	unsigned int nr_actors;
	bool (*is_operation)(void);
	void *ctx;
	void (*prepare)(void *ctx);
	void (*run)(void *ctx);
	void (*check)(void *ctx);
	bool (*recover)(void *ctx);
};

#ifdef CONFIG_KPROBES
/**
 * struct schedule_probe - has a function call a test first
 * @function: its name. It must take the same arguments as @instead.
 * @instead: what is called instead. Has to call schedule_enter(), and then what
 *	that returns, with the arguments that it got.
 * @kp: the kprobe
 *
 * A handler of a kprobe may not sleep. So it has the operation call another
 * function, in whatever context the first one was called, that lets others step
 * in, and calls the first one again. That time, the handler lets it pass.
 */
struct schedule_probe {
	const char *function;
	void *instead;
	struct kprobe kp;
};

#define SCHEDULE_NO_POINT	UINT_MAX

void schedule_probe_all(struct kunit *test, struct schedule_probe *probe,
			unsigned int nr);
void *schedule_enter(struct schedule_probe *probe, unsigned int point);
#endif

void schedule_point(unsigned int point);
bool schedule_is_wild(void);
void schedule_rest(void);
void schedule_go_on(void);
bool schedule_is_acting(void);
bool schedule_is_active(void);
__printf(1, 2) void schedule_fail(const char *fmt, ...);

void schedule_require(struct kunit *test, const struct schedule_model *model);
bool schedule_isolation_is_kept(struct kunit *test, unsigned long pfn);
void schedule_run_all(struct kunit *test, const struct schedule_model *model);

#endif /* _KUNIT_SCHEDULE_H */
