/* One master becomes one pyramid: a tiled TIFF or BigTIFF that this server, and every other reader, serves
 * fast.
 *
 *     reader → size of chroma and depth → colour → alpha → upright → pyramid ─┬─ tile encoders (threads) → spools
 *                                                                             └─ every level, as its rows complete
 *     spools → file in COG order → read back → renamed
 *
 * The master is read once, top to bottom; memory follows its width, not its area. The same master and options
 * give the same bytes with any number of threads. Called by the controllers of batches, in a converter
 * process or, by tests, directly; a call starts its threads and ends them. Options and result are plain
 * values that may be sent between processes. What a crash leaves behind: a file whose name begins with
 * ".ingest-" beside the destination, which the next conversion to the same destination takes over; never half
 * a pyramid under its final name. */
#ifndef WORKER_INGEST_CONVERT_H
#define WORKER_INGEST_CONVERT_H

#include "worker/image/source.h"

enum ingest_profile {
    INGEST_TO_SRGB, /* colours are converted where the master's profile is another; the result says sRGB */
    INGEST_KEEP_PROFILE, /* numbers stay as they are, and the profile with them (CMYK stays CMYK) */
};

enum ingest_alpha {
    INGEST_KEEP_ALPHA,    /* where the tiles can hold it: JPEG cannot, and is flattened with a warning */
    INGEST_FLATTEN_ALPHA, /* onto the background */
};

enum ingest_compression {
    INGEST_JPEG,
    INGEST_WEBP, /* quality 100 is lossless */
    INGEST_ZSTD,
    INGEST_DEFLATE,
    INGEST_LZW,
};

enum ingest_chroma {
    INGEST_420,     /* YCbCr, colour at half the resolution */
    INGEST_444,     /* YCbCr, colour at full resolution */
    INGEST_RGB_444, /* coded as RGB, as vips does from quality 90 on */
};

struct ingest_options {
    struct image_source_limits limits;
    uint32_t page; /* of the master, from 1 */
    enum ingest_profile profile;
    enum ingest_alpha alpha;
    uint8_t background_rgb[3];
    uint8_t depth_bits; /* 8: reduced to it; 16: kept where the tiles can hold it (not JPEG, not WebP) */
    uint32_t tile_px;   /* a multiple of 16, 64 to 4096 */
    enum ingest_compression compression;
    uint8_t quality;           /* 1 to 100; JPEG and WebP */
    enum ingest_chroma chroma; /* JPEG */
    bool restart_intervals; /* JPEG: restart markers, so that tiles are cropped and joined by copying bytes */
    bool always_big_tiff;   /* else only above 2 GiB */
    unsigned threads;       /* at least 1 */
    /* What the pyramid is made from and how, in the caller's words, for the caller to find again: these bytes
     * stand in the file right behind its header (offset 8, BigTIFF 16), where no reader looks, the NUL
     * included. At most INGEST_MAX_RECORD_BYTES with the NUL; NULL: none. */
    const char *record;
};

#define INGEST_MAX_RECORD_BYTES 1024
#define INGEST_MAX_WARNINGS     8

/* Everything a report says of one conversion. */
struct ingest_result {
    struct image_size size; /* upright */
    uint32_t level_count, page_count;
    uint64_t source_bytes, destination_bytes;
    uint64_t source_xxh64, destination_xxh64; /* XXH64, seed 0, as `xxhsum -H1` prints it */
    bool big_tiff;
    uint8_t depth_bits;
    char model[12];          /* of the tiles: "gray", "rgb", "ycbcr", "cmyk", "lab" */
    char source_profile[64]; /* description of the master's colour profile; "" where it has none */
    char profile[64];        /* the same of the pyramid's */
    unsigned warning_count;
    char warning[INGEST_MAX_WARNINGS][160]; /* sentences, as in struct err */
};

/* Called on the calling thread after each band: the master's size as it is stored, and how many of its rows
 * have been read. False ends the conversion with RC_CANCELLED. */
typedef bool ingest_progress(void *context, struct image_size size, uint32_t rows_done);

/* sRGB, alpha kept, 8 bits, JPEG 4:2:0 of quality 90 in tiles of 256 pixels, restart intervals, one
 * thread. */
void ingest_options_init(struct ingest_options *options);

/* How the names of temporary files begin; 16 hexadecimal digits follow, which come from the destination's
 * name. */
#define INGEST_TEMPORARY_PREFIX ".ingest-"
/* Removes what a conversion to this destination has left that was killed; nothing where one is under way. */
void ingest_convert_discard(const char *destination_path);

/* Converts `source_path` and puts the result at `destination_path`, replacing a file there only once the new
 * one is whole and was read back. The folder must exist; a destination that is the source itself is refused.
 * `progress` may be NULL. The message does not repeat the paths. RC_BAD_REQUEST: options that contradict each
 * other. RC_NOT_FOUND, RC_FORBIDDEN: the source, or the destination's folder. RC_UNSUPPORTED, RC_CORRUPT,
 * RC_TOO_LARGE: the master. RC_BUSY: another conversion is writing the same destination, or the master
 * changed while it was read. RC_IO, RC_NO_MEMORY, RC_CANCELLED. */
RC_MUST_USE enum rc ingest_convert(const char *source_path, const char *destination_path,
                                   const struct ingest_options *options, ingest_progress *progress,
                                   void *context, struct ingest_result *ret, struct err *err);

#endif
