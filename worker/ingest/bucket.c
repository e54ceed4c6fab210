#include "worker/ingest/bucket_request.h"

#include "base/own.h"
#include "cache/http_call.h"
#include "cache/s3_credentials.h"

#include <string.h>

#define MOST_PAGE_BYTES (16u << 20)

bool ingest_bucket_is_url(const char *path)
{
    return strncmp(path, "s3://", 5) == 0;
}

enum rc ingest_bucket_open(const struct settings *settings, const char *url,
                           struct ingest_bucket **ret_bucket, struct err *err)
{
    OWN(ingest_bucket_close) struct ingest_bucket *bucket = calloc(1, sizeof *bucket);
    const char *slash = strchr(url + 5, '/');
    if (bucket == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for a bucket");
    bucket->url = slash != NULL ? strndup(url, (size_t)(slash - url)) : strdup(url);
    bucket->key = strdup(slash != NULL ? slash + 1 : "");
    if (bucket->url == NULL || bucket->key == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for a bucket");
    bucket->name = bucket->url + 5;
    enum rc rc = http_prepare(err);
    if (rc == RC_OK)
        rc = web_address_of(&bucket->address, bucket->url, settings, NULL, err);
    if (rc == RC_OK)
        rc = s3_keys_open(settings, &bucket->keys, err);
    if (rc == RC_OK && s3_keys_port(bucket->keys) != 0)
        rc = s3_keys_start(bucket->keys, err);
    if (rc == RC_OK)
        *ret_bucket = TAKE_PTR(bucket);
    return rc;
}

void ingest_bucket_close(struct ingest_bucket **bucket)
{
    if (*bucket == NULL)
        return;
    if ((*bucket)->keys != NULL)
        s3_keys_close(&(*bucket)->keys);
    web_address_done(&(*bucket)->address);
    free((*bucket)->url);
    free((*bucket)->key);
    free(TAKE_PTR(*bucket));
}

enum rc ingest_bucket_list(struct ingest_bucket *bucket,
                           enum rc (*take)(void *context, const struct s3_list_object *object,
                                           struct err *err),
                           void *context, struct err *err)
{
    struct s3_list_page page = {.is_truncated = false};
    do {
        OWN(bytes_done) struct bytes query = {0};
        OWN(bytes_done) struct bytes answer = {0};
        enum rc rc = s3_list_query(page.token, false, "", bucket->key, &query, err);
        const struct ingest_bucket_request request = {.method = "GET",
                                                      .key = "",
                                                      .query = (const char *)query.data,
                                                      .if_match = "",
                                                      .fd = -1,
                                                      .out = &answer,
                                                      .most_bytes = MOST_PAGE_BYTES};
        if (rc == RC_OK)
            rc = ingest_bucket_ask(bucket, &request, err);
        if (rc == RC_OK)
            rc = s3_list_read((const char *)answer.data, answer.length, take, context, &page, err);
        if (rc != RC_OK)
            return rc;
    } while (page.is_truncated);
    return RC_OK;
}

enum rc ingest_bucket_get(struct ingest_bucket *bucket, const char *etag, int fd, struct err *err)
{
    const struct ingest_bucket_request request = {
        .method = "GET", .key = bucket->key, .query = "", .if_match = etag, .fd = fd};
    return ingest_bucket_ask(bucket, &request, err);
}

enum rc ingest_bucket_peek(struct ingest_bucket *bucket, size_t most_bytes, struct bytes *out,
                           struct err *err)
{
    const struct ingest_bucket_request request = {.method = "GET",
                                                  .key = bucket->key,
                                                  .query = "",
                                                  .if_match = "",
                                                  .first_bytes = most_bytes,
                                                  .fd = -1,
                                                  .out = out,
                                                  .most_bytes = most_bytes};
    return ingest_bucket_ask(bucket, &request, err);
}
