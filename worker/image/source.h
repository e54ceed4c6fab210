/* A source: one picture in one open file (one page of it), with everything about it that can be known without
 * decoding.
 *
 * Opened on a render thread (headers only: milliseconds, kilobytes), then immutable and shared by all threads
 * of the process (cache/pictures.h counts who has it). Reading pixels happens through readers, one per job,
 * which never disturb each other. Owns its blob. Nothing survives a crash, nothing needs to.
 *
 * Two things make up an implementation: open (tiff_source.c, jpeg_source.c, png_source.c, webp_source.c) and
 * read(). All bytes are foreign: every offset, count and size is checked before it is used, and the limits
 * come before memory. */
#ifndef WORKER_IMAGE_SOURCE_H
#define WORKER_IMAGE_SOURCE_H

#include "base/bytes.h"
#include "worker/image/blob.h"
#include "worker/image/pixels.h"

#include <stdatomic.h>

/* What is kept of a file besides pixels, each as the plain payload: ICC profile; EXIF as a TIFF stream that
 * starts with "II" or "MM" (no "Exif\0\0"); XMP packet; IPTC-IIM records. Empty where the file has none (or
 * more than 16 MiB). */
struct image_metadata {
    struct bytes icc, exif, xmp, iptc;
};

struct image_source_limits {
    uint64_t max_source_pixels; /* width × height of level 0; above it opening fails with RC_TOO_LARGE */
    uint64_t
        max_decode_bytes; /* what one reader may hold, e.g. one strip or a whole non-streamable picture */
};

struct image_source {
    const struct image_source_ops *ops;
    struct image_blob *blob;
    struct image_source_limits limits;
    struct image_pyramid pyramid;
    struct image_format
        format; /* what readers of any level yield; a reader that shrinks may have less subsampled
                                   chroma (see image_source_read), so reader->format is what counts */
    /* Of a source that was restored from its record only `icc` stands here: see image_source_metadata(). */
    struct image_metadata metadata;
    bool has_metadata;                /* there is EXIF, XMP or IPTC */
    atomic_bool lacks_metadata;       /* ... which was not read yet */
    struct image_source_shelf *shelf; /* NULL: none. Outlives the source */
    bool shrinks;                     /* read() can decode at 1/2, 1/4, 1/8 (JPEG) */
};

enum image_stored_coding { IMAGE_STORED_JPEG, IMAGE_STORED_WEBP };

/* A tile that lies in the file as a JPEG stream or a WebP file of its own. */
struct image_stored_tile {
    enum image_stored_coding coding;
    uint64_t offset;
    uint32_t length_bytes;
    struct image_size size;
    const struct bytes
        *tables; /* a tables-only stream that belongs before it; may be empty. Lives with the source */
};

/* Where a source may keep what it has read of a level's tile places, for other processes. Any thread. */
struct image_source_shelf {
    bool (*load_tiles)(struct image_source_shelf *shelf, uint32_t level, struct bytes *out);
    void (*store_tiles)(struct image_source_shelf *shelf, uint32_t level, const struct bytes *tiles);
};

enum image_source_kind {
    IMAGE_SOURCE_TIFF,
    IMAGE_SOURCE_JPEG,
    IMAGE_SOURCE_PNG,
    IMAGE_SOURCE_WEBP,
    IMAGE_SOURCE_KINDS,
};

struct image_record;

struct image_source_ops {
    enum image_source_kind kind;
    /* NULL where a source has no such tiles. */
    enum rc (*stored_tile)(struct image_source *source, uint32_t level, uint32_t column, uint32_t row,
                           bool may_block, struct image_stored_tile *ret_tile, struct err *err);
    enum rc (*read)(struct image_source *source, uint32_t level, uint32_t shrink_log2,
                    const struct image_region *window, struct image_reader **ret_reader, struct err *err);
    /* Reads EXIF, XMP and IPTC (and ICC again) into the empty `ret_metadata`. */
    enum rc (*metadata)(struct image_source *source, struct image_metadata *ret_metadata, struct err *err);
    /* Writes what is this kind's own into the source's record (source_record.h). */
    void (*describe)(const struct image_source *source, struct image_record *record);
    /* Announces what read() would read for a window in the level's stored pixels. NULL: all of the file. */
    enum rc (*want)(struct image_source *source, uint32_t level, const struct image_region *window,
                    struct err *err);
    void (*close)(struct image_source *source);
};

/* Recognises the format by its first bytes and opens page `page` (from 1). Takes over `blob` in every case,
 * also when it fails. RC_NOT_FOUND: no such page. RC_UNSUPPORTED: not a format or variant we read, the
 * sentence names it. RC_CORRUPT, RC_TOO_LARGE, RC_IO, RC_NO_MEMORY; RC_AWAY: more of it has to be fetched,
 * then open it again. The source is to be closed, with nobody using it any more. */
RC_MUST_USE enum rc image_source_open(struct image_blob *blob, uint32_t page,
                                      const struct image_source_limits *limits,
                                      struct image_source **ret_source, struct err *err);
void image_source_close(struct image_source **source);

/* EXIF, XMP and IPTC with everything else; lent until the source's end. Reads the file where that was not
 * done before: RC_IO, RC_AWAY, RC_NO_MEMORY. */
RC_MUST_USE enum rc image_source_metadata(struct image_source *source,
                                          const struct image_metadata **ret_metadata, struct err *err);

/* The size of a level when it is decoded shrunk: every started group of 2^n pixels is one. */
static inline struct image_size image_source_shrunk_size(struct image_size size, uint32_t shrink_log2)
{
    uint32_t more = (1u << shrink_log2) - 1;
    return (struct image_size){(uint32_t)(((uint64_t)size.width_px + more) >> shrink_log2),
                               (uint32_t)(((uint64_t)size.height_px + more) >> shrink_log2)};
}

/* Starts reading `window` of a level, in stored orientation and in pixels of the level after shrinking
 * (its size is then image_source_shrunk_size()); shrink_log2 is at most 3, and 0 unless source->shrinks.
 * The window lies inside and is not empty. Where source->format has subsampled chroma, its x and y are
 * multiples of the subsampling (the caller widens it); width and height need not be. A shrunk reader's
 * chroma is halved less often than the stored one: with 4:2:0 it is as large as luma (reader->format says
 * so), with 4:2:2 it stays half as wide. Any window of a level gives the same pixels as that part of the
 * whole level. The reader borrows the source, which stays open until it has closed the reader. Fails with
 * RC_CORRUPT, RC_UNSUPPORTED, RC_IO, RC_NO_MEMORY, and with RC_TOO_LARGE when the reader would have to
 * hold more than max_decode_bytes. */
RC_MUST_USE enum rc image_source_read(struct image_source *source, uint32_t level, uint32_t shrink_log2,
                                      const struct image_region *window, struct image_reader **ret_reader,
                                      struct err *err);

/* Announces to the blob what reading a window (in stored pixels of the level, not shrunk) is going to take.
 * RC_OK: all of it is here. RC_AWAY: call it again when what was announced has been fetched. RC_CORRUPT,
 * RC_IO, RC_NO_MEMORY. */
RC_MUST_USE enum rc image_source_want(struct image_source *source, uint32_t level,
                                      const struct image_region *window, struct err *err);

/* Where the tile of a level's grid lies, for sending it as it is. RC_UNSUPPORTED where it is no file by
 * itself (then it has to be decoded), RC_BUSY when the answer would have to be read from the file and
 * `may_block` is false, RC_CORRUPT, RC_IO, RC_NO_MEMORY. Cheap once the level's first tile was looked up. */
RC_MUST_USE enum rc image_source_stored_tile(struct image_source *source, uint32_t level, uint32_t column,
                                             uint32_t row, bool may_block, struct image_stored_tile *ret_tile,
                                             struct err *err);

#endif
