/* For the tests of image/resample: a picture in another size. */
#ifndef TESTS_UNIT_IMAGE_RESAMPLING_H
#define TESTS_UNIT_IMAGE_RESAMPLING_H

#include "tests/unit/image/planes.h"

#include "worker/image/resample.h"

/* Resamples `window` of `from` into a picture of `size` and `format`; reads only what image_resample_reads()
 * asks for. */
static struct planes resample_window(const struct planes *from, struct image_window window,
                                     struct image_format format, uint32_t width_px, uint32_t height_px,
                                     uint32_t band_px)
{
    struct planes to = planes_new(format, width_px, height_px);
    struct image_region region = image_resample_reads(&from->format, &format, from->size, &window,
                                                      (struct image_size){width_px, height_px});
    struct image_reader *reader = planes_reader(from, &region, band_px);
    struct image_sink *sink = planes_sink(&to);
    struct err err = {0};

    assert_true(region.width_px > 0 && region.x_px + region.width_px <= from->size.width_px);
    assert_true(region.height_px > 0 && region.y_px + region.height_px <= from->size.height_px);
    window.x_px -= region.x_px;
    window.y_px -= region.y_px;
    enum rc rc = image_resample_run(reader, &window, sink, NULL, NULL, &err);
    if (rc != RC_OK)
        print_error("%s\n", err.message);
    assert_int_equal(rc, RC_OK);
    assert_int_equal(((struct planes_sink *)(void *)sink)->y_px, height_px);
    image_reader_close(&reader);
    image_sink_close(&sink);
    return to;
}

static struct image_window whole(const struct planes *p)
{
    return (struct image_window){0, 0, p->size.width_px, p->size.height_px};
}

static struct planes resample_whole(const struct planes *from, struct image_format format, uint32_t w,
                                    uint32_t h)
{
    return resample_window(from, whole(from), format, w, h, 16);
}

#endif
