#include "worker/image/jpeg_bits.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <jpeglib.h>

/* ---- decoding ---- */

/* Takes symbols as long as they fit. A symbol that ends the block, or cannot be in one, is the last. */
static uint16_t make_leap(const struct image_jpeg_decoder *decoder, uint32_t index)
{
    uint32_t at = 0, coefficients = 0;
    for (;;) {
        uint32_t next = index << (16 - IMAGE_JPEG_LEAP_BITS + at) & 0xffff;
        uint32_t found = decoder->quick[next >> (16 - IMAGE_JPEG_QUICK_BITS)];
        uint32_t symbol = found & 255, bits = (found >> 8) + (symbol & 15), more = (symbol >> 4) + 1;
        if (found == 0 || at + bits > IMAGE_JPEG_LEAP_BITS)
            break;
        if (symbol == 0)
            return (uint16_t)((at + bits) << 8 | 128 | coefficients);
        if (((symbol & 15) == 0 && symbol != 0xf0) || coefficients + more > 63)
            break;
        at += bits;
        coefficients += more;
    }
    return (uint16_t)(at << 8 | coefficients);
}

enum rc image_jpeg_decoder_init(struct image_jpeg_decoder *decoder, const struct image_jpeg_table *table,
                                bool leaps, struct err *err)
{
    uint32_t code = 0, symbols = 0;
    memset(decoder, 0, offsetof(struct image_jpeg_decoder, leap));
    memcpy(decoder->symbol, table->data + 16, table->length_bytes - 16u);
    for (uint32_t length = 1; length <= 16; length++) {
        uint32_t count = table->data[length - 1];
        decoder->base[length] = (int32_t)symbols - (int32_t)code;
        if (code + count > 1u << length)
            return err_set(err, RC_UNSUPPORTED, "a Huffman table of the tile is broken");
        for (uint32_t i = 0; i < count && length <= IMAGE_JPEG_QUICK_BITS; i++) {
            uint32_t spread = 1u << (IMAGE_JPEG_QUICK_BITS - length);
            for (uint32_t j = 0; j < spread; j++)
                decoder->quick[(code + i) * spread + j] = (uint16_t)(length << 8 |
                                                                     decoder->symbol[symbols + i]);
        }
        symbols += count;
        code += count;
        decoder->limit[length] = code << (16 - length);
        code <<= 1;
    }
    for (uint32_t i = 0; leaps && i < 1u << IMAGE_JPEG_LEAP_BITS; i++)
        decoder->leap[i] = make_leap(decoder, i);
    return RC_OK;
}

/* ---- encoding ---- */

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
static bool ask_libjpeg(struct libjpeg *l)
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

static enum rc take_table(struct image_jpeg_standard *standard, unsigned class, unsigned number,
                          const JHUFF_TBL *table, struct err *err)
{
    uint8_t *bytes = standard->bytes[2 * class + number];
    uint16_t symbols = 0;
    for (unsigned n = 1; n <= 16; n++)
        symbols = (uint16_t)(symbols + table->bits[n]);
    memcpy(bytes, table->bits + 1, 16);
    memcpy(bytes + 16, table->huffval, symbols);
    const struct image_jpeg_table taken = {bytes, (uint16_t)(16 + symbols)};
    standard->table[class][number] = taken;
    enum rc rc = image_jpeg_decoder_init(&standard->decoder[class][number], &taken, class == IMAGE_JPEG_AC,
                                         err);
    return rc == RC_OK ? image_jpeg_encoder_init(&standard->encoder[class][number], &taken, err) : rc;
}

static enum rc make_standard(struct image_jpeg_standard *standard, struct err *err)
{
    struct libjpeg l = {.jpeg = {.err = NULL}};
    bool known = ask_libjpeg(&l);
    enum rc rc = known ? RC_OK : err_set(err, RC_NO_MEMORY, "no memory for Huffman tables");
    for (unsigned number = 0; rc == RC_OK && number < 2; number++) {
        rc = take_table(standard, IMAGE_JPEG_DC, number, l.jpeg.dc_huff_tbl_ptrs[number], err);
        if (rc == RC_OK)
            rc = take_table(standard, IMAGE_JPEG_AC, number, l.jpeg.ac_huff_tbl_ptrs[number], err);
    }
    jpeg_destroy_compress(&l.jpeg);
    return rc;
}

enum rc image_jpeg_standard_get(const struct image_jpeg_standard **ret_standard, struct err *err)
{
    static struct image_jpeg_standard standard;
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static bool made;
    pthread_mutex_lock(&lock);
    enum rc rc = made ? RC_OK : make_standard(&standard, err);
    made = rc == RC_OK;
    pthread_mutex_unlock(&lock);
    if (rc == RC_OK)
        *ret_standard = &standard;
    return rc;
}
