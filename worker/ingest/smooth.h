/* YCbCr to RGB, with subsampled chroma interpolated as libjpeg does it for everybody who decodes a JPEG file:
 * what a pyramid coded as RGB shows is then what the master showed. A sink as in image/pixels.h: one thread,
 * some rows of memory. */
#ifndef WORKER_INGEST_SMOOTH_H
#define WORKER_INGEST_SMOOTH_H

#include "worker/image/pixels.h"

/* Takes `from`, YCBCR 4:4:4, 4:2:2, 4:4:0 or 4:2:0; `next` takes RGB of 8 bits. Takes over `next`, also on
 * failure. RC_NO_MEMORY. */
RC_MUST_USE enum rc ingest_smooth(const struct image_format *from, struct image_sink *next,
                                  struct image_sink **ret_sink, struct err *err);

#endif
