/* Sources out of their records: every kind that can be opened comes back with the same shape, the same metadata and the
 * same pixels; records that were tampered with do not come back at all, or do no harm. The files are the fuzzers'
 * corpus: each kind of source once, small. */
#include "worker/image/source_record.h"

#include "base/own.h"
#include "read_source.h"

#include <dirent.h>
#include <fcntl.h>

#define CORPUS "tests/fuzz/corpus/source"

/* ---- a library ---- */

static struct {
    uint64_t id;
    struct bytes bytes;
} book[256];
static unsigned book_count;

static uint64_t book_id(const uint8_t *data, size_t length)
{
    return bytes_hash(BYTES_HASH_START, data, length);
}

static bool load_book(void *context, uint64_t id, struct bytes *out)
{
    (void)context;
    for (unsigned i = 0; i < book_count; i++)
        if (book[i].id == id)
            return bytes_append(out, book[i].bytes.data, book[i].bytes.length, NULL) == RC_OK;
    return false;
}

static const struct image_record_library library = {.id = book_id, .load = load_book};

static void keep_parts(const struct image_record *record)
{
    for (uint32_t i = 0; i < record->part_count; i++) {
        struct bytes known = {0};
        if (load_book(NULL, record->part[i].id, &known)) {
            bytes_done(&known);
            continue;
        }
        assert_true(book_count < 256);
        book[book_count].id = record->part[i].id;
        assert_int_equal(
            bytes_append(&book[book_count].bytes, record->part[i].data, record->part[i].length, NULL), RC_OK);
        book_count++;
    }
}

static int forget_books(void **state)
{
    (void)state;
    while (book_count > 0)
        bytes_done(&book[--book_count].bytes);
    return 0;
}

/* ---- there and back ---- */

static struct image_record describe(const struct image_source *source)
{
    struct image_record record = {.rc = RC_OK};
    struct err err;
    if (image_source_describe(source, &library, &record, &err) != RC_OK)
        fail_msg("%s", err.message);
    keep_parts(&record);
    return record;
}

static enum rc try_restore(const struct bytes *record, int fd, struct image_source **ret_source,
                           struct err *err)
{
    struct image_blob *blob = NULL;
    assert_int_equal(image_blob_from_file(dup(fd), &blob, err), RC_OK);
    return image_source_restore(record, &library, blob, &roomy, ret_source, err);
}

static void assert_same_bytes(const struct bytes *a, const struct bytes *b)
{
    assert_int_equal(a->length, b->length);
    if (a->length > 0)
        assert_memory_equal(a->data, b->data, a->length);
}

static void assert_same_pixels(struct image_source *one, struct image_source *other)
{
    for (uint32_t level = 0; level < one->pyramid.level_count; level++)
        for (uint32_t shrink = 0; shrink <= (one->shrinks ? 3u : 0u); shrink += 2) {
            struct picture a = read_level(one, level, shrink), b = read_level(other, level, shrink);
            assert_memory_equal(&a.format, &b.format, sizeof a.format);
            for (unsigned p = 0; p < image_format_planes(&a.format); p++)
                assert_memory_equal(a.plane[p], b.plane[p],
                                    a.stride_bytes[p] * image_plane_height(&a.format, p, a.size.height_px));
            picture_done(&a);
            picture_done(&b);
        }
}

static void assert_same_tile(struct image_source *one, struct image_source *other, uint32_t level)
{
    struct image_stored_tile a = {0}, b = {0};
    enum rc rc = image_source_stored_tile(one, level, 0, 0, true, &a, NULL);
    assert_int_equal(image_source_stored_tile(other, level, 0, 0, true, &b, NULL), rc);
    assert_int_equal(a.offset, b.offset);
    assert_int_equal(a.length_bytes, b.length_bytes);
    if (rc == RC_OK)
        assert_same_bytes(a.tables, b.tables);
}

static void assert_same_source(struct image_source *one, struct image_source *other)
{
    const struct image_metadata *a = NULL, *b = NULL;
    assert_memory_equal(&one->pyramid, &other->pyramid, sizeof one->pyramid);
    assert_memory_equal(&one->format, &other->format, sizeof one->format);
    assert_int_equal(one->shrinks, other->shrinks);
    assert_int_equal(one->has_metadata, other->has_metadata);
    assert_same_bytes(&one->metadata.icc, &other->metadata.icc);
    assert_int_equal(other->metadata.exif.length + other->metadata.xmp.length + other->metadata.iptc.length,
                     0);
    assert_int_equal(image_source_metadata(one, &a, NULL), RC_OK);
    assert_int_equal(image_source_metadata(other, &b, NULL), RC_OK);
    assert_same_bytes(&a->icc, &b->icc);
    assert_same_bytes(&a->exif, &b->exif);
    assert_same_bytes(&a->xmp, &b->xmp);
    assert_same_bytes(&a->iptc, &b->iptc);
    for (uint32_t level = 0; level < one->pyramid.level_count; level++)
        assert_same_tile(one, other, level);
    assert_same_pixels(one, other);
}

static void there_and_back(int fd, const char *name, uint32_t page)
{
    struct image_source *source = open_page(fd, page), *restored = NULL;
    OWN(image_record_done) struct image_record record = describe(source);
    struct image_pyramid pyramid;
    struct err err;
    assert_int_equal(image_record_pyramid(&record.bytes, &pyramid, &err), RC_OK);
    assert_memory_equal(&pyramid, &source->pyramid, sizeof pyramid);
    if (try_restore(&record.bytes, fd, &restored, &err) != RC_OK)
        fail_msg("%s: %s", name, err.message);
    assert_same_source(source, restored);
    OWN(image_record_done) struct image_record again = describe(restored);
    assert_same_bytes(&record.bytes, &again.bytes);
    image_source_close(&source);
    image_source_close(&restored);
}

static unsigned for_each_file(void (*visit)(int fd, const char *name))
{
    unsigned count = 0;
    DIR *folder = opendir(CORPUS);
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        char path[600];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, CORPUS "/%s", entry->d_name);
        OWN_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        struct image_source *source = NULL;
        struct err err;
        if (try_open(fd, 1, &roomy, &source, &err) != RC_OK)
            continue;
        image_source_close(&source);
        visit(fd, entry->d_name);
        count++;
    }
    closedir(folder);
    return count;
}

static void visit_there_and_back(int fd, const char *name)
{
    struct image_source *source = open_page(fd, 1);
    uint32_t pages = source->pyramid.page_count;
    image_source_close(&source);
    for (uint32_t page = 1; page <= pages && page <= 3; page++)
        there_and_back(fd, name, page);
}

static void test_every_kind_comes_back(void **state)
{
    (void)state;
    assert_true(for_each_file(visit_there_and_back) >= 40);
}

/* ---- damage ---- */

static void read_all_windows(struct image_source *source)
{
    for (uint32_t level = 0; level < source->pyramid.level_count; level++) {
        struct image_size size = source->pyramid.level[level].size;
        struct picture picture = {0};
        struct image_stored_tile tile;
        struct err err;
        if (image_size_area(size) > 1u << 20)
            continue;
        if (try_read(source, level, 0, (struct image_region){0, 0, size.width_px, size.height_px}, &picture,
                     &err) == RC_OK)
            picture_done(&picture);
        if (image_source_stored_tile(source, level, 0, 0, true, &tile, &err) == RC_OK)
            assert_true(tile.offset + tile.length_bytes <= source->blob->size_bytes);
    }
}

static void visit_damaged(int fd, const char *name)
{
    (void)name;
    struct image_source *source = open_page(fd, 1);
    OWN(image_record_done) struct image_record record = describe(source);
    image_source_close(&source);
    struct bytes part = record.bytes;
    struct image_source *restored = NULL;
    for (size_t length = 0; length < record.bytes.length; length++) {
        part.length = length;
        assert_int_not_equal(try_restore(&part, fd, &restored, NULL), RC_OK);
        assert_null(restored);
    }
    part.length = record.bytes.length;
    for (size_t i = 0; i < part.length; i++) {
        uint8_t was = part.data[i];
        for (unsigned change = 0; change < 3; change++) {
            part.data[i] = (uint8_t)(was ^ (change == 0 ? 1 : change == 1 ? 0x80 : 0xff));
            if (try_restore(&part, fd, &restored, NULL) == RC_OK) {
                read_all_windows(restored);
                image_source_close(&restored);
            }
        }
        part.data[i] = was;
    }
}

static void test_damaged_records_do_no_harm(void **state)
{
    (void)state;
    assert_true(for_each_file(visit_damaged) >= 40);
}

static void test_parts_that_are_gone(void **state)
{
    OWN_FD int fd = open(CORPUS "/pyramid.tif", O_RDONLY | O_CLOEXEC);
    struct image_source *source = open_page(fd, 1), *restored = NULL;
    OWN(image_record_done) struct image_record record = describe(source);
    image_source_close(&source);
    assert_true(record.part_count > 0);
    forget_books(state);
    assert_int_equal(try_restore(&record.bytes, fd, &restored, NULL), RC_CORRUPT);
}

static void test_limits_hold(void **state)
{
    (void)state;
    OWN_FD int fd = open(CORPUS "/pyramid.tif", O_RDONLY | O_CLOEXEC);
    struct image_source *source = open_page(fd, 1), *restored = NULL;
    OWN(image_record_done) struct image_record record = describe(source);
    const struct image_source_limits tight = {.max_source_pixels = 100, .max_decode_bytes = 64u << 20};
    struct image_blob *blob = NULL;
    struct err err;
    image_source_close(&source);
    assert_int_equal(image_blob_from_file(dup(fd), &blob, &err), RC_OK);
    assert_int_equal(image_source_restore(&record.bytes, &library, blob, &tight, &restored, &err),
                     RC_TOO_LARGE);
}

/* ---- the shelf ---- */

static struct bytes shelved[IMAGE_MAX_LEVELS];
static unsigned loads, stores;

static bool load_tiles(struct image_source_shelf *shelf, uint32_t level, struct bytes *out)
{
    (void)shelf;
    loads += shelved[level].length > 0;
    return shelved[level].length > 0 &&
           bytes_append(out, shelved[level].data, shelved[level].length, NULL) == RC_OK;
}

static void store_tiles(struct image_source_shelf *shelf, uint32_t level, const struct bytes *tiles)
{
    (void)shelf;
    stores++;
    shelved[level].length = 0;
    assert_int_equal(bytes_append(&shelved[level], tiles->data, tiles->length, NULL), RC_OK);
}

static void test_tile_places_go_through_the_shelf(void **state)
{
    (void)state;
    struct image_source_shelf shelf = {.load_tiles = load_tiles, .store_tiles = store_tiles};
    OWN_FD int fd = open(CORPUS "/jpeg-420.tif", O_RDONLY | O_CLOEXEC);
    struct image_source *first = open_page(fd, 1), *second = open_page(fd, 1), *third = open_page(fd, 1);
    struct image_source *plain = open_page(fd, 1);
    uint32_t levels = first->pyramid.level_count;
    first->shelf = second->shelf = third->shelf = &shelf;
    assert_same_pixels(plain, first);
    assert_int_equal(stores, levels);
    assert_int_equal(loads, 0);
    assert_same_pixels(plain, second);
    for (uint32_t level = 0; level < levels; level++)
        assert_same_tile(plain, second, level);
    assert_int_equal(stores, levels);
    assert_int_equal(loads, levels);
    for (uint32_t level = 0; level < levels; level++)
        shelved[level].data[0] ^= 0x40; /* other lengths, or too few */
    shelved[0].length--;
    struct picture picture = read_level(plain, 0, 0), other = read_level(third, 0, 0);
    assert_memory_equal(picture.plane[0], other.plane[0], picture.stride_bytes[0] * picture.size.height_px);
    picture_done(&picture);
    picture_done(&other);
    assert_int_equal(stores, levels + 1);
    for (uint32_t level = 0; level < levels; level++)
        bytes_done(&shelved[level]);
    image_source_close(&first);
    image_source_close(&second);
    image_source_close(&third);
    image_source_close(&plain);
}

static void test_packed_places(void **state)
{
    (void)state;
    enum { COUNT = 10000 };
    static struct image_record_place place[COUNT], found[COUNT];
    uint64_t at = 5000000000;
    for (unsigned i = 0; i < COUNT; i++) {
        uint32_t length = 9000 + i * 7919 % 14000;
        place[i] = i % 97 == 0 ? (struct image_record_place){0} : (struct image_record_place){at, length};
        at += length + i % 2;
    }
    OWN(bytes_done) struct bytes packed = {0};
    assert_int_equal(image_record_pack_places(place, COUNT, &packed, NULL), RC_OK);
    assert_true(packed.length <= 4 * COUNT);
    assert_true(image_record_unpack_places(&packed, at, COUNT, found));
    assert_memory_equal(place, found, sizeof place);
    assert_false(image_record_unpack_places(&packed, at - 20000, COUNT, found));
    assert_false(image_record_unpack_places(&packed, at, COUNT - 1, found));
    packed.length--;
    assert_false(image_record_unpack_places(&packed, at, COUNT, found));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_every_kind_comes_back, forget_books),
        cmocka_unit_test_teardown(test_damaged_records_do_no_harm, forget_books),
        cmocka_unit_test_teardown(test_parts_that_are_gone, forget_books),
        cmocka_unit_test_teardown(test_limits_hold, forget_books),
        cmocka_unit_test_teardown(test_tile_places_go_through_the_shelf, forget_books),
        cmocka_unit_test(test_packed_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
