/* TIFF sources: which directories are pages, and which are levels of one. */
#include "tests/unit/image/tiff_recipe.h"

static void reduced(TIFF *tiff)
{
    TIFFSetField(tiff, TIFFTAG_SUBFILETYPE, FILETYPE_REDUCEDIMAGE);
}

static void mask(TIFF *tiff)
{
    TIFFSetField(tiff, TIFFTAG_SUBFILETYPE, FILETYPE_MASK);
}

static void old_reduced(TIFF *tiff)
{
    TIFFSetField(tiff, TIFFTAG_OSUBFILETYPE, OFILETYPE_REDUCEDIMAGE);
}

static struct recipe sized(uint32_t width, uint32_t height, uint32_t tile, void (*more)(TIFF *))
{
    return (struct recipe){.width = width,
                           .height = height,
                           .tile = tile,
                           .more = more,
                           .samples = 3,
                           .photometric = PHOTOMETRIC_RGB};
}

/* Expects levels of these widths on this page of so many. */
static void check_levels(int fd, uint32_t page, uint32_t pages, const uint32_t *widths,
                         const uint32_t *factors, uint32_t count)
{
    struct image_source *source = open_page(fd, page);
    const struct image_pyramid *pyramid = &source->pyramid;
    assert_int_equal(pyramid->page_count, pages);
    assert_int_equal(pyramid->level_count, count);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(pyramid->level[i].size.width_px, widths[i]);
        assert_int_equal(pyramid->level[i].scale_factor, factors[i]);
    }
    assert_windows_are_parts(source);
    image_source_close(&source);
}

static void check_no_page(int fd, uint32_t page)
{
    struct image_source *source = NULL;
    struct err err = {0};
    assert_int_equal(try_open(fd, page, &roomy, &source, &err), RC_NOT_FOUND);
}

static void test_following_directories_are_levels(void **state)
{
    (void)state;
    const struct recipe bit[] = {sized(203, 101, 16, NULL), sized(102, 51, 16, reduced),
                                 sized(51, 26, 16, old_reduced)};
    int fd = write_pages(bit, 3);
    check_levels(fd, 1, 1, (uint32_t[]){203, 102, 51}, (uint32_t[]){1, 2, 4}, 3);
    check_no_page(fd, 2);
    check_no_page(fd, 0);
    close(fd);
    /* Without the bit the sizes tell, rounded down or up. */
    const struct recipe plain[] = {sized(203, 101, 16, NULL), sized(101, 50, 16, NULL),
                                   sized(51, 26, 16, NULL), sized(25, 12, 16, NULL)};
    fd = write_pages(plain, 4);
    check_levels(fd, 1, 1, (uint32_t[]){203, 101, 51, 25}, (uint32_t[]){1, 2, 4, 8}, 4);
    close(fd);
}

static void test_what_is_a_page(void **state)
{
    (void)state;
    struct recipe gray_half = sized(101, 50, 16, NULL);
    gray_half.samples = 1;
    gray_half.photometric = PHOTOMETRIC_MINISBLACK;
    const struct recipe file[] = {
        sized(203, 101, 16, NULL),  /* page 1 */
        sized(101, 50, 16, NULL),   /* its half */
        sized(101, 50, 16, mask),   /* a mask: nothing */
        gray_half,                  /* page 2: other samples */
        sized(203, 101, 16, NULL),  /* page 3: as large as page 1 */
        sized(203, 101, 16, NULL),  /* page 4: as large as page 3 */
        sized(50, 25, 16, reduced), /* its quarter */
        sized(99, 77, 16, NULL),    /* page 5: no power of two */
    };
    int fd = write_pages(file, 8);
    check_levels(fd, 1, 5, (uint32_t[]){203, 101}, (uint32_t[]){1, 2}, 2);
    check_levels(fd, 2, 5, (uint32_t[]){101}, (uint32_t[]){1}, 1);
    check_levels(fd, 3, 5, (uint32_t[]){203}, (uint32_t[]){1}, 1);
    check_levels(fd, 4, 5, (uint32_t[]){203, 50}, (uint32_t[]){1, 4}, 2);
    check_levels(fd, 5, 5, (uint32_t[]){99}, (uint32_t[]){1}, 1);
    check_no_page(fd, 6);
    close(fd);
}

/* A slide scanner's file: full size, thumbnail in strips, then the tiled levels. */
static void test_thumbnail_before_the_levels(void **state)
{
    (void)state;
    const struct recipe file[] = {sized(640, 400, 32, NULL), sized(77, 48, 0, NULL),
                                  sized(160, 100, 32, NULL), sized(40, 25, 32, NULL)};
    int fd = write_pages(file, 4);
    check_levels(fd, 1, 2, (uint32_t[]){640, 160, 40}, (uint32_t[]){1, 4, 16}, 3);
    check_levels(fd, 2, 2, (uint32_t[]){77}, (uint32_t[]){1}, 1);
    close(fd);
}

static void test_unfit_levels_are_dropped(void **state)
{
    (void)state;
    struct recipe deep = sized(200, 150, 16, reduced);
    deep.bits = 16;
    const struct recipe file[] = {
        sized(400, 300, 16, NULL),
        sized(100, 75, 16, reduced), /* before the larger one: must be sorted */
        sized(200, 150, 16, reduced),
        sized(199, 151, 16, reduced), /* the same factor again */
        sized(50, 60, 16, reduced),   /* another shape */
        sized(400, 300, 16, reduced), /* not smaller */
        deep,                         /* other samples */
    };
    int fd = write_pages(file, 7);
    check_levels(fd, 1, 1, (uint32_t[]){400, 200, 100}, (uint32_t[]){1, 2, 4}, 3);
    close(fd);
}

static void two_sub_directories(TIFF *tiff)
{
    const uint64_t none[2] = {0, 0};
    TIFFSetField(tiff, TIFFTAG_SUBIFD, 2, none);
}

static void test_sub_directories(void **state)
{
    (void)state;
    for (unsigned big = 0; big < 2; big++) {
        struct recipe first = sized(203, 101, 16, two_sub_directories);
        first.mode = big ? "w8b" : "w";
        const struct recipe file[] = {first, sized(101, 50, 16, reduced), sized(50, 25, 16, NULL),
                                      sized(203, 101, 16, NULL)};
        int fd = write_pages(file, 4);
        check_levels(fd, 1, 2, (uint32_t[]){203, 101, 50}, (uint32_t[]){1, 2, 4}, 3);
        check_levels(fd, 2, 2, (uint32_t[]){203}, (uint32_t[]){1}, 1);
        close(fd);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_following_directories_are_levels),
        cmocka_unit_test(test_what_is_a_page),
        cmocka_unit_test(test_thumbnail_before_the_levels),
        cmocka_unit_test(test_unfit_levels_are_dropped),
        cmocka_unit_test(test_sub_directories),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
