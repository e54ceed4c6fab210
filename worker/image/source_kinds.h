/* The kinds of source there are: for source.c, which picks one, and the files that implement them. */
#ifndef WORKER_IMAGE_SOURCE_KINDS_H
#define WORKER_IMAGE_SOURCE_KINDS_H

#include "worker/image/record.h"
#include "worker/image/source.h"

/* What every opener gets. The blob stays the caller's until the opener succeeds; then it is the source's. */
struct image_source_input {
    struct image_blob *blob;
    uint32_t page;
    struct image_source_limits limits;
};

/* Each returns a source with everything filled in. */
RC_MUST_USE enum rc image_tiff_source_open(const struct image_source_input *input,
                                           struct image_source **ret_source, struct err *err);
RC_MUST_USE enum rc image_jpeg_source_open(const struct image_source_input *input,
                                           struct image_source **ret_source, struct err *err);
RC_MUST_USE enum rc image_png_source_open(const struct image_source_input *input,
                                          struct image_source **ret_source, struct err *err);
RC_MUST_USE enum rc image_webp_source_open(const struct image_source_input *input,
                                           struct image_source **ret_source, struct err *err);

/* The same from a record (source_record.c has read what is common, and checked the pyramid's shape): each
 * returns a source whose pyramid and metadata are still to be filled in, and reads the record to its end, be
 * it broken or not. input->page is not used. */
typedef enum rc image_source_restorer(const struct image_source_input *input,
                                      const struct image_pyramid *pyramid, struct image_record_reader *reader,
                                      struct image_source **ret_source, struct err *err);
image_source_restorer image_tiff_source_restore, image_jpeg_source_restore, image_png_source_restore,
    image_webp_source_restore;

/* Fills in what is common to all: blob, limits, ops. */
void image_source_init(struct image_source *source, const struct image_source_ops *ops,
                       const struct image_source_input *input);
/* A pyramid of one level, for plain files. Page 1 only, else RC_NOT_FOUND. Checks the size as below. */
RC_MUST_USE enum rc image_source_single(struct image_source *source, const struct image_source_input *input,
                                        struct image_size size, struct err *err);
/* RC_CORRUPT for an empty size, RC_TOO_LARGE beyond the limit. */
RC_MUST_USE enum rc image_source_check_size(const struct image_source_limits *limits, struct image_size size,
                                            struct err *err);

#endif
