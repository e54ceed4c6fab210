#include "worker/iiif/percent.h"
#include "worker/iiif/zoom.h"
#include "worker/poison.h"
#include "worker/request_steps.h"
#include "worker/revalidate.h"

#include <string.h>

/* True when the identifier is retired and the request therefore answered: 301 to the same request of the new one, or 410.
 * `path` is the target behind its `prefix` and begins with the identifier. */
static bool answer_retired(struct request *request, const char *prefix, const char *path)
{
    char now[IIIF_MAX_IDENTIFIER_BYTES + 1], encoded[IIIF_PERCENT_ENCODED_BYTES(IIIF_MAX_IDENTIFIER_BYTES)];
    enum gateway_retired retired = gateway_retired(request->service->gateway, request->iiif.identifier, now);
    struct err err;
    if (retired == GATEWAY_RETIRED_GONE) {
        err_set(&err, RC_GONE, "the image '%.100s' has been withdrawn", request->iiif.identifier);
        request_fail(request, &err);
    } else if (retired == GATEWAY_RETIRED_MOVED) {
        iiif_percent_encode(now, strlen(now), encoded);
        request_redirect(request, 301,
                         arena_format(http_exchange_arena(request->exchange), "%s%s%s%s", request->base_url,
                                      prefix, encoded, path + strlen(request->iiif.raw_identifier)));
    }
    return retired != GATEWAY_RETIRED_NO;
}

/* A request without a version goes to the newest; to an older one where only that understands its parameters. */
static void answer_unversioned(struct request *request, const char *path, size_t length)
{
    struct iiif_request parsed;
    bool is_old = iiif_request_parse(IIIF_3, path, length, &parsed, NULL) == RC_BAD_REQUEST &&
                  iiif_request_parse(IIIF_2, path, length, &parsed, NULL) == RC_OK;
    request_redirect(request, 302,
                     arena_format(http_exchange_arena(request->exchange), "%s/iiif/%d/%s", request->base_url,
                                  is_old ? IIIF_2 : IIIF_3, path));
}

/* A request for an image, once its text is understood. */
static void handle_image(struct request *request, const char *prefix, const char *path)
{
    struct err err;
    http_exchange_account(request->exchange)->class = request->iiif.what == IIIF_IMAGE
                                                          ? SHM_TALLY_REGION /* the plan may know better */
                                                      : request->is_page ? SHM_TALLY_PAGE
                                                                         : SHM_TALLY_INFO;
    if (answer_retired(request, prefix, path))
        return;
    enum rc rc = gateway_source(request->service->gateway, request->iiif.identifier, &request->identifier,
                                &err);
    if (rc != RC_OK) {
        request_fail(request, &err);
        return;
    }
    if (request->iiif.what == IIIF_BASE) {
        const char *id = request_id(request);
        request_redirect(
            request, 303,
            id == NULL ? NULL : arena_format(http_exchange_arena(request->exchange), "%s/info.json", id));
        return;
    }
    if (request->condemned) {
        request_continue(request);
        return;
    }
    bool ages = false;
    request->picture = pictures_peek(request->service->pictures, request->identifier.path,
                                     request->identifier.page, &ages);
    if (ages)
        worker_revalidate(request->service, request->identifier.path, request->identifier.page);
    if (request->picture != NULL &&
        worker_poison_refuses_version(request->service, request->exchange, &request->identifier,
                                      request->picture->version_hash))
        pictures_release(request->service->pictures, &request->picture);
    else if (request->picture != NULL && request->iiif.what != IIIF_IMAGE)
        request_answer_document(request);
    else if (request->picture == NULL || !request_answer_image_early(request))
        request_continue(request);
}

static const struct {
    const char *prefix;
    enum iiif_version version;
    enum iiif_zoom_protocol zoom;
    enum shm_tally_protocol protocol;
} image_routes[] = {
    {"/iiif/3/", IIIF_3, IIIF_ZOOM_NONE, SHM_TALLY_IIIF_3},
    {"/iiif/2/", IIIF_2, IIIF_ZOOM_NONE, SHM_TALLY_IIIF_2},
    {"/deepzoom/", IIIF_3, IIIF_ZOOM_DEEPZOOM, SHM_TALLY_DEEPZOOM},
    {"/zoomify/", IIIF_3, IIIF_ZOOM_ZOOMIFY, SHM_TALLY_ZOOMIFY},
};

/* False: the target is none of an image. */
static bool route_image(struct request *request, const char *target, size_t length)
{
    for (size_t i = 0; i < sizeof image_routes / sizeof image_routes[0]; i++) {
        const char *prefix = image_routes[i].prefix;
        size_t start = strlen(prefix);
        if (length < start || memcmp(target, prefix, start) != 0)
            continue;
        struct err err;
        worker_account_is(request->exchange, SHM_TALLY_OTHER, image_routes[i].protocol);
        enum rc rc = image_routes[i].zoom == IIIF_ZOOM_NONE
                         ? iiif_request_parse(image_routes[i].version, target + start, length - start,
                                              &request->iiif, &err)
                         : iiif_zoom_parse(image_routes[i].zoom, target + start, length - start,
                                           &request->iiif, &err);
        if (rc != RC_OK)
            request_fail(request, &err);
        else
            handle_image(request, prefix, target + start);
        return true;
    }
    return false;
}

static void handle_presentation(struct request *request, const char *prefix, int version, const char *path,
                                size_t length)
{
    struct err err;
    worker_account_is(request->exchange, SHM_TALLY_DOCUMENT, SHM_TALLY_PRESENTATION);
    if (!request_parse_presentation(request, version, path, length, &err)) {
        request_fail(request, &err);
        return;
    }
    enum rc rc = RC_OK;
    if (request->iiif.identifier[0] != '\0') {
        if (answer_retired(request, prefix, path))
            return;
        rc = gateway_source(request->service->gateway, request->iiif.identifier, &request->identifier, &err);
    }
    if (rc == RC_OK && request->identifier.page > 1)
        rc = err_set(&err, RC_NOT_FOUND, "a page has no document of its own; it is in that of its file");
    if (rc != RC_OK)
        request_fail(request, &err);
    else if (request->condemned || !request_answer_presentation_early(request))
        request_continue(request);
}

/* False: the target is no document's. Without a version: the newest. */
static bool route_presentation(struct request *request, const char *target, size_t length)
{
    static const char *const prefixes[] = {"/presentation/3/", "/presentation/2/", "/presentation/"};
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        size_t start = strlen(prefixes[i]);
        if (length < start || memcmp(target, prefixes[i], start) != 0)
            continue;
        if (i < 2)
            handle_presentation(request, prefixes[i], 3 - (int)i, target + start, length - start);
        else
            request_redirect(request, 302,
                             arena_format(http_exchange_arena(request->exchange), "%s/presentation/3/%s",
                                          request->base_url, target + start));
        return true;
    }
    return false;
}

/* The page of a picture, whose way is that of its info.json. False: the target is none. */
static bool route_view(struct request *request, const char *target, size_t length)
{
    static const char prefix[] = "/view/";
    size_t start = strlen(prefix);
    struct err err;
    if (length < start || memcmp(target, prefix, start) != 0)
        return false;
    worker_account_is(request->exchange, SHM_TALLY_PAGE, SHM_TALLY_WEB);
    request->is_page = true;
    request->iiif = (struct iiif_request){.version = IIIF_3, .what = IIIF_INFO};
    enum rc rc = memchr(target + start, '/', length - start) != NULL
                     ? err_set(&err, RC_NOT_FOUND, "a slash inside an identifier is written %%2F")
                     : iiif_request_identifier(target + start, length - start, &request->iiif, &err);
    if (rc != RC_OK)
        request_fail(request, &err);
    else
        handle_image(request, prefix, target + start);
    return true;
}

void request_route(struct request *request)
{
    struct err err;
    const char *target = http_exchange_target(request->exchange);
    size_t length = strcspn(target, "?#");
    if (route_image(request, target, length) || route_presentation(request, target, length) ||
        route_view(request, target, length))
        return;
    if (request_parse_activity(request, target, length)) {
        worker_account_is(request->exchange, SHM_TALLY_DOCUMENT, SHM_TALLY_PRESENTATION);
        request_continue(request);
        return;
    }
    if (length > 6 && memcmp(target, "/iiif/", 6) == 0) {
        answer_unversioned(request, target + 6, length - 6);
    } else if (request->condemned) {
        worker_poison_give_up(request->exchange);
    } else if (!request_route_web(request, target, length)) {
        request->is_page = true;
        err_set(&err, RC_NOT_FOUND,
                "there is nothing at '%.100s'; images are at /iiif/3/{identifier}/info.json", target);
        request_fail(request, &err);
    }
}
