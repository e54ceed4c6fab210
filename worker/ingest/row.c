#include "worker/ingest/row.h"

#include <string.h>

/* What lies in one block. */
struct piece {
    uint32_t count; /* samples */
    uint8_t *at;
    size_t stride_bytes;
};

/* The piece that begins at sample `first`; false behind the last. */
static bool piece_at(const struct ingest_row *row, uint32_t first, struct piece *ret_piece)
{
    const struct ingest_blocks *blocks = row->blocks;
    uint32_t wide = image_plane_width(&blocks->format, row->plane, blocks->size.width_px);
    uint32_t high = image_plane_height(&blocks->format, row->plane, blocks->size.height_px);

    if (first >= row->across->count)
        return false;
    const struct image_band *band = &row->block[first / wide]->band;
    uint32_t left = row->across->count - first;
    *ret_piece = (struct piece){.count = left < wide ? left : wide,
                                .at = image_planes_row(band, row->plane, row->row % high),
                                .stride_bytes = band->stride_bytes[row->plane]};
    return true;
}

void ingest_row_put(const struct ingest_row *row, const void *from)
{
    const uint8_t *bytes = from;
    size_t sample_bytes = row->blocks->format.depth_bits / 8u;
    struct piece piece;

    for (uint32_t x = 0; piece_at(row, x, &piece); x += piece.count)
        memcpy(piece.at, bytes + x * sample_bytes, piece.count * sample_bytes);
}

void ingest_row_put_wide(const struct ingest_row *row, const uint16_t *from)
{
    struct piece piece;

    if (row->blocks->format.depth_bits == 16) {
        ingest_row_put(row, from);
        return;
    }
    for (uint32_t x = 0; piece_at(row, x, &piece); x += piece.count)
        ingest_narrow(from + x, piece.count, piece.at);
}

void ingest_row_wide(const struct ingest_row *row, uint16_t *to)
{
    struct piece piece;

    for (uint32_t x = 0; piece_at(row, x, &piece); x += piece.count)
        if (row->blocks->format.depth_bits == 16)
            memcpy(to + x, piece.at, (size_t)piece.count * 2);
        else
            ingest_widen(piece.at, piece.count, to + x);
}

void ingest_row_halve(const struct ingest_row *row, bool alone, uint16_t *to)
{
    struct piece piece;

    for (uint32_t x = 0; piece_at(row, x, &piece); x += piece.count) {
        bool is_last = x + piece.count == row->across->count;
        const struct ingest_axis axis = {.count = piece.count,
                                         .full = row->across->full,
                                         .last = is_last ? row->across->last : row->across->full};
        ingest_halve_narrow(alone ? piece.at : piece.at - piece.stride_bytes, piece.at, &axis, to + x / 2);
    }
}
