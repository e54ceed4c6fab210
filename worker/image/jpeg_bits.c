#include "worker/image/jpeg_bits.h"

#include <setjmp.h>
#include <stdio.h>
#include <jpeglib.h>

enum rc image_jpeg_decoder_init(struct image_jpeg_decoder *decoder, const struct image_jpeg_table *table,
                                struct err *err)
{
    uint32_t code = 0, symbols = 0;
    memset(decoder, 0, sizeof *decoder);
    memcpy(decoder->symbol, table->data + 16, table->length_bytes - 16u);
    for (uint32_t length = 1; length <= 16; length++) {
        uint32_t count = table->data[length - 1];
        decoder->base[length] = (int32_t)symbols - (int32_t)code;
        if (code + count > 1u << length)
            return err_set(err, RC_UNSUPPORTED, "a Huffman table of the tile is broken");
        for (uint32_t i = 0; i < count && length <= IMAGE_JPEG_QUICK_BITS; i++) {
            uint32_t spread = 1u << (IMAGE_JPEG_QUICK_BITS - length);
            for (uint32_t j = 0; j < spread; j++)
                decoder->quick[(code + i) * spread + j] = (uint16_t)(length << 8 | decoder->symbol[symbols + i]);
        }
        symbols += count;
        code += count;
        decoder->limit[length] = code << (16 - length);
        code <<= 1;
    }
    return RC_OK;
}

enum rc image_jpeg_encoder_init(struct image_jpeg_encoder *encoder, const struct image_jpeg_table *table,
                                struct err *err)
{
    uint32_t code = 0;
    const uint8_t *symbol = table->data + 16;
    memset(encoder, 0, sizeof *encoder);
    for (uint32_t length = 1; length <= 16; length++, code <<= 1) {
        if (code + table->data[length - 1] > 1u << length)
            return err_set(err, RC_UNSUPPORTED, "a Huffman table of the tile is broken");
        for (uint32_t i = 0; i < table->data[length - 1]; i++, symbol++) {
            encoder->code[*symbol] = (uint16_t)code++;
            encoder->length[*symbol] = (uint8_t)length;
        }
    }
    return RC_OK;
}

/* ---- the standard's own tables, which libjpeg knows ---- */

struct libjpeg {
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    jmp_buf failed;
};

static void on_libjpeg_error(j_common_ptr common)
{
    struct libjpeg *l = common->client_data;
    longjmp(l->failed, 1);
}

/* Owns nothing, for libjpeg leaves it by longjmp; only memory can fail here. */
static bool ask_for_standard_tables(struct libjpeg *l)
{
    if (setjmp(l->failed) != 0)
        return false;
    l->jpeg.err = jpeg_std_error(&l->errors);
    l->errors.error_exit = on_libjpeg_error;
    l->jpeg.client_data = l;
    jpeg_create_compress(&l->jpeg);
    l->jpeg.in_color_space = JCS_YCbCr;
    l->jpeg.input_components = 3;
    jpeg_set_defaults(&l->jpeg);
    return true;
}

enum rc image_jpeg_standard_tables(struct bytes *out, struct err *err)
{
    struct libjpeg l = {.jpeg = {.err = NULL}};
    if (!ask_for_standard_tables(&l)) {
        jpeg_destroy_compress(&l.jpeg);
        return err_set(err, RC_NO_MEMORY, "no memory for Huffman tables");
    }
    enum rc rc = RC_OK;
    for (unsigned i = 0; rc == RC_OK && i < 4; i++) {
        const JHUFF_TBL *table = i / 2 == IMAGE_JPEG_DC ? l.jpeg.dc_huff_tbl_ptrs[i % 2] : l.jpeg.ac_huff_tbl_ptrs[i % 2];
        const uint8_t name = (uint8_t)(i / 2 << 4 | i % 2);
        size_t symbols = 0;
        for (unsigned n = 1; n <= 16; n++)
            symbols += table->bits[n];
        rc = bytes_append(out, &name, 1, err);
        if (rc == RC_OK)
            rc = bytes_append(out, table->bits + 1, 16, err);
        if (rc == RC_OK)
            rc = bytes_append(out, table->huffval, symbols, err);
    }
    jpeg_destroy_compress(&l.jpeg);
    return rc;
}

struct image_jpeg_table image_jpeg_standard_table(const struct bytes *body, unsigned class, unsigned number)
{
    const uint8_t *at = body->data;
    for (;;) {
        uint16_t length = 16;
        for (unsigned i = 1; i <= 16; i++)
            length = (uint16_t)(length + at[i]);
        if (at[0] == (class << 4 | number))
            return (struct image_jpeg_table){at + 1, length};
        at += 1 + length;
    }
}
