/* TIFF sources: every codec, layout and meaning of samples, against files that libtiff writes here from known pixels. */
#include "tests/unit/image/read_source.h"

#include <tiffio.h>

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
static unsigned sample_at(const struct recipe *r, uint32_t x, uint32_t y, unsigned s)
{
    if (r->bits == 1)
        return (x * x + y * 3) / 7 % 2;
    return (x * 11 + y * 29 + s * 83 + (x * y) % 13) & ((1u << r->bits) - 1);
}

static void put_sample(uint8_t *row, uint32_t index, unsigned bits, unsigned value)
{
    if (bits == 16) {
        ((uint16_t *)(void *)row)[index] = (uint16_t)value;
    } else {
        unsigned per_byte = 8 / bits, shift = 8 - bits - index % per_byte * bits;
        row[index / per_byte] = (uint8_t)(row[index / per_byte] | value << shift);
    }
}

static uint8_t *make_block(const struct recipe *r, uint32_t x0, uint32_t y0, uint32_t width, uint32_t height,
                           int plane, size_t *ret_bytes)
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

static struct recipe with_presets(struct recipe r)
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

static void write_tags(TIFF *tiff, const struct recipe *r)
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

static void write_plane(TIFF *tiff, const struct recipe *r, int plane)
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

static void write_directory(TIFF *tiff, struct recipe recipe)
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

static int write_pages(const struct recipe *pages, size_t count)
{
    int fd = memfd_create("tiff", MFD_CLOEXEC);
    TIFF *tiff = TIFFFdOpen(dup(fd), "memory", with_presets(pages[0]).mode);
    assert_non_null(tiff);
    for (size_t i = 0; i < count; i++)
        write_directory(tiff, pages[i]);
    TIFFClose(tiff);
    return fd;
}

static int write_one(struct recipe recipe)
{
    return write_pages(&recipe, 1);
}

/* Sample `s` of every pixel must come out in plane `p` as `expect` says. */
static void assert_plane(const struct picture *picture, const struct recipe *r, unsigned p, unsigned s,
                         unsigned (*expect)(unsigned))
{
    for (uint32_t y = 0; y < picture->size.height_px; y++)
        for (uint32_t x = 0; x < picture->size.width_px; x++) {
            unsigned want = sample_at(r, x, y, s), got = picture_sample(picture, p, x, y);
            if (got != (expect == NULL ? want : expect(want)))
                fail_msg("plane %u at %u,%u is %u, stored was %u", p, x, y, got, want);
        }
}

static struct image_source *open_recipe(struct recipe recipe, struct picture *ret_picture)
{
    int fd = write_one(recipe);
    struct image_source *source = open_page(fd, 1);
    close(fd);
    assert_windows_are_parts(source);
    *ret_picture = read_level(source, 0, 0);
    return source;
}

/* The samples come out unchanged, sample n in plane n. */
static void check_exact(struct recipe recipe, enum image_model model)
{
    struct recipe r = with_presets(recipe);
    struct picture picture;
    struct image_source *source = open_recipe(r, &picture);
    assert_int_equal(picture.format.model, model);
    assert_int_equal(picture.format.depth_bits, r.bits);
    assert_int_equal(picture.size.width_px, r.width);
    assert_int_equal(picture.size.height_px, r.height);
    for (unsigned p = 0; p < image_format_planes(&picture.format); p++)
        assert_plane(&picture, &r, p, p, NULL);
    picture_done(&picture);
    image_source_close(&source);
    assert_null(source);
}

static void test_codecs_and_layouts(void **state)
{
    (void)state;
    static const uint16_t codec[] = {COMPRESSION_NONE,          COMPRESSION_PACKBITS, COMPRESSION_LZW,
                                     COMPRESSION_ADOBE_DEFLATE, COMPRESSION_DEFLATE,  COMPRESSION_ZSTD,
                                     COMPRESSION_WEBP};
    static const char *const mode[] = {"w", "wb", "w8", "w8b"};
    for (size_t c = 0; c < sizeof codec / sizeof codec[0]; c++)
        for (size_t m = 0; m < 4; m++)
            for (uint32_t tile = 0; tile <= 32; tile += 32) {
                struct recipe r = {.mode = mode[m],
                                   .tile = tile,
                                   .compression = codec[c],
                                   .photometric = PHOTOMETRIC_RGB,
                                   .samples = 3};
                check_exact(r, IMAGE_RGB);
                r.bits = 16;
                if (codec[c] != COMPRESSION_WEBP)
                    check_exact(r, IMAGE_RGB);
                r.planar = PLANARCONFIG_SEPARATE;
                r.rows_per_strip = 9;
                if (codec[c] != COMPRESSION_WEBP)
                    check_exact(r, IMAGE_RGB);
            }
}

static void test_predictor_and_fill_order(void **state)
{
    (void)state;
    struct recipe r = {.compression = COMPRESSION_ADOBE_DEFLATE,
                       .predictor = PREDICTOR_HORIZONTAL,
                       .photometric = PHOTOMETRIC_RGB,
                       .samples = 3,
                       .mode = "wb",
                       .bits = 16};
    check_exact(r, IMAGE_RGB);
    r.tile = 16;
    check_exact(r, IMAGE_RGB);
    struct recipe turned = {.fill_order = FILLORDER_LSB2MSB, .photometric = PHOTOMETRIC_MINISBLACK};
    check_exact(turned, IMAGE_GRAY);
}

static unsigned invert8(unsigned v)
{
    return 255 - v;
}

static unsigned invert16(unsigned v)
{
    return 65535 - v;
}

static unsigned from_bit(unsigned v)
{
    return v * 255;
}

static unsigned from_bit_inverted(unsigned v)
{
    return (1 - v) * 255;
}

static unsigned from_2_bits(unsigned v)
{
    return v * 85;
}

static unsigned from_4_bits_inverted(unsigned v)
{
    return (15 - v) * 17;
}

static unsigned offset8(unsigned v)
{
    return v ^ 0x80;
}

static unsigned offset16(unsigned v)
{
    return v ^ 0x8000;
}

static unsigned icc_lightness(unsigned v)
{
    return v >= 0xff00 ? 0xffff : (unsigned)(v * 65535.0 / 65280.0 + 0.5);
}

static void check_gray(struct recipe recipe, unsigned (*expect)(unsigned))
{
    struct recipe r = with_presets(recipe);
    struct picture picture;
    struct image_source *source = open_recipe(r, &picture);
    assert_int_equal(picture.format.model, IMAGE_GRAY);
    assert_int_equal(picture.format.depth_bits, r.bits == 16 ? 16 : 8);
    assert_false(source->pyramid.has_colour);
    assert_plane(&picture, &r, 0, 0, expect);
    picture_done(&picture);
    image_source_close(&source);
}

static void test_gray_and_bilevel(void **state)
{
    (void)state;
    const uint16_t black = PHOTOMETRIC_MINISBLACK, white = PHOTOMETRIC_MINISWHITE;
    for (uint32_t tile = 0; tile <= 32; tile += 16) {
        check_gray((struct recipe){.tile = tile, .photometric = black}, NULL);
        check_gray((struct recipe){.tile = tile, .photometric = white}, invert8);
        check_gray((struct recipe){.tile = tile, .photometric = white, .bits = 16, .mode = "wb"}, invert16);
        check_gray((struct recipe){.tile = tile, .photometric = black, .bits = 2}, from_2_bits);
        check_gray((struct recipe){.tile = tile, .photometric = white, .bits = 4}, from_4_bits_inverted);
        check_gray((struct recipe){.tile = tile, .photometric = black, .bits = 1}, from_bit);
        for (uint16_t codec = COMPRESSION_CCITTRLE; codec <= COMPRESSION_CCITTFAX4; codec++) {
            struct recipe fax = {.tile = tile, .photometric = white, .bits = 1, .compression = codec};
            check_gray(fax, from_bit_inverted);
            fax.photometric = black;
            fax.fill_order = FILLORDER_LSB2MSB;
            check_gray(fax, from_bit);
        }
    }
}

static void lengthy_palette(TIFF *tiff)
{
    uint16_t red[256], green[256], blue[256];
    for (unsigned i = 0; i < 256; i++) {
        red[i] = (uint16_t)((255 - i) << 8 | 0x12);
        green[i] = (uint16_t)(i << 8 | 0xff);
        blue[i] = (uint16_t)((i ^ 0x55) << 8);
    }
    TIFFSetField(tiff, TIFFTAG_COLORMAP, red, green, blue);
}

static unsigned palette_blue(unsigned v)
{
    return v ^ 0x55;
}

static void test_palette(void **state)
{
    (void)state;
    struct recipe r = with_presets(
        (struct recipe){.photometric = PHOTOMETRIC_PALETTE, .more = lengthy_palette});
    struct picture picture;
    struct image_source *source = open_recipe(r, &picture);
    assert_int_equal(picture.format.model, IMAGE_RGB);
    assert_plane(&picture, &r, 0, 0, invert8);
    assert_plane(&picture, &r, 1, 0, NULL);
    assert_plane(&picture, &r, 2, 0, palette_blue);
    picture_done(&picture);
    image_source_close(&source);
}

static void check_lab(uint16_t photometric, uint16_t bits, unsigned (*lightness)(unsigned),
                      unsigned (*ab)(unsigned))
{
    struct recipe r = with_presets((struct recipe){.photometric = photometric, .bits = bits, .samples = 3});
    struct picture picture;
    struct image_source *source = open_recipe(r, &picture);
    assert_int_equal(picture.format.model, IMAGE_LAB);
    assert_plane(&picture, &r, 0, 0, lightness);
    assert_plane(&picture, &r, 1, 1, ab);
    assert_plane(&picture, &r, 2, 2, ab);
    picture_done(&picture);
    image_source_close(&source);
}

static void test_lab_has_one_meaning(void **state)
{
    (void)state;
    check_lab(PHOTOMETRIC_CIELAB, 8, NULL, offset8);
    check_lab(PHOTOMETRIC_CIELAB, 16, NULL, offset16);
    check_lab(PHOTOMETRIC_ICCLAB, 8, NULL, NULL);
    check_lab(PHOTOMETRIC_ICCLAB, 16, icc_lightness, NULL);
}

static void declare_late_alpha(TIFF *tiff)
{
    const uint16_t meaning[] = {EXTRASAMPLE_UNSPECIFIED, EXTRASAMPLE_UNASSALPHA};
    TIFFSetField(tiff, TIFFTAG_EXTRASAMPLES, 2, meaning);
}

static void test_alpha_and_extra_samples(void **state)
{
    (void)state;
    static const enum image_alpha alpha[] = {IMAGE_ALPHA_NONE, IMAGE_ALPHA_PREMULTIPLIED,
                                             IMAGE_ALPHA_STRAIGHT};
    for (uint16_t meaning = 0; meaning <= 2; meaning++)
        for (uint16_t planar = 1; planar <= 2; planar++) {
            struct recipe r = with_presets((struct recipe){.photometric = PHOTOMETRIC_RGB,
                                                           .samples = 4,
                                                           .tile = 16,
                                                           .alpha = meaning,
                                                           .planar = planar});
            struct picture picture;
            struct image_source *source = open_recipe(r, &picture);
            assert_int_equal(source->format.alpha, alpha[meaning]);
            assert_int_equal(source->pyramid.has_alpha, meaning != 0);
            for (unsigned p = 0; p < image_format_planes(&source->format); p++)
                assert_plane(&picture, &r, p, p, NULL);
            picture_done(&picture);
            image_source_close(&source);
        }
    struct recipe late = with_presets(
        (struct recipe){.photometric = PHOTOMETRIC_RGB, .samples = 5, .more = declare_late_alpha});
    struct picture picture;
    struct image_source *source = open_recipe(late, &picture);
    assert_int_equal(source->format.alpha, IMAGE_ALPHA_STRAIGHT);
    assert_plane(&picture, &late, 3, 4, NULL);
    picture_done(&picture);
    image_source_close(&source);

    struct recipe ink = with_presets(
        (struct recipe){.photometric = PHOTOMETRIC_SEPARATED, .samples = 5, .alpha = 2, .bits = 16});
    source = open_recipe(ink, &picture);
    assert_int_equal(source->format.model, IMAGE_CMYK);
    assert_int_equal(source->format.alpha, IMAGE_ALPHA_NONE);
    for (unsigned p = 0; p < 4; p++)
        assert_plane(&picture, &ink, p, p, NULL);
    picture_done(&picture);
    image_source_close(&source);
}

static void limited_range(TIFF *tiff)
{
    float range[] = {16, 235, 128, 240, 128, 240};
    TIFFSetField(tiff, TIFFTAG_REFERENCEBLACKWHITE, range);
}

static unsigned widen_luma(unsigned v)
{
    double full = (v - 16.0) * 255 / 219;
    return full < 0 ? 0 : full > 255 ? 255 : (unsigned)(full + 0.5);
}

static void test_uncompressed_ycbcr(void **state)
{
    (void)state;
    check_exact((struct recipe){.photometric = PHOTOMETRIC_YCBCR, .samples = 3}, IMAGE_YCBCR);
    struct recipe r = with_presets(
        (struct recipe){.photometric = PHOTOMETRIC_YCBCR, .samples = 3, .tile = 16, .more = limited_range});
    struct picture picture;
    struct image_source *source = open_recipe(r, &picture);
    assert_plane(&picture, &r, 0, 0, widen_luma);
    picture_done(&picture);
    image_source_close(&source);
}

/* Units of 2 x 2: four Y, Cb, Cr. 6 x 5 pixels in strips of 4 and 1 rows. */
static void test_subsampled_ycbcr_units(void **state)
{
    (void)state;
    uint8_t strip[2][36];
    for (unsigned u = 0; u < 9; u++)
        for (unsigned i = 0; i < 6; i++)
            strip[u / 6][u % 6 * 6 + i] = (uint8_t)(i < 4 ? u * 4 + i : 100 * (i - 3) + u);
    int fd = memfd_create("units", MFD_CLOEXEC);
    TIFF *tiff = TIFFFdOpen(dup(fd), "memory", "w");
    struct recipe r = with_presets((struct recipe){.width = 6,
                                                   .height = 5,
                                                   .rows_per_strip = 4,
                                                   .samples = 3,
                                                   .photometric = PHOTOMETRIC_YCBCR,
                                                   .sub_x = 2,
                                                   .sub_y = 2});
    write_tags(tiff, &r);
    assert_true(TIFFWriteRawStrip(tiff, 0, strip[0], 36) == 36);
    assert_true(TIFFWriteRawStrip(tiff, 1, strip[1], 18) == 18);
    TIFFClose(tiff);
    struct image_source *source = open_page(fd, 1);
    assert_windows_are_parts(source);
    struct picture picture = read_level(source, 0, 0);
    assert_int_equal(picture.format.sub_x_log2, 1);
    assert_int_equal(picture.format.sub_y_log2, 1);
    for (uint32_t y = 0; y < 5; y++)
        for (uint32_t x = 0; x < 6; x++) {
            uint32_t unit = y / 2 * 3 + x / 2;
            assert_int_equal(picture_sample(&picture, 0, x, y), unit * 4 + y % 2 * 2 + x % 2);
            assert_int_equal(picture_sample(&picture, 1, x / 2, y / 2), 100 + unit);
            assert_int_equal(picture_sample(&picture, 2, x / 2, y / 2), 200 + unit);
        }
    picture_done(&picture);
    image_source_close(&source);
    close(fd);
}

/* A strip as high as the picture is decoded row by row, so the limit may be far below its size. */
static void test_one_high_strip_needs_little_memory(void **state)
{
    (void)state;
    static const uint16_t codec[] = {COMPRESSION_NONE, COMPRESSION_LZW, COMPRESSION_ADOBE_DEFLATE,
                                     COMPRESSION_PACKBITS};
    for (uint16_t planar = 1; planar <= 2; planar++)
        for (size_t c = 0; c < 4; c++) {
            struct recipe r = with_presets((struct recipe){.width = 200,
                                                           .height = 2000,
                                                           .rows_per_strip = 2000,
                                                           .samples = 3,
                                                           .compression = codec[c],
                                                           .planar = planar,
                                                           .photometric = PHOTOMETRIC_RGB});
            int fd = write_one(r);
            struct image_source_limits limits = {.max_source_pixels = 1u << 20, .max_decode_bytes = 1000000};
            struct image_source *source = NULL;
            struct err err = {0};
            assert_int_equal(try_open(fd, 1, &limits, &source, &err), RC_OK);
            struct image_region window = {50, 1990, 20, 10};
            struct picture part = {0};
            if (try_read(source, 0, 0, window, &part, &err) != RC_OK)
                fail_msg("%s", err.message);
            for (unsigned p = 0; p < 3; p++)
                assert_int_equal(picture_sample(&part, p, 19, 9), sample_at(&r, 69, 1999, p));
            picture_done(&part);
            image_source_close(&source);
            close(fd);
        }
}

/* --- levels and pages --- */

static void reduced(TIFF *tiff)
{
    TIFFSetField(tiff, TIFFTAG_SUBFILETYPE, FILETYPE_REDUCEDIMAGE);
}

static void mask(TIFF *tiff)
{
    TIFFSetField(tiff, TIFFTAG_SUBFILETYPE, FILETYPE_MASK);
}

static void old_reduced(TIFF *tiff)
{
    TIFFSetField(tiff, TIFFTAG_OSUBFILETYPE, OFILETYPE_REDUCEDIMAGE);
}

static struct recipe sized(uint32_t width, uint32_t height, uint32_t tile, void (*more)(TIFF *))
{
    return (struct recipe){.width = width,
                           .height = height,
                           .tile = tile,
                           .more = more,
                           .samples = 3,
                           .photometric = PHOTOMETRIC_RGB};
}

/* Expects levels of these widths on this page of so many. */
static void check_levels(int fd, uint32_t page, uint32_t pages, const uint32_t *widths,
                         const uint32_t *factors, uint32_t count)
{
    struct image_source *source = open_page(fd, page);
    const struct image_pyramid *pyramid = &source->pyramid;
    assert_int_equal(pyramid->page_count, pages);
    assert_int_equal(pyramid->level_count, count);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(pyramid->level[i].size.width_px, widths[i]);
        assert_int_equal(pyramid->level[i].scale_factor, factors[i]);
    }
    assert_windows_are_parts(source);
    image_source_close(&source);
}

static void check_no_page(int fd, uint32_t page)
{
    struct image_source *source = NULL;
    struct err err = {0};
    assert_int_equal(try_open(fd, page, &roomy, &source, &err), RC_NOT_FOUND);
}

static void test_following_directories_are_levels(void **state)
{
    (void)state;
    const struct recipe bit[] = {sized(203, 101, 16, NULL), sized(102, 51, 16, reduced),
                                 sized(51, 26, 16, old_reduced)};
    int fd = write_pages(bit, 3);
    check_levels(fd, 1, 1, (uint32_t[]){203, 102, 51}, (uint32_t[]){1, 2, 4}, 3);
    check_no_page(fd, 2);
    check_no_page(fd, 0);
    close(fd);
    /* Without the bit the sizes tell, rounded down or up. */
    const struct recipe plain[] = {sized(203, 101, 16, NULL), sized(101, 50, 16, NULL),
                                   sized(51, 26, 16, NULL), sized(25, 12, 16, NULL)};
    fd = write_pages(plain, 4);
    check_levels(fd, 1, 1, (uint32_t[]){203, 101, 51, 25}, (uint32_t[]){1, 2, 4, 8}, 4);
    close(fd);
}

static void test_what_is_a_page(void **state)
{
    (void)state;
    struct recipe gray_half = sized(101, 50, 16, NULL);
    gray_half.samples = 1;
    gray_half.photometric = PHOTOMETRIC_MINISBLACK;
    const struct recipe file[] = {
        sized(203, 101, 16, NULL),  /* page 1 */
        sized(101, 50, 16, NULL),   /* its half */
        sized(101, 50, 16, mask),   /* a mask: nothing */
        gray_half,                  /* page 2: other samples */
        sized(203, 101, 16, NULL),  /* page 3: as large as page 1 */
        sized(203, 101, 16, NULL),  /* page 4: as large as page 3 */
        sized(50, 25, 16, reduced), /* its quarter */
        sized(99, 77, 16, NULL),    /* page 5: no power of two */
    };
    int fd = write_pages(file, 8);
    check_levels(fd, 1, 5, (uint32_t[]){203, 101}, (uint32_t[]){1, 2}, 2);
    check_levels(fd, 2, 5, (uint32_t[]){101}, (uint32_t[]){1}, 1);
    check_levels(fd, 3, 5, (uint32_t[]){203}, (uint32_t[]){1}, 1);
    check_levels(fd, 4, 5, (uint32_t[]){203, 50}, (uint32_t[]){1, 4}, 2);
    check_levels(fd, 5, 5, (uint32_t[]){99}, (uint32_t[]){1}, 1);
    check_no_page(fd, 6);
    close(fd);
}

/* A slide scanner's file: full size, thumbnail in strips, then the tiled levels. */
static void test_thumbnail_before_the_levels(void **state)
{
    (void)state;
    const struct recipe file[] = {sized(640, 400, 32, NULL), sized(77, 48, 0, NULL),
                                  sized(160, 100, 32, NULL), sized(40, 25, 32, NULL)};
    int fd = write_pages(file, 4);
    check_levels(fd, 1, 2, (uint32_t[]){640, 160, 40}, (uint32_t[]){1, 4, 16}, 3);
    check_levels(fd, 2, 2, (uint32_t[]){77}, (uint32_t[]){1}, 1);
    close(fd);
}

static void test_unfit_levels_are_dropped(void **state)
{
    (void)state;
    struct recipe deep = sized(200, 150, 16, reduced);
    deep.bits = 16;
    const struct recipe file[] = {
        sized(400, 300, 16, NULL),
        sized(100, 75, 16, reduced), /* before the larger one: must be sorted */
        sized(200, 150, 16, reduced),
        sized(199, 151, 16, reduced), /* the same factor again */
        sized(50, 60, 16, reduced),   /* another shape */
        sized(400, 300, 16, reduced), /* not smaller */
        deep,                         /* other samples */
    };
    int fd = write_pages(file, 7);
    check_levels(fd, 1, 1, (uint32_t[]){400, 200, 100}, (uint32_t[]){1, 2, 4}, 3);
    close(fd);
}

static void two_sub_directories(TIFF *tiff)
{
    const uint64_t none[2] = {0, 0};
    TIFFSetField(tiff, TIFFTAG_SUBIFD, 2, none);
}

static void test_sub_directories(void **state)
{
    (void)state;
    for (unsigned big = 0; big < 2; big++) {
        struct recipe first = sized(203, 101, 16, two_sub_directories);
        first.mode = big ? "w8b" : "w";
        const struct recipe file[] = {first, sized(101, 50, 16, reduced), sized(50, 25, 16, NULL),
                                      sized(203, 101, 16, NULL)};
        int fd = write_pages(file, 4);
        check_levels(fd, 1, 2, (uint32_t[]){203, 101, 50}, (uint32_t[]){1, 2, 4}, 3);
        check_levels(fd, 2, 2, (uint32_t[]){203}, (uint32_t[]){1}, 1);
        close(fd);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_codecs_and_layouts),
        cmocka_unit_test(test_predictor_and_fill_order),
        cmocka_unit_test(test_gray_and_bilevel),
        cmocka_unit_test(test_palette),
        cmocka_unit_test(test_lab_has_one_meaning),
        cmocka_unit_test(test_alpha_and_extra_samples),
        cmocka_unit_test(test_uncompressed_ycbcr),
        cmocka_unit_test(test_subsampled_ycbcr_units),
        cmocka_unit_test(test_one_high_strip_needs_little_memory),
        cmocka_unit_test(test_following_directories_are_levels),
        cmocka_unit_test(test_what_is_a_page),
        cmocka_unit_test(test_thumbnail_before_the_levels),
        cmocka_unit_test(test_unfit_levels_are_dropped),
        cmocka_unit_test(test_sub_directories),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
