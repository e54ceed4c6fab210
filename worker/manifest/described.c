#include "worker/manifest/described.h"

#include "base/own.h"
#include "worker/manifest/language.h"
#include "worker/manifest/text.h"

#include <string.h>

#define MAX_NAME_BYTES 1024u

static void json_release(json_t **json)
{
    json_decref(*json);
}

void manifest_described_done(struct manifest_described *d)
{
    json_t *all[] = {
        d->label,    d->summary,  d->metadata, d->rights, d->required_statement, d->viewing_direction,
        d->nav_date, d->behavior, d->other,    d->pages};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        json_decref(all[i]);
    *d = (struct manifest_described){NULL};
}

static void take_if_missing(json_t **slot, json_t **from)
{
    if (*slot == NULL)
        *slot = TAKE_PTR(*from);
}

void manifest_described_add(struct manifest_described *described, struct manifest_described *further)
{
    take_if_missing(&described->label, &further->label);
    take_if_missing(&described->summary, &further->summary);
    take_if_missing(&described->rights, &further->rights);
    take_if_missing(&described->required_statement, &further->required_statement);
    take_if_missing(&described->viewing_direction, &further->viewing_direction);
    take_if_missing(&described->nav_date, &further->nav_date);
    take_if_missing(&described->behavior, &further->behavior);
    take_if_missing(&described->other, &further->other);
    take_if_missing(&described->pages, &further->pages);
    if (described->metadata != NULL && further->metadata != NULL)
        json_array_extend(described->metadata, further->metadata);
    take_if_missing(&described->metadata, &further->metadata);
    manifest_described_done(further);
}

/* ---- properties ---- */

static enum rc no_memory(struct err *err)
{
    return err_set(err, RC_NO_MEMORY, "no memory for a description");
}

static enum rc read_text(json_t *written, const char *name, json_t **slot, struct err *err)
{
    json_t *map = NULL;
    enum rc rc = manifest_language_read(written, name, &map, err);
    if (rc == RC_OK) {
        json_decref(*slot);
        *slot = map;
    }
    return rc;
}

static enum rc read_string(json_t *written, const char *name, json_t **slot, struct err *err)
{
    if (!json_is_string(written))
        return err_set(err, RC_BAD_REQUEST, "%s is no string", name);
    json_decref(*slot);
    *slot = json_incref(written);
    return RC_OK;
}

/* The schema of 3.0 takes these only, and only with http. */
static enum rc read_rights(json_t *written, json_t **slot, struct err *err)
{
    static const char *const roots[] = {"creativecommons.org/licenses/", "creativecommons.org/publicdomain/",
                                        "rightsstatements.org/vocab/"};
    const char *uri = json_string_value(written);
    size_t scheme = uri == NULL                        ? 0
                    : strncmp(uri, "http://", 7) == 0  ? 7
                    : strncmp(uri, "https://", 8) == 0 ? 8
                                                       : 0;
    const char *rest = scheme == 0 ? "" : uri + scheme + (strncmp(uri + scheme, "www.", 4) == 0 ? 4 : 0);
    for (size_t i = 0; i < sizeof roots / sizeof roots[0]; i++) {
        if (strncmp(rest, roots[i], strlen(roots[i])) != 0)
            continue;
        json_decref(*slot);
        *slot = json_sprintf("http://%s", rest);
        return *slot == NULL ? no_memory(err) : RC_OK;
    }
    return err_set(err, RC_BAD_REQUEST,
                   "rights is %.100s; it has to be a URI of creativecommons.org or rightsstatements.org",
                   uri == NULL ? "no string" : uri);
}

static enum rc read_direction(json_t *written, json_t **slot, struct err *err)
{
    static const char *const directions[] = {"left-to-right", "right-to-left", "top-to-bottom",
                                             "bottom-to-top"};
    for (size_t i = 0; i < sizeof directions / sizeof directions[0]; i++)
        if (json_is_string(written) && strcmp(json_string_value(written), directions[i]) == 0)
            return read_string(written, "viewingDirection", slot, err);
    return err_set(err, RC_BAD_REQUEST,
                   "viewingDirection is none of left-to-right, right-to-left, top-to-bottom and "
                   "bottom-to-top");
}

/* {"label": text, "value": text} with both as language maps. */
static enum rc read_pair(json_t *label, json_t *value, const char *name, json_t **ret_pair, struct err *err)
{
    OWN(json_release) json_t *label_map = NULL, *value_map = NULL;
    if (label == NULL || value == NULL)
        return err_set(err, RC_BAD_REQUEST, "%s needs a label and a value", name);
    enum rc rc = manifest_language_read(label, name, &label_map, err);
    if (rc == RC_OK)
        rc = manifest_language_read(value, name, &value_map, err);
    if (rc != RC_OK)
        return rc;
    json_t *pair = json_pack("{s:O,s:O}", "label", label_map, "value", value_map);
    if (pair == NULL)
        return no_memory(err);
    *ret_pair = pair;
    return RC_OK;
}

static enum rc add_metadata(struct manifest_described *described, json_t *label, json_t *value,
                            struct err *err)
{
    json_t *pair = NULL;
    enum rc rc = read_pair(label, value, "metadata", &pair, err);
    if (rc != RC_OK)
        return rc;
    if (described->metadata == NULL)
        described->metadata = json_array();
    return json_array_append_new(described->metadata, pair) == 0 ? RC_OK : no_memory(err);
}

static enum rc read_metadata(json_t *written, struct manifest_described *described, struct err *err)
{
    enum rc rc = RC_OK;
    if (!json_is_object(written) && !json_is_array(written))
        return err_set(err, RC_BAD_REQUEST, "metadata is neither an array nor an object");
    for (size_t i = 0; rc == RC_OK && json_is_array(written) && i < json_array_size(written); i++) {
        json_t *pair = json_array_get(written, i);
        rc = add_metadata(described, json_object_get(pair, "label"), json_object_get(pair, "value"), err);
    }
    if (!json_is_object(written))
        return rc;
    const char *name;
    json_t *value;
    json_object_foreach(written, name, value)
    {
        OWN(json_release) json_t *label = json_string(name);
        rc = add_metadata(described, label, value, err);
        if (rc != RC_OK)
            return rc;
    }
    return RC_OK;
}

static enum rc read_statement(json_t *written, struct manifest_described *described, struct err *err)
{
    OWN(json_release) json_t *usual = json_string("Attribution");
    json_t *pair = NULL;
    bool is_pair = json_object_get(written, "label") != NULL || json_object_get(written, "value") != NULL;
    enum rc rc = is_pair ? read_pair(json_object_get(written, "label"), json_object_get(written, "value"),
                                     "requiredStatement", &pair, err)
                         : read_pair(usual, written, "requiredStatement", &pair, err);
    if (rc != RC_OK)
        return rc;
    json_decref(described->required_statement);
    described->required_statement = pair;
    return RC_OK;
}

static enum rc read_behavior(json_t *written, json_t **slot, struct err *err)
{
    json_t *list = json_is_string(written) ? json_pack("[O]", written) : json_incref(written);
    for (size_t i = 0; i < json_array_size(list) || i == 0; i++)
        if (!json_is_string(json_array_get(list, i))) {
            json_decref(list);
            return err_set(err, RC_BAD_REQUEST, "behavior is no string and no array of strings");
        }
    json_decref(*slot);
    *slot = list;
    return RC_OK;
}

static enum rc keep_other(struct manifest_described *described, const char *name, json_t *written,
                          struct err *err)
{
    if (!json_is_array(written))
        return err_set(err, RC_BAD_REQUEST, "%s is no array", name);
    if (described->other == NULL)
        described->other = json_object();
    return json_object_set(described->other, name, written) == 0 ? RC_OK : no_memory(err);
}

static enum rc read_pages(json_t *written, struct manifest_described *described, struct err *err)
{
    if (!json_is_array(written) && !json_is_object(written))
        return err_set(err, RC_BAD_REQUEST, "pages is neither an array nor an object");
    json_t *pages = json_is_array(written) ? json_array() : json_object();
    enum rc rc = RC_OK;
    for (size_t i = 0; rc == RC_OK && i < json_array_size(written); i++) {
        json_t *map = NULL;
        rc = manifest_language_read(json_array_get(written, i), "pages", &map, err);
        json_array_append_new(pages, map);
    }
    const char *name;
    json_t *value;
    json_object_foreach(written, name, value)
    {
        json_t *map = NULL;
        if (rc == RC_OK)
            rc = manifest_language_read(value, "pages", &map, err);
        json_object_set_new(pages, name, map);
    }
    if (rc != RC_OK) {
        json_decref(pages);
        return rc;
    }
    json_decref(described->pages);
    described->pages = pages;
    return RC_OK;
}

/* ---- who says it ---- */

static enum rc read_property(struct manifest_described *described, const char *name, json_t *written,
                             struct err *err)
{
    static const char *const others[] = {"provider", "homepage", "seeAlso", "rendering"};
    if (strcmp(name, "label") == 0)
        return read_text(written, name, &described->label, err);
    if (strcmp(name, "summary") == 0)
        return read_text(written, name, &described->summary, err);
    if (strcmp(name, "metadata") == 0)
        return read_metadata(written, described, err);
    if (strcmp(name, "rights") == 0)
        return read_rights(written, &described->rights, err);
    if (strcmp(name, "requiredStatement") == 0)
        return read_statement(written, described, err);
    if (strcmp(name, "viewingDirection") == 0)
        return read_direction(written, &described->viewing_direction, err);
    if (strcmp(name, "navDate") == 0)
        return read_string(written, name, &described->nav_date, err);
    if (strcmp(name, "behavior") == 0)
        return read_behavior(written, &described->behavior, err);
    if (strcmp(name, "pages") == 0)
        return read_pages(written, described, err);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (strcmp(name, others[i]) == 0)
            return keep_other(described, name, written, err);
    return err_set(err, RC_BAD_REQUEST, "there is no property \"%.60s\"", name);
}

enum rc manifest_described_read(json_t *written, struct manifest_described *ret_described, struct err *err)
{
    OWN(manifest_described_done) struct manifest_described described = {NULL};
    if (!json_is_object(written))
        return err_set(err, RC_BAD_REQUEST, "it is no JSON object");
    const char *name;
    json_t *value;
    json_object_foreach(written, name, value)
    {
        enum rc rc = read_property(&described, name, value, err);
        if (rc != RC_OK)
            return rc;
    }
    *ret_described = described;
    described = (struct manifest_described){NULL};
    return RC_OK;
}

enum rc manifest_described_sidecar(const void *text, size_t length, struct manifest_described *ret_described,
                                   struct err *err)
{
    json_error_t where;
    OWN(json_release) json_t *written = json_loadb(text, length, JSON_REJECT_DUPLICATES, &where);
    if (written == NULL)
        return err_set(err, RC_BAD_REQUEST, "line %d: %s", where.line, where.text);
    return manifest_described_read(written, ret_described, err);
}

/* One property by its name: "label", "summary", "rights", "viewingDirection", "navDate", "requiredStatement",
 * or anything else: the label of a metadata entry. Empty values say nothing. RC_BAD_REQUEST. */
static enum rc set_property(struct manifest_described *described, const char *name, const char *value,
                            struct err *err)
{
    static const char *const properties[] = {"label",   "summary",          "rights", "viewingDirection",
                                             "navDate", "requiredStatement"};
    if (value[0] == '\0')
        return RC_OK;
    OWN(json_release) json_t *written = json_string(value);
    if (written == NULL)
        return err_set(err, RC_BAD_REQUEST, "%.60s is not UTF-8", name);
    for (size_t i = 0; i < sizeof properties / sizeof properties[0]; i++)
        if (strcmp(name, properties[i]) == 0)
            return read_property(described, name, written, err);
    OWN(json_release) json_t *label = json_string(name);
    return add_metadata(described, label, written, err);
}

enum rc manifest_described_embedded(const struct manifest_embedded *embedded,
                                    struct manifest_described *ret_described, struct err *err)
{
    static const char *const name[MANIFEST_FIELDS] = {
        [MANIFEST_TITLE] = "label",
        [MANIFEST_DESCRIPTION] = "summary",
        [MANIFEST_CREATOR] = "Creator",
        [MANIFEST_DATE] = "Date",
        [MANIFEST_KEYWORDS] = "Subject",
        [MANIFEST_CREDIT] = "Credit",
        [MANIFEST_COPYRIGHT] = "requiredStatement",
        [MANIFEST_LICENCE] = "rights",
    };
    OWN(manifest_described_done) struct manifest_described described = {NULL};
    for (int field = 0; field < MANIFEST_FIELDS; field++) {
        const char *text = embedded->text[field];
        enum rc rc = text == NULL ? RC_OK : set_property(&described, name[field], text, err);
        if (rc == RC_BAD_REQUEST &&
            field == MANIFEST_LICENCE) /* a licence that 3.0 does not know is still one */
            rc = set_property(&described, "License", text, err);
        if (rc != RC_OK)
            return rc;
    }
    *ret_described = described;
    described = (struct manifest_described){NULL};
    return RC_OK;
}

enum rc manifest_described_name(const char *path, bool is_folder, struct manifest_described *ret_described,
                                struct err *err)
{
    const char *slash = strrchr(path, '/'), *last = slash == NULL ? path : slash + 1;
    const char *dot = is_folder ? NULL : strrchr(last, '.');
    size_t length = dot == NULL || dot == last ? strlen(last) : (size_t)(dot - last);
    struct arena *arena = arena_new();
    const char *name = arena == NULL ? NULL : manifest_text_clean(arena, last, length, MAX_NAME_BYTES);
    json_t *label = name == NULL ? NULL : manifest_language_none(name[0] == '\0' ? "Images" : name);
    arena_free(arena);
    if (label == NULL)
        return no_memory(err);
    *ret_described = (struct manifest_described){.label = label};
    return RC_OK;
}

json_t *manifest_described_page(const struct manifest_described *described, size_t place,
                                const char *file_name)
{
    json_t *label = json_is_array(described->pages) ? json_array_get(described->pages, place)
                                                    : json_object_get(described->pages, file_name);
    return json_incref(label);
}
