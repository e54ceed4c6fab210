/* Masters and pyramids in an S3 bucket, as batches need them: listed, fetched whole, put whole.
 *
 * An object that is put is there when it is whole, and not before; so no half pyramid is ever seen in a
 * bucket either. Waits for the network: only for processes that have nothing else to do (before the first
 * fork, and those that carry files between a conversion and a bucket). Tries again what may pass. Addresses,
 * region and keys are those of the settings (s3_…), the environment or the machine, as for serving. */
#ifndef WORKER_INGEST_BUCKET_H
#define WORKER_INGEST_BUCKET_H

#include "base/settings.h"
#include "cache/s3_list.h"

struct ingest_bucket;

bool ingest_bucket_is_url(const char *path); /* "s3://…" */

/* `url` is s3://BUCKET/KEY, a prefix or an object. RC_BAD_REQUEST: it or the settings are wrong. */
RC_MUST_USE enum rc ingest_bucket_open(const struct settings *settings, const char *url,
                                       struct ingest_bucket **ret_bucket, struct err *err);
void ingest_bucket_close(struct ingest_bucket **bucket);

/* Every object whose key begins with the URL's. Codes: RC_NOT_FOUND (no such bucket), RC_FORBIDDEN,
 * RC_ORIGIN, RC_LATE, or what `take` returned. */
RC_MUST_USE enum rc ingest_bucket_list(struct ingest_bucket *bucket,
                                       enum rc (*take)(void *context, const struct s3_list_object *object,
                                                       struct err *err),
                                       void *context, struct err *err);
/* The object into the file, from its beginning. RC_BUSY: it is not the version of that ETag any more. */
RC_MUST_USE enum rc ingest_bucket_get(struct ingest_bucket *bucket, const char *etag, int fd,
                                      struct err *err);
/* Its first bytes, at most `most_bytes`. RC_NOT_FOUND: there is no such object. */
RC_MUST_USE enum rc ingest_bucket_peek(struct ingest_bucket *bucket, size_t most_bytes, struct bytes *out,
                                       struct err *err);
/* The whole file becomes the object, a large one in parts that are tried again one by one and taken back when
 * it comes to nothing; a process that is killed meanwhile leaves parts that nobody sees, for the bucket's own
 * rules to remove. RC_TOO_LARGE above the 5 TiB that an object can have. */
RC_MUST_USE enum rc ingest_bucket_put(struct ingest_bucket *bucket, int fd, struct err *err);

#endif
