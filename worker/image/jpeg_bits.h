/* JPEG's coded data, bit by bit: Huffman codes both ways, a reader that stops at markers, a writer that stuffs.
 *
 * For jpeg_recode.c, which moves codes from one stream to another without decoding pixels. All in the header for speed: readers
 * and writers are meant to be copied into local variables for the length of a loop. The bytes read are foreign: a reader never leaves
 * them, feeds zeros behind their end and knows that it did. */
#ifndef WORKER_IMAGE_JPEG_BITS_H
#define WORKER_IMAGE_JPEG_BITS_H

#include "worker/image/jpeg_head.h"

#include <endian.h>
#include <string.h>

/* ---- codes ---- */

#define IMAGE_JPEG_QUICK_BITS 10u

struct image_jpeg_decoder {
    uint16_t quick[1u << IMAGE_JPEG_QUICK_BITS]; /* by the next bits: length of the code << 8 | symbol; 0: it is longer */
    uint32_t limit[17];                          /* by length: codes below, padded to 16 bits, are that long at most */
    int32_t base[17];                            /* what makes an index into `symbol` of a code of that length */
    uint8_t symbol[256];
};

struct image_jpeg_encoder {
    uint16_t code[256];
    uint8_t length[256]; /* 0: the symbol has no code */
};

/* RC_UNSUPPORTED when the table is broken or missing. */
RC_MUST_USE enum rc image_jpeg_decoder_init(struct image_jpeg_decoder *decoder, const struct image_jpeg_table *table,
                                            struct err *err);
RC_MUST_USE enum rc image_jpeg_encoder_init(struct image_jpeg_encoder *encoder, const struct image_jpeg_table *table,
                                            struct err *err);

/* Appends the body of a DHT segment with the four tables of T.81 K.3, which have a code for every symbol of 8-bit pictures.
 * RC_NO_MEMORY. */
RC_MUST_USE enum rc image_jpeg_standard_tables(struct bytes *out, struct err *err);
/* One of them: number 0 is meant for luma, 1 for chroma. `body` is as above. */
struct image_jpeg_table image_jpeg_standard_table(const struct bytes *body, unsigned class, unsigned number);

/* ---- reading ---- */

struct image_jpeg_reader {
    const uint8_t *at, *end;
    uint64_t bits;         /* the next ones, from the top */
    uint32_t count;        /* how many of them are good */
    uint32_t beyond;       /* how many of those lie behind the end of the data */
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
            return length << 8 | decoder->symbol[(decoder->base[length] + (int32_t)(next >> (16 - length))) & 255];
    return 0;
}

static inline bool image_jpeg_overran(const struct image_jpeg_reader *r)
{
    return r->count < r->beyond;
}

/* ---- writing ---- */

struct image_jpeg_writer {
    uint8_t *at; /* the caller sees to it that there is room */
    uint64_t bits; /* the low `count` ones are yet to be written */
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
