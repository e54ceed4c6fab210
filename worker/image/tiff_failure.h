/* Why libtiff failed while it wrote, as enum rc and one sentence. For tiff_encode.c and
 * tiff_tile_encode.c. */
#ifndef WORKER_IMAGE_TIFF_FAILURE_H
#define WORKER_IMAGE_TIFF_FAILURE_H

#include "base/err.h"

#include <tiffio.h>

struct image_tiff_failure {
    const char *what; /* how sentences begin: "the picture cannot be written as TIFF" */
    enum rc rc;       /* of the first failure, ours beneath libtiff or libtiff's own; RC_OK: none yet */
    struct err *err;  /* of the call in progress; NULL: it concerns nobody */
};

/* Options for TIFFClientOpenExt(), to be freed after it, by which libtiff tells `failure` and prints nothing.
 * NULL: no memory. */
TIFFOpenOptions *image_tiff_failure_options(struct image_tiff_failure *failure);

/* What has failed, or `sentence` as RC_NO_MEMORY where nobody said. */
RC_MUST_USE enum rc image_tiff_failure_rc(struct image_tiff_failure *failure, const char *sentence);

#endif
