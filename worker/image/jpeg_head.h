/* What stands before the first scan of a JPEG stream: its frame, its tables, how often it restarts.
 *
 * For code that handles coded data without decoding it (jpeg_stored, jpeg_stitch). Pure and without
 * allocation: what is found are pointers into the bytes given. These are foreign: every segment is measured
 * before it is looked into. */
#ifndef WORKER_IMAGE_JPEG_HEAD_H
#define WORKER_IMAGE_JPEG_HEAD_H

#include "base/bytes.h"
#include "worker/image/geometry.h"

enum image_jpeg_marker {
    IMAGE_JPEG_SOF0 = 0xc0,
    IMAGE_JPEG_DHT = 0xc4,
    IMAGE_JPEG_RST0 = 0xd0,
    IMAGE_JPEG_SOI = 0xd8,
    IMAGE_JPEG_EOI = 0xd9,
    IMAGE_JPEG_SOS = 0xda,
    IMAGE_JPEG_DQT = 0xdb,
    IMAGE_JPEG_DRI = 0xdd,
    IMAGE_JPEG_APP0 = 0xe0,
    IMAGE_JPEG_APP14 = 0xee,
};

/* A table as it stands in its segment behind the byte that names it; absent: data NULL. Quantisers have 64
 * bytes, or 128 where values take two; Huffman tables 16 counts and then the symbols. */
struct image_jpeg_table {
    const uint8_t *data;
    uint16_t length_bytes;
};

enum image_jpeg_class { IMAGE_JPEG_DC, IMAGE_JPEG_AC };

struct image_jpeg_component {
    uint8_t id;
    uint8_t across, down; /* sampling factors, 1 to 4 */
    uint8_t quantiser;    /* 0 to 3 */
    uint8_t huffman[2];   /* by class, 0 to 3, as the first scan says */
};

struct image_jpeg_head {
    struct image_size size;
    uint8_t process; /* n of SOFn: 0 baseline, 1 extended, 2 progressive, and what browsers do not know */
    uint8_t depth_bits;
    uint8_t components; /* 1 to 4 */
    struct image_jpeg_component component[4];
    bool scan_is_whole; /* the first scan holds all components in the frame's order, all coefficients */
    struct image_jpeg_table quantiser[4], huffman[2][4];
    uint16_t restart_mcus; /* 0: none */
    bool has_jfif, has_adobe;
    uint8_t adobe_transform;
    size_t scan_at; /* where the coded data begin, in the stream */
};

/* Reads up to the first scan; `tables` (may be empty) is a tables-only stream that belongs before.
 * RC_UNSUPPORTED when `stream` is none that could be shown, or ends before its first scan. */
RC_MUST_USE enum rc image_jpeg_head_read(const struct bytes *tables, const uint8_t *stream, size_t length,
                                         struct image_jpeg_head *ret_head, struct err *err);

/* The size of one MCU of a scan that is whole. */
struct image_size image_jpeg_head_mcu(const struct image_jpeg_head *head);

#endif
