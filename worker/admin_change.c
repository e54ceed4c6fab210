#include "worker/admin_change.h"

#include "base/log.h"
#include "cache/purges.h"
#include "worker/iiif/percent.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define WORK_MS 5.0 /* what a purge costs, for the pool */

static const char text_plain[] = "text/plain; charset=utf-8";

struct change {
    struct render_job job; /* first: the pool hands back its address */
    struct worker_service *service;
    struct http_exchange *exchange;
    enum { CHANGE_PURGE, CHANGE_PRUNE } what;
    enum shm_purge purge;
    int64_t unused_s;
    char text[SHM_FENCES_PREFIX_BYTES];
};

static void reply(struct http_exchange *exchange, unsigned status, const char *type, const char *text,
                  const struct http_header *more)
{
    struct http_header header[2] = {{"Cache-Control", "no-store"}};
    if (more != NULL)
        header[1] = *more;
    http_reply_text(exchange, status, type, text, header, more != NULL ? 2 : 1);
}

/* ---- the token ---- */

/* Takes as long for any text of that length, so that nobody finds out a token letter by letter. */
static bool is_token(const char *token, const char *text)
{
    size_t length = strlen(token);
    unsigned difference = strlen(text) != length;
    for (size_t i = 0; i < length && text[i] != '\0'; i++)
        difference |= (unsigned char)token[i] ^ (unsigned char)text[i];
    return difference == 0;
}

bool worker_admin_is_allowed(struct worker_service *service, struct http_exchange *exchange)
{
    static const struct http_header challenge = {"WWW-Authenticate", "Bearer realm=\"vitrine\""};
    if (http_exchange_peer(exchange)->ss_family == AF_UNIX)
        return true; /* the master has seen to who it is */
    const char *token = service->settings->admin_token;
    const char *sent = http_exchange_header(exchange, "Authorization");
    if (token[0] == '\0')
        reply(exchange, 403, text_plain, "This needs the setting admin_token, which is empty.\n", NULL);
    else if (sent == NULL || strncasecmp(sent, "Bearer ", 7) != 0)
        reply(exchange, 401, text_plain, "This needs \"Authorization: Bearer\" with the admin_token.\n",
              &challenge);
    else if (!is_token(token, sent + 7))
        reply(exchange, 403, text_plain, "The token is not the admin_token of the settings.\n", NULL);
    else
        return true;
    return false;
}

/* ---- doing it ---- */

static void answer(struct change *change, uint64_t removed)
{
    const struct shm_catalogue *catalogue =
        worker_derivatives_cache(change->service->derivatives)->shared->catalogue;
    bool counted = atomic_load_explicit(&catalogue->incomplete, memory_order_relaxed) == 0;
    const char *text = arena_format(http_exchange_arena(change->exchange),
                                    "{\"removed\":%" PRIu64 ",\"counted\":%s}\n", removed,
                                    counted ? "true" : "false");
    reply(change->exchange, 200, "application/json", text != NULL ? text : "{}\n", NULL);
}

static void run_change(struct render_job *job)
{
    struct change *change = (struct change *)job;
    struct derivatives *cache = worker_derivatives_cache(change->service->derivatives);
    struct err err;
    struct tier *tier = worker_derivatives_tier(change->service->derivatives);
    uint64_t removed = 0, epoch = 0;
    enum rc rc = RC_OK;
    if (change->what == CHANGE_PRUNE)
        removed = purges_prune(cache, time(NULL) - change->unused_s);
    else
        rc = purges_add(cache, change->purge, change->text, &removed, &epoch, &err);
    /* Behind the fence, or what was parsed before it might be put there again. */
    if (change->what == CHANGE_PURGE && change->purge == SHM_PURGE_IDENTIFIER)
        pictures_purge(change->service->pictures, change->text);
    if (epoch != 0 && tier != NULL) { /* also where it could not be written down here */
        struct err tier_err;
        render_pool_park(change->service->pool); /* it may be far away */
        enum rc told = tier_purge(tier, change->purge, change->text, epoch, &tier_err);
        render_pool_unpark(change->service->pool);
        if (rc == RC_OK && told != RC_OK) {
            err = tier_err;
            rc = told;
        }
    }
    if (rc == RC_OK) {
        answer(change, removed);
        return;
    }
    log_warning("%s", err.message);
    http_reply_error(change->exchange, &err);
}

/* ---- reading it ---- */

/* The value of "name=value" in the query, decoded. RC_NOT_FOUND: it is not there. */
static enum rc find_value(const char *query, const char *name, char *out, size_t capacity, struct err *err)
{
    size_t length = strlen(name), decoded = 0;
    for (const char *pair = query; pair != NULL && *pair != '\0'; pair = strchr(pair, '&')) {
        pair += *pair == '&';
        size_t whole = strcspn(pair, "&");
        if (whole < length || memcmp(pair, name, length) != 0 || (whole > length && pair[length] != '='))
            continue;
        const char *value = pair + length + (whole > length);
        enum rc rc = iiif_percent_decode(name, value, whole - (size_t)(value - pair), out, capacity - 1,
                                         &decoded, RC_BAD_REQUEST, err);
        out[rc == RC_OK ? decoded : 0] = '\0';
        return rc;
    }
    return err_set(err, RC_NOT_FOUND, "%s is not said", name);
}

/* What an identifier's derivatives are filed under: the path of its source. */
static enum rc resolve(struct change *change, struct err *err)
{
    struct iiif_identifier source;
    enum rc rc = gateway_source(change->service->gateway, change->text, &source, err);
    if (rc != RC_OK)
        return err_set(err, RC_BAD_REQUEST, "no image can have that identifier");
    memcpy(change->text, source.path,
           sizeof source.path < sizeof change->text ? sizeof source.path : sizeof change->text);
    change->text[sizeof change->text - 1] = '\0';
    return RC_OK;
}

static enum rc read_purge(struct change *change, const char *query, struct err *err)
{
    static const struct {
        const char *name;
        enum shm_purge purge;
    } form[] = {{"identifier", SHM_PURGE_IDENTIFIER}, {"prefix", SHM_PURGE_PREFIX}, {"all", SHM_PURGE_ALL}};
    change->what = CHANGE_PURGE;
    for (size_t i = 0; i < sizeof form / sizeof form[0]; i++) {
        enum rc rc = find_value(query, form[i].name, change->text, sizeof change->text, err);
        if (rc == RC_NOT_FOUND)
            continue;
        if (rc != RC_OK)
            return rc;
        change->purge = form[i].purge;
        if (change->purge == SHM_PURGE_ALL)
            change->text[0] = '\0';
        else if (change->text[0] == '\0')
            return err_set(err, RC_BAD_REQUEST, "%s is empty; everything is purged by \"all\"", form[i].name);
        return change->purge == SHM_PURGE_IDENTIFIER ? resolve(change, err) : RC_OK;
    }
    return err_set(err, RC_BAD_REQUEST, "say what to purge: ?identifier=ID, ?prefix=TEXT or ?all");
}

static enum rc read_prune(struct change *change, const char *query, struct err *err)
{
    char *end = NULL;
    change->what = CHANGE_PRUNE;
    enum rc rc = find_value(query, "unused", change->text, sizeof change->text, err);
    errno = 0;
    change->unused_s = rc == RC_OK ? strtoll(change->text, &end, 10) : -1;
    if (rc != RC_OK || end == change->text || *end != '\0' || errno != 0 || change->unused_s < 0)
        return err_set(err, RC_BAD_REQUEST, "say for how many seconds nobody has asked: ?unused=SECONDS");
    return RC_OK;
}

static void begin(struct worker_service *service, struct http_exchange *exchange, bool prunes)
{
    const char *query = strchr(http_exchange_target(exchange), '?');
    struct change *change = arena_alloc(http_exchange_arena(exchange), sizeof *change);
    struct err err;
    int64_t wait_ms = 0;
    if (change == NULL) {
        err_set(&err, RC_NO_MEMORY, "the server is out of memory, please try again");
        http_reply_error(exchange, &err);
        return;
    }
    change->service = service;
    change->exchange = exchange;
    query = query != NULL ? query + 1 : "";
    enum rc rc = prunes ? read_prune(change, query, &err) : read_purge(change, query, &err);
    if (rc == RC_OK && service->derivatives == NULL)
        rc = err_set(&err, RC_UNSUPPORTED, "nothing is cached here: derivative_cache is false");
    if (rc != RC_OK) {
        http_reply_error(exchange, &err);
        return;
    }
    change->job.run = run_change;
    change->job.cost_ms = WORK_MS;
    http_exchange_suspend(exchange);
    if (render_pool_submit(service->pool, &change->job, &wait_ms, &err) != RC_OK)
        http_reply_error(exchange, &err);
}

bool worker_admin_change(struct worker_service *service, struct http_exchange *exchange)
{
    const char *target = http_exchange_target(exchange);
    size_t length = strcspn(target, "?");
    bool purges = length == 6 && memcmp(target, "/purge", 6) == 0;
    bool prunes = length == 6 && memcmp(target, "/prune", 6) == 0;
    if (!purges && !prunes)
        return false;
    if (http_exchange_method(exchange) != HTTP_POST) {
        const struct http_header allow = {"Allow", "POST"};
        reply(exchange, 405, text_plain, "This changes something: it has to be a POST.\n", &allow);
    } else if (worker_admin_is_allowed(service, exchange)) {
        begin(service, exchange, prunes);
    }
    return true;
}
