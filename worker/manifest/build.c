#include "worker/manifest/build.h"

#include "base/own.h"
#include "worker/iiif/percent.h"
#include "worker/manifest/language.h"
#include "worker/manifest/said.h"

#include <string.h>

/* Larger collections have no pictures of their members: each would have to be opened. */
#define MOST_PICTURED   500u
#define FETCHED_AT_ONCE 64u /* pictures of a folder that is far away */

/* One document while it is built; all of it lives in the arena but for the JSON. */
struct building {
    const struct manifest_site *site;
    const struct manifest_wanted *wanted;
    struct arena *arena;
    const struct manifest_survey *survey;
    struct manifest_described described;
    struct manifest_page *page;
    struct manifest_member *member;
    size_t page_count, member_count;
    struct manifest_pictured *pictured;
    size_t pictured_count;
    bool is_refused;  /* pictures were left out that may not be read */
    const char *away; /* what is waited for */
    struct err *err;
};

/* What is on its way from an origin that is far. */
struct fetching {
    const char *first;
    unsigned count;
};

static void building_done(struct building *b)
{
    manifest_described_done(&b->described);
    for (size_t i = 0; i < b->page_count; i++)
        json_decref(b->page[i].label);
    for (size_t i = 0; i < b->member_count; i++)
        json_decref(b->member[i].label);
}

static enum rc no_memory(struct building *b)
{
    return err_set(b->err, RC_NO_MEMORY, "no memory for the document");
}

/* ---- names ---- */

static const char *below(struct building *b, const char *folder, const char *name)
{
    return manifest_survey_below(b->arena, folder, name);
}

/* NULL when memory is out. */
static const char *encoded(struct building *b, const char *path, uint32_t page)
{
    size_t length = strlen(path);
    char *text = arena_alloc(b->arena, IIIF_PERCENT_ENCODED_BYTES(length));
    if (text == NULL)
        return NULL;
    iiif_percent_encode(path, length, text);
    return page == 1 ? text : arena_format(b->arena, "%s;%u", text, page);
}

/* ---- what is said ---- */

/* What sidecar and catalogue say. */
static enum rc add_written(struct building *b, const char *path, bool is_folder, bool has_sidecar,
                           struct manifest_described *said)
{
    enum rc rc = has_sidecar
                     ? manifest_said_sidecar(b->site, path, is_folder, b->arena, said, &b->away, b->err)
                     : RC_OK;
    return rc == RC_OK ? manifest_said_row(b->site, path, said, b->err) : rc;
}

static enum rc add_embedded(struct building *b, const struct picture *picture)
{
    enum rc rc = manifest_said_embedded(picture, b->arena, &b->described, b->err);
    if (rc == RC_AWAY)
        b->away = b->wanted->path;
    return rc;
}

/* ---- pictures ---- */

/* Its shape; with `needs_source` what it says itself can be read, too. */
static enum rc open_picture(struct building *b, const char *path, uint32_t page, bool needs_source,
                            struct picture **ret_picture)
{
    bool opened;
    if (b->site->cancelled(b->site->context))
        return err_set(b->err, RC_CANCELLED, "the document took too long");
    enum rc rc = origin_last_word(b->site->origin, path, b->err);
    if (rc != RC_OK)
        return rc;
    rc = (needs_source ? pictures_open : pictures_look)(b->site->pictures, path, page, ret_picture, &opened,
                                                        b->err);
    if (rc == RC_AWAY)
        b->away = path;
    return rc;
}

/* The smallest of the picture's own sizes that is large enough; all of it where it is small. */
static struct image_size thumbnail_of(const struct image_pyramid *pyramid)
{
    for (uint32_t i = pyramid->level_count; i-- > 0;) {
        struct image_size size = image_size_upright(pyramid->level[i].size, pyramid->orientation);
        if (size.width_px >= MANIFEST_THUMBNAIL_PX || size.height_px >= MANIFEST_THUMBNAIL_PX || i == 0)
            return size;
    }
    return (struct image_size){0, 0};
}

static struct image_size largest_answer(const struct building *b, struct image_size size)
{
    const struct iiif_request max = {.version = IIIF_3, .size_form = IIIF_SIZE_MAX};
    struct iiif_size largest;
    return iiif_size_resolve(&max, size, b->site->limits, &largest, NULL) == RC_OK ? largest.size : size;
}

/* Takes `label` over. */
static enum rc fill_page(struct building *b, const struct picture *picture, const char *identifier,
                         json_t *label)
{
    const struct image_pyramid *pyramid = &picture->pyramid;
    struct image_size size = image_size_upright(pyramid->level[0].size, pyramid->orientation);
    struct image_size thumbnail = thumbnail_of(pyramid);
    if (!iiif_size_within(thumbnail, b->site->limits))
        thumbnail = (struct image_size){0, 0};
    b->page[b->page_count++] = (struct manifest_page){.identifier = identifier,
                                                      .label = label,
                                                      .size = size,
                                                      .full = largest_answer(b, size),
                                                      .thumbnail = thumbnail};
    return identifier == NULL || label == NULL ? no_memory(b) : RC_OK;
}

/* ---- a picture ---- */

static json_t *page_label(struct building *b, uint32_t page, bool is_only)
{
    json_t *label = manifest_described_page(&b->described, page - 1, "");
    const char *number = arena_format(b->arena, "%u", page);
    if (label != NULL)
        return label;
    return is_only ? json_incref(b->described.label) : number == NULL ? NULL : manifest_language_none(number);
}

static enum rc build_picture(struct building *b)
{
    const char *path = b->wanted->path;
    uint32_t pages = 1;
    for (uint32_t page = 1; page <= pages; page++) {
        struct picture *picture = NULL;
        enum rc rc = open_picture(b, path, page, page == 1, &picture);
        if (rc == RC_OK && page == 1) {
            pages = picture->pyramid.page_count;
            b->page = arena_alloc(b->arena, pages * sizeof *b->page);
            rc = b->page == NULL ? no_memory(b)
                                 : add_written(b, path, false, b->survey->has_sidecar, &b->described);
            if (rc == RC_OK)
                rc = add_embedded(b, picture);
            if (rc == RC_OK)
                rc = manifest_said_name(path, false, &b->described, b->err);
        }
        if (rc == RC_OK) {
            const char *id = page == 1 ? b->wanted->identifier
                                       : arena_format(b->arena, "%s;%u", b->wanted->identifier, page);
            rc = fill_page(b, picture, id, page_label(b, page, pages == 1));
        }
        if (picture != NULL)
            pictures_release(b->site->pictures, &picture);
        if (rc != RC_OK)
            return rc;
    }
    return RC_OK;
}

/* ---- a folder ---- */

/* Whether NAME.json lies beside the entry NAME. */
static bool has_sidecar(struct building *b, const struct origin_entry *entry)
{
    const char *name = manifest_survey_sidecar(b->arena, entry->name, entry->is_folder);
    return name != NULL && manifest_survey_find_file(b->survey, name) != NULL;
}

/* What sidecar and catalogue say about something in the folder. */
static enum rc add_said(struct building *b, const struct origin_entry *entry, const char *path,
                        struct manifest_described *said)
{
    return add_written(b, path, entry->is_folder, has_sidecar(b, entry), said);
}

/* A page of a folder: labelled by the folder, else by itself. */
static enum rc add_page(struct building *b, const struct origin_entry *entry, const char *path,
                        const struct picture *picture)
{
    json_t *label = manifest_described_page(&b->described, b->page_count, entry->name);
    OWN(manifest_described_done) struct manifest_described said = {NULL};
    enum rc rc = label == NULL ? add_said(b, entry, path, &said) : RC_OK;
    if (rc == RC_OK && label == NULL)
        rc = manifest_said_name(path, false, &said, b->err);
    if (rc != RC_OK)
        return rc;
    return fill_page(b, picture, encoded(b, path, 1), label != NULL ? label : json_incref(said.label));
}

/* Of what is away the next step is fetched, and what comes after it is looked at nevertheless, so that all
 * that a folder far away has goes on together; then the document is made anew. */
static enum rc go_on_fetching(struct building *b, struct fetching *fetching, enum rc rc)
{
    if (rc != RC_AWAY)
        return rc;
    if (fetching->count++ == 0)
        fetching->first = b->away;
    else
        origin_prefetch(b->site->origin, b->away);
    return fetching->count < FETCHED_AT_ONCE ? RC_OK : rc;
}

/* Whether the document has to wait. */
static bool is_fetching(struct building *b, const struct fetching *fetching, enum rc rc)
{
    if (fetching->count == 0 || (rc != RC_OK && rc != RC_AWAY))
        return false;
    b->away = fetching->first;
    return true;
}

/* One picture; what cannot be read is left out. */
static enum rc try_page(struct building *b, const struct origin_entry *entry, struct fetching *fetching)
{
    struct picture *picture = NULL;
    const char *path = below(b, b->wanted->path, entry->name);
    enum rc rc = path == NULL ? no_memory(b) : open_picture(b, path, 1, false, &picture);
    if (rc == RC_OK)
        rc = add_page(b, entry, path, picture);
    else if (rc == RC_CORRUPT || rc == RC_UNSUPPORTED || rc == RC_TOO_LARGE || rc == RC_NOT_FOUND ||
             rc == RC_FORBIDDEN) {
        b->is_refused = b->is_refused || rc == RC_FORBIDDEN;
        rc = RC_OK; /* it does not take the others away */
    }
    if (picture != NULL)
        pictures_release(b->site->pictures, &picture);
    return go_on_fetching(b, fetching, rc);
}

static enum rc build_folder_manifest(struct building *b)
{
    struct fetching fetching = {.count = 0};
    b->page = arena_alloc(b->arena, (b->survey->entry_count + 1) * sizeof *b->page);
    enum rc rc = b->page == NULL ? no_memory(b) : RC_OK;
    for (size_t i = 0; i < b->survey->entry_count && rc == RC_OK; i++)
        if (manifest_survey_is_picture(b->survey->entry[i].name))
            rc = try_page(b, &b->survey->entry[i], &fetching);
    if (is_fetching(b, &fetching, rc))
        return err_set(b->err, RC_AWAY, "pictures of the folder are away");
    if (rc == RC_OK && b->page_count == 0 && b->is_refused)
        return err_set(b->err, RC_FORBIDDEN, "the pictures in the folder '%.100s' may not be read",
                       b->wanted->path);
    if (rc == RC_OK && b->page_count == 0)
        return err_set(b->err, RC_NOT_FOUND, "there is no picture in the folder '%.100s'", b->wanted->path);
    return rc;
}

/* ---- a collection ---- */

/* `is_unseen`: the survey knows nothing of the picture. */
static enum rc add_thumbnail(struct building *b, const char *path, bool is_unseen,
                             struct manifest_member *member)
{
    struct picture *picture = NULL;
    enum rc rc = open_picture(b, path, 1, false, &picture);
    if (rc == RC_AWAY || rc == RC_CANCELLED || rc == RC_NO_MEMORY)
        return rc;
    if (rc != RC_OK)
        return RC_OK; /* not even one that cannot be read */
    member->thumbnail = thumbnail_of(&picture->pyramid);
    if (is_unseen)
        b->pictured[b->pictured_count++] = (struct manifest_pictured){path, picture->version_hash};
    pictures_release(b->site->pictures, &picture);
    if (!iiif_size_within(member->thumbnail, b->site->limits))
        return RC_OK;
    member->thumbnail_identifier = encoded(b, path, 1);
    return member->thumbnail_identifier == NULL ? no_memory(b) : RC_OK;
}

/* What stands for a folder, and which document it has; *ret_picture NULL: nothing is to be shown in there. */
static enum rc look_inside(struct building *b, const char *path, bool *ret_is_collection,
                           const char **ret_picture)
{
    struct origin_entry *inner = NULL;
    size_t count = 0;
    enum rc rc = manifest_survey_list(b->site->origin, path, b->arena, &inner, &count, &b->away, b->err);
    if (rc != RC_OK)
        return rc == RC_NOT_FOUND ? RC_OK : rc;
    const struct origin_entry *first = manifest_survey_first(inner, count);
    *ret_is_collection = manifest_survey_has_folders(inner, count);
    *ret_picture = first == NULL ? NULL : below(b, path, first->name);
    return first != NULL && *ret_picture == NULL ? no_memory(b) : RC_OK;
}

static enum rc add_member(struct building *b, const struct origin_entry *entry, bool is_pictured)
{
    OWN(manifest_described_done) struct manifest_described said = {NULL};
    struct manifest_member member = {NULL};
    const char *path = below(b, b->wanted->path, entry->name), *picture = path;
    enum rc rc = path == NULL ? no_memory(b) : RC_OK;
    if (rc == RC_OK && entry->is_folder) {
        picture = NULL;
        rc = look_inside(b, path, &member.is_collection, &picture);
        if (rc == RC_OK && picture == NULL && !member.is_collection)
            return RC_OK;
    }
    if (rc == RC_OK)
        rc = add_said(b, entry, path, &said);
    if (rc == RC_OK)
        rc = manifest_said_name(path, entry->is_folder, &said, b->err);
    if (rc == RC_OK && is_pictured && picture != NULL)
        rc = add_thumbnail(b, picture, manifest_survey_is_dated(entry), &member);
    if (rc != RC_OK)
        return rc;
    member.identifier = encoded(b, path, 1);
    member.label = json_incref(said.label);
    b->member[b->member_count++] = member;
    return member.identifier == NULL ? no_memory(b) : RC_OK;
}

static enum rc build_collection(struct building *b)
{
    size_t count = b->survey->entry_count;
    struct fetching fetching = {.count = 0};
    b->member = arena_alloc(b->arena, (count + 1) * sizeof *b->member);
    b->pictured = arena_alloc(b->arena, (MOST_PICTURED + 1) * sizeof *b->pictured);
    enum rc rc = b->member == NULL || b->pictured == NULL ? no_memory(b) : RC_OK;
    for (size_t i = 0; i < count && rc == RC_OK; i++) {
        const struct origin_entry *entry = &b->survey->entry[i];
        if (entry->is_folder || manifest_survey_is_picture(entry->name))
            rc = go_on_fetching(b, &fetching, add_member(b, entry, count <= MOST_PICTURED));
    }
    return is_fetching(b, &fetching, rc) ? err_set(b->err, RC_AWAY, "members of the collection are away")
                                         : rc;
}

static enum rc build_folder(struct building *b)
{
    enum rc rc = add_written(b, b->wanted->path, true, b->survey->has_sidecar, &b->described);
    if (rc == RC_OK)
        rc = manifest_said_name(b->wanted->path, true, &b->described, b->err);
    if (rc != RC_OK)
        return rc;
    return b->survey->is_collection ? build_collection(b) : build_folder_manifest(b);
}

/* ---- the whole ---- */

enum rc manifest_build(const struct manifest_site *site, const struct manifest_wanted *wanted,
                       const struct manifest_survey *survey, struct arena *arena,
                       struct manifest_built *ret_built, const char **ret_away, struct err *err)
{
    OWN(building_done)
    struct building b = {.site = site, .wanted = wanted, .survey = survey, .arena = arena, .err = err};
    OWN(bytes_done) struct bytes text = {0};
    enum rc rc = survey->is_folder ? build_folder(&b) : build_picture(&b);
    if (rc == RC_AWAY)
        *ret_away = b.away;
    if (rc != RC_OK)
        return rc;
    const struct manifest_document document = {.base_url = wanted->base_url,
                                               .identifier = wanted->identifier,
                                               .is_collection = survey->is_collection,
                                               .described = &b.described,
                                               .page = b.page,
                                               .page_count = b.page_count,
                                               .member = b.member,
                                               .member_count = b.member_count};
    rc = manifest_document_write(&document, wanted->version, &text, err);
    if (rc == RC_OK) {
        *ret_built = (struct manifest_built){
            .text = text, .pictured = b.pictured, .pictured_count = b.pictured_count};
        text = (struct bytes){0};
    }
    return rc;
}
