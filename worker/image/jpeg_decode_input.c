#include "worker/image/jpeg_decoder.h"

#include <stdlib.h>
#include <string.h>

#define READ_AHEAD_BYTES 32768u
#define WHOLE_BYTES      (1u << 20) /* of streams that are read at once, the most */
/* Behind a stream that lies in memory whole, so many bytes of end-of-image markers. libjpeg's quick Huffman
 * decoder works only as long as there are 512 bytes in the buffer for each of up to 10 blocks. */
#define BEHIND_BYTES 5632u

void image_jpeg_decoder_fail(struct image_jpeg *jpeg, enum rc rc)
{
    jpeg->rc = rc;
    longjmp(jpeg->escape, 1);
}

/* ---- libjpeg's side ---- */

static void jpeg_init_source(j_decompress_ptr lib)
{
    (void)lib;
}

static boolean jpeg_fill_input_buffer(j_decompress_ptr lib)
{
    static const uint8_t end_of_image[] = {0xff, JPEG_EOI};
    struct image_jpeg *jpeg = lib->client_data;
    uint64_t left = jpeg->input.length - jpeg->done_bytes;
    if (jpeg->tables != NULL || left == 0 || jpeg->input.memory != NULL) {
        /* libjpeg reads ahead, so this alone is no damage: jpeg_emit_message() hears when bits are missing.
         */
        jpeg->ended = true;
        lib->src->next_input_byte = end_of_image;
        lib->src->bytes_in_buffer = sizeof end_of_image;
        return TRUE;
    }
    size_t length = left < READ_AHEAD_BYTES ? (size_t)left : READ_AHEAD_BYTES;
    enum rc rc = image_blob_read(jpeg->input.blob, jpeg->data, length, jpeg->input.offset + jpeg->done_bytes,
                                 jpeg->err);
    if (rc != RC_OK)
        image_jpeg_decoder_fail(jpeg, rc);
    jpeg->done_bytes += length;
    lib->src->next_input_byte = jpeg->data;
    lib->src->bytes_in_buffer = length;
    return TRUE;
}

static void jpeg_skip_input_data(j_decompress_ptr lib, long count)
{
    struct image_jpeg *jpeg = lib->client_data;
    if (count <= 0)
        return;
    uint64_t skip = (uint64_t)count;
    if (skip <= lib->src->bytes_in_buffer) {
        lib->src->next_input_byte += skip;
        lib->src->bytes_in_buffer -= (size_t)skip;
        return;
    }
    skip -= lib->src->bytes_in_buffer;
    lib->src->bytes_in_buffer = 0;
    uint64_t left = jpeg->input.length - jpeg->done_bytes;
    jpeg->done_bytes += skip < left ? skip : left;
}

static void jpeg_term_source(j_decompress_ptr lib)
{
    (void)lib;
}

void image_jpeg_decoder_connect(struct image_jpeg *jpeg)
{
    jpeg->source = (struct jpeg_source_mgr){
        .init_source = jpeg_init_source,
        .fill_input_buffer = jpeg_fill_input_buffer,
        .skip_input_data = jpeg_skip_input_data,
        .resync_to_restart = jpeg_resync_to_restart,
        .term_source = jpeg_term_source,
    };
    jpeg->lib.src = &jpeg->source;
}

/* ---- ours ---- */

void image_jpeg_decoder_feed(struct image_jpeg *jpeg, const uint8_t *data, uint64_t length)
{
    jpeg->source.next_input_byte = data;
    jpeg->source.bytes_in_buffer = (size_t)length;
}

static enum rc jpeg_make_room(struct image_jpeg *jpeg, size_t bytes, struct err *err)
{
    if (jpeg->data_capacity >= bytes)
        return RC_OK;
    free(jpeg->data);
    jpeg->data_capacity = 0;
    jpeg->data = malloc(bytes);
    if (jpeg->data == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the JPEG data of %s", jpeg->input.subject);
    jpeg->data_capacity = bytes;
    return RC_OK;
}

enum rc image_jpeg_decoder_open_input(struct image_jpeg *jpeg, struct err *err)
{
    const struct image_jpeg_input *input = &jpeg->input;
    jpeg->ended = false;
    jpeg->done_bytes = 0;
    jpeg->data_end = NULL;
    if (input->memory != NULL) {
        image_jpeg_decoder_feed(jpeg, input->memory, input->length);
        jpeg->done_bytes = input->length;
        return RC_OK;
    }
    bool whole = input->is_wanted_whole && input->length <= WHOLE_BYTES;
    size_t length = whole ? (size_t)input->length : READ_AHEAD_BYTES;
    /* In steps, so that tiles of about one size share one buffer. */
    enum rc rc = jpeg_make_room(
        jpeg, (length + BEHIND_BYTES + READ_AHEAD_BYTES) & ~(size_t)(READ_AHEAD_BYTES - 1), err);
    if (rc == RC_OK && whole)
        rc = image_blob_read(input->blob, jpeg->data, length, input->offset, err);
    if (rc != RC_OK)
        return rc;
    if (!whole) {
        image_jpeg_decoder_feed(jpeg, jpeg->data, 0);
        return RC_OK;
    }
    static const uint8_t ends[8] = {0xff, JPEG_EOI, 0xff, JPEG_EOI, 0xff, JPEG_EOI, 0xff, JPEG_EOI};
    for (size_t i = 0; i < BEHIND_BYTES; i += sizeof ends)
        memcpy(jpeg->data + length + i, ends, sizeof ends);
    jpeg->data_end = jpeg->data + length;
    jpeg->done_bytes = length;
    image_jpeg_decoder_feed(jpeg, jpeg->data, length + BEHIND_BYTES);
    return RC_OK;
}

bool image_jpeg_decoder_has_ended(const struct image_jpeg *jpeg)
{
    return jpeg->ended || (jpeg->data_end != NULL && jpeg->source.next_input_byte > jpeg->data_end);
}
