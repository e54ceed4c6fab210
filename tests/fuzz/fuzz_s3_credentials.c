/* Credentials as files and the metadata service of EC2 have them. */
#include "cache/s3_credentials.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct s3_credentials *found)
{
    if (found->access_key[0] == '\0' || memchr(found->access_key, '\0', sizeof found->access_key) == NULL ||
        memchr(found->secret_key, '\0', sizeof found->secret_key) == NULL ||
        memchr(found->session_token, '\0', sizeof found->session_token) == NULL)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct s3_credentials found;
    char *text = malloc(size + 1);
    if (text == NULL)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    if (s3_credentials_from_file(text, "default", &found))
        check(&found);
    if (s3_credentials_from_json(text, size, &found))
        check(&found);
    free(text);
    return 0;
}
