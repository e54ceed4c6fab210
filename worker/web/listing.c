#include "worker/web/listing.h"

#include "base/clock.h"
#include "base/own.h"
#include "worker/iiif/identifier.h"
#include "worker/iiif/percent.h"
#include "worker/manifest/text.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define THUMBNAIL_PX 360u  /* the longer edge: at least that of a size that is offered, */
#define LARGEST_PX   1800u /* and at most that */
#define NAME_BYTES   500u
#define LOOKING_MS   800 /* at pictures that nobody knows, and into folders */
#define COVER_DEPTH  3u

struct writing {
    const struct web_gallery *gallery;
    const struct web_wanted *wanted;
    struct arena *arena;
    int64_t until_ms;
};

static void own_json(json_t **slot)
{
    json_decref(*slot);
}

/* Takes `value` over, NULL where memory is out. */
static bool put(json_t *object, const char *name, json_t *value)
{
    return json_object_set_new(object, name, value) == 0;
}

/* ---- names ---- */

static json_t *shown(struct writing *w, const char *name, size_t length)
{
    const char *clean = manifest_text_clean(w->arena, name, length, NAME_BYTES);
    return clean == NULL ? NULL : json_string(clean);
}

static const char *encoded(struct writing *w, const char *path, size_t length)
{
    char *text = arena_alloc(w->arena, IIIF_PERCENT_ENCODED_BYTES(length));
    if (text != NULL)
        iiif_percent_encode(path, length, text);
    return text;
}

static const char *below(struct writing *w, const char *folder, const char *name)
{
    return arena_format(w->arena, "%s%s%s", folder, folder[0] == '\0' ? "" : "/", name);
}

/* ---- pictures ---- */

/* The sizes that the picture has, the smallest first, as far as they suit a gallery. Those cost least. */
static bool put_sizes(struct writing *w, json_t *entry, const struct image_pyramid *pyramid)
{
    json_t *sizes = json_array();
    for (uint32_t i = pyramid->level_count; i-- > 0;) {
        struct image_size size = image_size_upright(pyramid->level[i].size, pyramid->orientation);
        uint32_t edge = size.width_px > size.height_px ? size.width_px : size.height_px;
        if ((edge >= THUMBNAIL_PX || i == 0) && edge <= LARGEST_PX &&
            iiif_size_within(size, w->gallery->limits) &&
            json_array_append_new(
                sizes, json_pack("[I,I]", (json_int_t)size.width_px, (json_int_t)size.height_px)) != 0) {
            json_decref(sizes);
            return false;
        }
    }
    return put(entry, "sizes", sizes);
}

/* What is known of the picture, or quickly learnt. One that cannot be read says why. */
static bool put_picture(struct writing *w, json_t *entry, const char *path)
{
    struct picture *picture = pictures_peek(w->gallery->pictures, path, 1, NULL);
    struct err err;
    bool opened = false;
    enum rc rc = RC_OK;
    if (picture == NULL) {
        if (clock_monotonic_ms() > w->until_ms)
            return true;
        rc = pictures_look(w->gallery->pictures, path, 1, &picture, &opened, &err);
    }
    if (rc != RC_OK)
        return rc == RC_AWAY || rc == RC_NO_MEMORY || put(entry, "problem", json_string(err.message));
    const struct image_pyramid *pyramid = &picture->pyramid;
    struct image_size size = image_size_upright(pyramid->level[0].size, pyramid->orientation);
    bool is_put = put(entry, "width", json_integer(size.width_px)) &&
                  put(entry, "height", json_integer(size.height_px)) &&
                  put(entry, "pages", json_integer(pyramid->page_count)) && put_sizes(w, entry, pyramid);
    pictures_release(w->gallery->pictures, &picture);
    return is_put;
}

/* `path` may stand within a longer text. */
static json_t *picture_entry(struct writing *w, const char *path, size_t length, bool says_where)
{
    const char *id = encoded(w, path, length), *own = arena_text(w->arena, path, length);
    const char *slash = memrchr(path, '/', length);
    size_t folder = slash == NULL ? 0 : (size_t)(slash - path), start = slash == NULL ? 0 : folder + 1;
    json_t *entry = id == NULL || own == NULL ? NULL
                                              : json_pack("{s:s,s:s,s:o}", "kind", "picture", "id", id,
                                                          "name", shown(w, path + start, length - start));
    if (entry != NULL && (!says_where || put(entry, "where", shown(w, path, folder))) &&
        put_picture(w, entry, own))
        return entry;
    json_decref(entry);
    return NULL;
}

/* ---- folders ---- */

/* The picture that stands for a folder: its first, or that of its first folder. */
static bool put_cover(struct writing *w, json_t *entry, const char *path, unsigned depth)
{
    const struct web_folder *folder = NULL;
    if (clock_monotonic_ms() > w->until_ms ||
        web_folders_get(w->gallery->folders, path, &folder, NULL) != RC_OK)
        return true;
    bool is_put = depth > 0 ||
                  (put(entry, "folders", json_integer((json_int_t)folder->folder_count)) &&
                   put(entry, "pictures", json_integer((json_int_t)(folder->count - folder->folder_count))));
    bool has_picture = folder->count > folder->folder_count;
    const char *first = folder->count == 0
                            ? NULL
                            : below(w, path, folder->name[has_picture ? folder->folder_count : 0]);
    web_folders_release(w->gallery->folders, &folder);
    if (!is_put || first == NULL)
        return is_put;
    if (!has_picture)
        return depth + 1 >= COVER_DEPTH || put_cover(w, entry, first, depth + 1);
    json_t *cover = picture_entry(w, first, strlen(first), false);
    return cover != NULL && put(entry, "cover", cover);
}

static json_t *folder_entry(struct writing *w, const char *path, const char *name)
{
    const char *id = encoded(w, path, strlen(path));
    json_t *entry = id == NULL ? NULL
                               : json_pack("{s:s,s:s,s:o}", "kind", "folder", "id", id, "name",
                                           shown(w, name, strlen(name)));
    if (entry != NULL && put_cover(w, entry, path, 0))
        return entry;
    json_decref(entry);
    return NULL;
}

/* The folders from the root to `path`. */
static json_t *way(struct writing *w, const char *path)
{
    json_t *list = json_array();
    for (size_t begin = 0; path[begin] != '\0';) {
        size_t end = begin + strcspn(path + begin, "/");
        json_t *step = json_pack("{s:s,s:o}", "id", encoded(w, path, end), "name",
                                 shown(w, path + begin, end - begin));
        if (json_array_append_new(list, step) != 0) {
            json_decref(list);
            return NULL;
        }
        begin = end + (path[end] == '/');
    }
    return list;
}

/* ---- the two documents ---- */

static enum rc no_memory(struct err *err)
{
    return err_set(err, RC_NO_MEMORY, "no memory for the gallery");
}

/* Where a stretch begins that has `near` in its middle. */
static size_t place_near(const struct web_folder *folder, const char *near, size_t count)
{
    const char *slash = strrchr(near, '/'), *name = slash == NULL ? near : slash + 1;
    for (size_t i = folder->folder_count; i < folder->count; i++)
        if (strcmp(folder->name[i], name) == 0)
            return i < folder->folder_count + count / 2 ? folder->folder_count : i - count / 2;
    return folder->folder_count;
}

static enum rc write_folder(struct writing *w, json_t *document, json_t *entries, struct err *err)
{
    const struct web_wanted *wanted = w->wanted;
    const struct web_folder *folder = NULL;
    enum rc rc = web_folders_get(w->gallery->folders, wanted->folder, &folder, err);
    if (rc != RC_OK)
        return rc;
    size_t from = wanted->near != NULL ? place_near(folder, wanted->near, wanted->count) : wanted->from;
    bool is_put = put(document, "total", json_integer((json_int_t)folder->count)) &&
                  put(document, "folders", json_integer((json_int_t)folder->folder_count)) &&
                  put(document, "from", json_integer((json_int_t)from)) &&
                  put(document, "complete", json_true());
    for (size_t i = from; is_put && i < folder->count && i - from < wanted->count; i++) {
        const char *path = below(w, wanted->folder, folder->name[i]);
        json_t *entry = path == NULL               ? NULL
                        : i < folder->folder_count ? folder_entry(w, path, folder->name[i])
                                                   : picture_entry(w, path, strlen(path), false);
        is_put = json_array_append_new(entries, entry) == 0;
    }
    web_folders_release(w->gallery->folders, &folder);
    return is_put ? RC_OK : no_memory(err);
}

static enum rc put_matches(struct writing *w, const struct web_roll_file *file, json_t *document,
                           json_t *entries, struct err *err)
{
    const struct web_roll_wanted wanted = {.words = w->wanted->search,
                                           .folder = w->wanted->folder,
                                           .from = w->wanted->from,
                                           .room = w->wanted->count};
    struct web_roll_found found = {.match = arena_alloc(w->arena, wanted.room * sizeof *found.match)};
    if (found.match == NULL)
        return no_memory(err);
    enum rc rc = web_roll_find(&file->text, &wanted, &found, err);
    if (rc != RC_OK)
        return rc;
    bool is_put = put(document, "total", json_integer((json_int_t)found.total)) &&
                  put(document, "more", json_boolean(found.is_more)) &&
                  put(document, "known", json_integer((json_int_t)file->count));
    for (size_t i = 0; is_put && i < found.count; i++)
        is_put = json_array_append_new(
                     entries, picture_entry(w, found.match[i].path, found.match[i].length, true)) == 0;
    return is_put ? RC_OK : no_memory(err);
}

static enum rc write_search(struct writing *w, json_t *document, json_t *entries, struct err *err)
{
    OWN(web_roll_file_release) struct web_roll_file *file = NULL;
    uint64_t names = 0;
    enum rc rc = web_roll_get(w->gallery->roll, &file, &names, err);
    if (rc != RC_OK)
        return rc;
    bool is_put = put(document, "from", json_integer((json_int_t)w->wanted->from)) &&
                  put(document, "complete", json_boolean(file != NULL));
    if (is_put && file != NULL)
        return put_matches(w, file, document, entries, err);
    is_put = is_put && put(document, "total", json_integer(0)) &&
             put(document, "known", json_integer((json_int_t)names));
    return is_put ? RC_OK : no_memory(err);
}

enum rc web_listing_write(const struct web_gallery *gallery, const struct web_wanted *wanted,
                          struct arena *arena, struct bytes *out, struct err *err)
{
    struct writing w = {
        .gallery = gallery, .wanted = wanted, .arena = arena, .until_ms = clock_monotonic_ms() + LOOKING_MS};
    struct iiif_identifier checked;
    if (wanted->folder[0] != '\0' && (iiif_identifier_read(wanted->folder, &checked, NULL) != RC_OK ||
                                      strcmp(checked.path, wanted->folder) != 0))
        return err_set(err, RC_NOT_FOUND, "there is no folder '%.100s'", wanted->folder);
    OWN(own_json)
    json_t *document = json_pack("{s:s,s:o}", "folder", encoded(&w, wanted->folder, strlen(wanted->folder)),
                                 "path", way(&w, wanted->folder));
    json_t *entries = json_array();
    if (document == NULL || entries == NULL) {
        json_decref(entries);
        return no_memory(err);
    }
    enum rc rc = wanted->search != NULL ? write_search(&w, document, entries, err)
                                        : write_folder(&w, document, entries, err);
    if (!put(document, "entries", entries) && rc == RC_OK)
        return no_memory(err);
    OWN_FREE char *text = rc == RC_OK ? json_dumps(document, JSON_COMPACT) : NULL;
    if (rc == RC_OK && text == NULL)
        return no_memory(err);
    return rc == RC_OK ? bytes_append(out, text, strlen(text), err) : rc;
}
