/* A list of retired identifiers: any bytes are either refused with line numbers or make a map that answers. */
#include "worker/gateway/archive.h"
#include "worker/iiif/request.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void is_numbered(uint64_t line, const char *sentence, void *context)
{
    if (line == 0 || sentence[0] == '\0')
        abort();
    ++*(uint64_t *)context;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t lines = 0, problems = 0;
    struct err err;
    int fd = memfd_create("retired", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    enum rc rc = gateway_archive_load(fd, "retired", NULL, is_numbered, &problems, &lines, &err);
    if ((rc == RC_OK) != (problems == 0))
        abort();
    close(fd);
    return 0;
}
