#include "worker/image/jpeg_stitching.h"

#include "base/own.h"
#include "worker/image/jpeg_stored.h"

#include <assert.h>

/* ---- what goes together ---- */

static uint32_t up_to(uint64_t pixels, uint32_t mcu_px)
{
    return (uint32_t)((pixels + mcu_px - 1) / mcu_px);
}

enum rc image_jpeg_stitch_new(const struct image_jpeg_grid *grid, struct image_jpeg_stitch **ret_stitch,
                              struct err *err)
{
    assert(grid->window.width_px > 0 && grid->window.height_px > 0);
    assert(grid->window.x_px < grid->tile.width_px && grid->window.y_px < grid->tile.height_px);
    if (grid->window.width_px > UINT16_MAX || grid->window.height_px > UINT16_MAX)
        return err_set(err, RC_UNSUPPORTED, "a JPEG cannot be %u x %u pixels large", grid->window.width_px,
                       grid->window.height_px);
    struct image_jpeg_stitch *stitch = malloc(sizeof *stitch); /* its encoders are rarely needed */
    if (stitch == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory to join tiles");
    memset(stitch, 0, offsetof(struct image_jpeg_stitch, encoder));
    stitch->grid = *grid;
    stitch->columns = image_jpeg_grid_columns(grid);
    *ret_stitch = stitch;
    return RC_OK;
}

void image_jpeg_stitch_free(struct image_jpeg_stitch **stitch)
{
    struct image_jpeg_stitch *freed = TAKE_PTR(*stitch);
    if (freed == NULL)
        return;
    bytes_done(&freed->first_start);
    image_jpeg_recode_done(freed);
    free(freed);
}

static enum rc check_tables(const struct image_jpeg_head *head, struct err *err)
{
    uint32_t blocks = 0;
    for (unsigned i = 0; i < head->components; i++) {
        const struct image_jpeg_component *c = &head->component[i];
        blocks += (uint32_t)c->across * c->down;
        if (head->quantiser[c->quantiser].data == NULL ||
            head->huffman[IMAGE_JPEG_DC][c->huffman[IMAGE_JPEG_DC]].data == NULL ||
            head->huffman[IMAGE_JPEG_AC][c->huffman[IMAGE_JPEG_AC]].data == NULL)
            return err_set(err, RC_UNSUPPORTED, "the tile lacks tables");
    }
    if (head->components > 1 && blocks > IMAGE_JPEG_MAX_MCU_BLOCKS)
        return err_set(err, RC_UNSUPPORTED, "the tile has MCUs of %u blocks", blocks);
    return RC_OK;
}

static enum rc check_head(const struct image_jpeg_stitch *stitch, const struct image_jpeg_head *head,
                          struct err *err)
{
    struct image_size mcu = image_jpeg_head_mcu(head), tile = stitch->grid.tile;
    struct image_jpeg_table marker;
    if (head->process > 1 || head->depth_bits != 8 || !head->scan_is_whole)
        return err_set(err, RC_UNSUPPORTED, "the tile is not coded in one sequential scan of 8 bits");
    if (head->size.width_px != tile.width_px || head->size.height_px != tile.height_px)
        return err_set(err, RC_UNSUPPORTED, "the tile holds %u x %u pixels", head->size.width_px,
                       head->size.height_px);
    if (tile.width_px % mcu.width_px != 0 || tile.height_px % mcu.height_px != 0)
        return err_set(err, RC_UNSUPPORTED, "the tile does not end with an MCU");
    if (!image_jpeg_stored_marker(head, stitch->grid.model, false, &marker))
        return err_set(err, RC_UNSUPPORTED, "the tile's components mean something else than the TIFF says");
    return check_tables(head, err);
}

static bool same_table(const struct image_jpeg_table *a, const struct image_jpeg_table *b)
{
    return a->length_bytes == b->length_bytes &&
           (a->data == b->data || memcmp(a->data, b->data, a->length_bytes) == 0);
}

static bool same_codes(const struct image_jpeg_head *a, const struct image_jpeg_head *b, unsigned component)
{
    const uint8_t *of_a = a->component[component].huffman, *of_b = b->component[component].huffman;
    return same_table(&a->huffman[IMAGE_JPEG_DC][of_a[IMAGE_JPEG_DC]],
                      &b->huffman[IMAGE_JPEG_DC][of_b[IMAGE_JPEG_DC]]) &&
           same_table(&a->huffman[IMAGE_JPEG_AC][of_a[IMAGE_JPEG_AC]],
                      &b->huffman[IMAGE_JPEG_AC][of_b[IMAGE_JPEG_AC]]);
}

static enum rc compare(struct image_jpeg_stitch *stitch, const struct image_jpeg_head *head, struct err *err)
{
    const struct image_jpeg_head *first = &stitch->first;
    stitch->restarts_differ |= head->restart_mcus != first->restart_mcus;
    for (unsigned i = 0; i < first->components; i++) {
        const struct image_jpeg_component *a = &first->component[i], *b = &head->component[i];
        if (a->across != b->across || a->down != b->down ||
            !same_table(&first->quantiser[a->quantiser], &head->quantiser[b->quantiser]))
            return err_set(err, RC_UNSUPPORTED, "the tiles differ in quantisation or sampling");
        stitch->tables_differ |= !same_codes(first, head, i);
    }
    return RC_OK;
}

/* Its head, kept, since the tile itself may be gone when the last one is looked at. */
static enum rc keep_first(struct image_jpeg_stitch *stitch, const struct image_jpeg_tile *tile,
                          const struct image_jpeg_head *head, struct err *err)
{
    struct image_size mcu = image_jpeg_head_mcu(head);
    const struct image_region *window = &stitch->grid.window;
    if (window->x_px % mcu.width_px != 0 || window->y_px % mcu.height_px != 0)
        return err_set(err, RC_UNSUPPORTED, "the window does not begin with an MCU");
    enum rc rc = bytes_append(&stitch->first_start, tile->data, head->scan_at, err);
    if (rc == RC_OK)
        rc = image_jpeg_head_read(stitch->grid.tables, stitch->first_start.data, head->scan_at,
                                  &stitch->first, err);
    if (rc != RC_OK)
        return rc;
    stitch->tile_mcus = (struct image_size){stitch->grid.tile.width_px / mcu.width_px,
                                            stitch->grid.tile.height_px / mcu.height_px};
    stitch->across = (struct image_jpeg_range){
        window->x_px / mcu.width_px, up_to((uint64_t)window->x_px + window->width_px, mcu.width_px)};
    stitch->down = (struct image_jpeg_range){
        window->y_px / mcu.height_px, up_to((uint64_t)window->y_px + window->height_px, mcu.height_px)};
    return RC_OK;
}

enum rc image_jpeg_stitch_look(struct image_jpeg_stitch *stitch, const struct image_jpeg_tile *tile,
                               struct err *err)
{
    struct image_jpeg_head head;
    enum rc rc = image_jpeg_head_read(stitch->grid.tables, tile->data, tile->length, &head, err);
    if (rc == RC_OK)
        rc = check_head(stitch, &head, err);
    if (rc != RC_OK)
        return rc;
    return stitch->first.components == 0 ? keep_first(stitch, tile, &head, err) : compare(stitch, &head, err);
}

/* How many MCUs an interval of the file has that is made by bytes; 0: it cannot be. The intervals of a single
 * column may be cut short, one in each row, since those of a file are all alike. */
static uint32_t copied_interval(const struct image_jpeg_stitch *stitch)
{
    uint32_t each = stitch->first.restart_mcus, wanted = stitch->across.to - stitch->across.from;
    if (each == 0 || stitch->restarts_differ || stitch->tables_differ ||
        stitch->tile_mcus.width_px % each != 0 || stitch->across.from % each != 0)
        return 0;
    if (stitch->across.to % each == 0)
        return each;
    return stitch->columns == 1 && wanted < each ? wanted : 0;
}

bool image_jpeg_stitch_is_copy(const struct image_jpeg_stitch *stitch)
{
    return copied_interval(stitch) > 0;
}

/* ---- the file's head ---- */

static enum rc append_segment(struct bytes *out, enum image_jpeg_marker marker, const void *body,
                              size_t length, struct err *err)
{
    const uint8_t start[4] = {0xff, (uint8_t)marker, (uint8_t)((length + 2) >> 8), (uint8_t)(length + 2)};
    enum rc rc = bytes_append(out, start, sizeof start, err);
    return rc == RC_OK ? bytes_append(out, body, length, err) : rc;
}

static enum rc append_quantisers(const struct image_jpeg_head *head, struct bytes *out, struct err *err)
{
    bool written[4] = {false};
    enum rc rc = RC_OK;
    for (unsigned i = 0; rc == RC_OK && i < head->components; i++) {
        uint8_t name = head->component[i].quantiser, body[129];
        const struct image_jpeg_table *table = &head->quantiser[name];
        if (written[name])
            continue;
        written[name] = true;
        body[0] = (uint8_t)((table->length_bytes == 128) << 4 | name);
        memcpy(body + 1, table->data, table->length_bytes);
        rc = append_segment(out, IMAGE_JPEG_DQT, body, 1u + table->length_bytes, err);
    }
    return rc;
}

static enum rc append_table(unsigned class, unsigned name, const struct image_jpeg_table *table,
                            struct bytes *out, struct err *err)
{
    uint8_t body[1 + 16 + 256] = {(uint8_t)(class << 4 | name)};
    memcpy(body + 1, table->data, table->length_bytes);
    return append_segment(out, IMAGE_JPEG_DHT, body, 1u + table->length_bytes, err);
}

/* The first tile's tables, or the standard's. */
static enum rc append_codes(const struct image_jpeg_stitch *stitch, struct bytes *out, struct err *err)
{
    const struct image_jpeg_head *head = &stitch->first;
    bool written[2][4] = {{false}};
    enum rc rc = RC_OK;
    for (unsigned i = 0; rc == RC_OK && i < 2u * head->components; i++) {
        unsigned class = i % 2, component = i / 2, name = head->component[component].huffman[class];
        const struct image_jpeg_table *table = &head->huffman[class][name];
        if (stitch->translates) {
            name = image_jpeg_standard_number(stitch, component);
            table = &stitch->standard->table[class][name];
        }
        if (!written[class][name])
            rc = append_table(class, name, table, out, err);
        written[class][name] = true;
    }
    return rc;
}

static enum rc append_frame(const struct image_jpeg_stitch *stitch, struct bytes *out, struct err *err)
{
    const struct image_jpeg_head *head = &stitch->first;
    uint32_t width = stitch->grid.window.width_px, height = stitch->grid.window.height_px;
    uint8_t body[6 + 3 * 4] = {
        8, (uint8_t)(height >> 8), (uint8_t)height, (uint8_t)(width >> 8), (uint8_t)width, head->components};
    for (unsigned i = 0; i < head->components; i++) {
        const struct image_jpeg_component *c = &head->component[i];
        body[6 + 3 * i] = c->id;
        body[7 + 3 * i] = (uint8_t)(c->across << 4 | c->down);
        body[8 + 3 * i] = c->quantiser;
    }
    return append_segment(out, IMAGE_JPEG_SOF0 + head->process, body, 6u + 3u * head->components, err);
}

static enum rc append_scan(const struct image_jpeg_stitch *stitch, struct bytes *out, struct err *err)
{
    const struct image_jpeg_head *head = &stitch->first;
    uint8_t body[4 + 2 * 4] = {head->components};
    for (unsigned i = 0; i < head->components; i++) {
        const uint8_t *huffman = head->component[i].huffman;
        unsigned dc = huffman[IMAGE_JPEG_DC], ac = huffman[IMAGE_JPEG_AC];
        if (stitch->translates)
            dc = ac = image_jpeg_standard_number(stitch, i);
        body[1 + 2 * i] = head->component[i].id;
        body[2 + 2 * i] = (uint8_t)(dc << 4 | ac);
    }
    body[2 + 2 * head->components] = 63;
    return append_segment(out, IMAGE_JPEG_SOS, body, 4u + 2u * head->components, err);
}

static enum rc append_restart(uint16_t mcus, struct bytes *out, struct err *err)
{
    const uint8_t body[2] = {(uint8_t)(mcus >> 8), (uint8_t)mcus};
    return append_segment(out, IMAGE_JPEG_DRI, body, sizeof body, err);
}

enum rc image_jpeg_stitch_begin(struct image_jpeg_stitch *stitch, const struct bytes *segments,
                                struct bytes *out, struct err *err)
{
    static const uint8_t start[2] = {0xff, IMAGE_JPEG_SOI};
    bool is_copy = image_jpeg_stitch_is_copy(stitch);
    struct image_jpeg_table marker = {NULL, 0};
    assert(stitch->first.components > 0);
    (void)image_jpeg_stored_marker(&stitch->first, stitch->grid.model, false, &marker);
    stitch->translates = false;
    enum rc rc = RC_OK;
    if (!is_copy)
        rc = image_jpeg_recode_prepare(stitch, err);
    else if (copied_interval(stitch) < stitch->first.restart_mcus)
        rc = image_jpeg_recode_prepare_cuts(stitch, err);
    if (rc == RC_OK)
        rc = bytes_append(out, start, sizeof start, err);
    if (rc == RC_OK)
        rc = bytes_append(out, marker.data, marker.length_bytes, err);
    if (rc == RC_OK)
        rc = bytes_append(out, segments->data, segments->length, err);
    if (rc == RC_OK)
        rc = append_quantisers(&stitch->first, out, err);
    if (rc == RC_OK)
        rc = append_frame(stitch, out, err);
    if (rc == RC_OK)
        rc = append_codes(stitch, out, err);
    if (rc == RC_OK && is_copy)
        rc = append_restart((uint16_t)copied_interval(stitch), out, err);
    return rc == RC_OK ? append_scan(stitch, out, err) : rc;
}

/* ---- the rest ---- */

enum rc image_jpeg_stitch_row(struct image_jpeg_stitch *stitch, const struct image_jpeg_tile *tiles,
                              struct bytes *out, struct err *err)
{
    enum rc rc = image_jpeg_stitch_is_copy(stitch) ? image_jpeg_copy_row(stitch, tiles, out, err)
                                                   : image_jpeg_recode_row(stitch, tiles, out, err);
    stitch->next_row++;
    return rc;
}

enum rc image_jpeg_stitch_end(struct image_jpeg_stitch *stitch, struct bytes *out, struct err *err)
{
    static const uint8_t end[2] = {0xff, IMAGE_JPEG_EOI};
    enum rc rc = image_jpeg_stitch_is_copy(stitch) ? RC_OK : image_jpeg_recode_end(stitch, out, err);
    return rc == RC_OK ? bytes_append(out, end, sizeof end, err) : rc;
}
