/* An S3 bucket as a place for small files: the lower tier of derivatives (cache/tier_bucket.c). Blocking; any thread. Sources are served
 * another way (cache/web_transport.h), and batches have theirs (worker/ingest/bucket.h).
 *
 * Keys are below the prefix that the store was opened with. An object appears whole or not at all. Tries that fail for a reason that may
 * pass are repeated, as often as `fetch_tries` says. */
#ifndef CACHE_S3_STORE_H
#define CACHE_S3_STORE_H

#include "base/bytes.h"
#include "base/settings.h"
#include "cache/transport.h"

struct s3_store;

/* `url`: "s3://BUCKET" or "s3://BUCKET/PREFIX"; endpoint, region and credentials as the settings, and what they leave open, say. Reads
 * all files that it needs, before the box. RC_BAD_REQUEST. */
RC_MUST_USE enum rc s3_store_prepare(const char *url, const struct settings *settings,
                                     struct s3_store **ret_store, struct err *err);
/* In the box: what needs a thread. */
RC_MUST_USE enum rc s3_store_start(struct s3_store *store, struct err *err);
/* Other than the settings say: how often to try, and for how long nothing may move. */
void s3_store_hurry(struct s3_store *store, uint32_t tries, int64_t timeout_ms);
/* The ports that it connects to, and 53; 0: none. */
void s3_store_ports(const struct s3_store *store, uint16_t ret_port[3]);
void s3_store_close(struct s3_store **store);

/* Puts these bytes there, in place of an object that is there. RC_ORIGIN, RC_LATE, RC_BUSY, RC_NO_MEMORY. */
RC_MUST_USE enum rc s3_store_write(struct s3_store *store, const char *key, const void *data, size_t length,
                                   struct err *err);
/* All of the object, in place of what `out` holds. RC_NOT_FOUND; RC_TOO_LARGE: it has more than `most_bytes`. */
RC_MUST_USE enum rc s3_store_read(struct s3_store *store, const char *key, size_t most_bytes,
                                  struct bytes *out, struct err *err);
/* RC_OK as well when there is none. */
RC_MUST_USE enum rc s3_store_remove(struct s3_store *store, const char *key, struct err *err);
/* Calls `object` for each object whose key begins with `prefix`, in the order of their names, page by page. */
RC_MUST_USE enum rc s3_store_list(struct s3_store *store, const char *prefix,
                                  enum rc (*object)(void *context, const char *key, uint64_t size_bytes,
                                                    struct err *err),
                                  void *context, struct err *err);

#endif
