/* TIFF sources: every codec, layout and meaning of samples, against files that libtiff writes here from known pixels. */
#include "tests/unit/image/tiff_recipe.h"

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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
