/* Which parts of the file a window of a level takes. */
#include "worker/image/tiff_source.h"

#include "base/own.h"
#include "worker/image/tiff_unpack.h"

struct wanting {
    const struct image_tiff_source *tiff;
    const struct image_tiff_picture *picture;
    uint32_t first_column, columns;
    uint64_t *at, *bytes; /* of a row of chunks */
    bool away;
};

/* Uncompressed strips are read row by row: only the rows of the window count. */
static void narrow(const struct image_tiff_picture *picture, uint32_t row, const struct image_region *window,
                   uint64_t *at, uint64_t *bytes)
{
    uint64_t row_bytes = image_tiff_row_bytes(picture, picture->size.width_px),
             strip_px = (uint64_t)row * picture->chunk.height_px;
    uint64_t top = window->y_px > strip_px ? (window->y_px - strip_px) * row_bytes : 0;
    uint64_t bottom = ((uint64_t)window->y_px + window->height_px - strip_px) * row_bytes;
    if (top >= *bytes)
        return;
    *bytes = (bottom < *bytes ? bottom : *bytes) - top;
    *at += top;
}

static enum rc want_row(struct wanting *w, unsigned sample, uint32_t row, const struct image_region *window,
                        struct err *err)
{
    const struct image_tiff_picture *picture = w->picture;
    struct image_blob *blob = w->tiff->file.blob;
    uint64_t first = ((uint64_t)sample * picture->chunks_down + row) * picture->chunks_across +
                     w->first_column;
    enum rc rc = image_tiff_picture_chunks(picture, &w->tiff->file, first, w->columns, w->at, w->bytes, err);
    if (rc == RC_AWAY) /* goes on, so that all of the table comes at once */
        w->away = true;
    if (rc != RC_OK)
        return rc == RC_AWAY ? RC_OK : rc;
    for (uint32_t i = 0; i < w->columns; i++) {
        if (picture->plain_rows)
            narrow(picture, row, window, &w->at[i], &w->bytes[i]);
        if (!image_blob_want(blob, w->at[i], w->bytes[i]))
            w->away = true;
    }
    return RC_OK;
}

enum rc image_tiff_want(const struct image_tiff_source *tiff, uint32_t level,
                        const struct image_region *window, struct err *err)
{
    const struct image_tiff_picture *picture = &tiff->level[level];
    struct wanting w = {
        .tiff = tiff, .picture = picture, .first_column = window->x_px / picture->chunk.width_px};
    w.columns = (window->x_px + window->width_px - 1) / picture->chunk.width_px - w.first_column + 1;
    OWN_FREE uint64_t *places = calloc(2 * (size_t)w.columns, sizeof *places);
    if (places == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory to look up %u tiles", w.columns);
    w.at = places;
    w.bytes = places + w.columns;
    uint32_t first_row = window->y_px / picture->chunk.height_px,
             last_row = (window->y_px + window->height_px - 1) / picture->chunk.height_px;
    for (unsigned sample = 0; sample < (picture->separate ? picture->samples : 1u); sample++)
        for (uint32_t row = first_row; row <= last_row; row++) {
            enum rc rc = want_row(&w, sample, row, window, err);
            if (rc != RC_OK)
                return rc;
        }
    return w.away ? err_set(err, RC_AWAY, "parts of the source have to be fetched first") : RC_OK;
}
