/* Listings of buckets, and the names of uploads: whatever a store answers, what is read of it are texts with an end. */
#include "worker/ingest/bucket_list.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum rc take(void *context, const struct ingest_bucket_entry *entry, struct err *err)
{
    size_t *count = context;
    assert(strlen(entry->key) < 1 << 20 && strlen(entry->etag) < 1 << 20);
    return ++*count < 100000 ? RC_OK : err_set(err, RC_CANCELLED, "enough");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes token = {0};
    struct err err;
    size_t count = 0;
    enum rc rc = ingest_bucket_list_read((const char *)data, size, take, &count, &token, &err);
    assert(rc != RC_OK || token.length == 0 ||
           memchr(token.data, 0, token.length) == token.data + token.length - 1);
    token.length = 0;
    rc = ingest_bucket_list_upload((const char *)data, size, &token, &err);
    assert(rc != RC_OK || strlen((const char *)token.data) == token.length - 1);
    bytes_done(&token);
    return 0;
}
