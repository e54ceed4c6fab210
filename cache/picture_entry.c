#include "cache/picture_entry.h"

#include "base/own.h"

#include <string.h>

void picture_entry_free(struct picture_entry *entry)
{
    image_colour_free(&entry->picture.colour);
    image_source_close(&entry->picture.source);
    free(entry);
}

static struct picture_entry *entry_new(const struct picture_wanted *wanted, struct err *err)
{
    size_t path_bytes = strlen(wanted->path) + 1;
    struct picture_entry *entry = calloc(1, sizeof *entry + path_bytes);
    if (entry == NULL) {
        err_set(err, RC_NO_MEMORY, "no memory to open image '%s'", wanted->path);
        return NULL;
    }
    memcpy(entry->path, wanted->path, path_bytes);
    entry->page = wanted->page;
    entry->references = 1;
    entry->checked_ms = wanted->checked_ms;
    entry->epoch = wanted->epoch;
    entry->picture.version_hash = wanted->version;
    entry->picture.modified_s = wanted->modified_s;
    return entry;
}

struct picture_entry *picture_entry_recall(const struct pictures_options *options,
                                           struct picture_wanted *wanted, bool may_wait)
{
    OWN(picture_record_done) struct picture_record record = {0};
    struct image_pyramid pyramid;
    if (!picture_record_find(options->index, &wanted->key, wanted->version, may_wait, &record) ||
        image_record_pyramid(&record.record, &pyramid, NULL) != RC_OK)
        return NULL;
    wanted->modified_s = record.modified_s;
    struct picture_entry *entry = entry_new(wanted, NULL);
    if (entry != NULL)
        entry->picture.pyramid = pyramid;
    return entry;
}

/* The source from the index, or from the file where that does not help: `blob` is used up then. */
static enum rc entry_restore(const struct pictures_options *options, const struct picture_wanted *wanted,
                             struct image_blob **blob, struct image_source **ret_source)
{
    OWN(picture_record_done) struct picture_record record = {0};
    if (!picture_record_find(options->index, &wanted->key, wanted->version, true, &record))
        return RC_NOT_FOUND;
    return picture_record_restore(options->index, &record, TAKE_PTR(*blob), &options->limits, ret_source,
                                  NULL);
}

static enum rc entry_parse(const struct pictures_options *options, const struct picture_wanted *wanted,
                           struct image_blob *blob, struct image_source **ret_source, struct err *err)
{
    if (blob ==
        NULL) { /* restoring has used it up; whatever is wrong with the file now, it shows further on */
        struct origin_version version;
        enum rc rc = origin_open_blob(options->origin, wanted->path, &blob, &version, err);
        if (rc != RC_OK)
            return rc;
        if (origin_version_hash(&version) != wanted->version) {
            image_blob_close(&blob);
            return err_set(err, RC_BUSY, "image '%s' is being replaced, please try again", wanted->path);
        }
    }
    return image_source_open(blob, wanted->page, &options->limits, ret_source, err);
}

static enum rc entry_decide_colour(struct picture *picture, struct err *err)
{
    enum rc rc = image_colour_decide(&picture->source->format, &picture->source->metadata.icc,
                                     &picture->colour, &picture->note, err);
    if (rc == RC_OK && !image_colour_is_untouched(picture->colour))
        picture->source->pyramid.tiles_join =
            false; /* tiles of another colour space are never sent as they are */
    return rc;
}

enum rc picture_entry_open(const struct pictures_options *options, const struct picture_wanted *wanted,
                           struct image_blob *blob, struct picture_entry **ret_entry, bool *ret_parsed,
                           struct err *err)
{
    OWN(image_blob_close) struct image_blob *own_blob = blob;
    struct picture_entry *entry = entry_new(wanted, err);
    if (entry == NULL)
        return RC_NO_MEMORY;
    struct picture *picture = &entry->picture;
    bool parsed = entry_restore(options, wanted, &own_blob, &picture->source) != RC_OK;
    enum rc rc = parsed ? entry_parse(options, wanted, TAKE_PTR(own_blob), &picture->source, err) : RC_OK;
    if (rc == RC_OK)
        rc = entry_decide_colour(picture, err);
    if (rc != RC_OK) {
        picture_entry_free(entry);
        return rc;
    }
    struct shm_index *index = options->index;
    picture->pyramid = picture->source->pyramid;
    picture_shelf_init(&entry->shelf, index, &wanted->key, wanted->version);
    picture->source->shelf = index != NULL ? &entry->shelf.shelf : NULL;
    atomic_init(&entry->is_kept, !parsed);
    *ret_parsed = parsed;
    *ret_entry = entry;
    return RC_OK;
}
