// SPDX-License-Identifier: GPL-2.0
/*
 * Allocations that fail, see include/kunit/fault.h.
 */
#include <kunit/fault.h>
#include <kunit/memory_compat.h>
#include <kunit/test.h>
#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/sched.h>
#include <linux/sched/task.h>

#if IS_ENABLED(CONFIG_FAULT_INJECTION_DEBUG_FS) && IS_ENABLED(CONFIG_FAILSLAB) && \
	IS_ENABLED(CONFIG_FAIL_PAGE_ALLOC)

/**
 * struct fault_setting - a setting of fault injection to restore
 * @value: where it is
 * @size: its size
 * @old: what it was
 */
struct fault_setting {
	void *value;
	size_t size;
	u64 old;
};

static void restore_fault_setting(void *arg)
{
	struct fault_setting *setting = arg;

	memcpy(setting->value, &setting->old, setting->size);
}

/*
 * The settings are meant to be written by user space. There is no user space
 * yet, but there are the files in debugfs, which point to the values.
 */
static void set_fault_setting(struct kunit *test, const char *dir,
			      const char *name, const void *value, size_t size)
{
	struct dentry *parent = debugfs_lookup(dir, NULL);
	struct dentry *file = parent ? debugfs_lookup(name, parent) : NULL;
	struct fault_setting *setting;

	if (!file)
		kunit_skip(test, "no %s/%s in debugfs", dir, name);
	setting = kunit_kzalloc(test, sizeof(*setting), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, setting);
	setting->value = d_inode(file)->i_private;
	setting->size = size;
	dput(file);
	dput(parent);
	memcpy(&setting->old, setting->value, size);
	memcpy(setting->value, value, size);
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, restore_fault_setting,
						  setting));
}

static void set_fault_bool(struct kunit *test, const char *dir,
			   const char *name, bool value)
{
	set_fault_setting(test, dir, name, &value, sizeof(value));
}

static void set_fault_ulong(struct kunit *test, const char *dir,
			    const char *name, unsigned long value)
{
	set_fault_setting(test, dir, name, &value, sizeof(value));
}

static void set_fault_u32(struct kunit *test, const char *dir,
			  const char *name, u32 value)
{
	set_fault_setting(test, dir, name, &value, sizeof(value));
}

/* The task whose allocations fail. There is one at a time. */
static struct {
	struct kunit *test;
	struct task_struct *task;
	struct kunit_suppressed_warning *warnings;
} fault;

static void disarm(void *unused)
{
	if (!fault.task)
		return;
	WRITE_ONCE(fault.task->fail_nth, 0);
	fault.task->make_it_fail = 0;
	put_task_struct(fault.task);
	fault.task = NULL;
	kunit_end_suppress_warning(fault.test, fault.warnings);
}

static bool arm(struct kunit *test)
{
	if (fault.task)
		return false;
	fault.test = test;
	fault.warnings = kunit_start_suppress_warning(test);
	fault.task = get_task_struct(current);
	return true;
}

/**
 * kunit_fault_init() - prepare a test case for allocations that fail
 * @test: the test case, which is skipped if the kernel has no fault injection
 *
 * Allocations of all kinds can fail, without messages, but none does yet. All
 * is undone when the test case ends.
 *
 * Context: May sleep.
 */
void kunit_fault_init(struct kunit *test)
{
	static const char * const dirs[] = { "failslab", "fail_page_alloc" };
	int i;

	for (i = 0; i < ARRAY_SIZE(dirs); i++) {
		set_fault_bool(test, dirs[i], "ignore-gfp-wait", false);
		set_fault_ulong(test, dirs[i], "verbose", 0);
		/* All allocations of a task that has make_it_fail set */
		set_fault_bool(test, dirs[i], "task-filter", true);
		set_fault_ulong(test, dirs[i], "probability", 100);
		set_fault_u32(test, dirs[i], "times", -1);
	}
	set_fault_bool(test, "fail_page_alloc", "ignore-gfp-highmem", false);
	set_fault_u32(test, "fail_page_alloc", "min-order", 0);

	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, disarm, NULL));
}

/**
 * kunit_fault_arm() - have one allocation of the current task fail
 * @test: the test case, whose init() called kunit_fault_init()
 * @nth: which of the allocations from now on fails; the first one is 1
 *
 * Also suppresses warnings in the current task. Does nothing if a task is armed
 * already.
 *
 * Context: May sleep. Any task.
 */
void kunit_fault_arm(struct kunit *test, unsigned int nth)
{
	if (arm(test))
		current->fail_nth = nth;
}

/**
 * kunit_fault_arm_all() - have all allocations of the current task fail
 * @test: the test case, whose init() called kunit_fault_init()
 *
 * The rest is as for kunit_fault_arm().
 *
 * Context: May sleep. Any task.
 */
void kunit_fault_arm_all(struct kunit *test)
{
	if (arm(test))
		current->make_it_fail = 1;
}

/**
 * kunit_fault_disarm() - have no more allocations fail
 * @test: the test case, which fails if no task was armed
 * @nr_warnings: how many warnings there may be, at the most, as allocations
 *	failed; if there were more, the test case fails
 *
 * Context: May sleep. The armed task must not be allocating any more.
 * Return: whether the nth allocation was made, and so failed.
 */
bool kunit_fault_disarm(struct kunit *test, int nr_warnings)
{
	bool failed = fault.task && !READ_ONCE(fault.task->fail_nth);

	KUNIT_EXPECT_NOT_NULL_MSG(test, fault.task, "nothing to fail");
	if (fault.task)
		KUNIT_EXPECT_LE(test,
				kunit_suppressed_warning_count(fault.warnings),
				nr_warnings);
	disarm(NULL);
	return failed;
}

#else

void kunit_fault_init(struct kunit *test)
{
	kunit_skip(test, "needs FAILSLAB, FAIL_PAGE_ALLOC, FAULT_INJECTION_DEBUG_FS");
}

void kunit_fault_arm(struct kunit *test, unsigned int nth)
{
}

void kunit_fault_arm_all(struct kunit *test)
{
}

bool kunit_fault_disarm(struct kunit *test, int nr_warnings)
{
	return false;
}

#endif
