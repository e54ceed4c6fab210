/* Remote files: what is known of the files of an origin that is far or slow, and the blocks that have been fetched of them.
 *
 * An origin (cache/origin.h) made of a transport, which fetches, and a block store, which keeps. Per path it remembers the
 * version that the origin last confirmed (cache/remote_known.h); older than `revalidate` it is asked again, together with the first bytes if there is
 * another. Every further part is asked for on the condition that the version is still the same: a file that is replaced in the
 * middle of being read is noticed, its old blocks are forgotten, and who reads starts over; no answer is a mixture.
 *
 * What is missing when a waiter comes is joined into as few parts as make sense and fetched at once; who wants what is on
 * its way already, fetched by this worker or another (cache/remote_claims.h), waits for that. While the origin is away, or does not answer,
 * what is kept is served on, for `stale_if_error` (cache/remote_stale.h).
 *
 * One mutex, never held during I/O of any kind but looking at a block file's header. Private to a process; a crash loses
 * nothing but what was on its way. */
#ifndef CACHE_REMOTE_H
#define CACHE_REMOTE_H

#include "cache/block_store.h"

struct remote_options {
    int64_t revalidate_ms, stale_if_error_ms;
    int64_t most_whole_bytes; /* of a file that can only be had whole */
    int64_t lease_ms;         /* so long another worker that fetches something is waited for */
};

/* Takes over transport and store in every case. */
RC_MUST_USE enum rc remote_open(const struct remote_options *options, struct transport *transport,
                                struct block_store *store, const struct origin_needs *needs,
                                struct origin **ret_origin, struct err *err);

#endif
