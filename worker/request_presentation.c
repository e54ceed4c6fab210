/* Presentation API: from /presentation/{version}/{identifier}/manifest or .../collection to the document. */
#include "base/clock.h"
#include "base/log.h"
#include "base/own.h"
#include "worker/fault.h"
#include "worker/iiif/info_json.h"
#include "worker/iiif/media_range.h"
#include "worker/manifest/build.h"
#include "worker/manifest/kept.h"
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

/* ---- documents that are kept ---- */

static void release_item(void *item)
{
    manifest_kept_release(item);
}

/* All that a document depends on besides the files. */
static const char *key_of(struct request *request, enum http_coding coding)
{
    const char *name = http_compress_name(coding);
    return arena_format(http_exchange_arena(request->exchange), "%d %s%s %s %s %s",
                        request->presentation_version, request->wants_collection ? "c" : "m",
                        name == NULL ? "" : name, request->base_url, request->iiif.raw_identifier,
                        request->identifier.path);
}

/* Sends the item, whose reference is taken over. */
static void answer_item(struct request *request, const struct manifest_kept_item *item,
                        enum http_coding coding)
{
    struct http_representation representation = {
        .media_type = media_type_of(request->presentation_version, request_header(request, "Accept")),
        .cache_control = request->service->settings->cache_control,
        .vary = request_vary(request, "Accept, Accept-Encoding"),
    };
    bool is_short = !request_tag_by_hash(request, item->hash, coding, &representation) ||
                    representation.vary == NULL;
    if (is_short || request_is_not_modified(request, &representation)) {
        manifest_kept_release(item);
        if (is_short)
            request_out_of_memory(request);
        return;
    }
    /* Its last reference may be the response's, which frees what the callee lends out as constant. */
    const struct http_content content = {.length = item->length,
                                         .data = item->data,
                                         .fd = -1,
                                         .release = release_item,
                                         .context = (void *)(uintptr_t)item};
    http_reply_content(request->exchange, &representation, &content);
}

static enum http_coding coding_of(struct request *request)
{
    return http_compress_choose(request_header(request, "Accept-Encoding"));
}

bool request_answer_presentation_early(struct request *request)
{
    struct worker_service *service = request->service;
    enum http_coding coding = coding_of(request);
    const char *key = key_of(request, coding);
    int64_t oldest_ms = clock_monotonic_ms() - service->settings->revalidate_s * 1000;
    const struct manifest_kept_item *item = key == NULL
                                                ? NULL
                                                : manifest_kept_find(service->documents, key,
                                                                     request_purged_ms(request), oldest_ms);
    if (item != NULL)
        answer_item(request, item, coding);
    return item != NULL;
}

/* Whether the pictures that stand for members are still what they were. */
static bool is_pictured_alike(struct request *request, const struct manifest_kept_item *item)
{
    for (size_t i = 0; i < item->pictured_count; i++) {
        struct origin_version version;
        struct err err;
        if (origin_stat_file(request->service->origin, item->pictured[i].path, &version, &err) != RC_OK ||
            origin_version_hash(&version) != item->pictured[i].version_hash)
            return false;
    }
    return true;
}

/* The document as JSON: what is kept where the survey says that it still holds, else made now. */
static enum rc find_or_build(struct request *request, const struct manifest_survey *survey, int64_t at_ms,
                             const struct list_map *catalogue, const struct manifest_kept_item **ret_item,
                             const char **ret_away, struct err *err)
{
    struct worker_service *service = request->service;
    const char *key = key_of(request, HTTP_IDENTITY);
    if (key == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the document");
    const struct manifest_kept_item *item = manifest_kept_find(service->documents, key,
                                                               request_purged_ms(request), INT64_MIN);
    if (item != NULL && survey->fingerprint != 0 && item->fingerprint == survey->fingerprint &&
        is_pictured_alike(request, item)) {
        manifest_kept_confirm(service->documents, item, at_ms);
        *ret_item = item;
        return RC_OK;
    }
    manifest_kept_release(item);
    const struct manifest_site site = {.origin = service->origin,
                                       .pictures = service->pictures,
                                       .limits = &service->limits,
                                       .catalogue = catalogue,
                                       .warn = warn,
                                       .cancelled = is_cancelled,
                                       .context = request};
    const struct manifest_wanted wanted = {.base_url = request->base_url,
                                           .version = request->presentation_version,
                                           .identifier = request->iiif.raw_identifier,
                                           .path = request->identifier.path};
    struct manifest_built built;
    enum rc rc = manifest_build(&site, &wanted, survey, http_exchange_arena(request->exchange), &built,
                                ret_away, err);
    if (rc != RC_OK)
        return rc;
    const struct manifest_kept_item like = {
        .hash = bytes_hash(BYTES_HASH_START, built.text.data, built.text.length),
        .fingerprint = survey->fingerprint,
        .pictured = built.pictured,
        .pictured_count = built.pictured_count};
    *ret_item = manifest_kept_put(service->documents, key, &like, &built.text, at_ms);
    bytes_done(&built.text);
    return *ret_item != NULL ? RC_OK : err_set(err, RC_NO_MEMORY, "no memory for the document");
}

/* The same document, compressed; `plain`'s reference is taken over. */
static enum rc find_or_compress(struct request *request, enum http_coding *coding, int64_t at_ms,
                                const struct manifest_kept_item *plain,
                                const struct manifest_kept_item **ret_item, struct err *err)
{
    struct worker_service *service = request->service;
    const char *key = key_of(request, *coding);
    const struct manifest_kept_item *item =
        key == NULL ? NULL : manifest_kept_find(service->documents, key, INT64_MIN, INT64_MIN);
    if (item != NULL && item->hash == plain->hash) {
        manifest_kept_confirm(service->documents, item, at_ms);
        manifest_kept_release(plain);
        *ret_item = item;
        return RC_OK;
    }
    manifest_kept_release(item);
    OWN(bytes_done) struct bytes body = {0};
    enum rc rc = key == NULL ? err_set(err, RC_NO_MEMORY, "no memory for the document")
                             : bytes_append(&body, plain->data, plain->length, err);
    if (rc == RC_OK)
        rc = http_compress_body(*coding, &body, coding, err);
    if (rc == RC_OK && *coding == HTTP_IDENTITY) { /* it was too short to gain */
        *ret_item = plain;
        return RC_OK;
    }
    item = rc == RC_OK ? manifest_kept_put(service->documents, key, plain, &body, at_ms) : NULL;
    manifest_kept_release(plain);
    if (rc == RC_OK && item == NULL)
        rc = err_set(err, RC_NO_MEMORY, "no memory for the document");
    *ret_item = item;
    return rc;
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

/* *ret_elsewhere: it is of the other kind. */
static enum rc find_document(struct request *request, bool *ret_elsewhere, enum http_coding *coding,
                             const struct manifest_kept_item **ret_item, const char **ret_away,
                             struct err *err)
{
    struct worker_service *service = request->service;
    const struct list_map *catalogue = list_live_now(service->catalogue);
    int64_t at_ms = clock_monotonic_ms();
    struct manifest_survey survey;
    enum rc rc = manifest_survey(service->origin, catalogue, request->identifier.path,
                                 http_exchange_arena(request->exchange), &survey, ret_away, err);
    if (rc == RC_OK && survey.is_collection != request->wants_collection) {
        *ret_elsewhere = true;
        return RC_OK;
    }
    if (rc == RC_OK)
        rc = find_or_build(request, &survey, at_ms, catalogue, ret_item, ret_away, err);
    if (rc == RC_OK && *coding != HTTP_IDENTITY)
        rc = find_or_compress(request, coding, at_ms, *ret_item, ret_item, err);
    return rc;
}

void request_answer_presentation(struct request *request)
{
    const struct manifest_kept_item *item = NULL;
    const char *away = NULL;
    bool is_elsewhere = false;
    enum http_coding coding = coding_of(request);
    struct err err;
    enum rc rc = find_document(request, &is_elsewhere, &coding, &item, &away, &err);
    if (rc == RC_AWAY)
        request_wait_for_source(request, away);
    else if (rc == RC_CANCELLED)
        request_fail(request,
                     (err_set(&err, RC_BUSY, "the document took longer than %" PRId64 " s, please try again",
                              request->service->settings->render_timeout_s),
                      &err));
    else if (rc != RC_OK)
        request_fail(request, &err);
    else if (is_elsewhere)
        answer_elsewhere(request, !request->wants_collection);
    else
        answer_item(request, item, coding);
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
