/* A source: one picture in one open file (one page of it), with everything about it that can be known without decoding.
 *
 * Opened on a render thread (headers only: milliseconds, kilobytes), then immutable and shared by all threads of the
 * process through a reference count. Reading pixels happens through readers, one per job, which use pread() and so never
 * disturb each other. Owns its descriptor. Nothing survives a crash, nothing needs to.
 *
 * Two things make up an implementation: open (tiff_source.c, jpeg_source.c, png_source.c, webp_source.c) and read(). All
 * bytes are foreign: every offset, count and size is checked before it is used, and the limits come before memory. */
#ifndef WORKER_IMAGE_SOURCE_H
#define WORKER_IMAGE_SOURCE_H

#include "base/bytes.h"
#include "worker/image/pixels.h"

#include <stdatomic.h>

/* What is kept of a file besides pixels, each as the plain payload: ICC profile; EXIF as a TIFF stream that starts with
 * "II" or "MM" (no "Exif\0\0"); XMP packet; IPTC-IIM records. Empty where the file has none (or more than 16 MiB). */
struct image_metadata {
    struct bytes icc, exif, xmp, iptc;
};

struct image_source_limits {
    uint64_t max_source_pixels;  /* width × height of level 0; above it opening fails with RC_TOO_LARGE */
    uint64_t max_decode_bytes;   /* what one reader may hold, e.g. one strip or a whole non-streamable picture */
};

struct image_source {
    const struct image_source_ops *ops;
    atomic_uint references;
    int fd;
    uint64_t file_bytes;
    struct image_source_limits limits;
    struct image_pyramid pyramid;
    struct image_format format; /* what readers of any level yield */
    struct image_metadata metadata;
    bool shrinks;               /* read() can decode at 1/2, 1/4, 1/8 (JPEG) */
};

struct image_source_ops {
    enum rc (*read)(struct image_source *source, uint32_t level, uint32_t shrink_log2,
                    const struct image_region *window, struct image_reader **ret_reader, struct err *err);
    void (*close)(struct image_source *source);
};

/* Recognises the format by its first bytes and opens page `page` (from 1). Takes over `fd` in every case, also when it
 * fails. RC_NOT_FOUND: no such page. RC_UNSUPPORTED: not a format or variant we read, the sentence names it.
 * RC_CORRUPT, RC_TOO_LARGE, RC_IO, RC_NO_MEMORY. `*ret_source` holds one reference. */
RC_MUST_USE enum rc image_source_open(int fd, uint32_t page, const struct image_source_limits *limits,
                                      struct image_source **ret_source, struct err *err);
struct image_source *image_source_ref(struct image_source *source);
void image_source_unref(struct image_source **source);

/* Starts reading `window` of a level, in stored orientation and in pixels of the level after shrinking: the level's
 * size becomes ceil(size / 2^shrink_log2), 0 unless source->shrinks, at most 3. The window lies inside and is not empty.
 * Where chroma is subsampled, its x and y are multiples of the subsampling (the caller widens it).
 * The reader borrows the source; the caller keeps its reference until it has closed the reader. */
RC_MUST_USE enum rc image_source_read(struct image_source *source, uint32_t level, uint32_t shrink_log2,
                                      const struct image_region *window, struct image_reader **ret_reader,
                                      struct err *err);

#endif
