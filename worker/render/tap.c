#include "worker/render/tap.h"

#include "base/clock.h"
#include "base/own.h"

#include <stdlib.h>

#define MOST_ROWS 256u /* encoded before anybody sees what came of them */

/* ---- behind everything: the encoder ---- */

struct tap {
    struct image_sink sink;
    struct image_sink *encoder;
    const struct render_output *output;
    struct render_spent *spent;
    bool streams;
};

static struct tap *tap_of(struct image_sink *sink)
{
    return (struct tap *)(void *)sink;
}

/* Rows [skip, skip + count) of the band; skip fits the subsampling. */
static struct image_band part_of(const struct tap *tap, const struct image_band *band, uint32_t skip,
                                 uint32_t count)
{
    struct image_band part = *band;
    part.y_px += skip;
    part.height_px = count;
    for (uint32_t i = 0; i < image_format_planes(&tap->sink.format); i++)
        part.plane[i] += image_plane_height(&tap->sink.format, i, skip) * band->stride_bytes[i];
    return part;
}

static enum rc encode(struct tap *tap, const struct image_band *band, struct err *err)
{
    int64_t begun_ns = clock_thread_cpu_ns();
    enum rc rc = tap->encoder->ops->write(tap->encoder, band, err);
    tap->spent->encode_ns += clock_thread_cpu_ns() - begun_ns;
    if (rc == RC_OK && tap->streams)
        rc = tap->output->made(tap->output->context, err);
    return rc;
}

/* A step that holds the picture gives it as one band. */
static enum rc tap_write(struct image_sink *sink, const struct image_band *band, struct err *err)
{
    struct tap *tap = tap_of(sink);
    enum rc rc = RC_OK;
    for (uint32_t y = 0, count; rc == RC_OK && y < band->height_px; y += count) {
        count = band->height_px - y < MOST_ROWS ? band->height_px - y : MOST_ROWS;
        const struct image_band part = part_of(tap, band, y, count);
        rc = encode(tap, &part, err);
    }
    return rc;
}

static enum rc tap_finish(struct image_sink *sink, struct err *err)
{
    struct tap *tap = tap_of(sink);
    int64_t begun_ns = clock_thread_cpu_ns();
    enum rc rc = tap->encoder->ops->finish(tap->encoder, err);
    tap->spent->encode_ns += clock_thread_cpu_ns() - begun_ns;
    return rc;
}

static void tap_close(struct image_sink *sink)
{
    struct tap *tap = tap_of(sink);
    image_sink_close(&tap->encoder);
    free(tap);
}

enum rc render_tap_open(struct image_sink *encoder, const struct render_output *output, bool streams,
                        struct render_spent *spent, struct image_sink **ret_sink, struct err *err)
{
    static const struct image_sink_ops ops = {.write = tap_write, .finish = tap_finish, .close = tap_close};
    OWN(image_sink_close) struct image_sink *taken = encoder;
    struct tap *tap = calloc(1, sizeof *tap);
    if (tap == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for a step of the render");
    *tap = (struct tap){.sink = {.ops = &ops, .format = taken->format, .size = taken->size},
                        .output = output,
                        .spent = spent,
                        .streams = streams && output->made != NULL};
    tap->encoder = TAKE_PTR(taken);
    *ret_sink = &tap->sink;
    return RC_OK;
}

/* ---- before everything: the reader ---- */

struct read_tap {
    struct image_reader reader;
    struct image_reader *source;
    struct render_spent *spent;
};

static struct read_tap *read_tap_of(struct image_reader *reader)
{
    return (struct read_tap *)(void *)reader;
}

static enum rc read_tap_read(struct image_reader *reader, struct image_band *ret_band, struct err *err)
{
    struct read_tap *tap = read_tap_of(reader);
    int64_t begun_ns = clock_thread_cpu_ns();
    enum rc rc = tap->source->ops->read(tap->source, ret_band, err);
    tap->spent->decode_ns += clock_thread_cpu_ns() - begun_ns;
    return rc;
}

static void read_tap_close(struct image_reader *reader)
{
    struct read_tap *tap = read_tap_of(reader);
    image_reader_close(&tap->source);
    free(tap);
}

enum rc render_tap_read(struct image_reader *reader, struct render_spent *spent,
                        struct image_reader **ret_reader, struct err *err)
{
    static const struct image_reader_ops ops = {.read = read_tap_read, .close = read_tap_close};
    OWN(image_reader_close) struct image_reader *taken = reader;
    struct read_tap *tap = calloc(1, sizeof *tap);
    if (tap == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for a step of the render");
    *tap = (struct read_tap){.reader = {.ops = &ops, .format = taken->format, .size = taken->size},
                             .spent = spent};
    tap->source = TAKE_PTR(taken);
    *ret_reader = &tap->reader;
    return RC_OK;
}
