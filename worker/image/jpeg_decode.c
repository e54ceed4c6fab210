#include "worker/image/jpeg_decoder.h"

#include "base/own.h"

#include <jerror.h>

/* More scans than any encoder writes; a hostile progressive file could otherwise cost minutes. */
#define MAX_SCANS      100
#define CONVERTED_ROWS 16u

/* ---- libjpeg's call-backs ---- */

static enum rc jpeg_rc_of_message(int code)
{
    switch (code) {
    case JERR_OUT_OF_MEMORY:
        return RC_NO_MEMORY;
    case JERR_ARITH_NOTIMPL:
    case JERR_BAD_PRECISION:
    case JERR_CONVERSION_NOTIMPL:
    case JERR_FRACT_SAMPLE_NOTIMPL:
    case JERR_SOF_UNSUPPORTED:
        return RC_UNSUPPORTED;
    default:
        return RC_CORRUPT;
    }
}

__attribute__((noreturn)) static void jpeg_error_exit(j_common_ptr lib)
{
    struct image_jpeg *jpeg = lib->client_data;
    char text[JMSG_LENGTH_MAX];
    lib->err->format_message(lib, text);
    image_jpeg_decoder_fail(jpeg, err_set(jpeg->err, jpeg_rc_of_message(lib->err->msg_code),
                                          "the JPEG data of %s cannot be decoded: %.150s",
                                          jpeg->input.subject, text));
}

/* Warnings that mean: from here on the pixels are made up. Others (stray bytes between markers, odd headers)
 * do not change a pixel. */
static void jpeg_emit_message(j_common_ptr lib, int level)
{
    if (level >= 0)
        return;
    switch (lib->err->msg_code) {
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_ARITH_BAD_CODE:
    case JWRN_MUST_RESYNC:
        jpeg_error_exit(lib);
    default:
        return;
    }
}

static void jpeg_output_message(j_common_ptr lib)
{
    (void)lib;
}

static void jpeg_progress(j_common_ptr lib)
{
    struct image_jpeg *jpeg = lib->client_data;
    if (jpeg->lib.input_scan_number > MAX_SCANS)
        image_jpeg_decoder_fail(jpeg, err_set(jpeg->err, RC_UNSUPPORTED,
                                              "the JPEG data of %s has more than %d scans",
                                              jpeg->input.subject, MAX_SCANS));
}

/* The only setjmp: owns nothing. Whatever `step` began is released by image_jpeg_free(). */
static enum rc jpeg_guard(struct image_jpeg *jpeg, void (*step)(struct image_jpeg *), struct err *err)
{
    jpeg->err = err;
    if (setjmp(jpeg->escape) != 0)
        return jpeg->rc;
    step(jpeg);
    return RC_OK;
}

/* ---- one picture ---- */

static void jpeg_release_rows(struct image_jpeg *jpeg)
{
    free(jpeg->buffer);
    free(jpeg->line);
    jpeg->buffer = jpeg->line = NULL;
}

static void jpeg_release_lib(struct image_jpeg *jpeg)
{
    if (jpeg->created)
        jpeg_destroy_decompress(&jpeg->lib);
    image_jpeg_coefficients_drop(&jpeg->coefficients);
    jpeg->created = false;
    jpeg->known = NULL;
}

enum rc image_jpeg_new(struct image_jpeg **ret_jpeg, struct err *err)
{
    struct image_jpeg *jpeg = calloc(1, sizeof *jpeg);
    if (jpeg == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for a JPEG decoder");
    *ret_jpeg = jpeg;
    return RC_OK;
}

void image_jpeg_free(struct image_jpeg **jpeg)
{
    if (*jpeg != NULL) {
        jpeg_release_rows(*jpeg);
        jpeg_release_lib(*jpeg);
        free((*jpeg)->data);
    }
    free(*jpeg);
    *jpeg = NULL;
}

/* ---- one stream ---- */

static void jpeg_step_create(struct image_jpeg *jpeg)
{
    struct jpeg_decompress_struct *lib = &jpeg->lib;
    lib->err = jpeg_std_error(&jpeg->errors);
    jpeg->errors.error_exit = jpeg_error_exit;
    jpeg->errors.emit_message = jpeg_emit_message;
    jpeg->errors.output_message = jpeg_output_message;
    lib->client_data = jpeg;
    jpeg_create_decompress(lib);
    jpeg->created = true;
    image_jpeg_coefficients_take_over(jpeg);
    image_jpeg_decoder_connect(jpeg);
    jpeg->progress.progress_monitor = jpeg_progress;
    lib->progress = &jpeg->progress;
    if (jpeg->tables == NULL)
        return;
    image_jpeg_decoder_feed(jpeg, jpeg->tables->data, jpeg->tables->length);
    if (jpeg_read_header(lib, FALSE) != JPEG_HEADER_TABLES_ONLY)
        image_jpeg_decoder_fail(
            jpeg,
            err_set(jpeg->err, RC_CORRUPT, "the JPEG tables for %s contain a picture", jpeg->input.subject));
    image_jpeg_decoder_keep_tables(jpeg);
    jpeg->tables = NULL;
}

static void jpeg_step_header(struct image_jpeg *jpeg)
{
    jpeg_read_header(&jpeg->lib, TRUE);
}

/* log2 of `whole / part`, if that is 1, 2 or 4; else -1. */
static int jpeg_ratio_log2(int whole, int part)
{
    return whole == part ? 0 : whole == 2 * part ? 1 : whole == 4 * part ? 2 : -1;
}

/* Whether the components can leave as planes of struct image_format: all alike, or 2 and 3 smaller by powers
 * of two. */
static bool jpeg_has_planes(const struct jpeg_decompress_struct *lib, struct image_jpeg_frame *frame)
{
    const jpeg_component_info *c = lib->comp_info;
    for (int i = 0; i < lib->num_components; i++) {
        bool chroma = lib->num_components == 3 && i > 0;
        int x = jpeg_ratio_log2(lib->max_h_samp_factor, c[i].h_samp_factor);
        int y = jpeg_ratio_log2(lib->max_v_samp_factor, c[i].v_samp_factor);
        if (x < 0 || y < 0 || (!chroma && (x > 0 || y > 0)) ||
            (i == 2 && (x != frame->sub_x_log2 || y != frame->sub_y_log2)))
            return false;
        if (i == 1) {
            frame->sub_x_log2 = (uint8_t)x;
            frame->sub_y_log2 = (uint8_t)y;
        }
    }
    return true;
}

static enum image_jpeg_coding jpeg_coding(J_COLOR_SPACE space)
{
    switch (space) {
    case JCS_GRAYSCALE:
        return IMAGE_JPEG_GRAY;
    case JCS_YCbCr:
        return IMAGE_JPEG_YCBCR;
    case JCS_RGB:
        return IMAGE_JPEG_RGB;
    case JCS_CMYK:
        return IMAGE_JPEG_CMYK;
    case JCS_YCCK:
        return IMAGE_JPEG_YCCK;
    default:
        return IMAGE_JPEG_UNKNOWN;
    }
}

enum rc image_jpeg_begin(struct image_jpeg *jpeg, const struct bytes *tables,
                         const struct image_jpeg_input *input, struct image_jpeg_frame *ret_frame,
                         struct err *err)
{
    tables = tables != NULL && tables->length > 0 ? tables : NULL;
    jpeg_release_rows(jpeg);
    jpeg->input = *input;
    enum rc rc = RC_OK;
    if (image_jpeg_decoder_has_tables(jpeg, tables)) {
        jpeg_abort_decompress(&jpeg->lib);
        image_jpeg_coefficients_drop(&jpeg->coefficients);
    } else {
        jpeg_release_lib(jpeg);
        jpeg->tables = tables;
        rc = jpeg_guard(jpeg, jpeg_step_create, err);
    }
    if (rc == RC_OK)
        rc = image_jpeg_decoder_open_input(jpeg, err);
    if (rc == RC_OK)
        rc = jpeg_guard(jpeg, jpeg_step_header, err);
    if (rc == RC_OK && image_jpeg_decoder_has_ended(jpeg))
        rc = err_set(err, RC_CORRUPT, "the JPEG data of %s ends before its pixels begin", input->subject);
    if (rc != RC_OK)
        return rc;
    const struct jpeg_decompress_struct *lib = &jpeg->lib;
    if (lib->num_components > (int)IMAGE_MAX_PLANES)
        return err_set(err, RC_UNSUPPORTED, "the JPEG data of %s has %d components", input->subject,
                       lib->num_components);
    struct image_jpeg_frame frame = {
        .size = {lib->image_width, lib->image_height},
        .coding = jpeg_coding(lib->jpeg_color_space),
        .components = (uint8_t)lib->num_components,
    };
    frame.planes = jpeg_has_planes(lib, &frame);
    *ret_frame = frame;
    return RC_OK;
}

void image_jpeg_shrunk_subsampling(unsigned shrink_log2, uint8_t *sub_x_log2, uint8_t *sub_y_log2)
{
    /* libjpeg doubles the block size of chroma as long as that brings it nearer to luma's resolution both
     * ways. */
    for (; shrink_log2 > 0 && *sub_x_log2 > 0 && *sub_y_log2 > 0; shrink_log2--) {
        --*sub_x_log2;
        --*sub_y_log2;
    }
}

/* ---- pixels ---- */

/* A progressive stream, or one with a scan per component, is complete only after its last scan. */
static uint64_t jpeg_coefficient_bytes(struct jpeg_decompress_struct *lib)
{
    uint64_t bytes = 0;
    for (int i = 0; jpeg_has_multiple_scans(lib) && i < lib->num_components; i++) {
        const jpeg_component_info *c = &lib->comp_info[i];
        uint64_t across = c->width_in_blocks + (uint64_t)c->h_samp_factor,
                 down = c->height_in_blocks + (uint64_t)c->v_samp_factor;
        bytes += across * down * sizeof(JBLOCK);
    }
    return bytes;
}

static void jpeg_step_start(struct image_jpeg *jpeg)
{
    struct jpeg_decompress_struct *lib = &jpeg->lib;
    uint64_t needed = jpeg_coefficient_bytes(lib);
    if (needed > jpeg->most_bytes)
        image_jpeg_decoder_fail(jpeg,
                                err_set(jpeg->err, RC_TOO_LARGE,
                                        "the progressive JPEG data of %s would take %llu bytes of memory",
                                        jpeg->input.subject, (unsigned long long)needed));
    bool several_scans = jpeg_has_multiple_scans(lib);
    lib->scale_num = 1;
    lib->scale_denom = 1u << jpeg->shrink_log2;
    lib->dct_method = JDCT_ISLOW;
    lib->do_block_smoothing = FALSE;
    lib->raw_data_out = jpeg->output == IMAGE_JPEG_PLANES;
    if (jpeg->output == IMAGE_JPEG_PLANES)
        lib->out_color_space = lib->jpeg_color_space;
    else
        lib->out_color_space = jpeg->output == IMAGE_JPEG_TO_CMYK ? JCS_CMYK : JCS_RGB;
    jpeg_start_decompress(lib);
    if (several_scans && image_jpeg_decoder_has_ended(jpeg))
        image_jpeg_decoder_fail(jpeg, err_set(jpeg->err, RC_CORRUPT,
                                              "the JPEG data of %s ends before its last scan",
                                              jpeg->input.subject));
}

/* Lays out the planes of one call's rows in one buffer. */
static enum rc jpeg_alloc_rows(struct image_jpeg *jpeg, struct err *err)
{
    const struct jpeg_decompress_struct *lib = &jpeg->lib;
    bool raw = jpeg->output == IMAGE_JPEG_PLANES;
    unsigned planes = raw ? (unsigned)lib->num_components : (unsigned)lib->out_color_components;
    size_t width[IMAGE_MAX_PLANES], total = 0;
    for (unsigned i = 0; i < planes; i++) {
        const jpeg_component_info *c = &lib->comp_info[i];
        width[i] = raw ? (size_t)c->width_in_blocks * (size_t)c->DCT_scaled_size : lib->output_width;
        total += width[i] * jpeg->buffer_rows[i];
    }
    jpeg->buffer = calloc(1, total);
    jpeg->line = raw ? NULL : malloc((size_t)lib->output_width * planes);
    if (jpeg->buffer == NULL || (!raw && jpeg->line == NULL))
        return err_set(err, RC_NO_MEMORY, "no memory for rows of %u pixels", lib->output_width);
    uint8_t *at = jpeg->buffer;
    for (unsigned i = 0; i < planes; i++) {
        jpeg->band.plane[i] = at;
        jpeg->band.stride_bytes[i] = width[i];
        for (uint32_t y = 0; y < jpeg->buffer_rows[i]; y++, at += width[i])
            jpeg->row[i][y] = at;
    }
    return RC_OK;
}

static void jpeg_count_rows(struct image_jpeg *jpeg)
{
    const struct jpeg_decompress_struct *lib = &jpeg->lib;
    bool raw = jpeg->output == IMAGE_JPEG_PLANES;
    jpeg->rows_per_call = raw ? (uint32_t)(lib->max_v_samp_factor * lib->min_DCT_scaled_size)
                              : CONVERTED_ROWS;
    for (int i = 0; i < (int)IMAGE_MAX_PLANES; i++)
        jpeg->buffer_rows[i] = raw && i < lib->num_components ? (uint32_t)(lib->comp_info[i].v_samp_factor *
                                                                           lib->comp_info[i].DCT_scaled_size)
                                                              : CONVERTED_ROWS;
}

enum rc image_jpeg_start(struct image_jpeg *jpeg, enum image_jpeg_output output, unsigned shrink_log2,
                         uint64_t most_bytes, uint8_t *ret_sub_x_log2, uint8_t *ret_sub_y_log2,
                         struct err *err)
{
    jpeg->output = output;
    jpeg->shrink_log2 = shrink_log2;
    jpeg->most_bytes = most_bytes;
    enum rc rc = jpeg_guard(jpeg, jpeg_step_start, err);
    if (rc != RC_OK)
        return rc;
    jpeg_count_rows(jpeg);
    const struct jpeg_decompress_struct *lib = &jpeg->lib;
    *ret_sub_x_log2 = *ret_sub_y_log2 = 0;
    if (output == IMAGE_JPEG_PLANES && lib->num_components == 3) {
        const jpeg_component_info *c = &lib->comp_info[1];
        *ret_sub_x_log2 = (uint8_t)jpeg_ratio_log2(lib->max_h_samp_factor * lib->min_DCT_scaled_size,
                                                   c->h_samp_factor * c->DCT_scaled_size);
        *ret_sub_y_log2 = (uint8_t)jpeg_ratio_log2(lib->max_v_samp_factor * lib->min_DCT_scaled_size,
                                                   c->v_samp_factor * c->DCT_scaled_size);
    }
    return RC_OK;
}

static void jpeg_step_raw_rows(struct image_jpeg *jpeg)
{
    JSAMPARRAY planes[IMAGE_MAX_PLANES] = {jpeg->row[0], jpeg->row[1], jpeg->row[2], jpeg->row[3]};
    jpeg_read_raw_data(&jpeg->lib, planes, jpeg->rows_per_call);
}

static void jpeg_step_converted_rows(struct image_jpeg *jpeg)
{
    struct jpeg_decompress_struct *lib = &jpeg->lib;
    unsigned planes = (unsigned)lib->out_color_components;
    /* Everybody who writes Adobe's marker stores inks inverted. */
    uint8_t flip = jpeg->output == IMAGE_JPEG_TO_CMYK && lib->saw_Adobe_marker ? 0xff : 0;
    for (uint32_t y = 0; y < jpeg->band.height_px; y++) {
        JSAMPROW line = jpeg->line;
        jpeg_read_scanlines(lib, &line, 1);
        for (unsigned i = 0; i < planes; i++)
            for (size_t x = 0; x < lib->output_width; x++)
                jpeg->row[i][y][x] = line[x * planes + i] ^ flip;
    }
}

enum rc image_jpeg_rows(struct image_jpeg *jpeg, struct image_band *ret_band, struct err *err)
{
    struct jpeg_decompress_struct *lib = &jpeg->lib;
    if (jpeg->buffer == NULL) {
        enum rc rc = jpeg_alloc_rows(jpeg, err);
        if (rc != RC_OK)
            return rc;
    }
    for (int i = 0; i < lib->num_components; i++)
        lib->comp_info[i].component_needed = TRUE;
    uint32_t y_px = lib->output_scanline, left = lib->output_height - y_px;
    jpeg->band.y_px = y_px;
    jpeg->band.height_px = left < jpeg->rows_per_call ? left : jpeg->rows_per_call;
    bool raw = jpeg->output == IMAGE_JPEG_PLANES;
    enum rc rc = jpeg_guard(jpeg, raw ? jpeg_step_raw_rows : jpeg_step_converted_rows, err);
    if (rc == RC_OK)
        *ret_band = jpeg->band;
    return rc;
}

uint32_t image_jpeg_rows_at_once(const struct image_jpeg *jpeg)
{
    return jpeg->rows_per_call;
}

enum rc image_jpeg_rows_to(struct image_jpeg *jpeg, const struct image_jpeg_place *to, struct err *err)
{
    for (int i = 0; i < jpeg->lib.num_components; i++) {
        /* libjpeg goes over the bits of what is not needed, and leaves its rows alone. */
        jpeg->lib.comp_info[i].component_needed = to->plane[i] != NULL;
        for (uint32_t y = 0; to->plane[i] != NULL && y < jpeg->buffer_rows[i]; y++)
            jpeg->row[i][y] = to->plane[i] + y * to->stride_bytes[i];
    }
    return jpeg_guard(jpeg, jpeg_step_raw_rows, err);
}

enum rc image_jpeg_skip_rows(struct image_jpeg *jpeg, uint32_t until_px, struct err *err)
{
    const struct image_jpeg_place nowhere = {.plane = {NULL}};
    enum rc rc = RC_OK;

    while (rc == RC_OK && jpeg->output == IMAGE_JPEG_PLANES &&
           (uint64_t)jpeg->lib.output_scanline + jpeg->rows_per_call <= until_px)
        rc = image_jpeg_rows_to(jpeg, &nowhere, err);
    return rc;
}
