/* libjpeg as a compressor, with what both our JPEG encoders need around it: output into a struct bytes, and
 * failures as enum rc.
 *
 * libjpeg leaves by longjmp. Only image_jpeg_compressor_run() calls setjmp, and owns nothing; the steps it is
 * given own nothing either. For jpeg_encode.c and jpeg_tile_encode.c. */
#ifndef WORKER_IMAGE_JPEG_COMPRESSOR_H
#define WORKER_IMAGE_JPEG_COMPRESSOR_H

#include "base/bytes.h"

#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <jpeglib.h>

struct image_jpeg_compressor {
    struct jpeg_compress_struct lib;
    struct jpeg_error_mgr errors;
    struct jpeg_destination_mgr destination;
    struct bytes *out; /* where the stream goes; may be another one, or emptied, between two steps */
    size_t room_bytes; /* made in `out` whenever it is full */
    const char *what;  /* for sentences: "the picture" */
    bool is_writing;   /* libjpeg has a place for its output */
    jmp_buf failed;
    enum rc rc; /* why, when our own code failed beneath libjpeg */
    struct err *err;
};

typedef void image_jpeg_compressor_step(void *context, const void *argument);

/* Prepares everything but libjpeg itself, which the first step creates: jpeg_create_compress(), then
 * `lib.dest`. */
void image_jpeg_compressor_init(struct image_jpeg_compressor *compressor, const char *what,
                                size_t room_bytes);
void image_jpeg_compressor_done(struct image_jpeg_compressor *compressor); /* also when nothing was created */

/* Calls `step`, which may call libjpeg; what that has made by then is in `out`. RC_NO_MEMORY; RC_UNSUPPORTED:
 * libjpeg refuses. */
RC_MUST_USE enum rc image_jpeg_compressor_run(struct image_jpeg_compressor *compressor,
                                              image_jpeg_compressor_step *step, void *context,
                                              const void *argument, struct err *err);

/* libjpeg takes rows it will not change as pointers to what could be changed. */
static inline JSAMPROW image_jpeg_row(const uint8_t *samples)
{
    return (JSAMPROW)(uintptr_t)samples;
}

#endif
