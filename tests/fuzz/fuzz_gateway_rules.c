/* Identifier rules: a file and, behind its first byte of value zero, an identifier. Any file is refused with line numbers or
 * its rules lead somewhere. */
#include "worker/gateway/rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *zero = size == 0 ? NULL : memchr(data, '\0', size);
    size_t length = zero == NULL ? size : (size_t)(zero - data);
    char identifier[IIIF_MAX_IDENTIFIER_BYTES + 1] = "obj-1-2.jp2", path[64];
    if (zero != NULL && size - length - 1 < sizeof identifier) {
        memcpy(identifier, zero + 1, size - length - 1);
        identifier[size - length - 1] = '\0';
    }
    struct gateway_rules *rules = NULL;
    struct gateway_match match;
    struct err err;
    int fd = memfd_create("rules", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, length) != (ssize_t)length)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (gateway_rules_load(path, NULL, NULL, &rules, &err) == RC_OK &&
        gateway_rules_apply(rules, identifier, &match, &err) == RC_OK &&
        strlen(match.source) > IIIF_MAX_IDENTIFIER_BYTES)
        abort();
    gateway_rules_free(&rules);
    close(fd);
    return 0;
}
