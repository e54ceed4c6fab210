/* Accept-Encoding headers: whatever is in them, a coding is chosen that the header names or allows. */
#include "worker/http/compress.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *header = strndup((const char *)data, size);
    if (header == NULL)
        return 0;
    enum http_coding coding = http_compress_choose(header);
    const char *name = http_compress_name(coding);
    if (name != NULL && strcasestr(header, name) == NULL && strchr(header, '*') == NULL)
        abort();
    free(header);
    return 0;
}
