/* A plan → the bytes of the answer. Where stored tiles can be joined as they are, stitch.h does it; else this
 * chooses how to read the level, puts the chain of image steps together and runs it.
 *
 *     reader of the level's window → resample → colour → layout → bitonal → symmetry → free angle → encoder
 *
 * Steps that have nothing to do are not in the chain. On a render thread; owns nothing beyond the call. */
#ifndef WORKER_RENDER_RENDER_H
#define WORKER_RENDER_RENDER_H

#include "cache/pictures.h"
#include "worker/iiif/plan.h"
#include "worker/image/encode.h"

enum render_metadata { RENDER_METADATA_FULL_IMAGE, RENDER_METADATA_ALWAYS, RENDER_METADATA_NEVER };

struct render_options {
    uint8_t jpeg_quality, webp_quality, avif_quality;
    enum render_metadata metadata;
    bool passthrough; /* stored tiles may leave as they are */
};

/* Announces to the source what the plan will read. RC_AWAY: some of it has to be fetched first; RC_CORRUPT
 * and the like: it cannot even be found. */
RC_MUST_USE enum rc render_want(const struct picture *picture, const struct iiif_plan *plan, struct err *err);

/* Roughly how much pixel memory the plan holds at its peak; what the pool's budget is claimed with. Pure. */
uint64_t render_memory_bytes(const struct picture *picture, const struct iiif_plan *plan);

struct render_pool;

/* Other threads may take a share of the work (worker/render/ahead.h): each calls begin() before and end()
 * after every piece. */
struct render_help {
    struct render_pool *pool;
    void (*begin)(void *context);
    void (*end)(void *context);
    void *context;
};

/* Where an answer's bytes go, and whether anybody still wants them. */
struct render_output {
    struct bytes
        *bytes; /* empty at first; the encoder appends. Garbage after a failure; the caller owns it */
    /* Asked before each band is read, so also the place to let others have the thread. NULL: never
     * cancelled. */
    bool (*cancelled)(void *context);
    /* The encoder has made more bytes, and this format never changes what is made: they may be taken, and
     * `bytes` left empty. Called after each band, not after the last bytes. A failure ends the render. NULL:
     * all at the end. */
    enum rc (*made)(void *context, struct err *err);
    void *context;
    const struct render_help *help; /* NULL: it is made by the calling thread alone */
};

/* CPU time that a render took, for worker/render/cost.h. */
struct render_spent {
    int64_t decode_ns, encode_ns, total_ns; /* decode and total with what helped */
    int64_t helped_ns;                      /* of decode_ns, by other threads */
    bool joined;                            /* nothing was decoded, stored tiles were joined */
};

/* The largest edge the format can hold is kept, with RC_BAD_REQUEST; otherwise the codes of reader, encoder
 * and output->made. RC_CANCELLED when output->cancelled said so. *ret_spent is set in every case. */
RC_MUST_USE enum rc render_picture(const struct picture *picture, const struct iiif_plan *plan,
                                   const struct render_options *options, const struct render_output *output,
                                   struct render_spent *ret_spent, struct err *err);

/* Whether the answer is to carry the picture's metadata, and there is some. */
bool render_carries_metadata(const struct picture *picture, const struct iiif_plan *plan,
                             const struct render_options *options);

/* Points `encode` to the metadata that the answer is to carry; `gray`: as a picture without colour. Codes of
 * image_source_metadata(). */
RC_MUST_USE enum rc render_choose_metadata(const struct picture *picture, const struct iiif_plan *plan,
                                           const struct render_options *options, bool gray,
                                           struct image_encode_options *encode, struct err *err);

enum image_file_type render_file_type(enum iiif_format format);

#endif
