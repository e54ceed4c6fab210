/* Lists of objects, and names of uploads, as an S3 store sends them. */
#include "cache/s3_list.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum rc check_object(void *context, const struct s3_list_object *object, struct err *err)
{
    (void)context;
    (void)err;
    if (strlen(object->key) >= S3_LIST_KEY_BYTES || strlen(object->etag) >= S3_LIST_ETAG_BYTES)
        abort();
    return RC_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct s3_list_page page = {.is_truncated = false};
    if (s3_list_read((const char *)data, size, check_object, NULL, &page, NULL) == RC_OK &&
        memchr(page.token, '\0', sizeof page.token) == NULL)
        abort();
    char id[S3_LIST_UPLOAD_BYTES];
    if (s3_list_upload((const char *)data, size, id, NULL) == RC_OK && memchr(id, '\0', sizeof id) == NULL)
        abort();
    return 0;
}
