/* A PNG file: one level, its rows inflated from the top down to the window's last row each time it is read.
 * An interlaced one has to be held as a whole. */
#include "worker/image/source_kinds.h"

#include "base/own.h"
#include "worker/image/exif.h"
#include "worker/image/metadata.h"
#include "worker/image/planes.h"

#include <setjmp.h>
#include <string.h>

#include <png.h>

#define READ_AHEAD_BYTES 32768u
#define MAX_CHUNKS       65536u
#define BAND_ROWS        64u

/* libpng with what its call-backs need. */
struct png_file {
    png_structp png;
    png_infop info;
    struct image_blob *blob;
    uint64_t next_at;    /* next_at: of the file, not yet in read_ahead */
    size_t used, filled; /* of read_ahead */
    jmp_buf escape;
    struct err *err;
    enum rc rc;
    int passes;      /* above 1: interlaced */
    uint8_t **rows;  /* an interlaced picture */
    uint8_t *pixels; /* a row, or an interlaced picture */
    uint8_t read_ahead[READ_AHEAD_BYTES];
};

struct png_reader {
    struct image_reader reader;
    struct png_file file;
    struct image_region window;
    unsigned channels;
    uint32_t file_y_px; /* the row that libpng delivers next */
    uint32_t next_y_px; /* the row to deliver next, of the picture */
    bool whole;         /* an interlaced picture has been read */
    uint8_t *buffer;
    struct image_band band;
    uint32_t band_rows;
};

/* --- libpng's call-backs -------------------------------------------------------------------------------------- */

__attribute__((noreturn)) static void png_fail(struct png_file *file, enum rc rc)
{
    file->rc = rc;
    longjmp(file->escape, 1);
}

__attribute__((noreturn)) static void png_on_error(png_structp png, png_const_charp message)
{
    struct png_file *file = png_get_error_ptr(png);
    png_fail(file, err_set(file->err, RC_CORRUPT, "the PNG file cannot be decoded: %.150s", message));
}

static void png_on_warning(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

static void png_on_read(png_structp png, png_bytep data, size_t length)
{
    struct png_file *file = png_get_io_ptr(png);
    while (length > 0) {
        if (file->used == file->filled) {
            uint64_t left = file->blob->size_bytes - file->next_at;
            if (left == 0)
                png_fail(file, err_set(file->err, RC_CORRUPT, "the PNG file is cut off"));
            file->filled = left < sizeof file->read_ahead ? (size_t)left : sizeof file->read_ahead;
            file->used = 0;
            enum rc rc = image_blob_read(file->blob, file->read_ahead, file->filled, file->next_at,
                                         file->err);
            if (rc != RC_OK)
                png_fail(file, rc);
            file->next_at += file->filled;
        }
        size_t some = file->filled - file->used < length ? file->filled - file->used : length;
        memcpy(data, file->read_ahead + file->used, some);
        file->used += some;
        data += some;
        length -= some;
    }
}

/* The only setjmp: owns nothing. */
static enum rc png_guard(struct png_file *file, void (*step)(struct png_file *), struct err *err)
{
    file->err = err;
    if (setjmp(file->escape) != 0)
        return file->rc;
    step(file);
    return RC_OK;
}

/* --- a file being read ---------------------------------------------------------------------------------------- */

static void png_file_done(struct png_file *file)
{
    if (file->png != NULL)
        png_destroy_read_struct(&file->png, &file->info, NULL);
    free(file->rows);
    free(file->pixels);
}

/* Reads the header; asks for whole bytes, full colours, and alpha in place of transparent colours. */
static void png_step_info(struct png_file *file)
{
    /* Text could be large when inflated, and we read what we want of it ourselves. */
    static const png_byte unwanted[] = "tEXt\0zTXt\0iTXt\0eXIf\0sPLT\0hIST";
    png_structp png = file->png;
    png_set_read_fn(png, file, png_on_read);
    png_set_user_limits(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    png_set_chunk_malloc_max(png, IMAGE_METADATA_MAX_BYTES);
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, unwanted, sizeof unwanted / 5);
    png_read_info(png, file->info);
    png_set_expand(png);
    const uint16_t one = 1;
    if (png_get_bit_depth(png, file->info) == 16 && *(const uint8_t *)&one == 1)
        png_set_swap(png);
    file->passes = png_set_interlace_handling(png);
}

static void png_step_update(struct png_file *file)
{
    png_read_update_info(file->png, file->info);
}

static enum rc png_file_init(struct png_file *file, struct image_blob *blob, struct err *err)
{
    file->blob = blob;
    file->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, file, png_on_error, png_on_warning);
    if (file->png != NULL)
        file->info = png_create_info_struct(file->png);
    if (file->info == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for a PNG decoder");
    return png_guard(file, png_step_info, err);
}

static struct image_size png_size(const struct png_file *file)
{
    return (struct image_size){png_get_image_width(file->png, file->info),
                               png_get_image_height(file->png, file->info)};
}

/* What rows will be like after png_read_update_info(). */
static struct image_format png_format(const struct png_file *file)
{
    png_byte type = png_get_color_type(file->png, file->info);
    bool alpha = (type & PNG_COLOR_MASK_ALPHA) != 0 ||
                 png_get_valid(file->png, file->info, PNG_INFO_tRNS) != 0;
    return (struct image_format){
        .model = (type & PNG_COLOR_MASK_COLOR) != 0 ? IMAGE_RGB : IMAGE_GRAY,
        .alpha = alpha ? IMAGE_ALPHA_STRAIGHT : IMAGE_ALPHA_NONE,
        .depth_bits = png_get_bit_depth(file->png, file->info) == 16 ? 16 : 8,
    };
}

/* What reading takes: libpng's two rows and ours, or the picture. */
static uint64_t png_needed_bytes(const struct png_file *file)
{
    struct image_size size = png_size(file);
    struct image_format format = png_format(file);
    uint64_t row_bytes = (uint64_t)size.width_px * image_format_planes(&format) * (format.depth_bits / 8u);
    return row_bytes * (3 + (file->passes > 1 ? (uint64_t)size.height_px : 0));
}

static enum rc png_check_memory(const struct png_file *file, uint64_t most_bytes, struct err *err)
{
    uint64_t needed = png_needed_bytes(file);
    if (needed <= most_bytes)
        return RC_OK;
    return err_set(err, RC_TOO_LARGE, "reading the %sPNG file would take %llu bytes of memory",
                   file->passes > 1 ? "interlaced " : "", (unsigned long long)needed);
}

/* --- reading -------------------------------------------------------------------------------------------------- */

static void png_step_row(struct png_file *file)
{
    png_read_row(file->png, file->pixels, NULL);
}

static void png_step_picture(struct png_file *file)
{
    png_read_image(file->png, file->rows);
}

/* Brings row `y_px` of the picture into memory. */
static enum rc png_fetch_row(struct png_reader *r, uint32_t y_px, const uint8_t **ret_row, struct err *err)
{
    enum rc rc = RC_OK;
    if (r->file.rows != NULL) {
        if (!r->whole)
            rc = png_guard(&r->file, png_step_picture, err);
        r->whole = true;
        *ret_row = r->file.rows[y_px];
        return rc;
    }
    for (; rc == RC_OK && r->file_y_px <= y_px; r->file_y_px++)
        rc = png_guard(&r->file, png_step_row, err);
    *ret_row = r->file.pixels;
    return rc;
}

static enum rc png_reader_read(struct image_reader *reader, struct image_band *ret_band, struct err *err)
{
    struct png_reader *r = (struct png_reader *)reader;
    uint32_t done = r->next_y_px - r->window.y_px, left = r->window.height_px - done;
    r->band.y_px = done;
    r->band.height_px = left < r->band_rows ? left : r->band_rows;
    for (uint32_t i = 0; i < r->band.height_px; i++) {
        const uint8_t *row = NULL;
        enum rc rc = png_fetch_row(r, r->next_y_px + i, &row, err);
        if (rc != RC_OK)
            return rc;
        image_planes_split(row + (size_t)r->window.x_px * r->channels * (reader->format.depth_bits / 8u),
                           r->channels, &reader->format, r->window.width_px, i, &r->band);
    }
    r->next_y_px += r->band.height_px;
    *ret_band = r->band;
    return RC_OK;
}

static void png_reader_free(struct png_reader **slot)
{
    if (*slot != NULL) {
        png_file_done(&(*slot)->file);
        free((*slot)->buffer);
    }
    free(*slot);
}

static void png_reader_close(struct image_reader *reader)
{
    struct png_reader *r = (struct png_reader *)reader;
    png_reader_free(&r);
}

static const struct image_reader_ops png_reader_ops = {.read = png_reader_read, .close = png_reader_close};

static enum rc png_alloc_rows(struct png_file *file, struct err *err)
{
    size_t row_bytes = png_get_rowbytes(file->png, file->info);
    uint32_t rows = file->passes > 1 ? png_size(file).height_px : 1;
    file->pixels = calloc(rows, row_bytes);
    if (file->passes > 1)
        file->rows = calloc(rows, sizeof *file->rows);
    if (file->pixels == NULL || (file->passes > 1 && file->rows == NULL))
        return err_set(err, RC_NO_MEMORY, "no memory for %u rows of a PNG file", rows);
    for (uint32_t y = 0; file->rows != NULL && y < rows; y++)
        file->rows[y] = file->pixels + y * row_bytes;
    return RC_OK;
}

static enum rc png_read(struct image_source *source, uint32_t level, uint32_t shrink_log2,
                        const struct image_region *window, struct image_reader **ret_reader, struct err *err)
{
    (void)level;
    (void)shrink_log2;
    OWN(png_reader_free) struct png_reader *r = calloc(1, sizeof *r);
    if (r == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for a reader");
    r->reader = (struct image_reader){
        .ops = &png_reader_ops, .format = source->format, .size = {window->width_px, window->height_px}};
    r->window = *window;
    r->next_y_px = window->y_px;
    r->channels = image_format_planes(&source->format);
    r->band_rows = window->height_px < BAND_ROWS ? window->height_px : BAND_ROWS;
    enum rc rc = png_file_init(&r->file, source->blob, err);
    if (rc != RC_OK)
        return rc;
    struct image_size size = png_size(&r->file), known = source->pyramid.level[0].size;
    struct image_format format = png_format(&r->file);
    rc = png_check_memory(&r->file, source->limits.max_decode_bytes, err);
    if (rc == RC_OK)
        rc = png_guard(&r->file, png_step_update, err);
    if (rc == RC_OK && (size.width_px != known.width_px || size.height_px != known.height_px ||
                        format.depth_bits != source->format.depth_bits ||
                        png_get_channels(r->file.png, r->file.info) != r->channels))
        rc = err_set(err, RC_CORRUPT, "the file was changed while it was read");
    if (rc == RC_OK)
        rc = png_alloc_rows(&r->file, err);
    if (rc == RC_OK)
        rc = image_planes_alloc(&source->format, (struct image_size){window->width_px, r->band_rows},
                                source->limits.max_decode_bytes, &r->buffer, &r->band, err);
    if (rc != RC_OK)
        return rc;
    *ret_reader = &TAKE_PTR(r)->reader;
    return RC_OK;
}

/* --- metadata ------------------------------------------------------------------------------------------------- */

/* The text of an iTXt chunk with XMP: keyword, compression flag and method, language, keyword again, text. */
static enum rc png_take_xmp(const struct bytes *chunk, struct bytes *xmp, struct err *err)
{
    static const char keyword[] = "XML:com.adobe.xmp";
    const uint8_t *end = chunk->data + chunk->length, *p = chunk->data + sizeof keyword + 2;
    if (chunk->length < sizeof keyword + 4 || memcmp(chunk->data, keyword, sizeof keyword) != 0 || p[-2] != 0)
        return RC_OK; /* another text; or compressed, which the XMP specification forbids */
    for (unsigned i = 0; i < 2 && p != NULL; i++) {
        p = memchr(p, '\0', (size_t)(end - p));
        p = p == NULL ? NULL : p + 1;
    }
    return p == NULL ? RC_OK : bytes_append(xmp, p, (size_t)(end - p), err);
}

static enum rc png_take_chunk(const struct image_source_input *input, const uint8_t *type, uint64_t at,
                              uint32_t length, struct image_metadata *metadata, struct err *err)
{
    bool exif = memcmp(type, "eXIf", 4) == 0 && metadata->exif.length == 0;
    bool text = memcmp(type, "iTXt", 4) == 0 && metadata->xmp.length == 0;
    if ((!exif && !text) || length > IMAGE_METADATA_MAX_BYTES)
        return RC_OK;
    OWN(bytes_done) struct bytes chunk = {0};
    struct bytes *to = exif ? &metadata->exif : &chunk;
    enum rc rc = bytes_reserve(to, length, err);
    if (rc == RC_OK)
        rc = image_blob_read(input->blob, to->data, length, at, err);
    if (rc != RC_OK)
        return rc;
    to->length = length;
    return exif ? RC_OK : png_take_xmp(&chunk, &metadata->xmp, err);
}

/* Goes through all chunks, since EXIF and XMP may come after the pixels, where libpng would only look after
 * inflating them. What is broken ends the search. */
static enum rc png_read_metadata(const struct image_source_input *input, struct image_metadata *metadata,
                                 struct err *err)
{
    uint64_t at = 8;
    for (unsigned i = 0; i < MAX_CHUNKS && input->blob->size_bytes - at >= 12; i++) {
        uint8_t head[8];
        enum rc rc = image_blob_read(input->blob, head, sizeof head, at, err);
        if (rc != RC_OK)
            return rc;
        uint32_t length = bytes_be32(head);
        if (length > input->blob->size_bytes - at - 12)
            break;
        rc = png_take_chunk(input, head + 4, at + 8, length, metadata, err);
        if (rc != RC_OK)
            return rc;
        at += 12 + (uint64_t)length;
    }
    return RC_OK;
}

static enum rc png_take_profile(const struct png_file *file, struct bytes *icc, struct err *err)
{
    png_charp name = NULL;
    png_bytep profile = NULL;
    png_uint_32 length = 0;
    int method = 0;
    if (png_get_iCCP(file->png, file->info, &name, &method, &profile, &length) == 0)
        return RC_OK;
    return bytes_append(icc, profile, length, err);
}

/* --- opening -------------------------------------------------------------------------------------------------- */

static void png_close(struct image_source *source)
{
    free(source);
}

static enum rc png_metadata(struct image_source *source, struct image_metadata *ret_metadata, struct err *err)
{
    const struct image_source_input input = {.blob = source->blob, .limits = source->limits};
    return png_read_metadata(&input, ret_metadata, err);
}

static void png_describe(const struct image_source *source, struct image_record *record)
{
    image_record_put(record, source->format.model == IMAGE_RGB);
    image_record_put(record, source->format.alpha == IMAGE_ALPHA_STRAIGHT);
    image_record_put(record, source->format.depth_bits == 16);
}

static const struct image_source_ops png_ops = {.kind = IMAGE_SOURCE_PNG,
                                                .read = png_read,
                                                .metadata = png_metadata,
                                                .describe = png_describe,
                                                .close = png_close};

static void png_discard(struct image_source **source)
{
    if (*source != NULL)
        image_metadata_done(&(*source)->metadata);
    free(*source);
}

static enum rc png_examine(struct png_file *file, const struct image_source_input *input,
                           struct image_source *source, struct err *err)
{
    enum rc rc = png_file_init(file, input->blob, err);
    if (rc == RC_OK)
        rc = image_source_single(source, input, png_size(file), err);
    if (rc == RC_OK)
        rc = png_check_memory(file, input->limits.max_decode_bytes, err);
    if (rc != RC_OK)
        return rc;
    source->format = png_format(file);
    return png_take_profile(file, &source->metadata.icc, err);
}

enum rc image_png_source_open(const struct image_source_input *input, struct image_source **ret_source,
                              struct err *err)
{
    OWN(png_discard) struct image_source *source = calloc(1, sizeof *source);
    OWN_FREE struct png_file *file = calloc(1, sizeof *file);
    if (source == NULL || file == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for a PNG source");
    image_source_init(source, &png_ops, input);
    enum rc rc = png_examine(file, input, source, err);
    png_file_done(file);
    if (rc == RC_OK)
        rc = png_read_metadata(input, &source->metadata, err);
    if (rc != RC_OK)
        return rc;
    source->pyramid.has_colour = source->format.model != IMAGE_GRAY;
    source->pyramid.has_alpha = source->format.alpha != IMAGE_ALPHA_NONE;
    source->pyramid.orientation = image_exif_orientation(&source->metadata.exif);
    *ret_source = TAKE_PTR(source);
    return RC_OK;
}

/* --- restoring ------------------------------------------------------------------------------------------------ */

enum rc image_png_source_restore(const struct image_source_input *input, const struct image_pyramid *pyramid,
                                 struct image_record_reader *reader, struct image_source **ret_source,
                                 struct err *err)
{
    (void)pyramid; /* its size is compared with the file's when that is read */
    struct image_source *source = calloc(1, sizeof *source);
    if (source == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for a PNG source");
    image_source_init(source, &png_ops, input);
    source->format.model = image_record_get(reader, 1) != 0 ? IMAGE_RGB : IMAGE_GRAY;
    source->format.alpha = image_record_get(reader, 1) != 0 ? IMAGE_ALPHA_STRAIGHT : IMAGE_ALPHA_NONE;
    source->format.depth_bits = image_record_get(reader, 1) != 0 ? 16 : 8;
    *ret_source = source;
    return RC_OK;
}
