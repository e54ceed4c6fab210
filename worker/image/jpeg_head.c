#include "worker/image/jpeg_head.h"

#include <string.h>

/* Whether `tables` is empty or looks like a stream of tables alone. */
static bool tables_are_sound(const struct bytes *tables)
{
    const uint8_t *data = tables->data;
    size_t length = tables->length;
    return length == 0 || (length >= 4 && data[0] == 0xff && data[1] == IMAGE_JPEG_SOI &&
                           data[length - 2] == 0xff && data[length - 1] == IMAGE_JPEG_EOI);
}

static enum rc read_quantisers(const uint8_t *body, size_t length, struct image_jpeg_head *head,
                               struct err *err)
{
    while (length > 0) {
        uint8_t name = body[0];
        uint16_t table_bytes = name >> 4 == 0 ? 64 : 128;
        if (name >> 4 > 1 || (name & 15) > 3 || length - 1 < table_bytes)
            return err_set(err, RC_UNSUPPORTED, "a quantisation table of the tile is broken");
        head->quantiser[name & 15] = (struct image_jpeg_table){body + 1, table_bytes};
        body += 1 + table_bytes;
        length -= 1u + table_bytes;
    }
    return RC_OK;
}

static enum rc read_huffman(const uint8_t *body, size_t length, struct image_jpeg_head *head, struct err *err)
{
    while (length > 0) {
        unsigned symbols = 0;
        for (unsigned i = 1; i <= 16 && i < length; i++)
            symbols += body[i];
        uint8_t name = body[0];
        if (length < 17 || name >> 4 > 1 || (name & 15) > 3 || symbols > 256 || length - 17 < symbols)
            return err_set(err, RC_UNSUPPORTED, "a Huffman table of the tile is broken");
        head->huffman[name >> 4][name & 15] = (struct image_jpeg_table){body + 1, (uint16_t)(16 + symbols)};
        body += 17 + symbols;
        length -= 17 + symbols;
    }
    return RC_OK;
}

static enum rc read_frame(uint8_t process, const uint8_t *body, size_t length, struct image_jpeg_head *head,
                          struct err *err)
{
    if (length < 6 || head->components > 0 || body[5] < 1 || body[5] > 4 || length - 6 < 3u * body[5])
        return err_set(err, RC_UNSUPPORTED, "the tile's frame header is not one");
    head->process = process;
    head->depth_bits = body[0];
    head->size = (struct image_size){bytes_be16(body + 3), bytes_be16(body + 1)};
    head->components = body[5];
    for (unsigned i = 0; i < head->components; i++) {
        const uint8_t *at = body + 6 + 3 * i;
        head->component[i] = (struct image_jpeg_component){
            .id = at[0], .across = at[1] >> 4, .down = at[1] & 15, .quantiser = at[2]};
        if (at[1] >> 4 < 1 || at[1] >> 4 > 4 || (at[1] & 15) < 1 || (at[1] & 15) > 4 || at[2] > 3)
            return err_set(err, RC_UNSUPPORTED, "the tile's frame header is not one");
    }
    return RC_OK;
}

static enum rc read_scan(const uint8_t *body, size_t length, struct image_jpeg_head *head, struct err *err)
{
    if (length < 1 || head->components == 0 || length != 4u + 2u * body[0])
        return err_set(err, RC_UNSUPPORTED, "the tile has no frame header or a broken scan header");
    const uint8_t *end = body + length - 3;
    head->scan_is_whole = body[0] == head->components && end[0] == 0 && end[1] == 63 && end[2] == 0;
    for (unsigned i = 0; i < body[0] && head->scan_is_whole; i++) {
        uint8_t id = body[1 + 2 * i], huffman = body[2 + 2 * i];
        head->scan_is_whole = id == head->component[i].id && huffman >> 4 < 4 && (huffman & 15) < 4;
        head->component[i].huffman[IMAGE_JPEG_DC] = huffman >> 4 & 3;
        head->component[i].huffman[IMAGE_JPEG_AC] = huffman & 3;
    }
    return RC_OK;
}

static enum rc read_segment(uint8_t marker, const uint8_t *body, size_t length, struct image_jpeg_head *head,
                            struct err *err)
{
    switch (marker) {
    case IMAGE_JPEG_DQT:
        return read_quantisers(body, length, head, err);
    case IMAGE_JPEG_DHT:
        return read_huffman(body, length, head, err);
    case IMAGE_JPEG_DRI:
        if (length == 2)
            head->restart_mcus = bytes_be16(body);
        return length == 2 ? RC_OK : err_set(err, RC_UNSUPPORTED, "the tile's restart interval is broken");
    case IMAGE_JPEG_SOS:
        return read_scan(body, length, head, err);
    case IMAGE_JPEG_APP0:
        head->has_jfif |= length >= 5 && memcmp(body, "JFIF", 5) == 0;
        return RC_OK;
    case IMAGE_JPEG_APP14:
        if (length >= 12 && memcmp(body, "Adobe", 5) == 0) {
            head->has_adobe = true;
            head->adobe_transform = body[11];
        }
        return RC_OK;
    default: /* all of C0 to CF but DHT says how the picture is coded */
        return marker >= IMAGE_JPEG_SOF0 && marker <= 0xcf ? read_frame(marker & 15, body, length, head, err)
                                                           : RC_OK;
    }
}

/* Walks segments from 2 on, which is behind SOI: up to and with the first scan's header, or to the end of
 * what is there. */
static enum rc walk(const uint8_t *stream, size_t length, struct image_jpeg_head *head, size_t *ret_scan_at,
                    struct err *err)
{
    size_t at = 2;
    while (at + 4 <= length) {
        uint8_t marker = stream[at + 1];
        size_t segment_bytes = bytes_be16(stream + at + 2);
        if (stream[at] != 0xff || segment_bytes < 2 || segment_bytes > length - at - 2)
            return RC_OK;
        enum rc rc = read_segment(marker, stream + at + 4, segment_bytes - 2, head, err);
        if (rc != RC_OK)
            return rc;
        at += 2 + segment_bytes;
        if (marker == IMAGE_JPEG_SOS) {
            *ret_scan_at = at;
            return RC_OK;
        }
    }
    return RC_OK;
}

enum rc image_jpeg_head_read(const struct bytes *tables, const uint8_t *stream, size_t length,
                             struct image_jpeg_head *ret_head, struct err *err)
{
    struct image_jpeg_head head = {.components = 0};
    size_t scan_at = 0;
    if (length < 4 || stream[0] != 0xff || stream[1] != IMAGE_JPEG_SOI)
        return err_set(err, RC_UNSUPPORTED, "the tile does not begin like a JPEG stream");
    if (!tables_are_sound(tables))
        return err_set(err, RC_UNSUPPORTED, "the JPEG tables are not a stream of tables");
    enum rc rc = tables->length == 0 ? RC_OK : walk(tables->data, tables->length, &head, &scan_at, err);
    if (rc == RC_OK && (scan_at != 0 || head.components != 0))
        rc = err_set(err, RC_UNSUPPORTED, "the JPEG tables hold more than tables");
    if (rc == RC_OK)
        rc = walk(stream, length, &head, &scan_at, err);
    if (rc == RC_OK && scan_at == 0)
        rc = err_set(err, RC_UNSUPPORTED, "the tile has no scan");
    if (rc != RC_OK)
        return rc;
    head.scan_at = scan_at;
    *ret_head = head;
    return RC_OK;
}

struct image_size image_jpeg_head_mcu(const struct image_jpeg_head *head)
{
    struct image_size mcu = {8, 8};
    for (unsigned i = 0; i < head->components && head->components > 1; i++) {
        if (mcu.width_px < 8u * head->component[i].across)
            mcu.width_px = 8u * head->component[i].across;
        if (mcu.height_px < 8u * head->component[i].down)
            mcu.height_px = 8u * head->component[i].down;
    }
    return mcu;
}
