#include "cache/s3_store.h"

#include "base/own.h"
#include "cache/http_call.h"
#include "cache/s3_credentials.h"
#include "cache/s3_list.h"
#include "cache/web_verdict.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

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
    const struct web_verdict_subject subject = {.kind = "object", .name = path, .right = "do this"};
    s3_hash(body != NULL ? body : "", length, payload);
    for (uint32_t number = 0;; number++) {
        asked_done(asked);
        asked->answer = (struct bytes){.data = NULL};
        enum rc rc = ask_once(store, &request, body, length, asked, err);
        struct web_verdict verdict = {.may_pass = rc == RC_LATE || rc == RC_ORIGIN};
        if (rc == RC_OK)
            rc = web_verdict_store(&store->address, &subject, &asked->call.answer, &asked->answer, &verdict,
                                   err);
        if (!verdict.may_pass || number + 1 >= store->tries)
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
        rc = web_address_of(&store->address, url, settings, NULL, err);
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

void s3_store_close(struct s3_store **slot)
{
    struct s3_store *store = TAKE_PTR(*slot);
    if (store == NULL)
        return;
    s3_keys_close(&store->keys);
    web_address_done(&store->address);
    free(store);
}

/* ---- objects ---- */

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
        enum rc rc = s3_list_query(page.token, false, store->address.below, prefix, &query, err);
        if (rc == RC_OK)
            rc = ask(store, "GET", path, (const char *)query.data, NULL, 0, &asked, err);
        if (rc == RC_OK)
            rc = s3_list_read((const char *)asked.answer.data, asked.answer.length, list_object, &listing,
                              &page, err);
        if (rc != RC_OK)
            return rc;
    } while (page.is_truncated);
    return RC_OK;
}
