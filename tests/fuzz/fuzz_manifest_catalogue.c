/* A catalogue in any bytes: the columns on the first line, the CSV file behind it. */
#include "worker/manifest/catalogue.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char columns[400];
    const uint8_t *newline = size == 0 ? NULL : memchr(data, '\n', size);
    size_t length = newline == NULL ? 0 : (size_t)(newline - data);
    if (newline == NULL || length >= sizeof columns || memchr(data, '\0', length) != NULL)
        return 0;
    memcpy(columns, data, length);
    columns[length] = '\0';
    int fd = memfd_create("catalogue", MFD_CLOEXEC);
    size_t left = size - length - 1;
    if (fd < 0 || write(fd, newline + 1, left) != (ssize_t)left)
        abort();
    uint64_t rows = 0;
    struct err err = {0};
    if (manifest_catalogue_load(fd, columns, NULL, NULL, NULL, &rows, &err) != RC_OK &&
        err.message[0] == '\0')
        abort();
    close(fd);
    return 0;
}
