/* EXIF payloads come from any file: whatever they say, copies and directories stay within what they were given. */
#include "worker/image/exif.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
    bytes_done(&exif);
    bytes_done(&copy);
    bytes_done(&again);
    bytes_done(&directory);
    return 0;
}
