#include "cache/web_transport.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/own.h"
#include "cache/address_guard.h"
#include "cache/breaker.h"
#include "cache/http_loop.h"
#include "cache/s3_credentials.h"
#include "cache/s3_folder.h"
#include "cache/web_verdict.h"
#include "worker/http/base_url.h"

#include <inttypes.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define REDIRECTS        3u
#define FIRST_PAUSE_MS   100
#define ERROR_TEXT_BYTES 2048u
#define ERROR_MOST_BYTES 65536u /* of an answer that is no file's: what follows is not waited for */
#define SAY_AGAIN_MS     60000  /* what is wrong with an origin as a whole */

struct web {
    struct transport transport; /* first */
    const struct settings *settings;
    struct web_address address;
    struct s3_keys *keys; /* NULL: http */
    struct http_loop *loop;
    struct s3_folder folder; /* of S3 */
    uint32_t tries;
    int64_t timeout_ms;
    struct breaker breaker;
    pthread_mutex_t mutex; /* of the next one */
    uint64_t random;
    struct log_pause said; /* what is wrong with all of it */
};

/* One fetch under way: a call, again and again. */
struct
try {
    struct http_call call; /* first */
    struct web *web;
    struct transport_fetch *fetch;
    uint32_t number, redirects;
    int64_t deadline_ms;
    bool is_probe, keys_refreshed;
    struct bytes path;    /* encoded */
    char *url, *moved_to; /* moved_to: by a redirect */
    bool gives;           /* bytes are the file's */
    struct bytes text;    /* of an error's answer */
    size_t text_bytes;    /* that have come of it; `heard` ends it */
    bool heard;
};

/* ---- pauses ---- */

static void note_outcome(struct web *web, bool failed, bool was_probe)
{
    int64_t break_ms = 0;
    switch (breaker_note(&web->breaker, clock_monotonic_ms(), failed, was_probe, &break_ms)) {
    case BREAKER_BREAKS:
        log_warning("%s has failed %u times in a row: it is left alone for %" PRId64 " s", web->address.name,
                    BREAKER_AFTER, break_ms / 1000);
        break;
    case BREAKER_MENDS:
        log_info("%s answers again", web->address.name);
        break;
    case BREAKER_NO_NEWS:
        break;
    }
}

/* That the origin is overloaded, or may not be asked, or what a store does not give out: no line for each request that fails for it, there may be very many. */
static void say_at_times(struct web *web, const char *path, const struct err *err)
{
    if (log_may_say(&web->said, SAY_AGAIN_MS))
        log_warning("%s: %s", path, err->message);
}

/* Half of `ms` to one and a half. */
static int64_t at_random(struct web *web, int64_t ms)
{
    pthread_mutex_lock(&web->mutex);
    web->random = web->random * 6364136223846793005u + 1442695040888963407u;
    uint64_t random = web->random >> 33;
    pthread_mutex_unlock(&web->mutex);
    return ms / 2 + (int64_t)(random % (uint64_t)(ms + 1));
}

/* ---- the answer ---- */

static enum rc on_head(struct http_call *call, struct err *err)
{
    struct try *try = (struct try *)call;
    struct transport_answer answer = {.whole = false};
    enum rc rc = RC_OK;
    try->gives = try->heard = false;
    try->text.length = try->text_bytes = 0;
    switch (call->answer.status) {
    case 200:
    case 206:
        rc = web_verdict_part(&try->web->address, try->fetch, &call->answer, &answer, err);
        try->gives = rc == RC_OK;
        break;
    case 304:
        if (!web_verdict_may_be_unchanged(try->fetch))
            return RC_OK;
        answer.unchanged = true;
        break;
    case 412:
    case 416:
        if (try->fetch->first)
            return RC_OK;
        answer.replaced = true;
        break;
    default:
        return RC_OK;
    }
    return rc == RC_OK ? try->fetch->begin(try->fetch, &answer, err) : rc;
}

static enum rc on_body(struct http_call *call, const void *data, size_t length, struct err *err)
{
    struct try *try = (struct try *)call;
    if (try->gives)
        return try->fetch->take(try->fetch, data, length, err);
    size_t room = ERROR_TEXT_BYTES - try->text.length;
    try->text_bytes += length;
    if (try->text_bytes > ERROR_MOST_BYTES) {
        try->heard = true;
        return err_set(err, RC_ORIGIN, "the origin %.100s has said enough", try->web->address.place);
    }
    return bytes_append(&try->text, data, length < room ? length : room, err);
}

/* ---- the tries ---- */

static void try_free(struct try *try)
{
    http_call_done(&try->call);
    bytes_done(&try->path);
    bytes_done(&try->text);
    free(try->url);
    free(try->moved_to);
    free(try);
}

static void try_end(struct try *try, enum rc rc, const struct err *err)
{
    struct transport_fetch *fetch = try->fetch;
    try_free(try);
    fetch->done(fetch, rc, err);
}

static enum rc add_conditions(const struct transport_fetch *fetch, struct bytes *headers, struct err *err)
{
    enum rc rc = bytes_format(headers, err, "Range: bytes=%" PRIu64 "-%" PRIu64 "%c", fetch->offset,
                              fetch->offset + fetch->length - 1, '\0');
    if (rc != RC_OK || fetch->known == NULL)
        return rc;
    char date[CLOCK_HTTP_DATE_BYTES];
    bool has_etag = fetch->etag != NULL && fetch->etag[0] != '\0',
         is_weak = has_etag && fetch->etag[0] == 'W';
    clock_http_date(fetch->known->modified.tv_sec, date);
    if (has_etag && (fetch->first || !is_weak))
        return bytes_format(headers, err, "%s: %s%c", fetch->first ? "If-None-Match" : "If-Match",
                            fetch->etag, '\0');
    if (fetch->known->modified.tv_sec != 0)
        return bytes_format(headers, err, "%s: %s%c",
                            fetch->first ? "If-Modified-Since" : "If-Unmodified-Since", date, '\0');
    return RC_OK;
}

static void on_end(struct http_call *call, enum rc rc, const struct err *err);
static bool allows(const struct http_call *call, const struct sockaddr *address);

/* Makes the call anew: its signature is for this moment. */
static enum rc try_prepare(struct try *try, struct err *err)
{
    struct web *web = try->web;
    http_call_done(&try->call);
    struct http_call call = {.method = "GET",
                             .whom = web->address.place,
                             .start_ms = try->call.start_ms,
                             .stall_ms = web->timeout_ms,
                             .allows = allows,
                             .head_came = on_head,
                             .body_came = on_body,
                             .ended = on_end};
    try->call = call;
    free(try->url);
    try->url = NULL;
    if (asprintf(&try->url, "%s%s", web->address.root, (const char *)try->path.data) < 0) {
        try->url = NULL;
        return err_set(err, RC_NO_MEMORY, "no memory for a request to the origin");
    }
    try->call.url = try->moved_to != NULL ? try->moved_to : try->url;
    enum rc rc = add_conditions(try->fetch, &try->call.headers, err);
    if (rc != RC_OK || web->keys == NULL)
        return rc;
    struct s3_credentials credentials;
    const struct s3_request request = {
        .method = "GET", .host = web->address.host, .path = (const char *)try->path.data, .query = ""};
    rc = s3_keys_copy(web->keys, &credentials, err);
    if (rc == RC_OK && credentials.access_key[0] != '\0')
        rc = s3_sign(&request, &credentials, web->address.region, time(NULL), &try->call.headers, err);
    explicit_bzero(&credentials, sizeof credentials);
    return rc;
}

/* Goes on after `pause_ms`. False: there is no time for that. */
static bool try_again(struct try *try, int64_t pause_ms, enum rc *rc, struct err *err)
{
    int64_t start_ms = clock_monotonic_ms() + pause_ms;
    if (start_ms >= try->deadline_ms)
        return false;
    try->call.start_ms = start_ms;
    *rc = try_prepare(try, err);
    if (*rc != RC_OK)
        return false;
    http_loop_submit(try->web->loop, &try->call);
    return true;
}

/* Whether redirects may lead to the URL: http may become https, never the other way round. */
static bool may_move_to(const struct web *web, const char *url)
{
    char host[300];
    uint16_t port;
    bool secure;
    if (!http_url_parts(url, host, sizeof host, &port, &secure) ||
        (!secure && strncmp(web->address.root, "https:", 6) == 0))
        return false;
    if (strcasecmp(host, web->address.host_alone) == 0)
        return true;
    for (const char *name = web->settings->http_hosts; *name != '\0';) {
        name += strspn(name, ", ");
        size_t length = strcspn(name, ", ");
        if (length > 0 && length == strlen(host) && strncasecmp(name, host, length) == 0)
            return true;
        name += length;
    }
    return false;
}

/* True when the call goes on elsewhere, or has ended. */
static bool follow_redirect(struct try *try)
{
    struct err err;
    unsigned status = try->call.answer.status;
    if (try->web->keys != NULL || try->call.redirect == NULL || status < 301 || status > 308 || status == 304)
        return false;
    enum rc rc = RC_OK;
    if (++try->redirects > REDIRECTS)
        rc = err_set(&err, RC_ORIGIN, "the origin %.100s redirects more than %u times",
                     try->web->address.place, REDIRECTS);
    else if (!may_move_to(try->web, try->call.redirect))
        rc = err_set(&err, RC_ORIGIN,
                     "the origin %.80s redirects to a host that is not in http_hosts: %.100s",
                     try->web->address.place, try->call.redirect);
    if (rc == RC_OK) {
        free(try->moved_to);
        try->moved_to = TAKE_PTR(try->call.redirect);
        if (try_again(try, 0, &rc, &err))
            return true;
        if (rc == RC_OK)
            rc = err_set(&err, RC_LATE, "the origin %.100s did not answer in time", try->web->address.place);
    }
    note_outcome(try->web, false, try->is_probe); /* it answers, whatever that is good for */
    try_end(try, rc, &err);
    return true;
}

static void on_end(struct http_call *call, enum rc rc, const struct err *call_err)
{
    struct try *try = (struct try *)call;
    struct web *web = try->web;
    struct err err = {.rc = RC_OK};
    bool answered = rc == RC_OK || try->heard;
    struct web_verdict verdict = {.may_pass = rc == RC_LATE || rc == RC_ORIGIN};
    bool ours = call->rc != RC_OK && !try->heard; /* a call-back has ended it: the origin is not to blame */
    if (answered && follow_redirect(try))
        return;
    if (answered)
        rc = web_verdict_end(&web->address, try->fetch, &call->answer, &try->text, &verdict, &err);
    else
        err = *call_err;
    if (rc == RC_AWAY) /* replaced, which is a fact and no failure */
        verdict.may_pass = false;
    bool was_asked =
        answered ||
        rc != RC_BUSY; /* else there was no connection to be had: that says nothing of the origin */
    if (was_asked || try->is_probe)
        note_outcome(web, !was_asked || (!ours && rc != RC_CANCELLED && verdict.may_pass && rc != RC_BUSY),
                     try->is_probe);
    try->is_probe = false;
    bool expired = verdict.expired && !try->keys_refreshed;
    if (expired) {
        s3_keys_refresh(web->keys);
        try->keys_refreshed = true;
    }
    if ((expired || (verdict.may_pass && !ours)) && ++try->number < web->tries) {
        int64_t pause_ms = at_random(web, (int64_t)FIRST_PAUSE_MS << (try->number - 1) << (expired ? 2 : 0));
        if (answered && call->answer.retry_after_s > 0 && call->answer.retry_after_s * 1000 > pause_ms)
            pause_ms = call->answer.retry_after_s * 1000;
        enum rc again = RC_OK;
        struct err again_err;
        if (try_again(try, pause_ms, &again, &again_err))
            return;
    }
    if (rc == RC_FORBIDDEN ? !answered || web->keys != NULL : answered && rc == RC_BUSY)
        say_at_times(web, try->fetch->path, &err);
    try_end(try, rc, &err);
}

static bool allows(const struct http_call *call, const struct sockaddr *address)
{
    const struct try *try = (const struct try *)call;
    struct sockaddr_storage peer = {.ss_family = address->sa_family};
    if (address_is_link_local(address))
        return false;
    if (try->web->keys != NULL ||
        address_is_public(address)) /* where a store is, is for whoever named it to know */
        return true;
    if (address->sa_family == AF_INET)
        memcpy(&peer, address, sizeof(struct sockaddr_in));
    else if (address->sa_family == AF_INET6)
        memcpy(&peer, address, sizeof(struct sockaddr_in6));
    return http_peer_is_trusted(&peer, try->web->settings->http_networks);
}

/* ---- the transport ---- */

static void web_submit(struct transport *transport, struct transport_fetch *fetch)
{
    struct web *web = (struct web *)transport;
    struct err err;
    int64_t left_ms = 0;
    struct try *try = calloc(1, sizeof *try);
    if (try == NULL) {
        err_set(&err, RC_NO_MEMORY, "no memory to ask the origin");
        fetch->done(fetch, RC_NO_MEMORY, &err);
        return;
    }
    try->web = web;
    try->fetch = fetch;
    try->deadline_ms = clock_monotonic_ms() + 2 * web->timeout_ms;
    enum rc rc = RC_OK;
    if (!breaker_may_ask(&web->breaker, clock_monotonic_ms(), &try->is_probe, &left_ms)) {
        uint32_t left_s = (uint32_t)((left_ms + 999) / 1000);
        rc = err_set(&err, RC_BUSY,
                     "the origin %.100s has failed %u times in a row and is not asked for another %" PRIu32
                     " s",
                     web->address.place, BREAKER_AFTER, left_s);
        err.retry_s = left_s;
    }
    bool probes = try->is_probe;
    if (rc == RC_OK)
        rc = web_address_path(&web->address, fetch->path, &try->path, &err);
    if (rc == RC_OK)
        rc = try_prepare(try, &err);
    if (rc == RC_OK) {
        http_loop_submit(web->loop, &try->call);
        return;
    }
    if (probes)
        note_outcome(web, true, true);
    try_end(try, rc, &err);
}

static enum rc web_start(struct transport *transport, struct err *err)
{
    struct web *web = (struct web *)transport;
    enum rc rc = web->keys != NULL ? s3_keys_start(web->keys, err) : RC_OK;
    return rc == RC_OK ? http_loop_start(web->loop, err) : rc;
}

static void web_cancel(struct transport *transport)
{
    http_loop_cancel(((struct web *)transport)->loop);
}

static void web_close(struct transport *transport)
{
    struct web *web = (struct web *)transport;
    http_loop_free(&web->loop);
    s3_keys_close(&web->keys);
    web_address_done(&web->address);
    breaker_done(&web->breaker);
    pthread_mutex_destroy(&web->mutex);
    free(web);
}

static void web_list(struct transport *transport, struct transport_listing *listing)
{
    s3_folder_list(&((struct web *)transport)->folder, listing);
}

static const struct transport_ops s3_ops = {
    .start = web_start, .submit = web_submit, .list = web_list, .cancel = web_cancel, .close = web_close};
/* http has no way to ask what lies in a folder. */
static const struct transport_ops http_ops = {
    .start = web_start, .submit = web_submit, .cancel = web_cancel, .close = web_close};

enum rc web_transport_open(const struct settings *settings, const char *place,
                           struct transport **ret_transport, struct origin_needs *ret_needs, struct err *err)
{
    struct web *web = calloc(1, sizeof *web);
    if (web == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the origin");
    web->transport.ops = &http_ops;
    web->transport.lost_fd = -1;
    web->settings = settings;
    web->tries = (uint32_t)settings->fetch_tries;
    web->timeout_ms = settings->fetch_timeout_s * 1000;
    web->random = (uint64_t)clock_monotonic_ms() * 2654435761u + (uint64_t)getpid();
    breaker_init(&web->breaker);
    pthread_mutex_init(&web->mutex, NULL);
    enum rc rc = http_prepare(err);
    if (rc == RC_OK)
        rc = web_address_of(&web->address, place, settings, NULL, err);
    if (rc == RC_OK && web->address.is_s3)
        rc = s3_keys_open(settings, &web->keys, err);
    if (rc == RC_OK)
        rc = http_loop_new((uint32_t)settings->fetch_connections, &web->loop, err);
    if (rc != RC_OK) {
        web_close(&web->transport);
        return rc;
    }
    web->transport.name = web->address.name;
    web->transport.ops = web->keys != NULL ? &s3_ops : &http_ops;
    web->folder = (struct s3_folder){.loop = web->loop,
                                     .address = &web->address,
                                     .keys = web->keys,
                                     .tries = web->tries,
                                     .timeout_ms = web->timeout_ms};
    *ret_needs = (struct origin_needs){.root_fd = -1, .network = true, .port = {web->address.port, 53}};
    if (web->keys != NULL)
        ret_needs->port[2] = s3_keys_port(web->keys);
    else
        ret_needs->port[2] = 443; /* where http is redirected to */
    *ret_transport = &web->transport;
    return RC_OK;
}
