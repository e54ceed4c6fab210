/* The TIFF source as its own files see it: tiff_source.c, its readers (tiff_jpeg_reader.c,
 * tiff_chunk_reader.c, tiff_row_reader.c), stored tiles (tiff_tiles.c) and what is wanted in advance
 * (tiff_want.c). For them only. */
#ifndef WORKER_IMAGE_TIFF_SOURCE_H
#define WORKER_IMAGE_TIFF_SOURCE_H

#include "worker/image/record.h"
#include "worker/image/tiff_picture.h"

/* Where the tiles of one level lie: read once, on first use, so that opening stays cheap. */
struct image_tiff_tiles {
    uint32_t count;
    struct image_record_place tile[];
};

struct image_tiff_source {
    struct image_source source;
    struct image_tiff_file file;
    struct image_tiff_picture level[IMAGE_MAX_LEVELS];          /* as source.pyramid.level */
    _Atomic(struct image_tiff_tiles *) tiles[IMAGE_MAX_LEVELS]; /* NULL: not looked up yet */
};

/* Each starts a reader as image_source_read() promises, for pictures of one kind: JPEG-coded; in tiles or
 * subsampled; and all other strips. */
RC_MUST_USE enum rc image_tiff_jpeg_read(struct image_tiff_source *tiff, uint32_t level, uint32_t shrink_log2,
                                         const struct image_region *window, struct image_reader **ret_reader,
                                         struct err *err);
RC_MUST_USE enum rc image_tiff_chunks_read(const struct image_tiff_source *tiff, uint32_t level,
                                           const struct image_region *window,
                                           struct image_reader **ret_reader, struct err *err);
RC_MUST_USE enum rc image_tiff_rows_read(const struct image_tiff_source *tiff, uint32_t level,
                                         const struct image_region *window, struct image_reader **ret_reader,
                                         struct err *err);

/* image_tiff_picture_chunks() from the level's table, where it has one; may block. */
RC_MUST_USE enum rc image_tiff_chunks(struct image_tiff_source *tiff, uint32_t level, uint64_t first,
                                      uint32_t count, uint64_t *ret_at, uint64_t *ret_bytes, struct err *err);

/* image_source_want() (tiff_want.c). */
RC_MUST_USE enum rc image_tiff_want(const struct image_tiff_source *tiff, uint32_t level,
                                    const struct image_region *window, struct err *err);

/* image_source_stored_tile() for JPEG and WebP tiles (tiff_tiles.c). */
RC_MUST_USE enum rc image_tiff_stored_tile(struct image_tiff_source *tiff, uint32_t level, uint32_t column,
                                           uint32_t row, bool may_block, struct image_stored_tile *ret_tile,
                                           struct err *err);

/* Whether the tiles of all levels have the size and the restart intervals that let neighbours be joined by
 * copying: told by the first tile of the smallest level, which lies near the file's head in well-ordered
 * files. A hint: what is joined is checked then, and a broken tile means no. RC_AWAY, RC_IO, RC_NO_MEMORY. */
RC_MUST_USE enum rc image_tiff_tiles_join(const struct image_tiff_source *tiff, bool *ret_join,
                                          struct err *err);

#endif
