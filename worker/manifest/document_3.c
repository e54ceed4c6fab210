/* IIIF Presentation API 3.0. */
#include "base/own.h"
#include "worker/manifest/document.h"

#include <inttypes.h>

/* A property that may be absent: `value` is taken over, NULL means that memory is out. */
static bool put(json_t *object, const char *name, json_t *value)
{
    return json_object_set_new(object, name, value) == 0;
}

static bool put_said(json_t *object, const char *name, json_t *said)
{
    return said == NULL || json_object_set(object, name, said) == 0;
}

/* An image service that also understands 2.1, for viewers that know only that (3.0 §3.2, service). */
static json_t *services(const char *base_url, const char *identifier)
{
    return json_pack("[{s:o,s:s,s:s},{s:o,s:s,s:s}]", "id",
                     json_sprintf("%s/iiif/3/%s", base_url, identifier), "type", "ImageService3", "profile",
                     "level2", "@id", json_sprintf("%s/iiif/2/%s", base_url, identifier), "@type",
                     "ImageService2", "profile", "http://iiif.io/api/image/2/level2.json");
}

static json_t *picture(const char *base_url, const char *identifier, const char *size,
                       struct image_size pixels)
{
    return json_pack("{s:o,s:s,s:s,s:I,s:I,s:o}", "id",
                     json_sprintf("%s/iiif/3/%s/full/%s/0/default.jpg", base_url, identifier, size), "type",
                     "Image", "format", "image/jpeg", "width", (json_int_t)pixels.width_px, "height",
                     (json_int_t)pixels.height_px, "service", services(base_url, identifier));
}

static json_t *thumbnail(const char *base_url, const char *identifier, struct image_size pixels)
{
    char size[32];
    snprintf(size, sizeof size, "%" PRIu32 ",%" PRIu32, pixels.width_px, pixels.height_px);
    return json_pack("[o]", picture(base_url, identifier, size, pixels));
}

static json_t *canvas(const struct manifest_document *document, const char *url, size_t number)
{
    const struct manifest_page *page = &document->page[number - 1];
    OWN_FREE char *id = NULL;
    if (asprintf(&id, "%s/canvas/%zu", url, number) < 0)
        return NULL;
    json_t *body = picture(document->base_url, page->identifier, "max", page->full);
    json_t *canvas = json_pack("{s:s,s:s,s:I,s:I,s:O}", "id", id, "type", "Canvas", "width",
                               (json_int_t)page->size.width_px, "height", (json_int_t)page->size.height_px,
                               "label", page->label);
    json_t *painting = json_pack("[{s:o,s:s,s:[{s:o,s:s,s:s,s:s,s:o}]}]", "id", json_sprintf("%s/page", id),
                                 "type", "AnnotationPage", "items", "id", json_sprintf("%s/image", id),
                                 "type", "Annotation", "motivation", "painting", "target", id, "body", body);
    bool is_whole = canvas != NULL;
    if (is_whole && page->thumbnail.width_px > 0)
        is_whole = put(canvas, "thumbnail", thumbnail(document->base_url, page->identifier, page->thumbnail));
    if (is_whole && put(canvas, "items", painting))
        return canvas;
    json_decref(canvas);
    return NULL;
}

static json_t *canvases(const struct manifest_document *document, const char *url)
{
    json_t *items = json_array();
    for (size_t number = 1; number <= document->page_count; number++)
        if (json_array_append_new(items, canvas(document, url, number)) != 0) {
            json_decref(items);
            return NULL;
        }
    return items;
}

static json_t *member(const char *base_url, const struct manifest_member *member)
{
    OWN_FREE char *url = manifest_document_url(base_url, 3, member->identifier, member->is_collection);
    json_t *item = json_pack("{s:s,s:s,s:O}", "id", url, "type",
                             member->is_collection ? "Collection" : "Manifest", "label", member->label);
    if (item == NULL || member->thumbnail_identifier == NULL ||
        put(item, "thumbnail", thumbnail(base_url, member->thumbnail_identifier, member->thumbnail)))
        return item;
    json_decref(item);
    return NULL;
}

static json_t *members(const struct manifest_document *document)
{
    json_t *items = json_array();
    for (size_t i = 0; i < document->member_count; i++)
        if (json_array_append_new(items, member(document->base_url, &document->member[i])) != 0) {
            json_decref(items);
            return NULL;
        }
    return items;
}

static bool put_described(json_t *json, const struct manifest_described *said)
{
    return put_said(json, "label", said->label) && put_said(json, "summary", said->summary) &&
           put_said(json, "metadata", said->metadata) && put_said(json, "rights", said->rights) &&
           put_said(json, "requiredStatement", said->required_statement) &&
           put_said(json, "viewingDirection", said->viewing_direction) &&
           put_said(json, "navDate", said->nav_date) && put_said(json, "behavior", said->behavior) &&
           (said->other == NULL || json_object_update(json, said->other) == 0);
}

json_t *manifest_document_3(const struct manifest_document *document)
{
    OWN_FREE char *url = manifest_document_url(document->base_url, 3, document->identifier,
                                               document->is_collection);
    json_t *json = json_pack("{s:s,s:s,s:s}", "@context", "http://iiif.io/api/presentation/3/context.json",
                             "id", url, "type", document->is_collection ? "Collection" : "Manifest");
    bool is_whole = json != NULL && put_described(json, document->described);
    if (is_whole && document->page_count > 0 && document->page[0].thumbnail.width_px > 0)
        is_whole = put(
            json, "thumbnail",
            thumbnail(document->base_url, document->page[0].identifier, document->page[0].thumbnail));
    if (is_whole && put(json, "items", document->is_collection ? members(document) : canvases(document, url)))
        return json;
    json_decref(json);
    return NULL;
}
