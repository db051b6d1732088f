// SPDX-License-Identifier: GPL-2.0
/*
 * Phantom memory that is hotplugged, see include/kunit/phantom_memory.h.
 */
#include <kunit/phantom_memory.h>
#include <kunit/test-bug.h>
#include <kunit/test.h>
#include <linux/cc_platform.h>
#include <linux/cpufeature.h>
#include <linux/device.h>
#include <linux/gfp.h>
#include <linux/init.h>
#include <linux/ioport.h>
#include <linux/memblock.h>
#include <linux/memory.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/notifier.h>
#include <linux/page-isolation.h>
#include <linux/page_ref.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/swap.h>
#include <linux/vmstat.h>

#ifdef CONFIG_X86
#include <asm/mshyperv.h>
#include <xen/xen.h>
#endif
#ifdef CONFIG_PPC64
#include <asm/firmware.h>
#include <asm/mmu.h>
#endif
#ifdef CONFIG_S390
#include <asm/page-states.h>
#endif

#include "../internal.h"
#include <kunit/memory_compat.h>
#include "phantom_memory.h"

#undef MODULE_PARAM_PREFIX
#define MODULE_PARAM_PREFIX "phantom_memory."

static bool any_machine = IS_ENABLED(CONFIG_PHANTOM_MEMORY_KUNIT_ANY_MACHINE);
module_param(any_machine, bool, 0644);
MODULE_PARM_DESC(any_machine,
		 "Map addresses that nothing responds to even if this may be a real machine");

/* The phantom memory that is being onlined, for phantom_online_page() */
static struct phantom_memory *phantom_onlining;

static const struct phantom_provider phantom_hotplug_provider;

static int count_memory_block(struct memory_block *mem, void *arg)
{
	unsigned long *nr_memory_blocks = arg;

	(*nr_memory_blocks)++;
	return 0;
}

/* Count the memory block devices. */
unsigned long phantom_count_memory_blocks(void)
{
	unsigned long nr_memory_blocks = 0;

	for_each_memory_block(&nr_memory_blocks, count_memory_block);
	return nr_memory_blocks;
}

static bool in_virtual_machine(void)
{
#ifdef CONFIG_X86
	/* These see the real machine's physical addresses. */
	if (xen_pv_domain() || xen_initial_domain() || hv_root_partition())
		return false;
	return cpu_feature_enabled(X86_FEATURE_HYPERVISOR);
#else
	return false;
#endif
}

/* Why phantom memory must have contents: the kernel writes to free pages. */
static const char *contents_are_touched(void)
{
	if (page_poisoning_enabled())
		return "page_poison writes to free pages";
	if (want_init_on_free())
		return "init_on_free writes to free pages";
	if (kasan_hw_tags_enabled())
		return "KASAN_HW_TAGS writes tags of free pages";
	if (IS_ENABLED(CONFIG_KMSAN))
		return "KMSAN has no metadata for hotplugged memory";
#ifdef CONFIG_S390
	if (cmma_flag)
		return "the hypervisor hears of free pages without cmma=off";
#endif
	return NULL;
}

/* Does somebody else map memory for the kernel, who knows what there is? */
static bool hypervisor_maps_memory(void)
{
#ifdef CONFIG_PPC64
	return firmware_has_feature(FW_FEATURE_LPAR) && !radix_enabled();
#else
	return false;
#endif
}

/* Why there cannot be memory with nothing behind it, or NULL. */
const char *phantom_hotplug_obstacle(void)
{
	if (!any_machine && !in_virtual_machine())
		return "maybe a real machine, and no phantom_memory.any_machine";
	if (hypervisor_maps_memory())
		return "the hypervisor maps only memory that exists";
	if (cc_platform_has(CC_ATTR_MEM_ENCRYPT))
		return "memory is encrypted, so must exist to be added";
	return contents_are_touched();
}

/**
 * phantom_require() - skip a test case where phantom memory would do harm
 * @test: the test case
 *
 * Nothing accesses phantom memory on purpose, but it is in the direct mapping,
 * so a CPU may read from it speculatively. On a real machine, a range that is
 * not in the resource tree may be one that nobody may access, or that a device
 * responds to. So without the parameter phantom_memory.any_machine, the kernel
 * has to know that it runs in a virtual machine.
 *
 * User space might online phantom memory, read it by /proc/kcore or allocate
 * all memory. So without the parameter phantom_memory.running_system, user
 * space must not have been started.
 *
 * Also waits for what changes the counters of memory hotplug while the kernel
 * boots: the memory of an initrd is freed, and devices are probed.
 *
 * To be called first, in the init() of suites that hotplug memory themselves.
 * Context: May sleep.
 */
void phantom_require(struct kunit *test)
{
	const char *obstacle = phantom_hotplug_obstacle();

	if (obstacle)
		kunit_skip(test, "%s", obstacle);
	phantom_require_boot(test);
}

struct param_value {
	const struct kernel_param *param;
	char value[PAGE_SIZE];
};

static void restore_param(void *arg)
{
	struct param_value *old = arg;

	WARN_ON_ONCE(old->param->ops->set(strim(old->value), old->param));
}

static const struct kernel_param *find_param(struct kunit *test, const char *name)
{
	const struct kernel_param *param = __start___param;

	while (param < __stop___param && !parameq(param->name, name))
		param++;
	KUNIT_ASSERT_TRUE_MSG(test, param < __stop___param, "no parameter %s",
			      name);
	return param;
}

/**
 * phantom_set_param() - set a parameter of the kernel until the test case ends
 * @test: the test case, which is aborted if there is no such parameter
 * @name: its name on the kernel command line
 * @value: the value
 *
 * Also for parameters that are read-only later.
 *
 * Context: May sleep.
 */
void phantom_set_param(struct kunit *test, const char *name, const char *value)
{
	struct param_value *old = kunit_kzalloc(test, sizeof(*old), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, old);
	old->param = find_param(test, name);
	KUNIT_ASSERT_GT(test, old->param->ops->get(old->value, old->param), 0);
	KUNIT_ASSERT_EQ(test, 0, old->param->ops->set(value, old->param));
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, restore_param, old));
}

/**
 * phantom_write_param() - try to set a parameter that the test case has set
 * @test: the test case, which is aborted if there is no such parameter
 * @name: its name on the kernel command line
 * @value: the value
 *
 * Only after phantom_set_param(), which restores it.
 *
 * Context: May sleep.
 * Return: 0 or an error of the parameter's own.
 */
int phantom_write_param(struct kunit *test, const char *name, const char *value)
{
	const struct kernel_param *param = find_param(test, name);

	return param->ops->set(value, param);
}

/**
 * phantom_read_param() - read a parameter of the kernel, as sysfs does
 * @test: the test case, which is aborted if there is no such parameter
 * @name: its name on the kernel command line
 *
 * Context: May sleep.
 * Return: the text. It is gone when the test case ends.
 */
const char *phantom_read_param(struct kunit *test, const char *name)
{
	const struct kernel_param *param = find_param(test, name);
	char *text = kunit_kzalloc(test, PAGE_SIZE, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, text);
	KUNIT_EXPECT_EQ(test, param->ops->get(text, param), strlen(text));
	return text;
}

/**
 * phantom_boot_option() - do what is done about an option on the command line
 * @test: the test case, which is skipped if the kernel has booted, as what handles
 *	options is gone then, and aborted if there is no such option
 * @name: the option, with "=" if it has a value
 * @value: the value
 *
 * Context: May sleep.
 * Return: what the function for the option returns.
 */
int phantom_boot_option(struct kunit *test, const char *name, char *value)
{
	const struct obs_kernel_param *option = __setup_start;

	if (system_state > SYSTEM_SCHEDULING)
		kunit_skip(test, "the kernel has booted");
	while (option < __setup_end && strcmp(option->str, name))
		option++;
	KUNIT_ASSERT_TRUE_MSG(test, option < __setup_end, "no option %s", name);
	return option->setup_func(value);
}

static void restore_default_online_type(void *online_type)
{
	mhp_set_default_online_type((long)online_type);
}

/**
 * phantom_set_default_online_type() - how memory is onlined that somebody adds
 * @test: the test case. When it ends, that is as it was
 * @online_type: an &enum mmop, or -1 if that was never set
 *
 * Context: May sleep.
 */
void phantom_set_default_online_type(struct kunit *test, int online_type)
{
	const long old = mhp_get_default_online_type();

	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, restore_default_online_type,
						  (void *)old));
	mhp_set_default_online_type(online_type);
}

static void put_memory_block(void *mem)
{
	memory_block_put(mem);
}

/**
 * phantom_get_block() - get a memory block device until the test case ends
 * @test: the test case, which is aborted if there is none
 * @start: an address of the memory block
 *
 * Context: May sleep.
 * Return: the memory block.
 */
struct memory_block *phantom_get_block(struct kunit *test, u64 start)
{
	struct memory_block *mem = memory_block_at(start);

	KUNIT_ASSERT_NOT_NULL(test, mem);
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, put_memory_block, mem));
	return mem;
}

/**
 * phantom_find_file() - find a file that a device has in sysfs
 * @test: the test case, which is aborted if there is no such file
 * @dev: the device
 * @name: the name of the file
 *
 * Context: Any.
 * Return: the file.
 */
struct device_attribute *phantom_find_file(struct kunit *test, struct device *dev,
					   const char *name)
{
	const struct attribute_group **group;
	struct attribute **attr;

	for (group = dev->groups; group && *group; group++) {
		for (attr = (*group)->attrs; attr && *attr; attr++) {
			if (!strcmp((*attr)->name, name))
				return container_of(*attr, struct device_attribute,
						    attr);
		}
	}
	KUNIT_FAIL_AND_ABORT(test, "%s has no file %s", dev_name(dev), name);
}

/**
 * phantom_read_file() - read a file that a device has in sysfs
 * @test: the test case, which is aborted if there is no such file
 * @dev: the device
 * @name: the name of the file
 *
 * Context: May sleep.
 * Return: the text. It is gone when the test case ends.
 */
const char *phantom_read_file(struct kunit *test, struct device *dev,
			      const char *name)
{
	struct device_attribute *attr = phantom_find_file(test, dev, name);
	char *text = kunit_kzalloc(test, PAGE_SIZE, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, text);
	KUNIT_EXPECT_EQ(test, attr->show(dev, attr, text), strlen(text));
	return text;
}

/**
 * phantom_write_file() - write to a file that a device has in sysfs
 * @test: the test case, which is aborted if there is no such file
 * @dev: the device
 * @name: the name of the file
 * @text: what to write
 *
 * Context: May sleep.
 * Return: the length of @text, or an error of the file's own.
 */
ssize_t phantom_write_file(struct kunit *test, struct device *dev,
			   const char *name, const char *text)
{
	struct device_attribute *attr = phantom_find_file(test, dev, name);
	ssize_t ret;

	/* While others hold its lock, lock_device_hotplug_sysfs() has it restarted. */
	while ((ret = attr->store(dev, attr, text, strlen(text))) == -ERESTARTNOINTR)
		clear_thread_flag(TIF_SIGPENDING);
	return ret;
}

/*
 * Adding @size bytes takes a memmap, which is doubled here to account for page
 * tables and the like, and maybe a shadow. If memory is short, allocations for
 * reclaim ignore phantom_guard(), and arch_add_memory() of x86 crashes.
 */
static void require_free_memory(struct kunit *test, u64 size)
{
	u64 needed = 2 * PHYS_PFN(size) * sizeof(struct page);

	if (IS_ENABLED(CONFIG_KASAN_GENERIC))
		needed += size / 8;
	if (global_zone_page_state(NR_FREE_PAGES) <
	    totalreserve_pages + PHYS_PFN(needed))
		kunit_skip(test, "there is not enough memory for the memmap");
}

/**
 * phantom_find_aligned_range() - find a physical range with nothing in it
 * @test: the test case, which is skipped if there is none, or if the system
 *	cannot have phantom memory
 * @size: size of the range in bytes
 * @align: alignment of its start, a multiple of memory_block_size_bytes()
 *
 * Context: May sleep.
 * Return: the physical start address.
 */
u64 phantom_find_aligned_range(struct kunit *test, u64 size, u64 align)
{
	const struct range range = mhp_get_pluggable_range(true);
	static u64 lowest;
	u64 start;

	phantom_require(test);
	require_free_memory(test, size);

	/*
	 * Below 4 GiB, platforms have devices that are not always in the
	 * resource tree, so stay away even though nothing gets accessed. Adding
	 * memory moves max_pfn, and removing it does not move it back.
	 */
	if (!lowest)
		lowest = max3(range.start, PFN_PHYS(max_pfn), (u64)SZ_4G);
	for (start = ALIGN(lowest, align);
	     start <= range.end && range.end - start >= size - 1;
	     start += align) {
		if (region_intersects(start, size, 0, IORES_DESC_NONE) !=
		    REGION_DISJOINT)
			continue;
		if (start + size > max_mem_size && system_state < SYSTEM_RUNNING)
			kunit_skip(test, "memory cannot be added, as with mem=");
		return start;
	}
	kunit_skip(test, "no %llu MiB of free physical address space in %#llx-%#llx",
		   size / SZ_1M, range.start, range.end);
}

/**
 * phantom_find_range() - find a physical range with nothing in it
 * @test: the test case, which is skipped if there is none, or if the system
 *	cannot have phantom memory
 * @size: size of the range in bytes
 *
 * Context: May sleep.
 * Return: the physical start address, aligned to memory_block_size_bytes().
 */
u64 phantom_find_range(struct kunit *test, u64 size)
{
	return phantom_find_aligned_range(test, size, memory_block_size_bytes());
}

/* Nobody but test cases may online phantom memory, not even a rule of udev. */
static int phantom_notify(struct notifier_block *nb, unsigned long event,
			  void *arg)
{
	const struct phantom_memory *ph = container_of(nb, struct phantom_memory,
						       nb);
	const struct memory_notify *notify = arg;
	const u64 start = PFN_PHYS(notify->start_pfn);

	if (event == MEM_GOING_ONLINE && start >= ph->start &&
	    start < ph->start + ph->size && !kunit_get_current_test())
		return notifier_from_errno(-EPERM);
	return NOTIFY_OK;
}

/**
 * phantom_add_range() - try to add memory with nothing behind it, all of it offline
 * @start: start of a range from phantom_find_range()
 * @size: its size
 * @mhp_flags: how to add it, such as %MHP_NONE
 *
 * For test cases that remove the memory by themselves, and do not online it.
 *
 * Context: May sleep.
 * Return: what __add_memory_driver_managed() returns.
 */
int phantom_add_range(u64 start, u64 size, mhp_t mhp_flags)
{
	return __add_memory_driver_managed(phantom_nid(), start, size,
					   "System RAM (kunit)", mhp_flags,
					   MMOP_OFFLINE);
}

static int phantom_memory_remove(struct phantom_memory *ph)
{
	int ret = ph->size ? remove_memory(ph->start, ph->size) : 0;

	if (!ret)
		unregister_memory_notifier(&ph->nb);
	return ret;
}

static struct phantom_memory *__phantom_memory_add(struct kunit *test, int nid,
						   u64 size)
{
	struct phantom_memory *ph;
	u64 start;
	int ret;

	start = phantom_find_range(test, size);

	ph = kzalloc_obj(*ph);
	KUNIT_ASSERT_NOT_NULL(test, ph);
	ph->test = test;
	ph->nid = nid;
	ph->provider = &phantom_hotplug_provider;
	ph->start = start;
	ph->size = size;
	ph->nb.notifier_call = phantom_notify;
	register_memory_notifier(&ph->nb);

	ret = __add_memory_driver_managed(ph->nid, ph->start, ph->size,
					  "System RAM (kunit)", MHP_NONE,
					  MMOP_OFFLINE);
	if (ret) {
		unregister_memory_notifier(&ph->nb);
		kfree(ph);
		KUNIT_FAIL_AND_ABORT(test, "adding memory failed: %d", ret);
	}
	return ph;
}

static void phantom_memory_remove_action(void *arg)
{
	struct phantom_memory *ph = arg;
	int ret = phantom_memory_remove(ph);

	KUNIT_EXPECT_EQ_MSG(ph->test, 0, ret, "phantom memory not removed");
	if (!ret)
		kfree(ph);
}

/**
 * phantom_memory_add() - add phantom memory for a single test case
 * @test: the test case; the memory is removed when it ends. The test case is
 *	skipped if the system cannot have phantom memory.
 * @size: size in bytes, a multiple of memory_block_size_bytes()
 *
 * Context: May sleep.
 * Return: the phantom memory, all of it offline.
 */
struct phantom_memory *phantom_memory_add(struct kunit *test, u64 size)
{
	return phantom_memory_add_to(test, phantom_nid(), size);
}

/**
 * phantom_memory_add_to() - add phantom memory to a node for a single test case
 * @test: the test case; the memory is removed when it ends. The test case is
 *	skipped if the system cannot have phantom memory.
 * @nid: the node
 * @size: size in bytes, a multiple of memory_block_size_bytes()
 *
 * Context: May sleep.
 * Return: the phantom memory, all of it offline.
 */
struct phantom_memory *phantom_memory_add_to(struct kunit *test, int nid,
					     u64 size)
{
	struct phantom_memory *ph = __phantom_memory_add(test, nid, size);

	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test,
						  phantom_memory_remove_action,
						  ph));
	return ph;
}

/**
 * phantom_nid_without_memory() - find a node that has no memory
 * @test: the test case, which is skipped if each node has memory
 *
 * Return: a node that may get memory.
 */
int phantom_nid_without_memory(struct kunit *test)
{
	int nid;

	for_each_node_state(nid, N_POSSIBLE) {
		if (!node_state(nid, N_MEMORY))
			return nid;
	}
	kunit_skip(test, "each node has memory");
}

/**
 * phantom_memory_at() - phantom memory that the test case has added by itself
 * @test: the test case, which removes the memory, too
 * @start: physical start address, in bytes
 * @size: size in bytes, a multiple of memory_block_size_bytes()
 * @nid: the node that the memory was added to
 *
 * Context: May sleep.
 * Return: the phantom memory, all of it offline.
 */
struct phantom_memory *phantom_memory_at(struct kunit *test, u64 start,
					 u64 size, int nid)
{
	struct phantom_memory *ph = kunit_kzalloc(test, sizeof(*ph), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, ph);
	ph->test = test;
	ph->provider = &phantom_hotplug_provider;
	ph->start = start;
	ph->size = size;
	ph->nid = nid;
	return ph;
}

/* May less than a section go offline? */
static bool phantom_parts_go_offline;

/*
 * Ask those who may refuse to offline memory about the last pageblock of a
 * section, which is not even online.
 */
static bool phantom_may_part_go_offline(const struct phantom_memory *ph)
{
	struct memory_notify part = {
		.start_pfn = PHYS_PFN(ph->start + ph->size) - pageblock_nr_pages,
		.nr_pages = pageblock_nr_pages,
	};
	const int ret = memory_notify(MEM_GOING_OFFLINE, &part);

	memory_notify(MEM_CANCEL_OFFLINE, &part);
	return !notifier_to_errno(ret);
}

/**
 * phantom_offlinable() - round up to what the architecture can offline
 * @nr_pages: how many pages are to go offline at least
 *
 * Where the memmap or the direct mapping is mapped by large pages, arm64 offlines
 * no part of a section: see prevent_memory_remove_notifier(). To be called only
 * after phantom_memory_get(), which finds out.
 *
 * Return: a number of pages such that those at the end of a section, or of
 *	several sections, can go offline.
 */
unsigned long phantom_offlinable(unsigned long nr_pages)
{
	return phantom_parts_go_offline ? nr_pages :
					  ALIGN(nr_pages, PAGES_PER_SECTION);
}

/*
 * Hotplug memory with room for phantom_hotplug_online(). (Memory blocks consist
 * of whole sections.)
 */
struct phantom_memory *phantom_hotplug(struct kunit *test)
{
	struct phantom_memory *ph;

	ph = __phantom_memory_add(test, phantom_nid(),
				  ALIGN(PFN_PHYS(PHANTOM_NR_PAGES),
					memory_block_size_bytes()));
	phantom_parts_go_offline = phantom_may_part_go_offline(ph);
	return ph;
}

/*
 * The online_page callback for phantom memory: pages stay PageOffline(), as if
 * they belonged to the test. Other memory is not supposed to be onlined at the
 * same time; if it is, it goes to the buddy as usual.
 */
static void phantom_online_page(struct page *page, unsigned int order)
{
	const unsigned long pfn = page_to_pfn(page);
	const struct phantom_memory *ph = phantom_onlining;

	if (pfn < ph->start_pfn || pfn >= phantom_end_pfn(ph))
		generic_online_page(page, order);
	else if (ph->online_page)
		ph->online_page(page, order);
}

/* Let phantom_online_page() handle @nr_pages from @start_pfn on from now on. */
static void phantom_prepare_online(struct phantom_memory *ph,
				   unsigned long start_pfn,
				   unsigned long nr_pages,
				   enum mmop online_type)
{
	if (set_online_page_callback(phantom_online_page))
		kunit_skip(ph->test, "a driver has set its online_page callback");

	ph->start_pfn = start_pfn;
	ph->nr_pages = nr_pages;
	ph->zone = zone_for_pfn_range(online_type, ph->nid, NULL, start_pfn,
				      nr_pages);
	phantom_onlining = ph;
}

static void phantom_put_block(struct phantom_memory *ph)
{
	if (ph->block)
		memory_block_put(ph->block);
	ph->block = NULL;
}

/* Onlining returned @ret. Abort the test case if that is not 0. */
static void phantom_finish_online(struct phantom_memory *ph, int ret)
{
	restore_online_page_callback(phantom_online_page);
	phantom_onlining = NULL;
	if (ret) {
		phantom_put_block(ph);
		ph->zone = NULL;
	}
	KUNIT_ASSERT_EQ_MSG(ph->test, 0, ret, "onlining failed");
	phantom_went_online(ph);
}

/**
 * phantom_online_pages() - online_pages(), as the driver core calls it
 * @pfn: the first page
 * @nr_pages: how many pages
 * @zone: the zone
 *
 * The memory block device does not hear of it.
 *
 * Context: May sleep. Takes mem_hotplug_lock.
 * Return: what online_pages() returns.
 */
int phantom_online_pages(unsigned long pfn, unsigned long nr_pages, struct zone *zone)
{
	int ret;

	mem_hotplug_begin();
	ret = online_pages(pfn, nr_pages, zone, NULL);
	mem_hotplug_done();
	return ret;
}

/**
 * phantom_offline_pages() - offline_pages(), as the driver core calls it
 * @pfn: the first page
 * @nr_pages: how many pages
 * @zone: the zone
 *
 * The memory block device does not hear of it.
 *
 * Context: May sleep. Takes mem_hotplug_lock.
 * Return: what offline_pages() returns.
 */
int phantom_offline_pages(unsigned long pfn, unsigned long nr_pages, struct zone *zone)
{
	int ret;

	mem_hotplug_begin();
	ret = offline_pages(pfn, nr_pages, zone, NULL);
	mem_hotplug_done();
	return ret;
}

/*
 * Online the last pages by way of online_pages(), behind the back of the memory
 * block device; the part of the memory block before them stays offline, as it is
 * done for a memmap on memory. Onlining a whole memory block takes many times
 * longer.
 */
static void phantom_hotplug_online(struct phantom_memory *ph,
				   enum mmop online_type)
{
	const unsigned long nr_pages = phantom_offlinable(PHANTOM_NR_PAGES);

	phantom_prepare_online(ph, PHYS_PFN(ph->start + ph->size) - nr_pages,
			       nr_pages, online_type);
	phantom_finish_online(ph, phantom_online_pages(ph->start_pfn, nr_pages, ph->zone));
}

/**
 * phantom_require_hotplugged() - skip a test case of hotplug if memory is borrowed
 * @ph: the phantom memory
 */
void phantom_require_hotplugged(const struct phantom_memory *ph)
{
	if (phantom_is_borrowed(ph))
		kunit_skip(ph->test, "%s, and borrowed memory cannot go offline",
			   ph->obstacle);
}

/**
 * phantom_device_online() - online a memory block, as user space does
 * @start: physical start address of the memory block, in bytes
 * @online_type: how to online it
 *
 * Unlike phantom_block_online(), it leaves the pages to whoever added the
 * memory.
 *
 * Context: May sleep.
 * Return: what device_online() returns, or -ENODEV.
 */
int phantom_device_online(u64 start, enum mmop online_type)
{
	struct memory_block *mem;
	int ret = -ENODEV;

	lock_device_hotplug();
	mem = memory_block_at(start);
	if (mem) {
		mem->online_type = online_type;
		ret = device_online(&mem->dev);
		memory_block_put(mem);
	}
	unlock_device_hotplug();
	return ret;
}

/**
 * phantom_device_offline() - try to offline a memory block, as user space does
 * @start: physical start address of the memory block, in bytes
 *
 * Context: May sleep.
 * Return: what device_offline() returns, or -ENODEV.
 */
int phantom_device_offline(u64 start)
{
	struct memory_block *mem;
	int ret = -ENODEV;

	lock_device_hotplug();
	mem = memory_block_at(start);
	if (mem) {
		ret = device_offline(&mem->dev);
		memory_block_put(mem);
	}
	unlock_device_hotplug();
	return ret;
}

/**
 * phantom_block_online() - online a whole memory block of phantom memory
 * @ph: the phantom memory; nothing of it must be online
 * @online_type: MMOP_ONLINE_MOVABLE or MMOP_ONLINE_KERNEL, or MMOP_OFFLINE to
 *	have the kernel choose, as writing 1 to the file "online" does
 *
 * Onlines the first memory block through the driver core, as user space does.
 * Aborts the test case on errors, and skips it if the memory is borrowed. The
 * memory block goes offline when the test case ends.
 *
 * Context: May sleep.
 */
void phantom_block_online(struct phantom_memory *ph, enum mmop online_type)
{
	int ret = -ENODEV;

	KUNIT_ASSERT_NULL_MSG(ph->test, ph->zone, "already online");
	phantom_require_hotplugged(ph);
	phantom_prepare_online(ph, PHYS_PFN(ph->start),
			       PHYS_PFN(memory_block_size_bytes()),
			       online_type);
	lock_device_hotplug();
	ph->block = memory_block_at(ph->start);
	if (ph->block) {
		if (online_type != MMOP_OFFLINE)
			ph->block->online_type = online_type;
		ret = device_online(&ph->block->dev);
		ph->zone = page_zone(pfn_to_page(ph->start_pfn));
	}
	unlock_device_hotplug();
	phantom_finish_online(ph, ret);
}

/**
 * phantom_undo_offline_isolated() - undo __offline_isolated_pages()
 * @ph: the phantom memory, for all of which __offline_isolated_pages() was
 *	called
 *
 * Replaces what offline_pages() does after that call, and onlining again: pages
 * that were in the buddy are no longer managed and become PageOffline(), and
 * the sections go online again.
 *
 * Context: May sleep.
 */
void phantom_undo_offline_isolated(struct phantom_memory *ph)
{
	unsigned long pfn, step;

	for (pfn = ph->start_pfn; pfn < phantom_end_pfn(ph); pfn += step) {
		struct page *page = pfn_to_page(pfn);

		step = PageBuddy(page) ? 1UL << buddy_order(page) : 1;
		if (!page_has_type(page) && !PageHWPoison(page))
			phantom_make_offline(pfn, 1);
	}
	online_mem_sections(ph->start_pfn, phantom_end_pfn(ph));
}

/* Offlining of the online part of @ph returned @ret. */
static void phantom_finish_offline(struct phantom_memory *ph, int ret)
{
	if (ret)
		return;
	phantom_put_block(ph);
	phantom_went_offline(ph);
}

/**
 * phantom_offline() - try to offline what phantom_online() onlined
 * @ph: the phantom memory
 *
 * The test case is skipped if the memory is borrowed.
 *
 * Context: May sleep.
 * Return: what offline_pages() returns.
 */
int phantom_offline(struct phantom_memory *ph)
{
	int ret;

	phantom_require_hotplugged(ph);
	ret = phantom_offline_pages(ph->start_pfn, ph->nr_pages, ph->zone);
	phantom_finish_offline(ph, ret);
	return ret;
}

/**
 * phantom_block_offline() - try to offline what phantom_block_online() onlined
 * @ph: the phantom memory
 *
 * Context: May sleep.
 * Return: what device_offline() returns.
 */
int phantom_block_offline(struct phantom_memory *ph)
{
	int ret;

	lock_device_hotplug();
	ret = device_offline(&ph->block->dev);
	unlock_device_hotplug();
	phantom_finish_offline(ph, ret);
	return ret;
}

/**
 * phantom_block_offline_and_remove() - try to offline and remove phantom memory
 * @ph: the phantom memory, from phantom_memory_add() and phantom_block_online()
 *
 * Context: May sleep.
 * Return: what offline_and_remove_memory() returns.
 */
int phantom_block_offline_and_remove(struct phantom_memory *ph)
{
	int ret = offline_and_remove_memory(ph->start, ph->size);

	phantom_finish_offline(ph, ret);
	if (!ret)
		ph->size = 0;
	return ret;
}

static int phantom_hotplug_offline(struct phantom_memory *ph)
{
	/*
	 * If possible, offline with all pages free. This does not rely on the
	 * code under test, so that a single bug does not make every test case
	 * fail.
	 */
	phantom_set(ph, ph->start_pfn, ph->nr_pages,
		    phantom_guarded(ph) ? PHANTOM_FREE : PHANTOM_SKIPPABLE);
	return ph->block ? phantom_block_offline(ph) : phantom_offline(ph);
}

static const struct phantom_provider phantom_hotplug_provider = {
	.online = phantom_hotplug_online,
	.offline = phantom_hotplug_offline,
	.release = phantom_memory_remove,
};

/*
 * Give all pages to the buddy. The test case fails if some of them are in use.
 */
static void phantom_give_all_to_buddy(struct phantom_memory *ph)
{
	unsigned long pfn, step;
	bool in_use = false;

	drain_all_pages(ph->zone);
	undo_isolate_page_range(ph->start_pfn, phantom_end_pfn(ph));

	for (pfn = ph->start_pfn; pfn < phantom_end_pfn(ph); pfn += step) {
		struct page *page = pfn_to_page(pfn);

		step = PageBuddy(page) ? 1UL << buddy_order(page) : 1;
		if (PageBuddy(page) || PageOffline(page))
			continue;
		in_use = true;
		phantom_make_offline(pfn, 1);
	}
	/*
	 * Do this only now, because free pages merge with free pages behind
	 * them.
	 */
	for (pfn = ph->start_pfn; pfn < phantom_end_pfn(ph); pfn += step) {
		struct page *page = pfn_to_page(pfn);

		step = PageBuddy(page) ? 1UL << buddy_order(page) : 1;
		if (!PageOffline(page))
			continue;
		for (step = 0; pfn + step < phantom_end_pfn(ph); step++) {
			page = pfn_to_page(pfn + step);
			if (!PageOffline(page))
				break;
			ClearPageDirty(page);
			set_page_count(page, PHANTOM_PAGE_COUNT);
		}
		phantom_set(ph, pfn, step,
			    phantom_guarded(ph) ? PHANTOM_FREE : PHANTOM_SKIPPABLE);
	}
	KUNIT_EXPECT_FALSE_MSG(ph->test, in_use, "pages without memory are in use");
}

/**
 * phantom_remove_leftover() - remove memory that was added by somebody else
 * @test: the test case, which fails if the memory is in use or cannot be
 *	removed
 * @start: start of a range from phantom_find_range()
 * @size: its size
 *
 * For test cases of a driver that adds memory itself, and leaves some of it
 * behind when it is unloaded. Nobody may use the memory any more.
 *
 * Context: May sleep.
 */
void phantom_remove_leftover(struct kunit *test, u64 start, u64 size)
{
	const u64 block_size = memory_block_size_bytes();
	const u64 end = start + size;
	int ret;

	for (; start < end; start += block_size) {
		struct phantom_memory ph = {
			.test = test,
			.start_pfn = PHYS_PFN(start),
			.nr_pages = PHYS_PFN(block_size),
		};

		lock_device_hotplug();
		ph.block = memory_block_at(start);
		if (!ph.block) {
			unlock_device_hotplug();
			continue;
		}
		ret = 0;
		if (ph.block->state == MEM_ONLINE) {
			ph.zone = page_zone(pfn_to_page(ph.start_pfn));
			phantom_give_all_to_buddy(&ph);
			ret = device_offline(&ph.block->dev);
		}
		memory_block_put(ph.block);
		unlock_device_hotplug();
		KUNIT_EXPECT_EQ_MSG(test, 0, ret, "memory block stays online");
		if (!ret)
			KUNIT_EXPECT_EQ(test, 0, remove_memory(start, block_size));
	}
}
