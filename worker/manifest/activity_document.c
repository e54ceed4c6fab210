#include "worker/manifest/activity_document.h"

#include "base/own.h"
#include "worker/iiif/percent.h"
#include "worker/manifest/document.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#define CONTEXT "http://iiif.io/api/discovery/1/context.json"

static void json_release(json_t **json)
{
    json_decref(*json);
}

static enum rc no_memory(struct err *err)
{
    return err_set(err, RC_NO_MEMORY, "no memory for the list of changes");
}

static int append(const char *text, size_t length, void *out)
{
    return bytes_append(out, text, length, NULL) == RC_OK ? 0 : -1;
}

static enum rc write_json(json_t *json, struct bytes *out, struct err *err)
{
    return json == NULL || json_dump_callback(json, append, out, JSON_COMPACT | JSON_PRESERVE_ORDER) != 0
               ? no_memory(err)
               : RC_OK;
}

static json_t *page_link(const char *base_url, uint64_t page)
{
    return json_pack("{s:o,s:s}", "id", json_sprintf("%s/activity/page/%" PRIu64, base_url, page), "type",
                     "OrderedCollectionPage");
}

static uint64_t page_of(uint64_t number)
{
    return (number - 1) / ACTIVITY_PAGE;
}

enum rc activity_document_collection(const struct activity_log *log, const char *base_url, struct bytes *out,
                                     struct err *err)
{
    OWN(activity_view_close) struct activity_view *view = NULL;
    OWN(json_release) json_t *json = NULL;
    uint64_t first = 1, last = 0;
    enum rc rc = activity_view_open(log, &view, err);
    if (rc != RC_OK)
        return rc;
    bool has_any = activity_view_span(view, &first, &last);
    json = json_pack("{s:s,s:o,s:s,s:I}", "@context", CONTEXT, "id", json_sprintf("%s/activity", base_url),
                     "type", "OrderedCollection", "totalItems",
                     has_any ? (json_int_t)(2 * (last - first + 1)) : 0);
    bool is_whole = json != NULL;
    if (is_whole && has_any)
        is_whole = json_object_set_new(json, "first", page_link(base_url, page_of(first))) == 0 &&
                   json_object_set_new(json, "last", page_link(base_url, page_of(last))) == 0;
    return is_whole ? write_json(json, out, err) : no_memory(err);
}

/* One record in one version. */
static json_t *activity(const struct activity_record *record, const char *base_url, int version,
                        const char *encoded)
{
    static const char *const type[] = {"Create", "Update", "Delete"};
    OWN_FREE char *url = manifest_document_url(base_url, version, encoded, record->subject.is_collection);
    char time_text[32];
    struct tm when;
    time_t at_s = record->at_s;
    if (url == NULL || gmtime_r(&at_s, &when) == NULL)
        return NULL;
    strftime(time_text, sizeof time_text, "%Y-%m-%dT%H:%M:%SZ", &when);
    return json_pack("{s:s,s:{s:s,s:s},s:s}", "type", type[record->type], "object", "id", url, "type",
                     record->subject.is_collection ? "Collection" : "Manifest", "endTime", time_text);
}

static enum rc add_record(const struct activity_record *record, const char *base_url, struct arena *arena,
                          json_t *items, struct err *err)
{
    size_t length = strlen(record->subject.path);
    char *encoded = arena_alloc(arena, IIIF_PERCENT_ENCODED_BYTES(length));
    if (encoded == NULL)
        return no_memory(err);
    iiif_percent_encode(record->subject.path, length, encoded);
    for (int version = 3; version >= 2; version--)
        if (json_array_append_new(items, activity(record, base_url, version, encoded)) != 0)
            return no_memory(err);
    return RC_OK;
}

static enum rc add_items(const struct activity_view *view, const char *base_url, uint64_t from, uint64_t to,
                         struct arena *arena, json_t *items, struct err *err)
{
    enum rc rc = RC_OK;
    for (uint64_t number = from; number <= to && rc == RC_OK; number++) {
        struct activity_record record;
        rc = activity_view_record(view, number, arena, &record, err);
        if (rc == RC_OK)
            rc = add_record(&record, base_url, arena, items, err);
        else if (rc == RC_NOT_FOUND) /* one that is damaged */
            rc = RC_OK;
    }
    return rc;
}

enum rc activity_document_page(const struct activity_log *log, const char *base_url, uint64_t page,
                               struct arena *arena, struct bytes *out, struct err *err)
{
    OWN(activity_view_close) struct activity_view *view = NULL;
    OWN(json_release) json_t *json = NULL;
    uint64_t first = 1, last = 0;
    enum rc rc = activity_view_open(log, &view, err);
    if (rc != RC_OK)
        return rc;
    if (!activity_view_span(view, &first, &last) || page < page_of(first) || page > page_of(last))
        return err_set(err, RC_NOT_FOUND, "there is no page %" PRIu64 " in the list of changes", page);
    json_t *items = json_array();
    json = json_pack("{s:s,s:o,s:s,s:{s:o,s:s},s:o}", "@context", CONTEXT, "id",
                     json_sprintf("%s/activity/page/%" PRIu64, base_url, page), "type",
                     "OrderedCollectionPage", "partOf", "id", json_sprintf("%s/activity", base_url), "type",
                     "OrderedCollection", "orderedItems", items);
    if (json == NULL)
        return no_memory(err);
    if ((page > page_of(first) && json_object_set_new(json, "prev", page_link(base_url, page - 1)) != 0) ||
        (page < page_of(last) && json_object_set_new(json, "next", page_link(base_url, page + 1)) != 0))
        return no_memory(err);
    uint64_t from = page * ACTIVITY_PAGE + 1, to = from + ACTIVITY_PAGE - 1;
    rc = add_items(view, base_url, from < first ? first : from, to > last ? last : to, arena, items, err);
    return rc == RC_OK ? write_json(json, out, err) : rc;
}
