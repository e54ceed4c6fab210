/* What lies in one "folder" of a bucket: ListObjectsV2 with a delimiter, page by page. For cache/web_transport.c; on the loop's thread. */
#ifndef CACHE_S3_FOLDER_H
#define CACHE_S3_FOLDER_H

#include "cache/http_loop.h"
#include "cache/s3_credentials.h"
#include "cache/transport.h"
#include "cache/web_address.h"

/* Where and how; outlives every listing. */
struct s3_folder {
    struct http_loop *loop;
    const struct web_address *address;
    struct s3_keys *keys;
    uint32_t tries;
    int64_t timeout_ms;
};

/* Calls listing->done, now or later. RC_NOT_FOUND: there is no such folder. */
void s3_folder_list(const struct s3_folder *folder, struct transport_listing *listing);

#endif
