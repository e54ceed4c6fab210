/* What stands before a scan, segment by segment; broken segments are told, whatever comes behind. */
#include "worker/image/jpeg_head.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* 4:2:0, 48 x 32 px, tables 0 and 1, an interval of 3 MCUs; the tables' contents do not matter here. */
static size_t make(uint8_t *to)
{
    static const uint8_t frame[] = {0xff, 0xc0, 0, 17, 8,    0, 32, 0,    48, 3,
                                    1,    0x22, 0, 2,  0x11, 1, 3,  0x11, 1};
    static const uint8_t restart[] = {0xff, 0xdd, 0, 4, 0, 3};
    static const uint8_t scan[] = {0xff, 0xda, 0, 12, 3, 1, 0x00, 2, 0x11, 3, 0x11, 0, 63, 0, 0x55};
    static const uint8_t adobe[] = {0xff, 0xee, 0, 14, 'A', 'd', 'o', 'b', 'e', 0, 100, 0, 0, 0, 0, 1};
    uint8_t *at = to;
    *at++ = 0xff;
    *at++ = 0xd8;
    memcpy(at, adobe, sizeof adobe);
    at += sizeof adobe;
    memcpy(at, frame, sizeof frame);
    at += sizeof frame;
    memcpy(at, restart, sizeof restart);
    at += sizeof restart;
    memcpy(at, scan, sizeof scan);
    return (size_t)(at - to) + sizeof scan;
}

/* One DQT segment with two tables, one DHT segment with one: codes of 1 and 2 bits. */
static const uint8_t tables_bytes[] = {
    0xff, 0xd8, 0xff, 0xdb, 0,    132, 0, [7 ... 70] = 16,   [71] = 1, [72 ... 135] = 17,
    0xff, 0xc4, 0,    21,   0x10, 1,   1, [143 ... 156] = 0, 0x01,     0x02,
    0xff, 0xd9};

static struct bytes tables_of(void)
{
    struct bytes tables = {0};
    assert_int_equal(bytes_append(&tables, tables_bytes, sizeof tables_bytes, NULL), RC_OK);
    return tables;
}

static void test_everything_is_found(void **state)
{
    (void)state;
    struct bytes tables = tables_of();
    uint8_t stream[256];
    size_t length = make(stream);
    struct image_jpeg_head head;
    struct err err = {0};
    if (image_jpeg_head_read(&tables, stream, length, &head, &err) != RC_OK)
        fail_msg("%s", err.message);
    assert_int_equal(head.size.width_px, 48);
    assert_int_equal(head.size.height_px, 32);
    assert_int_equal(head.process, 0);
    assert_int_equal(head.components, 3);
    assert_int_equal(head.component[0].across, 2);
    assert_int_equal(head.component[2].huffman[IMAGE_JPEG_AC], 1);
    assert_int_equal(head.restart_mcus, 3);
    assert_true(head.scan_is_whole && head.has_adobe && !head.has_jfif && head.adobe_transform == 1);
    assert_int_equal(stream[head.scan_at], 0x55);
    assert_int_equal(head.quantiser[0].length_bytes, 64);
    assert_int_equal(head.quantiser[1].data[0], 17);
    assert_int_equal(head.huffman[IMAGE_JPEG_AC][0].length_bytes, 18);
    assert_null(head.huffman[IMAGE_JPEG_DC][0].data);
    assert_int_equal(image_jpeg_head_mcu(&head).width_px, 16);
    assert_int_equal(image_jpeg_head_mcu(&head).height_px, 16);
    head.components = 1;
    assert_int_equal(image_jpeg_head_mcu(&head).width_px, 8); /* a lone component's MCU is a block */
    bytes_done(&tables);
}

static void expect(const struct bytes *tables, const uint8_t *stream, size_t length, const char *sentence)
{
    struct image_jpeg_head head;
    struct err err = {0};
    assert_int_equal(image_jpeg_head_read(tables, stream, length, &head, &err), RC_UNSUPPORTED);
    if (strstr(err.message, sentence) == NULL)
        fail_msg("%s instead of %s", err.message, sentence);
}

static void test_what_is_broken(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        uint8_t value;
        const char *sentence;
    } rows[] = {
        {0, 0, "does not begin"}, {19, 0xe5, "no frame header"}, {27, 5, "frame header"},
        {27, 0, "frame header"},  {29, 0x02, "frame header"},    {29, 0x25, "frame header"},
        {30, 4, "frame header"},  {40, 3, "restart interval"},   {44, 0xe0, "no scan"},
        {46, 11, "scan header"},  {47, 4, "scan header"},
    };
    struct bytes tables = tables_of();
    uint8_t stream[256];
    size_t length = make(stream);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        make(stream);
        stream[rows[i].at] = rows[i].value;
        expect(&tables, stream, length, rows[i].sentence);
    }
    make(stream);
    tables.data[5]--; /* the first table no longer fits */
    expect(&tables, stream, length, "");
    tables.data[5]++;
    tables.length--;
    expect(&tables, stream, length, "not a stream of tables");
    tables.length++;
    for (size_t cut = 0; cut + 1 < length; cut++)
        expect(&tables, stream, cut, "");
    bytes_done(&tables);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_is_found),
        cmocka_unit_test(test_what_is_broken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
