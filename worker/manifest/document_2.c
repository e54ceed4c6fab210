/* IIIF Presentation API 2.1. */
#include "base/own.h"
#include "worker/manifest/document.h"
#include "worker/manifest/language.h"

#include <inttypes.h>
#include <string.h>

#define SMALL_PX 1200u /* canvases of smaller pictures are twice as large (2.1 §5.3) */

static bool put(json_t *object, const char *name, json_t *value)
{
    return json_object_set_new(object, name, value) == 0;
}

static bool put_text(json_t *object, const char *name, json_t *map)
{
    return map == NULL || put(object, name, manifest_language_2(map));
}

static json_t *service(const char *base_url, const char *identifier)
{
    return json_pack("{s:s,s:o,s:s}", "@context", "http://iiif.io/api/image/2/context.json", "@id",
                     json_sprintf("%s/iiif/2/%s", base_url, identifier), "profile",
                     "http://iiif.io/api/image/2/level2.json");
}

static json_t *picture(const char *base_url, const char *identifier, const char *size,
                       struct image_size pixels)
{
    return json_pack("{s:o,s:s,s:s,s:I,s:I,s:o}", "@id",
                     json_sprintf("%s/iiif/2/%s/full/%s/0/default.jpg", base_url, identifier, size), "@type",
                     "dctypes:Image", "format", "image/jpeg", "width", (json_int_t)pixels.width_px, "height",
                     (json_int_t)pixels.height_px, "service", service(base_url, identifier));
}

static json_t *thumbnail(const char *base_url, const char *identifier, struct image_size pixels)
{
    char size[32];
    snprintf(size, sizeof size, "%" PRIu32 ",%" PRIu32, pixels.width_px, pixels.height_px);
    return picture(base_url, identifier, size, pixels);
}

static json_t *canvas(const struct manifest_document *document, const char *url, size_t number)
{
    const struct manifest_page *page = &document->page[number - 1];
    OWN_FREE char *id = NULL;
    if (asprintf(&id, "%s/canvas/%zu", url, number) < 0)
        return NULL;
    json_int_t times = page->size.width_px < SMALL_PX || page->size.height_px < SMALL_PX ? 2 : 1;
    json_t *canvas = json_pack("{s:s,s:s,s:o,s:I,s:I}", "@id", id, "@type", "sc:Canvas", "label",
                               manifest_language_2(page->label), "width", times * page->size.width_px,
                               "height", times * page->size.height_px);
    json_t *painting = json_pack("[{s:o,s:s,s:s,s:s,s:o}]", "@id", json_sprintf("%s/image", id), "@type",
                                 "oa:Annotation", "motivation", "sc:painting", "on", id, "resource",
                                 picture(document->base_url, page->identifier, "full", page->full));
    bool is_whole = canvas != NULL;
    if (is_whole && page->thumbnail.width_px > 0)
        is_whole = put(canvas, "thumbnail", thumbnail(document->base_url, page->identifier, page->thumbnail));
    if (is_whole && put(canvas, "images", painting))
        return canvas;
    json_decref(canvas);
    return NULL;
}

static json_t *sequences(const struct manifest_document *document, const char *url)
{
    json_t *canvases = json_array();
    for (size_t number = 1; number <= document->page_count; number++)
        if (json_array_append_new(canvases, canvas(document, url, number)) != 0) {
            json_decref(canvases);
            return NULL;
        }
    return json_pack("[{s:o,s:s,s:o}]", "@id", json_sprintf("%s/sequence", url), "@type", "sc:Sequence",
                     "canvases", canvases);
}

static json_t *member(const char *base_url, const struct manifest_member *member)
{
    OWN_FREE char *url = manifest_document_url(base_url, 2, member->identifier, member->is_collection);
    json_t *item = json_pack("{s:s,s:s,s:o}", "@id", url, "@type",
                             member->is_collection ? "sc:Collection" : "sc:Manifest", "label",
                             manifest_language_2(member->label));
    if (item == NULL || member->thumbnail_identifier == NULL ||
        put(item, "thumbnail", thumbnail(base_url, member->thumbnail_identifier, member->thumbnail)))
        return item;
    json_decref(item);
    return NULL;
}

/* Collections and manifests apart, which every viewer of 2.x reads, and not as `members`. */
static bool put_members(json_t *json, const struct manifest_document *document)
{
    json_t *collections = json_array(), *manifests = json_array();
    bool is_whole = true;
    for (size_t i = 0; i < document->member_count && is_whole; i++)
        is_whole = json_array_append_new(document->member[i].is_collection ? collections : manifests,
                                         member(document->base_url, &document->member[i])) == 0;
    is_whole = (json_array_size(collections) == 0 ||
                json_object_set(json, "collections", collections) == 0) &&
               is_whole;
    is_whole = (json_array_size(manifests) == 0 || json_object_set(json, "manifests", manifests) == 0) &&
               is_whole;
    json_decref(collections);
    json_decref(manifests);
    return is_whole;
}

static json_t *metadata(json_t *pairs)
{
    json_t *all = json_array();
    for (size_t i = 0; i < json_array_size(pairs); i++) {
        json_t *pair = json_array_get(pairs, i);
        json_t *pair_2 = json_pack("{s:o,s:o}", "label", manifest_language_2(json_object_get(pair, "label")),
                                   "value", manifest_language_2(json_object_get(pair, "value")));
        if (json_array_append_new(all, pair_2) != 0) {
            json_decref(all);
            return NULL;
        }
    }
    return all;
}

/* `viewingHint` is what became `behavior`; 2.1 knows some of its words and only one at a time. */
static json_t *viewing_hint(json_t *behavior)
{
    static const char *const known[] = {"individuals", "paged", "continuous",  "multi-part",
                                        "non-paged",   "top",   "facing-pages"};
    for (size_t i = 0; i < json_array_size(behavior); i++)
        for (size_t k = 0; k < sizeof known / sizeof known[0]; k++)
            if (strcmp(json_string_value(json_array_get(behavior, i)), known[k]) == 0)
                return json_array_get(behavior, i);
    return NULL;
}

static bool put_described(json_t *json, const struct manifest_described *said)
{
    json_t *hint = viewing_hint(said->behavior);
    return put_text(json, "label", said->label) && put_text(json, "description", said->summary) &&
           (said->metadata == NULL || put(json, "metadata", metadata(said->metadata))) &&
           (said->rights == NULL || json_object_set(json, "license", said->rights) == 0) &&
           put_text(json, "attribution", json_object_get(said->required_statement, "value")) &&
           (said->viewing_direction == NULL ||
            json_object_set(json, "viewingDirection", said->viewing_direction) == 0) &&
           (said->nav_date == NULL || json_object_set(json, "navDate", said->nav_date) == 0) &&
           (hint == NULL || json_object_set(json, "viewingHint", hint) == 0);
}

json_t *manifest_document_2(const struct manifest_document *document)
{
    OWN_FREE char *url = manifest_document_url(document->base_url, 2, document->identifier,
                                               document->is_collection);
    json_t *json = json_pack("{s:s,s:s,s:s}", "@context", "http://iiif.io/api/presentation/2/context.json",
                             "@id", url, "@type", document->is_collection ? "sc:Collection" : "sc:Manifest");
    bool is_whole = json != NULL && put_described(json, document->described);
    if (is_whole && document->page_count > 0 && document->page[0].thumbnail.width_px > 0)
        is_whole = put(
            json, "thumbnail",
            thumbnail(document->base_url, document->page[0].identifier, document->page[0].thumbnail));
    if (is_whole)
        is_whole = document->is_collection ? put_members(json, document)
                                           : put(json, "sequences", sequences(document, url));
    if (is_whole)
        return json;
    json_decref(json);
    return NULL;
}
