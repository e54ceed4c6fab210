/* The levels of a TIFF to and from a record. For tiff_source.c only.
 *
 * Levels of one picture differ in little: a level says what is as in the one before. Restoring runs the same
 * checks as reading a directory does, so that a picture that comes out is one that readers may rely on. */
#ifndef WORKER_IMAGE_TIFF_RECORD_H
#define WORKER_IMAGE_TIFF_RECORD_H

#include "worker/image/record.h"
#include "worker/image/tiff_picture.h"

/* What restoring keeps from one level to the next. */
struct image_tiff_record_state {
    struct image_record_reader kind; /* where the last description of a kind begins */
};

/* Both for level after level; `before` is the level before, or NULL. */
void image_tiff_record_put(const struct image_tiff_picture *picture, const struct image_tiff_picture *before,
                           struct image_record *record);
/* `level` is its shape. RC_CORRUPT and the codes of image_tiff_picture_init(); `picture` then holds
 * nothing. */
RC_MUST_USE enum rc image_tiff_record_get(struct image_record_reader *reader,
                                          struct image_tiff_record_state *state,
                                          const struct image_tiff_file *file, const struct image_level *level,
                                          const struct image_source_limits *limits,
                                          const struct image_tiff_picture *before,
                                          struct image_tiff_picture *picture, struct err *err);

#endif
