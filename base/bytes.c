#include "base/bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum rc bytes_reserve(struct bytes *bytes, size_t more_bytes, struct err *err)
{
    if (more_bytes <= bytes->capacity - bytes->length)
        return RC_OK;
    if (more_bytes > SIZE_MAX / 2 - bytes->length)
        return err_set(err, RC_NO_MEMORY, "a buffer of %zu bytes cannot grow by %zu", bytes->length,
                       more_bytes);
    size_t capacity = bytes->capacity < 4096 ? 4096 : bytes->capacity;
    while (capacity < bytes->length + more_bytes)
        capacity += capacity / 2;
    uint8_t *data = realloc(bytes->data, capacity);
    if (data == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for a buffer of %zu bytes", capacity);
    bytes->data = data;
    bytes->capacity = capacity;
    return RC_OK;
}

enum rc bytes_append(struct bytes *bytes, const void *data, size_t length, struct err *err)
{
    enum rc rc = bytes_reserve(bytes, length, err);
    if (rc != RC_OK)
        return rc;
    if (length > 0)
        memcpy(bytes->data + bytes->length, data, length);
    bytes->length += length;
    return RC_OK;
}

enum rc bytes_format(struct bytes *bytes, struct err *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length < 0)
        return err_set(err, RC_NO_MEMORY, "text could not be formatted");
    enum rc rc = bytes_reserve(bytes, (size_t)length + 1, err);
    if (rc != RC_OK)
        return rc;
    va_start(args, format);
    vsnprintf((char *)bytes->data + bytes->length, (size_t)length + 1, format, args);
    va_end(args);
    bytes->length += (size_t)length;
    return RC_OK;
}

void bytes_done(struct bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct bytes){0};
}

uint64_t bytes_hash(uint64_t hash, const void *data, size_t length)
{
    const uint8_t *p = data;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ p[i]) * 0x100000001b3u;
    return hash;
}
