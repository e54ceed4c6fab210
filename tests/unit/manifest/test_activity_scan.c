/* What is told of files that are written while the scanner looks. */
#include "worker/manifest/activity_scan.h"

#include "base/settings.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

struct place {
    char home[64];
    struct origin *origin;
    struct activity_log *log;
    time_t begun_s; /* of the look under way */
    bool writes;    /* the next pause writes late.png into both folders */
};

/* A file of that age; a negative one lies in the future. */
static void put(const struct place *place, const char *name, int age_s)
{
    char path[128];
    snprintf(path, sizeof path, "%s/root/%s", place->home, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    const struct timespec when = {.tv_sec = time(NULL) - age_s};
    assert_int_equal(futimens(fd, (struct timespec[]){when, when}), 0);
    assert_int_equal(close(fd), 0);
}

static int setup(void **state)
{
    struct place *place = calloc(1, sizeof *place);
    struct settings settings;
    struct err err;
    char path[96];
    strcpy(place->home, "/tmp/vitrine-scan-XXXXXX");
    assert_non_null(mkdtemp(place->home));
    static const char *const folder[] = {"root", "root/a", "root/b"};
    for (size_t i = 0; i < sizeof folder / sizeof folder[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", place->home, folder[i]);
        assert_int_equal(mkdir(path, 0755), 0);
    }
    put(place, "a/1.png", 100);
    put(place, "b/1.png", 100);
    snprintf(path, sizeof path, "%s/root", place->home);
    assert_int_equal(settings_init(&settings, &err), RC_OK);
    assert_int_equal(settings_set(&settings, settings_find("images"), path, &err), RC_OK);
    assert_int_equal(origin_open(&settings, -1, &place->origin, &err), RC_OK);
    settings_done(&settings);
    snprintf(path, sizeof path, "%s/log", place->home);
    assert_int_equal(activity_log_open(path, 1000, &place->log, &err), RC_OK);
    *state = place;
    return 0;
}

static int teardown(void **state)
{
    struct place *place = *state;
    char command[96];
    activity_log_close(&place->log);
    origin_close(&place->origin);
    snprintf(command, sizeof command, "rm -r %s", place->home);
    int status = system(command);
    free(place);
    return status;
}

static bool everything(void *context, const char *path)
{
    (void)context;
    (void)path;
    return true;
}

static bool never(void *context)
{
    (void)context;
    return false;
}

/* Between two pictures: of the two folders, one is listed and the other is not yet. */
static void meanwhile(void *context)
{
    struct place *place = context;
    if (!place->writes)
        return;
    place->writes = false;
    while (time(NULL) == place->begun_s)
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    put(place, "a/late.png", 0);
    put(place, "b/late.png", 0);
}

static size_t look(struct place *place)
{
    const struct activity_scan_source source = {.origin = place->origin,
                                                .is_public = everything,
                                                .stops = never,
                                                .pause = meanwhile,
                                                .context = place};
    struct activity_scan_result result;
    struct err err;
    place->begun_s = time(NULL);
    assert_int_equal(activity_scan(&source, place->log, &result, &err), RC_OK);
    assert_true(result.is_whole);
    return result.change_count;
}

static void test_what_is_written_during_a_look_waits(void **state)
{
    struct place *place = *state;
    assert_int_equal(look(place), 5); /* two pictures, two folders, the root */
    place->writes = true;
    assert_int_equal(look(place), 0);
    assert_int_equal(look(place), 0);
    put(place, "a/late.png", 10);
    put(place, "b/late.png", 10);
    assert_int_equal(look(place), 4); /* two pictures, two folders */
}

static void test_what_is_dated_in_the_future_does_not_wait_for_it(void **state)
{
    struct place *place = *state;
    assert_int_equal(look(place), 5);
    put(place, "a/future.png", -1000);
    assert_int_equal(look(place), 2);
    assert_int_equal(look(place), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_is_written_during_a_look_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_dated_in_the_future_does_not_wait_for_it, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
