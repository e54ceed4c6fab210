/* What the tests of TIFF sources share: files that libtiff writes from a recipe, with known pixels. */
#ifndef TESTS_UNIT_IMAGE_TIFF_RECIPE_H
#define TESTS_UNIT_IMAGE_TIFF_RECIPE_H

#include "tests/unit/image/read_source.h"

#include <tiffio.h>

#define UNUSED __attribute__((unused))

/* What a test file is like; zero is the usual. */
struct recipe {
    const char *mode; /* of TIFFFdOpen: "w", "wb" big-endian, "w8" BigTIFF */
    uint32_t width, height;
    uint32_t tile, rows_per_strip;
    uint16_t compression, photometric, bits, samples, planar, predictor, fill_order;
    uint16_t alpha; /* EXTRASAMPLE_…; 0: no extra samples are declared */
    uint16_t sub_x, sub_y;
    int jpeg_rgb;
    void (*more)(TIFF *tiff); /* further tags */
};

/* Never smooth enough for two samples to be mistaken for one another. */
static UNUSED unsigned sample_at(const struct recipe *r, uint32_t x, uint32_t y, unsigned s)
{
    if (r->bits == 1)
        return (x * x + y * 3) / 7 % 2;
    return (x * 11 + y * 29 + s * 83 + (x * y) % 13) & ((1u << r->bits) - 1);
}

static UNUSED void put_sample(uint8_t *row, uint32_t index, unsigned bits, unsigned value)
{
    if (bits == 16) {
        ((uint16_t *)(void *)row)[index] = (uint16_t)value;
    } else {
        unsigned per_byte = 8 / bits, shift = 8 - bits - index % per_byte * bits;
        row[index / per_byte] = (uint8_t)(row[index / per_byte] | value << shift);
    }
}

static UNUSED uint8_t *make_block(const struct recipe *r, uint32_t x0, uint32_t y0, uint32_t width,
                                  uint32_t height, int plane, size_t *ret_bytes)
{
    unsigned samples = plane >= 0 ? 1 : r->samples;
    size_t row_bytes = ((size_t)width * samples * r->bits + 7) / 8;
    uint8_t *block = calloc(height, row_bytes);
    for (uint32_t y = 0; y < height; y++)
        for (uint32_t x = 0; x < width; x++)
            for (unsigned s = 0; s < samples; s++)
                put_sample(block + y * row_bytes, x * samples + s, r->bits,
                           sample_at(r, x0 + x, y0 + y, plane >= 0 ? (unsigned)plane : s));
    *ret_bytes = row_bytes * height;
    return block;
}

static UNUSED struct recipe with_presets(struct recipe r)
{
    r.mode = r.mode == NULL ? "w" : r.mode;
    r.width = r.width == 0 ? 83 : r.width;
    r.height = r.height == 0 ? 61 : r.height;
    r.bits = r.bits == 0 ? 8 : r.bits;
    r.samples = r.samples == 0 ? 1 : r.samples;
    r.compression = r.compression == 0 ? COMPRESSION_NONE : r.compression;
    r.planar = r.planar == 0 ? PLANARCONFIG_CONTIG : r.planar;
    r.rows_per_strip = r.rows_per_strip == 0 ? 16 : r.rows_per_strip;
    r.sub_x = r.sub_x == 0 ? 1 : r.sub_x;
    r.sub_y = r.sub_y == 0 ? 1 : r.sub_y;
    return r;
}

static UNUSED void write_tags(TIFF *tiff, const struct recipe *r)
{
    TIFFSetField(tiff, TIFFTAG_IMAGEWIDTH, r->width);
    TIFFSetField(tiff, TIFFTAG_IMAGELENGTH, r->height);
    TIFFSetField(tiff, TIFFTAG_BITSPERSAMPLE, r->bits);
    TIFFSetField(tiff, TIFFTAG_SAMPLESPERPIXEL, r->samples);
    TIFFSetField(tiff, TIFFTAG_COMPRESSION, r->compression);
    TIFFSetField(tiff, TIFFTAG_PHOTOMETRIC, r->photometric);
    TIFFSetField(tiff, TIFFTAG_PLANARCONFIG, r->planar);
    if (r->alpha != 0)
        TIFFSetField(tiff, TIFFTAG_EXTRASAMPLES, 1, &r->alpha);
    if (r->predictor != 0)
        TIFFSetField(tiff, TIFFTAG_PREDICTOR, r->predictor);
    if (r->fill_order != 0)
        TIFFSetField(tiff, TIFFTAG_FILLORDER, r->fill_order);
    if (r->photometric == PHOTOMETRIC_YCBCR)
        TIFFSetField(tiff, TIFFTAG_YCBCRSUBSAMPLING, r->sub_x, r->sub_y);
    if (r->compression == COMPRESSION_JPEG && r->photometric == PHOTOMETRIC_YCBCR)
        TIFFSetField(tiff, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
    if (r->compression == COMPRESSION_WEBP)
        TIFFSetField(tiff, TIFFTAG_WEBP_LOSSLESS, 1);
    if (r->tile != 0) {
        TIFFSetField(tiff, TIFFTAG_TILEWIDTH, r->tile);
        TIFFSetField(tiff, TIFFTAG_TILELENGTH, r->tile);
    } else {
        TIFFSetField(tiff, TIFFTAG_ROWSPERSTRIP, r->rows_per_strip);
    }
    if (r->more != NULL)
        r->more(tiff);
}

static UNUSED void write_plane(TIFF *tiff, const struct recipe *r, int plane)
{
    uint32_t wide = r->tile != 0 ? r->tile : r->width, high = r->tile != 0 ? r->tile : r->rows_per_strip;
    for (uint32_t y = 0; y < r->height; y += high)
        for (uint32_t x = 0; x < r->width; x += wide) {
            uint32_t rows = r->tile != 0 || r->height - y > high ? high : r->height - y;
            size_t length = 0;
            uint8_t *block = make_block(r, x, y, wide, rows, plane, &length);
            uint16_t sample = plane < 0 ? 0 : (uint16_t)plane;
            if (r->tile != 0)
                assert_true(TIFFWriteEncodedTile(tiff, TIFFComputeTile(tiff, x, y, 0, sample), block,
                                                 (tmsize_t)length) > 0);
            else
                assert_true(TIFFWriteEncodedStrip(tiff, TIFFComputeStrip(tiff, y, sample), block,
                                                  (tmsize_t)length) > 0);
            free(block);
        }
}

static UNUSED void write_directory(TIFF *tiff, struct recipe recipe)
{
    struct recipe r = with_presets(recipe);
    write_tags(tiff, &r);
    if (r.planar == PLANARCONFIG_SEPARATE)
        for (int s = 0; s < r.samples; s++)
            write_plane(tiff, &r, s);
    else
        write_plane(tiff, &r, -1);
    assert_true(TIFFWriteDirectory(tiff));
}

static UNUSED int write_pages(const struct recipe *pages, size_t count)
{
    int fd = memfd_create("tiff", MFD_CLOEXEC);
    TIFF *tiff = TIFFFdOpen(dup(fd), "memory", with_presets(pages[0]).mode);
    assert_non_null(tiff);
    for (size_t i = 0; i < count; i++)
        write_directory(tiff, pages[i]);
    TIFFClose(tiff);
    return fd;
}

static UNUSED int write_one(struct recipe recipe)
{
    return write_pages(&recipe, 1);
}

#endif
