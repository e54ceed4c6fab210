/* An S3 bucket as a place to put files and to see what is there: for the tools, such as `vitrine ingest`. Blocking, one thread at a
 * time; serving goes another way (cache/web_transport.h).
 *
 * Keys are below the prefix that the store was opened with. An object appears whole or not at all: files above 64 MiB go up in parts,
 * and what a crash leaves of those is not visible (the store's life cycle rules remove it). Tries that fail for a reason that may
 * pass are repeated, as often as `fetch_tries` says. */
#ifndef CACHE_S3_STORE_H
#define CACHE_S3_STORE_H

#include "base/settings.h"
#include "cache/transport.h"

struct s3_store;

/* `url`: "s3://BUCKET" or "s3://BUCKET/PREFIX"; endpoint, region and credentials as the settings, and what they leave open, say.
 * RC_BAD_REQUEST. */
RC_MUST_USE enum rc s3_store_open(const char *url, const struct settings *settings,
                                  struct s3_store **ret_store, struct err *err);
void s3_store_close(struct s3_store **store);

/* Puts all of the file open at `fd` there, in place of an object that is there. RC_ORIGIN, RC_LATE, RC_BUSY, RC_IO, RC_NO_MEMORY. */
RC_MUST_USE enum rc s3_store_put(struct s3_store *store, const char *key, int fd, struct err *err);
/* Size, date and a hash of the ETag; RC_NOT_FOUND. */
RC_MUST_USE enum rc s3_store_head(struct s3_store *store, const char *key, struct origin_version *ret_version,
                                  struct err *err);
/* Calls `object` for each object whose key begins with `prefix`, in the order of their names, page by page. */
RC_MUST_USE enum rc s3_store_list(struct s3_store *store, const char *prefix,
                                  enum rc (*object)(void *context, const char *key, uint64_t size_bytes,
                                                    struct err *err),
                                  void *context, struct err *err);

#endif
