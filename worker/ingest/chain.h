/* What has to be done to a master's pixels, and the chain of steps that does it:
 *
 *     reader → resample (chroma, depth) → RGB, where it must be → colour → flatten → upright → gray to RGB → YCbCr → pyramid
 *
 * ingest_plan_init() decides, purely, from the source and the options; ingest_chain_run() drives every row of
 * the master through. One thread drives; nothing is left behind but the spools' contents. */
#ifndef WORKER_INGEST_CHAIN_H
#define WORKER_INGEST_CHAIN_H

#include "worker/image/colour.h"
#include "worker/image/rotate.h"
#include "worker/ingest/convert.h"
#include "worker/image/tile_encode.h"

/* The formats of the pixels on their way. */
struct ingest_plan {
    struct image_colour *colour; /* NULL: numbers stay what they are */
    bool profile_refused;        /* the master's says nothing of its pixels */
    struct image_format read;    /* what resampling makes of the reader's pixels */
    struct image_format coloured;
    struct image_format flat; /* without alpha, where it goes; also while turned */
    struct image_symmetry upright;
    struct image_size size;          /* upright */
    struct image_tile_options tiles; /* tiles.format: the end */
    /* What the pyramid carries: borrowed from the source or static, but for `exif` and `xmp`. */
    struct image_metadata metadata;
};

/* Fills in `plan`, and the result's sizes, profiles, model and warnings. `source` must outlive it.
 * RC_UNSUPPORTED, RC_BAD_REQUEST, RC_NO_MEMORY. */
RC_MUST_USE enum rc ingest_plan_init(struct ingest_plan *plan, const struct image_source *source,
                                     const struct ingest_options *options, struct ingest_result *result,
                                     struct err *err);
void ingest_plan_done(struct ingest_plan *plan); /* fits OWN() */

/* Reads the whole master through the chain into `end`, which it closes, and finishes it. */
RC_MUST_USE enum rc ingest_chain_run(const struct ingest_plan *plan, struct image_source *source,
                                     const struct ingest_options *options, const char *folder,
                                     struct image_sink *end, ingest_progress *progress, void *context,
                                     struct err *err);

#endif
