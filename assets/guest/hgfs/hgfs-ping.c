// SPDX-License-Identifier: GPL-2.0-only
/*
 * hgfs-ping: a second module beside hgfs, for what one module alone can't show:
 * the same static names in two modules, parameters of several types, an init
 * that fails when asked to, code that is seldom run in a section of its own, a
 * dash in the file's name.
 *
 *   insmod hgfs-ping.ko fail=22     init fails with -EINVAL, after it ran
 *   echo NAME > /sys/module/hgfs_ping/parameters/open
 *                                   calls HgfsOpenFile(NAME)
 */
#include <linux/cache.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/string.h>

#include "hgfs-ping.h"

/* The names of these three are hgfs's as well. */
static unsigned int hgfs_wakeups = 7;
static DEFINE_PER_CPU(struct PingStats, hgfs_stats);
static noinline int HgfsOpenFile(const char *name);

/* .bss, and what is read often. */
static char ping_last[32];
static unsigned int ping_limit __read_mostly = 16;

static int fail;
module_param(fail, int, 0444);
MODULE_PARM_DESC(fail, "the error number that init ends with");

static char *greeting = "hello";
module_param(greeting, charp, 0644);
MODULE_PARM_DESC(greeting, "what is said first");

static bool loud;
module_param(loud, bool, 0644);

static unsigned short sizes[4] = { 1, 2, 3 };
static unsigned int sizes_count = 3;
module_param_array(sizes, ushort, &sizes_count, 0644);

static noinline __cold int PingTooLong(size_t len)
{
	pr_info("hgfs-ping: a name of %zu letters is too long\n", len);
	return -ENAMETOOLONG;
}

static noinline int HgfsOpenFile(const char *name)
{
	size_t len = strlen(name);

	if (len > ping_limit)
		return PingTooLong(len);
	strscpy(ping_last, name, sizeof(ping_last));
	hgfs_wakeups += len;
	this_cpu_inc(hgfs_stats.opened);
	return 0;
}

/* Says hello, for hgfs-pong. */
unsigned int HgfsPing(unsigned int count)
{
	unsigned int total = hgfs_wakeups + count;

	this_cpu_inc(hgfs_stats.pinged);
	if (loud)
		pr_info("hgfs-ping: %s %u\n", greeting, total);
	return total;
}
EXPORT_SYMBOL_GPL(HgfsPing);

static int PingOpen(const char *value, const struct kernel_param *kp)
{
	return HgfsOpenFile(value);
}

static const struct kernel_param_ops ping_open_ops = { .set = PingOpen };
module_param_cb(open, &ping_open_ops, NULL, 0200);

static int __init PingCountSizes(void)
{
	int i, total = 0;

	for (i = 0; i < sizes_count; i++)
		total += sizes[i];
	return total;
}

static int __init PingInit(void)
{
	static unsigned int first __initdata = 3;
	int total = PingCountSizes();

	hgfs_wakeups = first + total;
	if (fail)
		return -fail;
	HgfsOpenFile("init");
	return 0;
}

static void __exit PingExit(void)
{
	pr_info("hgfs-ping: gone after %s\n", ping_last);
}

module_init(PingInit);
module_exit(PingExit);

MODULE_DESCRIPTION("A second toy module to debug");
MODULE_AUTHOR("The kgdb-tui authors");
MODULE_LICENSE("GPL");
MODULE_VERSION("1.2");
