/* Joins tiles by codes: every code of the MCUs in the window is read and written again, next to nothing is
 * changed. A block's first coefficient is stored as the difference to the block before, which may be another
 * one now; the rest moves as it is, unless the tiles have tables of their own: then symbols are written by
 * those of the standard, which know all of them. */
#include "worker/image/jpeg_stitching.h"

#include <stdlib.h>

/* 64 coefficients of up to 16 + 11 bits each, all of them stuffed. */
#define MAX_BLOCK_BYTES (64u * 27u / 8u * 2u)
#define MAX_MCU_BYTES   (IMAGE_JPEG_MAX_MCU_BLOCKS * MAX_BLOCK_BYTES)
#define MAX_DC_BITS     11u /* of 8-bit pictures */
#define MAX_AC_BITS     11u

struct image_jpeg_lane {
    struct image_jpeg_reader reader;
    struct image_jpeg_decoders decoders;
    int32_t predicted[3];
    uint32_t until_restart; /* MCUs; UINT32_MAX: never */
    uint32_t restart_mcus;
    uint8_t next_restart;
};

/* ---- tables ---- */

static const struct image_jpeg_table *table_of(const struct image_jpeg_head *head, unsigned class,
                                               unsigned component)
{
    return &head->huffman[class][head->component[component].huffman[class]];
}

/* Whether the differences of first coefficients can be written anew with the tiles' own tables. */
static bool knows_every_difference(const struct image_jpeg_head *head)
{
    for (unsigned i = 0; i < head->components; i++) {
        const struct image_jpeg_table *table = table_of(head, IMAGE_JPEG_DC, i);
        unsigned known = 0;
        for (unsigned n = 16; n < table->length_bytes; n++)
            if (table->data[n] <= MAX_DC_BITS)
                known |= 1u << table->data[n];
        if (known != (1u << (MAX_DC_BITS + 1)) - 1)
            return false;
    }
    return true;
}

/* Where codes stay as they are, only those of differences are written anew. */
static enum rc prepare_encoders(struct image_jpeg_stitch *stitch, struct err *err)
{
    enum rc rc = RC_OK;
    for (unsigned i = 0; rc == RC_OK && i < stitch->first.components; i++) {
        unsigned number = image_jpeg_standard_number(stitch, i);
        if (stitch->translates) {
            stitch->encoder[IMAGE_JPEG_DC][i] = stitch->standard->encoder[IMAGE_JPEG_DC][number];
            stitch->encoder[IMAGE_JPEG_AC][i] = stitch->standard->encoder[IMAGE_JPEG_AC][number];
        } else {
            rc = image_jpeg_encoder_init(&stitch->encoder[IMAGE_JPEG_DC][i],
                                         table_of(&stitch->first, IMAGE_JPEG_DC, i), err);
        }
    }
    return rc;
}

static const struct image_jpeg_decoder *standard_decoder(const struct image_jpeg_standard *standard,
                                                         unsigned class, const struct image_jpeg_table *table)
{
    for (unsigned number = 0; number < 2; number++) {
        const struct image_jpeg_table *known = &standard->table[class][number];
        if (known->length_bytes == table->length_bytes &&
            memcmp(known->data, table->data, known->length_bytes) == 0)
            return &standard->decoder[class][number];
    }
    return NULL;
}

static enum rc prepare_decoders(const struct image_jpeg_stitch *stitch, const struct image_jpeg_head *head,
                                struct image_jpeg_decoders *decoders, struct err *err)
{
    for (unsigned i = 0; i < 2u * head->components; i++) {
        unsigned class = i % 2, component = i / 2;
        const struct image_jpeg_table *table = table_of(head, class, component);
        decoders->of[class][component] = standard_decoder(stitch->standard, class, table);
        if (component == 2 && table_of(head, class, 1)->data == table->data)
            decoders->of[class][2] = decoders->of[class][1];
        if (decoders->of[class][component] != NULL)
            continue;
        if (decoders->own == NULL)
            decoders->own = malloc(6 * sizeof *decoders->own);
        if (decoders->own == NULL)
            return err_set(err, RC_NO_MEMORY, "no memory for Huffman tables");
        struct image_jpeg_decoder *own = &decoders->own[i];
        enum rc rc = image_jpeg_decoder_init(own, table, class == IMAGE_JPEG_AC && !stitch->translates, err);
        if (rc != RC_OK)
            return rc;
        decoders->of[class][component] = own;
    }
    return RC_OK;
}

enum rc image_jpeg_recode_prepare_cuts(struct image_jpeg_stitch *stitch, struct err *err)
{
    enum rc rc = image_jpeg_standard_get(&stitch->standard, err);
    return rc == RC_OK ? prepare_decoders(stitch, &stitch->first, &stitch->decoders, err) : rc;
}

enum rc image_jpeg_recode_prepare(struct image_jpeg_stitch *stitch, struct err *err)
{
    stitch->translates = stitch->tables_differ || !knows_every_difference(&stitch->first);
    stitch->lane = calloc(stitch->columns, sizeof *stitch->lane);
    if (stitch->lane == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory to join %u tiles", stitch->columns);
    enum rc rc = image_jpeg_standard_get(&stitch->standard, err);
    if (rc == RC_OK)
        rc = prepare_encoders(stitch, err);
    return rc == RC_OK ? prepare_decoders(stitch, &stitch->first, &stitch->decoders, err) : rc;
}

/* ---- moving ---- */

/* How the blocks of an MCU follow each other, and what they are read and written by. */
struct sequence {
    uint32_t blocks;
    uint8_t component[IMAGE_JPEG_MAX_MCU_BLOCKS];
};

static struct sequence sequence_of(const struct image_jpeg_head *head)
{
    struct sequence sequence = {.blocks = 0};
    for (uint8_t i = 0; i < head->components; i++) {
        unsigned blocks = head->components == 1
                              ? 1
                              : (unsigned)head->component[i].across * head->component[i].down;
        while (blocks-- > 0)
            sequence.component[sequence.blocks++] = i;
    }
    return sequence;
}

/* A number of `count` bits as T.81 F.2.2.1 has it: those that begin with 0 are negative. */
static inline int32_t signed_value(uint32_t bits, uint32_t count)
{
    return bits < 1u << (count - 1) ? (int32_t)bits - (int32_t)((1u << count) - 1) : (int32_t)bits;
}

static inline bool read_difference(struct image_jpeg_reader *r, const struct image_jpeg_decoder *decoder,
                                   int32_t *value)
{
    image_jpeg_refill(r);
    uint32_t found = image_jpeg_peek_symbol(r, decoder), count = found & 255;
    if (found == 0 || count > MAX_DC_BITS)
        return false;
    image_jpeg_skip(r, found >> 8);
    if (count > 0) {
        *value += signed_value((uint32_t)(r->bits >> (64 - count)), count);
        image_jpeg_skip(r, count);
    }
    return *value >= INT16_MIN && *value <= INT16_MAX;
}

static inline bool write_difference(struct image_jpeg_writer *w, const struct image_jpeg_encoder *encoder,
                                    int32_t value)
{
    uint32_t magnitude = (uint32_t)(value < 0 ? -value : value);
    uint32_t count = magnitude == 0 ? 0 : 32 - (uint32_t)__builtin_clz(magnitude);
    if (count > MAX_DC_BITS)
        return false;
    uint32_t bits = (uint32_t)(value < 0 ? value - 1 : value) & ((1u << count) - 1);
    image_jpeg_write(w, (uint32_t)encoder->code[count] << count | bits, encoder->length[count] + count);
    return encoder->length[count] > 0;
}

/* One code and its value. `encoder` NULL: they stay as they are. Returns how many coefficients they are, 128
 * where the rest of the block are zeros, 0 where this cannot be. */
static inline uint32_t move_one(struct image_jpeg_reader *r, const struct image_jpeg_decoder *decoder,
                                struct image_jpeg_writer *w, const struct image_jpeg_encoder *encoder,
                                bool keeps)
{
    uint32_t found = image_jpeg_peek_symbol(r, decoder);
    uint32_t symbol = found & 255, count = symbol & 15, total = (found >> 8) + count;
    if (found == 0 || count > MAX_AC_BITS || (count == 0 && symbol != 0 && symbol != 0xf0))
        return 0;
    if (keeps && encoder == NULL) {
        image_jpeg_write(w, (uint32_t)(r->bits >> (64 - total)), total);
    } else if (keeps) {
        uint32_t value = (uint32_t)(r->bits >> (64 - total)) & ((1u << count) - 1);
        if (encoder->length[symbol] == 0)
            return 0;
        image_jpeg_write(w, (uint32_t)encoder->code[symbol] << count | value,
                         encoder->length[symbol] + count);
    }
    image_jpeg_skip(r, total);
    return symbol == 0 ? 128 : (symbol >> 4) + 1;
}

/* The 63 coefficients behind the first, several at a time where they stay as they are. */
static inline bool move_rest(struct image_jpeg_reader *r, const struct image_jpeg_decoder *decoder,
                             struct image_jpeg_writer *w, const struct image_jpeg_encoder *encoder,
                             bool keeps)
{
    for (uint32_t k = 1; k < 64;) {
        image_jpeg_refill(r);
        uint32_t leap = encoder == NULL ? decoder->leap[r->bits >> (64 - IMAGE_JPEG_LEAP_BITS)] : 0;
        uint32_t bits = image_jpeg_leap_bits(leap), reached = k + image_jpeg_leap_coefficients(leap);
        if (bits > 0 &&
            reached + image_jpeg_leap_ends(leap) <= 64) { /* else its end is part of the next block */
            if (keeps)
                image_jpeg_write(w, (uint32_t)(r->bits >> (64 - bits)), bits);
            image_jpeg_skip(r, bits);
            if (image_jpeg_leap_ends(leap))
                return true;
            k = reached;
            continue;
        }
        uint32_t moved = move_one(r, decoder, w, encoder, keeps);
        k += moved;
        if (moved == 0 || (k > 64 && moved != 128))
            return false;
    }
    return true;
}

/* `count` MCUs without a restart among them. */
static inline bool move_mcus(struct image_jpeg_stitch *stitch, struct image_jpeg_lane *lane,
                             const struct sequence *sequence, uint32_t count, bool keeps,
                             struct image_jpeg_writer *writer)
{
    struct image_jpeg_reader r = lane->reader;
    struct image_jpeg_writer w = *writer;
    bool ok = true;
    for (uint32_t i = 0; ok && i < count; i++)
        for (uint32_t b = 0; ok && b < sequence->blocks; b++) {
            uint8_t c = sequence->component[b];
            ok = read_difference(&r, lane->decoders.of[IMAGE_JPEG_DC][c], &lane->predicted[c]);
            if (keeps) {
                ok = ok && write_difference(&w, &stitch->encoder[IMAGE_JPEG_DC][c],
                                            lane->predicted[c] - stitch->predicted[c]);
                stitch->predicted[c] = lane->predicted[c];
            }
            const struct image_jpeg_encoder *encoder = stitch->translates ? &stitch->encoder[IMAGE_JPEG_AC][c]
                                                                          : NULL;
            ok = ok && move_rest(&r, lane->decoders.of[IMAGE_JPEG_AC][c], &w, encoder, keeps);
        }
    lane->reader = r;
    *writer = w;
    return ok && !image_jpeg_overran(&r);
}

/* Over the marker that has to come now. */
static bool restart(struct image_jpeg_lane *lane)
{
    struct image_jpeg_reader *r = &lane->reader;
    if (r->count - r->beyond >= 8)
        return false;
    while (r->end - r->at >= 2 && r->at[0] == 0xff && r->at[1] == 0xff)
        r->at++;
    if (r->end - r->at < 2 || r->at[0] != 0xff || r->at[1] != IMAGE_JPEG_RST0 + lane->next_restart)
        return false;
    *r = (struct image_jpeg_reader){.at = r->at + 2, .end = r->end};
    lane->next_restart = (lane->next_restart + 1) & 7;
    lane->until_restart = lane->restart_mcus;
    memset(lane->predicted, 0, sizeof lane->predicted);
    return true;
}

/* The next `count` MCUs of a tile, into the output or over them. */
static enum rc move(struct image_jpeg_stitch *stitch, struct image_jpeg_lane *lane,
                    const struct sequence *sequence, uint32_t count, bool keeps, struct bytes *out,
                    struct err *err)
{
    while (count > 0) {
        if (lane->until_restart == 0 && !restart(lane))
            return err_set(err, RC_UNSUPPORTED, "the tile does not restart where it says");
        uint32_t part = count < lane->until_restart ? count : lane->until_restart;
        if (part > 8) /* what has to be reserved stays small */
            part = 8;
        enum rc rc = keeps ? bytes_reserve(out, part * MAX_MCU_BYTES + 8, err) : RC_OK;
        if (rc != RC_OK)
            return rc;
        struct image_jpeg_writer writer = {
            .at = keeps ? out->data + out->length : NULL, .bits = stitch->bits, .count = stitch->bit_count};
        bool ok = keeps ? move_mcus(stitch, lane, sequence, part, true, &writer)
                        : move_mcus(stitch, lane, sequence, part, false, &writer);
        if (!ok)
            return err_set(err, RC_UNSUPPORTED, "the tile's coded data are broken");
        if (keeps)
            out->length = (size_t)(writer.at - out->data);
        stitch->bits = writer.bits;
        stitch->bit_count = writer.count;
        count -= part;
        if (lane->until_restart != UINT32_MAX)
            lane->until_restart -= part;
    }
    return RC_OK;
}

/* ---- a row of tiles ---- */

static enum rc lane_start(struct image_jpeg_stitch *stitch, struct image_jpeg_lane *lane,
                          const struct image_jpeg_tile *tile, struct err *err)
{
    struct image_jpeg_head head;
    enum rc rc = image_jpeg_head_read(stitch->grid.tables, tile->data, tile->length, &head, err);
    if (rc != RC_OK)
        return rc;
    if (stitch->tables_differ)
        rc = prepare_decoders(stitch, &head, &lane->decoders, err);
    else
        memcpy(lane->decoders.of, stitch->decoders.of, sizeof lane->decoders.of);
    if (rc != RC_OK)
        return rc;
    lane->reader = (struct image_jpeg_reader){.at = tile->data + head.scan_at,
                                              .end = tile->data + tile->length};
    memset(lane->predicted, 0, sizeof lane->predicted);
    lane->restart_mcus = head.restart_mcus;
    lane->until_restart = head.restart_mcus == 0 ? UINT32_MAX : head.restart_mcus;
    lane->next_restart = 0;
    return RC_OK;
}

enum rc image_jpeg_recode_row(struct image_jpeg_stitch *stitch, const struct image_jpeg_tile *tiles,
                              struct bytes *out, struct err *err)
{
    const struct sequence sequence = sequence_of(&stitch->first);
    const uint32_t width = stitch->tile_mcus.width_px;
    enum rc rc = RC_OK;
    for (uint32_t i = 0; rc == RC_OK && i < stitch->columns; i++)
        rc = lane_start(stitch, &stitch->lane[i], &tiles[i], err);
    struct image_jpeg_range rows = image_jpeg_range_in(stitch->down, stitch->tile_mcus.height_px,
                                                       stitch->next_row);
    for (uint32_t row = 0; row < rows.to; row++)
        for (uint32_t i = 0; i < stitch->columns; i++) {
            struct image_jpeg_lane *lane = &stitch->lane[i];
            struct image_jpeg_range part = image_jpeg_range_in(stitch->across, width, i);
            if (row < rows.from)
                part.from = part.to = 0;
            if (rc == RC_OK)
                rc = move(stitch, lane, &sequence, part.from, false, out, err);
            if (rc == RC_OK)
                rc = move(stitch, lane, &sequence, part.to - part.from, true, out, err);
            if (rc == RC_OK && row + 1 < rows.to) /* what is right of the last row is nobody's business */
                rc = move(stitch, lane, &sequence, width - part.to, false, out, err);
            if (rc != RC_OK)
                return rc;
        }
    return rc;
}

/* ---- cuts ---- */

/* From behind the bytes that the reader has taken back over those it has not used. */
static const uint8_t *first_unused(const struct image_jpeg_reader *r, const uint8_t *start,
                                   uint32_t *ret_bits)
{
    const uint8_t *at = r->at;
    uint32_t unused = r->count - r->beyond;
    for (; unused >= 8; unused -= 8)
        at -= at - start >= 2 && at[-2] == 0xff ? 2 : 1; /* a stuffed byte takes two */
    *ret_bits = unused;
    return at;
}

size_t image_jpeg_recode_reach(struct image_jpeg_stitch *stitch, const uint8_t *interval, size_t length,
                               uint32_t mcus)
{
    const struct sequence sequence = sequence_of(&stitch->first);
    struct image_jpeg_lane lane = {.reader = {.at = interval, .end = interval + length}};
    struct image_jpeg_writer nowhere = {.at = NULL};
    memcpy(lane.decoders.of, stitch->decoders.of, sizeof lane.decoders.of);
    if (!move_mcus(stitch, &lane, &sequence, mcus, false, &nowhere))
        return 0;
    const uint8_t *end = first_unused(&lane.reader, interval, &stitch->cut_bits);
    if (stitch->cut_bits > 0 && end - interval >= 2 && end[-2] == 0xff && end[-1] == 0)
        end--; /* its last byte is only partly wanted, and ends anew */
    return (size_t)(end - interval);
}

void image_jpeg_recode_done(struct image_jpeg_stitch *stitch)
{
    for (uint32_t i = 0; stitch->lane != NULL && i < stitch->columns; i++)
        free(stitch->lane[i].decoders.own);
    free(stitch->lane);
    free(stitch->decoders.own);
}

enum rc image_jpeg_recode_end(struct image_jpeg_stitch *stitch, struct bytes *out, struct err *err)
{
    enum rc rc = bytes_reserve(out, 16, err);
    if (rc != RC_OK)
        return rc;
    struct image_jpeg_writer writer = {
        .at = out->data + out->length, .bits = stitch->bits, .count = stitch->bit_count};
    image_jpeg_write_end(&writer);
    out->length = (size_t)(writer.at - out->data);
    return RC_OK;
}
