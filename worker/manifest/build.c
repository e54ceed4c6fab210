#include "worker/manifest/build.h"

#include "base/own.h"
#include "worker/iiif/percent.h"
#include "worker/manifest/text.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MOST_SIDECAR_BYTES (1u << 20)
/* Larger collections have no pictures of their members: each would have to be opened. */
#define MOST_PICTURED 500u

/* One document while it is built; all of it lives in the arena but for the JSON. */
struct building {
    const struct manifest_site *site;
    const struct manifest_wanted *wanted;
    struct arena *arena;
    struct origin_entry *entry; /* of the folder, in natural order */
    size_t entry_count;
    struct manifest_described described;
    struct manifest_page *page;
    struct manifest_member *member;
    size_t page_count, member_count;
    const char *away; /* what is waited for */
    struct err *err;
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

static bool is_picture(const char *name)
{
    static const char *const extensions[] = {"tif", "tiff", "ptif", "ptiff", "btf",
                                             "jpg", "jpeg", "png",  "webp"};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot != NULL && i < sizeof extensions / sizeof extensions[0]; i++)
        if (strcasecmp(dot + 1, extensions[i]) == 0)
            return true;
    return false;
}

static int in_natural_order(const void *left, const void *right)
{
    return manifest_text_natural(((const struct origin_entry *)left)->name,
                                 ((const struct origin_entry *)right)->name);
}

static enum rc list(struct building *b, const char *path, struct origin_entry **ret_entries,
                    size_t *ret_count)
{
    enum rc rc = origin_list(b->site->origin, path, b->arena, ret_entries, ret_count, b->err);
    if (rc == RC_OK && *ret_count > 0)
        qsort(*ret_entries, *ret_count, sizeof **ret_entries, in_natural_order);
    return rc;
}

static const char *below(struct building *b, const char *folder, const char *name)
{
    return arena_format(b->arena, "%s%s%s", folder, folder[0] == '\0' ? "" : "/", name);
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

/* NAME.json beside the file or folder NAME. */
static const char *sidecar_path(struct building *b, const char *path, bool is_folder)
{
    const char *slash = strrchr(path, '/'), *dot = is_folder ? NULL : strrchr(path, '.');
    if (dot == NULL || (slash != NULL && dot < slash))
        dot = path + strlen(path);
    return arena_format(b->arena, "%.*s.json", (int)(dot - path), path);
}

static enum rc read_sidecar(struct building *b, const char *path, struct manifest_described *ret_said)
{
    struct origin_version version;
    OWN(image_blob_close) struct image_blob *blob = NULL;
    OWN(bytes_done) struct bytes text = {0};
    enum rc rc = origin_open_blob(b->site->origin, path, &blob, &version, b->err);
    if (rc == RC_OK && blob->size_bytes > MOST_SIDECAR_BYTES)
        return err_set(b->err, RC_BAD_REQUEST, "it is larger than %u bytes", MOST_SIDECAR_BYTES);
    if (rc == RC_OK)
        rc = bytes_reserve(&text, (size_t)blob->size_bytes + 1, b->err);
    if (rc == RC_OK)
        rc = image_blob_read(blob, text.data, (size_t)blob->size_bytes, 0, b->err);
    return rc == RC_OK ? manifest_described_sidecar(text.data, (size_t)blob->size_bytes, ret_said, b->err)
                       : rc;
}

/* Adds what a sidecar says; there need not be one, and one that is wrong says nothing. */
static enum rc add_sidecar(struct building *b, const char *of, bool is_folder,
                           struct manifest_described *said)
{
    struct manifest_described further = {NULL};
    const char *path = sidecar_path(b, of, is_folder);
    if (path == NULL)
        return no_memory(b);
    enum rc rc = read_sidecar(b, path, &further);
    if (rc == RC_OK)
        manifest_described_add(said, &further);
    if (rc == RC_AWAY)
        b->away = path;
    if (rc == RC_BAD_REQUEST || rc == RC_IO || rc == RC_CORRUPT) {
        const char *sentence = arena_format(b->arena, "%s: %s", path, b->err->message);
        b->site->warn(sentence == NULL ? b->err->message : sentence, b->site->context);
    }
    return rc == RC_AWAY || rc == RC_NO_MEMORY ? rc : RC_OK;
}

static enum rc add_embedded(struct building *b, const struct picture *picture,
                            struct manifest_described *said)
{
    struct manifest_embedded embedded;
    struct manifest_described further = {NULL};
    const struct image_metadata *metadata = NULL;
    enum rc rc = image_source_metadata(picture->source, &metadata, b->err);
    if (rc == RC_AWAY)
        b->away = b->wanted->path;
    if (rc != RC_OK)
        return rc == RC_AWAY || rc == RC_NO_MEMORY ? rc : RC_OK;
    manifest_embedded_read(metadata, b->arena, &embedded);
    rc = manifest_described_embedded(&embedded, &further, b->err);
    if (rc == RC_OK)
        manifest_described_add(said, &further);
    return rc;
}

static enum rc add_name(struct building *b, const char *path, bool is_folder, struct manifest_described *said)
{
    struct manifest_described further = {NULL};
    enum rc rc = manifest_described_name(path, is_folder, &further, b->err);
    if (rc == RC_OK)
        manifest_described_add(said, &further);
    return rc;
}

/* ---- pictures ---- */

static enum rc open_picture(struct building *b, const char *path, uint32_t page, struct picture **ret_picture)
{
    bool opened;
    if (b->site->cancelled(b->site->context))
        return err_set(b->err, RC_CANCELLED, "the document took too long");
    enum rc rc = pictures_open(b->site->pictures, path, page, ret_picture, &opened, b->err);
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
    const struct image_pyramid *pyramid = &picture->source->pyramid;
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

static json_t *page_label(struct building *b, size_t place, const char *name, bool is_only)
{
    json_t *label = manifest_described_page(&b->described, place, name);
    if (label != NULL)
        return label;
    if (is_only)
        return json_incref(b->described.label);
    struct manifest_described said = {NULL};
    const char *number = arena_format(b->arena, "%zu", place + 1);
    if (manifest_described_name(name[0] == '\0' && number != NULL ? number : name, false, &said, NULL) !=
        RC_OK)
        return NULL;
    return said.label;
}

static enum rc build_picture(struct building *b)
{
    const char *path = b->wanted->path;
    uint32_t pages = 1;
    for (uint32_t page = 1; page <= pages; page++) {
        struct picture *picture = NULL;
        enum rc rc = open_picture(b, path, page, &picture);
        if (rc == RC_OK && page == 1) {
            pages = picture->source->pyramid.page_count;
            b->page = arena_alloc(b->arena, pages * sizeof *b->page);
            rc = b->page == NULL ? no_memory(b) : add_sidecar(b, path, false, &b->described);
            if (rc == RC_OK)
                rc = add_embedded(b, picture, &b->described);
            if (rc == RC_OK)
                rc = add_name(b, path, false, &b->described);
        }
        if (rc == RC_OK) {
            const char *id = page == 1 ? b->wanted->identifier
                                       : arena_format(b->arena, "%s;%u", b->wanted->identifier, page);
            rc = fill_page(b, picture, id, page_label(b, page - 1, "", pages == 1));
        }
        if (picture != NULL)
            pictures_release(b->site->pictures, &picture);
        if (rc != RC_OK)
            return rc;
    }
    return RC_OK;
}

/* ---- a folder ---- */

static enum rc build_folder_manifest(struct building *b)
{
    b->page = arena_alloc(b->arena, (b->entry_count + 1) * sizeof *b->page);
    enum rc rc = b->page == NULL ? no_memory(b) : RC_OK;
    for (size_t i = 0; i < b->entry_count && rc == RC_OK; i++) {
        struct picture *picture = NULL;
        if (!is_picture(b->entry[i].name))
            continue;
        const char *path = below(b, b->wanted->path, b->entry[i].name);
        rc = path == NULL ? no_memory(b) : open_picture(b, path, 1, &picture);
        if (rc == RC_OK)
            rc = fill_page(b, picture, encoded(b, path, 1),
                           page_label(b, b->page_count, b->entry[i].name, false));
        else if (rc == RC_CORRUPT || rc == RC_UNSUPPORTED || rc == RC_TOO_LARGE || rc == RC_NOT_FOUND)
            rc = RC_OK; /* one page that cannot be read does not take the others away */
        if (picture != NULL)
            pictures_release(b->site->pictures, &picture);
    }
    if (rc == RC_OK && b->page_count == 0)
        return err_set(b->err, RC_NOT_FOUND, "there is no picture in the folder '%.100s'", b->wanted->path);
    return rc;
}

/* Whether there are folders in it. */
static bool has_folders(const struct origin_entry *entry, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (entry[i].is_folder)
            return true;
    return false;
}

/* The picture that stands for a folder: its first. NULL: there is none. */
static const char *first_picture(struct building *b, const char *folder, const struct origin_entry *entry,
                                 size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!entry[i].is_folder && is_picture(entry[i].name))
            return below(b, folder, entry[i].name);
    return NULL;
}

static enum rc add_thumbnail(struct building *b, const char *path, struct manifest_member *member)
{
    struct picture *picture = NULL;
    enum rc rc = open_picture(b, path, 1, &picture);
    if (rc == RC_AWAY || rc == RC_CANCELLED || rc == RC_NO_MEMORY)
        return rc;
    if (rc != RC_OK)
        return RC_OK; /* not even one that cannot be read */
    member->thumbnail = thumbnail_of(&picture->source->pyramid);
    pictures_release(b->site->pictures, &picture);
    if (!iiif_size_within(member->thumbnail, b->site->limits))
        return RC_OK;
    member->thumbnail_identifier = encoded(b, path, 1);
    return member->thumbnail_identifier == NULL ? no_memory(b) : RC_OK;
}

static enum rc add_member(struct building *b, const struct origin_entry *entry, bool is_pictured)
{
    struct manifest_described said = {NULL};
    struct manifest_member member = {NULL};
    const char *path = below(b, b->wanted->path, entry->name), *picture = path;
    enum rc rc = path == NULL ? no_memory(b) : RC_OK;
    if (rc == RC_OK && entry->is_folder) {
        struct origin_entry *inner = NULL;
        size_t count = 0;
        rc = list(b, path, &inner, &count);
        member.is_collection = has_folders(inner, count);
        picture = rc == RC_OK ? first_picture(b, path, inner, count) : NULL;
        if (rc == RC_NOT_FOUND || (rc == RC_OK && picture == NULL && !member.is_collection))
            return RC_OK; /* nothing to be shown in there */
    }
    if (rc == RC_OK)
        rc = add_sidecar(b, path, entry->is_folder, &said);
    if (rc == RC_OK)
        rc = add_name(b, path, entry->is_folder, &said);
    if (rc == RC_OK && is_pictured && picture != NULL)
        rc = add_thumbnail(b, picture, &member);
    if (rc == RC_OK) {
        member.identifier = encoded(b, path, 1);
        member.label = json_incref(said.label);
        b->member[b->member_count++] = member;
        rc = member.identifier == NULL ? no_memory(b) : RC_OK;
    }
    manifest_described_done(&said);
    return rc;
}

static enum rc build_collection(struct building *b)
{
    b->member = arena_alloc(b->arena, (b->entry_count + 1) * sizeof *b->member);
    enum rc rc = b->member == NULL ? no_memory(b) : RC_OK;
    for (size_t i = 0; i < b->entry_count && rc == RC_OK; i++)
        if (b->entry[i].is_folder || is_picture(b->entry[i].name))
            rc = add_member(b, &b->entry[i], b->entry_count <= MOST_PICTURED);
    return rc;
}

static enum rc build_folder(struct building *b)
{
    enum rc rc = add_sidecar(b, b->wanted->path, true, &b->described);
    if (rc == RC_OK)
        rc = add_name(b, b->wanted->path, true, &b->described);
    if (rc != RC_OK)
        return rc;
    return b->wanted->is_collection ? build_collection(b) : build_folder_manifest(b);
}

/* ---- the whole ---- */

enum rc manifest_build(const struct manifest_site *site, const struct manifest_wanted *wanted,
                       struct arena *arena, struct bytes *out, enum manifest_built *ret_built,
                       const char **ret_away, struct err *err)
{
    OWN(building_done) struct building b = {.site = site, .wanted = wanted, .arena = arena, .err = err};
    struct err listing_err;
    b.err = &listing_err;
    enum rc rc = list(&b, wanted->path, &b.entry, &b.entry_count);
    bool is_folder = rc == RC_OK;
    bool is_collection = is_folder && (wanted->path[0] == '\0' || has_folders(b.entry, b.entry_count));
    b.err = err;
    if (rc != RC_OK && rc != RC_NOT_FOUND && rc != RC_UNSUPPORTED) {
        *err = listing_err;
        return rc;
    }
    if (rc == RC_UNSUPPORTED && wanted->path[0] == '\0') {
        *err = listing_err;
        return rc;
    }
    *ret_built = is_collection == wanted->is_collection ? MANIFEST_BUILT : MANIFEST_IS_OTHER;
    if (*ret_built == MANIFEST_IS_OTHER && is_folder)
        return RC_OK;
    rc = is_folder ? build_folder(&b) : build_picture(&b);
    if (rc == RC_AWAY)
        *ret_away = b.away;
    if (rc != RC_OK || *ret_built == MANIFEST_IS_OTHER)
        return rc;
    const struct manifest_document document = {.base_url = wanted->base_url,
                                               .identifier = wanted->identifier,
                                               .is_collection = is_collection,
                                               .described = &b.described,
                                               .page = b.page,
                                               .page_count = b.page_count,
                                               .member = b.member,
                                               .member_count = b.member_count};
    return manifest_document_write(&document, wanted->version, out, err);
}
