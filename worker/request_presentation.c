/* Presentation API: from /presentation/{version}/{identifier}/manifest or .../collection to the document. */
#include "base/clock.h"
#include "base/log.h"
#include "base/own.h"
#include "worker/fault.h"
#include "worker/http/compress.h"
#include "worker/iiif/info_json.h"
#include "worker/iiif/media_range.h"
#include "worker/manifest/build.h"
#include "worker/request_steps.h"

#include <inttypes.h>
#include <string.h>

static const char *media_type_of(int version, const char *accept)
{
    static const char linked_3[] =
        "application/ld+json;profile=\"http://iiif.io/api/presentation/3/context.json\"";
    int order = accept == NULL ? 0
                               : iiif_media_range_compare(accept, "application/ld+json", "application/json");
    bool give_linked = order == 0 ? version == 3 : order > 0;
    return !give_linked ? "application/json" : version == 3 ? linked_3 : "application/ld+json";
}

static void warn(const char *sentence, void *context)
{
    (void)context;
    log_warning("%s", sentence);
}

static bool is_cancelled(void *context)
{
    struct request *request = context;
    worker_fault_alive();
    return clock_monotonic_ms() > request->deadline_ms || http_exchange_abandoned(request->exchange);
}

static void answer_document(struct request *request, struct bytes *body)
{
    struct arena *arena = http_exchange_arena(request->exchange);
    struct err err;
    enum http_coding coding = HTTP_IDENTITY;
    uint64_t hash = bytes_hash(BYTES_HASH_START, body->data, body->length);
    if (http_compress_body(http_compress_choose(request_header(request, "Accept-Encoding")), body, &coding,
                           &err) != RC_OK) {
        request_fail(request, &err);
        return;
    }
    const char *name = http_compress_name(coding);
    struct http_representation representation = {
        .etag = arena_format(arena, "\"%016" PRIx64 "%s%s\"", hash, name == NULL ? "" : "-",
                             name == NULL ? "" : name),
        .media_type = media_type_of(request->presentation_version, request_header(request, "Accept")),
        .cache_control = request->service->settings->cache_control,
        .vary = request_vary(request, "Accept, Accept-Encoding"),
    };
    if (name != NULL)
        representation.header[representation.header_count++] = (struct http_header){"Content-Encoding", name};
    if (representation.etag == NULL || representation.vary == NULL)
        request_out_of_memory(request);
    else if (!request_is_not_modified(request, &representation))
        request_answer_body(request, &representation, body);
}

/* The other kind of document is at another address. */
static void answer_elsewhere(struct request *request, bool is_collection)
{
    const char *id = request->iiif.raw_identifier;
    request_redirect(request, 303,
                     arena_format(http_exchange_arena(request->exchange), "%s/presentation/%d/%s%s%s",
                                  request->base_url, request->presentation_version, id,
                                  id[0] == '\0' ? "" : "/", is_collection ? "collection" : "manifest"));
}

void request_answer_presentation(struct request *request)
{
    struct worker_service *service = request->service;
    const struct manifest_site site = {.origin = service->origin,
                                       .pictures = service->pictures,
                                       .limits = &service->limits,
                                       .warn = warn,
                                       .cancelled = is_cancelled,
                                       .context = request};
    const struct manifest_wanted wanted = {.base_url = request->base_url,
                                           .version = request->presentation_version,
                                           .identifier = request->iiif.raw_identifier,
                                           .path = request->identifier.path,
                                           .is_collection = request->wants_collection};
    OWN(bytes_done) struct bytes body = {0};
    enum manifest_built built;
    const char *away = NULL;
    struct err err;
    enum rc rc = manifest_build(&site, &wanted, http_exchange_arena(request->exchange), &body, &built, &away,
                                &err);
    if (rc == RC_AWAY)
        request_wait_for_source(request, away);
    else if (rc == RC_CANCELLED)
        request_fail(request,
                     (err_set(&err, RC_BUSY, "the document took longer than %" PRId64 " s, please try again",
                              service->settings->render_timeout_s),
                      &err));
    else if (rc != RC_OK)
        request_fail(request, &err);
    else if (built == MANIFEST_IS_OTHER)
        answer_elsewhere(request, !request->wants_collection);
    else
        answer_document(request, &body);
}

/* ---- its route ---- */

/* The document's name at the end, with its slash; 0 when it is none. */
static size_t suffix_bytes(const char *path, size_t length, bool *ret_is_collection)
{
    static const char *const names[] = {"manifest", "collection"};
    for (size_t i = 0; i < 2; i++) {
        size_t name = strlen(names[i]);
        bool ends = length >= name && memcmp(path + length - name, names[i], name) == 0;
        *ret_is_collection = i == 1;
        if (ends && length == name && i == 1)
            return name;
        if (ends && length > name + 1 && path[length - name - 1] == '/')
            return name + 1;
    }
    return 0;
}

bool request_parse_presentation(struct request *request, int version, const char *path, size_t length,
                                struct err *err)
{
    size_t suffix = suffix_bytes(path, length, &request->wants_collection);
    size_t id = length - suffix;
    if (suffix == 0 || memchr(path, '/', id) != NULL) {
        err_set(err, RC_NOT_FOUND,
                "the path is neither {identifier}/manifest nor {identifier}/collection nor collection; a "
                "slash inside the identifier is written %%2F");
        return false;
    }
    request->iiif = (struct iiif_request){.version = IIIF_3, .what = IIIF_PRESENTATION};
    request->presentation_version = version;
    return id == 0 || iiif_request_identifier(path, id, &request->iiif, err) == RC_OK;
}
