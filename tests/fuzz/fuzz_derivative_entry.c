/* Headers of cached derivatives, and the names of their files: foreign bytes that end in a verdict. */
#include "cache/derivative_entry.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct derivative_header header;
    const char *text = NULL;
    struct err err;
    char path[DERIVATIVE_TEXT_BYTES], folder[8] = {0}, file[64] = {0};
    uint8_t *exact = malloc(size + 1); /* so that a byte too far is seen */
    if (exact == NULL)
        return 0;
    memcpy(exact, data, size);
    if (derivative_head_read(exact, size, size, &header, &text, &err) == RC_OK) {
        assert(header.body_at + header.body_bytes == size);
        derivative_text_path(text, header.text_bytes, path);
        assert(strlen(path) < sizeof path);
    }
    free(exact);
    derivative_text_path((const char *)data, size, path);
    memcpy(folder, data, size < 3 ? size : 3);
    memcpy(file, data + (size < 3 ? size : 3),
           size < 3                     ? 0
           : size - 3 < sizeof file - 1 ? size - 3
                                        : sizeof file - 1);
    struct shm_key hash;
    char name[DERIVATIVE_NAME_BYTES];
    folder[2] = '\0';
    if (derivative_name_read(folder, file, &hash)) {
        derivative_name(hash, name);
        assert(memcmp(name, folder, 2) == 0 && strcmp(name + 3, file) == 0);
    }
    return 0;
}
