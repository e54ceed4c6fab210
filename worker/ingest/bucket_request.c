#include "worker/ingest/bucket_request.h"

#include "base/fdio.h"
#include "base/own.h"
#include "cache/http_call.h"
#include "cache/s3_credentials.h"
#include "cache/web_verdict.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define TRIES          5
#define FIRST_PAUSE_MS 300
#define STALL_MS       30000
#define KEYS_WAIT_MS   10000
#define KEYS_LOOK_MS   50
#define MOST_WORDS     4096 /* of an error document */

struct
try {
    struct http_call call; /* first: the call-backs get this */
    const struct ingest_bucket_request *request;
    struct bytes words; /* of an error document */
    uint64_t came_bytes;
};

static void try_done(struct try *try)
{
    http_call_done(&try->call);
    bytes_done(&try->words);
}

static void pause_ms(int64_t ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

static enum rc on_body(struct http_call *call, const void *data, size_t length, struct err *err)
{
    struct try *try = (struct try *)call;
    const struct ingest_bucket_request *request = try->request;
    if (call->answer.status != 200 && call->answer.status != 206) {
        size_t room = MOST_WORDS - try->words.length;
        return bytes_append(&try->words, data, length < room ? length : room, err);
    }
    try->came_bytes += length;
    if (request->out == NULL)
        return request->fd >= 0 ? fdio_write_all(request->fd, data, length, err) : RC_OK;
    if (request->out->length + length > request->most_bytes)
        return err_set(err, RC_TOO_LARGE, "the bucket's answer is larger than it should be");
    return bytes_append(request->out, data, length, err);
}

static enum rc copy_keys(struct ingest_bucket *bucket, struct s3_credentials *ret, struct err *err)
{
    enum rc rc = s3_keys_copy(bucket->keys, ret, err);
    for (int waited_ms = 0; rc == RC_BUSY && waited_ms < KEYS_WAIT_MS; waited_ms += KEYS_LOOK_MS) {
        pause_ms(KEYS_LOOK_MS);
        rc = s3_keys_copy(bucket->keys, ret, err);
    }
    return rc;
}

/* Headers of this very try: a signature holds for a moment. */
static enum rc sign_try(struct ingest_bucket *bucket, const char *path, struct try *try, struct err *err)
{
    const struct ingest_bucket_request *request = try->request;
    struct s3_credentials credentials;
    enum rc rc = copy_keys(bucket, &credentials, err);
    const struct s3_request asked = {.method = request->method,
                                     .host = bucket->address.host,
                                     .path = path,
                                     .query = request->query,
                                     .payload = request->payload};
    if (rc == RC_OK && credentials.access_key[0] != '\0')
        rc = s3_sign(&asked, &credentials, bucket->address.region, time(NULL), &try->call.headers, err);
    if (rc == RC_OK && request->if_match[0] != '\0')
        rc = bytes_format(&try->call.headers, err, "If-Match: %s%c", request->if_match, '\0');
    if (rc == RC_OK && request->first_bytes > 0)
        rc = bytes_format(&try->call.headers, err, "Range: bytes=0-%zu%c", request->first_bytes - 1, '\0');
    return rc;
}

/* What an answer means. */
static enum rc judge(const struct ingest_bucket *bucket, const struct try *try, bool *ret_may_pass,
                     struct err *err)
{
    const struct ingest_bucket_request *request = try->request;
    const struct web_verdict_subject subject = {
        .kind = "object", .name = request->key, .right = request->body != NULL ? "write there" : "read this"};
    struct web_verdict verdict;
    if (try->call.answer.status == 412)
        return err_set(err, RC_BUSY, "the source was changed while it was read");
    enum rc rc = web_verdict_store(&bucket->address, &subject, &try->call.answer, &try->words, &verdict, err);
    *ret_may_pass = verdict.may_pass;
    return rc;
}

/* *ret_may_pass: another try may help. */
static enum rc try_once(struct ingest_bucket *bucket, const struct ingest_bucket_request *request,
                        bool *ret_may_pass, struct err *err)
{
    OWN(try_done) struct try try = {.request = request};
    OWN(bytes_done) struct bytes path = {0};
    OWN(bytes_done) struct bytes url = {0};
    enum rc rc = web_address_path(&bucket->address, request->key, &path, err);
    if (rc == RC_OK)
        rc = bytes_format(&url, err, "%s%s%s%s", bucket->address.root, (const char *)path.data,
                          request->query[0] != '\0' ? "?" : "", request->query);
    if (rc == RC_OK)
        rc = bytes_append(&url, "", 1, err);
    if (rc == RC_OK)
        rc = sign_try(bucket, (const char *)path.data, &try, err);
    if (rc != RC_OK)
        return rc;
    assert(request->expect == NULL || request->out != NULL);
    if (request->out != NULL)
        request->out->length = 0;
    if (request->fd >= 0 && request->body == NULL &&
        (lseek(request->fd, 0, SEEK_SET) < 0 || ftruncate(request->fd, 0) < 0))
        return err_set_errno(err, RC_IO, errno, "the copy of the source cannot be written");
    try.call.method = request->method;
    try.call.url = (const char *)url.data;
    try.call.body = request->body;
    try.call.body_length = request->body_length;
    try.call.stall_ms = STALL_MS;
    try.call.body_came = on_body;
    rc = http_call_now(&try.call, err);
    *ret_may_pass = rc == RC_ORIGIN || rc == RC_LATE;
    if (rc == RC_OK)
        rc = judge(bucket, &try, ret_may_pass, err);
    *ret_may_pass = *ret_may_pass || rc == RC_OK; /* of what follows: it was not what it said it was */
    if (rc == RC_OK && try.call.answer.has_length && try.call.answer.length_bytes != try.came_bytes)
        rc = err_set(err, RC_ORIGIN, "the bucket %s sent %llu of %llu bytes", bucket->name,
                     (unsigned long long)try.came_bytes, (unsigned long long)try.call.answer.length_bytes);
    if (rc == RC_OK && request->expect != NULL &&
        (request->out->length == 0 ||
         memmem(request->out->data, request->out->length, request->expect, strlen(request->expect)) == NULL))
        rc = err_set(err, RC_ORIGIN, "the bucket %s answers 200 and reports a failure", bucket->name);
    if (rc == RC_OK && request->ret_etag != NULL)
        memcpy(request->ret_etag, try.call.answer.etag, TRANSPORT_ETAG_BYTES);
    return rc;
}

enum rc ingest_bucket_ask(struct ingest_bucket *bucket, const struct ingest_bucket_request *request,
                          struct err *err)
{
    int64_t wait_ms = FIRST_PAUSE_MS;
    for (int tries = 1;; tries++, wait_ms *= 2) {
        bool may_pass = false;
        enum rc rc = try_once(bucket, request, &may_pass, err);
        if (rc == RC_OK || !may_pass || tries == TRIES)
            return rc;
        pause_ms(wait_ms);
    }
}
