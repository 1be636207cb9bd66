// SPDX-License-Identifier: GPL-2.0-only
/*
 * hgfs requests: packing, the queue, and the thread that plays the host.
 */
#include <linux/delay.h>
#include <linux/kernel.h>
#include <linux/kthread.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "hgfs.h"

struct HgfsTransport hgfs_transport;
DEFINE_PER_CPU(struct HgfsStats, hgfs_stats);

/* Zero means "no request", so the counter steps over it when it wraps. */
static inline u32 HgfsNextId(struct HgfsTransport *transport)
{
	u32 id = transport->next_id + 1;

	if (id == 0)
		id = 1;
	transport->next_id = id;
	return id;
}

static struct HgfsReq *HgfsAllocRequest(enum HgfsOp op, const char *name)
{
	struct HgfsReq *req = kzalloc(sizeof(*req), GFP_KERNEL);

	if (!req)
		return NULL;
	INIT_LIST_HEAD(&req->list);
	kref_init(&req->kref);
	init_completion(&req->answered);
	req->op = op;
	strscpy(req->name, name, sizeof(req->name));
	return req;
}

static void HgfsFreeRequest(struct kref *kref)
{
	kfree(container_of(kref, struct HgfsReq, kref));
}

static noinline void HgfsPackOpenRequest(struct HgfsReq *req, u32 mode)
{
	req->args.open.mode = mode;
	req->args.open.share = 1;
	req->priority = 5;
	req->urgent = strcmp(req->name, HGFS_ROOT) == 0;
	req->state = HGFS_REQ_PACKED;
}

static noinline void HgfsPackReadRequest(struct HgfsReq *req, u32 handle, u32 wanted)
{
	req->args.read.handle = handle;
	req->args.read.offset = 0;
	req->args.read.wanted = wanted;
	req->priority = 2;
	req->state = HGFS_REQ_PACKED;
}

/* Puts a request on the queue; the caller's reference stays with the caller. */
static void HgfsQueueRequest(struct HgfsTransport *transport, struct HgfsReq *req)
{
	unsigned long flags;

	kref_get(&req->kref);
	spin_lock_irqsave(&transport->lock, flags);
	req->id = HgfsNextId(transport);
	req->state = HGFS_REQ_QUEUED;
	if (req->urgent)
		list_add(&req->list, &transport->pending);
	else
		list_add_tail(&req->list, &transport->pending);
	spin_unlock_irqrestore(&transport->lock, flags);

	atomic_inc(&transport->in_flight);
	this_cpu_inc(hgfs_stats.sent);
	wake_up(&transport->wait);
}

/* Sends a packed request to the host and sleeps until the answer is there. */
noinline int HgfsSendRequest(struct HgfsReq *req)
{
	int ret;

	req->sender = current;
	req->attempts++;
	HgfsQueueRequest(&hgfs_transport, req);

	ret = wait_for_completion_killable(&req->answered);
	if (ret)
		return ret;
	if (req->status < 0)
		this_cpu_inc(hgfs_stats.failed);
	return req->status;
}

noinline int HgfsSendOpenRequest(const char *name, u32 mode, u32 *handle)
{
	struct HgfsReq *req = HgfsAllocRequest(HGFS_OP_OPEN, name);
	int ret;

	if (!req)
		return -ENOMEM;
	HgfsPackOpenRequest(req, mode);
	ret = HgfsSendRequest(req);
	if (ret == 0)
		*handle = req->handle;
	kref_put(&req->kref, HgfsFreeRequest);
	return ret;
}

/* Reads into a buffer; the answer is the number of bytes, or an errno. */
noinline int HgfsSendReadRequest(const char *name, u32 handle, char *into, size_t size)
{
	struct HgfsReq *req = HgfsAllocRequest(HGFS_OP_READ, name);
	int ret;

	if (!req)
		return -ENOMEM;
	HgfsPackReadRequest(req, handle, min_t(size_t, size, HGFS_PAYLOAD_MAX));
	ret = HgfsSendRequest(req);
	if (ret == 0) {
		ret = req->payload_size;
		memcpy(into, req->payload, req->payload_size);
	}
	kref_put(&req->kref, HgfsFreeRequest);
	return ret;
}

static int HgfsHostOpen(struct HgfsReq *req)
{
	struct HgfsFile *file;

	if (strcmp(req->name, HGFS_ROOT) == 0)
		return 0;
	file = HgfsFindFile(req->name);
	if (!file)
		return -ENOENT;
	file->opened++;
	req->handle = file->handle;
	return 0;
}

static int HgfsHostRead(struct HgfsReq *req)
{
	const struct HgfsFile *file = HgfsFindFile(req->name);
	size_t size;

	if (!file || file->handle != req->args.read.handle)
		return -EBADF;
	size = min_t(size_t, strlen(file->content), req->args.read.wanted);
	memcpy(req->payload, file->content, size);
	req->payload_size = size;
	return 0;
}

/* The host's side of one request. */
static noinline void HgfsAnswerRequest(struct HgfsTransport *transport, struct HgfsReq *req)
{
	if (hgfs_latency_ms)
		msleep(hgfs_latency_ms);

	mutex_lock(&hgfs_files_lock);
	switch (req->op) {
	case HGFS_OP_OPEN:
		req->status = HgfsHostOpen(req);
		break;
	case HGFS_OP_READ:
		req->status = HgfsHostRead(req);
		break;
	case HGFS_OP_CLOSE:
		req->status = 0;
		break;
	default:
		req->status = -EINVAL;
	}
	mutex_unlock(&hgfs_files_lock);

	req->state = HGFS_REQ_ANSWERED;
	atomic_dec(&transport->in_flight);
	this_cpu_inc(hgfs_stats.answered);
	complete(&req->answered);
	kref_put(&req->kref, HgfsFreeRequest);
}

static struct HgfsReq *HgfsTakeRequest(struct HgfsTransport *transport)
{
	struct HgfsReq *req;

	spin_lock_irq(&transport->lock);
	req = list_first_entry_or_null(&transport->pending, struct HgfsReq, list);
	if (req) {
		list_del_init(&req->list);
		req->state = HGFS_REQ_TAKEN;
	}
	spin_unlock_irq(&transport->lock);
	return req;
}

static int HgfsWorker(void *data)
{
	struct HgfsTransport *transport = data;
	struct HgfsReq *req;

	while (!kthread_should_stop()) {
		wait_event_interruptible(transport->wait,
					 !list_empty(&transport->pending) ||
					 kthread_should_stop());
		while ((req = HgfsTakeRequest(transport)))
			HgfsAnswerRequest(transport, req);
	}
	return 0;
}

int HgfsTransportStart(struct HgfsTransport *transport)
{
	struct task_struct *worker;

	spin_lock_init(&transport->lock);
	INIT_LIST_HEAD(&transport->pending);
	init_waitqueue_head(&transport->wait);
	worker = kthread_run(HgfsWorker, transport, "hgfs_worker");
	if (IS_ERR(worker))
		return PTR_ERR(worker);
	transport->worker = worker;
	return 0;
}

void HgfsTransportStop(struct HgfsTransport *transport)
{
	kthread_stop(transport->worker);
	transport->worker = NULL;
}
