#include "worker/ingest/bucket.h"

#include "base/fdio.h"
#include "base/own.h"
#include "cache/http_loop.h"
#include "cache/s3_credentials.h"
#include "cache/web_address.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#define TRIES           5
#define FIRST_PAUSE_MS  300
#define STALL_MS        30000
#define KEYS_WAIT_MS    10000
#define KEYS_LOOK_MS    50
#define MOST_PUT_BYTES  (UINT64_C(5) << 30)
#define MOST_PAGE_BYTES (16u << 20)
#define MOST_WORDS      4096 /* of an error document */

struct ingest_bucket {
    struct web_address address; /* of the bucket alone */
    struct s3_keys *keys;
    const char *name; /* of the bucket, for sentences */
    char *url, *key;
};

struct request {
    const char *method, *key, *query;
    const char *if_match; /* "": none */
    size_t first_bytes;   /* only these; 0: all */
    const void *body;
    size_t body_length;
    const char *payload; /* its SHA-256 */
    /* Where the answer goes: a file from its beginning, or memory up to `most_bytes`. */
    int fd;
    struct bytes *out;
    size_t most_bytes;
};

struct
try {
    struct http_call call; /* first: the call-backs get this */
    const struct request *request;
    struct bytes words; /* of an error document */
    uint64_t came_bytes;
};

static void try_done(struct try *try)
{
    http_call_done(&try->call);
    bytes_done(&try->words);
}

bool ingest_bucket_is_url(const char *path)
{
    return strncmp(path, "s3://", 5) == 0;
}

static void pause_ms(int64_t ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
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
        rc = web_address_of(&bucket->address, bucket->url, settings, err);
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

/* One request ----------------------------------------------------------------------------------------- */

static enum rc on_body(struct http_call *call, const void *data, size_t length, struct err *err)
{
    struct try *try = (struct try *)call;
    const struct request *request = try->request;
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
    const struct request *request = try->request;
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

/* What an answer means. RC_ORIGIN: another try may help. */
static enum rc judge(const struct ingest_bucket *bucket, const struct try *try, struct err *err)
{
    unsigned status = try->call.answer.status;
    char code[64] = "";
    if (status == 200 || status == 206)
        return RC_OK;
    (void)http_answer_s3_code((const char *)try->words.data, try->words.length, code, sizeof code);
    if (status == 404)
        return err_set(err, RC_NOT_FOUND, "the bucket %s has no such object%s%s", bucket->name,
                       code[0] != '\0' ? ": " : "", code);
    if (status == 401 || status == 403)
        return err_set(err, RC_FORBIDDEN, "the bucket %s does not allow it%s%s", bucket->name,
                       code[0] != '\0' ? ": " : "", code);
    if (status == 412)
        return err_set(err, RC_BUSY, "the source was changed while it was read");
    return err_set(err, status >= 500 || status == 429 ? RC_ORIGIN : RC_UNSUPPORTED,
                   "the bucket %s answers %u%s%s", bucket->name, status, code[0] != '\0' ? ": " : "", code);
}

static enum rc try_once(struct ingest_bucket *bucket, const struct request *request, struct err *err)
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
    if (rc == RC_OK)
        rc = judge(bucket, &try, err);
    if (rc == RC_OK && try.call.answer.has_length && try.call.answer.length_bytes != try.came_bytes)
        rc = err_set(err, RC_ORIGIN, "the bucket %s sent %llu of %llu bytes", bucket->name,
                     (unsigned long long)try.came_bytes, (unsigned long long)try.call.answer.length_bytes);
    return rc;
}

static enum rc ask(struct ingest_bucket *bucket, const struct request *request, struct err *err)
{
    int64_t wait_ms = FIRST_PAUSE_MS;
    for (int tries = 1;; tries++, wait_ms *= 2) {
        enum rc rc = try_once(bucket, request, err);
        if ((rc != RC_ORIGIN && rc != RC_LATE) || tries == TRIES)
            return rc;
        pause_ms(wait_ms);
    }
}

/* What batches do with it ------------------------------------------------------------------------------ */

enum rc ingest_bucket_list(struct ingest_bucket *bucket,
                           enum rc (*take)(void *context, const struct ingest_bucket_entry *entry,
                                           struct err *err),
                           void *context, struct err *err)
{
    OWN(bytes_done) struct bytes token = {0};
    do {
        OWN(bytes_done) struct bytes query = {0};
        OWN(bytes_done) struct bytes page = {0};
        enum rc rc = RC_OK;
        if (token.length > 0) { /* sorted by name, as signing wants it */
            rc = bytes_format(&query, err, "continuation-token=");
            if (rc == RC_OK)
                rc = s3_encode((const char *)token.data, false, &query, err);
            if (rc == RC_OK)
                rc = bytes_format(&query, err, "&");
        }
        if (rc == RC_OK)
            rc = bytes_format(&query, err, "list-type=2&prefix=");
        if (rc == RC_OK)
            rc = s3_encode(bucket->key, false, &query, err);
        if (rc == RC_OK)
            rc = bytes_append(&query, "", 1, err);
        const struct request request = {.method = "GET",
                                        .key = "",
                                        .query = (const char *)query.data,
                                        .if_match = "",
                                        .fd = -1,
                                        .out = &page,
                                        .most_bytes = MOST_PAGE_BYTES};
        if (rc == RC_OK)
            rc = ask(bucket, &request, err);
        if (rc == RC_OK)
            rc = ingest_bucket_list_read((const char *)page.data, page.length, take, context, &token, err);
        if (rc != RC_OK)
            return rc;
    } while (token.length > 1);
    return RC_OK;
}

enum rc ingest_bucket_get(struct ingest_bucket *bucket, const char *etag, int fd, struct err *err)
{
    const struct request request = {
        .method = "GET", .key = bucket->key, .query = "", .if_match = etag, .fd = fd};
    return ask(bucket, &request, err);
}

enum rc ingest_bucket_peek(struct ingest_bucket *bucket, size_t most_bytes, struct bytes *out,
                           struct err *err)
{
    const struct request request = {.method = "GET",
                                    .key = bucket->key,
                                    .query = "",
                                    .if_match = "",
                                    .first_bytes = most_bytes,
                                    .fd = -1,
                                    .out = out,
                                    .most_bytes = most_bytes};
    return ask(bucket, &request, err);
}

enum rc ingest_bucket_put(struct ingest_bucket *bucket, int fd, struct err *err)
{
    struct stat st;
    char payload[S3_SIGN_HASH_LETTERS + 1];
    if (fstat(fd, &st) < 0)
        return err_set_errno(err, RC_IO, errno, "the pyramid cannot be read");
    if ((uint64_t)st.st_size > MOST_PUT_BYTES)
        return err_set(err, RC_TOO_LARGE,
                       "the pyramid has more than 5 GiB, the most that a bucket takes at once");
    size_t length = (size_t)st.st_size;
    void *body = mmap(NULL, length, PROT_READ, MAP_PRIVATE, fd, 0);
    if (body == MAP_FAILED)
        return err_set_errno(err, RC_IO, errno, "the pyramid cannot be read");
    s3_hash(body, length, payload);
    const struct request request = {.method = "PUT",
                                    .key = bucket->key,
                                    .query = "",
                                    .if_match = "",
                                    .body = body,
                                    .body_length = length,
                                    .payload = payload,
                                    .fd = -1};
    enum rc rc = ask(bucket, &request, err);
    munmap(body, length);
    return rc;
}
