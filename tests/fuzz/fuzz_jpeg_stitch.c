/* Tiles are foreign, their restart markers and codes may lie. The head of the input says what is asked for:
 *
 *     model, columns, rows, window x, y, width, height (each one byte), length of the tables (two bytes), tables,
 *     then tiles, each with its length (two bytes) before it
 *
 * What is made of them by either way must be a JPEG of the size asked for, as libjpeg reads it: damaged data are its affair, a
 * broken file would be ours. */
#include "worker/image/jpeg_stitch.h"

#include "worker/image/jpeg_head.h"

#include <assert.h>

enum { TILE_PX = 32, MOST_TILES = 9 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    struct bytes tables;
    struct image_jpeg_grid grid;
    struct image_jpeg_tile tile[MOST_TILES];
};

static size_t take_length(const uint8_t **at, const uint8_t *end)
{
    size_t length = 0;
    if (end - *at >= 2) {
        length = bytes_be16(*at);
        *at += 2;
    }
    return length < (size_t)(end - *at) ? length : (size_t)(end - *at);
}

static void read_input(const uint8_t *data, size_t size, struct input *input)
{
    static const enum image_model model[] = {IMAGE_GRAY, IMAGE_RGB, IMAGE_YCBCR};
    const uint8_t *end = data + size, *at = data + 7;
    uint32_t across = 1u + data[1] % 3, down = 1u + data[2] % 3;
    struct image_region window = {data[3] % TILE_PX, data[4] % TILE_PX, 0, 0};
    window.width_px = 1 + data[5] % (across * TILE_PX - window.x_px);
    window.height_px = 1 + data[6] % (down * TILE_PX - window.y_px);
    *input = (struct input){
        .grid = {.tile = {TILE_PX, TILE_PX}, .window = window, .model = model[data[0] % 3]}};
    size_t length = take_length(&at, end);
    if (bytes_append(&input->tables, at, length, NULL) != RC_OK)
        return;
    at += length;
    for (size_t i = 0; i < MOST_TILES; i++) {
        length = take_length(&at, end);
        input->tile[i] = (struct image_jpeg_tile){at, length};
        at += length;
    }
}

static enum rc join(const struct input *input, struct bytes *out)
{
    struct image_jpeg_stitch *stitch = NULL;
    const struct bytes none = {0};
    const uint32_t columns = image_jpeg_grid_columns(&input->grid), rows = image_jpeg_grid_rows(&input->grid);
    enum rc rc = image_jpeg_stitch_new(&input->grid, &stitch, NULL);
    for (uint32_t i = 0; rc == RC_OK && i < columns * rows; i++)
        rc = image_jpeg_stitch_look(stitch, &input->tile[i], NULL);
    if (rc == RC_OK)
        rc = image_jpeg_stitch_begin(stitch, &none, out, NULL);
    for (uint32_t y = 0; rc == RC_OK && y < rows; y++)
        rc = image_jpeg_stitch_row(stitch, &input->tile[y * columns], out, NULL);
    if (rc == RC_OK)
        rc = image_jpeg_stitch_end(stitch, out, NULL);
    image_jpeg_stitch_free(&stitch);
    return rc;
}

/* Behind the head: stuffed data, and markers in their order if there are any. */
static void check_scan(const struct bytes *out, const struct image_jpeg_head *head)
{
    unsigned restarts = 0;
    for (size_t at = head->scan_at; at + 1 < out->length; at++) {
        if (out->data[at] != 0xff || out->data[++at] == 0)
            continue;
        if (at + 1 == out->length) {
            assert(out->data[at] == IMAGE_JPEG_EOI);
            return;
        }
        assert(head->restart_mcus > 0 && out->data[at] == IMAGE_JPEG_RST0 + (restarts++ & 7));
    }
    assert(false); /* the file does not end */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input;
    struct bytes out = {0};
    if (size < 9)
        return 0;
    read_input(data, size, &input);
    input.grid.tables = &input.tables;
    if (join(&input, &out) == RC_OK) {
        const struct bytes none = {0};
        struct image_jpeg_head head;
        enum rc rc = image_jpeg_head_read(&none, out.data, out.length, &head, NULL);
        assert(rc == RC_OK && head.scan_is_whole);
        assert(head.size.width_px == input.grid.window.width_px &&
               head.size.height_px == input.grid.window.height_px);
        check_scan(&out, &head);
    }
    bytes_done(&input.tables);
    bytes_done(&out);
    return 0;
}
