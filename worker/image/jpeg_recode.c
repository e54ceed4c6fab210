/* Joins tiles by codes: every code of the MCUs in the window is read and written again, next to nothing is changed. A block's first
 * coefficient is stored as the difference to the block before, which may be another one now; the rest moves as it is, unless
 * the tiles have tables of their own: then symbols are written by those of the standard, which know all of them. */
#include "worker/image/jpeg_stitching.h"

#include <stdlib.h>

/* 64 coefficients of up to 16 + 11 bits each, all of them stuffed. */
#define MAX_BLOCK_BYTES (64u * 27u / 8u * 2u)
#define MAX_MCU_BYTES   (IMAGE_JPEG_MAX_MCU_BLOCKS * MAX_BLOCK_BYTES)
#define MAX_DC_BITS     11u /* of 8-bit pictures */

struct image_jpeg_lane {
    struct image_jpeg_reader reader;
    const struct image_jpeg_decoder *decoder[2][3];
    struct image_jpeg_decoder *own; /* where its tables are not those of the first tile: six */
    int32_t predicted[3];
    uint32_t until_restart; /* MCUs; UINT32_MAX: never */
    uint32_t restart_mcus;
    uint8_t next_restart;
};

/* ---- tables ---- */

static const struct image_jpeg_table *table_of(const struct image_jpeg_head *head, unsigned class, unsigned component)
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

static enum rc prepare_encoders(struct image_jpeg_stitch *stitch, struct err *err)
{
    enum rc rc = RC_OK;
    for (unsigned i = 0; rc == RC_OK && i < 2u * stitch->first.components; i++) {
        unsigned class = i % 2, component = i / 2;
        struct image_jpeg_table table = *table_of(&stitch->first, class, component);
        if (stitch->translates)
            table = image_jpeg_standard_table(&stitch->standard, class, image_jpeg_standard_number(stitch, component));
        rc = image_jpeg_encoder_init(&stitch->encoder[class][component], &table, err);
    }
    return rc;
}

static enum rc prepare_decoders(const struct image_jpeg_head *head, struct image_jpeg_decoder decoder[2][3],
                                struct err *err)
{
    enum rc rc = RC_OK;
    for (unsigned i = 0; rc == RC_OK && i < 2u * head->components; i++) {
        unsigned class = i % 2, component = i / 2;
        const struct image_jpeg_table *table = table_of(head, class, component);
        if (component == 2 && table_of(head, class, 1)->data == table->data)
            decoder[class][2] = decoder[class][1];
        else
            rc = image_jpeg_decoder_init(&decoder[class][component], table, err);
    }
    return rc;
}

enum rc image_jpeg_recode_prepare(struct image_jpeg_stitch *stitch, struct err *err)
{
    stitch->translates = stitch->tables_differ || !knows_every_difference(&stitch->first);
    stitch->bits = 0;
    stitch->bit_count = 0;
    memset(stitch->predicted, 0, sizeof stitch->predicted);
    stitch->lane = calloc(stitch->columns, sizeof *stitch->lane);
    if (stitch->lane == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory to join %u tiles", stitch->columns);
    enum rc rc = stitch->translates ? image_jpeg_standard_tables(&stitch->standard, err) : RC_OK;
    if (rc == RC_OK)
        rc = prepare_encoders(stitch, err);
    return rc == RC_OK ? prepare_decoders(&stitch->first, stitch->decoder, err) : rc;
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
        unsigned blocks = head->components == 1 ? 1 : (unsigned)head->component[i].across * head->component[i].down;
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

static inline bool read_difference(struct image_jpeg_reader *r, const struct image_jpeg_decoder *decoder, int32_t *value)
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

static inline bool write_difference(struct image_jpeg_writer *w, const struct image_jpeg_encoder *encoder, int32_t value)
{
    uint32_t magnitude = (uint32_t)(value < 0 ? -value : value);
    uint32_t count = magnitude == 0 ? 0 : 32 - (uint32_t)__builtin_clz(magnitude);
    if (count > MAX_DC_BITS)
        return false;
    uint32_t bits = (uint32_t)(value < 0 ? value - 1 : value) & ((1u << count) - 1);
    image_jpeg_write(w, (uint32_t)encoder->code[count] << count | bits, encoder->length[count] + count);
    return encoder->length[count] > 0;
}

/* The 63 coefficients behind the first. `encoder` NULL: codes stay as they are; `keeps` false: they go nowhere. */
static inline bool move_rest(struct image_jpeg_reader *r, const struct image_jpeg_decoder *decoder,
                             struct image_jpeg_writer *w, const struct image_jpeg_encoder *encoder, bool keeps)
{
    for (uint32_t k = 1; k < 64;) {
        image_jpeg_refill(r);
        uint32_t found = image_jpeg_peek_symbol(r, decoder);
        uint32_t length = found >> 8, symbol = found & 255, count = symbol & 15, total = length + count;
        if (found == 0)
            return false;
        if (keeps && encoder == NULL) {
            image_jpeg_write(w, (uint32_t)(r->bits >> (64 - total)), total);
        } else if (keeps) {
            uint32_t value = (uint32_t)(r->bits >> (64 - total)) & ((1u << count) - 1);
            if (encoder->length[symbol] == 0)
                return false;
            image_jpeg_write(w, (uint32_t)encoder->code[symbol] << count | value, encoder->length[symbol] + count);
        }
        image_jpeg_skip(r, total);
        if (symbol == 0) /* the rest are zeros */
            return true;
        if (count == 0 ? symbol != 0xf0 : count > MAX_DC_BITS)
            return false;
        k += (symbol >> 4) + 1;
        if (k > 64)
            return false;
    }
    return true;
}

/* `count` MCUs without a restart among them. */
static inline bool move_mcus(struct image_jpeg_stitch *stitch, struct image_jpeg_lane *lane,
                             const struct sequence *sequence, uint32_t count, bool keeps, struct image_jpeg_writer *writer)
{
    struct image_jpeg_reader r = lane->reader;
    struct image_jpeg_writer w = *writer;
    bool ok = true;
    for (uint32_t i = 0; ok && i < count; i++)
        for (uint32_t b = 0; ok && b < sequence->blocks; b++) {
            uint8_t c = sequence->component[b];
            ok = read_difference(&r, lane->decoder[IMAGE_JPEG_DC][c], &lane->predicted[c]);
            if (keeps) {
                ok = ok && write_difference(&w, &stitch->encoder[IMAGE_JPEG_DC][c],
                                            lane->predicted[c] - stitch->predicted[c]);
                stitch->predicted[c] = lane->predicted[c];
            }
            const struct image_jpeg_encoder *encoder = stitch->translates ? &stitch->encoder[IMAGE_JPEG_AC][c] : NULL;
            ok = ok && move_rest(&r, lane->decoder[IMAGE_JPEG_AC][c], &w, encoder, keeps);
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
static enum rc move(struct image_jpeg_stitch *stitch, struct image_jpeg_lane *lane, const struct sequence *sequence,
                    uint32_t count, bool keeps, struct bytes *out, struct err *err)
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
    struct image_jpeg_decoder (*decoder)[3] = stitch->decoder;
    if (stitch->tables_differ) {
        if (lane->own == NULL)
            lane->own = calloc(6, sizeof *lane->own);
        if (lane->own == NULL)
            return err_set(err, RC_NO_MEMORY, "no memory for Huffman tables");
        decoder = (struct image_jpeg_decoder (*)[3])lane->own;
        rc = prepare_decoders(&head, decoder, err);
        if (rc != RC_OK)
            return rc;
    }
    for (unsigned i = 0; i < 6; i++)
        lane->decoder[i / 3][i % 3] = &decoder[i / 3][i % 3];
    lane->reader = (struct image_jpeg_reader){.at = tile->data + head.scan_at, .end = tile->data + tile->length};
    memset(lane->predicted, 0, sizeof lane->predicted);
    lane->restart_mcus = head.restart_mcus;
    lane->until_restart = head.restart_mcus == 0 ? UINT32_MAX : head.restart_mcus;
    lane->next_restart = 0;
    return RC_OK;
}

enum rc image_jpeg_recode_row(struct image_jpeg_stitch *stitch, const struct image_jpeg_tile *tiles, struct bytes *out,
                              struct err *err)
{
    const struct sequence sequence = sequence_of(&stitch->first);
    const uint32_t width = stitch->tile_mcus.width_px;
    enum rc rc = RC_OK;
    for (uint32_t i = 0; rc == RC_OK && i < stitch->columns; i++)
        rc = lane_start(stitch, &stitch->lane[i], &tiles[i], err);
    struct image_jpeg_range rows = image_jpeg_range_in(stitch->down, stitch->tile_mcus.height_px, stitch->next_row);
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

void image_jpeg_recode_done(struct image_jpeg_stitch *stitch)
{
    for (uint32_t i = 0; stitch->lane != NULL && i < stitch->columns; i++)
        free(stitch->lane[i].own);
    free(stitch->lane);
    stitch->lane = NULL;
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
