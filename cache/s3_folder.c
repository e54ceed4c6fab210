#include "cache/s3_folder.h"

#include "base/clock.h"
#include "base/own.h"
#include "cache/s3_list.h"
#include "cache/s3_sign.h"
#include "cache/web_verdict.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define ANSWER_BYTES (8u << 20)
#define PAUSE_MS     150

/* One listing under way: a call for each page, and each try. */
struct asking {
    struct http_call call; /* first */
    const struct s3_folder *folder;
    struct transport_listing *listing;
    struct bytes prefix; /* of keys: the root's and the folder's, with a NUL */
    struct bytes answer;
    struct s3_list_page page;
    char *url;
    uint32_t number; /* of the try */
    size_t capacity;
};

static void asking_free(struct asking *asking)
{
    http_call_done(&asking->call);
    bytes_done(&asking->prefix);
    bytes_done(&asking->answer);
    free(asking->url);
    free(asking);
}

static void end(struct asking *asking, enum rc rc, const struct err *err)
{
    struct transport_listing *listing = asking->listing;
    asking_free(asking);
    listing->done(listing, rc, err);
}

/* ---- asking ---- */

static enum rc take_answer(struct http_call *call, const void *data, size_t length, struct err *err)
{
    struct asking *asking = (struct asking *)call;
    if (asking->answer.length + length > ANSWER_BYTES)
        return err_set(err, RC_ORIGIN, "the store says too much");
    return bytes_append(&asking->answer, data, length, err);
}

static void on_end(struct http_call *call, enum rc rc, const struct err *err);

/* Makes the call anew: its signature is for this moment. */
static enum rc prepare(struct asking *asking, int64_t start_ms, struct err *err)
{
    const struct web_address *address = asking->folder->address;
    OWN(bytes_done) struct bytes query = {0};
    char path[80];
    struct s3_credentials credentials;
    snprintf(path, sizeof path, "/%s", address->bucket_in_path ? address->bucket : "");
    enum rc rc = s3_list_query(asking->page.token, true, "", (const char *)asking->prefix.data, &query, err);
    if (rc == RC_OK)
        rc = s3_keys_copy(asking->folder->keys, &credentials, err);
    if (rc != RC_OK)
        return rc;
    http_call_done(&asking->call);
    free(asking->url);
    asking->answer.length = 0;
    if (asprintf(&asking->url, "%s%s?%s", address->root, path, (const char *)query.data) < 0) {
        asking->url = NULL;
        return err_set(err, RC_NO_MEMORY, "no memory for a request to the origin");
    }
    asking->call = (struct http_call){.method = "GET",
                                      .url = asking->url,
                                      .whom = address->place,
                                      .start_ms = start_ms,
                                      .stall_ms = asking->folder->timeout_ms,
                                      .body_came = take_answer,
                                      .ended = on_end};
    const struct s3_request request = {
        .method = "GET", .host = address->host, .path = path, .query = (const char *)query.data};
    if (credentials.access_key[0] != '\0')
        rc = s3_sign(&request, &credentials, address->region, time(NULL), &asking->call.headers, err);
    explicit_bzero(&credentials, sizeof credentials);
    return rc;
}

static void ask(struct asking *asking, int64_t pause_ms)
{
    struct err err;
    enum rc rc = prepare(asking, clock_monotonic_ms() + pause_ms, &err);
    if (rc == RC_OK)
        http_loop_submit(asking->folder->loop, &asking->call);
    else
        end(asking, rc, &err);
}

/* ---- what comes ---- */

static enum rc add_entry(struct asking *asking, const struct origin_entry *entry, size_t name_bytes,
                         struct err *err)
{
    struct transport_listing *listing = asking->listing;
    if (listing->count >= ORIGIN_MOST_ENTRIES)
        return err_set(err, RC_TOO_LARGE, "the folder has more than %u entries", ORIGIN_MOST_ENTRIES);
    if (listing->count == asking->capacity) {
        size_t capacity = asking->capacity == 0 ? 64 : asking->capacity * 2;
        struct origin_entry *grown = arena_alloc(listing->arena, capacity * sizeof *grown);
        if (grown == NULL)
            return err_set(err, RC_NO_MEMORY, "no memory for a folder");
        if (listing->count > 0)
            memcpy(grown, listing->entry, listing->count * sizeof *grown);
        listing->entry = grown;
        asking->capacity = capacity;
    }
    const char *name = arena_text(listing->arena, entry->name, name_bytes);
    if (name == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for a folder");
    listing->entry[listing->count] = *entry;
    listing->entry[listing->count++].name = name;
    return RC_OK;
}

/* An object, or a common prefix, which ends with a slash. What cannot be a file's name is passed over, and what is empty: a store refuses any
 * part of it, so that nobody could look into it to find that it is no picture. */
static enum rc take_object(void *context, const struct s3_list_object *object, struct err *err)
{
    struct asking *asking = context;
    const char *prefix = (const char *)asking->prefix.data;
    size_t length = strlen(prefix);
    if (strncmp(object->key, prefix, length) != 0)
        return err_set(err, RC_ORIGIN, "the store lists what it was not asked for");
    const char *name = object->key + length;
    size_t name_bytes = strlen(name);
    if (object->is_prefix && name_bytes > 0)
        name_bytes--;
    asking->listing->has_any = true;
    if (name_bytes == 0 || name[0] == '.' || memchr(name, '/', name_bytes) != NULL ||
        (!object->is_prefix && object->size_bytes == 0))
        return RC_OK;
    struct origin_entry entry = {.name = name, .is_folder = object->is_prefix};
    if (!object->is_prefix)
        entry.version = (struct origin_version){
            .size_bytes = object->size_bytes,
            .inode = object->etag[0] == '\0'
                         ? 0
                         : bytes_hash(BYTES_HASH_START, object->etag, strlen(object->etag)),
            .modified.tv_sec = object->modified_s};
    return add_entry(asking, &entry, name_bytes, err);
}

/* That there is no such folder an empty list says, and who may not list may not list any. */
static enum rc judge(const struct asking *asking, struct web_verdict *ret_verdict, struct err *err)
{
    const struct web_verdict_subject subject = {
        .kind = "list of", .name = asking->listing->path, .right = "list what is there"};
    enum rc rc = web_verdict_store(asking->folder->address, &subject, &asking->call.answer, &asking->answer,
                                   ret_verdict, err);
    if (rc == RC_NOT_FOUND || rc == RC_FORBIDDEN)
        rc = err->rc = RC_ORIGIN;
    return rc;
}

static void on_end(struct http_call *call, enum rc rc, const struct err *call_err)
{
    struct asking *asking = (struct asking *)call;
    struct err err = {.rc = RC_OK};
    bool is_answered = rc == RC_OK, ours = call->rc != RC_OK;
    struct web_verdict verdict = {.may_pass = !ours && (rc == RC_LATE || rc == RC_ORIGIN)};
    if (is_answered)
        rc = judge(asking, &verdict, &err);
    else
        err = *call_err;
    if (verdict.may_pass && ++asking->number < asking->folder->tries) {
        ask(asking, (int64_t)PAUSE_MS << asking->number);
        return;
    }
    if (rc == RC_OK)
        rc = s3_list_read((const char *)asking->answer.data, asking->answer.length, take_object, asking,
                          &asking->page, &err);
    if (rc == RC_OK && asking->page.is_truncated) {
        asking->number = 0;
        ask(asking, 0);
        return;
    }
    if (rc == RC_OK && !asking->listing->has_any && asking->listing->path[0] != '\0')
        rc = err_set(&err, RC_NOT_FOUND, "there is no folder '%.180s'", asking->listing->path);
    end(asking, rc, &err);
}

void s3_folder_list(const struct s3_folder *folder, struct transport_listing *listing)
{
    struct err err;
    struct asking *asking = calloc(1, sizeof *asking);
    listing->arena = arena_new();
    if (asking == NULL || listing->arena == NULL) {
        free(asking);
        err_set(&err, RC_NO_MEMORY, "no memory to list a folder");
        listing->done(listing, RC_NO_MEMORY, &err);
        return;
    }
    asking->folder = folder;
    asking->listing = listing;
    enum rc rc = bytes_format(&asking->prefix, &err, "%s%s%s%c", folder->address->below, listing->path,
                              listing->path[0] == '\0' ? "" : "/", '\0');
    if (rc == RC_OK)
        ask(asking, 0);
    else
        end(asking, rc, &err);
}
