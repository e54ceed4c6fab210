/* For the tests of sources: files in memory, pictures read as a whole, and windows compared with the whole. */
#ifndef TESTS_UNIT_IMAGE_READ_SOURCE_H
#define TESTS_UNIT_IMAGE_READ_SOURCE_H

#include "worker/image/source.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

struct picture {
    struct image_format format;
    struct image_size size;
    uint8_t *plane[IMAGE_MAX_PLANES];
    size_t stride_bytes[IMAGE_MAX_PLANES];
};

static const struct image_source_limits roomy = {.max_source_pixels = 1u << 28,
                                                 .max_decode_bytes = 64u << 20};

static inline int memory_file(const void *data, size_t length)
{
    int fd = memfd_create("source", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, length), (ssize_t)length);
    return fd;
}

static inline struct bytes file_bytes(int fd)
{
    off_t length = lseek(fd, 0, SEEK_END);
    struct bytes bytes = {
        .data = malloc((size_t)length + 1), .length = (size_t)length, .capacity = (size_t)length + 1};
    assert_int_equal(pread(fd, bytes.data, (size_t)length, 0), length);
    return bytes;
}

/* Opens a duplicate, so that the test keeps its file. */
static inline enum rc try_open(int fd, uint32_t page, const struct image_source_limits *limits,
                               struct image_source **ret_source, struct err *err)
{
    *ret_source = NULL;
    struct image_blob *blob = NULL;
    enum rc rc = image_blob_from_file(dup(fd), &blob, err);
    if (rc == RC_OK)
        rc = image_source_open(blob, page, limits, ret_source, err);
    assert_int_equal(*ret_source == NULL, rc != RC_OK);
    if (rc != RC_OK) {
        assert_int_equal(err->rc, rc);
        assert_true(strlen(err->message) > 10);
    }
    return rc;
}

static inline struct image_source *open_page(int fd, uint32_t page)
{
    struct err err = {0};
    struct image_source *source = NULL;
    if (try_open(fd, page, &roomy, &source, &err) != RC_OK)
        fail_msg("page %u: %s", page, err.message);
    return source;
}

static inline void picture_done(struct picture *picture)
{
    for (unsigned p = 0; p < IMAGE_MAX_PLANES; p++)
        free(picture->plane[p]);
    *picture = (struct picture){0};
}

/* Reads a window and checks that its bands are as pixels.h promises. */
static inline enum rc try_read(struct image_source *source, uint32_t level, uint32_t shrink_log2,
                               struct image_region window, struct picture *ret_picture, struct err *err)
{
    struct image_reader *reader = NULL;
    enum rc rc = image_source_read(source, level, shrink_log2, &window, &reader, err);
    if (rc != RC_OK)
        return rc;
    struct picture picture = {.format = reader->format, .size = reader->size};
    const struct image_format *f = &picture.format;
    assert_int_equal(reader->size.width_px, window.width_px);
    assert_int_equal(reader->size.height_px, window.height_px);
    for (unsigned p = 0; p < image_format_planes(f); p++) {
        picture.stride_bytes[p] = (size_t)image_plane_width(f, p, window.width_px) * (f->depth_bits / 8u);
        picture.plane[p] = calloc(image_plane_height(f, p, window.height_px), picture.stride_bytes[p]);
    }
    for (uint32_t y = 0; y < window.height_px && rc == RC_OK;) {
        struct image_band band = {0};
        rc = reader->ops->read(reader, &band, err);
        if (rc != RC_OK)
            break;
        assert_int_equal(band.y_px, y);
        assert_true(band.height_px > 0 && band.height_px <= window.height_px - y);
        assert_int_equal(band.y_px % (1u << f->sub_y_log2), 0);
        for (unsigned p = 0; p < image_format_planes(f); p++) {
            uint32_t first = image_plane_height(f, p, y), rows = image_plane_height(f, p, band.height_px);
            for (uint32_t i = 0; i < rows; i++)
                memcpy(picture.plane[p] + (first + i) * picture.stride_bytes[p],
                       band.plane[p] + i * band.stride_bytes[p], picture.stride_bytes[p]);
        }
        y += band.height_px;
    }
    image_reader_close(&reader);
    assert_null(reader);
    if (rc != RC_OK)
        picture_done(&picture);
    else
        *ret_picture = picture;
    return rc;
}

static inline struct picture read_level(struct image_source *source, uint32_t level, uint32_t shrink_log2)
{
    struct image_size size = image_source_shrunk_size(source->pyramid.level[level].size, shrink_log2);
    struct picture picture = {0};
    struct err err = {0};
    struct image_region all = {0, 0, size.width_px, size.height_px};
    if (try_read(source, level, shrink_log2, all, &picture, &err) != RC_OK)
        fail_msg("level %u: %s", level, err.message);
    return picture;
}

static inline unsigned picture_sample(const struct picture *picture, unsigned plane, uint32_t x, uint32_t y)
{
    const uint8_t *row = picture->plane[plane] + y * picture->stride_bytes[plane];
    return picture->format.depth_bits == 16 ? ((const uint16_t *)(const void *)row)[x] : row[x];
}

/* Whether the window at x, y has the whole picture's pixels. */
static inline void assert_part_of(const struct picture *whole, const struct picture *part,
                                  struct image_region at)
{
    const struct image_format *f = &part->format;
    assert_memory_equal(f, &whole->format, sizeof *f);
    for (unsigned p = 0; p < image_format_planes(f); p++) {
        size_t x = (size_t)image_plane_width(f, p, at.x_px) * (f->depth_bits / 8u);
        size_t y = image_plane_height(f, p, at.y_px);
        for (uint32_t i = 0; i < image_plane_height(f, p, at.height_px); i++)
            if (memcmp(part->plane[p] + i * part->stride_bytes[p],
                       whole->plane[p] + (y + i) * whole->stride_bytes[p] + x, part->stride_bytes[p]) != 0)
                fail_msg("window %u,%u,%u,%u: plane %u row %u is not the whole picture's", at.x_px, at.y_px,
                         at.width_px, at.height_px, p, i);
    }
}

/* Reads windows all over every level, shrunk in every way the source can, and compares them with the whole. */
static inline void assert_windows_are_parts(struct image_source *source)
{
    unsigned seed = 7;
    for (uint32_t level = 0; level < source->pyramid.level_count; level++)
        for (uint32_t shrink = 0; shrink <= (source->shrinks ? 3u : 0u); shrink++) {
            struct picture whole = read_level(source, level, shrink);
            for (unsigned i = 0; i < 12; i++) {
                uint32_t random[4];
                for (unsigned k = 0; k < 4; k++)
                    random[k] = (seed = seed * 1664525 + 1013904223) >> 8;
                struct image_region at = {random[0] % whole.size.width_px, random[1] % whole.size.height_px,
                                          0, 0};
                at.x_px = at.x_px >> source->format.sub_x_log2 << source->format.sub_x_log2;
                at.y_px = at.y_px >> source->format.sub_y_log2 << source->format.sub_y_log2;
                at.width_px = 1 + random[2] % (whole.size.width_px - at.x_px);
                at.height_px = 1 + random[3] % (whole.size.height_px - at.y_px);
                struct picture part = {0};
                struct err err = {0};
                if (try_read(source, level, shrink, at, &part, &err) != RC_OK)
                    fail_msg("level %u shrink %u: %s", level, shrink, err.message);
                assert_part_of(&whole, &part, at);
                picture_done(&part);
            }
            picture_done(&whole);
        }
}

#endif
