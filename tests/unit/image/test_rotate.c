#include "tests/unit/image/planes.h"

#include "worker/image/rotate.h"

static struct image_symmetry symmetry_number(uint8_t i)
{
    return (struct image_symmetry){i >= 4, i % 4};
}

/* A picture so plain that it cannot be wrong: mirror and turn, one pixel after the other. */
struct tiny {
    uint32_t w, h;
    int at[40][40]; /* [y][x] */
};

static struct tiny tiny_turned(const struct tiny *from, struct image_symmetry symmetry)
{
    static struct tiny now, next;
    now = *from;
    if (symmetry.mirror) {
        for (uint32_t y = 0; y < now.h; y++)
            for (uint32_t x = 0; x < now.w; x++)
                next.at[y][x] = now.at[y][now.w - 1 - x];
        memcpy(now.at, next.at, sizeof now.at);
    }
    for (int turn = 0; turn < symmetry.quarter_turns; turn++) {
        /* clockwise: what was the left column, read upwards, is the top row */
        next.w = now.h;
        next.h = now.w;
        for (uint32_t y = 0; y < next.h; y++)
            for (uint32_t x = 0; x < next.w; x++)
                next.at[y][x] = now.at[now.h - 1 - x][y];
        now = next;
    }
    return now;
}

static struct tiny tiny_numbered(uint32_t w, uint32_t h)
{
    static struct tiny t;
    t.w = w;
    t.h = h;
    for (uint32_t y = 0; y < h; y++)
        for (uint32_t x = 0; x < w; x++)
            t.at[y][x] = (int)(y * w + x);
    return t;
}

static bool tiny_equal(const struct tiny *a, const struct tiny *b)
{
    if (a->w != b->w || a->h != b->h)
        return false;
    for (uint32_t y = 0; y < a->h; y++)
        if (memcmp(a->at[y], b->at[y], a->w * sizeof(int)) != 0)
            return false;
    return true;
}

static void test_composition(void **state)
{
    (void)state;
    static struct tiny from, one, two, both;
    from = tiny_numbered(5, 3);
    for (uint8_t i = 0; i < 8; i++)
        for (uint8_t j = 0; j < 8; j++) {
            one = tiny_turned(&from, symmetry_number(i));
            two = tiny_turned(&one, symmetry_number(j));
            both = tiny_turned(&from, image_symmetry_then(symmetry_number(i), symmetry_number(j)));
            assert_true(tiny_equal(&two, &both));
        }
}

/* TIFF 6.0, tag 274: what the stored first row and first column are in the upright picture. */
static void test_orientations(void **state)
{
    static const struct {
        char row, column; /* t(op) b(ottom) l(eft) r(ight) */
    } meaning[9] = {{0, 0},     {'t', 'l'}, {'t', 'r'}, {'b', 'r'}, {'b', 'l'},
                    {'l', 't'}, {'r', 't'}, {'r', 'b'}, {'l', 'b'}};
    (void)state;
    for (uint8_t o = 1; o <= 8; o++) {
        struct tiny from = tiny_numbered(4, 3), up = tiny_turned(&from, image_symmetry_of_orientation(o));
        /* the stored corner (first row, first column) lies in the upright corner that both sides name */
        bool bottom = meaning[o].row == 'b' || meaning[o].column == 'b',
             right = meaning[o].row == 'r' || meaning[o].column == 'r';
        assert_int_equal(up.at[bottom ? up.h - 1 : 0][right ? up.w - 1 : 0], 0);
        assert_int_equal(up.w == 3, meaning[o].row == 'l' || meaning[o].row == 'r');
        assert_int_equal(image_orientation_swaps(o), up.w == 3);
        struct image_size size = image_symmetry_size(image_symmetry_of_orientation(o),
                                                     (struct image_size){4, 3});
        assert_true(size.width_px == up.w && size.height_px == up.h);
    }
}

/* Turns `from` plane by plane with the reference. */
static void check_planes(const struct planes *from, const struct planes *to, struct image_symmetry symmetry)
{
    static struct tiny in, out;
    for (uint32_t i = 0; i < image_format_planes(&from->format); i++) {
        in.w = plane_width(from, i);
        in.h = plane_height(from, i);
        for (uint32_t y = 0; y < in.h; y++)
            for (uint32_t x = 0; x < in.w; x++)
                in.at[y][x] = (int)sample(from, i, x, y);
        out = tiny_turned(&in, symmetry);
        assert_true(out.w == plane_width(to, i) && out.h == plane_height(to, i));
        for (uint32_t y = 0; y < out.h; y++)
            for (uint32_t x = 0; x < out.w; x++)
                assert_int_equal(sample(to, i, x, y), out.at[y][x]);
    }
}

static void test_pixels_of_every_symmetry(void **state)
{
    static const uint32_t sizes[][2] = {{1, 1}, {8, 8}, {16, 24}, {37, 22}, {9, 40}, {40, 7}};
    const struct image_format formats[] = {FORMAT_GRAY, FORMAT_RGB_ALPHA, FORMAT_YCC(1, 1), FORMAT_YCC(1, 0),
                                           FORMAT_YCC(0, 1)};
    (void)state;
    for (uint8_t s = 0; s < 8; s++)
        for (size_t f = 0; f < sizeof formats / sizeof *formats; f++)
            for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
                for (uint32_t band = 2; band <= 40; band = band * 3 + 2) {
                    struct image_symmetry symmetry = symmetry_number(s);
                    struct image_size size = {sizes[i][0], sizes[i][1]},
                                      after = image_symmetry_size(symmetry, size);
                    struct image_format format = image_symmetry_format(symmetry, size, &formats[f]);
                    struct planes to = planes_new(format, after.width_px, after.height_px);
                    struct image_sink *sink = NULL;
                    assert_int_equal(image_rotate_by_symmetry(symmetry, size, planes_sink(&to), &sink, NULL),
                                     RC_OK);
                    struct planes from = planes_new(sink->format, size.width_px, size.height_px);
                    planes_fill(&from, s);
                    assert_int_equal(planes_write(&from, sink, band, NULL), RC_OK);
                    check_planes(&from, &to, symmetry);
                    planes_free(&from);
                    planes_free(&to);
                }
}

static void test_identity_is_no_step(void **state)
{
    (void)state;
    struct planes to = planes_new(FORMAT_GRAY, 3, 3);
    struct image_sink *next = planes_sink(&to), *sink = NULL;
    assert_int_equal(image_rotate_by_symmetry((struct image_symmetry){false, 0}, to.size, next, &sink, NULL),
                     RC_OK);
    assert_ptr_equal(sink, next);
    image_sink_close(&sink);
    planes_free(&to);
}

/* A chroma sample of an odd row must not change the pixels it stands for. */
static void test_odd_rows_turn_around_only_without_subsampling(void **state)
{
    const struct image_format f420 = FORMAT_YCC(1, 1), f422 = FORMAT_YCC(1, 0);
    (void)state;
    assert_int_equal(image_symmetry_format(symmetry_number(4), (struct image_size){7, 8}, &f420).sub_x_log2,
                     0);
    assert_int_equal(image_symmetry_format(symmetry_number(4), (struct image_size){8, 7}, &f420).sub_x_log2,
                     1);
    assert_int_equal(image_symmetry_format(symmetry_number(2), (struct image_size){8, 7}, &f420).sub_y_log2,
                     0);
    assert_int_equal(image_symmetry_format(symmetry_number(1), (struct image_size){7, 8}, &f420).sub_x_log2,
                     1);
    assert_int_equal(image_symmetry_format(symmetry_number(1), (struct image_size){8, 7}, &f420).sub_x_log2,
                     0);
    assert_int_equal(image_symmetry_format(symmetry_number(7), (struct image_size){7, 7}, &f420).sub_x_log2,
                     1); /* transposed */
    assert_int_equal(image_symmetry_format(symmetry_number(2), (struct image_size){8, 7}, &f422).sub_x_log2,
                     1);
    assert_int_equal(image_symmetry_format(symmetry_number(3), (struct image_size){7, 8}, &f422).sub_x_log2,
                     1);
    assert_int_equal(image_symmetry_format(symmetry_number(1), (struct image_size){8, 7}, &f422).sub_x_log2,
                     0);
}

static void test_canvas(void **state)
{
    static const struct {
        double degrees;
        uint32_t width, height;
    } cases[] = {{0, 300, 200},  {90, 300, 200}, {180, 300, 200}, {270, 300, 200}, {360, 300, 200},
                 {45, 354, 354}, {30, 360, 324}, {330, 360, 324}, {0.01, 301, 201}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct image_size size = image_rotate_canvas((struct image_size){300, 200}, cases[i].degrees);
        bool swap = cases[i].degrees == 90 || cases[i].degrees == 270;
        assert_int_equal(size.width_px, swap ? cases[i].height : cases[i].width);
        assert_int_equal(size.height_px, swap ? cases[i].width : cases[i].height);
    }
}

static struct planes turned(const struct planes *from, double degrees, struct image_format format)
{
    struct image_size canvas = image_rotate_canvas(from->size, degrees);
    struct planes to = planes_new(format, canvas.width_px, canvas.height_px);
    struct image_sink *sink = NULL;
    assert_int_equal(
        image_rotate_by_degrees(degrees, from->size, &from->format, planes_sink(&to), &sink, NULL), RC_OK);
    assert_int_equal(planes_write(from, sink, 7, NULL), RC_OK);
    return to;
}

static void test_quarter_by_degrees_is_the_symmetry(void **state)
{
    (void)state;
    struct planes from = planes_new(FORMAT_RGB, 37, 22);
    planes_fill(&from, 5);
    for (uint8_t quarter = 0; quarter < 4; quarter++) {
        struct planes to = turned(&from, quarter * 90.0, FORMAT_RGB);
        check_planes(&from, &to, (struct image_symmetry){false, quarter});
        planes_free(&to);
    }
    planes_free(&from);
}

static void test_corners_and_middle(void **state)
{
    (void)state;
    struct planes from = planes_new(FORMAT_RGB, 60, 40);
    for (uint32_t y = 0; y < 40; y++)
        for (uint32_t x = 0; x < 60; x++) {
            set_sample(&from, 0, x, y, 90);
            set_sample(&from, 1, x, y, x < 30 ? 10 : 200);
            set_sample(&from, 2, x, y, y < 20 ? 10 : 200);
        }
    struct planes clear = turned(&from, 30, FORMAT_RGB_ALPHA), white = turned(&from, 30, FORMAT_RGB);
    uint32_t w = clear.size.width_px, h = clear.size.height_px;
    double area = 0;
    for (uint32_t y = 0; y < h; y++)
        for (uint32_t x = 0; x < w; x++) {
            uint32_t alpha = sample(&clear, 3, x, y);
            area += alpha / 255.0;
            if (alpha > 0) /* the rim fades, its colour does not change */
                assert_in_range(sample(&clear, 0, x, y), 89, 91);
            assert_in_range(sample(&white, 0, x, y) + 1, 255 - alpha * (255 - 90) / 255,
                            257 - alpha * (255 - 90) / 255);
        }
    assert_true(area > 2399 && area < 2401);
    assert_int_equal(sample(&clear, 3, 0, 0), 0);
    assert_int_equal(sample(&white, 0, w - 1, h - 1), 255);
    assert_int_equal(sample(&clear, 3, w / 2, h / 2), 255);
    /* clockwise: what was right of the middle is now below it on the right, what was above is on the right
     * too */
    assert_int_equal(sample(&clear, 1, w / 2 + 17, h / 2 + 10), 200);
    assert_int_equal(sample(&clear, 1, w / 2 - 17, h / 2 - 10), 10);
    assert_int_equal(sample(&clear, 2, w / 2 + 6, h / 2 - 10), 10);
    assert_int_equal(sample(&clear, 2, w / 2 - 6, h / 2 + 10), 200);
    planes_free(&clear);
    planes_free(&white);
    planes_free(&from);
}

/* Every angle and the narrowest pictures: nothing is read outside (AddressSanitizer looks on), alpha keeps
 * its weight. */
static void test_any_angle(void **state)
{
    static const uint32_t sizes[][2] = {{1, 1}, {1, 50}, {50, 1}, {2, 3}, {31, 17}};
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (double degrees = 0.25; degrees < 360; degrees += 7.3) {
            struct planes from = planes_new(FORMAT_GRAY_ALPHA, sizes[i][0], sizes[i][1]);
            for (uint32_t y = 0; y < sizes[i][1]; y++)
                for (uint32_t x = 0; x < sizes[i][0]; x++) {
                    set_sample(&from, 0, x, y, (x + y) % 2 ? 255 : 40);
                    set_sample(&from, 1, x, y, (x + y) % 2 ? 0 : 255);
                }
            struct planes to = turned(&from, degrees, FORMAT_GRAY_ALPHA);
            for (uint32_t y = 0; y < to.size.height_px; y++)
                for (uint32_t x = 0; x < to.size.width_px; x++)
                    assert_true(sample(&to, 0, x, y) == 40 || sample(&to, 1, x, y) == 0);
            planes_free(&to);
            planes_free(&from);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_composition),
        cmocka_unit_test(test_orientations),
        cmocka_unit_test(test_pixels_of_every_symmetry),
        cmocka_unit_test(test_identity_is_no_step),
        cmocka_unit_test(test_odd_rows_turn_around_only_without_subsampling),
        cmocka_unit_test(test_canvas),
        cmocka_unit_test(test_quarter_by_degrees_is_the_symmetry),
        cmocka_unit_test(test_corners_and_middle),
        cmocka_unit_test(test_any_angle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
