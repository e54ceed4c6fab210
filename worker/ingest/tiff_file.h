/* The structure of a pyramid's file: header, directories and the tables of where its tiles lie, as bytes.
 *
 * In the order that readers over a network like ("cloud-optimised"): all directories first, full size before
 * the smaller levels, each with its tables right behind it; then the tiles, the smallest level's first.
 * Levels are directories of the main chain marked as reduced (NewSubfileType 1), which every reader of
 * pyramids understands. Pure: whatever is written follows from the arguments. */
#ifndef WORKER_INGEST_TIFF_FILE_H
#define WORKER_INGEST_TIFF_FILE_H

#include "worker/image/source.h"
#include "worker/image/tile_encode.h"
#include "worker/ingest/levels.h"

struct ingest_tiff_file {
    const struct ingest_levels *levels;
    struct image_tile_options tiles;
    /* Upright, with EXIF's sizes set; TIFF's own directory tells apart what of EXIF describes the picture. */
    const struct image_metadata *metadata;
    bool always_big;
    const char *record; /* stands between header and directories, with its NUL; NULL: nothing does */
    const uint32_t *tile_bytes[IMAGE_MAX_LEVELS]; /* of each level's tiles, row by row */
};

struct ingest_tiff_layout {
    bool big;
    uint64_t level_at[IMAGE_MAX_LEVELS]; /* where each level's tiles begin, one behind the other */
    uint64_t length_bytes;               /* of the whole file */
};

/* Appends everything in front of the tiles to `out` (empty) and says where those go. BigTIFF where the file
 * would be longer than 2 GiB, or always. RC_NO_MEMORY. */
RC_MUST_USE enum rc ingest_tiff_file_head(const struct ingest_tiff_file *file, struct bytes *out,
                                          struct ingest_tiff_layout *ret_layout, struct err *err);

#endif
