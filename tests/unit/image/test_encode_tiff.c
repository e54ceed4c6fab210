/* TIFF files as libtiff reads them. */
#include "tests/unit/image/encoding.h"

#include <tiffio.h>

/* ---- TIFF ---- */

struct memory_file {
    const struct bytes *bytes;
    uint64_t position;
};

static tmsize_t memory_read(thandle_t handle, void *data, tmsize_t length)
{
    struct memory_file *f = handle;
    if (f->position + (uint64_t)length > f->bytes->length)
        return 0;
    memcpy(data, f->bytes->data + f->position, (size_t)length);
    f->position += (uint64_t)length;
    return length;
}

static tmsize_t memory_write(thandle_t handle, void *data, tmsize_t length)
{
    (void)handle;
    (void)data;
    (void)length;
    return 0;
}

static toff_t memory_seek(thandle_t handle, toff_t offset, int whence)
{
    struct memory_file *f = handle;
    f->position = offset + (whence == SEEK_CUR ? f->position : whence == SEEK_END ? f->bytes->length : 0);
    return f->position;
}

static int memory_close(thandle_t handle)
{
    (void)handle;
    return 0;
}

static toff_t memory_size(thandle_t handle)
{
    return ((struct memory_file *)handle)->bytes->length;
}

static struct planes tiff_planes(TIFF *tiff, struct image_format format)
{
    uint32_t width, height;
    uint16_t samples, photometric, depth;
    TIFFGetField(tiff, TIFFTAG_IMAGEWIDTH, &width);
    TIFFGetField(tiff, TIFFTAG_IMAGELENGTH, &height);
    TIFFGetField(tiff, TIFFTAG_SAMPLESPERPIXEL, &samples);
    TIFFGetField(tiff, TIFFTAG_PHOTOMETRIC, &photometric);
    TIFFGetField(tiff, TIFFTAG_BITSPERSAMPLE, &depth);
    assert_int_equal(samples, image_format_planes(&format));
    struct planes to = planes_new(format, width, height);
    uint8_t *row = malloc((size_t)TIFFScanlineSize(tiff));
    for (uint32_t y = 0; y < height; y++) {
        assert_int_equal(TIFFReadScanline(tiff, row, y, 0), 1);
        for (uint32_t x = 0; x < width; x++)
            for (uint32_t i = 0; i < samples; i++)
                set_sample(&to, i, x, y,
                           depth == 8                        ? row[x * samples + i]
                           : (row[x / 8] >> (7 - x % 8) & 1) ? 0
                                                             : 255);
    }
    free(row);
    assert_int_equal(photometric, depth == 1                  ? PHOTOMETRIC_MINISWHITE
                                  : format.model == IMAGE_RGB ? PHOTOMETRIC_RGB
                                                              : PHOTOMETRIC_MINISBLACK);
    return to;
}

static void test_tiff(void **state)
{
    const struct image_format formats[] = {FORMAT_GRAY, FORMAT_RGB, FORMAT_GRAY_ALPHA, FORMAT_RGB_ALPHA};
    struct bytes icc = filled(3001), xmp = filled(70001), iptc = filled(333);
    (void)state;
    for (size_t f = 0; f < 5; f++) {
        struct image_encode_options options = plain;
        struct planes from = photo(formats[f % 4], 631, 467);
        options.icc = &icc;
        options.xmp = &xmp;
        options.iptc = &iptc;
        options.resolution_dpi = 300;
        options.bitonal = f == 4;
        if (f == 4)
            make_bitonal(&from);
        struct bytes file = encoded(IMAGE_TIFF, &from, &options, 50);
        struct memory_file handle = {&file, 0};
        TIFF *tiff = TIFFClientOpen("test", "rm", &handle, memory_read, memory_write, memory_seek,
                                    memory_close, memory_size, NULL, NULL);
        assert_non_null(tiff);
        struct planes to = tiff_planes(tiff, formats[f % 4]);
        assert_int_equal(planes_difference(&from, &to), 0);
        uint32_t length;
        void *data;
        float dpi;
        assert_true(TIFFGetField(tiff, TIFFTAG_ICCPROFILE, &length, &data) && length == icc.length);
        assert_memory_equal(data, icc.data, length);
        assert_true(TIFFGetField(tiff, TIFFTAG_XMLPACKET, &length, &data) && length == xmp.length);
        assert_memory_equal(data, xmp.data, length);
        assert_true(TIFFGetField(tiff, TIFFTAG_RICHTIFFIPTC, &length, &data) && length == 333);
        assert_memory_equal(data, iptc.data, 333);
        assert_true(TIFFGetField(tiff, TIFFTAG_XRESOLUTION, &dpi) && dpi == 300);
        if (formats[f % 4].alpha) {
            uint16_t count, *kinds;
            assert_true(TIFFGetField(tiff, TIFFTAG_EXTRASAMPLES, &count, &kinds) && count == 1);
            assert_int_equal(kinds[0], EXTRASAMPLE_UNASSALPHA);
        }
        TIFFClose(tiff);
        planes_free(&to);
        planes_free(&from);
        bytes_done(&file);
    }
    bytes_done(&icc);
    bytes_done(&xmp);
    bytes_done(&iptc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tiff),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
