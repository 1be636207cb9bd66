/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef HGFS_PING_H
#define HGFS_PING_H

#include <linux/types.h>

struct PingStats {
	u64 opened;
	u64 pinged;
};

unsigned int HgfsPing(unsigned int count);

#endif
