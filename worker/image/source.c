#include "worker/image/source_kinds.h"

#include "base/own.h"
#include "worker/image/metadata.h"
#include "worker/image/tiff_ifd.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>

typedef enum rc source_opener(const struct image_source_input *input, struct image_source **ret_source,
                              struct err *err);

static source_opener *source_opener_of(const uint8_t start[16])
{
    if (image_tiff_recognise(start))
        return image_tiff_source_open;
    if (memcmp(start, "\xff\xd8\xff", 3) == 0)
        return image_jpeg_source_open;
    if (memcmp(start, "\x89PNG\r\n\x1a\n", 8) == 0)
        return image_png_source_open;
    if (memcmp(start, "RIFF", 4) == 0 && memcmp(start + 8, "WEBP", 4) == 0)
        return image_webp_source_open;
    return NULL;
}

enum rc image_source_open(struct image_blob *blob, uint32_t page, const struct image_source_limits *limits,
                          struct image_source **ret_source, struct err *err)
{
    OWN(image_blob_close) struct image_blob *own_blob = blob;
    struct image_source_input input = {.blob = blob, .page = page, .limits = *limits};
    uint8_t start[16] = {0};
    if (blob->size_bytes < sizeof start)
        return err_set(err, RC_UNSUPPORTED, "the source is no TIFF, JPEG, PNG or WebP file");
    enum rc rc = image_blob_read(blob, start, sizeof start, 0, err);
    if (rc != RC_OK)
        return rc;
    source_opener *open = source_opener_of(start);
    if (open == NULL)
        return err_set(err, RC_UNSUPPORTED, "the source is no TIFF, JPEG, PNG or WebP file");
    if (page == 0)
        return err_set(err, RC_NOT_FOUND, "pages are counted from 1");

    struct image_source *source = NULL;
    rc = open(&input, &source, err);
    /* Openers do without some things that they cannot read, and take others for broken; then this is no more
     * than a guess. */
    if (rc != RC_AWAY && atomic_load_explicit(&blob->away_reads, memory_order_relaxed) > 0) {
        if (rc == RC_OK) {
            image_metadata_done(&source->metadata);
            source->ops->close(source);
        }
        return err_set(err, RC_AWAY, "parts of the source have to be fetched first");
    }
    if (rc != RC_OK)
        return rc;
    (void)TAKE_PTR(own_blob);
    const struct image_metadata *metadata = &source->metadata;
    source->has_metadata = metadata->exif.length + metadata->xmp.length + metadata->iptc.length > 0;
    *ret_source = source;
    return RC_OK;
}

void image_source_close(struct image_source **source)
{
    struct image_source *closed = TAKE_PTR(*source);
    if (closed == NULL)
        return;
    OWN(image_blob_close) struct image_blob *blob = closed->blob;
    image_metadata_done(&closed->metadata);
    closed->ops->close(closed);
}

static void metadata_take(struct image_metadata *to, struct image_metadata *from)
{
    to->exif = from->exif;
    to->xmp = from->xmp;
    to->iptc = from->iptc;
    from->exif = from->xmp = from->iptc = (struct bytes){0};
}

enum rc image_source_metadata(struct image_source *source, const struct image_metadata **ret_metadata,
                              struct err *err)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* once per source: one for all will do */
    enum rc rc = RC_OK;
    if (atomic_load_explicit(&source->lacks_metadata, memory_order_acquire)) {
        OWN(image_metadata_done) struct image_metadata read = {0};
        unsigned away_reads = atomic_load_explicit(&source->blob->away_reads, memory_order_relaxed);
        rc = source->ops->metadata(source, &read, err);
        /* What could not be read is left out by those who read it. */
        if (rc == RC_OK &&
            away_reads != atomic_load_explicit(&source->blob->away_reads, memory_order_relaxed))
            rc = err_set(err, RC_AWAY, "parts of the source have to be fetched first");
        pthread_mutex_lock(&mutex);
        if (rc == RC_OK && atomic_load_explicit(&source->lacks_metadata, memory_order_relaxed)) {
            metadata_take(&source->metadata, &read);
            atomic_store_explicit(&source->lacks_metadata, false, memory_order_release);
        }
        pthread_mutex_unlock(&mutex);
    }
    if (rc == RC_OK)
        *ret_metadata = &source->metadata;
    return rc;
}

enum rc image_source_read(struct image_source *source, uint32_t level, uint32_t shrink_log2,
                          const struct image_region *window, struct image_reader **ret_reader,
                          struct err *err)
{
    assert(level < source->pyramid.level_count);
    assert(shrink_log2 == 0 || (source->shrinks && shrink_log2 <= 3));
    struct image_size size = image_source_shrunk_size(source->pyramid.level[level].size, shrink_log2);
    assert(window->width_px > 0 && window->x_px < size.width_px &&
           window->width_px <= size.width_px - window->x_px);
    assert(window->height_px > 0 && window->y_px < size.height_px &&
           window->height_px <= size.height_px - window->y_px);
    assert((window->x_px & ((1u << source->format.sub_x_log2) - 1)) == 0);
    assert((window->y_px & ((1u << source->format.sub_y_log2) - 1)) == 0);
    return source->ops->read(source, level, shrink_log2, window, ret_reader, err);
}

enum rc image_source_want(struct image_source *source, uint32_t level, const struct image_region *window,
                          struct err *err)
{
    if (source->blob->ops->want == NULL)
        return RC_OK;
    if (source->ops->want != NULL)
        return source->ops->want(source, level, window, err);
    return image_blob_want(source->blob, 0, source->blob->size_bytes)
               ? RC_OK
               : err_set(err, RC_AWAY, "the source has to be fetched first");
}

void image_source_init(struct image_source *source, const struct image_source_ops *ops,
                       const struct image_source_input *input)
{
    source->ops = ops;
    source->blob = input->blob;
    source->limits = input->limits;
}

enum rc image_source_check_size(const struct image_source_limits *limits, struct image_size size,
                                struct err *err)
{
    if (size.width_px == 0 || size.height_px == 0)
        return err_set(err, RC_CORRUPT, "the picture claims to be %u x %u pixels", size.width_px,
                       size.height_px);
    if (size.width_px > INT32_MAX || size.height_px > INT32_MAX ||
        image_size_area(size) > limits->max_source_pixels)
        return err_set(err, RC_TOO_LARGE, "the picture has %u x %u pixels, more than the limit of %llu",
                       size.width_px, size.height_px, (unsigned long long)limits->max_source_pixels);
    return RC_OK;
}

enum rc image_source_single(struct image_source *source, const struct image_source_input *input,
                            struct image_size size, struct err *err)
{
    if (input->page != 1)
        return err_set(err, RC_NOT_FOUND, "the source has one page, not %u", input->page);
    source->pyramid.level_count = 1;
    source->pyramid.page_count = 1;
    source->pyramid.orientation = 1;
    source->pyramid.level[0] = (struct image_level){.size = size, .scale_factor = 1};
    return image_source_check_size(&input->limits, size, err);
}

enum rc image_source_stored_tile(struct image_source *source, uint32_t level, uint32_t column, uint32_t row,
                                 bool may_block, struct image_stored_tile *ret_tile, struct err *err)
{
    if (source->ops->stored_tile == NULL)
        return err_set(err, RC_UNSUPPORTED, "the source has no tiles that could be sent as they are");
    return source->ops->stored_tile(source, level, column, row, may_block, ret_tile, err);
}
