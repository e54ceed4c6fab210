/* A plain JPEG file: one level, decoded from its top down to the window's last row each time it is read. */
#include "worker/image/source_kinds.h"

#include "base/own.h"
#include "worker/image/exif.h"
#include "worker/image/jpeg_decode.h"
#include "worker/image/jpeg_markers.h"
#include "worker/image/metadata.h"

#include <string.h>

struct jpeg_source {
    struct image_source source;
    struct image_jpeg_frame frame;
    enum image_jpeg_output output;
};

struct jpeg_reader {
    struct image_reader reader;
    struct image_jpeg *jpeg;
    struct image_region window;
    uint32_t next_y_px; /* of the picture */
};

static struct image_jpeg_input jpeg_input(struct image_blob *blob)
{
    struct image_jpeg_input input = {.blob = blob, .length = blob->size_bytes};
    strcpy(input.subject, "the file");
    return input;
}

/* --- reading -------------------------------------------------------------------------------------------------- */

static enum rc jpeg_reader_read(struct image_reader *reader, struct image_band *ret_band, struct err *err)
{
    struct jpeg_reader *r = (struct jpeg_reader *)reader;
    const struct image_format *format = &reader->format;
    struct image_band rows = {0};
    enum rc rc = image_jpeg_skip_rows(r->jpeg, r->next_y_px, err);
    if (rc != RC_OK)
        return rc;
    do {
        rc = image_jpeg_rows(r->jpeg, &rows, err);
        if (rc != RC_OK)
            return rc;
    } while (rows.y_px + rows.height_px <= r->next_y_px);

    uint32_t skip = r->next_y_px - rows.y_px, left = r->window.y_px + r->window.height_px - r->next_y_px;
    struct image_band band = {.y_px = r->next_y_px - r->window.y_px, .height_px = rows.height_px - skip};
    if (band.height_px > left)
        band.height_px = left;
    for (unsigned p = 0; p < image_format_planes(format); p++) {
        bool chroma = format->model == IMAGE_YCBCR && (p == 1 || p == 2);
        size_t x = r->window.x_px >> (chroma ? format->sub_x_log2 : 0),
               y = skip >> (chroma ? format->sub_y_log2 : 0);
        band.plane[p] = rows.plane[p] + y * rows.stride_bytes[p] + x;
        band.stride_bytes[p] = rows.stride_bytes[p];
    }
    r->next_y_px += band.height_px;
    *ret_band = band;
    return RC_OK;
}

static void jpeg_reader_free(struct jpeg_reader **slot)
{
    if (*slot != NULL)
        image_jpeg_free(&(*slot)->jpeg);
    free(*slot);
}

static void jpeg_reader_close(struct image_reader *reader)
{
    struct jpeg_reader *r = (struct jpeg_reader *)reader;
    jpeg_reader_free(&r);
}

static const struct image_reader_ops jpeg_reader_ops = {.read = jpeg_reader_read, .close = jpeg_reader_close};

static enum rc jpeg_read(struct image_source *source, uint32_t level, uint32_t shrink_log2,
                         const struct image_region *window, struct image_reader **ret_reader, struct err *err)
{
    (void)level;
    OWN(jpeg_reader_free) struct jpeg_reader *r = calloc(1, sizeof *r);
    if (r == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for a reader");
    r->window = *window;
    r->next_y_px = window->y_px;
    r->reader = (struct image_reader){
        .ops = &jpeg_reader_ops, .format = source->format, .size = {window->width_px, window->height_px}};
    struct image_jpeg_input input = jpeg_input(source->blob);
    struct image_jpeg_frame frame;
    enum rc rc = image_jpeg_new(&r->jpeg, err);
    if (rc == RC_OK)
        rc = image_jpeg_begin(r->jpeg, NULL, &input, &frame, err);
    if (rc != RC_OK)
        return rc;
    /* The file may have been overwritten in place since it was opened. */
    const struct jpeg_source *jpeg = (const struct jpeg_source *)source;
    if (frame.size.width_px != jpeg->frame.size.width_px ||
        frame.size.height_px != jpeg->frame.size.height_px || frame.coding != jpeg->frame.coding ||
        frame.planes != jpeg->frame.planes || frame.sub_x_log2 != jpeg->frame.sub_x_log2 ||
        frame.sub_y_log2 != jpeg->frame.sub_y_log2)
        return err_set(err, RC_CORRUPT, "the file was changed while it was read");
    rc = image_jpeg_start(r->jpeg, jpeg->output, shrink_log2, source->limits.max_decode_bytes,
                          &r->reader.format.sub_x_log2, &r->reader.format.sub_y_log2, err);
    if (rc != RC_OK)
        return rc;
    *ret_reader = &TAKE_PTR(r)->reader;
    return RC_OK;
}

/* --- opening -------------------------------------------------------------------------------------------------- */

static void jpeg_close(struct image_source *source)
{
    free(source);
}

static enum rc jpeg_metadata(struct image_source *source, struct image_metadata *ret_metadata,
                             struct err *err)
{
    return image_jpeg_markers_read(source->blob, ret_metadata, err);
}

static void jpeg_describe(const struct image_source *source, struct image_record *record)
{
    const struct image_jpeg_frame *frame = &((const struct jpeg_source *)source)->frame;
    image_record_put(record, frame->coding);
    image_record_put(record, frame->components);
    image_record_put(record, frame->planes);
    image_record_put(record, frame->sub_x_log2);
    image_record_put(record, frame->sub_y_log2);
}

static const struct image_source_ops jpeg_ops = {.kind = IMAGE_SOURCE_JPEG,
                                                 .read = jpeg_read,
                                                 .metadata = jpeg_metadata,
                                                 .describe = jpeg_describe,
                                                 .close = jpeg_close};

static void jpeg_discard(struct jpeg_source **jpeg)
{
    if (*jpeg != NULL)
        image_metadata_done(&(*jpeg)->source.metadata);
    free(*jpeg);
}

static enum rc jpeg_choose_output(struct jpeg_source *jpeg, const struct image_jpeg_frame *frame,
                                  struct err *err)
{
    struct image_format *format = &jpeg->source.format;
    bool subsampled = frame->sub_x_log2 > 0 || frame->sub_y_log2 > 0;
    bool planes = frame->planes && (frame->coding == IMAGE_JPEG_YCBCR || !subsampled);
    format->depth_bits = 8;
    switch (frame->coding) {
    case IMAGE_JPEG_GRAY:
        format->model = IMAGE_GRAY;
        jpeg->output = IMAGE_JPEG_PLANES;
        return RC_OK;
    case IMAGE_JPEG_YCBCR:
    case IMAGE_JPEG_RGB:
        format->model = planes && frame->coding == IMAGE_JPEG_YCBCR ? IMAGE_YCBCR : IMAGE_RGB;
        jpeg->output = planes ? IMAGE_JPEG_PLANES : IMAGE_JPEG_TO_RGB;
        if (format->model == IMAGE_YCBCR) {
            format->sub_x_log2 = frame->sub_x_log2;
            format->sub_y_log2 = frame->sub_y_log2;
        }
        return RC_OK;
    case IMAGE_JPEG_CMYK:
    case IMAGE_JPEG_YCCK:
        format->model = IMAGE_CMYK;
        jpeg->output = IMAGE_JPEG_TO_CMYK;
        return RC_OK;
    default:
        return err_set(err, RC_UNSUPPORTED,
                       "JPEG files with %u components of unknown meaning are not supported",
                       frame->components);
    }
}

enum rc image_jpeg_source_open(const struct image_source_input *input, struct image_source **ret_source,
                               struct err *err)
{
    OWN(jpeg_discard) struct jpeg_source *jpeg = calloc(1, sizeof *jpeg);
    OWN(image_jpeg_free) struct image_jpeg *decoder = NULL;
    if (jpeg == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for a JPEG source");
    struct image_source *source = &jpeg->source;
    image_source_init(source, &jpeg_ops, input);
    struct image_jpeg_input stream = jpeg_input(input->blob);
    enum rc rc = image_jpeg_new(&decoder, err);
    if (rc == RC_OK)
        rc = image_jpeg_begin(decoder, NULL, &stream, &jpeg->frame, err);
    if (rc == RC_OK)
        rc = image_source_single(source, input, jpeg->frame.size, err);
    if (rc == RC_OK)
        rc = jpeg_choose_output(jpeg, &jpeg->frame, err);
    if (rc == RC_OK)
        rc = image_jpeg_markers_read(input->blob, &source->metadata, err);
    if (rc != RC_OK)
        return rc;
    source->pyramid.has_colour = source->format.model != IMAGE_GRAY;
    source->pyramid.orientation = image_exif_orientation(&source->metadata.exif);
    source->shrinks = true;
    *ret_source = &TAKE_PTR(jpeg)->source;
    return RC_OK;
}

/* --- restoring ------------------------------------------------------------------------------------------------ */

enum rc image_jpeg_source_restore(const struct image_source_input *input, const struct image_pyramid *pyramid,
                                  struct image_record_reader *reader, struct image_source **ret_source,
                                  struct err *err)
{
    OWN(jpeg_discard) struct jpeg_source *jpeg = calloc(1, sizeof *jpeg);
    if (jpeg == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for a JPEG source");
    image_source_init(&jpeg->source, &jpeg_ops, input);
    jpeg->source.shrinks = true;
    /* Each time it is read the file must still have this frame. */
    jpeg->frame.size = pyramid->level[0].size;
    jpeg->frame.coding = (enum image_jpeg_coding)image_record_get(reader, IMAGE_JPEG_UNKNOWN);
    jpeg->frame.components = (uint8_t)image_record_get(reader, 4);
    jpeg->frame.planes = image_record_get(reader, 1) != 0;
    jpeg->frame.sub_x_log2 = (uint8_t)image_record_get(reader, 2);
    jpeg->frame.sub_y_log2 = (uint8_t)image_record_get(reader, 2);
    enum rc rc = jpeg_choose_output(jpeg, &jpeg->frame, err);
    if (rc == RC_OK)
        *ret_source = &TAKE_PTR(jpeg)->source;
    return rc;
}
