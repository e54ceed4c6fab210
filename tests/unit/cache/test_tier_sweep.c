/* Room in the lower tier: what goes and what stays, of real files, and when it is time. */
#include "cache/tier_room.h"
#include "cache/tier_sweep.h"

#include "base/own.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <cmocka.h>

#define KIB UINT64_C(1024)

static char home[64];
static int folder;
static uint32_t allowed; /* files that may be looked at yet */

static int make_home(void **state)
{
    (void)state;
    strcpy(home, "/tmp/vitrine-sweep-XXXXXX");
    allowed = 1000000;
    if (mkdtemp(home) == NULL)
        return -1;
    folder = open(home, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return folder >= 0 ? 0 : -1;
}

static int remove_home(void **state)
{
    (void)state;
    char command[96];
    close(folder);
    snprintf(command, sizeof command, "rm -r %s", home);
    return system(command);
}

static bool goes_on(void *context)
{
    (void)context;
    return allowed > 0 && allowed-- > 0;
}

static void make(const char *name, uint64_t bytes, int64_t written_ago_s, int64_t had_ago_s)
{
    char parent[32];
    time_t now = time(NULL);
    const struct timespec times[2] = {{.tv_sec = now - had_ago_s}, {.tv_sec = now - written_ago_s}};
    snprintf(parent, sizeof parent, "%.*s", (int)(strchr(name, '/') - name), name);
    mkdirat(folder, parent, 0755);
    OWN_FD int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL, 0644);
    assert_true(fd >= 0 && ftruncate(fd, (off_t)bytes) == 0 && futimens(fd, times) == 0);
}

/* The entry of that number, whose folder is one of two. */
static void name_entry(unsigned number, char ret_name[64])
{
    const char *parent = number % 2 == 0 ? "0a" : "fe";
    snprintf(ret_name, 64, "%s/%s000000-%032x", parent, parent, number);
}

static void make_entry(unsigned number, uint64_t bytes, int64_t written_ago_s, int64_t had_ago_s)
{
    char name[64];
    name_entry(number, name);
    make(name, bytes, written_ago_s, had_ago_s);
}

static bool is_there(const char *name)
{
    return faccessat(folder, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool has(unsigned number)
{
    char name[64];
    name_entry(number, name);
    return is_there(name);
}

static struct tier_swept sweep(uint64_t most_bytes, uint64_t down_to_bytes, bool is_full)
{
    const struct tier_sweep order = {
        .most_bytes = most_bytes, .down_to_bytes = down_to_bytes, .is_full = is_full, .goes_on = goes_on};
    struct tier_swept swept = {0};
    assert_int_equal(tier_sweep(folder, &order, &swept, NULL), RC_OK);
    return swept;
}

static void test_nothing_goes_where_there_is_room(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 10; i++)
        make_entry(i, 5000, 1000 * i, 1000 * i);
    struct tier_swept swept = sweep(80 * KIB, 40 * KIB, false);
    assert_int_equal(swept.bytes, 80 * KIB); /* whole blocks */
    assert_int_equal(swept.removed, 0);
    assert_true(has(9));
}

static void test_what_was_had_longest_ago_goes(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 20; i++) /* an hour, two ... ago; every fifth was asked for a minute ago */
        make_entry(i, 8 * KIB, 3600 * (i + 1), i % 5 == 0 ? 60 : 3600 * (i + 1));
    struct tier_swept swept = sweep(159 * KIB, 80 * KIB, false);
    assert_int_equal(swept.bytes, 80 * KIB);
    assert_int_equal(swept.removed, 10);
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(has(i), i % 5 == 0 || i < 8); /* 0 to 7, and 10 and 15 */
}

static void test_of_the_same_age_no_more_goes_than_must(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 32; i++)
        make_entry(i, 4 * KIB, 100000, 100000);
    struct tier_swept swept = sweep(100 * KIB, 96 * KIB, false);
    assert_int_equal(swept.bytes, 96 * KIB);
    assert_int_equal(swept.removed, 8);
}

static void test_a_full_disk_gives_an_eighth(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 16; i++)
        make_entry(i, 4 * KIB, 1000 * i, 1000 * i);
    assert_int_equal(sweep(UINT64_MAX, UINT64_MAX, true).removed, 2);
    assert_false(has(15) || has(14));
    assert_int_equal(sweep(40 * KIB, 20 * KIB, true).bytes, 20 * KIB);
}

static void test_others_files_stay(void **state)
{
    (void)state;
    const char *theirs[] = {"0a/notes.txt",
                            "0a/0a000000-0000000000000000000000000000000g",
                            "0a/fe000000-00000000000000000000000000000001", /* in another's folder */
                            "purges/0000000000000001-a-0000000000000000",
                            "photographs/0a000000-00000000000000000000000000000001",
                            "0a/.new-0000000000000001-9"}; /* somebody is writing it */
    for (unsigned i = 0; i < sizeof theirs / sizeof *theirs; i++)
        make(theirs[i], 100 * KIB, i == 5 ? 60 : 9000000, 9000000);
    make("0a/.new-0000000000000001-a", 100 * KIB, 9000000, 9000000);
    make_entry(2, 4 * KIB, 10, 10);
    struct tier_swept swept = sweep(1, 0, false);
    assert_int_equal(swept.bytes, 0);
    assert_int_equal(swept.removed, 1);
    for (unsigned i = 0; i < sizeof theirs / sizeof *theirs; i++)
        assert_true(is_there(theirs[i]));
    assert_false(is_there("0a/.new-0000000000000001-a"));
}

static void test_it_can_be_ended(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 8; i++)
        make_entry(i, 4 * KIB, 1000, 1000);
    const struct tier_sweep order = {.most_bytes = 1, .goes_on = goes_on};
    struct tier_swept swept;
    allowed = 11; /* in the middle of the second time */
    assert_int_equal(tier_sweep(folder, &order, &swept, NULL), RC_CANCELLED);
    unsigned left = 0;
    for (unsigned i = 0; i < 8; i++)
        left += has(i);
    assert_int_equal(left, 5);
}

static void test_when_it_is_time(void **state)
{
    (void)state;
    const uint64_t now = UINT64_C(1790000000000);
    const struct tier_room never = {.is_swept = true}, lately = {now - 20000, 2800, true},
                           empty = {now - 20000, 0, true}, begun = {now - 20000, 0, false};
    const struct {
        const struct tier_room *room;
        struct tier_room_view view;
        bool is_due;
    } cases[] = {
        {&never, {now, now - 99999, 3200, 0, false}, true},
        {&lately, {now, now - 99999, 3200, 100, false}, false}, /* a thirty-second since */
        {&lately, {now, now - 99999, 3200, 101, false}, true},
        {&empty,
         {now, now - 99999, 3200, 2900, false},
         false}, /* a thirty-second below seven eighths and two */
        {&empty, {now, now - 99999, 3200, 2901, false}, true},
        {&empty, {now + 3600000, now - 99999, 3200, 0, false}, true},
        {&empty, {now - 3600000, now - 9999999, 3200, 0, false}, true}, /* somebody's clock is wrong */
        {&empty, {now, now - 19999, 3200, 0, false}, true},             /* before this server began */
        {&empty, {now, now - 99999, 3200, 0, true}, true},
        {&empty, {now - 15000, now - 99999, 3200, 0, true}, false},
        {&begun, {now, now - 19999, 3200, 5000, true}, false},
        {&begun, {now + 600000, now - 99999, 3200, 0, false}, true},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++)
        if (tier_room_is_due(cases[i].room, &cases[i].view) != cases[i].is_due)
            fail_msg("case %u", i);
}

static void test_the_line(void **state)
{
    (void)state;
    const struct tier_room room = {UINT64_C(1790000000123), UINT64_C(123456789012), true};
    struct tier_room again;
    char line[TIER_ROOM_LINE_BYTES];
    tier_room_write(&room, line);
    assert_true(tier_room_read(line, strlen(line), &again));
    assert_true(again.at_ms == room.at_ms && again.bytes == room.bytes && again.is_swept);
    assert_false(tier_room_read(line, strlen(line) - 1, &again));
    assert_false(tier_room_read("", 0, &again));
    line[3] = ' ';
    assert_false(tier_room_read(line, strlen(line), &again));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_nothing_goes_where_there_is_room, make_home, remove_home),
        cmocka_unit_test_setup_teardown(test_what_was_had_longest_ago_goes, make_home, remove_home),
        cmocka_unit_test_setup_teardown(test_of_the_same_age_no_more_goes_than_must, make_home, remove_home),
        cmocka_unit_test_setup_teardown(test_a_full_disk_gives_an_eighth, make_home, remove_home),
        cmocka_unit_test_setup_teardown(test_others_files_stay, make_home, remove_home),
        cmocka_unit_test_setup_teardown(test_it_can_be_ended, make_home, remove_home),
        cmocka_unit_test(test_when_it_is_time),
        cmocka_unit_test(test_the_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
