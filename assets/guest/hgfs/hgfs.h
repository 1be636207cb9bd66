/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * hgfs - a toy host/guest file system, the demo module of kgdb-tui.
 *
 * It has the shape of a real driver that talks to a host: a task packs a
 * request, puts it on a queue and sleeps; a kernel thread takes requests from
 * the queue, plays the host, and wakes the sender. There is no host and no
 * disk: four files live in memory.
 *
 * This module is licensed under the GNU General Public License, version 2,
 * because it is loaded into the Linux kernel.
 */
#ifndef HGFS_H
#define HGFS_H

#include <linux/completion.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/wait.h>

#define HGFS_NAME_MAX 32
#define HGFS_PAYLOAD_MAX 64
#define HGFS_ROOT "/"

enum HgfsOp {
	HGFS_OP_OPEN = 1,
	HGFS_OP_READ = 2,
	HGFS_OP_CLOSE = 3,
};

enum HgfsReqState {
	HGFS_REQ_UNUSED,
	HGFS_REQ_PACKED,
	HGFS_REQ_QUEUED,
	HGFS_REQ_TAKEN,
	HGFS_REQ_ANSWERED,
};

struct HgfsOpenArgs {
	u32 mode;
	u32 share;
};

struct HgfsReadArgs {
	u64 offset;
	u32 handle;
	u32 wanted;
};

/* One question to the host, and its answer. */
struct HgfsReq {
	struct list_head list;		/* on HgfsTransport.pending */
	struct kref kref;
	u32 id;
	enum HgfsOp op;
	enum HgfsReqState state;
	unsigned int priority : 3;
	unsigned int urgent : 1;
	unsigned int attempts : 4;
	char name[HGFS_NAME_MAX];
	union {
		struct HgfsOpenArgs open;
		struct HgfsReadArgs read;
		u32 handle;
	} args;
	int status;			/* 0 or a negative errno, from the host */
	u32 handle;
	size_t payload_size;
	char payload[HGFS_PAYLOAD_MAX];
	struct task_struct *sender;
	struct completion answered;
};

/* The way to the host: a queue and the thread that empties it. */
struct HgfsTransport {
	spinlock_t lock;		/* pending, next_id */
	struct list_head pending;
	wait_queue_head_t wait;
	struct task_struct *worker;
	u32 next_id;
	atomic_t in_flight;
};

struct HgfsFile {
	struct list_head list;		/* on hgfs_files */
	char name[HGFS_NAME_MAX];
	const char *content;
	u32 handle;
	unsigned int opened;
};

struct HgfsStats {
	u64 sent;
	u64 answered;
	u64 failed;
};

/* main.c */
extern struct list_head hgfs_files;
extern struct mutex hgfs_files_lock;
extern unsigned int hgfs_latency_ms;

struct HgfsFile *HgfsFindFile(const char *name);

/* request.c */
extern struct HgfsTransport hgfs_transport;
DECLARE_PER_CPU(struct HgfsStats, hgfs_stats);

int HgfsTransportStart(struct HgfsTransport *transport);
void HgfsTransportStop(struct HgfsTransport *transport);
int HgfsSendOpenRequest(const char *name, u32 mode, u32 *handle);
int HgfsSendReadRequest(const char *name, u32 handle, char *into, size_t size);
int HgfsSendRequest(struct HgfsReq *req);

#endif
