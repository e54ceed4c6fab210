/* WebP and AVIF files as their libraries read them. */
#include "tests/unit/image/encoding.h"

#include <avif/avif.h>
#include <webp/decode.h>
#include <webp/mux.h>

/* ---- WebP ---- */

static struct planes webp_planes(const struct bytes *file, struct image_format format)
{
    int width, height;
    uint8_t *rgba = WebPDecodeRGBA(file->data, file->length, &width, &height);
    assert_non_null(rgba);
    struct planes to = from_rgba(rgba, (uint32_t)width, (uint32_t)height, format);
    WebPFree(rgba);
    return to;
}

static void test_webp(void **state)
{
    const struct image_format formats[] = {FORMAT_GRAY, FORMAT_RGB, FORMAT_GRAY_ALPHA, FORMAT_RGB_ALPHA};
    (void)state;
    for (size_t f = 0; f < 4; f++) {
        struct planes from = photo(formats[f], 131, 67);
        struct bytes file = encoded(IMAGE_WEBP, &from, &plain, 5);
        struct planes to = webp_planes(&file, formats[f]);
        assert_true(psnr(&from, &to) >
                    (formats[f].alpha ? 26 : 33)); /* what is transparent keeps no colour */
        planes_free(&to);
        planes_free(&from);
        bytes_done(&file);
    }
    for (uint8_t sub = 0; sub < 2; sub++) /* planes straight in */
        for (uint32_t band = 16; band < 80; band += 60) {
            struct planes from = photo(FORMAT_YCC(sub, sub), 131, 67), rgb = as_rgb(&from);
            struct bytes file = encoded(IMAGE_WEBP, &from, &plain, sub ? band : band - 3);
            struct planes to = webp_planes(&file, FORMAT_RGB);
            assert_true(psnr(&rgb, &to) > 33);
            planes_free(&to);
            planes_free(&rgb);
            planes_free(&from);
            bytes_done(&file);
        }
    struct planes from = photo(FORMAT_GRAY, 131, 67);
    make_bitonal(&from);
    struct image_encode_options options = plain;
    options.bitonal = true;
    struct bytes file = encoded(IMAGE_WEBP, &from, &options, 9);
    struct planes to = webp_planes(&file, FORMAT_GRAY);
    assert_int_equal(planes_difference(&from, &to), 0);
    planes_free(&to);
    planes_free(&from);
    bytes_done(&file);
}

static void test_webp_metadata(void **state)
{
    static const char names[3][5] = {"ICCP", "EXIF", "XMP "};
    struct bytes icc = filled(3001), exif = exif_payload(), xmp = filled(70000);
    const struct bytes *payload[3] = {&icc, &exif, &xmp};
    struct image_encode_options options = plain;
    (void)state;
    options.icc = &icc;
    options.exif = &exif;
    options.xmp = &xmp;
    struct planes from = photo(FORMAT_RGB_ALPHA, 40, 30);
    struct bytes file = encoded(IMAGE_WEBP, &from, &options, 5);
    WebPData data = {file.data, file.length};
    WebPMux *mux = WebPMuxCreate(&data, 0);
    for (int i = 0; i < 3; i++) {
        WebPData chunk;
        assert_int_equal(WebPMuxGetChunk(mux, names[i], &chunk), WEBP_MUX_OK);
        assert_int_equal(chunk.size, payload[i]->length);
        if (i != 1)
            assert_memory_equal(chunk.bytes, payload[i]->data, chunk.size);
        else
            assert_int_equal(chunk.bytes[18], 1);
    }
    WebPMuxDelete(mux);
    planes_free(&from);
    bytes_done(&file);
    bytes_done(&icc);
    bytes_done(&exif);
    bytes_done(&xmp);
}

/* ---- AVIF ---- */

static void test_avif(void **state)
{
    static const struct image_format formats[] = {
        {.model = IMAGE_GRAY, .depth_bits = 8},
        {.model = IMAGE_RGB, .depth_bits = 8},
        {.model = IMAGE_RGB, .alpha = IMAGE_ALPHA_STRAIGHT, .depth_bits = 8},
        {.model = IMAGE_GRAY, .alpha = IMAGE_ALPHA_STRAIGHT, .depth_bits = 8},
        {.model = IMAGE_YCBCR, .depth_bits = 8, .sub_x_log2 = 1, .sub_y_log2 = 1},
        {.model = IMAGE_YCBCR, .depth_bits = 8}};
    struct bytes icc = filled(3001), exif = exif_payload(), xmp = filled(7000);
    (void)state;
    for (size_t f = 0; f < sizeof formats / sizeof *formats; f++) {
        struct image_encode_options options = plain;
        options.icc = f == 1 ? &icc : NULL;
        options.exif = &exif;
        options.xmp = &xmp;
        struct planes from = photo(formats[f], 131, 67), wanted = from;
        struct bytes file = encoded(IMAGE_AVIF, &from, &options, 6);
        avifDecoder *decoder = avifDecoderCreate();
        avifImage *image = avifImageCreateEmpty();
        assert_int_equal(avifDecoderReadMemory(decoder, image, file.data, file.length), AVIF_RESULT_OK);
        assert_int_equal(image->icc.size, f == 1 ? icc.length : 0);
        assert_int_equal(image->exif.size, exif.length);
        assert_int_equal(image->exif.data[18], 1);
        assert_int_equal(image->xmp.size, xmp.length);
        avifRGBImage rgb;
        avifRGBImageSetDefaults(&rgb, image);
        avifRGBImageAllocatePixels(&rgb);
        assert_int_equal(avifImageYUVToRGB(image, &rgb), AVIF_RESULT_OK);
        struct image_format format = formats[f];
        if (format.model == IMAGE_YCBCR) {
            format = FORMAT_RGB;
            wanted = as_rgb(&from);
        }
        struct planes to = from_rgba(rgb.pixels, rgb.width, rgb.height, format);
        print_message("AVIF %zu: %.1f dB, %zu bytes\n", f, psnr(&wanted, &to), file.length);
        assert_true(psnr(&wanted, &to) > 30);
        avifRGBImageFreePixels(&rgb);
        avifImageDestroy(image);
        avifDecoderDestroy(decoder);
        planes_free(&to);
        if (wanted.data[0] != from.data[0])
            planes_free(&wanted);
        planes_free(&from);
        bytes_done(&file);
    }
    bytes_done(&icc);
    bytes_done(&exif);
    bytes_done(&xmp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_webp),
        cmocka_unit_test(test_webp_metadata),
        cmocka_unit_test(test_avif),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
