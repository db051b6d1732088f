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
 */
#ifndef _KUNIT_SCHEDULE_H
#define _KUNIT_SCHEDULE_H

#include <linux/bits.h>
#include <linux/sched.h>
#include <linux/timer.h>
#include <linux/types.h>

struct kunit;

#define SCHEDULE_MAX_POINTS	32
#define SCHEDULE_MAX_STEPS	8
#define SCHEDULE_MAX_TRACE	80
#define SCHEDULE_STRING_LEN	400

/* The place of a step that runs when the operation is over. */
#define SCHEDULE_AT_END		U8_MAX

/**
 * struct schedule_point - a point at which others can step in
 * @name: its name in schedules
 * @locks: the locks that the operation holds there, as bits of the model
 * @atomic: whether nobody may sleep there
 */
struct schedule_point {
	const char *name;
	u32 locks;
	bool atomic;
};

/**
 * struct schedule_step - something that an actor does at once
 * @name: its name in schedules
 * @run: do it. Gets &schedule_model.ctx. May sleep only if @sleeps.
 * @sleeps: whether it sleeps
 * @locks: the locks that it takes. It is not tried where the operation holds
 *	one of them: it would wait there, so this is the same as a later point.
 * @only: the points at which it is legal; 0 if at all of them
 * @latest: the points at which it has to have run, if the actor's first step ran
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
 * @ctx: for the functions
 * @prepare: called before the operation
 * @run: the operation, which calls schedule_point()
 * @check: called after all steps have run. Calls schedule_fail() if there is
 *	anything wrong.
 * @recover: called after a failure
 */
struct schedule_model {
	const char *name;
	const struct schedule_point *point;
	unsigned int nr_points;
	const struct schedule_actor *actor;
	unsigned int nr_actors;
	void *ctx;
	void (*prepare)(void *ctx);
	void (*run)(void *ctx);
	void (*check)(void *ctx);
	void (*recover)(void *ctx);
};

/**
 * struct schedule_place - where a step of an actor runs
 * @actor: the number of the actor
 * @step: the number of its step
 * @point: the number of the point, or SCHEDULE_AT_END
 * @nth: the how manieth time that the point is passed, from 1 on
 */
struct schedule_place {
	u8 actor;
	u8 step;
	u8 point;
	u8 nth;
};

/**
 * struct schedule - who steps in where
 * @place: in the order in which the steps run
 * @nr: how many steps there are
 */
struct schedule {
	struct schedule_place place[SCHEDULE_MAX_STEPS];
	unsigned int nr;
};

/**
 * struct schedule_stats - what a search did
 * @ran: schedules that ran
 * @illegal: schedules that did not, as a step is not legal at its point
 * @same: schedules that did not, as they equal others
 * @points: the most points that an operation passed
 */
struct schedule_stats {
	unsigned long ran;
	unsigned long illegal;
	unsigned long same;
	unsigned int points;
};

/**
 * enum schedule_depth - how far to search
 * @SCHEDULE_QUICK: each actor by itself; a second step runs at once or last
 * @SCHEDULE_SINGLE: each actor by itself, all placements
 * @SCHEDULE_ALL: also two actors at once, with up to two preemptions
 */
enum schedule_depth {
	SCHEDULE_QUICK,
	SCHEDULE_SINGLE,
	SCHEDULE_ALL,
};

void schedule_point(unsigned int point);
bool schedule_is_acting(void);
bool schedule_is_active(void);
__printf(1, 2) void schedule_fail(const char *fmt, ...);

bool schedule_search(struct kunit *test, const struct schedule_model *model,
		     enum schedule_depth depth, struct schedule_stats *stats);
bool schedule_random(struct kunit *test, const struct schedule_model *model,
		     u64 seed, unsigned int nr, struct schedule_stats *stats);
bool schedule_replay(struct kunit *test, const struct schedule_model *model,
		     const char *string);
bool schedule_is_for(const struct schedule_model *model, const char *string);

#endif /* _KUNIT_SCHEDULE_H */
