/* The transport for folders that may hang: network file systems.
 *
 * A call into a file system whose server is away can stand still for minutes, and nothing ends it. So such a folder is read
 * by threads of its own, a fixed number: they may all stand still, and nothing else does. A fetch that has not come in
 * `fetch_timeout` is given up (RC_LATE) whatever its thread does; that thread throws away what it gets when it wakes. While all
 * threads stand still new fetches fail at once. Each fetch opens the file anew, so a stale handle is gone with the next
 * try; a stale root is opened again by its path. A crash leaves nothing. */
#ifndef CACHE_LANE_TRANSPORT_H
#define CACHE_LANE_TRANSPORT_H

#include "cache/transport.h"

/* `root_fd` is borrowed, and open for as long as the transport; `root_path` is where it was opened. */
RC_MUST_USE enum rc lane_transport_open(int root_fd, const char *root_path, uint32_t threads,
                                        int64_t timeout_ms, struct transport **ret_transport,
                                        struct err *err);

#endif
