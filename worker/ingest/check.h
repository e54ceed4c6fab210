/* Reading a pyramid back before it gets its name: by the server's own source, as a visitor's request would,
 * and byte for byte against what the encoders yielded. */
#ifndef WORKER_INGEST_CHECK_H
#define WORKER_INGEST_CHECK_H

#include "worker/image/source.h"
#include "worker/ingest/levels.h"
#include "worker/ingest/pyramid.h"
#include "worker/ingest/tiff_file.h"

/* The levels' sizes and tile grids, the format and the colour profile must be those that were meant, each
 * level's bytes those that were encoded, JPEG tiles where they were put; the last tile of each level must
 * decode. RC_CORRUPT says what differs; RC_IO, RC_NO_MEMORY. `fd` stays the caller's. */
RC_MUST_USE enum rc ingest_check(int fd, const struct ingest_levels *levels,
                                 const struct image_tile_options *tiles,
                                 const struct image_metadata *metadata,
                                 const struct ingest_tiff_layout *layout,
                                 const struct ingest_pyramid *pyramid,
                                 const struct image_source_limits *limits, struct err *err);

#endif
