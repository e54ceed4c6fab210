/* What has been purged does not come back: not by a file that gets its name a moment later, not from the lower tier, not because a list was torn
 * or others' purges were joined. On real folders. */
#include "cache/janitor.h"
#include "cache/purges.h"
#include "cache/tier_place.h"
#include "cache/tier_purges.h"

#include "base/clock.h"
#include "base/own.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

/* One server, with a cache of its own. */
struct side {
    struct shm_derivatives *shared;
    struct derivatives cache;
    char home[64];
};

static struct side here, there;
static char tier_home[64];
static struct settings settings;
static struct tier_place *tier;
static struct arena *arena;
static struct err err;

/* Called once, before the next file gets its name. */
static void (*before_naming)(void);

int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    void (*hook)(void) = before_naming;
    before_naming = NULL;
    if (hook != NULL)
        hook();
    return (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, 0);
}

static void start_anew(struct side *side)
{
    const struct derivatives_limits limits = {.most_bytes = 1 << 20, .most_files = 64};
    int folder = side->cache.folder;
    shm_derivatives_free(&side->shared);
    assert_int_equal(shm_derivatives_make(64, 1 << 20, &side->shared, NULL), RC_OK);
    derivatives_init(&side->cache, side->shared, &limits);
    side->cache.folder = folder;
    assert_int_equal(purges_load(&side->cache, &err), RC_OK);
}

static void begin(struct side *side)
{
    *side = (struct side){.home = "/tmp/vitrine-purges-XXXXXX"};
    assert_non_null(mkdtemp(side->home));
    side->cache.folder = open(side->home, O_PATH | O_DIRECTORY | O_CLOEXEC);
    start_anew(side);
}

static void end(struct side *side)
{
    char command[96];
    derivatives_done(&side->cache);
    close(side->cache.folder);
    shm_derivatives_free(&side->shared);
    snprintf(command, sizeof command, "rm -r %s", side->home);
    assert_int_equal(system(command), 0);
}

static int set_up(void **state)
{
    (void)state;
    strcpy(tier_home, "/tmp/vitrine-tier-XXXXXX");
    assert_non_null(mkdtemp(tier_home));
    settings.derivative_tier = tier_home;
    settings.derivative_tier_wait_ms = 1000;
    enum rc rc;
    do {
        int answer_fd = -1;
        rc = tier_folder_open(&settings, &tier, &answer_fd, &err);
        own_close(&answer_fd);
    } while (rc == RC_LATE); /* on a busy machine */
    assert_int_equal(rc, RC_OK);
    arena = arena_new();
    before_naming = NULL;
    begin(&here);
    begin(&there);
    return 0;
}

static int tear_down(void **state)
{
    char command[96];
    (void)state;
    end(&here);
    end(&there);
    tier->ops->close(tier);
    arena_free(arena);
    snprintf(command, sizeof command, "rm -r %s", tier_home);
    return system(command);
}

static struct derivative_key key_of(const char *path)
{
    struct derivative_key key;
    assert_int_equal(derivative_key_make(&key, 1, 2, 1, path, "full/100,/0/default.jpg"), RC_OK);
    return key;
}

static uint64_t epoch_of(const struct side *side)
{
    return shm_fences_epoch(side->shared->fences);
}

static enum rc store(struct side *side, const char *path, uint64_t epoch)
{
    const struct derivative_key key = key_of(path);
    struct derivative_file file = DERIVATIVE_FILE_NONE;
    assert_int_equal(derivative_file_begin(&side->cache, &key, &file, &err), RC_OK);
    assert_int_equal(derivative_file_add(&file, &key, "pixels", 6, &err), RC_OK);
    enum rc rc = derivative_file_end(&file, &key, epoch, &err);
    derivative_file_done(&file);
    return rc;
}

static bool has(struct side *side, const char *path)
{
    const struct derivative_key key = key_of(path);
    struct derivative found = {.fd = -1};
    bool is_there = derivatives_find(&side->cache, &key, DERIVATIVES_THOROUGH, arena, &found) ==
                    DERIVATIVES_HIT;
    if (is_there && found.fd >= 0)
        close(found.fd);
    if (is_there && found.bytes.capacity > 0) /* else it lies in the arena */
        bytes_done(&found.bytes);
    return is_there;
}

static uint64_t purge(struct side *side, enum shm_purge what, const char *text)
{
    uint64_t removed, epoch;
    assert_int_equal(purges_add(&side->cache, what, text, &removed, &epoch, &err), RC_OK);
    return epoch;
}

/* ---- the cache ---- */

static void test_an_identifiers_files_go_at_once(void **state)
{
    (void)state;
    uint64_t removed, epoch;
    const struct derivative_key key = key_of("a.tif");
    char name[DERIVATIVE_NAME_BYTES];
    derivative_name(key.hash, name);
    assert_int_equal(store(&here, "a.tif", epoch_of(&here)), RC_OK);
    assert_int_equal(store(&here, "b.tif", epoch_of(&here)), RC_OK);
    assert_int_equal(shm_catalogue_files(here.shared->catalogue), 2);
    assert_int_equal(purges_add(&here.cache, SHM_PURGE_IDENTIFIER, "a.tif", &removed, &epoch, &err), RC_OK);
    assert_int_equal(removed, 1);
    assert_int_equal(faccessat(here.cache.folder, name, F_OK, 0), -1);
    assert_int_equal(shm_catalogue_files(here.shared->catalogue), 1);
    assert_true(has(&here, "b.tif"));
}

/* Two keys may have the same hash: what is found is compared with all of the key. */
static void test_an_entry_of_another_key_with_the_same_hash(void **state)
{
    (void)state;
    struct derivative_key ours = key_of("a.tif"), theirs = key_of("b.tif");
    struct derivative found = {.fd = -1};
    theirs.hash = ours.hash;
    theirs.mark = ours.mark;
    assert_true(derivatives_keep(&here.cache, &theirs, epoch_of(&here), "pixels", 6));
    assert_int_equal(derivatives_find(&here.cache, &theirs, DERIVATIVES_AGAIN, arena, &found),
                     DERIVATIVES_HIT);
    bytes_done(&found.bytes);
    assert_int_equal(derivatives_find(&here.cache, &ours, DERIVATIVES_AGAIN, arena, &found),
                     DERIVATIVES_MISS);
}

/* As the janitor does when it has been everywhere, and all servers have heard of it. */
static void purge_and_forget(void)
{
    uint64_t epoch = purge(&here, SHM_PURGE_PREFIX, "a");
    assert_true(shm_fences_take(here.shared->fences));
    shm_fences_lower(here.shared->fences, epoch);
    shm_fences_give(here.shared->fences);
    assert_int_equal(purges_shorten(&here.cache, epoch, &err), RC_OK);
}

static void test_a_file_that_gets_its_name_behind_a_purge(void **state)
{
    (void)state;
    before_naming = purge_and_forget; /* whoever names it stood still meanwhile */
    assert_int_equal(store(&here, "a.tif", epoch_of(&here)), RC_UNSUPPORTED);
    assert_false(has(&here, "a.tif"));
    assert_int_equal(store(&here, "a.tif", epoch_of(&here)), RC_OK);
    assert_true(has(&here, "a.tif"));
}

static void test_each_kind_of_purge(void **state)
{
    (void)state;
    static const struct {
        enum shm_purge what;
        const char *text;
        bool meets_a, meets_b;
    } purges[] = {{SHM_PURGE_IDENTIFIER, "f/a.tif", true, false},
                  {SHM_PURGE_PREFIX, "f/b", false, true},
                  {SHM_PURGE_PREFIX, "f/a.tif", true, false},
                  {SHM_PURGE_PREFIX, "f/a.tiff", false, false},
                  {SHM_PURGE_ALL, "", true, true}};
    for (size_t i = 0; i < sizeof purges / sizeof purges[0]; i++) {
        const struct derivative_key key = key_of("f/a.tif");
        uint64_t before = epoch_of(&here);
        assert_int_equal(store(&here, "f/a.tif", before), RC_OK);
        assert_int_equal(store(&here, "f/b.tif", before), RC_OK);
        assert_true(derivatives_keep(&here.cache, &key, before, "pixels", 6));
        assert_true(has(&here, "f/a.tif") && has(&here, "f/b.tif"));
        purge(&here, purges[i].what, purges[i].text);
        assert_int_equal(has(&here, "f/a.tif"), !purges[i].meets_a);
        assert_int_equal(has(&here, "f/b.tif"), !purges[i].meets_b);
        assert_int_equal(store(&here, "f/a.tif", before) == RC_OK, !purges[i].meets_a);
        assert_int_equal(derivatives_keep(&here.cache, &key, before, "pixels", 6), !purges[i].meets_a);
        assert_int_equal(derivatives_is_purged(&here.cache, &key, before), purges[i].meets_a);
        assert_false(derivatives_is_purged(&here.cache, &key, epoch_of(&here)));
    }
}

static void test_it_outlives_a_start(void **state)
{
    (void)state;
    assert_int_equal(store(&here, "a.tif", epoch_of(&here)), RC_OK);
    assert_int_equal(store(&here, "b.tif", epoch_of(&here)), RC_OK);
    purge(&here, SHM_PURGE_PREFIX, "a");
    start_anew(&here);
    assert_false(has(&here, "a.tif"));
    assert_true(has(&here, "b.tif"));
}

/* The disk was full in the middle of a record; what was purged behind it is lost with nothing. */
static void test_a_list_that_was_torn_and_gets_shorter(void **state)
{
    (void)state;
    assert_int_equal(store(&here, "a.tif", epoch_of(&here)), RC_OK);
    uint64_t before = purge(&here, SHM_PURGE_PREFIX, "x");
    OWN_FD int fd = openat(here.cache.folder, "purges", O_WRONLY | O_APPEND | O_CLOEXEC);
    assert_int_equal(write(fd, "torn", 4), 4);
    purge(&here, SHM_PURGE_PREFIX, "a");
    assert_int_equal(purges_shorten(&here.cache, before, &err), RC_OK);
    start_anew(&here);
    assert_false(has(&here, "a.tif"));
}

static void test_what_all_have_heard_of(void **state)
{
    (void)state;
    struct purges_settling settling = {.seen_epoch = 0};
    uint64_t ahead = UINT64_MAX / 2; /* of every clock */
    assert_int_equal(purges_settled(&settling, ahead, 1000), 0);
    assert_int_equal(purges_settled(&settling, ahead, 1000 + PURGES_SETTLE_MS - 1), 0);
    assert_int_equal(purges_settled(&settling, ahead + 1, 1000 + PURGES_SETTLE_MS), ahead);
    assert_int_equal(purges_settled(&settling, ahead + 2, 1000 + 2 * PURGES_SETTLE_MS - 1), ahead);
    assert_int_equal(purges_settled(&settling, ahead + 2, 1000 + 2 * PURGES_SETTLE_MS), ahead + 1);
    assert_int_equal(purges_settled(&settling, ahead + 2, 1000 + 3 * PURGES_SETTLE_MS), ahead + 2);
    assert_int_equal(purges_settled(&settling, ahead + 2, 1000 + 4 * PURGES_SETTLE_MS), ahead + 2);
}

static void test_what_another_server_has_purged_in_the_same_folder(void **state)
{
    (void)state;
    struct side same = {.cache.folder = here.cache.folder};
    start_anew(&same);
    uint64_t before = epoch_of(&same);
    purge(&here, SHM_PURGE_PREFIX, "a");
    assert_int_equal(store(&same, "a.tif", before), RC_UNSUPPORTED); /* of which it hears only now */
    assert_int_equal(store(&same, "a.tif", epoch_of(&same)), RC_OK);
    assert_true(has(&same, "a.tif"));
    assert_true(has(&here, "a.tif"));
    derivatives_done(&same.cache);
    shm_derivatives_free(&same.shared);
}

static void no_note(const char *sentence)
{
    print_message("%s\n", sentence);
}

static int make_file(const char *name)
{
    const struct timespec long_ago[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
    int fd = openat(here.cache.folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0 && futimens(fd, long_ago) == 0);
    return fd;
}

static bool is_there(const char *name)
{
    return faccessat(here.cache.folder, name, F_OK, 0) == 0;
}

static void test_the_janitor_clears_what_a_crash_has_left(void **state)
{
    (void)state;
    struct janitor *janitor = NULL;
    const char *unsound = "ab/0123456789abcdef0123456789abcd";
    const struct derivative_key key = key_of("a.tif");
    assert_int_equal(store(&here, "a.tif", epoch_of(&here)), RC_OK);
    start_anew(&here);
    assert_int_equal(mkdirat(here.cache.folder, "ab", 0700), 0);
    close(make_file("ab/.0123-left"));
    close(make_file(unsound));
    close(make_file("ab/notes"));
    OWN_FD int locked = make_file("ab/.0123-being-written");
    assert_int_equal(flock(locked, LOCK_EX), 0);
    assert_int_equal(janitor_start(&here.cache, no_note, &janitor, &err), RC_OK);
    for (int i = 0; i < 1000 && atomic_load(&here.shared->catalogue->incomplete) != 0; i++)
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    janitor_stop(&janitor);
    assert_false(is_there("ab/.0123-left"));
    assert_false(is_there(unsound));
    assert_true(is_there("ab/.0123-being-written"));
    assert_true(is_there("ab/notes"));
    struct shm_catalogue_item item;
    assert_true(shm_catalogue_find(here.shared->catalogue, key.hash, &item));
    assert_int_equal(shm_catalogue_files(here.shared->catalogue), 1);
}

/* ---- the lower tier ---- */

static uint64_t purge_in_tier(struct side *side, enum shm_purge what, const char *text)
{
    uint64_t epoch = purge(side, what, text);
    struct shm_fences *fences = side->shared->tier_fences;
    assert_true(shm_fences_take(fences));
    shm_fences_raise(fences, what, text, derivative_mark(text), epoch);
    shm_fences_give(fences);
    assert_int_equal(tier_purges_write(tier, what, text, epoch, &err), RC_OK);
    return epoch;
}

static uint32_t hear(struct side *side)
{
    uint32_t count = 0;
    assert_int_equal(tier_purges_read(&side->cache, tier, &count, &err), RC_OK);
    atomic_store(&side->shared->counters->tier_known_ms, clock_monotonic_ms());
    return count;
}

/* What one server purges another takes from the tier before it has heard of it, and in an epoch of its own that is later. */
static void test_what_was_taken_from_the_tier_before_the_news(void **state)
{
    (void)state;
    hear(&here);
    hear(&there);
    purge_in_tier(&here, SHM_PURGE_PREFIX, "a");
    nanosleep(&(struct timespec){.tv_nsec = 3000000}, NULL); /* epochs are milliseconds */
    purge(&there, SHM_PURGE_PREFIX, "other");
    assert_int_equal(store(&there, "a.tif", epoch_of(&there)), RC_OK);
    assert_int_equal(store(&there, "b.tif", epoch_of(&there)), RC_OK);
    assert_int_equal(hear(&there), 1);
    assert_false(has(&there, "a.tif"));
    assert_true(has(&there, "b.tif"));
    assert_int_equal(store(&there, "a.tif", epoch_of(&there)), RC_OK);
    hear(&there);
    assert_true(has(&there, "a.tif")); /* old news meet nothing again */
    start_anew(&there);
    assert_true(has(&there, "b.tif"));
}

/* Many purges become one: not before all who are there have heard of each, and who was away takes it for a purge of everything. */
static void test_joined_purges_are_nobodys_loss(void **state)
{
    (void)state;
    assert_int_equal(store(&there, "a.tif", epoch_of(&there)), RC_OK);
    hear(&there);
    hear(&here);
    purge_in_tier(&here, SHM_PURGE_IDENTIFIER, "a.tif");
    purge_in_tier(&here, SHM_PURGE_IDENTIFIER, "b.tif");
    assert_int_equal(tier_purges_join(&here.cache, tier, &err), RC_OK);
    assert_int_equal(hear(&there), 2); /* too young */
    assert_false(has(&there, "a.tif"));

    assert_int_equal(store(&there, "a.tif", epoch_of(&there)), RC_OK);
    uint64_t old = (uint64_t)clock_wall_ms() - 300000;
    assert_int_equal(tier_purges_write(tier, SHM_PURGE_IDENTIFIER, "c.tif", old, &err), RC_OK);
    hear(&here);
    assert_int_equal(tier_purges_join(&here.cache, tier, &err), RC_OK);
    assert_int_equal(hear(&there), 3); /* c.tif's has become one for all, of what is as old */
    assert_true(has(&there, "a.tif"));
}

static void join_at(uint64_t epoch)
{
    const struct tier_purge joined = {.epoch = epoch, .kind = 't'};
    char name[TIER_PURGES_NAME_BYTES];
    tier_purge_name(&joined, name);
    assert_int_equal(tier->ops->write(tier, name, "t", 1, &err), RC_OK);
}

static void test_who_may_have_missed_some_that_were_joined_drops_everything(void **state)
{
    (void)state;
    hear(&there);
    assert_int_equal(store(&there, "a.tif", epoch_of(&there)), RC_OK);
    join_at((uint64_t)clock_wall_ms() + 1000); /* later than all that has been heard of */
    hear(&there);
    assert_false(has(&there, "a.tif"));

    purge_in_tier(&there, SHM_PURGE_IDENTIFIER, "other");
    assert_int_equal(store(&there, "a.tif", epoch_of(&there)), RC_OK);
    join_at(epoch_of(&there) - 1);
    hear(&there);
    assert_true(has(&there, "a.tif")); /* which has been heard of, since there is a later one */
    atomic_store(&there.shared->counters->tier_known_ms, clock_monotonic_ms() - 61000);
    purge_in_tier(&there, SHM_PURGE_IDENTIFIER, "other");
    assert_int_equal(store(&there, "a.tif", epoch_of(&there)), RC_OK);
    join_at(epoch_of(&there) - 1);
    hear(&there);
    assert_false(has(&there, "a.tif")); /* the later one was its own, and it has not listened for a minute */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_file_that_gets_its_name_behind_a_purge, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_an_identifiers_files_go_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_an_entry_of_another_key_with_the_same_hash, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_each_kind_of_purge, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_it_outlives_a_start, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_list_that_was_torn_and_gets_shorter, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_another_server_has_purged_in_the_same_folder, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_the_janitor_clears_what_a_crash_has_left, set_up, tear_down),
        cmocka_unit_test(test_what_all_have_heard_of),
        cmocka_unit_test_setup_teardown(test_what_was_taken_from_the_tier_before_the_news, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_joined_purges_are_nobodys_loss, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_who_may_have_missed_some_that_were_joined_drops_everything,
                                        set_up, tear_down),
    };
    return cmocka_run_group_tests_name("cache/purges", tests, NULL, NULL);
}
