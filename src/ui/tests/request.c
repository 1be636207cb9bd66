/* SPDX-License-Identifier: GPL-2.0 */
/* request.c - requests of the demo file system, from reader to worker. */

#include <linux/list.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include "hgfs.h"

#define HGFS_TIMEOUT	(5 * HZ)
#define HGFS_MAGIC	0x48474653

static struct HgfsQueue hgfs_queue;

/*
 * A request lives from HgfsGetNewRequest() until the worker has answered it
 * and the reader has taken the answer; both sides hold a reference.
 */
static inline void HgfsQueueFor(struct HgfsQueue *queue, struct HgfsReq *req)
{
	list_add_tail(&req->list, &queue->pending);
	queue->count++;
}

/**
 * HgfsSendRequest - hand a request to the worker and wait for the answer.
 * Returns 0, or a negative error number.
 */
noinline int HgfsSendRequest(struct HgfsReq *req, unsigned int timeout)
{
	struct HgfsQueue *queue = &hgfs_queue;

	if (WARN_ON(!req || req->magic != HGFS_MAGIC))
		return -EINVAL;

	spin_lock(&queue->lock);
	HgfsQueueFor(queue, req);
	spin_unlock(&queue->lock);

	wake_up(&queue->wait);
	if (!wait_for_completion_timeout(&req->done, timeout ?: HGFS_TIMEOUT)) {
		/* The worker may still hold it. */
		pr_warn("hgfs: request %u: no answer\n", req->id);

		atomic_inc(&queue->lost);
		return -ETIMEDOUT;
	}
	return req->error;
}
EXPORT_SYMBOL_GPL(HgfsSendRequest);
