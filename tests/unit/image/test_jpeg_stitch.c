/* Windows of a grid of tiles, joined without decoding: libjpeg must find in them the very coefficients of the tiles. */
#include "worker/image/jpeg_stitch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include <cmocka.h>

enum { TILE = 64, COLUMNS = 3, ROWS = 3, TILES = COLUMNS * ROWS };

struct coding {
    J_COLOR_SPACE space;
    int across, down;      /* luma's sampling factors */
    bool optimised;        /* each tile has Huffman tables of its own */
    bool shared;           /* tables lie apart */
    unsigned restart;      /* MCUs; 0 none */
    unsigned edge_restart; /* of the right column */
};

struct tiles {
    struct bytes tables, tile[TILES];
    enum image_model model;
};

/* ---- making ---- */

static void configure(struct jpeg_compress_struct *c, const struct coding *coding)
{
    c->image_width = c->image_height = TILE;
    c->input_components = coding->space == JCS_GRAYSCALE ? 1 : 3;
    c->in_color_space = coding->space == JCS_GRAYSCALE ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_set_defaults(c);
    jpeg_set_colorspace(c, coding->space);
    jpeg_set_quality(c, 85, TRUE);
    c->comp_info[0].h_samp_factor = coding->across;
    c->comp_info[0].v_samp_factor = coding->down;
    for (int i = 1; i < c->num_components; i++)
        c->comp_info[i].h_samp_factor = c->comp_info[i].v_samp_factor = 1;
    c->write_JFIF_header = FALSE;
    c->write_Adobe_marker = FALSE;
    c->optimize_coding = coding->optimised;
}

static void take(struct bytes *to, unsigned char **data, unsigned long *length)
{
    assert_int_equal(bytes_append(to, *data, *length, NULL), RC_OK);
    free(*data);
    *data = NULL;
    *length = 0;
}

static void make_tile(struct tiles *tiles, const struct coding *coding, unsigned number)
{
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr failing;
    unsigned char *data = NULL;
    unsigned long length = 0;
    unsigned short seed[3] = {7, (unsigned short)number, 9};
    c.err = jpeg_std_error(&failing);
    jpeg_create_compress(&c);
    configure(&c, coding);
    jpeg_mem_dest(&c, &data, &length);
    if (coding->shared && number == 0) {
        jpeg_write_tables(&c);
        take(&tiles->tables, &data, &length);
        jpeg_mem_dest(&c, &data, &length);
    }
    if (coding->shared)
        jpeg_suppress_tables(&c, TRUE);
    c.restart_interval = number % COLUMNS == COLUMNS - 1 ? coding->edge_restart : coding->restart;
    jpeg_start_compress(&c, !coding->shared);
    for (unsigned y = 0; y < TILE; y++) {
        JSAMPLE row[TILE * 3];
        JSAMPROW rows = row;
        for (unsigned i = 0; i < sizeof row;
             i++) /* some tiles are busy, some flat: their optimal tables differ */
            row[i] = (JSAMPLE)(number * 25 + y + i / 2 + (unsigned)(erand48(seed) * (number % 3) * 60));
        jpeg_write_scanlines(&c, &rows, 1);
    }
    jpeg_finish_compress(&c);
    take(&tiles->tile[number], &data, &length);
    jpeg_destroy_compress(&c);
}

static void make(struct tiles *tiles, const struct coding *coding)
{
    *tiles = (struct tiles){.model = coding->space == JCS_GRAYSCALE ? IMAGE_GRAY
                                     : coding->space == JCS_RGB     ? IMAGE_RGB
                                                                    : IMAGE_YCBCR};
    for (unsigned i = 0; i < TILES; i++)
        make_tile(tiles, coding, i);
}

static void tiles_done(struct tiles *tiles)
{
    bytes_done(&tiles->tables);
    for (unsigned i = 0; i < TILES; i++)
        bytes_done(&tiles->tile[i]);
}

/* ---- reading back ---- */

struct reading {
    struct jpeg_decompress_struct d;
    struct jpeg_error_mgr failing;
    jvirt_barray_ptr *blocks;
};

static void read_coefficients(struct reading *r, const struct bytes *tables, const struct bytes *file)
{
    r->d.err = jpeg_std_error(&r->failing);
    jpeg_create_decompress(&r->d);
    if (tables != NULL && tables->length > 0) {
        jpeg_mem_src(&r->d, tables->data, tables->length);
        assert_int_equal(jpeg_read_header(&r->d, FALSE), JPEG_HEADER_TABLES_ONLY);
    }
    jpeg_mem_src(&r->d, file->data, file->length);
    assert_int_equal(jpeg_read_header(&r->d, TRUE), JPEG_HEADER_OK);
    r->blocks = jpeg_read_coefficients(&r->d);
    assert_int_equal(r->failing.num_warnings, 0);
}

static JCOEFPTR block_at(struct reading *r, int component, unsigned x, unsigned y)
{
    JBLOCKARRAY row = r->d.mem->access_virt_barray((j_common_ptr)&r->d, r->blocks[component], y, 1, FALSE);
    return row[0][x];
}

/* ---- joining ---- */

static enum rc stitch(const struct tiles *tiles, struct image_region window, bool *ret_copy,
                      struct bytes *out, struct err *err)
{
    const unsigned column = window.x_px / TILE, row = window.y_px / TILE;
    struct image_jpeg_tile tile[ROWS][COLUMNS];
    struct image_jpeg_stitch *s = NULL;
    const struct bytes segments = {0};
    const struct image_jpeg_grid grid = {
        .tile = {TILE, TILE},
        .window = {window.x_px % TILE, window.y_px % TILE, window.width_px, window.height_px},
        .model = tiles->model,
        .tables = &tiles->tables};
    const unsigned columns = image_jpeg_grid_columns(&grid), rows = image_jpeg_grid_rows(&grid);
    enum rc rc = image_jpeg_stitch_new(&grid, &s, err);
    for (unsigned y = 0; rc == RC_OK && y < rows; y++)
        for (unsigned x = 0; rc == RC_OK && x < columns; x++) {
            const struct bytes *from = &tiles->tile[(row + y) * COLUMNS + column + x];
            tile[y][x] = (struct image_jpeg_tile){from->data, from->length};
            rc = image_jpeg_stitch_look(s, &tile[y][x], err);
        }
    if (rc == RC_OK) {
        *ret_copy = image_jpeg_stitch_is_copy(s);
        rc = image_jpeg_stitch_begin(s, &segments, out, err);
    }
    for (unsigned y = 0; rc == RC_OK && y < rows; y++)
        rc = image_jpeg_stitch_row(s, tile[y], out, err);
    if (rc == RC_OK)
        rc = image_jpeg_stitch_end(s, out, err);
    image_jpeg_stitch_free(&s);
    return rc;
}

static void assert_same_blocks(struct reading tile[TILES], struct reading *joined, struct image_region window)
{
    for (int c = 0; c < joined->d.num_components; c++) {
        const jpeg_component_info *info = &joined->d.comp_info[c], *of_tile = &tile[0].d.comp_info[c];
        unsigned per_tile_x = of_tile->width_in_blocks, per_tile_y = of_tile->height_in_blocks;
        unsigned x0 = window.x_px * per_tile_x / TILE, y0 = window.y_px * per_tile_y / TILE;
        for (unsigned y = 0; y < info->height_in_blocks; y++)
            for (unsigned x = 0; x < info->width_in_blocks; x++) {
                unsigned at_x = x0 + x, at_y = y0 + y;
                struct reading *from = &tile[at_y / per_tile_y * COLUMNS + at_x / per_tile_x];
                JBLOCK wanted;
                memcpy(wanted, block_at(from, c, at_x % per_tile_x, at_y % per_tile_y), sizeof wanted);
                if (memcmp(wanted, block_at(joined, c, x, y), sizeof wanted) != 0)
                    fail_msg("component %d, block %u, %u is another one", c, x, y);
            }
    }
}

static const struct image_region windows[] = {
    {0, 0, 192, 192},   {0, 0, 64, 64},     {64, 64, 64, 64},   {0, 0, 128, 128}, {64, 64, 128, 128},
    {128, 128, 64, 33}, {128, 128, 37, 64}, {128, 128, 37, 33}, {128, 64, 1, 1},  {64, 128, 64, 17},
    {0, 0, 130, 66},    {64, 0, 101, 192},  {16, 32, 100, 100}, {48, 48, 16, 16}, {112, 16, 80, 176},
    {0, 128, 192, 9},   {128, 0, 17, 192},
};

static void check_all(const struct coding *coding, struct tiles *tiles, bool expect_copy[])
{
    struct reading tile[TILES];
    for (unsigned i = 0; i < TILES; i++)
        read_coefficients(&tile[i], &tiles->tables, &tiles->tile[i]);
    for (size_t i = 0; i < sizeof windows / sizeof windows[0]; i++) {
        struct bytes out = {0};
        struct err err = {0};
        struct reading joined;
        bool copy = false;
        if (stitch(tiles, windows[i], &copy, &out, &err) != RC_OK)
            fail_msg("%u x %u: %s", windows[i].width_px, windows[i].height_px, err.message);
        read_coefficients(&joined, NULL, &out);
        assert_int_equal(joined.d.image_width, windows[i].width_px);
        assert_int_equal(joined.d.image_height, windows[i].height_px);
        assert_int_equal(joined.d.jpeg_color_space, coding->space);
        assert_int_equal(joined.d.restart_interval > 0, copy);
        assert_same_blocks(tile, &joined, windows[i]);
        if (expect_copy != NULL)
            assert_int_equal(copy, expect_copy[i]);
        jpeg_destroy_decompress(&joined.d);
        bytes_done(&out);
    }
    for (unsigned i = 0; i < TILES; i++)
        jpeg_destroy_decompress(&tile[i].d);
}

static void test_every_coding(void **state)
{
    (void)state;
    static const struct coding codings[] = {
        {JCS_YCbCr, 2, 2, false, true, 0, 0},      {JCS_YCbCr, 1, 1, false, true, 0, 0},
        {JCS_YCbCr, 2, 1, false, true, 0, 0},      {JCS_YCbCr, 1, 2, false, false, 0, 0},
        {JCS_RGB, 1, 1, false, true, 0, 0},        {JCS_GRAYSCALE, 1, 1, false, true, 0, 0},
        {JCS_GRAYSCALE, 2, 2, false, false, 5, 5}, {JCS_YCbCr, 2, 2, true, false, 0, 0},
        {JCS_RGB, 1, 1, true, false, 3, 0},        {JCS_YCbCr, 1, 1, true, false, 8, 1},
        {JCS_YCbCr, 2, 2, false, true, 3, 7},
    };
    for (size_t i = 0; i < sizeof codings / sizeof codings[0]; i++) {
        struct tiles tiles;
        make(&tiles, &codings[i]);
        check_all(&codings[i], &tiles, NULL);
        tiles_done(&tiles);
    }
}

static void test_tiles_that_restart_are_copied(void **state)
{
    (void)state;
    /* 4:2:0, so 4 MCUs in a row; only the right column restarts at every MCU. */
    static const struct coding coding = {JCS_YCbCr, 2, 2, false, true, 4, 1},
                               even = {JCS_YCbCr, 2, 2, false, true, 4, 4};
    /* Others whose intervals are whole rows, to be cut short where a window ends; the last with tables of their own. */
    static const struct coding rows[] = {{JCS_RGB, 1, 1, false, true, 8, 8},
                                         {JCS_YCbCr, 2, 1, false, true, 4, 4},
                                         {JCS_GRAYSCALE, 1, 1, true, false, 8, 8}};
    bool with_edge[] = {false, true,  true,  true,  false, true,  true,  true, true,
                        true,  false, false, false, false, false, false, true};
    bool without[] = {true, true,  true,  true,  true,  true,  true, true, true,
                      true, false, false, false, false, false, true, true};
    struct tiles tiles;
    make(&tiles, &coding);
    check_all(&coding, &tiles, with_edge);
    tiles_done(&tiles);
    make(&tiles, &even);
    check_all(&even, &tiles, without);
    tiles_done(&tiles);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        make(&tiles, &rows[i]);
        check_all(&rows[i], &tiles, rows[i].optimised ? NULL : without);
        tiles_done(&tiles);
    }
}

static void expect_refusal(const struct tiles *tiles, const char *sentence)
{
    struct bytes out = {0};
    struct err err = {0};
    bool copy;
    assert_int_equal(stitch(tiles, (struct image_region){0, 0, 192, 192}, &copy, &out, &err), RC_UNSUPPORTED);
    if (strstr(err.message, sentence) == NULL)
        fail_msg("%s", err.message);
    bytes_done(&out);
}

static void test_what_cannot_be_joined(void **state)
{
    (void)state;
    static const struct coding coding = {JCS_YCbCr, 2, 2, false, true, 0, 0};
    struct coding other = coding;
    struct tiles tiles, others;
    make(&tiles, &coding);
    tiles.model = IMAGE_RGB; /* no Adobe marker is needed to call it RGB; components would be right */
    tiles.model = IMAGE_GRAY;
    expect_refusal(&tiles, "mean something else");
    tiles.model = IMAGE_YCBCR;

    other.across = 1;
    make(&others, &other);
    struct bytes kept = tiles.tile[4];
    tiles.tile[4] = others.tile[4];
    expect_refusal(&tiles, "differ in quantisation or sampling");
    tiles.tile[4] = kept;
    tiles_done(&others);

    struct bytes whole = tiles.tile[8];
    for (size_t length = 0; length + 2 < whole.length; length += whole.length / 50) {
        tiles.tile[8].length = length;
        expect_refusal(&tiles, "");
    }
    tiles.tile[8] = whole;

    struct bytes out = {0};
    struct err err = {0};
    bool copy;
    assert_int_equal(stitch(&tiles, (struct image_region){8, 0, 100, 100}, &copy, &out, &err),
                     RC_UNSUPPORTED);
    assert_non_null(strstr(err.message, "does not begin with an MCU"));
    bytes_done(&out);
    tiles_done(&tiles);
}

/* One marker at a time made another one, lost, or put where none should be. */
static void test_restart_markers_that_lie(void **state)
{
    (void)state;
    static const struct coding coding[] = {{JCS_YCbCr, 2, 2, false, true, 4, 4},
                                           {JCS_YCbCr, 2, 2, false, true, 4, 1}};
    for (size_t i = 0; i < 2; i++) {
        struct tiles tiles;
        make(&tiles, &coding[i]);
        struct bytes *tile = &tiles.tile[4];
        size_t markers = 0;
        for (size_t at = tile->length - 1; at-- > 0;) {
            if (tile->data[at] != 0xff || tile->data[at + 1] < 0xd0 || tile->data[at + 1] > 0xd7)
                continue;
            uint8_t right = tile->data[at + 1];
            markers++;
            tile->data[at + 1] = (uint8_t)(0xd0 + ((right + 1) & 7));
            expect_refusal(&tiles, "does not restart where it says");
            tile->data[at + 1] = 0xd9;
            expect_refusal(&tiles, "");
            tile->data[at + 1] = 0;
            expect_refusal(&tiles, "");
            tile->data[at + 1] = right;
        }
        assert_int_equal(markers, 3);
        tiles_done(&tiles);
    }
}

/* Whole bytes that no code needs, before a marker. */
static void test_data_that_nobody_needs(void **state)
{
    (void)state;
    static const struct coding coding = {JCS_YCbCr, 2, 2, false, true, 4, 1};
    struct tiles tiles;
    make(&tiles, &coding);
    struct bytes *tile = &tiles.tile[4];
    size_t at = tile->length - 2;
    while (tile->data[at] != 0xff || tile->data[at + 1] < 0xd0 || tile->data[at + 1] > 0xd7)
        at--;
    assert_int_equal(bytes_append(tile, "\0\0", 2, NULL), RC_OK);
    memmove(tile->data + at + 2, tile->data + at, tile->length - 2 - at);
    tile->data[at] = tile->data[at + 1] = 0;
    expect_refusal(&tiles, "does not restart where it says");
    tiles_done(&tiles);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_coding),           cmocka_unit_test(test_tiles_that_restart_are_copied),
        cmocka_unit_test(test_what_cannot_be_joined),  cmocka_unit_test(test_restart_markers_that_lie),
        cmocka_unit_test(test_data_that_nobody_needs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
