#include "tests/unit/image/planes.h"

#include "worker/image/colour.h"

#include <lcms2.h>
#include <math.h>
#include <pthread.h>

/* ---- profiles of known meaning ---- */

static struct bytes saved(cmsHPROFILE profile)
{
    struct bytes b = {0};
    cmsUInt32Number length = 0;
    assert_non_null(profile);
    assert_true(cmsSaveProfileToMem(profile, NULL, &length));
    assert_int_equal(bytes_reserve(&b, length, NULL), RC_OK);
    assert_true(cmsSaveProfileToMem(profile, b.data, &length));
    b.length = length;
    cmsCloseProfile(profile);
    return b;
}

static struct bytes adobe_profile(double gamma)
{
    cmsCIExyYTRIPLE primaries = {{0.64, 0.33, 1}, {0.21, 0.71, 1}, {0.15, 0.06, 1}};
    cmsCIExyY white = {0.3127, 0.3290, 1};
    cmsToneCurve *curve = cmsBuildGamma(NULL, gamma), *curves[3] = {curve, curve, curve};
    struct bytes b = saved(cmsCreateRGBProfile(&white, &primaries, curves));
    cmsFreeToneCurve(curve);
    return b;
}

static struct bytes gray_gamma_profile(double gamma)
{
    cmsToneCurve *curve = cmsBuildGamma(NULL, gamma);
    struct bytes b = saved(cmsCreateGrayProfile(cmsD50_xyY(), curve));
    cmsFreeToneCurve(curve);
    return b;
}

/* A printer whose ink C takes away all lightness and whose other inks are invisible. */
static cmsInt32Number sample_cmyk(const cmsUInt16Number in[], cmsUInt16Number out[], void *context)
{
    (void)context;
    out[0] = (cmsUInt16Number)((65535 - in[0]) * 65280u / 65535u); /* Lab as in version 2 */
    out[1] = out[2] = 0x8000;
    return TRUE;
}

static struct bytes cmyk_profile(void)
{
    cmsHPROFILE profile = cmsCreateProfilePlaceholder(NULL);
    cmsPipeline *pipeline = cmsPipelineAlloc(NULL, 4, 3);
    cmsStage *table = cmsStageAllocCLut16bit(NULL, 9, 4, 3, NULL);
    assert_true(cmsStageSampleCLut16bit(table, sample_cmyk, NULL, 0));
    cmsPipelineInsertStage(pipeline, cmsAT_BEGIN, table);
    cmsSetProfileVersion(profile, 2.4);
    cmsSetDeviceClass(profile, cmsSigOutputClass);
    cmsSetColorSpace(profile, cmsSigCmykData);
    cmsSetPCS(profile, cmsSigLabData);
    assert_true(cmsWriteTag(profile, cmsSigAToB0Tag, pipeline));
    assert_true(cmsWriteTag(profile, cmsSigAToB1Tag, pipeline));
    assert_true(cmsWriteTag(profile, cmsSigMediaWhitePointTag, cmsD50_XYZ()));
    cmsPipelineFree(pipeline);
    return saved(profile);
}

/* ---- arithmetic to compare with ---- */

static double srgb_encode(double v)
{
    v = fmin(fmax(v, 0), 1);
    return v <= 0.0031308 ? v * 12.92 : 1.055 * pow(v, 1 / 2.4) - 0.055;
}

static void adobe_to_srgb(const double rgb[3], double gamma, double ret[3])
{
    static const double m[3][3] = {{1.39836, -0.39836, 0}, {0, 1, 0}, {0, -0.04293, 1.04293}};
    for (int i = 0; i < 3; i++) {
        double sum = 0;
        for (int k = 0; k < 3; k++)
            sum += m[i][k] * pow(rgb[k], gamma);
        ret[i] = 255 * srgb_encode(sum);
    }
}

static struct planes converted(const struct planes *from, const struct bytes *icc,
                               struct image_format expected)
{
    struct image_colour *colour = NULL;
    const char *note = "unset";
    assert_int_equal(image_colour_decide(&from->format, icc, &colour, &note, NULL), RC_OK);
    assert_null(note);
    struct image_format input = image_colour_input(colour), output = image_colour_output(colour);
    assert_formats_equal(&input, &from->format);
    assert_int_equal(output.model, expected.model);
    assert_int_equal(output.alpha, expected.alpha);
    assert_int_equal(output.depth_bits, 8);
    struct planes to = planes_new(expected, from->size.width_px, from->size.height_px);
    struct image_sink *sink = NULL;
    assert_int_equal(image_colour_sink(colour, planes_sink(&to), &sink, NULL), RC_OK);
    assert_int_equal(planes_write(from, sink, 23, NULL), RC_OK);
    image_colour_free(&colour);
    return to;
}

/* ---- tests ---- */

static void expect_untouched(struct image_format format, const struct bytes *icc, bool noted)
{
    struct image_colour *colour = NULL;
    const char *note = NULL;
    assert_int_equal(image_colour_decide(&format, icc, &colour, &note, NULL), RC_OK);
    assert_int_equal(note != NULL, noted);
    struct image_format input = image_colour_input(colour), output = image_colour_output(colour);
    assert_formats_equal(&input, &format);
    format.depth_bits = 8;
    assert_formats_equal(&output, &format);
    struct planes to = planes_new(format, 4, 4);
    struct image_sink *next = planes_sink(&to), *sink = NULL;
    assert_int_equal(image_colour_sink(colour, next, &sink, NULL), RC_OK);
    assert_ptr_equal(sink, next);
    image_sink_close(&sink);
    planes_free(&to);
    image_colour_free(&colour);
    assert_null(colour);
}

static void test_srgb_and_nothing_pass_untouched(void **state)
{
    struct bytes none = {0}, srgb = saved(cmsCreate_sRGBProfile());
    (void)state;
    expect_untouched(FORMAT_RGB, &none, false);
    expect_untouched(FORMAT_GRAY, &none, false);
    expect_untouched(FORMAT_YCC(1, 1), &none, false);
    expect_untouched(FORMAT_YCC(1, 1), &srgb, false);
    expect_untouched(FORMAT_RGB_ALPHA, &srgb, false);
    expect_untouched((struct image_format){.model = IMAGE_RGB, .depth_bits = 16}, &srgb, false);
    expect_untouched(FORMAT_RGB, image_colour_output_profile(false), false);
    expect_untouched(FORMAT_GRAY, image_colour_output_profile(true), false);
    bytes_done(&srgb);
}

static void test_unfit_profiles_are_ignored_with_a_note(void **state)
{
    struct bytes adobe = adobe_profile(2.2), gray = gray_gamma_profile(1.8), rubbish = {0};
    (void)state;
    assert_int_equal(
        bytes_append(&rubbish,
                     "no profile at all, just some text that is long enough for a header............"
                     ".....................................................................",
                     140, NULL),
        RC_OK);
    expect_untouched(FORMAT_GRAY, &adobe, true);
    expect_untouched(FORMAT_RGB, &gray, true);
    expect_untouched(FORMAT_YCC(1, 1), &gray, true);
    expect_untouched(FORMAT_RGB, &rubbish, true);
    for (size_t length = 1; length < adobe.length; length += length < 140 ? 1 : 17) {
        struct bytes part = {.data = adobe.data, .length = length, .capacity = length};
        struct image_colour *colour = NULL;
        const char *note;
        struct image_format format = FORMAT_RGB;
        assert_int_equal(image_colour_decide(&format, &part, &colour, &note, NULL), RC_OK);
        image_colour_free(&colour);
    }
    bytes_done(&adobe);
    bytes_done(&gray);
    bytes_done(&rubbish);
}

static void test_rgb_profile(void **state)
{
    struct bytes adobe = adobe_profile(2.19921875);
    struct planes from = planes_new(FORMAT_RGB, 64, 64);
    (void)state;
    for (uint32_t y = 0; y < 64; y++)
        for (uint32_t x = 0; x < 64; x++) {
            set_sample(&from, 0, x, y, x * 4);
            set_sample(&from, 1, x, y, y * 4);
            set_sample(&from, 2, x, y, (x * y) % 256);
        }
    struct planes to = converted(&from, &adobe, FORMAT_RGB);
    for (uint32_t y = 0; y < 64; y++)
        for (uint32_t x = 0; x < 64; x++) {
            double rgb[3] = {x * 4 / 255.0, y * 4 / 255.0, (x * y) % 256 / 255.0}, wanted[3];
            adobe_to_srgb(rgb, 2.19921875, wanted);
            for (uint32_t i = 0; i < 3; i++)
                assert_near(sample(&to, i, x, y), wanted[i], 1.6);
        }
    planes_free(&to);
    planes_free(&from);

    struct image_format deep = {.model = IMAGE_RGB, .depth_bits = 16};
    struct image_colour *colour = NULL;
    const char *note;
    assert_int_equal(image_colour_decide(&deep, &adobe, &colour, &note, NULL), RC_OK);
    assert_int_equal(image_colour_input(colour).depth_bits, 8);
    image_colour_free(&colour);
    bytes_done(&adobe);
}

/* YCbCr cannot go through a profile; the resampler is asked for RGB. */
static void test_ycbcr_with_a_profile_wants_rgb(void **state)
{
    struct bytes adobe = adobe_profile(2.2);
    struct image_format format = FORMAT_YCC(1, 1);
    struct image_colour *colour = NULL;
    const char *note;
    (void)state;
    expect_untouched(FORMAT_GRAY, &adobe, true); /* what is remembered of one model is not said of another */
    assert_int_equal(image_colour_decide(&format, &adobe, &colour, &note, NULL), RC_OK);
    struct image_format input = image_colour_input(colour), rgb = FORMAT_RGB;
    assert_formats_equal(&input, &rgb);
    input = image_colour_output(colour);
    assert_formats_equal(&input, &rgb);
    image_colour_free(&colour);
    bytes_done(&adobe);
}

static void test_gray_profile(void **state)
{
    struct bytes gamma = gray_gamma_profile(1.8);
    (void)state;
    for (uint8_t depth = 8; depth <= 16; depth += 8) {
        struct planes from = planes_new((struct image_format){.model = IMAGE_GRAY, .depth_bits = depth}, 256,
                                        1);
        for (uint32_t x = 0; x < 256; x++)
            set_sample(&from, 0, x, 0, depth == 8 ? x : x * 257);
        struct planes to = converted(&from, &gamma, FORMAT_GRAY);
        for (uint32_t x = 0; x < 256; x++)
            assert_near(sample(&to, 0, x, 0), 255 * srgb_encode(pow(x / 255.0, 1.8)), 1.5);
        planes_free(&to);
        planes_free(&from);
    }
    bytes_done(&gamma);
}

/* Alpha stays; colour that was multiplied by it is divided first, in either depth. */
static void test_alpha_goes_around_the_transform(void **state)
{
    struct bytes gamma = gray_gamma_profile(1.8);
    (void)state;
    for (uint8_t depth = 8; depth <= 16; depth += 8)
        for (int premultiplied = 0; premultiplied < 2; premultiplied++) {
            struct image_format format = {.model = IMAGE_GRAY,
                                          .depth_bits = depth,
                                          .alpha = premultiplied ? IMAGE_ALPHA_PREMULTIPLIED
                                                                 : IMAGE_ALPHA_STRAIGHT};
            uint32_t scale = depth == 8 ? 1 : 257;
            struct planes from = planes_new(format, 256, 40);
            for (uint32_t y = 0; y < 40; y++)
                for (uint32_t x = 0; x < 256; x++) {
                    set_sample(&from, 0, x, y, premultiplied ? 100 * scale * x / 255 : 100 * scale);
                    set_sample(&from, 1, x, y, x * scale);
                }
            struct planes to = converted(&from, &gamma, FORMAT_GRAY_ALPHA);
            for (uint32_t y = 0; y < 40; y++)
                for (uint32_t x = 0; x < 256; x++) {
                    assert_int_equal(sample(&to, 1, x, y), x);
                    if (x > 20)
                        assert_near(sample(&to, 0, x, y), 255 * srgb_encode(pow(100 / 255.0, 1.8)),
                                    premultiplied && depth == 8 ? 1 + 255.0 / x : 1.2);
                }
            planes_free(&to);
            planes_free(&from);
        }
    bytes_done(&gamma);
}

static void test_cmyk(void **state)
{
    struct bytes none = {0}, profile = cmyk_profile();
    struct image_format cmyk = {.model = IMAGE_CMYK, .depth_bits = 8};
    (void)state;
    struct planes from = planes_new(cmyk, 256, 3);
    for (uint32_t x = 0; x < 256; x++) {
        set_sample(&from, 0, x, 0, x);
        set_sample(&from, 1, x, 1, x);
        set_sample(&from, 3, x, 1, 55);
        set_sample(&from, 3, x, 2, 255);
    }
    struct planes to = converted(&from, &none, FORMAT_RGB);
    for (uint32_t x = 0; x < 256; x++) {
        assert_int_equal(sample(&to, 0, x, 0), 255 - x);
        assert_int_equal(sample(&to, 1, x, 0), 255);
        assert_near(sample(&to, 1, x, 1), (255 - x) * 200 / 255.0, 0.51);
        assert_int_equal(sample(&to, 2, x, 1), 200);
        assert_int_equal(sample(&to, 0, x, 2), 0);
    }
    planes_free(&to);
    to = converted(&from, &profile, FORMAT_RGB); /* by the profile: C is lightness, nothing else counts */
    for (uint32_t x = 0; x < 256; x++) {
        double l = 100 * (1 - x / 255.0), fy = (l + 16) / 116, y = l > 8 ? fy * fy * fy : l / 903.3;
        assert_near(sample(&to, 0, x, 0), 255 * srgb_encode(y), 2.5);
        assert_near(sample(&to, 2, x, 1), 255, 1);
    }
    planes_free(&to);
    planes_free(&from);
    bytes_done(&profile);

    cmyk.depth_bits = 16;
    struct image_colour *colour = NULL;
    const char *note;
    assert_int_equal(image_colour_decide(&cmyk, &none, &colour, &note, NULL), RC_OK);
    assert_int_equal(image_colour_input(colour).depth_bits, 8); /* the formula has no use for more */
    image_colour_free(&colour);
}

static void test_lab(void **state)
{
    /* L, a, b and the sRGB that colour science tables give for them (D50 adapted to D65 by Bradford) */
    static const double colours[][6] = {
        {100, 0, 0, 255, 255, 255},        {0, 0, 0, 0, 0, 0},
        {53.585, 0, 0, 128, 128, 128},     {54.29, 80.81, 69.89, 255, 0, 0},
        {87.82, -79.27, 80.99, 0, 255, 0}, {29.57, 68.30, -112.03, 0, 0, 255}};
    struct bytes none = {0};
    (void)state;
    for (uint8_t depth = 8; depth <= 16; depth += 8) {
        struct planes from = planes_new((struct image_format){.model = IMAGE_LAB, .depth_bits = depth}, 6, 1);
        for (uint32_t x = 0; x < 6; x++) {
            set_sample(&from, 0, x, 0, (uint32_t)lrint(colours[x][0] / 100 * (depth == 8 ? 255 : 65535)));
            set_sample(&from, 1, x, 0, (uint32_t)lrint((colours[x][1] + 128) * (depth == 8 ? 1 : 256)));
            set_sample(&from, 2, x, 0, (uint32_t)lrint((colours[x][2] + 128) * (depth == 8 ? 1 : 256)));
        }
        struct planes to = converted(&from, &none, FORMAT_RGB);
        for (uint32_t x = 0; x < 6; x++)
            for (uint32_t i = 0; i < 3; i++)
                assert_near(sample(&to, i, x, 0), colours[x][3 + i], depth == 16 || x < 3 ? 1.6 : 15);
        planes_free(&to);
        planes_free(&from);
    }
}

/* What goes into derivatives is a profile that others can read, and never changes. */
static void test_output_profiles(void **state)
{
    (void)state;
    for (int gray = 0; gray < 2; gray++) {
        const struct bytes *icc = image_colour_output_profile(gray);
        cmsHPROFILE profile = cmsOpenProfileFromMem(icc->data, (cmsUInt32Number)icc->length);
        struct tm made;
        assert_non_null(profile);
        assert_int_equal(cmsGetColorSpace(profile), gray ? cmsSigGrayData : cmsSigRgbData);
        assert_true(cmsGetHeaderCreationDateTime(profile, &made));
        assert_int_equal(made.tm_year, 124);
        cmsCloseProfile(profile);
        assert_true(icc->length < 4096);
    }
}

/* Many profiles, many threads, few places: whoever holds a colour keeps its transform. */
static void *decide_often(void *context)
{
    struct bytes *profiles = context;
    for (uint32_t i = 0; i < 120; i++) {
        struct image_colour *colour = NULL;
        const char *note;
        struct image_format format = FORMAT_GRAY;
        struct planes from = planes_new(format, 8, 1), to = planes_new(format, 8, 1);
        struct image_sink *sink = NULL;
        memset(from.data[0], 128, 8);
        assert_int_equal(image_colour_decide(&format, &profiles[i * 7 % 40], &colour, &note, NULL), RC_OK);
        assert_int_equal(image_colour_sink(colour, planes_sink(&to), &sink, NULL), RC_OK);
        assert_int_equal(planes_write(&from, sink, 1, NULL), RC_OK);
        assert_near(to.data[0][3], 255 * srgb_encode(pow(128 / 255.0, 1 + i * 7 % 40 / 30.0)), 2);
        image_colour_free(&colour);
        planes_free(&from);
        planes_free(&to);
    }
    return NULL;
}

static void test_threads_share_verdicts(void **state)
{
    struct bytes profiles[40];
    pthread_t thread[3];
    (void)state;
    for (int i = 0; i < 40; i++)
        profiles[i] = gray_gamma_profile(1 + i / 30.0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, decide_often, profiles), 0);
    for (int i = 0; i < 3; i++)
        pthread_join(thread[i], NULL);
    for (int i = 0; i < 40; i++)
        bytes_done(&profiles[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_srgb_and_nothing_pass_untouched),
        cmocka_unit_test(test_unfit_profiles_are_ignored_with_a_note),
        cmocka_unit_test(test_rgb_profile),
        cmocka_unit_test(test_ycbcr_with_a_profile_wants_rgb),
        cmocka_unit_test(test_gray_profile),
        cmocka_unit_test(test_alpha_goes_around_the_transform),
        cmocka_unit_test(test_cmyk),
        cmocka_unit_test(test_lab),
        cmocka_unit_test(test_output_profiles),
        cmocka_unit_test(test_threads_share_verdicts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
