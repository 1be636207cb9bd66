// SPDX-License-Identifier: GPL-2.0-only
/*
 * hgfs-pong: uses hgfs-ping, so that one module holds another.
 */
#include <linux/init.h>
#include <linux/module.h>

#include "hgfs-ping.h"

static unsigned int pong_answer;

static int __init PongInit(void)
{
	pong_answer = HgfsPing(1);
	return 0;
}

static void __exit PongExit(void)
{
}

module_init(PongInit);
module_exit(PongExit);

MODULE_DESCRIPTION("A toy module that needs another");
MODULE_AUTHOR("The kgdb-tui authors");
MODULE_LICENSE("GPL");
