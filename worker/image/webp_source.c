/* A WebP file: one level. The file and the window (a lossless picture altogether) are held while it is
 * read. */
#include "worker/image/source_kinds.h"

#include "base/own.h"
#include "worker/image/exif.h"
#include "worker/image/metadata.h"
#include "worker/image/planes.h"

#include <string.h>

#include <webp/decode.h>

#define BAND_ROWS  64u
#define MAX_CHUNKS 1024u
/* libwebp interpolates chroma within the window it decodes: pixels this near to its edge would depend on the
 * window. */
#define MARGIN_PX 2u

enum {
    VP8X_ANIMATED = 0x02,
    VP8X_ALPHA = 0x10,
};

struct webp_source {
    struct image_source source;
    bool lossless;
};

struct webp_reader {
    struct image_reader reader;
    const struct webp_source *webp;
    struct image_region window;
    struct image_region decoded; /* the window with its margin */
    uint32_t next_y_px;          /* of the window */
    unsigned channels;
    uint8_t *pixels; /* interleaved, of `decoded`; NULL before the first read */
    uint8_t *buffer;
    struct image_band band;
    uint32_t band_rows;
};

/* --- reading -------------------------------------------------------------------------------------------------- */

static struct image_region webp_with_margin(const struct image_region *window, struct image_size size)
{
    /* libwebp moves the upper left corner to even coordinates. */
    uint32_t left = (window->x_px < MARGIN_PX ? 0 : window->x_px - MARGIN_PX) & ~1u;
    uint32_t top = (window->y_px < MARGIN_PX ? 0 : window->y_px - MARGIN_PX) & ~1u;
    uint32_t right = window->x_px + window->width_px + MARGIN_PX,
             bottom = window->y_px + window->height_px + MARGIN_PX;
    right = right < size.width_px ? right : size.width_px;
    bottom = bottom < size.height_px ? bottom : size.height_px;
    return (struct image_region){left, top, right - left, bottom - top};
}

static const char *webp_problem(VP8StatusCode status)
{
    return status == VP8_STATUS_NOT_ENOUGH_DATA || status == VP8_STATUS_SUSPENDED
               ? "the WebP file is cut off"
               : "the WebP file cannot be decoded";
}

static enum rc webp_decode(struct webp_reader *r, struct err *err)
{
    const struct image_source *source = &r->webp->source;
    size_t stride = (size_t)r->decoded.width_px * r->channels, out_bytes = stride * r->decoded.height_px;
    OWN_FREE uint8_t *file = malloc((size_t)source->blob->size_bytes);
    r->pixels = malloc(out_bytes);
    if (file == NULL || r->pixels == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for a WebP file of %llu bytes",
                       (unsigned long long)source->blob->size_bytes);
    enum rc rc = image_blob_read(source->blob, file, (size_t)source->blob->size_bytes, 0, err);
    if (rc != RC_OK)
        return rc;

    WebPDecoderConfig config;
    if (!WebPInitDecoderConfig(&config))
        return err_set(err, RC_UNSUPPORTED, "libwebp is of another version");
    VP8StatusCode status = WebPGetFeatures(file, (size_t)source->blob->size_bytes, &config.input);
    struct image_size known = source->pyramid.level[0].size;
    if (status == VP8_STATUS_OK &&
        (config.input.width != (int)known.width_px || config.input.height != (int)known.height_px))
        return err_set(err, RC_CORRUPT, "the WebP file contradicts itself about its size");
    config.options.use_cropping = 1;
    config.options.crop_left = (int)r->decoded.x_px;
    config.options.crop_top = (int)r->decoded.y_px;
    config.options.crop_width = (int)r->decoded.width_px;
    config.options.crop_height = (int)r->decoded.height_px;
    config.output.colorspace = r->channels == 4 ? MODE_RGBA : MODE_RGB;
    config.output.u.RGBA = (WebPRGBABuffer){.rgba = r->pixels, .stride = (int)stride, .size = out_bytes};
    config.output.is_external_memory = 1;
    if (status == VP8_STATUS_OK)
        status = WebPDecode(file, (size_t)source->blob->size_bytes, &config);
    WebPFreeDecBuffer(&config.output);
    if (status == VP8_STATUS_OUT_OF_MEMORY)
        return err_set(err, RC_NO_MEMORY, "no memory for decoding a WebP file");
    return status == VP8_STATUS_OK ? RC_OK : err_set(err, RC_CORRUPT, "%s", webp_problem(status));
}

static enum rc webp_reader_read(struct image_reader *reader, struct image_band *ret_band, struct err *err)
{
    struct webp_reader *r = (struct webp_reader *)reader;
    if (r->pixels == NULL) {
        enum rc rc = webp_decode(r, err);
        if (rc != RC_OK)
            return rc;
    }
    uint32_t left = r->window.height_px - r->next_y_px;
    r->band.y_px = r->next_y_px;
    r->band.height_px = left < r->band_rows ? left : r->band_rows;
    size_t x = r->window.x_px - r->decoded.x_px, y = r->window.y_px - r->decoded.y_px + r->next_y_px;
    for (uint32_t i = 0; i < r->band.height_px; i++) {
        const uint8_t *row = r->pixels + ((y + i) * r->decoded.width_px + x) * r->channels;
        image_planes_split(row, r->channels, &reader->format, r->window.width_px, i, &r->band);
    }
    r->next_y_px += r->band.height_px;
    *ret_band = r->band;
    return RC_OK;
}

static void webp_reader_free(struct webp_reader **slot)
{
    if (*slot != NULL) {
        free((*slot)->pixels);
        free((*slot)->buffer);
    }
    free(*slot);
}

static void webp_reader_close(struct image_reader *reader)
{
    struct webp_reader *r = (struct webp_reader *)reader;
    webp_reader_free(&r);
}

static const struct image_reader_ops webp_reader_ops = {.read = webp_reader_read, .close = webp_reader_close};

/* libwebp holds a lossless picture as 32 bits per pixel, and the alpha of a lossy one as 8. */
static uint64_t webp_needed_bytes(const struct webp_source *webp, const struct image_region *decoded,
                                  unsigned channels)
{
    uint64_t area = image_size_area(webp->source.pyramid.level[0].size);
    uint64_t inside = webp->lossless ? area * 4 : channels == 4 ? area : 0;
    return webp->source.blob->size_bytes + inside +
           (uint64_t)decoded->width_px * decoded->height_px * channels;
}

static enum rc webp_read(struct image_source *source, uint32_t level, uint32_t shrink_log2,
                         const struct image_region *window, struct image_reader **ret_reader, struct err *err)
{
    (void)level;
    (void)shrink_log2;
    OWN(webp_reader_free) struct webp_reader *r = calloc(1, sizeof *r);
    if (r == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for a reader");
    r->reader = (struct image_reader){
        .ops = &webp_reader_ops, .format = source->format, .size = {window->width_px, window->height_px}};
    r->webp = (const struct webp_source *)source;
    r->window = *window;
    r->decoded = webp_with_margin(window, source->pyramid.level[0].size);
    r->channels = image_format_planes(&source->format);
    r->band_rows = window->height_px < BAND_ROWS ? window->height_px : BAND_ROWS;
    uint64_t needed = webp_needed_bytes(r->webp, &r->decoded, r->channels);
    if (needed > source->limits.max_decode_bytes)
        return err_set(err, RC_TOO_LARGE, "reading the WebP file would take %llu bytes of memory",
                       (unsigned long long)needed);
    enum rc rc = image_planes_alloc(&source->format, (struct image_size){window->width_px, r->band_rows},
                                    source->limits.max_decode_bytes, &r->buffer, &r->band, err);
    if (rc != RC_OK)
        return rc;
    *ret_reader = &TAKE_PTR(r)->reader;
    return RC_OK;
}

/* --- opening -------------------------------------------------------------------------------------------------- */

/* What the chunks say. */
struct webp_facts {
    struct image_size size; /* of the picture's own header */
    bool alpha, animated, lossless, has_picture;
};

static enum rc webp_look_at_picture(const struct image_source_input *input, uint64_t at,
                                    struct webp_facts *facts, struct err *err)
{
    uint8_t start[64];
    size_t length = input->blob->size_bytes - at < sizeof start ? (size_t)(input->blob->size_bytes - at)
                                                                : sizeof start;
    enum rc rc = image_blob_read(input->blob, start, length, at, err);
    if (rc != RC_OK)
        return rc;
    WebPBitstreamFeatures features;
    if (WebPGetFeatures(start, length, &features) != VP8_STATUS_OK)
        return err_set(err, RC_CORRUPT, "the WebP file's picture has no valid header");
    facts->size = (struct image_size){(uint32_t)features.width, (uint32_t)features.height};
    facts->alpha = facts->alpha || features.has_alpha;
    facts->lossless = features.format == 2;
    facts->has_picture = true;
    return RC_OK;
}

static enum rc webp_take_payload(const struct image_source_input *input, uint64_t at, uint64_t length,
                                 struct bytes *to, struct err *err)
{
    if (to->length > 0 || length > IMAGE_METADATA_MAX_BYTES)
        return RC_OK;
    enum rc rc = bytes_reserve(to, (size_t)length, err);
    if (rc == RC_OK)
        rc = image_blob_read(input->blob, to->data, (size_t)length, at, err);
    if (rc == RC_OK)
        to->length = (size_t)length;
    return rc;
}

static enum rc webp_take_chunk(const struct image_source_input *input, const uint8_t head[12], uint64_t at,
                               uint64_t length, struct webp_facts *facts, struct image_metadata *metadata,
                               struct err *err)
{
    if (memcmp(head, "VP8X", 4) == 0) {
        facts->animated = (head[8] & VP8X_ANIMATED) != 0;
        facts->alpha = (head[8] & VP8X_ALPHA) != 0;
    } else if (memcmp(head, "ALPH", 4) == 0) {
        facts->alpha = true;
    } else if (!facts->has_picture && (memcmp(head, "VP8 ", 4) == 0 || memcmp(head, "VP8L", 4) == 0)) {
        return webp_look_at_picture(input, at - 8, facts, err);
    } else if (memcmp(head, "ICCP", 4) == 0) {
        return webp_take_payload(input, at, length, &metadata->icc, err);
    } else if (memcmp(head, "EXIF", 4) == 0) {
        return webp_take_payload(input, at, length, &metadata->exif, err);
    } else if (memcmp(head, "XMP ", 4) == 0) {
        return webp_take_payload(input, at, length, &metadata->xmp, err);
    }
    return RC_OK;
}

static enum rc webp_read_chunks(const struct image_source_input *input, struct webp_facts *facts,
                                struct image_metadata *metadata, struct err *err)
{
    uint64_t at = 12;
    for (unsigned i = 0; i < MAX_CHUNKS && at + 12 <= input->blob->size_bytes; i++) {
        uint8_t head[12];
        enum rc rc = image_blob_read(input->blob, head, sizeof head, at, err);
        if (rc != RC_OK)
            return rc;
        uint64_t length = bytes_le32(head + 4);
        if (length > input->blob->size_bytes - at - 8)
            length = input->blob->size_bytes - at - 8; /* the picture will tell when it is cut off */
        rc = webp_take_chunk(input, head, at + 8, length, facts, metadata, err);
        if (rc != RC_OK)
            return rc;
        at += 8 + length + length % 2;
    }
    if (facts->animated)
        return err_set(err, RC_UNSUPPORTED, "animated WebP files are not supported");
    return facts->has_picture ? RC_OK : err_set(err, RC_CORRUPT, "the WebP file holds no picture");
}

/* Some writers put JPEG's signature before the payload. */
static void webp_strip_exif_signature(struct bytes *exif)
{
    static const char signature[6] = "Exif\0";
    if (exif->length < sizeof signature || memcmp(exif->data, signature, sizeof signature) != 0)
        return;
    exif->length -= sizeof signature;
    memmove(exif->data, exif->data + sizeof signature, exif->length);
}

static void webp_close(struct image_source *source)
{
    free(source);
}

static enum rc webp_metadata(struct image_source *source, struct image_metadata *ret_metadata,
                             struct err *err)
{
    const struct image_source_input input = {.blob = source->blob, .limits = source->limits};
    struct webp_facts facts = {0};
    enum rc rc = webp_read_chunks(&input, &facts, ret_metadata, err);
    webp_strip_exif_signature(&ret_metadata->exif);
    return rc;
}

static void webp_describe(const struct image_source *source, struct image_record *record)
{
    image_record_put(record, ((const struct webp_source *)source)->lossless);
}

static const struct image_source_ops webp_ops = {.kind = IMAGE_SOURCE_WEBP,
                                                 .read = webp_read,
                                                 .metadata = webp_metadata,
                                                 .describe = webp_describe,
                                                 .close = webp_close};

static void webp_discard(struct webp_source **webp)
{
    if (*webp != NULL)
        image_metadata_done(&(*webp)->source.metadata);
    free(*webp);
}

static struct image_format webp_format(bool alpha)
{
    return (struct image_format){
        .model = IMAGE_RGB, .alpha = alpha ? IMAGE_ALPHA_STRAIGHT : IMAGE_ALPHA_NONE, .depth_bits = 8};
}

enum rc image_webp_source_open(const struct image_source_input *input, struct image_source **ret_source,
                               struct err *err)
{
    OWN(webp_discard) struct webp_source *webp = calloc(1, sizeof *webp);
    if (webp == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for a WebP source");
    struct image_source *source = &webp->source;
    image_source_init(source, &webp_ops, input);
    struct webp_facts facts = {0};
    enum rc rc = webp_read_chunks(input, &facts, &source->metadata, err);
    if (rc == RC_OK)
        rc = image_source_single(source, input, facts.size, err);
    if (rc != RC_OK)
        return rc;
    webp_strip_exif_signature(&source->metadata.exif);
    webp->lossless = facts.lossless;
    source->format = webp_format(facts.alpha);
    source->pyramid.has_colour = true;
    source->pyramid.has_alpha = facts.alpha;
    source->pyramid.orientation = image_exif_orientation(&source->metadata.exif);
    *ret_source = &TAKE_PTR(webp)->source;
    return RC_OK;
}

/* --- restoring ------------------------------------------------------------------------------------------------ */

enum rc image_webp_source_restore(const struct image_source_input *input, const struct image_pyramid *pyramid,
                                  struct image_record_reader *reader, struct image_source **ret_source,
                                  struct err *err)
{
    struct webp_source *webp = calloc(1, sizeof *webp);
    if (webp == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for a WebP source");
    image_source_init(&webp->source, &webp_ops, input);
    webp->lossless = image_record_get(reader, 1) != 0;
    webp->source.format = webp_format(pyramid->has_alpha);
    *ret_source = &webp->source;
    return RC_OK;
}
