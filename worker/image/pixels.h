/* Pixels on their way from a decoder to an encoder: always planar, always in bands of whole rows.
 *
 *     struct image_reader (pull)  →  image_resample_run()  →  struct image_sink → struct image_sink … → encoder (push)
 *
 * A reader yields the rows of one window of one level, top to bottom, a band at a time (as many rows as suit
 * it: a tile row, an MCU row). Sinks take bands in the same order. Memory therefore follows width × band, not
 * area; only turning by a quarter (image/rotate) has to hold a whole picture.
 *
 * Threads: one render thread drives one chain from end to end. Nothing here is shared. */
#ifndef WORKER_IMAGE_PIXELS_H
#define WORKER_IMAGE_PIXELS_H

#include "base/err.h"
#include "worker/image/geometry.h"

#include <stddef.h>

/* What the colour planes mean. Bilevel and palette pictures are expanded by their reader to GRAY or RGB, 8
 * bits. */
enum image_model {
    IMAGE_GRAY, /* 1 plane, 0 is black whatever the file's polarity */
    IMAGE_RGB,  /* 3 planes */
    IMAGE_YCBCR, /* 3 planes, ITU-R BT.601 full range as in JFIF; planes 1 and 2 may be subsampled, sited centrally;
                    8 bits only */
    IMAGE_CMYK, /* 4 planes, 0 is no ink whatever the file's polarity */
    IMAGE_LAB, /* 3 planes: L 0..max for 0..100; a and b offset by half (8 bits: 128 + a; 16: 32768 + 256 a) */
};

enum image_alpha {
    IMAGE_ALPHA_NONE,
    IMAGE_ALPHA_STRAIGHT,      /* one more plane, last; colour not multiplied */
    IMAGE_ALPHA_PREMULTIPLIED, /* one more plane, last; colour multiplied by it (TIFF "associated") */
};

#define IMAGE_MAX_PLANES 4u /* CMYK never carries alpha: its reader drops it */

struct image_format {
    enum image_model model;
    enum image_alpha alpha;
    uint8_t depth_bits;             /* 8, or 16 in native byte order; full range */
    uint8_t sub_x_log2, sub_y_log2; /* YCBCR: planes 1 and 2 have (width + 2^n - 1) >> n columns; else 0 */
};

static inline uint32_t image_format_planes(const struct image_format *format)
{
    uint32_t colours = format->model == IMAGE_GRAY ? 1 : format->model == IMAGE_CMYK ? 4 : 3;
    return colours + (format->alpha != IMAGE_ALPHA_NONE);
}

static inline uint32_t image_plane_extent(const struct image_format *format, uint32_t plane,
                                          uint32_t extent_px, uint8_t sub_log2)
{
    bool chroma = format->model == IMAGE_YCBCR && (plane == 1 || plane == 2);
    return chroma ? (uint32_t)(((uint64_t)extent_px + (1u << sub_log2) - 1) >> sub_log2) : extent_px;
}

static inline uint32_t image_plane_width(const struct image_format *format, uint32_t plane, uint32_t width_px)
{
    return image_plane_extent(format, plane, width_px, format->sub_x_log2);
}

static inline uint32_t image_plane_height(const struct image_format *format, uint32_t plane,
                                          uint32_t height_px)
{
    return image_plane_extent(format, plane, height_px, format->sub_y_log2);
}

/* Some rows. y_px and, except in the last band, height_px are multiples of 2^sub_y_log2. plane[i] points to
 * the first row's first sample; rows of a 16-bit plane are 2-aligned. Lent by who calls write() or answers
 * read(): valid until write() returns, or until the next read() or close(). */
struct image_band {
    uint32_t y_px, height_px;
    const uint8_t *plane[IMAGE_MAX_PLANES];
    size_t stride_bytes[IMAGE_MAX_PLANES];
};

/* Pull side. Made by image_source_read() (image/source.h). */
struct image_reader {
    const struct image_reader_ops *ops;
    struct image_format format;
    struct image_size size; /* of the window that is read */
};

struct image_reader_ops {
    /* The next band. RC_CORRUPT, RC_IO, RC_NO_MEMORY; after a failure only close() may be called. Not called
     * again once all rows were delivered. */
    enum rc (*read)(struct image_reader *reader, struct image_band *ret_band, struct err *err);
    void (*close)(struct image_reader *reader); /* frees the reader itself */
};

static inline void image_reader_close(struct image_reader **reader)
{
    if (*reader != NULL)
        (*reader)->ops->close(*reader);
    *reader = NULL;
}

/* Push side: one step of the chain, or an encoder at its end. A step owns the step behind it: closing the
 * first closes all. `format` and `size` say what write() expects. */
struct image_sink {
    const struct image_sink_ops *ops;
    struct image_format format;
    struct image_size size;
};

struct image_sink_ops {
    RC_MUST_USE enum rc (*write)(struct image_sink *sink, const struct image_band *band, struct err *err);
    /* After the last row: flushes, and finishes the steps behind. Once, only after every write()
     * succeeded. */
    RC_MUST_USE enum rc (*finish)(struct image_sink *sink, struct err *err);
    void (*close)(struct image_sink *sink); /* at any time; frees the sink and the steps behind it */
};

static inline void image_sink_close(struct image_sink **sink)
{
    if (*sink != NULL)
        (*sink)->ops->close(*sink);
    *sink = NULL;
}

#endif
