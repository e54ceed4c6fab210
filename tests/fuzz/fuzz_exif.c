/* EXIF payloads come from any file: whatever they say, copies and directories stay within what they were given. */
#include "worker/image/exif.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every byte of a field must be there to be read; there can be no more fields than the payload has room for. */
static enum rc visit(void *context, const struct image_exif_field *field, struct err *err)
{
    size_t *left = context;
    unsigned sum = 0;
    (void)err;
    assert(*left > 0 && field->length > 0);
    --*left;
    for (size_t i = 0; i < field->length; i++)
        sum += field->values[i];
    volatile unsigned read = sum;
    (void)read;
    return RC_OK;
}

static void visit_all(const struct bytes *exif)
{
    static const enum image_exif_part part[] = {IMAGE_EXIF_MAIN, IMAGE_EXIF_CAMERA, IMAGE_EXIF_GPS,
                                                IMAGE_EXIF_INTEROPERABILITY};
    for (unsigned i = 0; i < sizeof part / sizeof part[0]; i++) {
        size_t left = exif->length / 12 + 1;
        struct err err;
        assert(image_exif_visit(exif, part[i], visit, &left, &err) == RC_OK);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes exif = {0}, copy = {0}, again = {0}, directory = {0};
    struct err err;
    const struct image_size of = {70000, 3};
    if (bytes_append(&exif, data, size, &err) != RC_OK)
        return 0;
    uint8_t orientation = image_exif_orientation(&exif);
    assert(orientation >= 1 && orientation <= 8);
    if (image_exif_copy(&exif, of, &copy, &err) == RC_OK && copy.length > 0) {
        assert(copy.length == size && image_exif_orientation(&copy) == 1);
        assert(image_exif_copy(&copy, of, &again, &err) == RC_OK && again.length == copy.length &&
               memcmp(again.data, copy.data, copy.length) == 0);
    }
    const char *text;
    size_t length = 0;
    if (image_exif_text(&exif, 0x010f, &text, &length))
        assert(length <= size);
    assert(image_exif_directory(&exif, IMAGE_EXIF_CAMERA, of, 8, &directory, &err) == RC_OK);
    assert(image_exif_directory(&exif, IMAGE_EXIF_GPS, of, 8, &directory, &err) == RC_OK);
    visit_all(&exif);
    bytes_done(&exif);
    bytes_done(&copy);
    bytes_done(&again);
    bytes_done(&directory);
    return 0;
}
