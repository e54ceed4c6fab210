/* What may be opened below the root, and how a replaced file is told from the old one. */
#include "cache/origin.h"

#include "base/own.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

struct folder {
    char root[64];
    char outside[80];
    struct origin *origin;
};

static void write_file(const char *folder, const char *name, const char *text)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static void link_in(const struct folder *folder, const char *target, const char *name)
{
    char path[160];
    snprintf(path, sizeof path, "%s/root/%s", folder->root, name);
    assert_int_equal(symlink(target, path), 0);
}

static enum rc open_root(const char *root, struct origin **ret_origin, struct err *err)
{
    struct settings settings;
    assert_int_equal(settings_init(&settings, err), RC_OK);
    assert_int_equal(settings_set(&settings, settings_find("images"), root, err), RC_OK);
    enum rc rc = origin_open(&settings, -1, ret_origin, err);
    settings_done(&settings);
    return rc;
}

static int folder_make(void **state)
{
    struct folder *folder = calloc(1, sizeof *folder);
    struct err err;
    char root[96], sub[112], fifo[112];
    snprintf(folder->root, sizeof folder->root, "/tmp/vitrine-origin-XXXXXX");
    assert_non_null(mkdtemp(folder->root));
    snprintf(root, sizeof root, "%s/root", folder->root);
    snprintf(sub, sizeof sub, "%s/sub", root);
    snprintf(fifo, sizeof fifo, "%s/fifo", root);
    assert_int_equal(mkdir(root, 0755), 0);
    assert_int_equal(mkdir(sub, 0755), 0);
    assert_int_equal(mkfifo(fifo, 0644), 0);
    snprintf(folder->outside, sizeof folder->outside, "%s/secret", folder->root);
    write_file(folder->root, "secret", "secret");
    write_file(root, "a.tif", "first");
    write_file(sub, "b.tif", "below");
    link_in(folder, "sub/b.tif", "inner");
    link_in(folder, "../secret", "outer");
    link_in(folder, folder->outside, "absolute");
    link_in(folder, "loop", "loop");
    assert_int_equal(open_root(root, &folder->origin, &err), RC_OK);
    *state = folder;
    return 0;
}

static int folder_remove(void **state)
{
    struct folder *folder = *state;
    char command[128];
    origin_close(&folder->origin);
    snprintf(command, sizeof command, "rm -r %s", folder->root);
    int status = system(command);
    free(folder);
    return status;
}

static enum rc try_open(struct folder *folder, const char *path)
{
    OWN(image_blob_close) struct image_blob *blob = NULL;
    struct origin_version opened, seen;
    struct err err;
    enum rc rc = origin_open_blob(folder->origin, path, &blob, &opened, &err);
    assert_int_equal(origin_stat_file(folder->origin, path, &seen, &err), rc);
    if (rc == RC_OK) {
        assert_int_equal(origin_version_hash(&opened), origin_version_hash(&seen));
        assert_int_equal(blob->size_bytes, opened.size_bytes);
    } else {
        assert_null(blob);
    }
    return rc;
}

static void test_opens_only_files_below_the_root(void **state)
{
    static const struct {
        const char *path;
        enum rc rc;
    } row[] = {
        {"a.tif", RC_OK},
        {"sub/b.tif", RC_OK},
        {"inner", RC_OK},
        {"outer", RC_NOT_FOUND},
        {"absolute", RC_NOT_FOUND},
        {"loop", RC_NOT_FOUND},
        {"sub", RC_NOT_FOUND},
        {"fifo", RC_NOT_FOUND},
        {"missing", RC_NOT_FOUND},
        {"../secret", RC_NOT_FOUND},
        {"/etc/passwd", RC_NOT_FOUND},
        {"a.tif/x", RC_NOT_FOUND},
        {"sub/../a.tif", RC_OK},
        {"sub/../../secret", RC_NOT_FOUND},
    };
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++)
        if (try_open(*state, row[i].path) != row[i].rc)
            fail_msg("%s", row[i].path);
}

static void test_a_rewritten_file_has_another_version(void **state)
{
    struct folder *folder = *state;
    struct origin_version before, after;
    struct err err;
    char root[96];
    snprintf(root, sizeof root, "%s/root", folder->root);
    assert_int_equal(origin_stat_file(folder->origin, "a.tif", &before, &err), RC_OK);
    assert_int_equal(before.size_bytes, 5);
    write_file(root, "new.tif", "other"); /* the same size: only inode and time tell */
    char from[112], to[112];
    snprintf(from, sizeof from, "%s/new.tif", root);
    snprintf(to, sizeof to, "%s/a.tif", root);
    assert_int_equal(rename(from, to), 0);
    assert_int_equal(origin_stat_file(folder->origin, "a.tif", &after, &err), RC_OK);
    assert_int_not_equal(origin_version_hash(&before), origin_version_hash(&after));
}

static const struct origin_entry *find(const struct origin_entry *entry, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(entry[i].name, name) == 0)
            return &entry[i];
    return NULL;
}

/* Links count as what they lead to below the root; what is neither file nor folder, or hidden, is left out. */
static void test_a_folder_is_listed(void **state)
{
    struct folder *folder = *state;
    struct origin_entry *entry = NULL;
    struct origin_version version;
    struct err err;
    size_t count = 0;
    char root[96];
    struct arena *arena = arena_new();
    snprintf(root, sizeof root, "%s/root", folder->root);
    write_file(root, ".hidden.tif", "x");
    link_in(folder, "sub", "inner-folder");
    assert_int_equal(origin_list(folder->origin, "", arena, &entry, &count, &err), RC_OK);
    assert_int_equal(count, 4);
    assert_int_equal(origin_stat_file(folder->origin, "a.tif", &version, &err), RC_OK);
    assert_false(find(entry, count, "a.tif")->is_folder);
    assert_int_equal(origin_version_hash(&find(entry, count, "a.tif")->version),
                     origin_version_hash(&version));
    assert_false(find(entry, count, "inner")->is_folder);
    assert_true(find(entry, count, "sub")->is_folder && find(entry, count, "inner-folder")->is_folder);
    assert_int_equal(origin_list(folder->origin, "inner-folder", arena, &entry, &count, &err), RC_OK);
    assert_int_equal(count, 1);
    assert_int_equal(origin_list(folder->origin, "..", arena, &entry, &count, &err), RC_NOT_FOUND);
    assert_int_equal(origin_list(folder->origin, "a.tif", arena, &entry, &count, &err), RC_NOT_FOUND);
    for (int i = 0; i < 200; i++) { /* more than the first room for entries */
        char name[32];
        snprintf(name, sizeof name, "sub/%d.tif", i);
        write_file(root, name, "x");
    }
    assert_int_equal(origin_list(folder->origin, "sub", arena, &entry, &count, &err), RC_OK);
    assert_int_equal(count, 201);
    assert_non_null(find(entry, count, "0.tif"));
    arena_free(arena);
}

static void test_a_missing_root_is_named(void **state)
{
    (void)state;
    struct origin *origin = NULL;
    struct err err;
    assert_int_equal(open_root("/nonexistent/images", &origin, &err), RC_IO);
    assert_null(origin);
    assert_non_null(strstr(err.message, "/nonexistent/images"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_opens_only_files_below_the_root, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(test_a_rewritten_file_has_another_version, folder_make,
                                        folder_remove),
        cmocka_unit_test_setup_teardown(test_a_folder_is_listed, folder_make, folder_remove),
        cmocka_unit_test(test_a_missing_root_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
