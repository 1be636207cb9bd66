// SPDX-License-Identifier: GPL-2.0-only
/*
 * hgfs: module entry and exit, the files, and /proc/hgfs.
 *
 * Reading /proc/hgfs lists the files, after a request to open the root.
 * Writing runs one command:
 *
 *   open NAME   ask the host to open a file
 *   read NAME   open it, read it and print it to the kernel log
 *   wait        sleep until somebody writes "wake"
 *   wake        wake all who wait
 *   warn        a WARN() on purpose
 *   bug [NAME]  forget a file that was never there (a mistake on purpose)
 */
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "hgfs.h"

LIST_HEAD(hgfs_files);
DEFINE_MUTEX(hgfs_files_lock);

unsigned int hgfs_latency_ms = 2;
module_param_named(latency_ms, hgfs_latency_ms, uint, 0644);
MODULE_PARM_DESC(latency_ms, "how long the host takes to answer, in milliseconds");

static DECLARE_WAIT_QUEUE_HEAD(hgfs_waiters);
static unsigned int hgfs_wakeups;

/* The caller holds hgfs_files_lock. */
struct HgfsFile *HgfsFindFile(const char *name)
{
	struct HgfsFile *file;

	list_for_each_entry(file, &hgfs_files, list)
		if (strcmp(file->name, name) == 0)
			return file;
	return NULL;
}

/* Drops what is remembered of an open file. */
static noinline void HgfsForgetFile(const char *name)
{
	struct HgfsFile *file;

	mutex_lock(&hgfs_files_lock);
	file = HgfsFindFile(name);
	/* The mistake: nobody looked whether the file was found. */
	file->opened = 0;
	mutex_unlock(&hgfs_files_lock);
}

static noinline int HgfsOpenFile(const char *name, u32 *handle)
{
	int ret;

	if (name[0] == '\0')
		return -EINVAL;
	ret = HgfsSendOpenRequest(name, 0444, handle);
	if (ret)
		pr_info("hgfs: cannot open %s: error %d\n", name, -ret);
	return ret;
}

static int HgfsReadFile(const char *name)
{
	char text[HGFS_PAYLOAD_MAX + 1];
	u32 handle;
	int ret;

	ret = HgfsOpenFile(name, &handle);
	if (ret)
		return ret;
	ret = HgfsSendReadRequest(name, handle, text, HGFS_PAYLOAD_MAX);
	if (ret < 0)
		return ret;
	text[ret] = '\0';
	pr_info("hgfs: %s: %s\n", name, text);
	return 0;
}

static int HgfsWait(void)
{
	unsigned int seen = READ_ONCE(hgfs_wakeups);

	return wait_event_interruptible(hgfs_waiters, READ_ONCE(hgfs_wakeups) != seen);
}

/* Runs one command line of /proc/hgfs. */
static int HgfsCommand(char *line)
{
	char *verb = strsep(&line, " ");
	const char *name = line ? line : "";
	u32 handle;

	if (strcmp(verb, "open") == 0)
		return HgfsOpenFile(name, &handle);
	if (strcmp(verb, "read") == 0)
		return HgfsReadFile(name);
	if (strcmp(verb, "wait") == 0)
		return HgfsWait();
	if (strcmp(verb, "wake") == 0) {
		WRITE_ONCE(hgfs_wakeups, hgfs_wakeups + 1);
		wake_up_all(&hgfs_waiters);
		return 0;
	}
	if (strcmp(verb, "warn") == 0) {
		WARN(1, "hgfs: warned as asked\n");
		return 0;
	}
	if (strcmp(verb, "bug") == 0) {
		HgfsForgetFile(name[0] ? name : "no-such-file");
		return 0;
	}
	return -EINVAL;
}

static ssize_t HgfsProcWrite(struct file *filp, const char __user *buffer, size_t count,
			     loff_t *position)
{
	char line[16 + HGFS_NAME_MAX];
	int ret;

	if (count == 0 || count >= sizeof(line))
		return -EINVAL;
	if (copy_from_user(line, buffer, count))
		return -EFAULT;
	line[count] = '\0';
	ret = HgfsCommand(strim(line));
	return ret ? ret : count;
}

static int HgfsProcShow(struct seq_file *seq, void *unused)
{
	struct HgfsFile *file;
	u64 sent = 0;
	u32 root = 0;
	int cpu, ret;

	ret = HgfsOpenFile(HGFS_ROOT, &root);
	if (ret)
		return ret;

	mutex_lock(&hgfs_files_lock);
	list_for_each_entry(file, &hgfs_files, list)
		seq_printf(seq, "%-12s handle %u opened %u size %zu\n", file->name,
			   file->handle, file->opened, strlen(file->content));
	mutex_unlock(&hgfs_files_lock);

	for_each_online_cpu(cpu)
		sent += per_cpu(hgfs_stats, cpu).sent;
	seq_printf(seq, "requests %llu\n", sent);
	return 0;
}

static int HgfsProcOpen(struct inode *inode, struct file *filp)
{
	return single_open(filp, HgfsProcShow, NULL);
}

static const struct proc_ops hgfs_proc_ops = {
	.proc_open = HgfsProcOpen,
	.proc_read = seq_read,
	.proc_write = HgfsProcWrite,
	.proc_lseek = seq_lseek,
	.proc_release = single_release,
};

static int __init HgfsAddFile(const char *name, const char *content)
{
	static u32 next_handle __initdata = 100;
	struct HgfsFile *file = kzalloc(sizeof(*file), GFP_KERNEL);

	if (!file)
		return -ENOMEM;
	strscpy(file->name, name, sizeof(file->name));
	file->content = content;
	file->handle = next_handle++;
	list_add_tail(&file->list, &hgfs_files);
	return 0;
}

static void HgfsFreeFiles(void)
{
	struct HgfsFile *file, *next;

	list_for_each_entry_safe(file, next, &hgfs_files, list) {
		list_del(&file->list);
		kfree(file);
	}
}

static int __init HgfsInit(void)
{
	static const char *const names[] __initconst = { "hello", "motd", "shopping", "secret" };
	static const char *const contents[] = {
		"Hello from the host.", "Be kind to a stopped kernel.", "tea, bread, a spare int3",
		"There is no host.",
	};
	int i, ret = 0;

	for (i = 0; i < ARRAY_SIZE(names) && ret == 0; i++)
		ret = HgfsAddFile(names[i], contents[i]);
	if (ret)
		goto free_files;

	ret = HgfsTransportStart(&hgfs_transport);
	if (ret)
		goto free_files;

	if (!proc_create("hgfs", 0666, NULL, &hgfs_proc_ops)) {
		ret = -ENOMEM;
		goto stop;
	}
	pr_info("hgfs: %d files, answers take %u ms\n", i, hgfs_latency_ms);
	return 0;

stop:
	HgfsTransportStop(&hgfs_transport);
free_files:
	HgfsFreeFiles();
	return ret;
}

static void __exit HgfsExit(void)
{
	remove_proc_entry("hgfs", NULL);
	HgfsTransportStop(&hgfs_transport);
	HgfsFreeFiles();
	pr_info("hgfs: gone\n");
}

module_init(HgfsInit);
module_exit(HgfsExit);

MODULE_DESCRIPTION("A toy host/guest file system to debug");
MODULE_AUTHOR("The kgdb-tui authors");
MODULE_LICENSE("GPL");
