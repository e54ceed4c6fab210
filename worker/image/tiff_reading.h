/* A directory while it is being understood: what tiff_picture.c (shape) and tiff_samples.c (meaning of the
 * samples) share. For these two and tiff_source.c, and for tiff_record.c, which has no directory. */
#ifndef WORKER_IMAGE_TIFF_READING_H
#define WORKER_IMAGE_TIFF_READING_H

#include "worker/image/record.h"
#include "worker/image/tiff_picture.h"

#define IMAGE_TIFF_MAX_SAMPLES 64u

struct image_tiff_reading {
    const struct image_tiff_file *file;
    const struct image_tiff_ifd *ifd;
    const struct image_source_limits *limits;
    struct image_tiff_picture *picture; /* what came out so far */
    struct err *err;
    unsigned colours; /* samples that the photometric interpretation needs */
};

/* A number that every sample has one of: RC_UNSUPPORTED when they differ. */
RC_MUST_USE enum rc image_tiff_reading_per_sample(const struct image_tiff_reading *r, uint16_t tag,
                                                  uint16_t preset, uint16_t *ret_number);

/* Fills in picture->format and picture->plane, but for chroma. Needs compression, photometric, bits and
 * samples. */
RC_MUST_USE enum rc image_tiff_samples_read(struct image_tiff_reading *r);
/* Fills in the chroma subsampling and the JPEG tables. Needs everything else. */
RC_MUST_USE enum rc image_tiff_samples_read_chroma(const struct image_tiff_reading *r);

/* Both of these to and from a record; restoring needs chunks as well, and checks what reading does. */
void image_tiff_samples_describe(const struct image_tiff_picture *picture, struct image_record *record);
RC_MUST_USE enum rc image_tiff_samples_restore(struct image_tiff_reading *r,
                                               struct image_record_reader *reader);

/* From tiff_picture.c: how many tiles or strips there are. RC_CORRUPT where they have no size. */
RC_MUST_USE enum rc image_tiff_reading_count_chunks(const struct image_tiff_reading *r);
/* What is wrong with a directory's numbers by themselves. */
RC_MUST_USE enum rc image_tiff_reading_check_compression(const struct image_tiff_reading *r);
RC_MUST_USE enum rc image_tiff_reading_check_memory(const struct image_tiff_reading *r);

/* Whether a picture's JPEG data is as its tags have said. RC_IO, RC_AWAY, RC_NO_MEMORY. */
RC_MUST_USE enum rc image_tiff_samples_confirm(const struct image_tiff_file *file,
                                               const struct image_tiff_picture *picture, bool *ret_right,
                                               struct err *err);

#endif
