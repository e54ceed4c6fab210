#include "worker/image/tiff_unpack.h"

#include <string.h>

struct image_tiff_part image_tiff_part_of(const struct image_region *window, struct image_size chunk,
                                          uint32_t column, uint32_t row)
{
    uint32_t x = column * chunk.width_px, y = row * chunk.height_px;
    uint32_t right = window->x_px + window->width_px - x, bottom = window->y_px + window->height_px - y;
    struct image_tiff_part part = {
        .left_px = window->x_px > x ? window->x_px - x : 0,
        .top_px = window->y_px > y ? window->y_px - y : 0,
        .right_px = right < chunk.width_px ? right : chunk.width_px,
        .bottom_px = bottom < chunk.height_px ? bottom : chunk.height_px,
    };
    part.to_x_px = x + part.left_px - window->x_px;
    return part;
}

size_t image_tiff_row_bytes(const struct image_tiff_picture *picture, uint32_t width_px)
{
    uint64_t bits = (uint64_t)width_px * (picture->separate ? 1 : picture->samples) * picture->bits;
    return bits / 8 > UINT32_MAX - 1 ? 0 : (size_t)((bits + 7) / 8);
}

static void tiff_unpack_deep(const struct image_tiff_plane *plane, const uint16_t *from, size_t step,
                             uint32_t count, uint16_t *to)
{
    if (plane->is_icc_lightness) {
        for (uint32_t i = 0; i < count; i++, from += step)
            to[i] = (uint16_t)(*from >= 0xff00 ? 0xffff : (*from * 0xffffu + 0x7f80u) / 0xff00u);
        return;
    }
    for (uint32_t i = 0; i < count; i++, from += step)
        to[i] = *from ^ plane->flip;
}

static void tiff_unpack_bits(const struct image_tiff_plane *plane, unsigned bits, const uint8_t *row,
                             uint32_t x_px, uint32_t count, uint8_t *to)
{
    unsigned mask = (1u << bits) - 1;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t at = (uint64_t)(x_px + i) * bits;
        to[i] = plane->map[(unsigned)row[at / 8] >> (8 - bits - at % 8) & mask];
    }
}

void image_tiff_unpack_row(const struct image_tiff_picture *picture, unsigned p, const uint8_t *row,
                           uint32_t x_px, uint32_t count, uint8_t *to)
{
    const struct image_tiff_plane *plane = &picture->plane[p];
    size_t step = picture->separate ? 1 : picture->samples;
    size_t first = (size_t)x_px * step + (picture->separate ? 0 : plane->sample);
    if (picture->bits < 8) {
        tiff_unpack_bits(plane, picture->bits, row, x_px, count, to);
    } else if (picture->bits == 16) {
        tiff_unpack_deep(plane, (const uint16_t *)(const void *)row + first, step, count,
                         (uint16_t *)(void *)to);
    } else if (plane->mapped) {
        for (uint32_t i = 0; i < count; i++)
            to[i] = plane->map[row[first + i * step]];
    } else if (step == 1) {
        memcpy(to, row + first, count);
    } else {
        for (uint32_t i = 0; i < count; i++)
            to[i] = row[first + i * step];
    }
}

/* --- subsampled YCbCr ----------------------------------------------------------------------------------------- */

static size_t tiff_units_across(const struct image_tiff_picture *picture)
{
    return ((picture->chunk.width_px - 1) >> picture->format.sub_x_log2) + 1;
}

static size_t tiff_unit_bytes(const struct image_tiff_picture *picture)
{
    return ((size_t)1 << (picture->format.sub_x_log2 + picture->format.sub_y_log2)) + 2;
}

size_t image_tiff_unit_chunk_bytes(const struct image_tiff_picture *picture, uint32_t rows)
{
    size_t down = ((size_t)(rows - 1) >> picture->format.sub_y_log2) + 1;
    return tiff_units_across(picture) * down * tiff_unit_bytes(picture);
}

void image_tiff_unpack_units(const struct image_tiff_picture *picture, const uint8_t *chunk,
                             const struct image_tiff_part *part, uint8_t *const plane[IMAGE_MAX_PLANES],
                             const size_t stride_bytes[IMAGE_MAX_PLANES])
{
    unsigned sub_x = picture->format.sub_x_log2, sub_y = picture->format.sub_y_log2;
    size_t unit_bytes = tiff_unit_bytes(picture), row_bytes = tiff_units_across(picture) * unit_bytes;
    size_t chroma = unit_bytes - 2;
    const uint8_t *luma_map = picture->plane[0].mapped ? picture->plane[0].map : NULL;
    for (uint32_t y = part->top_px; y < part->bottom_px; y++) {
        const uint8_t *units = chunk + (y >> sub_y) * row_bytes;
        const uint8_t *line = units + ((size_t)(y & ((1u << sub_y) - 1)) << sub_x);
        uint8_t *to = plane[0] + (size_t)(y - part->top_px) * stride_bytes[0] + part->to_x_px;
        for (uint32_t x = part->left_px; x < part->right_px; x++) {
            uint8_t value = line[(x >> sub_x) * unit_bytes + (x & ((1u << sub_x) - 1))];
            *to++ = luma_map == NULL ? value : luma_map[value];
        }
        if ((y & ((1u << sub_y) - 1)) != 0)
            continue;
        for (unsigned p = 1; p < 3; p++) {
            to = plane[p] + (size_t)((y - part->top_px) >> sub_y) * stride_bytes[p] +
                 (part->to_x_px >> sub_x);
            for (uint32_t u = part->left_px >> sub_x; u <= (part->right_px - 1) >> sub_x; u++) {
                uint8_t value = units[u * unit_bytes + chroma + p - 1];
                *to++ = picture->plane[p].mapped ? picture->plane[p].map[value] : value;
            }
        }
    }
}
