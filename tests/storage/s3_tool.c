/* s3_tool URL write KEY TEXT | list PREFIX: the bucket as a lower tier uses it, for test_s3_store.py. Settings by environment. */
#include "cache/s3_store.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static enum rc print_object(void *context, const char *key, uint64_t size_bytes, struct err *err)
{
    (void)context;
    (void)err;
    printf("%" PRIu64 " %s\n", size_bytes, key);
    return RC_OK;
}

static enum rc run(struct s3_store *store, char **argument, struct err *err)
{
    if (strcmp(argument[2], "write") == 0)
        return s3_store_write(store, argument[3], argument[4], strlen(argument[4]), err);
    return s3_store_list(store, argument[3], print_object, NULL, err);
}

int main(int count, char **argument)
{
    struct settings settings;
    struct s3_store *store = NULL;
    struct err err;
    if (count < 4 || settings_init(&settings, &err) != RC_OK)
        return 2;
    enum rc rc = settings_set(&settings, settings_find("s3_path_style"), "true", &err);
    if (rc == RC_OK)
        rc = s3_store_prepare(argument[1], &settings, &store, &err);
    if (rc == RC_OK)
        rc = s3_store_start(store, &err);
    if (rc == RC_OK)
        rc = run(store, argument, &err);
    if (rc != RC_OK)
        fprintf(stderr, "%s\n", err.message);
    s3_store_close(&store);
    settings_done(&settings);
    return rc == RC_OK ? 0 : 1;
}
