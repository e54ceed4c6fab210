#include "cache/s3_store.h"

#include "base/fdio.h"
#include "base/own.h"
#include "cache/http_loop.h"
#include "cache/s3_credentials.h"
#include "cache/s3_list.h"
#include "cache/web_address.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define WHOLE_BYTES  (UINT64_C(64) << 20) /* larger files go up in parts */
#define PART_BYTES   (UINT64_C(32) << 20)
#define MOST_PARTS   10000u /* as S3 allows; then parts get larger */
#define ANSWER_BYTES (8u << 20)
#define PAUSE_MS     200
#define KEYS_WAIT_MS 5000

struct s3_store {
    struct web_address address;
    struct s3_keys *keys;
    uint32_t tries;
    int64_t timeout_ms;
};

/* One request, and what came. */
struct asked {
    struct http_call call; /* first */
    size_t most_bytes;     /* of an answer; 0: ANSWER_BYTES */
    struct bytes answer;
};

static void asked_done(struct asked *asked)
{
    http_call_done(&asked->call);
    bytes_done(&asked->answer);
}

static enum rc take_answer(struct http_call *call, const void *data, size_t length, struct err *err)
{
    struct asked *asked = (struct asked *)call;
    if (asked->answer.length + length > (asked->most_bytes > 0 ? asked->most_bytes : ANSWER_BYTES))
        return err_set(err, RC_TOO_LARGE, "the store sends more than was to be expected");
    return bytes_append(&asked->answer, data, length, err);
}

static void pause_ms(int64_t ms)
{
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&pause, NULL);
}

static enum rc find_keys(struct s3_store *store, struct s3_credentials *credentials, struct err *err)
{
    enum rc rc = s3_keys_copy(store->keys, credentials, err);
    for (int64_t waited_ms = 0; rc == RC_BUSY && waited_ms < KEYS_WAIT_MS; waited_ms += 50) {
        pause_ms(50);
        rc = s3_keys_copy(store->keys, credentials, err);
    }
    return rc;
}

static enum rc ask_once(struct s3_store *store, const struct s3_request *request, const void *body,
                        size_t length, struct asked *asked, struct err *err)
{
    struct s3_credentials credentials;
    OWN_FREE char *url = NULL;
    enum rc rc = find_keys(store, &credentials, err);
    if (rc != RC_OK)
        return rc;
    if (asprintf(&url, "%s%s%s%s", store->address.root, request->path, request->query[0] != '\0' ? "?" : "",
                 request->query) < 0) {
        url = NULL;
        return err_set(err, RC_NO_MEMORY, "no memory for a request to the store");
    }
    asked->call = (struct http_call){.method = request->method,
                                     .url = url,
                                     .whom = store->address.place,
                                     .body = body,
                                     .body_length = length,
                                     .stall_ms = store->timeout_ms,
                                     .body_came = take_answer};
    if (credentials.access_key[0] != '\0')
        rc = s3_sign(request, &credentials, store->address.region, time(NULL), &asked->call.headers, err);
    explicit_bzero(&credentials, sizeof credentials);
    if (rc == RC_OK)
        rc = http_call_now(&asked->call, err);
    asked->call.url = NULL;
    return rc;
}

static enum rc judge(const struct asked *asked, const char *what, struct err *err)
{
    char code[48] = "";
    unsigned status = asked->call.answer.status;
    if (status / 100 == 2)
        return RC_OK;
    if (asked->answer.data != NULL)
        http_answer_s3_code((const char *)asked->answer.data, asked->answer.length, code, sizeof code);
    enum rc rc = status == 404 && strcmp(code, "NoSuchBucket") != 0 ? RC_NOT_FOUND
                 : status == 503 || status == 429                   ? RC_BUSY
                                                                    : RC_ORIGIN;
    return err_set(err, rc, "the store answers %u%s%s to '%.120s'", status, code[0] != '\0' ? " " : "", code,
                   what);
}

/* As often as it takes, and is allowed. `asked` is the last try's. */
static enum rc ask(struct s3_store *store, const char *method, const char *path, const char *query,
                   const void *body, size_t length, struct asked *asked, struct err *err)
{
    char payload[S3_SIGN_HASH_LETTERS + 1];
    const struct s3_request request = {.method = method,
                                       .host = store->address.host,
                                       .path = path,
                                       .query = query,
                                       .payload = body != NULL ? payload : NULL};
    s3_hash(body != NULL ? body : "", length, payload);
    for (uint32_t number = 0;; number++) {
        asked_done(asked);
        asked->answer = (struct bytes){.data = NULL};
        enum rc rc = ask_once(store, &request, body, length, asked, err);
        bool may_pass = rc == RC_LATE || rc == RC_ORIGIN;
        if (rc == RC_OK) {
            rc = judge(asked, path, err);
            may_pass = rc != RC_OK && (asked->call.answer.status >= 500 || asked->call.answer.status == 429);
        }
        if (!may_pass || number + 1 >= store->tries)
            return rc;
        pause_ms((int64_t)PAUSE_MS << number);
    }
}

/* ---- opening ---- */

enum rc s3_store_prepare(const char *url, const struct settings *settings, struct s3_store **ret_store,
                         struct err *err)
{
    struct s3_store *store = calloc(1, sizeof *store);
    if (store == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the store");
    s3_store_hurry(store, (uint32_t)settings->fetch_tries, settings->fetch_timeout_s * 1000);
    enum rc rc = http_prepare(err);
    if (rc == RC_OK)
        rc = web_address_of(&store->address, url, settings, err);
    if (rc == RC_OK && !store->address.is_s3)
        rc = err_set(err, RC_BAD_REQUEST,
                     "\"%.150s\" is no S3 bucket: write s3://BUCKET or s3://BUCKET/PREFIX", url);
    if (rc == RC_OK)
        rc = s3_keys_open(settings, &store->keys, err);
    if (rc != RC_OK)
        s3_store_close(&store);
    else
        *ret_store = store;
    return rc;
}

enum rc s3_store_start(struct s3_store *store, struct err *err)
{
    return s3_keys_start(store->keys, err);
}

void s3_store_hurry(struct s3_store *store, uint32_t tries, int64_t timeout_ms)
{
    store->tries = tries;
    store->timeout_ms = timeout_ms;
}

void s3_store_ports(const struct s3_store *store, uint16_t ret_port[3])
{
    ret_port[0] = store->address.port;
    ret_port[1] = 53;
    ret_port[2] = s3_keys_port(store->keys);
}

enum rc s3_store_open(const char *url, const struct settings *settings, struct s3_store **ret_store,
                      struct err *err)
{
    struct s3_store *store = NULL;
    enum rc rc = s3_store_prepare(url, settings, &store, err);
    if (rc == RC_OK)
        rc = s3_store_start(store, err);
    if (rc != RC_OK)
        s3_store_close(&store);
    else
        *ret_store = store;
    return rc;
}

void s3_store_close(struct s3_store **slot)
{
    struct s3_store *store = TAKE_PTR(*slot);
    if (store == NULL)
        return;
    s3_keys_close(&store->keys);
    web_address_done(&store->address);
    free(store);
}

/* ---- putting ---- */

static enum rc put_part(struct s3_store *store, const char *path, const char *query, int fd, uint64_t offset,
                        uint64_t length, struct asked *asked, struct err *err)
{
    OWN_FREE uint8_t *part = malloc(length > 0 ? (size_t)length : 1);
    if (part == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for %llu bytes to send", (unsigned long long)length);
    enum rc rc = fdio_pread_exact(fd, part, (size_t)length, offset, err);
    return rc == RC_OK ? ask(store, "PUT", path, query, part, (size_t)length, asked, err) : rc;
}

/* The id of the upload out of the store's answer, encoded for queries. */
static enum rc take_upload_id(const struct asked *asked, struct bytes *id, struct err *err)
{
    const char *xml = (const char *)asked->answer.data;
    const char *start = xml != NULL ? memmem(xml, asked->answer.length, "<UploadId>", 10) : NULL;
    const char *end = start != NULL
                          ? memmem(start, asked->answer.length - (size_t)(start - xml), "</UploadId>", 11)
                          : NULL;
    if (end == NULL || end - start - 10 > 1024)
        return err_set(err, RC_ORIGIN, "the store does not say how the file is to be sent in parts");
    OWN_FREE char *text = strndup(start + 10, (size_t)(end - start - 10));
    if (text == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for a request to the store");
    enum rc rc = s3_encode(text, false, id, err);
    return rc == RC_OK ? bytes_append(id, "", 1, err) : rc;
}

static enum rc put_parts(struct s3_store *store, const char *path, const char *id, int fd, uint64_t size,
                         struct bytes *parts, struct err *err)
{
    uint64_t part_bytes = PART_BYTES;
    while (size / part_bytes >= MOST_PARTS)
        part_bytes *= 2;
    enum rc rc = bytes_format(parts, err, "<CompleteMultipartUpload>");
    unsigned number = 1;
    for (uint64_t at = 0; rc == RC_OK && at < size; at += part_bytes, number++) {
        OWN(asked_done) struct asked asked = {.answer = {0}};
        char query[1200];
        snprintf(query, sizeof query, "partNumber=%u&uploadId=%s", number, id);
        rc = put_part(store, path, query, fd, at, size - at < part_bytes ? size - at : part_bytes, &asked,
                      err);
        if (rc == RC_OK && asked.call.answer.etag[0] == '\0')
            rc = err_set(err, RC_ORIGIN, "the store does not confirm a part of the file");
        if (rc == RC_OK)
            rc = bytes_format(parts, err, "<Part><PartNumber>%u</PartNumber><ETag>%s</ETag></Part>", number,
                              asked.call.answer.etag);
    }
    return rc == RC_OK ? bytes_format(parts, err, "</CompleteMultipartUpload>") : rc;
}

static enum rc put_large(struct s3_store *store, const char *path, int fd, uint64_t size, struct err *err)
{
    OWN(asked_done) struct asked begun = {.answer = {0}};
    OWN(asked_done) struct asked ended = {.answer = {0}};
    OWN(bytes_done) struct bytes id = {0};
    OWN(bytes_done) struct bytes parts = {0};
    char query[1200];
    enum rc rc = ask(store, "POST", path, "uploads=", "", 0, &begun, err);
    if (rc == RC_OK)
        rc = take_upload_id(&begun, &id, err);
    if (rc != RC_OK)
        return rc;
    snprintf(query, sizeof query, "uploadId=%s", (const char *)id.data);
    rc = put_parts(store, path, (const char *)id.data, fd, size, &parts, err);
    if (rc == RC_OK)
        rc = ask(store, "POST", path, query, parts.data, parts.length, &ended, err);
    /* It may say 200 first and find out then that it cannot. */
    if (rc == RC_OK && ended.answer.data != NULL &&
        memmem(ended.answer.data, ended.answer.length, "<Error>", 7) != NULL)
        rc = err_set(err, RC_ORIGIN, "the store cannot put the parts of the file together");
    if (rc != RC_OK) {
        OWN(asked_done) struct asked undone = {.answer = {0}};
        (void)!ask(store, "DELETE", path, query, NULL, 0, &undone, NULL);
    }
    return rc;
}

enum rc s3_store_put(struct s3_store *store, const char *key, int fd, struct err *err)
{
    OWN(bytes_done) struct bytes path = {0};
    OWN(asked_done) struct asked asked = {.answer = {0}};
    struct stat status;
    if (fstat(fd, &status) != 0)
        return err_set_errno(err, RC_IO, errno, "the file that is to be sent cannot be examined");
    uint64_t size = (uint64_t)status.st_size;
    enum rc rc = web_address_path(&store->address, key, &path, err);
    if (rc != RC_OK)
        return rc;
    return size > WHOLE_BYTES ? put_large(store, (const char *)path.data, fd, size, err)
                              : put_part(store, (const char *)path.data, "", fd, 0, size, &asked, err);
}

enum rc s3_store_write(struct s3_store *store, const char *key, const void *data, size_t length,
                       struct err *err)
{
    OWN(bytes_done) struct bytes path = {0};
    OWN(asked_done) struct asked asked = {.answer = {0}};
    enum rc rc = web_address_path(&store->address, key, &path, err);
    return rc == RC_OK ? ask(store, "PUT", (const char *)path.data, "", data, length, &asked, err) : rc;
}

enum rc s3_store_remove(struct s3_store *store, const char *key, struct err *err)
{
    OWN(bytes_done) struct bytes path = {0};
    OWN(asked_done) struct asked asked = {.answer = {0}};
    enum rc rc = web_address_path(&store->address, key, &path, err);
    if (rc == RC_OK)
        rc = ask(store, "DELETE", (const char *)path.data, "", NULL, 0, &asked, err);
    return rc == RC_NOT_FOUND ? RC_OK : rc;
}

/* ---- looking ---- */

enum rc s3_store_read(struct s3_store *store, const char *key, size_t most_bytes, struct bytes *out,
                      struct err *err)
{
    OWN(bytes_done) struct bytes path = {0};
    OWN(asked_done) struct asked asked = {.most_bytes = most_bytes};
    enum rc rc = web_address_path(&store->address, key, &path, err);
    if (rc == RC_OK)
        rc = ask(store, "GET", (const char *)path.data, "", NULL, 0, &asked, err);
    if (rc != RC_OK)
        return rc;
    bytes_done(out);
    *out = asked.answer;
    asked.answer = (struct bytes){.data = NULL};
    return RC_OK;
}

enum rc s3_store_head(struct s3_store *store, const char *key, struct origin_version *ret_version,
                      struct err *err)
{
    OWN(bytes_done) struct bytes path = {0};
    OWN(asked_done) struct asked asked = {.answer = {0}};
    enum rc rc = web_address_path(&store->address, key, &path, err);
    if (rc == RC_OK)
        rc = ask(store, "HEAD", (const char *)path.data, "", NULL, 0, &asked, err);
    if (rc != RC_OK)
        return rc;
    const struct http_answer *answer = &asked.call.answer;
    *ret_version = (struct origin_version){
        .size_bytes = answer->length_bytes,
        .inode = bytes_hash(BYTES_HASH_START, answer->etag, strlen(answer->etag)),
        .modified.tv_sec = answer->modified_s};
    return RC_OK;
}

/* Keys as the caller knows them: without the store's own prefix. */
struct listing {
    const struct s3_store *store;
    enum rc (*object)(void *context, const char *key, uint64_t size_bytes, struct err *err);
    void *context;
};

static enum rc list_object(void *context, const struct s3_list_object *object, struct err *err)
{
    const struct listing *listing = context;
    size_t length = strlen(listing->store->address.below);
    if (strncmp(object->key, listing->store->address.below, length) != 0)
        return err_set(err, RC_ORIGIN, "the store lists what it was not asked for");
    return listing->object(listing->context, object->key + length, object->size_bytes, err);
}

/* Sorted by name, as signatures want it. */
static enum rc list_query(const struct s3_store *store, const char *prefix, const char *token,
                          struct bytes *query, struct err *err)
{
    enum rc rc = RC_OK;
    if (token[0] != '\0') {
        rc = bytes_format(query, err, "continuation-token=");
        if (rc == RC_OK)
            rc = s3_encode(token, false, query, err);
        if (rc == RC_OK)
            rc = bytes_format(query, err, "&");
    }
    if (rc == RC_OK)
        rc = bytes_format(query, err, "encoding-type=url&list-type=2&prefix=");
    if (rc == RC_OK)
        rc = s3_encode(store->address.below, false, query, err);
    if (rc == RC_OK)
        rc = s3_encode(prefix, false, query, err);
    return rc == RC_OK ? bytes_append(query, "", 1, err) : rc;
}

enum rc s3_store_list(struct s3_store *store, const char *prefix,
                      enum rc (*object)(void *context, const char *key, uint64_t size_bytes, struct err *err),
                      void *context, struct err *err)
{
    struct listing listing = {.store = store, .object = object, .context = context};
    struct s3_list_page page = {.is_truncated = false};
    char path[80];
    snprintf(path, sizeof path, "/%s", store->address.bucket_in_path ? store->address.bucket : "");
    do {
        OWN(bytes_done) struct bytes query = {0};
        OWN(asked_done) struct asked asked = {.answer = {0}};
        enum rc rc = list_query(store, prefix, page.token, &query, err);
        if (rc == RC_OK)
            rc = ask(store, "GET", path, (const char *)query.data, NULL, 0, &asked, err);
        if (rc == RC_OK)
            rc = s3_list_read(asked.answer.data != NULL ? (const char *)asked.answer.data : "",
                              asked.answer.length, list_object, &listing, &page, err);
        if (rc == RC_OK && page.is_truncated && page.token[0] == '\0')
            rc = err_set(err, RC_ORIGIN, "the store's list of objects breaks off");
        if (rc != RC_OK)
            return rc;
    } while (page.is_truncated);
    return RC_OK;
}
