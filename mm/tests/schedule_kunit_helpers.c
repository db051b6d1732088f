// SPDX-License-Identifier: GPL-2.0
/*
 * Schedules for KUnit tests, see include/kunit/schedule.h.
 */
#include <kunit/memory_compat.h>
#include <kunit/schedule.h>
#include <kunit/test.h>
#include <linux/bitmap.h>
#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/hash.h>
#include <linux/jiffies.h>
#include <linux/kcov.h>
#include <linux/kdebug.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/moduleparam.h>
#include <linux/notifier.h>
#include <linux/page-isolation.h>
#include <linux/prandom.h>
#include <linux/printk.h>
#include <linux/sched.h>
#include <linux/string.h>
#include <linux/timer.h>
#include <linux/wait.h>

#undef MODULE_PARAM_PREFIX
#define MODULE_PARAM_PREFIX "races."

static char *schedule_string;
module_param_named(schedule, schedule_string, charp, 0444);
MODULE_PARM_DESC(schedule, "The only schedule to run, as a failure prints it");

static unsigned int depth;
module_param(depth, uint, 0444);
MODULE_PARM_DESC(depth, "0: some placements of one actor, 1: all, 2: also two actors");

static unsigned int random;
module_param(random, uint, 0444);
MODULE_PARM_DESC(random, "How many random schedules to run for each operation");

static ulong seed = 1;
module_param(seed, ulong, 0444);
MODULE_PARM_DESC(seed, "Where the sequence of random schedules starts");

static uint wild;
module_param(wild, uint, 0444);
MODULE_PARM_DESC(wild, "For how many seconds actors are threads that need no schedule");

/*
 * How long an operation may take that passes no point, before it gets a signal;
 * in the wild, before actors rest, and after that.
 */
#define SCHEDULE_TIMEOUT	(5 * HZ)

/* How many points an operation may pass after all actors rest. */
#define SCHEDULE_REST		64

/*
 * An operation that waits for somebody comes by the same points again and again,
 * and each time is like the one before: so many times are worth a try.
 */
#define SCHEDULE_MAX_NTH	4

#define SCHEDULE_MAX_POINTS	32
#define SCHEDULE_MAX_STEPS	8
#define SCHEDULE_MAX_RANDOM	4	/* actors that are added to a schedule */
#define SCHEDULE_MAX_TRACE	80
#define SCHEDULE_STRING_LEN	400
#define SCHEDULE_FAILURE_LEN	160

/* In the wild, how long actors pause at the longest: 2^this microseconds. */
#define SCHEDULE_MAX_PAUSE	11

/* ... and how many of them take part in a round: one in so many. */
#define SCHEDULE_WILD_SHARE	3

/* The place of a step that runs when the operation is over. */
#define SCHEDULE_AT_END		U8_MAX

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
 * @fresh: random schedules that took a branch that none had taken
 */
struct schedule_stats {
	unsigned long ran;
	unsigned long illegal;
	unsigned long same;
	unsigned long fresh;
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
 * @tired: in the wild, actors rest because the operation does not end
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
 * @failed: something is wrong
 * @failure: what is wrong
 */
struct schedule_run {
	const struct schedule_model *model;
	struct schedule schedule;
	struct task_struct *task;
	bool acting;
	bool over;
	bool tired;
	bool missed;
	unsigned int next;
	unsigned int ran_at[SCHEDULE_MAX_STEPS];
	u8 passed[SCHEDULE_MAX_POINTS];
	struct schedule_trace trace[SCHEDULE_MAX_TRACE];
	unsigned int nr_trace;
	unsigned int nr_passed;
	unsigned int rests_since;
	struct timer_list timer;
	bool failed;
	char failure[SCHEDULE_FAILURE_LEN];
};

/* The one that runs, or NULL. */
static struct schedule_run *schedule_running;

/* The one to be named in a crash: it may have done its harm before. */
static struct schedule_run schedule_current;

/**
 * struct schedule_gate - keeps actors in the wild from acting for a while
 * @inside: how many of them have entered, and not left yet
 * @closed: nobody may enter
 * @wait: who closes it waits here until all have left
 *
 * This is no lock, so that lockdep sees those of the kernel under test alone.
 */
struct schedule_gate {
	atomic_t inside;
	bool closed;
	wait_queue_head_t wait;
};

/* All actors pass this one. */
static struct schedule_gate schedule_rest_gate = {
	.wait = __WAIT_QUEUE_HEAD_INITIALIZER(schedule_rest_gate.wait),
};

/* And this one as well, if they have a &schedule_step.latest. */
static struct schedule_gate schedule_latest_gate = {
	.wait = __WAIT_QUEUE_HEAD_INITIALIZER(schedule_latest_gate.wait),
};

static void gate_leave(struct schedule_gate *gate)
{
	if (atomic_dec_and_test(&gate->inside))
		wake_up(&gate->wait);
}

static bool gate_enter(struct schedule_gate *gate)
{
	atomic_inc(&gate->inside);
	/* Pairs with the one in gate_close(). */
	smp_mb__after_atomic();
	/* Pairs with the one in gate_open(). */
	if (!smp_load_acquire(&gate->closed))
		return true;
	gate_leave(gate);
	return false;
}

/* Let nobody in any more, and wait until all who are in have left. */
static void gate_close(struct schedule_gate *gate)
{
	/* Pairs with the one in gate_enter(). */
	smp_store_mb(gate->closed, true);
	wait_event(gate->wait, !atomic_read_acquire(&gate->inside));
}

static void gate_open(struct schedule_gate *gate)
{
	/* Who enters sees what was done while it was closed: see gate_enter(). */
	smp_store_release(&gate->closed, false);
}

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

static bool schedule_is_for(const struct schedule_model *model, const char *string)
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

	if (xchg(&run->failed, true))
		return;
	va_start(args, fmt);
	vscnprintf(run->failure, sizeof(run->failure), fmt, args);
	va_end(args);
}

/**
 * schedule_is_wild() - is there no schedule?
 *
 * Return: whether each actor is a thread, which steps in whenever it likes.
 */
bool schedule_is_wild(void)
{
	return wild;
}

/**
 * schedule_rest() - in the wild, have actors rest
 *
 * To be called by the operation where what it does is no more than the test.
 *
 * Context: May sleep.
 */
void schedule_rest(void)
{
	if (wild)
		gate_close(&schedule_rest_gate);
}

/**
 * schedule_go_on() - undo schedule_rest()
 */
void schedule_go_on(void)
{
	if (wild)
		gate_open(&schedule_rest_gate);
}

/**
 * schedule_is_acting() - does a step of an actor run?
 *
 * Return: whether it does, so that the operation is not what passes a point.
 */
bool schedule_is_acting(void)
{
	struct schedule_run *run = READ_ONCE(schedule_running);

	return run && READ_ONCE(run->acting);
}

/**
 * schedule_is_active() - is this a thread of an operation that has a schedule?
 *
 * Return: whether it is, and no actor acts in it.
 */
bool schedule_is_active(void)
{
	struct schedule_run *run = READ_ONCE(schedule_running);

	if (!run || READ_ONCE(run->acting))
		return false;
	return run->model->is_operation ? run->model->is_operation() :
					  run->task == current;
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

/* Run a step before those that come before it. */
static void run_step(struct schedule_run *run, unsigned int i)
{
	struct schedule_place *place = &run->schedule.place[run->next];
	const struct schedule_place first = run->schedule.place[i];

	memmove(&place[1], &place[0], (i - run->next) * sizeof(*place));
	place[0] = first;
	run_next_step(run);
}

/* Run all but those that would wait for the operation at @point. */
static void run_legal_steps(struct schedule_run *run, unsigned int point)
{
	unsigned int i;

	for (i = run->next; i < run->schedule.nr; i++) {
		const struct schedule_place *place = &run->schedule.place[i];

		if (!(step_of(run->model, place)->locks & run->model->point[point].locks))
			run_step(run, i);
	}
}

/* Has the first step of an actor run? */
static bool has_begun(const struct schedule_run *run, unsigned int actor)
{
	unsigned int i;

	for (i = 0; i < run->next; i++) {
		if (run->schedule.place[i].actor == actor)
			return true;
	}
	return false;
}

/* Run those that have to run at @point, after their actor's first step ran. */
static void run_latest_steps(struct schedule_run *run, unsigned int point)
{
	unsigned int i;

	for (i = run->next; i < run->schedule.nr; i++) {
		const struct schedule_place *place = &run->schedule.place[i];

		if (place->step && step_of(run->model, place)->latest & BIT(point) &&
		    has_begun(run, place->actor))
			run_step(run, i);
	}
}

/* The points at which an actor has to be done, if it has begun. */
static u32 latest_of(const struct schedule_actor *actor)
{
	return actor->step[0].latest | actor->step[1].latest;
}

/* In the wild, wait for those that have to be done by now. */
static void wild_point(const struct schedule_model *model, unsigned int point)
{
	unsigned int i;

	for (i = 0; i < model->nr_actors; i++) {
		if (!(latest_of(&model->actor[i]) & BIT(point)))
			continue;
		gate_close(&schedule_latest_gate);
		gate_open(&schedule_latest_gate);
		return;
	}
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
	if (wild) {
		wild_point(run->model, point);
		return;
	}
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
	run_latest_steps(run, point);

	/* Who waits for an actor is to be let go at last. */
	if (run->nr_passed >= SCHEDULE_MAX_TRACE)
		run_legal_steps(run, point);
	if (run->nr_passed >= max(run->rests_since, SCHEDULE_MAX_TRACE) +
			      SCHEDULE_REST) {
		schedule_fail("does not end");
		set_tsk_thread_flag(run->task, TIF_SIGPENDING);
	}
}

#ifdef CONFIG_KPROBES
/* The probe that is to be passed, as what it led to is about to call. */
static struct schedule_probe *schedule_pass;

static int schedule_probe_hit(struct kprobe *kp, struct pt_regs *regs)
{
	struct schedule_probe *probe = container_of(kp, struct schedule_probe, kp);

	if (!schedule_is_active())
		return 0;
	if (schedule_pass == probe) {
		schedule_pass = NULL;
		return 0;
	}
	instruction_pointer_set(regs, (unsigned long)probe->instead);
	return 1;
}
NOKPROBE_SYMBOL(schedule_probe_hit);

/* Without one, a kprobe may become a jump, which returns where it came from. */
static void schedule_probe_done(struct kprobe *kp, struct pt_regs *regs,
				unsigned long flags)
{
}
NOKPROBE_SYMBOL(schedule_probe_done);

/**
 * schedule_enter() - schedule_point(), for a function instead of another
 * @probe: the probe that leads to it
 * @point: the number of the point in the model, or SCHEDULE_NO_POINT if the
 *	function is called for something else
 *
 * Context: As &schedule_point says.
 * Return: the function to call.
 */
void *schedule_enter(struct schedule_probe *probe, unsigned int point)
{
	if (point != SCHEDULE_NO_POINT)
		schedule_point(point);
	schedule_pass = probe;
	return probe->kp.addr;
}

static void schedule_unprobe(void *kp)
{
	unregister_kprobe(kp);
}

/**
 * schedule_probe_all() - have functions call a test first
 * @test: the test case, which fails if the kernel has no such function. When it
 *	ends, they do so no more. In the wild, nor do they before.
 * @probe: the functions
 * @nr: how many
 *
 * Context: May sleep.
 */
void schedule_probe_all(struct kunit *test, struct schedule_probe *probe,
			unsigned int nr)
{
	if (wild)
		return;
	for (; nr--; probe++) {
		probe->kp = (struct kprobe){
			.symbol_name = probe->function,
			.pre_handler = schedule_probe_hit,
			.post_handler = schedule_probe_done,
		};
		KUNIT_ASSERT_EQ_MSG(test, 0, register_kprobe(&probe->kp), "%s",
				    probe->function);
		KUNIT_ASSERT_EQ(test, 0,
				kunit_add_action_or_reset(test, schedule_unprobe,
							  &probe->kp));
	}
}
#endif /* CONFIG_KPROBES */

static void schedule_print_current(const char *why)
{
	char string[SCHEDULE_STRING_LEN];

	if (!READ_ONCE(schedule_running))
		return;
	schedule_print(schedule_current.model, &schedule_current.schedule, string);
	pr_emerg("schedule: %s: %s\n", string, why);
}

/* The operation passes no points any more. */
static void schedule_timeout_expired(struct timer_list *timer)
{
	struct schedule_run *run = container_of(timer, struct schedule_run, timer);

	if (wild && !run->tired) {
		run->tired = true;
		WRITE_ONCE(schedule_rest_gate.closed, true);
		mod_timer(timer, jiffies + SCHEDULE_TIMEOUT);
		return;
	}
	schedule_fail("does not end, nor pass any point");
	schedule_print_current("does not end, nor pass any point");
	set_tsk_thread_flag(run->task, TIF_SIGPENDING);
	wake_up_process(run->task);
}

static int schedule_die(struct notifier_block *nb, unsigned long event, void *arg)
{
	if (event == DIE_OOPS)
		schedule_print_current("the kernel crashed");
	return NOTIFY_DONE;
}

static struct notifier_block schedule_die_nb = { .notifier_call = schedule_die };

#ifdef CONFIG_KCOV
/*
 * Random schedules are made from those that took a branch, after the one before,
 * that none had taken. What kcov does for a task that asks for it, see
 * Documentation/dev-tools/kcov.rst, is done by hand here.
 */
#define COVERAGE_BITS	16
#define COVERAGE_MAX	BIT(14)

/* The number of branches that the last schedule took, and where they are. */
static unsigned long coverage[COVERAGE_MAX];

/* Hashes of branches, and of the ones before, of all schedules. */
static DECLARE_BITMAP(coverage_seen, BIT(COVERAGE_BITS));

static void coverage_start(void)
{
	coverage[0] = 0;
	/* Whoever asked for the coverage of this task is to get it. */
	if (current->kcov)
		return;
	current->kcov_size = COVERAGE_MAX;
	current->kcov_area = coverage;
	/* Pairs with the one in check_kcov_mode(). */
	barrier();
	WRITE_ONCE(current->kcov_mode, KCOV_MODE_TRACE_PC);
}

static void coverage_stop(void)
{
	if (current->kcov)
		return;
	WRITE_ONCE(current->kcov_mode, KCOV_MODE_DISABLED);
	/* See kcov_stop(). */
	barrier();
	current->kcov_size = 0;
	current->kcov_area = NULL;
}

static void coverage_forget(void)
{
	bitmap_zero(coverage_seen, BIT(COVERAGE_BITS));
}

/* Did the last schedule take a branch that none had taken? */
static bool coverage_is_new(void)
{
	unsigned long i, before = 0;
	bool is_new = false;

	for (i = 1; i <= coverage[0]; i++) {
		const unsigned long key = coverage[i] ^ (before << 1);

		if (!__test_and_set_bit(hash_long(key, COVERAGE_BITS), coverage_seen))
			is_new = true;
		before = coverage[i];
	}
	return is_new;
}
#else
static void coverage_start(void) { }
static void coverage_stop(void) { }
static void coverage_forget(void) { }
static bool coverage_is_new(void) { return false; }
#endif

/* A failure did harm that cannot be undone, so nothing can run any more. */
static bool schedule_is_lost;

/*
 * Run a schedule, or in the wild, which has none, the operation while others
 * act. Return whether nothing is wrong, or nothing can run.
 */
static bool schedule_run(const struct schedule_model *model,
			 const struct schedule *schedule)
{
	struct schedule_run *run = &schedule_current;

	if (schedule_is_lost)
		return true;
	memset(run, 0, sizeof(*run));
	run->model = model;
	run->schedule = *schedule;
	run->task = current;

	model->prepare(model->ctx);
	timer_setup(&run->timer, schedule_timeout_expired, 0);
	mod_timer(&run->timer, jiffies + SCHEDULE_TIMEOUT);
	WRITE_ONCE(schedule_running, run);
	schedule_go_on();
	coverage_start();
	model->run(model->ctx);
	schedule_rest();
	run->over = true;
	run_all_steps(run);
	coverage_stop();
	/* What is checked is not to be stepped into. */
	WRITE_ONCE(run->acting, true);
	model->check(model->ctx);
	WRITE_ONCE(schedule_running, NULL);
	timer_delete_sync(&run->timer);
	clear_thread_flag(TIF_SIGPENDING);
	if (run->failed)
		schedule_is_lost = !model->recover(model->ctx);
	return !run->failed;
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

/*
 * Make a schedule that fails smaller, as long as it fails. Not if nobody has to
 * step in for that any more: then it did harm that outlasts it.
 */
static void schedule_shrink(const struct schedule_model *model,
			    struct schedule *schedule)
{
	const struct schedule nobody = {};
	unsigned int i;

	if (!schedule_run(model, &nobody))
		return;
	for (i = 0; i < model->nr_actors; i++) {
		struct schedule smaller = *schedule;

		if (remove_actor(&smaller, i) && smaller.nr &&
		    !schedule_run(model, &smaller))
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
	char string[SCHEDULE_STRING_LEN], failure[SCHEDULE_FAILURE_LEN];

	search->stats->ran++;
	if (schedule_run(search->model, schedule))
		return true;
	strscpy(failure, schedule_current.failure);
	schedule_shrink(search->model, schedule);
	/* Once more, for the reason why the smallest one fails. */
	if (!schedule_run(search->model, schedule))
		strscpy(failure, schedule_current.failure);
	schedule_print(search->model, schedule, string);
	KUNIT_FAIL(search->test, "schedule=%s fails: %s (found by schedule %lu)",
		   string, failure, search->stats->ran);
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
	if ((point->idle && !s->locks) || at.nth > SCHEDULE_MAX_NTH) {
		search->stats->same++;
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

/* Have an actor do all it does at once. */
static void schedule_add_all(const struct schedule_model *model,
			     struct schedule *schedule, unsigned int actor,
			     struct schedule_trace at)
{
	unsigned int step;

	for (step = 0; step < nr_steps(model, actor); step++)
		schedule_add(schedule, actor, step, at);
}

static const struct schedule_trace at_end = { .point = SCHEDULE_AT_END };

/* All placements of one actor. */
static bool search_actor(struct schedule_search *search, unsigned int actor)
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

/**
 * struct schedule_first - where the first of two actors has stepped in
 * @actor: the actor
 * @at: the place in the trace of the operation by itself
 * @held: it has done its first step, and the second one comes last
 * @trace: the points that were passed
 * @last: where the second actor can step in no more: at the end of @trace, or when
 *	the second step of the first actor has run
 */
struct schedule_first {
	unsigned int actor;
	unsigned int at;
	bool held;
	struct schedule_trace trace[SCHEDULE_MAX_TRACE];
	unsigned int last;
};

/* A schedule of the first actor, up to where the second one steps in. */
static struct schedule first_schedule(struct schedule_search *search,
				      const struct schedule_first *first)
{
	struct schedule schedule = {};

	if (first->held)
		schedule_add(&schedule, first->actor, 0, search->trace[first->at]);
	else
		schedule_add_all(search->model, &schedule, first->actor,
				 search->trace[first->at]);
	return schedule;
}

/* All placements of a second actor, which does all it does at once. */
static bool search_second(struct schedule_search *search,
			  const struct schedule_first *first, unsigned int actor)
{
	unsigned int i;

	for (i = first->at; i < first->last; i++) {
		struct schedule schedule = first_schedule(search, first);

		if (i == first->at && first->actor > actor && !first->held) {
			search->stats->same++;
			continue;
		}
		if (!search_is_legal(search, actor, 0, first->trace[i]))
			continue;
		schedule_add_all(search->model, &schedule, actor, first->trace[i]);
		if (first->held)
			schedule_add(&schedule, first->actor, 1, at_end);
		if (!search_run(search, &schedule))
			return false;
	}
	return true;
}

/* Have an actor step in somewhere, and then each of the others. */
static bool search_others(struct schedule_search *search, struct schedule_first *first)
{
	const struct schedule_model *model = search->model;
	struct schedule schedule = first_schedule(search, first);
	unsigned int actor;

	/* Known to succeed; only the trace is of interest. */
	if (first->held)
		schedule_add(&schedule, first->actor, 1, at_end);
	if (!search_run(search, &schedule))
		return false;
	memcpy(first->trace, schedule_current.trace, sizeof(first->trace));
	first->last = schedule_current.nr_trace;
	/* Later ones would be the same. */
	if (first->held)
		first->last = min(first->last, schedule_current.ran_at[1] - 1);

	for (actor = 0; actor < model->nr_actors; actor++) {
		if (actor == first->actor)
			continue;
		if (!(model->actor[first->actor].touches & model->actor[actor].touches)) {
			search->stats->same += first->last - first->at;
			continue;
		}
		if (!search_second(search, first, actor))
			return false;
	}
	return true;
}

/*
 * Two actors, and two preemptions: at the first one, the first actor does its first
 * step, or all; at the second one, the second actor does all it does. Whatever is
 * left comes last.
 */
static bool search_pairs(struct schedule_search *search)
{
	struct schedule_first first;
	unsigned int held;

	for (first.actor = 0; first.actor < search->model->nr_actors; first.actor++) {
		for (first.at = 0; first.at < search->nr_trace; first.at++) {
			if (!search_is_legal(search, first.actor, 0, search->trace[first.at]))
				continue;
			for (held = 0; held < nr_steps(search->model, first.actor); held++) {
				first.held = held;
				if (!search_others(search, &first))
					return false;
			}
		}
	}
	return true;
}

/* Run all schedules up to a depth, until one fails. */
static bool search_all(struct schedule_search *search)
{
	const struct schedule_model *model = search->model;
	unsigned int actor;
	bool ok = true;

	for (actor = 0; ok && actor < model->nr_actors; actor++)
		ok = search_actor(search, actor);
	if (ok && depth >= SCHEDULE_ALL)
		ok = search_pairs(search);
	return ok;
}

/**
 * struct schedule_seed - what to make random schedules from
 * @schedule: a schedule
 * @at: how many points had been passed when its steps ran
 * @trace: the points that were passed
 * @nr_trace: how many
 */
struct schedule_seed {
	struct schedule schedule;
	unsigned int at[SCHEDULE_MAX_STEPS];
	struct schedule_trace trace[SCHEDULE_MAX_TRACE];
	unsigned int nr_trace;
};

#define SCHEDULE_MAX_SEEDS	256

/* Make the schedule that has just run a seed. */
static void seed_set(struct schedule_seed *seed, const struct schedule *schedule)
{
	unsigned int i;

	seed->schedule = *schedule;
	memcpy(seed->trace, schedule_current.trace, sizeof(seed->trace));
	seed->nr_trace = schedule_current.nr_trace;
	for (i = 0; i < schedule->nr; i++)
		seed->at[i] = schedule->place[i].point == SCHEDULE_AT_END ?
			      UINT_MAX : schedule_current.ran_at[i];
}

/* Insert a step, such that steps are in the order of their places. */
static void seed_insert(struct schedule_seed *seed, struct schedule_place place,
			unsigned int at)
{
	struct schedule *schedule = &seed->schedule;
	unsigned int i;

	for (i = schedule->nr++; i && seed->at[i - 1] > at; i--) {
		schedule->place[i] = schedule->place[i - 1];
		seed->at[i] = seed->at[i - 1];
	}
	schedule->place[i] = place;
	seed->at[i] = at;
}

/* Is an actor not there yet, and has something in common with one that is? */
static bool seed_may_have(const struct schedule_model *model,
			  const struct schedule_seed *seed, unsigned int actor)
{
	u32 touches = 0;
	unsigned int i;

	for (i = 0; i < seed->schedule.nr; i++) {
		if (seed->schedule.place[i].actor == actor)
			return false;
		touches |= model->actor[seed->schedule.place[i].actor].touches;
	}
	return !seed->schedule.nr || touches & model->actor[actor].touches;
}

/* Have one more actor step in somewhere. */
static void seed_add_actor(struct schedule_search *search,
			   struct schedule_seed *seed, struct rnd_state *rnd)
{
	const struct schedule_model *model = search->model;
	const unsigned int actor = prandom_u32_state(rnd) % model->nr_actors;
	const unsigned int nr = nr_steps(model, actor);
	unsigned int step, at = prandom_u32_state(rnd) % seed->nr_trace;

	if (!seed_may_have(model, seed, actor) || seed->schedule.nr + nr > SCHEDULE_MAX_STEPS)
		return;
	for (step = 0; step < nr; step++) {
		if (step)
			at += prandom_u32_state(rnd) % (seed->nr_trace - at);
		if (!search_is_legal(search, actor, step, seed->trace[at]))
			break;
		seed_insert(seed, place_at(actor, step, seed->trace[at]), at + 1);
	}
	/* Its second step would not be legal: do it at the end. */
	if (step && step < nr)
		seed_insert(seed, place_at(actor, step, at_end), UINT_MAX);
}

/* Run random schedules with several actors, until one fails. */
static bool search_random(struct schedule_search *search)
{
	struct schedule_seed *seeds, next;
	unsigned int i, j, nr_seeds = 1;
	struct rnd_state rnd;
	bool ok = true;

	if (!random)
		return true;
	seeds = kunit_kcalloc(search->test, SCHEDULE_MAX_SEEDS, sizeof(*seeds), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(search->test, seeds);
	memcpy(seeds[0].trace, search->trace, sizeof(seeds[0].trace));
	seeds[0].nr_trace = search->nr_trace;

	coverage_forget();
	prandom_seed_state(&rnd, seed);
	for (i = 0; ok && i < random; i++) {
		next = seeds[prandom_u32_state(&rnd) % nr_seeds];
		for (j = prandom_u32_state(&rnd) % SCHEDULE_MAX_RANDOM + 1; j--;)
			seed_add_actor(search, &next, &rnd);
		ok = search_run(search, &next.schedule);
		if (ok && coverage_is_new()) {
			search->stats->fresh++;
			if (nr_seeds < SCHEDULE_MAX_SEEDS && !schedule_current.missed)
				seed_set(&seeds[nr_seeds++], &next.schedule);
		}
	}
	return ok;
}

static void schedule_replay(struct kunit *test,
			    const struct schedule_model *model)
{
	struct schedule schedule;

	if (!schedule_parse(model, schedule_string, &schedule))
		KUNIT_FAIL(test, "cannot be read: schedule=%s", schedule_string);
	else if (!schedule_run(model, &schedule))
		KUNIT_FAIL(test, "schedule=%s fails: %s", schedule_string,
			   schedule_current.failure);
	else if (schedule_current.missed)
		KUNIT_FAIL(test, "schedule=%s did not run as it says",
			   schedule_string);
}

/**
 * struct schedule_thread - an actor in the wild
 * @model: the operation that it steps into
 * @actor: the actor
 * @task: the thread
 * @rnd: decides when it acts
 * @takes_part: whether it acts in this round. Does not change while it may act.
 * @nr_acts: how many times it has acted
 */
struct schedule_thread {
	const struct schedule_model *model;
	const struct schedule_actor *actor;
	struct task_struct *task;
	struct rnd_state rnd;
	bool takes_part;
	unsigned long nr_acts;
};

static void thread_pause(struct schedule_thread *thread)
{
	const u32 us = BIT(prandom_u32_state(&thread->rnd) %
			   (SCHEDULE_MAX_PAUSE + 1));

	usleep_range(us, 2 * us);
}

static void thread_act(struct schedule_thread *thread)
{
	const struct schedule_step *step = thread->actor->step;

	if (latest_of(thread->actor) && !gate_enter(&schedule_latest_gate))
		return;
	step[0].run(thread->model->ctx);
	if (step[1].run) {
		thread_pause(thread);
		step[1].run(thread->model->ctx);
	}
	if (latest_of(thread->actor))
		gate_leave(&schedule_latest_gate);
	thread->nr_acts++;
}

static int thread_run(void *arg)
{
	struct schedule_thread *thread = arg;

	while (!kthread_should_stop()) {
		thread_pause(thread);
		if (!gate_enter(&schedule_rest_gate))
			continue;
		if (thread->takes_part)
			thread_act(thread);
		gate_leave(&schedule_rest_gate);
	}
	return 0;
}

static void thread_stop(void *thread)
{
	kthread_stop(((struct schedule_thread *)thread)->task);
}

static void thread_start(struct kunit *test, struct schedule_thread *thread)
{
	thread->task = kthread_run(thread_run, thread, "%s",
				   thread->actor->step[0].name);
	KUNIT_ASSERT_FALSE(test, IS_ERR(thread->task));
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, thread_stop, thread));
}

/*
 * Run the operation again and again, while others step in as they like. Each
 * time, it is others that take part, and few of them: many would keep it from
 * ever getting far.
 */
static void schedule_run_wild(struct kunit *test,
			      const struct schedule_model *model)
{
	const unsigned long end = jiffies + wild * HZ;
	unsigned long nr_rounds = 0, nr_acts = 0;
	struct schedule_thread *thread;
	const struct schedule none = {};
	struct rnd_state rnd;
	unsigned int i;
	bool ok;

	thread = kunit_kcalloc(test, model->nr_actors, sizeof(*thread), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, thread);
	schedule_rest();
	for (i = 0; i < model->nr_actors; i++) {
		thread[i].model = model;
		thread[i].actor = &model->actor[i];
		prandom_seed_state(&thread[i].rnd, seed + i);
		thread_start(test, &thread[i]);
	}
	prandom_seed_state(&rnd, seed);
	do {
		for (i = 0; i < model->nr_actors; i++)
			thread[i].takes_part =
				!(prandom_u32_state(&rnd) % SCHEDULE_WILD_SHARE);
		ok = schedule_run(model, &none);
		nr_rounds++;
	} while (ok && time_before(jiffies, end));
	for (i = 0; i < model->nr_actors; i++) {
		kunit_info(test, "%s: %lu times", model->actor[i].step[0].name,
			   thread[i].nr_acts);
		nr_acts += thread[i].nr_acts;
		kunit_release_action(test, thread_stop, &thread[i]);
	}
	if (!ok)
		KUNIT_FAIL(test, "%s in the wild, seed %lu, round %lu: %s",
			   model->name, seed, nr_rounds, schedule_current.failure);
	kunit_info(test, "%lu rounds in the wild, into which %u actors stepped %lu times, on %u CPUs",
		   nr_rounds, model->nr_actors, nr_acts, num_online_cpus());
}

/**
 * schedule_require() - skip a test case if another schedule is asked for
 * @test: the test case
 * @model: its operation
 */
void schedule_require(struct kunit *test, const struct schedule_model *model)
{
	if (schedule_string && !schedule_is_for(model, schedule_string))
		kunit_skip(test, "races.schedule is another one");
}

/**
 * schedule_run_all() - run the schedules of an operation
 * @test: the test case, which fails with the first schedule that does
 * @model: the operation
 *
 * The parameter races.schedule runs a single one, as a failure prints it. Else,
 * races.depth tells how far to search, and races.random how many others to run;
 * and with races.wild, there are no schedules, and chance decides.
 *
 * Context: May sleep.
 */
void schedule_run_all(struct kunit *test, const struct schedule_model *model)
{
	struct schedule nobody = {};
	struct schedule_stats stats = {};
	struct schedule_search *search;
	const ktime_t start = ktime_get();

	search = kunit_kzalloc(test, sizeof(*search), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, search);
	search->test = test;
	search->model = model;
	search->stats = &stats;
	schedule_is_lost = false;
	register_die_notifier(&schedule_die_nb);
	if (wild) {
		schedule_run_wild(test, model);
	} else if (schedule_string) {
		schedule_replay(test, model);
	} else if (search_run(search, &nobody)) {
		search_keep_trace(search);
		if (search_all(search))
			search_random(search);
	}
	unregister_die_notifier(&schedule_die_nb);
	if (!wild && !schedule_string)
		kunit_info(test, "%lu schedules of %u points and %u actors in %lld ms; %lu more are not legal, and %lu equal others",
			   stats.ran, search->nr_trace, model->nr_actors,
			   ktime_ms_delta(ktime_get(), start), stats.illegal,
			   stats.same);
	if (stats.fresh)
		kunit_info(test, "%lu of %u random schedules took a branch that none had taken before",
			   stats.fresh, random);
}

/**
 * schedule_isolation_is_kept() - does alloc_contig_range() respect isolation?
 * @test: the test case, which tells if it does not
 * @pfn: the first page of a pageblock that is free and not isolated
 *
 * A failing alloc_contig_range() undoes the isolation of others, unless the fix
 * beside the series is applied. Offlining does not end then. Test cases want to
 * know, and not to take it for another bug.
 *
 * Context: May sleep.
 * Return: whether what others have isolated stays so.
 */
bool schedule_isolation_is_kept(struct kunit *test, unsigned long pfn)
{
#ifdef CONFIG_CONTIG_ALLOC
	const unsigned long end_pfn = pfn + pageblock_nr_pages;
	bool is_kept;

	KUNIT_ASSERT_EQ(test, 0,
			start_isolate_page_range(pfn, end_pfn,
						 PB_ISOLATE_MODE_MEM_OFFLINE));
	KUNIT_EXPECT_NE(test, 0,
			alloc_contig_range(pfn, end_pfn, ACR_FLAGS_NONE,
					   GFP_KERNEL | __GFP_NOWARN));
	is_kept = is_migrate_isolate_page(pfn_to_page(pfn));
	undo_isolate_page_range(pfn, end_pfn);
	if (!is_kept)
		kunit_info(test, "alloc_contig_range() undoes the isolation of others, which is not tried or not blamed");
	return is_kept;
#else
	return true;
#endif
}
