// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit test for the virtio-mem driver: random operations, compared with a
 * model.
 *
 * The model knows the rules by which the driver chooses what to plug and unplug
 * in sub-block mode, and which requests it makes, so it predicts the bitmap of
 * the device and the state of each memory block after each operation.
 *
 * Operations are made up front, and depend on nothing but the seed. If driver and
 * model differ after some, as few of them as still make them differ are told, as a
 * string that repeats just these: see the parameter "operations".
 */
#include <kunit/test.h>
#include <linux/bitmap.h>
#include <linux/kstrtox.h>
#include <linux/moduleparam.h>
#include <linux/page-flags.h>
#include <linux/prandom.h>
#include <linux/printk.h>
#include <linux/string.h>

#include "virtio_mem_kunit.h"

static unsigned long seed = 42;
module_param(seed, ulong, 0644);
MODULE_PARM_DESC(seed, "Seed of the random operations");

static unsigned int length = 2000;
module_param(length, uint, 0644);
MODULE_PARM_DESC(length, "Number of random operations");

static char *operations;
module_param(operations, charp, 0444);
MODULE_PARM_DESC(operations, "The only operations to do, as a failure prints them");

#define MODEL_NR_BLOCKS		3
#define MODEL_MAX_SB		64

/* The order matters: it is the one of model_unplug(). */
enum model_state {
	MODEL_ABSENT,
	MODEL_OFFLINE,
	MODEL_MOVABLE,
	MODEL_KERNEL,
};

/**
 * struct model_block - a memory block
 * @state: whether it is there, and in which zone
 * @plugged: bitmap of its plugged sub-blocks
 */
struct model_block {
	enum model_state state;
	DECLARE_BITMAP(plugged, MODEL_MAX_SB);
};

/**
 * struct model - what the driver should have done
 * @sb_size: size of a sub-block
 * @nr_sb: number of sub-blocks in a memory block
 * @blocks: the memory blocks
 * @requested: number of sub-blocks requested
 * @online_type: how the driver gets memory onlined
 * @busy: the sub-block with a page that somebody uses, counted over all memory
 *	blocks, or -1
 * @veto: whether somebody vetoes offlining
 * @broken: whether the driver has given up
 * @nth: the request that the device does not handle as usual, counted down
 * @answer: what it answers that
 * @removed: whether a memory block was removed
 */
struct model {
	u64 sb_size;
	unsigned int nr_sb;
	struct model_block blocks[MODEL_NR_BLOCKS];
	unsigned int requested;
	enum mmop online_type;
	int busy;
	bool veto;
	bool broken;
	unsigned int nth;
	u16 answer;
	bool removed;
};

/**
 * struct operation - something that happens
 * @kind: index of &ops
 * @arg: says the rest, see choose()
 */
struct operation {
	u8 kind;
	u32 arg;
};

/**
 * struct player - driver and model side by side
 * @vmt: the driver
 * @model: the model
 * @arg: what is left of the argument of the operation
 * @veto: vetoes offlining
 * @page: the page in use, or NULL
 * @op: the last operation in words
 * @last: the arguments of @op
 */
struct player {
	struct vmt *vmt;
	struct model model;
	u32 arg;
	struct vmt_observer *veto;
	struct page *page;
	const char *op;
	unsigned int last;
};

/*
 * The model
 */

static unsigned int model_weight(const struct model *m, int i)
{
	return bitmap_weight(m->blocks[i].plugged, m->nr_sb);
}

static unsigned int model_plugged(const struct model *m)
{
	unsigned int nr = 0;
	int i;

	for (i = 0; i < MODEL_NR_BLOCKS; i++)
		nr += model_weight(m, i);
	return nr;
}

static bool model_is_full(const struct model *m, int i)
{
	return model_weight(m, i) == m->nr_sb;
}

static bool model_is_online(const struct model *m, int i)
{
	return m->blocks[i].state >= MODEL_MOVABLE;
}

/* Make a request. Return the error that the driver gets, or 0. */
static int model_request(struct model *m, bool plug)
{
	if (!m->nth || --m->nth)
		return 0;
	switch (m->answer) {
	case VIRTIO_MEM_RESP_BUSY:
		return -ETXTBSY;
	case VIRTIO_MEM_RESP_NACK:
		return plug ? -EAGAIN : -ENOMEM;
	default:
		return -EINVAL;
	}
}

static enum model_state model_added_state(const struct model *m)
{
	switch (m->online_type) {
	case MMOP_ONLINE_MOVABLE:
		return MODEL_MOVABLE;
	case MMOP_ONLINE_KERNEL:
		return MODEL_KERNEL;
	default:
		return MODEL_OFFLINE;
	}
}

/*
 * Plug from the first sub-block on, with a request for each contiguous range.
 */
static int model_plug_block(struct model *m, int i, unsigned int *nr)
{
	struct model_block *block = &m->blocks[i];
	unsigned int first, count;
	int ret;

	while (*nr && !model_is_full(m, i)) {
		first = find_first_zero_bit(block->plugged, m->nr_sb);
		count = find_next_bit(block->plugged, m->nr_sb, first) - first;
		count = min(count, *nr);
		ret = model_request(m, true);
		if (ret)
			return ret;
		bitmap_set(block->plugged, first, count);
		*nr -= count;
	}
	return 0;
}

static int model_plug(struct model *m, unsigned int nr)
{
	static const enum model_state order[] = {
		MODEL_KERNEL, MODEL_MOVABLE, MODEL_OFFLINE, MODEL_ABSENT,
	};
	int s, i, ret;

	for (s = 0; s < ARRAY_SIZE(order); s++) {
		for (i = 0; i < MODEL_NR_BLOCKS && nr; i++) {
			if (m->blocks[i].state != order[s])
				continue;
			ret = model_plug_block(m, i, &nr);
			if (ret)
				return ret;
			if (order[s] == MODEL_ABSENT)
				m->blocks[i].state = model_added_state(m);
		}
	}
	return nr ? -ENOSPC : 0;
}

/*
 * Unplug from the last sub-block on, with a request for each contiguous range.
 */
static int model_unplug_offline(struct model *m, int i, unsigned int *nr)
{
	struct model_block *block = &m->blocks[i];
	unsigned int last, count;
	int ret;

	while (*nr && model_weight(m, i)) {
		last = find_last_bit(block->plugged, m->nr_sb);
		for (count = 1; count < *nr && count <= last; count++) {
			if (!test_bit(last - count, block->plugged))
				break;
		}
		ret = model_request(m, false);
		if (ret)
			return ret;
		bitmap_clear(block->plugged, last + 1 - count, count);
		*nr -= count;
	}
	if (!model_weight(m, i)) {
		block->state = MODEL_ABSENT;
		m->removed = true;
	}
	return 0;
}

static bool model_is_busy(const struct model *m, int i, int sb)
{
	return m->busy == i * m->nr_sb + sb;
}

/*
 * Remove a memory block without plugged sub-blocks, unless it is online and
 * offlining is vetoed.
 */
static bool model_remove(struct model *m, int i)
{
	if (model_weight(m, i) || (m->veto && model_is_online(m, i)))
		return false;
	m->blocks[i].state = MODEL_ABSENT;
	m->removed = true;
	return true;
}

/*
 * Unplug all sub-blocks at once if possible, otherwise one by one from the
 * last.
 */
static int model_unplug_online(struct model *m, int i, unsigned int *nr)
{
	struct model_block *block = &m->blocks[i];
	int sb, ret;

	if (*nr >= m->nr_sb && model_is_full(m, i) && m->busy / (int)m->nr_sb != i) {
		ret = model_request(m, false);
		if (ret)
			return ret;
		bitmap_zero(block->plugged, m->nr_sb);
		*nr -= m->nr_sb;
	}
	for (sb = m->nr_sb - 1; sb >= 0 && *nr; sb--) {
		if (!test_bit(sb, block->plugged) || model_is_busy(m, i, sb))
			continue;
		ret = model_request(m, false);
		if (ret)
			return ret;
		clear_bit(sb, block->plugged);
		(*nr)--;
	}
	model_remove(m, i);
	return 0;
}

static int model_unplug(struct model *m, unsigned int nr)
{
	static const struct {
		enum model_state state;
		bool full;
	} order[] = {
		{ MODEL_OFFLINE, false },
		{ MODEL_OFFLINE, true },
		{ MODEL_MOVABLE, false },
		{ MODEL_KERNEL, false },
		{ MODEL_MOVABLE, true },
		{ MODEL_KERNEL, true },
	};
	int s, i, ret;

	for (s = 0; s < ARRAY_SIZE(order); s++) {
		for (i = MODEL_NR_BLOCKS - 1; i >= 0; i--) {
			if (m->blocks[i].state != order[s].state ||
			    model_is_full(m, i) != order[s].full)
				continue;
			if (model_is_online(m, i))
				ret = model_unplug_online(m, i, &nr);
			else
				ret = model_unplug_offline(m, i, &nr);
			if (ret || !nr)
				return ret;
		}
	}
	return -EBUSY;
}

/*
 * Do what the driver does when it works, which is again and again as long as
 * there is a reason to.
 */
static void model_run(struct model *m)
{
	int i, ret;

	while (!m->broken) {
		m->removed = false;
		for (i = 0; i < MODEL_NR_BLOCKS; i++) {
			if (m->blocks[i].state != MODEL_ABSENT)
				model_remove(m, i);
		}
		if (m->requested > model_plugged(m))
			ret = model_plug(m, m->requested - model_plugged(m));
		else if (m->requested < model_plugged(m))
			ret = model_unplug(m, model_plugged(m) - m->requested);
		else
			ret = 0;
		if (ret == -EINVAL)
			m->broken = true;
		if (ret != -EAGAIN && !m->removed)
			break;
	}
}

/*
 * Comparison
 */

static const char *compare_block_with_model(struct player *p, int i)
{
	const struct model *m = &p->model;
	const struct model_block *block = &m->blocks[i];
	struct vmt *vmt = p->vmt;
	const struct page *page;
	int sb, last = PHYS_PFN(m->sb_size) - 1;
	unsigned long pfn;

	if (vmt_is_present(vmt, i) ? block->state == MODEL_ABSENT :
				     block->state != MODEL_ABSENT)
		return "whether a memory block is there";
	if (vmt_is_online(vmt, i) != model_is_online(m, i))
		return "whether a memory block is online";
	for (sb = 0; sb < m->nr_sb; sb++) {
		if (test_bit(i * m->nr_sb + sb, vmt->dev.plugged) !=
		    test_bit(sb, block->plugged))
			return "which sub-blocks are plugged";
	}
	if (!model_is_online(m, i))
		return NULL;

	if (zone_idx(vmt_zone(vmt, i)) !=
	    (block->state == MODEL_MOVABLE ? ZONE_MOVABLE : ZONE_NORMAL))
		return "the zone of a memory block";
	for (sb = 0; sb < m->nr_sb; sb++) {
		pfn = vmt_pfn(vmt, i * VMT_MB + sb * m->sb_size);
		page = pfn_to_page(sb % 2 ? pfn : pfn + last);
		if (PageOffline(page) == test_bit(sb, block->plugged))
			return "whether a page is offline";
		if (!PageOffline(page))
			continue;
		if (PageOfflineSkippable(page) == vmt->unloaded)
			return "whether a page is skippable";
		if (page_ref_count(page) != PHANTOM_PAGE_COUNT)
			return "the reference count of a page";
	}
	return NULL;
}

/* Return a description of what is different, or NULL. */
static const char *compare_with_model(struct player *p)
{
	const struct model *m = &p->model;
	const struct phantom_snapshot *without = &p->vmt->without;
	pg_data_t *pgdat = NODE_DATA(first_memory_node);
	unsigned long managed[2] = {}, nr;
	const char *difference;
	int i;

	if (p->vmt->dev.nr_invalid)
		return "a request is invalid";
	if (!p->vmt->dev.requests_left)
		return "there is no end of requests";
	for (i = 0; i < MODEL_NR_BLOCKS; i++) {
		difference = compare_block_with_model(p, i);
		if (difference)
			return difference;
		nr = model_weight(m, i) * PHYS_PFN(m->sb_size);
		if (model_is_online(m, i))
			managed[m->blocks[i].state == MODEL_MOVABLE] += nr;
	}

	if (zone_managed_pages(&pgdat->node_zones[ZONE_MOVABLE]) !=
	    without->zone[ZONE_MOVABLE].managed + managed[1])
		return "managed pages of ZONE_MOVABLE";
	if (zone_managed_pages(&pgdat->node_zones[ZONE_NORMAL]) !=
	    without->zone[ZONE_NORMAL].managed + managed[0])
		return "managed pages of ZONE_NORMAL";
	if (totalram_pages() != without->totalram + managed[0] + managed[1])
		return "the amount of memory";
	return NULL;
}

/*
 * Operations
 */

/* Something below @end, which the argument of the operation says. */
static unsigned int choose(struct player *p, unsigned int end)
{
	const unsigned int n = p->arg % end;

	p->arg /= end;
	return n;
}

static void op_request(struct player *p, unsigned int nr)
{
	p->last = nr;
	p->model.requested = nr;
	vmt_resize(p->vmt, nr * p->model.sb_size);
	model_run(&p->model);
}

/* Mostly request a size near the last one, because other changes take long. */
static void op_resize(struct player *p)
{
	const int total = MODEL_NR_BLOCKS * p->model.nr_sb;
	int nr;

	p->op = "request sub-blocks";
	if (!choose(p, 300)) {
		op_request(p, choose(p, total + 1));
		return;
	}
	nr = (int)p->model.requested + (int)choose(p, 5) - 2;
	op_request(p, clamp(nr, 0, total));
}

static void op_answer(struct player *p)
{
	static const u16 answers[] = {
		VIRTIO_MEM_RESP_BUSY, VIRTIO_MEM_RESP_NACK,
	};
	struct virtio_mem_exception exception = {
		.nth = 1 + choose(p, 3),
		.answer = answers[choose(p, ARRAY_SIZE(answers))],
	};

	/*
	 * Not often, because the driver gives up, and probing again takes long.
	 */
	if (!choose(p, 18))
		exception.answer = VIRTIO_MEM_RESP_ERROR;
	virtio_mem_device_except(&p->vmt->dev, &exception);
	p->model.nth = exception.nth;
	p->model.answer = exception.answer;
	op_resize(p);
	p->op = "request sub-blocks with an exception";
	virtio_mem_device_except(&p->vmt->dev, NULL);
	p->model.nth = 0;
}

static void op_retry(struct player *p)
{
	p->op = "retry";
	op_request(p, p->model.requested);
}

static void op_online_type(struct player *p)
{
	static const enum mmop types[] = {
		MMOP_OFFLINE, MMOP_ONLINE_KERNEL, MMOP_ONLINE_MOVABLE,
	};

	p->op = "set online type";
	p->last = types[choose(p, ARRAY_SIZE(types))];
	p->model.online_type = p->last;
	mhp_set_default_online_type(p->last);
}

static void op_offline(struct player *p)
{
	const int i = choose(p, MODEL_NR_BLOCKS);
	struct model *m = &p->model;
	int ret;

	p->op = "offline memory block";
	p->last = i;
	if (!model_is_online(m, i) || (m->busy >= 0 && m->busy / m->nr_sb == i))
		return;
	ret = vmt_offline(p->vmt, i);
	if (ret != (m->veto ? -EBUSY : 0))
		p->op = "offline memory block (wrong result)";
	if (!m->veto)
		m->blocks[i].state = MODEL_OFFLINE;
	vmt_settle(p->vmt);
}

static void op_online(struct player *p)
{
	const int i = choose(p, MODEL_NR_BLOCKS);
	const bool movable = choose(p, 2);
	struct model *m = &p->model;

	p->op = "online memory block";
	p->last = i;
	if (m->blocks[i].state != MODEL_OFFLINE)
		return;
	if (vmt_online(p->vmt, i, movable ? MMOP_ONLINE_MOVABLE :
					    MMOP_ONLINE_KERNEL))
		p->op = "online memory block (wrong result)";
	m->blocks[i].state = movable ? MODEL_MOVABLE : MODEL_KERNEL;
	/* The driver may continue its work because of that. */
	vmt_settle(p->vmt);
	model_run(m);
}

static void op_veto(struct player *p)
{
	p->op = "veto";
	p->model.veto = !p->model.veto;
	p->last = p->model.veto;
	p->veto->veto = p->model.veto ? -EBUSY : 0;
}

static void op_use_page(struct player *p)
{
	struct model *m = &p->model;
	const int i = choose(p, MODEL_NR_BLOCKS);
	const int sb = choose(p, m->nr_sb);

	if (p->page) {
		p->op = "free page";
		vmt_stop_using_page(p->vmt, p->page);
		p->page = NULL;
		m->busy = -1;
		return;
	}
	p->op = "use page in memory block";
	p->last = i;
	if (!model_is_online(m, i) || !test_bit(sb, m->blocks[i].plugged))
		return;
	m->busy = i * m->nr_sb + sb;
	/* Do not use a page that compare_block_with_model() looks at. */
	p->page = vmt_use_page(p->vmt, i * VMT_MB + sb * m->sb_size +
			       m->sb_size / 2);
}

static void op_unload(struct player *p)
{
	struct model *m = &p->model;
	struct vmt *vmt = p->vmt;
	bool left = false;
	int i;

	p->op = "unload and probe";
	vmt_unbind(vmt);
	for (i = 0; i < MODEL_NR_BLOCKS; i++) {
		if (m->blocks[i].state == MODEL_OFFLINE && !model_is_full(m, i))
			m->blocks[i].state = MODEL_ABSENT;
		left |= m->blocks[i].state != MODEL_ABSENT;
		if (!m->veto && model_is_online(m, i) && !model_is_full(m, i) &&
		    vmt_offline(vmt, i) != -EBUSY)
			p->op = "offline after unload";
	}
	if (compare_with_model(p))
		return;

	if (p->page)
		op_use_page(p);
	if (left)
		vmt_remove(vmt);
	vmt->unloaded = false;
	memset(m->blocks, 0, sizeof(m->blocks));
	m->broken = false;
	m->requested = choose(p, 2 * m->nr_sb);
	vmt_bind(vmt, m->requested * m->sb_size);
	model_run(m);
	p->op = "unload and probe";
}

static const struct {
	const char *name;
	void (*op)(struct player *p);
	unsigned int weight;
} ops[] = {
	{ "resize", op_resize, 600 },
	{ "answer", op_answer, 140 },
	{ "retry", op_retry, 100 },
	{ "use_page", op_use_page, 100 },
	{ "veto", op_veto, 15 },
	{ "online_type", op_online_type, 15 },
	{ "offline", op_offline, 8 },
	{ "online", op_online, 12 },
	{ "unload", op_unload, 2 },
};

static void make_operations(struct operation *list, unsigned int nr)
{
	unsigned int total = 0, i, n;
	struct rnd_state rnd;

	for (i = 0; i < ARRAY_SIZE(ops); i++)
		total += ops[i].weight;
	prandom_seed_state(&rnd, seed);
	for (; nr; nr--, list++) {
		n = prandom_u32_state(&rnd) % total;
		for (i = 0; n >= ops[i].weight; i++)
			n -= ops[i].weight;
		/* More than all that operations choose from, and short in print. */
		*list = (struct operation){ i, prandom_u32_state(&rnd) >> 8 };
	}
}

static void print_operations(const struct operation *list, unsigned int nr,
			     char *string)
{
	size_t len = 0;

	*string = '\0';
	for (; nr; nr--, list++)
		len += scnprintf(string + len, PAGE_SIZE - len, "%s%s.%u",
				 len ? "," : "", ops[list->kind].name, list->arg);
}

/* Return how many there are, or 0 if they cannot be read. */
static unsigned int parse_operations(char *string, struct operation *list)
{
	unsigned int nr = 0, i;
	char *word;

	while ((word = strsep(&string, ","))) {
		char *name = strsep(&word, ".");

		for (i = 0; i < ARRAY_SIZE(ops) && strcmp(ops[i].name, name); i++)
			;
		if (nr == length || i == ARRAY_SIZE(ops) || !word ||
		    kstrtou32(word, 10, &list[nr].arg))
			return 0;
		list[nr++].kind = i;
	}
	return nr;
}

static void do_operation(struct player *p, const struct operation *operation)
{
	p->arg = operation->arg;
	/*
	 * Nothing much happens while the driver has given up or offlining is
	 * vetoed, so do not let that last long.
	 */
	if (p->model.broken && !choose(p, 4))
		op_unload(p);
	else if (p->model.veto && !choose(p, 4))
		op_veto(p);
	else
		ops[operation->kind].op(p);
}

/*
 * Do @nr operations, beginning with a fresh device. Return the number of the
 * operation after which driver and model differ, or 0.
 */
static unsigned int replay(struct player *p, const struct operation *list,
			   unsigned int nr, const char **difference)
{
	struct model *m = &p->model;
	unsigned int i;

	if (p->page)
		op_use_page(p);
	vmt_remove(p->vmt);
	/* What an earlier replay left behind must not count as a difference. */
	phantom_snapshot_take(&p->vmt->without);
	p->vmt->dev.nr_invalid = 0;
	p->veto->veto = 0;
	memset(m, 0, sizeof(*m));
	m->busy = -1;
	m->sb_size = p->vmt->dev.block_size;
	m->nr_sb = VMT_MB / m->sb_size;
	m->online_type = MMOP_ONLINE_MOVABLE;
	mhp_set_default_online_type(m->online_type);
	vmt_bind(p->vmt, 0);

	for (i = 1; i <= nr; i++) {
		do_operation(p, &list[i - 1]);
		*difference = compare_with_model(p);
		if (*difference)
			return i;
	}
	return 0;
}

/*
 * Delta debugging: leave out operations, half of them at once and then fewer, as
 * long as driver and model still differ after the others. Return how many are left.
 */
static unsigned int shrink(struct player *p, struct operation *list, unsigned int nr)
{
	unsigned int chunk = nr / 2, i, step, before;
	struct operation *fewer;
	const char *unused;

	fewer = kunit_kcalloc(p->vmt->test, nr, sizeof(*fewer), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(p->vmt->test, fewer);
	while (chunk) {
		before = nr;
		for (i = 0; i + chunk <= nr;) {
			memcpy(fewer, list, i * sizeof(*list));
			memcpy(&fewer[i], &list[i + chunk],
			       (nr - i - chunk) * sizeof(*list));
			step = replay(p, fewer, nr - chunk, &unused);
			if (step) {
				nr = step;
				memcpy(list, fewer, nr * sizeof(*list));
			} else {
				i += chunk;
			}
		}
		/* One by one, until none can be left out. */
		if (chunk > 1 || nr == before)
			chunk /= 2;
	}
	return nr;
}

static void restore_console_level(void *level)
{
	pr_flush(1000, true);
	console_loglevel = (long)level;
}

/*
 * Keep the driver's messages about each operation off the console: they would
 * be half of what all suites print. They still get to the log.
 *
 * Messages are printed later than they are logged, at the level that the
 * console has by then. So wait for the console before changing the level, and
 * leave the level alone if the console is too slow for that.
 */
static void quieten_console(struct kunit *test)
{
	const long level = console_loglevel;

	if (level > LOGLEVEL_DEBUG || !pr_flush(1000, true))
		return;
	console_loglevel = min(level, LOGLEVEL_INFO);
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, restore_console_level,
						  (void *)level));
}

/*
 * After each of thousands of random operations, the device, the memory blocks
 * and the counters are as a model of virtio-mem predicts.
 */
static void driver_follows_the_model(struct kunit *test)
{
	unsigned int nr = length, step;
	struct operation *list;
	const char *difference;
	struct player *p;
	char *string;

	vmt_require_zone(test, MMOP_ONLINE_KERNEL);
	list = kunit_kcalloc(test, length, sizeof(*list), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, list);
	string = kunit_kzalloc(test, PAGE_SIZE, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, string);
	p = kunit_kzalloc(test, sizeof(*p), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p);
	p->vmt = vmt_new(test, MMOP_ONLINE_MOVABLE, MODEL_NR_BLOCKS,
			 max(VMT_SB, VMT_MB / MODEL_MAX_SB));
	p->veto = vmt_register_observer(p->vmt, -1);

	if (operations) {
		KUNIT_ASSERT_GT(test, strscpy(string, operations, PAGE_SIZE), 0);
		nr = parse_operations(string, list);
		KUNIT_ASSERT_GT_MSG(test, nr, 0, "cannot be read: operations=%s",
				    operations);
	} else {
		make_operations(list, nr);
	}

	/*
	 * This also ends the line that KUnit has begun, so that it gets
	 * printed.
	 */
	kunit_info(test, "seed %lu, %u operations\n", seed, nr);
	quieten_console(test);

	step = replay(p, list, nr, &difference);
	if (!step)
		return;

	nr = shrink(p, list, step);
	if (!replay(p, list, nr, &difference))
		difference = "not reproducible";
	print_operations(list, nr, string);
	KUNIT_FAIL(test, "operations=%s fail: %s, after %s %u (found by operation %u, seed %lu)",
		   string, difference, p->op, p->last, step, seed);
}

static struct kunit_case virtio_mem_model_cases[] = {
	KUNIT_CASE(driver_follows_the_model),
	{}
};

static struct kunit_suite virtio_mem_model_suite = {
	.name = "virtio_mem_model",
	.init = vmt_init,
	.test_cases = virtio_mem_model_cases,
};

kunit_test_suite(virtio_mem_model_suite);

MODULE_DESCRIPTION("KUnit test for virtio-mem with random operations");
MODULE_LICENSE("GPL");
