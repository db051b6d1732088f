// SPDX-License-Identifier: GPL-2.0
/*
 * Schedules for KUnit tests, see include/kunit/schedule.h.
 */
#include <kunit/schedule.h>
#include <kunit/test.h>
#include <linux/jiffies.h>
#include <linux/kdebug.h>
#include <linux/notifier.h>
#include <linux/prandom.h>
#include <linux/printk.h>
#include <linux/string.h>

/* How long an operation may take that passes no point, before it gets a signal. */
#define SCHEDULE_TIMEOUT	(5 * HZ)

/* How many points an operation may pass after all actors rest. */
#define SCHEDULE_REST		64

struct schedule_trace {
	u8 point;
	u8 nth;
};

/**
 * struct schedule_run - a schedule while it runs, and what came of it
 * @model: the operation
 * @schedule: the schedule
 * @task: the thread of the operation
 * @acting: a step of an actor runs
 * @over: the operation is over
 * @missed: a step ran elsewhere, as its point was not passed
 * @next: the next step
 * @ran_at: for each step, the length of the trace when it ran, and one more if
 *	the operation was over
 * @passed: how many times each point has been passed
 * @trace: the points that were passed
 * @nr_trace: how many
 * @nr_passed: the same, but goes on where @trace is full
 * @rests_since: the value of @nr_passed when the last step ran
 * @timer: ends an operation that does not end
 * @failure: what is wrong, empty if nothing is
 */
struct schedule_run {
	const struct schedule_model *model;
	struct schedule schedule;
	struct task_struct *task;
	bool acting;
	bool over;
	bool missed;
	unsigned int next;
	unsigned int ran_at[SCHEDULE_MAX_STEPS];
	u8 passed[SCHEDULE_MAX_POINTS];
	struct schedule_trace trace[SCHEDULE_MAX_TRACE];
	unsigned int nr_trace;
	unsigned int nr_passed;
	unsigned int rests_since;
	struct timer_list timer;
	char failure[200];
};

/* The one that runs, or NULL. */
static struct schedule_run *schedule_running;

/* The one to be named in a crash: it may have done its harm before. */
static struct schedule_run schedule_current;

static const struct schedule_step *
step_of(const struct schedule_model *model, const struct schedule_place *place)
{
	return &model->actor[place->actor].step[place->step];
}

static unsigned int nr_steps(const struct schedule_model *model,
			     unsigned int actor)
{
	return model->actor[actor].step[1].run ? 2 : 1;
}

static void schedule_print(const struct schedule_model *model,
			   const struct schedule *schedule, char *string)
{
	size_t len = scnprintf(string, SCHEDULE_STRING_LEN, "%s:", model->name);
	unsigned int i;

	for (i = 0; i < schedule->nr; i++) {
		const struct schedule_place *place = &schedule->place[i];

		len += scnprintf(string + len, SCHEDULE_STRING_LEN - len, "%s%s",
				 i ? "," : "", step_of(model, place)->name);
		if (place->point != SCHEDULE_AT_END)
			len += scnprintf(string + len, SCHEDULE_STRING_LEN - len,
					 "@%s.%u",
					 model->point[place->point].name,
					 place->nth);
	}
}

/**
 * schedule_is_for() - is a schedule one of this operation?
 * @model: the operation
 * @string: the schedule
 *
 * Return: whether it is.
 */
bool schedule_is_for(const struct schedule_model *model, const char *string)
{
	const size_t len = strlen(model->name);

	return !strncmp(string, model->name, len) && string[len] == ':';
}

static bool parse_place(const struct schedule_model *model, char *word,
			struct schedule_place *place)
{
	char *at = strchr(word, '@'), *dot;
	unsigned int i, j;

	*place = (struct schedule_place){ .point = SCHEDULE_AT_END };
	if (at) {
		*at++ = '\0';
		dot = strchr(at, '.');
		if (!dot)
			return false;
		*dot++ = '\0';
		if (kstrtou8(dot, 10, &place->nth) || !place->nth)
			return false;
		for (i = 0; i < model->nr_points; i++) {
			if (!strcmp(model->point[i].name, at))
				place->point = i;
		}
		if (place->point == SCHEDULE_AT_END)
			return false;
	}
	for (i = 0; i < model->nr_actors; i++) {
		for (j = 0; j < nr_steps(model, i); j++) {
			if (strcmp(model->actor[i].step[j].name, word))
				continue;
			place->actor = i;
			place->step = j;
			return true;
		}
	}
	return false;
}

static bool schedule_parse(const struct schedule_model *model,
			   const char *string, struct schedule *schedule)
{
	char buf[SCHEDULE_STRING_LEN], *words = buf, *word;

	schedule->nr = 0;
	if (!schedule_is_for(model, string) ||
	    strscpy(buf, string + strlen(model->name) + 1) < 0)
		return false;
	while ((word = strsep(&words, ","))) {
		if (!*word)
			continue;
		if (schedule->nr == SCHEDULE_MAX_STEPS ||
		    !parse_place(model, word, &schedule->place[schedule->nr]))
			return false;
		schedule->nr++;
	}
	return true;
}

/**
 * schedule_fail() - say what is wrong about the operation
 * @fmt: as for printk()
 *
 * Only the first call for a schedule counts. Context: Any.
 */
void schedule_fail(const char *fmt, ...)
{
	struct schedule_run *run = &schedule_current;
	va_list args;

	if (run->failure[0])
		return;
	va_start(args, fmt);
	vscnprintf(run->failure, sizeof(run->failure), fmt, args);
	va_end(args);
}

/**
 * schedule_is_acting() - does a step of an actor run?
 *
 * Return: whether it does, so that the operation is not what passes a point.
 */
bool schedule_is_acting(void)
{
	struct schedule_run *run = READ_ONCE(schedule_running);

	return run && run->acting;
}

/**
 * schedule_is_active() - is this the thread of an operation that has a schedule?
 *
 * Return: whether it is, and no actor acts in it.
 */
bool schedule_is_active(void)
{
	struct schedule_run *run = READ_ONCE(schedule_running);

	return run && run->task == current && !run->acting;
}

static void run_next_step(struct schedule_run *run)
{
	const struct schedule_place *place = &run->schedule.place[run->next];
	const struct schedule_trace *at = &run->trace[run->nr_trace - 1];

	if (place->point != SCHEDULE_AT_END &&
	    (run->over || place->point != at->point || place->nth != at->nth))
		run->missed = true;
	run->ran_at[run->next] = run->nr_trace + run->over;
	run->acting = true;
	step_of(run->model, place)->run(run->model->ctx);
	run->acting = false;
	run->next++;
	run->rests_since = run->nr_passed;
}

static void run_all_steps(struct schedule_run *run)
{
	while (run->next < run->schedule.nr)
		run_next_step(run);
}

/* Does a step have to run at @point, after its actor's first step ran? */
static bool has_to_run(struct schedule_run *run, unsigned int point)
{
	unsigned int i, j;

	for (i = run->next; i < run->schedule.nr; i++) {
		const struct schedule_place *place = &run->schedule.place[i];

		if (!place->step ||
		    !(step_of(run->model, place)->latest & BIT(point)))
			continue;
		for (j = 0; j < run->next; j++) {
			if (run->schedule.place[j].actor == place->actor)
				return true;
		}
	}
	return false;
}

/**
 * schedule_point() - let others step in
 * @point: the number of the point in the model
 *
 * Runs what the schedule says. Does nothing in threads other than that of the
 * operation, nor for what actors do.
 *
 * Context: As &schedule_point says.
 */
void schedule_point(unsigned int point)
{
	struct schedule_run *run = READ_ONCE(schedule_running);
	u8 nth;

	if (!schedule_is_active())
		return;
	if (run->passed[point] < U8_MAX)
		run->passed[point]++;
	nth = run->passed[point];
	run->nr_passed++;
	if (run->nr_trace < SCHEDULE_MAX_TRACE)
		run->trace[run->nr_trace++] = (struct schedule_trace){ point, nth };

	while (run->next < run->schedule.nr) {
		const struct schedule_place *place =
			&run->schedule.place[run->next];

		if (place->point != point || place->nth != nth)
			break;
		run_next_step(run);
	}
	while (has_to_run(run, point))
		run_next_step(run);

	/* Who waits for an actor is to be let go at last. */
	if (run->nr_passed >= SCHEDULE_MAX_TRACE)
		run_all_steps(run);
	if (run->nr_passed >= max(run->rests_since, SCHEDULE_MAX_TRACE) +
			      SCHEDULE_REST) {
		schedule_fail("does not end");
		set_tsk_thread_flag(run->task, TIF_SIGPENDING);
	}
}

/* The operation passes no points any more. */
static void schedule_timeout_expired(struct timer_list *timer)
{
	struct schedule_run *run = container_of(timer, struct schedule_run, timer);

	schedule_fail("does not end, nor pass any point");
	set_tsk_thread_flag(run->task, TIF_SIGPENDING);
	wake_up_process(run->task);
}

static void schedule_print_current(const char *why)
{
	char string[SCHEDULE_STRING_LEN];

	if (!READ_ONCE(schedule_running))
		return;
	schedule_print(schedule_current.model, &schedule_current.schedule, string);
	pr_emerg("schedule: %s: %s\n", string, why);
}

static int schedule_die(struct notifier_block *nb, unsigned long event, void *arg)
{
	if (event == DIE_OOPS)
		schedule_print_current("the kernel crashed");
	return NOTIFY_DONE;
}

static struct notifier_block schedule_die_nb = { .notifier_call = schedule_die };

/* Run a schedule. Return whether nothing is wrong. */
static bool schedule_run(const struct schedule_model *model,
			 const struct schedule *schedule)
{
	struct schedule_run *run = &schedule_current;

	memset(run, 0, sizeof(*run));
	run->model = model;
	run->schedule = *schedule;
	run->task = current;

	model->prepare(model->ctx);
	timer_setup(&run->timer, schedule_timeout_expired, 0);
	mod_timer(&run->timer, jiffies + SCHEDULE_TIMEOUT);
	WRITE_ONCE(schedule_running, run);
	model->run(model->ctx);
	run->over = true;
	run_all_steps(run);
	/* What is checked is not to be stepped into. */
	run->acting = true;
	model->check(model->ctx);
	WRITE_ONCE(schedule_running, NULL);
	timer_delete_sync(&run->timer);
	clear_thread_flag(TIF_SIGPENDING);
	if (run->failure[0])
		model->recover(model->ctx);
	return !run->failure[0];
}

/* Remove an actor from a schedule, and return whether it was there. */
static bool remove_actor(struct schedule *schedule, unsigned int actor)
{
	unsigned int i, nr = 0;

	for (i = 0; i < schedule->nr; i++) {
		if (schedule->place[i].actor != actor)
			schedule->place[nr++] = schedule->place[i];
	}
	swap(schedule->nr, nr);
	return schedule->nr != nr;
}

/* Make a schedule that fails smaller, as long as it fails. */
static void schedule_shrink(const struct schedule_model *model,
			    struct schedule *schedule)
{
	unsigned int i;

	for (i = 0; i < model->nr_actors; i++) {
		struct schedule smaller = *schedule;

		if (remove_actor(&smaller, i) && !schedule_run(model, &smaller))
			*schedule = smaller;
	}
	for (i = schedule->nr; i-- > 0;) {
		struct schedule smaller = *schedule;

		/* A step at the end comes last, so only what comes last can. */
		if (i + 1 < schedule->nr &&
		    smaller.place[i + 1].point != SCHEDULE_AT_END)
			break;
		smaller.place[i].point = SCHEDULE_AT_END;
		if (!schedule_run(model, &smaller))
			*schedule = smaller;
	}
}

struct schedule_search {
	struct kunit *test;
	const struct schedule_model *model;
	struct schedule_stats *stats;
	struct schedule_trace trace[SCHEDULE_MAX_TRACE];
	unsigned int nr_trace;
};

/* Run a schedule. Return whether to go on with the search. */
static bool search_run(struct schedule_search *search, struct schedule *schedule)
{
	char string[SCHEDULE_STRING_LEN];

	search->stats->ran++;
	if (schedule_run(search->model, schedule)) {
		search->stats->points = max(search->stats->points,
					    schedule_current.nr_trace);
		return true;
	}
	schedule_shrink(search->model, schedule);
	/* Once more, for the reason why the smallest one fails. */
	schedule_run(search->model, schedule);
	schedule_print(search->model, schedule, string);
	KUNIT_FAIL(search->test, "schedule=%s fails: %s (found by schedule %lu)",
		   string, schedule_current.failure, search->stats->ran);
	return false;
}

static void search_keep_trace(struct schedule_search *search)
{
	memcpy(search->trace, schedule_current.trace, sizeof(search->trace));
	search->nr_trace = schedule_current.nr_trace;
}

/* May this step run at this place of the trace? */
static bool search_is_legal(struct schedule_search *search, unsigned int actor,
			    unsigned int step, struct schedule_trace at)
{
	const struct schedule_point *point = &search->model->point[at.point];
	const struct schedule_step *s = &search->model->actor[actor].step[step];

	if ((s->sleeps && point->atomic) || (s->locks & point->locks) ||
	    (s->only && !(s->only & BIT(at.point)))) {
		search->stats->illegal++;
		return false;
	}
	return true;
}

static struct schedule_place place_at(unsigned int actor, unsigned int step,
				      struct schedule_trace at)
{
	return (struct schedule_place){
		.actor = actor,
		.step = step,
		.point = at.point,
		.nth = at.nth,
	};
}

static void schedule_add(struct schedule *schedule, unsigned int actor,
			 unsigned int step, struct schedule_trace at)
{
	schedule->place[schedule->nr++] = place_at(actor, step, at);
}

static const struct schedule_trace at_end = { .point = SCHEDULE_AT_END };

/* All placements of one actor. */
static bool search_actor(struct schedule_search *search, unsigned int actor,
			 enum schedule_depth depth)
{
	struct schedule_trace second[SCHEDULE_MAX_TRACE];
	unsigned int i, j, nr_second, last;

	for (i = 0; i < search->nr_trace; i++) {
		struct schedule schedule = {};

		if (!search_is_legal(search, actor, 0, search->trace[i]))
			continue;
		schedule_add(&schedule, actor, 0, search->trace[i]);
		if (nr_steps(search->model, actor) == 1) {
			if (!search_run(search, &schedule))
				return false;
			continue;
		}
		schedule_add(&schedule, actor, 1, at_end);
		if (!search_run(search, &schedule))
			return false;
		memcpy(second, schedule_current.trace, sizeof(second));
		nr_second = schedule_current.nr_trace;
		last = schedule_current.ran_at[1];
		for (j = i; j < nr_second; j++) {
			if (depth == SCHEDULE_QUICK && j > i)
				break;
			if (j + 1 >= last) {
				/* It ran there because it had to. */
				search->stats->same++;
				continue;
			}
			if (!search_is_legal(search, actor, 1, second[j]))
				continue;
			schedule.nr = 1;
			schedule_add(&schedule, actor, 1, second[j]);
			if (!search_run(search, &schedule))
				return false;
		}
	}
	return true;
}

/*
 * Two actors, and two preemptions: at the first one, @a does its first step, or
 * all; at the second one, @b does all it does. Whatever is left comes last.
 */
static bool search_pair(struct schedule_search *search, unsigned int a,
			unsigned int b)
{
	struct schedule_trace second[SCHEDULE_MAX_TRACE];
	unsigned int i, j, nr_second, held, last;
	const unsigned int nr_a = nr_steps(search->model, a);

	for (i = 0; i < search->nr_trace; i++) {
		if (!search_is_legal(search, a, 0, search->trace[i]))
			continue;
		for (held = 0; held < nr_a; held++) {
			struct schedule schedule = {};

			schedule_add(&schedule, a, 0, search->trace[i]);
			if (nr_a == 2)
				schedule_add(&schedule, a, 1,
					     held ? at_end : search->trace[i]);
			/* Known to succeed; only the trace is of interest. */
			if (!search_run(search, &schedule))
				return false;
			memcpy(second, schedule_current.trace, sizeof(second));
			nr_second = schedule_current.nr_trace;
			last = held ? schedule_current.ran_at[1] : nr_second + 1;
			for (j = i; j < nr_second; j++) {
				if (j == i && a > b && !held) {
					search->stats->same++;
					continue;
				}
				if (j + 1 >= last) {
					search->stats->same++;
					continue;
				}
				if (!search_is_legal(search, b, 0, second[j]))
					continue;
				schedule.nr = 1;
				if (nr_a == 2 && !held)
					schedule.nr = 2;
				schedule_add(&schedule, b, 0, second[j]);
				if (nr_steps(search->model, b) == 2)
					schedule_add(&schedule, b, 1, second[j]);
				if (held)
					schedule_add(&schedule, a, 1, at_end);
				if (!search_run(search, &schedule))
					return false;
			}
		}
	}
	return true;
}

static bool search_pairs(struct schedule_search *search)
{
	const struct schedule_model *model = search->model;
	unsigned int a, b;

	for (a = 0; a < model->nr_actors; a++) {
		for (b = 0; b < model->nr_actors; b++) {
			if (a == b)
				continue;
			if (!(model->actor[a].touches & model->actor[b].touches)) {
				search->stats->same += search->nr_trace;
				continue;
			}
			if (!search_pair(search, a, b))
				return false;
		}
	}
	return true;
}

static bool search_begin(struct schedule_search *search)
{
	struct schedule nobody = {};

	register_die_notifier(&schedule_die_nb);
	if (!search_run(search, &nobody))
		return false;
	search_keep_trace(search);
	return true;
}

static void search_end(void)
{
	unregister_die_notifier(&schedule_die_nb);
}

/**
 * schedule_search() - run all schedules of an operation up to a depth
 * @test: the test case, which fails with a schedule if one is found that does
 * @model: the operation
 * @depth: how far to search
 * @stats: what is added to
 *
 * Ends with the first schedule that fails. Context: May sleep.
 * Return: whether none failed.
 */
bool schedule_search(struct kunit *test, const struct schedule_model *model,
		     enum schedule_depth depth, struct schedule_stats *stats)
{
	struct schedule_search *search;
	unsigned int actor;
	bool ok;

	search = kunit_kzalloc(test, sizeof(*search), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, search);
	search->test = test;
	search->model = model;
	search->stats = stats;
	ok = search_begin(search);
	for (actor = 0; ok && actor < model->nr_actors; actor++)
		ok = search_actor(search, actor, depth);
	if (ok && depth == SCHEDULE_ALL)
		ok = search_pairs(search);
	search_end();
	return ok;
}

static void random_schedule(struct schedule_search *search,
			    struct rnd_state *rnd, struct schedule *schedule)
{
	const struct schedule_model *model = search->model;
	unsigned int at[SCHEDULE_MAX_STEPS];
	unsigned int i, j, nr = 1 + prandom_u32_state(rnd) % (SCHEDULE_MAX_STEPS / 2);
	u32 used = 0;

	/* Insert steps such that they are in the order of their places. */
	schedule->nr = 0;
	for (i = 0; i < nr; i++) {
		unsigned int first, step, a;

		a = prandom_u32_state(rnd) % model->nr_actors;
		first = prandom_u32_state(rnd) % search->nr_trace;
		if (used & BIT(a))
			continue;
		used |= BIT(a);
		for (step = 0; step < nr_steps(model, a); step++) {
			if (step)
				first += prandom_u32_state(rnd) %
					 (search->nr_trace - first);
			if (!search_is_legal(search, a, step,
					     search->trace[first]))
				break;
			for (j = schedule->nr; j && at[j - 1] > first; j--) {
				schedule->place[j] = schedule->place[j - 1];
				at[j] = at[j - 1];
			}
			at[j] = first;
			schedule->place[j] = place_at(a, step,
						      search->trace[first]);
			schedule->nr++;
		}
		/* Its second step would not be legal: do it at the end. */
		if (step == 1 && nr_steps(model, a) == 2) {
			at[schedule->nr] = UINT_MAX;
			schedule_add(schedule, a, 1, at_end);
		}
	}
}

/**
 * schedule_random() - run random schedules with several actors
 * @test: the test case, which fails with a schedule if one is found that does
 * @model: the operation
 * @seed: where the sequence starts
 * @nr: how many
 * @stats: what is added to
 *
 * Ends with the first schedule that fails. Context: May sleep.
 * Return: whether none failed.
 */
bool schedule_random(struct kunit *test, const struct schedule_model *model,
		     u64 seed, unsigned int nr, struct schedule_stats *stats)
{
	struct schedule_search *search;
	struct rnd_state rnd;
	bool ok;

	search = kunit_kzalloc(test, sizeof(*search), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, search);
	search->test = test;
	search->model = model;
	search->stats = stats;
	prandom_seed_state(&rnd, seed);
	ok = search_begin(search);
	while (ok && nr--) {
		struct schedule schedule;

		random_schedule(search, &rnd, &schedule);
		ok = search_run(search, &schedule);
	}
	search_end();
	return ok;
}

/**
 * schedule_replay() - run one schedule
 * @test: the test case, which fails if the schedule does
 * @model: the operation
 * @string: the schedule
 *
 * Context: May sleep.
 * Return: whether it did not fail.
 */
bool schedule_replay(struct kunit *test, const struct schedule_model *model,
		     const char *string)
{
	struct schedule schedule;
	bool ok;

	if (!schedule_parse(model, string, &schedule))
		KUNIT_FAIL_AND_ABORT(test, "cannot be read: schedule=%s", string);
	register_die_notifier(&schedule_die_nb);
	ok = schedule_run(model, &schedule);
	search_end();
	if (!ok)
		KUNIT_FAIL(test, "schedule=%s fails: %s", string,
			   schedule_current.failure);
	else if (schedule_current.missed)
		KUNIT_FAIL(test, "schedule=%s did not run as it says", string);
	return ok;
}
