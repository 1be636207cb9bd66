// SPDX-License-Identifier: GPL-2.0-only
/*
 * hgfs-crash: one mistake of each kind, made on demand.
 *
 *   echo KIND > /proc/hgfs-crash
 *
 * The kinds are the names in `mistakes` at the end of this file. After most of
 * them the kernel kills the shell that asked; write from a subshell:
 *
 *   (echo null > /proc/hgfs-crash)
 */
#include <linux/err.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/timer.h>
#include <linux/uaccess.h>
#include <linux/wait.h>

struct CrashFile {
	struct list_head list;
	char name[32];
	const char *content;
	u32 handle;
	u32 opened;
	void (*close)(struct CrashFile *file);
};

static LIST_HEAD(crash_files);
static DECLARE_WAIT_QUEUE_HEAD(crash_waiters);
static struct timer_list crash_timer;
static const char crash_label[] = "this can't be written";
static bool crash_woken;
/* What the mistakes compute, so that the compiler does not drop them. */
static unsigned long crash_result;

static noinline struct CrashFile *CrashFindFile(const char *name)
{
	struct CrashFile *file;

	list_for_each_entry(file, &crash_files, list)
		if (strcmp(file->name, name) == 0)
			return file;
	return NULL;
}

static struct CrashFile *CrashNewFile(void)
{
	struct CrashFile *file = kzalloc(sizeof(*file), GFP_KERNEL);

	if (file)
		list_add(&file->list, &crash_files);
	return file;
}

/* Nobody looked whether the file was found. */
static noinline void CrashNull(void)
{
	struct CrashFile *file = CrashFindFile("nobody");

	crash_result = file->handle;
}

/* The same, found out by a function of the kernel. */
static noinline void CrashCopy(void)
{
	struct CrashFile *file = CrashFindFile("nobody");

	crash_result = strlen(file->name);
}

/* An error taken for a file. */
static noinline void CrashError(void)
{
	struct CrashFile *file = ERR_PTR(-ENOENT);

	OPTIMIZER_HIDE_VAR(file);
	file->opened++;
}

/* A pointer that was overwritten by text. */
static noinline void CrashWild(void)
{
	struct CrashFile *file = (struct CrashFile *)0x6873617263736768;

	OPTIMIZER_HIDE_VAR(file);
	crash_result = file->handle;
}

/* An address of user space, not read with copy_from_user(). */
static noinline void CrashUser(void)
{
	const u64 *text = (const u64 *)0x7f0000001000;

	OPTIMIZER_HIDE_VAR(text);
	crash_result = *text;
}

/* A file that is taken off the list twice. */
static noinline void CrashList(void)
{
	struct CrashFile *file = CrashNewFile();

	if (!file)
		return;
	list_del(&file->list);
	barrier();
	list_del(&file->list);
}

/* A file that is used after it was freed; seen with slub_debug=P. */
static noinline void CrashFreed(void)
{
	struct CrashFile *file = CrashNewFile();

	if (!file)
		return;
	list_del(&file->list);
	kfree(file);
	OPTIMIZER_HIDE_VAR(file);
	crash_result = file->content[0];
}

static noinline void CrashReadOnly(void)
{
	char *label = (char *)crash_label;

	OPTIMIZER_HIDE_VAR(label);
	label[0] = 'T';
}

/* A call of a function pointer that nobody set. */
static noinline void CrashCallNull(void)
{
	struct CrashFile *file = CrashNewFile();

	if (!file)
		return;
	list_del(&file->list);
	file->close(file);
	kfree(file);
}

/* A call into data, which can't be executed. */
static noinline void CrashCallData(void)
{
	void (*close)(void) = (void (*)(void))&crash_result;

	OPTIMIZER_HIDE_VAR(close);
	close();
	crash_result++;
}

static inline void CrashCheckHandle(u32 handle)
{
	BUG_ON(handle < 100);
}

static noinline void CrashBug(void)
{
	u32 handle = 7;

	OPTIMIZER_HIDE_VAR(handle);
	CrashCheckHandle(handle);
	crash_result = handle;
}

static noinline void CrashWarn(void)
{
	u32 opened = 3;

	OPTIMIZER_HIDE_VAR(opened);
	WARN_ON(opened > 2);
	crash_result = opened;
}

static noinline void CrashWarnText(void)
{
	WARN(!crash_woken, "hgfs-crash: nobody woke %d waiters\n", 5);
	crash_result = 1;
}

static noinline void CrashDivide(void)
{
	u32 files = 100, open = 0;

	OPTIMIZER_HIDE_VAR(open);
	crash_result = files / open;
}

static noinline int CrashRecurse(int depth)
{
	char name[256];

	snprintf(name, sizeof(name), "file %d", depth);
	return depth < 0 ? 0 : CrashRecurse(depth + 1) + name[5];
}

static noinline void CrashStack(void)
{
	crash_result = CrashRecurse(0);
}

static noinline void CrashPanic(void)
{
	panic("hgfs-crash: %d files lost", 3);
}

/* Sleeps in a way that no signal ends, until "wake". */
static noinline void CrashHung(void)
{
	crash_woken = false;
	wait_event(crash_waiters, crash_woken);
}

static noinline void CrashWake(void)
{
	crash_woken = true;
	wake_up_all(&crash_waiters);
}

static void CrashTimeout(struct timer_list *timer)
{
	CrashNull();
}

/* The NULL pointer again, in an interrupt. */
static noinline void CrashTimer(void)
{
	mod_timer(&crash_timer, jiffies + 1);
}

static const struct {
	const char *name;
	void (*make)(void);
} mistakes[] = {
	{ "null", CrashNull },
	{ "copy", CrashCopy },
	{ "error", CrashError },
	{ "wild", CrashWild },
	{ "user", CrashUser },
	{ "list", CrashList },
	{ "freed", CrashFreed },
	{ "readonly", CrashReadOnly },
	{ "callnull", CrashCallNull },
	{ "calldata", CrashCallData },
	{ "bug", CrashBug },
	{ "warn", CrashWarn },
	{ "warntext", CrashWarnText },
	{ "divide", CrashDivide },
	{ "stack", CrashStack },
	{ "panic", CrashPanic },
	{ "hung", CrashHung },
	{ "wake", CrashWake },
	{ "timer", CrashTimer },
};

static ssize_t CrashWrite(struct file *filp, const char __user *buffer, size_t count,
			  loff_t *position)
{
	char kind[16];
	int i;

	if (count == 0 || count >= sizeof(kind))
		return -EINVAL;
	if (copy_from_user(kind, buffer, count))
		return -EFAULT;
	kind[count] = '\0';
	for (i = 0; i < ARRAY_SIZE(mistakes); i++)
		if (sysfs_streq(kind, mistakes[i].name)) {
			mistakes[i].make();
			return count;
		}
	return -EINVAL;
}

static const struct proc_ops crash_proc_ops = { .proc_write = CrashWrite };

static int __init CrashInit(void)
{
	timer_setup(&crash_timer, CrashTimeout, 0);
	return proc_create("hgfs-crash", 0222, NULL, &crash_proc_ops) ? 0 : -ENOMEM;
}

static void __exit CrashExit(void)
{
	remove_proc_entry("hgfs-crash", NULL);
	del_timer_sync(&crash_timer);
}

module_init(CrashInit);
module_exit(CrashExit);

MODULE_DESCRIPTION("A toy module that makes mistakes");
MODULE_AUTHOR("The kgdb-tui authors");
MODULE_LICENSE("GPL");
