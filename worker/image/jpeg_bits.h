/* JPEG's coded data, bit by bit: Huffman codes both ways, a reader that stops at markers, a writer that
 * stuffs.
 *
 * For jpeg_recode.c, which moves codes from one stream to another without decoding pixels. All in the header
 * for speed: readers and writers are meant to be copied into local variables for the length of a loop. The
 * bytes read are foreign: a reader never leaves them, feeds zeros behind their end and knows that it did. */
#ifndef WORKER_IMAGE_JPEG_BITS_H
#define WORKER_IMAGE_JPEG_BITS_H

#include "worker/image/jpeg_head.h"

#include <endian.h>
#include <string.h>

/* ---- codes ---- */

#define IMAGE_JPEG_QUICK_BITS 10u
#define IMAGE_JPEG_LEAP_BITS  12u

struct image_jpeg_decoder {
    uint16_t quick
        [1u
         << IMAGE_JPEG_QUICK_BITS]; /* by the next bits: length of the code << 8 | symbol; 0: it is longer */
    uint32_t limit[17];             /* by length: codes below, padded to 16 bits, are that long at most */
    int32_t base[17];               /* what makes an index into `symbol` of a code of that length */
    uint8_t symbol[256];
    /* Of AC tables, by the next bits: as many whole codes with their values as these hold. 0: not one. */
    uint16_t leap[1u << IMAGE_JPEG_LEAP_BITS];
};

/* A leap: bits << 8 | ends the block << 7 | coefficients before that. */
static inline uint32_t image_jpeg_leap_bits(uint32_t leap)
{
    return leap >> 8;
}

static inline bool image_jpeg_leap_ends(uint32_t leap)
{
    return (leap & 128) != 0;
}

static inline uint32_t image_jpeg_leap_coefficients(uint32_t leap)
{
    return leap & 127;
}

struct image_jpeg_encoder {
    uint16_t code[256];
    uint8_t length[256]; /* 0: the symbol has no code */
};

/* RC_UNSUPPORTED when the table is broken. `leap` is made only when `leaps`. */
RC_MUST_USE enum rc image_jpeg_decoder_init(struct image_jpeg_decoder *decoder,
                                            const struct image_jpeg_table *table, bool leaps,
                                            struct err *err);
RC_MUST_USE enum rc image_jpeg_encoder_init(struct image_jpeg_encoder *encoder,
                                            const struct image_jpeg_table *table, struct err *err);

/* The tables of T.81 K.3, which have a code for every symbol of 8-bit pictures and are what most files use.
 * By class and by what they are meant for: 0 luma, 1 chroma. */
struct image_jpeg_standard {
    struct image_jpeg_table table[2][2];
    struct image_jpeg_decoder decoder[2][2];
    struct image_jpeg_encoder encoder[2][2];
    uint8_t bytes[4][16 + 256];
};

/* Made on first use, then the same for all threads until the process ends. RC_NO_MEMORY. */
RC_MUST_USE enum rc image_jpeg_standard_get(const struct image_jpeg_standard **ret_standard, struct err *err);

/* ---- reading ---- */

struct image_jpeg_reader {
    const uint8_t *at, *end;
    uint64_t bits;   /* the next ones, from the top */
    uint32_t count;  /* how many of them are good */
    uint32_t beyond; /* how many of those lie behind the end of the data */
};

static inline bool image_jpeg_has_ff(uint64_t bytes)
{
    return ((~bytes - 0x0101010101010101u) & bytes & 0x8080808080808080u) != 0;
}

static inline void image_jpeg_refill_slowly(struct image_jpeg_reader *r)
{
    while (r->count <= 56) {
        if (r->at >= r->end || (*r->at == 0xff && (r->end - r->at < 2 || r->at[1] != 0))) {
            r->beyond += 64 - r->count;
            r->count = 64;
            return;
        }
        uint8_t byte = *r->at;
        r->at += byte == 0xff ? 2 : 1;
        r->bits |= (uint64_t)byte << (56 - r->count);
        r->count += 8;
    }
}

/* At least 32 bits, which is more than a symbol and its value take. */
static inline void image_jpeg_refill(struct image_jpeg_reader *r)
{
    if (r->count >= 32)
        return;
    uint64_t next;
    if (r->end - r->at >= 8) {
        memcpy(&next, r->at, sizeof next);
        if (!image_jpeg_has_ff(next)) {
            /* Bits of the byte behind the last whole one come along; the next time they are the same. */
            uint32_t bytes = (64 - r->count) / 8;
            r->bits |= be64toh(next) >> r->count;
            r->at += bytes;
            r->count += 8 * bytes;
            return;
        }
    }
    image_jpeg_refill_slowly(r);
}

static inline void image_jpeg_skip(struct image_jpeg_reader *r, uint32_t count)
{
    r->bits <<= count;
    r->count -= count;
}

/* Length << 8 | symbol of the code that comes; 0: none does. Needs 16 bits. */
static inline uint32_t image_jpeg_peek_symbol(const struct image_jpeg_reader *r,
                                              const struct image_jpeg_decoder *decoder)
{
    uint32_t quick = decoder->quick[r->bits >> (64 - IMAGE_JPEG_QUICK_BITS)];
    if (quick != 0)
        return quick;
    uint32_t next = (uint32_t)(r->bits >> 48);
    for (uint32_t length = IMAGE_JPEG_QUICK_BITS + 1; length <= 16; length++)
        if (next < decoder->limit[length])
            return length << 8 |
                   decoder->symbol[(decoder->base[length] + (int32_t)(next >> (16 - length))) & 255];
    return 0;
}

static inline bool image_jpeg_overran(const struct image_jpeg_reader *r)
{
    return r->count < r->beyond;
}

/* ---- writing ---- */

struct image_jpeg_writer {
    uint8_t *at;    /* the caller sees to it that there is room */
    uint64_t bits;  /* the low `count` ones are yet to be written */
    uint32_t count; /* below 32 between calls */
};

static inline void image_jpeg_write_byte(struct image_jpeg_writer *w, uint8_t byte)
{
    *w->at++ = byte;
    if (byte == 0xff)
        *w->at++ = 0;
}

/* Up to 32 bits. */
static inline void image_jpeg_write(struct image_jpeg_writer *w, uint32_t value, uint32_t count)
{
    w->bits = w->bits << count | value;
    w->count += count;
    if (w->count < 32)
        return;
    w->count -= 32;
    uint32_t four = (uint32_t)(w->bits >> w->count);
    if (!image_jpeg_has_ff(four)) {
        four = htobe32(four);
        memcpy(w->at, &four, sizeof four);
        w->at += sizeof four;
        return;
    }
    for (int shift = 24; shift >= 0; shift -= 8)
        image_jpeg_write_byte(w, (uint8_t)(four >> shift));
}

/* The rest, filled up with ones to a whole byte. */
static inline void image_jpeg_write_end(struct image_jpeg_writer *w)
{
    uint32_t fill = (8 - w->count % 8) % 8;
    w->bits = w->bits << fill | ((1u << fill) - 1);
    for (w->count += fill; w->count > 0; w->count -= 8)
        image_jpeg_write_byte(w, (uint8_t)(w->bits >> (w->count - 8)));
}

#endif
