/* The JPEG decoder as its own files see it: jpeg_decode.c, jpeg_decode_input.c (where its bytes come from),
 * jpeg_decode_tables.c (what one stream leaves to the next) and jpeg_coefficients.c. For them only. */
#ifndef WORKER_IMAGE_JPEG_DECODER_H
#define WORKER_IMAGE_JPEG_DECODER_H

#include "worker/image/jpeg_coefficients.h"
#include "worker/image/jpeg_decode.h"

#include <setjmp.h>
#include <stdio.h>
#include <jpeglib.h>

/* What a tables-only stream leaves in a decoder. */
struct image_jpeg_tables {
    bool has_quant[NUM_QUANT_TBLS], has_dc[NUM_HUFF_TBLS], has_ac[NUM_HUFF_TBLS];
    JQUANT_TBL quant[NUM_QUANT_TBLS];
    JHUFF_TBL dc[NUM_HUFF_TBLS], ac[NUM_HUFF_TBLS];
};

struct image_jpeg {
    struct jpeg_decompress_struct lib;
    struct jpeg_error_mgr errors;
    struct jpeg_source_mgr source;
    struct jpeg_progress_mgr progress;
    struct image_jpeg_coefficients coefficients;
    bool created;

    /* One call at a time: where its outcome goes. */
    jmp_buf escape;
    struct err *err;
    enum rc rc;

    struct image_jpeg_input input;
    const struct bytes *tables; /* not NULL while the tables are being read */
    const struct bytes *known;  /* the tables that `left` holds; NULL: none */
    struct image_jpeg_tables left;
    uint64_t done_bytes; /* of the input, handed to libjpeg or skipped */
    bool ended;          /* libjpeg asked for more than there is */

    enum image_jpeg_output output;
    unsigned shrink_log2;
    uint64_t most_bytes;
    uint32_t rows_per_call;
    uint32_t buffer_rows[IMAGE_MAX_PLANES]; /* of one call, per plane */
    JSAMPROW row[IMAGE_MAX_PLANES][IMAGE_JPEG_MOST_ROWS_AT_ONCE];
    uint8_t *buffer; /* planes of one call's rows */
    uint8_t *line;   /* one interleaved line, when libjpeg converts */
    struct image_band band;
    uint8_t *data; /* what was read of the input */
    size_t data_capacity;
    const uint8_t *data_end; /* of a stream that lies there whole; else NULL */
};

/* Leaves the call of libjpeg in progress, whose outcome `rc` is; jpeg->err is written. */
__attribute__((noreturn)) void image_jpeg_decoder_fail(struct image_jpeg *jpeg, enum rc rc);

/* Makes the decoder read what image_jpeg_decoder_feed() or _open_input() gave it last. */
void image_jpeg_decoder_connect(struct image_jpeg *jpeg);
void image_jpeg_decoder_feed(struct image_jpeg *jpeg, const uint8_t *data, uint64_t length);
/* Makes the beginning of jpeg->input what libjpeg reads next. Codes of image_blob_read(), RC_NO_MEMORY. */
RC_MUST_USE enum rc image_jpeg_decoder_open_input(struct image_jpeg *jpeg, struct err *err);
/* Whether libjpeg has asked for more than there is. */
bool image_jpeg_decoder_has_ended(const struct image_jpeg *jpeg);

/* Remembers the decoder's tables as those of jpeg->tables. */
void image_jpeg_decoder_keep_tables(struct image_jpeg *jpeg);
/* Whether the decoder is as `tables` left it: the last stream has brought none of its own. */
bool image_jpeg_decoder_has_tables(const struct image_jpeg *jpeg, const struct bytes *tables);

#endif
