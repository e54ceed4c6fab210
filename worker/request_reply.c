#include "base/digits.h"
#include "base/log.h"
#include "worker/http/compress.h"
#include "worker/request_steps.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *name_of_request(void *context)
{
    return http_exchange_request_id(((struct request *)context)->exchange);
}

/* With the request's id also on a thread that works on none, or on another: whoever has fetched what it needed, say. */
static void say(struct request *request, const struct err *err)
{
    log_request(name_of_request, request);
    log_warning("%s: %s", http_exchange_target(request->exchange), err->message);
    log_request(NULL, NULL);
}

void request_fail(struct request *request, const struct err *err)
{
    struct worker_service *service = request->service;
    pictures_release(service->pictures, &request->picture);
    if (err->rc == RC_CORRUPT || err->rc == RC_IO || err->rc == RC_NO_MEMORY || err->rc == RC_TOO_LARGE ||
        err->rc == RC_ORIGIN || err->rc == RC_LATE)
        say(request, err);
    if (request->retry_after_s == 0)
        request->retry_after_s = err->retry_s;
    if (!request_fail_as_page(request, err))
        http_reply_error_later(request->exchange, err, request->retry_after_s);
}

void request_fail_for_all(struct request *request, const struct err *err)
{
    struct worker_flight *flight = request->flight;
    request_fail(request, err);
    worker_flight_fail(flight, err);
}

const char *request_header(struct request *request, const char *name)
{
    return http_exchange_header(request->exchange, name);
}

const char *request_vary(struct request *request, const char *own)
{
    const struct settings *settings = request->service->settings;
    bool is_told = settings->base_url[0] == '\0' && settings->trusted_proxies[0] != '\0';
    return !is_told ? own
                    : arena_format(http_exchange_arena(request->exchange),
                                   "%s, Forwarded, X-Forwarded-Proto, X-Forwarded-Host, X-Forwarded-Port, "
                                   "X-Forwarded-Prefix",
                                   own);
}

const char *request_id(struct request *request)
{
    return arena_join(http_exchange_arena(request->exchange), request->base_url,
                      request->iiif.version == IIIF_3 ? "/iiif/3/" : "/iiif/2/", request->iiif.raw_identifier,
                      NULL);
}

/* A strong validator: changes with the source's version and with everything else that decides the bytes. */
static const char *make_etag(struct request *request, const char *what)
{
    uint64_t parts[] = {request->picture->version_hash, request->service->options_hash,
                        request->identifier.page};
    uint64_t hash = bytes_hash(BYTES_HASH_START, parts, sizeof parts);
    hash = bytes_hash(hash, request->identifier.path, strlen(request->identifier.path));
    hash = bytes_hash(hash, what, strlen(what));
    char text[] = "\"0123456789abcdef\"";
    digits_hex(text + 1, hash, 16);
    return arena_text(http_exchange_arena(request->exchange), text, sizeof text - 1);
}

bool request_represent(struct request *request, const char *what, struct http_representation *ret)
{
    *ret = (struct http_representation){
        .etag = make_etag(request, what),
        .last_modified = request->picture->modified_s,
        .cache_control = request->service->settings->cache_control,
    };
    ret->header[ret->header_count++] = (struct http_header){
        "Link", request->iiif.version == IIIF_3 ? "<http://iiif.io/api/image/3/level2.json>;rel=\"profile\""
                                                : "<http://iiif.io/api/image/2/level2.json>;rel=\"profile\""};
    return ret->etag != NULL;
}

bool request_tag(struct request *request, const char *what, enum http_coding coding,
                 struct http_representation *representation)
{
    const char *name = http_compress_name(coding);
    representation->etag = arena_join(http_exchange_arena(request->exchange), "\"", what,
                                      name == NULL ? "" : "-", name == NULL ? "" : name, "\"", NULL);
    if (name != NULL)
        representation->header[representation->header_count++] = (struct http_header){"Content-Encoding",
                                                                                      name};
    return representation->etag != NULL;
}

bool request_tag_by_hash(struct request *request, uint64_t hash, enum http_coding coding,
                         struct http_representation *representation)
{
    char what[17];
    snprintf(what, sizeof what, "%016" PRIx64, hash);
    return request_tag(request, what, coding, representation);
}

void request_answer_text(struct request *request, struct http_representation *representation,
                         struct bytes *body)
{
    enum http_coding coding = HTTP_IDENTITY;
    uint64_t hash = bytes_hash(BYTES_HASH_START, body->data, body->length);
    struct err err;
    if (http_compress_body(http_compress_choose(request_header(request, "Accept-Encoding")), body, &coding,
                           &err) != RC_OK)
        request_fail(request, &err);
    else if (!request_tag_by_hash(request, hash, coding, representation) || representation->vary == NULL)
        request_out_of_memory(request);
    else if (!request_is_not_modified(request, representation))
        request_answer_body(request, representation, body);
}

void request_out_of_memory(struct request *request)
{
    struct err err;
    err_set(&err, RC_NO_MEMORY, "the server is out of memory, please try again");
    request_fail(request, &err);
}

bool request_is_not_modified(struct request *request, const struct http_representation *representation)
{
    if (!http_reply_is_not_modified(request->exchange, representation))
        return false;
    pictures_release(request->service->pictures, &request->picture);
    http_reply_not_modified(request->exchange, representation);
    return true;
}

void request_answer_body(struct request *request, const struct http_representation *representation,
                         struct bytes *body)
{
    pictures_release(request->service->pictures, &request->picture);
    http_reply_body(request->exchange, representation, body);
}

void request_answer_content(struct request *request, const struct http_representation *representation,
                            const struct http_content *content)
{
    pictures_release(request->service->pictures, &request->picture);
    http_reply_content(request->exchange, representation, content);
}

int64_t request_purged_ms(const struct request *request)
{
    const _Atomic int64_t *purged = request->service->purged_ms;
    return purged == NULL ? INT64_MIN : atomic_load_explicit(purged, memory_order_acquire);
}

void request_redirect(struct request *request, unsigned status, const char *location)
{
    if (location == NULL) {
        request_out_of_memory(request);
        return;
    }
    const struct http_header header = {"Location", location};
    const char *text = arena_format(http_exchange_arena(request->exchange), "See %s\n", location);
    http_reply_text(request->exchange, status, "text/plain; charset=utf-8", text != NULL ? text : "", &header,
                    1);
}
